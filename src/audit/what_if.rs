//! What another setting would have meant for the mail on record: who would be refused, deferred, reported or accepted
//! anew, in groups.

pub mod clients;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::ops::AddAssign;

use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::policy::settings::Source;

use super::facts::{Counted, Facts, ID_BYTES, Kind, Recorded, domain_of, id_bytes};
use super::pass::Tally;
use super::remembered::Remembered;
use super::replay::{Answer, Effect, Pair, Replay, Session, Setting, Unknown};
use clients::{Clients, Network};

/// Groups that are listed apart; all others share one count.
pub const GROUPS_MAX: usize = 20_000;
/// Kinds of sessions that one group tells apart.
const SESSIONS_OF_GROUP_MAX: usize = 4;

/// By what hits are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Sender,
    /// IPv4 /24 and IPv6 /64.
    Client,
    /// The domain of the recipient.
    Destination,
    /// Version and cipher suite.
    Tls,
}

/// What changes for a message, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Unchanged,
    Unknown,
    Accepted,
    Reported,
    Deferred,
    Refused,
}

impl Outcome {
    /// Those that are listed, in the order in which they are told.
    pub const HITS: [Self; 4] = [Self::Refused, Self::Deferred, Self::Reported, Self::Accepted];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Unknown => "unknown",
            Self::Accepted => "newly_accepted",
            Self::Reported => "newly_reported",
            Self::Deferred => "newly_deferred",
            Self::Refused => "newly_refused",
        }
    }

    /// From what the engine says before and after.
    pub fn of(pair: &Pair) -> Self {
        let (Ok(before), Ok(after)) = (&pair.before, &pair.after) else { return Self::Unknown };
        match (before.effect, after.effect) {
            (before, after) if before == after => Self::Unchanged,
            (_, Effect::Refused) => Self::Refused,
            (_, Effect::Deferred) => Self::Deferred,
            (Effect::Deferred | Effect::Refused, _) => Self::Accepted,
            (Effect::Taken, Effect::Reported) => Self::Reported,
            (_, _) => Self::Unchanged,
        }
    }
}

/// Which mail is asked about.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub inbound: bool,
    pub outbound: bool,
    /// Mail from or to these domains, and what goes out to them; `None` is all.
    pub domains: Option<&'a (dyn Fn(&Domain) -> bool + Sync)>,
    pub by: By,
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope")
            .field("inbound", &self.inbound)
            .field("outbound", &self.outbound)
            .finish_non_exhaustive()
    }
}

/// What one line of the list is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    pub is_inbound: bool,
    /// Sender domain, network, recipient domain or kind of session, as `By` says; as it was recorded.
    pub name: Box<str>,
    pub outcome: Outcome,
    /// The word of the reason; empty where nothing is lacking any more.
    pub reason: &'static str,
}

/// Messages that share a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub messages: u64,
    /// Times of the records, RFC 3339.
    pub first_seen: Box<str>,
    pub last_seen: Box<str>,
    /// The last record.
    pub example: Box<str>,
    /// Of an accepted message.
    pub example_message: Option<Box<str>>,
    /// Kinds of sessions with their counts; what exceeds the bound is under `None`.
    pub sessions: Vec<(Option<Box<str>>, u64)>,
    /// Who brought them.
    pub clients: Clients,
    /// The rule that decides then.
    pub rule: Source,
    /// The exception under which the last one comes then, whether it made a difference or not.
    pub exception: Option<Source>,
    /// What the last one would be told.
    pub reply: Option<String>,
    /// Recorded verdicts, or events of deliveries.
    pub recorded: BTreeMap<Box<str>, u64>,
    last_message: [u8; ID_BYTES],
}

