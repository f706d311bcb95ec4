//! What stands around the messages: who is on the stage, the summary, and what to try while it stays up.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::clock;
use crate::model::address::ReversePath;
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::tls::ProtocolVersion;
use crate::policy::in_force::InForce;
use crate::policy::outbound::{Decision, decide};
use crate::policy::rules::{DomainPolicy, PolicySet};
use crate::policy::settings::{InboundTls, Mode, OnTlsFailure};
use crate::policy::timed::Asker;

use super::layout::{BAD, FAINT, GOOD, PLAIN, Page, TITLE, cell};
use super::outcome::{Played, PlayedLeg};
use super::play::Outcome;
use super::scenario::{HAS_OLD_TLS, HopSpec, Shown};
use super::senders::{APPLICATION, STRANGER};
use super::stage::{HOSTNAME, Stage};
use super::story::end_word;

/// Columns of a host's name, of a port, of a domain's name.
const HOST: usize = 20;
const PORT: usize = 7;
const DOMAIN: usize = 16;
const INBOUND: usize = 26;
/// Columns of the word that a line of the summary ends with.
const END: usize = 10;
/// Columns of the words before a path or a count.
const LABEL: usize = 11;

/// How `openssl s_client` is told to know no more than the oldest client that is served. Level 0 lets it.
const OLDEST: &str = if HAS_OLD_TLS { "-tls1 -cipher DEFAULT:@SECLEVEL=0" } else { "-tls1_2" };

/// Who is on the stage.
pub(super) fn opening(page: &mut Page<'_>, stage: &Stage) -> io::Result<()> {
    page.line(0, &format!("{TITLE}Gatepost demo{TITLE:#}"))?;
    page.text(
        0,
        "The real relay with its spool and audit log, on loopback, under a temporary folder. No root, no network: the \
         next hops, the clients and the DNS are the demo's own.",
    )?;
    page.heading("The relay")?;
    listener(page, stage, "mx", &format!("takes mail for hosted domains from anyone ({STRANGER})"))?;
    listener(page, stage, "smarthost", &format!("takes mail to anywhere from our own hosts ({APPLICATION})"))?;
    if HAS_OLD_TLS {
        page.text(2, "Peers that rustls cannot serve are served by OpenSSL: marked (openssl).")?;
    }
    page.heading("The policies")?;
    let head = format!("{}{}deliveries", cell("", DOMAIN), cell("sessions that bring mail", INBOUND));
    page.line(2, &format!("{FAINT}{head}{FAINT:#}"))?;
    for policy in stage.policies.policies() {
        let Some(domain) = domain_of(policy) else { continue };
        let inbound = inbound(&stage.policies, policy);
        let outbound = outbound(&stage.policies, &domain);
        page.line(2, &format!("{}{}{outbound}", cell(domain.as_str(), DOMAIN), cell(&inbound, INBOUND)))?;
    }
    page.heading("The next hops")?;
    for hop in &stage.hops {
        let port = format!(":{}", hop.address.port());
        page.line(2, &format!("{}{}{}", cell(hop.spec.name, HOST), cell(&port, PORT), hop_words(hop.spec)))?;
    }
    Ok(())
}

fn listener(page: &mut Page<'_>, stage: &Stage, name: &str, what: &str) -> io::Result<()> {
    page.line(2, &format!("{}{}{what}", cell(name, 11), cell(&format!(":{}", stage.listener(name).port()), PORT)))
}

fn domain_of(policy: &DomainPolicy) -> Option<Domain> {
    let pattern = policy.patterns.first()?.to_string();
    Domain::parse(&pattern).ok()
}

