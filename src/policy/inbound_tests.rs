//! The decision matrix of the inbound verdict, every cell with its expected answer.

use crate::model::address::{Address, Charset, ReversePath};
use crate::model::cipher::{CipherGrade, CipherSuite, SUITES};
use crate::model::domain::DomainPattern;
use crate::model::reason::Reason;
use crate::model::tls::{PeerCertificate, ProtocolVersion, TlsFacts, Verified};
use crate::policy::names::Fingerprint;
use crate::policy::rules::{Defaults, DomainPolicy, PolicySet};
use crate::policy::settings::InboundTls;

use super::*;

/// The sessions of the matrix, weakest first: none, and one for each version and grade that occurs.
const SESSIONS: [Option<(&str, &str)>; 6] = [
    None,
    Some(("TLSv1", "DES-CBC3-SHA")),
    Some(("TLSv1.1", "ECDHE-RSA-AES128-SHA")),
    Some(("TLSv1.2", "AES128-GCM-SHA256")),
    Some(("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384")),
    Some(("TLSv1.3", "TLS_AES_128_GCM_SHA256")),
];

fn facts(session: Option<(&str, &str)>) -> Option<TlsFacts> {
    session.map(|(version, cipher)| {
        TlsFacts::assumed(ProtocolVersion::parse(version).unwrap(), CipherSuite::by_name(cipher).unwrap())
    })
}

fn certificate(byte: u8) -> Fingerprint {
    Fingerprint::from_bytes([byte; 32])
}

/// The session with a certificate that its client proved to have.
fn with_certificate(session: Option<(&str, &str)>, byte: u8, verified: Verified) -> Option<TlsFacts> {
    let peer = PeerCertificate { verified, ..PeerCertificate::assumed(certificate(byte).hex()) };
    facts(session).map(|facts| TlsFacts { peer: Some(peer), ..facts })
}

fn at(line: u32) -> Source {
    Source::File { file: "domains.d/bank.toml".into(), line }
}

fn written<T>(value: T, line: u32) -> Option<Sourced<T>> {
    Some(Sourced { value, source: at(line) })
}

/// `tls=required min_version=TLSv1.2 cipher=aead mode=report applies_to=sender`, each key on the line of its place.
fn layer(text: &str) -> InboundLayer {
    let mut layer = InboundLayer::default();
    for (index, word) in text.split_whitespace().enumerate() {
        let line = u32::try_from(index).unwrap() + 1;
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "tls" => {
                let tls = if value == "required" { InboundTls::Required } else { InboundTls::Optional };
                layer.tls = written(tls, line);
            }
            "min_version" => layer.min_version = written(ProtocolVersion::parse(value).unwrap(), line),
            "cipher" => layer.cipher = written(CipherGrade::parse(value).unwrap(), line),
            "client_certificate" => {
                let rule = match value {
                    "none" => ClientCertificateRule::None,
                    "verified" => ClientCertificateRule::Verified,
                    byte => ClientCertificateRule::Fingerprints([certificate(byte.parse().unwrap())].into()),
                };
                layer.client_certificate = written(rule, line);
            }
            "mode" => {
                let modes = [Mode::Report, Mode::Defer, Mode::Enforce];
                layer.mode = written(modes.into_iter().find(|mode| mode.as_str() == value).unwrap(), line);
            }
            "applies_to" => {
                let applies_to = AppliesTo { sender: value.contains("sender"), recipient: value.contains("recipient") };
                layer.applies_to = written(applies_to, line);
            }
            other => panic!("{other}"),
        }
    }
    layer
}

fn policies(default: &str, bank: &str) -> PolicySet {
    let bank = DomainPolicy {
        file: "domains.d/bank.toml".into(),
        patterns: vec![DomainPattern::parse("bank.example").unwrap()],
        hosted: true,
        group: Some("banks".into()),
        inbound: layer(bank).into(),
        ..DomainPolicy::default()
    };
    let partner = DomainPolicy {
        file: "domains.d/partner.toml".into(),
        patterns: vec![DomainPattern::parse("partner.example").unwrap()],
        inbound: layer("tls=required").into(),
        ..DomainPolicy::default()
    };
    let defaults = Defaults { inbound: layer(default).into(), ..Defaults::default() };
    PolicySet::new(defaults, vec![bank, partner]).unwrap()
}

