//! The chain: each line carries its number and the SHA-256 of the line before it.

use aws_lc_rs::digest::{SHA256, digest};

/// `prev` of the first line of a chain.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of a chain: what the next line must carry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tip {
    /// Number of the last line, 0 before the first.
    pub seq: u64,
    /// SHA-256 of the last line without its line end, hexadecimal.
    pub hash: String,
}

impl Default for Tip {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }
}

/// The link fields of one line, as written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Link {
    pub seq: u64,
    pub prev: String,
    #[serde(default)]
    pub id: Option<crate::model::id::RecordId>,
}

impl Tip {
    /// The next line (without line end) for `json`, an object without `seq` and `prev`; moves the tip on.
    pub fn extend(&mut self, json: &str) -> String {
        let inner = json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or("\"error\":\"malformed\"");
        let line = format!("{{\"seq\":{},{inner},\"prev\":\"{}\"}}", self.seq + 1, self.hash);
        self.seq += 1;
        self.hash = hash(line.as_bytes());
        line
    }

    /// Checks a line against the tip and moves on to it, whether it fits or not.
    pub fn follow(&mut self, line: &[u8]) -> Result<Link, Break> {
        let link: Result<Link, _> = serde_json::from_slice(line);
        let expected = std::mem::replace(&mut self.hash, hash(line));
        let Ok(link) = link else {
            self.seq += 1;
            return Err(Break::NotARecord);
        };
        let wanted = self.seq + 1;
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

/// SHA-256 of a line without its line end, hexadecimal.
pub fn hash(line: &[u8]) -> String {
    use std::fmt::Write as _;
    digest(&SHA256, line).as_ref().iter().fold(String::with_capacity(64), |mut out, byte| {
        _ = write!(out, "{byte:02x}");
        out
    })
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
}
