//! What the administrator hears, moment by moment.

use super::*;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + 60 * minute)
}

fn violation(name: &str, minute: i64) -> Violation {
    Violation {
        domain: domain(name),
        mx: Host::Name(domain("mx1.bank.example")),
        wanted: OutboundTls::Encrypt,
        met: Reason::StarttlsNotSupported,
        at: at(minute),
    }
}

fn told(notice: &Notice) -> String {
    let minute = |moment: &Timestamp| moment.saturating_since(at(0)).as_secs() / 60;
    match notice {
        Notice::Raised(violation) => format!("{}: raised", minute(&violation.at)),
        Notice::Reminder { violation, since, violations } => {
            format!("{}: {violations} violations since {}", minute(&violation.at), minute(since))
        }
        Notice::Crowded { violation } => format!("{}: crowded", minute(&violation.at)),
        Notice::Cleared { since, violations, .. } => {
            format!("cleared, {violations} violations since {}", minute(since))
        }
    }
}

/// `V` is a violation and `M` a delivery at the level, each at a minute.
fn check(events: &[(char, i64)], expected: &[&str]) {
    let terms = AlarmTerms::default();
    let mut alarm = Alarm::default();
    let mut notices = Vec::new();
    for (event, minute) in events {
        let notice = match event {
            'V' => alarm.violated(violation("bank.example", *minute), &terms),
            _ => alarm.met(&domain("bank.example"), 1, &terms, at(*minute)),
        };
        notices.extend(notice.as_ref().map(told));
        alarm = serde_json::from_str(&serde_json::to_string(&alarm).unwrap()).unwrap();
    }
    assert_eq!(notices, expected, "{events:?}");
}

#[test]
fn an_alarm_is_told_once_and_again_only_after_a_day_or_an_end() {
    const DAY: i64 = 24 * 60;
    check(&[('M', 0), ('M', 1)], &[]);
    check(&[('V', 0), ('V', 1), ('V', 60), ('V', DAY - 1)], &["0: raised"]);
    check(
        &[('V', 0), ('V', 600), ('V', DAY), ('V', DAY + 1), ('V', 2 * DAY)],
        &["0: raised", "1440: 3 violations since 0", "2880: 5 violations since 0"],
    );
    // Deliveries at once do not end it, nor do few later on.
    check(&[('V', 0), ('M', 1), ('M', 2), ('M', 3), ('M', 59)], &["0: raised"]);
    check(&[('V', 0), ('M', 61), ('M', 62)], &["0: raised"]);
    check(&[('V', 0), ('M', 1), ('M', 2), ('M', 60)], &["0: raised", "cleared, 1 violations since 0"]);
    check(&[('V', 0), ('M', 61), ('M', 62), ('M', 63), ('M', 64)], &["0: raised", "cleared, 1 violations since 0"]);
    // A violation in between begins the count anew.
    check(&[('V', 0), ('M', 61), ('M', 62), ('V', 63), ('M', 124), ('M', 125)], &["0: raised"]);
    // One host fails and the other takes the mail.
    let in_turn: Vec<_> = (0..DAY).map(|minute| (if minute % 2 == 0 { 'V' } else { 'M' }, minute)).collect();
    check(&in_turn, &["0: raised"]);
    // After its end it is told anew.
    check(
        &[('V', 0), ('V', 1), ('M', 61), ('M', 62), ('M', 63), ('V', 64)],
        &["0: raised", "cleared, 2 violations since 0", "64: raised"],
    );
    // A clock that was set back holds nothing up.
    check(&[('V', 5000), ('V', 0), ('V', 1)], &["5000: raised", "0: 2 violations since 5000"]);
}

#[test]
fn destinations_have_alarms_of_their_own() {
    let terms = AlarmTerms::default();
    let mut alarm = Alarm::default();
    assert!(alarm.violated(violation("a.example", 0), &terms).is_some());
    assert!(alarm.violated(violation("b.example", 1), &terms).is_some());
    assert!(alarm.met(&domain("a.example"), 3, &terms, at(100)).is_some());
    assert_eq!(alarm.standing().collect::<Vec<_>>(), [(&domain("b.example"), at(1))]);
    alarm.forget(&domain("b.example"));
    assert_eq!(alarm.standing().len(), 0);
}

#[test]
fn an_alarm_of_which_nothing_is_heard_goes_untold() {
    const WEEK: i64 = 7 * 24 * 60;
    let terms = AlarmTerms::default();
    let mut alarm = Alarm::default();
    alarm.violated(violation("a.example", 0), &terms);
    alarm.violated(violation("b.example", 10), &terms);
    alarm.sweep(&terms, at(WEEK - 1));
    assert_eq!(alarm.standing().len(), 2);
    alarm.sweep(&terms, at(WEEK));
    assert_eq!(alarm.standing().collect::<Vec<_>>(), [(&domain("b.example"), at(10))]);
}

#[test]
fn beyond_the_bound_it_is_told_once_that_there_are_more() {
    let terms = AlarmTerms::default();
    let mut alarm = Alarm::default();
    let violate = |alarm: &mut Alarm, n: usize, minute| {
        let name = format!("{n:03}.{}", ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(57)].join("."));
        alarm.violated(violation(&name, minute), &terms).as_ref().map(told)
    };
    for n in 0..DESTINATIONS_MAX {
        assert_eq!(violate(&mut alarm, n, 0).as_deref(), Some("0: raised"));
    }
    for round in 1..4 {
        let minute = 10 * round;
        // One row of the memory on disk holds no more.
        assert!(serde_json::to_string(&alarm).unwrap().len() < 256 * 1024);
        assert_eq!(violate(&mut alarm, 900, minute), Some(format!("{minute}: crowded")));
        assert_eq!((violate(&mut alarm, 901, minute), violate(&mut alarm, 900, minute)), (None, None));
        assert_eq!(alarm.standing().len(), DESTINATIONS_MAX);
        let some = alarm.standing().next().map(|(domain, _)| domain.clone()).unwrap();
        alarm.forget(&some);
        assert_eq!(violate(&mut alarm, 902, minute), Some(format!("{minute}: raised")));
        alarm.forget(&alarm.standing().last().map(|(domain, _)| domain.clone()).unwrap());
        assert_eq!(violate(&mut alarm, 0, minute), Some(format!("{minute}: raised")));
    }
}

#[test]
fn a_violation_says_in_a_line_what_is_wrong() {
    let told = violation("bank.example", 0).to_string();
    assert_eq!(told, "bank.example: mx1.bank.example does not meet tls = encrypt (starttls-not-supported)");
}
