//! The plan as TOML: the main file and one file for each group of domains, with the lines of Postfix in comments.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::cipher::CipherGrade;
use crate::policy::settings::OutboundTls;

use super::keys::{Keys, Published};
use super::listeners::role_word;
use super::plan::{Delivery, DomainFile, Inbound, Line, Listener, Plan, Recipients, Route};

/// From a domain file to the folder of the main file.
const UP: &str = "../";

/// Where spool, log and socket are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paths {
    System,
    /// In the folder of the configuration.
    Beside,
}

/// A text as TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// A line with its origin behind it.
fn key(out: &mut String, key: &str, value: &str, from: &str) {
    let line = format!("{key} = {value}");
    match from {
        "" => _ = writeln!(out, "{line}"),
        from => _ = writeln!(out, "{line:39} # {from}"),
    }
}

/// `gatepost.toml`.
pub(super) fn main_file(plan: &Plan, paths: Paths) -> String {
    let mut out =
        String::from("# Made by `gatepost import postfix`. What stands behind a # is where it comes from.\n\n");
    key(&mut out, "hostname", &quoted(plan.hostname.as_str()), "myhostname");
    if let Some(postmaster) = &plan.postmaster {
        key(&mut out, "postmaster", &quoted(postmaster), "postmaster@$myorigin");
    }
    key(&mut out, "domains", "\"domains.d\"", "");
    let [spool, audit_key, audit, socket] = match paths {
        Paths::System => [
            "/var/lib/gatepost",
            "/var/lib/gatepost/audit.key",
            "/var/log/gatepost/audit",
            "/run/gatepost/control.sock",
        ],
        Paths::Beside => ["spool", "audit.key", "audit", "control.sock"],
    };
    _ = writeln!(out, "\n[spool]");
    key(&mut out, "path", &quoted(spool), "");
    lines(&mut out, &plan.spool);
    plan.listeners.iter().for_each(|one| listener(&mut out, one));
    for pair in &plan.certificates {
        _ = writeln!(out, "\n[[certificate]]");
        key(&mut out, "chain", &quoted(&pair.chain), "");
        key(&mut out, "key", &quoted(&pair.key), "");
    }
    if let Some(pair) = &plan.legacy_certificate {
        _ = writeln!(out, "\n[[certificate]]");
        key(&mut out, "chain", &quoted(&pair.chain), "");
        key(&mut out, "key", &quoted(&pair.key), "");
        key(&mut out, "stack", "\"legacy\"", "");
    }
    inbound(&mut out, &plan.inbound);
    outbound_default(&mut out, &plan.outbound);
    if !plan.trusted.is_empty() {
        let networks: Vec<String> = plan.trusted.iter().map(ToString::to_string).collect();
        _ = writeln!(out, "\n[relay]");
        key(&mut out, "trusted", &list(&networks), &plan.trusted_from);
    }
    if plan.needs_dnssec {
        _ = writeln!(out, "\n[dns]");
        key(&mut out, "dnssec", "\"validate\"", "smtp_dns_support_level = dnssec");
    }
    if !plan.limits.is_empty() {
        _ = writeln!(out, "\n[limits]");
        lines(&mut out, &plan.limits);
    }
    _ = writeln!(out, "\n[audit]");
    key(&mut out, "path", &quoted(audit), "");
    key(&mut out, "key", &quoted(audit_key), "");
    _ = writeln!(out, "\n[admin]");
    key(&mut out, "socket", &quoted(socket), "");
    out
}

fn lines(out: &mut String, lines: &[Line]) {
    lines.iter().for_each(|line| key(out, line.key, &line.value, &line.from));
}

fn listener(out: &mut String, listener: &Listener) {
    _ = writeln!(out, "\n[[listener]]");
    key(out, "name", &quoted(&listener.name), &listener.from);
    key(out, "bind", &list(&listener.bind), "");
    key(out, "role", &quoted(role_word(listener.role)), "");
    key(out, "tls", &quoted(listener.tls), "");
    if let Some(offer) = listener.offer {
        key(out, "offer", &quoted(offer.as_str()), "");
    }
    if listener.request_client_certificate {
        key(out, "request_client_certificate", "true", "");
    }
    if let Some(client_ca) = &listener.client_ca {
        key(out, "client_ca", &quoted(client_ca), "smtpd_tls_CAfile");
    }
    if listener.relay {
        key(out, "relay", "true", "permit_mynetworks");
    }
    if let Some(version) = listener.min_version {
        key(out, "min_version", &quoted(version.as_str()), "");
    }
    if listener.cipher != CipherGrade::Any {
        key(out, "cipher", &quoted(listener.cipher.as_str()), "");
    }
}

