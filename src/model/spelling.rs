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

#[cfg(test)]
mod tests {
    use super::*;

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
