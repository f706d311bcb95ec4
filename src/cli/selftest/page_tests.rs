//! What people read, as a transcript; and that it is the same as what programs read.

use std::fs;

use super::*;
use crate::cli::selftest::result::{Expected, Said};
use crate::cli::selftest::{columns, json, spread, targets};
use crate::config::{self, Config};
use crate::model::reply::Reply;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::policy::transaction::Visitor;

const MAIN: &str = r#"hostname = "mx1.bank.example"
postmaster = "postmaster@bank.example"
spool = { path = "spool" }
audit = { path = "audit" }
certificate = [{ chain = "a.pem", key = "a.key" }]
[[listener]]
name = "mx"
bind = ["127.0.0.1:2525"]
role = "mx"
offer = "TLSv1.2"
"#;

const BANK: &str = r#"domains = ["bank.example", "*.bank.example"]
hosted = true
recipients = "any"
route = { hosts = ["127.0.0.1:2527"], tls = "opportunistic" }
[inbound]
cipher = "forward-secret"
"#;

const PARTNER: &str = r#"domains = ["partner.example"]
[inbound]
tls = "required"
mode = "report"
"#;

fn configuration() -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("domains.d")).unwrap();
    for (name, text) in [("gatepost.toml", MAIN), ("domains.d/bank.toml", BANK), ("domains.d/partner.toml", PARTNER)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (config, _) = config::load(&folder.path().join("gatepost.toml")).unwrap();
    (folder, config)
}

/// What a server says that does as it should, with one ECDSA certificate.
fn obedient(config: &Config) -> Matrix {
    let (listener, client) = (&config.listeners[0], [127, 0, 0, 1].into());
    let door = config.door(listener);
    let plan = columns::plan(&config.policies, &columns::tests::stranger(false), &[]);
    let keys = [rustls::SignatureAlgorithm::ECDSA];
    let row = |attempt| {
        let prospect = spread::prospect(attempt, listener, Some(&keys));
        if prospect != Prospect::Made {
            let met = Met::Failed { reason: "alert", detail: "handshake_failure".into(), is_answer: true };
            return Row { attempt, prospect, met };
        }
        let facts = match attempt {
            Attempt::Plaintext => None,
            Attempt::Tls { version, suite } => Some(Box::new(TlsFacts::assumed(version, suite))),
        };
        let cells = plan.columns.iter().map(|column| {
            let expected = Expected::of(&door, client, facts.as_deref(), column);
            Cell { said: expected.said.clone(), expected }
        });
        Row { attempt, prospect, met: Met::Made { cells: cells.collect(), facts } }
    };
    let rows = spread::attempts(listener.tls).into_iter().map(row).collect();
    Matrix { client, trust: door.trust(&Visitor { at: crate::clock::timestamp(), ip: client, tls: None }), plan, rows }
}

fn report(config: &Config, outcome: Result<Matrix, super::super::WalkError>) -> Report<'_> {
    let target = targets::choose(&config.listeners, None, None).unwrap().remove(0);
    Report {
        config,
        config_asked: None,
        time: crate::model::time::Timestamp::from_secs(1_800_000_000),
        daemon_digest: Some(config.digest.clone()),
        keys_unknown: None,
        tested: vec![Tested { target, outcome }],
    }
}

fn plain(report: &Report<'_>) -> String {
    let text = anstream::adapter::strip_str(&page(report)).to_string();
    let is_command = |line: &str| line.starts_with("  gatepost ");
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH_COLUMNS || is_command(line)), "{text}");
    text
}

