//! What a response says, by table.

use std::str::FromStr;

use hickory_resolver::proto::dnssec::Algorithm;
use hickory_resolver::proto::dnssec::rdata::{NSEC, RRSIG, SigInput};
use hickory_resolver::proto::op::OpCode;
use hickory_resolver::proto::rr::SerialNumber;
use hickory_resolver::proto::rr::rdata::{A, CNAME, NULL, SOA};
use hickory_resolver::proto::serialize::binary::BinEncodable;
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// `"a. 60 A secure"`, `"a. 60 CNAME b. insecure"`, `"a. 60 RRSIG CNAME 1 secure"` with the number of labels.
fn record(text: &str) -> Record {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [owner, ttl, kind, rest @ .., proof] = words.as_slice() else { panic!("{text}") };
    let data = match (*kind, rest) {
        ("A", []) => RData::A(A::new(192, 0, 2, 1)),
        ("CNAME", [target]) => RData::CNAME(CNAME(name(target))),
        ("SOA", []) => RData::SOA(SOA::new(name("ns."), name("h."), 1, 60, 60, 60, 60)),
        ("DNAME", [target]) => {
            RData::Unknown { code: RecordType::DNAME, rdata: NULL::with(name(target).to_bytes().unwrap()) }
        }
        ("NSEC", []) => RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(name("z."), [RecordType::A]))),
        ("RRSIG", [covered, labels]) => {
            let input = SigInput {
                type_covered: RecordType::from_str(covered).unwrap(),
                algorithm: Algorithm::ECDSAP256SHA256,
                num_labels: labels.parse().unwrap(),
                original_ttl: 60,
                sig_expiration: SerialNumber::new(2),
                sig_inception: SerialNumber::new(1),
                key_tag: 1,
                signer_name: name("."),
            };
            RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, vec![1])))
        }
        _ => panic!("{text}"),
    };
    let mut record = Record::from_rdata(name(owner), ttl.parse().unwrap(), data);
    record.proof = match *proof {
        "secure" => Proof::Secure,
        "insecure" => Proof::Insecure,
        "bogus" => Proof::Bogus,
        _ => Proof::Indeterminate,
    };
    record
}

fn reply(answers: &[&str], authorities: &[&str], trust: Trust) -> Reply {
    let mut message = Message::response(1, OpCode::Query);
    message.add_answers(answers.iter().map(|text| record(text)));
    message.add_authorities(authorities.iter().map(|text| record(text)));
    Reply { message, trust }
}

const PROOFS: Trust = Trust::Proofs(Security::Secure);

/// `"b. 1 insecure first=secure ttl=60"`: the end, how many records it has, and the rest.
fn check(reply: &Reply, expected: Result<&str, LookupError>) {
    let shown = reply.read(&name("a."), RecordType::A).map(|reading| {
        let word = |security| format!("{security:?}").to_lowercase();
        let first = reading.first.map(|first| format!(" first={}", word(first))).unwrap_or_default();
        let Reading { end, records, security, ttl_secs, .. } = &reading;
        format!("{end} {} {}{first} ttl={ttl_secs}", records.len(), word(*security))
    });
    assert_eq!(shown.as_deref().map_err(|error| *error), expected, "{reply:?}");
}

#[test]
fn the_records_at_the_end_of_all_aliases_count_in_any_order_and_others_do_not() {
    for (answers, expected) in [
        (&["a. 60 A secure", "a. 50 A secure", "a. 10 RRSIG A 1 secure"][..], Ok("a. 2 secure ttl=50")),
        (&["A. 60 A secure", "b. 5 A bogus"], Ok("a. 1 secure ttl=60")),
        (&["a. 60 CNAME b. secure", "b. 70 A insecure"], Ok("b. 1 insecure first=secure ttl=60")),
        (&["b. 70 A secure", "a. 60 CNAME b. insecure"], Ok("b. 1 insecure first=insecure ttl=60")),
        (
            &["c. 60 A secure", "b. 20 CNAME C. insecure", "a. 40 CNAME b. secure"],
            Ok("C. 1 insecure first=secure ttl=20"),
        ),
        (&["a. 60 A unknown"], Ok("a. 1 unknown ttl=60")),
        (&["a. 60 A secure", "a. 60 A insecure"], Ok("a. 2 insecure ttl=60")),
        // Nothing about the end: it has to be asked about.
        (&["a. 60 CNAME b. secure", "c. 5 A secure"], Ok("b. 0 secure first=secure ttl=60")),
        (&["b. 60 A secure"], Ok("a. 0 secure ttl=4294967295")),
        (&["a. 60 RRSIG A 1 secure"], Ok("a. 0 secure ttl=4294967295")),
        (&["a. 60 A bogus"], Err(LookupError::Bogus)),
        (&["a. 60 A secure", "a. 60 A bogus"], Err(LookupError::Bogus)),
        (&["a. 60 CNAME b. bogus", "b. 60 A secure"], Err(LookupError::Bogus)),
        (&["a. 60 CNAME b. secure", "b. 60 A bogus"], Err(LookupError::Bogus)),
        (&["a. 60 CNAME a. secure"], Err(LookupError::Malformed)),
        (&["a. 60 CNAME b. secure", "b. 60 CNAME a. secure"], Err(LookupError::Malformed)),
    ] {
        check(&reply(answers, &[], PROOFS), expected);
    }
}

