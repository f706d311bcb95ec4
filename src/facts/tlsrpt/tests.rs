//! What is counted and filed is there again, merged, bounded, and gone when it is old.

use super::filed::{FiledTarget, Place, TRIED_FOR, TargetState};
use super::*;
use crate::mail::tlsrpt::report::{Failure, Policy};
use crate::mail::tlsrpt::session::{Applied, SessionResult};
use crate::model::destination::WebhookUrl;
use crate::model::reason::Reason;
use crate::policy::tlsrpt_record::ReportTarget;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn subject(day: &str, name: &str) -> Subject {
    Subject { day: day.parse().unwrap(), domain: domain(name) }
}

fn one(subject: &Subject, failure: Option<Reason>) -> Tally {
    let mut tally = Tally::new(subject.domain.clone(), subject.day);
    tally.add(&SessionResult { applied: Vec::new(), failure: failure.and_then(Failure::new) });
    tally
}

fn sent(at: Timestamp) -> Filed {
    let to = Place::Mailto("a@b.example".parse().unwrap());
    Filed { at, targets: vec![FiledTarget { to, state: TargetState::Sent { at, message: None } }] }
}

#[test]
fn counts_of_a_day_add_up_through_a_kill_and_days_and_domains_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (monday, tuesday) = (subject("2027-01-04", "a.example"), subject("2027-01-05", "a.example"));
    let other = subject("2027-01-04", "b.example");
    let book = Book::new(Memory::open(folder.path()).unwrap());
    for (subject, failure) in
        [(&monday, None), (&monday, Some(Reason::StarttlsNotSupported)), (&tuesday, None), (&other, None)]
    {
        book.add(&one(subject, failure), 10).unwrap();
    }
    book.flush();
    // The file as it is now is what a kill leaves.
    let copy = tempfile::tempdir().unwrap();
    let name = crate::memory::FILE_NAME;
    std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    let book = Book::new(Memory::open(copy.path()).unwrap());
    book.add(&one(&monday, None), 10).unwrap();
    let mut expected = one(&monday, None);
    expected.merge(&one(&monday, None)).unwrap();
    expected.merge(&one(&monday, Some(Reason::StarttlsNotSupported))).unwrap();
    assert_eq!(book.tally(&monday), Some(expected));
    assert_eq!(book.tally(&tuesday), Some(one(&tuesday, None)));
    assert_eq!(book.subjects().collect::<Vec<_>>(), [monday, other, tuesday]);
}

#[test]
fn a_day_has_no_more_domains_than_may_be_and_those_that_it_has_are_counted_on() {
    let book = Book::new(Memory::ephemeral());
    let day = "2027-01-04";
    for (name, expected) in
        [("a.example", Ok(())), ("b.example", Ok(())), ("c.example", Err(NotCounted::TooMany)), ("a.example", Ok(()))]
    {
        assert_eq!(book.add(&one(&subject(day, name), None), 2), expected, "{name}");
    }
    assert_eq!(book.add(&one(&subject("2027-01-05", "c.example"), None), 2), Ok(()));
}

#[test]
fn a_tally_that_is_too_long_for_an_entry_is_kept_all_the_same() {
    let book = Book::new(Memory::ephemeral());
    let subject = subject("2027-01-04", "a.example");
    let mut tally = Tally::new(subject.domain.clone(), subject.day);
    let mut number = 0_u64;
    let mut word = |length: usize| {
        let mut text = String::new();
        while text.len() < length {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("{:x}", number >> 16));
        }
        text.truncate(length);
        text
    };
    for _ in 0..8 {
        let lines = (0..8).map(|_| word(1000)).collect::<Vec<_>>();
        let policy = Policy::sts(domain("a.example"), &lines.join("\n"), lines.clone());
        for _ in 0..40 {
            let failure = Failure {
                receiving_mx_hostname: Some(word(255)),
                receiving_mx_helo: Some(word(255)),
                failure_reason_code: Some(word(255)),
                ..Failure::new(Reason::ValidationFailure).unwrap()
            };
            tally.add(&SessionResult {
                applied: vec![Applied { policy: policy.clone(), failure: Some(failure) }],
                failure: None,
            });
        }
    }
    assert!(serde_json::to_vec(&tally).unwrap().len() > VALUE_BYTES_MAX);
    book.add(&tally, 10).unwrap();
    assert_eq!(book.tally(&subject), Some(tally));
}

#[test]
fn what_is_old_is_forgotten_with_what_became_of_it() {
    let book = Book::new(Memory::ephemeral());
    let days = ["2027-01-01", "2027-01-02", "2027-01-09"].map(|day| subject(day, "a.example"));
    for subject in &days {
        book.add(&one(subject, None), 10).unwrap();
        book.file(subject, &sent(subject.day.start())).unwrap();
    }
    book.forget_old("2027-01-09".parse().unwrap());
    assert_eq!(book.subjects().collect::<Vec<_>>(), days[1..]);
    assert_eq!(book.filed(&days[0]), None);
    assert_eq!(book.filed(&days[1]), Some(sent(days[1].day.start())));
}

#[test]
fn a_report_has_one_id_and_one_moment_and_no_two_reports_share_them() {
    let node = domain("mx1.example.org");
    let one = subject("2027-01-04", "a.example");
    assert_eq!(one.report_id(&node), one.report_id(&node));
    assert_eq!(one.due(&node), one.due(&node));
    for other in [subject("2027-01-05", "a.example"), subject("2027-01-04", "b.example")] {
        assert_ne!(one.report_id(&node), other.report_id(&node));
    }
    assert_ne!(one.report_id(&node), one.report_id(&domain("mx2.example.org")));
    assert!(one.due(&node) > one.day.before(0).start() && one.due(&node).to_string().starts_with("2027-01-05T0"));
}

#[test]
fn failures_are_tried_again_after_longer_and_longer_pauses_for_a_day() {
    let first = Timestamp::from_secs(1_000_000);
    let mut state = TargetState::Waiting { tries: 0, next: first, error: None };
    let (mut now, mut pauses) = (first, Vec::new());
    while !state.is_over() {
        state = state.failed("no answer".to_owned(), now, first);
        if let TargetState::Waiting { next, .. } = state {
            assert!(!state.is_due(now) && state.is_due(next));
            pauses.push(next.saturating_since(now).as_secs() / 60);
            now = next;
        }
    }
    assert_eq!(pauses[..6], [5, 15, 60, 120, 240, 240]);
    assert!(now.saturating_since(first) <= TRIED_FOR && now.saturating_since(first) > TRIED_FOR / 2);
    assert_eq!(state, TargetState::GivenUp { at: now, error: "no answer".to_owned() });
}

#[test]
fn places_are_written_down_whole_and_read_back() {
    let url = WebhookUrl::parse("https://c.example:8443/x?y=1").unwrap();
    let targets = [ReportTarget::Https(url), ReportTarget::Mail("a+b@d.example".parse().unwrap())];
    let filed = Filed::new(Timestamp::from_secs(5), &targets);
    let json = serde_json::to_string(&filed).unwrap();
    assert!(json.contains("https://c.example:8443/x?y=1"), "{json}");
    let read: Filed = serde_json::from_str(&json).unwrap();
    assert_eq!(read, filed);
    assert_eq!(read.targets.iter().filter_map(|target| target.to.target()).collect::<Vec<_>>(), targets);
    let clear = Place::Https("http://127.0.0.1/".to_owned());
    assert_eq!(clear.target(), None);
}
