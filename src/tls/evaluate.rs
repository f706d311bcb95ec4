//! The judgement of a chain after the handshake, the same for every stack: fingerprints, else WebPKI for the names.
//!
//! Pure: the roots and the moment are handed in.

use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, OtherError};

use crate::model::escape::peer_text;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{ChainTrust, DaneMatch, PeerCertificate, RSA_BITS_MIN, Verified};
use crate::policy::host_requirement::{Evidence, HostRequirement};
use crate::policy::names::Identity;
use crate::policy::published::UsableRecords;
use crate::policy::session_check::{IdentityCheck, identify};

use super::dane::evaluate_dane;
use super::peer;
use super::provider::provider;
use super::roots::Roots;

/// Longest detail of an evaluation, in bytes of the escaped form.
pub const EVALUATION_DETAIL_BYTES_MAX: usize = 400;
/// Said of a chain that ends nowhere.
pub(super) const NO_ROOT: &str = "the certificate leads to no trusted root";
/// Said of a chain for whose fault there is no better word.
const NOT_ACCEPTABLE: &str = "the chain is not acceptable";
const UNKNOWN_EXTENSION: &str = "a certificate of the chain has a critical extension that is not known here";
/// How many names of each side a detail lists.
const DETAIL_NAMES_MAX: usize = 5;

/// The outcome: verified by something, or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    pub verified: Verified,
    /// `None` exactly if it is verified.
    pub error: Option<Reason>,
    /// What the chain is worth, whatever was asked for.
    pub chain: ChainTrust,
    /// `None` if it was not held against TLSA records.
    pub dane: Option<DaneMatch>,
    /// Escaped and bounded, for people; empty if it is verified.
    pub detail: String,
}

impl Evaluation {
    pub(super) fn verified(by: Verified, chain: ChainTrust) -> Self {
        Self { verified: by, error: None, chain, dane: None, detail: String::new() }
    }

    pub(super) fn failed(reason: Reason, chain: ChainTrust, detail: &str) -> Self {
        let detail = peer_text(detail, EVALUATION_DETAIL_BYTES_MAX).into_owned();
        Self { verified: Verified::None, error: Some(reason), chain, dane: None, detail }
    }
}

