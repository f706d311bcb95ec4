//! The TLS session that is thought of.

use crate::model::assumed;
use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::error::QuestionError;

/// Which session is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// None in particular: every kind is compared.
    Any,
    Plaintext,
    Tls(Box<TlsFacts>),
}

impl Session {
    /// A session of this version, with the cipher suite of this IANA or OpenSSL name, else a usual one.
    pub fn of(version: ProtocolVersion, cipher: Option<&str>) -> Result<Self, QuestionError> {
        let Some(name) = cipher else { return Ok(Self::certain(Some(assumed::usual(version)))) };
        let refused = |error| QuestionError::Cipher { name: name.to_owned(), error };
        assumed::session(version, name).map(|facts| Self::certain(Some(facts))).map_err(refused)
    }

    /// The one that was chosen; `None` is plaintext.
    pub fn certain(tls: Option<TlsFacts>) -> Self {
        tls.map_or(Self::Plaintext, |facts| Self::Tls(Box::new(facts)))
    }

    /// Whether one session is meant, be it plaintext.
    pub fn is_chosen(&self) -> bool {
        *self != Self::Any
    }

    /// `None` is plaintext, or that none was chosen.
    pub fn tls(&self) -> Option<&TlsFacts> {
        match self {
            Self::Any | Self::Plaintext => None,
            Self::Tls(facts) => Some(facts),
        }
    }
}

/// The versions that are tried where none was chosen: SSL 3.0 only where it is offered.
pub fn versions(offer: ProtocolVersion) -> impl Iterator<Item = ProtocolVersion> {
    let lowest = offer.min(ProtocolVersion::Tls1_0);
    ProtocolVersion::ALL.into_iter().filter(move |version| *version >= lowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_3_is_tried_only_where_it_is_offered() {
        for (offer, lowest) in [("SSLv3", "SSLv3"), ("TLSv1", "TLSv1"), ("TLSv1.3", "TLSv1")] {
            let versions = versions(ProtocolVersion::parse(offer).unwrap());
            assert_eq!(versions.min().map(ProtocolVersion::as_str), Some(lowest), "{offer}");
        }
    }
}