/// The answer to the whole question.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub messages: u64,
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Of those unchanged: refused or deferred under both settings.
    pub refused_already: u64,
    /// Refused at MAIL, so that nothing is known of their recipients.
    pub accepted_without_recipient: u64,
    pub unknown: BTreeMap<Unknown, u64>,
    /// Left out: content that was not taken, recipients whose back end lacks REQUIRETLS, and deliveries that failed for
    /// another reason than TLS.
    pub left_out: u64,
    /// Sender domains and client networks of each outcome that is listed, up to [`GROUPS_MAX`].
    pub senders: BTreeMap<Outcome, HashSet<Box<str>>>,
    pub clients: BTreeMap<Outcome, HashSet<Network>>,
    /// Recipients, or transactions refused at MAIL, that come under an exception and are answered as before, by the
    /// exception.
    pub excepted: Vec<(Source, u64)>,
    /// Messages in groups beyond the bound.
    pub others: u64,
}

/// Replays and counts.
#[derive(Debug)]
pub struct WhatIf<'a> {
    replay: Replay<'a>,
    scope: Scope<'a>,
    asked_about: Remembered<bool>,
    pub totals: Totals,
    pub groups: HashMap<Subject, Group>,
    last: Option<Last>,
    left_out: Counted,
}

/// The last message: its records stand side by side, for each verdict and for parts of many recipients.
#[derive(Clone, Copy, Debug)]
struct Last {
    message: [u8; ID_BYTES],
    /// The worst of its records.
    outcome: Outcome,
    refused_already: bool,
}

impl<'a> WhatIf<'a> {
    pub fn new(before: &'a Setting<'a>, after: &'a Setting<'a>, scope: Scope<'a>) -> Self {
        Self {
            replay: Replay::new(before, after),
            scope,
            asked_about: Remembered::default(),
            totals: Totals::default(),
            groups: HashMap::new(),
            last: None,
            left_out: Counted::default(),
        }
    }

    fn is_asked_about(&mut self, address: &str) -> bool {
        let Some(domains) = self.scope.domains else { return true };
        let name = domain_of(address);
        if let Some(known) = self.asked_about.get(name.as_bytes()) {
            return known;
        }
        let is_asked = Domain::parse(name).is_ok_and(|domain| domains(&domain));
        self.asked_about.insert(name.as_bytes(), is_asked, 0);
        is_asked
    }

    /// Judges one record for one recipient, or for none if it was refused at MAIL. Gives what changes, and if it is
    /// refused or deferred then.
    fn judge(&mut self, facts: &Facts<'_>, session: &Session, to: Option<&str>) -> (Outcome, bool) {
        let pair = self.replay.judge(facts, session, to);
        let outcome = Outcome::of(&pair);
        match (&pair.after, outcome) {
            (Ok(Answer { exception: Some(exception), .. }), Outcome::Unchanged) => {
                add_exception(&mut self.totals.excepted, exception.clone(), 1);
            }
            (_, Outcome::Unchanged) => {}
            (Ok(answer), outcome) if outcome > Outcome::Unknown => {
                let name = self.group_name(facts, &session.label, to);
                let reason = answer.reason.map_or("", Reason::as_str);
                let subject = Subject { is_inbound: facts.kind.is_inbound(), name, outcome, reason };
                self.add(subject, message(facts), (facts, &session.label, answer));
            }
            _ => {
                let why = [&pair.before, &pair.after].into_iter().find_map(|answer| answer.as_ref().err().copied());
                self.totals.unknown.entry(why.unwrap_or(Unknown::NotRecorded)).or_default().add_assign(1);
            }
        }
        let is_refused = matches!(&pair.after, Ok(answer) if answer.effect >= Effect::Deferred);
        (outcome, is_refused)
    }

    /// A message with several records counts once, by the worst of them.
    fn count(&mut self, record: Last) {
        let mut worst = record;
        match self.last.filter(|last| last.message == record.message) {
            Some(before) => {
                worst.outcome = record.outcome.max(before.outcome);
                worst.refused_already &= before.refused_already;
                self.totals.outcomes.entry(before.outcome).and_modify(|count| *count -= 1);
                self.totals.refused_already -= u64::from(before.refused_already);
            }
            None => self.totals.messages += 1,
        }
        self.totals.outcomes.entry(worst.outcome).or_default().add_assign(1);
        self.totals.refused_already += u64::from(worst.refused_already);
        self.last = Some(worst);
    }

