//! Which lines of the log are the daemon's own, when it is opened: only behind those does it go on, and only those does
//! it sign.
//!
//! Two things are known from elsewhere, from where a writer of the log's folder cannot reach: the newest place that
//! the journal or the file beside the key remembers (the anchor), and the journal's records behind its mark. Every line
//! of the log is a checkpoint or a record that was in the journal first, those of a start too. So a line is ours if
//!
//! * the chain leads from it to the anchor without a break, or
//! * it stands behind the anchor, the chain leads from the anchor to it without a break, and it is a checkpoint that
//!   the key in force signed, or stands before such a checkpoint, or
//! * it stands directly behind a line that is ours, and is byte for byte the record that the journal has next.
//!
//! What a crash leaves behind the last of these is in the journal and can be cut. Without an anchor, before the first
//! checkpoint of all, the log is taken as it stands.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::audit::chain::{Link, Tip};
use crate::audit::checkpoint::{Checkpoint, verify_signature};
use crate::audit::key::PublicKey;
use crate::model::id::RecordId;
use crate::model::record::AuditEntry;

use super::Position;

/// What is known from elsewhere than the log's folder.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    /// The newest place of the log that is remembered.
    pub(super) anchor: Option<Tip>,
    /// The keys that may sign behind it.
    pub(super) keys: Vec<PublicKey>,
    /// The records that the journal has behind its mark, in order.
    pub(super) journal: &'a [AuditEntry],
}

/// The last line that is ours, and the newest checkpoint up to there.
#[derive(Clone, Debug, Default)]
pub(super) struct Proven {
    pub(super) end: Position,
    pub(super) newest: Option<Checkpoint>,
}

/// Lines behind the last one that is ours.
#[derive(Clone, Debug)]
struct Rest {
    lines: u64,
    /// The chain leads to them without a break.
    is_chained: bool,
    /// All of it is in the journal, or no record, or a checkpoint that the daemon makes anew.
    comes_again: bool,
    /// The first line fits, as nothing does that a crash has torn.
    is_foul: bool,
    /// Problems that were told before.
    problems: Option<usize>,
    /// The chain went on behind the last line of ours in a new segment.
    is_passed: bool,
}

impl Default for Rest {
    fn default() -> Self {
        Self { lines: 0, is_chained: true, comes_again: true, is_foul: false, problems: None, is_passed: false }
    }
}

/// Takes in the log line by line.
#[derive(Debug)]
pub(super) struct Proof<'a> {
    known: Known<'a>,
    places: HashMap<RecordId, usize>,
    /// Where the journal goes on behind the last record that is ours.
    next: usize,
    is_met: bool,
    pub(super) proven: Proven,
    rest: Rest,
    /// Places in the journal of the lines of the rest, as far as the chain holds.
    pending: Vec<usize>,
    /// The newest checkpoint of ours or of the rest, as far as the chain holds.
    newest: Option<Checkpoint>,
    pub(super) present: HashSet<RecordId>,
}

#[derive(Deserialize)]
struct Id {
    id: RecordId,
}

impl<'a> Proof<'a> {
    pub(super) fn new(known: Known<'a>) -> Self {
        let places = known.journal.iter().enumerate().map(|(place, entry)| (entry.id, place)).collect();
        let is_met = known.anchor.is_none();
        let (next, proven, rest, pending, newest, present) = Default::default();
        Self { known, places, next, is_met, proven, rest, pending, newest, present }
    }

    /// Nothing is remembered that the log could be held against.
    pub(super) const fn is_without_anchor(&self) -> bool {
        self.known.anchor.is_none()
    }

    /// The anchor, if it was not met.
    pub(super) fn missed(&self) -> Option<&Tip> {
        self.known.anchor.as_ref().filter(|_| !self.is_met)
    }

    /// Whether there is nothing behind the last line that is ours.
    pub(super) const fn is_whole(&self) -> bool {
        self.rest.lines == 0
    }

    /// Whether the rest is what a crash can leave, and nothing of it is lost when it is cut.
    pub(super) const fn may_be_cut(&self) -> bool {
        self.is_met && self.rest.comes_again
    }

    /// Whether the rest begins with what no crash leaves.
    pub(super) const fn is_foul(&self) -> bool {
        self.rest.is_foul
    }

    /// The number of problems that were told before those of the rest.
    pub(super) const fn problems_before(&self) -> Option<usize> {
        self.rest.problems
    }

    /// A segment begins where the one before it ended.
    pub(super) fn begin(&mut self, at: &Position) {
        if self.is_whole() && self.proven.end.tip == at.tip {
            self.proven.end.clone_from(at);
        }
    }

