//! What only the terminal has: labelled texts, JSON that can be shown, and durations as arguments.

use std::time::Duration;

use crate::model::human::wrap;

use super::output::{DIM, WIDTH_COLUMNS};

/// Where the texts behind labels begin.
pub(super) const LABEL_COLUMNS: usize = 10;
/// The same beside a key, which fills the rest of the line.
const LABEL_COLUMNS_MIN: usize = 8;
/// The longest time back that anybody asks about: 100 years.
const DURATION_MAX: Duration = Duration::from_secs(36_525 * 86_400);

/// `label     text`, the text wrapped in a column of its own within the width of the terminal.
pub(super) fn labelled(label: &str, text: &str) -> Vec<String> {
    let wrapped = wrap(text, WIDTH_COLUMNS - LABEL_COLUMNS).into_iter();
    let first = std::iter::once(label).chain(std::iter::repeat(""));
    wrapped.zip(first).map(|(line, label)| format!("{DIM}{label:LABEL_COLUMNS$}{DIM:#}{line}")).collect()
}

/// A label and a text that must stay in one piece, such as a key: it is copied from the terminal.
pub(super) fn labelled_whole(label: &str, text: &str) -> String {
    format!("{DIM}{label:LABEL_COLUMNS_MIN$}{DIM:#}{text}")
}

/// A line of JSON for the terminal: the same value in printable ASCII.
pub(super) fn shown_json(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    for c in String::from_utf8_lossy(line).chars() {
        match c {
            ' '..='~' => out.push(c),
            c => out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    out
}

/// `90s`, `5m`, `4h`, `5d`, as the configuration writes them.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit, such as 90s, 5m, 4h or 5d".to_owned();
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 =
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten().ok_or_else(wrong)?;
    let duration = number.checked_mul(unit).map(Duration::from_secs).filter(|duration| *duration <= DURATION_MAX);
    duration.ok_or_else(|| "write a time of no more than 100 years, such as 36500d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_on_a_terminal_is_the_same_value_in_printable_ascii() {
        let value = serde_json::json!({"from": "a\u{202e}b\u{1f600}\u{7f}\u{9b}\\\"", "to": ["\u{fc}@b.example"]});
        let shown = shown_json(&serde_json::to_vec(&value).unwrap());
        assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert_eq!(shown_json(b"{\x1b[2J\xff"), "{\\u001b[2J\\ufffd");
    }

    #[test]
    fn durations_are_read_in_the_form_of_the_configuration() {
        for (text, seconds) in [("90s", Some(90)), ("5m", Some(300)), ("4h", Some(14_400)), ("5d", Some(432_000))] {
            assert_eq!(parse_duration(text).ok().map(|d| d.as_secs()), seconds);
        }
        for text in [
            "",
            "h",
            "4",
            "4w",
            "+4h",
            "-1s",
            "1.5h",
            "99999999999999999999d",
            "999999999999999999d",
            "36526d",
            "4\u{fc}",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
