//! Header fields and plain paragraphs as lines: folded, bounded, and without control characters.

/// RFC 5322 section 2.1.1: lines SHOULD have at most 78 characters.
const LINE_BYTES_WANTED: usize = 78;
/// A word that is longer is broken, so that a line stays below the 998 of RFC 5322 section 2.1.1.
const WORD_BYTES_MAX: usize = 900;

/// `name: value`, folded at spaces, CRLF at the end. Control characters of the value become `?`.
pub(super) fn field(name: &str, value: &str) -> String {
    let mut out = format!("{name}:");
    let mut column = out.len();
    for word in value.split(' ') {
        for piece in pieces(word) {
            let fits = column + 1 + piece.len() <= LINE_BYTES_WANTED;
            // A line of nothing but space would end the header for some readers.
            if fits || piece.is_empty() || column == name.len() + 1 {
                out.push(' ');
                column += 1;
            } else {
                out.push_str("\r\n ");
                column = 1;
            }
            out.extend(piece.chars().map(|c| if c.is_control() { '?' } else { c }));
            column += piece.len();
        }
    }
    out.push_str("\r\n");
    out
}

/// Plain text on lines that begin with `indent`, CRLF at the end. Control characters become `?`.
pub(super) fn paragraph(indent: &str, text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for piece in text.split_ascii_whitespace().flat_map(pieces) {
        let width = piece.chars().count();
        if column > 0 && column + 1 + width <= LINE_BYTES_WANTED {
            out.push(' ');
            column += 1;
        } else {
            out.push_str(if column > 0 { "\r\n" } else { "" });
            out.push_str(indent);
            column = indent.len();
        }
        out.extend(piece.chars().map(|c| if c.is_control() { '?' } else { c }));
        column += width;
    }
    out.push_str("\r\n");
    out
}

/// The word itself, or parts of a word that is too long for a line.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(word);
    std::iter::from_fn(move || {
        let text = rest?;
        let cut = text.floor_char_boundary(WORD_BYTES_MAX);
        let (piece, remainder) = text.split_at_checked(cut).unwrap_or((text, ""));
        rest = (!remainder.is_empty()).then_some(remainder);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fold_at_spaces_and_unfold_to_what_they_were() {
        let long = "word ".repeat(40);
        let wide = format!("a {} b", "x".repeat(100));
        for value in ["short", "", "two  spaces", "tail ", long.as_str(), wide.as_str()] {
            let text = field("Name", value);
            assert_eq!(text.replace("\r\n ", " "), format!("Name: {value}\r\n"));
            for line in text.split("\r\n") {
                assert!(line.len() <= 78 || line.len() == 101, "{line:?}");
            }
            assert!(!text.contains("\r\n \r\n"), "{text:?}");
        }
    }

    #[test]
    fn no_value_begins_another_field() {
        assert_eq!(field("Name", "a\r\nBcc: x\0"), "Name: a??Bcc: x?\r\n");
    }

    #[test]
    fn paragraphs_wrap_and_keep_their_indent() {
        for (text, expected) in [
            ("", "\r\n"),
            ("a b", "  a b\r\n"),
            ("a\r\nb\u{1b}c", "  a b?c\r\n"),
            (&format!("{} b", "x".repeat(75)), &format!("  {}\r\n  b\r\n", "x".repeat(75))),
            (&format!("{} b", "x".repeat(74)), &format!("  {} b\r\n", "x".repeat(74))),
        ] {
            assert_eq!(paragraph("  ", text), expected, "{text:?}");
        }
    }

    #[test]
    fn no_line_exceeds_998_octets() {
        let text = field("Name", &"\u{f6}".repeat(3000));
        assert!(text.split("\r\n").all(|line| line.len() <= 998));
        assert_eq!(text.matches('\u{f6}').count(), 3000);
    }
}