    /// Whether the line is the first of a segment that the daemon began behind lines that are not its own.
    pub(super) fn passes(&mut self, line: &[u8]) -> bool {
        let is_met = self.is_met && !self.is_without_anchor() && !self.is_whole();
        let passes = is_met && Link::parse(line).is_some_and(|link| link.before() == self.proven.end.tip);
        if passes {
            self.break_off(usize::MAX);
            self.rest = Rest { problems: self.rest.problems, is_passed: true, ..Rest::default() };
        }
        passes
    }

    /// The next line does not fit behind the one before it. So many problems were told before.
    pub(super) fn break_off(&mut self, problems: usize) {
        self.rest.problems.get_or_insert(problems);
        self.rest.is_chained = false;
        if !self.is_without_anchor() {
            self.pending.clear();
            self.newest.clone_from(&self.proven.newest);
        }
    }

    /// A line that does not fit is as good as the anchor if it names its hash: then only the anchor's own line was
    /// damaged. `at` stands before the line, but for the tip.
    pub(super) fn meet_damaged(&mut self, line: &[u8], at: &Position) {
        let Some(anchor) = self.missed().cloned() else { return };
        if Link::parse(line).is_some_and(|link| link.before() == anchor) {
            self.is_met = true;
            self.rest = Rest::default();
            self.proven.end = Position { tip: anchor, is_vouched_for: false, ..at.clone() };
        }
    }

    /// Takes in a line; `at` stands behind it. Gives the number of problems to go back to, if it shows that those told
    /// since are no news.
    pub(super) fn line(&mut self, line: &[u8], checkpoint: Option<Checkpoint>, at: &Position) -> Option<usize> {
        let is_record = checkpoint.is_none();
        let place = if is_record { self.place(line) } else { None };
        let is_ours = match &self.known.anchor {
            None => self.rest.is_chained,
            Some(anchor) if *anchor == at.tip => {
                self.is_met = true;
                true
            }
            Some(_) if !self.is_met || !self.rest.is_chained => false,
            Some(_) => match &checkpoint {
                Some(checkpoint) => self.is_signed(line, checkpoint),
                None => self.is_next(line, place),
            },
        };
        self.pending.extend(place);
        if is_ours {
            self.newest = checkpoint.or(self.newest.take());
            return self.take(at);
        }
        let comes_again = match &checkpoint {
            Some(checkpoint) => self.is_without_anchor() || self.is_signed(line, checkpoint),
            None => place.is_some() || (self.is_met && id(line).is_none()),
        };
        if self.rest.is_chained || self.is_without_anchor() {
            self.newest = checkpoint.or(self.newest.take());
        }
        self.rest.is_foul |= self.rest.lines == 0 && self.rest.is_chained;
        self.rest.comes_again &= comes_again;
        self.rest.lines = self.rest.lines.saturating_add(1);
        None
    }

    /// All up to here counts as ours.
    pub(super) fn take(&mut self, at: &Position) -> Option<usize> {
        for place in self.pending.drain(..) {
            self.next = self.next.max(place.saturating_add(1));
            self.present.extend(self.known.journal.get(place).map(|entry| entry.id));
        }
        if let Some(statement) = self.newest.as_ref().map(|newest| &newest.statement) {
            if statement.next_key.is_some() {
                self.known.keys.retain(|key| *key != statement.key);
            }
            let in_force = statement.next_key.unwrap_or(statement.key);
            if !self.known.keys.contains(&in_force) {
                self.known.keys.push(in_force);
            }
        }
        self.proven = Proven { end: at.clone(), newest: self.newest.clone() };
        let Rest { is_passed, problems, .. } = std::mem::take(&mut self.rest);
        problems.filter(|_| is_passed)
    }

    fn place(&self, line: &[u8]) -> Option<usize> {
        if self.places.is_empty() { None } else { self.places.get(&id(line)?).copied() }
    }

    fn is_next(&self, line: &[u8], place: Option<usize>) -> bool {
        let entry = place.filter(|place| self.rest.lines == 0 && *place == self.next);
        let entry = entry.and_then(|place| self.known.journal.get(place));
        let mut own = String::new();
        entry.is_some_and(|entry| {
            self.proven.end.tip.compose(&entry.json, &mut own);
            own.as_bytes() == line
        })
    }

    fn is_signed(&self, line: &[u8], checkpoint: &Checkpoint) -> bool {
        let key = &checkpoint.statement.key;
        self.known.keys.contains(key) && verify_signature(line, key)
    }
}

fn id(line: &[u8]) -> Option<RecordId> {
    serde_json::from_slice::<Id>(line).ok().map(|Id { id }| id)
}