/// What is wrong with a chain.
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Judges `chain` (the server's certificate first). An identity that accepts nothing verifies nothing. What the
/// certificate counts for is said by [`identify`] from the facts that are recorded of it, so a record tells the same.
pub fn evaluate(chain: &[CertificateDer<'_>], identity: &Identity, roots: &Roots, now: Timestamp) -> Evaluation {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Evaluation::failed(Reason::ValidationFailure, ChainTrust::Unknown, "the server showed no certificate");
    };
    let chained = parsed(leaf)
        .and_then(|parsed| leads_to_root(&parsed, intermediates, roots, now))
        .and_then(|()| has_strong_key(leaf));
    let facts = PeerCertificate { chain: trust(&chained), ..peer::with_all_names(leaf) };
    let reason = match identify(identity, Some(&facts)) {
        IdentityCheck::Verified(by) => return Evaluation::verified(by, facts.chain),
        IdentityCheck::Failed(reason) => reason,
        // Never so: where the chain leads is known, and all names are here.
        IdentityCheck::Unknown => Reason::ValidationFailure,
    };
    Evaluation::failed(reason, facts.chain, &detail(reason, identity, &facts, chained.err()))
}

/// Judges `chain` by each proof that is required: all must hold. The first that fails tells, else the strongest. Where
/// none is required, by whom it would identify.
pub fn evaluate_all(
    chain: &[CertificateDer<'_>],
    requirement: &HostRequirement,
    roots: &Roots,
    now: Timestamp,
) -> Evaluation {
    let mut all = evaluate(chain, &requirement.usual, roots, now);
    for (place, proof) in requirement.proofs.iter().enumerate() {
        let found = match &proof.of {
            Evidence::Names(identity) => evaluate(chain, identity, roots, now),
            Evidence::Tlsa(published) => evaluate_records(chain, published, now),
        };
        let evaluation = Evaluation { chain: all.chain, dane: found.dane.clone().or(all.dane.clone()), ..found };
        if evaluation.error.is_some() {
            return evaluation;
        }
        if place == 0 || evaluation.verified == Verified::Dane {
            all = evaluation;
        }
    }
    all
}

fn evaluate_records(chain: &[CertificateDer<'_>], published: &UsableRecords, now: Timestamp) -> Evaluation {
    match &published.records {
        Some(records) => evaluate_dane(chain, records, &published.names, now),
        // Never so: a host that is connected to has just been looked up.
        None => Evaluation::failed(Reason::TlsaInvalid, ChainTrust::Unknown, "its TLSA records are not known any more"),
    }
}

/// Judges the chain of a client: it must lead to a root. A certificate for servers will do, because public authorities
/// issue no others, and mail servers show the one that they have.
pub fn evaluate_client(chain: &[CertificateDer<'_>], roots: &Roots, now: Timestamp) -> Evaluation {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Evaluation::failed(Reason::ValidationFailure, ChainTrust::Unknown, "the client showed no certificate");
    };
    let as_client = || {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.shared(), provider()).build().ok()?;
        verifier.verify_client_cert(leaf, intermediates, unix_time(now)).ok()
    };
    let as_server = || leads_to_root(&parsed(leaf)?, intermediates, roots, now);
    let chained = if as_client().is_some() { Ok(()) } else { as_server() };
    let chained = chained.and_then(|()| has_strong_key(leaf));
    match &chained {
        Ok(()) => Evaluation::verified(Verified::Webpki, ChainTrust::Trusted),
        Err(fault) => Evaluation::failed(fault.reason, trust(&chained), &fault.detail),
    }
}

fn trust(chained: &Result<(), Fault>) -> ChainTrust {
    match chained.as_ref().map_err(|fault| fault.reason) {
        Ok(()) => ChainTrust::Trusted,
        Err(Reason::CertificateExpired) => ChainTrust::Expired,
        Err(Reason::CertificateNotTrusted) => ChainTrust::NotTrusted,
        Err(_) => ChainTrust::Invalid,
    }
}

/// What is wrong, for who is to mend it.
fn detail(reason: Reason, identity: &Identity, facts: &PeerCertificate, chained: Option<Fault>) -> String {
    if !identity.has_names() {
        return match identity.fingerprints.is_empty() {
            true => "no name is acceptable for this server".to_owned(),
            false => {
                format!("neither the certificate (sha256:{}) nor its key has an accepted fingerprint", facts.sha256)
            }
        };
    }
    let chain = chained.map(|fault| fault.detail);
    if reason != Reason::CertificateHostMismatch {
        return chain.unwrap_or_default();
    }
    let patterns = identity.one_below.iter().map(|above| format!("*.{above}"));
    let wanted = list(identity.names.iter().map(ToString::to_string).chain(patterns));
    let also = chain.map(|chain| format!("; also {chain}")).unwrap_or_default();
    format!("the certificate is for {}, not for {wanted}{also}", list(facts.names.iter().cloned()))
}

pub(super) fn list(names: impl Iterator<Item = String>) -> String {
    let mut names = names.fuse();
    let some: Vec<String> = names.by_ref().take(DETAIL_NAMES_MAX).collect();
    match (some.is_empty(), names.count()) {
        (true, _) => "no DNS name".to_owned(),
        (false, 0) => some.join(", "),
        (false, more) => format!("{} and {more} more", some.join(", ")),
    }
}

pub(super) fn parsed<'a>(leaf: &'a CertificateDer<'a>) -> Result<ParsedCertificate<'a>, Fault> {
    ParsedCertificate::try_from(leaf).map_err(|error| fault_of(&error))
}

pub(super) fn leads_to_root(
    leaf: &ParsedCertificate<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &Roots,
    now: Timestamp,
) -> Result<(), Fault> {
    verify_server_cert_signed_by_trust_anchor(
        leaf,
        roots.store(),
        intermediates,
        unix_time(now),
        provider().signature_verification_algorithms.all,
    )
    .map_err(|error| fault_of(&error))
}

/// The chain says whose key it is, and a short one may be anybody's by now. rustls does not come so far; OpenSSL does.
pub(super) fn has_strong_key(leaf: &CertificateDer<'_>) -> Result<(), Fault> {
    match peer::rsa_bits(leaf) {
        Some(bits) if bits < RSA_BITS_MIN => Err(Fault::new(
            Reason::CertificateNotTrusted,
            format!("an RSA key of {bits} bits proves nothing; {RSA_BITS_MIN} are the least"),
        )),
        _ => Ok(()),
    }
}

fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0)))
}

