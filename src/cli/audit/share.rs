//! Numbers as shares of a whole, for tables.

/// `0.7 %`, rounded; what is there at all is never 0, and what is not all is never 100.
pub(super) fn share(part: u64, whole: u64) -> String {
    let per_mille = |numerator: u128| u64::try_from(numerator / u128::from(whole.max(1))).unwrap_or(u64::MAX);
    let rounded = per_mille(u128::from(part) * 1000 + u128::from(whole) / 2);
    match rounded {
        0 if part > 0 => "< 0.1 %".to_owned(),
        1000 if part < whole => "> 99.9 %".to_owned(),
        0 => "0 %".to_owned(),
        1000 => "100 %".to_owned(),
        rounded => format!("{}.{} %", rounded / 10, rounded % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_nothing_or_all_unless_it_is() {
        for (part, whole, expected) in [
            (0, 0, "0 %"),
            (0, 5, "0 %"),
            (5, 5, "100 %"),
            (87, 12_345, "0.7 %"),
            (1, 1_000_000, "< 0.1 %"),
            (999_999, 1_000_000, "> 99.9 %"),
            (1, 3, "33.3 %"),
            (u64::MAX - 1, u64::MAX, "> 99.9 %"),
        ] {
            assert_eq!(share(part, whole), expected, "{part} of {whole}");
        }
    }
}
