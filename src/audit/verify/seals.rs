//! The checkpoints of a log, in order: signatures, keys and their succession, trees, tombstones.

use crate::audit::checkpoint::{Removed, Why};
use crate::audit::key::PublicKey;
use crate::audit::log::CHECKPOINT_LINES_MAX;

use super::finding::{Findings, Kind, records};
use super::order::Anchor;
use super::scan::{Met, Place, Scan, Stretch, Tree};
use super::{Compared, Expected, Vouched};

/// Keys that one log is followed through.
const KEYS_MAX: usize = 1000;

/// What the checkpoints say together.
#[derive(Debug, Default)]
pub(super) struct Seals {
    pub(super) count: u64,
    /// The first checkpoint of each key that signed, in order.
    pub(super) signers: Vec<Vouched>,
    pub(super) vouched: Option<Vouched>,
    pub(super) removed: Option<Removed>,
    /// The key that has to sign the next checkpoint. It may have been named only.
    in_force: Option<PublicKey>,
    /// The keys that were in force, whether they signed or not.
    known: Vec<PublicKey>,
    /// Checkpoints with wrong signatures, one behind the other: the place of the first among the findings, and how many
    /// more there are.
    wrong: Option<(usize, u64)>,
    /// Keys that named a successor, with the number of the checkpoint that did.
    retired: Vec<(PublicKey, u64)>,
}

impl Seals {
    /// `is_last_closed`: whether even the last segment ends with a checkpoint.
    pub(super) fn check(&mut self, scans: &[Scan], (anchor, is_last_closed): (Anchor, bool), findings: &mut Findings) {
        let mut all: Vec<&Met> = scans.iter().flat_map(|scan| &scan.checkpoints).collect();
        all.sort_by_key(|met| met.checkpoint.seq);
        all.dedup_by_key(|met| met.checkpoint.hash);
        self.count = all.len() as u64;
        self.check_closed(scans, is_last_closed, findings);
        check_spoiled(scans, findings);
        let mut before = anchor.last;
        for met in all {
            let seq = met.checkpoint.seq;
            // What is wrong with this line has been told.
            if findings.explains(seq) || findings.is_changed_at(met.place) {
                continue;
            }
            if met.signed {
                self.tell_wrong(findings);
                self.check_key(met, findings);
                check_tree(met, before, findings);
                self.take(met);
            } else {
                self.wrong(met, findings);
            }
            before = seq;
        }
        self.tell_wrong(findings);
    }

    fn wrong(&mut self, met: &Met, findings: &mut Findings) {
        let seq = met.checkpoint.seq;
        if let Some((at, more)) = &mut self.wrong {
            *more += 1;
            if let Some(finding) = findings.listed.get_mut(*at) {
                finding.last = seq;
            }
            return;
        }
        let what = format!(
            "Checkpoint {seq} is not signed by the key that it names: it was changed or forged, or what stands before \
             it was written anew."
        );
        self.wrong = Some((findings.listed.len(), 0));
        findings.add(Kind::SignatureWrong, met.place, (seq, seq), what);
    }

    fn tell_wrong(&mut self, findings: &mut Findings) {
        if let Some((at, more @ 1..)) = self.wrong.take()
            && let Some(finding) = findings.listed.get_mut(at)
        {
            let these = if more == 1 { "is the next one".to_owned() } else { format!("are the next {more}") };
            finding.what.push_str(&format!(" So {these}, up to checkpoint {}.", finding.last));
        }
    }

    fn check_key(&mut self, met: &Met, findings: &mut Findings) {
        let (seq, key) = (met.checkpoint.seq, met.checkpoint.statement.key);
        let in_force = *self.in_force.get_or_insert(key);
        if key == in_force {
            return self.count_signer(met);
        }
        if let Some((_, replaced)) = self.retired.iter().find(|(retired, _)| *retired == key) {
            let what = format!(
                "Checkpoint {seq} is signed by {key}, which was replaced at record {replaced}: somebody still has the \
                 old key and used it."
            );
            findings.add(Kind::KeyChanged, met.place, (seq, seq), what);
            return;
        }
        // Back to a key that was in force before: its absence has been told.
        if !self.known.contains(&key) {
            let what = format!(
                "From checkpoint {seq} on the log is signed by {key}, and the key before it, {in_force}, did not name \
                 it as its successor: the key was lost and made anew, or somebody else writes with a key of their own."
            );
            findings.add(Kind::KeyChanged, met.place, (seq, seq), what);
        }
        self.in_force = Some(key);
        self.count_signer(met);
    }

