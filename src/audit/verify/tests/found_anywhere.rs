//! Whatever single thing is done to a log before its last checkpoint is found, and named by its number.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Where a line of the usual log stands: its segment, and its index there.
fn place(seq: u64) -> (u64, usize) {
    let segment = (seq - 1) / 10 + 1;
    (segment, usize::try_from((seq - 1) % 10).unwrap())
}

fn line_of(log: &Specimen, seq: u64) -> String {
    let (segment, index) = place(seq);
    lines(log, segment)[index].clone()
}

fn set_line(log: &Specimen, seq: u64, line: &str) {
    let (segment, index) = place(seq);
    edit(log, segment, |lines| lines[index] = line.to_owned());
}

fn named(report: &Report, seq: u64) -> bool {
    report.breaks.iter().any(|finding| (finding.first..=finding.last).contains(&seq))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_byte(seq in 1_u64..=29, at in any::<Index>(), flip in 1_u8..=255, pin in any::<bool>()) {
        let log = Specimen::usual();
        let (segment, index) = place(seq);
        let mut bytes = log.text(segment).into_bytes();
        let before: usize = lines(&log, segment).iter().take(index).map(|line| line.len() + 1).sum();
        // With the line end behind it.
        let at = before + at.index(line_of(&log, seq).len() + 1);
        bytes[at] ^= flip;
        fs::write(log.path(segment), bytes).unwrap();
        // Nothing follows on the last line: only its copy tells whatever was done to it.
        let expected = match pin {
            _ if seq == 29 => seen(&log),
            true => pinned(&log),
            false => Expected::default(),
        };
        let report = run(&log, &expected);
        prop_assert!(named(&report, seq), "{seq}: {:#?}", report.breaks);
        // A line end that is gone makes one line of two.
        let near = |finding: &Finding| finding.first + 1 >= seq && finding.last <= seq + 1;
        prop_assert!(report.breaks.len() <= if seq == 29 { 1 } else { 2 }, "{seq}: {:#?}", report.breaks);
        prop_assert!( report.breaks.iter().all(near), "{seq}: {:#?}", report.breaks);
    }

    #[test]
    fn a_line_taken_out(seq in 1_u64..=28) {
        let log = Specimen::usual();
        let (segment, index) = place(seq);
        edit(&log, segment, |lines| _ = lines.remove(index));
        let report = run(&log, &pinned(&log));
        prop_assert_eq!(report.breaks.len(), 1);
        prop_assert_eq!((report.breaks[0].first, report.breaks[0].last), (seq, seq));
    }

    #[test]
    fn two_lines_swapped(one in 1_u64..=29, other in 1_u64..=29) {
        prop_assume!(one != other);
        let log = Specimen::usual();
        let lines = (line_of(&log, one), line_of(&log, other));
        set_line(&log, one, &lines.1);
        set_line(&log, other, &lines.0);
        let report = run(&log, &pinned(&log));
        let expected = [(Kind::Reordered, one.min(other), one.max(other))];
        prop_assert_eq!(found(&report), expected, "{:#?}", report.breaks);
    }

    #[test]
    fn a_line_written_twice(seq in 1_u64..=28, behind in 1_u64..=28) {
        let log = Specimen::usual();
        let copy = line_of(&log, seq);
        let (segment, index) = place(behind);
        edit(&log, segment, |lines| lines.insert(index + 1, copy));
        let report = run(&log, &pinned(&log));
        prop_assert_eq!(found(&report), [(Kind::Duplicated, seq, seq)], "behind {}", behind);
    }
}