fn sender(text: &str) -> ReversePath {
    match text {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(Address::parse(text, Charset::Ascii).unwrap()),
    }
}

/// A question at MAIL in plaintext, on the first day.
fn by_stranger(sender: &ReversePath) -> Question<'_> {
    let ip = IpAddr::from([192, 0, 2, 1]);
    Question { at: Timestamp::default(), ip, client: Client::Stranger, sender, recipient: None, tls: None }
}

/// The verdict in one line: `accept`, or verdict, reply codes, reason and rule.
fn ask(policies: &PolicySet, from: &str, to: Option<&str>, tls: Option<&TlsFacts>) -> String {
    let (sender, recipient) = (sender(from), to.map(|to| Address::parse(to, Charset::Ascii).unwrap()));
    let question = Question { recipient: recipient.as_ref(), tls, ..by_stranger(&sender) };
    line(&judge(policies, &question), tls)
}

fn line(judgement: &Judgement, tls: Option<&TlsFacts>) -> String {
    let Some(reason) = judgement.reason else { return "accept".to_owned() };
    let reply = judgement.would_be_reply(tls, "X");
    format!(
        "{} {} {} {reason} {}",
        judgement.verdict.as_str(),
        reply.code,
        reply.enhanced.unwrap(),
        judgement.rule.to_string().trim_start_matches("domains.d/")
    )
}

/// What a session lacks of a requirement, written down a second time in the plainest way.
fn lacks(required: bool, min: Option<&str>, grade: CipherGrade, tls: Option<&TlsFacts>) -> Option<Reason> {
    match tls {
        None => (required || min.is_some() || grade > CipherGrade::Any).then_some(Reason::TlsRequired),
        Some(tls) => {
            let rank = |name: &str| ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"].iter().position(|n| *n == name);
            if min.is_some_and(|min| rank(tls.version.as_str()) < rank(min)) {
                Some(Reason::VersionBelowMinimum)
            } else {
                (tls.grade() < grade).then_some(Reason::CipherBelowMinimum)
            }
        }
    }
}

