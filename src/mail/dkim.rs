//! DKIM signatures of mail that we write ourselves (RFC 6376, RFC 8301, RFC 8463): relaxed canonicalisation of header
//! and body, RSA or Ed25519, no `l=`.

mod canonical;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject};

use crate::model::base64;
use crate::model::domain::{Domain, check_label};
use crate::model::time::Timestamp;

use super::fold::field;
use canonical::{Field, relaxed_body, signed_data};

/// Shortest RSA key (RFC 8301 section 3.2: signers SHOULD use at least 2048 bits).
pub const RSA_BITS_MIN: usize = 2048;
/// Longest RSA key: what every verifier must be able to use (RFC 8301 section 3.2).
pub const RSA_BITS_MAX: usize = 4096;

/// Fields that are signed where they are present, and once more than they are, so that nobody can add another
/// (RFC 6376 section 5.4.2).
const SIGNED: &[&str] = &[
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "TLS-Required",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
];
/// Letters of a signature between two spaces, where its field may fold.
const CHUNK_LETTERS: usize = 64;

/// Why a key cannot sign. The operator's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DkimKeyError {
    #[error("it holds no private key in PEM")]
    NoKey,
    #[error("the PEM in it is damaged")]
    Malformed,
    #[error("the key in it is encrypted; store it without a passphrase")]
    Encrypted,
    #[error("the key in it is neither RSA nor Ed25519")]
    Kind,
    #[error("the RSA key in it has less than {RSA_BITS_MIN} bits")]
    TooShort,
    #[error("the RSA key in it has more than {RSA_BITS_MAX} bits, which verifiers need not support")]
    TooLong,
    #[error("the selector is no name: labels of letters, digits and '-', with dots between them")]
    Selector,
}

/// Why a message has no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the message has no header, or none that ends")]
    NoHeader,
    #[error("the message has no From field")]
    NoFrom,
    #[error("the cryptographic library refused to sign")]
    Crypto,
}

/// A key, and where its public half is published. The key is never shown.
pub struct Signer {
    domain: Domain,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} {})", self.key.algorithm(), self.record_name())
    }
}

impl Signer {
    /// A signer for `domain` (`d=`) with the first private key of a PEM text: PKCS #8, or PKCS #1 of RSA.
    ///
    /// # Errors
    /// See [`DkimKeyError`].
    pub fn from_pem(domain: Domain, selector: &str, pem: &[u8]) -> Result<Self, DkimKeyError> {
        let selector = selector.to_ascii_lowercase();
        if selector.split('.').any(|label| check_label(label).is_err()) {
            return Err(DkimKeyError::Selector);
        }
        Ok(Self { domain, selector, key: Key::from_pem(pem)? })
    }

    /// The domain that signs.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Where verifiers look for the key: `SELECTOR._domainkey.DOMAIN` (RFC 6376 section 3.6.2.1).
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// The TXT record to be published there, for every service. RFC 8460 section 3 asks for `s=tlsrpt`; alone it makes
    /// verifiers of mail ignore the key (RFC 6376 section 3.6.1), and a report that does not verify may be refused
    /// before anybody reads it. The list `s=email:tlsrpt` is right too, but not every verifier reads lists.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn record(&self) -> Result<String, SignError> {
        let (kind, public) = match &self.key {
            Key::Rsa(key) => {
                let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| SignError::Crypto)?;
                ("rsa", base64::encode(der.as_ref()))
            }
            // RFC 8463 section 4: the bare key.
            Key::Ed25519(key) => ("ed25519", base64::encode(key.public_key().as_ref())),
        };
        Ok(format!("v=DKIM1; k={kind}; s=*; p={public}"))
    }

    /// The `DKIM-Signature` field of a message, folded, with CRLF at its end. It belongs before the message, which has
    /// CRLF line ends.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(&self, message: &[u8], at: Timestamp) -> Result<String, SignError> {
        let (fields, body) = canonical::split(message).ok_or(SignError::NoHeader)?;
        if !fields.iter().any(|field| field.is("From")) {
            return Err(SignError::NoFrom);
        }
        let names = signed_names(&fields);
        let unsigned = self.unsigned(&names, body, at);
        let signature = base64::encode(&self.key.sign(&signed_data(&fields, &names, &unsigned))?);
        let mut value = unsigned;
        for (at, letter) in signature.chars().enumerate() {
            if at > 0 && at % CHUNK_LETTERS == 0 {
                value.push(' ');
            }
            value.push(letter);
        }
        Ok(field("DKIM-Signature", &value))
    }

    /// The value of the field up to the signature, with one space wherever it may fold: in the form that is signed.
    fn unsigned(&self, names: &[&str], body: &[u8], at: Timestamp) -> String {
        format!(
            "v=1; a={}; c=relaxed/relaxed; d={}; s={}; t={}; h={}; bh={}; b=",
            self.key.algorithm(),
            self.domain,
            self.selector,
            at.micros().div_euclid(1_000_000).max(0),
            names.join(": "),
            base64::encode(digest(&SHA256, &relaxed_body(body)).as_ref()),
        )
    }
}

impl Key {
    fn from_pem(text: &[u8]) -> Result<Self, DkimKeyError> {
        let rejected = |error: aws_lc_rs::error::KeyRejected| match error.to_string().as_str() {
            "TooSmall" => DkimKeyError::TooShort,
            _ => DkimKeyError::Kind,
        };
        let key = match PrivateKeyDer::from_pem_slice(text) {
            Ok(PrivateKeyDer::Pkcs1(der)) => {
                RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Self::Rsa).map_err(rejected)?
            }
            Ok(PrivateKeyDer::Pkcs8(der)) => match Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()) {
                Ok(key) => Self::Ed25519(key),
                Err(_) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map(Self::Rsa).map_err(rejected)?,
            },
            Ok(_) => return Err(DkimKeyError::Kind),
            // PKCS #8 has a label of its own for it, the older forms a header inside (RFC 1421).
            Err(_) if text.windows(9).any(|window| window == b"ENCRYPTED") => return Err(DkimKeyError::Encrypted),
            Err(pem::Error::NoItemsFound) => return Err(DkimKeyError::NoKey),
            Err(_) => return Err(DkimKeyError::Malformed),
        };
        if let Self::Rsa(rsa) = &key {
            check_rsa_bits(rsa.public_modulus_len() * 8)?;
        }
        Ok(key)
    }

    /// The value of `a=`.
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                // The padding is without random numbers: the same key and data give the same signature.
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| SignError::Crypto)?;
                Ok(signature)
            }
            // RFC 8463 section 3: what Ed25519 signs is the hash.
            Self::Ed25519(key) => {
                let signature = key.try_sign(digest(&SHA256, data).as_ref()).map_err(|_| SignError::Crypto)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

fn check_rsa_bits(bits: usize) -> Result<(), DkimKeyError> {
    match bits {
        0..RSA_BITS_MIN => Err(DkimKeyError::TooShort),
        RSA_BITS_MIN..=RSA_BITS_MAX => Ok(()),
        _ => Err(DkimKeyError::TooLong),
    }
}

/// The names for `h=`: each present field of the list as often as it occurs, and once more.
fn signed_names(fields: &[Field<'_>]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in SIGNED {
        let count = fields.iter().filter(|field| field.is(name)).count();
        names.extend(std::iter::repeat_n(*name, if count == 0 { 0 } else { count + 1 }));
    }
    names
}
