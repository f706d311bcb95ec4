//! Why something was refused, deferred or bounced: one closed list of words for audit, metrics, logs, DSNs and replies.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)*) => {
        /// The reason for a verdict or an outcome. The TLS words of outbound delivery are the result types of RFC 8460
        /// section 4.3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Reason {
            /// Every reason, for closed label sets.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used wherever the reason is shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

reasons! {
    /// The policy asks for TLS and the session has none.
    TlsRequired => "tls-required",
    /// The negotiated protocol version is below the policy's minimum.
    VersionBelowMinimum => "version-below-minimum",
    /// The negotiated cipher suite is below the policy's grade.
    CipherBelowMinimum => "cipher-below-minimum",
    /// The policy asks for a client certificate that was not shown or not acceptable.
    ClientCertificate => "client-certificate",
    /// The client may not send to a domain that is not hosted here.
    RelayDenied => "relay-denied",
    /// The recipient is not in the domain's list of recipients.
    NoSuchUser => "no-such-user",
    /// The message has passed too many hosts (RFC 5321 section 6.3).
    Loop => "loop",
    /// The message is larger than a limit.
    TooBig => "too-big",
    /// More recipients, errors, messages or connections than a limit allows.
    TooMany => "too-many",
    /// The client broke the protocol.
    ClientProtocol => "client-protocol",
    /// Free space is below the configured minimum.
    NoSpace => "no-space",
    /// The spool cannot be written.
    SpoolFault => "spool-fault",
    /// The audit log cannot be written.
    AuditFault => "audit-fault",

    /// The next hop offers no STARTTLS.
    StarttlsNotSupported => "starttls-not-supported",
    /// No name of the certificate is one that the policy accepts.
    CertificateHostMismatch => "certificate-host-mismatch",
    /// The certificate is expired or not yet valid.
    CertificateExpired => "certificate-expired",
    /// The certificate leads to no trusted root.
    CertificateNotTrusted => "certificate-not-trusted",
    /// The handshake failed, or the certificate in another way.
    ValidationFailure => "validation-failure",
    /// No TLSA record of the mail host matches what it showed, or none of them can be used.
    TlsaInvalid => "tlsa-invalid",
    /// DNSSEC gave no answer that can be believed, to a question that DANE rests on.
    DnssecInvalid => "dnssec-invalid",
    /// The policy asks for DANE, and the mail host has no TLSA record that DNSSEC secures.
    DaneRequired => "dane-required",
    /// The domain announces an MTA-STS policy that cannot be fetched.
    StsPolicyFetchError => "sts-policy-fetch-error",
    /// The MTA-STS policy that the domain announces is not valid.
    StsPolicyInvalid => "sts-policy-invalid",
    /// The web server of the MTA-STS policy has no valid certificate.
    StsWebpkiInvalid => "sts-webpki-invalid",

    /// DNS gave no usable answer (timeout, SERVFAIL).
    DnsFailure => "dns-failure",
    /// The domain does not exist.
    NoSuchDomain => "no-such-domain",
    /// The domain exists and has no host that takes mail.
    NoMailHost => "no-mail-host",
    /// The domain says that it takes no mail (RFC 7505).
    NullMx => "null-mx",
    /// All mail hosts are ourselves (RFC 5321 section 5.1).
    RoutesToSelf => "routes-to-self",
    /// The mail host's address is one that must not be connected to.
    TargetForbidden => "target-forbidden",
    /// The TCP connection was refused or reset before the greeting.
    ConnectFailed => "connect-failed",
    /// The TCP connection or the greeting took too long.
    ConnectTimeout => "connect-timeout",
    /// The next hop stopped answering.
    Timeout => "timeout",
    /// The next hop closed or reset the connection.
    ConnectionLost => "connection-lost",
    /// The next hop answered something that is no SMTP.
    ServerProtocol => "server-protocol",
    /// The next hop answered with a 4xx reply.
    RemoteDeferred => "remote-deferred",
    /// The next hop answered with a 5xx reply.
    RemoteRefused => "remote-refused",
    /// The message needs SMTPUTF8, which the next hop lacks (RFC 6531 section 3.2).
    NeedsSmtpUtf8 => "needs-smtputf8",
    /// The message has 8-bit content and the next hop lacks 8BITMIME (RFC 6152 section 3).
    NeedsEightBit => "needs-8bitmime",
    /// The sender demands TLS on every hop and the next one does not promise it (RFC 8689 section 4.2.1).
    NeedsRequireTls => "requiretls-not-supported",
    /// The message was not delivered within its lifetime.
    Expired => "expired",
    /// The configuration leaves no way to deliver.
    NoRoute => "no-route",
    /// The relay is stopping.
    Shutdown => "shutdown",
    /// An operator asked for it.
    Operator => "operator",
}

impl Reason {
    /// The reasons that say that a TLS requirement of an outbound delivery was not met.
    pub const OUTBOUND_TLS: &'static [Self] = &[
        Self::StarttlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::DaneRequired,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
        Self::VersionBelowMinimum,
        Self::CipherBelowMinimum,
    ];

    /// The reasons that say that an inbound session does not meet a policy.
    pub const INBOUND_TLS: &'static [Self] =
        &[Self::TlsRequired, Self::VersionBelowMinimum, Self::CipherBelowMinimum, Self::ClientCertificate];

    /// The reasons for which commands and contents of clients are refused or put off.
    pub const INBOUND: &'static [Self] = &[
        Self::TlsRequired,
        Self::VersionBelowMinimum,
        Self::CipherBelowMinimum,
        Self::ClientCertificate,
        Self::NeedsRequireTls,
        Self::RelayDenied,
        Self::NoSuchUser,
        Self::Loop,
        Self::TooBig,
        Self::TooMany,
        Self::ClientProtocol,
        Self::Timeout,
        Self::ConnectionLost,
        Self::NoSpace,
        Self::SpoolFault,
        Self::AuditFault,
    ];

    /// The reasons for which deliveries fail that are not about TLS.
    const OUTBOUND_OTHER: &'static [Self] = &[
        Self::DnsFailure,
        Self::NoSuchDomain,
        Self::NoMailHost,
        Self::NullMx,
        Self::RoutesToSelf,
        Self::TargetForbidden,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::Timeout,
        Self::ConnectionLost,
        Self::ServerProtocol,
        Self::RemoteDeferred,
        Self::RemoteRefused,
        Self::NeedsSmtpUtf8,
        Self::NeedsEightBit,
        Self::NeedsRequireTls,
        Self::TooBig,
        Self::SpoolFault,
        Self::Expired,
        Self::NoRoute,
        Self::Shutdown,
        Self::Operator,
    ];

    /// The reasons for which deliveries fail.
    pub fn outbound() -> impl Iterator<Item = Self> {
        Self::OUTBOUND_TLS.iter().chain(Self::OUTBOUND_OTHER).copied()
    }

    pub fn is_outbound_tls(self) -> bool {
        Self::OUTBOUND_TLS.contains(&self)
    }

    /// Whether it is known that TLS is what was lacking. An answer that cannot be believed says nothing about it: it
    /// delays the mail, whatever is configured (RFC 7672 section 2.1.2).
    pub fn is_certain_lack_of_tls(self) -> bool {
        self.is_outbound_tls() && self != Self::DnssecInvalid
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_direction_so_that_metrics_count_it() {
        for reason in Reason::ALL {
            assert!(Reason::INBOUND.contains(reason) || Reason::outbound().any(|known| known == *reason), "{reason}");
        }
    }
}
