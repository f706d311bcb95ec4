//! Tallies are the same however they are counted, and never larger than they may be.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::mail::tlsrpt::report::{Failure, Policy};
use crate::mail::tlsrpt::session::{FAILURE_TEXT_BYTES_MAX, POLICY_LINES_MAX, POLICY_TEXT_BYTES_MAX, SessionResult};
use crate::mail::tlsrpt::tally::{COUNT_MAX, FAILURES_MAX, POLICIES_MAX, TALLY_BYTES_MAX, Tally};
use crate::model::id::MessageId;
use crate::model::reason::Reason;

use super::{at_host, day, domain, met, session, sts, submitter, tlsa};

/// One of many policies of both kinds, or none.
fn a_policy() -> impl Strategy<Value = Option<Policy>> {
    let sts = (0..20_u8).prop_map(|n| Policy::sts(domain("dest.example"), &format!("max_age: {n}"), vec![]));
    let tlsa = (0..20_u8).prop_map(|n| Policy::tlsa(domain(&format!("mx{n}.dest.example")), &[]));
    prop_oneof![Just(None), sts.prop_map(Some), tlsa.prop_map(Some)]
}

fn a_failure() -> impl Strategy<Value = Option<Failure>> {
    let reason = proptest::sample::select(Reason::OUTBOUND_TLS.to_vec());
    prop_oneof![Just(None), (reason, any::<u8>()).prop_map(|(reason, host)| Some(at_host(reason, host)))]
}

fn a_session() -> impl Strategy<Value = SessionResult> {
    (a_policy(), a_failure()).prop_map(|(policy, failure)| session(policy.into_iter().map(met).collect(), failure))
}

fn tally(sessions: &[SessionResult]) -> Tally {
    let mut tally = Tally::new(domain("dest.example"), day());
    sessions.iter().for_each(|session| tally.add(session));
    tally
}

fn merged(one: &Tally, other: &Tally) -> Tally {
    let mut sum = one.clone();
    sum.merge(other).unwrap();
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_make_the_same_tally_in_any_order(
        (one, two, three) in (vec(a_session(), 0..150), vec(a_session(), 0..150), vec(a_session(), 0..50))
    ) {
        let (a, b, c) = (tally(&one), tally(&two), tally(&three));
        let whole = tally(&[one, two, three].concat());
        prop_assert_eq!(&merged(&merged(&a, &b), &c), &whole);
        prop_assert_eq!(&merged(&c, &merged(&b, &a)), &whole);
    }

    #[test]
    fn no_session_is_lost_and_no_bound_is_passed(sessions in vec(a_session(), 0..300)) {
        let report = tally(&sessions).report(&submitter(), MessageId::from_u128(1));
        let failed = sessions.iter().filter(|session| session.failure.is_some()).count() as u64;
        let totals = report.policies.iter().map(|policy| (policy.summary.successes, policy.summary.failures));
        let totals = totals.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        prop_assert_eq!(totals, (sessions.len() as u64 - failed, failed));
        // Three kinds of policies and eleven result types may stand behind the bounds.
        prop_assert!(report.policies.len() <= POLICIES_MAX + 3);
        for policy in &report.policies {
            prop_assert!(policy.failure_details.len() <= FAILURES_MAX + 11);
            let in_details: u64 = policy.failure_details.iter().map(|details| details.failed_session_count).sum();
            prop_assert_eq!(in_details, policy.summary.failures);
        }
    }

    #[test]
    fn a_stored_tally_is_read_back(sessions in vec(a_session(), 0..100)) {
        let tally = tally(&sessions);
        let stored = serde_json::to_vec(&tally).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Tally>(&stored).unwrap(), tally);
    }
}

#[test]
fn what_is_above_a_bound_is_counted_without_its_host() {
    let more = 5;
    let sessions: Vec<_> = (0..FAILURES_MAX + more)
        .map(|host| session(vec![], Some(at_host(Reason::CertificateExpired, u8::try_from(host).unwrap()))))
        .collect();
    let report = tally(&sessions).report(&submitter(), MessageId::from_u128(1));
    let details = &report.policies[0].failure_details;
    let without_host: Vec<_> = details.iter().filter(|one| one.failure.receiving_mx_hostname.is_none()).collect();
    assert_eq!((details.len(), without_host.len()), (FAILURES_MAX + 1, 1));
    assert_eq!(without_host[0].failed_session_count, more as u64);
    assert_eq!(without_host[0].failure.receiving_ip, None);
}

#[test]
fn policies_above_the_bound_are_counted_by_their_kind() {
    let sessions: Vec<_> = (0..POLICIES_MAX + 2)
        .map(|n| Policy::sts(domain("dest.example"), &format!("max_age: {n:03}"), vec![]))
        .map(|policy| session(vec![met(policy)], None))
        .collect();
    let report = tally(&sessions).report(&submitter(), MessageId::from_u128(1));
    assert_eq!(report.policies.len(), POLICIES_MAX + 1);
    let rest = report.policies.iter().find(|one| one.policy.policy_string.is_empty()).unwrap();
    assert_eq!(rest.summary.successes, 2);
}

#[test]
fn counts_stop_at_what_json_can_tell() {
    let stored = serde_json::to_string(&tally(&[session(vec![met(tlsa())], None)])).unwrap();
    let stored = stored.replace("\"successes\":1", &format!("\"successes\":{COUNT_MAX}"));
    let full: Tally = serde_json::from_str(&stored).unwrap();
    let report = merged(&full, &full).report(&submitter(), MessageId::from_u128(1));
    assert_eq!(report.policies[0].summary.successes, COUNT_MAX);
}

#[test]
fn the_largest_tally_is_as_small_as_it_says() {
    // Quotation marks need two octets in JSON.
    let line = "\"".repeat(POLICY_TEXT_BYTES_MAX / POLICY_LINES_MAX - 4);
    let mut sessions = Vec::new();
    for number in 0..2 * POLICIES_MAX {
        let lines: Vec<_> = (0..2 * POLICY_LINES_MAX).map(|_| format!("{number:03}{line}")).collect();
        for host in 0..FAILURES_MAX + 1 {
            let text = Some(format!("{host:03}{}", "\"".repeat(2 * FAILURE_TEXT_BYTES_MAX)));
            let failure = Failure {
                receiving_mx_hostname: text.clone(),
                receiving_mx_helo: text.clone(),
                failure_reason_code: text,
                ..at_host(Reason::CertificateHostMismatch, u8::try_from(host).unwrap())
            };
            let sts = Policy::sts(domain("dest.example"), &lines.join("\n"), lines.clone());
            let tlsa = Policy { policy_string: lines.clone(), ..tlsa() };
            let none = Policy { mx_host: lines.clone(), ..Policy::none(domain("dest.example")) };
            sessions.push(session([sts, tlsa, none].map(met).to_vec(), Some(failure)));
        }
    }
    let bytes = serde_json::to_vec(&tally(&sessions)).unwrap().len();
    assert!(bytes > TALLY_BYTES_MAX / 2, "{bytes}");
    assert!(bytes <= TALLY_BYTES_MAX, "{bytes}");
}

#[test]
fn a_domain_with_one_policy_and_a_few_failures_needs_little() {
    let sessions: Vec<_> =
        (0..5).map(|host| session(vec![met(sts())], Some(at_host(Reason::CertificateExpired, host)))).collect();
    assert!(serde_json::to_vec(&tally(&sessions)).unwrap().len() < 2048);
}
