//! The records of one message as a timeline for people.

use serde_json::Value;

use crate::cli::human::labelled;
use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD};
use crate::model::human::{bytes, count, moment, shown};
use crate::model::id::MessageId;

/// `subject` says of what the id is. Ends with a line end.
pub(super) fn page((subject, id): (&str, MessageId), records: &[Value]) -> String {
    let mut page = vec![format!("{subject} {BOLD}{id}{BOLD:#}: {}", count(records.len(), "record"))];
    for record in records {
        page.push(String::new());
        page.push(head(record));
        for (label, text) in facts(record) {
            page.extend(labelled(&format!("  {label}"), &shown(&text)));
        }
    }
    page.push(String::new());
    page.join("\n")
}

fn head(record: &Value) -> String {
    let event = text(record, "/event").unwrap_or("?");
    let style = match event {
        "inbound.accepted" | "outbound.delivered" => GOOD,
        "outbound.bounced" | "inbound.refused" => BAD,
        "outbound.deferred" => ODD,
        _ => BOLD,
    };
    let time = moment(text(record, "/time").unwrap_or_default());
    let seq = number(record, "/seq").map(|seq| format!("  record {seq}")).unwrap_or_default();
    format!("{BOLD}{}{BOLD:#}  {style}{}{style:#}{DIM}{seq}{DIM:#}", shown(&time), shown(event))
}

/// What a record tells, each with its label.
fn facts(record: &Value) -> Vec<(&'static str, String)> {
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

pub(super) fn text<'a>(record: &'a Value, pointer: &str) -> Option<&'a str> {
    record.pointer(pointer)?.as_str()
}

fn number(record: &Value, pointer: &str) -> Option<u64> {
    record.pointer(pointer)?.as_u64()
}

pub(super) fn list<'a>(record: &'a Value, pointer: &str) -> Vec<&'a str> {
    record.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_followed_from_acceptance_to_delivery() {
        let records = [
            json!({
                "seq": 41, "time": "2027-01-02T03:04:05.678901Z", "event": "inbound.accepted", "listener": "mx",
                "client": {"ip": "203.0.113.5", "port": 4242, "helo": "mail.partner.example"},
                "from": "a@partner.example", "to": ["b@bank.example"], "size": 12345,
                "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "group": "x25519"},
                "policy": {"verdict": "accept", "stage": "rcpt", "rule": "domains.d/bank.toml:12", "tls": "required",
                           "min_version": "TLSv1.2", "cipher": "any", "reason": null, "because": []},
                "reply": "250 2.0.0 Ok: queued as 00000000000000000000000007"
            }),
            json!({
                "seq": 43, "time": "2027-01-02T03:04:06.000001Z", "event": "outbound.deferred",
                "client": {"ip": "203.0.113.5", "port": 4242, "helo": "mail.partner.example"},
                "from": "a@partner.example", "to": ["b@bank.example"], "mx": "mx.bank.example",
                "remote": "198.51.100.1:25", "dnssec": "insecure", "attempt": 1, "duration_ms": 350,
                "reason": "starttls-not-supported", "next_attempt": "2027-01-02T03:05:06.000000Z", "tls": null,
                "requirement": {"tls": "encrypt", "min_version": null, "cipher": "any",
                                "because": ["tls = encrypt (domains.d/bank.toml:20)"]}
            }),
            json!({"seq": 44, "time": "2027-01-02T03:04:07.000001Z", "event": "queue.admin", "detail": "a\u{1b}[2Jb"}),
        ];
        let expected = "\
Message 00000000000000000000000007: 3 records

2027-01-02 03:04:05.678  inbound.accepted  record 41
  from    a@partner.example to b@bank.example (12kB)
  client  203.0.113.5 port 4242, HELO mail.partner.example, listener mx
  tls     TLSv1.3 TLS_AES_256_GCM_SHA384, x25519
  policy  accept at rcpt by domains.d/bank.toml:12; asks for tls required,
          min_version TLSv1.2, cipher any
  reply   250 2.0.0 Ok: queued as 00000000000000000000000007

2027-01-02 03:04:06.000  outbound.deferred  record 43
  from    a@partner.example to b@bank.example
  host    mx.bank.example, 198.51.100.1:25, attempt 1, 350 ms, DNSSEC insecure
  tls     none, nothing was sent
  needs   tls encrypt, cipher any, because tls = encrypt
          (domains.d/bank.toml:20)
  reason  starttls-not-supported
  next    2027-01-02 03:05:06.000 UTC

2027-01-02 03:04:07.000  queue.admin  record 44
  detail  a\\u{1b}[2Jb
";
        let page = page(("Message", MessageId::from_u128(7)), &records);
        assert_eq!(anstream::adapter::strip_str(&page).to_string(), expected);
        assert!(expected.lines().all(|line| line.chars().count() <= 80));
    }
}
