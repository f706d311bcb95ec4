//! A look at a message while it streams through: hops, end of the header, `TLS-Required`, 8-bit octets (RFC 5322
//! section 2.2, RFC 8689 section 3).
//!
//! Must not: keep more of the message than the first octets of one line.

/// Octets of the header that are looked at. Fields behind them are not seen.
pub const HEADER_BYTES_MAX: u64 = 256 * 1024;
/// Where counting `Received:` fields stops. Above every sane limit for loops (RFC 5321 section 6.3: at least 100).
pub const RECEIVED_COUNT_MAX: u32 = 1000;
/// Octets kept of a line: enough for the names and values that matter.
const LINE_HEAD_BYTES_MAX: usize = 64;

/// The state of a scan. Feed it the content in chunks of any size.
#[derive(Clone, Debug)]
pub struct HeaderScan {
    part: Part,
    /// The first octets of the current line, without its line end.
    head: Vec<u8>,
    /// Octets of the current line so far, without its line end.
    line_bytes: u64,
    /// Octets seen so far.
    offset: u64,
    received_count: u32,
    tls_required: TlsRequired,
    eight_bit: bool,
}

/// What is known of the `TLS-Required` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsRequired {
    Absent,
    /// The field was seen; what follows may go on with it.
    Open(Value),
    Complete(Value),
    /// There are several, which RFC 8689 section 3 forbids: none counts.
    Repeated,
}

/// The value of the field, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Empty,
    No,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    /// The header ended with the octet before this offset.
    Body(u64),
    /// The header was longer than the bound.
    Unknown,
}

impl Default for HeaderScan {
    fn default() -> Self {
        Self {
            part: Part::Header,
            head: Vec::with_capacity(LINE_HEAD_BYTES_MAX),
            line_bytes: 0,
            offset: 0,
            received_count: 0,
            tls_required: TlsRequired::Absent,
            eight_bit: false,
        }
    }
}

impl HeaderScan {
    /// The next octets of the content.
    pub fn push(&mut self, chunk: &[u8]) {
        self.eight_bit = self.eight_bit || !chunk.is_ascii();
        let room = usize::try_from(HEADER_BYTES_MAX.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut rest = chunk.get(..room).unwrap_or(chunk);
        while self.part == Part::Header && !rest.is_empty() {
            let line_end = memchr::memchr(b'\n', rest);
            let taken = line_end.map_or(rest.len(), |at| at + 1);
            let (piece, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            rest = after;
            self.offset += piece.len() as u64;
            self.add(piece.strip_suffix(b"\n").unwrap_or(piece));
            if line_end.is_some() {
                self.end_line();
            }
            if self.part == Part::Header && self.offset >= HEADER_BYTES_MAX {
                self.part = Part::Unknown;
            }
        }
    }

    /// How many `Received:` fields the header has, up to `RECEIVED_COUNT_MAX`.
    pub fn received_count(&self) -> u32 {
        self.received_count
    }

    /// Whether any octet of the content so far is above 127.
    pub fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Octets of the header with the empty line that ends it. `None`: it has not ended within the bound.
    pub fn header_bytes(&self) -> Option<u64> {
        match self.part {
            Part::Body(offset) => Some(offset),
            Part::Header | Part::Unknown => None,
        }
    }

    /// Whether the header says `TLS-Required: No`: in one field of that name and no other value (RFC 8689 section 3).
    /// A header that did not end within the bound may have another such field, so it says nothing.
    pub fn tls_required_no(&self) -> bool {
        let says_no = matches!(self.tls_required, TlsRequired::Open(Value::No) | TlsRequired::Complete(Value::No));
        says_no && self.part != Part::Unknown
    }

    fn add(&mut self, piece: &[u8]) {
        self.line_bytes += piece.len() as u64;
        let room = LINE_HEAD_BYTES_MAX.saturating_sub(self.head.len());
        self.head.extend(piece.iter().take(room));
    }

    fn end_line(&mut self) {
        let empty = self.line_bytes == 0 || (self.line_bytes == 1 && self.head == b"\r");
        if empty {
            self.part = Part::Body(self.offset);
        } else {
            self.note_tls_required();
            if split_field(&self.head).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"Received")) {
                self.received_count = (self.received_count + 1).min(RECEIVED_COUNT_MAX);
            }
        }
        self.head.clear();
        self.line_bytes = 0;
    }

    /// A line that is longer than what is kept of it has a value that nobody has seen whole.
    fn note_tls_required(&mut self) {
        let is_cut = self.line_bytes > self.head.len() as u64;
        self.tls_required = match (self.tls_required, split_field(&self.head)) {
            (TlsRequired::Open(value), _) if is_folded(&self.head) => TlsRequired::Open(value.and(&self.head, is_cut)),
            (before, Some((name, value))) if name.eq_ignore_ascii_case(b"TLS-Required") => match before {
                TlsRequired::Absent => TlsRequired::Open(Value::Empty.and(value, is_cut)),
                _ => TlsRequired::Repeated,
            },
            (TlsRequired::Open(value), _) => TlsRequired::Complete(value),
            (before, _) => before,
        };
    }
}

impl Value {
    /// The value with one line more. Unfolded, words of several lines stand apart (RFC 5322 section 2.2.3).
    fn and(self, line: &[u8], is_cut: bool) -> Self {
        match (self, line.trim_ascii()) {
            _ if is_cut => Self::Other,
            (value, b"") => value,
            (Self::Empty, word) if word.eq_ignore_ascii_case(b"No") => Self::No,
            _ => Self::Other,
        }
    }
}

