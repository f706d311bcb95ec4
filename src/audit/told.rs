//! What a record tells people: labels with texts.

use serde_json::Value;

use crate::model::human::{bytes, count, moment};

/// What a record tells, each with its label.
pub fn facts(record: &Value) -> Vec<(&'static str, String)> {
    let known = [
        ("from", envelope(record)),
        ("client", client(record)),
        ("host", host(record)),
        ("tls", tls(record)),
        ("policy", policy(record)),
        ("needs", requirement(record)),
        ("reason", text(record, "/reason").map(str::to_owned)),
        ("reply", text(record, "/reply").map(str::to_owned)),
        ("goes on", text(record, "/rerouted_to").map(|route| format!("by route {route}"))),
        ("next", text(record, "/next_attempt").map(|time| format!("{} UTC", moment(time)))),
        ("detail", text(record, "/detail").map(str::to_owned)),
        ("count", number(record, "/count").map(|number| number.to_string())),
        ("part of", text(record, "/part_of").map(str::to_owned)),
        ("omitted", number(record, "/omitted").map(|number| count(number, "value"))),
    ];
    known.into_iter().filter_map(|(label, text)| Some((label, text?))).collect()
}

fn envelope(record: &Value) -> Option<String> {
    let from = match text(record, "/from")? {
        "" => "<>",
        from => from,
    };
    let to = list(record, "/to");
    let to = if to.is_empty() { String::new() } else { format!(" to {}", to.join(", ")) };
    let size = number(record, "/size").map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
    Some(format!("{from}{to}{size}"))
}

/// Who was at the other end; a delivery repeats who brought the message, and the record of that says it already.
fn client(record: &Value) -> Option<String> {
    if is_delivery(record) {
        return None;
    }
    let ip = text(record, "/client/ip")?;
    let helo = text(record, "/client/helo").map(|helo| format!(", HELO {helo}")).unwrap_or_default();
    let listener = text(record, "/listener").map(|name| format!(", listener {name}")).unwrap_or_default();
    Some(format!("{ip} port {}{helo}{listener}", number(record, "/client/port").unwrap_or(0)))
}

fn is_delivery(record: &Value) -> bool {
    number(record, "/attempt").is_some()
}

fn host(record: &Value) -> Option<String> {
    let attempt = number(record, "/attempt")?;
    let mut parts = Vec::new();
    parts.extend(text(record, "/route").map(|route| format!("route {route}")));
    parts.extend(text(record, "/mx").map(str::to_owned));
    parts.extend(text(record, "/remote").map(str::to_owned));
    parts.push(format!("attempt {attempt}"));
    parts.extend(number(record, "/duration_ms").map(|millis| format!("{millis} ms")));
    parts.extend(text(record, "/dnssec").map(|state| format!("DNSSEC {state}")));
    Some(parts.join(", "))
}

/// `None` for records of which TLS says nothing, such as those of an operator's act.
fn tls(record: &Value) -> Option<String> {
    let other_end = if is_delivery(record) { "/remote" } else { "/client/ip" };
    let is_session = text(record, other_end).is_some();
    let Some(version) = text(record, "/tls/version") else {
        return is_session.then(|| without_tls(record).to_owned());
    };
    let mut parts = vec![format!("{version} {}", text(record, "/tls/cipher").unwrap_or_default())];
    parts.extend(text(record, "/tls/group").map(str::to_owned));
    if let Some(verified) = text(record, "/tls/peer/verified") {
        let subject = text(record, "/tls/peer/subject").unwrap_or_default();
        parts.push(match verified {
            "none" => format!("certificate {subject} not verified"),
            verified => format!("certificate {subject} verified by {verified}"),
        });
    }
    parts.extend(text(record, "/tls/peer/error").map(str::to_owned));
    Some(parts.join(", "))
}

/// What `tls: null` means in this record: only what was said over a session was in plaintext.
fn without_tls(record: &Value) -> &'static str {
    match text(record, "/event").unwrap_or_default() {
        "inbound.handshake_failed" => "none, the handshake failed",
        // With a reason nothing of the message was sent, unless the host answered to it.
        "outbound.attempt" | "outbound.deferred" | "outbound.bounced" | "outbound.rerouted"
            if text(record, "/reason").is_some() && text(record, "/reply").is_none() =>
        {
            "none, nothing was sent"
        }
        _ => "none, in plaintext",
    }
}

fn policy(record: &Value) -> Option<String> {
    let verdict = text(record, "/policy/verdict")?;
    let stage = text(record, "/policy/stage").unwrap_or_default();
    let rule = text(record, "/policy/rule").unwrap_or_default();
    let reason = text(record, "/policy/reason").map(|reason| format!(", {reason}")).unwrap_or_default();
    let asks = asked(record, "/policy");
    Some(format!("{verdict} at {stage} by {rule}{reason}; asks for {asks}"))
}

fn requirement(record: &Value) -> Option<String> {
    text(record, "/requirement/tls")?;
    let because = list(record, "/requirement/because").join("; ");
    let because = if because.is_empty() { because } else { format!(", because {because}") };
    Some(format!("{}{because}", asked(record, "/requirement")))
}

/// `tls required, min_version TLSv1.2, cipher any`.
fn asked(record: &Value, table: &str) -> String {
    let keys = ["tls", "min_version", "cipher"];
    let written = keys.iter().filter_map(|key| Some(format!("{key} {}", text(record, &format!("{table}/{key}"))?)));
    written.collect::<Vec<_>>().join(", ")
}

/// A text of the record.
pub fn text<'a>(record: &'a Value, pointer: &str) -> Option<&'a str> {
    record.pointer(pointer)?.as_str()
}

/// A number of the record.
pub fn number(record: &Value, pointer: &str) -> Option<u64> {
    record.pointer(pointer)?.as_u64()
}

/// A list of texts of the record.
pub fn list<'a>(record: &'a Value, pointer: &str) -> Vec<&'a str> {
    record.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
