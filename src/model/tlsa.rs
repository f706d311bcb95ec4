//! A TLSA record as it is published (RFC 6698 section 2.1): not judged, not even known to be usable.

use std::fmt;

use super::hex;

/// The data of one TLSA record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tlsa {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    /// The certificate association data.
    pub data: Vec<u8>,
}

impl Tlsa {
    /// Reads presentation format. The data may be in capital letters and in several words (RFC 6698 section 2.2).
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut number = || words.next()?.parse::<u8>().ok();
        let (usage, selector, matching) = (number()?, number()?, number()?);
        let digits = words.collect::<String>().to_ascii_lowercase();
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let data = pairs.iter().map(|pair| hex::decode::<1>(pair).map(|[byte]| byte)).collect::<Option<Vec<u8>>>()?;
        rest.is_empty().then_some(Self { usage, selector, matching, data })
    }

    /// The same as it is shown, but data beyond `data_bytes_max` bytes is cut and marked with `...`.
    pub fn shortened(&self, data_bytes_max: usize) -> String {
        let Self { usage, selector, matching, data } = self;
        match data.get(..data_bytes_max) {
            Some(start) if start.len() < data.len() => {
                format!("{usage} {selector} {matching} {}...", hex::encode(start))
            }
            _ => self.to_string(),
        }
    }
}

/// Presentation format (RFC 6698 section 2.2): `3 1 1 0a0b…`, all of the data.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.usage, self.selector, self.matching, hex::encode(&self.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_shown_as_zone_files_write_it() {
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0x0a, 0xff] };
        assert_eq!(record.to_string(), "3 1 1 0aff");
        for (bytes, expected) in [(0, "3 1 1 ..."), (1, "3 1 1 0a..."), (2, "3 1 1 0aff"), (9, "3 1 1 0aff")] {
            assert_eq!(record.shortened(bytes), expected);
        }
    }

    #[test]
    fn a_record_is_read_as_zone_files_write_it() {
        for (text, expected) in [
            ("3 1 1 0aff", Some("3 1 1 0aff")),
            (" 3  1 1 0A FF", Some("3 1 1 0aff")),
            ("2 0 0 ", Some("2 0 0 ")),
            ("3 1 1 0af", None),
            ("3 1 1 0ag0", None),
            ("3 1 256 00", None),
            ("3 1", None),
            ("", None),
        ] {
            assert_eq!(Tlsa::parse(text).map(|record| record.to_string()).as_deref(), expected, "{text}");
        }
    }
}
