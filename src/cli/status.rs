//! `gatepost status`: how the running daemon does, on one page.

mod destinations;
mod evidence;

use std::path::Path;

use anstyle::Style;

use crate::admin::protocol::{
    CertificateStatus, ChangeStatus, DestinationsStatus, ExceptionStatus, PolicyStatus, Request, Response, Status,
    SuspensionStatus, WorstDestination,
};
use crate::cli::human::{LABEL_COLUMNS, labelled};
use crate::clock;
use crate::model::human;
use crate::model::time::Timestamp;
use crate::tls::certificates::EXPIRY_NOTICE;

use super::output::{BAD, BOLD, Console, Exit, Failure, GOOD, ODD, WIDTH_COLUMNS};
use super::socket;
use super::table::{Cell, Column, lines};

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
    let held = match status.held_destinations {
        0 => String::new(),
        held => format!("{}: see `gatepost queue holds`", human::count(held, "destination")),
    };
    let soft = "mail that is refused for good waits, and no sender is told ([spool] soft_bounce)";
    let soft = if status.soft_bounce { format!("{ODD}soft{ODD:#}: {soft}") } else { String::new() };
    for (name, value) in [
        ("config", format!("{} ({digest})", status.config_file)),
        ("dashboard", status.dashboard.clone().unwrap_or_default()),
        ("since", human::second(status.started_at)),
        ("queue", format!("{}: {deliveries}", human::count(status.messages, "message"))),
        ("", status.worst.as_ref().map(|worst| worst_in_words(worst, now)).unwrap_or_default()),
        ("held", held),
        ("bounces", soft),
        ("spool", spool(status)),
        ("audit", evidence::summary(status, now)),
        ("dnssec", dnssec(&status.dnssec)),
    ] {
        if !value.is_empty() {
            page.extend(labelled(name, &value));
        }
    }
    let labels = std::iter::once("policy").chain(std::iter::repeat(""));
    page.extend(policy(&status.policy).iter().zip(labels).flat_map(|(text, label)| labelled(label, text)));
    page.extend(destinations::lines(&status.destinations));
    page.push(String::new());
    page.extend(listeners(status));
    for part in [certificates(status, now), evidence::destinations(&status.audit, now)] {
        if !part.is_empty() {
            page.push(String::new());
            page.extend(part);
        }
    }
    page.push(String::new());
    page.join("\n")
}

/// In one line.
fn worst_in_words(worst: &WorstDestination, now: Timestamp) -> String {
    let WorstDestination { name, waiting, oldest, reason, down_until } = worst;
    let age = oldest.map(|oldest| format!(", oldest {}", human::span(now.saturating_since(oldest))));
    let reason = reason.map(|reason| format!(", {reason}"));
    let down = down_until.map(|until| format!(", down, probe in {}", human::span(until.saturating_since(now))));
    let parts = [age, reason, down].map(Option::unwrap_or_default).concat();
    let rest = format!(": {}{parts}", human::thousands(*waiting as u64));
    let (before, name) = ("most for ", human::shown(name));
    let room = (WIDTH_COLUMNS - LABEL_COLUMNS).saturating_sub(before.len() + rest.len());
    format!("{before}{}{rest}", human::cut(&name, room))
}

fn standing(status: &Status) -> (anstyle::Style, &'static str) {
    match status {
        Status { spool_fault: Some(_), .. } => (BAD, "takes no mail"),
        Status { audit_writable: false, .. } => (BAD, "the audit log lags"),
        Status { policy: PolicyStatus { suspended: Some(_), .. }, .. } => (BAD, "ENFORCEMENT IS SUSPENDED"),
        Status { draining: true, .. } => (ODD, "draining"),
        Status { destinations: DestinationsStatus { interference: Some(_), .. }, .. } => {
            (BAD, "TLS is lost on our own path")
        }
        Status { destinations: DestinationsStatus { alarm_count: 1.., .. }, .. } => (ODD, "destinations lack TLS"),
        _ if evidence::is_at_risk(&status.audit) => (ODD, "the audit log needs a look"),
        _ if status.certificates.iter().any(|one| !one.problems.is_empty()) => (ODD, "runs with old certificates"),
        _ => (GOOD, "running"),
    }
}

