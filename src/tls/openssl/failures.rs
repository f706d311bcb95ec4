//! Why a handshake of OpenSSL failed, in the words that both stacks share.

use openssl::ssl::{Error, ErrorCode};

use crate::tls::failure::{FailureKind, HandshakeFailure};

/// Reason codes of `sslerr.h`. An alert of the peer is its number and this much.
const ALERT_OFFSET: i32 = 1000;
const NO_VERSION: &[i32] = &[
    258, // unsupported protocol
    191, // no protocols available
    396, // version too low
    266, // wrong ssl version
];
const NO_CIPHER: &[i32] = &[
    193, // no shared cipher
    101, // no suitable key share
    295, // no suitable groups
    410, // no shared groups
    118, // no suitable signature algorithm
    376, // no shared signature algorithms
    315, // unsupported elliptic curve
    261, // wrong cipher returned
    248, // unknown cipher returned
    394, // dh key too small
];
const BAD_CERTIFICATE: &[i32] = &[
    399, // ee key too small
    397, // ca key too small
    398, // ca md too weak
    123, // bad signature
    370, // wrong signature type
    134, // certificate verify failed
    180, // bad certificate chain
];
const NOT_TLS: &[i32] = &[
    156, // http request
    155, // https proxy request
    252, // unknown protocol
    267, // wrong version number
];
const UNEXPECTED_EOF: i32 = 294;
const INAPPROPRIATE_FALLBACK: i32 = 373;

pub(in crate::tls) fn failure(error: &Error) -> HandshakeFailure {
    if let Some(io) = error.io_error() {
        return HandshakeFailure::from_io(io);
    }
    if error.code() == ErrorCode::ZERO_RETURN || (error.code() == ErrorCode::SYSCALL && error.ssl_error().is_none()) {
        return HandshakeFailure::new(FailureKind::Closed, "the peer closed the connection");
    }
    let stack = error.ssl_error();
    // The first error is where it began; later ones are what followed from it.
    let first = stack.and_then(|stack| stack.errors().first());
    let kind = first.map_or(FailureKind::Other, |first| kind_of(first.reason_code()));
    let detail = first.and_then(|first| first.reason()).unwrap_or("the TLS library gives no reason");
    HandshakeFailure::new(kind, detail)
}

fn kind_of(reason: i32) -> FailureKind {
    let alert = reason.checked_sub(ALERT_OFFSET).and_then(|alert| u8::try_from(alert).ok());
    match reason {
        _ if alert.is_some() => FailureKind::of_alert(alert.unwrap_or_default()),
        UNEXPECTED_EOF => FailureKind::Closed,
        INAPPROPRIATE_FALLBACK => FailureKind::InappropriateFallback,
        _ if NO_VERSION.contains(&reason) => FailureKind::NoCommonVersion,
        _ if NO_CIPHER.contains(&reason) => FailureKind::NoCommonCipher,
        _ if BAD_CERTIFICATE.contains(&reason) => FailureKind::BadCertificate,
        _ if NOT_TLS.contains(&reason) => FailureKind::NotTls,
        _ => FailureKind::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_the_library_fall_into_the_closed_classes() {
        for (reason, expected) in [
            (1070, FailureKind::NoCommonVersion),
            (1071, FailureKind::NoCommonCipher),
            (1040, FailureKind::Alert(40)),
            (1112, FailureKind::Alert(112)),
            (258, FailureKind::NoCommonVersion),
            (193, FailureKind::NoCommonCipher),
            (294, FailureKind::Closed),
            (373, FailureKind::InappropriateFallback),
            (399, FailureKind::BadCertificate),
            (156, FailureKind::NotTls),
            (244, FailureKind::Protocol),
            (i32::MAX, FailureKind::Protocol),
        ] {
            assert_eq!(kind_of(reason), expected, "{reason}");
        }
    }
}
