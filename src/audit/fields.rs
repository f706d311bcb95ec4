//! The fields of a record as slices of its line, found without parsing what nobody asks for.
//!
//! The lines were written by this program, and `audit verify` proves that they are what was written; what is malformed
//! all the same ends the walk with an error and never a panic.

use std::borrow::Cow;

/// Words of eight bytes that are looked at one by one.
const SHORT_WORDS: usize = 8;

/// The line is no JSON object, as far as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object")]
pub struct Malformed;

/// The fields of one object in their order: the name without quotes, and its value as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Behind the opening brace or the last comma; `None` at the end.
    rest: Option<&'a [u8]>,
}

/// Walks `object`, from its opening brace on. What stands behind the closing one is not looked at.
pub fn fields(object: &[u8]) -> Result<Fields<'_>, Malformed> {
    match object {
        [b'{', b'}', ..] => Ok(Fields { rest: None }),
        [b'{', rest @ ..] => Ok(Fields { rest: Some(rest) }),
        _ => Err(Malformed),
    }
}

impl<'a> Fields<'a> {
    /// Walks on behind the comma that `rest` follows.
    pub(super) const fn behind(rest: &'a [u8]) -> Self {
        Self { rest: Some(rest) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let field = split(rest);
        self.rest = field.and_then(|(_, _, rest)| rest);
        Some(field.map(|(name, value, _)| (name, value)).ok_or(Malformed))
    }
}

/// Name, value, and what stands behind the comma, if one follows.
type Split<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);

fn split(rest: &[u8]) -> Option<Split<'_>> {
    let (name, rest) = rest.split_at_checked(string_len(rest)?)?;
    let name = name.get(1..name.len() - 1)?;
    let (value, rest) = split_value(rest.strip_prefix(b":")?)?;
    match rest.first()? {
        b',' => Some((name, value, rest.get(1..))),
        b'}' => Some((name, value, None)),
        _ => None,
    }
}

/// The value that `rest` begins with, and what stands behind it.
pub(super) fn split_value(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = match rest.first()? {
        b'"' => string_len(rest)?,
        b'{' | b'[' => nested_len(rest)?,
        _ => rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).filter(|length| *length > 0)?,
    };
    rest.split_at_checked(length)
}

/// Bytes of the string that `rest` begins with, both quotes included.
fn string_len(rest: &[u8]) -> Option<usize> {
    let mut at = usize::from(rest.first() == Some(&b'"'));
    if at == 0 {
        return None;
    }
    loop {
        let found = at + quote_or_backslash(rest.get(at..)?)?;
        match rest.get(found)? {
            b'"' => return Some(found + 1),
            _ => at = found + 2,
        }
    }
}

/// Where the first quote or backslash stands. Most strings end within a few words of eight bytes, before a search by
/// vectors has begun.
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.get(..words.len().min(SHORT_WORDS)).unwrap_or_default();
    for (word, n) in words.iter().zip(0..) {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES);
        if found != 0 {
            return Some(n * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let looked_at = words.len() * 8;
    memchr::memchr2(b'"', b'\\', bytes.get(looked_at..)?).map(|at| looked_at + at)
}

/// The highest bit of each byte that is zero, from the lowest one up to the first; of those behind it some may be more.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(u64::from_ne_bytes([0x01; 8])) & !word & u64::from_ne_bytes([0x80; 8])
}

/// Bytes of the object or array that `rest` begins with.
fn nested_len(rest: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match rest.get(at)? {
            b'"' => {
                at += string_len(rest.get(at..)?)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// The text of a JSON string, borrowed where nothing in it is escaped; `None` for `null` and all else.
pub fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if quote_or_backslash(inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(value).ok().map(Cow::Owned)
}

/// The texts of a JSON array of strings; whatever is none ends them.
pub fn texts(array: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = array.strip_prefix(b"[").unwrap_or_default();
    std::iter::from_fn(move || {
        let (value, behind) = split_value(rest)?;
        rest = behind.strip_prefix(b",").unwrap_or_default();
        text(value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_found_in_their_order_whatever_their_values_hold() {
        let check = |json: &str, expected: &[(&str, &str)]| {
            let found: Result<Vec<_>, _> = fields(json.as_bytes()).unwrap().collect();
            let expected: Vec<_> = expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            assert_eq!(found, Ok(expected), "{json}");
        };
        check("{}", &[]);
        check(r#"{"a":1}"#, &[("a", "1")]);
        check(r#"{"a":null,"b":"x","c":true}"#, &[("a", "null"), ("b", "\"x\""), ("c", "true")]);
        check(r#"{"a":"\"}\\","b":[]}"#, &[("a", r#""\"}\\""#), ("b", "[]")]);
        check(r#"{"a":{"b":"}","c":[{}]},"d":2}"#, &[("a", r#"{"b":"}","c":[{}]}"#), ("d", "2")]);
        for broken in ["{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":"x}"#, r#"{"a":{"b":1}"#, r#"{"a":1"#, r#"{"a":1,}"#] {
            let found: Result<Vec<_>, _> = fields(broken.as_bytes()).unwrap().collect();
            assert_eq!(found, Err(Malformed), "{broken}");
        }
        assert_eq!(fields(b"[]").err(), Some(Malformed));
    }

    #[test]
    fn texts_are_read_with_their_escapes() {
        let check = |array: &str, expected: &[&str]| {
            assert_eq!(texts(array.as_bytes()).collect::<Vec<_>>(), expected, "{array}");
        };
        check("[]", &[]);
        check(r#"["a@b","c\"d\u00fc"]"#, &["a@b", "c\"d\u{fc}"]);
        check("null", &[]);
    }

    proptest! {
        #[test]
        fn every_field_of_a_real_object_reads_as_a_parser_reads_it(
            entries in proptest::collection::btree_map(".{0,8}", ".{0,20}", 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let json = serde_json::json!({ "deep": [entries.clone()], "flat": entries.values().collect::<Vec<_>>() });
            let line = serde_json::to_string(&json).unwrap();
            for field in fields(line.as_bytes()).unwrap() {
                let (name, value) = field.unwrap();
                let parsed: serde_json::Value = serde_json::from_slice(value).unwrap();
                prop_assert_eq!(&parsed, &json[std::str::from_utf8(name).unwrap()]);
            }
            let flat = fields(line.as_bytes()).unwrap().nth(1).unwrap().unwrap().1;
            prop_assert!(texts(flat).eq(entries.values().map(String::as_str)));
            // Cut anywhere it neither panics nor goes on for ever.
            let cut = cut.index(line.len());
            if let Ok(fields) = fields(&line.as_bytes()[..cut]) {
                prop_assert!(fields.count() <= 3);
            }
        }
    }
}
