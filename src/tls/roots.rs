//! The roots that a certificate must lead to: the system's, those of files, or none.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::pem::{self, PemError};

/// Trusted roots. Cheap to clone, never changes.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Whether these are the very same roots, not only equal ones.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Trusts nobody.
    pub fn empty() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// The roots of the system (or of `SSL_CERT_FILE` and `SSL_CERT_DIR`), and what of them could not be read.
    pub fn system() -> (Self, Vec<String>) {
        let found = rustls_native_certs::load_native_certs();
        let mut warnings: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let mut store = RootCertStore::empty();
        let (added, ignored) = store.add_parsable_certificates(found.certs);
        if ignored > 0 {
            warnings.push(format!("{ignored} of {} root certificates of the system cannot be used", added + ignored));
        }
        if added == 0 {
            warnings.push("the system has no root certificates; no certificate will be trusted".to_owned());
        }
        (Self(Arc::new(store)), warnings)
    }

    /// The certificates of PEM files. Each must hold at least one, and each certificate must be usable as a root.
    pub fn from_pem_files(files: &[PathBuf]) -> Result<Self, PemError> {
        let mut store = RootCertStore::empty();
        for file in files {
            for certificate in pem::certificates(file, &pem::read_file(file)?)? {
                store.add(certificate).map_err(|error| PemError::Malformed {
                    file: file.clone(),
                    detail: format!("a certificate in it cannot be a root: {error}"),
                })?;
            }
        }
        Ok(Self(Arc::new(store)))
    }

    /// Trusts these certificates; what cannot be used as a root is left out.
    pub fn from_der<'a>(certificates: impl IntoIterator<Item = CertificateDer<'a>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        Self(Arc::new(store))
    }

    /// Trusts these keys under these names.
    pub(super) fn from_anchors(anchors: Vec<TrustAnchor<'static>>) -> Self {
        Self(Arc::new(RootCertStore { roots: anchors }))
    }

    /// The anchors that [`from_der`](Self::from_der) made.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0.roots
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn store(&self) -> &RootCertStore {
        &self.0
    }

    pub(super) fn shared(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use crate::tls::demo_authority::DemoAuthority;

    #[test]
    fn roots_come_from_the_files_named_or_the_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let pem = |seconds| DemoAuthority::new(Timestamp::from_secs(seconds)).unwrap().certificate_pem();
        let two = write("two.pem", &format!("{}{}", pem(1), pem(2)));
        let one = write("one.pem", &pem(3));
        assert_eq!(Roots::from_pem_files(&[two, one]).unwrap().len(), 3);

        let none = write("none.pem", "no certificate here\n");
        assert_eq!(
            Roots::from_pem_files(std::slice::from_ref(&none)).unwrap_err(),
            PemError::NoCertificate { file: none }
        );
        let odd = write("odd.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
        let error = Roots::from_pem_files(std::slice::from_ref(&odd)).unwrap_err();
        assert!(matches!(&error, PemError::Malformed { file, .. } if *file == odd), "{error}");
    }
}
