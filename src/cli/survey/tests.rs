//! Surveys of hosts on loopback, their files, differences and candidates.

use std::fs;

use super::*;
use crate::config;
use crate::dns::fake::FakeResolver;
use crate::dns::{Exchange, Security};
use crate::model::time::Timestamp;
use crate::probe::fake_mail_host::{Identity, MX, MailHost, Running, dns, domain, prober};
use record::{HostLine, Levels, Word};

const TERMS: Terms = Terms { versions: false, parallel: 3, timeout: Duration::from_secs(60) };

/// A configuration without domain files.
fn configure(folder: &Path) {
    let text = "hostname = \"mx1.example.org\"\nspool = { path = \"spool\" }\naudit = { path = \"audit\" }\n\
                relay = { trusted = [\"10.0.0.0/8\"] }\n[dns]\nservers = [\"127.0.0.1:1\"]\n[[listener]]\n\
                name = \"out\"\nbind = [\"127.0.0.1:2525\"]\nrole = \"smarthost\"\ntls = \"off\"\n";
    fs::write(folder.join("gatepost.toml"), text).unwrap();
    fs::create_dir(folder.join("domains.d")).unwrap();
}

/// Surveys these domains, which all have [`MX`] as their host but those that do not exist.
fn survey(host: &Running, identity: &Identity, names: &[&str], output: Option<&mut Output>) -> Work {
    let mut all: FakeResolver = dns(Security::Insecure);
    for name in names.iter().filter(|name| !name.starts_with("gone")) {
        all = all.with_mx(domain(name), [(10, Exchange::Host(domain(MX)))]);
    }
    let domains = names.iter().map(|name| domain(name)).collect();
    let runtime = setting::runtime().unwrap();
    let _entered = runtime.enter();
    let prober = prober(all, host, &identity.roots);
    runtime.block_on(work::survey(prober, TERMS, domains, output, std::future::pending())).unwrap()
}

#[test]
fn a_host_that_serves_many_domains_is_connected_to_once() {
    let identity = Identity::new(&[MX, "a.example"]);
    let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
    let work = survey(&host, &identity, &["a.example", "b.example", "c.example", "gone.example"], None);
    assert_eq!(host.heard(), "EHLO STARTTLS EHLO QUIT");
    let verify: Vec<_> = work.found.values().map(|found| found.meets.map(|meets| meets.verify_domain)).collect();
    assert_eq!(verify, [Some(Word::Yes), Some(Word::No), Some(Word::No), None]);
    assert_eq!(work.found[&domain("gone.example")].failure.as_ref().unwrap().reason.as_str(), "no-such-domain");
    assert!(!work.is_interrupted);
    let summary = Summary::of(work.found.values());
    assert_eq!((summary.domains, summary.answered, summary.verify_mx, summary.verify_domain), (4, 3, 3, 1));
    assert_eq!((summary.share(summary.verify_domain), summary.without_tls, summary.requiretls), (33, 0, 3));
}

#[test]
fn results_are_in_the_file_as_they_come_and_are_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let identity = Identity::new(&[MX]);
    let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
    let (mut output, _) = Output::open(&path).unwrap();
    let work = survey(&host, &identity, &["a.example", "b.example"], Some(&mut output));
    assert_eq!(list::results(&path).unwrap(), work.found);
    assert!(work.found.values().all(Surveyed::is_settled));
    assert!(!Surveyed::unfinished(domain("a.example"), Timestamp::default()).is_settled());

    configure(folder.path());
    fs::write(folder.path().join("list"), "b.example # again\na.example\n").unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let line = format!("survey {} --out {} --candidates {}", at("list"), at("out.jsonl"), at("domains.d"));
    let before = fs::read(&path).unwrap();
    let ran = crate::cli::tests::run(folder.path(), &line);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    for line in ran.out.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
    assert!(ran.out.contains("2 domains, 2 answered") && ran.out.contains("2 candidate files written"), "{ran:?}");
    assert!(ran.out.contains("certificates that verify by the hosts' names"), "{ran:?}");
    assert!(ran.out.starts_with("2 domains stand in ") && ran.out.contains("(--again asks them)"), "{ran:?}");
    let (checked, _) = config::load(&folder.path().join("gatepost.toml")).unwrap();
    assert_eq!(checked.policies.policies().count(), 2);
    // What is written is left alone, and a domain of the configuration gets no second file.
    let ran = crate::cli::tests::run(folder.path(), &format!("{line} --json"));
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["candidates"][0]["why"], "domains.d/a.example.toml names it already", "{json}");
    assert_eq!(json["summary"]["answered"], 2);
}

