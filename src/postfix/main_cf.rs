//! main.cf as text: `name = value`, one on a logical line.

use super::Place;
use super::lines::logical_lines;

/// A parameter as it was written, nothing of it expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub value: String,
    pub place: Place,
}

/// A line that Postfix could not read: it would not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: there is no \"=\" in \"{text}\"")]
pub struct Malformed {
    pub place: Place,
    pub text: String,
}

/// The settings of main.cf in the order in which they are written; the last one of a name holds.
pub fn parse(text: &str) -> (Vec<Setting>, Vec<Malformed>) {
    const FILE: &str = "main.cf";
    let (mut settings, mut malformed) = (Vec::new(), Vec::new());
    for line in logical_lines(text) {
        let place = Place::new(FILE, line.number);
        match assignment(&line.text) {
            Some((name, value)) => settings.push(Setting { name: name.to_owned(), value: value.to_owned(), place }),
            None => malformed.push(Malformed { place, text: line.text }),
        }
    }
    (settings, malformed)
}

/// `name = value`, with blanks or without; `None` without a name or an equals sign.
pub fn assignment(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_their_lines_and_their_order() {
        let (found, malformed) = parse("a = 1\n# b = 2\nb =\n  x,\n  y = z\na=2\nc\nd e = 3\n");
        let seen: Vec<_> = found.iter().map(|s| (s.place.to_string(), s.name.as_str(), s.value.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("main.cf:1".to_owned(), "a", "1"),
                ("main.cf:3".to_owned(), "b", "x,  y = z"),
                ("main.cf:6".to_owned(), "a", "2"),
            ]
        );
        assert_eq!(malformed.iter().map(|m| m.place.line).collect::<Vec<_>>(), [7, 8]);
    }
}
