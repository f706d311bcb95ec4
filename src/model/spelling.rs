//! How far two words are from each other, to tell what a misspelt one was meant to be.

/// How many characters must be added, dropped or replaced to make one word the other (Levenshtein).
pub fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (above, l) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        for (cell, r) in row.iter_mut().skip(1).zip(right.chars()) {
            let replaced = diagonal + usize::from(l != r);
            diagonal = *cell;
            before = replaced.min(before + 1).min(*cell + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Longer words than this are compared with none.
const WORD_BYTES_MAX: usize = 60;
/// How far a misspelt word may be from the one that is suggested.
const EDITS_MAX: usize = 2;
/// An end of a word tells which is meant from so many characters on: `1.2` is TLSv1.2.
const END_CHARS_MIN: usize = 3;

/// The known word that was most likely meant: the same in other case, one that is a few characters off, or the only
/// one that ends so.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let known: Vec<&str> = known.collect();
    let folded = word.to_ascii_lowercase();
    let near = known.iter().map(|candidate| (edits(&folded, &candidate.to_ascii_lowercase()), *candidate));
    let near = near.filter(|(edits, candidate)| *edits <= EDITS_MAX && 2 * edits < candidate.len());
    near.min().map(|(_, candidate)| candidate).or_else(|| {
        let is_end = |candidate: &&&str| candidate.to_ascii_lowercase().ends_with(&folded);
        let mut ends = known.iter().filter(is_end).filter(|_| word.chars().count() >= END_CHARS_MIN);
        ends.next().filter(|_| ends.next().is_none()).copied()
    })
}

/// `did you mean "mx"?` where one of the names is near, else all that there are.
pub fn choice(word: &str, names: &[&str]) -> String {
    match nearest(word, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => "there is none".to_owned(),
        None => format!("name one of these: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_most_likely_meant_is_found() {
        let words = ["TLSv1", "TLSv1.1", "TLSv1.2", "required", "off", "inbound", "outbound"];
        for (word, expected) in [
            ("TLSv1.22", Some("TLSv1.2")),
            ("tlsv1.2", Some("TLSv1.2")),
            ("1.2", Some("TLSv1.2")),
            ("TLS1.2", Some("TLSv1.2")),
            ("REQUIERD", Some("required")),
            ("outbond", Some("outbound")),
            ("ound", None),
            ("on", None),
            (".2", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words.into_iter()), expected, "{word}");
        }
    }

    #[test]
    fn each_character_that_differs_is_one_edit() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("bank.example", "bank.example", 0),
            ("bamk.example", "bank.example", 1),
            ("bnk.example", "bank.example", 1),
            ("abnk.example", "bank.example", 2),
            ("m\u{fc}nze", "munze", 1),
            ("partner", "bank", 5),
        ] {
            assert_eq!((edits(left, right), edits(right, left)), (expected, expected), "{left} {right}");
        }
    }
}
