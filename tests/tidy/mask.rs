//! Blanks out what is not code: comments, strings and character literals. Lines keep their numbers.

/// The text with a space for each character that is no code, and line feeds where they were.
pub fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = (at + literal_len(&chars, at)).min(chars.len());
        if end == at {
            out.push(if chars[at].is_ascii() { chars[at] } else { ' ' });
            at += 1;
        }
        for c in &chars[at.min(end)..end] {
            out.push(if *c == '\n' { '\n' } else { ' ' });
        }
        at = at.max(end);
    }
    out
}

/// The characters of the comment or literal that starts here, 0 if none does.
fn literal_len(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_len(rest),
        ['"', ..] => quoted_len(rest, '"'),
        ['\'', '\\', ..] => quoted_len(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        ['r', '"' | '#', ..] if starts_token(chars, at) => raw_string_len(rest),
        _ => 0,
    }
}

/// Whether no identifier runs into this character; the prefixes `b` and `c` of a raw string are none.
fn starts_token(chars: &[char], at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    match chars[..at] {
        [.., before, 'b' | 'c'] => !is_word(before),
        [.., before] => !is_word(before) || matches!(chars[..at], ['b' | 'c']),
        [] => true,
    }
}

fn block_comment_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => depth += 1,
            ['*', '/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_len(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `r"…"` or `r#"…"#`; a raw identifier such as `r#fn` has no length.
fn raw_string_len(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut at = 2 + hashes;
    while at < rest.len() {
        let closes = rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

#[test]
fn only_code_is_left_and_lines_keep_their_numbers() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ \n */ d", "a              \n    d"),
        (r#"f("x { \" }")"#, "f(          )"),
        ("r\"\\\" + b", "     + b"),
        ("br#\"a\"b\"# c", "b         c"),
        ("r#fn x", "r#fn x"),
        ("for x", "for x"),
        ("'{' '\\'' '\\u{1}' x", "                 x"),
        ("&'a str<'b>", "&'a str<'b>"),
        ("\"a\n}\" b", "  \n   b"),
        ("\"ä\" é", "      "),
        ("\"no end", "       "),
    ] {
        let masked = mask(text);
        assert_eq!(masked.trim_end(), expected.trim_end(), "{text}");
        assert_eq!(masked.lines().count(), text.lines().count(), "{text}");
    }
}
