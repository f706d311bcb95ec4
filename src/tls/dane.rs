//! Holds the chain that a server showed against its TLSA records (RFC 7672 section 3, RFC 7671 section 5).
//!
//! Pure: records, names and the moment are handed in.

use aws_lc_rs::digest::{Digest, SHA256, SHA512, digest};
use rustls::pki_types::{CertificateDer, Der, TrustAnchor};
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::X509Certificate;

use crate::model::domain::Domain;
use crate::model::hex;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{ChainTrust, DANE_DATA_BYTES_MAX, DaneMatch, DaneResult, Verified};
use crate::model::tlsa::Tlsa;
use crate::policy::names::is_valid_for;
use crate::policy::tlsa::{
    MATCHING_FULL, MATCHING_SHA256, MATCHING_SHA512, SELECTOR_CERTIFICATE, SELECTOR_KEY, USAGE_DANE_EE, USAGE_DANE_TA,
    UsableTlsa,
};

use super::evaluate::{Evaluation, Fault, NO_ROOT, has_strong_key, leads_to_root, list, parsed};
use super::peer;
use super::roots::Roots;

/// How many of the server's certificates are looked at; more are left out.
pub const DANE_CHAIN_CERTIFICATES_MAX: usize = 10;
/// How many issuers are tried as the one where the chain ends.
pub const DANE_ANCHORS_MAX: usize = 10;
/// Where a wrong name stands among the faults.
const NAME_URGENCY: u8 = 2;
/// Said of a chain that has nothing to do with the issuer.
const LEADS_ELSEWHERE: &str = "the server's certificate does not lead to it";
/// Bytes of a record's data in a detail.
const DETAIL_DATA_BYTES_MAX: usize = 8;

/// Judges `chain` (the server's certificate first) by `tlsa`: any one record that matches suffices.
///
/// Usage 3 looks at the server's certificate or key alone; no name, date or signature in it matters, for the domain
/// vouches for it by publishing the record (RFC 7672 section 3.1.1).
///
/// Usage 2 names an issuer, which becomes the only trusted one. The chain must lead to it, be valid now below it, and
/// be for one of `names`: the TLSA base domain and, where they come by DNSSEC, the next-hop domain and what its aliases
/// lead to (RFC 7672 sections 3.1.2 and 3.2.2). The issuer's own dates do not matter: an anchor is a name and a key
/// (RFC 5280 section 6.1.1), with the constraints of its certificate (RFC 7671 section 5.2.1). A record of a digest
/// needs the issuer in the chain; one that holds the certificate or key itself does not (RFC 7671 sections 5.2.2 and
/// 5.2.3). A server is never its own issuer.
///
/// Where no record matches, the reason is `tlsa-invalid`: none of them was found to be valid (RFC 8460 section
/// 4.3.2.1), and either they or the certificate must be put right. Where one names an issuer, the reason is what is
/// wrong from there on. What the chain is worth otherwise is not looked at.
pub fn evaluate_dane(chain: &[CertificateDer<'_>], tlsa: &UsableTlsa, names: &[Domain], now: Timestamp) -> Evaluation {
    let chain = chain.get(..DANE_CHAIN_CERTIFICATES_MAX).unwrap_or(chain);
    let sent: Vec<Sent<'_>> = chain.iter().map(Sent::new).collect();
    let Some((leaf, issuers)) = sent.split_first() else {
        return unverified(DaneResult::NoMatch, None, &no_certificate());
    };
    if let Some(record) = tlsa.records().find(|record| record.usage == USAGE_DANE_EE && leaf.is_covered_by(record)) {
        return verified(record);
    }
    let mut refused: Option<(&Tlsa, Fault)> = None;
    for candidate in candidates(tlsa, leaf, issuers) {
        let chained = leads_to(&candidate, chain, now);
        if candidate.is_bare_key && chained.as_ref().is_err_and(is_of_a_stranger) {
            continue;
        }
        match is_for(chained, &candidate, chain, names) {
            Ok(()) => return verified(candidate.record),
            Err(fault) if refused.as_ref().is_none_or(|(_, other)| urgency(&fault) < urgency(other)) => {
                refused = Some((candidate.record, fault));
            }
            Err(_) => {}
        }
    }
    match refused {
        Some((record, fault)) => {
            let shown = record.shortened(DETAIL_DATA_BYTES_MAX);
            let detail = format!("the TLSA record {shown} names an issuer, but {}", fault.detail);
            unverified(DaneResult::Refused, Some(record), &Fault::new(fault.reason, detail))
        }
        None => unverified(DaneResult::NoMatch, None, &no_match(tlsa, leaf, issuers)),
    }
}

fn verified(record: &Tlsa) -> Evaluation {
    let dane = Some(found(DaneResult::Match, Some(record)));
    Evaluation { dane, ..Evaluation::verified(Verified::Dane, ChainTrust::Unknown) }
}

fn unverified(result: DaneResult, record: Option<&Tlsa>, fault: &Fault) -> Evaluation {
    let dane = Some(found(result, record));
    Evaluation { dane, ..Evaluation::failed(fault.reason, ChainTrust::Unknown, &fault.detail) }
}

fn found(result: DaneResult, record: Option<&Tlsa>) -> DaneMatch {
    DaneMatch { result, record: record.map(|record| record.shortened(DANE_DATA_BYTES_MAX)) }
}

/// A certificate of the chain in every form that a record may speak of.
struct Sent<'a> {
    certificate: Forms<'a>,
    /// `None` if the certificate cannot be read.
    key: Option<Forms<'a>>,
    /// The name of its issuer, as an anchor has it.
    issuer: Option<&'a [u8]>,
}

