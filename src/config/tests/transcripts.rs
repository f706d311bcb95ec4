//! Cases as text: files in, findings out. The format stands at the head of each file of cases.

use super::{HEAD, LISTENER, findings};

/// One case of a transcript.
#[derive(Debug, Default)]
struct Case {
    /// Its first line in the transcript.
    line: usize,
    main: String,
    /// Whether `main` follows the head that the tests share.
    behind_head: bool,
    domain: String,
    /// Holds for builds with OpenSSL only, or for those without it only.
    with_openssl: Option<bool>,
    expected: Vec<String>,
}

#[test]
fn findings_about_the_main_file_are_those_of_the_transcript() {
    check(include_str!("main_file.txt"));
}

#[test]
fn findings_about_domain_files_are_those_of_the_transcript() {
    check(include_str!("domain_files.txt"));
}

#[test]
fn findings_about_time_are_those_of_the_transcript() {
    check(include_str!("timed.txt"));
}

fn check(transcript: &str) {
    let cases = parse(transcript);
    assert!(cases.len() > 30, "the transcript is read: {}", cases.len());
    let fits = |case: &Case| case.with_openssl.is_none_or(|with| with == cfg!(feature = "legacy-tls"));
    for case in cases.into_iter().filter(fits) {
        let listener = if case.main.contains("listener") { "" } else { LISTENER };
        let main = match case.behind_head {
            true => format!("{HEAD}{listener}{}", case.main),
            false => format!("{}{listener}", case.main),
        };
        let mut files = vec![("gatepost.toml", main.as_str())];
        if !case.domain.is_empty() {
            files.push(("domains.d/a.toml", &case.domain));
        }
        assert_eq!(findings(&files), case.expected, "line {}: {case:#?}", case.line);
    }
}

fn parse(transcript: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case: Option<Case> = None;
    for (index, line) in transcript.lines().chain([""]).enumerate() {
        let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
        if matches!(kind, "" | "#") {
            cases.extend(case.take());
            continue;
        }
        let case = case.get_or_insert_with(|| Case { line: index + 1, behind_head: true, ..Case::default() });
        match kind {
            "m" => case.main += &format!("{text}\n"),
            "M" => {
                case.behind_head = false;
                case.main += &format!("{text}\n");
            }
            "d" => case.domain += &format!("{text}\n"),
            "?" => case.with_openssl = Some(text == "with OpenSSL"),
            ">" => case.expected.push(text.to_owned()),
            _ => panic!("line {}: {line}", index + 1),
        }
    }
    cases
}