fn inbound(policies: &PolicySet, policy: &DomainPolicy) -> String {
    if !policy.hosted {
        return "not hosted here".to_owned();
    }
    let in_force = InForce::usual(policies, policy, clock::timestamp());
    let what = match (&in_force.min_version, in_force.tls.value) {
        (Some(minimum), _) => at_least(minimum.value),
        (None, InboundTls::Required) => "TLS".to_owned(),
        (None, InboundTls::Optional) => return "TLS optional".to_owned(),
    };
    let cipher = Some(in_force.cipher.value).filter(|grade| *grade > CipherGrade::Any);
    let mode = Some(in_force.mode.value).filter(|mode| *mode != Mode::Enforce);
    let parts = [Some(what), cipher.map(|grade| grade.to_string()), mode.map(|mode| format!("mode {}", mode.as_str()))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn outbound(policies: &PolicySet, domain: &Domain) -> String {
    let asker = Asker { at: clock::timestamp(), client: None, sender: &ReversePath::Null };
    let Decision { requirement, on_tls_failure, .. } = decide(policies, Some(domain), &asker);
    let minimum = requirement.min_version.as_ref().map(|minimum| at_least(minimum.value));
    let bounce = (on_tls_failure.value == OnTlsFailure::Bounce).then(|| "bounce".to_owned());
    let parts = [Some(requirement.level().as_str().to_owned()), minimum, bounce];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn at_least(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::Tls1_3 => version.to_string(),
        older => format!("{older} or later"),
    }
}

fn hop_words(hop: &HopSpec) -> String {
    let versions: Vec<&str> = hop.versions.iter().rev().map(|version| version.as_str()).collect();
    let certificate = match hop.certificate {
        Shown::None => return "no STARTTLS".to_owned(),
        Shown::Right => "right certificate".to_owned(),
        Shown::Name(other) => format!("certificate of {other}"),
        Shown::SelfSigned => "self-signed certificate".to_owned(),
    };
    format!("{}, {certificate}", versions.join(" and "))
}

/// A line for each recipient, then what log and metrics say.
pub(super) fn summary(page: &mut Page<'_>, outcome: &Outcome) -> io::Result<()> {
    page.heading("Summary")?;
    page.line(
        2,
        &format!(
            "{FAINT}{}{FAINT:#}",
            row(["", "recipient", "client", "verdict", "next hop", &format!("{}ok", cell("end", END))])
        ),
    )?;
    for (number, played) in (1..).zip(&outcome.played) {
        for leg in &played.legs {
            summary_line(page, number, played, leg)?;
        }
    }
    page.blank()?;
    match &outcome.audit {
        Ok(report) if report.break_count == 0 => {
            let tip: String = report.tip.hash.to_string().chars().take(16).collect();
            let text = format!("{} records, the chain is whole; its end is {tip}…", report.records);
            page.field(2, LABEL, ("audit log", FAINT), (&text, PLAIN))?;
        }
        Ok(report) => {
            let text = format!("the chain is broken in {} places", report.break_count);
            page.field(2, LABEL, ("audit log", FAINT), (&text, BAD))?;
        }
        Err(error) => page.field(2, LABEL, ("audit log", FAINT), (error, BAD))?,
    }
    let decisions = counts(&outcome.metrics, "gatepost_smtpd_policy_decisions_total", "verdict");
    let deliveries = counts(&outcome.metrics, "gatepost_smtp_deliveries_total", "result");
    page.field(2, LABEL, ("decisions", FAINT), (&decisions, PLAIN))?;
    page.field(2, LABEL, ("delivery", FAINT), (&deliveries, PLAIN))?;
    page.blank()?;
    let (good, all) = outcome.score();
    match outcome.is_as_expected() {
        true => page.field(0, 2, ("✓", GOOD), (&format!("All {all} recipients ended as their policies say."), TITLE)),
        false => {
            let text = format!("NOT as expected: {good} of {all} recipients ended as their policies say.");
            page.field(0, 2, ("✗", BAD), (&text, BAD))
        }
    }
}

fn row([number, recipient, client, verdict, hop, end]: [&str; 6]) -> String {
    let cells = [(number, 3), (recipient, 26), (client, 10), (verdict, 13), (hop, 10)];
    cells.iter().map(|(text, columns)| cell(text, *columns)).collect::<String>() + end
}

fn summary_line(page: &mut Page<'_>, number: usize, played: &Played, leg: &PlayedLeg) -> io::Result<()> {
    let client = played.tls().map_or("plaintext", |tls| tls.version.as_str());
    let verdict = leg.inbound.as_ref().and_then(|entry| entry.policy.as_ref());
    let verdict = verdict.map_or("?", |policy| policy.verdict.as_str());
    let last = leg.mended.as_ref().or(leg.end.as_ref());
    let hop = match last {
        Some(entry) if entry.event == "outbound.delivered" => {
            entry.tls.as_ref().map_or("plaintext", |tls| tls.version.as_str())
        }
        _ => "—",
    };
    let (word, _) = if leg.mended.is_some() { ("delivered", FAINT) } else { end_word(leg) };
    let is_good = leg.problems(&played.answers).is_empty();
    let (mark, style) = if is_good { ("✓", GOOD) } else { ("✗ unexpected", BAD) };
    let text = row([&format!("{number:>2}"), leg.leg.to, client, verdict, hop, &cell(word, END)]);
    page.line(2, &format!("{text}{style}{mark}{style:#}"))
}

/// `accept 20, refuse 6`: the counter summed by one of its labels, without what is zero.
fn counts(metrics: &str, name: &str, label: &str) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with(name)) {
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let word = line.split(&format!("{label}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        if let Some(word) = word.filter(|_| value > 0) {
            *sums.entry(word).or_default() += value;
        }
    }
    sums.iter().map(|(word, sum)| format!("{word} {sum}")).collect::<Vec<_>>().join(", ")
}

/// Where everything is, and what to try.
pub(super) fn still_running(
    page: &mut Page<'_>,
    stage: &Stage,
    outcome: &Outcome,
    log: Option<&Path>,
) -> io::Result<()> {
    page.heading("Still running")?;
    if let Some(admin) = stage.running.addresses().admin {
        page.field(2, LABEL, ("dashboard", FAINT), (&format!("http://{admin}/"), TITLE))?;
    }
    if let Some(metrics) = stage.running.addresses().metrics {
        page.field(2, LABEL, ("metrics", FAINT), (&format!("http://{metrics}/metrics (/healthz, /readyz)"), PLAIN))?;
    }
    let folder = stage.path().display().to_string();
    for (label, path) in [("folder", ""), ("policies", "/domains.d"), ("audit log", "/audit"), ("spool", "/spool")] {
        page.field(2, LABEL, (label, FAINT), (&format!("{folder}{path}"), PLAIN))?;
    }
    if let Some(log) = log {
        page.field(2, LABEL, ("log", FAINT), (&log.display().to_string(), PLAIN))?;
    }
    page.heading("To try in another terminal")?;
    if let Some(programs) = program_folder() {
        page.line(2, &format!("export PATH={programs}:$PATH"))?;
    }
    page.line(2, &format!("export GATEPOST_CONFIG={}", stage.main_file().display()))?;
    page.line(2, "gatepost status")?;
    page.line(2, "gatepost queue list")?;
    let legs = || outcome.played.iter().flat_map(|played| &played.legs);
    let waiting = legs().find(|leg| leg.mended.is_none() && end_word(leg).0 == "waits");
    if let Some(id) = waiting.and_then(PlayedLeg::message) {
        page.line(2, &format!("gatepost queue why {id}"))?;
    }
    if let Some(id) = legs().find(|leg| leg.mended.is_some()).and_then(PlayedLeg::message) {
        page.line(2, &format!("gatepost audit trace {id}"))?;
    }
    page.line(2, "gatepost audit verify")?;
    page.line(2, "gatepost selftest")?;
    page.line(2, "gatepost policy explain --from a@partner.example \\")?;
    page.line(4, "--to teller@bank.example --plaintext")?;
    page.blank()?;
    let mx = stage.listener("mx");
    page.line(2, &format!("swaks --server {mx} --to ward@clinic.example"))?;
    page.line(2, &format!("swaks --server {mx} --to ward@clinic.example --tls"))?;
    page.line(2, &format!("openssl s_client -starttls smtp -connect {mx} \\"))?;
    page.line(4, &format!("{OLDEST} \\"))?;
    page.line(4, &format!("-servername {HOSTNAME} \\"))?;
    page.line(4, &format!("-CAfile {}", stage.authority_file().display()))?;
    page.blank()?;
    page.text(0, "Ctrl-C stops the relay and removes the folder.")
}

/// The folder of this program, if a shell would not find it there.
fn program_folder() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_known = std::env::split_paths(&path).any(|known| known == folder);
    (!is_known).then(|| folder.display().to_string())
}
