//! The certificates of the server and the choice among them: by the name that the client asks for, then by kind of key.

use std::collections::{BTreeMap, HashMap};

use rustls::SignatureAlgorithm;

use crate::model::time::Timestamp;
use crate::model::tls::CertificateStack;

use super::certificates::{CertificateError, CertificatePaths, CertificateWarning, ServerCertificate};

/// Certificates for several names and kinds of key. Never changes; a reload makes a new one.
#[derive(Debug)]
pub struct CertificateStore {
    /// In the order of the configuration, never empty.
    certificates: Vec<ServerCertificate>,
    /// The place of the group for a DNS name (`*.example` for a wildcard).
    by_name: HashMap<String, usize>,
    /// The first one is for clients that ask for no name, or for one that is not here.
    groups: Vec<Group>,
}

/// The certificates that serve one name, by their places in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// For clients of today, the preferred kind of key first. May be empty but in the first group.
    pub(super) any: Vec<usize>,
    /// For old clients: one for each kind of key.
    pub(super) old: Vec<usize>,
}

/// The place of the group for clients that ask for no name that is here.
const DEFAULT_GROUP: usize = 0;

impl CertificateStore {
    /// Reads all pairs and tells all errors at once.
    pub fn load(paths: &[CertificatePaths]) -> Result<Self, Vec<CertificateError>> {
        let mut certificates = Vec::new();
        let mut errors = Vec::new();
        for pair in paths {
            match ServerCertificate::read(pair) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Self::new(certificates).map_err(|error| vec![error]) } else { Err(errors) }
    }

    /// The first certificate for all stacks is the default.
    pub fn new(certificates: Vec<ServerCertificate>) -> Result<Self, CertificateError> {
        let first = certificates.iter().find(|certificate| certificate.paths().stack == CertificateStack::Any);
        let Some(first) = first else {
            return Err(match certificates.first() {
                Some(_) => CertificateError::OnlyLegacy,
                None => CertificateError::NoneConfigured,
            });
        };
        let is_default = |other: &ServerCertificate| {
            std::ptr::eq(other, first) || other.names().iter().any(|name| first.names().contains(name))
        };
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            for name in certificate.names() {
                places.entry(name).or_default().push(place);
            }
        }
        let all = certificates.iter().enumerate();
        let default: Vec<usize> = all.filter(|(_, other)| is_default(other)).map(|(place, _)| place).collect();
        let mut groups = vec![group(&certificates, &default, &default)];
        let mut by_name = HashMap::new();
        for (name, own) in &places {
            let group = group(&certificates, own, &default);
            let known = groups.iter().position(|known| *known == group);
            by_name.insert((*name).to_owned(), known.unwrap_or(groups.len()));
            if known.is_none() {
                groups.push(group);
            }
        }
        Ok(Self { certificates, by_name, groups })
    }

    pub fn certificates(&self) -> &[ServerCertificate] {
        &self.certificates
    }

    pub fn warnings(&self, now: Timestamp) -> Vec<CertificateWarning> {
        self.certificates.iter().flat_map(|certificate| certificate.warnings(now)).collect()
    }

    /// The first name of each certificate and when it expires; of several with one name the earliest.
    pub fn names_and_expiry(&self) -> Vec<(String, Timestamp)> {
        let mut expiry: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for certificate in &self.certificates {
            let known = expiry.entry(certificate.first_name()).or_insert(certificate.not_after());
            *known = certificate.not_after().min(*known);
        }
        expiry.into_iter().map(|(name, not_after)| (name.to_owned(), not_after)).collect()
    }

    /// The kinds of key that clients who ask for this name can be served with.
    pub fn key_algorithms(&self, name: Option<&str>) -> Vec<SignatureAlgorithm> {
        let group = self.groups.get(self.group_of(name));
        let places = group.into_iter().flat_map(|group| group.old.iter());
        places.filter_map(|place| self.certificates.get(*place)).map(ServerCertificate::key_algorithm).collect()
    }

    #[cfg_attr(not(feature = "legacy-tls"), allow(dead_code, reason = "OpenSSL alone reads it"))]
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The place of the group for a server name: the exact name goes before a wildcard, that before the default.
    pub(super) fn group_of(&self, name: Option<&str>) -> usize {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let exact = self.by_name.get(&name);
        let wildcard = || name.split_once('.').and_then(|(_, rest)| self.by_name.get(&format!("*.{rest}")));
        exact.or_else(wildcard).copied().unwrap_or(DEFAULT_GROUP)
    }

    /// What clients of today can be shown for a name: its own certificates, and behind them the default's, which are
    /// better than none: most clients that relay mail check no name.
    pub(super) fn any(&self, group: usize) -> impl Iterator<Item = usize> {
        let own = self.groups.get(group).into_iter().flat_map(|group| group.any.iter());
        let default = self.groups.get(DEFAULT_GROUP).filter(|_| group != DEFAULT_GROUP);
        own.chain(default.into_iter().flat_map(|group| group.any.iter())).copied()
    }
}

