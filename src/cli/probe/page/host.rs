//! One host of the page.

use crate::cli::human::{labelled, labelled_whole};
use crate::cli::output::{BOLD, DIM, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::dns::Security;
use crate::model::human::{cut, shown, wrap};
use crate::model::tls::{ChainTrust, PeerCertificate, TlsFacts};
use crate::policy::published::Dane;
use crate::probe::findings::key_kind;
use crate::probe::host::{HostReport, HostVerdict};
use crate::probe::judge::Met;
use crate::probe::observe::{AddressSeen, End, Secured, VersionResult, VersionSeen};
use crate::tls::client::Peer;
use crate::tls::inspect::inspect;

use super::super::Report;
use super::{level_in_words, met_in_words};

/// Names of a certificate and lines of EHLO that are shown; the rest is in the JSON.
const NAMES_MAX: usize = 6;
const RECORDS_MAX: usize = 10;
/// Octets of a TLSA record's data that are shown.
const TLSA_DATA_BYTES_MAX: usize = 16;

pub(super) fn section(report: &Report, host: &HostReport) -> Vec<String> {
    let preference = host.found.preference.map(|preference| format!(", preference {preference}")).unwrap_or_default();
    let mut section =
        vec![format!("{BOLD}{}{BOLD:#}{preference}, port {}", cut(&host.found.shown(), 60), host.found.port)];
    section.extend(labelled("found", &found(host)));
    for seen in &host.seen.addresses {
        section.extend(address(seen));
    }
    if host.seen.addresses_left_out > 0 {
        let text = format!("{} more, not tried", host.seen.addresses_left_out);
        section.extend(labelled("", &text));
    }
    if let Some(seen) = host.first_answering() {
        section.extend(greeting(seen));
    }
    section.extend(versions(&host.seen.versions));
    if let Some(secured) = host.seen.secured() {
        section.extend(certificate(("shows", &secured.peer), host.chain));
        if let Some(other) = &host.other {
            let text = format!("another one, to those who take {} alone:", key_kind(&other.peer));
            section.extend(labelled("shows", &text));
            section.extend(certificate(("", &other.peer), Some(other.chain)));
        }
    }
    if host.seen.is_unreachable() {
        return section;
    }
    section.extend(dane(host, report.dnssec_is_off));
    if let Some(lists_it) = host.sts_lists_it {
        section
            .extend(labelled("MTA-STS", if lists_it { "the policy lists it" } else { "the policy does not list it" }));
    }
    section.extend(meets(host));
    section.extend(host.policy.iter().flat_map(policy));
    section.extend(walk(report, host));
    section
}

fn found(host: &HostReport) -> String {
    let addresses = match host.found.address_security {
        Security::Secure => "addresses that DNSSEC secures",
        Security::Insecure => "addresses that are not signed",
        Security::Unknown if host.found.name.is_none() => "the address itself",
        Security::Unknown => "addresses that nobody validated",
    };
    let name = if host.found.name_is_trusted { "" } else { "; its name may be forged, as the MX records may" };
    let alias = host.found.alias.as_ref().map(|alias| format!("; an alias of {}", alias.end)).unwrap_or_default();
    format!("{addresses}{alias}{name}")
}

fn address(seen: &AddressSeen) -> Vec<String> {
    let text = match &seen.end {
        End::Tls(secured) => {
            format!("{}: {}{}", seen.address.ip(), session(&secured.peer.facts), by_way(seen, secured))
        }
        End::Plaintext(trouble) => format!("{}: plaintext only: {}", seen.address.ip(), trouble.in_words()),
        End::Nothing(trouble) => format!("{}: {}", seen.address.ip(), trouble.in_words()),
    };
    labelled("address", &text)
}

fn session(facts: &TlsFacts) -> String {
    let group = facts.group.as_ref().map(|group| format!(", {group}")).unwrap_or_default();
    format!("STARTTLS, {facts}{group}")
}

/// How a delivery gets there, where that is not the usual way.
fn by_way(seen: &AddressSeen, secured: &Secured) -> String {
    let Some((_, first)) = seen.tries.first() else { return String::new() };
    let library = match secured.way.stack {
        crate::model::tls::Stack::Rustls => "rustls",
        crate::model::tls::Stack::Openssl => "OpenSSL",
    };
    let sni = if secured.way.sni { "" } else { " and no server name" };
    format!(", by {library}{sni} after: {}", first.in_words())
}

fn greeting(seen: &AddressSeen) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(greeting) = &seen.greeting {
        out.extend(labelled("greeting", &shown(&greeting.to_string())));
    }
    let keywords = |keywords: &[String]| match keywords {
        [] => "nothing".to_owned(),
        keywords => keywords.join(", "),
    };
    if let Some(hello) = &seen.hello {
        out.extend(labelled("offers", &keywords(&hello.keywords)));
    }
    if let Some(secured) = seen.secured() {
        let in_clear = seen.hello.as_ref().map(|hello| hello.keywords.as_slice()).unwrap_or_default();
        let new = secured.hello.keywords.iter().filter(|keyword| !in_clear.contains(keyword)).cloned();
        let gone = in_clear.iter().filter(|keyword| !secured.hello.keywords.contains(keyword));
        let gone = gone.filter(|keyword| !keyword.eq_ignore_ascii_case("STARTTLS"));
        let new: Vec<String> = new.chain(gone.map(|keyword| format!("no {keyword}"))).collect();
        let requiretls = if secured.hello.capabilities.requiretls { "" } else { "; no REQUIRETLS" };
        let text = if new.is_empty() { "the same".to_owned() } else { new.join(", ") };
        out.extend(labelled("under TLS", &format!("{text}{requiretls}")));
    }
    out
}

