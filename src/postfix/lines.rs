//! Logical lines, the form that main.cf, master.cf and the sources of tables share.

/// A logical line and the number, from 1, of the first line that it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    pub number: u32,
    pub text: String,
}

/// The logical lines of a text. A line that begins with white space goes on the one before; empty lines and comments
/// end nothing and count for nothing.
pub fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut found: Vec<LogicalLine> = Vec::new();
    for (line, number) in text.lines().zip(1_u32..) {
        let line = line.trim_end();
        let begins = line.trim_start();
        if begins.is_empty() || begins.starts_with('#') {
            continue;
        }
        match found.last_mut().filter(|_| line.starts_with(char::is_whitespace)) {
            Some(before) => before.text.push_str(line),
            None => found.push(LogicalLine { number, text: begins.to_owned() }),
        }
    }
    found
}

/// The items between blanks and commas. What stands in braces is one item, with its braces.
pub fn items(text: &str) -> Vec<&str> {
    split_outside_braces(text, |c| c == ',' || c.is_whitespace())
}

/// The parts between the characters that separate, outside of braces; empty ones are left out.
pub fn split_outside_braces(text: &str, separates: impl Fn(char) -> bool) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 && separates(c) => {
                found.extend(text.get(start..at));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    found.extend(text.get(start..));
    found.retain(|item| !item.is_empty());
    found
}

/// What stands between the outer braces, trimmed; `None` without them.
pub fn in_braces(text: &str) -> Option<&str> {
    text.trim().strip_prefix('{')?.strip_suffix('}').map(str::trim)
}

/// `yes` in any case; everything else is no.
pub fn is_yes(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_begin_with_a_blank_go_on_whatever_stands_between() {
        let text = "# c\n\na = 1\n  2\n# c\n\n\t3\n  # c\nb=4\n";
        let found: Vec<_> = logical_lines(text).into_iter().map(|line| (line.number, line.text)).collect();
        assert_eq!(found, [(3, "a = 1  2\t3".to_owned()), (9, "b=4".to_owned())]);
        assert_eq!(logical_lines("  a\n"), [LogicalLine { number: 1, text: "a".into() }]);
    }

    #[test]
    fn items_stand_between_blanks_and_commas_outside_of_braces() {
        for (text, expected) in [
            ("a, b\tc,,d", vec!["a", "b", "c", "d"]),
            ("inline:{ {a = b}, c=d } hash:x", vec!["inline:{ {a = b}, c=d }", "hash:x"]),
            ("{ a = b c } d", vec!["{ a = b c }", "d"]),
            ("}a b", vec!["}a", "b"]),
            (" , ", vec![]),
        ] {
            assert_eq!(items(text), expected, "{text}");
        }
        assert_eq!(in_braces(" { a = b } "), Some("a = b"));
        assert_eq!(in_braces("{a"), None);
    }
}
