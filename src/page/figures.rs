//! Numbers as people read them on a page.

/// `12.3 %`: nothing that is there is shown as 0 %, and nothing that lacks a part as 100 %.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let tenths = (u128::from(part) * 1000 + u128::from(whole) / 2) / u128::from(whole);
    match tenths {
        0 => "<0.1 %".to_owned(),
        1000.. => ">99.9 %".to_owned(),
        _ if tenths % 10 == 0 => format!("{} %", tenths / 10),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// The top of a scale that reaches `highest`: 1, 2 or 5 times a power of ten.
pub fn scale_top(highest: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for step in [1, 2, 5] {
            let top = power.saturating_mul(step);
            if top >= highest {
                return top;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        for (part, whole, expected) in [
            (0, 0, "0 %"),
            (0, 7, "0 %"),
            (7, 7, "100 %"),
            (1, 3, "33.3 %"),
            (1, 2, "50 %"),
            (1, 1_000_000, "<0.1 %"),
            (999_999, 1_000_000, ">99.9 %"),
            (u64::MAX - 1, u64::MAX, ">99.9 %"),
        ] {
            assert_eq!(share(part, whole), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (highest, top) in [(0, 1), (1, 1), (3, 5), (5, 5), (51, 100), (101, 200), (u64::MAX, u64::MAX)] {
            assert_eq!(scale_top(highest), top, "{highest}");
        }
    }
}
