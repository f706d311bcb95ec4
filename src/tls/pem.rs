//! PEM files of certificates and keys, read within bounds, with errors that name the file and the remedy.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::model::escape::peer_text;

/// Larger than any bundle of public roots.
pub const PEM_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const DETAIL_BYTES_MAX: usize = 120;

/// What is wrong with a PEM file. Each is the operator's to mend; trying again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("cannot read {}: {kind}; it must exist and the user that the relay runs as must be able to read it",
            file.display())]
    Unreadable { file: PathBuf, kind: io::ErrorKind },
    #[error("{} is larger than {PEM_FILE_BYTES_MAX} bytes; only PEM certificates or a key belong in it",
            file.display())]
    TooBig { file: PathBuf },
    #[error("{} is no valid PEM: {detail}", file.display())]
    Malformed { file: PathBuf, detail: String },
    #[error("{} holds no certificate; a part that starts with -----BEGIN CERTIFICATE----- is expected", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} holds no private key; a part that starts with -----BEGIN PRIVATE KEY----- is expected", file.display())]
    NoKey { file: PathBuf },
    #[error("the key in {} is encrypted; store it without a passphrase, readable only for the relay: \
             openssl pkey -in {} -out NEW", file.display(), file.display())]
    EncryptedKey { file: PathBuf },
}

/// The bytes of a file of at most [`PEM_FILE_BYTES_MAX`].
pub(super) fn read_file(file: &Path) -> Result<Vec<u8>, PemError> {
    let unreadable = |error: io::Error| PemError::Unreadable { file: file.to_owned(), kind: error.kind() };
    let mut bytes = Vec::new();
    File::open(file).map_err(unreadable)?.take(PEM_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PEM_FILE_BYTES_MAX {
        return Err(PemError::TooBig { file: file.to_owned() });
    }
    Ok(bytes)
}

/// Every certificate of a PEM text, at least one. `file` is for the error.
pub(super) fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| malformed(file, &error))?;
    if certificates.is_empty() {
        return Err(PemError::NoCertificate { file: file.to_owned() });
    }
    Ok(certificates)
}

/// The first private key of a PEM text. `file` is for the error.
pub(super) fn private_key(file: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        // PKCS #8 has a label of its own for it, the older forms a header inside (RFC 1421).
        Err(_) if contains(text, b"ENCRYPTED") => Err(PemError::EncryptedKey { file: file.to_owned() }),
        Err(pem::Error::NoItemsFound) => Err(PemError::NoKey { file: file.to_owned() }),
        Err(error) => Err(malformed(file, &error)),
    }
}

fn malformed(file: &Path, error: &pem::Error) -> PemError {
    // The other variants show bytes of the file, which may be those of a key.
    let detail = match error {
        pem::Error::MissingSectionEnd { .. } => "an END line is missing".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is damaged".to_owned(),
        pem::Error::Base64Decode(_) => "the text between BEGIN and END is no Base64".to_owned(),
        other => peer_text(&other.to_string(), DETAIL_BYTES_MAX).into_owned(),
    };
    PemError::Malformed { file: file.to_owned(), detail }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_what_is_wrong_with_it() {
        let file = PathBuf::from("x.pem");
        let no_key = PemError::NoKey { file: file.clone() };
        let encrypted = PemError::EncryptedKey { file: file.clone() };
        let malformed = |detail: &str| PemError::Malformed { file: file.clone(), detail: detail.to_owned() };
        for (text, expected) in [
            ("", no_key.clone()),
            ("hello", no_key.clone()),
            ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", no_key),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", encrypted.clone()),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAA=\n\
                 -----END RSA PRIVATE KEY-----\n",
                encrypted,
            ),
            ("-----BEGIN PRIVATE KEY-----\nMAA=\n", malformed("an END line is missing")),
            ("-----BEGIN PRIVATE KEY---\n", malformed("a BEGIN line is damaged")),
            (
                "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
                malformed("the text between BEGIN and END is no Base64"),
            ),
        ] {
            assert_eq!(private_key(&file, text.as_bytes()).unwrap_err(), expected, "{text}");
        }
        assert_eq!(certificates(&file, b"").unwrap_err(), PemError::NoCertificate { file: file.clone() });
        assert!(PemError::NoCertificate { file }.to_string().starts_with("x.pem holds no certificate"));
    }

    #[test]
    fn a_file_is_read_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("big.pem");
        File::create(&file).unwrap().set_len(PEM_FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(read_file(&file), Err(PemError::TooBig { file }));
        let missing = folder.path().join("missing.pem");
        assert_eq!(read_file(&missing), Err(PemError::Unreadable { file: missing, kind: io::ErrorKind::NotFound }));
    }
}
