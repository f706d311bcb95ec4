//! The corpus of the fuzz target, replayed: recorded and hand-made first bytes of clients.

use std::fs;
use std::path::Path;

use super::super::{KEPT_BYTES_MAX, Progress};
use super::{read, read_in_pieces};

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
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS)).unwrap() {
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

/// Fingerprints that other tools gave the same recordings.
#[test]
fn recorded_hellos_have_their_names() {
    for (file, start, first_cipher) in [
        ("hello-openssl-tls1", "t10i", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
        ("hello-openssl-tls1_3", "t13d", "TLS_AES_256_GCM_SHA384"),
    ] {
        let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS).join(file)).unwrap();
        let offer = super::hello(&bytes).offer();
        assert!(offer.ja4.starts_with(start) && offer.ciphers[0] == first_cipher, "{file}: {offer:?}");
    }
}
