//! Which records count beside which others, as tables.

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};

use super::*;

fn record(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Tlsa {
    Tlsa { usage, selector, matching, data: data.to_vec() }
}

fn standings(records: &[Tlsa]) -> Vec<(Tlsa, Standing)> {
    let set = classify(records).unwrap();
    set.judged().iter().map(|one| (one.record.clone(), one.standing)).collect()
}

/// A certificate and its key.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    (certificate.der().to_vec(), key.subject_public_key_info())
}

#[test]
fn a_record_counts_by_its_numbers_and_the_form_of_its_data() {
    use Standing::{
        DigestLength, NotCertificate, NotKey, PkixUsage, UnknownMatching, UnknownSelector, UnknownUsage, Usable,
    };
    let (certificate, key) = certificate();
    let padded = |data: &[u8]| [data, &[0]].concat();
    let cut = |data: &[u8]| data.split_last().unwrap().1.to_vec();
    for (usage, selector, matching, data, expected) in [
        (3, 1, 1, vec![0; 32], Usable),
        (3, 1, 2, vec![0; 64], Usable),
        (3, 0, 1, vec![0; 32], Usable),
        (3, 0, 0, certificate.clone(), Usable),
        (3, 1, 0, key.clone(), Usable),
        (2, 1, 1, vec![0; 32], Usable),
        (2, 0, 2, vec![0; 64], Usable),
        (2, 0, 0, certificate.clone(), Usable),
        (2, 1, 0, key.clone(), Usable),
        (0, 0, 1, vec![0; 32], PkixUsage),
        (1, 1, 1, vec![0; 32], PkixUsage),
        (1, 9, 9, vec![], PkixUsage),
        (4, 1, 1, vec![0; 32], UnknownUsage),
        (255, 1, 1, vec![0; 32], UnknownUsage),
        (3, 2, 1, vec![0; 32], UnknownSelector),
        (2, 255, 0, certificate.clone(), UnknownSelector),
        (3, 1, 3, vec![0; 48], UnknownMatching),
        (3, 0, 255, vec![], UnknownMatching),
        (3, 1, 1, vec![0; 31], DigestLength),
        (3, 1, 1, vec![0; 33], DigestLength),
        (3, 1, 1, vec![], DigestLength),
        (3, 1, 1, vec![0; 64], DigestLength),
        (2, 0, 2, vec![0; 32], DigestLength),
        (3, 0, 0, vec![], NotCertificate),
        (3, 0, 0, key.clone(), NotCertificate),
        (2, 0, 0, padded(&certificate), NotCertificate),
        (2, 0, 0, cut(&certificate), NotCertificate),
        (3, 1, 0, vec![], NotKey),
        (3, 1, 0, certificate, NotKey),
        (2, 1, 0, padded(&key), NotKey),
        (2, 1, 0, cut(&key), NotKey),
    ] {
        let record = record(usage, selector, matching, &data);
        let set = classify(std::slice::from_ref(&record)).unwrap();
        assert_eq!(set.judged(), [Judged { record: record.clone(), standing: expected }]);
        let counts: Vec<&Tlsa> = set.usable().iter().flat_map(|usable| usable.records()).collect();
        assert_eq!(counts, if expected == Usable { vec![&record] } else { vec![] });
    }
    assert_eq!(classify(&[]), None);
}

