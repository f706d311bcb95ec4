//! The records of one message as a timeline for people.

use serde_json::Value;

use crate::audit::told::{facts, number, text};
use crate::cli::human::labelled;
use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD};
use crate::model::human::{count, moment, shown};
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
