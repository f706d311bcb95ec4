//! The table of levels: what each becomes, with every attribute, and in what it differs.

use super::*;
use crate::postfix::main_cf;
#[cfg(feature = "legacy-tls")]
use crate::postfix::next_hop;
use crate::postfix::parameters::Parameters;
use crate::postfix::tables::Table;

const SHA256: &str = "e3:b0:c4:42:98:fc:1c:14:9a:fb:f4:c8:99:6f:b9:24:27:ae:41:e4:64:9b:93:4c:a4:95:99:1b:78:52:b8:55";

fn client(main: &str, policy: &str) -> TlsClient {
    let parameters = Parameters::new(main_cf::parse(main).0, "mx.here.example");
    let policy = Table::parse(policy, &"policy".into());
    let mut client = TlsClient::of(&parameters);
    client.policy = vec![std::sync::Arc::new(policy)];
    client
}

/// What an entry for `bank.example` becomes: the keys in a line, and the names of the differences.
fn mapped(main: &str, entry: &str, target: Target<'_>, roots: &Roots) -> (String, Vec<String>) {
    let client = client(main, &format!("bank.example {entry}\n"));
    let (keys, differences) = match client.ask("bank.example") {
        Ok(asked) => keys(&asked, &client, target, roots),
        Err(why) => unusable(&why),
    };
    let word = |difference: &Difference| format!("{difference:?}").split('(').next().unwrap_or_default().to_owned();
    (in_a_line(&keys), differences.iter().map(word).collect())
}

fn in_a_line(keys: &Keys) -> String {
    let mut line = format!("{} {:?}", keys.tls.as_str(), keys.published);
    line.extend(keys.min_version.map(|version| format!(" {version}")));
    if keys.cipher != CipherGrade::Any {
        line.push_str(&format!(" {}", keys.cipher));
    }
    line.extend(keys.names.iter().map(|name| format!(" {name}")));
    line.extend(keys.fingerprints.iter().map(|one| format!(" {}", one.hex().get(..4).unwrap_or_default())));
    line.extend(keys.ca.iter().map(|file| format!(" ca={file}")));
    line
}

#[cfg(feature = "legacy-tls")]
#[track_caller]
fn check(table: &[(&str, &str, &str)], main: &str, target: Target<'_>, roots: &Roots) {
    for (entry, expected, differences) in table {
        let (line, found) = mapped(main, entry, target, roots);
        assert_eq!((line.as_str(), found.join(" ").as_str()), (*expected, *differences), "{entry}");
    }
}

#[cfg(feature = "legacy-tls")]
#[test]
fn each_level_becomes_keys_for_a_domain_that_goes_by_mx() {
    let fingerprint = format!("fingerprint match={SHA256}");
    let table = [
        ("none", "off Off", ""),
        ("may", "opportunistic Usual", "PublishedIsFollowed"),
        ("may protocols=TLSv1.2", "opportunistic Usual", "PublishedIsFollowed OptionalProtocols"),
        ("may ciphers=high exclude=RC4", "opportunistic Usual", "PublishedIsFollowed OptionalCiphers"),
        ("dane", "opportunistic Dane", ""),
        ("dane-only", "encrypt DaneRequired TLSv1", ""),
        ("encrypt", "encrypt Usual TLSv1", "PublishedIsFollowed"),
        ("encrypt ciphers=medium", "encrypt Usual TLSv1", "PublishedIsFollowed"),
        ("encrypt ciphers=high", "encrypt Usual TLSv1 strong", "PublishedIsFollowed HighCiphers"),
        ("encrypt ciphers=null", "encrypt Usual TLSv1", "PublishedIsFollowed NullCiphers"),
        ("encrypt protocols=>=TLSv1.2", "encrypt Usual TLSv1.2", "PublishedIsFollowed"),
        ("encrypt protocols=!SSLv2:!SSLv3:!TLSv1", "encrypt Usual TLSv1.1", "PublishedIsFollowed"),
        ("encrypt protocols=!SSLv2:!SSLv3:!TLSv1.1", "encrypt Usual TLSv1", "PublishedIsFollowed ProtocolsGap"),
        ("encrypt protocols=TLSv1.2", "encrypt Usual TLSv1.2", "PublishedIsFollowed ProtocolsCapped"),
        ("encrypt exclude=RC4:3DES", "encrypt Usual TLSv1 strong", "PublishedIsFollowed ExcludedCiphersAsGrade"),
        (
            "encrypt exclude=kRSA:CAMELLIA",
            "encrypt Usual TLSv1 forward-secret",
            "PublishedIsFollowed ExcludedCiphersAsGrade ExcludedCiphersKept",
        ),
        ("encrypt servername=x.example", "encrypt Usual TLSv1", "PublishedIsFollowed Servername"),
        ("encrypt enable_rpk=yes connection_reuse=yes", "encrypt Usual TLSv1", "PublishedIsFollowed Attribute"),
        ("verify", "verify Usual TLSv1 mx", "PublishedIsFollowed UnsignedMx"),
        ("secure", "verify Usual TLSv1 domain *.bank.example", "PublishedIsFollowed OneLabelBelow"),
        ("secure match=nexthop", "verify Usual TLSv1 domain", "PublishedIsFollowed"),
        (
            "secure match=mx.host.example:.cloud.example ciphers=high protocols=TLSv1.3",
            "verify Usual TLSv1.3 strong mx.host.example *.cloud.example",
            "PublishedIsFollowed HighCiphers OneLabelBelow",
        ),
        ("verify match=hostname:nexthop", "verify Usual TLSv1 mx domain", "PublishedIsFollowed UnsignedMx"),
        ("secure match=..", "verify Usual TLSv1 held.invalid", "PublishedIsFollowed OneLabelBelow NoNameToMatch"),
        (&fingerprint, "verify Usual TLSv1 pinned.invalid e3b0", "PublishedIsFollowed"),
        ("fingerprint match=AA:BB", "verify Usual TLSv1 held.invalid", "PublishedIsFollowed WeakFingerprint"),
        ("fingerprint", "verify Usual held.invalid", "UnusablePolicy"),
        ("must", "verify Usual held.invalid", "UnusablePolicy"),
        ("encrypt ciphers=best", "verify Usual held.invalid", "UnusablePolicy"),
        ("encrypt match=x.example", "verify Usual held.invalid", "UnusablePolicy"),
    ];
    let pattern = DomainPattern::parse("bank.example").unwrap();
    let main = "smtp_tls_security_level = may\ncompatibility_level = 3.6\nsmtp_dns_support_level = dnssec\n";
    check(&table, main, Target::Mx(&pattern), &Roots::System);
}

