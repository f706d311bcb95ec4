//! What a response says, by table.

use std::str::FromStr;

use hickory_resolver::proto::dnssec::Algorithm;
use hickory_resolver::proto::dnssec::rdata::{NSEC, RRSIG, SigInput};
use hickory_resolver::proto::op::OpCode;
use hickory_resolver::proto::rr::SerialNumber;
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};

use super::*;

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

/// `"a. 60 A secure"`, `"a. 60 CNAME b. insecure"`, `"a. 60 RRSIG CNAME 1 secure"` with the number of labels.
fn record(text: &str) -> Record {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [owner, ttl, kind, rest @ .., proof] = words.as_slice() else { panic!("{text}") };
    let data = match (*kind, rest) {
        ("A", []) => RData::A(A::new(192, 0, 2, 1)),
        ("CNAME", [target]) => RData::CNAME(CNAME(name(target))),
        ("SOA", []) => RData::SOA(SOA::new(name("ns."), name("h."), 1, 60, 60, 60, 60)),
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
