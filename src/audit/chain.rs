//! The chain: each line carries its number and the SHA-256 of the line before it.
//!
//! What links a line is read byte by byte, not by a parser of JSON: it begins with `{"seq":N,` and ends with
//! `,"prev":"…"}`. Anything else is no record.

use std::fmt::{self, Write};
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::hex;

const HEAD: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const END: &[u8] = b"\"}";
/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 2 * SHA256_OUTPUT_LEN;

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; SHA256_OUTPUT_LEN]);

impl Hash {
    /// `prev` of the first line of a chain.
    pub const GENESIS: Self = Self([0; SHA256_OUTPUT_LEN]);

    /// The hash of these bytes; of a line: without its line end.
    pub fn of(bytes: &[u8]) -> Self {
        Self(digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default())
    }

    pub const fn as_bytes(&self) -> &[u8; SHA256_OUTPUT_LEN] {
        &self.0
    }

    fn from_digits(digits: &[u8]) -> Option<Self> {
        hex::decode(digits).map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.0)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256: 64 lower-case hexadecimal digits are expected")]
pub struct HashError;

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_digits(text.as_bytes()).ok_or(HashError)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The end of a chain: what the next line must carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// Number of the last line, 0 before the first.
    pub seq: u64,
    /// SHA-256 of the last line without its line end.
    pub hash: Hash,
}

impl Default for Tip {
    fn default() -> Self {
        Self { seq: 0, hash: Hash::GENESIS }
    }
}

/// The link fields of one line, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// From 1.
    pub seq: u64,
    pub prev: Hash,
}

impl Link {
    /// Reads the links of a line without its line end. `None` if it is no record.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let (seq, inner) = split_seq(line)?;
        let inner = inner.strip_suffix(END)?;
        let (inner, digits) = inner.split_at_checked(inner.len().checked_sub(HASH_DIGITS)?)?;
        let prev = Hash::from_digits(digits)?;
        inner.ends_with(PREV).then_some(Self { seq, prev })
    }

    /// What stands before the line.
    pub const fn before(&self) -> Tip {
        Tip { seq: self.seq.saturating_sub(1), hash: self.prev }
    }
}

/// The number of a line, and what stands behind it: a comma and the fields.
pub(super) fn split_seq(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(HEAD)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at_checked(digits)?;
    if number.first() == Some(&b'0') || rest.first() != Some(&b',') {
        return None;
    }
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

impl Tip {
    /// The next line (without line end) for `json`, an object without `seq` and `prev`; moves the tip on.
    pub fn extend(&mut self, json: &str) -> String {
        let mut line = String::new();
        self.extend_into(json, &mut line);
        line
    }

    /// The same behind what `out` holds. Gives the length of the line in bytes.
    pub(super) fn extend_into(&mut self, json: &str, out: &mut String) -> usize {
        let before = out.len();
        self.compose(json, out);
        let line = out.as_bytes().get(before..).unwrap_or_default();
        self.advance(line);
        line.len()
    }

    /// Puts the next line for `json` behind what `out` holds; the tip stays where it is.
    pub(super) fn compose(&self, json: &str, out: &mut String) {
        let inner = json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or("\"error\":\"malformed\"");
        // Writing to a text does not fail.
        _ = write!(out, "{{\"seq\":{},{inner},\"prev\":\"{}\"}}", self.seq.saturating_add(1), self.hash);
    }

    /// Moves on to a line that was composed for this place.
    pub(super) fn advance(&mut self, line: &[u8]) {
        self.seq = self.seq.saturating_add(1);
        self.hash = Hash::of(line);
    }

    /// Checks a line against the tip and moves on to it, whether it fits or not: then `hash` is the hash of the line.
    pub fn follow(&mut self, line: &[u8]) -> Result<Link, Break> {
        let expected = std::mem::replace(&mut self.hash, Hash::of(line));
        let wanted = self.seq.saturating_add(1);
        self.seq = wanted;
        let link = Link::parse(line).ok_or(Break::NotARecord)?;
        self.seq = link.seq;
        if link.seq != wanted {
            return Err(Break::Sequence { expected: wanted, found: link.seq });
        }
        if link.prev != expected {
            return Err(Break::Hash);
        }
        Ok(link)
    }
}

/// How a line does not fit behind the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    #[error("the line is no audit record")]
    NotARecord,
    #[error("record {expected} is missing or moved: record {found} stands in its place")]
    Sequence { expected: u64, found: u64 },
    #[error("the record before it was changed, or this one: `prev` is not the hash of the line before")]
    Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_made_follows_and_every_change_is_seen() {
        let mut tip = Tip::default();
        let lines: Vec<String> = (0..3).map(|n| tip.extend(&format!("{{\"n\":{n}}}"))).collect();
        assert_eq!(tip.seq, 3);
        let walk = |lines: &[String]| {
            let mut tip = Tip::default();
            lines.iter().map(|line| tip.follow(line.as_bytes()).err()).collect::<Vec<_>>()
        };
        assert_eq!(walk(&lines), [None, None, None]);
        let changed = [lines[0].clone(), lines[1].replace("\"n\":1", "\"n\":9"), lines[2].clone()];
        assert_eq!(walk(&changed), [None, None, Some(Break::Hash)]);
        let missing = [lines[0].clone(), lines[2].clone()];
        assert_eq!(walk(&missing), [None, Some(Break::Sequence { expected: 2, found: 3 })]);
        let swapped = [lines[1].clone(), lines[0].clone(), lines[2].clone()];
        assert!(walk(&swapped).iter().all(Option::is_some));
        let torn = [lines[0].clone(), lines[1].split_at(10).0.to_owned()];
        assert_eq!(walk(&torn), [None, Some(Break::NotARecord)]);
    }

    #[test]
    fn links_have_one_spelling() {
        let hash = Hash::of(b"line");
        let wanted = Some(Link { seq: 12, prev: hash });
        let check = |line: String, expected| assert_eq!(Link::parse(line.as_bytes()), expected, "{line}");
        check(format!("{{\"seq\":12,\"n\":1,\"prev\":\"{hash}\"}}"), wanted);
        for (seq, prev) in [("012", hash.to_string()), ("0", hash.to_string()), ("", hash.to_string())]
            .into_iter()
            .chain(["-1", "+1", "1.0", "18446744073709551616"].map(|seq| (seq, hash.to_string())))
            .chain([("1", hash.to_string().to_uppercase()), ("1", "0".repeat(63)), ("1", String::new())])
        {
            check(format!("{{\"seq\":{seq},\"n\":1,\"prev\":\"{prev}\"}}"), None);
        }
        check(format!("{{ \"seq\":12,\"n\":1,\"prev\":\"{hash}\"}}"), None);
        check(format!("{{\"seq\":12,\"n\":1, \"prev\":\"{hash}\"}}"), None);
        check(format!("{{\"seq\":12,\"n\":1,\"prev\":\"{hash}\"}} "), None);
        check(format!("{{\"seq\":12 ,\"n\":1,\"prev\":\"{hash}\"}}"), None);
    }

    #[test]
    fn a_hash_is_the_sha_256_in_small_letters() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hash::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Hash::of(b"")));
        assert_eq!(serde_json::from_str::<Hash>(&format!("\"{empty}\"")).unwrap(), Hash::of(b""));
    }
}
