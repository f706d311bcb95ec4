//! Bytes of the peer, cut into lines. CRLF alone ends a line (RFC 5321 section 2.3.8).

use memchr::memchr;

/// What one line may have skipped before the peer is taken for no SMTP client at all.
pub const LINE_BYTES_HARD_MAX: usize = 1024 * 1024;

/// Capacity that an emptied buffer keeps; a session that once had a full window does not hold it for ever.
const RETAINED_BYTES_MAX: usize = 4096;

/// What stands next in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line that ended with CRLF, without it, and without any other CR or LF.
    Complete(&'a [u8]),
    /// A line that has a CR within; it was dropped.
    BareCr,
    /// An LF without a CR before it. Reported at once and for each, so that a peer that sends no CRLF at all is
    /// answered; what follows up to the next CRLF belongs to the same line and is dropped.
    BareLf,
    /// A line longer than the limit; it was dropped.
    TooLong,
    /// More than [`LINE_BYTES_HARD_MAX`] without a CRLF. There is no way to go on.
    Endless,
}

/// Why the rest of the current line is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discard {
    /// To be reported when its CRLF comes.
    TooLong,
    /// Reported already, as [`Line::BareLf`].
    Reported,
}

/// Pending input. Its size is bounded by what the owner pushes before it takes lines out; a line without an end
/// never makes it grow.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the pending bytes begin.
    head: usize,
    /// Pending bytes that are known to hold no LF.
    scanned: usize,
    line_bytes_max: usize,
    discard: Option<Discard>,
    /// Octets of the current line that are dropped already.
    dropped: usize,
}

impl LineBuffer {
    /// `line_bytes_max` counts the CRLF.
    pub fn new(line_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), head: 0, scanned: 0, line_bytes_max, discard: None, dropped: 0 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.head > 0 {
            self.bytes.drain(..self.head.min(self.bytes.len()));
            self.head = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next line out, or `None` if more input is needed for one.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let pending = self.pending();
            let Some(found) = memchr(b'\n', pending.get(self.scanned..).unwrap_or_default()) else {
                return self.wait_for_end();
            };
            let lf = self.scanned + found;
            let ends_line = lf.checked_sub(1).and_then(|before| pending.get(before)) == Some(&b'\r');
            let line_bytes = self.dropped + lf + 1;
            if line_bytes > LINE_BYTES_HARD_MAX {
                return Some(Line::Endless);
            }
            if !ends_line {
                self.consume(lf + 1);
                self.dropped = line_bytes;
                self.discard = Some(Discard::Reported);
                return Some(Line::BareLf);
            }
            let start = self.head;
            self.consume(lf + 1);
            self.dropped = 0;
            match self.discard.take() {
                Some(Discard::Reported) => {}
                Some(Discard::TooLong) => return Some(Line::TooLong),
                None if line_bytes > self.line_bytes_max => return Some(Line::TooLong),
                None => {
                    let line = self.bytes.get(start..start + lf - 1).unwrap_or_default();
                    return Some(if memchr(b'\r', line).is_some() { Line::BareCr } else { Line::Complete(line) });
                }
            }
        }
    }

    /// No LF is pending: keeps what may become a line, drops what is too long for one.
    fn wait_for_end(&mut self) -> Option<Line<'static>> {
        let pending = self.pending();
        let pending_bytes = pending.len();
        if self.dropped + pending_bytes > LINE_BYTES_HARD_MAX {
            return Some(Line::Endless);
        }
        if self.discard.is_none() && pending_bytes < self.line_bytes_max {
            self.scanned = pending_bytes;
            return None;
        }
        // A CR at the end may be half of the CRLF that ends the line.
        let kept = usize::from(pending.last() == Some(&b'\r'));
        self.discard.get_or_insert(Discard::TooLong);
        self.consume(pending_bytes - kept);
        self.dropped += pending_bytes - kept;
        self.scanned = kept;
        None
    }

    /// The bytes that no line has taken yet, for input that is not made of lines.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// Drops the first `count` pending bytes.
    pub fn consume(&mut self, count: usize) {
        self.head = self.bytes.len().min(self.head + count);
        self.scanned = 0;
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back the memory of a burst that is over. For the moment at which no more line can be taken.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.bytes.clear();
            self.head = 0;
            self.bytes.shrink_to(RETAINED_BYTES_MAX);
        }
    }

    /// Forgets everything, a half line included.
    pub fn clear(&mut self) {
        *self = Self::new(self.line_bytes_max);
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16;

    fn lines(input: &[u8], chunk: usize) -> Vec<String> {
        let mut buffer = LineBuffer::new(MAX);
        let mut out = Vec::new();
        for piece in input.chunks(chunk) {
            buffer.push(piece);
            while let Some(line) = buffer.next_line() {
                let endless = line == Line::Endless;
                out.push(match line {
                    Line::Complete(line) => String::from_utf8_lossy(line).into_owned(),
                    other => format!("{other:?}"),
                });
                if endless {
                    return out;
                }
            }
            assert!(buffer.len() <= MAX.max(chunk));
        }
        out
    }

    fn check(input: &[u8], expected: &[&str]) {
        for chunk in [1, 2, 3, 7, input.len().max(1)] {
            assert_eq!(lines(input, chunk), expected, "{:?} in pieces of {chunk}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn crlf_alone_ends_a_line() {
        check(b"", &[]);
        check(b"NOOP", &[]);
        check(b"NOOP\r", &[]);
        check(b"NOOP\r\n", &["NOOP"]);
        check(b"\r\n", &[""]);
        check(b"A\r\nB\r\n\r\nC", &["A", "B", ""]);
    }

    #[test]
    fn a_bare_cr_or_lf_spoils_the_whole_line_and_nothing_after_it_is_taken_for_a_line() {
        check(b"A\rB\r\nC\r\n", &["BareCr", "C"]);
        check(b"A\r\r\nC\r\n", &["BareCr", "C"]);
        check(b"A\nB\r\nC\r\n", &["BareLf", "C"]);
        check(b"A\nB\nC\r\nD\r\n", &["BareLf", "BareLf", "D"]);
        check(b"\n\r\nD\r\n", &["BareLf", "D"]);
        check(b"A\n\rB\r\nD\r\n", &["BareLf", "D"]);
    }

    #[test]
    fn a_line_over_the_limit_is_dropped_up_to_its_end_and_reported_once() {
        check(b"12345678901234\r\nA\r\n", &["12345678901234", "A"]);
        check(b"123456789012345\r\nA\r\n", &["TooLong", "A"]);
        check(&[&[b'x'; 500][..], b"\rx\r\r\nA\r\n"].concat(), &["TooLong", "A"]);
        check(&[&[b'x'; 500][..], b"\nNOOP\r\nA\r\n"].concat(), &["BareLf", "A"]);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        for tail in [&b""[..], b"\n", b"\r\n"] {
            let mut input = vec![b'x'; LINE_BYTES_HARD_MAX + 1];
            input.extend_from_slice(tail);
            for chunk in [1000, 65536, input.len()] {
                assert_eq!(lines(&input, chunk), ["Endless"]);
            }
        }
    }
}
