//! By which way a connection is opened first, and by which next once one has failed. Pure.
//!
//! Each way is tried on a connection of its own, and none offers less than the requirement asks for: OpenSSL is given
//! the minimum of version and grade, and plaintext is a way only where the requirement permits it.

use crate::model::cipher::CipherGrade;
use crate::model::reason::Reason;
use crate::model::tls::{ProtocolVersion, Stack};
use crate::policy::outbound::Requirement;
use crate::tls::failure::FailureKind;

use super::known_hosts::Worked;

/// All ways that there are: both libraries, each with a server name and without, and plaintext. None is tried twice.
const TRIES_MAX: usize = 5;

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tls(TlsWay),
    /// STARTTLS is not asked for.
    Plaintext,
}

/// One way under TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TlsWay {
    pub(crate) stack: Stack,
    /// Whether the host's name is sent (SNI).
    pub(crate) sni: bool,
}

/// How TLS failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFailure {
    /// The host does not offer STARTTLS, or refused it.
    StartTls,
    Handshake(FailureKind),
}

/// What a failure says about other ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The host does not know the name that it was asked for.
    Name,
    /// The other library may have what is missing.
    Abilities,
    /// TLS of no kind would do better.
    Neither,
}

/// The ways to one host, from the first on.
#[derive(Debug)]
pub(crate) struct Ladder<'a> {
    requirement: &'a Requirement,
    /// The first way for hosts that nothing is known of.
    usual: TlsWay,
    way: Way,
    failed: Vec<(Way, TlsFailure)>,
}

impl<'a> Ladder<'a> {
    /// `named` says whether the host has a name to send. What worked before comes first, unless the requirement asks
    /// for more than was negotiated then. Where the host must prove who it is, its name is sent at first in any case:
    /// without it the certificate may be another one (RFC 7672 section 8.1, RFC 8461 section 7.1).
    pub(super) fn new(requirement: &'a Requirement, named: bool, known: Option<Worked>) -> Self {
        let usual = TlsWay { stack: Stack::Rustls, sni: named };
        let known = known.filter(|known| {
            known.version >= floor(requirement)
                && known.grade >= requirement.cipher.value
                && (named || !known.way.sni)
                && (known.way.sni || !named || !requirement.wants_identity())
                && is_built(known.way.stack)
        });
        let first = known.map_or(usual, |known| known.way);
        let way = if requirement.permits_tls() { Way::Tls(first) } else { Way::Plaintext };
        Self { requirement, usual, way, failed: Vec::new() }
    }

    /// The same for a host of which nothing is remembered.
    pub(crate) fn anew(requirement: &'a Requirement, named: bool) -> Self {
        Self::new(requirement, named, None)
    }

    /// The way to try now.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// The way now has failed: what is next, if anything.
    pub(crate) fn failed(&mut self, failure: TlsFailure) -> Option<Way> {
        self.failed.push((self.way, failure));
        let next = match self.way {
            Way::Tls(way) => self.next_tls(way, failure).map(Way::Tls).or_else(|| self.plaintext()),
            Way::Plaintext => None,
        };
        self.way = next.filter(|_| self.failed.len() < TRIES_MAX)?;
        Some(self.way)
    }

    fn plaintext(&self) -> Option<Way> {
        self.requirement.permits_plaintext().then_some(Way::Plaintext)
    }

    fn next_tls(&self, way: TlsWay, failure: TlsFailure) -> Option<TlsWay> {
        let TlsFailure::Handshake(kind) = failure else { return None };
        let openssl = TlsWay { stack: Stack::Openssl, ..way };
        let nameless = TlsWay { sni: false, ..way };
        // What is known of the host is out of date if it fails: back to what is usual.
        let ways = match meaning(kind) {
            Meaning::Name => [nameless, self.usual, TlsWay { sni: false, ..openssl }],
            Meaning::Abilities if self.is_beyond_openssl(kind) => [self.usual; 3],
            Meaning::Abilities => [self.usual, openssl, openssl],
            Meaning::Neither => return None,
        };
        let is_new = |way: &TlsWay| !self.failed.iter().any(|(tried, _)| *tried == Way::Tls(*way));
        ways.into_iter().find(|way| is_built(way.stack) && is_new(way))
    }

