//! Whose mail a message is, as a number: senders take turns at a destination, so that one's flood does not delay
//! another's mail.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::spool::Outline;

/// The same for all mail of one sender domain from one client network, as far as that is known.
pub(super) fn of(outline: &Outline) -> u32 {
    let mut hasher = DefaultHasher::new();
    (outline.client.map(network), outline.sender.domain()).hash(&mut hasher);
    let [low, high] = [hasher.finish(), hasher.finish() >> 32].map(|half| half & u64::from(u32::MAX));
    u32::try_from(low ^ high).unwrap_or_default()
}

/// A /24 of IPv4 or a /64 of IPv6.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::ReversePath;
    use crate::model::envelope::Trust;
    use crate::model::id::MessageId;
    use crate::model::time::Timestamp;

    fn flow(client: &str, sender: &str) -> u32 {
        of(&Outline {
            id: MessageId::from_u128(1),
            received_at: Timestamp::from_secs(0),
            size: 1,
            sender: if sender.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(sender.parse().unwrap()) },
            recipients: Vec::new(),
            client: client.parse().ok(),
            trust: Trust::Stranger,
            tls_report: false,
            states: Vec::new(),
        })
    }

    #[test]
    fn mail_of_one_sender_domain_from_one_network_is_one_flow() {
        let flood = flow("192.0.2.1", "news1@shop.example");
        for (client, sender, is_same) in [
            ("192.0.2.77", "news2@shop.example", true),
            ("::ffff:192.0.2.1", "news1@SHOP.example", true),
            ("192.0.3.1", "news1@shop.example", false),
            ("192.0.2.1", "a@bank.example", false),
            ("192.0.2.1", "", false),
            ("none", "news1@shop.example", false),
        ] {
            assert_eq!(flow(client, sender) == flood, is_same, "{client} {sender}");
        }
        assert_eq!(flow("2001:db8::1", "a@b.example"), flow("2001:db8::ffff:0:0:1", "x@b.example"));
        assert_ne!(flow("2001:db8::1", "a@b.example"), flow("2001:db8:0:1::1", "a@b.example"));
    }
}
