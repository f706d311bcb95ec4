//! What a workload may rely on: kept beside the spool, and compared with it while it runs and after each start.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// One step of a workload.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Accept { recipients: usize, bytes: usize },
    Progress(Attempt),
    Mark,
    Maintain,
}

/// The end of an attempt for some recipients of one of the messages.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) pick: usize,
    /// Bits: which of the recipients that are left.
    pub(super) places: u8,
    pub(super) outcome: Outcome,
    pub(super) lazily: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Deferred,
    /// With a notice in the same commit.
    Bounced,
}

#[derive(Debug)]
struct Known {
    bytes: usize,
    accepted: bool,
    recipients: Vec<History>,
}

/// The states of a recipient in order. One of them from `durable` on must be found.
#[derive(Debug)]
struct History {
    states: Vec<RecipientState>,
    durable: usize,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    next_message: u32,
    next_record: u32,
    messages: BTreeMap<u32, Known>,
    /// Not found by some start: never to be seen again.
    gone: BTreeSet<u32>,
    /// States that are durable with the next commit.
    lazy_states: Vec<(u32, u32, usize)>,
    lazy_records: Vec<RecordId>,
    /// Records whose commit succeeded, and those in the audit log.
    acknowledged: BTreeSet<RecordId>,
    logged: BTreeSet<RecordId>,
    mark: Option<u64>,
    mark_durable: Option<u64>,
    pub(super) segments_removed: u64,
    pub(super) messages_moved: u64,
}

impl Ledger {
    pub(super) fn perform(&mut self, opened: &Opened, step: &Step) {
        match step {
            Step::Accept { recipients, bytes } => self.accept(opened, *recipients, *bytes),
            Step::Progress(attempt) => self.attempt(opened, attempt),
            Step::Mark => self.mark(opened),
            Step::Maintain => {
                let done = maintain(opened);
                self.segments_removed += done.segments_removed;
                self.messages_moved += done.messages_moved;
            }
        }
        self.check_running(opened);
    }

    fn record(&mut self) -> AuditEntry {
        self.next_record += 1;
        record(self.next_record)
    }

    fn new_message(&mut self, recipients: usize, bytes: usize) -> u32 {
        self.next_message += 1;
        let history = || History { states: vec![RecipientState::default()], durable: 0 };
        let known =
            Known { bytes, accepted: false, recipients: std::iter::repeat_with(history).take(recipients).collect() };
        self.messages.insert(self.next_message, known);
        self.next_message
    }

    fn accept(&mut self, opened: &Opened, recipients: usize, bytes: usize) {
        let number = self.new_message(recipients, bytes);
        let record = self.record();
        let done = wait(async {
            let content = fill(&opened.spool, number, bytes).await?;
            let message = NewMessage { envelope: envelope(number, recipients), content };
            opened.spool.accept(message, vec![record.clone()]).await
        });
        if done.is_ok() {
            self.messages.get_mut(&number).unwrap().accepted = true;
            self.committed(&[record.id]);
        }
    }

    /// All that waited is durable with it.
    fn committed(&mut self, records: &[RecordId]) {
        self.acknowledged.extend(records);
        self.acknowledged.extend(self.lazy_records.drain(..));
        for (number, place, at) in self.lazy_states.drain(..) {
            let durable = &mut self.messages.get_mut(&number).unwrap().recipients[place as usize].durable;
            *durable = at.max(*durable);
        }
        self.mark_durable = self.mark;
    }

    fn attempt(&mut self, opened: &Opened, attempt: &Attempt) {
        let all = opened.spool.outlines(None, usize::MAX);
        if all.is_empty() {
            return;
        }
        let outline = &all[attempt.pick % all.len()];
        let number = outline.id.as_u128() as u32;
        let left = (0u32..).zip(&outline.states).filter_map(|(place, state)| Some((place, state.pending()?.attempts)));
        // Nobody is tried again before the end of the last attempt is written.
        let waits = |place: u32| self.lazy_states.iter().any(|(waiting, at, _)| (*waiting, *at) == (number, place));
        let left: Vec<(u32, u32)> = left.filter(|(place, _)| !waits(*place)).collect();
        let mut chosen: Vec<(u32, u32)> =
            left.iter().copied().filter(|(place, _)| attempt.places >> (place % 8) & 1 == 1).collect();
        if chosen.is_empty() {
            chosen.extend(left.first());
        }
        if chosen.is_empty() {
            return;
        }
        let change = |&(place, attempts): &(u32, u32)| Change {
            recipients: vec![place],
            state: match attempt.outcome {
                Outcome::Delivered => delivered(),
                Outcome::Deferred => deferred(attempts + 1),
                Outcome::Bounced => RecipientState::Settled(Settled::Bounced),
            },
        };
        let changes: Vec<Change> = chosen.iter().map(change).collect();
        self.write(opened, Progress { message: id(number), changes }, attempt);
    }

