//! Logs that were tampered with, and what is said of them.

mod found_anywhere;
mod keys;
mod seals;

use std::fs;

use super::*;
use crate::audit::checkpoint::Why;
use crate::audit::specimen::Specimen;
use crate::audit::tests::scratch;
use crate::model::id::RecordId;
use crate::model::record::AuditEntry;

/// The findings by kind and numbers.
fn found(report: &Report) -> Vec<(Kind, u64, u64)> {
    report.breaks.iter().map(|finding| (finding.kind, finding.first, finding.last)).collect()
}

fn pinned(log: &Specimen) -> Expected {
    Expected { pinned: Some(log.public()), ..Expected::default() }
}

/// What `KEY.seen` would hold.
fn seen(log: &Specimen) -> Expected {
    let line = log.checkpoints.last().unwrap().clone().into_bytes();
    Expected { seen: Some(("audit.key.seen".into(), line)), ..pinned(log) }
}

fn run(log: &Specimen, expected: &Expected) -> Report {
    verify_with(log.folder(), expected, &|_| ()).unwrap()
}

/// The lines of a segment without their ends.
fn lines(log: &Specimen, segment: u64) -> Vec<String> {
    log.text(segment).lines().map(str::to_owned).collect()
}

fn write(log: &Specimen, segment: u64, lines: &[String]) {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    fs::write(log.path(segment), text).unwrap();
}

fn edit(log: &Specimen, segment: u64, edit: impl FnOnce(&mut Vec<String>)) {
    let mut lines = lines(log, segment);
    edit(&mut lines);
    write(log, segment, &lines);
}

#[track_caller]
fn check(tamper: impl FnOnce(&Specimen), expected: &[(Kind, u64, u64)]) -> Report {
    let log = Specimen::usual();
    tamper(&log);
    let report = run(&log, &seen(&log));
    assert_eq!(found(&report), expected, "{:#?}", report.breaks);
    report
}

#[test]
fn a_log_as_it_was_written_is_whole_and_vouched_for() {
    let mut log = Specimen::usual();
    let report = run(&log, &seen(&log));
    assert_eq!((report.segments, report.records, report.checkpoints, report.first), (3, 29, 5, 1));
    assert_eq!((report.break_count, report.behind, report.compared), (0, 0, Compared::Pinned));
    assert_eq!(report.tip, log.tip);
    let vouched = report.vouched.unwrap();
    assert_eq!((vouched.seq, vouched.node.as_str(), vouched.key), (29, "mx1", log.public()));
    log.compress(1);
    log.compress(2);
    log.records(3);
    let report = run(&log, &pinned(&log));
    assert_eq!((report.records, report.behind, report.break_count), (32, 3, 0));
    fs::write(log.path(3), log.text(3) + "{\"seq\":33,\"ti").unwrap();
    let report = run(&log, &pinned(&log));
    assert_eq!((report.records, report.unfinished, report.break_count), (32, true, 0));
}

#[test]
fn what_the_daemon_writes_is_whole_from_day_to_day() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = scratch(folder.path());
    let entry = |n: u32| {
        let id = RecordId::from_u128(n.into());
        AuditEntry { id, json: format!("{{\"id\":\"{id}\",\"n\":{n}}}").into() }
    };
    for n in 0..6 {
        log.append(&entry(n), Timestamp::from_secs(i64::from(n) * 50_000)).unwrap();
    }
    log.checkpoint(Why::Stop, Timestamp::from_secs(300_000)).unwrap();
    log.sync().unwrap();
    let report = verify(folder.path()).unwrap();
    assert_eq!((report.break_count, report.behind, report.segments), (0, 0, 3), "{report:#?}");
    assert_eq!(report.tip, *log.tip());
}

