//! Checkpoints, keys, tombstones, and checkpoints held elsewhere.

use std::path::PathBuf;

use super::*;
use crate::audit::key::SigningKey;

/// Writes every line of the log anew from record `from` on, so that the chain is whole, as somebody without the key
/// would. Checkpoints are kept as they are but for their links.
fn chain_anew(log: &Specimen, from: u64, change: impl Fn(u64, &str) -> String) {
    let mut tip = Tip::default();
    for segment in 1..=3 {
        edit(log, segment, |lines| {
            for line in lines {
                if tip.seq + 1 >= from {
                    let inner = line.split_once(',').unwrap().1.rsplit_once(",\"prev\"").unwrap().0;
                    *line = tip.extend(&change(tip.seq + 1, &format!("{{{inner}}}")));
                } else {
                    tip.follow(line.as_bytes()).unwrap();
                }
            }
        });
    }
}

fn held(log: &Specimen, lines: &[&str]) -> Expected {
    let path = log.folder().join("held");
    fs::write(&path, lines.join("\n")).unwrap();
    Expected { held: vec![path], ..pinned(log) }
}

#[test]
fn a_chain_that_was_written_anew_is_seen_by_its_checkpoints() {
    use Kind::SignatureWrong;
    let change = |seq: u64, json: &str| if seq == 12 { json.replace("as it was", "false") } else { json.to_owned() };
    let log = Specimen::usual();
    chain_anew(&log, 12, change);
    let report = run(&log, &pinned(&log));
    assert_eq!(found(&report), [(SignatureWrong, 15, 29)]);
    assert!(report.breaks[0].what.ends_with(" So are the next 2, up to checkpoint 29."));
    // The checkpoints themselves left alone, the break stands right before the first of them.
    let log = Specimen::usual();
    let (original, third) = (lines(&log, 2), lines(&log, 3));
    chain_anew(&log, 12, change);
    edit(&log, 2, |lines| lines[4..].clone_from_slice(&original[4..]));
    write(&log, 3, &third);
    let report = run(&log, &pinned(&log));
    assert_eq!(found(&report), [(Kind::Changed, 14, 14)]);
    assert!(
        report.breaks[0].what.ends_with("More that checkpoint 15 covers, records 11 to 14, may have been changed.")
    );
}

#[test]
fn a_key_follows_on_another_only_by_its_word() {
    let mut log = Specimen::usual();
    let first = log.public();
    log.replace_key();
    log.records(2);
    log.checkpoint();
    let second = log.public();
    let report = run(&log, &Expected { pinned: Some(first), ..Expected::default() });
    assert_eq!((report.break_count, report.keys), (0, vec![first, second]));
    let report = run(&log, &Expected { current: Some(second), ..Expected::default() });
    assert_eq!((report.break_count, report.compared), (0, Compared::File));
    let report = run(&log, &Expected { current: Some(first), ..Expected::default() });
    assert_eq!(found(&report), [(Kind::KeyUnexpected, 0, 0)]);
    let stranger = SigningKey::generate().unwrap().public();
    let report = run(&log, &Expected { pinned: Some(stranger), ..Expected::default() });
    assert_eq!(found(&report), [(Kind::KeyUnexpected, 0, 0)]);

    let mut lost = Specimen::usual();
    lost.key = SigningKey::generate().unwrap();
    lost.records(1);
    lost.checkpoint();
    lost.checkpoint();
    assert_eq!(found(&run(&lost, &Expected::default())), [(Kind::KeyChanged, 31, 31)]);
}

#[test]
fn a_checkpoint_forged_with_another_key_is_told_from_a_real_one() {
    let mut log = Specimen::usual();
    let real = std::mem::replace(&mut log.key, SigningKey::generate().unwrap());
    log.records(1);
    log.checkpoint();
    log.key = real;
    log.records(1);
    log.checkpoint();
    assert_eq!(found(&run(&log, &pinned(&log))), [(Kind::KeyChanged, 31, 31)]);

    let mut log = Specimen::usual();
    let old = log.replace_key_but_keep_the_old();
    log.records(1);
    log.key = old;
    log.checkpoint();
    let report = run(&log, &Expected::default());
    assert_eq!(found(&report), [(Kind::KeyChanged, 32, 32)]);
    assert!(report.breaks[0].what.contains("replaced at record 30"));
}

