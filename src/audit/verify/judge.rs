//! What the order of the stretches tells: which records were changed, are missing, moved, doubled or added.

use crate::audit::chain::Hash;

use super::finding::{Findings, Kind, are, records, were};
use super::order::{Anchor, Order, order};
use super::scan::{Place, Run, Scan, Stretch};

/// Digits of a hash, as the last thing of a line but for a quote and a brace.
const PREV_DIGITS: usize = 64;
const LINE_END: &[u8] = b"\"}";

/// Tells all that the chain itself shows.
pub(super) fn judge(stretches: &[Stretch], anchor: Anchor, scans: &[Scan], findings: &mut Findings) {
    let judge = Judge { stretches, anchor, scans, order: order(stretches, anchor) };
    judge.gaps(findings);
    judge.moved(findings);
    judge.doubled(findings);
    for scan in scans {
        for (place, seq) in &scan.repeats {
            let what = format!("Record {seq} stands here a second time, right behind itself: this line was added.");
            findings.add(Kind::Duplicated, *place, (*seq, *seq), what);
        }
    }
}

struct Judge<'a> {
    stretches: &'a [Stretch],
    anchor: Anchor,
    scans: &'a [Scan],
    order: Order,
}

/// A gap of the backbone: between two of its runs, before the first or behind the last.
struct Gap<'a> {
    before: Option<&'a Run>,
    next: Option<&'a Run>,
    /// Runs that belong here but stand elsewhere, in order.
    fills: Vec<&'a Run>,
    /// What stands here and belongs nowhere.
    strangers: Strangers,
    /// A run that stands here and holds records a second time, if it is a whole file.
    copy: Option<&'a Run>,
}

/// Records that are not there, between two runs.
struct Hole<'a> {
    before: Option<&'a Run>,
    next: &'a Run,
    first: u64,
    last: u64,
    copy: Option<&'a Run>,
}

#[derive(Clone, Copy, Default)]
struct Strangers {
    start: Option<Place>,
    lines: u64,
}