#[cfg(feature = "legacy-tls")]
#[test]
fn names_are_those_of_the_hops_where_hops_are_written() {
    let one = next_hop::parse("[in.bank.example]:587").unwrap();
    let two = next_hop::parse("[in.bank.example], [out.bank.example]").unwrap();
    let address = next_hop::parse("[192.0.2.1]").unwrap();
    let below = DomainPattern::parse("*.bank.example").unwrap();
    for (target, entry, expected, differences) in [
        (Target::Hops(&one), "secure", "verify Usual TLSv1 mx *.in.bank.example", "PublishedIsFollowed OneLabelBelow"),
        (Target::Hops(&one), "verify", "verify Usual TLSv1 mx", "PublishedIsFollowed"),
        (Target::Hops(&two), "secure", "verify Usual TLSv1 mx", "PublishedIsFollowed NothingBelow"),
        (
            Target::Hops(&address),
            "secure",
            "verify Usual TLSv1 held.invalid",
            "PublishedIsFollowed NothingBelow NoNameToMatch",
        ),
        (Target::Hops(&address), "secure match=x.example", "verify Usual TLSv1 x.example", "PublishedIsFollowed"),
        (Target::Mx(&below), "secure", "verify Usual TLSv1 domain", "PublishedIsFollowed NothingBelow"),
        (Target::AnyMx, "secure", "verify Usual TLSv1 domain", "PublishedIsFollowed NothingBelow"),
    ] {
        check(&[(entry, expected, differences)], "smtp_use_tls = yes", target, &Roots::System);
    }
}

#[cfg(feature = "legacy-tls")]
#[test]
fn roots_are_named_and_without_them_nothing_is_sent() {
    let pattern = DomainPattern::parse("bank.example").unwrap();
    let files = |and_system| Roots::Files { files: vec!["ca.pem".into()], and_system };
    for (roots, expected, differences) in [
        (Roots::None, "verify Usual TLSv1 domain", "PublishedIsFollowed NoRoots"),
        (files(false), "verify Usual TLSv1 domain ca=ca.pem", "PublishedIsFollowed"),
        (files(true), "verify Usual TLSv1 domain ca=ca.pem", "PublishedIsFollowed AlsoSystemRoots"),
        (Roots::Missing("x.pem".into()), "verify Usual TLSv1 held.invalid", "PublishedIsFollowed RootsMissing"),
    ] {
        check(&[("secure match=nexthop", expected, differences)], "smtp_use_tls = yes", Target::Mx(&pattern), &roots);
    }
}

#[test]
fn old_fingerprints_and_dane_without_dnssec_depend_on_main_cf() {
    let pattern = DomainPattern::parse("bank.example").unwrap();
    let md5 = format!("fingerprint match={SHA256}");
    let (keys, differences) = mapped("", &md5, Target::Mx(&pattern), &Roots::System);
    assert!(keys.ends_with("held.invalid") && differences.contains(&"WeakFingerprint".to_owned()), "{keys}");
    for (main, expected) in [
        ("", "DaneWithoutDnssec"),
        ("smtp_dns_support_level = dnssec\nsmtp_tls_ciphers = high\n", "OptionalCiphers DaneMinimum"),
    ] {
        let (keys, differences) = mapped(main, "dane", Target::Mx(&pattern), &Roots::System);
        assert_eq!((keys.as_str(), differences.join(" ").as_str()), ("opportunistic Dane", expected));
    }
}

#[test]
fn hops_whose_policies_differ_send_nothing() {
    let encrypt = || (Keys::plain(OutboundTls::Encrypt), BTreeSet::new());
    assert_eq!(together(vec![encrypt(), encrypt()]), encrypt());
    let (keys, differences) = together(vec![encrypt(), (Keys::plain(OutboundTls::Opportunistic), BTreeSet::new())]);
    assert_eq!((keys, differences), (Keys::held(), BTreeSet::from([Difference::UnequalHops])));
}
