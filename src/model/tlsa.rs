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
    }
}