/// Each record as `usage selector matching`, its data of the right length for the matching type.
fn plain(numbers: &str) -> Tlsa {
    let mut numbers = numbers.split(' ').map(|number| number.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    let (usage, selector, matching) = (next(), next(), next());
    record(usage, selector, matching, &[matching; 32].repeat(usize::from(matching)))
}

#[test]
fn of_several_digests_the_strongest_counts_for_each_usage_and_selector() {
    let (certificate, _) = certificate();
    let full = record(3, 0, 0, &certificate);
    let short = record(3, 1, 2, &[0; 32]);
    for (records, counts) in [
        (vec![plain("3 1 1"), plain("3 1 2")], vec!["3 1 2"]),
        (vec![plain("3 1 1"), plain("3 0 2")], vec!["3 0 2", "3 1 1"]),
        (vec![plain("3 1 1"), plain("2 1 2")], vec!["3 1 1", "2 1 2"]),
        (vec![plain("3 0 1"), full.clone()], vec!["3 0 0", "3 0 1"]),
        (vec![plain("3 0 1"), plain("3 0 2"), full], vec!["3 0 0", "3 0 2"]),
        (vec![plain("3 1 1"), short], vec!["3 1 1"]),
        (vec![plain("3 1 1"), plain("3 1 3")], vec!["3 1 1"]),
        (vec![plain("2 0 1"), plain("2 0 2"), plain("2 1 1"), plain("3 1 1")], vec!["3 1 1", "2 0 2", "2 1 1"]),
        (vec![plain("1 1 2"), plain("3 1 1")], vec!["3 1 1"]),
        (vec![plain("1 1 2"), plain("0 1 1")], vec![]),
    ] {
        let set = classify(&records).unwrap();
        let usable = set.usable();
        let found = usable.iter().flat_map(|usable| usable.records()).map(|record| {
            let Tlsa { usage, selector, matching, .. } = record;
            format!("{usage} {selector} {matching}")
        });
        assert_eq!(found.collect::<Vec<_>>(), counts, "{records:?}");
        let unused = set.judged().iter().filter(|one| one.standing == Standing::Weaker).count();
        let unusable = set.judged().iter().filter(|one| one.standing > Standing::Weaker).count();
        assert_eq!(counts.len() + unused + unusable, records.len());
    }
}

#[test]
fn each_standing_says_why_in_its_own_words() {
    let words: std::collections::BTreeSet<_> = Standing::ALL.iter().map(|standing| standing.as_str()).collect();
    assert_eq!(words.len(), Standing::ALL.len());
    for standing in Standing::ALL {
        assert_eq!(standing.to_string().starts_with("unusable"), standing > Standing::Weaker, "{standing}");
    }
}

#[test]
fn a_crowd_of_records_does_not_push_out_those_that_count() {
    let crowd = |usage, count: u16| (0..count).map(move |i| record(usage, 1, 1, &i.to_be_bytes().repeat(16)));
    let one = record(3, 1, 1, &[0xff; 32]);
    let records: Vec<Tlsa> = crowd(0, 2000).chain([one.clone()]).chain(crowd(2, 98)).collect();
    let found = standings(&records);
    assert_eq!(found.len(), TLSA_RECORDS_MAX);
    assert_eq!(found.first(), Some(&(one, Standing::Usable)));
    assert_eq!(found.iter().filter(|(_, standing)| *standing == Standing::Usable).count(), 99);
}

fn any_record() -> impl Strategy<Value = Tlsa> {
    let number = || prop_oneof![8 => 0..5_u8, 1 => any::<u8>()];
    let data = prop_oneof![
        4 => prop::collection::vec(0..2_u8, 32),
        4 => prop::collection::vec(0..2_u8, 64),
        1 => prop::collection::vec(any::<u8>(), 0..80),
    ];
    (number(), number(), number(), data).prop_map(|(usage, selector, matching, data)| Tlsa {
        usage,
        selector,
        matching,
        data,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neither_order_nor_repetition_changes_a_set(
        records in prop::collection::vec(any_record(), 0..12),
        at in 0..12_usize,
    ) {
        let mut changed = records.clone();
        changed.rotate_left(at.min(records.len()));
        changed.extend(records.get(at).cloned());
        prop_assert_eq!(classify(&records), classify(&changed));
    }

    #[test]
    fn a_record_beside_others_makes_no_set_that_can_be_used_useless(
        records in prop::collection::vec(any_record(), 1..12),
        more in prop::collection::vec(any_record(), 0..300),
    ) {
        let all = [records.clone(), more].concat();
        let is_usable = |records: &[Tlsa]| classify(records).is_some_and(|set| set.usable().is_some());
        prop_assert!(is_usable(&all) || !is_usable(&records));
    }
}