#[test]
fn the_full_matrix_of_tls_version_cipher_mode_and_session() {
    let mut cells = 0;
    for tls_key in ["optional", "required"] {
        for min in [None, Some("TLSv1"), Some("TLSv1.1"), Some("TLSv1.2"), Some("TLSv1.3")] {
            for grade in CipherGrade::ALL {
                for mode in ["report", "defer", "enforce"] {
                    let min_word = min.map(|min| format!(" min_version={min}")).unwrap_or_default();
                    let text = format!("tls={tls_key}{min_word} cipher={grade} mode={mode}");
                    let policies = policies("", &text);
                    for session in SESSIONS {
                        let tls = facts(session);
                        let lacking = lacks(tls_key == "required", min, grade, tls.as_ref());
                        for (from, to) in [("a@bank.example", None), ("a@other.example", Some("b@bank.example"))] {
                            let seen = ask(&policies, from, to, tls.as_ref());
                            let expected = match (lacking, mode) {
                                (None, _) => "accept".to_owned(),
                                (Some(reason), "defer") => format!("defer 450 4.7.10 {reason}"),
                                (Some(reason), mode) => {
                                    let verdict = if mode == "report" { "would_refuse" } else { "refuse" };
                                    let code = match (reason, to) {
                                        (Reason::TlsRequired, None) => 530,
                                        (Reason::TlsRequired, Some(_)) => 550,
                                        _ => 554,
                                    };
                                    format!("{verdict} {code} 5.7.10 {reason}")
                                }
                            };
                            assert!(seen.starts_with(&expected), "{text} {session:?} {to:?}: {seen}, not {expected}");
                            cells += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cells, 2 * 5 * 4 * 3 * 6 * 2);
}

#[test]
fn each_key_comes_from_the_highest_layer_that_has_it_and_is_named_with_its_line() {
    for (default, bank, session, expected) in [
        ("tls=required", "", SESSIONS[0], "refuse 550 5.7.10 tls-required bank.toml:1"),
        ("tls=required", "tls=optional", SESSIONS[0], "accept"),
        (
            "min_version=TLSv1.3",
            "mode=report min_version=TLSv1.2",
            SESSIONS[2],
            "would_refuse 554 5.7.10 version-below-minimum bank.toml:2",
        ),
        ("mode=defer", "cipher=aead", SESSIONS[3], "defer 450 4.7.10 cipher-below-minimum bank.toml:1"),
        ("", "mode=enforce tls=optional cipher=strong", SESSIONS[0], "refuse 550 5.7.10 tls-required bank.toml:3"),
    ] {
        let policies = policies(default, bank);
        assert_eq!(
            ask(&policies, "a@x.example", Some("b@bank.example"), facts(session).as_ref()),
            expected,
            "{default} / {bank}"
        );
    }
}

#[test]
fn who_is_judged_where() {
    let plain = |default: &str, bank: &str, from: &str, to: Option<&str>| ask(&policies(default, bank), from, to, None);
    let refused = "refuse 530 5.7.10 tls-required bank.toml:1";
    for (default, bank, from, to, expected) in [
        // The null reverse-path is judged at RCPT only.
        ("tls=required", "tls=required", "", None, "accept"),
        ("", "tls=required", "", Some("b@bank.example"), "refuse 550 5.7.10 tls-required bank.toml:1"),
        // The default covers senders without a file, and nobody's recipients that are not hosted.
        ("tls=required", "", "a@unknown.example", None, refused),
        ("tls=required", "", "a@[192.0.2.1]", None, refused),
        ("tls=required", "", "a@unknown.example", Some("b@unknown.example"), "accept"),
        // A file that hosts nothing speaks for its senders only.
        ("", "", "a@partner.example", None, "refuse 530 5.7.10 tls-required bank.toml:1"),
        ("", "", "a@x.example", Some("b@partner.example"), "accept"),
        // applies_to leaves a side out.
        ("", "tls=required applies_to=recipient", "a@bank.example", None, "accept"),
        ("", "tls=required applies_to=sender", "a@x.example", Some("b@bank.example"), "accept"),
        // Postmaster hears everybody.
        ("", "tls=required", "a@x.example", Some("PostMaster@bank.example"), "accept"),
        (
            "",
            "tls=required",
            "a@x.example",
            Some("postmaster2@bank.example"),
            "refuse 550 5.7.10 tls-required bank.toml:1",
        ),
    ] {
        assert_eq!(plain(default, bank, from, to), expected, "{default} / {bank} / {from} / {to:?}");
    }
}

/// RFC 8460 section 3.
#[test]
fn tls_reports_arrive_despite_failing_tls() {
    let mut policies = policies("tls=required", "tls=required");
    policies.tls_report_address = Some("tls-reports@bank.example".parse().unwrap());
    for (to, expected) in [
        ("TLS-Reports@bank.example", Some(Exempt::TlsReports)),
        ("\"tls-reports\"@BANK.example", Some(Exempt::TlsReports)),
        ("b@bank.example", None),
        ("tls-reports@x.bank.example", Some(Exempt::NotHosted)),
    ] {
        let (sender, recipient) = (ReversePath::Null, to.parse().unwrap());
        let question = Question {
            at: Timestamp::from_secs(0),
            ip: "192.0.2.1".parse().unwrap(),
            client: Client::Stranger,
            sender: &sender,
            recipient: Some(&recipient),
            tls: None,
        };
        let judgement = judge(&policies, &question);
        assert_eq!((judgement.exempt, judgement.passes()), (expected, expected.is_some()), "{to}");
    }
}

#[test]
fn trusted_clients_answer_to_the_floor_of_their_listener_instead() {
    let policies = policies("tls=required", "tls=required min_version=TLSv1.3");
    let floor = |min: Option<&str>, cipher: Option<CipherGrade>| Floor {
        min_version: min.map(|min| at_floor(ProtocolVersion::parse(min).unwrap(), 7)),
        cipher: cipher.map(|cipher| at_floor(cipher, 8)),
    };
    for (min, cipher, session, to, expected) in [
        (None, None, SESSIONS[0], None, "accept"),
        (None, None, SESSIONS[0], Some("b@bank.example"), "accept"),
        (Some("TLSv1.2"), None, SESSIONS[0], None, "refuse 530 5.7.10 tls-required gatepost.toml:7"),
        (Some("TLSv1.2"), None, SESSIONS[2], None, "refuse 554 5.7.10 version-below-minimum gatepost.toml:7"),
        (Some("TLSv1.2"), None, SESSIONS[3], Some("b@bank.example"), "accept"),
        (
            None,
            Some(CipherGrade::ForwardSecret),
            SESSIONS[3],
            None,
            "refuse 554 5.7.10 cipher-below-minimum gatepost.toml:8",
        ),
    ] {
        let (tls, floor, sender) = (facts(session), floor(min, cipher), sender("a@bank.example"));
        let recipient = to.map(|to| Address::parse(to, Charset::Ascii).unwrap());
        let client = Client::Trusted(&floor, Role::Smarthost);
        let (recipient, tls) = (recipient.as_ref(), tls.as_ref());
        let question = Question { client, recipient, tls, ..by_stranger(&sender) };
        assert_eq!(line(&judge(&policies, &question), tls), expected, "{min:?} {cipher:?} {session:?}");
    }
}

fn at_floor<T>(value: T, line: u32) -> Sourced<T> {
    Sourced { value, source: Source::File { file: "gatepost.toml".into(), line } }
}

#[test]
fn the_floor_of_submission_can_be_raised_and_never_lowered() {
    use CipherGrade::{Aead, Any, ForwardSecret};
    use ProtocolVersion::{Tls1_0, Tls1_2, Tls1_3};
    for (role, min, cipher, expected) in [
        (Role::Submission, None, None, (Some(Tls1_2), Some(ForwardSecret), "built-in")),
        (Role::Submission, Some(Tls1_0), Some(Any), (Some(Tls1_2), Some(ForwardSecret), "built-in")),
        (Role::Submission, Some(Tls1_3), Some(Aead), (Some(Tls1_3), Some(Aead), "gatepost.toml:1")),
        (Role::Smarthost, Some(Tls1_0), None, (Some(Tls1_0), None, "gatepost.toml:1")),
        (Role::Mx, None, Some(Aead), (None, Some(Aead), "gatepost.toml:1")),
    ] {
        let written =
            Floor { min_version: min.map(|min| at_floor(min, 1)), cipher: cipher.map(|cipher| at_floor(cipher, 1)) };
        let Floor { min_version, cipher } = Floor::of(role, written);
        let source = min_version.as_ref().map(|min| &min.source).or(cipher.as_ref().map(|cipher| &cipher.source));
        let seen = (
            min_version.as_ref().map(|min| min.value),
            cipher.as_ref().map(|cipher| cipher.value),
            &*source.unwrap().to_string(),
        );
        assert_eq!(seen, expected, "{role:?}");
    }
}

#[test]
fn a_client_certificate_is_asked_for_after_version_and_cipher_and_implies_tls() {
    let shown = |session, byte| with_certificate(session, byte, Verified::Webpki);
    for (default, bank, tls, expected) in [
        ("", "client_certificate=verified", None, "refuse 550 5.7.10 tls-required bank.toml:1"),
        ("", "client_certificate=verified", facts(SESSIONS[4]), "refuse 554 5.7.10 client-certificate bank.toml:1"),
        ("", "client_certificate=verified", shown(SESSIONS[4], 1), "accept"),
        (
            "",
            "client_certificate=verified",
            with_certificate(SESSIONS[4], 1, Verified::None),
            "refuse 554 5.7.10 client-certificate bank.toml:1",
        ),
        ("", "client_certificate=verified", shown(SESSIONS[2], 1), "refuse 554 5.7.10 client-certificate bank.toml:1"),
        ("", "mode=defer client_certificate=1", shown(SESSIONS[4], 1), "accept"),
        (
            "",
            "mode=defer client_certificate=1",
            shown(SESSIONS[4], 2),
            "defer 450 4.7.10 client-certificate bank.toml:2",
        ),
        (
            "",
            "client_certificate=1 min_version=TLSv1.3",
            facts(SESSIONS[4]),
            "refuse 554 5.7.10 version-below-minimum bank.toml:2",
        ),
        (
            "",
            "client_certificate=1 cipher=aead",
            facts(SESSIONS[3]),
            "refuse 554 5.7.10 cipher-below-minimum bank.toml:2",
        ),
        ("client_certificate=1", "client_certificate=none", None, "accept"),
        ("client_certificate=1", "mode=report", None, "would_refuse 550 5.7.10 tls-required bank.toml:1"),
        ("client_certificate=1", "client_certificate=2", shown(SESSIONS[5], 2), "accept"),
    ] {
        let seen = ask(&policies(default, bank), "", Some("b@bank.example"), tls.as_ref());
        assert_eq!(seen, expected, "{default} / {bank} / {tls:?}");
    }
}

#[test]
fn replies_say_what_is_required_what_is_there_and_where_to_look() {
    for (bank, session, expected) in [
        (
            "min_version=TLSv1.2",
            SESSIONS[2],
            "554 5.7.10 Encryption needed: bank.example requires TLSv1.2 or later; \
             this session uses TLSv1.1 ECDHE-RSA-AES128-SHA; id=01X",
        ),
        (
            "min_version=TLSv1.2 cipher=strong client_certificate=verified",
            SESSIONS[3],
            "554 5.7.10 Encryption needed: bank.example requires TLSv1.2 or later with a strong cipher and a client \
             certificate that is verified; this session shows none; id=01X",
        ),
        (
            "client_certificate=1",
            None,
            "550 5.7.10 Encryption needed: bank.example requires TLS with a client certificate that is listed; \
             this session is not encrypted; id=01X",
        ),
        (
            "tls=required",
            None,
            "550 5.7.10 Encryption needed: bank.example requires TLS; this session is not encrypted; id=01X",
        ),
        (
            "min_version=TLSv1.3 cipher=aead mode=defer",
            SESSIONS[4],
            "450 4.7.10 Encryption needed: bank.example requires TLSv1.3 or later with a forward-secret AEAD cipher; \
             this session uses TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384; id=01X",
        ),
    ] {
        let (policies, tls, sender) = (policies("", bank), facts(session), sender("a@x.example"));
        let recipient = Address::parse("b@bank.example", Charset::Ascii).unwrap();
        let question = Question { recipient: Some(&recipient), tls: tls.as_ref(), ..by_stranger(&sender) };
        let reply = judge(&policies, &question).reply(tls.as_ref(), "01X").unwrap().to_string();
        assert_eq!(reply, expected);
        assert!(reply.len() <= 510);
    }
}

#[test]
fn the_longest_reply_fits_into_512_octets() {
    // With the local part of one octet this is the longest name that an address can have.
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "a".repeat(60));
    let policy = DomainPolicy {
        patterns: vec![DomainPattern::parse(&name).unwrap()],
        hosted: true,
        inbound: layer("min_version=TLSv1.1 cipher=aead client_certificate=verified").into(),
        ..DomainPolicy::default()
    };
    let policies = PolicySet::new(Defaults::default(), vec![policy]).unwrap();
    let longest_suite = SUITES.iter().max_by_key(|suite| suite.openssl.len()).unwrap();
    let too_old = TlsFacts::assumed(ProtocolVersion::Tls1_0, longest_suite);
    let mut resumed = with_certificate(SESSIONS[4], 1, Verified::None).unwrap();
    resumed.resumed = true;
    let recipient = Address::parse(&format!("b@{name}"), Charset::Ascii).unwrap();
    let sender = sender("a@x.example");
    for tls in [too_old, resumed] {
        let question = Question { recipient: Some(&recipient), tls: Some(&tls), ..by_stranger(&sender) };
        let reply = judge(&policies, &question).reply(Some(&tls), &"0".repeat(26)).unwrap();
        assert!(reply.to_string().len() <= 510, "{reply}");
    }
}