fn group(certificates: &[ServerCertificate], own: &[usize], default: &[usize]) -> Group {
    let on = |places: &[usize], stack: CertificateStack| -> Vec<usize> {
        let is_on = |place: &&usize| certificates.get(**place).is_some_and(|known| known.paths().stack == stack);
        places.iter().filter(is_on).copied().collect()
    };
    let algorithm = |place: usize| certificates.get(place).map(ServerCertificate::key_algorithm);
    let mut any = on(own, CertificateStack::Any);
    any.sort_by_key(|place| preference(algorithm(*place)));
    // A key of its own for old clients goes before all others, so that no other is used where attacks are known.
    let for_old = [
        on(own, CertificateStack::Legacy),
        on(default, CertificateStack::Legacy),
        any.clone(),
        on(default, CertificateStack::Any),
    ];
    let mut old: Vec<usize> = Vec::new();
    for place in for_old.into_iter().flatten() {
        if !old.iter().any(|taken| algorithm(*taken) == algorithm(place)) {
            old.push(place);
        }
    }
    Group { any, old }
}

/// ECDSA first: its handshakes cost a quarter of those of RSA, which remains for clients that cannot do it.
fn preference(algorithm: Option<SignatureAlgorithm>) -> u8 {
    match algorithm {
        Some(SignatureAlgorithm::ECDSA) => 0,
        Some(SignatureAlgorithm::ED25519) => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tls::demo_authority::{DemoAuthority, KeyKind};
    use crate::tls::self_signed::Validity;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn names_are_told_once_with_the_earliest_expiry() {
        let authority = DemoAuthority::new(NOW).unwrap();
        let certificate = |name: &str, days: u64| {
            let validity = Validity::starting(NOW, Duration::from_secs(days * 86_400));
            let pair = authority.issue(&[name, "also.example"], KeyKind::P256, validity).unwrap();
            let paths = CertificatePaths::new("c", "k");
            ServerCertificate::from_pem(&paths, pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes()).unwrap()
        };
        let store = CertificateStore::new(vec![
            certificate("b.example", 9),
            certificate("a.example", 5),
            certificate("b.example", 3),
        ]);
        let days = |days: u64| NOW + Duration::from_secs(days * 86_400);
        assert_eq!(
            store.unwrap().names_and_expiry(),
            [("a.example".to_owned(), days(5)), ("b.example".to_owned(), days(3))]
        );
    }

    #[test]
    fn loading_tells_every_error_and_no_certificate_is_one() {
        let pair = |n| CertificatePaths::new(format!("/nonexistent/{n}.pem"), "k");
        let unreadable = |n| {
            let file = format!("/nonexistent/{n}.pem").into();
            CertificateError::Pem(crate::tls::pem::PemError::Unreadable { file, kind: std::io::ErrorKind::NotFound })
        };
        assert_eq!(CertificateStore::load(&[pair(1), pair(2)]).unwrap_err(), [unreadable(1), unreadable(2)]);
        assert_eq!(CertificateStore::load(&[]).unwrap_err(), [CertificateError::NoneConfigured]);
    }
}
