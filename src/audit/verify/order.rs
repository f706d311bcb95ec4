//! Which stretches of lines are the log as it was written, and which of the others belong where.

use crate::audit::chain::Hash;

use super::scan::{Run, Stretch};

/// Stretches of a whole log that are told apart.
pub(super) const STRETCHES_MAX: usize = 2000;

/// What the log has to go on from: the end of what was removed, or the beginning of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    pub(super) last: u64,
    /// `None` if any hash will do.
    pub(super) hash: Option<Hash>,
    /// The last segment before it.
    pub(super) segment: u64,
}

/// The stretches of all segments, joined where one goes on in the next, with numbers mended where the chain tells that
/// only a number was changed.
pub(super) fn join(stretches: impl Iterator<Item = Stretch>, anchor: Anchor) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for mut stretch in stretches.take(STRETCHES_MAX) {
        if let Stretch::Run(next) = &mut stretch {
            let (last, hash) = match joined.last() {
                Some(Stretch::Run(run)) => (run.last, Some(run.hash)),
                None => (anchor.last, anchor.hash),
                Some(Stretch::Junk { .. }) => (0, None),
            };
            let number = last.saturating_add(1);
            if hash == Some(next.prev) && next.is_single() && next.first != number {
                next.misnumbered = Some(next.first);
                (next.first, next.last) = (number, number);
            }
        }
        match (joined.last_mut(), stretch) {
            (Some(Stretch::Run(run)), Stretch::Run(next)) if run.goes_on_in(&next) && next.misnumbered.is_none() => {
                (run.end, run.last, run.last_prev, run.hash) = (next.end, next.last, next.last_prev, next.hash);
                (run.last_signed, run.last_is_checkpoint) = (next.last_signed, next.last_is_checkpoint);
                run.last_closes = next.last_closes;
                run.opening = None;
            }
            (Some(Stretch::Junk { lines, .. }), Stretch::Junk { lines: more, .. }) => *lines += more,
            (_, stretch) => joined.push(stretch),
        }
    }
    joined
}

/// The stretches in the places that they were written in, by their indexes.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The backbone: runs that stand in order of their numbers and together hold the most lines.
    pub(super) main: Vec<usize>,
    /// Runs that belong into a gap of the backbone, each with its gap: how many runs of `main` stand before it.
    pub(super) moved: Vec<(usize, usize)>,
    /// Runs whose numbers stand elsewhere, too.
    pub(super) doubled: Vec<usize>,
    /// Runs that belong nowhere.
    pub(super) foreign: Vec<usize>,
}

pub(super) fn order(stretches: &[Stretch], anchor: Anchor) -> Order {
    let runs: Vec<(usize, &Run)> = stretches
        .iter()
        .enumerate()
        .filter_map(|(index, stretch)| if let Stretch::Run(run) = stretch { Some((index, run)) } else { None })
        .collect();
    let mut main = backbone(&runs, anchor);
    keep_the_middle(&runs, &mut main);
    let (main, rest): (Vec<_>, Vec<_>) = runs.into_iter().enumerate().partition(|(at, _)| main.contains(at));
    let main: Vec<(usize, &Run)> = main.into_iter().map(|(_, run)| run).collect();
    let rest: Vec<(usize, &Run)> = rest.into_iter().map(|(_, run)| run).collect();
    let mut order = Order { main: main.iter().map(|(index, _)| *index).collect(), ..Order::default() };
    for (index, run) in &rest {
        match home(run, &main, &rest, anchor) {
            Some(gap) => order.moved.push((*index, gap)),
            None if is_covered(run, &main) => order.doubled.push(*index),
            None => order.foreign.push(*index),
        }
    }
    order
}

