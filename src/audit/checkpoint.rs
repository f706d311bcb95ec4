//! Checkpoints: lines of the log that vouch, by a signature, for all lines since the one before.
//!
//! What is signed is [`DOMAIN`] and the whole line without its line end, with zeros for the digits of the signature. So
//! a copy of the line, held elsewhere, proves the log up to there.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

use super::chain::{Hash, Link, Tip, split_seq};
use super::event::Record;
use super::key::{CryptoFault, PublicKey, SIGNATURE_DIGITS, Signature, SigningKey};

/// Begins what is signed, so that the key's signatures mean nothing elsewhere.
pub const DOMAIN: &[u8] = b"gatepost-audit-checkpoint-v1\n";
/// What stands before the signature, and between it and the hash at the end of the line.
const BEFORE_SIGNATURE: &[u8] = b"\"signature\":\"";
const BEHIND_SIGNATURE: &[u8] = b"\"},\"prev\":\"";
const LINE_END_BYTES: usize = BEHIND_SIGNATURE.len() + 64 + 2;
/// `2027-01-02T03:04:05.678901Z` and an id: the fields before the event have one length each.
const TIME_BYTES: usize = 27;
/// The longest name of a node. One that says more of itself is no node: a checkpoint is kept whole while a log is read.
const NODE_BYTES_MAX: usize = 255;
const ID_BYTES: usize = 26;

/// What made the daemon write a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// The daemon began to write.
    Start,
    /// Time or lines have passed.
    Interval,
    /// The segment ends here.
    Rotation,
    /// Somebody asked.
    Demand,
    /// An orderly stop.
    Stop,
    /// The key is replaced by `next_key`.
    Key,
    /// The segments in `removed` are going to be removed.
    Retention,
}

/// The tombstone of segments that are removed as they are too old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The first and the last of them.
    pub segments: [u64; 2],
    /// Numbers of their first and last line.
    pub first: u64,
    pub last: u64,
    /// SHA-256 of line `last`: `prev` of the oldest line that is left.
    pub hash: Hash,
    /// The time of line `last`.
    pub until: Timestamp,
}

/// The field `checkpoint` of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub why: Why,
    /// The first line that the tree covers; the last is the one before the checkpoint.
    pub first: u64,
    /// Of the tree over these lines ([`super::tree`]).
    pub root: Hash,
    /// The key that signs this line.
    pub key: PublicKey,
    /// The key that signs all later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<PublicKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
    pub signature: Signature,
}

/// A checkpoint as read from its line. That it reads well says nothing about its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of the checkpoint's own line.
    pub seq: u64,
    pub prev: Hash,
    /// SHA-256 of the line.
    pub hash: Hash,
    pub time: Timestamp,
    pub node: String,
    pub statement: Statement,
}

impl Checkpoint {
    /// Reads a line without its line end. `None` if it is no checkpoint.
    pub fn parse(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields {
            time: Timestamp,
            node: String,
            checkpoint: Statement,
        }
        if !claims_to_be_one(line) {
            return None;
        }
        let Link { seq, prev } = Link::parse(line)?;
        let Fields { time, node, checkpoint: statement } = serde_json::from_slice(line).ok()?;
        if node.len() > NODE_BYTES_MAX {
            return None;
        }
        let (_, signature, _) = split_signature(line)?;
        let is_ours = Signature::from_digits(signature)? == statement.signature && statement.first <= seq;
        is_ours.then(|| Self { seq, prev, hash: Hash::of(line), time, node, statement })
    }

    /// Lines that the tree covers: `first` and those behind it.
    pub const fn lines(&self) -> u64 {
        self.seq.saturating_sub(self.statement.first)
    }

    /// The key that must sign the next checkpoint.
    pub fn key_in_force(&self) -> PublicKey {
        self.statement.next_key.unwrap_or(self.statement.key)
    }

    /// The end of the chain that the checkpoint itself is.
    pub const fn tip(&self) -> Tip {
        Tip { seq: self.seq, hash: self.hash }
    }
}

/// Whether the line has the event of a checkpoint where the daemon writes it. Cheap; most lines are none.
pub fn claims_to_be_one(line: &[u8]) -> bool {
    has_event(line, b"checkpoint")
}

/// Whether the line has this event where the daemon writes it.
pub(super) fn has_event(line: &[u8], name: &[u8]) -> bool {
    let event = |line| {
        let (_, fields) = split_seq(line)?;
        let rest = skip(fields.strip_prefix(b",\"time\":\"")?, TIME_BYTES)?;
        let rest = skip(rest.strip_prefix(b"\",\"id\":\"")?, ID_BYTES)?;
        rest.strip_prefix(b"\",\"event\":\"")?.strip_prefix(name)?.strip_prefix(b"\",")
    };
    event(line).is_some()
}

/// Whether the owner of the key signed this line as a checkpoint.
pub fn verify_signature(line: &[u8], key: &PublicKey) -> bool {
    let Some((head, digits, tail)) = split_signature(line) else { return false };
    let Some(signature) = Signature::from_digits(digits) else { return false };
    key.verify(&signed_bytes(head, tail), &signature)
}

/// What a checkpoint is to say; the rest follows from where it stands and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub why: Why,
    pub first: u64,
    pub root: Hash,
    pub next_key: Option<PublicKey>,
    pub removed: Option<Removed>,
}

