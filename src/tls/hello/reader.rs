//! From bytes to one whole message: records and the message header, judged as early as they come.

use std::borrow::Cow;

use super::parse::{Framing, client_hello};
use super::{BadHello, Progress};

/// The longest body of a hello; rustls has the same bound. OpenSSL would take twice as much, which no client sends.
pub const HELLO_BYTES_MAX: usize = 65_535;
/// The most records that a hello may be spread over.
pub const HELLO_RECORDS_MAX: usize = 4_096;
/// The longest content of a record before encryption (RFC 8446 section 5.1).
pub const RECORD_BYTES_MAX: usize = 16_384;
/// The most bytes that a hello takes with all its headers. The reader keeps no more than these and what the last push
/// brought beyond them.
pub const KEPT_BYTES_MAX: usize = HELLO_RECORDS_MAX * RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES + HELLO_BYTES_MAX;

const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
/// Version, random number, empty session, one suite, one compression method, no extensions.
const HELLO_BYTES_MIN: usize = 2 + 32 + 1 + 2 + 2 + 1 + 1;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// All content types: change_cipher_spec to heartbeat.
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=24;
const CLIENT_HELLO: u8 = 1;

/// Fed with bytes as they come; keeps them for replay. It looks at each byte once, and goes over the records once more
/// when a hello of several is whole.
#[derive(Debug)]
pub struct HelloReader {
    kept: Vec<u8>,
    /// How much of `kept` was looked at.
    read: usize,
    /// The record whose content is being read, `None` between records.
    content_left: Option<usize>,
    records: usize,
    /// Bytes of the message so far, with its header.
    message: usize,
    /// The length of the body, as far as its bytes came.
    body_length: usize,
    end: Option<End>,
}

/// How reading ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Hello,
    SslV2,
    Bad(BadHello),
}

impl Default for HelloReader {
    fn default() -> Self {
        Self::new()
    }
}

impl HelloReader {
    /// Allocates nothing until bytes come.
    pub fn new() -> Self {
        Self { kept: Vec::new(), read: 0, content_left: None, records: 0, message: 0, body_length: 0, end: None }
    }

    /// Takes the next bytes. Whoever reads for it stops at the first answer that is not [`Progress::More`]; what stands
    /// behind a finished hello is kept for replay too, and the answer stays the same.
    pub fn push(&mut self, bytes: &[u8]) -> Progress {
        if let Some(End::Bad(bad)) = self.end {
            return Progress::Bad(bad);
        }
        self.keep(bytes);
        match self.end.or_else(|| self.advance()) {
            None => Progress::More,
            Some(end) => self.finish(end),
        }
    }

    /// Everything that was pushed up to the end of a hello, and behind it; for replay.
    pub fn into_bytes(self) -> Vec<u8> {
        self.kept
    }