#[test]
fn a_changed_record_is_named_whatever_was_changed_in_it() {
    use Kind::Changed;
    for (from, to) in [
        ("as it was", "as it wes"),
        ("\"seq\":23", "\"seq\":24"),
        ("\"seq\":23", "\"seq\":13"),
        ("\"seq\":23", "\"seq\":22"),
        ("\"seq\":23", "\"seq\":25"),
        ("\"seq\":23", "\"seq\":93"),
        ("\"seq\":23", "\"seq\":03"),
        ("\"seq\":23", "\"seq\":2x"),
        ("\"seq\"", "\"saq\""),
        ("2027-01-02", "2027-01-03"),
        ("queue.admin", "queue.admim"),
        ("\"prev\":\"", "\"prev\":\"\n"),
        ("\"}", "\"]"),
    ] {
        check(|log| edit(log, 3, |lines| lines[2] = lines[2].replace(from, to)), &[(Changed, 23, 23)]);
    }
    let other_link = |line: &mut String| {
        let at = line.len() - 10;
        let digit = if line.as_bytes()[at] == b'0' { "1" } else { "0" };
        line.replace_range(at..=at, digit);
    };
    check(|log| edit(log, 3, |lines| other_link(&mut lines[2])), &[(Changed, 23, 23)]);
    check(|log| edit(log, 1, |lines| other_link(&mut lines[0])), &[(Changed, 1, 1)]);
    check(|log| edit(log, 2, |lines| other_link(&mut lines[0])), &[(Changed, 11, 11)]);
    check(|log| edit(log, 3, |lines| other_link(&mut lines[8])), &[(Changed, 29, 29)]);
    check(|log| edit(log, 1, |lines| lines[9] = lines[9].replace("mx1", "mx2")), &[(Changed, 10, 10)]);
    check(|log| edit(log, 3, |lines| lines[7] = lines[7].replace("as it was", "as it")), &[(Changed, 28, 28)]);
    check(
        |log| {
            edit(log, 1, |lines| lines[3] = lines[3].replace("as it was", "as it"));
            edit(log, 3, |lines| lines[3] = lines[3].replace("as it was", "as it"));
        },
        &[(Changed, 4, 4), (Changed, 24, 24)],
    );
    let report =
        check(|log| edit(log, 3, |lines| lines[2] = lines[2].replace("as it was", "false")), &[(Changed, 23, 23)]);
    let finding = &report.breaks[0];
    assert!(finding.file.ends_with("00000003.jsonl"));
    assert_eq!(finding.line, 3);
    assert_eq!(
        finding.what,
        "Record 23 was changed: what stands here is not what the record behind it vouches for. All else that \
         checkpoint 29 covers is as it was signed."
    );
}

#[test]
fn what_is_wrong_with_the_last_checkpoint_is_told_once() {
    use Kind::{Changed, SignatureWrong};
    for (field, alone) in [
        ("\"root\":\"", SignatureWrong),
        ("\"signature\":\"", SignatureWrong),
        ("\"node\":\"", SignatureWrong),
        ("\"key\":\"ed25519:", SignatureWrong),
        ("\"why\":\"", Changed),
        ("{\"seq\":", Changed),
        ("{\"se", Changed),
        ("\"prev\":\"", Changed),
    ] {
        let log = Specimen::usual();
        edit(&log, 3, |lines| {
            let at = lines[8].find(field).unwrap() + field.len();
            // Another digit, so that it reads as well as before; or a byte that fits nowhere.
            let to = if lines[8].as_bytes()[at] == b'1' { "2" } else { "1" };
            lines[8].replace_range(at..=at, to);
        });
        let report = run(&log, &seen(&log));
        assert_eq!(found(&report), [(Changed, 29, 29)], "{field}: {:#?}", report.breaks);
        assert_eq!((report.break_count, report.breaks[0].line), (1, 9), "{field}");
        assert_eq!(found(&run(&log, &pinned(&log))), [(alone, 29, 29)], "{field}, without a copy");
    }
    // Signed by its key it is another history, and no slip.
    let mut log = Specimen::usual();
    let known = seen(&log);
    edit(&log, 3, |lines| _ = lines.pop());
    log.unseal();
    log.rotate();
    assert_eq!(found(&run(&log, &known)), [(Kind::Rewritten, 1, 29)]);
}

#[test]
fn records_that_were_taken_out_are_named() {
    use Kind::Missing;
    check(|log| edit(log, 3, |lines| _ = lines.remove(2)), &[(Missing, 23, 23)]);
    check(|log| edit(log, 3, |lines| _ = lines.drain(2..5)), &[(Missing, 23, 25)]);
    check(|log| edit(log, 1, |lines| _ = lines.remove(0)), &[(Missing, 1, 1)]);
    check(|log| edit(log, 2, |lines| _ = lines.remove(0)), &[(Missing, 11, 11)]);
    check(|log| edit(log, 2, |lines| _ = lines.remove(4)), &[(Missing, 15, 15)]);
    let report = check(|log| edit(log, 3, |lines| _ = lines.remove(2)), &[(Missing, 23, 23)]);
    assert_eq!(
        report.breaks[0].what,
        "Record 23 is missing: record 24 follows on record 22. All else that checkpoint 29 covers is as it was signed."
    );
}

#[test]
fn records_in_another_order_are_named() {
    use Kind::{Duplicated, Inserted, Reordered};
    check(|log| edit(log, 3, |lines| lines.swap(2, 3)), &[(Reordered, 23, 24)]);
    check(|log| edit(log, 3, |lines| lines.swap(1, 6)), &[(Reordered, 22, 27)]);
    let report = check(|log| edit(log, 3, |lines| lines.swap(1, 3)), &[(Reordered, 22, 24)]);
    assert!(report.breaks[0].what.starts_with("Record 22 and record 24 were swapped"));
    check(
        |log| {
            edit(log, 3, |lines| {
                let line = lines.remove(1);
                lines.insert(5, line)
            })
        },
        &[(Reordered, 22, 22)],
    );
    check(
        |log| {
            edit(log, 3, |lines| {
                let line = lines.remove(5);
                lines.insert(1, line)
            })
        },
        &[(Reordered, 26, 26)],
    );
    check(
        |log| {
            let (two, three) = (lines(log, 2), lines(log, 3));
            edit(log, 2, |lines| lines[1].clone_from(&three[2]));
            edit(log, 3, |lines| lines[2].clone_from(&two[1]));
        },
        &[(Reordered, 12, 23)],
    );
    check(
        |log| {
            let (two, three) = (lines(log, 2), lines(log, 3));
            write(log, 2, &three);
            write(log, 3, &two);
        },
        &[(Reordered, 11, 29)],
    );
    check(|log| edit(log, 3, |lines| lines.insert(2, lines[1].clone())), &[(Duplicated, 22, 22)]);
    check(|log| edit(log, 3, |lines| lines.insert(6, lines[1].clone())), &[(Duplicated, 22, 22)]);
    check(|log| edit(log, 2, |lines| lines.insert(1, lines[6].clone())), &[(Duplicated, 17, 17)]);
    check(|log| edit(log, 3, |lines| lines.insert(2, "so what".to_owned())), &[(Inserted, 23, 23)]);
}