/// The signed line behind `tip`, without its line end. `record` is its head, with the event of a checkpoint.
pub fn sign(draft: Draft, mut record: Record<'_>, tip: &Tip, key: &SigningKey) -> Result<String, CryptoFault> {
    let Draft { why, first, root, next_key, removed } = draft;
    let signature = Signature::NONE;
    record.checkpoint = Some(Statement { why, first, root, key: key.public(), next_key, removed, signature });
    let mut unsigned = String::new();
    tip.compose(&record.entry().json, &mut unsigned);
    let (head, _, tail) = split_signature(unsigned.as_bytes()).ok_or(CryptoFault)?;
    let signature = key.sign(&signed_bytes(head, tail))?.to_string();
    let (head, tail) = (str::from_utf8(head), str::from_utf8(tail));
    head.and_then(|head| Ok([head, &signature, tail?].concat())).map_err(|_| CryptoFault)
}

/// The parts of the line before, in and behind the digits of its signature, by their places.
fn split_signature(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (rest, tail) = line.split_at_checked(line.len().checked_sub(LINE_END_BYTES)?)?;
    let (head, digits) = rest.split_at_checked(rest.len().checked_sub(SIGNATURE_DIGITS)?)?;
    (head.ends_with(BEFORE_SIGNATURE) && tail.starts_with(BEHIND_SIGNATURE)).then_some((head, digits, tail))
}

fn signed_bytes(head: &[u8], tail: &[u8]) -> Vec<u8> {
    [DOMAIN, head, [b'0'; SIGNATURE_DIGITS].as_slice(), tail].concat()
}

fn skip(bytes: &[u8], count: usize) -> Option<&[u8]> {
    bytes.split_at_checked(count).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::event::{Event, Stamp};
    use crate::model::id::RecordId;

    fn line(draft: Draft, key: &SigningKey) -> String {
        let stamp = Stamp { node: "mx\"1".into(), config: "abc".into() };
        let time = Timestamp::from_secs(1_800_000_000);
        let record = Record::new(&stamp, time, RecordId::from_u128(7), Event::Checkpoint);
        sign(draft, record, &Tip { seq: 41, hash: Hash::of(b"before") }, key).unwrap()
    }

    fn draft() -> Draft {
        Draft { why: Why::Interval, first: 40, root: Hash::of(b"root"), next_key: None, removed: None }
    }

    #[test]
    fn a_signed_line_reads_back_and_verifies() {
        let (key, next) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap().public());
        let hash = Hash::of(b"last");
        let removed = Removed { segments: [1, 2], first: 1, last: 30, hash, until: Timestamp::from_secs(5) };
        for draft in [
            draft(),
            Draft { why: Why::Key, next_key: Some(next), ..draft() },
            Draft { why: Why::Retention, removed: Some(removed.clone()), ..draft() },
        ] {
            let line = line(draft.clone(), &key);
            let read = Checkpoint::parse(line.as_bytes()).unwrap();
            assert_eq!((read.seq, read.prev, read.hash), (42, Hash::of(b"before"), Hash::of(line.as_bytes())));
            assert_eq!((read.node.as_str(), read.lines()), ("mx\"1", 2));
            assert_eq!(read.key_in_force(), draft.next_key.unwrap_or(key.public()));
            let Statement { why, first, root, next_key, removed, .. } = read.statement;
            assert_eq!(Draft { why, first, root, next_key, removed }, draft);
            assert!(verify_signature(line.as_bytes(), &key.public()));
            assert!(!verify_signature(line.as_bytes(), &next));
        }
    }

    #[test]
    fn what_others_say_in_their_fields_makes_no_checkpoint() {
        let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
        let mut record = Record::new(&stamp, Timestamp::from_secs(0), RecordId::from_u128(7), Event::QueueAdmin);
        let real = line(draft(), &SigningKey::generate().unwrap());
        record.detail = Some(real.clone());
        let imitation = Tip::default().extend(&record.entry().json);
        assert_eq!(Checkpoint::parse(imitation.as_bytes()), None);
        assert!(!claims_to_be_one(imitation.as_bytes()));
        for broken in [real.replace("\"first\":40", "\"first\":43"), real.replace("\"why\"", "\"how\""), String::new()]
        {
            assert_eq!(Checkpoint::parse(broken.as_bytes()), None);
        }
    }

    #[test]
    fn a_line_whose_node_has_an_endless_name_is_no_checkpoint() {
        let key = SigningKey::generate().unwrap();
        for (bytes, is_read) in [(NODE_BYTES_MAX, true), (NODE_BYTES_MAX + 1, false)] {
            let stamp = Stamp { node: "a".repeat(bytes).into(), config: "abc".into() };
            let record = Record::new(&stamp, Timestamp::from_secs(0), RecordId::from_u128(7), Event::Checkpoint);
            let line = sign(draft(), record, &Tip { seq: 41, hash: Hash::of(b"before") }, &key).unwrap();
            assert_eq!(Checkpoint::parse(line.as_bytes()).is_some(), is_read, "{bytes}");
        }
    }

    #[test]
    fn the_shape_of_the_line_is_fixed() {
        let key = SigningKey::generate().unwrap();
        let line = line(draft(), &key);
        let (head, rest) = line.split_once("\"checkpoint\":").unwrap();
        assert!(
            head.starts_with(
                "{\"seq\":42,\"time\":\"2027-01-15T08:00:00.000000Z\",\"id\":\"00000000000000000000000007\""
            )
        );
        let (statement, prev) = rest.split_once("},").unwrap();
        let root = Hash::of(b"root");
        let fields = format!("{{\"why\":\"interval\",\"first\":40,\"root\":\"{root}\",\"key\":\"{}\",", key.public());
        assert!(statement.starts_with(&format!("{fields}\"signature\":\"")), "{statement}");
        assert_eq!(prev, format!("\"prev\":\"{}\"}}", Hash::of(b"before")));
    }

    proptest! {
        #[test]
        fn any_changed_byte_makes_the_signature_wrong(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let key = SigningKey::generate().unwrap();
            let mut bytes = line(draft(), &key).into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert!(!verify_signature(&bytes, &key.public()));
        }
    }
}
