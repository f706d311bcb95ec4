//! A small certificate authority in memory: good, wrong-name and expired certificates for the demo and tests.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;

use crate::model::time::Timestamp;

use super::roots::Roots;
use super::self_signed::{IssueError, IssuedCertificate, Validity, common_name, server_params, set_validity};

const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The kind of key of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    P256,
    Rsa2048,
}

/// Signs whatever it is asked to; its key lives and dies with it.
#[derive(Debug)]
pub struct DemoAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl DemoAuthority {
    /// A new authority, valid for ten years.
    pub fn new(now: Timestamp) -> Result<Self, IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("Gatepost demo authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        set_validity(&mut params, Validity::starting(now, AUTHORITY_VALIDITY));
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// A server certificate for these names (`*.example` too), with a new key.
    pub fn issue(&self, names: &[&str], key: KeyKind, validity: Validity) -> Result<IssuedCertificate, IssueError> {
        let key = match key {
            KeyKind::P256 => KeyPair::generate()?,
            KeyKind::Rsa2048 => KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?,
        };
        let certificate = server_params(names, validity)?.signed_by(&key, &self.issuer)?;
        Ok(IssuedCertificate::new(&certificate, &key))
    }

    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// Roots that trust this authority and no other.
    pub fn roots(&self) -> Roots {
        Roots::from_der([self.certificate_der().clone()])
    }
}
