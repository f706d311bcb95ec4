//! What the certificate of a client counts for: one reading of the facts, for the inbound rule and for trust.
//!
//! It counts only where the handshake proves that the client holds the key now: by a signature with SHA-2, at TLS 1.2
//! or later, and not by resumption, which shows only that some earlier handshake proved it.

use crate::model::tls::{PeerCertificate, ProtocolVersion, RSA_BITS_MIN, SignatureHash, TlsFacts, Verified};

use super::names::{Fingerprint, has_fingerprint};
use super::settings::ClientCertificateRule;

/// The lowest version whose handshake lets a client prove itself with SHA-2 (RFC 5246 section 7.4.8).
pub const VERSION_MIN: ProtocolVersion = ProtocolVersion::Tls1_2;

/// Why the session does not have the certificate that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The client showed none, or there is no TLS.
    NotShown,
    /// Shown below TLS 1.2.
    OldVersion,
    /// Shown in an earlier session, which this one resumes.
    Resumed,
    /// The client proved its key by less than SHA-2, or the handshake does not tell.
    WeakSignature,
    /// An RSA key that others may have found by now.
    ShortKey,
    /// It leads to no root that the listener trusts.
    NotVerified,
    /// It is not one of those that are listed.
    NotListed,
}

impl Lack {
    /// What is said about the session, behind what is required.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotShown => "this session shows none",
            Self::OldVersion => "the one of this session does not count below TLSv1.2",
            Self::Resumed => "the one of this session does not count, because the session is resumed",
            Self::WeakSignature => "the one of this session does not count, because it is not signed with SHA-2",
            Self::ShortKey => "the one of this session does not count, because its RSA key is shorter than 2048 bits",
            Self::NotVerified => "the one of this session is not verified",
            Self::NotListed => "the one of this session is another",
        }
    }
}

/// Whether the session has what `rule` asks for. `tls` is `None` for plaintext.
pub fn check(rule: &ClientCertificateRule, tls: Option<&TlsFacts>) -> Result<(), Lack> {
    match rule {
        ClientCertificateRule::None => Ok(()),
        ClientCertificateRule::Verified => match credential(tls)?.verified {
            Verified::Webpki => Ok(()),
            _ => Err(Lack::NotVerified),
        },
        ClientCertificateRule::Fingerprints(fingerprints) => check_listed(fingerprints, tls),
    }
}

/// Whether the session has one of these certificates or keys.
pub fn check_listed(fingerprints: &[Fingerprint], tls: Option<&TlsFacts>) -> Result<(), Lack> {
    let peer = credential(tls)?;
    if has_fingerprint(peer, fingerprints) { Ok(()) } else { Err(Lack::NotListed) }
}

/// The facts as they are recorded of a session whose certificate was accepted by one of these lists.
pub fn accepted_by<'a>(facts: &TlsFacts, lists: impl IntoIterator<Item = &'a [Fingerprint]>) -> TlsFacts {
    let mut facts = facts.clone();
    let is_listed = lists.into_iter().any(|list| check_listed(list, Some(&facts)).is_ok());
    if let Some(peer) = facts.peer.as_mut().filter(|peer| is_listed && peer.verified == Verified::None) {
        peer.verified = Verified::Fingerprint;
        peer.error = None;
    }
    facts
}

