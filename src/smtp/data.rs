//! Message content on the wire: dots are stuffed, CRLF.CRLF ends it (RFC 5321 section 4.5.2).
//!
//! Only that end is one. Peers that disagree about `\n.\n` or `\r.\r` can be made to see messages that are not there
//! (SMTP smuggling), so a CR or LF that stands alone makes the content invalid.

use memchr::{memchr2, memmem};

/// A line end that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("CR without LF in the content")]
    BareCr,
    #[error("LF without CR in the content")]
    BareLf,
}

/// Where the decoder stands; everything it must know of the bytes it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart,
    Text,
    /// A CR was the last byte.
    Cr,
    /// A dot was the first byte of the line: a stuffed one, or the end.
    Dot,
    DotCr,
}

/// What one call has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the content; less than all only if the end was found.
    pub consumed: usize,
    /// The end was found; the decoder must not be used any more.
    pub finished: bool,
}

/// Takes content from the wire, in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    place: Place,
    fault: Option<LineFault>,
    discards: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    pub const fn new() -> Self {
        Self { place: Place::LineStart, fault: None, discards: false }
    }

    /// Appends the content in `input` to `out`. After a fault nothing is appended, but the end is still looked for.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        // `input[kept..at]` is content that was seen but not copied yet.
        let (mut kept, mut at) = (0, 0);
        while let Some(&byte) = input.get(at) {
            match self.place {
                Place::Text => match memchr2(b'\r', b'\n', input.get(at..).unwrap_or_default()) {
                    None => at = input.len(),
                    Some(ahead) => {
                        at += ahead;
                        if input.get(at) == Some(&b'\n') {
                            self.copy(input, kept..at, out);
                            kept = at;
                            self.fail(LineFault::BareLf);
                        } else {
                            self.place = Place::Cr;
                        }
                        at += 1;
                    }
                },
                Place::Cr if byte == b'\n' => {
                    self.place = Place::LineStart;
                    at += 1;
                }
                Place::LineStart if byte == b'.' => {
                    self.copy(input, kept..at, out);
                    self.place = Place::Dot;
                    at += 1;
                    kept = at;
                }
                Place::Dot if byte == b'\r' => {
                    self.place = Place::DotCr;
                    at += 1;
                    kept = at;
                }
                Place::DotCr if byte == b'\n' => return Progress { consumed: at + 1, finished: true },
                Place::LineStart | Place::Dot => self.place = Place::Text,
                Place::Cr | Place::DotCr => {
                    self.copy(input, kept..at, out);
                    kept = at;
                    self.fail(LineFault::BareCr);
                    self.place = Place::Text;
                }
            }
        }
        self.copy(input, kept..at, out);
        Progress { consumed: at, finished: false }
    }

    /// The first fault of the content so far.
    pub fn fault(&self) -> Option<LineFault> {
        self.fault
    }

    /// From now on nothing is copied; only the end is looked for.
    pub fn discard(&mut self) {
        self.discards = true;
    }

    fn copy(&self, input: &[u8], range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        if !self.discards {
            out.extend_from_slice(input.get(range).unwrap_or_default());
        }
    }

    fn fail(&mut self, fault: LineFault) {
        self.fault.get_or_insert(fault);
        self.discards = true;
    }
}

/// Where the content given to the encoder stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    LineStart,
    /// An LF without a CR before it.
    Lf,
    Cr,
    Text,
}

/// Puts content on the wire, in pieces of any size. The content is expected to have CRLF line ends; a dot is stuffed
/// behind every LF, so that content which has a bare one cannot end early at a peer that takes it for a line end.
#[derive(Debug)]
pub struct Encoder {
    tail: Tail,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    pub const fn new() -> Self {
        Self { tail: Tail::LineStart }
    }

