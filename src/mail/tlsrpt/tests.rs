//! What becomes of sessions: the JSON of their report, the bounds, and the mail.

mod bounds;
mod mail;

use std::net::IpAddr;

use crate::model::address::{Address, Charset};
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::tlsa::Tlsa;

use super::day::Day;
use super::message::Submitter;
use super::report::{Failure, FailureDetails, Policy, PolicyType, Report};
use super::result_type::ResultType;
use super::session::{Applied, SessionResult};
use super::tally::{Tally, TallyMismatch};

/// Appendix B of RFC 8460, but for the line breaks inside the URI and the blanks around them.
const APPENDIX_B: &str = r#"{
  "organization-name": "Company-X",
  "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
  "contact-info": "sts-reporting@company-x.example",
  "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
      "policy-domain": "company-y.example",
      "mx-host": "*.mail.company-y.example"
    },
    "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
    "failure-details": [{
      "result-type": "certificate-expired",
      "sending-mta-ip": "2001:db8:abcd:0012::1",
      "receiving-mx-hostname": "mx1.mail.company-y.example",
      "failed-session-count": 100
    }, {
      "result-type": "starttls-not-supported",
      "sending-mta-ip": "2001:db8:abcd:0013::1",
      "receiving-mx-hostname": "mx2.mail.company-y.example",
      "receiving-ip": "203.0.113.56",
      "failed-session-count": 200,
      "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
    }, {
      "result-type": "validation-failure",
      "sending-mta-ip": "198.51.100.62",
      "receiving-ip": "203.0.113.58",
      "receiving-mx-hostname": "mx-backup.mail.company-y.example",
      "failed-session-count": 3,
      "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
    }]
  }]
}"#;

const STS_POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx1.dest.example\r\nmx: *.dest.example\r\n\
                          max_age: 604800\r\n";

pub(super) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

pub(super) fn day() -> Day {
    "2027-01-02".parse().unwrap()
}

pub(super) fn submitter() -> Submitter {
    let contact = Address::parse("tls-reports@sender.example", Charset::Ascii).unwrap();
    Submitter::new("Sender Example GmbH \u{2713}".to_owned(), contact).unwrap()
}

pub(super) fn sts() -> Policy {
    let mx = vec!["mx1.dest.example".to_owned(), "*.dest.example".to_owned()];
    Policy::sts(domain("dest.example"), STS_POLICY, mx)
}

pub(super) fn tlsa() -> Policy {
    let record = |first| Tlsa { usage: 3, selector: 1, matching: 1, data: vec![first, 0xff] };
    Policy::tlsa(domain("mx1.dest.example"), &[record(2), record(1)])
}

/// A session under these policies that failed for a reason of its own, if it did.
pub(super) fn session(applied: Vec<Applied>, failure: Option<Failure>) -> SessionResult {
    SessionResult { applied, failure }
}

pub(super) fn met(policy: Policy) -> Applied {
    Applied { policy, failure: None }
}

fn unmet(policy: Policy, reason: ResultType) -> Applied {
    Applied { policy, failure: Some(Failure::bare(reason)) }
}

/// A failure with all that can be known of the host.
pub(super) fn at_host(reason: Reason, host: u8) -> Failure {
    Failure {
        sending_mta_ip: Some("192.0.2.1".parse::<IpAddr>().unwrap()),
        receiving_mx_hostname: Some(format!("mx{host}.dest.example")),
        receiving_mx_helo: Some("mx.dest.example".to_owned()),
        receiving_ip: Some(format!("2001:db8::{host:x}").parse().unwrap()),
        ..Failure::new(reason).unwrap()
    }
}

pub(super) fn report_of(sessions: &[SessionResult]) -> Report {
    let mut tally = Tally::new(domain("dest.example"), day());
    sessions.iter().for_each(|session| tally.add(session));
    tally.report(&submitter(), MessageId::from_u128(7))
}

