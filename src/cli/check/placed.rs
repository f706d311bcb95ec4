//! Errors about values of which a loaded configuration knows file and line: the column and the line itself are read from
//! the file.

use std::fs;
use std::path::Path;

use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Excerpt, Severity};
use crate::policy::settings::Source;

/// `key` is the path of the key from the top of the file.
pub(super) fn error(config: &Config, (source, key): (&Source, &str), (message, remedy): (&str, &str)) -> Diagnostic {
    let (file, number) = match source {
        Source::File { file, line } => (file.to_string(), *line),
        Source::BuiltIn | Source::Fact(_) => (String::new(), 1),
    };
    let folder = config.file.parent().unwrap_or(Path::new("/"));
    // It was read a moment ago. Should it be gone, the place alone will do.
    let text = fs::read_to_string(folder.join(&file)).unwrap_or_default();
    let excerpt = text.lines().nth(index(number)).map(|line| excerpt(line, key));
    let before = excerpt.as_ref().and_then(|excerpt| excerpt.line.get(..excerpt.start));
    Diagnostic {
        severity: Severity::Error,
        file,
        line: number,
        column: 1 + u32::try_from(before.unwrap_or_default().chars().count()).unwrap_or_default(),
        key: key.to_owned(),
        message: message.to_owned(),
        remedy: remedy.to_owned(),
        excerpt,
    }
}

fn index(line: u32) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1)
}

/// Marks the value of the key, or the whole line where it stands elsewhere.
fn excerpt(line: &str, key: &str) -> Excerpt {
    let name = key.rsplit('.').next().unwrap_or(key);
    let value = |(at, _): (usize, &str)| {
        let is_inside =
            line.get(..at)?.ends_with(|before: char| before.is_ascii_alphanumeric() || "_-".contains(before));
        let behind = line.get(at + name.len()..)?.trim_start().strip_prefix('=')?;
        (!is_inside).then(|| behind.trim_start())
    };
    let value = line.match_indices(name).find_map(value).unwrap_or(line.trim_start());
    let start = line.len() - value.len();
    Excerpt { line: line.to_owned(), start, end: start + length(value) }
}

/// Of the value that a text begins with.
fn length(text: &str) -> usize {
    let behind = |closing: char| text.char_indices().skip(1).find(|(_, c)| *c == closing).map(|(at, _)| at + 1);
    let whole = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => behind(quote),
        Some('[') => behind(']'),
        Some('{') => behind('}'),
        _ => None,
    };
    whole.unwrap_or(text.trim_end().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_marked_wherever_it_stands_in_the_line() {
        for (line, key, expected) in [
            ("ca = \"a.pem\" # ours", "outbound.ca", "\"a.pem\""),
            ("  ca=['a.pem', 'b.pem']  ", "outbound.ca", "['a.pem', 'b.pem']"),
            ("local-ca = 1, xca = 2, ca = \"c.pem\"", "route.ca", "\"c.pem\""),
            ("dkim = { selector = \"s\", key = \"k.pem\" }", "tlsrpt.dkim.key", "\"k.pem\""),
            ("dkim = { selector = \"s\" }", "tlsrpt.dkim", "{ selector = \"s\" }"),
            ("[tlsrpt.dkim]", "tlsrpt.dkim", "[tlsrpt.dkim]"),
            ("ca = [ # several", "outbound.ca", "[ # several"),
            ("", "outbound.ca", ""),
        ] {
            let Excerpt { line: whole, start, end } = excerpt(line, key);
            assert_eq!(whole.get(start..end), Some(expected), "{line}");
        }
    }
}
