//! The TLS session that is thought of, as the command line names it.

use crate::cli::arguments::Explain;
use crate::cli::output::Failure;
use crate::model::assumed::{self, AssumedError};
use crate::model::human::shown;
use crate::model::tls::{ProtocolVersion, TlsFacts};

/// The versions that are tried where none was chosen: SSL 3.0 only where it is offered.
pub(super) fn versions(offer: ProtocolVersion) -> impl Iterator<Item = ProtocolVersion> {
    let lowest = offer.min(ProtocolVersion::Tls1_0);
    ProtocolVersion::ALL.into_iter().filter(move |version| *version >= lowest)
}

/// The session that was asked for, `None` for plaintext or where none was chosen.
pub(super) fn chosen(asked: &Explain) -> Result<Option<TlsFacts>, Failure> {
    let Some(version) = asked.tls else { return Ok(None) };
    let Some(name) = &asked.cipher else { return Ok(Some(assumed::usual(version))) };
    let refused = |error: AssumedError| match error {
        AssumedError::NoSuchSuite(_) => format!("no cipher suite is named \"{}\"", shown(name)),
        AssumedError::NotOfVersion { .. } => error.to_string(),
    };
    assumed::session(version, name).map(Some).map_err(|error| Failure::usage(refused(error), error.examples()))
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
