//! Whether a session that stands meets a requirement: the last word before MAIL FROM, for new and for reused sessions,
//! and for those that are known from a record.

use crate::model::reason::Reason;
use crate::model::tls::{ChainTrust, DaneResult, PeerCertificate, TlsFacts, Verified};

use super::host_requirement::{Evidence, HostRequirement, Proof};
use super::names::Identity;
use super::outbound::Requirement;
use super::settings::{Fact, Source};

/// What came of holding the peer's certificate against the identity that the requirement asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityCheck {
    Verified(Verified),
    Failed(Reason),
    /// The record does not tell: not all names stand in it, or nobody looked where the chain leads. A session that
    /// stands always tells.
    Unknown,
}

/// Holds the peer's certificate against an identity, by recorded facts alone. Of several faults a date goes before a
/// name, and a name before trust: that is the order in which an operator can mend them.
pub fn identify(identity: &Identity, peer: Option<&PeerCertificate>) -> IdentityCheck {
    let Some(peer) = peer else { return IdentityCheck::Failed(Reason::ValidationFailure) };
    if identity.accepts_key(peer) {
        return IdentityCheck::Verified(Verified::Fingerprint);
    }
    if !identity.has_names() {
        return IdentityCheck::Failed(match identity.fingerprints.is_empty() {
            true => Reason::CertificateHostMismatch,
            false => Reason::ValidationFailure,
        });
    }
    let is_named = || peer.names.iter().any(|name| identity.accepts_name(name));
    match peer.chain {
        ChainTrust::Expired => IdentityCheck::Failed(Reason::CertificateExpired),
        ChainTrust::Invalid => IdentityCheck::Failed(Reason::ValidationFailure),
        _ if !is_named() && peer.names_omitted > 0 => IdentityCheck::Unknown,
        _ if !is_named() => IdentityCheck::Failed(Reason::CertificateHostMismatch),
        ChainTrust::NotTrusted => IdentityCheck::Failed(Reason::CertificateNotTrusted),
        ChainTrust::Trusted => IdentityCheck::Verified(Verified::Webpki),
        ChainTrust::Unknown if peer.verified == Verified::Webpki => IdentityCheck::Verified(Verified::Webpki),
        ChainTrust::Unknown => IdentityCheck::Unknown,
    }
}

/// Holds the peer's certificate against what it must prove, by recorded facts alone.
pub fn prove(evidence: &Evidence, peer: Option<&PeerCertificate>) -> IdentityCheck {
    match evidence {
        Evidence::Names(identity) => identify(identity, peer),
        Evidence::Tlsa(_) => match peer.map(|peer| peer.dane.as_ref().map(|dane| dane.result)) {
            Some(Some(DaneResult::Match)) => IdentityCheck::Verified(Verified::Dane),
            Some(Some(DaneResult::Refused | DaneResult::NoMatch)) => IdentityCheck::Failed(Reason::TlsaInvalid),
            Some(None) => IdentityCheck::Unknown,
            None => IdentityCheck::Failed(Reason::ValidationFailure),
        },
    }
}

/// What all proofs together amount to: the first that failed, else one that is not known, else the strongest.
pub fn all(checks: impl IntoIterator<Item = IdentityCheck>) -> IdentityCheck {
    let mut all = IdentityCheck::Verified(Verified::None);
    for check in checks {
        all = match (all, check) {
            (IdentityCheck::Failed(reason), _) | (_, IdentityCheck::Failed(reason)) => IdentityCheck::Failed(reason),
            (IdentityCheck::Unknown, _) | (_, IdentityCheck::Unknown) => IdentityCheck::Unknown,
            // What is not verified is not made so by what is.
            (_, IdentityCheck::Verified(Verified::None)) => IdentityCheck::Failed(Reason::CertificateNotTrusted),
            (IdentityCheck::Verified(before), IdentityCheck::Verified(by)) => {
                IdentityCheck::Verified(if before == Verified::None || by == Verified::Dane { by } else { before })
            }
        };
    }
    all
}