fn versions(seen: &[VersionSeen]) -> Vec<String> {
    if seen.is_empty() {
        return Vec::new();
    }
    let columns = [
        Column::left("VERSION").at_least(8),
        Column::left("CIPHER").shrinking(),
        Column::left("GRADE"),
        Column::left("KEY EXCHANGE"),
    ];
    let row = |seen: &VersionSeen| -> Vec<Cell> {
        let version = seen.version.to_string();
        match &seen.result {
            VersionResult::Spoken(facts) => {
                let group = facts.group.clone().unwrap_or_else(|| "by the key".to_owned());
                vec![version.into(), facts.cipher_openssl.clone().into(), facts.grade().as_str().into(), group.into()]
            }
            VersionResult::Refused(failure) => {
                let alert = failure.kind.alert().unwrap_or_else(|| failure.kind.as_str().to_owned());
                vec![version.into(), Cell::styled(format!("refused: {alert}"), DIM), "".into(), "".into()]
            }
            VersionResult::NotBuilt => {
                vec![version.into(), Cell::styled("not asked: this build has it not", DIM), "".into(), "".into()]
            }
            VersionResult::NotAsked(trouble) => {
                vec![version.into(), format!("not asked: {}", trouble.in_words()).into(), "".into(), "".into()]
            }
        }
    };
    lines(&columns, &seen.iter().map(row).collect::<Vec<_>>(), WIDTH_COLUMNS)
}

fn certificate((label, peer): (&str, &Peer), chain: Option<ChainTrust>) -> Vec<String> {
    let (Some(facts), Some(leaf)) = (&peer.facts.peer, peer.chain.first()) else {
        return labelled(label, "no certificate");
    };
    let mut out = labelled(label, &names(facts));
    if let Some(seen) = inspect(leaf) {
        let issuer = if seen.is_self_issued { "itself".to_owned() } else { seen.issuer };
        out.extend(labelled("issued by", &format!("{issuer}; {}", chain_in_words(chain))));
        let dates = format!("{} to {}, key {}", seen.not_before.day(), seen.not_after.day(), seen.key);
        out.extend(labelled("valid", &format!("{dates}, {} in the chain", peer.chain.len())));
    }
    out.push(labelled_whole("cert", &format!("sha256:{}", facts.sha256)));
    out.push(labelled_whole("key", &format!("sha256:{}", facts.key_sha256)));
    out
}

const fn chain_in_words(chain: Option<ChainTrust>) -> &'static str {
    match chain {
        Some(ChainTrust::Trusted) => "it leads to a trusted root",
        Some(ChainTrust::Expired) => "a certificate of the chain is expired or not yet valid",
        Some(ChainTrust::NotTrusted) => "it leads to no trusted root",
        Some(ChainTrust::Invalid) => "it cannot be read",
        Some(ChainTrust::Unknown) | None => "nobody looked where it leads",
    }
}

