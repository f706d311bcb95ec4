//! Whose signatures count: a key that is expected must have signed, and what it signed vouches for the chain before.

use super::*;
use crate::audit::key::{PublicKey, SigningKey};

fn pin(key: PublicKey) -> Expected {
    Expected { pinned: Some(key), ..Expected::default() }
}

/// As the key file of the daemon says.
fn file(key: PublicKey) -> Expected {
    Expected { current: Some(key), ..Expected::default() }
}

#[test]
fn a_log_written_anew_under_another_key_gains_nothing_by_naming_the_expected_one() {
    let ours = Specimen::usual().public();
    let mut forged = Specimen::made();
    forged.name_key(ours);
    assert_eq!(run(&forged, &Expected::default()).keys, [forged.public()]);
    for (expected, compared, words) in [
        (pin(ours), Compared::Pinned, "is only named as the next one and signed nothing in this log"),
        (file(ours), Compared::File, "which this log only names as the next one"),
    ] {
        let report = run(&forged, &expected);
        assert_eq!(found(&report), [(Kind::KeyUnexpected, 0, 0)]);
        assert_eq!((report.compared, report.known_since), (compared, None));
        let what = &report.breaks[0].what;
        assert!(what.contains(words) && what.contains(&format!("signed by {}", forged.public())), "{what}");
    }
    // Whatever else follows, but for a signature of the key itself.
    forged.records(2);
    forged.rotate();
    assert_eq!(found(&run(&forged, &pin(ours))), [(Kind::KeyUnexpected, 0, 0), (Kind::KeyChanged, 33, 33)]);
}

#[test]
fn a_key_that_was_named_counts_from_its_first_signature_on() {
    let mut log = Specimen::usual();
    let first = log.public();
    log.replace_key();
    let second = log.public();
    let kinds = |log: &Specimen, expected: &Expected| found(&run(log, expected));
    // So the replacement was interrupted: the key file still holds the old key, or already the new one.
    assert_eq!(kinds(&log, &pin(first)), []);
    assert_eq!(kinds(&log, &file(first)), []);
    assert_eq!(kinds(&log, &pin(second)), [(Kind::KeyUnexpected, 0, 0)]);
    assert_eq!(kinds(&log, &file(second)), [(Kind::KeyUnexpected, 0, 0)]);
    log.checkpoint();
    assert_eq!(kinds(&log, &pin(second)), []);
    assert_eq!(kinds(&log, &file(second)), []);
    assert_eq!(kinds(&log, &file(first)), [(Kind::KeyUnexpected, 0, 0)]);
    let since = |key| run(&log, &pin(key)).known_since.map(|since| (since.seq, since.key));
    assert_eq!((since(first), since(second)), (Some((1, first)), Some((31, second))));
}

#[test]
fn a_signature_vouches_for_the_chain_before_it_against_the_old_key_too() {
    let mut log = Specimen::usual();
    let old = log.replace_key_but_keep_the_old();
    log.checkpoint();
    let new = log.public();
    // The old key, which somebody kept, writes all that it once signed anew; the new one's checkpoint is put behind.
    let mut forged = Specimen::new();
    forged.key = old;
    forged.checkpoint();
    forged.records(27);
    forged.say(None, "false");
    forged.name_key(new);
    fs::write(forged.path(1), forged.text(1) + log.checkpoints.last().unwrap() + "\n").unwrap();
    let report = run(&forged, &pin(new));
    assert_eq!((report.records, report.break_count), (31, 1), "{:#?}", report.breaks);
    assert_eq!((report.breaks[0].kind, report.breaks[0].first), (Kind::Forked, 31));
}

#[test]
fn a_key_that_the_daemon_replaced_signs_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = scratch(folder.path());
    let now = Timestamp::from_secs(0);
    log.checkpoint(Why::Start, now).unwrap();
    let line = log.rotate_key(now).unwrap();
    let named = Checkpoint::parse(line.as_bytes()).unwrap();
    let (old, new) = (named.statement.key, named.statement.next_key.unwrap());
    for expected in [pin(old), pin(new), file(new)] {
        let report = verify_with(folder.path(), &expected, &|_| ()).unwrap();
        assert_eq!((report.break_count, report.keys), (0, vec![old, new]), "{:#?}", report.breaks);
    }
    let stranger = SigningKey::generate().unwrap().public();
    let report = verify_with(folder.path(), &file(stranger), &|_| ()).unwrap();
    assert_eq!(found(&report), [(Kind::KeyUnexpected, 0, 0)]);
}
