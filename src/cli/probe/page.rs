//! The result of a probe for people: the domain, then each host, then what is wrong. 80 columns, and no meaning by
//! colour alone.

mod host;

use anstyle::Style;

use crate::cli::human::labelled;
use crate::cli::output::{BAD, BOLD, GOOD, ODD, WIDTH_COLUMNS};
use crate::dns::Security;
use crate::model::human::{second, shown, span, wrap};
use crate::policy::sts_policy::StsPolicy;
use crate::probe::findings::{Finding, Weight};
use crate::probe::host::HostReport;
use crate::probe::judge::{Meets, Met};
use crate::probe::publication::{StsFound, Target, TlsRptFound};

use super::Report;

/// Findings that are told; the rest is in the JSON.
const FINDINGS_MAX: usize = 60;

/// Ends with a line end.
pub(super) fn page(report: &Report) -> String {
    let mut page = vec![format!("{BOLD}{}{BOLD:#} at {}", shown(&report.asked), second(report.at))];
    page.extend(domain(report));
    for host in &report.hosts {
        page.push(String::new());
        page.extend(host::section(report, host));
    }
    page.push(String::new());
    page.extend(findings(&report.findings));
    page.extend(conclusion(report));
    page.push(String::new());
    page.join("\n")
}

/// What concerns all hosts.
fn domain(report: &Report) -> Vec<String> {
    let mut lines = labelled("hosts", &hosts(report));
    if report.target.domain().is_some() {
        lines.extend(labelled("MTA-STS", &mta_sts(&report.publication.mta_sts)));
        lines.extend(labelled("TLSRPT", &tlsrpt(&report.publication.tlsrpt)));
    }
    match &report.kept {
        Ok(Some(kept)) if report.publication.mta_sts.policy() != Some(&kept.policy) => {
            let end = if kept.holds(report.at) { "until" } else { "no longer: it ended" };
            let text = format!("the daemon keeps mode {}, {} {}", kept.policy.mode, terms(&kept.policy), end);
            lines.extend(labelled("", &format!("{text} {}", kept.expires().brief())));
        }
        Ok(_) => {}
        Err(why) => lines.extend(labelled("", &format!("which policies the daemon keeps is not known here: {why}"))),
    }
    match &report.learned {
        Ok(Some(learned)) => lines.extend(labelled("learned", &learned.to_string())),
        Ok(None) => {}
        Err(why) => lines.extend(labelled("learned", &format!("what is in force is not known here: {why}"))),
    }
    if let Some(route) = report.other_route() {
        let text = format!(
            "mail for the domain takes the route \"{}\" instead of these hosts; probe its hosts as HOST:PORT",
            shown(route)
        );
        lines.extend(labelled("policy", &text));
    }
    lines
}

fn hosts(report: &Report) -> String {
    let found = match &report.publication.hosts {
        Ok(found) => found,
        Err(error) => return error.to_string(),
    };
    if let Target::Host { .. } = report.target {
        let host = report.hosts.first();
        return match (&report.target, host.map(|host| host.found.is_by_mx)) {
            (Target::Host { is_by_mx: true, .. }, Some(true)) => "as it was written; an MX record names it".to_owned(),
            (Target::Host { is_by_mx: true, .. }, _) => "as it was written; no MX record names it".to_owned(),
            _ => "as it was written; no MX records were looked up".to_owned(),
        };
    }
    if found.implicit {
        return "the domain itself: it has no MX records".to_owned();
    }
    let records = found.mx.map_or("of unknown DNSSEC state", in_words);
    let count = crate::model::human::count(found.hosts.len(), "host");
    let left_out = found.left_out.iter().map(|(preference, name)| format!("; not tried: {name} ({preference})"));
    format!("{count} by MX records {records}{}", left_out.collect::<String>())
}

/// Behind the name of records.
fn in_words(security: Security) -> &'static str {
    match security {
        Security::Secure => "that DNSSEC secures",
        Security::Insecure => "that are not signed",
        Security::Unknown => "that nobody validated",
    }
}

fn mta_sts(found: &StsFound) -> String {
    match found {
        StsFound::Absent => "no record".to_owned(),
        StsFound::NotLookedUp(error) => format!("the record cannot be looked up: {error}"),
        StsFound::BadRecord(error) => error.to_string(),
        StsFound::Announced { id, policy: Ok(policy) } => format!("mode {}, {}, id {id}", policy.mode, terms(policy)),
        StsFound::Announced { id, policy: Err(error) } => format!("announced with id {id}, but {error}"),
    }
}

