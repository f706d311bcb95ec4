//! OCSP responses from a file (RFC 6960): read far enough to know whether one may be sent along with a certificate.
//!
//! The signature is not checked: a client checks it, and a response that it refuses does no harm beyond being useless.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use x509_parser::asn1_rs::Any;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::model::time::Timestamp;

/// Responses have 0.5 to 5 KB; those with a chain of certificates some more.
pub const OCSP_FILE_BYTES_MAX: u64 = 64 * 1024;
/// How long a response counts that does not say when the next one comes.
const VALIDITY_WITHOUT_NEXT_UPDATE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// 1.3.6.1.5.5.7.48.1.1, id-pkix-ocsp-basic.
const BASIC_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

// The tags of DER that occur in a response.
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const PRIMITIVE: u8 = 0x80;
const EXPLICIT: u8 = 0xa0;

/// Why a file gives no response for a certificate. Each is the operator's to mend; trying again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    #[error("cannot read {}: {kind}; it must exist and the user that the relay runs as must be able to read it",
            file.display())]
    Unreadable { file: PathBuf, kind: io::ErrorKind },
    #[error("{} is larger than {OCSP_FILE_BYTES_MAX} bytes; only one OCSP response in DER belongs in it",
            file.display())]
    TooBig { file: PathBuf },
    #[error("{} is no OCSP response in DER; fetch one with: openssl ocsp -issuer ISSUER.pem -cert CERTIFICATE.pem \
             -url URL -respout {}", file.display(), file.display())]
    NotAResponse { file: PathBuf },
    #[error("{} is the refusal of an OCSP responder ({}), not a response; fetch it again",
            file.display(), refusal(*status))]
    Refused { file: PathBuf, status: u8 },
    #[error("the OCSP response in {} is for another certificate; fetch one for the certificate that stands in `chain`",
            file.display())]
    OtherCertificate { file: PathBuf },
}

/// What a responder says when it gives no response (RFC 6960 section 4.2.1).
fn refusal(status: u8) -> &'static str {
    match status {
        1 => "malformed request",
        2 => "internal error",
        3 => "try later",
        5 => "the request must be signed",
        6 => "unauthorized",
        _ => "unknown status",
    }
}

/// What the authority says about the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateStatus {
    Good,
    Revoked,
    Unknown,
}

/// What becomes of a response at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspState {
    /// It is sent along.
    Stapled {
        until: Timestamp,
    },
    NotYetValid {
        from: Timestamp,
    },
    Stale {
        since: Timestamp,
    },
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
}

impl fmt::Display for OcspState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stapled { until } => write!(f, "stapled until {}", until.day()),
            Self::NotYetValid { from } => write!(f, "not valid before {}", from.day()),
            Self::Stale { since } => write!(f, "stale since {}", since.day()),
            Self::Revoked => f.write_str("revoked"),
            Self::Unknown => f.write_str("unknown to the responder"),
        }
    }
}

/// A response for one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OcspResponse {
    der: Vec<u8>,
    status: CertificateStatus,
    this_update: Timestamp,
    next_update: Timestamp,
}

impl OcspResponse {
    /// Reads a file that must hold a response for the certificate with this serial number (the octets of its DER).
    pub(super) fn read(file: &Path, serial: &[u8]) -> Result<Self, OcspError> {
        let unreadable = |error: io::Error| OcspError::Unreadable { file: file.to_owned(), kind: error.kind() };
        let mut der = Vec::new();
        File::open(file)
            .map_err(unreadable)?
            .take(OCSP_FILE_BYTES_MAX + 1)
            .read_to_end(&mut der)
            .map_err(unreadable)?;
        if der.len() as u64 > OCSP_FILE_BYTES_MAX {
            return Err(OcspError::TooBig { file: file.to_owned() });
        }
        Self::parse(file, der, serial)
    }

