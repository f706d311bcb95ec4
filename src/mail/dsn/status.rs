//! From reasons and replies to the codes of RFC 3463 and its registry.

use crate::model::reason::Reason;
use crate::model::reply::{EnhancedCode, Reply, Severity};

/// The status of a recipient whose reason is our own finding. `permanent` chooses the class, except that an expired
/// message is a persistent transient failure (RFC 3463 section 3.5: X.4.7).
pub fn status_for(reason: Reason, permanent: bool) -> EnhancedCode {
    let class = if permanent && reason != Reason::Expired { 5 } else { 4 };
    let (subject, detail) = subject_and_detail(reason);
    EnhancedCode::new(class, subject, detail)
}

/// The status of a recipient that a host answered for: its own enhanced code, or the class of its reply alone.
pub fn status_of_reply(reply: &Reply) -> EnhancedCode {
    let class = match reply.severity() {
        Severity::Completed => 2,
        Severity::Intermediate | Severity::Transient => 4,
        Severity::Permanent => 5,
    };
    reply.enhanced.unwrap_or(EnhancedCode::new(class, 0, 0))
}

fn subject_and_detail(reason: Reason) -> (u16, u16) {
    match reason {
        // X.7.10 of the registry of RFC 5248: "Encryption Needed".
        Reason::TlsRequired
        | Reason::VersionBelowMinimum
        | Reason::CipherBelowMinimum
        | Reason::ClientCertificate
        | Reason::StarttlsNotSupported
        | Reason::CertificateHostMismatch
        | Reason::CertificateExpired
        | Reason::CertificateNotTrusted
        | Reason::ValidationFailure
        | Reason::TlsaInvalid
        | Reason::DnssecInvalid
        | Reason::DaneRequired
        | Reason::StsPolicyFetchError
        | Reason::StsPolicyInvalid
        | Reason::StsWebpkiInvalid => (7, 10),
        Reason::NoSuchUser => (1, 1),
        Reason::NoSuchDomain => (1, 2),
        Reason::NullMx => (1, 10),
        Reason::SpoolFault | Reason::AuditFault => (3, 0),
        Reason::NoSpace => (3, 1),
        Reason::Shutdown => (3, 2),
        Reason::TooBig => (3, 4),
        Reason::ConnectFailed | Reason::ConnectTimeout => (4, 1),
        Reason::Timeout | Reason::ConnectionLost => (4, 2),
        Reason::DnsFailure => (4, 3),
        Reason::NoMailHost | Reason::NoRoute | Reason::TargetForbidden => (4, 4),
        Reason::Loop | Reason::RoutesToSelf => (4, 6),
        Reason::Expired => (4, 7),
        Reason::ClientProtocol | Reason::ServerProtocol => (5, 0),
        Reason::TooMany => (5, 3),
        Reason::NeedsEightBit => (6, 1),
        Reason::NeedsSmtpUtf8 => (6, 7),
        Reason::RelayDenied | Reason::Operator => (7, 1),
        // RFC 8689 section 7: "REQUIRETLS support required".
        Reason::NeedsRequireTls => (7, 30),
        Reason::RemoteDeferred | Reason::RemoteRefused => (0, 0),
    }
}
