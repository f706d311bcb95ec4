//! A hello in the words of the record of a failed handshake.

use super::{ClientHello, ja4, meant, names};
use crate::model::client_offer::{ClientOffer, LISTED_MAX};
use crate::model::domain::DOMAIN_BYTES_MAX;
use crate::model::escape::peer_text;
use crate::model::tls::ProtocolVersion;

impl ClientHello {
    /// The offer by its names, without fillers and within bounds.
    pub fn offer(&self) -> ClientOffer {
        let mut truncated = false;
        let mut listed = |numbers: Option<&Vec<u16>>, name: fn(u16) -> String| -> Vec<String> {
            let mut numbers = meant(numbers.map_or(&[], Vec::as_slice));
            let names = numbers.by_ref().take(LISTED_MAX).map(name).collect();
            truncated |= numbers.next().is_some();
            names
        };
        ClientOffer {
            versions: listed(Some(&self.version_numbers()), version),
            ciphers: listed(Some(&self.cipher_suites), names::cipher),
            groups: listed(self.groups.as_ref(), names::group),
            signature_algorithms: listed(self.signature_algorithms.as_ref(), names::signature_algorithm),
            sni: self.sni.name().map(|name| peer_text(name, DOMAIN_BYTES_MAX).into_owned()),
            ja4: ja4::fingerprint(self),
            truncated,
        }
    }

    /// The known versions, and behind them what else the client lists. A client without a list names its highest, and
    /// does not say how far below that it would go.
    fn version_numbers(&self) -> Vec<u16> {
        if self.supported_versions.is_none() {
            let highest = self.max_version().map_or(self.legacy_version, super::version_number);
            return vec![highest];
        }
        let mut numbers: Vec<u16> = self.versions().into_iter().map(super::version_number).collect();
        let known = ProtocolVersion::ALL.map(super::version_number);
        let listed = self.supported_versions.iter().flatten();
        numbers.extend(listed.filter(|number| !known.contains(number)));
        numbers
    }
}

fn version(number: u16) -> String {
    let known = ProtocolVersion::ALL.into_iter().find(|version| super::version_number(*version) == number);
    known.map_or_else(|| names::unnamed(number), |version| version.as_str().to_owned())
}
