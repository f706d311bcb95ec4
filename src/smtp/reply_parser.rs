//! Reads replies of a server, piece by piece, within bounds (RFC 5321 section 4.2).
//!
//! Must not: keep bytes behind the end of a reply, or show text that is not escaped.

use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_bytes};
use crate::model::reply::{Code, EnhancedCode, Reply};

/// Longest reply line, line end included. RFC 5321 section 4.5.3.1.5 says 512; real servers exceed it.
pub const REPLY_LINE_BYTES_MAX: usize = 4096;
/// Most lines of one reply.
pub const REPLY_LINES_MAX: usize = 128;
/// Most octets of one reply, line ends included.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Most octets of escaped text that a reply keeps. Lines that do not fit are checked and then left out.
pub const REPLY_TEXT_BYTES_MAX: usize = 4096;

/// Why bytes are no reply. Always the server's fault; the connection cannot be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyFault {
    #[error("a reply line does not begin with a code between 200 and 599 and a space or hyphen")]
    BadLine,
    #[error("a reply line holds a NUL")]
    Nul,
    #[error("a reply line is longer than 4096 octets")]
    LineTooLong,
    #[error("a reply has more than 128 lines or 65536 octets")]
    TooManyLines,
    #[error("the lines of a reply have different codes")]
    CodesDiffer,
}

/// A reply that is being read. CRLF ends a line; a bare LF is taken as a line end too, because servers send it.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// The unfinished line, at most `REPLY_LINE_BYTES_MAX` octets.
    line: Vec<u8>,
    /// What the finished lines of an unfinished reply said.
    partial: Option<Reply>,
    lines: usize,
    reply_bytes: usize,
    text_bytes: usize,
}

