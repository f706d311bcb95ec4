//! Any bytes, in any pieces, give the same answer, come back as they were, and can be put in words.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gatepost::tls::hello::{HelloReader, KEPT_BYTES_MAX, Progress};

/// The first answer that is not "more", and the bytes that were kept.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Progress, Vec<u8>) {
    let mut reader = HelloReader::new();
    let mut first = Progress::More;
    for piece in pieces {
        let answer = reader.push(piece);
        if first == Progress::More {
            first = answer;
        } else {
            assert_eq!(answer, first, "an answer changed");
        }
    }
    (first, reader.into_bytes())
}

fuzz_target!(|input: &[u8]| {
    let (whole, kept) = read([input].into_iter());
    match &whole {
        Progress::More => assert!(kept.len() <= KEPT_BYTES_MAX),
        Progress::Hello(hello) => {
            hello.offer();
            assert!(hello.max_version() == hello.versions().first().copied());
        }
        Progress::Bad(bad) => assert!(bad.alert() > 0),
        Progress::SslV2 => {}
    }
    assert!(kept == input || matches!(whole, Progress::Bad(_)), "bytes were lost");
    let length = usize::from(input.last().copied().unwrap_or_default() % 7) + 1;
    assert_eq!(read(input.chunks(length)).0, whole, "pieces make a difference");
});