/// Whether the line goes on with the field before it.
fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Name and first line of the value. A folded line begins with space and so has no name.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(at)?;
    let begins_field = name.first().is_some_and(u8::is_ascii_graphic);
    begins_field.then(|| (name.trim_ascii_end(), value.strip_prefix(b":").unwrap_or(value).trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Facts = (u32, Option<u64>, bool, bool);

    fn scan(content: &[u8], size: usize) -> Facts {
        let mut scan = HeaderScan::default();
        content.chunks(size).for_each(|chunk| scan.push(chunk));
        (scan.received_count(), scan.header_bytes(), scan.tls_required_no(), scan.eight_bit())
    }

    #[test]
    fn hops_and_the_end_of_the_header_are_found_however_the_content_is_cut() {
        let table: &[(&[u8], Facts)] = &[
            (b"", (0, None, false, false)),
            (b"\r\nbody\r\n", (0, Some(2), false, false)),
            (b"Received: a\r\nreceived: b\r\nRECEIVED : c\r\n\r\n", (3, Some(42), false, false)),
            (b"Received: a\r\n folded\r\n\tReceived: no\r\n\r\n", (1, Some(39), false, false)),
            (b"X-Received: a\r\nReceived-SPF: b\r\n\r\n", (0, Some(34), false, false)),
            (b"Subject: x\r\n\r\nReceived: body\r\n", (0, Some(14), false, false)),
            (b"Received: a\n\nbody", (1, Some(13), false, false)),
            (b"Received: unfinished", (0, None, false, false)),
            (b"TLS-Required: No\r\n\r\n", (0, Some(20), true, false)),
            (b"tls-required:no\r\n\r\n", (0, Some(19), true, false)),
            (b"TLS-Required: Yes\r\n\r\n", (0, Some(21), false, false)),
            (b"Subject: x\r\n\r\nTLS-Required: No\r\n", (0, Some(14), false, false)),
            (b"Subject: x\r\n\r\ncaf\xc3\xa9\r\n", (0, Some(14), false, true)),
            (b"Subject: \xff\r\n\r\nbody\r\n", (0, Some(14), false, true)),
        ];
        for (content, expected) in table {
            for size in 1..=content.len().max(1) {
                assert_eq!(scan(content, size), *expected, "{:?} by {size}", String::from_utf8_lossy(content));
            }
        }
    }

    #[test]
    fn tls_required_counts_once_with_the_value_no_and_never_otherwise() {
        let spaces = " ".repeat(LINE_HEAD_BYTES_MAX);
        let long = [format!("TLS-Required: No{spaces}x\r\n"), format!("TLS-Required:\r\n No{spaces}x\r\n")];
        for (header, expected) in [
            ("TLS-Required: No\r\n", true),
            ("TLS-REQUIRED:NO\r\n", true),
            ("tls-required : no \t\r\n", true),
            ("TLS-Required: No\r\nSubject: x\r\n folded\r\n", true),
            ("Subject: x\r\n TLS-Required: Yes\r\nTLS-Required: No\r\n", true),
            ("TLS-Required:\r\n No\r\n", true),
            ("TLS-Required:\r\n\tNo\r\n \r\n", true),
            ("TLS-Required: No\r\n \r\nX: y\r\n", true),
            ("TLS-Required: No\r\n t\r\n", false),
            ("TLS-Required: No\r\n \r\n No\r\n", false),
            ("TLS-Required: N\r\n o\r\n", false),
            ("TLS-Required:\r\n", false),
            ("TLS-Required: Yes\r\n", false),
            ("TLS-Required: \"No\"\r\n", false),
            ("TLS-Required: No (really)\r\n", false),
            ("TLS-Required: No, No\r\n", false),
            ("TLS-Required: None\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\n", false),
            ("TLS-Required: No\r\nX: y\r\ntls-required: Yes\r\n", false),
            ("TLS-Required: Yes\r\nTLS-Required: No\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\nTLS-Required: No\r\n", false),
            ("X-TLS-Required: No\r\n", false),
            ("TLS-Required-X: No\r\n", false),
            (" TLS-Required: No\r\n", false),
            (long[0].as_str(), false),
            (long[1].as_str(), false),
        ] {
            for ended in [format!("{header}\r\nbody\r\n"), header.to_owned()] {
                for size in 1..=ended.len() {
                    let mut scan = HeaderScan::default();
                    ended.as_bytes().chunks(size).for_each(|chunk| scan.push(chunk));
                    assert_eq!(scan.tls_required_no(), expected, "{ended:?} by {size}");
                }
            }
        }
    }

    #[test]
    fn a_header_without_end_does_not_say_that_tls_is_not_required() {
        let mut scan = HeaderScan::default();
        scan.push(b"TLS-Required: No\r\n");
        assert!(scan.tls_required_no());
        scan.push(&b"X: y\r\n".repeat(HEADER_BYTES_MAX as usize / 6 + 1));
        assert!(!scan.tls_required_no());
    }

    #[test]
    fn long_lines_and_long_headers_stay_within_the_bounds() {
        let long = [b"X: ".as_slice(), &[b'x'; 5000], b"\r\nReceived: a\r\n\r\n"].concat();
        assert_eq!(scan(&long, 7), (1, Some(5020), false, false));

        let many = b"Received: a\r\n".repeat(1 + RECEIVED_COUNT_MAX as usize);
        assert_eq!(scan(&many, 4096).0, RECEIVED_COUNT_MAX);

        let endless = [vec![b'x'; HEADER_BYTES_MAX as usize].as_slice(), b"\r\nReceived: a\r\n\r\n\xff"].concat();
        assert_eq!(scan(&endless, 1024), (0, None, false, true));
    }
}
