//! IPv6 and IPv4 side by side: one answer made of two look-ups, and the order in which addresses are tried.

use std::net::IpAddr;

use super::{Alias, Answer, LookupError, Security};

type Addresses = Result<Answer<Vec<IpAddr>>, LookupError>;

/// One answer of two. If one side failed, what the other side found is good: its own security vouches for it. Where one
/// side is forged that takes an answer that is secure, else nothing is known of the name (RFC 7672 section 2.2.2).
/// If both failed, a temporary failure outweighs a "no", which may be the answer to half of the question only.
pub fn merge(v6: Addresses, v4: Addresses) -> Addresses {
    match (v6, v4) {
        (Err(_), Ok(answer)) | (Ok(answer), Err(_)) if answer.security == Security::Secure => Ok(answer),
        (Err(LookupError::Bogus), _) | (_, Err(LookupError::Bogus)) => Err(LookupError::Bogus),
        (Ok(v6), Ok(v4)) => Ok(both(v6, v4)),
        (Ok(answer), Err(_)) | (Err(_), Ok(answer)) => Ok(answer),
        (Err(v6), Err(v4)) if v6.is_temporary() && !v4.is_temporary() => Err(v6),
        (Err(_), Err(v4)) => Err(v4),
    }
}

/// As secure as the more secure side: that one says that the name is in a signed zone, which is what the state of an
/// address is asked for. The other may be made by a translator on the way (RFC 6147 section 3) that has no keys.
fn both(v6: Answer<Vec<IpAddr>>, v4: Answer<Vec<IpAddr>>) -> Answer<Vec<IpAddr>> {
    let ttl = v6.ttl.min(v4.ttl);
    let first = |alias: &Option<Alias>| alias.as_ref().map(|alias| alias.first);
    let v4_tells = (v4.security, first(&v4.alias)) > (v6.security, first(&v6.alias));
    let (security, alias) = if v4_tells { (v4.security, v4.alias) } else { (v6.security, v6.alias) };
    Answer { records: [v6.records, v4.records].concat(), security, alias, ttl }
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

    use super::*;
    use crate::model::domain::Domain;

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

    fn found(ip: &str, security: Security, alias: Option<(&str, Security)>) -> Answer<Vec<IpAddr>> {
        let alias = alias.map(|(end, first)| Alias { end: Domain::parse(end).unwrap(), first });
        Answer { records: vec![ip.parse().unwrap()], security, alias, ttl: Duration::from_secs(60) }
    }

    #[test]
    fn one_version_suffices_a_failure_outweighs_a_no_and_what_is_forged_all_but_what_is_signed() {
        use LookupError::{Bogus, NoData, NoSuchName, ServFail, Timeout};
        let six = || Ok(found("2001:db8::1", Security::Secure, None));
        let four = || Ok(found("192.0.2.1", Security::Insecure, None));
        for (v6, v4, expected) in [
            (six(), Err(ServFail), six()),
            (Err(NoData), four(), four()),
            (Err(NoData), Err(Timeout), Err(Timeout)),
            (Err(Timeout), Err(NoData), Err(Timeout)),
            (Err(NoSuchName), Err(NoSuchName), Err(NoSuchName)),
            (Err(Bogus), four(), Err(Bogus)),
            (six(), Err(Bogus), six()),
            (Err(NoData), Err(Bogus), Err(Bogus)),
            (Err(Bogus), Err(Timeout), Err(Bogus)),
        ] {
            assert_eq!(merge(v6, v4), expected);
        }
    }

    #[test]
    fn a_name_is_as_secure_as_the_more_secure_of_its_addresses() {
        use Security::{Insecure, Secure, Unknown};
        let alias = |end, first| Some((end, first));
        for (v6, v4, expected) in [
            ((Secure, None), (Secure, None), (Secure, None)),
            // A DNS64 server made the IPv6 address.
            ((Insecure, None), (Secure, None), (Secure, None)),
            ((Secure, None), (Insecure, None), (Secure, None)),
            ((Insecure, None), (Unknown, None), (Insecure, None)),
            ((Unknown, alias("six.example", Insecure)), (Secure, alias("four.example", Secure)), {
                (Secure, alias("four.example", Secure))
            }),
            ((Insecure, alias("six.example", Insecure)), (Insecure, alias("four.example", Secure)), {
                (Insecure, alias("four.example", Secure))
            }),
            ((Insecure, alias("six.example", Secure)), (Insecure, None), (Insecure, alias("six.example", Secure))),
        ] {
            let merged = merge(Ok(found("2001:db8::1", v6.0, v6.1)), Ok(found("192.0.2.1", v4.0, v4.1))).unwrap();
            let wanted = found("192.0.2.1", expected.0, expected.1);
            assert_eq!((merged.security, merged.alias), (wanted.security, wanted.alias), "{v6:?} {v4:?}");
            assert_eq!(merged.records.len(), 2);
        }
    }
}
