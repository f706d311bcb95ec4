//! Random histories of two nodes, with crashes, against what the contract promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::Fixture;
use super::rig::*;
use crate::model::time::{Instant, Timestamp};
use crate::spool::state::RecipientState;
use crate::spool::store::{Claim, Claims, Recorded, Refused, Token, When, Which};

#[derive(Clone, Debug)]
enum Op {
    Accept,
    /// Somebody wants a message by its place among those that wait.
    ClaimOne(usize, usize),
    ClaimDue(usize, usize),
    Report {
        holding: usize,
        place: u32,
        /// Seconds until the next attempt; `None`: it is delivered.
        again: Option<u64>,
        when: When,
    },
    /// An attempt that is put on record.
    Attempt(usize),
    Repeat(usize),
    /// A word of somebody who has lost the message.
    Late(usize, When),
    Renew(usize),
    Release(usize, Option<u64>),
    Pass(u64),
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let (any, node) = (any::<usize>(), 0usize..2);
    let when = prop_oneof![Just(When::Now), Just(When::Soon)];
    let again = prop_oneof![2 => Just(None), 1 => (0u64..90).prop_map(Some)];
    prop_oneof![
        4 => Just(Op::Accept),
        4 => (node.clone(), any).prop_map(|(node, pick)| Op::ClaimOne(node, pick)),
        4 => (node, 1usize..4).prop_map(|(node, limit)| Op::ClaimDue(node, limit)),
        8 => (any, 0u32..2, again, when.clone())
            .prop_map(|(holding, place, again, when)| Op::Report { holding, place, again, when }),
        1 => any.prop_map(Op::Attempt),
        2 => any.prop_map(Op::Repeat),
        3 => (any, when).prop_map(|(pick, when)| Op::Late(pick, when)),
        1 => any.prop_map(Op::Renew),
        2 => (any, prop::option::of(0u64..90)).prop_map(|(pick, rest)| Op::Release(pick, rest)),
        4 => (1u64..70).prop_map(Op::Pass),
        1 => Just(Op::Crash),
    ]
}

/// What is known of a message.
struct Known {
    received_at: Timestamp,
    /// The states after each report, with its record. One of them from `durable` on is found after a crash.
    history: Vec<(Vec<RecipientState>, Option<u32>)>,
    durable: usize,
    token: Option<Token>,
    /// The end of the newest lease, by the clock of node 0, if it was not given back.
    leased_until: Option<Instant>,
    not_before: Option<Timestamp>,
    /// Whether that still holds is not known: there was a crash.
    may_rest: bool,
}

/// A lease that a node believes in.
struct Holding {
    node: usize,
    message: u32,
    claim: Claim,
    reports: Vec<Words>,
}

struct World<F: Fixture> {
    rig: Rig<F>,
    known: BTreeMap<u32, Known>,
    holdings: Vec<Holding>,
    /// Leases that were lost surely, and those that nodes forgot in a crash.
    lost: Vec<Holding>,
    forgotten: Vec<Holding>,
    /// Records that are durable.
    recorded: BTreeSet<u32>,
    last: u32,
}

impl Known {
    fn states(&self) -> &[RecipientState] {
        &self.history.last().unwrap().0
    }

    fn is_finished(&self) -> bool {
        is_finished(self.states())
    }

    fn due(&self) -> Timestamp {
        let next = |state: &RecipientState| Some(state.pending()?.next_attempt.unwrap_or(self.received_at));
        let due = self.states().iter().filter_map(next).min().unwrap();
        due.max(self.not_before.unwrap_or(due))
    }
}

fn is_finished(states: &[RecipientState]) -> bool {
    states.iter().all(|state| state.pending().is_none())
}

/// One of the list, whatever the number.
fn pick<T>(list: &[T], pick: usize) -> Option<usize> {
    (!list.is_empty()).then(|| pick % list.len())
}

