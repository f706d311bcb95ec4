//! What reports say of sessions: under which policies they count, and how they failed.

use std::time::Duration;

use super::*;
use crate::dns::LookupError;
use crate::facts::sts_plan::{CachedPolicy, StsFault, StsProblem};
use crate::mail::tlsrpt::report::PolicyType;
use crate::model::cipher::CipherSuite;
use crate::model::time::Timestamp;
use crate::model::tls::{ChainTrust, DaneMatch, DaneResult, ProtocolVersion};
use crate::policy::published::UsableRecords;
use crate::policy::sts_policy::MxPattern;
use crate::policy::sts_record::StsId;
use crate::policy::tlsa::{TlsaSet, classify};

const MX: &str = "mx1.dest.example";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn record() -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }
}

fn usable() -> Dane {
    let Some(TlsaSet::Usable(records)) = classify(&[record()]) else { panic!("the record can be used") };
    Dane::Usable(Arc::new(UsableRecords { records: Some(records), base: Some(domain(MX)), names: vec![] }))
}

fn sts(mode: Mode, mx: &str, problem: Option<StsProblem>) -> StsAnswer {
    let policy = StsPolicy { mode, mx: vec![MxPattern::parse(mx).unwrap()], max_age: Duration::from_secs(604_800) };
    let id = StsId::parse("1").unwrap();
    let cached = CachedPolicy { id, policy, fetched: Timestamp::from_secs(0) };
    StsAnswer { policy: Some(Arc::new(cached)), problem }
}

fn lookup_failed(report: bool) -> StsProblem {
    StsProblem { fault: StsFault::Lookup(LookupError::Timeout), report }
}

/// A session under TLS whose certificate is for `name`, and leads where `chain` says.
fn tls(name: &str, chain: ChainTrust, dane: Option<DaneResult>) -> TlsFacts {
    let dane = dane.map(|result| DaneMatch { result, record: None });
    let peer =
        PeerCertificate { names: vec![name.to_owned()], chain, dane, ..PeerCertificate::assumed("0".repeat(64)) };
    let suite = CipherSuite::by_name("TLS_AES_128_GCM_SHA256").unwrap();
    TlsFacts { peer: Some(peer), ..TlsFacts::assumed(ProtocolVersion::Tls1_3, suite) }
}

fn opened(dane: Dane, sts: Option<StsAnswer>, end: End, tls: Option<TlsFacts>) -> Opened {
    let host = Host {
        name: Some(domain(MX)),
        address: Some("203.0.113.5".parse().unwrap()),
        helo: Some("mx1".to_owned()),
        local: Some("192.0.2.1".parse().unwrap()),
    };
    Opened { host, published: Arc::new(Published { dane, ..Published::default() }), sts, end, tls }
}

fn failed(reason: Reason) -> End {
    End::Failed { reason, detail: "what happened".to_owned() }
}

