//! The sessions that are tried: each version with a spread of suites over all grades, key exchanges and kinds of key.

use std::fmt;

use rustls::SignatureAlgorithm;

use crate::config::{ListenerConfig, ListenerTls};
use crate::model::cipher::CipherSuite;
use crate::model::tls::ProtocolVersion;

use ProtocolVersion::{Ssl3, Tls1_0, Tls1_1, Tls1_2, Tls1_3};

/// Newest first, strongest first: the order of the matrix.
const SPREAD: [(ProtocolVersion, &[&str]); 5] = [
    (
        Tls1_3,
        &["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256"],
    ),
    (
        Tls1_2,
        &[
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-CHACHA20-POLY1305",
            "DHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-SHA",
            "ECDHE-RSA-AES256-SHA384",
            "ECDHE-RSA-AES128-SHA",
            "AES128-GCM-SHA256",
            "AES256-SHA",
            "DES-CBC3-SHA",
            "RC4-SHA",
        ],
    ),
    (Tls1_1, OLD),
    (Tls1_0, OLD),
    (Ssl3, &["AES128-SHA", "DES-CBC3-SHA", "RC4-SHA"]),
];

const OLD: &[&str] = &[
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA",
    "DHE-RSA-AES128-SHA",
    "AES128-SHA",
    "ECDHE-ECDSA-DES-CBC3-SHA",
    "DES-CBC3-SHA",
    "RC4-SHA",
];

/// One session to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Plaintext,
    Tls { version: ProtocolVersion, suite: &'static CipherSuite },
}

/// `plaintext`, or `TLSv1.2 ECDHE-RSA-AES128-SHA`.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext => f.write_str("plaintext"),
            Self::Tls { version, suite } => write!(f, "{version} {}", suite.openssl),
        }
    }
}

/// All that make sense with a listener. Under implicit TLS there is no plaintext.
pub(super) fn attempts(tls: ListenerTls) -> Vec<Attempt> {
    let plaintext = (tls != ListenerTls::Implicit).then_some(Attempt::Plaintext);
    let spread = SPREAD.into_iter().filter(|_| tls != ListenerTls::Off).flat_map(|(version, names)| {
        let suites = names.iter().filter_map(|name| CipherSuite::by_name(name));
        suites.map(move |suite| Attempt::Tls { version, suite })
    });
    plaintext.into_iter().chain(spread).collect()
}

/// What is to be expected of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It succeeds.
    Made,
    /// It fails: the listener offers later versions only.
    BelowOffer,
    /// It fails unless the running daemon has a certificate that is not in the configuration.
    NoKey(NeededKey),
    /// Nothing: which kinds of key there are could not be read.
    Unknown,
}

impl Prospect {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::BelowOffer => "below-offer",
            Self::NoKey(_) => "no-key",
            Self::Unknown => "unknown",
        }
    }
}

/// The kind of key that a suite needs the server to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NeededKey {
    Ecdsa,
    Rsa,
}

impl NeededKey {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ecdsa => "ECDSA",
            Self::Rsa => "RSA",
        }
    }

    /// `None` for TLS 1.3, whose suites go with every key.
    fn of(suite: &CipherSuite) -> Option<Self> {
        match suite.name {
            _ if suite.is_tls13() => None,
            name if name.contains("_ECDSA_") => Some(Self::Ecdsa),
            _ => Some(Self::Rsa),
        }
    }

    /// RFC 8422 section 5.10: from TLS 1.2 on Ed25519 goes with the suites of ECDSA.
    fn is_met(self, version: ProtocolVersion, key: SignatureAlgorithm) -> bool {
        match self {
            Self::Rsa => key == SignatureAlgorithm::RSA,
            Self::Ecdsa => key == SignatureAlgorithm::ECDSA || key == SignatureAlgorithm::ED25519 && version >= Tls1_2,
        }
    }
}

