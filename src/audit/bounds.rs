//! Records that a reader takes: recipients are spread over as many records as they need, and what is too long all the
//! same is cut in its longest values, with a count of what was left out.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::record::RECORD_BYTES_MAX;

/// What the recipients of one record take, in bytes of JSON; everything else in it has as much room again.
pub const RECIPIENTS_BYTES_MAX: usize = RECORD_BYTES_MAX / 2;
/// What each list and each text of a record that is too long may take, in bytes of JSON: the first that is enough.
const VALUE_BYTES_MAX: [usize; 4] = [16 * 1024, 4 * 1024, 1024, 256];
/// Stands at the end of a text that was cut.
const CUT_MARK: &str = "...";

/// The recipients in their order, in lists of at most [`RECIPIENTS_BYTES_MAX`]; one list at least.
pub(super) fn spread<'a>(recipients: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut lists = vec![Vec::new()];
    let mut bytes = 0;
    for recipient in recipients {
        let more = json_bytes(recipient) + 1;
        bytes += more;
        match lists.last_mut() {
            Some(list) if list.is_empty() || bytes <= RECIPIENTS_BYTES_MAX => list.push(*recipient),
            _ => {
                bytes = more;
                lists.push(vec![*recipient]);
            }
        }
    }
    lists
}

/// The JSON of a record in at most [`RECORD_BYTES_MAX`]. The last resort: nothing that a peer says gets a record there.
pub(super) fn fit(json: String) -> String {
    let mut fitting = Cow::Borrowed(json.as_str());
    for bytes_max in VALUE_BYTES_MAX {
        if fitting.len() <= RECORD_BYTES_MAX {
            break;
        }
        fitting = Cow::Owned(cut(&json, bytes_max).unwrap_or_default());
    }
    match fitting {
        Cow::Borrowed(_) => json,
        Cow::Owned(fitting) => fitting,
    }
}

/// A JSON object whose lists and texts take at most `bytes_max` each, with the number of what was left out.
fn cut(json: &str, bytes_max: usize) -> serde_json::Result<String> {
    let (mut out, mut omitted) = (String::with_capacity(RECORD_BYTES_MAX), 0);
    Cutter { out: &mut out, omitted: &mut omitted, bytes_max }
        .deserialize(&mut serde_json::Deserializer::from_str(json))?;
    // Readers go by the fields that a record begins with, so that this one stands at the end.
    out.pop();
    out.push_str(&format!(",\"omitted\":{omitted}}}"));
    Ok(out)
}

/// Writes a value as it is read, in the order of its fields.
struct Cutter<'a> {
    out: &'a mut String,
    /// Entries of lists that were left out, and texts that were cut.
    omitted: &'a mut u64,
    bytes_max: usize,
}

impl Cutter<'_> {
    fn inner(&mut self) -> Cutter<'_> {
        Cutter { out: self.out, omitted: self.omitted, bytes_max: self.bytes_max }
    }

    fn write<T: serde::Serialize + ?Sized, E: Error>(&mut self, value: &T) -> Result<(), E> {
        self.out.push_str(&serde_json::to_string(value).map_err(E::custom)?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Cutter<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cutter<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.write(&())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if json_bytes(text) <= self.bytes_max {
            return self.write(text);
        }
        *self.omitted += 1;
        let mut room = self.bytes_max.saturating_sub(json_bytes(CUT_MARK));
        let fits = |c: &char| {
            let bytes = c.encode_utf8(&mut [0; 4]).bytes().map(json_bytes_of).sum();
            room.checked_sub(bytes).map(|left| room = left).is_some()
        };
        let kept: String = text.chars().take_while(fits).collect();
        self.write(&(kept + CUT_MARK))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.out.push('[');
        let begin = self.out.len();
        loop {
            let (end, omitted) = (self.out.len(), *self.omitted);
            if end > begin {
                self.out.push(',');
            }
            if list.next_element_seed(self.inner())?.is_none() {
                self.out.truncate(end);
                break;
            }
            if self.out.len() - begin > self.bytes_max {
                self.out.truncate(end);
                *self.omitted = omitted + 1;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    *self.omitted += 1;
                }
                break;
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        self.out.push('{');
        let begin = self.out.len();
        while let Some(name) = fields.next_key::<Cow<'_, str>>()? {
            if self.out.len() > begin {
                self.out.push(',');
            }
            self.write(&name)?;
            self.out.push(':');
            fields.next_value_seed(self.inner())?;
        }
        self.out.push('}');
        Ok(())
    }
}

/// What a text takes in JSON, with its quotes.
fn json_bytes(text: &str) -> usize {
    2 + text.bytes().map(json_bytes_of).sum::<usize>()
}

/// RFC 8259 section 7.
const fn json_bytes_of(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