    fn count_signer(&mut self, met: &Met) {
        let key = met.checkpoint.statement.key;
        if self.signers.len() < KEYS_MAX && self.signers.iter().all(|signer| signer.key != key) {
            self.signers.push(vouched(met));
        }
        if self.known.len() < KEYS_MAX && !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    fn take(&mut self, met: &Met) {
        let checkpoint = &met.checkpoint;
        let statement = &checkpoint.statement;
        if let Some(next) = statement.next_key
            && self.in_force == Some(statement.key)
            && self.known.len() < KEYS_MAX
        {
            self.retired.push((statement.key, checkpoint.seq));
            self.known.push(next);
            self.in_force = Some(next);
        }
        if statement.removed.is_some() {
            self.removed.clone_from(&statement.removed);
        }
        self.vouched = Some(vouched(met));
    }

    /// A closed segment ends with a checkpoint.
    fn check_closed(&self, scans: &[Scan], is_last_closed: bool, findings: &mut Findings) {
        let closed = if is_last_closed { scans.len() } else { scans.len().saturating_sub(1) };
        for scan in scans.iter().take(closed).filter(|_| self.count > 0) {
            let Some(Stretch::Run(run)) = scan.stretches.last() else { continue };
            if !run.last_is_checkpoint && !findings.touches(run.last, run.last.saturating_add(1)) {
                let what = format!(
                    "This closed segment ends with record {} and without a checkpoint: its last checkpoint was taken \
                     out and the chain written anew, or the daemon could not sign.",
                    run.last
                );
                findings.add(Kind::CheckpointMissing, run.end, (run.last, run.last), what);
            }
        }
    }

    pub(super) fn check_tail(&self, behind: u64, last: u64, end: Place, findings: &mut Findings) {
        if behind > CHECKPOINT_LINES_MAX && self.count > 0 {
            let what = format!(
                "{} behind the last checkpoint are not signed, though the daemon signs after {CHECKPOINT_LINES_MAX} \
                 lines at the latest: checkpoints were taken out and the chain written anew, or the daemon could not \
                 sign.",
                capital_records(last - behind + 1, last)
            );
            findings.add(Kind::CheckpointMissing, end, (last - behind + 1, last), what);
        }
    }

    /// Gives what the keys were compared with, and the first checkpoint that this key signed. That a checkpoint names it
    /// as the next counts for nothing: anybody can write the public half of a key.
    pub(super) fn compare_keys(
        &self,
        expected: &Expected,
        end: Place,
        findings: &mut Findings,
    ) -> (Compared, Option<Vouched>) {
        let (wanted, compared) = match (expected.pinned, expected.current) {
            (Some(pinned), _) => (pinned, Compared::Pinned),
            (None, Some(current)) => (current, Compared::File),
            (None, None) => return (Compared::Nothing, None),
        };
        let at = Place { line: 0, ..end };
        let Some(last) = self.vouched.as_ref().map(|vouched| vouched.key) else {
            let what = format!("No checkpoint stands in the log: nothing in it is signed by {wanted}.");
            findings.add(Kind::CheckpointMissing, at, (0, 0), what);
            return (compared, None);
        };
        let first = self.signers.iter().find(|signer| signer.key == wanted).cloned();
        let what = match (compared, &first) {
            (Compared::Pinned, Some(_)) => return (compared, first),
            (_, Some(_)) if last == wanted => return (compared, first),
            (Compared::Pinned, None) if self.known.contains(&wanted) => format!(
                "The expected key, {wanted}, is only named as the next one and signed nothing in this log: anybody can \
                 name a key. It is signed by {last}."
            ),
            (Compared::Pinned, None) => {
                format!("The expected key, {wanted}, did not sign this log. It is signed by {last}.")
            }
            (_, None) if self.known.contains(&wanted) => format!(
                "The key file of the daemon holds {wanted}, which this log only names as the next one: anybody can \
                 name a key. It is signed by {last}. If the key was just replaced, the next checkpoint shows whether \
                 the daemon goes on with this log: `gatepost audit checkpoint`."
            ),
            _ => format!("The log is signed by {last}, but the key file of the daemon holds {wanted}."),
        };
        findings.add(Kind::KeyUnexpected, at, (0, 0), what);
        (compared, first)
    }
}

/// A line that begins as a checkpoint was written as one. Where lines follow it, the chain has told this already.
fn check_spoiled(scans: &[Scan], findings: &mut Findings) {
    for (place, seq) in scans.iter().flat_map(|scan| &scan.spoiled) {
        if !findings.explains(*seq) && !findings.is_changed_at(*place) {
            let what = format!("Record {seq} was changed: it begins as a checkpoint, and is none as it stands.");
            findings.add(Kind::Changed, *place, (*seq, *seq), what);
        }
    }
}

pub(super) fn vouched(met: &Met) -> Vouched {
    let checkpoint = &met.checkpoint;
    Vouched { seq: checkpoint.seq, time: checkpoint.time, node: checkpoint.node.clone(), key: checkpoint.statement.key }
}

/// `before` is the number of the checkpoint before this one.
fn check_tree(met: &Met, before: u64, findings: &mut Findings) {
    let (seq, first) = (met.checkpoint.seq, met.checkpoint.statement.first);
    let last = seq.saturating_sub(1).max(first);
    // The checkpoint before belongs to it: without that one the lines are divided otherwise.
    let is_told = findings.touches(first.saturating_sub(1).min(before), seq);
    match met.tree {
        Tree::Incomplete => (),
        Tree::Good if is_told => {
            findings.append((first, last), &format!("All else that checkpoint {seq} covers is as it was signed."));
        }
        Tree::Good => (),
        Tree::Bad if is_told => {
            let more = format!("More that checkpoint {seq} covers, {}, may have been changed.", records(first, last));
            findings.append((first, last), &more);
        }
        Tree::Bad => {
            let what = format!(
                "{} are not those that checkpoint {seq} was signed over: something in them was changed and the chain \
                 written anew.",
                capital_records(first, last)
            );
            findings.add(Kind::TreeWrong, met.place, (first, last), what);
        }
        Tree::Elsewhere if is_told => (),
        // The first line of a segment that was read from the middle of a log has no checkpoint before it.
        Tree::Elsewhere => {
            let reason = if met.checkpoint.statement.why == Why::Key { " (a change of key)" } else { "" };
            let what = format!(
                "Checkpoint {seq}{reason} says that it covers the records from {first} on; the checkpoint before it is \
                 not record {}: one was taken out or put in.",
                first.saturating_sub(1)
            );
            findings.add(Kind::CoverWrong, met.place, (first, last), what);
        }
    }
}

fn capital_records(first: u64, last: u64) -> String {
    if first == last { format!("Record {first}") } else { format!("Records {first} to {last}") }
}
