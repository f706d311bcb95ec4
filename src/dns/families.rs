//! IPv6 and IPv4 side by side: one answer made of two look-ups, and the order in which addresses are tried.

use std::net::IpAddr;

use super::{Answer, LookupError};

type Addresses = Result<Answer<Vec<IpAddr>>, LookupError>;

/// One answer of two. If one side failed, what the other side found is good: its own security vouches for it.
/// If both failed, a temporary failure outweighs a "no", which may be the answer to half of the question only.
pub fn merge(v6: Addresses, v4: Addresses) -> Addresses {
    match (v6, v4) {
        (Ok(mut v6), Ok(v4)) => {
            v6.records.extend(v4.records);
            let alias = v6.alias.or(v4.alias);
            Ok(Answer { records: v6.records, security: v6.security.min(v4.security), alias, ttl: v6.ttl.min(v4.ttl) })
        }
        (Ok(answer), Err(_)) | (Err(_), Ok(answer)) => Ok(answer),
        (Err(v6), Err(v4)) if v6.is_temporary() && !v4.is_temporary() => Err(v6),
        (Err(_), Err(v4)) => Err(v4),
    }
}

/// IPv6 and IPv4 by turns, IPv6 first, each in its given order and without repetitions (RFC 8305 section 4):
/// if one version does not get through, the second try is of the other.
pub fn interleave(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut v6 = addresses.iter().copied().filter(IpAddr::is_ipv6);
    let mut v4 = addresses.iter().copied().filter(IpAddr::is_ipv4);
    let mut ordered = Vec::with_capacity(addresses.len());
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            return ordered;
        }
        for address in pair.into_iter().flatten() {
            if !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Security;
    use super::*;

    #[test]
    fn versions_take_turns_and_ipv6_begins() {
        for (given, expected) in [
            ("", ""),
            ("192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2"),
            ("192.0.2.1 2001:db8::1", "2001:db8::1 192.0.2.1"),
            (
                "192.0.2.1 192.0.2.2 192.0.2.3 2001:db8::1 2001:db8::2",
                "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3",
            ),
            ("192.0.2.1 192.0.2.1 2001:db8::1", "2001:db8::1 192.0.2.1"),
        ] {
            let given: Vec<IpAddr> = given.split_whitespace().map(|ip| ip.parse().unwrap()).collect();
            let ordered: Vec<String> = interleave(&given).iter().map(IpAddr::to_string).collect();
            assert_eq!(ordered.join(" "), expected);
        }
    }

    #[test]
    fn one_version_suffices_and_a_failure_outweighs_a_no() {
        let found = |ip: &str, security| {
            Ok(Answer { records: vec![ip.parse().unwrap()], security, alias: None, ttl: Duration::from_secs(60) })
        };
        let six = found("2001:db8::1", Security::Secure);
        let four = found("192.0.2.1", Security::Insecure);
        let both = Ok(Answer {
            records: vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()],
            security: Security::Insecure,
            alias: None,
            ttl: Duration::from_secs(60),
        });
        for (v6, v4, expected) in [
            (six.clone(), four.clone(), both),
            (six.clone(), Err(LookupError::ServFail), six),
            (Err(LookupError::NoData), four.clone(), four),
            (Err(LookupError::NoData), Err(LookupError::Timeout), Err(LookupError::Timeout)),
            (Err(LookupError::Timeout), Err(LookupError::NoData), Err(LookupError::Timeout)),
            (Err(LookupError::NoSuchName), Err(LookupError::NoSuchName), Err(LookupError::NoSuchName)),
        ] {
            assert_eq!(merge(v6, v4), expected);
        }
    }
}
