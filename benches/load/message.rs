//! Messages that can be told apart: a header field says which one of which run it is, and when it was sent.

use memchr::memmem;

use crate::figures::now_ns;

const MARK: &str = "X-Load: ";
const LINE_CHARS: usize = 76;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub run: u64,
    /// Counts the messages of a run from 0.
    pub number: u64,
    pub sent_ns: u64,
}

impl Mark {
    pub fn now(run: u64, number: u64) -> Self {
        Self { run, number, sent_ns: now_ns() }
    }

    /// Finds the mark in the beginning of a message; relays put fields of their own in front.
    pub fn find(head: &[u8]) -> Option<Self> {
        let start = memmem::find(head, MARK.as_bytes())? + MARK.len();
        let line = head[start..].split(|byte| *byte == b'\r').next()?;
        let mut numbers = std::str::from_utf8(line).ok()?.split(' ').map(|word| word.parse().ok());
        Some(Self { run: numbers.next()??, number: numbers.next()??, sent_ns: numbers.next()?? })
    }

    pub fn header(&self, from: &str, to: &str) -> String {
        let Self { run, number, sent_ns } = self;
        format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: message {number} of run {run}\r\n\
             Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{run}.{number}@load.example>\r\n\
             {MARK}{run} {number} {sent_ns}\r\n\r\n"
        )
    }
}

/// Text that does not compress, in lines like those of an attachment, with the end of the message.
pub fn body(bytes: usize) -> Vec<u8> {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ALPHABET[(state & 63) as usize]
    };
    let mut text = Vec::with_capacity(bytes + LINE_CHARS + 5);
    while text.len() < bytes {
        text.extend((0..LINE_CHARS).map(|_| letter()));
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b".\r\n");
    text
}
