//! Which TLSA records of a mail host count, and why the others do not (RFC 7672 section 3.1, RFC 7671 section 9).

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use x509_parser::asn1_rs::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::model::tlsa::Tlsa;

/// How many records of one mail host are kept, those that can be used first: each is held against each certificate.
pub const TLSA_RECORDS_MAX: usize = 100;

/// The server's own certificate or key (RFC 7672 section 3.1.1).
pub const USAGE_DANE_EE: u8 = 3;
/// An issuer of it (RFC 7672 section 3.1.2).
pub const USAGE_DANE_TA: u8 = 2;
/// The whole certificate.
pub const SELECTOR_CERTIFICATE: u8 = 0;
/// Its SubjectPublicKeyInfo.
pub const SELECTOR_KEY: u8 = 1;
/// The record holds it all, not a digest.
pub const MATCHING_FULL: u8 = 0;
pub const MATCHING_SHA256: u8 = 1;
pub const MATCHING_SHA512: u8 = 2;

/// Usages and selectors of the records that can be used.
const KINDS: [(u8, u8); 4] = [
    (USAGE_DANE_EE, SELECTOR_KEY),
    (USAGE_DANE_EE, SELECTOR_CERTIFICATE),
    (USAGE_DANE_TA, SELECTOR_KEY),
    (USAGE_DANE_TA, SELECTOR_CERTIFICATE),
];

const SHA256_BYTES: usize = 32;
const SHA512_BYTES: usize = 64;

/// What the records of a mail host are good for. No record at all is no set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TlsaSet {
    /// None can be used: TLS is a must, but nobody says whose it is (RFC 7672 section 2.2).
    Unusable(Vec<Judged>),
    /// The server must be authenticated by one of them.
    Usable(Arc<UsableTlsa>),
}

/// Records of which at least one can be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UsableTlsa {
    judged: Vec<Judged>,
}

/// A record and whether it counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Judged {
    pub record: Tlsa,
    pub standing: Standing,
}

/// Whether a record counts, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    Usable,
    /// A stronger digest stands beside it, with the same usage and selector (RFC 7671 section 9).
    Weaker,
    /// Usages 0 and 1 need authorities that sender and receiver agree on (RFC 7672 section 3.1.3).
    PkixUsage,
    UnknownUsage,
    UnknownSelector,
    UnknownMatching,
    /// The data is not as long as its digest is.
    DigestLength,
    /// The data should be a certificate and is none.
    NotCertificate,
    /// The data should be a SubjectPublicKeyInfo and is none.
    NotKey,
}

impl Standing {
    pub const ALL: [Self; 9] = [
        Self::Usable,
        Self::Weaker,
        Self::PkixUsage,
        Self::UnknownUsage,
        Self::UnknownSelector,
        Self::UnknownMatching,
        Self::DigestLength,
        Self::NotCertificate,
        Self::NotKey,
    ];

    /// In words, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Weaker => "not used: a stronger digest stands beside it",
            Self::PkixUsage => "unusable: usages 0 and 1 are not for mail",
            Self::UnknownUsage => "unusable: the usage is unknown",
            Self::UnknownSelector => "unusable: the selector is unknown",
            Self::UnknownMatching => "unusable: the matching type is unknown",
            Self::DigestLength => "unusable: the digest has a wrong length",
            Self::NotCertificate => "unusable: the data is no certificate",
            Self::NotKey => "unusable: the data is no public key",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Judges the records of a secure answer; `None` if there are none. Neither order nor repetition matters.
pub fn classify(records: &[Tlsa]) -> Option<TlsaSet> {
    let mut judged: Vec<Judged> =
        records.iter().map(|record| Judged { record: record.clone(), standing: standing_alone(record) }).collect();
    let strongest = KINDS.map(|kind| {
        let usable = judged.iter().filter(|one| one.standing == Standing::Usable && kind_of(&one.record) == kind);
        (kind, usable.map(|one| one.record.matching).max())
    });
    for one in judged.iter_mut().filter(|one| one.standing == Standing::Usable) {
        let is_weaker = |&(kind, best)| kind == kind_of(&one.record) && Some(one.record.matching) < best;
        if one.record.matching != MATCHING_FULL && strongest.iter().any(is_weaker) {
            one.standing = Standing::Weaker;
        }
    }
    judged.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    judged.dedup();
    judged.truncate(TLSA_RECORDS_MAX);
    match judged.first()?.standing {
        Standing::Usable => Some(TlsaSet::Usable(Arc::new(UsableTlsa { judged }))),
        _ => Some(TlsaSet::Unusable(judged)),
    }
}

/// The records of an answer that count for most, each once and no more than [`TLSA_RECORDS_MAX`].
pub fn foremost(records: &[Tlsa]) -> Vec<Tlsa> {
    let set = classify(records);
    set.iter().flat_map(TlsaSet::judged).map(|one| one.record.clone()).collect()
}

/// Usage and selector: digests are chosen among records that have both in common.
const fn kind_of(record: &Tlsa) -> (u8, u8) {
    (record.usage, record.selector)
}

/// What counts stands first, and of that what needs no chain: both are never cut off by what others published beside.
fn order(one: &Judged) -> (Standing, Reverse<u8>, &Tlsa) {
    (one.standing, Reverse(one.record.usage), &one.record)
}

/// The standing of a record without regard to those beside it.
fn standing_alone(record: &Tlsa) -> Standing {
    let has_length = |bytes| if record.data.len() == bytes { Standing::Usable } else { Standing::DigestLength };
    match (record.usage, record.selector, record.matching) {
        (0 | 1, ..) => Standing::PkixUsage,
        (4.., ..) => Standing::UnknownUsage,
        (_, SELECTOR_CERTIFICATE, MATCHING_FULL) => match is_certificate(&record.data) {
            true => Standing::Usable,
            false => Standing::NotCertificate,
        },
        (_, SELECTOR_KEY, MATCHING_FULL) => match is_key(&record.data) {
            true => Standing::Usable,
            false => Standing::NotKey,
        },
        (_, SELECTOR_CERTIFICATE | SELECTOR_KEY, MATCHING_SHA256) => has_length(SHA256_BYTES),
        (_, SELECTOR_CERTIFICATE | SELECTOR_KEY, MATCHING_SHA512) => has_length(SHA512_BYTES),
        (_, SELECTOR_CERTIFICATE | SELECTOR_KEY, _) => Standing::UnknownMatching,
        _ => Standing::UnknownSelector,
    }
}

fn is_certificate(data: &[u8]) -> bool {
    x509_parser::parse_x509_certificate(data).is_ok_and(|(rest, _)| rest.is_empty())
}

fn is_key(data: &[u8]) -> bool {
    SubjectPublicKeyInfo::from_der(data).is_ok_and(|(rest, _)| rest.is_empty())
}

impl TlsaSet {
    /// Every record that was judged, those that count first.
    pub fn judged(&self) -> &[Judged] {
        match self {
            Self::Unusable(judged) => judged,
            Self::Usable(usable) => usable.judged(),
        }
    }

    pub fn usable(&self) -> Option<&Arc<UsableTlsa>> {
        match self {
            Self::Unusable(_) => None,
            Self::Usable(usable) => Some(usable),
        }
    }
}

impl UsableTlsa {
    /// Every record that was judged, those that count first.
    pub fn judged(&self) -> &[Judged] {
        &self.judged
    }

    /// The records that count, at least one; those of usage 3 first.
    pub fn records(&self) -> impl Iterator<Item = &Tlsa> {
        self.judged.iter().take_while(|one| one.standing == Standing::Usable).map(|one| &one.record)
    }
}

#[cfg(test)]
mod tests;
