//! Records, the message header and bounds.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::BadHello::{self, *};
use super::super::{HELLO_BYTES_MAX, HELLO_RECORDS_MAX, HelloReader, KEPT_BYTES_MAX, Progress};
use super::built::{Form, message, records};
use super::{hello, read, read_in_pieces};

/// The verdict comes with the last of these bytes and not before.
fn check_bad(bytes: &[u8], expected: BadHello) {
    let (before, last) = bytes.split_at(bytes.len() - 1);
    let mut reader = HelloReader::new();
    assert_eq!(reader.push(before), Progress::More, "{bytes:02x?}");
    assert_eq!(reader.push(last), Progress::Bad(expected), "{bytes:02x?}");
    assert_eq!(reader.push(&Form::tls12().wire()), Progress::Bad(expected), "{bytes:02x?}");
    assert_eq!(reader.into_bytes().len(), bytes.len(), "nothing is kept behind a verdict");
}

#[test]
fn what_is_no_hello_is_refused_with_the_first_byte_that_shows_it() {
    for (bytes, expected) in [
        (&b"E"[..], NotTls),
        (b"\r", NotTls),
        (b"\x00", NotTls),
        (b"\x13", NotTls),
        (b"\x19", NotTls),
        (b"\x16\x02", NotTls),
        (b"\x16H", NotTls),
        (b"\x15\x02", NotTls),
        (b"\x15\x03", Alert),
        (b"\x14\x03", NotAClientHello),
        (b"\x17\x03", NotAClientHello),
        (b"\x18\x03", NotAClientHello),
        (b"\x16\x03\x01\x00\x00", EmptyRecord),
        (b"\x16\x03\x01\x40\x01", RecordTooLong),
        (b"\x16\x03\x01\x41", RecordTooLong),
        (b"\x16\x03\x01\xff", RecordTooLong),
        (b"\x16\x03\x01\x00\x40\x00", NotAClientHello),
        (b"\x16\x03\x01\x00\x40\x02", NotAClientHello),
        (b"\x16\x03\x01\x00\x40\x01\x01", TooLong),
        (b"\x16\x03\x01\x00\x40\x01\xff", TooLong),
        (b"\x16\x03\x01\x00\x40\x01\x00\x00\x28", Malformed("too short")),
        (b"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x01\x01", TooLong),
        (b"\x16\x03\x01\x00\x01\x01\x15\x03", Alert),
        (b"\x16\x03\x01\x00\x01\x01\x17\x03", NotAClientHello),
        (b"\x16\x03\x01\x00\x01\x01\x80", NotTls),
        (b"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x00", EmptyRecord),
        (b"\x80\x2e\x00", NotTls),
        (b"\x80\x2e\x04", NotTls),
        (b"\x80\x2e\x01\x04", NotTls),
        (b"\x80\x2e\x01\x00\x03", NotTls),
    ] {
        check_bad(bytes, expected);
    }
}

#[test]
fn the_format_of_ssl_2_is_known_by_its_first_bytes() {
    for (bytes, expected) in [
        (&b"\x80"[..], Progress::More),
        (b"\x80\x2e\x01", Progress::More),
        (b"\x80\x2e\x01\x00", Progress::More),
        (b"\x80\x2e\x01\x00\x02", Progress::SslV2),
        (b"\x80\x2e\x01\x02", Progress::SslV2),
        (b"\x80\x2e\x01\x03", Progress::SslV2),
        (b"\xff\xff\x01\x03\x01\x00\x15", Progress::SslV2),
    ] {
        assert_eq!(read(bytes), expected, "{bytes:02x?}");
    }
    let mut reader = HelloReader::new();
    reader.push(b"\x80\x2e\x01\x03");
    assert_eq!(reader.push(b"\x01\x00"), Progress::SslV2);
    assert_eq!(reader.into_bytes(), b"\x80\x2e\x01\x03\x01\x00");
}

#[test]
fn each_refusal_has_its_alert() {
    for (bad, alert) in [
        (NotTls, 50),
        (Alert, 10),
        (NotAClientHello, 10),
        (RecordTooLong, 22),
        (EmptyRecord, 50),
        (TooLong, 50),
        (TooManyRecords, 10),
        (Malformed("session"), 50),
        (BadHello::DUPLICATE_EXTENSION, 47),
        (BadHello::KEY_IS_NOT_LAST, 47),
    ] {
        assert_eq!(bad.alert(), alert, "{bad}");
    }
}

