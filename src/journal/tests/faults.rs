//! A fault at the n-th operation, for every n; crashes that tear the last write; a full disk.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;
use crate::journal::simulated::{Crash, Trouble};

const FULL: ErrorKind = ErrorKind::StorageFull;
const BROKEN: ErrorKind = ErrorKind::Other;
const TROUBLES: [Trouble; 7] = [
    Trouble::Before(BROKEN),
    Trouble::Before(FULL),
    Trouble::Short(BROKEN),
    Trouble::Short(FULL),
    Trouble::After(BROKEN),
    Trouble::After(FULL),
    Trouble::Die,
];

type Opener = fn(&Simulated) -> Result<Opened, OpenError>;

/// What a run of the workload may rely on.
#[derive(Default)]
struct Account {
    acknowledged: BTreeSet<u32>,
    /// In segments that were removed.
    removed: BTreeSet<u32>,
    /// In segments whose removal failed: there or not.
    unsure: BTreeSet<u32>,
}

impl Account {
    /// Commits, lazy entries and removals over several segments; goes on after faults as long as the journal does.
    fn work(fs: &Simulated, open: Opener) -> Self {
        let mut account = Self::default();
        let Ok(opened) = open(fs) else { return account };
        for round in 0..8u32 {
            let id = round * 10;
            let lazy = item(id, 20);
            let accepted = opened.journal.append_lazily(vec![lazy.clone()]).is_ok();
            let items = [item(id + 1, 300), item(id + 2, 0), item(id + 3, 7)];
            if commit(&opened.journal, &items).is_ok() {
                account.acknowledged.extend(items.iter().map(|item| item.id));
                account.acknowledged.extend(accepted.then_some(lazy.id));
            }
            if round == 4 || round == 6 {
                // The second first, so that a hole stays.
                account.remove(&opened, usize::from(round == 4));
            }
        }
        // Not closed in order: the process is killed.
        std::mem::forget(opened.journal);
        account
    }

    fn remove(&mut self, opened: &Opened, at: usize) {
        let segments = opened.journal.segments();
        let Some(segment) = segments.get(at).filter(|_| segments.len() > at + 1) else { return };
        let inside = places(opened).into_iter().filter(|(_, place)| *place == segment.number).map(|(id, _)| id);
        match opened.journal.remove_segment(segment.number) {
            Ok(()) => self.removed.extend(inside),
            Err(_) => self.unsure.extend(inside),
        }
    }

    fn check(&self, fs: &Simulated, case: &str) {
        let opened = open(fs).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(opened.recovery.damage, [], "{case}");
        let replayed = ids(&opened.replayed);
        assert!(replayed.is_sorted_by(|a, b| a < b), "{case}: order or doubles: {replayed:?}");
        let found: BTreeSet<u32> = replayed.into_iter().filter(|id| *id < 1000).collect();
        let kept: BTreeSet<u32> = self.acknowledged.difference(&self.removed).copied().collect();
        let lost: Vec<&u32> = kept.difference(&found).filter(|id| !self.unsure.contains(id)).collect();
        assert_eq!(lost, [&0; 0], "{case}: lost");
        // A removal that failed once and was undone by the crash may have been tried as part of another.
        assert!(found.is_disjoint(&self.removed), "{case}: came back");
        assert_bodies(&opened);
    }

    /// Opens, works on and crashes again: what was read must have become durable.
    fn check_twice(&self, fs: &Simulated, case: &str) {
        self.check(fs, case);
        let opened = open(fs).unwrap();
        commit(&opened.journal, &[item(1000, 50)]).unwrap();
        let boot = fs.crash(Crash::Lose);
        self.check(&boot, &format!("{case}, then a second crash"));
        assert_eq!(ids(&open(&boot).unwrap().replayed).last(), Some(&1000), "{case}");
    }
}

#[test]
fn whatever_fails_what_was_acknowledged_is_there_and_in_order() {
    whatever_fails(open);
}

#[test]
fn whatever_fails_where_room_is_made_ahead_what_was_acknowledged_is_there_and_in_order() {
    whatever_fails(open_roomy);
}

fn whatever_fails(open: Opener) {
    let quiet = Simulated::default();
    let account = Account::work(&quiet, open);
    assert_eq!((account.acknowledged.len(), account.removed.is_empty()), (32, false));
    let operations = quiet.operations();
    assert!(operations > 30);
    for operation in 1..=operations + 1 {
        for trouble in TROUBLES {
            let fs = Simulated::default();
            fs.trouble_at(operation, trouble);
            let account = Account::work(&fs, open);
            let case = format!("{trouble:?} at {operation}");
            account.check_twice(&fs.restart(), &format!("{case}, restart"));
            for crash in [Crash::Lose, Crash::Keep(usize::MAX), Crash::Keep(100), Crash::Scatter(1), Crash::Scatter(2)]
            {
                account.check_twice(&fs.crash(crash), &format!("{case}, {crash:?}"));
            }
        }
    }
}

#[test]
fn a_fault_while_opening_loses_nothing() {
    let fs = Simulated::default();
    // An unfinished batch, a failure mark, holes and an interrupted removal.
    fs.trouble_at(35, Trouble::Short(BROKEN));
    let account = Account::work(&fs, open_roomy);
    let left = fs.crash(Crash::Keep(usize::MAX));
    let quiet = left.crash(Crash::Lose);
    open(&quiet).unwrap();
    for operation in 1..=quiet.operations() {
        for trouble in TROUBLES {
            let boot = left.crash(Crash::Lose);
            boot.trouble_at(operation, trouble);
            let _ = open(&boot);
            for crash in [Crash::Lose, Crash::Keep(usize::MAX), Crash::Scatter(3)] {
                account.check_twice(&boot.crash(crash), &format!("{trouble:?} at {operation} of opening, {crash:?}"));
            }
        }
    }
}

