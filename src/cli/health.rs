//! `gatepost health`: whether the running daemon takes mail, for what looks after containers.

use std::path::Path;

use crate::admin::protocol::{Request, Response, Status};

use super::output::{Console, Exit, Failure};
use super::socket;

pub(super) fn run(at: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Response::Status(status) = socket::ask(at, &Request::Status)? else { return Err(socket::unexpected()) };
    let lacking = lacking(&status);
    if json {
        console.json(&serde_json::json!({ "healthy": lacking.is_none(), "reason": lacking }))?;
    } else {
        writeln!(console.out, "{}", lacking.as_deref().unwrap_or("takes mail"))?;
    }
    Ok(if lacking.is_none() { Exit::Done } else { Exit::No })
}

/// Why no mail is taken, as `/readyz` of the metrics port has it.
fn lacking(status: &Status) -> Option<String> {
    match status {
        Status { draining: true, .. } => Some("stopping".to_owned()),
        Status { spool_fault: Some(fault), .. } => Some(fault.clone()),
        Status { audit_writable: false, .. } => Some("the audit log cannot be written".to_owned()),
        _ => None,
    }
}