#[test]
fn a_hello_may_be_cut_into_records_and_pushes_of_any_length() {
    let form = Form::tls13();
    let expected = hello(&form.wire());
    for length in [1, 2, 3, 4, 5, 7, 40, 16_384] {
        let wire = records(&form.message(), length);
        for pieces in [&[1][..], &[2, 3], &[5], &[usize::MAX]] {
            let (first, last, kept) = read_in_pieces(&wire, pieces);
            assert_eq!(first, Progress::Hello(Box::new(expected.clone())), "records of {length}, {pieces:?}");
            assert_eq!((last, kept), (first, wire.clone()), "records of {length}, {pieces:?}");
        }
    }
}

#[test]
fn the_hello_ends_with_its_last_byte_and_what_follows_is_kept() {
    let wire = Form::tls12().wire();
    let mut reader = HelloReader::new();
    assert_eq!(reader.push(&wire[..wire.len() - 1]), Progress::More);
    assert!(matches!(reader.push(&wire[wire.len() - 1..]), Progress::Hello(_)));
    assert!(matches!(reader.push(b"early"), Progress::Hello(_)));
    assert_eq!(reader.into_bytes(), [wire.as_slice(), b"early"].concat());
}

#[test]
fn a_hello_is_taken_up_to_its_bounds_and_no_further() {
    let longest = Form::tls12().padded_to(HELLO_BYTES_MAX);
    assert!(matches!(read(&longest.wire()), Progress::Hello(_)));
    let longer = message(1, &[&longest.body()[..], &[0]].concat());
    assert_eq!(read(&records(&longer, 16_384)[..7]), Progress::Bad(TooLong));

    let one_byte_each = |records_wanted: usize| {
        let form = Form::tls12().padded_to(records_wanted - 4);
        records(&form.message(), 1)
    };
    assert!(matches!(read(&one_byte_each(HELLO_RECORDS_MAX)), Progress::Hello(_)));
    let wire = one_byte_each(HELLO_RECORDS_MAX + 1);
    assert_eq!(read(&wire), Progress::Bad(TooManyRecords));
    // As soon as the last record that may be is full.
    let (mut at, mut reader) = (0, HelloReader::new());
    while reader.push(&wire[at..=at]) == Progress::More {
        at += 1;
    }
    assert_eq!(at, HELLO_RECORDS_MAX * 6 - 1);
}

#[test]
fn the_reader_holds_no_more_than_its_bound() {
    assert_eq!(HelloReader::new().into_bytes().capacity(), 0);
    let form = Form::tls12().padded_to(HELLO_BYTES_MAX);
    let wire = records(&form.message(), HELLO_BYTES_MAX / (HELLO_RECORDS_MAX - 1) + 1);
    let mut reader = HelloReader::new();
    let mut last = Progress::More;
    for piece in wire.chunks(1_000) {
        last = reader.push(piece);
    }
    assert!(matches!(last, Progress::Hello(_)), "{last:?}");
    let kept = reader.into_bytes();
    assert_eq!(kept, wire);
    assert!(kept.len() > 80_000 && kept.capacity() <= KEPT_BYTES_MAX, "{} of {}", kept.len(), kept.capacity());
}

fn some_hello() -> impl Strategy<Value = Vec<u8>> {
    let forms = [Form::tls12(), Form::tls13(), Form::bare(0x0300), Form::bare(0x0301)];
    let whole = (prop::sample::select(forms.to_vec()), 1..400_usize)
        .prop_map(|(form, length)| records(&form.message(), length));
    let broken = (whole.clone(), vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), vec(any::<u8>(), 0..20))
        .prop_map(|(mut wire, changes, tail)| {
            for (index, byte) in changes {
                let at = index.index(wire.len());
                wire[at] = byte;
            }
            [wire, tail].concat()
        });
    let noise = vec(any::<u8>(), 0..200);
    let behind_a_header = vec(any::<u8>(), 41..300).prop_map(|body| records(&message(1, &body), 100));
    prop_oneof![whole, broken, noise, behind_a_header]
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_answer_and_come_back(
        bytes in some_hello(),
        pieces in vec(1..50_usize, 1..10),
    ) {
        let answer = read(&bytes);
        let (first, last, kept) = read_in_pieces(&bytes, &pieces);
        prop_assert_eq!(&first, &answer);
        prop_assert_eq!(last, first);
        match answer {
            Progress::Bad(_) => prop_assert!(bytes.starts_with(&kept)),
            _ => prop_assert_eq!(kept, bytes),
        }
    }
}