#[test]
fn segments_that_are_gone_cut_or_put_back_are_named() {
    use Kind::{SegmentMissing, SegmentReplaced, TailCut, Unreadable};
    check(|log| fs::remove_file(log.path(1)).unwrap(), &[(SegmentMissing, 1, 10)]);
    check(|log| fs::remove_file(log.path(2)).unwrap(), &[(SegmentMissing, 11, 20)]);
    check(|log| fs::remove_file(log.path(3)).unwrap(), &[(TailCut, 21, 29)]);
    check(|log| fs::write(log.path(2), "").unwrap(), &[(SegmentMissing, 11, 20)]);
    // A valid copy of the segment from before its end was written.
    check(|log| edit(log, 2, |lines| lines.truncate(7)), &[(SegmentReplaced, 18, 20)]);
    check(|log| edit(log, 2, |lines| lines.truncate(5)), &[(SegmentReplaced, 16, 20)]);
    // Another segment, whole and valid, under this one's name.
    check(|log| _ = fs::copy(log.path(1), log.path(2)).unwrap(), &[(SegmentReplaced, 11, 20)]);
    check(|log| _ = fs::copy(log.path(3), log.path(2)).unwrap(), &[(SegmentReplaced, 11, 20)]);
    check(
        |log| {
            log.compress(2);
            let path = Segment::compressed(log.folder(), 2).path;
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        },
        &[(Unreadable, 11, 20)],
    );
}

#[test]
fn a_tail_that_was_cut_is_named_where_a_later_checkpoint_is_known() {
    use Kind::TailCut;
    check(|log| edit(log, 3, |lines| lines.truncate(4)), &[(TailCut, 25, 29)]);
    check(|log| edit(log, 3, |lines| lines.truncate(8)), &[(TailCut, 29, 29)]);
    check(|log| fs::write(log.path(3), log.text(3).split_at(900).0).unwrap(), &[(TailCut, 23, 29)]);
    check(|log| (1..=3).for_each(|n| fs::remove_file(log.path(n)).unwrap()), &[(TailCut, 1, 29)]);
    // An older copy of the whole log, as a restored backup would be.
    let older = |log: &Specimen| {
        fs::remove_file(log.path(3)).unwrap();
        edit(log, 2, |lines| lines.truncate(5));
    };
    check(older, &[(TailCut, 16, 29)]);
    // By itself it is as whole as it was when it was copied.
    let log = Specimen::usual();
    older(&log);
    assert_eq!(run(&log, &pinned(&log)).break_count, 0);
}

#[test]
fn a_log_full_of_nonsense_is_told_in_few_words() {
    let log = Specimen::usual();
    let nonsense: String =
        (0..5000).map(|n| format!("{{\"seq\":{},\"prev\":\"{:064}\"}}\n", n * 7 % 991 + 1, n)).collect();
    fs::write(log.path(2), nonsense).unwrap();
    let report = run(&log, &pinned(&log));
    assert!(report.break_count > 0 && report.breaks.len() <= BREAKS_MAX);
    fs::write(log.path(2), vec![b'x'; 3 << 20]).unwrap();
    let report = run(&log, &pinned(&log));
    assert_eq!(found(&report), [(Kind::SegmentMissing, 11, 20)]);
}

#[test]
fn one_segment_is_proved_by_its_closing_checkpoint() {
    let log = Specimen::usual();
    let one = |number| verify_segment(log.folder(), number, &pinned(&log), &|_| ()).unwrap();
    let report = one(2).unwrap();
    assert_eq!((report.records, report.first, report.break_count), (10, 11, 0));
    assert_eq!(report.vouched.unwrap().seq, 20);
    assert!(one(4).is_none());
    edit(&log, 2, |lines| lines[2] = lines[2].replace("as it was", "false"));
    assert_eq!(found(&one(2).unwrap()), [(Kind::Changed, 13, 13)]);
    edit(&log, 1, |lines| lines.truncate(9));
    assert_eq!(found(&one(1).unwrap()), [(Kind::CheckpointMissing, 9, 9)]);
    assert_eq!(one(3).unwrap().break_count, 0);
}