/// What depends on the day, one text for each; none where nothing does.
fn policy(status: &PolicyStatus) -> Vec<String> {
    let PolicyStatus { suspended, exceptions, next_change } = status;
    let suspended = suspended.as_ref().map(|SuspensionStatus { until, rule }| {
        let until = human::second(*until);
        format!("{BAD}not enforced inbound until {until}{BAD:#} ({})", human::shown(rule))
    });
    let ExceptionStatus { active, expiring, expired } = exceptions;
    let all = active + expiring + expired;
    let states = format!("{}: {active} active, {expiring} expiring, {expired} expired", human::count(all, "exception"));
    let next = next_change.as_ref().map(|ChangeStatus { at, kind, rule, owner }| {
        let what = match kind.as_str() {
            "step" => "a step comes into force",
            "exception" => "an exception ends",
            _ => "policies are enforced again",
        };
        let owner = owner.as_ref().map_or(String::new(), |owner| format!(" (owner: {owner})"));
        human::shown(&format!("next {}: {what}, {rule}{owner}", at.brief())).into_owned()
    });
    suspended.into_iter().chain((all > 0).then_some(states)).chain(next).collect()
}

/// Empty where the daemon does not tell.
fn dnssec(mode: &str) -> String {
    match mode {
        "off" => format!("{ODD}off{ODD:#}: no TLSA record counts, and no name from the DNS can be trusted"),
        mode => human::shown(mode).into_owned(),
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

/// What is in use, and below it why newer files are not.
fn certificates(status: &Status, now: Timestamp) -> Vec<String> {
    if status.certificates.is_empty() {
        return Vec::new();
    }
    let columns = [
        Column::left("CERTIFICATE").shrinking(),
        Column::left("KEY"),
        Column::left("CLIENTS"),
        Column::left("EXPIRES"),
        Column::left("OCSP"),
    ];
    let row = |one: &CertificateStatus| {
        let (style, expires) = match one.not_after {
            end if end < now => (BAD, "EXPIRED".to_owned()),
            end if end.saturating_since(now) < EXPIRY_NOTICE => (ODD, format!("in {}", until(end, now))),
            end => (Style::new(), end.day()),
        };
        let clients = if one.stack == "legacy" { "old ones" } else { "all" };
        let expires = Cell::styled(expires, style);
        let ocsp = one.ocsp.as_deref().unwrap_or("none");
        vec![one.name.as_str().into(), one.key.as_str().into(), clients.into(), expires, ocsp.into()]
    };
    let rows: Vec<_> = status.certificates.iter().map(row).collect();
    let mut lines = lines(&columns, &rows, WIDTH_COLUMNS);
    for problem in status.certificates.iter().flat_map(|one| &one.problems) {
        lines.push(String::new());
        let text = format!("Not in use: {}", human::shown(problem));
        lines.extend(human::wrap(&text, WIDTH_COLUMNS).into_iter().map(|line| format!("{BAD}{line}{BAD:#}")));
    }
    lines
}

/// `3 days`, `5 hours`, `12 minutes`: the largest unit that there is more than one of.
fn until(end: Timestamp, now: Timestamp) -> String {
    let minutes = end.saturating_since(now).as_secs() / 60;
    match (minutes / (24 * 60), minutes / 60) {
        (days, _) if days > 1 => format!("{days} days"),
        (_, hours) if hours > 1 => format!("{hours} hours"),
        _ => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::protocol::{AuditStatus, DeliveryCounts, ListenerStatus};

    const STARTED_AT: Timestamp = Timestamp::from_secs(1_800_000_000);

    pub(in crate::cli) fn running() -> Status {
        Status {
            version: "0.1.0".into(),
            hostname: "mx1.example.org".into(),
            started_at: STARTED_AT,
            config: "0123456789abcdef".repeat(4),
            dashboard: Some("http://127.0.0.1:8025/".into()),
            config_file: "/etc/gatepost/gatepost.toml".into(),
            listeners: vec![ListenerStatus {
                name: "mx".into(),
                role: "mx".into(),
                bind: vec!["0.0.0.0:25".into(), "[::]:25".into()],
                tls: "starttls".into(),
            }],
            certificates: vec![],
            policy: PolicyStatus::default(),
            messages: 1234,
            deliveries: DeliveryCounts { ready: 1, waiting: 2, active: 3, held: 0 },
            worst: None,
            spool_free_bytes: 12_000_000_000,
            spool_fault: None,
            audit_writable: true,
            audit: AuditStatus::default(),
            destinations: DestinationsStatus::default(),
            held_destinations: 0,
            soft_bounce: false,
            dnssec: "trust-ad".into(),
            draining: false,
        }
    }

    /// Two hours after the start.
    fn plain(status: &Status) -> String {
        let page = page(status, STARTED_AT + std::time::Duration::from_secs(7200));
        anstream::adapter::strip_str(&page).to_string()
    }

    #[test]
    fn the_page_tells_state_queue_and_listeners_within_80_columns() {
        let mut status = running();
        let expected = "\
mx1.example.org: gatepost 0.1.0, up 2h, running

config    /etc/gatepost/gatepost.toml (0123456789ab)
dashboard http://127.0.0.1:8025/
since     2027-01-15 08:00:00 UTC
queue     1,234 messages: 1 ready, 2 waiting, 3 active, 0 held
spool     12GB free
audit     writable
dnssec    trust-ad

LISTENER  ROLE  TLS       BIND
mx        mx    starttls  0.0.0.0:25 [::]:25
";
        assert_eq!(plain(&status), expected);
        let oldest = Some(STARTED_AT);
        let reason = Some(crate::model::reason::Reason::ConnectTimeout);
        status.worst =
            Some(WorstDestination { name: "bank.example".into(), waiting: 1200, oldest, reason, down_until: None });
        let queue = "0 held\n          most for bank.example: 1,200, oldest 2h, connect-timeout\nspool";
        assert!(plain(&status).contains(queue), "{}", plain(&status));
        let down_until = Some(STARTED_AT + std::time::Duration::from_secs(7290));
        let name = "x".repeat(200);
        status.worst = Some(WorstDestination { name, waiting: 1_000_000, oldest, reason, down_until });
        assert!(plain(&status).contains("connect-timeout, down, probe in 1m\n"), "{}", plain(&status));
        assert!(plain(&status).lines().all(|line| line.chars().count() <= 80), "{}", plain(&status));
        status.spool_fault = Some("less free space than spool.min_free_space".into());
        assert!(plain(&status).contains("takes no mail"));
        status.dnssec = "off".into();
        assert!(plain(&status).contains("\ndnssec    off: no TLSA record counts"));
        assert!(plain(&status).contains("spool     less free space than spool.min_free_space; 12GB free"));
    }

    #[test]
    fn the_page_tells_what_of_the_policies_depends_on_the_day() {
        let mut status = running();
        status.policy = PolicyStatus {
            suspended: Some(SuspensionStatus { until: STARTED_AT, rule: "gatepost.toml:4".into() }),
            exceptions: ExceptionStatus { active: 1, expiring: 2, expired: 0 },
            next_change: Some(ChangeStatus {
                at: STARTED_AT,
                kind: "step".into(),
                rule: "domains.d/bank.toml:14".into(),
                owner: Some("treasury".into()),
            }),
        };
        let expected = "\
policy    not enforced inbound until 2027-01-15 08:00:00 UTC
          (gatepost.toml:4)
          3 exceptions: 1 active, 2 expiring, 0 expired
          next 2027-01-15T08:00:00Z: a step comes into force,
          domains.d/bank.toml:14 (owner: treasury)

LISTENER";
        assert!(plain(&status).contains(expected), "{}", plain(&status));
        assert!(plain(&status).contains("up 2h, ENFORCEMENT IS SUSPENDED"));
    }

    #[test]
    fn the_page_tells_which_certificates_are_in_use_and_why_newer_files_are_not() {
        let mut status = running();
        let certificate = |key: &str, stack: &str, ocsp: Option<&str>, problems: &[&str]| CertificateStatus {
            name: "mx1.example.org".into(),
            names: vec!["mx1.example.org".into()],
            chain: "/etc/gatepost/tls/server.pem".into(),
            key: key.into(),
            key_sha256: "00".repeat(32),
            stack: stack.into(),
            not_after: STARTED_AT,
            ocsp: ocsp.map(str::to_owned),
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
        };
        status.certificates = vec![
            certificate("ECDSA P-256", "any", Some("stapled until 2027-01-20"), &[]),
            certificate("RSA 2048", "legacy", None, &["cannot read /etc/gatepost/tls/legacy.key: permission denied"]),
        ];
        let expected = "
CERTIFICATE      KEY          CLIENTS   EXPIRES  OCSP
mx1.example.org  ECDSA P-256  all       EXPIRED  stapled until 2027-01-20
mx1.example.org  RSA 2048     old ones  EXPIRED  none

Not in use: cannot read /etc/gatepost/tls/legacy.key: permission denied
";
        assert!(plain(&status).ends_with(expected), "{}", plain(&status));
        assert!(plain(&status).contains("runs with old certificates"));
    }

    #[test]
    fn what_is_left_is_told_in_the_largest_unit_that_there_is_more_than_one_of() {
        let now = Timestamp::from_secs(1_800_000_000);
        for (minutes, expected) in
            [(0, "0 minutes"), (119, "119 minutes"), (120, "2 hours"), (2879, "47 hours"), (2880, "2 days")]
        {
            assert_eq!(until(now + std::time::Duration::from_secs(minutes * 60), now), expected);
        }
    }
}