    /// Grows by doubling as a vector does, but not beyond what a hello can take.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.kept.len() + bytes.len();
        if needed > self.kept.capacity() {
            let doubled = (self.kept.capacity() * 2).min(KEPT_BYTES_MAX);
            self.kept.reserve_exact(needed.max(doubled) - self.kept.len());
        }
        self.kept.extend_from_slice(bytes);
    }

    /// Looks at what was not looked at yet.
    fn advance(&mut self) -> Option<End> {
        loop {
            let step = match self.content_left {
                None => self.read_header(),
                Some(left) => self.read_content(left),
            };
            match step {
                Step::Wait => return None,
                Step::Next => {}
                Step::End(end) => return Some(end),
            }
        }
    }

    fn read_header(&mut self) -> Step {
        let header = self.kept.get(self.read..).unwrap_or_default();
        let length = match record_header(header, self.records == 0) {
            Ok(Some(length)) => length,
            Ok(None) => return Step::Wait,
            Err(end) => return Step::End(end),
        };
        self.read += RECORD_HEADER_BYTES;
        self.records += 1;
        self.content_left = Some(length);
        Step::Next
    }

    fn read_content(&mut self, left: usize) -> Step {
        if left == 0 {
            if self.records == HELLO_RECORDS_MAX {
                return Step::bad(BadHello::TooManyRecords);
            }
            self.content_left = None;
            return Step::Next;
        }
        let unread = self.kept.get(self.read..).unwrap_or_default();
        let Some(first) = unread.first() else { return Step::Wait };
        let count = if self.message < MESSAGE_HEADER_BYTES {
            if let Err(bad) = self.read_message_header(*first) {
                return Step::bad(bad);
            }
            1
        } else {
            let missing = MESSAGE_HEADER_BYTES + self.body_length - self.message;
            unread.len().min(left).min(missing)
        };
        self.read += count;
        self.message += count;
        self.content_left = Some(left - count);
        match self.message == MESSAGE_HEADER_BYTES + self.body_length && self.message > MESSAGE_HEADER_BYTES {
            true => Step::End(End::Hello),
            false => Step::Next,
        }
    }

    /// One byte of the header: the type, then the length in three bytes.
    fn read_message_header(&mut self, byte: u8) -> Result<(), BadHello> {
        match self.message {
            0 if byte != CLIENT_HELLO => return Err(BadHello::NotAClientHello),
            0 => {}
            1 if byte != 0 => return Err(BadHello::TooLong),
            _ => self.body_length = self.body_length << 8 | usize::from(byte),
        }
        match self.message + 1 == MESSAGE_HEADER_BYTES && self.body_length < HELLO_BYTES_MIN {
            true => Err(BadHello::Malformed("too short")),
            false => Ok(()),
        }
    }

    fn finish(&mut self, end: End) -> Progress {
        self.end = Some(end);
        match end {
            End::SslV2 => Progress::SslV2,
            End::Bad(bad) => self.refuse(bad),
            End::Hello => {
                let record_left = self.content_left.unwrap_or_default();
                let framing =
                    Framing { bytes_with_headers: self.read + record_left, fills_its_records: record_left == 0 };
                let parsed = client_hello(&self.body(), framing);
                match parsed {
                    Ok(hello) => Progress::Hello(Box::new(hello)),
                    Err(bad) => self.refuse(bad),
                }
            }
        }
    }

    fn refuse(&mut self, bad: BadHello) -> Progress {
        self.end = Some(End::Bad(bad));
        Progress::Bad(bad)
    }

    /// The body of the whole message; where it stands in one record, it is not copied.
    fn body(&self) -> Cow<'_, [u8]> {
        if self.records == 1 {
            let start = RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES;
            return Cow::Borrowed(self.kept.get(start..start + self.body_length).unwrap_or_default());
        }
        let mut message = Vec::with_capacity(self.message);
        let mut records = self.kept.as_slice();
        while let [_, _, _, high, low, after @ ..] = records {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (content, rest) = after.split_at(length.min(after.len()));
            message.extend(content.iter().take(self.message - message.len()));
            if message.len() == self.message {
                break;
            }
            records = rest;
        }
        message.drain(..MESSAGE_HEADER_BYTES.min(message.len()));
        Cow::Owned(message)
    }
}

enum Step {
    /// For more bytes.
    Wait,
    Next,
    End(End),
}

impl Step {
    fn bad(bad: BadHello) -> Self {
        Self::End(End::Bad(bad))
    }
}

/// The length of the record's content, `None` while its header is not whole.
fn record_header(header: &[u8], is_first: bool) -> Result<Option<usize>, End> {
    let [content_type, after @ ..] = header else { return Ok(None) };
    if is_first && content_type & 0x80 != 0 {
        return sslv2_header(header);
    }
    if !CONTENT_TYPES.contains(content_type) {
        return Err(End::Bad(BadHello::NotTls));
    }
    let [major, after @ ..] = after else { return Ok(None) };
    match (*content_type, *major) {
        (HANDSHAKE, 3) => {}
        (ALERT, 3) => return Err(End::Bad(BadHello::Alert)),
        (_, 3) => return Err(End::Bad(BadHello::NotAClientHello)),
        _ => return Err(End::Bad(BadHello::NotTls)),
    }
    match after {
        [_minor, high, ..] if usize::from(*high) << 8 > RECORD_BYTES_MAX => Err(End::Bad(BadHello::RecordTooLong)),
        [_minor, high, low, ..] => match usize::from(u16::from_be_bytes([*high, *low])) {
            0 => Err(End::Bad(BadHello::EmptyRecord)),
            length if length > RECORD_BYTES_MAX => Err(End::Bad(BadHello::RecordTooLong)),
            length => Ok(Some(length)),
        },
        _ => Ok(None),
    }
}

/// Two bytes of length with the highest bit set, the type of a hello, and the version: 3.x, or 2.0, which is written
/// 0.2 (RFC 5246 appendix E.2).
fn sslv2_header(header: &[u8]) -> Result<Option<usize>, End> {
    match header {
        [_, _, CLIENT_HELLO, 2 | 3, ..] | [_, _, CLIENT_HELLO, 0, 2, ..] => Err(End::SslV2),
        [_] | [_, _] | [_, _, CLIENT_HELLO] | [_, _, CLIENT_HELLO, 0] => Ok(None),
        _ => Err(End::Bad(BadHello::NotTls)),
    }
}
