//! `mynetworks`: the networks whose clients may send to anywhere.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::postfix::lists::{DomainList, Of};

use super::differences::Difference;
use super::report::Notes;
use super::site::Site;

/// Parts that an exclusion may cut a network into.
const PARTS_MAX: usize = 512;
/// What Postfix trusts in any case, as far as a file can tell.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// The trusted networks, and where they were written.
pub(super) fn trusted(site: &Site, notes: &mut Notes) -> (Vec<IpNet>, String) {
    const NAME: &str = "mynetworks";
    let Some(place) = site.main.place(NAME) else {
        notes.differs(Difference::NetworkInterfaces, "");
        return (LOOPBACK.iter().filter_map(|net| net.parse().ok()).collect(), String::new());
    };
    let list = site.folder.list(&site.main, NAME, notes);
    let mut told = |what: &str, because: &str, remedy: &str| {
        notes.missing((format!("{NAME}: {what}"), place), because, remedy);
    };
    let networks = networks(&list, &mut told);
    notes.carried(NAME, place, "[relay] trusted");
    (networks, place.to_string())
}

/// The first item that fits decides, so that an exclusion takes away from what stands behind it.
fn networks(list: &DomainList, told: &mut impl FnMut(&str, &str, &str)) -> Vec<IpNet> {
    let (mut found, mut excluded): (Vec<IpNet>, Vec<IpNet>) = (Vec::new(), Vec::new());
    for item in &list.items {
        let Of::Name(text) = &item.of else {
            told("a table", "networks stand in a list here", "write its networks into [relay] trusted");
            continue;
        };
        match network(text) {
            Some(network) if item.negated => excluded.push(network),
            Some(network) if network.prefix_len() == 0 => {
                told(text, "it trusts the whole internet, which makes an open relay", "name only your own networks");
            }
            Some(network) => match without(network, &excluded) {
                Some(parts) => found.extend(parts),
                None => told(text, "what is excluded cuts it into too many parts", "write the parts that are meant"),
            },
            // The same clients in another form.
            None if is_mapped(text) => {}
            None => told(text, "it is no network", "write an address with the length of its prefix"),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|network| seen.insert(*network));
    found
}

/// `192.0.2.0/24`, `[2001:db8::]/32`, or one address.
fn network(text: &str) -> Option<IpNet> {
    let plain: String = text.chars().filter(|c| !matches!(c, '[' | ']')).collect();
    let found = plain.parse::<IpNet>().or_else(|_| plain.parse::<std::net::IpAddr>().map(IpNet::from)).ok()?;
    let is_mapped = matches!(found, IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some() && net.prefix_len() >= 96);
    (!is_mapped).then(|| found.trunc())
}

/// `[::ffff:127.0.0.0]/104`: IPv4 in the form of IPv6.
fn is_mapped(text: &str) -> bool {
    text.to_ascii_lowercase().contains("::ffff:")
}

/// The network without the excluded ones; `None` if that has too many parts.
fn without(network: IpNet, excluded: &[IpNet]) -> Option<Vec<IpNet>> {
    let mut parts = vec![network];
    for hole in excluded {
        parts = parts.into_iter().flat_map(|part| cut(part, *hole)).collect();
        if parts.len() > PARTS_MAX {
            return None;
        }
    }
    Some(parts)
}

fn cut(mut network: IpNet, hole: IpNet) -> Vec<IpNet> {
    if hole.contains(&network) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    // Each turn keeps the half without the hole.
    while network != hole && network.contains(&hole) {
        let Some((left, right)) = halves(network) else { break };
        let (with, other) = if left.contains(&hole) { (left, right) } else { (right, left) };
        parts.push(other);
        network = with;
    }
    if network != hole {
        parts.push(network);
    }
    parts
}

fn halves(network: IpNet) -> Option<(IpNet, IpNet)> {
    let prefix = network.prefix_len().checked_add(1)?;
    match network {
        IpNet::V4(net) => pair(net.subnets(prefix).ok()?.map(|net: Ipv4Net| IpNet::V4(net))),
        IpNet::V6(net) => pair(net.subnets(prefix).ok()?.map(|net: Ipv6Net| IpNet::V6(net))),
    }
}

fn pair(mut halves: impl Iterator<Item = IpNet>) -> Option<(IpNet, IpNet)> {
    Some((halves.next()?, halves.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::Place;
    use crate::postfix::lists::Item;

    #[test]
    fn networks_are_read_in_every_form_and_exclusions_cut_holes() {
        for (text, expected, told) in [
            ("127.0.0.0/8 [::1]/128 192.0.2.7", "127.0.0.0/8 ::1/128 192.0.2.7/32", 0),
            ("[::ffff:127.0.0.0]/104 127.0.0.1", "127.0.0.1/32", 0),
            ("10.1.2.3/8", "10.0.0.0/8", 0),
            ("!192.0.2.1 192.0.2.0/30", "192.0.2.2/31 192.0.2.0/32", 0),
            ("192.0.2.0/30 !192.0.2.1", "192.0.2.0/30", 0),
            ("!10.0.0.0/8 10.0.0.0/16", "", 0),
            ("!10.0.0.1 192.0.2.0/24", "192.0.2.0/24", 0),
            ("0.0.0.0/0", "", 1),
            ("mail.example", "", 1),
        ] {
            let item = |word: &str| {
                let (negated, name) = word.strip_prefix('!').map_or((false, word), |word| (true, word));
                Item { negated, of: Of::Name(name.into()), place: Place::new("main.cf", 1) }
            };
            let list = DomainList { items: text.split_whitespace().map(item).collect() };
            let mut count = 0;
            let found = networks(&list, &mut |_, _, _| count += 1);
            let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!((shown.join(" ").as_str(), count), (expected, told), "{text}");
        }
    }
}
