//! How findings look on a terminal of 80 columns, and as JSON.

use super::super::diagnostic::Diagnostic;
use super::{HEAD, LISTENER, load_files};

fn only_finding(main: &str, domain: &str) -> Diagnostic {
    let main = format!("{HEAD}{LISTENER}{main}");
    let mut found = match load_files(&[("gatepost.toml", &main), ("domains.d/bank.toml", domain)]) {
        Ok((_, found)) | Err(found) => found,
    };
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

const RENDERED: &str = r#"
error: inbound.tls: "optional" contradicts `inbound.min_version` beside it,
       which needs TLS
 --> domains.d/bank.toml:3:7
  |
3 | tls = "optional"
  |       ^^^^^^^^^^
  |
  = help: write "required", or remove one of the two
"#;

#[test]
fn a_finding_is_shown_with_its_line_and_its_remedy_within_80_columns() {
    let text = "domains = [\"bank.example\"]\n[inbound]\ntls = \"optional\"\nmin_version = \"TLSv1.2\" # since 2026\n";
    assert_eq!(only_finding("", text).render(false), RENDERED.trim());
}

const EXPIRING: &str = r#"
warning: inbound.exception.expires: the exception ends 2026-12-10, within 14
         days (owner: facilities)
 --> domains.d/bank.toml:9:11
  |
9 | expires = 2026-12-10
  |           ^^^^^^^^^^
  |
  = help: ask facilities whether it is still needed; then let it end, or
          write a later day
"#;

const UNOWNED: &str = r#"
error: inbound.exception.owner: `owner` is missing
 --> domains.d/bank.toml:4:1
  |
4 | [[inbound.exception]]
  | ^^^^^^^^^^^^^^^^^^^^^
  |
  = help: name who asked for it and answers for it: owner = "facilities"
"#;

#[test]
fn the_end_of_an_exception_and_who_answers_for_it_are_told_in_full() {
    let head = "domains = [\"bank.example\"]\n[inbound]\ntls = \"required\"\n[[inbound.exception]]\nclients = \
                [\"192.0.2.1\"]\ntls = \"optional\"\nreason = \"scanners\"\n";
    let expiring = format!("{head}owner = \"facilities\"\nexpires = 2026-12-10\n");
    assert_eq!(only_finding("", &expiring).render(false), EXPIRING.trim());
    let unowned = format!("{head}expires = 2026-12-10\n");
    assert_eq!(only_finding("", &unowned).render(false), UNOWNED.trim());
}

#[test]
fn no_line_of_a_finding_is_longer_than_80_columns() {
    let domains: Vec<String> = (0..30).map(|n| format!("\"d{n}.example\"")).collect();
    let wide = format!("domains = [{}, \"..\"]", domains.join(", "));
    let too_wide = format!("domains = [{}\"..\"]", " ".repeat(3000));
    let wrapped = "domains = [\"b.example\"]\n[route]\nhosts = [\"a b\"]\n";
    for text in [wide.as_str(), &too_wide, wrapped] {
        let rendered = only_finding("", text).render(false);
        let longest = rendered.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{longest:?}\n{rendered}");
    }
}

#[test]
fn colour_only_adds_escape_sequences() {
    let finding = only_finding("", "domains = [\"b.example\"]\ncolour = 1\n");
    let (plain, coloured) = (finding.render(false), finding.render(true));
    assert!(coloured.contains('\u{1b}') && !plain.contains('\u{1b}'));
}

#[test]
fn a_finding_is_an_object_in_json() {
    let finding = only_finding("", "domains = [\"b.example\"]\nhosted = 5\n");
    let expected = serde_json::json!({
        "severity": "error", "file": "domains.d/bank.toml", "line": 2, "column": 10, "key": "hosted",
        "message": "the value has the wrong type: integer", "remedy": "write true or false",
        "excerpt": { "line": "hosted = 5", "start": 9, "end": 10 },
    });
    assert_eq!(serde_json::to_value(&finding).unwrap(), expected);
}