/// The certificate, if it counts.
fn credential(tls: Option<&TlsFacts>) -> Result<&PeerCertificate, Lack> {
    let (tls, peer) = tls.and_then(|tls| Some((tls, tls.peer.as_ref()?))).ok_or(Lack::NotShown)?;
    if tls.version < VERSION_MIN {
        return Err(Lack::OldVersion);
    }
    if tls.resumed {
        return Err(Lack::Resumed);
    }
    if peer.rsa_bits.is_some_and(|bits| bits < RSA_BITS_MIN) {
        return Err(Lack::ShortKey);
    }
    match peer.signature {
        Some(SignatureHash::Sha2) => Ok(peer),
        Some(SignatureHash::Sha1OrOlder) | None => Err(Lack::WeakSignature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cipher::CipherSuite;

    fn fingerprint(byte: u8) -> Fingerprint {
        Fingerprint::from_bytes([byte; 32])
    }

    /// TLS 1.2 with certificate 1 and key 2, proved by SHA-2, verified.
    fn facts() -> TlsFacts {
        let suite = CipherSuite::by_name("ECDHE-RSA-AES128-SHA").unwrap();
        let peer = PeerCertificate {
            key_sha256: fingerprint(2).hex(),
            verified: Verified::Webpki,
            ..PeerCertificate::assumed(fingerprint(1).hex())
        };
        TlsFacts { peer: Some(peer), ..TlsFacts::assumed(ProtocolVersion::Tls1_2, suite) }
    }

    fn listed(bytes: &[u8]) -> ClientCertificateRule {
        ClientCertificateRule::Fingerprints(bytes.iter().map(|byte| fingerprint(*byte)).collect())
    }

    fn peer(change: impl FnOnce(&mut PeerCertificate)) -> Option<TlsFacts> {
        let mut facts = facts();
        facts.peer.as_mut().map(change);
        Some(facts)
    }

    #[test]
    fn a_certificate_or_key_meets_the_rule_that_names_it() {
        for (rule, expected) in [
            (ClientCertificateRule::None, Ok(())),
            (ClientCertificateRule::Verified, Ok(())),
            (listed(&[1]), Ok(())),
            (listed(&[2]), Ok(())),
            (listed(&[7, 2]), Ok(())),
            (listed(&[7]), Err(Lack::NotListed)),
            (listed(&[]), Err(Lack::NotListed)),
        ] {
            assert_eq!(check(&rule, Some(&facts())), expected, "{rule}");
        }
    }

    #[test]
    fn a_certificate_counts_only_if_this_handshake_proves_its_key_well_enough() {
        let tls = |change: fn(&mut TlsFacts)| {
            let mut facts = facts();
            change(&mut facts);
            Some(facts)
        };
        for (session, expected) in [
            (None, Lack::NotShown),
            (tls(|facts| facts.peer = None), Lack::NotShown),
            (tls(|facts| facts.version = ProtocolVersion::Tls1_1), Lack::OldVersion),
            (tls(|facts| facts.version = ProtocolVersion::Ssl3), Lack::OldVersion),
            (tls(|facts| facts.resumed = true), Lack::Resumed),
            (peer(|peer| peer.signature = None), Lack::WeakSignature),
            (peer(|peer| peer.signature = Some(SignatureHash::Sha1OrOlder)), Lack::WeakSignature),
        ] {
            for rule in [ClientCertificateRule::Verified, listed(&[1, 2])] {
                assert_eq!(check(&rule, session.as_ref()), Err(expected), "{rule} {session:?}");
            }
            assert_eq!(check(&ClientCertificateRule::None, session.as_ref()), Ok(()));
        }
        assert_eq!(check(&listed(&[1]), tls(|facts| facts.version = ProtocolVersion::Tls1_3).as_ref()), Ok(()));
    }

    #[test]
    fn verified_is_by_roots_only_and_listed_by_whole_hashes_only() {
        for verified in [Verified::None, Verified::Dane, Verified::Fingerprint] {
            let session = peer(|peer| peer.verified = verified);
            assert_eq!(check(&ClientCertificateRule::Verified, session.as_ref()), Err(Lack::NotVerified));
            assert_eq!(check(&listed(&[1]), session.as_ref()), Ok(()));
        }
        for hash in ["", "01", &"01".repeat(31), &"01".repeat(33), &"zz".repeat(32)] {
            let session = peer(|peer| (peer.sha256, peer.key_sha256) = (hash.to_owned(), hash.to_owned()));
            assert_eq!(check(&listed(&[0, 1]), session.as_ref()), Err(Lack::NotListed), "{hash:?}");
        }
    }

    #[test]
    fn what_a_list_accepted_is_recorded_as_such_and_nothing_else() {
        let unverified = peer(|peer| peer.verified = Verified::None).unwrap();
        let resumed = TlsFacts { resumed: true, ..unverified.clone() };
        for (facts, lists, expected) in [
            (&unverified, &[&[fingerprint(9)][..], &[fingerprint(1)]][..], Verified::Fingerprint),
            (&unverified, &[&[fingerprint(2)]], Verified::Fingerprint),
            (&unverified, &[&[fingerprint(9)]], Verified::None),
            (&unverified, &[], Verified::None),
            (&resumed, &[&[fingerprint(1)]], Verified::None),
            (&facts(), &[&[fingerprint(1)]], Verified::Webpki),
        ] {
            let recorded = accepted_by(facts, lists.iter().copied());
            assert_eq!(recorded.peer.unwrap().verified, expected, "{lists:?}");
        }
    }
}