fn inbound(out: &mut String, inbound: &Inbound) {
    _ = writeln!(out, "\n[default.inbound]");
    let level = if inbound.is_required { "\"required\"" } else { "\"optional\"" };
    key(out, "tls", level, &inbound.from);
    if let Some(version) = inbound.min_version {
        key(out, "min_version", &quoted(version.as_str()), "smtpd_tls_mandatory_protocols");
    }
    if inbound.cipher != CipherGrade::Any {
        key(out, "cipher", &quoted(inbound.cipher.as_str()), "smtpd_tls_mandatory_ciphers");
    }
    if inbound.client_certificate {
        key(out, "client_certificate", "\"verified\"", "smtpd_tls_req_ccert");
    }
}

fn outbound_default(out: &mut String, delivery: &Delivery) {
    _ = writeln!(out, "\n[default.outbound]");
    if delivery.route.is_none() {
        tls(out, &delivery.keys, "");
    }
    pace(out, delivery);
    published(out, delivery.keys.published, Published::Usual);
    if let Some(route) = &delivery.route {
        _ = writeln!(out, "\n[default.route]");
        route_keys(out, route, &delivery.keys, "");
    }
}

/// A domain file.
pub(super) fn domain_file(file: &DomainFile, rest: &Delivery) -> String {
    let mut out = String::from("# Made by `gatepost import postfix`.\n\ndomains = [\n");
    for (pattern, from) in &file.domains {
        let item = format!("    {},", quoted(&pattern.to_string()));
        match from.is_empty() {
            true => _ = writeln!(out, "{item}"),
            false => _ = writeln!(out, "{item:39} # {}", joined(from)),
        }
    }
    out.push_str("]\n");
    out.push_str(&body(&file.hosted, &file.name, &file.delivery, Some(rest.keys.published)));
    out
}