    /// OpenSSL adds the versions below TLS 1.2, so it is of no help where the requirement excludes those.
    fn is_beyond_openssl(&self, kind: FailureKind) -> bool {
        kind == FailureKind::NoCommonVersion && floor(self.requirement) >= ProtocolVersion::Tls1_2
    }

    /// Which of the tries so far says most: one that names a cause before one that was cut off, OpenSSL, which offers
    /// more, before rustls, and a later one before an earlier one. A place in the order of the tries.
    pub(crate) fn most_telling(&self) -> usize {
        let telling = |(way, failure): &(Way, TlsFailure)| {
            let by_openssl = matches!(way, Way::Tls(TlsWay { stack: Stack::Openssl, .. }));
            let names_a_cause = match failure {
                TlsFailure::StartTls => true,
                TlsFailure::Handshake(kind) => !matches!(
                    kind,
                    FailureKind::Timeout | FailureKind::Closed | FailureKind::Io(_) | FailureKind::Other
                ),
            };
            (names_a_cause, by_openssl)
        };
        let places = self.failed.iter().enumerate();
        places.max_by_key(|(_, tried)| telling(tried)).map_or(0, |(place, _)| place)
    }
}

/// The lowest version that can meet the requirement.
fn floor(requirement: &Requirement) -> ProtocolVersion {
    let of_grade = match requirement.cipher.value {
        // RFC 5246 is the first with such suites.
        CipherGrade::Aead => ProtocolVersion::Tls1_2,
        _ => ProtocolVersion::Ssl3,
    };
    requirement.min_version.as_ref().map_or(of_grade, |minimum| minimum.value.max(of_grade))
}

fn is_built(stack: Stack) -> bool {
    stack == Stack::Rustls || cfg!(feature = "legacy-tls")
}

fn meaning(kind: FailureKind) -> Meaning {
    match kind {
        FailureKind::Alert(alert) => meaning_of_alert(alert),
        // An older version; a cipher, group or signature that rustls lacks; a key or a form of certificate that it does
        // not take; a reading of the protocol that it does not share.
        FailureKind::NoCommonVersion
        | FailureKind::NoCommonCipher
        | FailureKind::BadCertificate
        | FailureKind::Protocol
        // Some old servers say nothing when they do not like a hello, or cannot read one so long.
        | FailureKind::Closed => Meaning::Abilities,
        // Who does not speak TLS, does not answer, or cannot be reached will not do so with another library.
        FailureKind::NotTls | FailureKind::Timeout | FailureKind::Io(_) => Meaning::Neither,
        // A fault of our own side.
        FailureKind::InappropriateFallback | FailureKind::Unsupported | FailureKind::Other => Meaning::Neither,
    }
}

/// By RFC 8446 section 6 and its predecessors.
fn meaning_of_alert(alert: u8) -> Meaning {
    match alert {
        // unrecognized_name (RFC 6066 section 3)
        112 => Meaning::Name,
        // What the host thinks of our certificate, with either library: bad_certificate to certificate_unknown,
        // unknown_ca, access_denied, bad_certificate_hash_value, certificate_required.
        42..=46 | 48 | 49 | 114 | 116 => Meaning::Neither,
        // inappropriate_fallback, user_canceled
        86 | 90 => Meaning::Neither,
        // Above all handshake_failure (40: no common cipher or group), illegal_parameter (47), decode_error (50),
        // decrypt_error (51), internal_error (80) and unexpected_message (10): what servers say that lack something.
        _ => Meaning::Abilities,
    }
}

/// The reason that a failed handshake goes by: what the requirement asks for, where that is what was missing.
pub(crate) fn reason(requirement: &Requirement, kind: FailureKind) -> Reason {
    let has_minimum = requirement.min_version.is_some();
    let has_grade = requirement.cipher.value > CipherGrade::Any;
    match kind {
        FailureKind::NoCommonVersion if has_minimum => Reason::VersionBelowMinimum,
        // Suites of a grade may all belong to versions that the host lacks. handshake_failure is what servers say that
        // find no suite.
        FailureKind::NoCommonVersion | FailureKind::NoCommonCipher | FailureKind::Alert(40) if has_grade => {
            Reason::CipherBelowMinimum
        }
        _ => Reason::ValidationFailure,
    }
}

#[cfg(test)]
mod tests;
