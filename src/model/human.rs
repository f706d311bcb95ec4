//! Values in the form that people read: cut and wrapped texts, spans, sizes, counts, moments.

use std::borrow::Cow;
use std::time::Duration;

use super::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use super::time::Timestamp;

/// Cuts to `columns_max` characters; what was cut ends with "…".
pub fn cut(text: &str, columns_max: usize) -> Cow<'_, str> {
    if text.chars().count() <= columns_max {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(columns_max.saturating_sub(1)).collect();
    Cow::Owned(format!("{kept}…"))
}

/// The lines of a text broken between words. A longer word is broken where it must be.
pub fn wrap(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let used = line.chars().count();
        if used > 0 && used + 1 + word.chars().count() > columns_max {
            lines.push(std::mem::take(&mut line));
        } else if used > 0 {
            line.push(' ');
        }
        for c in word.chars() {
            if line.chars().count() >= columns_max.max(1) {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// A text for the terminal: what could move the cursor, turn the direction of writing or stand there unseen is escaped.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Control characters, and those of Unicode for line ends, directions and marks that take no room.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0001}'..='\u{e007f}')
}

/// Text of a peer: printable ASCII, and no more than a line of it.
pub fn peer(text: &str) -> Cow<'_, str> {
    peer_text(text, PEER_TEXT_BYTES_MAX)
}

/// A span in its largest whole unit: `59s`, `12m`, `47h`, `5d`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes in at most six characters: `999B`, `1.2kB`, `12kB`, `3.4MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count}B");
    }
    let mut rest = count;
    for unit in UNITS {
        if rest < 10_000 {
            return format!("{}.{}{unit}", rest / 1000, rest % 1000 / 100);
        }
        rest /= 1000;
        if rest < 1000 {
            return format!("{rest}{unit}");
        }
    }
    format!("{rest}PB")
}

/// `1 record`, `12,345 records`; a noun in -y has its plural in -ies.
pub fn count(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let text = thousands(number);
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("{text} {noun}"),
        Some(stem) => format!("{text} {stem}ies"),
        None => format!("{text} {noun}s"),
    }
}

/// `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2027-01-02 03:04:05.678`, UTC.
pub fn moment(text: &str) -> String {
    text.get(..23).unwrap_or(text).replacen('T', " ", 1)
}

/// `2027-01-02 03:04:05 UTC`.
pub fn second(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} UTC", text.get(..19).unwrap_or(&text).replacen('T', " ", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_sizes_and_counts_are_short_and_round_down() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (3599, "59m"), (7200, "2h"), (172_799, "47h"), (432_000, "5d")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        for (number, text) in [
            (999, "999B"),
            (1_250, "1.2kB"),
            (12_999, "12kB"),
            (999_999, "999kB"),
            (1_000_000, "1.0MB"),
            (50_000_000, "50MB"),
            (u64::MAX, "18446PB"),
        ] {
            assert_eq!(bytes(number), text, "{number}");
        }
        assert_eq!(count(1_u64, "record"), "1 record");
        assert_eq!(count(1_234_567_u64, "record"), "1,234,567 records");
        assert_eq!(count(0_usize, "error"), "0 errors");
    }

    #[test]
    fn texts_are_cut_and_wrapped_within_their_width() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a 1234567890 b", 4), ["a", "1234", "5678", "90 b"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn nothing_that_moves_the_cursor_is_shown() {
        assert_eq!(shown("m\u{fc}ller \\x0d"), "m\u{fc}ller \\x0d");
        assert_eq!(shown("a\u{1b}[2J\n\u{202e}"), "a\\u{1b}[2J\\u{a}\\u{202e}");
    }

    #[test]
    fn nothing_that_is_unseen_or_turns_the_direction_is_shown() {
        let unseen = "\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200f}\u{2060}\u{2064}\u{feff}\u{fffb}\u{e0041}";
        for c in unseen.chars().chain("\u{200e}\u{2028}\u{202a}\u{202e}\u{2066}\u{2069}".chars()) {
            let text = format!("a{c}b");
            assert_eq!(shown(&text), format!("a{}b", c.escape_unicode()));
        }
        for text in ["\u{5e9}\u{5dc}", "\u{627}", "\u{4e2d}", "\u{1f600}", "e\u{301}"] {
            assert_eq!(shown(text), text);
        }
    }
}