fn joined(places: &BTreeSet<String>) -> String {
    places.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The same text for domains that can share a file. Whom they have may differ where each address is written whole.
pub(super) fn sameness(hosted: &Option<Recipients>, delivery: &Delivery) -> String {
    let bare = match hosted {
        Some(Recipients::Listed(names)) => {
            names.iter().filter(|name| !name.contains('@')).cloned().collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    format!("{}{bare}", body(hosted, "", delivery, None))
}

/// `over` is what the default says of what is published; `None` writes it in any case.
fn body(hosted: &Option<Recipients>, name: &str, delivery: &Delivery, over: Option<Published>) -> String {
    let mut out = String::new();
    match hosted {
        None => {}
        Some(Recipients::Any) => out.push_str("hosted = true\nrecipients = \"any\"\n"),
        Some(Recipients::Listed(_)) => {
            _ = writeln!(out, "hosted = true\nrecipients = {{ file = {} }}", quoted(&recipients_path(name)));
        }
    }
    if let Some(route) = &delivery.route {
        out.push_str("\n[route]\n");
        route_keys(&mut out, route, &delivery.keys, UP);
    }
    let mut outbound = String::new();
    if delivery.route.is_none() {
        tls(&mut outbound, &delivery.keys, UP);
    }
    pace(&mut outbound, delivery);
    match over {
        // What the default requires does not reach a route of the file.
        Some(_) if delivery.route.is_some() && delivery.requires_dane() => outbound.push_str("dane = \"required\"\n"),
        Some(over) => published(&mut outbound, delivery.keys.published, over),
        None => _ = writeln!(outbound, "{:?}", delivery.keys.published),
    }
    if !outbound.is_empty() {
        out.push_str("\n[outbound]\n");
        out.push_str(&outbound);
    }
    out
}

/// Beside the domain files, as they name it.
pub(super) fn recipients_path(name: &str) -> String {
    format!("{name}.recipients.txt")
}

/// `up` leads from the file to the folder that paths are relative to.
fn route_keys(out: &mut String, route: &Route, keys: &Keys, up: &str) {
    key(out, "hosts", &list(&route.hosts), "");
    tls(out, keys, up);
    if let Some(pair) = route.client_certificate.as_ref().filter(|_| keys.tls != OutboundTls::Off) {
        let value = format!("{{ chain = {}, key = {} }}", quoted(&from(up, &pair.chain)), quoted(&from(up, &pair.key)));
        key(out, "client_certificate", &value, "");
    }
    if let Some(source) = route.source {
        key(out, "source", &quoted(&source.to_string()), "smtp_bind_address");
    }
    if let Some(ehlo) = &route.ehlo {
        key(out, "ehlo", &quoted(ehlo.as_str()), "smtp_helo_name");
    }
    if let Some(ip) = route.ip {
        key(out, "ip", &quoted(ip), "inet_protocols");
    }
}

/// A path as a file names it that is one folder further down.
fn from(up: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{up}{path}") }
}

fn tls(out: &mut String, keys: &Keys, up: &str) {
    key(out, "tls", &quoted(keys.tls.as_str()), "");
    if let Some(version) = keys.min_version {
        key(out, "min_version", &quoted(version.as_str()), "");
    }
    if keys.cipher != CipherGrade::Any {
        key(out, "cipher", &quoted(keys.cipher.as_str()), "");
    }
    if !keys.names.is_empty() {
        key(out, "match", &list(&keys.names), "");
    }
    if !keys.fingerprints.is_empty() {
        key(out, "fingerprints", &list(&keys.fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>()), "");
    }
    if !keys.ca.is_empty() {
        key(out, "ca", &list(&keys.ca.iter().map(|file| from(up, file)).collect::<Vec<_>>()), "");
    }
}

/// What differs from the level below, which is the default, or what is built in.
fn published(out: &mut String, own: Published, over: Published) {
    let lines = match (own, over) {
        (Published::Off, Published::Off) | (Published::DaneRequired, Published::DaneRequired) => "",
        (Published::Off, _) => "dane = \"off\"\nmta_sts = \"off\"\n",
        (Published::Usual | Published::Dane, Published::DaneRequired) => "dane = \"auto\"\n",
        (Published::Usual, _) | (Published::Dane, Published::Usual | Published::Dane) => "",
        (Published::Dane, Published::Off) => "dane = \"auto\"\nmta_sts = \"auto\"\n",
        (Published::DaneRequired, Published::Off) => "dane = \"required\"\nmta_sts = \"auto\"\n",
        (Published::DaneRequired, _) => "dane = \"required\"\n",
    };
    out.push_str(lines);
}

fn pace(out: &mut String, delivery: &Delivery) {
    if let Some(concurrency) = delivery.concurrency {
        key(out, "concurrency", &concurrency.to_string(), "");
    }
    if let Some(rate) = &delivery.rate {
        key(out, "rate", &quoted(rate), "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::DomainPattern;
    use crate::model::tls::ProtocolVersion;

    #[test]
    fn texts_are_quoted_as_toml_has_them() {
        let text = "a\"b\\c\td\u{7f}é";
        let read: toml::Table = format!("x = {}", quoted(text)).parse().unwrap();
        assert_eq!(read["x"].as_str(), Some(text));
    }

    #[test]
    fn a_domain_file_says_where_each_name_comes_from() {
        let route = Route {
            hosts: vec!["in.bank.example:587".into()],
            source: None,
            ehlo: None,
            ip: Some("v4"),
            client_certificate: None,
        };
        let keys = Keys {
            min_version: Some(ProtocolVersion::Tls1_2),
            names: vec!["mx".into()],
            ..Keys::plain(OutboundTls::Verify)
        };
        let delivery = Delivery { route: Some(route), ..Delivery::by_mx(keys) };
        let places = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect();
        let domains = vec![
            (DomainPattern::parse("bank.example").unwrap(), places(&["main.cf:3", "transport:1"])),
            (DomainPattern::parse("*.bank.example").unwrap(), places(&[])),
        ];
        let file = DomainFile { name: "bank.example".into(), domains, hosted: Some(Recipients::Any), delivery };
        let rest = Delivery::by_mx(Keys::plain(OutboundTls::Off));
        let text = domain_file(&file, &rest);
        assert!(text.contains("    \"bank.example\",                     # main.cf:3, transport:1\n"), "{text}");
        let behind = text.split_once("]\n").unwrap().1;
        assert_eq!(
            behind,
            "hosted = true\nrecipients = \"any\"\n\n[route]\nhosts = [\"in.bank.example:587\"]\ntls = \"verify\"\n\
             min_version = \"TLSv1.2\"\nmatch = [\"mx\"]\nip = \"v4\"                               # inet_protocols\n\
"
        );
        let dane = Delivery::by_mx(Keys { published: Published::Dane, ..Keys::plain(OutboundTls::Opportunistic) });
        let file = DomainFile { hosted: None, delivery: dane, ..file };
        assert!(domain_file(&file, &rest).ends_with("\ndane = \"auto\"\nmta_sts = \"auto\"\n"));
    }
}