#[test]
fn a_log_without_signatures_is_none_where_a_key_is_known() {
    let mut log = Specimen::new();
    log.records(5);
    let report = run(&log, &Expected::default());
    assert_eq!((report.break_count, report.vouched, report.behind), (0, None, 5));
    assert_eq!(found(&run(&log, &pinned(&log))), [(Kind::CheckpointMissing, 0, 0)]);
}

#[test]
fn a_closed_segment_without_its_checkpoint_is_told_although_the_chain_is_whole() {
    let mut log = Specimen::new();
    log.checkpoint();
    log.records(3);
    log.begin_segment_without_checkpoint();
    log.records(3);
    log.checkpoint();
    let report = run(&log, &pinned(&log));
    assert_eq!(found(&report), [(Kind::CheckpointMissing, 4, 4)]);
}

#[test]
fn what_retention_removed_is_vouched_for_by_its_tombstone() {
    let mut log = Specimen::usual();
    let kept = log.text(2);
    log.retire(2);
    let report = run(&log, &seen(&log));
    assert_eq!((report.break_count, report.first, report.removed.map(|removed| removed.last)), (0, 21, Some(20)));
    // A crash in between: the oldest go first.
    fs::write(log.path(2), kept).unwrap();
    assert_eq!(run(&log, &pinned(&log)).break_count, 0);
    fs::remove_file(log.path(2)).unwrap();
    edit(&log, 3, |lines| _ = lines.remove(0));
    assert_eq!(found(&run(&log, &pinned(&log))), [(Kind::Missing, 21, 21)]);

    let mut log = Specimen::usual();
    log.retire(1);
    fs::remove_file(log.path(2)).unwrap();
    assert_eq!(found(&run(&log, &pinned(&log))), [(Kind::SegmentMissing, 11, 20)]);
}

#[test]
fn checkpoints_held_elsewhere_confirm_the_log_or_refute_it() {
    let mut log = Specimen::usual();
    let all: Vec<String> = log.checkpoints.clone();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let report = run(&log, &held(&log, &all));
    assert_eq!((report.break_count, report.held.confirmed, report.held.newest.unwrap().seq), (0, 5, 29));
    log.retire(1);
    let report = run(&log, &held(&log, &all));
    assert_eq!((report.break_count, report.held.confirmed, report.held.removed), (0, 3, 2));

    // Whoever has the key writes the log anew, but not what is held elsewhere.
    let log = Specimen::usual();
    let all: Vec<&str> = log.checkpoints.iter().map(String::as_str).collect();
    let mut forged = Specimen::new();
    forged.key = SigningKey::from_pem(log.key.to_pem().unwrap().as_bytes()).unwrap();
    forged.checkpoint();
    forged.records(3);
    forged.say(None, "false");
    forged.records(4);
    forged.rotate();
    assert_eq!(run(&forged, &pinned(&log)).break_count, 0);
    let report = run(&forged, &held(&log, &all[..2]));
    assert_eq!(found(&report), [(Kind::Rewritten, 2, 10)]);
    let report = run(&forged, &held(&log, &all));
    assert_eq!(found(&report), [(Kind::Rewritten, 2, 10), (Kind::TailCut, 11, 29)]);

    let changed = all[1].replace("mx1", "mx2");
    let report = run(&log, &held(&log, &[&changed, "nonsense", ""]));
    assert_eq!(found(&report), [(Kind::HeldInvalid, 0, 0), (Kind::HeldInvalid, 0, 0)]);
    let missing = Expected { held: vec![PathBuf::from("/nonexistent/held")], ..Expected::default() };
    assert!(verify_with(log.folder(), &missing, &|_| ()).is_err());
}
