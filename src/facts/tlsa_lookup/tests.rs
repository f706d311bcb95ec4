//! Which records of which name count, by the state of the host's addresses, aliases and records.

use super::*;
use crate::dns::fake::FakeResolver;
use crate::model::tlsa::Tlsa;
use Security::{Insecure, Secure, Unknown};

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// What is said of `mx.example`: usable or not, under which base domain.
async fn look_at(security: Security, first: Option<Security>, published: &[(&str, u8, Security)]) -> String {
    let record = |usage| Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] };
    let resolver = published.iter().fold(FakeResolver::new(), |resolver, &(base, usage, security)| {
        let answer = if base == "lost" { Err(LookupError::ServFail) } else { Ok(vec![record(usage)]) };
        let base = if base == "lost" { "end.example" } else { base };
        resolver.with_tlsa((25, domain(base)), answer, security)
    });
    let (name, alias) = (domain("mx.example"), first.map(|first| Alias { end: domain("end.example"), first }));
    let host = Host { name: &name, port: 25, security, alias: alias.as_ref(), next_hop_domains: &[], is_by_mx: true };
    match look_up(&resolver, &host).await {
        Err(error) => error.to_string(),
        Ok(Dane::Inapplicable) => "not asked".to_owned(),
        Ok(Dane::Absent) => "none".to_owned(),
        Ok(dane @ Dane::Unusable(_)) => format!("unusable {}", dane.base().unwrap()),
        Ok(dane @ Dane::Usable(_)) => format!("usable {}", dane.base().unwrap()),
    }
}

/// RFC 7672 sections 2.2, 2.2.2 and 2.2.3.
#[tokio::test]
async fn records_are_asked_for_at_the_end_of_secure_aliases_then_at_the_name_and_only_signed_ones_count() {
    let at_both = [("mx.example", 3, Secure), ("end.example", 3, Secure)];
    for (security, alias, published, expected) in [
        (Secure, None, &at_both[..], "usable mx.example"),
        (Secure, None, &[("mx.example", 1, Secure)], "unusable mx.example"),
        (Secure, None, &[("mx.example", 3, Insecure)], "none"),
        (Secure, None, &[], "none"),
        (Insecure, None, &at_both, "not asked"),
        (Unknown, None, &at_both, "not asked"),
        (Secure, Some(Secure), &at_both, "usable end.example"),
        (Secure, Some(Secure), &[("mx.example", 3, Secure)], "usable mx.example"),
        (Secure, Some(Secure), &[("end.example", 3, Insecure), ("mx.example", 3, Secure)], "usable mx.example"),
        (Secure, Some(Secure), &[("end.example", 1, Secure), ("mx.example", 3, Secure)], "unusable end.example"),
        // The other name is not asked instead: what it says might be what somebody wants us to hear.
        (Secure, Some(Secure), &[("lost", 3, Unknown), ("mx.example", 3, Secure)], "the DNS server reports a failure"),
        (Insecure, Some(Secure), &at_both, "usable mx.example"),
        (Insecure, Some(Insecure), &at_both, "not asked"),
        (Unknown, Some(Unknown), &at_both, "not asked"),
    ] {
        assert_eq!(look_at(security, alias, published).await, expected, "{security:?} {alias:?} {published:?}");
    }
}
