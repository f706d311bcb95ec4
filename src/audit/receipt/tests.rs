//! Receipts of small logs, whole and tampered with.

use proptest::prelude::*;

use super::*;
use crate::audit::specimen::{START, Specimen};

const MADE: Timestamp = Timestamp::from_secs(START);

fn message(n: u128) -> MessageId {
    MessageId::from_u128(n)
}

fn receipt(log: &Specimen, of: u128) -> Receipt {
    make(log.folder(), message(of), MADE, &|_| ()).unwrap()
}

fn text(receipt: &Receipt) -> Vec<u8> {
    serde_json::to_vec(receipt).unwrap()
}

#[test]
fn a_receipt_proves_all_records_of_its_message() {
    let log = Specimen::usual();
    log.compress(1);
    let receipt = receipt(&log, 2);
    let proof = check(&text(&receipt), Some(log.public())).unwrap();
    let seqs: Vec<_> = proof.records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [2, 5, 8, 11, 14, 17, 23, 26]);
    assert_eq!(proof.vouched.iter().map(|vouched| vouched.seq).collect::<Vec<_>>(), [10, 15, 20, 29]);
    assert_eq!(proof.keys, [log.public()]);
}

#[test]
fn without_a_checkpoint_over_each_record_there_is_no_receipt() {
    let mut log = Specimen::usual();
    let make = |log: &Specimen, of| make(log.folder(), message(of), MADE, &|_| ());
    assert!(matches!(make(&log, 77), Err(MakeError::NoRecord)));
    log.say(Some(message(77)), "late");
    assert!(matches!(make(&log, 77), Err(MakeError::Unsigned { count: 1, all: 1, first: 30 })));
    log.checkpoint();
    assert_eq!(make(&log, 77).unwrap().records.len(), 1);
    let changed = log.text(2).replacen("as it was", "as it Was", 1);
    std::fs::write(log.path(2), changed).unwrap();
    assert!(matches!(make(&log, 2), Err(MakeError::Broken { seq: 15 })));
}

#[test]
fn every_key_that_led_to_the_signing_one_may_be_expected() {
    let mut log = Specimen::usual();
    let first = log.public();
    log.replace_key();
    let second = log.public();
    log.records(3);
    log.rotate();
    log.replace_key();
    let third = log.public();
    log.say(Some(message(77)), "under the third key");
    log.checkpoint();
    let receipt = receipt(&log, 77);
    assert_eq!(receipt.checkpoints.len(), 3);
    let keys = [first, second, third];
    assert_eq!(check(&text(&receipt), None).unwrap().keys, keys);
    for (from, key) in keys.into_iter().enumerate() {
        let proof = check(&text(&receipt), Some(key)).unwrap();
        assert_eq!((proof.keys.as_slice(), proof.vouched.len()), (&keys[from..], 3 - from));
    }
    let stranger = Specimen::new().public();
    let expected = Refusal::KeyUnexpected { expected: stranger, found: third };
    assert_eq!(check(&text(&receipt), Some(stranger)), Err(expected));
    let mut without = receipt;
    without.checkpoints.remove(1);
    let expected = Refusal::KeyChanged { seq: 37, key: third, before: second };
    assert_eq!(check(&text(&without), Some(first)), Err(expected));
}

#[test]
fn what_was_done_to_a_receipt_is_named() {
    let log = Specimen::usual();
    let honest = receipt(&log, 2);
    let check = |edit: &dyn Fn(&mut Receipt), expected: Refusal| {
        let mut receipt = honest.clone();
        edit(&mut receipt);
        assert_eq!(check(&text(&receipt), None), Err(expected));
    };
    check(&|r| r.receipt = 2, Refusal::Version(2));
    check(&|r| r.records.clear(), Refusal::Empty);
    check(&|r| r.records.swap(0, 1), Refusal::RecordsOutOfOrder { seq: 2, before: 5 });
    check(&|r| r.records.insert(1, r.records[0].clone()), Refusal::RecordsOutOfOrder { seq: 2, before: 2 });
    check(&|r| r.checkpoints.swap(0, 1), Refusal::CheckpointsOutOfOrder { seq: 10, before: 15 });
    check(&|r| _ = r.checkpoints.remove(0), Refusal::NoCheckpoint { seq: 2, checkpoint: 10 });
    check(&|r| r.checkpoints.insert(0, log.checkpoints[0].clone()), Refusal::Unneeded(1));
    check(&|r| r.records.truncate(6), Refusal::Unneeded(29));
    check(&|r| r.records[0].checkpoint = 15, Refusal::NotCovered { seq: 2, checkpoint: 15, first: 11 });
    check(&|r| _ = r.records[0].path.pop(), Refusal::RootWrong { seq: 2, checkpoint: 10 });
    check(
        &|r| r.records[0].line = r.records[0].line.replace("as it was", "as it Was"),
        Refusal::RootWrong { seq: 2, checkpoint: 10 },
    );
    check(&|r| r.records[0].line.clear(), Refusal::NotARecord(1));
    check(&|r| r.message = message(3), Refusal::OtherMessage { seq: 2, found: Some(message(2).to_string()) });
    let other = receipt(&log, 3);
    check(
        &|r| r.records[0] = other.records[0].clone(),
        Refusal::OtherMessage { seq: 3, found: Some(message(3).to_string()) },
    );
    let key = log.public();
    check(&|r| r.checkpoints[0] = r.checkpoints[0].replace("mx1", "mx2"), Refusal::SignatureWrong { seq: 10, key });
    check(&|r| r.checkpoints[0].truncate(100), Refusal::NotACheckpoint(1));
    let whole = text(&honest);
    let cut = super::check(&whole[..whole.len() - 100], None);
    assert!(matches!(cut, Err(Refusal::NotAReceipt(_))));
}