/// RFC 8460 section 4.3: what concerns the chain is `certificate-not-trusted`, what fits nowhere `validation-failure`.
fn fault_of(error: &rustls::Error) -> Fault {
    let rustls::Error::InvalidCertificate(error) = error else {
        return Fault::new(Reason::ValidationFailure, NOT_ACCEPTABLE);
    };
    let day = |moment: UnixTime| Timestamp::from_secs(i64::try_from(moment.as_secs()).unwrap_or(i64::MAX)).day();
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            Fault::new(Reason::CertificateExpired, format!("a certificate of the chain expired on {}", day(*not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => Fault::new(
            Reason::CertificateExpired,
            format!("a certificate of the chain is not valid before {}", day(*not_before)),
        ),
        // With dates it is told otherwise.
        CertificateError::Expired | CertificateError::NotValidYet => {
            Fault::new(Reason::CertificateExpired, "the dates of a certificate of the chain make no sense")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Fault::new(Reason::CertificateNotTrusted, NO_ROOT)
        }
        CertificateError::BadEncoding => {
            Fault::new(Reason::ValidationFailure, "a certificate of the chain cannot be read")
        }
        CertificateError::Revoked => Fault::new(Reason::ValidationFailure, "a certificate of the chain is revoked"),
        other => Fault::new(Reason::CertificateNotTrusted, in_words(other)),
    }
}

fn in_words(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "a certificate of the chain is for another purpose than servers"
        }
        CertificateError::UnhandledCriticalExtension => UNKNOWN_EXTENSION,
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "a certificate of the chain is signed in a way that proves nothing here"
        }
        // The library beneath has no type for it that could be named here.
        CertificateError::Other(OtherError(inner)) => of_webpki(&inner.to_string()),
        _ => NOT_ACCEPTABLE,
    }
}

fn of_webpki(name: &str) -> &'static str {
    match name {
        "CaUsedAsEndEntity" => "the certificate is one of an authority, not of a server",
        "EndEntityUsedAsCa" => "a certificate that is no authority's has issued another one of the chain",
        "NameConstraintViolation" => "an authority of the chain may not vouch for a name in the certificate",
        "PathLenConstraintViolated" => "more authorities stand in the chain than one of them permits",
        "MaximumPathDepthExceeded" => "the chain is too long",
        "MaximumSignatureChecksExceeded"
        | "MaximumPathBuildCallsExceeded"
        | "MaximumNameConstraintComparisonsExceeded" => "the chain takes too long to verify",
        "UnsupportedCriticalExtension" => UNKNOWN_EXTENSION,
        "UnsupportedCertVersion" => "a certificate of the chain is older than X.509 version 3",
        "SignatureAlgorithmMismatch" => "a certificate of the chain names two ways in which it is signed",
        "EmptyEkuExtension" | "ExtensionValueInvalid" | "MalformedExtensions" | "MalformedNameConstraint" => {
            "an extension of a certificate of the chain cannot be read"
        }
        _ => NOT_ACCEPTABLE,
    }
}

#[cfg(test)]
mod tests;
