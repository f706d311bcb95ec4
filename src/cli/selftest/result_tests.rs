//! What counts as the same answer, and as a handshake that ended as it should.

use super::*;
use crate::cli::selftest::spread::NeededKey;
use crate::model::cipher::CipherSuite;
use crate::model::tls::ProtocolVersion;

fn reply(text: &str) -> Reply {
    let (code, rest) = text.split_once(' ').unwrap();
    let (enhanced, words) = rest.split_once(' ').unwrap();
    // The server breaks long texts between words.
    let lines = words.split('|').map(str::to_owned).collect();
    Reply { code: Code::new(code.parse().unwrap()).unwrap(), enhanced: EnhancedCode::parse(enhanced), lines }
}

#[test]
fn a_refusal_is_the_same_if_codes_and_words_are_and_a_yes_if_it_is_one() {
    let refusal = "554 5.7.10 a.example requires TLSv1.2; this session uses TLSv1 RC4-SHA; id=…";
    let rcpt = Stage::Rcpt;
    for (expected, stage, seen, equal) in [
        ("250 2.1.5 Recipient ok", rcpt, "250 2.1.5 fine", true),
        ("250 2.1.5 Recipient ok", Stage::Mail, "250 2.1.5 fine", false),
        ("250 2.1.5 Recipient ok", rcpt, "451 4.3.0 later", false),
        (refusal, rcpt, "250 2.1.5 Recipient ok", false),
        (refusal, rcpt, "554 5.7.10 a.example requires TLSv1.2; this session uses TLSv1 RC4-SHA; id=1", true),
        (refusal, rcpt, "554 5.7.10 a.example requires TLSv1.2;|this session uses TLSv1 RC4-SHA;|id=1", true),
        (refusal, rcpt, "554 5.7.10 a.example requires TLSv1.2; this session uses TLSv1.1 RC4-SHA; id=1", false),
        (refusal, rcpt, "554 5.7.1 a.example requires TLSv1.2; this session uses TLSv1 RC4-SHA; id=1", false),
        (refusal, rcpt, "550 5.7.10 a.example requires TLSv1.2; this session uses TLSv1 RC4-SHA; id=1", false),
        (refusal, Stage::Mail, refusal, false),
    ] {
        let expected = Said { stage: rcpt, reply: reply(expected) };
        let expected = Expected { verdict: Verdict::Accept, said: expected };
        assert_eq!(expected.is_met_by(&Said { stage, reply: reply(seen) }), equal, "{expected:?} {seen}");
    }
}

#[test]
fn a_handshake_below_the_offer_must_fail_and_others_may_not() {
    let made = || Met::Made { facts: None, cells: Vec::new() };
    let failed = |is_answer| Met::Failed { reason: "alert", detail: String::new(), is_answer };
    let no_key = Prospect::NoKey(NeededKey::Rsa);
    for (prospect, met, equal) in [
        (Prospect::Made, made(), true),
        (Prospect::Made, failed(true), false),
        (Prospect::Made, Met::Skipped, true),
        (Prospect::BelowOffer, made(), false),
        (Prospect::BelowOffer, failed(true), true),
        (Prospect::BelowOffer, failed(false), false),
        (no_key, made(), true),
        (no_key, failed(true), true),
        (Prospect::Unknown, failed(true), true),
        (Prospect::Unknown, failed(false), false),
    ] {
        let row = Row { attempt: Attempt::Plaintext, prospect, met };
        assert_eq!(row.handshake_is_equal(), equal, "{row:?}");
    }
}

#[test]
fn counts_leave_out_plaintext_and_what_was_not_tried() {
    let suite = CipherSuite::by_name("RC4-SHA").unwrap();
    let tls = Attempt::Tls { version: ProtocolVersion::Ssl3, suite };
    let said = |text| Said { stage: Stage::Rcpt, reply: reply(text) };
    let cell =
        |seen| Cell { expected: Expected { verdict: Verdict::Accept, said: said("250 2.1.5 ok") }, said: said(seen) };
    let made = |seen| Met::Made { facts: None, cells: vec![cell(seen), cell("250 2.1.5 ok")] };
    let failed = Met::Failed { reason: "alert", detail: String::new(), is_answer: true };
    let row = |attempt, met| Row { attempt, prospect: Prospect::Made, met };
    let rows = [
        row(Attempt::Plaintext, made("550 5.7.10 no")),
        row(tls, made("250 2.1.5 ok")),
        row(tls, failed),
        row(tls, Met::Skipped),
    ];
    assert_eq!(Counts::of(&rows), Counts { handshakes: 2, verdicts: 4, differences: 2 });
}
