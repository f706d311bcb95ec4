//! Values with `$name` and its conditional forms, as Postfix expands them (postconf(5), "Parameter values").

use std::cmp::Ordering;

/// The most names inside of names.
const DEPTH_MAX: usize = 64;
/// The longest value.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Why a value cannot be expanded. Postfix would not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("a name stands in its own value, or too many names stand inside of each other")]
    TooDeep,
    #[error("the value is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    #[error("a bracket is not closed")]
    Unclosed,
    #[error("a comparison is not written as {{a}} == {{b}}")]
    Comparison,
}

/// The value with every name replaced by what `raw` gives for it, itself expanded; nothing where it gives nothing.
pub fn expand(value: &str, raw: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    Expansion { raw, bytes: std::cell::Cell::new(0) }.text(value, 0)
}

/// The names that a value mentions, conditional ones and those inside of others too.
pub fn references(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in value.match_indices('$') {
        let behind = value.get(at + 1..).unwrap_or_default();
        let behind = behind.trim_start_matches(['{', '(', ' ']);
        let name: String = behind.chars().take_while(|c| is_of_name(*c)).collect();
        if !name.is_empty() {
            found.push(name);
        }
    }
    found
}

struct Expansion<'a> {
    raw: &'a dyn Fn(&str) -> Option<String>,
    /// All that was put in so far.
    bytes: std::cell::Cell<usize>,
}

impl Expansion<'_> {
    fn text(&self, text: &str, depth: usize) -> Result<String, ExpandError> {
        if depth > DEPTH_MAX {
            return Err(ExpandError::TooDeep);
        }
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            rest = behind;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if rest.starts_with(['{', '(']) {
                let (inner, after) = bracketed(rest).ok_or(ExpandError::Unclosed)?;
                out.push_str(&self.braced(inner, depth)?);
                rest = after;
            } else {
                let end = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                if name.is_empty() {
                    out.push('$');
                } else {
                    out.push_str(&self.named(name, depth)?);
                }
                rest = after;
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn named(&self, name: &str, depth: usize) -> Result<String, ExpandError> {
        let value = (self.raw)(name).unwrap_or_default();
        self.bytes.set(self.bytes.get() + value.len());
        if self.bytes.get() > VALUE_BYTES_MAX {
            return Err(ExpandError::TooLong);
        }
        self.text(&value, depth + 1)
    }

    /// What stands between the brackets.
    fn braced(&self, inner: &str, depth: usize) -> Result<String, ExpandError> {
        let inner = inner.trim();
        if inner.starts_with('{') {
            return self.compared(inner, depth);
        }
        let end = inner.find(|c: char| !is_of_name(c)).unwrap_or(inner.len());
        let (name, behind) = inner.split_at(end);
        let behind = behind.trim_start();
        if behind.is_empty() {
            return self.named(name, depth);
        }
        let is_set = !self.named(name, depth)?.is_empty();
        self.chosen(is_set, behind, depth)
    }

    /// `?text`, `:text`, `?{text}`, `?{text}:{text}`.
    fn chosen(&self, holds: bool, behind: &str, depth: usize) -> Result<String, ExpandError> {
        let (wanted, rest) = match (behind.strip_prefix('?'), behind.strip_prefix(':')) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(ExpandError::Comparison),
        };
        let trimmed = rest.trim_start();
        if !trimmed.starts_with('{') {
            return if holds == wanted { self.text(rest, depth + 1) } else { Ok(String::new()) };
        }
        let (first, after) = bracketed(trimmed).ok_or(ExpandError::Unclosed)?;
        if holds == wanted {
            return self.text(first.trim(), depth + 1);
        }
        match after.trim_start().strip_prefix(':').map(str::trim) {
            Some(other) => {
                let other = bracketed(other).map_or(other, |(inner, _)| inner);
                self.text(other.trim(), depth + 1)
            }
            None => Ok(String::new()),
        }
    }

    /// `{a} == {b} ? {text} : {text}`.
    fn compared(&self, inner: &str, depth: usize) -> Result<String, ExpandError> {
        let (left, rest) = bracketed(inner).ok_or(ExpandError::Unclosed)?;
        let end = rest.find('{').ok_or(ExpandError::Comparison)?;
        let (operator, rest) = rest.split_at(end);
        let (right, behind) = bracketed(rest).ok_or(ExpandError::Unclosed)?;
        let (left, right) = (self.text(left.trim(), depth + 1)?, self.text(right.trim(), depth + 1)?);
        let holds = holds(&left, operator.trim(), &right).ok_or(ExpandError::Comparison)?;
        match behind.trim() {
            "" => Ok(if holds { "bool:true".to_owned() } else { String::new() }),
            behind => self.chosen(holds, behind, depth),
        }
    }
}

