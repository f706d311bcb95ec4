//! The judgement of a chain after the handshake, the same for every stack: fingerprints, else WebPKI for the names.
//!
//! Pure: the roots and the moment are handed in.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rustls::CertificateError;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};

use crate::model::domain::Domain;
use crate::model::escape::peer_text;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{RSA_BITS_MIN, Verified};
use crate::policy::names::Fingerprint;

use super::peer;
use super::provider::provider;
use super::roots::Roots;

/// Longest detail of an evaluation, in bytes of the escaped form.
pub const EVALUATION_DETAIL_BYTES_MAX: usize = 400;
/// How many names of each side a detail lists.
const DETAIL_NAMES_MAX: usize = 5;

/// What the certificate must be; any one of all these suffices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Names of which the certificate must be valid for one (RFC 9525 section 6.3).
    pub names: &'a [Domain],
    /// For each `x` here any one name directly below it, or `*.x` itself, must stand in the certificate.
    pub one_below: &'a [Domain],
    /// Of the certificate or of its key; then names, dates and roots do not matter.
    pub fingerprints: &'a [Fingerprint],
}

/// The outcome: verified by something, or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    pub verified: Verified,
    /// `None` exactly if it is verified.
    pub error: Option<Reason>,
    /// Escaped and bounded, for people; empty if it is verified.
    pub detail: String,
}

impl Evaluation {
    fn verified(by: Verified) -> Self {
        Self { verified: by, error: None, detail: String::new() }
    }

    fn failed(fault: &Fault) -> Self {
        let detail = peer_text(&fault.detail, EVALUATION_DETAIL_BYTES_MAX).into_owned();
        Self { verified: Verified::None, error: Some(fault.reason), detail }
    }
}

struct Fault {
    reason: Reason,
    detail: String,
}

impl Fault {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Judges `chain` (the server's certificate first). An identity that accepts nothing verifies nothing. Of several
/// faults a date goes before a name, and a name before trust: that is the order in which an operator can mend them.
pub fn evaluate(chain: &[CertificateDer<'_>], identity: &Identity<'_>, roots: &Roots, now: Timestamp) -> Evaluation {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Evaluation::failed(&Fault::new(Reason::ValidationFailure, "the server showed no certificate"));
    };
    if has_fingerprint(leaf, identity.fingerprints) {
        return Evaluation::verified(Verified::Fingerprint);
    }
    if identity.names.is_empty() && identity.one_below.is_empty() {
        return Evaluation::failed(&nothing_accepted(leaf, identity));
    }
    let judged = ParsedCertificate::try_from(leaf).map_err(|error| fault_of(&error)).and_then(|parsed| {
        let chained = leads_to_root(&parsed, intermediates, roots, now).and_then(|()| has_strong_key(leaf));
        first_to_mend(chained, has_name(leaf, &parsed, identity))
    });
    match judged {
        Ok(()) => Evaluation::verified(Verified::Webpki),
        Err(fault) => Evaluation::failed(&fault),
    }
}

/// Judges the chain of a client: it must lead to a root. A certificate for servers will do, because public authorities
/// issue no others, and mail servers show the one that they have.
pub fn evaluate_client(chain: &[CertificateDer<'_>], roots: &Roots, now: Timestamp) -> Evaluation {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Evaluation::failed(&Fault::new(Reason::ValidationFailure, "the client showed no certificate"));
    };
    let as_client = || {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.shared(), provider()).build().ok()?;
        verifier.verify_client_cert(leaf, intermediates, unix_time(now)).ok()
    };
    let as_server = || {
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| fault_of(&error))?;
        leads_to_root(&parsed, intermediates, roots, now)
    };
    let chained = if as_client().is_some() { Ok(()) } else { as_server() };
    match chained.and_then(|()| has_strong_key(leaf)) {
        Ok(()) => Evaluation::verified(Verified::Webpki),
        Err(fault) => Evaluation::failed(&fault),
    }
}