impl Judge<'_> {
    fn run(&self, index: usize) -> Option<&Run> {
        match self.stretches.get(index)? {
            Stretch::Run(run) => Some(run),
            Stretch::Junk { .. } => None,
        }
    }

    fn gaps(&self, findings: &mut Findings) {
        for number in 0..=self.order.main.len() {
            let gap = self.gap(number);
            let mut strangers = gap.strangers;
            let members: Vec<Option<&Run>> = std::iter::once(gap.before)
                .chain(gap.fills.iter().copied().map(Some))
                .chain(std::iter::once(gap.next).filter(Option::is_some))
                .collect();
            for (before, next) in members.iter().zip(members.iter().skip(1)) {
                if let Some(next) = next {
                    self.joint(*before, next, (&mut strangers, gap.copy), findings);
                }
            }
            if let Some(start) = strangers.start {
                self.strangers(&gap, start, strangers.lines, findings);
            }
        }
    }

    fn gap(&self, number: usize) -> Gap<'_> {
        let at = |place: Option<usize>| place.and_then(|place| self.order.main.get(place)).copied();
        let (before, next) = (at(number.checked_sub(1)), at(Some(number)));
        let (from, to) = (before.map_or(0, |index| index + 1), next.unwrap_or(self.stretches.len()));
        let mut strangers = Strangers::default();
        let mut copy = None;
        for index in from..to {
            let (start, lines) = match self.stretches.get(index) {
                Some(Stretch::Junk { start, lines }) => (*start, *lines),
                Some(Stretch::Run(run)) if self.order.foreign.contains(&index) => (run.start, run.last - run.first + 1),
                Some(Stretch::Run(run)) if self.order.doubled.contains(&index) && self.is_whole_file(run) => {
                    copy = Some(run);
                    continue;
                }
                _ => continue,
            };
            strangers.start.get_or_insert(start);
            strangers.lines = strangers.lines.saturating_add(lines);
        }
        let moved = self.order.moved.iter().filter(|(_, gap)| *gap == number);
        let mut fills: Vec<&Run> = moved.filter_map(|(index, _)| self.run(*index)).collect();
        fills.sort_by_key(|run| run.first);
        let run = |index: Option<usize>| index.and_then(|index| self.run(index));
        Gap { before: run(before), next: run(next), fills, strangers, copy }
    }

    /// What is between two runs that belong behind each other.
    fn joint(
        &self,
        before: Option<&Run>,
        next: &Run,
        (strangers, copy): (&mut Strangers, Option<&Run>),
        findings: &mut Findings,
    ) {
        if let Some(number) = next.misnumbered {
            let seq = next.first;
            let what = format!("Record {seq} was changed: it carries the number {number}.");
            findings.add(Kind::Changed, next.start, (seq, seq), what);
        }
        let last = before.map_or(self.anchor.last, |before| before.last);
        let expected = last.saturating_add(1);
        if next.first > expected {
            let lost = (expected, next.first - 1);
            let found = std::mem::take(strangers);
            match found.start {
                Some(start) => replaced(lost, start, found.lines, findings),
                None => {
                    let hole = Hole { before, next, first: lost.0, last: lost.1, copy };
                    self.missing(&hole, findings);
                }
            }
        } else if next.first < expected {
            let doubled = (next.first, last.min(next.last));
            let what = format!(
                "{} {} twice: the chain goes on from the second time, which begins here.",
                capital(&records(doubled.0, doubled.1)),
                if doubled.0 == doubled.1 { "stands" } else { "stand" },
            );
            findings.add(Kind::Duplicated, next.start, doubled, what);
        } else if before.map_or(self.anchor.hash, |before| Some(before.hash)).is_some_and(|hash| hash != next.prev) {
            self.changed(before, next, findings);
        }
    }

    /// The numbers follow and the hash does not: tells which of the two lines was changed.
    fn changed(&self, before: Option<&Run>, next: &Run, findings: &mut Findings) {
        let before_holds = before.is_none_or(|before| before.last_signed || self.is_vouched_for(before, Some(next)));
        let next_holds = !next.is_single() || next.first_signed || self.is_vouched_for(next, None);
        let at = before.map_or(next.start, |before| before.end);
        let (last, first) = (before.map_or(self.anchor.last, |before| before.last), next.first);
        match (before_holds, next_holds) {
            (false, true) => {
                changed(last, at, "what stands here is not what the record behind it vouches for", findings)
            }
            (true, true) => {
                let what = format!(
                    "Record {first} does not continue record {last}, though each is vouched for by what stands \
                     beside it: here the log was put together from two histories, such as an older copy that was \
                     written on."
                );
                findings.add(Kind::Forked, next.start, (first, first), what);
            }
            (true, false) => changed(first, next.start, "it does not continue the record before it", findings),
            (false, false) => {
                let hash = before.map_or(self.anchor.hash, |before| Some(before.hash));
                let behind = self.behind(next);
                if hash.is_some_and(|hash| is_as_it_was_but_for_the_link(next, &hash, behind)) {
                    changed(first, next.start, "its `prev` is another than was written", findings);
                } else if behind.is_some() {
                    changed(first, next.start, "it continues another record than the one before it", findings);
                } else {
                    let what = format!(
                        "Record {last} or record {first} was changed: the hash that record {first} carries is not that \
                         of record {last}, and nothing behind them tells which."
                    );
                    findings.add(Kind::Changed, next.start, (last, first), what);
                }
            }
        }
    }

    /// Whether another run than `but` says that the last line of this one is as it was.
    fn is_vouched_for(&self, run: &Run, but: Option<&Run>) -> bool {
        self.stretches.iter().any(|stretch| match stretch {
            Stretch::Run(other) => {
                run.goes_on_in(other) && but.is_none_or(|but| but.start != other.start) && other.start != run.start
            }
            Stretch::Junk { .. } => false,
        })
    }

    /// The run of the backbone that stands behind this one and should continue it.
    fn behind(&self, run: &Run) -> Option<&Run> {
        let at = self.order.main.iter().position(|index| self.run(*index).is_some_and(|it| it.start == run.start))?;
        let next = self.order.main.get(at + 1).and_then(|index| self.run(*index))?;
        (next.first == run.last.saturating_add(1)).then_some(next)
    }

    fn missing(&self, hole: &Hole<'_>, findings: &mut Findings) {
        let Hole { before, next, first, last, copy } = *hole;
        let what = capital(&records(first, last));
        let verb = are(first, last);
        let from = before.map_or(self.anchor.segment, |before| before.end.segment);
        let to = next.start.segment;
        let ends_file = before.is_none_or(|before| self.ends_file(before));
        let is_between_files = from < to && ends_file && next.start.line == 1;
        let gone: Vec<u64> = if is_between_files {
            (from + 1..to).filter(|n| self.lines_of(*n) == 0).take(10).collect()
        } else {
            vec![]
        };
        if let Some(damaged) =
            self.scans.iter().find(|scan| scan.damage.is_some() && (from..=to).contains(&scan.segment))
        {
            let reason = damaged.damage.as_deref().unwrap_or_default();
            let what = format!("{what} cannot be read: the compressed segment was changed ({reason}).");
            let at = Place { segment: damaged.segment, line: damaged.lines.saturating_add(1) };
            findings.add(Kind::Unreadable, at, (first, last), what);
        } else if let Some(copy) = copy {
            let what = format!(
                "{what} {verb} missing: instead, this segment holds {} once more. An older segment was put in its \
                 place.",
                records(copy.first, copy.last)
            );
            findings.add(Kind::SegmentReplaced, copy.start, (first, last), what);
        } else if let Some(segment) = gone.first() {
            let empty = if self.scans.iter().any(|scan| scan.segment == *segment) { "empty" } else { "missing" };
            let segments = match gone.last() {
                Some(last) if last != segment => format!("Segments {segment:08} to {:08} are {empty}", to - 1),
                _ => format!("Segment {segment:08} is {empty}"),
            };
            let behind = if before.is_none() { ", and no signed tombstone says that they were removed" } else { "" };
            let what = format!("{segments}, with {}{behind}.", records(first, last));
            findings.add(Kind::SegmentMissing, Place { line: 0, ..next.start }, (first, last), what);
        } else if let Some(before) = before.filter(|before| is_between_files && !before.last_closes) {
            let what = format!(
                "{what} {verb} missing: this segment ends with record {} and without its closing checkpoint, while the \
                 next one begins with record {}. An older copy of it was put back, or its end was cut off.",
                before.last, next.first
            );
            findings.add(Kind::SegmentReplaced, before.end, (first, last), what);
        } else {
            let behind = match before {
                Some(before) => format!("record {} follows on record {}", next.first, before.last),
                None => format!("the log begins with record {}", next.first),
            };
            findings.add(Kind::Missing, next.start, (first, last), format!("{what} {verb} missing: {behind}."));
        }
    }

    /// Lines that no gap in the numbers explains.
    fn strangers(&self, gap: &Gap<'_>, start: Place, lines: u64, findings: &mut Findings) {
        let last = gap.fills.last().copied().or(gap.before).map_or(self.anchor.last, |before| before.last);
        let next = last.saturating_add(1);
        let count = if lines == 1 { "a line".to_owned() } else { format!("{lines} lines") };
        let mut what = format!("Behind record {last} {count} {} that no record of the chain knows", stand(lines));
        let kind = if gap.next.is_some() {
            what.push('.');
            Kind::Inserted
        } else {
            what.push_str(&format!(": record {next} was changed, or something was added."));
            Kind::Changed
        };
        findings.add(kind, start, (next, next), what);
    }

    fn moved(&self, findings: &mut Findings) {
        let mut told: Vec<usize> = Vec::new();
        for (index, gap) in &self.order.moved {
            let Some(run) = self.run(*index).filter(|_| !told.contains(index)) else { continue };
            let swapped = self.swapped_with(*index, *gap, &mut told);
            let numbers = records(run.first, run.last);
            match swapped {
                Some(other) => {
                    let (low, high) = if run.first < other.first { (run, other) } else { (other, run) };
                    let what = format!(
                        "{} and {} were swapped: each is as it was written, but stands in the place of the other.",
                        capital(&records(low.first, low.last)),
                        records(high.first, high.last)
                    );
                    findings.add(Kind::Reordered, run.start.min(other.start), (low.first, high.last), what);
                }
                None => {
                    let beside = index.checked_sub(1).and_then(|at| self.run(at));
                    let place =
                        beside.map_or("at the very beginning".to_owned(), |it| format!("behind record {}", it.last));
                    let what = format!(
                        "{} {} as written, but {} in the wrong place: {place}.",
                        capital(&numbers),
                        are(run.first, run.last),
                        stand(run.last - run.first + 1)
                    );
                    findings.add(Kind::Reordered, run.start, (run.first, run.last), what);
                }
            }
        }
    }

    /// The run that stands where the moved one belongs, and belongs where that one stands.
    fn swapped_with(&self, index: usize, gap: usize, told: &mut Vec<usize>) -> Option<&Run> {
        let stands_in = |at: usize| self.order.main.iter().take_while(|main| **main < at).count();
        let home = stands_in(index);
        let exchanged = self.order.moved.iter().find(|(other, its_gap)| {
            *other != index && !told.contains(other) && *its_gap == home && stands_in(*other) == gap && home != gap
        });
        if let Some((other, _)) = exchanged {
            told.push(*other);
            return self.run(*other);
        }
        // Beside each other: the run only has to pass its neighbour.
        let main = |at: Option<usize>| at.and_then(|at| self.order.main.get(at)).copied();
        let before = main(gap.checked_sub(1)).filter(|before| *before == index + 1);
        let next = main(Some(gap)).filter(|next| next + 1 == index);
        let neighbour = next.or(before).and_then(|other| self.run(other))?;
        (self.run(index)?.is_single() == neighbour.is_single()).then_some(neighbour)
    }

    fn doubled(&self, findings: &mut Findings) {
        for index in &self.order.doubled {
            let Some(run) = self.run(*index) else { continue };
            // A whole segment in the place of another one has been told.
            let is_told = |finding: &super::Finding| {
                finding.kind == Kind::SegmentReplaced && findings.files().get(&run.start.segment) == Some(&finding.file)
            };
            if self.is_whole_file(run) && findings.listed.iter().any(is_told) {
                continue;
            }
            let what = format!(
                "{} {} here once more: {} added.",
                capital(&records(run.first, run.last)),
                stand(run.last - run.first + 1),
                if run.is_single() { "this line was" } else { "these lines were" }
            );
            findings.add(Kind::Duplicated, run.start, (run.first, run.last), what);
        }
    }

    fn lines_of(&self, segment: u64) -> u64 {
        self.scans.iter().find(|scan| scan.segment == segment).map_or(0, |scan| scan.lines)
    }

    fn ends_file(&self, run: &Run) -> bool {
        run.end.line >= self.lines_of(run.end.segment)
    }

    fn is_whole_file(&self, run: &Run) -> bool {
        run.start.line == 1 && self.ends_file(run)
    }
}