#[test]
fn the_matrix_tells_each_session_against_each_policy() {
    let (_folder, config) = configuration();
    let report = report(&config, Ok(obedient(&config)));
    let expected = "\
Listener mx at 127.0.0.1:2525
Role mx, STARTTLS, offers TLSv1.2 and later.
The client is 127.0.0.1, a stranger. It shows no certificate.

1   to bank.example and 1 more: TLS with a forward-secret cipher
2   from partner.example: TLS, mode report
3   from any other domain: TLS optional
4   to any other domain: no relaying

VERSION    CIPHER                         1    2    3    4
plaintext                                 550  ok*  ok   550
TLSv1.3    TLS_AES_256_GCM_SHA384         ok   ok   ok   550
TLSv1.3    TLS_CHACHA20_POLY1305_SHA256   ok   ok   ok   550
TLSv1.3    TLS_AES_128_GCM_SHA256         ok   ok   ok   550
TLSv1.3    TLS_AES_128_CCM_SHA256         ok   ok   ok   550
TLSv1.2    ECDHE-ECDSA-AES256-GCM-SHA384  ok   ok   ok   550
TLSv1.2    ECDHE-RSA-AES128-GCM-SHA256    -    -    -    -
";
    let text = plain(&report);
    assert!(text.starts_with(expected), "{text}");
    let expected = "
TLSv1.1    7 suites                       -    -    -    -
TLSv1      7 suites                       -    -    -    -
SSLv3      3 suites                       -    -    -    -

ok*  taken, and recorded as what would be refused if it were enforced
-    no handshake: TLSv1.1, TLSv1, SSLv3 are not offered; there is no RSA
     certificate

32 handshakes, 28 verdicts, all as the policy says
";
    let rows = report.matrices().next().unwrap().rows.len();
    assert!(text.ends_with(&expected.replace("32 ", &format!("{} ", rows - 1))), "{text}");
    assert_eq!(report.exit().code(), 0);
    let json = json::answer(&report);
    assert_eq!(
        (&json["equal"], &json["verdicts"], &json["daemon_config"]),
        (&true.into(), &28.into(), &json["config"])
    );
    assert_eq!(json["listeners"][0]["rows"][0]["verdicts"][0]["expected"]["stage"], "rcpt");
}

#[test]
fn each_difference_is_told_with_the_command_that_explains_it() {
    let (_folder, config) = configuration();
    let mut matrix = obedient(&config);
    for row in matrix.rows.iter_mut().filter(|row| row.prospect == Prospect::BelowOffer).take(2) {
        row.met = Met::Made { facts: None, cells: Vec::new() };
    }
    if let Met::Made { cells, .. } = &mut matrix.rows[0].met {
        let yes = Reply { code: crate::model::reply::Code::OK, enhanced: None, lines: vec!["fine".into()] };
        cells[0].said = Said { stage: crate::policy::inbound::Stage::Rcpt, reply: yes };
    }
    matrix.rows[1].met = Met::Failed { reason: "timeout", detail: "not finished within 20s".into(), is_answer: false };
    let mut report = report(&config, Ok(matrix));
    report.daemon_digest = Some("00".into());
    let text = plain(&report);
    for expected in [
        "Warning: the running daemon says that it has another configuration in force than\nthe one on disk",
        "\nplaintext   ",
        "  !250  ok*  ok   550\n!TLSv1.3   TLS_AES_256_GCM_SHA384         -     -    -    -\n",
        "\n!TLSv1.1 ",
        "\nTLSv1.1    5 suites ",
        "\n!    not what the configuration says; see below\n",
        "
mx: plaintext, to bank.example and 1 more
  seen      at RCPT: 250 fine
  expected  at RCPT: 550 5.7.10 Encryption needed: bank.example requires TLS
            with a forward-secret cipher; this session is not encrypted; id=…
  gatepost policy explain --listener mx --from '<>' --to gatepost-selftest@bank.example --client 127.0.0.1 --plaintext

mx: TLSv1.3 TLS_AES_256_GCM_SHA384
  seen      no handshake (timeout): not finished within 20s
  expected  a handshake

mx: TLSv1.1 ECDHE-ECDSA-AES256-SHA and 1 other suite
  seen      a handshake
  expected  none, as the version is not offered

",
        "verdicts, 4 differences\n",
    ] {
        assert!(text.contains(expected), "{expected}\n--- is not in ---\n{text}");
    }
    assert_eq!((report.exit().code(), &json::answer(&report)["equal"]), (1, &false.into()));
}

#[test]
fn a_listener_that_cannot_be_reached_is_told_and_is_exit_code_3() {
    let (_folder, config) = configuration();
    let error = super::super::WalkError::Talk { at: "the greeting", error: crate::net::talk::TalkError::Closed };
    let report = report(&config, Err(error));
    let text = plain(&report);
    assert!(text.contains("\nCannot be tested: the greeting: the connection was closed\n"), "{text}");
    assert!(text.ends_with("0 handshakes, 0 verdicts, 1 listener not tested\n"), "{text}");
    assert_eq!((report.exit().code(), &json::answer(&report)["equal"]), (3, &false.into()));
}

#[test]
fn what_a_shell_would_take_apart_is_quoted() {
    for (text, expected) in [
        ("gatepost-selftest@bank.example", "gatepost-selftest@bank.example"),
        ("<>", "'<>'"),
        ("", "''"),
        ("/etc/my conf/it's", "'/etc/my conf/it'\\''s'"),
    ] {
        assert_eq!(quoted(text), expected);
    }
    assert_eq!(
        (later(ProtocolVersion::Ssl3).as_str(), later(ProtocolVersion::Tls1_3).as_str()),
        ("SSLv3 and later", "TLSv1.3")
    );
}
