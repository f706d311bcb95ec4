//! How many authorities may stand between an issuer that a record names and the server (RFC 5280 section 4.2.1.9, RFC
//! 7672 section 3.1.2). Of an anchor the library knows name and key alone, so this is judged here.

use rustls::pki_types::CertificateDer;

use crate::tls::peer;

use super::contents;

/// Ways that are tried from the server up to the issuer; there is one mostly.
const WAYS_MAX: usize = 16;
/// Authorities on one way; the library takes no more either.
const WAY_AUTHORITIES_MAX: usize = 6;

/// The pathLenConstraint of a certificate; `None` is as many as there are.
pub(super) fn path_length(der: &[u8]) -> Option<usize> {
    let parsed = peer::parse(&CertificateDer::from(der))?.basic_constraints().ok()??.value.path_len_constraint?;
    usize::try_from(parsed).ok()
}

/// The sets of certificates by which `leaf` may lead to the issuer with this name (as an anchor has it) with no more
/// than `authorities_max` between; an authority that issued itself a new certificate does not count (RFC 5280 section
/// 6.1.4). Nothing is verified: the chain must lead there with one of these sets and no other certificate.
pub(super) fn short_chains<'a>(
    leaf: &CertificateDer<'_>,
    issuers: &[CertificateDer<'a>],
    anchor: &[u8],
    authorities_max: usize,
) -> Vec<Vec<CertificateDer<'a>>> {
    let links: Vec<Link> = issuers.iter().enumerate().filter_map(|(place, der)| Link::new(place, der)).collect();
    let (own, counted): (Vec<Link>, Vec<Link>) = links.into_iter().partition(|link| link.subject == link.issuer);
    let Some(leaf) = Link::new(usize::MAX, leaf) else { return Vec::new() };
    let mut ways = Ways { counted: &counted, anchor, found: Vec::new() };
    ways.climb(&leaf.issuer, authorities_max.min(WAY_AUTHORITIES_MAX), &mut Vec::new());
    let of_way = |way: &Vec<usize>| {
        let places = way.iter().copied().chain(own.iter().map(|link| link.place));
        places.filter_map(|place| issuers.get(place).cloned()).collect()
    };
    ways.found.iter().map(of_way).collect()
}

/// A certificate of the chain by the names in it, as anchors have them.
struct Link {
    place: usize,
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

impl Link {
    fn new(place: usize, der: &CertificateDer<'_>) -> Option<Self> {
        let parsed = peer::parse(der)?;
        let subject = contents(parsed.subject().as_raw())?.to_vec();
        Some(Self { place, subject, issuer: contents(parsed.issuer().as_raw())?.to_vec() })
    }
}

struct Ways<'a> {
    counted: &'a [Link],
    /// The name where each way ends.
    anchor: &'a [u8],
    found: Vec<Vec<usize>>,
}

impl Ways<'_> {
    /// Goes on from a certificate that `issuer` issued.
    fn climb(&mut self, issuer: &[u8], left: usize, way: &mut Vec<usize>) {
        if self.found.len() >= WAYS_MAX {
            return;
        }
        if issuer == self.anchor {
            self.found.push(way.clone());
            return;
        }
        if left == 0 {
            return;
        }
        for link in self.counted.iter().filter(|link| link.subject == issuer) {
            if !way.contains(&link.place) {
                way.push(link.place);
                self.climb(&link.issuer, left - 1, way);
                way.pop();
            }
        }
    }
}
