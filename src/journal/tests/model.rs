//! Random work with random crashes against a model.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;
use crate::journal::simulated::{Crash, Trouble};

#[derive(Clone, Debug)]
enum Action {
    Commit(Vec<usize>),
    Lazy(usize),
    Remove(prop::sample::Index),
    /// The operation from now on at which something happens.
    Trouble(u64, Trouble),
    Reopen,
    Crash(Crash),
    Space(Option<usize>),
}

fn action() -> impl Strategy<Value = Action> {
    let crash =
        prop_oneof![Just(Crash::Lose), (0usize..700).prop_map(Crash::Keep), any::<u64>().prop_map(Crash::Scatter)];
    let kind = prop_oneof![Just(ErrorKind::StorageFull), Just(ErrorKind::Other)];
    let trouble = prop_oneof![
        kind.clone().prop_map(Trouble::Before),
        kind.clone().prop_map(Trouble::Short),
        kind.prop_map(Trouble::After),
        Just(Trouble::Die)
    ];
    prop_oneof![
        8 => prop::collection::vec(0usize..200, 1..4).prop_map(Action::Commit),
        2 => (0usize..50).prop_map(Action::Lazy),
        2 => any::<prop::sample::Index>().prop_map(Action::Remove),
        1 => (1u64..12, trouble).prop_map(|(at, trouble)| Action::Trouble(at, trouble)),
        1 => Just(Action::Reopen),
        2 => crash.prop_map(Action::Crash),
        1 => prop::option::of(0usize..600).prop_map(Action::Space),
    ]
}

#[derive(Default)]
struct Model {
    next_id: u32,
    /// Durable for sure, and so expected at each start.
    durable: BTreeSet<u32>,
    lazy: BTreeSet<u32>,
    removed: BTreeSet<u32>,
    unsure: BTreeSet<u32>,
    places: BTreeMap<u32, u64>,
    makes_room: bool,
}

impl Model {
    fn item(&mut self, body_bytes: usize) -> Item {
        self.next_id += 1;
        item(self.next_id, body_bytes)
    }

    fn commit(&mut self, opened: &Opened, sizes: &[usize]) {
        let items: Vec<Item> = sizes.iter().map(|&bytes| self.item(bytes)).collect();
        if commit(&opened.journal, &items).is_ok() {
            self.durable.extend(items.iter().map(|item| item.id));
            self.durable.append(&mut self.lazy);
        }
    }

    fn remove(&mut self, opened: &Opened, index: prop::sample::Index) {
        self.places.extend(places(opened));
        let segments = opened.journal.segments();
        let number = segments[index.index(segments.len())].number;
        let inside: Vec<u32> = self.places.iter().filter(|(_, at)| **at == number).map(|(id, _)| *id).collect();
        match opened.journal.remove_segment(number) {
            Ok(()) => self.removed.extend(inside),
            Err(RemoveError::Io(_)) => self.unsure.extend(inside),
            Err(error) => assert_eq!(error, RemoveError::Active),
        }
    }

    /// What a start found becomes what is expected of all later ones.
    fn reopen(&mut self, fs: &Simulated) -> Opened {
        let opened = if self.makes_room { open_roomy(fs) } else { open(fs) }.unwrap();
        assert_eq!(opened.recovery.damage, []);
        let found = ids(&opened.replayed);
        assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
        let found: BTreeSet<u32> = found.into_iter().collect();
        let lost: Vec<u32> = self.durable.iter().filter(|id| !found.contains(id)).copied().collect();
        for id in lost {
            assert!(self.removed.contains(&id) || self.unsure.contains(&id), "lost {id}");
        }
        assert!(found.is_disjoint(&self.removed), "removed and back: {found:?} {:?}", self.removed);
        assert_bodies(&opened);
        self.places.extend(opened.replayed.iter().map(|(item, location)| (item.id, location.segment)));
        self.removed.extend(self.unsure.difference(&found));
        self.unsure.clear();
        self.durable = found;
        self.lazy.clear();
        opened
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_work_with_crashes_loses_nothing_acknowledged(
        actions in prop::collection::vec(action(), 1..40),
        makes_room in any::<bool>(),
    ) {
        let mut model = Model { makes_room, ..Model::default() };
        let mut fs = Simulated::default();
        let mut opened = model.reopen(&fs);
        // One fault a run. A sync that fails when its mark cannot be written either may later be told as damage of a
        // batch that nobody was promised: loud, and nothing is lost.
        let mut troubled = false;
        for action in actions {
            let brings_trouble = matches!(action, Action::Trouble(..) | Action::Space(Some(_)));
            if brings_trouble && std::mem::replace(&mut troubled, true) {
                continue;
            }
            troubled &= !matches!(action, Action::Reopen | Action::Crash(_));
            match action {
                Action::Commit(sizes) => model.commit(&opened, &sizes),
                Action::Lazy(bytes) => {
                    let item = model.item(bytes);
                    if opened.journal.append_lazily(vec![item.clone()]).is_ok() {
                        model.lazy.insert(item.id);
                    }
                }
                Action::Remove(index) => model.remove(&opened, index),
                Action::Trouble(at, trouble) => fs.trouble_at(fs.operations() + at, trouble),
                Action::Space(bytes) => fs.set_space(bytes),
                Action::Reopen => {
                    opened.journal.close();
                    fs = fs.restart();
                    opened = model.reopen(&fs);
                }
                Action::Crash(crash) => {
                    fs = fs.crash(crash);
                    opened = model.reopen(&fs);
                }
            }
        }
        fs = fs.crash(Crash::Lose);
        model.reopen(&fs);
    }
}
