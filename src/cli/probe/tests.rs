//! Probes of hosts on loopback as they are printed.

use std::fs;

use clap::Parser as _;
use serde_json::Value;

use super::*;
use crate::cli::arguments::{Arguments, Command};
use crate::cli::tests::{Ran, run};
use crate::dns::Security;
use crate::dns::fake::FakeResolver;
use crate::model::tlsa::Tlsa;
use crate::probe::fake_mail_host::{BANK, Identity, MX, MailHost, Running, dns, domain, prober};

const MAIN: &str = r#"hostname = "mx1.example.org"
spool = { path = "spool" }
audit = { path = "audit" }
relay = { trusted = ["10.0.0.0/8"] }
[dns]
servers = ["127.0.0.1:1"]
[[listener]]
name = "out"
bind = ["127.0.0.1:2525"]
role = "smarthost"
tls = "off"
"#;

/// Runs the command with a configuration and perhaps a domain file; `HOST` stands for the host.
fn ask(host: &Running, line: &str, policy: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("domains.d")).unwrap();
    fs::write(folder.path().join("gatepost.toml"), MAIN).unwrap();
    let policy = policy.replace("HOST", &host.address.to_string());
    if !policy.is_empty() {
        fs::write(folder.path().join("domains.d/clinic.toml"), policy).unwrap();
    }
    run(folder.path(), &line.replace("HOST", &host.address.to_string()))
}

/// A probe of `bank.example` by written DNS.
fn probe_bank(host: &Running, identity: &Identity, dns: FakeResolver, line: &str) -> Report {
    let words = ["gatepost", "probe", BANK].into_iter().chain(line.split_whitespace());
    let Command::Probe(asked) = Arguments::try_parse_from(words).unwrap().command else { panic!("{line}") };
    let target = parse_target(BANK, None).unwrap();
    let runtime = setting::runtime().unwrap();
    let _entered = runtime.enter();
    let prober = prober(dns, host, &identity.roots);
    runtime.block_on(probe(&prober, None, &asked, (BANK, target)))
}

fn plain(report: &Report) -> String {
    let page = anstream::adapter::strip_str(&page::page(report)).to_string();
    for line in page.lines() {
        assert!(line.chars().count() <= 80 && !line.ends_with(' '), "{line:?}");
    }
    page
}

#[test]
fn the_page_tells_how_a_host_was_found_what_it_does_and_what_it_meets() {
    let identity = Identity::new(&[MX]);
    let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
    let key = crate::policy::names::Fingerprint::from_hex(&identity.issued.key_sha256()).unwrap();
    let record = |usage| Tlsa { usage, selector: 1, matching: 1, data: key.as_bytes().to_vec() };
    let at = (host.address.port(), domain(MX));
    let signed = dns(Security::Secure).with_tlsa(at, Ok(vec![record(3), record(1)]), Security::Secure);
    let report = probe_bank(&host, &identity, signed, "");
    let page = plain(&report);
    for expected in [
        "hosts     1 host by MX records that DNSSEC secures\nMTA-STS   no record\nTLSRPT    no record\n",
        "\nmx.bank.example, preference 10, port ",
        "\naddress   127.0.0.1: STARTTLS, TLSv1.3 TLS_AES_",
        "\ngreeting  220 mx.bank.example ESMTP\noffers    SIZE 1000, DSN, STARTTLS\nunder TLS REQUIRETLS\n",
        "\nTLSv1.2   ECDHE-ECDSA-AES",
        "\nissued by CN=Gatepost demo authority; it leads to a trusted root\n",
        ": usable, matches\n",
        ": unusable: usages 0 and 1",
        "\n          verify (by the host's name): yes\n          verify (by the domain's name): no (certificate-",
        "\n          DANE: yes\n          MTA-STS: -\n",
        "\nnotice     mx.bank.example: the TLSA record 1 1 1 ",
        "\nThe host meets opportunistic, encrypt, verify (by the host's name), DANE.\n",
    ] {
        assert!(page.contains(expected), "{expected:?} is not in\n{page}");
    }
    assert_eq!(report.exit(), Exit::Done);
    let json = json::answer(&[report]);
    let seen = &json["probes"][0]["hosts"][0];
    assert_eq!(seen["versions"].as_array().unwrap().len(), 5);
    assert_eq!(seen["versions"][4]["grade"], "aead");
    assert_eq!((&seen["certificate"]["chain"], &seen["dane"]["state"]), (&"trusted".into(), &"usable".into()));
    assert_eq!(seen["certificate"]["key_sha256"], identity.issued.key_sha256());
    assert_eq!(seen["meets"]["dane"]["met"], "yes");
    assert_eq!(json["probes"][0]["mx"]["dnssec"], "secure");
}

