//! A look at a message while it streams through: hops, end of the header, 8-bit octets (RFC 5322 section 2.2).
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
    tls_required_no: bool,
    eight_bit: bool,
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
            tls_required_no: false,
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

    /// Whether the header says `TLS-Required: No` (RFC 8689 section 5).
    pub fn tls_required_no(&self) -> bool {
        self.tls_required_no
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
        } else if let Some((name, value)) = split_field(&self.head) {
            if name.eq_ignore_ascii_case(b"Received") {
                self.received_count = (self.received_count + 1).min(RECEIVED_COUNT_MAX);
            }
            if name.eq_ignore_ascii_case(b"TLS-Required") && value.eq_ignore_ascii_case(b"No") {
                self.tls_required_no = true;
            }
        }
        self.head.clear();
        self.line_bytes = 0;
    }
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
    fn long_lines_and_long_headers_stay_within_the_bounds() {
        let long = [b"X: ".as_slice(), &[b'x'; 5000], b"\r\nReceived: a\r\n\r\n"].concat();
        assert_eq!(scan(&long, 7), (1, Some(5020), false, false));

        let many = b"Received: a\r\n".repeat(1 + RECEIVED_COUNT_MAX as usize);
        assert_eq!(scan(&many, 4096).0, RECEIVED_COUNT_MAX);

        let endless = [vec![b'x'; HEADER_BYTES_MAX as usize].as_slice(), b"\r\nReceived: a\r\n\r\n\xff"].concat();
        assert_eq!(scan(&endless, 1024), (0, None, false, true));
    }
}
