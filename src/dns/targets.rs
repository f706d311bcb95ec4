//! Which addresses a name from the DNS may lead to: strangers choose their records, and must not aim us at our own
//! network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The rule for looked-up targets. Next hops that the configuration writes down are not asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetRule {
    /// Networks that may be connected to although they are forbidden.
    pub allow: Vec<IpNet>,
}

impl TargetRule {
    pub fn permits(&self, ip: IpAddr) -> bool {
        let judged = ip.to_canonical();
        !is_forbidden(judged) || self.allow.iter().any(|net| net.contains(&judged) || net.contains(&ip))
    }
}

/// Whether an address is no place on the public internet: this host, a private network, a group, or nobody.
/// An IPv6 address that carries an IPv4 one is judged by both.
pub fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_forbidden_v4(v4),
        IpAddr::V6(v6) => is_forbidden_v6(v6) || embedded_v4(v6).is_some_and(is_forbidden_v4),
    }
}

fn is_forbidden_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        // "This network", RFC 791 section 3.2.
        || a == 0
        // Carrier-grade NAT, RFC 6598.
        || (a == 100 && (64..128).contains(&b))
        // IETF protocol assignments, RFC 6890.
        || (a == 192 && b == 0 && c == 0)
        // Benchmarks, RFC 2544.
        || (a == 198 && (18..20).contains(&b))
        // Reserved, and the broadcast address, RFC 1112 section 4.
        || a >= 240
}

fn is_forbidden_v6(ip: Ipv6Addr) -> bool {
    let [first, second, third, fourth, ..] = ip.segments();
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_unicast_link_local()
        || ip.is_unique_local()
        // Site-local, RFC 3879.
        || (first & 0xffc0) == 0xfec0
        // NAT64 for local use, RFC 8215.
        || (first == 0x64 && second == 0xff9b && third == 1)
        // Discard-only, RFC 6666.
        || (first == 0x100 && second == 0 && third == 0 && fourth == 0)
}

/// The IPv4 address to which packets for an IPv6 address are finally sent by a translator or tunnel.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let low = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // IPv4-compatible, RFC 4291 section 2.5.5.1.
        [0, 0, 0, 0, 0, 0, a, b] => Some(low(a, b)),
        // NAT64, RFC 6052 section 2.1.
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Some(low(a, b)),
        // 6to4, RFC 3056 section 2.
        [0x2002, a, b, ..] => Some(low(a, b)),
        // Teredo, RFC 4380 section 4: the client's address with each bit flipped.
        [0x2001, 0, _, _, _, _, a, b] => Some(low(!a, !b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_targets() {
        for (text, forbidden) in [
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("127.0.0.1", true),
            ("127.255.0.9", true),
            ("10.1.2.3", true),
            ("172.15.255.255", false),
            ("172.16.0.1", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.63.255.255", false),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("192.0.0.8", true),
            ("192.0.2.1", false),
            ("198.17.255.255", false),
            ("198.18.0.1", true),
            ("198.20.0.0", false),
            ("224.0.0.1", true),
            ("239.255.255.255", true),
            ("240.0.0.1", true),
            ("255.255.255.255", true),
            ("8.8.8.8", false),
            ("::", true),
            ("::1", true),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", true),
            ("fc00::1", true),
            ("fdff::1", true),
            ("ff02::1", true),
            ("100::1", true),
            ("100:0:0:1::1", false),
            ("2001:db8::1", false),
            ("2a00:1450::1", false),
            ("::ffff:127.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("::10.0.0.1", true),
            ("64:ff9b::192.168.0.1", true),
            ("64:ff9b::8.8.8.8", false),
            ("64:ff9b:1::8.8.8.8", true),
            ("2002:7f00:1::1", true),
            ("2002:808:808::1", false),
            ("2001:0:808:808::f5ff:fffe", true),
            ("2001:0:808:808::f7f7:f7f7", false),
        ] {
            assert_eq!(is_forbidden(text.parse().unwrap()), forbidden, "{text}");
        }
    }

    #[test]
    fn a_listed_network_is_permitted_in_either_spelling() {
        let rule = TargetRule { allow: vec!["127.0.0.0/8".parse().unwrap(), "fd00:1::/32".parse().unwrap()] };
        for (text, permitted) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("fd00:1::5", true),
            ("fd00:2::5", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(rule.permits(text.parse().unwrap()), permitted, "{text}");
        }
        assert!(!TargetRule::default().permits("127.0.0.1".parse().unwrap()));
    }
}