    fn write(&mut self, opened: &Opened, progress: Progress, attempt: &Attempt) {
        let number = progress.message.as_u128() as u32;
        let mut places = Vec::new();
        for change in &progress.changes {
            let place = change.recipients[0];
            let history = &mut self.messages.get_mut(&number).unwrap().recipients[place as usize];
            history.states.push(change.state.clone());
            places.push((number, place, history.states.len() - 1));
        }
        let record = self.record();
        if attempt.outcome != Outcome::Bounced && attempt.lazily {
            if opened.spool.record_lazily(Some(progress), vec![record.clone()]).is_ok() {
                self.lazy_states.extend(places);
                self.lazy_records.push(record.id);
            }
            return;
        }
        let mut notices = Vec::new();
        let notice = (attempt.outcome == Outcome::Bounced).then(|| self.new_message(1, 200));
        if let Some(number) = notice {
            let content = opened.spool.sealed(content(number, 200));
            notices.push(NewMessage { envelope: envelope(number, 1), content });
        }
        if wait(opened.spool.record(Some(progress), notices, vec![record.clone()])).is_ok() {
            self.lazy_states.extend(places);
            self.committed(&[record.id]);
            if let Some(number) = notice {
                self.messages.get_mut(&number).unwrap().accepted = true;
            }
        }
    }

    /// The audit log has written and synced all that it got.
    fn mark(&mut self, opened: &Opened) {
        let log = opened.log.lock().unwrap();
        let Some((sequence, _)) = log.last() else { return };
        self.logged.extend(log.iter().flat_map(|(_, records)| records).map(|record| record.id));
        if opened.spool.audit_is_durable(Mark { sequence: *sequence, note: "n".to_owned() }).is_ok() {
            self.mark = Some(*sequence);
        }
    }

    /// What the index says at any time, and what each start finds.
    fn check_states(&self, spool: &Spool, case: &str) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for outline in spool.outlines(None, usize::MAX) {
            let number = outline.id.as_u128() as u32;
            let known = self.messages.get(&number).unwrap_or_else(|| panic!("{case}: {number} came back"));
            for (history, state) in known.recipients.iter().zip(&outline.states) {
                let possible = &history.states[history.durable..];
                assert!(possible.contains(state), "{case}: {number} has {state:?} and not one of {possible:?}");
            }
            found.insert(number);
        }
        for (number, known) in self.messages.iter().filter(|(number, _)| !found.contains(number)) {
            let is_settled = |state: &RecipientState| state.pending().is_none();
            let may_end = |history: &History| history.states[history.durable..].iter().any(is_settled);
            assert!(!known.accepted || known.recipients.iter().all(may_end), "{case}: {number} is lost");
        }
        found
    }

    fn check_running(&self, opened: &Opened) {
        self.check_states(&opened.spool, "running");
    }

    /// Takes what a start found as what all later ones must find.
    pub(super) fn check_opened(&mut self, fs: &Simulated, opened: &Opened, case: &str) {
        let Recovered { pending, mark, audit, damage, unreadable, .. } = &opened.recovered;
        assert_eq!((damage.len(), unreadable), (0, &Vec::new()), "{case}");
        let found = self.check_states(&opened.spool, case);
        let listed: BTreeSet<u32> = pending.iter().map(|id| id.as_u128() as u32).collect();
        assert_eq!((&listed, pending.is_sorted()), (&found, true), "{case}");
        for file in body_files(fs) {
            assert!(pending.contains(&file), "{case}: the file of {file} is left over");
        }
        self.check_records(audit, case);
        let sequence = mark.as_ref().map(|mark| mark.sequence);
        assert!(sequence >= self.mark_durable, "{case}: the mark went back to {sequence:?}");
        (self.mark, self.mark_durable) = (sequence, sequence);
        for stored in list(&opened.spool) {
            let number = stored.envelope.id.as_u128() as u32;
            let known = self.messages.get_mut(&number).unwrap();
            let content = content(number, known.bytes);
            assert_eq!(read(&opened.spool, &stored).as_deref(), Ok(content.as_slice()), "{case}: {number}");
            assert_eq!(stored.envelope, envelope(number, known.recipients.len()), "{case}: {number}");
            known.accepted = true;
            known.recipients =
                stored.states.into_iter().map(|state| History { states: vec![state], durable: 0 }).collect();
        }
        self.gone.extend(self.messages.keys().filter(|number| !found.contains(number)));
        self.messages.retain(|number, _| found.contains(number));
        assert!(self.gone.is_disjoint(&found));
        self.lazy_states.clear();
        self.lazy_records.clear();
    }

    fn check_records(&mut self, audit: &[(u64, Vec<AuditEntry>)], case: &str) {
        assert!(audit.is_sorted_by(|a, b| a.0 < b.0), "{case}: batches out of order");
        let found: Vec<&AuditEntry> = audit.iter().flat_map(|(_, records)| records).collect();
        assert!(found.is_sorted_by(|a, b| a.id < b.id), "{case}: records out of order");
        for entry in &found {
            assert_eq!(**entry, record(entry.id.as_u128() as u32), "{case}");
        }
        let ids: BTreeSet<RecordId> = found.iter().map(|record| record.id).collect();
        for id in self.acknowledged.difference(&ids) {
            assert!(self.logged.contains(id), "{case}: record {id} is lost");
        }
        self.acknowledged.extend(ids);
    }
}
