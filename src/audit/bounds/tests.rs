//! Records of very many recipients, and of values that are too long, through the log and its readers.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::audit::digest::Digest;
use crate::audit::event::{Client, Event, Handshake, Outbound, Policy, Record, RequirementRecord, Stamp};
use crate::audit::lines::LINE_BYTES_MAX;
use crate::audit::pass::{Span, Tally, pass};
use crate::audit::receipt;
use crate::audit::report::{Period, Report};
use crate::audit::segments::segments;
use crate::audit::specimen::Specimen;
use crate::audit::tail::{Filter, last};
use crate::audit::trace::trace_observed;
use crate::audit::verify::verify;
use crate::model::client_offer::{ClientOffer, LISTED_MAX};
use crate::model::domain::Domain;
use crate::model::id::{MessageId, RecordId, SessionId};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

const DAY: Timestamp = Timestamp::from_secs(1_800_000_000);
const MESSAGE: MessageId = MessageId::from_u128(77);
/// What `max_recipients` may be at most.
const RECIPIENTS_MAX: usize = 100_000;

fn stamp() -> Stamp {
    Stamp { node: "mx1".into(), config: "abc".into() }
}

/// Distinct recipients with the longest local parts.
fn recipients(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:064}@lax.example")).collect()
}

fn texts(recipients: &[String]) -> Vec<&str> {
    recipients.iter().map(String::as_str).collect()
}

fn record<'a>(stamp: &'a Stamp, event: Event, to: Vec<&'a str>) -> Record<'a> {
    let mut record = Record::new(stamp, DAY, RecordId::from_u128(7), event);
    record.session = Some(SessionId::from_u128(9));
    record.message = Some(MESSAGE);
    record.listener = Some("mx");
    record.client = Some(Client { ip: [192, 0, 2, 1].into(), port: 4242, helo: Some("client.test") });
    record.from = Some("a@partner.example");
    record.to = to;
    record.policy = Some(Policy { reason: None, ..Policy::other("rcpt", "accept", Reason::Loop) });
    record.size = Some(100);
    record
}

fn outbound(reason: Option<Reason>) -> Outbound {
    let (tls, min_version, cipher, exception) = ("encrypt", None, "any", None);
    Outbound {
        route: None,
        mx: Some("mx.lax.example".to_owned()),
        mx_trusted: false,
        remote: Some("192.0.2.2:25".to_owned()),
        dnssec: "unknown",
        published: None,
        requirement: RequirementRecord { tls, min_version, cipher, exception, because: Vec::new() },
        attempt: 1,
        reason,
        next_attempt: None,
        expired: false,
        rerouted_to: None,
        duration_ms: 5,
    }
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn as_many_recipients_as_a_transaction_may_have_are_all_on_record_and_no_record_is_too_long() {
    let (all, stamp) = (recipients(RECIPIENTS_MAX), stamp());
    let entries = record(&stamp, Event::InboundAccepted, texts(&all)).entries();
    let mut told = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        assert!(entry.json.len() <= RECORD_BYTES_MAX, "{}", entry.json.len());
        let value = parse(&entry.json);
        assert!(value.get("omitted").is_none());
        assert_eq!(value["id"].as_str().unwrap(), entry.id.to_string());
        let of = value.get("part_of").map(|id| id.as_str().unwrap().to_owned());
        assert_eq!(of, (place > 0).then(|| RecordId::from_u128(7).to_string()));
        told.extend(value["to"].as_array().unwrap().iter().map(|to| to.as_str().unwrap().to_owned()));
    }
    assert_eq!(told, all);
    let full = all.iter().map(|to| to.len() + 3).sum::<usize>().div_ceil(RECIPIENTS_BYTES_MAX);
    assert!((full..=full + 2).contains(&entries.len()), "{}", entries.len());
}

#[test]
fn recipients_of_one_record_stay_in_it() {
    let (all, stamp) = (recipients(400), stamp());
    for count in [0, 1, 400] {
        let record = record(&stamp, Event::InboundAccepted, texts(all.get(..count).unwrap()));
        assert_eq!(record.clone().entries(), [record.entry()]);
    }
}

