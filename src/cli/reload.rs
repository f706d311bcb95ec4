//! `gatepost reload`: makes the daemon read its configuration anew, and shows what it thinks of it.

use std::path::Path;

use crate::admin::protocol::{ReportedDiagnostic, Request, Response};
use crate::model::human;

use super::output::{BAD, Console, Exit, Failure, GOOD};
use super::socket;

pub(super) fn run(at: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let response = socket::ask(at, &Request::Reload)?;
    show(&response, json, console)
}

pub(super) fn show(response: &Response, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let exit = match response {
        Response::Reloaded { .. } => Exit::Done,
        Response::NotReloaded { .. } => Exit::Usage,
        _ => return Err(socket::unexpected()),
    };
    if json {
        console.json(response)?;
        return Ok(exit);
    }
    match response {
        Response::Reloaded { config, warnings } => {
            show_findings(warnings, console)?;
            let also = if warnings.is_empty() {
                String::new()
            } else {
                format!(" with {}", human::count(warnings.len(), "warning"))
            };
            let digest: String = config.chars().take(12).collect();
            writeln!(console.out, "{GOOD}reloaded{GOOD:#}{also}: configuration {digest} is in force")?;
        }
        Response::NotReloaded { errors } => {
            show_findings(errors, console)?;
            let count = human::count(errors.len(), "error");
            writeln!(console.err, "{BAD}{count}{BAD:#}: the old configuration stays in force")?;
        }
        _ => {}
    }
    Ok(exit)
}

fn show_findings(findings: &[ReportedDiagnostic], console: &mut Console<'_>) -> Result<(), Failure> {
    for finding in findings {
        writeln!(console.err, "{}\n", finding.rendered)?;
    }
    Ok(())
}