/// Checks the negotiated facts. `tls` is `None` for plaintext; `proved` is what [`all`] proofs amount to.
pub fn verify(requirement: &HostRequirement, tls: Option<&TlsFacts>, proved: IdentityCheck) -> Result<(), Reason> {
    is_strong_enough(&requirement.session, tls)?;
    if requirement.proofs.is_empty() {
        return Ok(());
    }
    match proved {
        // Whatever the level says: nobody is identified without TLS.
        _ if tls.is_none() => Err(Reason::StarttlsNotSupported),
        IdentityCheck::Verified(Verified::None) => Err(Reason::CertificateNotTrusted),
        IdentityCheck::Verified(_) => Ok(()),
        IdentityCheck::Failed(reason) => Err(reason),
        IdentityCheck::Unknown => Err(Reason::ValidationFailure),
    }
}

/// Checks everything but the identity.
pub fn is_strong_enough(requirement: &Requirement, tls: Option<&TlsFacts>) -> Result<(), Reason> {
    let Some(tls) = tls else {
        return if requirement.permits_plaintext() { Ok(()) } else { Err(Reason::StarttlsNotSupported) };
    };
    if requirement.min_version.as_ref().is_some_and(|minimum| tls.version < minimum.value) {
        return Err(Reason::VersionBelowMinimum);
    }
    if tls.grade() < requirement.cipher.value {
        return Err(Reason::CipherBelowMinimum);
    }
    Ok(())
}