/// `tlsa ok, sts certificate-expired`, or `none starttls-not-supported`.
fn told(opened: &Opened) -> String {
    let Some(result) = result(&domain("dest.example"), opened) else { return "nothing".to_owned() };
    let word = |failure: Option<&Failure>| failure.map_or("ok", |failure| failure.result_type.as_str());
    if result.applied.is_empty() {
        return format!("none {}", word(result.failure.as_ref()));
    }
    let of_policy = |applied: &Applied| {
        let kind = match applied.policy.policy_type {
            PolicyType::Tlsa => "tlsa",
            PolicyType::Sts => "sts",
            PolicyType::NoPolicyFound => "none",
        };
        format!("{kind} {}", word(applied.failure.as_ref().or(result.failure.as_ref())))
    };
    result.applied.iter().map(of_policy).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_session_counts_under_each_policy_that_was_found_by_that_policys_own_measure() {
    use ChainTrust::{Expired, NotTrusted, Trusted};
    use Reason::*;
    let good = || Some(tls(MX, Trusted, None));
    let by_dane = |chain, result| Some(tls(MX, chain, Some(result)));
    let enforced = || Some(sts(Mode::Enforce, MX, None));
    let tested = |mx: &str| Some(sts(Mode::Testing, mx, None));
    for (dane, sts, end, tls, expected) in [
        // Nothing is published.
        (Dane::Absent, None, End::Ready, good(), "none ok"),
        (Dane::Absent, None, End::Ready, None, "none starttls-not-supported"),
        (Dane::Absent, None, failed(ValidationFailure), None, "none validation-failure"),
        (Dane::Absent, None, failed(CertificateHostMismatch), good(), "none certificate-host-mismatch"),
        (Dane::Absent, None, failed(VersionBelowMinimum), good(), "none validation-failure"),
        (Dane::Absent, None, failed(Timeout), None, "nothing"),
        // DANE.
        (usable(), None, End::Ready, by_dane(NotTrusted, DaneResult::Match), "tlsa ok"),
        (usable(), None, failed(TlsaInvalid), by_dane(Trusted, DaneResult::NoMatch), "tlsa tlsa-invalid"),
        (usable(), None, failed(StarttlsNotSupported), None, "tlsa starttls-not-supported"),
        (Dane::Unusable(Arc::default()), None, End::Ready, Some(tls("x.example", NotTrusted, None)), "tlsa ok"),
        (Dane::Absent, None, failed(DnssecInvalid), None, "tlsa dnssec-invalid"),
        (Dane::Absent, None, failed(DaneRequired), None, "tlsa dane-required"),
        // MTA-STS.
        (Dane::Absent, enforced(), End::Ready, good(), "sts ok"),
        (Dane::Absent, enforced(), failed(CertificateExpired), Some(tls(MX, Expired, None)), "sts certificate-expired"),
        (Dane::Absent, enforced(), failed(StarttlsNotSupported), None, "sts starttls-not-supported"),
        // Nothing is held back, and it is reported.
        (Dane::Absent, tested(MX), End::Ready, None, "sts starttls-not-supported"),
        (Dane::Absent, tested(MX), End::Ready, Some(tls(MX, NotTrusted, None)), "sts certificate-not-trusted"),
        (
            Dane::Absent,
            tested(MX),
            End::Ready,
            Some(tls("other.example", Trusted, None)),
            "sts certificate-host-mismatch",
        ),
        (Dane::Absent, tested("mx9.dest.example"), End::Ready, good(), "sts validation-failure"),
        (Dane::Absent, Some(sts(Mode::None, MX, None)), End::Ready, good(), "none ok"),
        // Both: the certificate of a host with DANE need not be one for the web.
        (
            usable(),
            enforced(),
            End::Ready,
            by_dane(NotTrusted, DaneResult::Match),
            "tlsa ok, sts certificate-not-trusted",
        ),
        (usable(), enforced(), failed(TlsaInvalid), by_dane(Trusted, DaneResult::NoMatch), "tlsa tlsa-invalid, sts ok"),
        (
            usable(),
            enforced(),
            failed(StarttlsNotSupported),
            None,
            "tlsa starttls-not-supported, sts starttls-not-supported",
        ),
        (Dane::Absent, enforced(), failed(DnssecInvalid), None, "tlsa dnssec-invalid"),
        // It meets what is published, and not what our operator asks for.
        (Dane::Absent, enforced(), failed(CertificateHostMismatch), good(), "sts certificate-host-mismatch"),
        (Dane::Absent, enforced(), failed(CipherBelowMinimum), good(), "sts validation-failure"),
    ] {
        let opened = opened(dane, sts, end, tls);
        assert_eq!(told(&opened), expected, "{opened:?}");
    }
}

#[test]
fn a_policy_that_cannot_be_had_is_reported_where_it_was_promised() {
    let good = || Some(tls(MX, ChainTrust::Trusted, None));
    for (sts, expected) in [
        (StsAnswer { policy: None, problem: Some(lookup_failed(true)) }, "sts sts-policy-fetch-error"),
        (StsAnswer { policy: None, problem: Some(lookup_failed(false)) }, "none ok"),
        (sts(Mode::Enforce, MX, Some(lookup_failed(true))), "sts sts-policy-fetch-error"),
        (StsAnswer { policy: None, problem: None }, "none ok"),
    ] {
        assert_eq!(told(&opened(Dane::Absent, Some(sts.clone()), End::Ready, good())), expected, "{sts:?}");
    }
}

#[test]
fn a_failure_names_both_ends_and_says_what_is_known_of_it() {
    for (reason, code) in [
        (Reason::ValidationFailure, Some("what happened")),
        (Reason::CipherBelowMinimum, Some("cipher-below-minimum (policy of the sender)")),
        (Reason::CertificateExpired, Some("what happened")),
        (Reason::CertificateNotTrusted, Some("what happened")),
    ] {
        let opened = opened(Dane::Absent, None, failed(reason), None);
        let failure = result(&domain("dest.example"), &opened).unwrap().failure.unwrap();
        assert_eq!(failure.failure_reason_code.as_deref(), code);
        assert_eq!(failure.receiving_mx_hostname.as_deref(), Some(MX));
        assert_eq!(failure.receiving_mx_helo.as_deref(), Some("mx1"));
        assert_eq!(failure.receiving_ip, opened.host.address);
        assert_eq!(failure.sending_mta_ip, opened.host.local);
    }
}

#[test]
fn policies_are_told_as_they_were_published() {
    let sts = Some(sts(Mode::Testing, "*.dest.example", None));
    let opened = opened(usable(), sts, End::Ready, Some(tls(MX, ChainTrust::Trusted, Some(DaneResult::Match))));
    let result = result(&domain("dest.example"), &opened).unwrap();
    let [records, sts] = &result.applied[..] else { panic!("{result:?}") };
    assert_eq!(
        (&records.policy.policy_domain, &records.policy.policy_string),
        (&domain(MX), &vec![record().to_string()])
    );
    assert_eq!(sts.policy.policy_domain, domain("dest.example"));
    assert_eq!(sts.policy.mx_host, ["*.dest.example"]);
    assert_eq!(sts.policy.policy_string, ["version: STSv1", "mode: testing", "mx: *.dest.example", "max_age: 604800"]);
}
