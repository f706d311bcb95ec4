//! What a candidate asks for beside what holds already.

use super::*;
use crate::policy::rules::Defaults;
use crate::policy::settings::{InboundLayer, InboundTls, Sourced};
use crate::policy::timed::Step;

fn at(line: u32) -> Source {
    Source::File { file: "gatepost.toml".into(), line }
}

fn domain() -> Domain {
    Domain::parse("a.bank.example").unwrap()
}

fn layer(tls: OutboundTls, names: &[NamePattern], min: Option<ProtocolVersion>) -> OutboundLayer {
    OutboundLayer {
        tls: Some(Sourced { value: tls, source: at(46) }),
        match_names: (!names.is_empty()).then(|| Sourced { value: names.to_vec(), source: at(47) }),
        min_version: min.map(|value| Sourced { value, source: at(48) }),
        ..OutboundLayer::default()
    }
}

fn of_default(layer: OutboundLayer) -> PolicySet {
    let defaults = Defaults { outbound: layer.into(), ..Defaults::default() };
    PolicySet::new(defaults, Vec::new()).unwrap()
}

/// `tls "verify", match ["domain"]`, or why there is none.
fn told(policies: &PolicySet, shown: &Shown) -> String {
    match candidate(policies, &domain(), shown, Timestamp::from_secs(0)) {
        Err(why) => why.to_string(),
        Ok(candidate) => {
            let keys: Vec<_> = candidate.keys.iter().map(|key| format!("{} {}", key.key, key.value)).collect();
            toml::from_str::<toml::Table>(&candidate.file(&["seen".to_owned()])).unwrap();
            keys.join(", ")
        }
    }
}

#[test]
fn a_candidate_never_asks_for_less_than_what_holds() {
    use NamePattern::{Domain as ByDomain, Mx};
    use OutboundTls::{Encrypt, Opportunistic, Verify};
    use ProtocolVersion::{Tls1_2, Tls1_3};
    let seen = |dane, ways: &[&[NamePattern]], version| Shown {
        dane: Some(dane),
        ways: ways.iter().map(|way| way.to_vec()).collect(),
        version: Some(version),
        cipher: Some(CipherGrade::ForwardSecret),
    };
    let (host_only, own) = (seen(false, &[], Tls1_3), seen(false, &[&[ByDomain], &[Mx]], Tls1_3));
    let old = seen(false, &[&[ByDomain]], Tls1_2);
    let dane = seen(true, &[], Tls1_3);
    let floor = "min_version \"TLSv1.2\", cipher \"forward-secret\"";
    let cipher = "cipher \"forward-secret\"";
    for (default, shown, expected) in [
        (layer(Opportunistic, &[], None), &host_only, format!("tls \"encrypt\", {floor}")),
        (layer(Opportunistic, &[], None), &own, format!("tls \"verify\", match [\"domain\"], {floor}")),
        (layer(Opportunistic, &[], None), &dane, format!("tls \"encrypt\", dane \"required\", {floor}")),
        (layer(Encrypt, &[], Some(Tls1_2)), &host_only, cipher.to_owned()),
        (layer(Encrypt, &[], Some(Tls1_3)), &own, format!("tls \"verify\", match [\"domain\"], {cipher}")),
        (
            layer(Verify, &[ByDomain], Some(Tls1_3)),
            &host_only,
            "today it is held to verify (gatepost.toml:46) and does not meet it".to_owned(),
        ),
        (
            layer(Verify, &[ByDomain], Some(Tls1_3)),
            &old,
            "today it is held to TLSv1.3 (gatepost.toml:48) and does not meet it".to_owned(),
        ),
        (layer(Verify, &[ByDomain], Some(Tls1_3)), &own, cipher.to_owned()),
        (layer(Verify, &[Mx], None), &own, floor.to_owned()),
        (layer(Verify, &[], None), &old, format!("match [\"domain\"], {floor}")),
        // The records stand for the names that nobody wrote, and not for those that somebody did.
        (layer(Verify, &[], None), &dane, format!("dane \"required\", {floor}")),
        (
            layer(Verify, &[ByDomain], None),
            &dane,
            "today it is held to verify (gatepost.toml:46) and does not meet it".to_owned(),
        ),
    ] {
        assert_eq!(told(&of_default(default.clone()), shown), expected, "{default:?} {shown:?}");
    }
    let learned = Shown { ways: vec![vec![ByDomain, NamePattern::Exact(domain())]], ..Shown::default() };
    for (default, expected) in [
        (layer(Encrypt, &[], None), "tls \"verify\", match [\"domain\", \"a.bank.example\"]"),
        // Its names are left as they are.
        (layer(Verify, &[ByDomain], None), "today it is held to all of that already"),
    ] {
        assert_eq!(told(&of_default(default), &learned), expected);
    }
}

#[test]
fn a_candidate_does_not_stand_in_the_way_of_a_step_of_the_default() {
    let step = Step {
        from: Timestamp::from_secs(9),
        source: at(50),
        layer: layer(OutboundTls::Verify, &[], Some(ProtocolVersion::Tls1_3)),
    };
    let rules = Rules { steps: vec![step], ..Rules::from(OutboundLayer::default()) };
    let defaults = Defaults { outbound: rules, ..Defaults::default() };
    let policies = PolicySet::new(defaults, Vec::new()).unwrap();
    let version = Some(ProtocolVersion::Tls1_3);
    let shown = Shown { dane: Some(true), version, ..Shown::default() };
    assert_eq!(told(&policies, &shown), "dane \"required\"");
}

#[test]
fn a_wildcard_file_hides_a_candidate_only_where_it_says_how_mail_goes_out() {
    let inbound = InboundLayer { tls: Some(Sourced::built_in(InboundTls::Required)), ..InboundLayer::default() };
    let wide = |outbound: OutboundLayer| DomainPolicy {
        file: "domains.d/wide.toml".into(),
        patterns: vec![DomainPattern::parse("*.bank.example").unwrap()],
        inbound: inbound.clone().into(),
        outbound: outbound.into(),
        ..DomainPolicy::default()
    };
    let set = |file| PolicySet::new(Defaults::default(), vec![file]).unwrap();
    let shown = Shown::default();
    let quiet = set(wide(OutboundLayer::default()));
    let file = candidate(&quiet, &domain(), &shown, Timestamp::from_secs(0)).unwrap().file(&[]);
    assert!(file.contains("# Until now domains.d/wide.toml speaks for it (*.bank.example)."), "{file}");
    assert_eq!(named_in(&quiet, &domain()), None);
    let loud = set(wide(layer(OutboundTls::Opportunistic, &[], None)));
    let lost = "domains.d/wide.toml (*.bank.example) says how its mail goes out, and a file of its own would lose that";
    assert_eq!(told(&loud, &shown), lost);
    let own = DomainPolicy { patterns: vec![DomainPattern::Exact(domain())], ..wide(OutboundLayer::default()) };
    assert_eq!(named_in(&set(own), &domain()).map(|file| &**file), Some("domains.d/wide.toml"));
}