impl<F: Fixture> World<F> {
    fn perform(&mut self, op: Op) {
        match op {
            Op::Accept => {
                self.last += 1;
                self.rig.accept_two(self.last);
                let history = vec![(vec![RecipientState::default(); 2], Some(self.last))];
                let received_at = self.rig.fixture.date();
                let known = Known {
                    received_at,
                    history,
                    durable: 0,
                    token: None,
                    leased_until: None,
                    not_before: None,
                    may_rest: false,
                };
                self.known.insert(self.last, known);
                self.all_is_durable();
            }
            Op::ClaimOne(node, of) => {
                let all: Vec<u32> = self.known.keys().copied().collect();
                let Some(at) = pick(&all, of) else { return };
                let claims = self.rig.claim(node, Which::These(&[id(all[at])]), 1);
                self.given(node, claims, |number, _| number == all[at]);
            }
            Op::ClaimDue(node, limit) => {
                let by = self.rig.fixture.date();
                let claims = self.rig.claim(node, Which::Due { by, except: &[] }, limit);
                let known = claims.given.iter().map(|given| &self.known[&number(given)]);
                let dues: Vec<_> = known.filter(|known| !known.may_rest).map(Known::due).collect();
                assert!(dues.is_sorted() && dues.iter().all(|due| *due <= by), "{dues:?} by {by}");
                let is_all = claims.again_in != Some(Duration::ZERO);
                assert!(claims.given.len() <= limit);
                self.given(node, claims, |_, known| is_all && known.due() <= by);
            }
            Op::Report { holding, place, again, when } => self.report(holding, Some((place, again)), when),
            Op::Attempt(holding) => self.report(holding, None, When::Now),
            Op::Repeat(of) => self.repeat(of),
            Op::Late(of, when) => self.late(of, when),
            Op::Renew(of) => {
                let Some(at) = pick(&self.holdings, of) else { return };
                let Holding { node, message, claim, .. } = &self.holdings[at];
                let known = self.known.get_mut(message).unwrap();
                let lost = self.rig.renew(*node, claim).lost;
                assert_eq!(lost.is_empty(), !known.is_finished());
                known.leased_until = Some(self.rig.fixture.now(0) + LEASE);
            }
            Op::Release(of, rest) => {
                let Some(at) = pick(&self.holdings, of) else { return };
                // A message that is finished has no lease; one that a crash brings back may have its old one again.
                if self.known[&self.holdings[at].message].is_finished() {
                    return;
                }
                let holding = self.holdings.swap_remove(at);
                let not_before = rest.map(|seconds| self.rig.fixture.date() + Duration::from_secs(seconds));
                self.rig.release(holding.node, &holding.claim, not_before);
                let known = self.known.get_mut(&holding.message).unwrap();
                (known.leased_until, known.not_before, known.may_rest) = (None, not_before, false);
                self.lost.push(holding);
            }
            Op::Pass(seconds) => self.rig.fixture.advance(Duration::from_secs(seconds)),
            Op::Crash => self.crash(),
        }
        self.check();
    }

    /// Whatever is durable, all that was written before it is.
    fn all_is_durable(&mut self) {
        for known in self.known.values_mut() {
            known.durable = known.history.len() - 1;
            self.recorded.extend(known.history.iter().filter_map(|(_, record)| *record));
        }
    }

    fn is_leased(&self, known: &Known) -> bool {
        known.leased_until.is_some_and(|until| until > self.rig.fixture.now(0))
    }