#[test]
fn a_write_torn_at_any_byte_is_cut_or_whole() {
    torn_at_any_byte(open, 0);
    let roomy = |fs: &_| {
        open_with(Arc::new(Simulated::clone(fs)), Path::new(FOLDER), Limits { room_ahead_bytes: 1000, ..SMALL })
    };
    // The zeros at its end are there before it is.
    torn_at_any_byte(roomy, 4);
}

fn torn_at_any_byte(open: Opener, padding: usize) {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    commit(&opened.journal, &[item(1, 100)]).unwrap();
    // The write of the next batch succeeds, its sync never comes.
    fs.trouble_at(fs.operations() + 2, Trouble::Die);
    assert_eq!(commit(&opened.journal, &[item(2, 90), item(3, 0)]), Err(Fault::SyncFailed));
    let batch_bytes = 48 + 2 * (24 + 17) + 90 + 4;
    let mut wholes = 0;
    for kept in 0..=batch_bytes {
        let again = open(&fs.crash(Crash::Keep(kept))).unwrap();
        let whole = kept >= batch_bytes - padding;
        wholes += usize::from(whole);
        assert_eq!(ids(&again.replayed), if whole { vec![1, 2, 3] } else { vec![1] }, "{kept}");
        assert_eq!(again.recovery.damage, []);
        assert_eq!(again.recovery.torn.is_some(), kept > 0 && !whole, "{kept}");
        assert!(again.recovery.torn.is_none_or(|torn| torn.length as usize <= batch_bytes), "{kept}");
        assert_bodies(&again);
    }
    assert_eq!(wholes, 1 + padding);
}

#[test]
fn a_failed_sync_stops_acceptance_and_the_descriptor_is_left_alone() {
    for trouble in [Trouble::Before(BROKEN), Trouble::After(BROKEN), Trouble::Before(FULL)] {
        let fs = Simulated::default();
        let opened = open(&fs).unwrap();
        commit(&opened.journal, &[item(1, 100)]).unwrap();
        fs.trouble_at(fs.operations() + 2, trouble);
        assert_eq!(commit(&opened.journal, &[item(2, 100)]), Err(Fault::SyncFailed));
        assert_eq!(opened.journal.state(), State::Failed(Fault::SyncFailed));
        let operations = fs.operations();
        assert_eq!(commit(&opened.journal, &[item(3, 100)]), Err(Fault::Stopped));
        assert_eq!(opened.journal.append_lazily(vec![item(4, 100)]), Err(Fault::Stopped));
        assert_eq!(ids(&opened.observed.lock().unwrap()), [1]);
        opened.journal.close();
        assert_eq!(fs.operations(), operations, "nothing is written or synced after it");
        let again = open(&fs.restart()).unwrap();
        assert_eq!((again.recovery.failed.len(), ids(&again.replayed)), (1, vec![1]), "the doubtful batch is cut");
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    for room in [0, 1, 47, 48, 60, 100, 250] {
        let fs = Simulated::default();
        let opened = open(&fs).unwrap();
        commit(&opened.journal, &[item(1, 100)]).unwrap();
        fs.set_space(Some(room));
        opened.journal.append_lazily(vec![item(2, 10)]).unwrap();
        assert_eq!(commit(&opened.journal, &[item(3, 400)]), Err(Fault::NoSpace), "{room}");
        assert_eq!(opened.journal.free_bytes().unwrap(), room as u64, "what was written is given back");
        assert_eq!(opened.journal.state(), State::Running);
        fs.set_space(None);
        commit(&opened.journal, &[item(4, 300)]).unwrap();
        let again = open(&fs.crash(Crash::Lose)).unwrap();
        assert_eq!(ids(&again.replayed), [1, 2, 4], "a lazy entry outlasts it");
        assert_eq!((again.recovery.damage.len(), again.recovery.torn), (0, None));
    }
}

#[test]
fn a_full_disk_can_be_relieved_by_removing_a_segment() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    for id in 0..4 {
        commit(&opened.journal, &[item(id, 500)]).unwrap();
    }
    fs.set_space(Some(100));
    assert_eq!(commit(&opened.journal, &[item(9, 500)]), Err(Fault::NoSpace));
    opened.journal.remove_segment(opened.journal.segments()[0].number).unwrap();
    assert_eq!(commit(&opened.journal, &[item(9, 500)]), Ok(()));
}

#[test]
fn a_full_disk_at_the_end_does_not_hang_the_end() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    opened.journal.append_lazily(vec![item(1, 10)]).unwrap();
    fs.set_space(Some(10));
    opened.journal.close();
    assert_eq!(
        ids(&open(&{
            fs.set_space(None);
            fs
        })
        .unwrap()
        .replayed),
        [0; 0]
    );
}

#[test]
fn on_a_full_disk_nobody_waits_behind_lazy_entries() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    fs.set_space(Some(100));
    for id in 0..5 {
        // More than fits in one batch together with a commit.
        opened.journal.append_lazily(vec![item(id, 200)]).unwrap();
    }
    assert_eq!(commit(&opened.journal, &[item(10, 200)]), Err(Fault::NoSpace));
    fs.set_space(None);
    assert_eq!(commit(&opened.journal, &[item(11, 200)]), Ok(()));
    assert_eq!(ids(&open(&fs.crash(Crash::Lose)).unwrap().replayed), [0, 1, 2, 3, 4, 11]);
}