/// The policies of the report, without what surrounds them.
fn check(sessions: &[SessionResult], expected: &str) {
    let json: serde_json::Value = serde_json::from_slice(&report_of(sessions).to_json().unwrap()).unwrap();
    let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
    assert_eq!(json["policies"], expected, "{sessions:?}\n{:#}", json["policies"]);
}

#[test]
fn a_report_is_written_as_the_rfc_has_it() {
    let report = report_of(&[session(vec![], None), session(vec![], Some(at_host(Reason::CertificateExpired, 2)))]);
    let expected = concat!(
        r#"{"organization-name":"Sender Example GmbH "#,
        "\u{2713}",
        r#"","date-range":{"start-datetime":"2027-01-02T00:00:00Z","end-datetime":"2027-01-02T23:59:59Z"},"#,
        r#""contact-info":"tls-reports@sender.example","#,
        r#""report-id":"2027-01-02.00000000000000000000000007@sender.example","#,
        r#""policies":[{"policy":{"policy-type":"no-policy-found","policy-string":[],"policy-domain":"dest.example"},"#,
        r#""summary":{"total-successful-session-count":1,"total-failure-session-count":1},"#,
        r#""failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.1","#,
        r#""receiving-mx-hostname":"mx2.dest.example","receiving-mx-helo":"mx.dest.example","#,
        r#""receiving-ip":"2001:db8::2","failed-session-count":1}]}]}"#,
    );
    assert_eq!(String::from_utf8(report.to_json().unwrap()).unwrap(), expected);
}

#[test]
fn sessions_count_under_the_policies_that_were_found() {
    let sts_json = r#""policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: enforce",
        "mx: mx1.dest.example","mx: *.dest.example","max_age: 604800"],"policy-domain":"dest.example",
        "mx-host":["mx1.dest.example","*.dest.example"]}"#;
    let tlsa_json = r#""policy":{"policy-type":"tlsa","policy-string":["3 1 1 01ff","3 1 1 02ff"],
        "policy-domain":"mx1.dest.example"}"#;
    let summary = |good, bad| {
        format!(r#""summary":{{"total-successful-session-count":{good},"total-failure-session-count":{bad}}}"#)
    };
    let bare = |word, count| format!(r#"{{"result-type":"{word}","failed-session-count":{count}}}"#);
    let (sts_only, both) = (|| vec![met(sts())], || vec![met(tlsa()), met(sts())]);
    let no_tls = || Some(Failure::bare(ResultType::StarttlsNotSupported));

    // What failed whatever the policy is a failure under each.
    check(
        &[session(both(), None), session(both(), no_tls()), session(both(), no_tls())],
        &format!(
            r#"[{{{tlsa_json},{0},"failure-details":[{1}]}},{{{sts_json},{0},"failure-details":[{1}]}}]"#,
            summary(1, 2),
            bare("starttls-not-supported", 2)
        ),
    );
    // What one policy objects to is no failure under the other.
    check(
        &[session(vec![unmet(tlsa(), ResultType::ValidationFailure), met(sts())], None)],
        &format!(
            r#"[{{{tlsa_json},{},"failure-details":[{}]}},{{{sts_json},{},"failure-details":[]}}]"#,
            summary(0, 1),
            bare("validation-failure", 1),
            summary(1, 0)
        ),
    );
    // A policy that could not be had is one without text.
    let fetch = unmet(Policy::sts(domain("dest.example"), "", vec![]), ResultType::StsPolicyFetchError);
    check(
        &[session(vec![fetch], None)],
        &format!(
            r#"[{{"policy":{{"policy-type":"sts","policy-string":[],"policy-domain":"dest.example"}},{},
                 "failure-details":[{}]}}]"#,
            summary(0, 1),
            bare("sts-policy-fetch-error", 1)
        ),
    );
    // What only our operator asks for, beside a published policy: a failure under that policy, which says whose rule it
    // was.
    check(
        &[session(sts_only(), Failure::new(Reason::VersionBelowMinimum))],
        &format!(
            r#"[{{{sts_json},{},"failure-details":[{{"result-type":"validation-failure","failed-session-count":1,
                 "failure-reason-code":"version-below-minimum (policy of the sender)"}}]}}]"#,
            summary(0, 1),
        ),
    );
}

