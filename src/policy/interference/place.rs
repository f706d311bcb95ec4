//! Where a host stands, roughly enough to tell one provider from several.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::model::domain::Domain;

const V4_PREFIX_BITS: u32 = 24;
const V6_PREFIX_BITS: u32 = 48;
const COUNTRY_LABEL_BYTES: usize = 2;
/// Labels under which a country's registry gives out names: `co.uk`, `com.au`. A guess serves; a list that misses one
/// makes its firms one organisation, and an interference that hits only them stays unseen.
const REGISTRY_LABELS: &[&str] = &[
    "ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "govt", "gv", "ltd", "mil", "ne", "net", "nhs", "nom", "or",
    "org", "plc", "sch",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The first address of the /24 or /48.
    pub(super) network: IpAddr,
    /// Who runs it, guessed from its name; hosts without a name go by their network.
    pub(super) organisation: String,
}

impl Place {
    pub(super) fn of(mx: Option<&Domain>, address: IpAddr) -> Self {
        let network = network(address);
        let organisation = mx.map_or_else(|| network.to_string(), |mx| organisation(mx.as_str()).to_owned());
        Self { network, organisation }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (32 - V4_PREFIX_BITS))).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - V6_PREFIX_BITS))).into(),
    }
}

/// The last two labels, or three where the second is a registry's.
fn organisation(name: &str) -> &str {
    let mut labels = name.rsplit('.');
    let (top, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    let is_registry = top.len() == COUNTRY_LABEL_BYTES && REGISTRY_LABELS.contains(&second);
    let kept_dots = if is_registry { 2 } else { 1 };
    let start = name.rmatch_indices('.').nth(kept_dots).map_or(0, |(dot, _)| dot + 1);
    name.get(start..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_provider_stand_in_one_place() {
        for (mx, expected) in [
            ("bank-example.mail.protection.outlook.com", "outlook.com"),
            ("alt1.aspmx.l.google.com", "google.com"),
            ("mx.firm.co.uk", "firm.co.uk"),
            ("mx1.firm.de", "firm.de"),
            ("mx.uni-bonn.de", "uni-bonn.de"),
            ("mx-ha02.web.de", "web.de"),
            ("mx.firm.com", "firm.com"),
            ("co.uk", "co.uk"),
            ("firm.example", "firm.example"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(organisation(mx), expected, "{mx}");
        }
    }

    #[test]
    fn addresses_are_cut_to_the_network_that_one_site_has() {
        for (address, expected) in
            [("192.0.2.77", "192.0.2.0"), ("::ffff:192.0.2.77", "192.0.2.0"), ("2001:db8:1:2::3", "2001:db8:1::")]
        {
            assert_eq!(network(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
        let place = Place::of(None, "192.0.2.77".parse().unwrap());
        assert_eq!(place.organisation, "192.0.2.0");
    }
}
