//! The result types of failed sessions (RFC 8460 section 4.3, IANA "STARTTLS Validation Result Types").

use serde::{Deserialize, Serialize};

use crate::model::reason::Reason;

/// A registered result type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    StarttlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    /// Everything that has no word of its own. A reason code says more.
    ValidationFailure,
    TlsaInvalid,
    DnssecInvalid,
    DaneRequired,
    StsPolicyFetchError,
    StsPolicyInvalid,
    StsWebpkiInvalid,
}

impl ResultType {
    /// Every result type.
    pub const ALL: &'static [Self] = &[
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
    ];

    /// The registered word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }

    /// How a reason is reported. `None`: it says nothing about the TLS of a destination, or it is a passing fault,
    /// which need not be reported (RFC 8460 section 4.3.4). The words of our own requirements are not registered; they
    /// are `validation-failure`, and the reason's word becomes the reason code.
    pub fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::VersionBelowMinimum | Reason::CipherBelowMinimum => Some(Self::ValidationFailure),
            reason => Self::ALL.iter().copied().find(|result| result.as_str() == reason.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unmet_tls_requirement_of_a_delivery_is_reported_and_no_other_reason_is() {
        for reason in Reason::ALL {
            assert_eq!(ResultType::of(*reason).is_some(), reason.is_outbound_tls(), "{reason}");
        }
    }

    #[test]
    fn a_registered_word_is_kept_and_another_becomes_the_general_one() {
        for reason in Reason::OUTBOUND_TLS {
            let result = ResultType::of(*reason).unwrap();
            let is_registered = result.as_str() == reason.as_str();
            assert!(is_registered || result == ResultType::ValidationFailure, "{reason}");
        }
    }

    #[test]
    fn words_are_written_as_they_are_registered() {
        for result in ResultType::ALL {
            assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
        }
    }
}
