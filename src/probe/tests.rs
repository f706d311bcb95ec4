//! Real connections with hosts on loopback, found by written DNS.

use super::fake_mail_host::{BANK, Identity, MX, MailHost, Tls, dns, domain, prober};
use super::findings::{Weight, findings};
use super::host::{HostReport, Inquiry};
use super::judge::Met;
use super::observe::{End, Look, VersionResult};
use super::publication::{Publication, StsFound, Target, TlsRptFound, parse_target};
use super::walk::Walk;
use super::*;
use crate::clock;
use crate::dns::mx::RouteError;
use crate::dns::{LookupError, Security, Service};
use crate::facts::fake_policy_host::{Answer, PolicyHost};
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::tls::ProtocolVersion;
use crate::model::tlsa::Tlsa;
use crate::policy::outbound::{Decision, decide};
use crate::policy::rules::{Defaults, PolicySet};
use crate::policy::settings::{OutboundLayer, OutboundTls, Sourced};
use crate::policy::timed::Asker;
use crate::policy::tlsa::Judged;

async fn probe(prober: &Prober, look: Look, decision: Option<&Decision>, walk: Option<Walk<'_>>) -> Report {
    let bank = domain(BANK);
    let publication = prober.publication(&Target::Domain(bank.clone()), Some(&bank)).await;
    let inquiry =
        Inquiry { domain: Some(&bank), mta_sts: &publication.mta_sts, kept: None, learned: None, look, decision, walk };
    let mut hosts = Vec::new();
    for host in publication.hosts.iter().flat_map(|found| &found.hosts) {
        hosts.push(prober.host(host.clone(), &inquiry).await);
    }
    Report { publication, hosts }
}

struct Report {
    publication: Publication,
    hosts: Vec<HostReport>,
}

impl Report {
    /// The levels that are met, and the reasons of those that are not.
    fn meets(&self) -> String {
        let word = |(level, met): (&str, &Met)| match met {
            Met::Yes => format!("{level} "),
            Met::No { reason, .. } => format!("{level}:{reason} "),
            Met::NotApplicable => String::new(),
        };
        let meets = self.hosts.iter().map(|host| host.meets.rows().into_iter().map(word).collect::<String>());
        meets.collect::<Vec<_>>().join("; ").trim_end().to_owned()
    }

