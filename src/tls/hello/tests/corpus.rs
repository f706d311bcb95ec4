//! The corpus of the fuzz target, replayed: recorded and hand-made first bytes of clients.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{KEPT_BYTES_MAX, Progress};
use super::{hello, read, read_in_pieces};

const CORPUS: &str = "tests/fuzz/corpus/client_hello";
const FILES_MIN: usize = 30;

/// A file's name starts with what its bytes are to the reader.
fn kind(progress: &Progress) -> &'static str {
    match progress {
        Progress::More => "more",
        Progress::Hello(_) => "hello",
        Progress::SslV2 => "sslv2",
        Progress::Bad(_) => "bad",
    }
}

#[test]
fn every_file_of_the_corpus_reads_alike_in_whole_and_by_the_byte() {
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        let answer = read(&bytes);
        assert!(name.starts_with(&format!("{}-", kind(&answer))), "{name} is {answer:?}");
        let (first, last, kept) = read_in_pieces(&bytes, &[1]);
        assert_eq!((&first, &last), (&answer, &answer), "{name}");
        assert!(bytes.starts_with(&kept) && kept.capacity() <= KEPT_BYTES_MAX, "{name}");
        assert!(kept == bytes || kind(&answer) == "bad", "{name}");
        files += 1;
    }
    assert!(files >= FILES_MIN, "{files} files");
}

/// Computed from the same files by another program.
#[test]
fn recorded_hellos_have_their_fingerprints() {
    for (name, expected) in [
        ("hello-openssl-ssl3", "ts3i290000_2e9649f0d969_000000000000"),
        ("hello-openssl-tls1", "t10i230500_44099cda8a52_195413a0cc0f"),
        ("hello-openssl-tls1_3", "t13d0411sp_16476d049b0b_78f1d400d464"),
        ("hello-openssl-3_6-post-quantum", "t13d331000_c5da32f751cf_3cecfd2c111c"),
        ("hello-gnutls-normal", "t13d291300_723694b0fccc_2cc26d266019"),
        ("hello-python-ssl", "t13d181100_85036bcba153_d41ae481755e"),
        ("hello-rustls-post-quantum", "t13d101000_61a7ad8aa9b6_0d308c48d2a3"),
        ("hello-nmap-ssl3", "ts3i640000_e7b476f9520b_000000000000"),
        ("hello-records-of-one-byte", "t10i010000_ba72b8082249_000000000000"),
        ("hello-fillers", "t13d1508h2_8daaf6152771_0217bda7c7b8"),
    ] {
        let bytes = fs::read(folder().join(name)).unwrap();
        assert_eq!(hello(&bytes).offer().ja4, expected, "{name}");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS)
}
