//! Explanations of deliveries to hosts of which something is published.

use std::fs;
use std::sync::Arc;

use serde_json::Value;

use super::tests::{ask_dns, ask_dns_in, domain, write};
use super::*;
use crate::cli::tests::run;
use crate::dns::fake::FakeResolver;
use crate::dns::{Exchange, LookupError, Security};
use crate::model::tlsa::Tlsa;

/// Two hosts, found securely: the first with this TLSA record, the second with none.
fn two_hosts(tlsa: Result<Vec<Tlsa>, LookupError>) -> FakeResolver {
    let (first, second) = (domain("mx1.y.example"), domain("mx2.y.example"));
    let mx = [(10, Exchange::Host(first.clone())), (20, Exchange::Host(second.clone()))];
    FakeResolver::new()
        .with_mx_answer(domain("y.example"), mx, Security::Secure)
        .with_addresses_answer(first.clone(), [[192, 0, 2, 9].into()], Security::Secure)
        .with_addresses_answer(second, [[192, 0, 2, 10].into()], Security::Secure)
        .with_tlsa((25, first), tlsa, Security::Secure)
}

fn record() -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }
}

#[test]
fn what_is_published_decides_what_is_said_where_no_session_is_asked_about() {
    let one = |tlsa: Result<Vec<Tlsa>, LookupError>, security| {
        FakeResolver::new()
            .with_mx_answer(domain("y.example"), [(10, Exchange::Host(domain("mx.y.example")))], security)
            .with_addresses_answer(domain("mx.y.example"), [[192, 0, 2, 9].into()], security)
            .with_tlsa((25, domain("mx.y.example")), tlsa, security)
    };
    let named = |resolver: FakeResolver, name: &str| {
        resolver.with_mx_answer(domain(name), [(10, Exchange::Host(domain("mx.y.example")))], Security::Secure)
    };
    for (to, resolver, exit, headline, verdict, level) in [
        (
            "b@y.example",
            one(Ok(vec![record()]), Security::Secure),
            Exit::Done,
            "Would be delivered over TLS with a certificate that matches a TLSA record, else\ndeferred\n",
            "-",
            "verify false",
        ),
        (
            "b@y.example",
            one(Ok(vec![record()]), Security::Insecure),
            Exit::Done,
            "Would be delivered: over TLS where the host offers it, else in plaintext\n",
            "-",
            "opportunistic true",
        ),
        (
            "b@y.example",
            one(Err(LookupError::ServFail), Security::Secure),
            Exit::Unreachable,
            "Would be deferred: dns-failure\n",
            "defer dns-failure DANE",
            "opportunistic false",
        ),
        (
            "b@pinned.example",
            named(one(Err(LookupError::NoData), Security::Secure), "pinned.example"),
            Exit::No,
            "Would be bounced: dane-required\n",
            "bounce dane-required domains.d/pinned.toml:3",
            "opportunistic false",
        ),
    ] {
        let (page, answer, found) = ask_dns(&format!("--to {to}"), resolver);
        assert!(page.starts_with(headline), "{headline}\n{page}");
        let words = ["verdict", "reason", "rule"].map(|key| answer[key].as_str().unwrap_or("-"));
        let words = if words == ["-"; 3] { "-".to_owned() } else { words.join(" ") };
        let requirement = &answer["requirement"];
        let weakest = format!("{} {}", requirement["level"].as_str().unwrap(), requirement["permits_plaintext"]);
        assert_eq!((words.as_str(), weakest.as_str(), found), (verdict, level, exit), "{page}\n{answer:#}");
    }
}

#[test]
fn a_host_outside_the_enforced_policy_is_told_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let listed = |lists: bool, name: &str| {
        let policy = serde_json::json!({ "enforced": true, "lists_host": lists });
        serde_json::json!({ "name": name, "published": { "mta_sts": policy } })
    };
    for (hosts, exit, headline) in [
        (vec![listed(false, "a.example"), listed(false, "b.example")], 1, "Would be deferred: validation-failure\n"),
        (
            vec![listed(true, "a.example"), listed(true, "b.example")],
            0,
            "Would be delivered over TLSv1.2 or later with a certificate that proves the\nhost, else deferred\n",
        ),
        (
            vec![listed(true, "a.example"), listed(false, "b.example")],
            0,
            "Would be delivered over TLSv1.2 or later with a certificate that proves the\nhost, else deferred; never \
             to b.example (validation-failure)\n",
        ),
    ] {
        fs::write(folder.path().join("facts.json"), serde_json::json!({ "hosts": hosts }).to_string()).unwrap();
        let facts = folder.path().join("facts.json");
        let line = format!("--from a@x.example --to b@y.example --facts {}", facts.display());
        let ran = run(folder.path(), &format!("policy explain --direction outbound {line}"));
        assert!(ran.out.starts_with(headline) && ran.exit == exit, "{headline}{ran:?}");
    }
}