    fn given(&mut self, node: usize, claims: Claims, is_meant: impl Fn(u32, &Known) -> bool) {
        let until = self.rig.fixture.now(0) + LEASE;
        let numbers: BTreeSet<u32> = claims.given.iter().map(number).collect();
        for (number, known) in &self.known {
            let is_free = !known.is_finished() && !self.is_leased(known);
            assert!(!is_free || !is_meant(*number, known) || numbers.contains(number), "{number} is not given");
        }
        for given in claims.given {
            let number = number(&given);
            let (crashed, leased) = (self.is_forgotten(number), self.is_leased(&self.known[&number]));
            let known = self.known.get_mut(&number).unwrap();
            // A store whose leases are in memory has none after a crash.
            assert!(!leased || crashed, "{number} is given while somebody has it");
            assert!(!known.is_finished(), "{number} is given and finished");
            assert_eq!(given.outline.states, known.states(), "{number}");
            assert!(known.token < Some(given.claim.token), "{number}");
            (known.token, known.leased_until) = (Some(given.claim.token), Some(until));
            (known.not_before, known.may_rest) = (None, false);
            for list in [&mut self.holdings, &mut self.forgotten] {
                self.lost.extend(list.extract_if(.., |holding| holding.message == number));
            }
            self.holdings.push(Holding { node, message: number, claim: given.claim, reports: Vec::new() });
        }
    }

    fn is_forgotten(&self, number: u32) -> bool {
        self.forgotten.iter().any(|holding| holding.message == number)
    }

    /// A report of one who has the message, or had it last.
    fn report(&mut self, of: usize, change_to: Option<(u32, Option<u64>)>, when: When) {
        let Some(at) = pick(&self.holdings, of) else { return };
        self.last += 1;
        let holding = &mut self.holdings[at];
        let known = self.known.get_mut(&holding.message).unwrap();
        let mut states = known.states().to_vec();
        let mut fits = true;
        let change_to = change_to.map(|(place, again)| {
            let date = self.rig.fixture.date();
            let state = again.map_or(delivered(), |after| deferred(self.last, date + Duration::from_secs(after)));
            fits = states[place as usize].pending().is_some();
            states[place as usize] = state.clone();
            change(&[place], state)
        });
        let number = u16::try_from(holding.reports.len()).unwrap();
        let changes = change_to.into_iter().collect();
        let words = Words { number, when, changes, notice: None, record: Some(self.last) };
        let expected = match (known.is_finished(), fits) {
            (true, _) => Err(Refused::Gone),
            (false, false) => Err(Refused::Unfit),
            (false, true) if is_finished(&states) => Ok(Recorded::Finished),
            (false, true) => Ok(Recorded::Open),
        };
        assert_eq!(self.rig.record(holding.node, &holding.claim, &words), expected, "{words:?}");
        if expected.is_ok() {
            holding.reports.push(words);
            known.history.push((states, Some(self.last)));
            if when == When::Now {
                self.all_is_durable();
            }
        }
    }

    fn repeat(&mut self, of: usize) {
        let Some(at) = pick(&self.holdings, of) else { return };
        let Holding { node, message, claim, reports } = &self.holdings[at];
        let Some(words) = reports.last() else { return };
        let expected = if self.known[message].is_finished() { Err(Refused::Gone) } else { Ok(Recorded::Open) };
        assert_eq!(self.rig.record(*node, claim, words), expected);
    }

    fn late(&mut self, of: usize, when: When) {
        let Some(at) = pick(&self.lost, of) else { return };
        self.last += 1;
        let Holding { node, message, claim, reports } = &self.lost[at];
        let number = u16::try_from(reports.len()).unwrap();
        let changes = vec![change(&[0, 1], delivered())];
        let words = Words { number, when, changes, notice: None, record: Some(self.last) };
        let is_gone = self.known.get(message).is_none_or(Known::is_finished);
        let expected = if is_gone { Refused::Gone } else { Refused::Fenced };
        assert_eq!(self.rig.record(*node, claim, &words), Err(expected), "{message}");
        assert_eq!(self.rig.renew(*node, claim).lost, [id(*message)]);
        self.rig.release(*node, claim, None);
    }