#[test]
fn the_order_of_tlsa_records_in_an_answer_makes_no_other_policy() {
    let record = |first| Tlsa { usage: 3, selector: 1, matching: 1, data: vec![first] };
    let policy = |records: &[Tlsa]| Policy::tlsa(domain("mx.dest.example"), records);
    assert_eq!(policy(&[record(1), record(2)]), policy(&[record(2), record(1)]));
}

#[test]
fn text_of_peers_is_printable_and_bounded_in_a_report() {
    let failure = Failure {
        receiving_mx_helo: Some("evil\r\n\u{202e}\"".to_owned()),
        failure_reason_code: Some("x".repeat(5000)),
        receiving_mx_hostname: Some(String::new()),
        ..Failure::new(Reason::ValidationFailure).unwrap()
    };
    let policy = Policy::sts(domain("dest.example"), "version: STSv1\nmx: \u{fc}\u{1b}[1m\n", vec![]);
    let report = report_of(&[session(vec![met(policy)], Some(failure))]);
    let found = &report.policies[0];
    let FailureDetails { failure, .. } = &found.failure_details[0];
    assert_eq!(failure.receiving_mx_helo.as_deref(), Some("evil\\x0d\\x0a\\u{202e}\""));
    assert_eq!(failure.failure_reason_code, Some(format!("{}...", "x".repeat(252))));
    assert_eq!(failure.receiving_mx_hostname, None);
    assert_eq!(found.policy.policy_string, ["version: STSv1", "mx: \\u{fc}\\x1b[1m"]);
}

#[test]
fn the_example_of_the_rfc_is_read_and_written_again() {
    let report: Report = serde_json::from_str(APPENDIX_B).unwrap();
    let policy = &report.policies[0];
    assert_eq!(policy.policy.policy_type, PolicyType::Sts);
    assert_eq!(policy.policy.mx_host, ["*.mail.company-y.example"]);
    assert_eq!((policy.summary.successes, policy.summary.failures), (5326, 303));
    let written: serde_json::Value = serde_json::from_slice(&report.to_json().unwrap()).unwrap();
    let mut expected: serde_json::Value = serde_json::from_str(APPENDIX_B).unwrap();
    // Lists by section 4.4, addresses as RFC 5952 has them.
    expected["policies"][0]["policy"]["mx-host"] = serde_json::json!(["*.mail.company-y.example"]);
    expected["policies"][0]["failure-details"][0]["sending-mta-ip"] = "2001:db8:abcd:12::1".into();
    expected["policies"][0]["failure-details"][1]["sending-mta-ip"] = "2001:db8:abcd:13::1".into();
    assert_eq!(written, expected);
}

#[test]
fn the_file_is_named_by_submitter_domain_and_span() {
    let name = report_of(&[]).file_name(&domain("sender.example"), &domain("dest.example"));
    let unique = "2027010200000000000000000000000007";
    assert_eq!(name, format!("sender.example!dest.example!1798848000!1798934399!{unique}.json.gz"));
}

#[test]
fn tallies_of_other_domains_and_days_are_not_merged() {
    let mut tally = Tally::new(domain("dest.example"), day());
    let mut other = Tally::new(domain("other.example"), day());
    other.add(&session(vec![], None));
    assert_eq!(tally.merge(&other), Err(TallyMismatch));
    let other = Tally::new(domain("dest.example"), "2027-01-03".parse().unwrap());
    assert_eq!(tally.merge(&other), Err(TallyMismatch));
    assert!(tally.is_empty());
}

#[test]
fn a_tally_of_an_unknown_format_is_not_read() {
    let stored = serde_json::to_string(&Tally::new(domain("dest.example"), day())).unwrap();
    assert_eq!(stored, r#"{"format":1,"domain":"dest.example","day":"2027-01-02","policies":[]}"#);
    assert!(serde_json::from_str::<Tally>(&stored.replace("\"format\":1", "\"format\":2")).is_err());
}