#[test]
fn hosts_of_which_different_things_are_asked_have_tables_of_their_own() {
    let (page, answer, exit) = ask_dns("--to b@y.example", two_hosts(Ok(vec![record()])));
    for expected in [
        "Would be delivered to mx1.y.example over TLS with a certificate that matches a\nTLSA record; to mx2.y.example \
         over TLS where the host offers it, else in\nplaintext\n",
        "What sessions with mx1.y.example get\n",
        "What sessions with mx2.y.example get\n",
        "  mx2.y.example: tls = opportunistic (built-in), cipher = any (built-in).\n",
        "  TLSv1.3    matches no TLSA record  deferred   tlsa-invalid\n",
        "  plaintext  -                            delivered  -\n",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
    assert_eq!((exit, &answer["requirement"]["permits_plaintext"]), (Exit::Done, &true.into()));
    assert_eq!(answer["sessions_by_host"][1]["hosts"], serde_json::json!(["mx2.y.example"]));
}

#[test]
fn tlsa_records_that_were_looked_up_are_told_and_are_facts_to_be_given_again() {
    let (page, answer, _) = ask_dns("--to b@y.example", two_hosts(Ok(vec![record()])));
    let tlsa = &answer["requirement"]["identities"][0]["tlsa"];
    assert_eq!((&tlsa["base"], &tlsa["records"][0]["standing"]), (&"mx1.y.example".into(), &"usable".into()), "{page}");
    assert_eq!(tlsa["records"][0]["record"], record().to_string());
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let ask = |text: String| -> Value {
        fs::write(folder.path().join("facts.json"), text).unwrap();
        let facts = folder.path().join("facts.json");
        let line = format!("--from a@x.example --to b@y.example --facts {}", facts.display());
        let ran = run(folder.path(), &format!("--json policy explain --direction outbound {line}"));
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    };
    let again = ask(answer.to_string());
    assert_eq!((&again["requirement"], &again["next_hop"]), (&answer["requirement"], &answer["next_hop"]));
    // Whoever writes them by hand needs no more than the records.
    let by_hand = r#"{"hosts": [{"name": "mx.y.example", "dnssec": "secure", "tlsa": {"records": ["3 1 1 RECORD"]}}]}"#;
    let by_hand = ask(by_hand.replace("RECORD", &"07".repeat(32)));
    assert_eq!(by_hand["requirement"]["level"], "verify", "{by_hand:#}");
}

#[test]
fn the_proof_that_fails_is_blamed_and_not_what_is_written_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let facts = serde_json::json!({ "hosts": [{
        "name": "mx.bank.example", "dnssec": "secure",
        "published": { "mta_sts": { "enforced": true, "lists_host": true } },
    }] });
    fs::write(folder.path().join("facts.json"), facts.to_string()).unwrap();
    let facts = folder.path().join("facts.json");
    for (name, rule) in [("other.example", "domains.d/bank.toml:3"), ("bank.example", "MTA-STS")] {
        let session = format!("--tls TLSv1.3 --certificate trusted --certificate-name {name}");
        let line = format!("--to b@bank.example --from a@x.example {session} --facts {}", facts.display());
        let ran = run(folder.path(), &format!("--json policy explain --direction outbound {line}"));
        let answer: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((&answer["reason"], &answer["rule"]), (&"certificate-host-mismatch".into(), &rule.into()));
    }
}

#[test]
fn policies_that_the_daemon_left_behind_count_though_nothing_is_published_any_more() {
    use crate::facts::sts_cache::StsCache;
    use crate::facts::sts_fetch::StsFetcher;
    use crate::facts::sts_plan::CachedPolicy;
    use crate::memory::Memory;
    use crate::policy::sts_policy::StsPolicy;
    use crate::policy::sts_record::StsId;
    use crate::tls::roots::Roots;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    fs::create_dir(folder.path().join("spool")).unwrap();
    let (line, dns) = ("--to b@y.example --plaintext", || two_hosts(Err(LookupError::NoData)));
    assert_eq!(ask_dns_in(folder.path(), line, dns()).2, Exit::Done);
    let memory = Memory::open(&folder.path().join("spool")).unwrap();
    let fetcher = StsFetcher::new(Arc::new(dns()), Default::default(), &Roots::empty()).unwrap();
    let policy = StsPolicy::parse(b"version: STSv1\nmode: enforce\nmx: *.y.example\nmax_age: 604800\n").unwrap();
    let kept = CachedPolicy { id: StsId::parse("7").unwrap(), policy, fetched: clock::timestamp() };
    StsCache::new(memory.clone(), fetcher).know(&domain("y.example"), &kept, clock::timestamp());
    memory.flush().unwrap();
    drop(memory);
    let flat = |page: &str| page.split_whitespace().collect::<Vec<_>>().join(" ");
    let (page, answer, exit) = ask_dns_in(folder.path(), line, dns());
    assert!(flat(&page).contains(", kept by the daemon"), "{page}");
    let words = (&answer["verdict"], &answer["reason"], &answer["rule"], exit);
    assert_eq!(words, (&"defer".into(), &"starttls-not-supported".into(), &"MTA-STS".into(), Exit::No), "{page}");
    fs::write(folder.path().join("spool/memory.redb"), "junk").unwrap();
    let (page, _, exit) = ask_dns_in(folder.path(), line, dns());
    assert!(flat(&page).contains("policies that are kept are not known here") && exit == Exit::Done, "{page}");
}
