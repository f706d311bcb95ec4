//! Policies good and bad, from the grammar of RFC 8461 section 3.2, and hosts by section 4.1.

use proptest::prelude::*;

use super::*;

const START: &str = "version: STSv1\nmode: enforce\nmax_age: 86400\n";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn check_good(text: &str, mode: Mode, mx: &[&str], max_age_secs: u64) {
    let mx = mx.iter().map(|mx| MxPattern::parse(mx).unwrap()).collect();
    assert_eq!(StsPolicy::parse(text.as_bytes()), Ok(StsPolicy { mode, mx, max_age: secs(max_age_secs) }), "{text:?}");
}

fn check_bad_line(text: &str, number: usize, fault: LineFault) {
    assert_eq!(StsPolicy::parse(text.as_bytes()), Err(StsPolicyError::Line { number, fault }), "{text:?}");
}

#[test]
fn policies_of_the_grammar_are_read() {
    use Mode::{Enforce, None, Testing};
    let rfc = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n\
               mx: backupmx.example.com\r\nmax_age: 604800\r\n";
    check_good(rfc, Enforce, &["mail.example.com", "*.example.net", "backupmx.example.com"], 604_800);
    // Either end of a line, none at the end, any order, any white space around a value.
    check_good("version: STSv1\nmode: testing\nmx: a.example\nmax_age: 1\n", Testing, &["a.example"], 1);
    check_good("version:STSv1\r\nmode:\ttesting\nmx: \t a.example\t \nmax_age:1 ", Testing, &["a.example"], 1);
    check_good("max_age: 7\nmx: a.example\nmode: enforce\nversion: STSv1", Enforce, &["a.example"], 7);
    // A host is not needed where nothing is promised, and may be named all the same.
    check_good("version: STSv1\nmode: none\nmax_age: 86400\n", None, &[], 86_400);
    check_good("version: STSv1\nmode: none\nmax_age: 0\nmx: a.example", None, &["a.example"], 0);
    check_good("version: STSv1\nmode: none\nmax_age: 0031557600", None, &[], 31_557_600);
    // Names of hosts are alike in any case, and have as few labels as they want.
    check_good(
        &format!("{START}mx: A.Example\nmx: *.XN--bcher-kva.example\nmx: mail\nmx: *.x9"),
        Enforce,
        &["a.example", "*.xn--bcher-kva.example", "mail", "*.x9"],
        86_400,
    );
    // What is not known is passed over, whatever its value is.
    let longest_name = "x".repeat(32);
    check_good(
        &format!("{START}mx: a.example\n{longest_name}: 1\nx.y-z_: gr\u{fc}\u{df}e, a: b ; c=d\nMX: ?"),
        Enforce,
        &["a.example"],
        86_400,
    );
    check_good(&format!("{START}mx: a.example\nMode: none\nVersion: 2"), Enforce, &["a.example"], 86_400);
    // Of what stands twice the first counts, but for mx.
    check_good(
        &format!("{START}mode: none\nmode: ?\nversion: STSv2\nmax_age: x\nmx: b.example\nmx: a.example"),
        Enforce,
        &["b.example", "a.example"],
        86_400,
    );
}

#[test]
fn a_field_that_is_missing_is_named() {
    for (text, field) in [
        ("", StsField::Version),
        ("mode: none\nmax_age: 0", StsField::Version),
        ("Version: STSv1\nmode: none\nmax_age: 0", StsField::Version),
        ("version: STSv1\nmax_age: 0\nmx: a.example", StsField::Mode),
        ("version: STSv1\nmode: none", StsField::MaxAge),
        ("version: STSv1\nmode: enforce\nmax_age: 0", StsField::Mx),
        ("version: STSv1\nmode: testing\nmax_age: 0\nMX: a.example", StsField::Mx),
    ] {
        assert_eq!(StsPolicy::parse(text.as_bytes()), Err(StsPolicyError::Missing(field)), "{text:?}");
    }
}

