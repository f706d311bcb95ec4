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
}
