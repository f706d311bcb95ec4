//! The demo's own promise: every message ends as its policy says, on a page of 80 columns.

use super::*;
use crate::demo::hops::Received;
use crate::demo::layout::{COLUMNS, cell, wrap};
use crate::demo::outcome::PlayedLeg;
use crate::demo::scenario::{Client, End, HAS_OLD_TLS, HopSpec, Link, Step, hops};
use crate::demo::steps::steps;
use crate::model::cipher::CipherSuite;
use crate::model::tls::ProtocolVersion::{Tls1_2, Tls1_3};
use crate::model::tls::{Stack, TlsFacts};
use crate::tls::probe;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn every_message_ends_as_its_policy_says_and_the_page_fits_80_columns() {
    let (folder, text) = runtime().block_on(async {
        let folder = stage::folder().unwrap();
        let path = folder.path().to_owned();
        let stage = Stage::set(folder).await.unwrap();
        let mut page = anstream::StripStream::new(Vec::new());
        let outcome = tell(&mut Page { out: &mut page }, &stage).await.unwrap();
        frame::still_running(&mut Page { out: &mut page }, &stage, &outcome, None).unwrap();
        let text = String::from_utf8(page.into_inner()).unwrap();
        assert!(outcome.is_as_expected(), "{text}");
        for session in ["TLSv1 AES128-SHA (openssl)", "TLSv1 AES256-SHA (openssl)"] {
            assert_eq!(text.contains(session), HAS_OLD_TLS, "{session}: {text}");
        }
        wrong_endings_are_seen(&outcome);
        stage.stop().await;
        (path, text)
    });
    let shown = folder.display().to_string();
    // How long paths are is the system's business.
    let is_path = |line: &&str| line.contains(&shown) || line.contains("export PATH");
    let long = text.lines().filter(|line| line.chars().count() > COLUMNS && !is_path(line));
    assert_eq!(long.collect::<Vec<_>>(), [""; 0]);
    assert!(!folder.exists());
}

/// What the page calls "as expected" is compared, not assumed.
fn wrong_endings_are_seen(outcome: &Outcome) {
    for played in &outcome.played {
        for leg in &played.legs {
            let passes = |leg: &PlayedLeg| leg.problems(&played.answers).is_empty();
            let unrecorded = PlayedLeg { inbound: None, ..leg.clone() };
            let mut copied = leg.clone();
            copied.copies.push(Received { from: String::new(), to: Vec::new(), tls: None });
            assert!(!passes(&unrecorded) && !passes(&copied), "{}", played.step.title);
            wrong_sessions_are_seen(leg, passes);
            assert!(!leg.problems(&Err("connection lost".to_owned())).is_empty());
            let others = outcome.played.iter().flat_map(|other| &other.legs).map(|other| other.leg);
            for other in others.filter(|other| (other.verdict, other.end) != (leg.leg.verdict, leg.leg.end)) {
                let judged_otherwise = PlayedLeg { leg: other, ..leg.clone() };
                let may_pass = is_stronger(leg.leg.end, other.end) && leg.leg.verdict == other.verdict;
                assert!(may_pass || !passes(&judged_otherwise), "{} passes for {other:?}", played.step.title);
            }
        }
    }
}

/// Nor does a session pass that is on record as another one, or as served by the other library.
fn wrong_sessions_are_seen(leg: &PlayedLeg, passes: impl Fn(&PlayedLeg) -> bool) {
    let recorded = leg.inbound.as_ref().and_then(|entry| entry.tls.clone());
    let Some(tls) = recorded else { return };
    let stack = if tls.stack == Stack::Rustls { Stack::Openssl } else { Stack::Rustls };
    let version = if tls.version == Tls1_3 { Tls1_2 } else { Tls1_3 };
    for other in [None, Some(TlsFacts { stack, ..tls.clone() }), Some(TlsFacts { version, ..tls })] {
        let mut misrecorded = leg.clone();
        misrecorded.inbound.as_mut().unwrap().tls = other;
        assert!(!passes(&misrecorded), "{:?} passes", misrecorded.inbound);
    }
}

/// A verified link is an encrypted one, too.
fn is_stronger(end: End, than: End) -> bool {
    matches!((end, than), (End::Delivered(Link::Verified(one)), End::Delivered(Link::Encrypted(two))) if one == two)
}

#[test]
fn senders_and_hops_are_told_apart_by_their_names() {
    let mut senders: Vec<&str> = steps().map(|step| step.from).collect();
    let mut hops: Vec<&str> = hops().flat_map(|hop| [hop.name, hop.placeholder]).collect();
    for names in [&mut senders, &mut hops] {
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

#[test]
fn only_clients_and_hops_that_this_build_can_be_are_played() {
    for step in steps() {
        if let Client::Old(version, suite) = step.client {
            assert!(probe::can(version, CipherSuite::by_name(suite).unwrap()), "{}", step.title);
        }
    }
    let old = (steps().any(Step::is_old), hops().any(HopSpec::is_old));
    assert_eq!(old, (HAS_OLD_TLS, HAS_OLD_TLS));
}

#[test]
fn text_breaks_at_spaces_and_long_words_anywhere() {
    for (text, expected) in [
        ("", &[""][..]),
        ("one two", &["one two"]),
        ("one two three", &["one two", "three"]),
        ("abcdefghijk lm", &["abcdefgh", "ijk lm"]),
        ("a abcdefghij", &["a", "abcdefgh", "ij"]),
        ("→→→→ →→→ →", &["→→→→ →→→", "→"]),
    ] {
        assert_eq!(wrap(text, 8), expected, "{text}");
    }
}

#[test]
fn cells_have_their_width() {
    for (text, expected) in [("ab", "ab  "), ("abcd", "abcd"), ("abcde", "abc…"), ("→", "→   ")] {
        assert_eq!(cell(text, 4), expected);
    }
}