struct Forms<'a> {
    full: &'a [u8],
    sha256: Digest,
    sha512: Digest,
}

impl<'a> Forms<'a> {
    fn new(full: &'a [u8]) -> Self {
        Self { full, sha256: digest(&SHA256, full), sha512: digest(&SHA512, full) }
    }
}

impl<'a> Sent<'a> {
    fn new(der: &'a CertificateDer<'_>) -> Self {
        let parsed = peer::parse(der).map(|parsed| parsed.tbs_certificate);
        let key = parsed.as_ref().map(|parsed| Forms::new(parsed.subject_pki.raw));
        let issuer = parsed.as_ref().and_then(|parsed| contents(parsed.issuer.as_raw()));
        Self { certificate: Forms::new(der), key, issuer }
    }

    fn is_covered_by(&self, record: &Tlsa) -> bool {
        let part = match record.selector {
            SELECTOR_CERTIFICATE => Some(&self.certificate),
            SELECTOR_KEY => self.key.as_ref(),
            _ => None,
        };
        part.is_some_and(|part| match record.matching {
            MATCHING_FULL => part.full == record.data,
            MATCHING_SHA256 => part.sha256.as_ref() == record.data,
            MATCHING_SHA512 => part.sha512.as_ref() == record.data,
            _ => false,
        })
    }
}

/// The contents of a DER value.
fn contents(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().map(|(_, any)| any.data)
}

type Anchors = Vec<TrustAnchor<'static>>;

/// An issuer that a record names.
struct Candidate<'a> {
    record: &'a Tlsa,
    /// The name and key of a certificate, or a bare key under each name that it may have.
    anchors: Anchors,
    /// Nobody knows yet whether the key signed anything in the chain.
    is_bare_key: bool,
}

/// The issuers that the records of usage 2 name, each once.
fn candidates<'a>(tlsa: &'a UsableTlsa, leaf: &Sent<'_>, issuers: &[Sent<'_>]) -> Vec<Candidate<'a>> {
    let mut all: Vec<Candidate<'_>> = Vec::new();
    for record in tlsa.records().filter(|record| record.usage == USAGE_DANE_TA) {
        for candidate in candidates_of(record, leaf, issuers) {
            let is_new = !all.iter().any(|known| known.anchors == candidate.anchors);
            if is_new && !candidate.anchors.is_empty() && all.len() < DANE_ANCHORS_MAX {
                all.push(candidate);
            }
        }
    }
    all
}

/// The certificates of the chain that a record names, else the issuer that stands in the record itself.
fn candidates_of<'a>(record: &'a Tlsa, leaf: &Sent<'_>, issuers: &[Sent<'_>]) -> Vec<Candidate<'a>> {
    let named = |anchors| Candidate { record, anchors, is_bare_key: false };
    let is_issuer = |one: &&Sent<'_>| one.certificate.full != leaf.certificate.full && one.is_covered_by(record);
    let mut sent = issuers.iter().filter(is_issuer).peekable();
    match record.selector {
        _ if sent.peek().is_some() => sent.map(|issuer| named(certificate_anchor(issuer.certificate.full))).collect(),
        _ if record.matching != MATCHING_FULL || leaf.is_covered_by(record) => Vec::new(),
        SELECTOR_CERTIFICATE => {
            let names = issuer_names(leaf, issuers);
            let mut anchors = certificate_anchor(&record.data);
            anchors.retain(|anchor| names.contains(&anchor.subject.as_ref()));
            vec![named(anchors)]
        }
        _ => {
            let anchors = key_anchors(&record.data, &issuer_names(leaf, issuers));
            vec![Candidate { record, anchors, is_bare_key: true }]
        }
    }
}