impl Place {
    fn min(self, other: Self) -> Self {
        if (other.segment, other.line) < (self.segment, self.line) { other } else { self }
    }
}

/// One finding for each changed record, however many of its joints are broken.
fn changed(seq: u64, at: Place, why: &str, findings: &mut Findings) {
    let is_told =
        findings.listed.iter().rev().take(4).any(|f| f.kind == Kind::Changed && f.first == seq && f.last == seq);
    if !is_told {
        findings.add(Kind::Changed, at, (seq, seq), format!("Record {seq} was changed: {why}."));
    }
}

/// Lines stand where records should, but are none of them.
fn replaced((first, last): (u64, u64), start: Place, lines: u64, findings: &mut Findings) {
    let count = last - first + 1;
    let what = capital(&records(first, last));
    let verb = were(first, last);
    let here = if lines == 1 { "the line that stands here".to_owned() } else { format!("the {lines} lines here") };
    let is_no = if lines == 1 { "is no record" } else { "are no records" };
    let what = match count == 1 || lines >= count {
        true => format!("{what} {verb} changed: {here} {is_no} of the chain any more."),
        false => format!("{what} {verb} changed or removed: {here} {is_no} of the chain."),
    };
    findings.add(Kind::Changed, start, (first, last), what);
}

/// Whether the only line of a run is as it was written once it carries the right hash.
fn is_as_it_was_but_for_the_link(run: &Run, prev: &Hash, behind: Option<&Run>) -> bool {
    let Some(line) = &run.opening else { return false };
    let Some(start) = line.len().checked_sub(PREV_DIGITS + LINE_END.len()) else { return false };
    let head = line.get(..start).unwrap_or_default();
    let mended = [head, prev.to_string().as_bytes(), LINE_END].concat();
    match behind {
        Some(behind) => Hash::of(&mended) == behind.prev,
        None => super::is_signed_checkpoint(&mended),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

const fn stand(count: u64) -> &'static str {
    if count == 1 { "stands" } else { "stand" }
}