/// One message with a thousand recipients: refused at its end, accepted, deferred and delivered, which are four records
/// in parts, behind records of other messages.
fn log() -> (Specimen, usize) {
    let (mut log, stamp) = (Specimen::new(), stamp());
    log.records(3);
    let mut all = recipients(999);
    all.push("owner@bank.example".to_owned());
    let mut parts = 0;
    for (event, reason) in [
        (Event::InboundRefused, Some(Reason::TooBig)),
        (Event::InboundAccepted, None),
        (Event::OutboundDeferred, Some(Reason::StarttlsNotSupported)),
        (Event::OutboundDelivered, None),
    ] {
        let mut record = record(&stamp, event, texts(&all));
        record.id = RecordId::from_u128(100 + parts as u128);
        match event {
            Event::InboundRefused => record.policy = Some(Policy::other("data", "refuse", Reason::TooBig)),
            Event::InboundAccepted => (),
            _ => (record.policy, record.outbound) = (None, Some(outbound(reason))),
        }
        let entries = record.entries();
        parts += entries.len();
        entries.iter().for_each(|entry| log.entry(entry));
    }
    log.checkpoint();
    (log, parts)
}

fn tally<T: Tally>(folder: &Path, new: impl Fn() -> T + Sync) -> T {
    let span = Span { from: DAY, until: DAY + std::time::Duration::from_secs(1) };
    let (tally, met) = pass(&segments(folder).unwrap(), span, new, &|_| ()).unwrap();
    assert_eq!((met.records, met.unreadable), (4, 0));
    tally
}

#[test]
fn a_message_to_very_many_is_seen_by_every_reader_and_hides_nobody_elses() {
    let (log, parts) = log();
    assert!(parts >= 12, "{parts}");
    let report = verify(log.folder()).unwrap();
    assert_eq!((report.breaks, report.records), (Vec::new(), 3 + parts as u64 + 1));
    assert_eq!(trace_observed(log.folder(), MESSAGE, &|_| ()).unwrap().len(), parts);
    for (message, records) in [(MESSAGE, parts), (MessageId::from_u128(1), 1)] {
        let receipt = receipt::make(log.folder(), message, DAY, &|_| ()).unwrap();
        assert_eq!(receipt.records.len(), records);
        let proof = receipt::check(&serde_json::to_vec(&receipt).unwrap(), Some(log.public())).unwrap();
        assert_eq!(proof.records.len(), records);
    }
    let filter = Filter { domain: Some(Domain::parse("bank.example").unwrap()), event: None };
    assert_eq!(last(log.folder(), 99, &filter).unwrap().0.len(), 4);
}

#[test]
fn a_message_to_very_many_counts_once_in_reports_and_digests() {
    let (log, _) = log();
    let report = tally(log.folder(), || Report::new(Period::Day, None));
    let (inbound, outbound) = (report.inbound.values().next().unwrap(), report.outbound.values().next().unwrap());
    assert_eq!((inbound.messages, inbound.refused.get("too-big")), (1, Some(&1)));
    assert_eq!((outbound.messages, outbound.deferred.get("starttls-not-supported")), (1, Some(&1)));
    for domain in ["lax.example", "bank.example", "partner.example"] {
        let digest = tally(log.folder(), || Digest::new(Domain::parse(domain).unwrap()));
        let counts: Vec<_> = digest.entries.values().map(|entry| entry.messages).collect();
        assert_eq!((counts, digest.others), (vec![1, 1], 0), "{domain}");
    }
}

#[test]
fn a_record_that_is_too_long_all_the_same_is_cut_in_its_longest_values_and_says_so() {
    let stamp = stamp();
    let check = |change: &dyn Fn(&mut Record<'_>), omitted: Option<u64>| {
        let mut record = record(&stamp, Event::InboundRefused, vec!["b@bank.example"]);
        change(&mut record);
        let whole = serde_json::to_string(&record).unwrap();
        let json = record.entry().json;
        assert!(json.len() <= RECORD_BYTES_MAX);
        let (mut cut, whole) = (parse(&json), parse(&whole));
        assert_eq!(cut.get("omitted").and_then(Value::as_u64), omitted);
        // What was short stays as it was.
        for name in ["time", "id", "event", "node", "session", "message", "client", "from", "to", "size"] {
            assert_eq!(cut[name].take(), whole[name], "{name}");
        }
        assert!(json.starts_with("{\"time\":\"") && !json.contains('\n'));
        cut
    };
    check(&|_| (), None);
    let lines = |count: usize| (0..count).map(|n| format!("{n:098}")).collect::<Vec<_>>();
    let because = |count| move |record: &mut Record<'_>| record.policy.as_mut().unwrap().because = lines(count);
    check(&because(600), None);
    // 16 KiB of texts that take 100 bytes and a comma each.
    let cut = check(&because(1000), Some(1000 - 162));
    assert_eq!(cut["policy"]["because"].as_array().unwrap().len(), 162);
    let cut = check(&|record| record.reply = Some("\u{1}".repeat(100_000)), Some(1));
    assert!(cut["reply"].as_str().unwrap().ends_with("\u{1}..."));
    let cut = check(&|record| record.detail = Some("\u{20ac}".repeat(100_000)), Some(1));
    assert_eq!(cut["detail"].as_str().unwrap().chars().filter(|c| *c == '\u{20ac}').count(), (16_384 - 5) / 3);
}

