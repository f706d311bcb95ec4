//! Whether a session that stands meets a requirement: the last word before MAIL FROM, for new and for reused sessions.

use crate::model::reason::Reason;
use crate::model::tls::{TlsFacts, Verified};

use super::outbound::Requirement;

/// What came of holding the peer's certificate against the identity that the requirement asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityCheck {
    Verified(Verified),
    Failed(Reason),
}

/// Checks the negotiated facts. `tls` is `None` for plaintext; `identity` matters only where one is wanted.
pub fn verify(requirement: &Requirement, tls: Option<&TlsFacts>, identity: IdentityCheck) -> Result<(), Reason> {
    let Some(tls) = tls else {
        return if requirement.permits_plaintext() { Ok(()) } else { Err(Reason::StarttlsNotSupported) };
    };
    if requirement.min_version.as_ref().is_some_and(|minimum| tls.version < minimum.value) {
        return Err(Reason::VersionBelowMinimum);
    }
    if tls.grade() < requirement.cipher.value {
        return Err(Reason::CipherBelowMinimum);
    }
    match identity {
        _ if !requirement.wants_identity() => Ok(()),
        IdentityCheck::Verified(Verified::None) => Err(Reason::CertificateNotTrusted),
        IdentityCheck::Verified(_) => Ok(()),
        IdentityCheck::Failed(reason) => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cipher::{CipherGrade, CipherSuite};
    use crate::model::tls::ProtocolVersion;
    use crate::policy::settings::{OutboundTls, Sourced};

    fn requirement(tls: OutboundTls, min: Option<ProtocolVersion>, cipher: CipherGrade) -> Requirement {
        Requirement {
            tls: Sourced::built_in(tls),
            min_version: min.map(Sourced::built_in),
            cipher: Sourced::built_in(cipher),
            match_names: Sourced::built_in(Vec::new()),
            fingerprints: None,
        }
    }

    /// Every level, minimum and grade against plaintext and two sessions, with a good, a bad and no identity.
    #[test]
    fn no_session_below_its_requirement_passes_and_no_other_is_held_up() {
        use OutboundTls::{Off, Opportunistic, Verify};
        let old = ("TLSv1.2", "AES128-SHA");
        let new = ("TLSv1.3", "TLS_AES_128_GCM_SHA256");
        let checks = [
            IdentityCheck::Verified(Verified::Webpki),
            IdentityCheck::Verified(Verified::None),
            IdentityCheck::Failed(Reason::CertificateHostMismatch),
        ];
        for level in OutboundTls::ALL {
            for min in [None, Some(ProtocolVersion::Tls1_2), Some(ProtocolVersion::Tls1_3)] {
                for grade in CipherGrade::ALL {
                    for session in [None, Some(old), Some(new)] {
                        for check in checks {
                            let tls = session.map(|(version, suite)| {
                                let version = ProtocolVersion::parse(version).unwrap();
                                TlsFacts::assumed(version, CipherSuite::by_name(suite).unwrap())
                            });
                            let passes = verify(&requirement(level, min, grade), tls.as_ref(), check).is_ok();
                            let expected = match session {
                                None => {
                                    matches!(level, Off | Opportunistic) && min.is_none() && grade == CipherGrade::Any
                                }
                                Some(session) => {
                                    let version = session == new || min != Some(ProtocolVersion::Tls1_3);
                                    let cipher = session == new || grade <= CipherGrade::Strong;
                                    let name = level != Verify || check == IdentityCheck::Verified(Verified::Webpki);
                                    version && cipher && name
                                }
                            };
                            assert_eq!(passes, expected, "{level:?} {min:?} {grade} {session:?} {check:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_met_has_its_name() {
        use OutboundTls::{Encrypt, Opportunistic, Verify};
        let good = IdentityCheck::Verified(Verified::Webpki);
        let tls = TlsFacts::assumed(ProtocolVersion::Tls1_2, CipherSuite::by_name("AES128-SHA").unwrap());
        let min = Some(ProtocolVersion::Tls1_3);
        for (requirement, tls, check, expected) in [
            (requirement(Encrypt, None, CipherGrade::Any), None, good, Reason::StarttlsNotSupported),
            (requirement(Opportunistic, min, CipherGrade::Any), None, good, Reason::StarttlsNotSupported),
            (requirement(Encrypt, min, CipherGrade::Aead), Some(&tls), good, Reason::VersionBelowMinimum),
            (requirement(Encrypt, None, CipherGrade::Aead), Some(&tls), good, Reason::CipherBelowMinimum),
            (
                requirement(Verify, None, CipherGrade::Any),
                Some(&tls),
                IdentityCheck::Failed(Reason::CertificateExpired),
                Reason::CertificateExpired,
            ),
        ] {
            assert_eq!(verify(&requirement, tls, check), Err(expected));
        }
    }
}