fn surveyed(name: &str, version: Option<&str>, words: [Word; 4]) -> Surveyed {
    let [encrypt, verify_mx, verify_domain, dane] = words;
    let meets = Levels { encrypt, verify_mx, verify_domain, dane, mta_sts: Word::NotApplicable };
    let host = HostLine {
        host: MX.to_owned(),
        answers: true,
        meets,
        version: version.and_then(crate::model::tls::ProtocolVersion::parse),
        cipher: version.map(|_| "ECDHE-RSA-AES128-SHA".to_owned()),
        grade: version.map(|_| crate::model::cipher::CipherGrade::ForwardSecret),
        requiretls: false,
        dane: "absent".to_owned(),
        not_after: None,
        key_sha256: None,
        versions: Vec::new(),
    };
    let unfinished = Surveyed::unfinished(domain(name), Timestamp::from_secs(1_800_000_000));
    Surveyed { failure: None, hosts: vec![host], meets: Some(meets), ..unfinished }
}

#[test]
fn differences_tell_what_was_lost_and_gained() {
    use Word::{No, NotApplicable, Yes};
    let good = || surveyed("a.example", Some("TLSv1.3"), [Yes, Yes, No, NotApplicable]);
    for (now, expected) in [
        (good(), ""),
        (Surveyed { at: Timestamp::from_secs(7), ..good() }, ""),
        (
            surveyed("a.example", None, [No, No, No, NotApplicable]),
            "Lost tls yes no, Lost verify_mx yes no, Lost version TLSv1.3 none",
        ),
        (
            surveyed("a.example", Some("TLSv1.2"), [Yes, Yes, No, Yes]),
            "Lost version TLSv1.3 TLSv1.2, Gained dane not-applicable yes",
        ),
        (surveyed("a.example", Some("TLSv1.3"), [Yes, Yes, No, No]), "Changed dane not-applicable no"),
        (
            Surveyed { mta_sts: "enforce".to_owned(), tlsrpt: true, ..good() },
            "Gained mta_sts absent enforce, Gained tlsrpt no yes",
        ),
        (Surveyed::unfinished(domain("a.example"), Timestamp::default()), "Lost answer yes timeout"),
    ] {
        let map = |surveyed: Surveyed| BTreeMap::from([(surveyed.domain.clone(), surveyed)]);
        let changes = diff::changes(&map(good()), &map(now));
        let word = |change: &Change| format!("{:?} {} {} {}", change.way, change.what, change.before, change.now);
        assert_eq!(changes.iter().map(word).collect::<Vec<_>>().join(", "), expected);
    }
}

#[test]
fn a_candidate_asks_for_what_every_host_meets_and_no_more() {
    use Word::{No, NotApplicable, Yes};
    let plain = |words| surveyed("a.example", Some("TLSv1.3"), words);
    let signed = |words| Surveyed { mx_secure: true, ..plain(words) };
    let unanswered = {
        let mut surveyed = plain([Yes, Yes, Yes, NotApplicable]);
        surveyed.hosts[0].answers = false;
        surveyed
    };
    for (surveyed, expected) in [
        (plain([Yes, No, No, NotApplicable]), Ok(&["tls = \"encrypt\"\nmin_version = \"TLSv1.2\" # TLSv1.3 was"][..])),
        (plain([Yes, No, Yes, NotApplicable]), Ok(&["tls = \"verify\"\nmatch = [\"domain\"]\n"])),
        (plain([Yes, Yes, No, NotApplicable]), Ok(&["tls = \"encrypt\"\nmin", "match = [\"mx.bank.example\"]\nd"])),
        (signed([Yes, Yes, No, NotApplicable]), Ok(&["tls = \"verify\" # by the host's name"])),
        (signed([Yes, Yes, Yes, Yes]), Ok(&["tls = \"encrypt\"\ndane = \"required\"", "cipher = \"forward-secret\""])),
        (surveyed("a.example", Some("TLSv1.1"), [Yes, No, No, NotApplicable]), Ok(&["min_version = \"TLSv1.1\"\n"])),
        (plain([No, No, No, NotApplicable]), Err("not every mail host does TLS")),
        (Surveyed { left_out: 1, ..plain([Yes, Yes, Yes, NotApplicable]) }, Err("not every mail host was seen")),
        (unanswered, Err("not every mail host was seen")),
    ] {
        match (candidates::file(&surveyed, &PolicySet::default()), expected) {
            (Ok(text), Ok(parts)) => {
                assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}\n{text}");
                assert!(text.contains("\ndomains = [\"a.example\"]\n\n[outbound]\n"), "{text}");
                let folder = tempfile::tempdir().unwrap();
                configure(folder.path());
                fs::write(folder.path().join("domains.d/a.example.toml"), &text).unwrap();
                let loaded = config::load(&folder.path().join("gatepost.toml"));
                assert!(loaded.is_ok(), "{loaded:?}\n{text}");
            }
            (seen, expected) => assert_eq!(seen.map(|_| ()), expected.map(|_| ()).map_err(str::to_owned)),
        }
    }
}

