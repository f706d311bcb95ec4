//! Why a handshake failed, or why TLS could not be set up: closed words for metrics, with a text for people.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use crate::model::client_offer::ClientOffer;
use crate::model::escape::peer_text;

/// Longest text of a failure, in bytes of the escaped form.
pub const FAILURE_DETAIL_BYTES_MAX: usize = 256;

/// A TLS library refused a configuration: a fault of this build or this host (no randomness), never of a peer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SetupError {
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    #[cfg(feature = "legacy-tls")]
    #[error("TLS for old peers cannot be set up: {0}")]
    Openssl(#[from] openssl::error::ErrorStack),
}

/// The class of a failed handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The deadline passed first.
    Timeout,
    /// The peer closed or reset the connection.
    Closed,
    /// What the peer sent is no TLS.
    NotTls,
    /// No protocol version that both sides have.
    NoCommonVersion,
    /// No cipher suite, group or signature scheme that both sides have.
    NoCommonCipher,
    /// The peer's certificate or its signature cannot be used at all.
    BadCertificate,
    /// The client says that it tries a lower version than it could, and we could too (RFC 7507).
    InappropriateFallback,
    /// The peer broke the TLS protocol.
    Protocol,
    /// The peer gave up with this alert (RFC 8446 section 6).
    Alert(u8),
    /// The connection failed otherwise.
    Io(io::ErrorKind),
    /// No TLS library of this build can do what was asked for.
    Unsupported,
    Other,
}

impl FailureKind {
    /// Every word of `as_str`, for closed label sets.
    pub const WORDS: [&'static str; 12] = [
        "timeout",
        "closed",
        "not-tls",
        "no-common-version",
        "no-common-cipher",
        "bad-certificate",
        "inappropriate-fallback",
        "protocol",
        "alert",
        "io",
        "unsupported",
        "other",
    ];

    /// The stable word for the metric label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not-tls",
            Self::NoCommonVersion => "no-common-version",
            Self::NoCommonCipher => "no-common-cipher",
            Self::BadCertificate => "bad-certificate",
            Self::InappropriateFallback => "inappropriate-fallback",
            Self::Protocol => "protocol",
            Self::Alert(_) => "alert",
            Self::Io(_) => "io",
            Self::Unsupported => "unsupported",
            Self::Other => "other",
        }
    }

    /// The name of the alert by which the peer gave up, as the registry of IANA has it.
    pub fn alert(self) -> Option<String> {
        let Self::Alert(number) = self else { return None };
        Some(alert_name(number).map_or_else(|| number.to_string(), str::to_owned))
    }

    /// What an alert of the peer means.
    pub(super) fn of_alert(alert: u8) -> Self {
        match AlertDescription::from(alert) {
            AlertDescription::ProtocolVersion => Self::NoCommonVersion,
            AlertDescription::InsufficientSecurity => Self::NoCommonCipher,
            _ => Self::Alert(alert),
        }
    }
}

/// A handshake that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS handshake failed ({}): {detail}", kind.as_str())]
pub struct HandshakeFailure {
    pub kind: FailureKind,
    /// Escaped, at most [`FAILURE_DETAIL_BYTES_MAX`] bytes and a mark.
    pub detail: String,
    /// On the server side what the client had offered, if its hello came.
    pub offer: Option<Box<ClientOffer>>,
}

impl HandshakeFailure {
    pub(super) fn new(kind: FailureKind, detail: &str) -> Self {
        Self { kind, detail: peer_text(detail, FAILURE_DETAIL_BYTES_MAX).into_owned(), offer: None }
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        Self::new(FailureKind::Timeout, &format!("not finished within {limit:?}"))
    }

    /// Nothing was sent: our own side could not be made ready.
    pub(super) fn of_setup(error: &SetupError) -> Self {
        Self::new(FailureKind::Other, &error.to_string())
    }

    pub(super) fn without_facts() -> Self {
        Self::new(FailureKind::Other, "the finished handshake tells no version or cipher suite")
    }