#[test]
fn a_word_for_the_whole_response_goes_for_each_record() {
    let answers = ["a. 60 CNAME b. secure", "b. 70 A bogus"];
    for (trust, expected) in [
        (Trust::Whole(Security::Secure), "b. 1 secure first=secure ttl=60"),
        (Trust::Whole(Security::Insecure), "b. 1 insecure first=insecure ttl=60"),
        (Trust::Whole(Security::Unknown), "b. 1 unknown first=unknown ttl=60"),
    ] {
        check(&reply(&answers, &[], trust), Ok(expected));
    }
    let insecure = reply(&["a. 60 A secure"], &[], Trust::Proofs(Security::Insecure));
    check(&insecure, Ok("a. 1 insecure ttl=60"));
}

#[test]
fn what_is_made_of_a_wildcard_needs_a_signed_proof_beside_it() {
    let made = ["a. 60 A secure", "a. 60 RRSIG A 0 secure"];
    let itself = ["a. 60 A secure", "a. 60 RRSIG A 1 secure", "a. 60 RRSIG TXT 0 secure"];
    for (answers, authorities, expected) in [
        (&made[..], &["b. 60 NSEC secure"][..], Ok("a. 1 secure ttl=60")),
        (&made, &["b. 60 NSEC insecure"], Err(LookupError::Bogus)),
        (&made, &["open. 60 SOA insecure"], Err(LookupError::Bogus)),
        (&made, &[], Err(LookupError::Bogus)),
        (&itself, &[], Ok("a. 1 secure ttl=60")),
    ] {
        check(&reply(answers, authorities, PROOFS), expected);
    }
}

#[test]
fn an_alias_made_of_a_dname_record_is_as_secure_as_that() {
    let made = |dname: &str| {
        let answers = [dname, "x.old. 50 CNAME x.new. bogus", "x.new. 40 A secure"];
        let reply = reply(&answers, &[], PROOFS);
        reply.read(&name("x.old."), RecordType::A).map(|reading| (reading.first, reading.records.len()))
    };
    for (dname, expected) in [
        ("old. 60 DNAME new. secure", Ok((Some(Security::Secure), 1))),
        ("old. 60 DNAME new. insecure", Ok((Some(Security::Insecure), 1))),
        ("old. 60 DNAME new. bogus", Err(LookupError::Bogus)),
        ("old. 60 DNAME other. secure", Err(LookupError::Bogus)),
        ("other. 60 DNAME new. secure", Err(LookupError::Bogus)),
        ("old. 60 A secure", Err(LookupError::Bogus)),
    ] {
        assert_eq!(made(dname), expected, "{dname}");
    }
}

#[test]
fn a_chain_of_aliases_has_an_end() {
    let chain = |length: usize| -> Vec<String> {
        let owner = |number| if number == 0 { "a.".to_owned() } else { format!("n{number}.") };
        let alias = |number| format!("{} 60 CNAME {} secure", owner(number), owner(number + 1));
        (0..length).map(alias).chain([format!("{} 60 A secure", owner(length))]).collect()
    };
    for (length, expected) in [
        (ALIASES_MAX, Ok(format!("n{ALIASES_MAX}. 1 secure first=secure ttl=60"))),
        (ALIASES_MAX + 1, Err(LookupError::Malformed)),
    ] {
        let answers = chain(length);
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        check(&reply(&answers, &[], PROOFS), expected.as_deref().map_err(|error| *error));
    }
}

const PROOF_WORDS: [&str; 4] = ["bogus", "unknown", "insecure", "secure"];

/// Records at a few names, as text without the proof, and the proof.
fn some_records() -> impl Strategy<Value = Vec<(String, usize)>> {
    let data = prop_oneof![Just("A".to_owned()), "CNAME [a-d]\\.", "DNAME [a-d]\\.", "RRSIG (A|CNAME) [0-2]",];
    let owner = prop_oneof![Just("a."), Just("b."), Just("c."), Just("x.a.")];
    let one = (owner, 1..99_u32, data, 0..PROOF_WORDS.len());
    prop::collection::vec(one.prop_map(|(owner, ttl, data, proof)| (format!("{owner} {ttl} {data}"), proof)), 0..8)
}

fn read(records: &[(String, usize)]) -> Result<(Name, Security, usize), LookupError> {
    let lines: Vec<String> = records.iter().map(|(text, proof)| format!("{text} {}", PROOF_WORDS[*proof])).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let reply = reply(&lines, &[], PROOFS);
    let reading = reply.read(&name("a."), RecordType::A)?;
    Ok((reading.end, reading.security, reading.records.len()))
}

proptest! {
    #[test]
    fn a_weaker_proof_of_one_record_never_makes_an_answer_more_secure(
        records in some_records(),
        which in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!records.is_empty());
        let mut weaker = records.clone();
        let (_, proof) = &mut weaker[which.index(records.len())];
        *proof = proof.saturating_sub(1);
        match (read(&records), read(&weaker)) {
            (Ok((end, security, count)), Ok((weaker_end, weaker_security, weaker_count))) => {
                prop_assert_eq!((end, count), (weaker_end, weaker_count));
                prop_assert!(weaker_security <= security);
            }
            // What is made of a wildcard without proof is bogus only where it claims to be signed.
            (Err(_), Ok((_, security, _))) => prop_assert!(security < Security::Secure),
            (Ok(_) | Err(_), Err(_)) => {}
        }
    }
}
