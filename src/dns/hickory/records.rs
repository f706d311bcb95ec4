//! From records as hickory has them to the values of this program.

use std::net::IpAddr;

use hickory_resolver::proto::rr::{Name, RData};

use crate::model::domain::Domain;
use crate::model::tlsa::Tlsa;

use super::super::{Exchange, Mx};

pub(super) fn mx(data: &RData) -> Option<Mx> {
    match data {
        RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: exchange(&mx.exchange) }),
        _ => None,
    }
}

pub(super) fn v4(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        _ => None,
    }
}

pub(super) fn v6(data: &RData) -> Option<IpAddr> {
    match data {
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

pub(super) fn tlsa(data: &RData) -> Option<Tlsa> {
    match data {
        RData::TLSA(tlsa) => Some(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        _ => None,
    }
}

/// The strings of a TXT record as one.
pub(super) fn text(data: &RData) -> Option<Vec<u8>> {
    match data {
        RData::TXT(txt) => Some(txt.txt_data.concat()),
        _ => None,
    }
}

/// A host name as mail needs it. Octets that no host name has make it invalid, not an error of the whole answer.
fn exchange(name: &Name) -> Exchange {
    match name.is_root() {
        true => Exchange::Root,
        false => domain(name).map_or(Exchange::Invalid, Exchange::Host),
    }
}

/// `None` where a label has octets that no domain name of mail has.
pub(super) fn domain(name: &Name) -> Option<Domain> {
    let mut text = String::new();
    for label in name.iter() {
        let label = str::from_utf8(label).ok().filter(|label| label.is_ascii() && !label.contains('.'))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(label);
    }
    Domain::parse(&text).ok()
}

/// `domain` below labels of its own. `None` if that is longer than a name can be.
pub(super) fn name(labels: &str, domain: &Domain) -> Option<Name> {
    let labels = labels.split('.').filter(|label| !label.is_empty());
    Name::from_labels(labels.chain(domain.as_str().split('.')).map(str::as_bytes)).ok()
}