    /// Appends `content`, with dots stuffed, to `out`.
    pub fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let Some(&last) = content.last() else { return };
        out.reserve(content.len() + content.len() / 64);
        if matches!(self.tail, Tail::LineStart | Tail::Lf) && content.first() == Some(&b'.') {
            out.push(b'.');
        }
        let mut copied = 0;
        for lf in memmem::find_iter(content, b"\n.") {
            out.extend_from_slice(content.get(copied..=lf).unwrap_or_default());
            out.push(b'.');
            copied = lf + 1;
        }
        out.extend_from_slice(content.get(copied..).unwrap_or_default());
        self.tail = match last {
            b'\r' => Tail::Cr,
            b'\n' if content.ends_with(b"\r\n") => Tail::LineStart,
            b'\n' if content.len() == 1 && self.tail == Tail::Cr => Tail::LineStart,
            b'\n' => Tail::Lf,
            _ => Tail::Text,
        };
    }

    /// Appends the end, and before it the CRLF that the last line may lack.
    pub fn finish(self, out: &mut Vec<u8>) {
        let end: &[u8] = match self.tail {
            Tail::LineStart => b".\r\n",
            Tail::Cr => b"\n.\r\n",
            Tail::Lf | Tail::Text => b"\r\n.\r\n",
        };
        out.extend_from_slice(end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes in pieces of `chunk` bytes: content, fault, and what is left behind the end (`None`: no end).
    fn decode(wire: &[u8], chunk: usize) -> (Vec<u8>, Option<LineFault>, Option<Vec<u8>>) {
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        let mut at = 0;
        for piece in wire.chunks(chunk.max(1)) {
            let progress = decoder.decode(piece, &mut out);
            at += progress.consumed;
            if progress.finished {
                return (out, decoder.fault(), Some(wire[at..].to_vec()));
            }
            assert_eq!(progress.consumed, piece.len());
        }
        (out, decoder.fault(), None)
    }

    fn check(wire: &[u8], content: &[u8], fault: Option<LineFault>, rest: Option<&[u8]>) {
        for chunk in 1..=wire.len().max(1) {
            let found = decode(wire, chunk);
            let expected = (content.to_vec(), fault, rest.map(<[u8]>::to_vec));
            assert_eq!(found, expected, "{:?} in pieces of {chunk}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn content_ends_at_crlf_dot_crlf_and_stuffed_dots_go() {
        check(b"", b"", None, None);
        check(b".\r\n", b"", None, Some(b""));
        check(b"a\r\n.\r\n", b"a\r\n", None, Some(b""));
        check(b"a\r\n.\r\nQUIT\r\n", b"a\r\n", None, Some(b"QUIT\r\n"));
        check(b"..\r\n.\r\n", b".\r\n", None, Some(b""));
        check(b"..a\r\n...\r\n.b\r\n.\r\n", b".a\r\n..\r\nb\r\n", None, Some(b""));
        check(b"a.\r\n.\r\n", b"a.\r\n", None, Some(b""));
        check(b"\r\n\r\n.\r\n", b"\r\n\r\n", None, Some(b""));
        check(b"a\r\n.", b"a\r\n", None, None);
        check(b"a\r\n.\r", b"a\r\n", None, None);
        check(b"\0\xff\r\n.\r\n", b"\0\xff\r\n", None, Some(b""));
    }

    #[test]
    fn no_other_sequence_ends_content_and_a_lone_cr_or_lf_is_a_fault() {
        let lf = Some(LineFault::BareLf);
        let cr = Some(LineFault::BareCr);
        check(b"a\n.\nb\r\n.\r\n", b"a", lf, Some(b""));
        check(b"a\n.\r\nb\r\n.\r\n", b"a", lf, Some(b""));
        check(b"a\r\n.\nb\r\n.\r\n", b"a\r\n", lf, Some(b""));
        check(b"a\r.\rb\r\n.\r\n", b"a\r", cr, Some(b""));
        check(b"a\r.\r\nb\r\n.\r\n", b"a\r", cr, Some(b""));
        check(b"a\r\n.\rb\r\n.\r\n", b"a\r\n", cr, Some(b""));
        check(b"a\r\n.\r\r\n.\r\n", b"a\r\n", cr, Some(b""));
        check(b"a\r\r\n.\r\n", b"a\r", cr, Some(b""));
        check(b"\n.\r\n", b"", lf, None);
        check(b".\n.\r\n", b"", lf, None);
    }

    #[test]
    fn a_decoder_told_to_discard_still_finds_the_end() {
        let mut decoder = Decoder::new();
        decoder.discard();
        let mut out = Vec::new();
        let progress = decoder.decode(b"a\r\n..b\r\n.\r\nQUIT", &mut out);
        assert_eq!((progress, out.len()), (Progress { consumed: 11, finished: true }, 0));
    }

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let mut encoder = Encoder::new();
        let mut out = Vec::new();
        for piece in pieces {
            encoder.encode(piece, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_stuffed_and_a_missing_line_end_is_added() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b".\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n.a\r\n", b"..\r\n..a\r\n.\r\n"),
            (b"a\n.\r\n", b"a\n..\r\n.\r\n"),
            (b"a\n", b"a\n\r\n.\r\n"),
        ];
        for (content, wire) in table {
            assert_eq!(encode(&[content]), *wire, "{:?}", String::from_utf8_lossy(content));
            let bytes: Vec<&[u8]> = content.chunks(1).collect();
            assert_eq!(encode(&bytes), *wire, "{:?} byte by byte", String::from_utf8_lossy(content));
        }
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => Just(b'.'), 4 => any::<u8>().prop_filter("no line end", |b| !b"\r\n".contains(b))];
        prop::collection::vec(prop::collection::vec(byte, 0..6), 0..8)
            .prop_map(|lines| lines.into_iter().flat_map(|line| [line, b"\r\n".to_vec()].concat()).collect())
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_itself_in_any_pieces(content in lines(), cut in 1..9usize, chunk in 1..9usize) {
            let pieces: Vec<&[u8]> = content.chunks(cut).collect();
            let wire = encode(&pieces);
            prop_assert_eq!(decode(&wire, chunk), (content, None, Some(Vec::new())));
        }

        #[test]
        fn the_size_of_the_pieces_changes_nothing(
            wire in prop::collection::vec(prop::sample::select(b"\r\n.a".to_vec()), 0..40),
            chunk in 1..9usize,
        ) {
            prop_assert_eq!(decode(&wire, chunk), decode(&wire, wire.len()));
        }
    }
}