    /// What is listed at any time.
    fn check(&self) {
        let found: BTreeMap<_, _> = self.rig.waiting(1).into_iter().collect();
        for (number, known) in &self.known {
            let possible = known.history.get(known.durable..).unwrap();
            match found.get(&id(*number)) {
                Some(states) => assert!(possible.iter().any(|(other, _)| other == states), "{number}: {states:?}"),
                None => assert!(possible.iter().any(|(states, _)| is_finished(states)), "{number} is lost"),
            }
        }
        assert!(found.keys().all(|found| self.known.keys().any(|number| id(*number) == *found)), "one came back");
        let times = times(&self.rig);
        for record in 1..=self.last {
            let count = times.get(&record).copied().unwrap_or(0);
            let may_be = self.known.values().flat_map(|known| &known.history).any(|(_, other)| *other == Some(record));
            let is_durable = self.recorded.contains(&record);
            assert!(count <= 1 && (count == 1 || !is_durable), "record {record}: {count} times");
            assert!(count == 0 || is_durable || may_be, "record {record} is of nothing");
        }
    }

    fn crash(&mut self) {
        self.rig.fixture.crash();
        let found: BTreeMap<_, _> = self.rig.waiting(0).into_iter().collect();
        let times = times(&self.rig);
        for (number, known) in &mut self.known {
            let now = found.get(&id(*number));
            let is_it = |states: &[RecipientState]| now.map_or(is_finished(states), |now| now == states);
            // Records of attempts change no state: the last with that state counts.
            let at = known.history.iter().rposition(|(states, _)| is_it(states));
            let at = at.filter(|at| *at >= known.durable).unwrap_or_else(|| panic!("{number} came back as {now:?}"));
            for (place, (_, record)) in known.history.iter().enumerate() {
                let count = record.map_or(1, |record| times.get(&record).copied().unwrap_or(0));
                assert_eq!(count, usize::from(place <= at), "{number}: report {place} of {at} is half there");
            }
            known.history.truncate(at + 1);
            known.may_rest = known.not_before.is_some();
            known.durable = at;
            self.recorded.extend(known.history.iter().filter_map(|(_, record)| *record));
        }
        self.forgotten.append(&mut self.holdings);
    }

    /// All that is unfinished is found, and once it is delivered nothing is left.
    fn end(mut self) {
        self.crash();
        self.rig.fixture.advance(LEASE);
        let by = self.rig.fixture.date() + Duration::from_secs(1000);
        let claims = self.rig.claim(0, Which::Due { by, except: &[] }, MANY);
        let open = self.known.iter().filter(|(_, known)| !known.is_finished()).map(|(number, _)| id(*number));
        assert_eq!(ids(&claims).into_iter().collect::<BTreeSet<_>>(), open.collect());
        self.given(0, claims, |_, _| true);
        for at in 0..self.holdings.len() {
            for place in 0..2 {
                let message = self.holdings[at].message;
                if self.known[&message].states()[place as usize].pending().is_some() {
                    self.report(at, Some((place, None)), When::Now);
                }
            }
        }
        self.crash();
        assert_eq!(self.rig.waiting(0), []);
        self.check();
    }
}

fn number(given: &crate::spool::store::Claimed) -> u32 {
    u32::try_from(given.claim.message.as_u128()).unwrap()
}

fn times<F: Fixture>(rig: &Rig<F>) -> BTreeMap<u32, usize> {
    let mut times = BTreeMap::new();
    for record in rig.fixture.records() {
        *times.entry(u32::try_from(record.as_u128()).unwrap()).or_default() += 1;
    }
    times
}

pub(crate) fn random_histories<F: Fixture>() {
    let config =
        ProptestConfig { cases: 200, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(ops in prop::collection::vec(op(), 1..100))| {
        let mut world = World::<F> {
            rig: Rig::new(),
            known: BTreeMap::new(),
            holdings: Vec::new(),
            lost: Vec::new(),
            forgotten: Vec::new(),
            recorded: BTreeSet::new(),
            last: 0,
        };
        ops.into_iter().for_each(|op| world.perform(op));
        world.end();
    });
}