#[test]
fn no_record_is_too_long_whatever_is_in_it() {
    let stamp = stamp();
    let (long, list) = ("\u{1}".repeat(100_000), vec!["\"".repeat(10_000); 200]);
    let offer = ClientOffer {
        versions: list.clone(),
        ciphers: list.clone(),
        groups: list.clone(),
        signature_algorithms: list.clone(),
        sni: Some(long.clone()),
        ja4: long.clone(),
        truncated: true,
    };
    let mut record = record(&stamp, Event::InboundHandshakeFailed, vec![&long; 300]);
    record.listener = Some(&long);
    record.from = Some(&long);
    record.reply = Some(long.clone());
    record.detail = Some(long.clone());
    record.handshake = Some(Handshake { reason: "alert", alert: Some(long.clone()), offered: Some(&offer) });
    record.policy.as_mut().unwrap().because = list.clone();
    record.outbound = Some(Outbound { mx: Some(long.clone()), route: Some(long.clone()), ..outbound(None) });
    let json = record.entry().json;
    assert!(json.len() <= RECORD_BYTES_MAX, "{}", json.len());
    assert!(parse(&json)["omitted"].as_u64().unwrap() > 1000);
}

#[test]
fn what_a_hello_offers_at_most_is_not_cut() {
    let stamp = stamp();
    let list = vec!["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256_AND_MORE".to_owned(); LISTED_MAX];
    let offer = ClientOffer { ciphers: list.clone(), groups: list.clone(), ..ClientOffer::default() };
    let offer = ClientOffer { versions: list.clone(), signature_algorithms: list, ..offer };
    let mut record = record(&stamp, Event::InboundHandshakeFailed, Vec::new());
    record.handshake = Some(Handshake { reason: "alert", alert: None, offered: Some(&offer) });
    assert!(parse(&record.entry().json).get("omitted").is_none());
}

#[test]
fn a_line_has_room_for_the_longest_record() {
    let tip = crate::audit::chain::Tip { seq: u64::MAX - 1, ..crate::audit::chain::Tip::default() };
    let record = format!("{{\"{}\":1}}", "a".repeat(RECORD_BYTES_MAX - 6));
    assert_eq!(record.len(), RECORD_BYTES_MAX);
    let mut line = String::new();
    tip.compose(&record, &mut line);
    assert!(line.len() <= LINE_BYTES_MAX);
}

proptest! {
    #[test]
    fn recipients_are_spread_in_their_order_whatever_they_are(
        all in prop::collection::vec((prop::sample::select(vec!["\"", "a", "\u{fc}", "\u{1}"]), 0..5000_usize), 0..40),
    ) {
        let all: Vec<_> = all.into_iter().map(|(text, times)| text.repeat(times)).collect();
        let lists = spread(&texts(&all));
        prop_assert_eq!(lists.concat(), texts(&all));
        prop_assert!(lists.len() == 1 || lists.iter().all(|list| !list.is_empty()));
        for list in lists {
            let json = serde_json::to_string(&list).unwrap();
            prop_assert!(json.len() <= RECIPIENTS_BYTES_MAX + 1 || list.len() == 1, "{}", json.len());
        }
    }

    #[test]
    fn what_is_not_cut_is_written_as_it_was(text in ".{0,40}", number in any::<i64>(), flag in any::<bool>()) {
        let value = serde_json::json!({ "z": [text, null, { "b": text, "a": [] }], "y": number, "x": flag, "w": {} });
        let json = serde_json::to_string(&value).unwrap();
        let cut = cut(&json, 1000).unwrap();
        prop_assert_eq!(cut, json.strip_suffix('}').unwrap().to_owned() + ",\"omitted\":0}");
    }

    #[test]
    fn a_text_takes_in_json_what_was_reckoned(text in any::<String>()) {
        prop_assert_eq!(json_bytes(&text), serde_json::to_string(&text).unwrap().len());
    }
}