impl ReplyParser {
    /// Takes octets from the front of `input` up to the end of one reply, and leaves the rest there.
    /// `None`: the reply goes on and all of `input` was taken. After a fault the parser is empty again.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyFault> {
        let result = self.read_lines(input);
        if result.is_err() {
            *self = Self::default();
        }
        result
    }

    /// Whether no part of a reply is waiting for its rest.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty() && self.partial.is_none()
    }

    fn read_lines(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyFault> {
        while !input.is_empty() {
            let (taken, complete) = match memchr::memchr(b'\n', input) {
                Some(at) => (at + 1, true),
                None => (input.len(), false),
            };
            if self.line.len() + taken > REPLY_LINE_BYTES_MAX {
                return Err(ReplyFault::LineTooLong);
            }
            let (head, rest) = input.split_at_checked(taken).unwrap_or((*input, &[]));
            self.line.extend_from_slice(head);
            *input = rest;
            if !complete {
                break;
            }
            let line = std::mem::take(&mut self.line);
            if let Some(reply) = self.take_line(&line)? {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Adds one line, line end included. Gives the reply if this was its last line.
    fn take_line(&mut self, raw: &[u8]) -> Result<Option<Reply>, ReplyFault> {
        self.lines += 1;
        self.reply_bytes += raw.len();
        if self.lines > REPLY_LINES_MAX || self.reply_bytes > REPLY_BYTES_MAX {
            return Err(ReplyFault::TooManyLines);
        }
        let line = Line::parse(raw)?;
        let mut reply = match self.partial.take() {
            None => Reply { code: line.code, enhanced: line.enhanced(), lines: Vec::new() },
            Some(reply) if reply.code == line.code => reply,
            Some(_) => return Err(ReplyFault::CodesDiffer),
        };
        let text = peer_bytes(line.text_after(reply.enhanced), PEER_TEXT_BYTES_MAX);
        if self.text_bytes + text.len() <= REPLY_TEXT_BYTES_MAX {
            self.text_bytes += text.len();
            reply.lines.push(text);
        }
        if line.last {
            *self = Self::default();
            return Ok(Some(reply));
        }
        self.partial = Some(reply);
        Ok(None)
    }
}

/// `Reply-line` of RFC 5321 section 4.2.
struct Line<'a> {
    code: Code,
    last: bool,
    text: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(raw: &'a [u8]) -> Result<Self, ReplyFault> {
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if memchr::memchr(0, line).is_some() {
            return Err(ReplyFault::Nul);
        }
        let (digits, rest) = line.split_at_checked(3).ok_or(ReplyFault::BadLine)?;
        let code = parse_code(digits).ok_or(ReplyFault::BadLine)?;
        match rest.split_first() {
            None => Ok(Self { code, last: true, text: &[] }),
            Some((b' ', text)) => Ok(Self { code, last: true, text }),
            Some((b'-', text)) => Ok(Self { code, last: false, text }),
            Some(_) => Err(ReplyFault::BadLine),
        }
    }

    /// RFC 2034 section 4: the first word, if it is an enhanced code of the class of the reply code.
    fn enhanced(&self) -> Option<EnhancedCode> {
        let (word, _) = split_word(self.text);
        let enhanced = EnhancedCode::parse(std::str::from_utf8(word).ok()?)?;
        (u16::from(enhanced.class) == self.code.number() / 100).then_some(enhanced)
    }

    /// The text without the enhanced code that the reply as a whole has.
    fn text_after(&self, enhanced: Option<EnhancedCode>) -> &'a [u8] {
        if enhanced.is_some() && self.enhanced() == enhanced { split_word(self.text).1 } else { self.text }
    }
}

fn parse_code(digits: &[u8]) -> Option<Code> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Code::new(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(at) = memchr::memchr(b' ', text) else { return (text, &[]) };
    let (word, rest) = text.split_at_checked(at).unwrap_or((text, &[]));
    (word, rest.strip_prefix(b" ").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Result<Vec<String>, ReplyFault>;
    type Row = (&'static [u8], Result<&'static [&'static str], ReplyFault>);

    /// Reads whole and byte by byte, which must give the same.
    fn read_all(bytes: &[u8]) -> Seen {
        let whole = read_chunks(bytes, bytes.len().max(1));
        assert_eq!(whole, read_chunks(bytes, 1), "chunking of {:?}", String::from_utf8_lossy(bytes));
        whole
    }

    fn read_chunks(bytes: &[u8], size: usize) -> Seen {
        let mut parser = ReplyParser::default();
        let mut seen = Vec::new();
        for mut chunk in bytes.chunks(size) {
            while let Some(reply) = parser.read(&mut chunk)? {
                assert!(parser.is_empty());
                seen.push(format!("{}|{:?}|{}", reply.code, reply.enhanced, reply.lines.join("|")));
            }
        }
        Ok(seen)
    }

    #[test]
    fn replies_of_rfc_5321_are_read_and_others_are_faults() {
        let table: &[Row] = &[
            (b"250 ok\r\n", Ok(&["250|None|ok"])),
            (b"250\r\n", Ok(&["250|None|"])),
            (b"250 \r\n", Ok(&["250|None|"])),
            (b"250 ok\n", Ok(&["250|None|ok"])),
            (b"250-a\r\n250-b\r\n250 c\r\n", Ok(&["250|None|a|b|c"])),
            (b"250-\r\n250\r\n", Ok(&["250|None||"])),
            (b"250 2.1.0 ok\r\n550 5.1.1 no\r\n", Ok(&["250|Some(2.1.0)|ok", "550|Some(5.1.1)|no"])),
            (b"550-5.1.1 no\r\n550 5.1.1 user\r\n", Ok(&["550|Some(5.1.1)|no|user"])),
            (b"550-5.1.1 no\r\n550 user\r\n", Ok(&["550|Some(5.1.1)|no|user"])),
            (b"550 5.1.1\r\n", Ok(&["550|Some(5.1.1)|"])),
            (b"250 5.1.1 odd\r\n", Ok(&["250|None|5.1.1 odd"])),
            (b"550 no\xff\x1b\r\n", Ok(&["550|None|no\\u{ff}\\x1b"])),
            (b"250 half", Ok(&[])),
            (b"250-half\r\n", Ok(&[])),
            (b"25 ok\r\n", Err(ReplyFault::BadLine)),
            (b"2500 ok\r\n", Err(ReplyFault::BadLine)),
            (b"250_ok\r\n", Err(ReplyFault::BadLine)),
            (b"199 ok\r\n", Err(ReplyFault::BadLine)),
            (b"600 ok\r\n", Err(ReplyFault::BadLine)),
            (b"+50 ok\r\n", Err(ReplyFault::BadLine)),
            (b"\r\n", Err(ReplyFault::BadLine)),
            (b"HTTP/1.1 400 Bad Request\r\n", Err(ReplyFault::BadLine)),
            (b"250 a\0b\r\n", Err(ReplyFault::Nul)),
            (b"250-a\r\n251 b\r\n", Err(ReplyFault::CodesDiffer)),
        ];
        for (bytes, expected) in table {
            let expected = expected.map(|list| list.iter().map(ToString::to_string).collect());
            assert_eq!(read_all(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn each_bound_holds_to_the_octet() {
        let line = |bytes: usize| [b"250 ", vec![b'x'; bytes - 6].as_slice(), b"\r\n"].concat();
        assert_eq!(read_all(&line(REPLY_LINE_BYTES_MAX)).unwrap().len(), 1);
        assert_eq!(read_all(&line(REPLY_LINE_BYTES_MAX + 1)), Err(ReplyFault::LineTooLong));
        assert_eq!(read_all(&vec![b'2'; REPLY_LINE_BYTES_MAX + 1]), Err(ReplyFault::LineTooLong));

        let lines = |count: usize| [b"250-a\r\n".repeat(count - 1).as_slice(), b"250 a\r\n"].concat();
        assert_eq!(read_all(&lines(REPLY_LINES_MAX)).unwrap().len(), 1);
        assert_eq!(read_all(&lines(REPLY_LINES_MAX + 1)), Err(ReplyFault::TooManyLines));

        let long = [b"250-".as_slice(), &[b'x'; 4000], b"\r\n"].concat().repeat(17);
        assert_eq!(read_all(&long), Err(ReplyFault::TooManyLines));
    }

    #[test]
    fn a_long_reply_keeps_a_bounded_text() {
        let bytes =
            [[b"550-".as_slice(), &[b'y'; 500], b"\r\n"].concat().repeat(100).as_slice(), b"550 z\r\n"].concat();
        let reply = ReplyParser::default().read(&mut bytes.as_slice()).unwrap().unwrap();
        let kept: usize = reply.lines.iter().map(String::len).sum();
        assert!(kept <= REPLY_TEXT_BYTES_MAX && kept > REPLY_TEXT_BYTES_MAX - 500, "{kept}");
    }
}