/// The runs of the best order, by their place in `runs`: most lines first, then most links, then fewest gaps.
fn backbone(runs: &[(usize, &Run)], anchor: Anchor) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq, PartialOrd)]
    struct Score {
        lines: u64,
        fit: i64,
    }
    let start = |run: &Run, index: usize| {
        let follows = run.first == anchor.last.saturating_add(1);
        let links = anchor.hash.is_none_or(|hash| hash == run.prev);
        fit(follows && links, follows, index == 0)
    };
    let mut best: Vec<(Score, Option<usize>)> = Vec::with_capacity(runs.len());
    for (at, (index, run)) in runs.iter().enumerate() {
        let alone = Score { lines: run.last.saturating_sub(run.first).saturating_add(1), fit: start(run, *index) };
        let mut chosen = (alone, None);
        for (earlier, ((before_index, before), (score, _))) in runs.iter().zip(&best).take(at).enumerate() {
            if before.first >= run.first || before.last >= run.last {
                continue;
            }
            let added = run.last - before.last.max(run.first.saturating_sub(1));
            let follows = run.first == before.last.saturating_add(1);
            let score = Score {
                lines: score.lines.saturating_add(added),
                fit: score.fit + fit(before.goes_on_in(run), follows, before_index + 1 == *index),
            };
            // Of equals the nearest.
            if score >= chosen.0 {
                chosen = (score, Some(earlier));
            }
        }
        best.push(chosen);
    }
    let mut chain = Vec::new();
    let mut next = (0..best.len()).reduce(|left, right| {
        let score = |at: usize| best.get(at).map(|(score, _)| *score);
        if score(right) >= score(left) { right } else { left }
    });
    while let Some(at) = next {
        chain.push(at);
        next = best.get(at).and_then(|(_, before)| *before);
    }
    chain.reverse();
    chain
}

/// Of three lines that stand in the reverse order, the outer two were swapped and the middle one is where it belongs.
fn keep_the_middle(runs: &[(usize, &Run)], main: &mut [usize]) {
    for (at, three) in runs.windows(3).enumerate() {
        let [(index, high), (_, middle), (end, low)] = three else { continue };
        let is_reversed = high.is_single() && low.goes_on_in(middle) && middle.goes_on_in(high) && low.is_single();
        if !is_reversed || !middle.is_single() || index + 2 != *end {
            continue;
        }
        let Some(chosen) = main.iter().position(|place| (at..at + 3).contains(place)) else { continue };
        let beside = |place: Option<usize>| place.and_then(|it| runs.get(*main.get(it)?)).map(|(_, run)| *run);
        let (before, next) = (beside(chosen.checked_sub(1)), beside(Some(chosen + 1)));
        let is_free =
            before.is_none_or(|before| before.last < low.first) && next.is_none_or(|next| next.first > high.last);
        if let Some(place) = main.get_mut(chosen).filter(|_| is_free) {
            *place = at + 1;
        }
    }
}

/// How well a run stands behind another: one that is its continuation and right behind it best.
const fn fit(goes_on: bool, follows: bool, is_beside: bool) -> i64 {
    match (goes_on, follows, is_beside) {
        (true, _, true) => 3,
        (true, _, false) => 2,
        (false, true, _) => 0,
        (false, false, _) => -1,
    }
}

/// The gap of the backbone that the run fills, if the chain says so on one side at least.
fn home(run: &Run, main: &[(usize, &Run)], rest: &[(usize, &Run)], anchor: Anchor) -> Option<usize> {
    let beside = |other: &(usize, &Run)| run.goes_on_in(other.1) || other.1.goes_on_in(run);
    let is_linked = rest.iter().any(beside);
    (0..=main.len()).find(|gap| {
        let before = gap.checked_sub(1).and_then(|at| main.get(at)).map(|(_, before)| before);
        let next = main.get(*gap).map(|(_, next)| next);
        let (last, hash) = before.map_or((anchor.last, anchor.hash), |before| (before.last, Some(before.hash)));
        let fits = run.first > last && next.is_none_or(|next| run.last < next.first);
        let goes_on = run.first == last.saturating_add(1) && hash == Some(run.prev);
        let leads_on = next.is_some_and(|next| run.goes_on_in(next));
        fits && (goes_on || leads_on || is_linked)
    })
}

fn is_covered(run: &Run, main: &[(usize, &Run)]) -> bool {
    let mut next = run.first;
    for (_, other) in main {
        if (other.first..=other.last).contains(&next) {
            next = other.last.saturating_add(1);
        }
    }
    next > run.last
}