    /// The same for octets in memory; `file` is for the error.
    pub(super) fn parse(file: &Path, der: Vec<u8>, serial: &[u8]) -> Result<Self, OcspError> {
        let no_response = || OcspError::NotAResponse { file: file.to_owned() };
        let mut outer = Der(&der).only(SEQUENCE).ok_or_else(no_response)?;
        match outer.take(ENUMERATED) {
            Some([0]) => {}
            Some([status]) => return Err(OcspError::Refused { file: file.to_owned(), status: *status }),
            _ => return Err(no_response()),
        }
        let mut responses = responses(outer).ok_or_else(no_response)?;
        while !responses.0.is_empty() {
            let single = responses.take(SEQUENCE).and_then(|single| SingleResponse::parse(Der(single)));
            let SingleResponse { serial: told, status, this_update, next_update } = single.ok_or_else(no_response)?;
            if told == serial {
                return Ok(Self { status, this_update, next_update, der });
            }
        }
        Err(OcspError::OtherCertificate { file: file.to_owned() })
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn state(&self, now: Timestamp) -> OcspState {
        match self.status {
            CertificateStatus::Revoked => OcspState::Revoked,
            CertificateStatus::Unknown => OcspState::Unknown,
            CertificateStatus::Good if now < self.this_update => OcspState::NotYetValid { from: self.this_update },
            CertificateStatus::Good if now > self.next_update => OcspState::Stale { since: self.next_update },
            CertificateStatus::Good => OcspState::Stapled { until: self.next_update },
        }
    }
}

/// The list of responses inside what follows the status (RFC 6960 section 4.2.1).
fn responses(mut outer: Der<'_>) -> Option<Der<'_>> {
    let mut bytes = Der(outer.take(EXPLICIT)?).only(SEQUENCE)?;
    if bytes.take(OBJECT_IDENTIFIER)? != BASIC_RESPONSE {
        return None;
    }
    let mut basic = Der(bytes.take(OCTET_STRING)?).only(SEQUENCE)?;
    let mut data = Der(basic.take(SEQUENCE)?);
    // The signature must at least be there.
    basic.take(SEQUENCE)?;
    // The version, then who responds: by name or by the hash of its key.
    _ = data.take(EXPLICIT);
    data.take(EXPLICIT | 1).or_else(|| data.take(EXPLICIT | 2))?;
    data.time()?;
    data.take(SEQUENCE).map(Der)
}

struct SingleResponse<'a> {
    serial: &'a [u8],
    status: CertificateStatus,
    this_update: Timestamp,
    next_update: Timestamp,
}

impl<'a> SingleResponse<'a> {
    fn parse(mut der: Der<'a>) -> Option<Self> {
        let mut id = Der(der.take(SEQUENCE)?);
        id.take(SEQUENCE)?;
        id.take(OCTET_STRING)?;
        id.take(OCTET_STRING)?;
        let serial = id.take(INTEGER)?;
        let known = [
            (PRIMITIVE, CertificateStatus::Good),
            (EXPLICIT | 1, CertificateStatus::Revoked),
            (PRIMITIVE | 2, CertificateStatus::Unknown),
        ];
        let status = known.into_iter().find_map(|(tag, status)| der.take(tag).map(|_| status))?;
        let this_update = der.time()?;
        let next_update = match der.take(EXPLICIT) {
            Some(inner) => Der(inner).time()?,
            None => this_update + VALIDITY_WITHOUT_NEXT_UPDATE,
        };
        Some(Self { serial, status, this_update, next_update })
    }
}

/// What is left of a sequence of DER values.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value if it has this tag; else nothing is taken.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.0.first().filter(|first| **first == tag)?;
        let (rest, value) = Any::from_der(self.0).ok()?;
        self.0 = rest;
        Some(value.data)
    }

    /// The content of the one value that is there.
    fn only(mut self, tag: u8) -> Option<Self> {
        let content = self.take(tag)?;
        self.0.is_empty().then_some(Self(content))
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.0.first().filter(|first| **first == GENERALIZED_TIME)?;
        let (rest, time) = ASN1Time::from_der(self.0).ok()?;
        self.0 = rest;
        Some(Timestamp::from_secs(time.timestamp()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
