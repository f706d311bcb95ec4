//! Text from peers made safe to show: printable, bounded, on one line.

use std::borrow::Cow;

/// Longest peer text that is kept for records and logs, in bytes of the escaped form.
pub const PEER_TEXT_BYTES_MAX: usize = 512;

/// Printable ASCII stays; everything else becomes `\xNN` or `\u{N}`; what exceeds `bytes_max` is cut and marked with
/// `...`.
pub fn peer_text(text: &str, bytes_max: usize) -> Cow<'_, str> {
    escaped(text, bytes_max, is_plain)
}

/// The same for a text of which parts are escaped already: they stay as they are.
pub fn shortened(text: &str, bytes_max: usize) -> Cow<'_, str> {
    escaped(text, bytes_max, |byte| is_plain(byte) || byte == b'\\')
}

fn escaped(text: &str, bytes_max: usize, is_plain: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if text.len() <= bytes_max && text.bytes().all(&is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(bytes_max) + 8);
    for c in text.chars() {
        let before = out.len();
        match c {
            c if c.is_ascii() && is_plain(c as u8) => out.push(c),
            c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.extend(c.escape_unicode()),
        }
        if out.len() > bytes_max {
            out.truncate(before);
            out.push_str("...");
            break;
        }
    }
    Cow::Owned(out)
}

/// The same for bytes that may be no UTF-8.
pub fn peer_bytes(bytes: &[u8], bytes_max: usize) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => peer_text(text, bytes_max).into_owned(),
        Err(_) => {
            let latin1: String = bytes.iter().take(bytes_max + 1).map(|b| char::from(*b)).collect();
            peer_text(&latin1, bytes_max).into_owned()
        }
    }
}

fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_comes_out_and_never_more_than_the_bound() {
        for (text, max, expected) in [
            ("plain text", 64, "plain text"),
            ("a\r\nb\u{1b}[31m", 64, "a\\x0d\\x0ab\\x1b[31m"),
            ("back\\slash", 64, "back\\x5cslash"),
            ("\u{202e}rtl", 64, "\\u{202e}rtl"),
            ("abcdef", 4, "abcd..."),
            ("abc\n", 4, "abc..."),
        ] {
            assert_eq!(peer_text(text, max), expected, "{text:?}");
        }
        assert_eq!(peer_bytes(&[0xff, b'a'], 64), "\\u{ff}a");
    }

    #[test]
    fn what_is_escaped_once_is_shortened_without_being_escaped_again() {
        for (text, max, expected) in [
            ("a\\x1b[31m \u{1b}", 64, "a\\x1b[31m \\x1b"),
            ("plain text", 5, "plain..."),
            ("\\x1b\\x1b", 64, "\\x1b\\x1b"),
        ] {
            assert_eq!(shortened(text, max), expected, "{text:?}");
            let escaped = peer_text(text, max).into_owned();
            assert_eq!(shortened(&escaped, 2 * max), escaped);
        }
    }
}
