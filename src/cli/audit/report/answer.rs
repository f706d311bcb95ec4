//! The report for programs. Fields and kinds of numbers are added here, never renamed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::audit::report::Sums;
use crate::model::cipher::CipherGrade;
use crate::model::tls::{ProtocolVersion, Verified};

use super::super::csv;
use super::Answered;

/// What metrics call a session without TLS too.
const PLAINTEXT: &str = "none";

pub(super) fn json(answered: &Answered<'_>) -> Value {
    let Answered { asked, span, period, sums, met } = answered;
    let mut answer = json!({
        "partner": asked.partner,
        "below": asked.below,
        "from": span.from,
        "until": span.until,
        "period": period.as_str(),
        "records_read": met.records,
        "unrecorded_refusals": met.unrecorded,
        "unreadable_lines": met.unreadable,
        "log_begins": met.begins,
    });
    if let Value::Object(answer) = &mut answer {
        if asked.direction.inbound() {
            answer.insert("inbound".to_owned(), direction(&sums.inbound));
        }
        if asked.direction.outbound() {
            answer.insert("outbound".to_owned(), direction(&sums.outbound));
        }
    }
    answer
}

fn direction(periods: &BTreeMap<Box<str>, Sums>) -> Value {
    let of_one = |(period, sums)| {
        let mut value = numbers(sums);
        if let Value::Object(fields) = &mut value {
            fields.insert("period".to_owned(), Value::from(period));
        }
        value
    };
    let periods_in_order = periods.iter().map(|(period, sums)| (&**period, sums));
    json!({ "total": numbers(&total(periods)), "periods": periods_in_order.map(of_one).collect::<Vec<_>>() })
}

/// All periods together.
pub(super) fn total(periods: &BTreeMap<Box<str>, Sums>) -> Sums {
    periods.values().fold(Sums::default(), |mut total, sums| {
        total.absorb(sums);
        total
    })
}

fn numbers(sums: &Sums) -> Value {
    let object = |rows: Vec<(&str, u64)>| {
        Value::Object(rows.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect::<Map<_, _>>())
    };
    let mut fields = Map::from_iter([("messages".to_owned(), Value::from(sums.messages))]);
    fields.extend(kinds(sums).into_iter().map(|(kind, rows)| (kind.to_owned(), object(rows))));
    Value::Object(fields)
}

/// Every kind of number with its rows, the closed ones whole.
pub(super) fn kinds(sums: &Sums) -> Vec<(&'static str, Vec<(&str, u64)>)> {
    let versions = ProtocolVersion::ALL.iter().rev().map(|version| (version.as_str(), count(&sums.versions, version)));
    let grades = CipherGrade::ALL.iter().rev().map(|grade| (grade.as_str(), count(&sums.grades, grade)));
    let identities = [Verified::Webpki, Verified::Dane, Verified::Fingerprint, Verified::None].map(Verified::as_str);
    let identities = identities.iter().map(|word| (*word, count(&sums.identities, word)));
    let plaintext = || std::iter::once((PLAINTEXT, sums.plaintext));
    vec![
        ("version", versions.chain(plaintext()).collect()),
        ("grade", grades.chain(plaintext()).collect()),
        ("identity", identities.collect()),
        ("refused", reasons(&sums.refused)),
        ("deferred", reasons(&sums.deferred)),
        ("would_refuse", reasons(&sums.reported)),
    ]
}

fn count<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or_default()
}

/// The largest first.
fn reasons(counts: &BTreeMap<Box<str>, u64>) -> Vec<(&str, u64)> {
    let mut rows: Vec<_> = counts.iter().map(|(reason, count)| (&**reason, *count)).collect();
    rows.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    rows
}

/// One number a row, so that new kinds of numbers need no new columns.
pub(super) fn csv(answered: &Answered<'_>) -> String {
    let Answered { asked, sums, .. } = answered;
    let mut text = csv::row(["direction", "period", "kind", "name", "messages"]);
    let inbound = asked.direction.inbound().then_some(("inbound", &sums.inbound));
    let outbound = asked.direction.outbound().then_some(("outbound", &sums.outbound));
    for (direction, periods) in inbound.into_iter().chain(outbound) {
        for (period, sums) in periods {
            let all = ("messages", vec![("all", sums.messages)]);
            for (kind, rows) in std::iter::once(all).chain(kinds(sums)) {
                for (name, count) in rows {
                    text.push_str(&csv::row([direction, period, kind, name, &count.to_string()]));
                }
            }
        }
    }
    text
}
