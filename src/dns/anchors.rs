//! The keys that DNSSEC validation begins with: those of the root that are built in, or a file of the operator's.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use hickory_resolver::proto::dnssec::TrustAnchors;

/// The longest file of keys.
const TRUST_ANCHOR_BYTES_MAX: u64 = 64 << 10;

/// Why a file holds no trust anchor: the operator's to repair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the trust anchor {} {fault}", path.display())]
pub struct AnchorError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Unreadable(io::ErrorKind),
    TooLong,
    NotKeys(String),
    NoRootKey,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => {
                write!(
                    f,
                    "cannot be read: {kind}; name a file of DNSKEY records of the root, or leave `trust_anchor` out"
                )
            }
            Self::TooLong => {
                write!(f, "is longer than {TRUST_ANCHOR_BYTES_MAX} bytes; write the keys of the root only")
            }
            Self::NotKeys(detail) => {
                write!(f, "does not consist of DNSKEY records in zone file format ({detail}); DS records do not do")
            }
            Self::NoRootKey => write!(f, "holds no DNSKEY record of the root; write `. IN DNSKEY 257 3 ...`"),
        }
    }
}

/// The keys in a file of DNSKEY records, in the format of zone files.
pub fn read(path: &Path) -> Result<Arc<TrustAnchors>, AnchorError> {
    let fault = |fault| AnchorError { path: path.to_owned(), fault };
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| file.take(TRUST_ANCHOR_BYTES_MAX + 1).read_to_string(&mut text));
    match opened {
        Ok(bytes) if u64::try_from(bytes).unwrap_or(u64::MAX) > TRUST_ANCHOR_BYTES_MAX => {
            return Err(fault(Fault::TooLong));
        }
        Ok(_) => {}
        Err(error) => return Err(fault(Fault::Unreadable(error.kind()))),
    }
    let anchors = TrustAnchors::from_str(&text).map_err(|error| fault(Fault::NotKeys(error.to_string())))?;
    // Keys of other zones alone would leave everything else neither signed nor unsigned.
    if anchors.is_empty() {
        return Err(fault(Fault::NoRootKey));
    }
    Ok(Arc::new(anchors))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";

    #[test]
    fn a_file_must_hold_a_key_of_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let long = "; \n".repeat(30_000);
        for (text, expected) in [
            (format!(". 3600 IN {KEY}\n"), ""),
            (format!("; the root\n. IN {KEY}\nexample. IN {KEY}\n"), ""),
            (format!("example. IN {KEY}\n"), "holds no DNSKEY record of the root"),
            (String::new(), "holds no DNSKEY record of the root"),
            (". IN DS 20326 8 2 e06d44b8\n".to_owned(), "does not consist of DNSKEY records"),
            ("<?xml version=\"1.0\"?>\n".to_owned(), "does not consist of DNSKEY records"),
            (long, "is longer than 65536 bytes"),
        ] {
            let path = folder.path().join("root.key");
            std::fs::write(&path, &text).unwrap();
            let said = read(&path).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(expected.is_empty(), said.is_empty(), "{said}");
            assert!(said.contains(expected), "{said}");
        }
        let missing = read(&folder.path().join("missing")).err().unwrap().to_string();
        assert!(missing.contains("missing cannot be read: entity not found; name a file"), "{missing}");
    }
}