/// `keys` are the kinds that the server has, `None` if that is not known.
pub(super) fn prospect(attempt: Attempt, listener: &ListenerConfig, keys: Option<&[SignatureAlgorithm]>) -> Prospect {
    let Attempt::Tls { version, suite } = attempt else { return Prospect::Made };
    if version < listener.offer {
        return Prospect::BelowOffer;
    }
    match (NeededKey::of(suite), keys) {
        (None, _) => Prospect::Made,
        (Some(_), None) => Prospect::Unknown,
        (Some(needed), Some(keys)) if keys.iter().any(|key| needed.is_met(version, *key)) => Prospect::Made,
        (Some(needed), Some(_)) => Prospect::NoKey(needed),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::inbound::Floor;
    use crate::policy::relay::Role;

    #[test]
    fn every_version_and_grade_is_tried_with_suites_that_exist_there() {
        for (version, names) in SPREAD {
            for name in names {
                let suite = CipherSuite::by_name(name).unwrap_or_else(|| panic!("{name}"));
                #[cfg(feature = "legacy-tls")]
                assert!(crate::tls::probe::can(version, suite), "{version} {name}");
                assert_eq!(suite.is_tls13(), version == Tls1_3, "{version} {name}");
            }
            let suites = names.iter().filter_map(|name| CipherSuite::by_name(name));
            let grades = suites.map(|suite| suite.grade.as_str()).collect::<BTreeSet<_>>().len();
            let expected = [(Tls1_3, 1), (Tls1_2, 4), (Tls1_1, 3), (Tls1_0, 3), (Ssl3, 2)];
            assert!(expected.contains(&(version, grades)), "{version}: {grades} grades");
        }
    }

    #[test]
    fn plaintext_goes_first_where_there_is_any_and_tls_where_there_is_that() {
        for (tls, first, rest) in [
            (ListenerTls::Off, "plaintext", 0),
            (ListenerTls::Starttls, "plaintext", 32),
            (ListenerTls::Implicit, "TLSv1.3 TLS_AES_256_GCM_SHA384", 31),
        ] {
            let attempts = attempts(tls);
            assert_eq!((attempts[0].to_string().as_str(), attempts.len() - 1), (first, rest), "{tls:?}");
        }
    }

    #[test]
    fn what_comes_of_a_handshake_follows_from_offer_and_keys() {
        const ECDSA: SignatureAlgorithm = SignatureAlgorithm::ECDSA;
        const RSA: SignatureAlgorithm = SignatureAlgorithm::RSA;
        const ED25519: SignatureAlgorithm = SignatureAlgorithm::ED25519;
        let listener = ListenerConfig {
            name: "mx".into(),
            bind: Vec::new(),
            role: Role::Mx,
            tls: ListenerTls::Starttls,
            offer: Tls1_1,
            request_client_certificate: false,
            client_ca: None,
            relay: false,
            floor: Floor::default(),
        };
        let no_rsa = Prospect::NoKey(NeededKey::Rsa);
        let no_ecdsa = Prospect::NoKey(NeededKey::Ecdsa);
        for (version, name, keys, expected) in [
            (Tls1_3, "TLS_AES_128_GCM_SHA256", None, Prospect::Made),
            (Tls1_2, "ECDHE-RSA-AES128-SHA", Some(&[ECDSA, RSA][..]), Prospect::Made),
            (Tls1_2, "ECDHE-RSA-AES128-SHA", Some(&[ECDSA]), no_rsa),
            (Tls1_2, "AES128-SHA", Some(&[ECDSA]), no_rsa),
            (Tls1_2, "AES128-SHA", None, Prospect::Unknown),
            (Tls1_2, "ECDHE-ECDSA-AES128-SHA", Some(&[RSA]), no_ecdsa),
            (Tls1_2, "ECDHE-ECDSA-AES128-SHA", Some(&[ED25519]), Prospect::Made),
            (Tls1_1, "ECDHE-ECDSA-AES256-SHA", Some(&[ED25519]), no_ecdsa),
            (Tls1_1, "ECDHE-ECDSA-AES256-SHA", Some(&[ECDSA]), Prospect::Made),
            (Tls1_0, "AES128-SHA", Some(&[RSA]), Prospect::BelowOffer),
            (Tls1_0, "AES128-SHA", Some(&[ECDSA]), Prospect::BelowOffer),
        ] {
            let suite = CipherSuite::by_name(name).unwrap();
            let seen = prospect(Attempt::Tls { version, suite }, &listener, keys);
            assert_eq!(seen, expected, "{version} {name} {keys:?}");
        }
        assert_eq!(prospect(Attempt::Plaintext, &listener, None), Prospect::Made);
    }
}