#[test]
fn a_probe_ends_with_no_where_something_is_wrong_and_with_three_where_nobody_answers() {
    let identity = Identity::new(&[MX]);
    let host = MailHost::default().start("127.0.0.1");
    let report = probe_bank(&host, &identity, dns(Security::Insecure), "--quick");
    assert_eq!(report.exit(), Exit::No);
    assert!(plain(&report).contains("\nwrong      mx.bank.example: STARTTLS is not offered\n"));

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = ask(&host, &format!("probe {free}"), "");
    assert_eq!(gone.exit, 3, "{gone:?}");
    assert!(gone.out.contains("Nothing is known: no host answers."), "{gone:?}");
    let unknown = probe_bank(&host, &identity, FakeResolver::new(), "");
    assert_eq!(unknown.exit(), Exit::No);
    assert!(plain(&unknown).contains("hosts     the domain does not exist\n"));

    let wrong = ask(&host, "probe a..b", "");
    assert!(wrong.exit == 2 && wrong.err.contains("\"a..b\" is no target"), "{wrong:?}");
    assert_eq!(ask(&host, "probe HOST --from a@x.example", "").exit, 2);
}

#[test]
fn our_policy_says_whether_mail_would_go_to_a_host_of_a_route() {
    let identity = Identity::new(&["store.clinic.example"]);
    let route = |tls: &str| format!("domains = [\"clinic.example\"]\n[route]\nhosts = [\"HOST\"]\ntls = \"{tls}\"\n");
    let named = "match = [\"store.clinic.example\"]\n";
    for (tls, exit, expected) in [
        ("encrypt", 0, "Our policy would send mail there now."),
        ("verify", 1, "Our policy would send no mail there now."),
    ] {
        let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
        let policy = if exit == 0 { route(tls) } else { route(tls) + named };
        let ran = ask(&host, "probe HOST --quick --from a@x.example --to b@clinic.example", &policy);
        assert!(ran.exit == exit && ran.out.contains(expected), "{tls}: {ran:?}");
        assert!(ran.out.contains("domains.d/clinic.toml:4"), "{ran:?}");
        assert_eq!(ran.out.contains("walk      RCPT: 250 2.1.5 Ok"), exit == 0, "{ran:?}");
        let ran = ask(&host, "probe HOST --quick --domain clinic.example --json", &policy);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(json["probes"][0]["hosts"][0]["policy"]["sends"], exit == 0, "{json}");
    }
    let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
    let elsewhere = "domains = [\"clinic.example\"]\n[route]\nhosts = [\"192.0.2.1\"]\ntls = \"encrypt\"\n";
    let ran = ask(&host, "probe HOST --quick --domain clinic.example", elsewhere);
    assert!(ran.exit == 0 && ran.out.contains("takes the route") && !ran.out.contains("Our policy"), "{ran:?}");
}

#[test]
fn options_about_another_domain_than_the_target_are_refused() {
    let host = MailHost::default().start("127.0.0.1");
    for (line, expected) in [
        ("probe bank.example --domain clinic.example", "--domain clinic.example is for HOST:PORT"),
        ("probe bank.example --from a@x.example --to b@clinic.example", "--to is an address of clinic.example"),
        ("probe HOST --domain bank.example --from <> --to b@clinic.example", "the probe is about bank.example"),
    ] {
        let ran = ask(&host, line, "");
        assert!(ran.exit == 2 && ran.out.is_empty() && ran.err.contains(expected), "{line}: {ran:?}");
    }
    assert_eq!(host.heard(), "");
}

