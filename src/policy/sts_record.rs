//! The TXT record by which a domain says that it has an MTA-STS policy, and which one (RFC 8461 section 3.1).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest id, and longest name of an extension field, in characters.
pub const STS_NAME_BYTES_MAX: usize = 32;

const VERSION: &[u8] = b"v=STSv1;";
const ID: &str = "id";

/// Tells one policy of a domain from the next. There is no order among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StsId(String);

/// Why a domain that speaks of MTA-STS has no usable record. To the sender it is as if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StsRecordError {
    #[error("there is more than one MTA-STS record")]
    Several,
    #[error("the MTA-STS record has no id")]
    NoId,
    #[error("the id of the MTA-STS record is not 1 to 32 letters and digits")]
    Id,
    /// Counted from 1, the version being the first.
    #[error("field {0} of the MTA-STS record is not a name, `=` and a value")]
    Field(usize),
}

impl StsId {
    /// `1*32(ALPHA / DIGIT)`
    pub fn parse(text: &str) -> Result<Self, StsRecordError> {
        let is_id = (1..=STS_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_id { Ok(Self(text.to_owned())) } else { Err(StsRecordError::Id) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for StsId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StsId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads the TXT records of `_mta-sts.DOMAIN`, the strings of each joined. `None`: none of them is about MTA-STS.
/// A record counts only if it begins with exactly `v=STSv1;`, as the text has it; the grammar would let a space stand
/// before the semicolon.
pub fn parse(records: &[Vec<u8>]) -> Result<Option<StsId>, StsRecordError> {
    let mut ours = records.iter().filter_map(|record| record.strip_prefix(VERSION));
    match (ours.next(), ours.next()) {
        (None, _) => Ok(None),
        (Some(fields), None) => id_among(fields).map(Some),
        (Some(_), Some(_)) => Err(StsRecordError::Several),
    }
}

/// What stands behind the version. The first id counts; every other field is checked for its form alone.
fn id_among(fields: &[u8]) -> Result<StsId, StsRecordError> {
    let mut id = None;
    let mut fields = fields.split(|b| *b == b';').zip(2..).peekable();
    while let Some((field, number)) = fields.next() {
        let is_last = fields.peek().is_none();
        let field = trim_start(field);
        if field.is_empty() && is_last && number > 2 {
            break;
        }
        // White space belongs to the semicolon before or behind it; at the end of the record there is none.
        let field = if is_last { field } else { trim_end(field) };
        if field.is_empty() && is_last {
            return Err(StsRecordError::NoId);
        }
        let (name, value) = name_and_value(field).ok_or(StsRecordError::Field(number))?;
        if name == ID && id.is_none() {
            id = Some(StsId::parse(value)?);
        } else if value.is_empty() || !value.bytes().all(is_value) {
            return Err(StsRecordError::Field(number));
        }
    }
    id.ok_or(StsRecordError::NoId)
}

fn name_and_value(field: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = std::str::from_utf8(field).ok()?.split_once('=')?;
    is_field_name(name).then_some((name, value))
}

/// The name of a field, here and in the policy itself (`sts-ext-name`).
pub(super) fn is_field_name(name: &str) -> bool {
    name.len() <= STS_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// `%x21-3A / %x3C / %x3E-7E`
fn is_value(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';' && byte != b'='
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_start(mut field: &[u8]) -> &[u8] {
    while let Some((_, rest)) = field.split_first().filter(|(first, _)| is_space(**first)) {
        field = rest;
    }
    field
}

fn trim_end(mut field: &[u8]) -> &[u8] {
    while let Some((_, rest)) = field.split_last().filter(|(last, _)| is_space(**last)) {
        field = rest;
    }
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(records: &[&str]) -> Result<Option<String>, StsRecordError> {
        let records: Vec<Vec<u8>> = records.iter().map(|record| record.as_bytes().to_vec()).collect();
        parse(&records).map(|id| id.map(|id| id.to_string()))
    }

    #[test]
    fn a_record_has_the_grammar_of_rfc_8461_section_3_1() {
        use StsRecordError::{Field, Id, NoId};
        let longest = "a1".repeat(16);
        let with_longest = format!("v=STSv1;id={longest}");
        let too_long = format!("v=STSv1;id={longest}b");
        let long_name = format!("v=STSv1;id=a;{longest}=1");
        let longer_name = format!("v=STSv1;id=a;{longest}b=1");
        let table: &[(&str, Result<Option<&str>, StsRecordError>)] = &[
            ("v=STSv1; id=20160831085700Z;", Ok(Some("20160831085700Z"))),
            ("v=STSv1;id=a", Ok(Some("a"))),
            ("v=STSv1; \t id=a \t;", Ok(Some("a"))),
            ("v=STSv1; id=a; \t", Ok(Some("a"))),
            (&with_longest, Ok(Some(&longest))),
            ("v=STSv1; more=a; id=7; ext.x-y_z=a,b:<>?!", Ok(Some("7"))),
            ("v=STSv1; ID=b; id=a", Ok(Some("a"))),
            (&long_name, Ok(Some("a"))),
            // Of what is there twice the first counts.
            ("v=STSv1; id=a; id=b", Ok(Some("a"))),
            ("v=STSv1; id=a; id=b-c; v=STSv2", Ok(Some("a"))),
            // Not about MTA-STS.
            ("", Ok(None)),
            ("v=STSv1", Ok(None)),
            ("v=STSv1 ; id=a", Ok(None)),
            (" v=STSv1; id=a", Ok(None)),
            ("v=stsv1; id=a", Ok(None)),
            ("v=STSv2; id=a", Ok(None)),
            ("v=STSv10; id=a", Ok(None)),
            ("id=a; v=STSv1;", Ok(None)),
            ("v=TLSRPTv1; rua=mailto:a@b.example", Ok(None)),
            // About it and broken.
            ("v=STSv1;", Err(NoId)),
            ("v=STSv1; ", Err(NoId)),
            ("v=STSv1; ext=1", Err(NoId)),
            ("v=STSv1; ID=a", Err(NoId)),
            ("v=STSv1; id=", Err(Id)),
            ("v=STSv1; id=test-1", Err(Id)),
            ("v=STSv1; id=a b", Err(Id)),
            ("v=STSv1; id= a", Err(Id)),
            ("v=STSv1; id=a ", Err(Id)),
            ("v=STSv1; id=\u{e9}", Err(Id)),
            ("v=STSv1; id=a=b", Err(Id)),
            (&too_long, Err(Id)),
            ("v=STSv1; id =a", Err(Field(2))),
            ("v=STSv1; id", Err(Field(2))),
            ("v=STSv1; ;id=a", Err(Field(2))),
            ("v=STSv1;;id=a", Err(Field(2))),
            ("v=STSv1; id=a;;", Err(Field(3))),
            ("v=STSv1; id=a; more=", Err(Field(3))),
            ("v=STSv1; id=a; =more", Err(Field(3))),
            ("v=STSv1; id=a; 1%=a", Err(Field(3))),
            ("v=STSv1; id=a; _x=a", Err(Field(3))),
            ("v=STSv1; id=a; x==", Err(Field(3))),
            ("v=STSv1; id=a; x=a b", Err(Field(3))),
            ("v=STSv1; id=a; x=\u{e9}", Err(Field(3))),
            (&longer_name, Err(Field(3))),
        ];
        for (record, expected) in table {
            let expected = expected.map(|id| id.map(str::to_owned));
            assert_eq!(parsed(&[record]), expected, "{record:?}");
        }
    }

    #[test]
    fn exactly_one_record_counts_and_others_are_not_looked_at() {
        for (records, expected) in [
            (&[][..], Ok(None)),
            (&["v=spf1 -all", "v=STSv1; id=a", "\u{1}"], Ok(Some("a".to_owned()))),
            (&["v=STSv1; id=a", "v=STSv1; id=b"], Err(StsRecordError::Several)),
            (&["v=STSv1; id=a", "v=STSv1; id=a"], Err(StsRecordError::Several)),
            // One that begins as it should counts, even if the rest is nonsense.
            (&["v=STSv1; id=a", "v=STSv1; nonsense"], Err(StsRecordError::Several)),
            (&["v=STSv1; id=a", "v=STSv1 ; id=b"], Ok(Some("a".to_owned()))),
        ] {
            assert_eq!(parsed(records), expected, "{records:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..3)
        ) {
            let _ = parse(&records);
            let marked: Vec<Vec<u8>> = records.iter().map(|rest| [VERSION, rest].concat()).collect();
            if let Ok(Some(id)) = parse(&marked) {
                prop_assert_eq!(StsId::parse(id.as_str()), Ok(id.clone()));
            }
        }
    }
}