#[test]
fn a_survey_that_is_stopped_says_what_is_left() {
    let identity = Identity::new(&[MX]);
    let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
    let runtime = setting::runtime().unwrap();
    let _entered = runtime.enter();
    let prober = prober(dns(Security::Insecure), &host, &identity.roots);
    let domains = vec![domain("bank.example"), domain("gone.example")];
    let work = runtime.block_on(work::survey(prober, TERMS, domains, None, std::future::ready(()))).unwrap();
    assert!(work.is_interrupted && work.found.is_empty(), "{work:?}");
}

#[test]
fn what_is_wrong_is_told_the_worst_first_with_how_much_more_there_is() {
    let found = |weight: &str, text: &str| record::Found {
        weight: weight.to_owned(),
        word: "w".to_owned(),
        host: None,
        text: text.to_owned(),
    };
    let good = || surveyed("a.example", Some("TLSv1.3"), [Word::Yes, Word::Yes, Word::No, Word::NotApplicable]);
    for (findings, expected) in [
        (vec![], None),
        (vec![found("notice", "x")], None),
        (
            vec![found("unreachable", "silent"), found("wrong", "expired"), found("notice", "x")],
            Some("expired (and 1 more)"),
        ),
        (vec![found("unreachable", "silent")], Some("silent")),
    ] {
        assert_eq!(Surveyed { findings, ..good() }.trouble().as_deref(), expected);
    }
}

#[test]
fn a_line_of_the_table_leaves_room_for_the_name_of_the_domain() {
    let name = "a-name-of-thirty-letters.example";
    let good = |dane| surveyed(name, Some("TLSv1.3"), [Word::Yes, Word::Yes, Word::Yes, dane]);
    let mut part = good(Word::NotApplicable);
    part.hosts[0].meets.dane = Word::Yes;
    let mut failing = Surveyed { mta_sts: "testing".to_owned(), ..good(Word::No) };
    failing.meets = failing.meets.map(|meets| Levels { mta_sts: Word::No, ..meets });
    let failed = record::Failed { reason: crate::model::reason::Reason::TargetForbidden, detail: "private".to_owned() };
    let barred = Surveyed { failure: Some(failed), meets: None, ..good(Word::Yes) };
    let down = Surveyed { meets: None, ..good(Word::Yes) };
    for (surveyed, expected) in
        [(part, "both    part"), (failing, "BROKEN  failing"), (barred.clone(), "barred"), (down, "silent")]
    {
        let found = BTreeMap::from([(surveyed.domain.clone(), surveyed)]);
        let results =
            Results { found, is_interrupted: false, left: 0, changes: None, candidates: Vec::new(), kept: None };
        let page = anstream::adapter::strip_str(&page::page(&results)).to_string();
        assert!(page.contains(expected) && page.contains(&format!("\n{name}  ")), "{page}");
        // Nobody answered is no answer; that there is nobody is one.
        let expected = if expected == "silent" { Exit::Unreachable } else { Exit::Done };
        assert_eq!(results.exit(), expected, "{page}");
    }
    let found =
        BTreeMap::from([(domain("a.example"), Surveyed::unfinished(domain("a.example"), Timestamp::default()))]);
    let results = Results { found, is_interrupted: false, left: 0, changes: None, candidates: Vec::new(), kept: None };
    assert_eq!(results.exit(), Exit::Unreachable);
}