    /// tokio-rustls wraps the error of rustls into one of I/O.
    pub(super) fn from_io(error: &io::Error) -> Self {
        let kind = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => kind_of_tls(tls),
            None => kind_of_io(error.kind()),
        };
        Self::new(kind, &error.to_string())
    }
}

/// The registry "TLS Alerts".
fn alert_name(number: u8) -> Option<&'static str> {
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    };
    Some(name)
}

fn kind_of_io(kind: io::ErrorKind) -> FailureKind {
    match kind {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => FailureKind::Closed,
        other => FailureKind::Io(other),
    }
}

fn kind_of_tls(error: &rustls::Error) -> FailureKind {
    match error {
        // The first bytes tell: a record has a known type and major version 3.
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            FailureKind::NotTls
        }
        rustls::Error::PeerIncompatible(reason) => kind_of_incompatible(reason),
        // An old server answers with what it prefers, whatever was offered.
        rustls::Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite) => FailureKind::NoCommonCipher,
        rustls::Error::AlertReceived(alert) => FailureKind::of_alert((*alert).into()),
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => FailureKind::BadCertificate,
        rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::PeerMisbehaved(_)
        | rustls::Error::PeerSentOversizedRecord
        | rustls::Error::DecryptError => FailureKind::Protocol,
        _ => FailureKind::Other,
    }
}

fn kind_of_incompatible(reason: &PeerIncompatible) -> FailureKind {
    match reason {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => FailureKind::NoCommonVersion,
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::UncompressedEcPointsRequired
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => FailureKind::NoCommonCipher,
        _ => FailureKind::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_library_fall_into_the_closed_classes() {
        let alert = |alert| rustls::Error::AlertReceived(alert);
        for (error, expected, word) in [
            (InvalidMessage::InvalidContentType.into(), FailureKind::NotTls, "not-tls"),
            (InvalidMessage::MissingData("x").into(), FailureKind::Protocol, "protocol"),
            (PeerIncompatible::Tls12NotOffered.into(), FailureKind::NoCommonVersion, "no-common-version"),
            (PeerIncompatible::NoKxGroupsInCommon.into(), FailureKind::NoCommonCipher, "no-common-cipher"),
            (PeerIncompatible::NullCompressionRequired.into(), FailureKind::Protocol, "protocol"),
            (PeerMisbehaved::SelectedUnofferedCipherSuite.into(), FailureKind::NoCommonCipher, "no-common-cipher"),
            (alert(AlertDescription::ProtocolVersion), FailureKind::NoCommonVersion, "no-common-version"),
            (alert(AlertDescription::InsufficientSecurity), FailureKind::NoCommonCipher, "no-common-cipher"),
            (alert(AlertDescription::HandshakeFailure), FailureKind::Alert(40), "alert"),
            (rustls::CertificateError::BadSignature.into(), FailureKind::BadCertificate, "bad-certificate"),
            (rustls::Error::FailedToGetRandomBytes, FailureKind::Other, "other"),
        ] {
            let failure = HandshakeFailure::from_io(&io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!((failure.kind, failure.kind.as_str()), (expected, word));
            assert!(FailureKind::WORDS.contains(&word));
        }
    }

    #[test]
    fn errors_of_the_connection_tell_a_peer_that_left_from_other_faults() {
        for (kind, expected) in [
            (io::ErrorKind::UnexpectedEof, FailureKind::Closed),
            (io::ErrorKind::ConnectionReset, FailureKind::Closed),
            (io::ErrorKind::NetworkUnreachable, FailureKind::Io(io::ErrorKind::NetworkUnreachable)),
        ] {
            assert_eq!(HandshakeFailure::from_io(&kind.into()).kind, expected);
        }
    }

    #[test]
    fn details_are_escaped_and_bounded() {
        let failure = HandshakeFailure::new(FailureKind::Other, &format!("a\r\n{}", "x".repeat(1000)));
        assert!(failure.detail.starts_with("a\\x0d\\x0ax"), "{}", failure.detail);
        assert!(failure.detail.len() <= FAILURE_DETAIL_BYTES_MAX + 3);
    }
}