#[test]
fn every_departure_from_the_grammar_is_found_in_its_line() {
    use LineFault::{Control, Empty, MaxAge, Mode, NoField, Version};
    check_bad_line("\n", 1, Empty);
    check_bad_line(&format!("\n{START}"), 1, Empty);
    check_bad_line(&format!("{START}\nmx: a.example"), 4, Empty);
    check_bad_line(&format!("{START}mx: a.example\n\n"), 5, Empty);
    check_bad_line(&format!("{START} \t\nmx: a.example"), 4, Empty);
    check_bad_line("<!doctype html>", 1, NoField);
    check_bad_line("\u{feff}version: STSv1", 1, NoField);
    check_bad_line(" version: STSv1", 1, NoField);
    check_bad_line("version : STSv1", 1, NoField);
    check_bad_line("version=STSv1", 1, NoField);
    check_bad_line(&format!("{START}mx:"), 4, NoField);
    check_bad_line(&format!("{START}mx: \t"), 4, NoField);
    check_bad_line(&format!("{START}: a"), 4, NoField);
    check_bad_line(&format!("{START}_x: a"), 4, NoField);
    check_bad_line(&format!("{START}{}: a", "x".repeat(33)), 4, NoField);
    check_bad_line(&format!("{START}x: a\tb"), 4, Control);
    check_bad_line(&format!("{START}x: a\u{7f}"), 4, Control);
    check_bad_line(&format!("{START}x: a\r\r\n"), 4, Control);
    check_bad_line("version: STSv1\rmode: none", 1, Control);
    check_bad_line("version: STSv1\r", 1, Control);
    check_bad_line("version: STSv2", 1, Version);
    check_bad_line("version: stsv1", 1, Version);
    check_bad_line("version: STSv1;", 1, Version);
    check_bad_line("version: STSv1\nmode: Enforce", 2, Mode);
    check_bad_line("version: STSv1\nmode: report", 2, Mode);
    for number in ["31557601", "4294967296", "00000000001", "-1", "+1", "1.5", "1 day", "0x10", "\u{661}"] {
        check_bad_line(&format!("version: STSv1\nmode: none\nmax_age: {number}"), 3, MaxAge);
    }
}

#[test]
fn hosts_are_names_with_at_most_one_star_in_front() {
    use DomainError::{Character, Empty, Numeric, TooLong};
    let long_label = "a".repeat(64);
    for (mx, error) in [
        ("*", Character),
        ("*.", Empty),
        ("*a.example", Character),
        ("a.*.example", Character),
        ("*.*.example", Character),
        (".example", Empty),
        ("*..example", Empty),
        ("a..example", Empty),
        ("a.example.", Character),
        ("-a.example", Character),
        ("a.example-", Character),
        ("a_b.example", Character),
        ("b\u{fc}cher.example", Character),
        ("a.example, b.example", Character),
        ("a.example:25", Character),
        ("[192.0.2.1]", Character),
        ("192.0.2.1", Numeric),
        (long_label.as_str(), TooLong),
    ] {
        check_bad_line(&format!("{START}mx: {mx}"), 4, LineFault::Mx(error));
    }
}

#[test]
fn a_policy_is_utf8_and_no_longer_than_64_kib() {
    assert_eq!(StsPolicy::parse(b"version: STSv1\xff"), Err(StsPolicyError::NotUtf8));
    let start = format!("{START}mx: a.example\nx: ");
    let full = format!("{start}{}", "y".repeat(STS_POLICY_BYTES_MAX - start.len()));
    assert!(StsPolicy::parse(full.as_bytes()).is_ok());
    assert_eq!(StsPolicy::parse(format!("{full}y").as_bytes()), Err(StsPolicyError::TooLong));
}

#[test]
fn a_star_stands_for_exactly_one_label() {
    for (pattern, mx, expected) in [
        ("mail.example.com", "mail.example.com", true),
        ("Mail.Example.Com", "mAIL.eXAMPLE.cOM", true),
        ("mail.example.com", "a.mail.example.com", false),
        ("mail.example.com", "xmail.example.com", false),
        ("*.example.com", "mail.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "foo.bar.example.com", false),
        ("*.example.com", "mail.badexample.com", false),
        ("*.example.com", "mail.example.com.evil.example", false),
        ("*.com", "example.com", true),
        ("*.com", "com", false),
    ] {
        let policy = StsPolicy { mode: Mode::Enforce, mx: vec![MxPattern::parse(pattern).unwrap()], max_age: secs(1) };
        assert_eq!(policy.matches(&Domain::parse(mx).unwrap()), expected, "{pattern} {mx}");
    }
}

#[test]
fn no_host_and_every_host_of_the_list_match_as_listed() {
    let policy = StsPolicy::parse(format!("{START}mx: a.example\nmx: *.b.example").as_bytes()).unwrap();
    for (mx, expected) in [("a.example", true), ("x.b.example", true), ("c.example", false)] {
        assert_eq!(policy.matches(&Domain::parse(mx).unwrap()), expected, "{mx}");
    }
    let none = StsPolicy { mode: Mode::None, mx: Vec::new(), max_age: secs(1) };
    assert!(!none.matches(&Domain::parse("a.example").unwrap()));
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("version: STSv1".to_owned()),
        "mode: (enforce|testing|none|other)",
        "max_age: [0-9]{1,9}",
        "mx: (\\*\\.)?[a-z0-9-]{1,4}\\.[a-z]{1,3}",
        "[a-z_]{0,3}:? ?[ -~\\t]{0,6}",
    ]
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = StsPolicy::parse(&body);
    }

    #[test]
    fn what_is_read_says_so_again(lines in prop::collection::vec(line(), 0..8)) {
        let text = format!("{START}mx: a.example\r\n{}", lines.join("\n"));
        for text in [text, lines.join("\n")] {
            if let Ok(policy) = StsPolicy::parse(text.as_bytes()) {
                prop_assert_eq!(StsPolicy::parse(policy.to_string().as_bytes()), Ok(policy));
            }
        }
    }
}
