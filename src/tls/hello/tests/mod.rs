//! Tests of the reader: over hellos built by hand, over recorded ones, and against what both stacks take.

mod agreement;
mod built;
mod corpus;
mod naming;
mod parsing;
mod reading;

use super::{ClientHello, HelloReader, Progress};

/// Reads all in one push.
fn read(bytes: &[u8]) -> Progress {
    HelloReader::new().push(bytes)
}

fn hello(bytes: &[u8]) -> ClientHello {
    match read(bytes) {
        Progress::Hello(hello) => *hello,
        other => panic!("{other:?}"),
    }
}

/// Pushes of these lengths in turn, and what comes out of them: the first answer that is not "more", the one at the
/// end, and the bytes.
fn read_in_pieces(bytes: &[u8], lengths: &[usize]) -> (Progress, Progress, Vec<u8>) {
    let mut reader = HelloReader::new();
    let (mut first, mut last) = (Progress::More, Progress::More);
    let (mut rest, mut lengths) = (bytes, lengths.iter().cycle());
    while !rest.is_empty() {
        let piece = rest.split_off(..(*lengths.next().unwrap()).clamp(1, rest.len())).unwrap();
        last = reader.push(piece);
        if first == Progress::More {
            first = last.clone();
        }
    }
    (first, last, reader.into_bytes())
}
