//! The Ed25519 keys (RFC 8032) that sign checkpoints, as values. Their files are in `keyfile`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::model::{base64, hex};

const SCHEME: &str = "ed25519:";
const SIGNATURE_BYTES: usize = 64;
/// Hexadecimal digits of a signature.
pub(super) const SIGNATURE_DIGITS: usize = 2 * SIGNATURE_BYTES;
/// Bytes that make one line of PEM (RFC 7468 section 2).
const PEM_LINE_BYTES: usize = 48;
/// Room for the first and last line of PEM and some line ends.
const PEM_FRAME_BYTES: usize = 128;

/// The public half of a key: `ed25519:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; ED25519_PUBLIC_KEY_LEN]);

impl PublicKey {
    /// Whether the key's owner signed this message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature.0).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        hex::write(f, &self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key: `ed25519:` and 64 lower-case hexadecimal digits are expected")]
pub struct PublicKeyError;

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(SCHEME).ok_or(PublicKeyError)?;
        hex::decode(digits.as_bytes()).map(Self).ok_or(PublicKeyError)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An Ed25519 signature, written as 128 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

impl Signature {
    /// What stands in the place of a signature while it is made.
    pub(super) const NONE: Self = Self([0; SIGNATURE_BYTES]);

    pub(super) fn from_digits(digits: &[u8]) -> Option<Self> {
        hex::decode(digits).map(Self)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_digits(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("not a signature"))
    }
}

/// The system's source of random numbers or its cryptography failed. Nobody's fault; may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library refused to make or use a key")]
pub struct CryptoFault;

/// A key that signs. Its secret is overwritten when it is dropped, and never shown.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl SigningKey {
    pub fn generate() -> Result<Self, CryptoFault> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| CryptoFault)
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().unwrap_or_default())
    }

    pub fn sign(&self, message: &[u8]) -> Result<Signature, CryptoFault> {
        let signature = self.0.try_sign(message).map_err(|_| CryptoFault)?;
        signature.as_ref().try_into().map(Signature).map_err(|_| CryptoFault)
    }

    /// Reads PKCS#8 (RFC 5958) in PEM. `None` if it is no such key.
    pub fn from_pem(text: &[u8]) -> Option<Self> {
        let der = Zeroizing::new(PrivatePkcs8KeyDer::from_pem_slice(text).ok()?);
        Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok().map(Self)
    }

    /// The key as PKCS#8 in PEM, as other programs read it too.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, CryptoFault> {
        let der = self.0.to_pkcs8v1().map_err(|_| CryptoFault)?;
        // Room for all of it from the start, so that no copy is left behind in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(PEM_FRAME_BYTES + 2 * der.as_ref().len()));
        text.push_str("-----BEGIN PRIVATE KEY-----");
        for line in der.as_ref().chunks(PEM_LINE_BYTES) {
            text.push('\n');
            base64::push(&mut text, line);
        }
        text.push_str("\n-----END PRIVATE KEY-----\n");
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_for_its_message_and_key_only() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let signature = key.sign(b"said").unwrap();
        assert!(key.public().verify(b"said", &signature));
        assert!(!key.public().verify(b"not said", &signature));
        assert!(!other.public().verify(b"said", &signature));
        assert!(!key.public().verify(b"said", &Signature::NONE));
    }

    #[test]
    fn public_keys_have_one_spelling() {
        let key = SigningKey::generate().unwrap().public();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        let digits = text.strip_prefix("ed25519:").unwrap();
        for text in [digits.to_owned(), format!("ED25519:{digits}"), format!("{text}0"), format!("ed25519:{:064X}", 10)]
        {
            assert_eq!(text.parse::<PublicKey>(), Err(PublicKeyError), "{text}");
        }
    }

    #[test]
    fn a_key_reads_back_from_its_pem() {
        let key = SigningKey::generate().unwrap();
        let pem = key.to_pem().unwrap();
        assert_eq!(SigningKey::from_pem(pem.as_bytes()).unwrap().public(), key.public());
        for text in ["", "nonsense", &pem.replace("PRIVATE", "PUBLIC"), pem.split_at(80).0] {
            assert!(SigningKey::from_pem(text.as_bytes()).is_none(), "{text}");
        }
        assert!(!format!("{key:?}").contains(pem.lines().nth(1).unwrap()));
    }

    #[cfg(feature = "legacy-tls")]
    #[test]
    fn the_pem_is_what_openssl_reads_and_writes() {
        let key = SigningKey::generate().unwrap();
        let theirs = openssl::pkey::PKey::private_key_from_pem(key.to_pem().unwrap().as_bytes()).unwrap();
        assert_eq!(theirs.raw_public_key().unwrap(), key.public().0);
        let made = openssl::pkey::PKey::generate_ed25519().unwrap();
        let ours = SigningKey::from_pem(&made.private_key_to_pem_pkcs8().unwrap()).unwrap();
        assert_eq!(made.raw_public_key().unwrap(), ours.public().0);
        assert_eq!(ours.to_pem().unwrap().as_bytes(), made.private_key_to_pem_pkcs8().unwrap());
    }
}