fn names(facts: &PeerCertificate) -> String {
    let omitted = usize::try_from(facts.names_omitted).unwrap_or(usize::MAX);
    let more = facts.names.len().saturating_sub(NAMES_MAX).saturating_add(omitted);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names: Vec<&str> = facts.names.iter().take(NAMES_MAX).map(String::as_str).collect();
    let names = if names.is_empty() { "no DNS name".to_owned() } else { names.join(", ") };
    format!("a certificate for {names}{more}; subject {}", facts.subject)
}

fn dane(host: &HostReport, dnssec_is_off: bool) -> Vec<String> {
    let base = host.dane.base().map(|base| format!("_{}._tcp.{base}", host.found.port)).unwrap_or_default();
    let mut out = match &host.dane.0 {
        Ok(Dane::Inapplicable) => labelled("DANE", not_asked(host, dnssec_is_off)),
        Ok(Dane::Absent) => labelled("DANE", "no signed TLSA record"),
        Err(error) => labelled("DANE", &format!("the records cannot be looked up: {error}")),
        Ok(Dane::Unusable(_)) => labelled("DANE", &format!("no record of {base} can be used")),
        Ok(Dane::Usable(_)) => labelled("DANE", &format!("the records of {base}")),
    };
    for (judged, matches) in host.dane.judged().iter().zip(&host.tlsa_matches).take(RECORDS_MAX) {
        let matches = match matches {
            Some(true) => ", matches",
            Some(false) => ", matches nothing that was shown",
            None => "",
        };
        let text = format!("{}: {}{matches}", judged.record.shortened(TLSA_DATA_BYTES_MAX), judged.standing);
        out.extend(labelled("", &text));
    }
    out
}

fn not_asked(host: &HostReport, dnssec_is_off: bool) -> &'static str {
    match host.found.address_security {
        _ if host.found.name.is_none() => "not asked: an address has no TLSA records",
        Security::Unknown if dnssec_is_off => "not asked: DNSSEC is off here ([dns] dnssec)",
        Security::Unknown => "not asked: nobody validated the addresses",
        Security::Insecure | Security::Secure => "not asked: the addresses are not signed",
    }
}

fn meets(host: &HostReport) -> Vec<String> {
    let labels = std::iter::once("meets").chain(std::iter::repeat(""));
    let rows = host.meets.rows().into_iter().zip(labels);
    let told = |(level, met): (&str, &Met)| match level {
        "verify_mx" if met.is_yes() && !host.name_suffices() => {
            "yes, but the name is not signed: not enough for tls = \"verify\"".to_owned()
        }
        _ => met_in_words(met),
    };
    let line = |row: (&'static str, &Met)| format!("{}: {}", level_in_words(row.0), told(row));
    rows.flat_map(|(row, label)| labelled(label, &line(row))).collect()
}

fn policy(policy: &HostVerdict) -> Vec<String> {
    let mut out = match &policy.requirement {
        Ok(requirement) => {
            let rows = requirement.because().into_iter();
            let rows: Vec<String> = rows.map(|row| format!("{} = {} ({})", row.key, row.value, row.source)).collect();
            labelled("policy", &rows.join(", "))
        }
        Err(unmet) => labelled("policy", &format!("nothing would do ({})", unmet.source)),
    };
    let verdict = match &policy.verdict {
        Ok(()) => "mail would be sent".to_owned(),
        Err((reason, detail)) => format!("no mail would be sent ({reason}): {detail}"),
    };
    let by = policy.rule.as_ref().map(|source| format!("; by {source}")).unwrap_or_default();
    out.extend(labelled("", &format!("{verdict}{by}")));
    out
}

fn walk(report: &Report, host: &HostReport) -> Vec<String> {
    let Some(walked) = &host.walked else { return Vec::new() };
    let mut out = Vec::new();
    for (command, reply) in &walked.said {
        let text = format!("{command}: {}", shown(&reply.to_string()));
        out.extend(wrap(&text, WIDTH_COLUMNS - 10).into_iter().flat_map(|line| labelled("walk", &line)));
    }
    match (&walked.verdict.met, &walked.trouble) {
        (_, Some(trouble)) => out.extend(labelled("walk", &format!("broke off: {}", trouble.in_words()))),
        (Err((reason, detail)), None) => {
            let by = if report.decision.is_some() { "our policy" } else { "what is built in" };
            out.extend(labelled("walk", &format!("not begun: {by} sends no mail there ({reason}): {detail}")));
        }
        (Ok(()), None) => {}
    }
    out
}