#[test]
fn what_the_setting_leaves_out_is_not_told_as_a_fact_about_the_destination() {
    let identity = Identity::new(&[MX]);
    for (security, is_off, dane, state, name) in [
        (Security::Unknown, true, "DNSSEC is off here ([dns] dnssec)", "not-validated", "but the name is not signed"),
        (Security::Unknown, false, "nobody validated the addresses", "not-validated", "but the name is not signed"),
        (Security::Insecure, true, "the addresses are not signed", "not-signed", "but the name is not signed"),
        (Security::Secure, false, "no signed TLSA record", "absent", "DANE: -"),
    ] {
        let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
        let mut report = probe_bank(&host, &identity, dns(security), "--quick");
        report.dnssec_is_off = is_off;
        let page = plain(&report);
        assert!(page.contains(dane) && page.contains(name), "{security:?}\n{page}");
        assert_eq!(page.contains("not enough for tls"), security != Security::Secure, "{page}");
        let json = json::answer(&[report]);
        let seen = &json["probes"][0]["hosts"][0];
        assert_eq!(seen["dane"]["state"], state);
        let tls = &seen["addresses"][0]["tls"]["peer"];
        assert_eq!((&tls["chain"], &tls["verified"]), (&seen["certificate"]["chain"], &"webpki".into()), "{tls:#}");
    }
    let host = MailHost::default().start("127.0.0.1");
    let ran = ask(&host, "probe HOST --quick --json", "");
    assert!(!ran.err.contains("DNSSEC"), "{ran:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.toml"), MAIN.replace("127.0.0.1:1\"]", "192.0.2.1:53\"]")).unwrap();
    let ran = run(folder.path(), &format!("probe {} --quick", host.address));
    assert!(ran.err.starts_with("warning: DNSSEC is off here"), "{ran:?}");
}

#[test]
fn a_policy_that_the_daemon_left_behind_counts_for_probe_and_explain() {
    use crate::facts::sts_cache::StsCache;
    use crate::facts::sts_fetch::StsFetcher;
    use crate::facts::sts_plan::CachedPolicy;
    use crate::memory::Memory;
    use crate::policy::sts_policy::StsPolicy;
    use crate::policy::sts_record::StsId;
    let host = MailHost::default().start("127.0.0.1");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("spool")).unwrap();
    let socket = format!("{MAIN}[admin]\nsocket = \"none.sock\"\n");
    fs::write(folder.path().join("gatepost.toml"), socket).unwrap();
    let config = crate::config::load(&folder.path().join("gatepost.toml")).unwrap().0;
    let bank = domain(BANK);
    assert_eq!(kept::policy(&config, &bank), Ok(None));
    let text = format!("version: STSv1\nmode: enforce\nmx: {MX}\nmax_age: 604800\n");
    let policy = StsPolicy::parse(text.as_bytes()).unwrap();
    let policy = CachedPolicy { id: StsId::parse("7").unwrap(), policy, fetched: clock::timestamp() };
    let identity = Identity::new(&[MX]);
    let of = prober(dns(Security::Insecure), &host, &identity.roots);
    let memory = Memory::open(&config.spool.path).unwrap();
    let fetcher = StsFetcher::new(of.resolver.clone(), of.targets.clone(), &identity.roots).unwrap();
    StsCache::new(memory.clone(), fetcher).know(&bank, &policy, clock::timestamp());
    memory.flush().unwrap();
    assert_eq!(kept::policy(&config, &bank), Ok(Some(policy)), "whoever has the file");
    drop(memory);

    let words = ["gatepost", "probe", BANK, "--quick"];
    let Command::Probe(asked) = Arguments::try_parse_from(words).unwrap().command else { panic!() };
    let runtime = setting::runtime().unwrap();
    let _entered = runtime.enter();
    let report = runtime.block_on(probe(&of, Some(&config), &asked, (BANK, parse_target(BANK, None).unwrap())));
    let page = plain(&report);
    assert!(page.contains("the daemon keeps mode enforce"), "{page}");
    assert!(page.contains("Our policy would send no mail there now."), "{page}");
    assert_eq!(json::answer(&[report])["probes"][0]["mta_sts_kept"]["mode"], "enforce");
}

#[test]
fn what_a_host_says_cannot_move_the_cursor() {
    let host = MailHost { greeting: "220 \u{1b}[2J\u{202e} hello", ..MailHost::default() }.start("127.0.0.1");
    let ran = ask(&host, "probe HOST --quick", "");
    assert!(ran.out.contains("\\x1b[2J\\u{202e} hello"), "{ran:?}");
    let ran = ask(&host, "probe HOST --quick --json", "");
    assert!(ran.out.is_ascii() && !ran.out.contains('\u{1b}'), "{ran:?}");
}
