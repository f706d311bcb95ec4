//! `gatepost status`: how the running daemon does, on one page.

use std::path::Path;

use crate::admin::protocol::{Request, Response, Status};
use crate::clock;
use crate::model::time::Timestamp;

use super::output::{BAD, BOLD, Console, Exit, Failure, GOOD, ODD, WIDTH_COLUMNS};
use super::table::{Cell, Column, lines};
use super::{human, socket};

pub(super) fn run(at: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Response::Status(status) = socket::ask(at, &Request::Status)? else { return Err(socket::unexpected()) };
    if json {
        console.json(&status)?;
    } else {
        write!(console.out, "{}", page(&status, clock::timestamp()))?;
    }
    Ok(Exit::Done)
}

fn page(status: &Status, now: Timestamp) -> String {
    let (style, state) = standing(status);
    let up = human::span(now.saturating_since(status.started_at));
    let mut page = vec![
        format!("{BOLD}{}{BOLD:#}: gatepost {}, up {up}, {style}{state}{style:#}", status.hostname, status.version),
        String::new(),
    ];
    let digest: String = status.config.chars().take(12).collect();
    let counts = status.deliveries;
    let deliveries =
        format!("{} ready, {} waiting, {} active, {} held", counts.ready, counts.waiting, counts.active, counts.held);
    for (name, value) in [
        ("config", format!("{} ({digest})", status.config_file)),
        ("since", human::second(status.started_at)),
        ("queue", format!("{}: {deliveries}", human::count(status.messages, "message"))),
        ("spool", spool(status)),
        ("audit", if status.audit_writable { "writable".to_owned() } else { "cannot be written".to_owned() }),
    ] {
        page.extend(human::labelled(name, &value));
    }
    page.push(String::new());
    page.extend(listeners(status));
    page.push(String::new());
    page.join("\n")
}

fn standing(status: &Status) -> (anstyle::Style, &'static str) {
    match status {
        Status { spool_fault: Some(_), .. } => (BAD, "takes no mail"),
        Status { audit_writable: false, .. } => (BAD, "the audit log lags"),
        Status { draining: true, .. } => (ODD, "draining"),
        _ => (GOOD, "running"),
    }
}

fn spool(status: &Status) -> String {
    let free = format!("{} free", human::bytes(status.spool_free_bytes));
    match &status.spool_fault {
        Some(fault) => format!("{fault}; {free}"),
        None => free,
    }
}

fn listeners(status: &Status) -> Vec<String> {
    let columns =
        [Column::left("LISTENER"), Column::left("ROLE"), Column::left("TLS"), Column::left("BIND").shrinking()];
    let rows: Vec<Vec<Cell>> = status
        .listeners
        .iter()
        .map(|at| {
            vec![at.name.as_str().into(), at.role.as_str().into(), at.tls.as_str().into(), at.bind.join(" ").into()]
        })
        .collect();
    lines(&columns, &rows, WIDTH_COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::{DeliveryCounts, ListenerStatus};

    #[test]
    fn the_page_tells_state_queue_and_listeners_within_80_columns() {
        let started_at = Timestamp::from_secs(1_800_000_000);
        let mut status = Status {
            version: "0.1.0".into(),
            hostname: "mx1.example.org".into(),
            started_at,
            config: "0123456789abcdef".repeat(4),
            config_file: "/etc/gatepost/gatepost.toml".into(),
            listeners: vec![ListenerStatus {
                name: "mx".into(),
                role: "mx".into(),
                bind: vec!["0.0.0.0:25".into(), "[::]:25".into()],
                tls: "starttls".into(),
            }],
            messages: 1234,
            deliveries: DeliveryCounts { ready: 1, waiting: 2, active: 3, held: 0 },
            spool_free_bytes: 12_000_000_000,
            spool_fault: None,
            audit_writable: true,
            draining: false,
        };
        let plain = |status: &Status| {
            let page = page(status, started_at + std::time::Duration::from_secs(7200));
            anstream::adapter::strip_str(&page).to_string()
        };
        let expected = "\
mx1.example.org: gatepost 0.1.0, up 2h, running

config    /etc/gatepost/gatepost.toml (0123456789ab)
since     2027-01-15 08:00:00 UTC
queue     1,234 messages: 1 ready, 2 waiting, 3 active, 0 held
spool     12GB free
audit     writable

LISTENER  ROLE  TLS       BIND
mx        mx    starttls  0.0.0.0:25 [::]:25
";
        assert_eq!(plain(&status), expected);
        status.spool_fault = Some("less free space than spool.min_free_space".into());
        assert!(plain(&status).contains("takes no mail"));
        assert!(plain(&status).contains("spool     less free space than spool.min_free_space; 12GB free"));
    }
}
