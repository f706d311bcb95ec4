//! The number that stored state begins with, so that a later version knows what it reads.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Written as the number `N`; nothing but `N` reads back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format<const N: u16>;

impl<const N: u16> Serialize for Format<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(N)
    }
}

impl<'de, const N: u16> Deserialize<'de> for Format<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = u16::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format_args!("state of format {found}; this version reads format {N}"));
        (found == N).then_some(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_number_reads_back() {
        assert_eq!(serde_json::to_string(&Format::<3>).unwrap(), "3");
        assert_eq!(serde_json::from_str::<Format<3>>("3").unwrap(), Format);
        for other in ["2", "4", "\"3\"", "null", "70000"] {
            assert!(serde_json::from_str::<Format<3>>(other).is_err(), "{other}");
        }
    }
}