    fn group_name(&self, facts: &Facts<'_>, session_label: &str, to: Option<&str>) -> Box<str> {
        match self.scope.by {
            By::Sender => sender_name(facts),
            By::Client => Network::of(facts.client).to_string().into(),
            By::Destination => to.map_or("", domain_of).to_ascii_lowercase().into(),
            By::Tls => session_label.into(),
        }
    }

    fn add(&mut self, subject: Subject, message: [u8; ID_BYTES], seen: (&Facts<'_>, &str, &Answer)) {
        let outcome = subject.outcome;
        remember(self.totals.senders.entry(outcome).or_default(), sender_name(seen.0));
        remember(self.totals.clients.entry(outcome).or_default(), Network::of(seen.0.client));
        let is_full = self.groups.len() >= GROUPS_MAX;
        match self.groups.get_mut(&subject) {
            Some(group) if group.last_message == message => {}
            Some(group) => group.add(message, seen),
            None if is_full => self.totals.others += 1,
            None => {
                self.groups.entry(subject).or_insert_with(|| Group::new(seen)).add(message, seen);
            }
        }
    }
}

impl Tally for WhatIf<'_> {
    fn take(&mut self, facts: &Facts<'_>) {
        let is_inbound = facts.kind.is_inbound();
        if !(if is_inbound { self.scope.inbound } else { self.scope.outbound }) {
            return;
        }
        let by_sender = is_inbound && facts.from.as_deref().is_some_and(|from| self.is_asked_about(from));
        if !by_sender && !facts.to().any(|to| self.is_asked_about(&to)) {
            return;
        }
        if is_left_out(facts) {
            self.totals.left_out += u64::from(self.left_out.is_new(facts));
            return;
        }
        let session = self.replay.session(facts);
        let (mut worst, mut all_refused, mut has_recipient) = (Outcome::Unchanged, true, false);
        let mut note = |(outcome, is_refused): (Outcome, bool)| {
            worst = worst.max(outcome);
            all_refused &= is_refused;
        };
        for to in facts.to() {
            has_recipient = true;
            if by_sender || self.is_asked_about(&to) {
                note(self.judge(facts, &session, Some(&to)));
            }
        }
        if !has_recipient {
            note(self.judge(facts, &session, None));
        }
        let refused_already = worst == Outcome::Unchanged && all_refused;
        self.count(Last { message: message(facts), outcome: worst, refused_already });
        if worst == Outcome::Accepted && !has_recipient {
            self.totals.accepted_without_recipient += 1;
        }
    }

    fn absorb(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.totals, other.totals);
        mine.messages += theirs.messages;
        mine.refused_already += theirs.refused_already;
        mine.accepted_without_recipient += theirs.accepted_without_recipient;
        mine.left_out += theirs.left_out;
        mine.others += theirs.others;
        theirs.outcomes.into_iter().for_each(|(outcome, count)| *mine.outcomes.entry(outcome).or_default() += count);
        theirs.unknown.into_iter().for_each(|(why, count)| *mine.unknown.entry(why).or_default() += count);
        remember_all(&mut mine.senders, theirs.senders);
        remember_all(&mut mine.clients, theirs.clients);
        theirs.excepted.into_iter().for_each(|(rule, count)| add_exception(&mut mine.excepted, rule, count));
        for (subject, group) in other.groups {
            let is_full = self.groups.len() >= GROUPS_MAX;
            match self.groups.get_mut(&subject) {
                Some(known) => known.absorb(group),
                None if is_full => self.totals.others += group.messages,
                None => _ = self.groups.insert(subject, group),
            }
        }
    }
}