/// Who issued the certificates of the chain, each name once.
fn issuer_names<'a>(leaf: &Sent<'a>, issuers: &[Sent<'a>]) -> Vec<&'a [u8]> {
    let mut names: Vec<&[u8]> = [leaf].into_iter().chain(issuers).filter_map(|one| one.issuer).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Empty if the certificate cannot be one of an issuer.
fn certificate_anchor(der: &[u8]) -> Anchors {
    Roots::from_der([CertificateDer::from(der)]).anchors().to_vec()
}

/// A bare key, as the issuer of whatever in the chain it may have signed (RFC 7671 section 5.2.3).
fn key_anchors(key: &[u8], names: &[&[u8]]) -> Anchors {
    let Some(key) = contents(key) else { return Vec::new() };
    let anchor = |name: &&[u8]| TrustAnchor {
        subject: Der::from(name.to_vec()),
        subject_public_key_info: Der::from(key.to_vec()),
        name_constraints: None,
    };
    names.iter().map(anchor).collect()
}

/// Whether the chain leads to this issuer and is valid below it.
fn leads_to(candidate: &Candidate<'_>, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Fault> {
    let (leaf, issuers) = chain.split_first().ok_or_else(no_certificate)?;
    let roots = Roots::from_anchors(candidate.anchors.clone());
    parsed(leaf)
        .and_then(|parsed| leads_to_root(&parsed, issuers, &roots, now))
        .and_then(|()| has_strong_key(leaf))
        .map_err(|fault| match fault.detail.as_str() {
            NO_ROOT => Fault::new(fault.reason, LEADS_ELSEWHERE),
            _ => fault,
        })
}

/// Whether a fault is what a key gives that has nothing to do with the chain.
fn is_of_a_stranger(fault: &Fault) -> bool {
    fault.reason == Reason::ValidationFailure || fault.detail == LEADS_ELSEWHERE
}

/// Adds to what a chain is worth whether it is for one of the names.
fn is_for(
    chained: Result<(), Fault>,
    candidate: &Candidate<'_>,
    chain: &[CertificateDer<'_>],
    names: &[Domain],
) -> Result<(), Fault> {
    let (leaf, issuers) = chain.split_first().ok_or_else(no_certificate)?;
    let is_bound = candidate.anchors.iter().any(|anchor| anchor.name_constraints.is_some());
    let presented = presented_names(leaf, is_bound || issuers.iter().any(constrains_names));
    let is_named = presented.iter().any(|presented| names.iter().any(|name| is_valid_for(presented, name)));
    match chained {
        Err(fault) if urgency(&fault) < NAME_URGENCY => Err(fault),
        chained if is_named => chained,
        chained => {
            let also = chained.err().map(|fault| format!("; also {}", fault.detail)).unwrap_or_default();
            let wanted = list(names.iter().map(ToString::to_string));
            let detail = format!("the certificate is for {}, not for {wanted}{also}", list(presented.into_iter()));
            Err(Fault::new(Reason::CertificateHostMismatch, detail))
        }
    }
}

fn no_certificate() -> Fault {
    Fault::new(Reason::ValidationFailure, "the server showed no certificate")
}

/// The DNS names of a certificate. One without any may have its name in the subject (RFC 7672 section 3.2.3), but not
/// where an issuer is bound to some names: that binds no subject.
fn presented_names(leaf: &CertificateDer<'_>, is_constrained: bool) -> Vec<String> {
    let names = peer::with_all_names(leaf).names;
    if !names.is_empty() || is_constrained {
        return names;
    }
    peer::parse(leaf).and_then(|parsed| only_common_name(&parsed)).into_iter().collect()
}

fn only_common_name(cert: &X509Certificate<'_>) -> Option<String> {
    let mut names = cert.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(only), None) => only.as_str().ok().map(str::to_owned),
        _ => None,
    }
}

fn constrains_names(der: &CertificateDer<'_>) -> bool {
    peer::parse(der).is_none_or(|parsed| !matches!(parsed.name_constraints(), Ok(None)))
}

/// Of several faults a date goes before a name, and a name before trust, as everywhere: the order of mending them.
fn urgency(fault: &Fault) -> u8 {
    match fault.reason {
        Reason::CertificateExpired => 0,
        Reason::ValidationFailure => 1,
        Reason::CertificateHostMismatch => NAME_URGENCY,
        _ => 3,
    }
}

/// What the server has and what its domain says, and which slip it may be.
fn no_match(tlsa: &UsableTlsa, leaf: &Sent<'_>, issuers: &[Sent<'_>]) -> Fault {
    let shown = |record: &Tlsa| record.shortened(DETAIL_DATA_BYTES_MAX);
    let own = match &leaf.key {
        Some(key) => format!("the server's key would be 3 1 1 {}", hex::encode(key.sha256.as_ref())),
        None => format!("the server's certificate would be 3 0 1 {}", hex::encode(leaf.certificate.sha256.as_ref())),
    };
    let as_issuer = tlsa.records().find(|record| record.usage == USAGE_DANE_TA && leaf.is_covered_by(record));
    let is_issuer = |record: &&Tlsa| issuers.iter().any(|issuer| issuer.is_covered_by(record));
    let as_server = tlsa.records().find(|record| record.usage == USAGE_DANE_EE && is_issuer(record));
    let slip = match (as_issuer, as_server) {
        (Some(record), _) => format!("; {} is the server's own, but usage 2 names its issuer", shown(record)),
        (None, Some(record)) => format!("; {} is an issuer's, but usage 3 names the server's own", shown(record)),
        (None, None) => String::new(),
    };
    let published = list(tlsa.records().map(shown));
    let detail = format!("no TLSA record matches what the server showed: {published}; {own}{slip}");
    Fault::new(Reason::TlsaInvalid, detail)
}

#[cfg(test)]
mod tests;
