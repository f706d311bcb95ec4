//! Replies as they go out: bounded lines, codes on each of them, nothing but printable ASCII (RFC 5321 section 4.2).

use std::borrow::Cow;
use std::io::Write;
use std::iter;

use crate::model::reply::{Code, EnhancedCode, Reply};

/// RFC 5321 section 4.5.3.1.5, with the CRLF.
pub const REPLY_LINE_BYTES_MAX: usize = 512;
/// Longer replies are cut.
pub const REPLY_LINES_MAX: usize = 64;

/// Appends a reply. Text too long for its line goes on in the next one; what is no printable ASCII becomes `?`.
pub fn write(reply: &Reply, out: &mut Vec<u8>) {
    write_lines(reply.code, reply.enhanced, reply.lines.iter().map(String::as_str), out);
}

/// The same for a reply of one text.
pub fn write_line(code: Code, enhanced: Option<EnhancedCode>, text: &str, out: &mut Vec<u8>) {
    write_lines(code, enhanced, iter::once(text), out);
}

/// The same for any number of texts. The enhanced code stands on every line (RFC 2034 section 4).
pub fn write_lines<'a>(
    code: Code,
    enhanced: Option<EnhancedCode>,
    texts: impl Iterator<Item = &'a str>,
    out: &mut Vec<u8>,
) {
    let enhanced = enhanced.map(|code| code.to_string()).unwrap_or_default();
    // Code, separator, the space behind the enhanced code, CRLF.
    let room = REPLY_LINE_BYTES_MAX.saturating_sub(enhanced.len() + 4 + 1 + 2);
    let mut pieces = texts.flat_map(|text| wrap(printable(text), room)).take(REPLY_LINES_MAX).peekable();
    let mut piece = pieces.next().unwrap_or_default();
    loop {
        let next = pieces.next();
        let separator = if next.is_some() { '-' } else { ' ' };
        let space = if enhanced.is_empty() || piece.is_empty() { "" } else { " " };
        // Writing to a Vec does not fail.
        let _ = write!(out, "{code}{separator}{enhanced}{space}{piece}\r\n");
        match next {
            Some(next) => piece = next,
            None => break,
        }
    }
}

fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect())
}

/// The text in pieces of at most `room` bytes, cut at spaces where there are any. The text is ASCII.
fn wrap(text: Cow<'_, str>, room: usize) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest.take()?;
        if text.len() <= room {
            return Some(text);
        }
        let at = text.get(..room).and_then(|head| head.rfind(' ')).filter(|at| *at > 0).unwrap_or(room);
        let (head, tail) = text.split_at_checked(at)?;
        let piece = head.to_owned();
        rest = Some(Cow::Owned(tail.trim_start().to_owned()));
        Some(Cow::Owned(piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply) -> String {
        let mut out = Vec::new();
        write(reply, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn reply(lines: &[&str], enhanced: Option<EnhancedCode>) -> Reply {
        Reply { code: Code::FAILED, enhanced, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn codes_stand_on_every_line_and_the_last_one_is_marked() {
        let enhanced = Some(EnhancedCode::new(5, 7, 10));
        let table: &[(&[&str], Option<EnhancedCode>, &str)] = &[
            (&["no"], None, "554 no\r\n"),
            (&["no"], enhanced, "554 5.7.10 no\r\n"),
            (&["a", "", "b"], enhanced, "554-5.7.10 a\r\n554-5.7.10\r\n554 5.7.10 b\r\n"),
            (&[], enhanced, "554 5.7.10\r\n"),
            (&[""], None, "554 \r\n"),
        ];
        for (lines, enhanced, expected) in table {
            assert_eq!(written(&reply(lines, *enhanced)), *expected);
        }
    }

    #[test]
    fn nothing_but_printable_ascii_gets_out() {
        assert_eq!(written(&reply(&["a\r\n250 b\0\u{7f}\u{e9}\\x0d"], None)), "554 a??250 b???\\x0d\r\n");
    }

    #[test]
    fn long_texts_go_on_in_further_lines_within_the_limits() {
        let words = "word ".repeat(300);
        for text in [words.as_str(), &"x".repeat(2000), &"\u{e9}".repeat(700)] {
            let out = written(&reply(&[text], Some(EnhancedCode::new(5, 7, 10))));
            assert!(out.split_inclusive("\r\n").all(|line| line.len() <= REPLY_LINE_BYTES_MAX));
            let joined: String = out.lines().filter_map(|line| line.get(11..)).collect();
            assert_eq!(joined.replace(' ', ""), printable(text).replace(' ', ""));
        }
        assert_eq!(written(&reply(&["x"; 1000], None)).lines().count(), REPLY_LINES_MAX);
    }
}