fn terms(policy: &StsPolicy) -> String {
    let patterns: Vec<String> = policy.mx.iter().map(ToString::to_string).collect();
    format!("for {}, hosts {}", span(policy.max_age), patterns.join(", "))
}

fn tlsrpt(found: &TlsRptFound) -> String {
    match found {
        TlsRptFound::Absent => "no record".to_owned(),
        TlsRptFound::NotLookedUp(error) => format!("the record cannot be looked up: {error}"),
        TlsRptFound::BadRecord(error) => error.to_string(),
        TlsRptFound::Wanted(wanted) => {
            let targets: Vec<String> = wanted.targets.iter().map(|target| shown(&target.to_string()).into()).collect();
            format!("reports go to {}", targets.join(", "))
        }
    }
}

fn findings(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings.iter().take(FINDINGS_MAX) {
        let host = finding.host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
        let (word, style) = match finding.weight {
            Weight::Unreachable => ("unreached", BAD),
            Weight::Wrong => ("wrong", BAD),
            Weight::Notice => ("notice", ODD),
        };
        lines.extend(marked(word, style, &format!("{host}{}", finding.text)));
    }
    let more = findings.len().saturating_sub(FINDINGS_MAX);
    if more > 0 {
        lines.push(format!("and {more} more; --json has them all"));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// A word in a colour of its own, and a text that goes on below itself.
pub(super) fn marked(word: &str, style: Style, text: &str) -> Vec<String> {
    const COLUMNS: usize = 11;
    let wrapped = wrap(text, WIDTH_COLUMNS - COLUMNS).into_iter();
    let first = std::iter::once(word).chain(std::iter::repeat(""));
    wrapped.zip(first).map(|(line, word)| format!("{style}{word:COLUMNS$}{style:#}{line}")).collect()
}

fn conclusion(report: &Report) -> Vec<String> {
    let Some(meets) = report.meets() else {
        return vec![format!("{BAD}Nothing is known{BAD:#}: no host answers.")];
    };
    let counts = report.hosts.iter().filter(|host| !host.seen.is_unreachable()).all(HostReport::name_suffices);
    let met = met(&meets, counts);
    let every = if report.hosts.len() == 1 { "The host" } else { "Every host that answers" };
    let text = if met.is_empty() { format!("{every} meets nothing.") } else { format!("{every} meets {met}.") };
    let mut lines = wrap(&text, WIDTH_COLUMNS);
    lines.extend(policy(report));
    lines
}

/// The levels that are met, in words.
fn met(meets: &Meets, name_counts: bool) -> String {
    let rows = meets.rows().into_iter().filter(|(_, met)| met.is_yes());
    let named = rows.map(|(level, _)| match level {
        "verify_mx" if !name_counts => {
            format!("{} - which is not signed and not enough for tls = \"verify\"", level_in_words(level))
        }
        level => level_in_words(level).to_owned(),
    });
    named.collect::<Vec<_>>().join(", ")
}

pub(super) fn level_in_words(level: &str) -> &str {
    match level {
        "verify_mx" => "verify (by the host's name)",
        "verify_domain" => "verify (by the domain's name)",
        "dane" => "DANE",
        "mta_sts" => "MTA-STS",
        level => level,
    }
}

/// Whether mail would go out by our own policy.
fn policy(report: &Report) -> Vec<String> {
    let answering = report.hosts.iter().filter(|host| !host.seen.is_unreachable());
    let verdicts: Vec<bool> =
        answering.filter_map(|host| host.policy.as_ref()).map(|policy| policy.verdict.is_ok()).collect();
    let (style, text) = match (verdicts.iter().any(|sent| *sent), verdicts.iter().all(|sent| *sent)) {
        _ if verdicts.is_empty() => return Vec::new(),
        (_, true) => (GOOD, "Our policy would send mail there now."),
        (true, false) => (ODD, "Our policy would send mail there now, but not to every host."),
        (false, _) => (BAD, "Our policy would send no mail there now."),
    };
    vec![format!("{style}{text}{style:#}")]
}

/// `yes`, or why not.
pub(super) fn met_in_words(met: &Met) -> String {
    match met {
        Met::Yes => "yes".to_owned(),
        Met::No { reason, detail } => format!("no ({reason}): {detail}"),
        Met::NotApplicable => "-".to_owned(),
    }
}