/// `None` for an operator that there is not.
fn holds(left: &str, operator: &str, right: &str) -> Option<bool> {
    let (operator, order) = match operator.strip_suffix("level") {
        Some(operator) => (operator, level(left).cmp(&level(right))),
        None => (operator, compare(left, right)),
    };
    Some(match operator {
        "==" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        _ => return None,
    })
}

/// As numbers if both are.
fn compare(left: &str, right: &str) -> Ordering {
    match (left.parse::<u64>(), right.parse::<u64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// `3.6` as numbers that can be compared.
fn level(text: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = text.split('.').map(|part| part.trim().parse().unwrap_or(0)).collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

/// What stands in the bracket that the text begins with, and what stands behind it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (open, close) = match text.chars().next()? {
        '{' => ('{', '}'),
        '(' => ('(', ')'),
        _ => return None,
    };
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((text.get(1..at)?, text.get(at + 1..)?));
            }
        }
    }
    None
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str) -> Option<String> {
        let value = match name {
            "myhostname" => "mx.bank.example",
            "mydomain" => "bank.example",
            "both" => "$mydomain, ${myhostname}",
            "empty" => "",
            "compatibility_level" => "3.6",
            "loop" => "x$loop",
            "a" => "$b$b$b$b$b$b$b$b",
            "b" => "$c$c$c$c$c$c$c$c",
            "c" => "$d$d$d$d$d$d$d$d",
            "d" => "$e$e$e$e$e$e$e$e",
            "e" => "$f$f$f$f$f$f$f$f",
            "f" => "0123456789012345678901234567890123456789",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn names_are_replaced_in_every_form() {
        for (value, expected) in [
            ("plain", "plain"),
            ("$myhostname, localhost.$mydomain", "mx.bank.example, localhost.bank.example"),
            ("${mydomain}x$(mydomain)", "bank.examplexbank.example"),
            ("$both", "bank.example, mx.bank.example"),
            ("a$nothing.b$$c$", "a.b$c$"),
            ("${mydomain?set}${empty?set}${nothing?set}", "set"),
            ("${mydomain:unset}${empty:unset}", "unset"),
            ("${mydomain?{yes}:{no}} ${empty?{yes}:{no}}", "yes no"),
            ("${mydomain ? {$myhostname} : {no}}", "mx.bank.example"),
            ("${empty:{$mydomain}}", "bank.example"),
            ("${{$mydomain} == {bank.example} ? {same} : {other}}", "same"),
            ("${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", "sha256"),
            ("${{$compatibility_level} >=level {3.10} ? {new} : {old}}", "old"),
            ("${{10} > {9} ? {number}}${{a10} > {a9} ? {text}}", "number"),
        ] {
            assert_eq!(expand(value, &raw).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_never_ends_or_is_not_closed_is_an_error() {
        for (value, expected) in [
            ("$loop", ExpandError::TooDeep),
            ("$a", ExpandError::TooLong),
            ("${mydomain", ExpandError::Unclosed),
            ("${{a} ~ {b} ? {c}}", ExpandError::Comparison),
            ("${mydomain!x}", ExpandError::Comparison),
        ] {
            assert_eq!(expand(value, &raw), Err(expected), "{value}");
        }
    }

    #[test]
    fn names_that_are_mentioned_are_found_wherever_they_stand() {
        let value = "$a, ${b}, $(c), ${d?$e}, ${{$f} == {x} ? {$g} : {}}, $$";
        assert_eq!(references(value), ["a", "b", "c", "d", "e", "f", "g"]);
    }
}
