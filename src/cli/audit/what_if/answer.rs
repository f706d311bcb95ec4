//! The answer for programs. Fields and columns are added here, never renamed.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use crate::audit::replay::Unknown;
use crate::audit::what_if::clients::{CLIENTS_OF_GROUP_MAX, Listed};
use crate::audit::what_if::{By, Group, Outcome, Subject};
use crate::config::overruled::{How, Overruled};
use crate::model::human::peer;

use super::super::csv;
use super::{Answered, changed};

const COLUMNS: [&str; 15] = [
    "direction",
    "by",
    "name",
    "outcome",
    "reason",
    "messages",
    "first_seen",
    "last_seen",
    "tls",
    "rule",
    "reply",
    "example_record",
    "example_message",
    "clients",
    "exception",
];

pub(super) fn json(answered: &Answered<'_>) -> Value {
    let Answered { asked, totals, met, .. } = answered;
    let outcomes = [Outcome::Refused, Outcome::Deferred, Outcome::Reported, Outcome::Accepted]
        .into_iter()
        .chain([Outcome::Unchanged, Outcome::Unknown])
        .map(|outcome| (outcome.as_str().to_owned(), answered.count(outcome).into()));
    let unknown =
        Unknown::ALL.map(|why| (why.as_str().to_owned(), totals.unknown.get(&why).copied().unwrap_or_default().into()));
    let excepted =
        totals.excepted.iter().map(|(rule, recipients)| json!({ "rule": rule.to_string(), "recipients": recipients }));
    let mut answer = json!({
        "change": answered.change,
        "overruled": answered.overruled.iter().map(overruled).collect::<Vec<_>>(),
        "domain": asked.domain,
        "domains": Some(&answered.whose).filter(|whose| !whose.is_empty()),
        "direction": asked.direction.as_str(),
        "from": answered.span.from,
        "until": answered.span.until,
        "judged_at": answered.at,
        "by": by_word(answered.by),
        "messages": totals.messages,
        "outcomes": Value::Object(outcomes.collect()),
        "senders": distinct(&totals.senders),
        "clients": distinct(&totals.clients),
        "refused_already": totals.refused_already,
        "excepted": excepted.collect::<Vec<_>>(),
        "accepted_without_recipient": totals.accepted_without_recipient,
        "unknown": Value::Object(unknown.into_iter().collect()),
        "left_out": totals.left_out,
        "unrecorded_refusals": met.unrecorded,
        "unreadable_lines": met.unreadable,
        "records_read": met.records,
        "log_begins": met.begins,
    });
    let (groups, messages) = answered.omitted;
    let more = json!({
        "groups": answered.groups.iter().map(|row| group(answered.by, row)).collect::<Vec<_>>(),
        "groups_not_listed": groups,
        "messages_not_listed": messages,
        "messages_beyond_the_bound_of_groups": totals.others,
    });
    if let (Value::Object(answer), Value::Object(more)) = (&mut answer, more) {
        answer.extend(more);
    }
    answer
}

/// Different ones, by outcome.
fn distinct<T>(of: &BTreeMap<Outcome, HashSet<T>>) -> Value {
    let number = |outcome: &Outcome| of.get(outcome).map_or(0, HashSet::len);
    Value::Object(Outcome::HITS.iter().map(|hit| (hit.as_str().to_owned(), number(hit).into())).collect())
}

fn overruled(overruled: &Overruled) -> Value {
    let Overruled { key, value, source, step, how } = overruled;
    let needed = match how {
        How::Raised(needed) => Some(needed),
        How::Replaced | How::Dropped | How::Kept => None,
    };
    json!({
        "key": key,
        "value": value,
        "rule": source.to_string(),
        "step": step,
        "how": how.as_str(),
        "raised_to": needed,
        "note": changed::overruled(overruled),
    })
}

fn group(by: By, (subject, group): &(Subject, Group)) -> Value {
    let sessions: Vec<_> = group
        .sessions
        .iter()
        .map(|(session, messages)| json!({ "session": session.as_deref(), "messages": messages }))
        .collect();
    let Listed { networks, others } = group.clients.listed();
    let networks = networks.into_iter().map(|(network, messages)| (Some(network.to_string()), messages));
    let clients = networks.chain((others > 0).then_some((None, others)));
    let clients = clients.map(|(client, messages)| json!({ "client": client, "messages": messages }));
    let recorded: Map<String, Value> =
        group.recorded.iter().map(|(word, count)| (word.to_string(), (*count).into())).collect();
    json!({
        "direction": direction(subject),
        by_word(by): peer(&subject.name),
        "outcome": subject.outcome.as_str(),
        "reason": Some(subject.reason).filter(|reason| !reason.is_empty()),
        "messages": group.messages,
        "first_seen": group.first_seen,
        "last_seen": group.last_seen,
        "tls": sessions,
        "clients": clients.collect::<Vec<_>>(),
        "rule": group.rule.to_string(),
        "exception": group.exception.as_ref().map(ToString::to_string),
        "reply": group.reply,
        "recorded": recorded,
        "example": { "record": group.example, "message": group.example_message },
    })
}

pub(super) fn csv(answered: &Answered<'_>) -> String {
    let mut text = csv::row(COLUMNS);
    for (subject, group) in &answered.groups {
        text.push_str(&csv::row([
            direction(subject),
            by_word(answered.by),
            &peer(&subject.name),
            subject.outcome.as_str(),
            subject.reason,
            &group.messages.to_string(),
            &group.first_seen,
            &group.last_seen,
            &sessions(group),
            &group.rule.to_string(),
            group.reply.as_deref().unwrap_or_default(),
            &group.example,
            group.example_message.as_deref().unwrap_or_default(),
            &clients(group, CLIENTS_OF_GROUP_MAX),
            &group.exception.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]));
    }
    text
}

/// `TLSv1 ECDHE-RSA-AES128-SHA (40), none (1), others (2)`.
pub(super) fn sessions(group: &Group) -> String {
    let mut sessions: Vec<_> = group.sessions.iter().collect();
    sessions.sort_by_key(|(session, messages)| (session.is_none(), std::cmp::Reverse(*messages), session.as_deref()));
    let of_one = |(session, messages): &&(Option<Box<str>>, u64)| {
        format!("{} ({messages})", session.as_deref().unwrap_or("others"))
    };
    sessions.iter().map(of_one).collect::<Vec<_>>().join(", ")
}

/// `192.0.2.0/24 (40), 2001:db8::/64 (1), others (2)`, with at most so many networks.
pub(super) fn clients(group: &Group, networks_max: usize) -> String {
    let Listed { networks, others } = group.clients.listed();
    let (shown, rest) = networks.split_at_checked(networks_max).unwrap_or((&networks, &[]));
    let others = others + rest.iter().map(|(_, messages)| messages).sum::<u64>();
    let shown = shown.iter().map(|(network, messages)| format!("{network} ({messages})"));
    let others = (others > 0).then(|| format!("others ({others})"));
    shown.chain(others).collect::<Vec<_>>().join(", ")
}

pub(super) const fn by_word(by: By) -> &'static str {
    match by {
        By::Sender => "sender",
        By::Client => "client",
        By::Destination => "destination",
        By::Tls => "tls_session",
    }
}

const fn direction(subject: &Subject) -> &'static str {
    if subject.is_inbound { "inbound" } else { "outbound" }
}