    /// The words of what is found, notices in brackets.
    fn words(&self) -> String {
        let found = findings(&self.publication, &self.hosts, clock::timestamp());
        let word = |finding: &super::findings::Finding| match finding.weight {
            Weight::Notice => format!("[{}]", finding.word),
            _ => finding.word.to_owned(),
        };
        found.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

fn decision(tls: OutboundTls, min_version: Option<ProtocolVersion>) -> Decision {
    let layer = OutboundLayer {
        tls: Some(Sourced::built_in(tls)),
        min_version: min_version.map(Sourced::built_in),
        ..OutboundLayer::default()
    };
    let defaults = Defaults { outbound: layer.into(), ..Defaults::default() };
    let policies = PolicySet::new(defaults, Vec::new()).unwrap();
    decide(&policies, Some(&domain(BANK)), &Asker { at: clock::timestamp(), client: None, sender: &ReversePath::Null })
}

#[tokio::test]
async fn what_a_host_meets_is_found_by_asking_it() {
    let good = Identity::new(&[MX, BANK]);
    let other = Identity::new(&["other.example"]);
    for (tls, trusts, expected, words) in [
        (good.tls(), true, "opportunistic encrypt verify_mx verify_domain", ""),
        (
            good.tls(),
            false,
            "opportunistic encrypt verify_mx:certificate-not-trusted verify_domain:certificate-not-trusted",
            "",
        ),
        (
            other.tls(),
            false,
            "opportunistic encrypt verify_mx:certificate-host-mismatch verify_domain:certificate-host-mismatch",
            "",
        ),
        (
            Tls::None,
            true,
            "opportunistic encrypt:starttls-not-supported verify_mx:starttls-not-supported \
             verify_domain:starttls-not-supported",
            "no-tls",
        ),
        (
            Tls::Refused,
            true,
            "opportunistic encrypt:starttls-not-supported verify_mx:starttls-not-supported \
             verify_domain:starttls-not-supported",
            "no-tls",
        ),
        (
            Tls::Injected,
            true,
            "opportunistic encrypt:validation-failure verify_mx:validation-failure verify_domain:validation-failure",
            "no-tls",
        ),
    ] {
        let host = MailHost { tls, ..MailHost::default() }.start("127.0.0.1");
        let roots = if trusts { good.roots.clone() } else { Roots::empty() };
        let report = probe(&prober(dns(Security::Insecure), &host, &roots), Look::QUICK, None, None).await;
        assert_eq!((report.meets().as_str(), report.words().as_str()), (expected, words));
    }
}

#[tokio::test]
async fn a_host_that_turns_away_or_is_not_there_meets_nothing() {
    let host = MailHost { greeting: "554 5.7.1 go away", ..MailHost::default() }.start("127.0.0.1");
    let report = probe(&prober(dns(Security::Insecure), &host, &Roots::empty()), Look::CLOSE, None, None).await;
    assert!(report.meets().starts_with("opportunistic:remote-refused encrypt:remote-refused"), "{}", report.meets());
    assert_eq!(report.words(), "takes-no-mail [address-unreachable]");
    assert_eq!(host.heard(), "QUIT");

    let mut gone = prober(dns(Security::Insecure), &host, &Roots::empty());
    gone.port = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let report = probe(&gone, Look::CLOSE, None, None).await;
    assert!(report.hosts[0].seen.is_unreachable());
    assert_eq!(report.words(), "unreachable");
    let report = probe(&gone, Look::QUICK, Some(&decision(OutboundTls::Encrypt, None)), None).await;
    assert_eq!(report.words(), "unreachable", "that nobody answers is no fault of a policy");
}

#[tokio::test]
async fn each_version_is_tried_by_a_connection_of_its_own() {
    let identity = Identity::new(&[MX]);
    let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
    let report = probe(&prober(dns(Security::Unknown), &host, &identity.roots), Look::CLOSE, None, None).await;
    let spoken = |seen: &super::observe::VersionSeen| match &seen.result {
        VersionResult::Spoken(facts) => facts.version.to_string(),
        VersionResult::Refused(_) => "refused".to_owned(),
        other => format!("{other:?}"),
    };
    let versions: Vec<String> = report.hosts[0].seen.versions.iter().map(spoken).collect();
    let old = if cfg!(feature = "legacy-tls") { "refused" } else { "NotBuilt" };
    assert_eq!(versions, [old, old, old, "TLSv1.2", "TLSv1.3"]);
    // The last one asks for a certificate with a key of another kind.
    let connections = if cfg!(feature = "legacy-tls") { 7 } else { 4 };
    assert_eq!(host.heard().matches("STARTTLS").count(), connections);
    let secured = report.hosts[0].seen.secured().unwrap();
    assert!(secured.hello.capabilities.requiretls && !secured.peer.facts.resumed);
    assert!(!host.heard().contains("MAIL") && !host.heard().contains("DATA"), "{}", host.heard());
}

#[cfg(feature = "legacy-tls")]
#[tokio::test]
async fn an_old_host_is_reached_as_a_delivery_reaches_it() {
    use crate::model::reason::Reason;
    use crate::tls::old_server::OldServer;

    let old = OldServer::only(ProtocolVersion::Tls1_0).context();
    let host = MailHost { tls: Tls::Openssl(old), ..MailHost::default() }.start("127.0.0.1");
    let prober = prober(dns(Security::Insecure), &host, &Roots::empty());
    let report = probe(&prober, Look::QUICK, Some(&decision(OutboundTls::Encrypt, None)), None).await;
    let seen = &report.hosts[0].seen.addresses[0];
    assert_eq!(seen.tries.len(), 1, "{seen:?}");
    assert_eq!(seen.secured().unwrap().peer.facts.version, ProtocolVersion::Tls1_0);
    assert_eq!(report.words(), "[certificate-ends] [old-tls]");
    assert_eq!(report.hosts[0].policy.as_ref().unwrap().verdict, Ok(()));

    let strict = decision(OutboundTls::Encrypt, Some(ProtocolVersion::Tls1_2));
    let report = probe(&prober, Look::QUICK, Some(&strict), None).await;
    let verdict = report.hosts[0].policy.as_ref().unwrap().verdict.as_ref().unwrap_err();
    assert_eq!(verdict.0, Reason::VersionBelowMinimum);
}

#[tokio::test]
async fn tlsa_records_are_held_against_the_chain() {
    let identity = Identity::new(&[MX]);
    let key = crate::policy::names::Fingerprint::from_hex(&identity.issued.key_sha256()).unwrap();
    let record = |usage, data: &[u8]| Tlsa { usage, selector: 1, matching: 1, data: data.to_vec() };
    let good = record(3, key.as_bytes());
    let wrong = record(3, &[7; 32]);
    let useless = record(1, key.as_bytes());
    for (security, records, state, met, words) in [
        (Security::Secure, Ok(vec![good.clone()]), "usable", "yes", ""),
        (
            Security::Secure,
            Ok(vec![wrong.clone(), good.clone(), useless.clone()]),
            "usable",
            "yes",
            "[tlsa-unusable-record]",
        ),
        (Security::Secure, Ok(vec![wrong]), "usable", "no", "dane"),
        (Security::Secure, Ok(vec![useless]), "unusable", "not-applicable", "tlsa-unusable"),
        (Security::Secure, Err(LookupError::NoData), "absent", "not-applicable", ""),
        (Security::Secure, Err(LookupError::Bogus), "not-looked-up", "no", "dane policy"),
        (Security::Insecure, Ok(vec![good]), "not-signed", "not-applicable", ""),
    ] {
        let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
        let port = host.address.port();
        let dns = dns(security).with_tlsa((port, domain(MX)), records.clone(), security);
        let lax = decision(OutboundTls::Opportunistic, None);
        let decision = records.is_err().then_some(&lax);
        let report = probe(&prober(dns, &host, &Roots::empty()), Look::QUICK, decision, None).await;
        let seen = &report.hosts[0];
        assert_eq!((seen.dane.as_str(), seen.meets.dane.as_str()), (state, met), "{records:?}");
        let matches = |usage_and_data: (u8, &[u8])| {
            let is_it = |one: &Judged| (one.record.usage, one.record.data.as_slice()) == usage_and_data;
            let place = seen.dane.judged().iter().position(is_it);
            place.map(|place| seen.tlsa_matches[place])
        };
        let expected = if state == "usable" { Some(Some(true)) } else { None };
        assert!([None, expected].contains(&matches((3, key.as_bytes()))), "{:?}", seen.tlsa_matches);
        assert!([None, Some(Some(false))].contains(&matches((3, &[7; 32]))), "{:?}", seen.tlsa_matches);
        assert!([None, Some(None)].contains(&matches((1, key.as_bytes()))), "{:?}", seen.tlsa_matches);
        let expected = if matches!(records, Err(LookupError::NoData)) { "" } else { words };
        assert_eq!(report.words(), expected, "{records:?}");
    }
}

#[tokio::test]
async fn the_proof_that_fails_is_blamed_and_the_session_tells_what_its_certificate_is_worth() {
    use crate::model::tls::{ChainTrust, DaneResult, Verified};
    let identity = Identity::new(&[MX]);
    let wrong = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    for (name, records, dane, rule) in
        [(MX, Ok(vec![wrong]), Some(DaneResult::NoMatch), "DANE"), (MX, Err(LookupError::NoData), None, "built-in")]
    {
        let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
        let dns = dns(Security::Secure).with_tlsa((host.address.port(), domain(name)), records, Security::Secure);
        let verify = decision(OutboundTls::Verify, None);
        let report = probe(&prober(dns, &host, &identity.roots), Look::QUICK, Some(&verify), None).await;
        let seen = &report.hosts[0];
        assert_eq!(seen.policy.as_ref().unwrap().rule.as_ref().unwrap().to_string(), rule);
        let facts = seen.sessions[0].as_ref().unwrap().peer.as_ref().unwrap();
        assert_eq!(facts.chain, ChainTrust::Trusted);
        assert_eq!(facts.dane.as_ref().map(|dane| dane.result), dane);
        assert_eq!(facts.verified, if dane.is_some() { Verified::None } else { Verified::Webpki });
    }
}

#[tokio::test]
async fn a_policy_that_is_kept_counts_though_nothing_is_published_any_more() {
    use crate::facts::sts_plan::CachedPolicy;
    use crate::model::reason::Reason;
    use crate::policy::sts_policy::StsPolicy;
    use crate::policy::sts_record::StsId;
    let host = MailHost::default().start("127.0.0.1");
    let prober = prober(dns(Security::Insecure), &host, &Roots::empty());
    let bank = domain(BANK);
    let publication = prober.publication(&Target::Domain(bank.clone()), Some(&bank)).await;
    let text = format!("version: STSv1\nmode: enforce\nmx: {MX}\nmax_age: 604800\n");
    let policy = StsPolicy::parse(text.as_bytes()).unwrap();
    let kept = CachedPolicy { id: StsId::parse("7").unwrap(), policy, fetched: clock::timestamp() };
    let lax = decision(OutboundTls::Opportunistic, None);
    for (kept, expected) in [(None, None), (Some(&kept), Some(Reason::StarttlsNotSupported))] {
        let inquiry = Inquiry {
            domain: Some(&bank),
            mta_sts: &publication.mta_sts,
            kept,
            learned: None,
            look: Look::QUICK,
            decision: Some(&lax),
            walk: None,
        };
        let found = publication.hosts.as_ref().unwrap().hosts[0].clone();
        let report = prober.host(found, &inquiry).await;
        let verdict = report.policy.unwrap().verdict;
        assert_eq!(verdict.err().map(|(reason, _)| reason), expected);
        assert_eq!(report.meets.mta_sts, Met::NotApplicable);
    }
}

#[tokio::test]
async fn a_second_certificate_is_seen_and_held_against_what_is_published() {
    let identity = Identity::new(&[MX]);
    let key = crate::policy::names::Fingerprint::from_hex(&identity.issued.key_sha256()).unwrap();
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: key.as_bytes().to_vec() };
    for (tls, words, differs) in
        [(identity.tls(), "", false), (identity.tls_with_two(&[MX]), "[certificates-differ]", true)]
    {
        let host = MailHost { tls, ..MailHost::default() }.start("127.0.0.1");
        let at = (host.address.port(), domain(MX));
        let dns = dns(Security::Secure).with_tlsa(at, Ok(vec![record.clone()]), Security::Secure);
        let report = probe(&prober(dns, &host, &identity.roots), Look::CLOSE, None, None).await;
        assert_eq!((report.words().as_str(), report.hosts[0].other.is_some()), (words, differs));
        let found = findings(&report.publication, &report.hosts, clock::timestamp());
        let texts: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
        let expected: &[&str] = match differs {
            true => &["DANE: met by the ECDSA certificate, not by the RSA one"],
            false => &[],
        };
        assert_eq!(texts, expected);
    }
}

#[tokio::test]
async fn the_policy_and_the_records_of_the_domain_are_read() {
    let identity = Identity::new(&[MX]);
    let record = "v=STSv1; id=7;";
    for (policy, txt, met, words) in [
        ("version: STSv1\nmode: enforce\nmx: mx.bank.example\nmax_age: 604800\n", record, "yes", ""),
        (
            "version: STSv1\nmode: testing\nmx: other.example\nmax_age: 604800\n",
            record,
            "no",
            "mta-sts [mta-sts-testing]",
        ),
        ("version: STSv1\nmode: none\nmax_age: 604800\n", record, "not-applicable", ""),
        ("nonsense", record, "not-applicable", "mta-sts-policy"),
        ("nonsense", "v=STSv1;", "not-applicable", "mta-sts-record"),
    ] {
        let web = PolicyHost::start(Answer::policy(policy)).await;
        let host = MailHost { tls: identity.tls(), ..MailHost::default() }.start("127.0.0.1");
        let text = |text: &str| Ok(vec![text.as_bytes().to_vec()]);
        let dns = dns(Security::Insecure)
            .with_addresses(domain("mta-sts.bank.example"), [web.address.ip()])
            .with_text(Service::MtaSts, domain(BANK), text(txt))
            .with_text(Service::TlsRpt, domain(BANK), text("v=TLSRPTv1; rua=mailto:tls@bank.example"));
        let mut prober = prober(dns, &host, &identity.roots);
        prober.sts = StsFetcher::new(prober.resolver.clone(), prober.targets.clone(), &web.roots)
            .unwrap()
            .with_port(web.address.port());
        let report = probe(&prober, Look::QUICK, None, None).await;
        assert_eq!((report.hosts[0].meets.mta_sts.as_str(), report.words().as_str()), (met, words), "{policy}");
        assert!(matches!(&report.publication.tlsrpt, TlsRptFound::Wanted(wanted) if wanted.targets.len() == 1));
        assert!(!matches!(report.publication.mta_sts, StsFound::Absent));
    }
}

#[tokio::test]
async fn a_walk_ends_at_rcpt_and_begins_only_where_the_policy_would_send() {
    let identity = Identity::new(&[MX]);
    let (from, to) = (ReversePath::Null, Address::parse("b@bank.example", Charset::Ascii).unwrap());
    let walk = Some(Walk { from: &from, to: &to });
    for (rcpt, level, said, words) in [
        ("250 2.1.5 Ok", None, "MAIL 250 RCPT 250", ""),
        ("550 5.1.1 no such user", None, "MAIL 250 RCPT 550", "walk"),
        ("451 4.7.1 come again", None, "MAIL 250 RCPT 451", "[walk-deferred]"),
        ("550 5.1.1 no such user", Some(OutboundTls::Verify), "", "policy"),
    ] {
        let host = MailHost { tls: identity.tls(), rcpt, ..MailHost::default() }.start("127.0.0.1");
        let decision = level.map(|level| decision(level, None));
        let prober = prober(dns(Security::Insecure), &host, &Roots::empty());
        let report = probe(&prober, Look::QUICK, decision.as_ref(), walk).await;
        let walked = report.hosts[0].walked.as_ref().unwrap();
        let seen: Vec<String> = walked.said.iter().map(|(word, reply)| format!("{word} {}", reply.code)).collect();
        assert_eq!((seen.join(" ").as_str(), report.words().as_str()), (said, words), "{rcpt}");
        let end = if said.is_empty() { "EHLO QUIT" } else { "EHLO MAIL RCPT RSET QUIT" };
        assert!(host.heard().ends_with(end) && !host.heard().contains("DATA"), "{}", host.heard());
    }
}

#[tokio::test]
async fn a_name_that_leads_into_our_own_network_is_not_connected_to_but_a_written_host_is() {
    let host = MailHost::default().start("127.0.0.1");
    let mut prober = prober(dns(Security::Insecure), &host, &Roots::empty());
    prober.targets = TargetRule::default();
    let report = probe(&prober, Look::QUICK, None, None).await;
    assert_eq!(report.publication.hosts, Err(RouteError::TargetForbidden));
    assert_eq!((report.words().as_str(), host.heard().as_str()), ("no-mail-host", ""));

    let target = parse_target(&host.address.to_string(), None).unwrap();
    let publication = prober.publication(&target, None).await;
    let found = publication.hosts.unwrap().hosts.remove(0);
    let inquiry = Inquiry {
        domain: None,
        mta_sts: &StsFound::Absent,
        kept: None,
        learned: None,
        look: Look::QUICK,
        decision: None,
        walk: None,
    };
    let report = prober.host(found, &inquiry).await;
    assert!(matches!(report.seen.addresses[0].end, End::Plaintext(_)), "{report:?}");
}