fn has_fingerprint(leaf: &CertificateDer<'_>, accepted: &[Fingerprint]) -> bool {
    if accepted.is_empty() {
        return false;
    }
    let certificate = peer::sha256(leaf);
    let key = peer::parse(leaf).map(|cert| peer::key_fingerprint(&cert));
    accepted.iter().any(|accepted| {
        [Some(certificate), key]
            .iter()
            .flatten()
            .any(|own| verify_slices_are_equal(own.as_bytes(), accepted.as_bytes()).is_ok())
    })
}

fn nothing_accepted(leaf: &CertificateDer<'_>, identity: &Identity<'_>) -> Fault {
    if identity.fingerprints.is_empty() {
        return Fault::new(Reason::CertificateHostMismatch, "no name is acceptable for this server");
    }
    let detail = format!("neither the certificate ({}) nor its key has an accepted fingerprint", peer::sha256(leaf));
    Fault::new(Reason::ValidationFailure, detail)
}

fn first_to_mend(chained: Result<(), Fault>, named: Result<(), Fault>) -> Result<(), Fault> {
    match (chained, named) {
        (Ok(()), named) => named,
        (Err(chain), Err(name)) if chain.reason != Reason::CertificateExpired => {
            Err(Fault::new(name.reason, format!("{}; also {}", name.detail, chain.detail)))
        }
        (Err(chain), _) => Err(chain),
    }
}

fn leads_to_root(
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
fn has_strong_key(leaf: &CertificateDer<'_>) -> Result<(), Fault> {
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

fn has_name(leaf: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>, identity: &Identity<'_>) -> Result<(), Fault> {
    let exact = identity
        .names
        .iter()
        .any(|name| ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(parsed, &name).is_ok()));
    if exact {
        return Ok(());
    }
    let readable = peer::parse(leaf);
    let below = readable.as_ref().is_some_and(|cert| {
        peer::dns_names(cert).any(|name| identity.one_below.iter().any(|above| is_one_below(name, above)))
    });
    if below {
        return Ok(());
    }
    let shown = list(readable.iter().flat_map(peer::dns_names).map(str::to_owned));
    let patterns = identity.one_below.iter().map(|above| format!("*.{above}"));
    let wanted = list(identity.names.iter().map(ToString::to_string).chain(patterns));
    let detail = format!("the certificate is for {shown}, not for {wanted}");
    Err(Fault::new(Reason::CertificateHostMismatch, detail))
}

/// Whether a name of a certificate is `*.above` or one label below `above`.
fn is_one_below(name: &str, above: &Domain) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => Domain::parse(rest).is_ok_and(|rest| rest == *above),
        None => Domain::parse(name).is_ok_and(|name| name.parent().as_ref() == Some(above)),
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    let mut names = names.fuse();
    let some: Vec<String> = names.by_ref().take(DETAIL_NAMES_MAX).collect();
    match (some.is_empty(), names.count()) {
        (true, _) => "no DNS name".to_owned(),
        (false, 0) => some.join(", "),
        (false, more) => format!("{} and {more} more", some.join(", ")),
    }
}

/// RFC 8460 section 4.3: what concerns the chain is `certificate-not-trusted`, what fits nowhere `validation-failure`.
fn fault_of(error: &rustls::Error) -> Fault {
    let rustls::Error::InvalidCertificate(error) = error else {
        return Fault::new(Reason::ValidationFailure, error.to_string());
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
        CertificateError::Expired | CertificateError::NotValidYet => {
            Fault::new(Reason::CertificateExpired, error.to_string())
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Fault::new(Reason::CertificateNotTrusted, "the certificate leads to no trusted root")
        }
        CertificateError::BadEncoding | CertificateError::Revoked => {
            Fault::new(Reason::ValidationFailure, error.to_string())
        }
        other => Fault::new(Reason::CertificateNotTrusted, format!("the chain is not acceptable: {other}")),
    }
}

#[cfg(test)]
mod tests;
