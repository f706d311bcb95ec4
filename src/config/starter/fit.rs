//! The templates changed to what the relay is for, line by line, so that their comments stay.

use std::fmt::Display;
use std::net::IpAddr;

use crate::model::tls::ProtocolVersion;
use crate::policy::settings::Mode;

use super::{CASES, DOMAIN, Duty, MAIN, Plan};

/// Where the comments of the templates begin.
const COMMENT_COLUMN: usize = 40;
/// Who asks in a policy case that names nobody.
const STRANGER: &str = "192.0.2.1";
/// Addresses of nobody (RFC 5737, RFC 3849), in case the one above is trusted.
const STRANGERS: [&str; 4] = [STRANGER, "198.51.100.1", "203.0.113.1", "2001:db8::1"];

pub(super) fn fit(name: &str, template: &str, plan: &Plan) -> String {
    match name {
        MAIN => main_file(template, plan),
        DOMAIN => domain_file(template, plan),
        CASES => cases(template, plan),
        _ => template.to_owned(),
    }
}

fn main_file(template: &str, plan: &Plan) -> String {
    let mut text = template.to_owned();
    match plan.duty {
        Duty::Mx => {}
        Duty::Both => text = with_line(&text, "# relay = false", "relay = true"),
        Duty::SmartHost => {
            text =
                text.replacen("# mail for hosted domains, from anyone", "# mail from your own hosts, to anywhere", 1);
            text = with_line(&text, "name = \"mx\"", "name = \"relay\"");
            text = with_line(&text, "role = \"mx\"", "role = \"smarthost\"");
        }
    }
    if !plan.bind.is_empty() {
        text = with_line(&text, "bind = [", &format!("bind = {}", list(&plan.bind)));
    }
    if !plan.trusted.is_empty() {
        text = with_line(&text, "trusted = []", &format!("trusted = {}", list(&plan.trusted)));
    }
    if let Some((chain, key)) = &plan.certificate {
        text = with_line(&text, "chain = \"tls/server.pem\"", &format!("chain = {}", quoted(chain.display())));
        text = with_line(&text, "key = \"tls/server.key\"", &format!("key = {}", quoted(key.display())));
    }
    text
}

fn domain_file(template: &str, plan: &Plan) -> String {
    let mut text = template.to_owned();
    if !plan.domains.is_empty() {
        text = with_line(&text, "domains = [", &format!("domains = {}", list(&plan.domains)));
    }
    if !plan.mailboxes.is_empty() {
        text = with_line(&text, "hosts = [", &format!("hosts = {}", list(&plan.mailboxes)));
        text = text.replacen("keeps the mailboxes: change this", "keeps the mailboxes", 1);
    }
    if let Some((version, mode)) = plan.floor {
        text = with_line(&text, "tls = \"optional\"", "tls = \"required\"");
        text = with_line(
            &text,
            "# min_version = \"TLSv1.2\"               # \"SSLv3\"",
            &format!("min_version = {}", quoted(version)),
        );
        text = with_line(&text, "# mode = \"enforce\"", &format!("mode = {}", quoted(mode.as_str())));
    }
    if !plan.duty.is_mx() {
        for start in ["hosted = true", "recipients = {", "[route]", "hosts = [", "tls = \"opportunistic\""] {
            text = without_line(&text, start);
        }
    }
    text
}

fn cases(template: &str, plan: &Plan) -> String {
    let is_below = |(version, _): (ProtocolVersion, Mode)| version > ProtocolVersion::Tls1_2;
    let raised = match plan.floor.is_some_and(is_below) {
        true => template.replacen("TLS 1.2", "TLS 1.3", 1).replacen("\"TLSv1.2\"", "\"TLSv1.3\"", 1),
        false => template.to_owned(),
    };
    let template = raised.as_str();
    if !plan.duty.is_smart_host() {
        return template.to_owned();
    }
    let mut blocks: Vec<String> = template.split("\n\n").map(str::to_owned).collect();
    let is_stranger =
        |ip: &&&str| ip.parse::<IpAddr>().is_ok_and(|ip| !plan.trusted.iter().any(|net| net.contains(&ip)));
    let stranger = STRANGERS.iter().find(is_stranger).unwrap_or(&STRANGER);
    for block in blocks.iter_mut().filter(|block| block.starts_with("[[case]]")) {
        block.push_str(&format!("\nclient = \"{stranger}\""));
    }
    if !plan.duty.is_mx() {
        blocks.retain(|block| !block.contains("anybody reaches us"));
    }
    let own = plan.trusted.first().map(|network| {
        format!(
            "[[case]]\nname = \"our own hosts reach anybody\"\nfrom = \"someone@{}\"\n\
             to = \"someone@elsewhere.invalid\"\ntls = \"TLSv1.3\"\nclient = \"{}\"\nexpect = \"accept\"",
            plan.first_domain(),
            network.addr()
        )
    });
    // Behind the words on top.
    blocks.splice(1..1, own);
    blocks.join("\n\n")
}

/// The first line that starts so, with another key and value before its comment.
fn with_line(text: &str, start: &str, line: &str) -> String {
    changed(text, start, |old| match old.split_at_checked(COMMENT_COLUMN) {
        Some((_, comment)) if comment.starts_with('#') => {
            format!("{line:<width$} {comment}", width = COMMENT_COLUMN - 1)
        }
        _ => line.to_owned(),
    })
}

fn without_line(text: &str, start: &str) -> String {
    changed(text, start, |old| format!("# {old}"))
}

fn changed(text: &str, start: &str, change: impl Fn(&str) -> String) -> String {
    let mut is_done = false;
    let line = |old: &str| {
        let line = if !is_done && old.starts_with(start) { change(old) } else { return old.to_owned() };
        is_done = true;
        line
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn quoted(value: impl Display) -> String {
    format!("\"{}\"", value.to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(values: &[impl Display]) -> String {
    format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
}