impl Group {
    fn new((facts, _, answer): (&Facts<'_>, &str, &Answer)) -> Self {
        Self {
            messages: 0,
            first_seen: facts.time.into(),
            last_seen: "".into(),
            example: "".into(),
            example_message: None,
            sessions: Vec::new(),
            clients: Clients::default(),
            rule: answer.rule.clone(),
            exception: None,
            reply: None,
            recorded: BTreeMap::new(),
            last_message: [0; ID_BYTES],
        }
    }

    fn add(&mut self, message: [u8; ID_BYTES], (facts, session, answer): (&Facts<'_>, &str, &Answer)) {
        self.messages += 1;
        self.last_message = message;
        add_session(&mut self.sessions, Some(session.into()), 1);
        self.clients.add(Network::of(facts.client));
        let recorded = match facts.kind {
            Kind::Accepted | Kind::Refused => facts.recorded().verdict,
            Kind::Delivered => "delivered",
            Kind::Deferred => "deferred",
            Kind::Bounced => "bounced",
        };
        match self.recorded.get_mut(recorded) {
            Some(count) => *count += 1,
            None => _ = self.recorded.insert(recorded.into(), 1),
        }
        if *self.first_seen > *facts.time {
            self.first_seen = facts.time.into();
        }
        if *self.last_seen < *facts.time {
            self.last_seen = facts.time.into();
            self.example = facts.id.into();
            self.example_message = facts.message.map(Into::into);
            self.reply.clone_from(&answer.reply);
            self.rule.clone_from(&answer.rule);
            self.exception.clone_from(&answer.exception);
        }
    }

    fn absorb(&mut self, other: Self) {
        self.messages += other.messages;
        other.sessions.into_iter().for_each(|(session, count)| add_session(&mut self.sessions, session, count));
        self.clients.absorb(other.clients);
        other.recorded.into_iter().for_each(|(word, count)| *self.recorded.entry(word).or_default() += count);
        if other.first_seen < self.first_seen {
            self.first_seen = other.first_seen;
        }
        if other.last_seen > self.last_seen {
            self.last_seen = other.last_seen;
            self.example = other.example;
            self.example_message = other.example_message;
            self.reply = other.reply;
            self.rule = other.rule;
            self.exception = other.exception;
        }
    }
}

fn add_session(sessions: &mut Vec<(Option<Box<str>>, u64)>, session: Option<Box<str>>, count: u64) {
    let has_room = sessions.len() < SESSIONS_OF_GROUP_MAX;
    match sessions.iter_mut().find(|(known, _)| *known == session) {
        Some((_, known)) => *known += count,
        None if has_room || session.is_none() => sessions.push((session, count)),
        None => add_session(sessions, None, count),
    }
}

/// Content that was refused, and what its back end could not promise, would be so under any setting; a delivery that
/// failed for another reason than TLS tells nothing about TLS.
pub(super) fn is_left_out(facts: &Facts<'_>) -> bool {
    let is_tls = || facts.delivery_reason().is_some_and(|word| Reason::OUTBOUND_TLS.iter().any(|r| r.as_str() == word));
    match facts.kind {
        Kind::Accepted | Kind::Delivered => false,
        Kind::Refused => {
            let Recorded { stage, reason, .. } = facts.recorded();
            stage == "data" || reason == Some(Reason::NeedsRequireTls.as_str())
        }
        Kind::Deferred | Kind::Bounced => !is_tls(),
    }
}

/// There are no more than the configuration has.
fn add_exception(known: &mut Vec<(Source, u64)>, rule: Source, count: u64) {
    match known.iter_mut().find(|(known, _)| *known == rule) {
        Some((_, known)) => *known += count,
        None => known.push((rule, count)),
    }
}

fn remember<T: Eq + Hash>(known: &mut HashSet<T>, name: T) {
    if known.len() < GROUPS_MAX {
        known.insert(name);
    }
}

fn remember_all<T: Eq + Hash>(known: &mut BTreeMap<Outcome, HashSet<T>>, others: BTreeMap<Outcome, HashSet<T>>) {
    for (outcome, names) in others {
        let known = known.entry(outcome).or_default();
        names.into_iter().for_each(|name| remember(known, name));
    }
}

/// `<>` for the null sender.
pub(super) fn sender_name(facts: &Facts<'_>) -> Box<str> {
    match facts.from.as_deref() {
        None | Some("") => "<>".into(),
        Some(from) => domain_of(from).to_ascii_lowercase().into(),
    }
}

/// What the records of one message share; one that was not accepted has but one.
pub(super) fn message(facts: &Facts<'_>) -> [u8; ID_BYTES] {
    id_bytes(facts.message.unwrap_or(facts.id))
}
