//! Lists and reports as they stand on the terminal.

use super::*;
use crate::facts::tlsrpt::filed::{Filed, Place};
use crate::mail::tlsrpt::message::Submitter;
use crate::mail::tlsrpt::session::SessionResult;
use crate::mail::tlsrpt::tally::Tally;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::reason::Reason;

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn target(state: TargetState) -> FiledTarget {
    FiledTarget { to: Place::Mailto("tls@dest.example".parse().unwrap()), state }
}

fn tally(domain: &str, failures: u64, tried: bool, targets: Vec<FiledTarget>) -> TallyStatus {
    TallyStatus {
        domain: Domain::parse(domain).unwrap(),
        day: "2027-01-02".parse().unwrap(),
        successes: 1200,
        failures,
        due: moment("2027-01-03T02:00:00Z"),
        tried: tried.then(|| moment("2027-01-03T02:00:00Z")),
        targets,
        early: None,
    }
}

fn early(domain: &str, state: TargetState) -> TallyStatus {
    let filed = Filed { at: moment("2027-01-02T09:00:00Z"), targets: vec![target(state)] };
    TallyStatus { early: Some(filed), ..tally(domain, 0, false, vec![]) }
}

fn sent_state() -> TargetState {
    TargetState::Sent { at: moment("2027-01-03T02:00:01Z"), message: Some(MessageId::from_u128(7)) }
}

fn gone() -> TargetState {
    TargetState::GivenUp { at: moment("2027-01-04T02:00:01Z"), error: "status 404".to_owned() }
}

fn waiting() -> TargetState {
    let error = Some("the web server answers with status 503".to_owned());
    TargetState::Waiting { tries: 2, next: moment("2027-01-03T03:15:00Z"), error }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn each_tally_is_a_line_that_tells_how_its_report_stands() {
    let tallies = vec![
        tally("a.example", 0, false, vec![]),
        tally("b.example", 3, true, vec![target(sent_state())]),
        tally("c.example", 0, true, vec![target(sent_state()), target(waiting())]),
        tally("d.example", 0, true, vec![target(sent_state()), target(gone())]),
        tally("e.example", 0, true, vec![target(gone())]),
        tally("f.example", 0, true, vec![]),
        early("g.example", sent_state()),
        early("h.example", gone()),
    ];
    let page = list(&Tallies { tallies, omitted: 2, reports: true }, moment("2027-01-03T01:00:00Z"));
    let expected = "\
DAY         DOMAIN        OK  FAILED  REPORT
2027-01-02  a.example  1,200       0  due in 1h
2027-01-02  b.example  1,200       3  sent
2027-01-02  c.example  1,200       0  1 of 2 sent, next try in 2h
2027-01-02  d.example  1,200       0  sent to 1 of 2
2027-01-02  e.example  1,200       0  given up
2027-01-02  f.example  1,200       0  not wanted
2027-01-02  g.example  1,200       0  due in 1h; early one sent
2027-01-02  h.example  1,200       0  due in 1h; early one failed
8 tallies and 2 older
";
    assert_eq!(plain(&page), expected);
    let none = list(&Tallies { tallies: vec![], omitted: 0, reports: false }, moment("2027-01-03T01:00:00Z"));
    assert_eq!(plain(&none), "0 tallies; no reports are made: write `contact` under [tlsrpt]\n");
}

#[test]
fn a_report_is_shown_with_its_places_policies_and_failures() {
    let day = "2027-01-02".parse().unwrap();
    let mut counted = Tally::new(Domain::parse("dest.example").unwrap(), day);
    let failure = crate::mail::tlsrpt::report::Failure {
        receiving_mx_hostname: Some("mx1.dest.example".to_owned()),
        receiving_ip: Some("203.0.113.5".parse().unwrap()),
        failure_reason_code: Some("no handshake".to_owned()),
        ..crate::mail::tlsrpt::report::Failure::new(Reason::ValidationFailure).unwrap()
    };
    counted.add(&SessionResult { applied: vec![], failure: None });
    counted.add(&SessionResult { applied: vec![], failure: Some(failure) });
    let submitter = Submitter::new("Sender".to_owned(), "tls@sender.example".parse().unwrap()).unwrap();
    let shown = Shown {
        status: tally("dest.example", 1, true, vec![target(sent_state()), target(waiting())]),
        report: counted.report(&submitter, MessageId::from_u128(9)),
    };
    let expected = "\
dest.example on 2027-01-02

id        2027-01-02.00000000000000000000000009@sender.example
by        Sender <tls@sender.example>
tried     2027-01-03 02:00:00 UTC, 1h ago
mailto:tls@dest.example
  in the queue as 00000000000000000000000007 since 2027-01-03 02:00:01 UTC
mailto:tls@dest.example
  2 tries, next in 15m: the web server answers with status 503

no-policy-found dest.example: 1 ok, 1 failed
  1 validation-failure at mx1.dest.example [203.0.113.5]: no handshake
";
    assert_eq!(plain(&report(&shown, moment("2027-01-03T03:00:00Z"))), expected);
}