/// What asks for that which a session lacks, by recorded facts alone; without a lack what decides about TLS.
pub fn rule<'a>(requirement: &'a HostRequirement, tls: Option<&TlsFacts>, lacking: Option<Reason>) -> &'a Source {
    static REQUIRE_TLS: Source = Source::Fact(Fact::RequireTls);
    let session = &requirement.session;
    if lacking == Some(Reason::NeedsRequireTls) {
        return &REQUIRE_TLS;
    }
    if lacking.is_none() || is_strong_enough(session, tls).is_err() {
        return session.rule(lacking);
    }
    let peer = tls.and_then(|tls| tls.peer.as_ref());
    let fails = |proof: &&Proof| matches!(prove(&proof.of, peer), IdentityCheck::Failed(_));
    requirement.proofs.iter().find(fails).map_or_else(|| session.rule(lacking), |proof| &proof.source)
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
            ca: None,
        }
    }

    fn wanted(session: Requirement) -> HostRequirement {
        let of = Evidence::Names(Identity::default());
        let proof = session.wants_identity().then(|| Proof { of, source: session.tls.source.clone() });
        HostRequirement {
            session,
            proofs: proof.into_iter().collect(),
            usual: Identity::default(),
            require_tls_above: None,
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
            IdentityCheck::Unknown,
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
                            let passes = verify(&wanted(requirement(level, min, grade)), tls.as_ref(), check).is_ok();
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
    fn a_certificate_is_identified_by_what_is_on_record_of_it() {
        use crate::model::domain::Domain;
        use crate::policy::names::Fingerprint;
        use ChainTrust::{Expired, Invalid, NotTrusted, Trusted, Unknown};
        let key = Fingerprint::from_bytes([1; 32]);
        let names = |name: &str| vec![Domain::parse(name).unwrap()];
        let by_name = Identity { names: names("mx.example"), ..Identity::default() };
        let by_key = Identity { fingerprints: vec![key], ..Identity::default() };
        let by_other_key = Identity { fingerprints: vec![Fingerprint::from_bytes([2; 32])], ..Identity::default() };
        let by_either = Identity { fingerprints: vec![key], ..by_name.clone() };
        let by_pattern = Identity { one_below: names("example"), ..Identity::default() };
        let nothing = Identity::default();
        let failed = IdentityCheck::Failed;
        let webpki = IdentityCheck::Verified(Verified::Webpki);
        let fingerprint = IdentityCheck::Verified(Verified::Fingerprint);
        for (identity, chain, name, omitted, expected) in [
            (&by_name, Trusted, "mx.example", 0, webpki),
            (&by_name, Trusted, "mx.example", 9, webpki),
            (&by_name, Trusted, "no.example", 0, failed(Reason::CertificateHostMismatch)),
            (&by_name, Trusted, "no.example", 1, IdentityCheck::Unknown),
            (&by_name, Expired, "no.example", 1, failed(Reason::CertificateExpired)),
            (&by_name, Invalid, "no.example", 1, failed(Reason::ValidationFailure)),
            (&by_name, NotTrusted, "mx.example", 0, failed(Reason::CertificateNotTrusted)),
            (&by_name, NotTrusted, "no.example", 0, failed(Reason::CertificateHostMismatch)),
            (&by_name, Unknown, "no.example", 0, failed(Reason::CertificateHostMismatch)),
            (&by_name, Unknown, "mx.example", 0, IdentityCheck::Unknown),
            (&by_pattern, Trusted, "no.example", 0, webpki),
            (&by_key, Expired, "no.example", 0, fingerprint),
            (&by_either, Expired, "no.example", 0, fingerprint),
            (&by_other_key, Trusted, "mx.example", 0, failed(Reason::ValidationFailure)),
            (&nothing, Trusted, "mx.example", 0, failed(Reason::CertificateHostMismatch)),
        ] {
            let peer = PeerCertificate {
                names: vec![name.to_owned()],
                names_omitted: omitted,
                chain,
                ..PeerCertificate::assumed(key.hex())
            };
            assert_eq!(identify(identity, Some(&peer)), expected, "{identity:?} {chain:?} {name} {omitted}");
        }
        assert_eq!(identify(&by_key, None), failed(Reason::ValidationFailure));
        let old = PeerCertificate { verified: Verified::Webpki, ..PeerCertificate::assumed(String::new()) };
        let old = PeerCertificate { names: vec!["mx.example".to_owned()], ..old };
        assert_eq!(identify(&by_name, Some(&old)), webpki);
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
            assert_eq!(verify(&wanted(requirement), tls, check), Err(expected));
        }
    }

    #[test]
    fn the_proof_that_fails_is_what_asks_for_it_and_not_what_is_written_beside() {
        use crate::model::domain::Domain;
        use crate::model::tls::DaneMatch;
        use crate::policy::published::UsableRecords;
        let name = |name: &str| Identity { names: vec![Domain::parse(name).unwrap()], ..Identity::default() };
        let written = Source::File { file: "domains.d/back.toml".into(), line: 3 };
        let tlsa = Evidence::Tlsa(UsableRecords { records: None, base: None, names: Vec::new() }.into());
        let session = Requirement {
            tls: Sourced { value: OutboundTls::Verify, source: written.clone() },
            ..requirement(OutboundTls::Verify, Some(ProtocolVersion::Tls1_2), CipherGrade::Any)
        };
        let proof = |of, source| Proof { of, source };
        let wanted = HostRequirement {
            proofs: vec![
                proof(Evidence::Names(name("mx.example")), written.clone()),
                proof(tlsa, Source::Fact(Fact::Tlsa)),
                proof(Evidence::Names(name("sts.example")), Source::Fact(Fact::MtaSts)),
            ],
            ..wanted(session)
        };
        let facts = |version, names: &[&str], matches| {
            let peer = PeerCertificate {
                names: names.iter().map(ToString::to_string).collect(),
                chain: ChainTrust::Trusted,
                dane: Some(DaneMatch {
                    result: if matches { DaneResult::Match } else { DaneResult::NoMatch },
                    record: None,
                }),
                ..PeerCertificate::assumed(String::new())
            };
            let suite = CipherSuite::by_name("AES128-SHA").unwrap();
            TlsFacts { peer: Some(peer), ..TlsFacts::assumed(version, suite) }
        };
        use ProtocolVersion::{Tls1_1, Tls1_2};
        let file = "domains.d/back.toml:3";
        for (tls, lacking, expected) in [
            (None, Some(Reason::StarttlsNotSupported), file.to_owned()),
            (Some(facts(Tls1_1, &[], false)), Some(Reason::VersionBelowMinimum), "built-in".to_owned()),
            (Some(facts(Tls1_2, &[], false)), Some(Reason::CertificateHostMismatch), file.to_owned()),
            (Some(facts(Tls1_2, &["mx.example"], false)), Some(Reason::TlsaInvalid), "DANE".to_owned()),
            (Some(facts(Tls1_2, &["mx.example"], true)), Some(Reason::CertificateHostMismatch), "MTA-STS".to_owned()),
            (Some(facts(Tls1_2, &["mx.example", "sts.example"], true)), None, file.to_owned()),
        ] {
            assert_eq!(rule(&wanted, tls.as_ref(), lacking).to_string(), expected, "{tls:?} {lacking:?}");
        }
    }
}