#[test]
fn a_receipt_by_another_key_is_none_where_the_key_is_known() {
    let (ours, theirs) = (Specimen::usual(), Specimen::made());
    let forged = receipt(&theirs, 2);
    let expected = Refusal::KeyUnexpected { expected: ours.public(), found: theirs.public() };
    assert_eq!(check(&text(&forged), Some(ours.public())), Err(expected));
    let mut mixed = receipt(&ours, 2);
    mixed.checkpoints[3] = forged.checkpoints[3].clone();
    let expected = Refusal::KeyChanged { seq: 29, key: theirs.public(), before: ours.public() };
    assert_eq!(check(&text(&mixed), None), Err(expected));
}

#[test]
fn a_receipt_under_another_key_gains_nothing_by_naming_the_expected_one() {
    let ours = Specimen::usual().public();
    let mut forged = Specimen::new();
    forged.say(Some(message(77)), "false");
    forged.name_key(ours);
    let receipt = receipt(&forged, 77);
    assert_eq!(check(&text(&receipt), None).unwrap().keys, [forged.public()]);
    let expected = Refusal::KeyUnexpected { expected: ours, found: forged.public() };
    assert_eq!(check(&text(&receipt), Some(ours)), Err(expected));
}

#[test]
fn an_early_checkpoint_forged_with_the_old_key_proves_nothing_under_the_new_one() {
    let mut log = Specimen::usual();
    let old = log.replace_key_but_keep_the_old();
    log.say(Some(message(77)), "as it was");
    log.checkpoint();
    let honest = receipt(&log, 77);
    let mut forged = Specimen::new();
    forged.key = old;
    forged.checkpoint();
    forged.say(Some(message(77)), "false");
    forged.checkpoint();
    let Receipt { records, checkpoints, .. } = receipt(&forged, 77);
    let mixed = Receipt {
        records: [records, honest.records.clone()].concat(),
        checkpoints: [checkpoints, honest.checkpoints.clone()].concat(),
        ..honest.clone()
    };
    let expected = Refusal::BeforeKey { seq: 2, checkpoint: 3, expected: log.public(), since: 32 };
    assert_eq!(check(&text(&mixed), Some(log.public())), Err(expected));
    assert_eq!(check(&text(&honest), Some(log.public())).unwrap().records.len(), 1);
}

#[test]
fn whoever_is_put_before_the_expected_key_is_not_told_as_one_who_signed() {
    let log = Specimen::usual();
    let honest = receipt(&log, 1);
    let mut stranger = Specimen::new();
    stranger.name_key(log.public());
    let with = Receipt { checkpoints: [stranger.checkpoints, honest.checkpoints.clone()].concat(), ..honest.clone() };
    let proof = check(&text(&with), Some(log.public())).unwrap();
    assert_eq!(proof, check(&text(&honest), Some(log.public())).unwrap());
    assert_eq!(proof.keys, [log.public()]);
}

proptest! {
    #[test]
    fn no_byte_of_a_receipt_can_be_changed(pick in any::<prop::sample::Index>(), byte in 1_u8..128, of in 1_u128..=3) {
        let log = Specimen::usual();
        let honest = receipt(&log, of);
        let mut receipt = honest.clone();
        let lines = receipt.records.iter_mut().map(|entry| &mut entry.line).chain(&mut receipt.checkpoints);
        let mut lines: Vec<&mut String> = lines.collect();
        let total: usize = lines.iter().map(|line| line.len()).sum();
        let mut at = pick.index(total);
        let line = lines.iter_mut().find(|line| { let here = at < line.len(); if !here { at -= line.len() } here });
        let line = line.unwrap();
        let mut bytes = std::mem::take(*line).into_bytes();
        bytes[at] = (bytes[at] ^ byte) & 127;
        **line = String::from_utf8(bytes).unwrap();
        prop_assert!(check(&text(&receipt), Some(log.public())).is_err());
    }

    #[test]
    fn no_hash_of_a_path_can_be_changed(record in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let log = Specimen::usual();
        let mut receipt = receipt(&log, 1);
        let index = record.index(receipt.records.len());
        let path = &mut receipt.records[index].path;
        let at = at.index(path.len());
        path[at] = Hash::of(path[at].as_bytes());
        prop_assert!(check(&text(&receipt), Some(log.public())).is_err());
    }
}
