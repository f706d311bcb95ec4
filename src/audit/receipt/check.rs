//! Checks a receipt by itself.

use serde_json::Value;

use crate::audit::chain::{Hash, Link};
use crate::audit::checkpoint::{Checkpoint, verify_signature};
use crate::audit::key::PublicKey;
use crate::audit::tree::root_from_path;
use crate::audit::verify::Vouched;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::{Entry, RECEIPT_VERSION, Receipt};

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    pub message: MessageId,
    /// When the receipt says that it was made; nobody vouches for that.
    pub made: Timestamp,
    pub records: Vec<Value>,
    /// The checkpoints, in order; where the caller named a key, from the first on that it signed.
    pub vouched: Vec<Vouched>,
    /// The keys that signed these, each named by the one before it.
    pub keys: Vec<PublicKey>,
    /// Whether the caller named the first of them.
    pub is_pinned: bool,
}

/// Why a receipt proves nothing. The fault of whoever made or changed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the file is no receipt, or not the whole of one: {0}")]
    NotAReceipt(String),
    #[error("this is a receipt of form {0}; only form 1 is known")]
    Version(u32),
    #[error("the receipt holds no record")]
    Empty,
    #[error("checkpoint {0} of the receipt, counted from 1, is no checkpoint")]
    NotACheckpoint(usize),
    #[error("checkpoint {seq} is not signed by the key that it names, {key}: it was changed or forged")]
    SignatureWrong { seq: u64, key: PublicKey },
    #[error("checkpoint {seq} stands behind checkpoint {before}: the receipt was put together anew")]
    CheckpointsOutOfOrder { seq: u64, before: u64 },
    #[error("checkpoint {seq} is of node {node}, the one before it of node {before}: they are of two logs")]
    OtherNode { seq: u64, node: String, before: String },
    #[error("checkpoint {seq} is signed by {key}, which the key before it, {before}, did not name as its successor")]
    KeyChanged { seq: u64, key: PublicKey, before: PublicKey },
    #[error("the expected key, {expected}, did not sign: the receipt is signed by {found}")]
    KeyUnexpected { expected: PublicKey, found: PublicKey },
    #[error(
        "record {seq} is proved by checkpoint {checkpoint}, and the expected key, {expected}, signs from checkpoint \
         {since} on: what stands before may be anybody's; name the key that signed then"
    )]
    BeforeKey { seq: u64, checkpoint: u64, expected: PublicKey, since: u64 },
    #[error("record {0} of the receipt, counted from 1, is no audit record: the line was changed")]
    NotARecord(usize),
    #[error("record {seq} is of another message{}", found.as_ref().map(|id| format!(", {id}")).unwrap_or_default())]
    OtherMessage { seq: u64, found: Option<String> },
    #[error("record {seq} stands behind record {before}: the records were put in another order")]
    RecordsOutOfOrder { seq: u64, before: u64 },
    #[error("record {seq} is to be proved by checkpoint {checkpoint}, which is not in the receipt")]
    NoCheckpoint { seq: u64, checkpoint: u64 },
    #[error(
        "checkpoint {checkpoint} does not cover record {seq}: its records are {first} to {}",
        checkpoint.saturating_sub(1)
    )]
    NotCovered { seq: u64, checkpoint: u64, first: u64 },
    #[error(
        "record {seq} does not lead to the root that checkpoint {checkpoint} signed: the record or its path was changed"
    )]
    RootWrong { seq: u64, checkpoint: u64 },
    #[error("checkpoint {0} proves nothing in this receipt: it was put in")]
    Unneeded(u64),
}

/// Checks every part of a receipt. `pinned` is the key that must have signed: each checkpoint over a record, or one
/// before it, from which the keys led on to it.
pub fn check(text: &[u8], pinned: Option<PublicKey>) -> Result<Proof, Refusal> {
    let receipt: Receipt = serde_json::from_slice(text).map_err(|error| Refusal::NotAReceipt(error.to_string()))?;
    check_receipt(&receipt, pinned)
}

pub(super) fn check_receipt(receipt: &Receipt, pinned: Option<PublicKey>) -> Result<Proof, Refusal> {
    if receipt.receipt != RECEIPT_VERSION {
        return Err(Refusal::Version(receipt.receipt));
    }
    let (mut checkpoints, mut keys) = check_checkpoints(&receipt.checkpoints)?;
    let mut records = Vec::with_capacity(receipt.records.len());
    let mut before = 0;
    for (entry, number) in receipt.records.iter().zip(1..) {
        let (seq, record) = check_record(entry, number, receipt.message, &checkpoints)?;
        if seq <= before {
            return Err(Refusal::RecordsOutOfOrder { seq, before });
        }
        before = seq;
        records.push(record);
    }
    if records.is_empty() {
        return Err(Refusal::Empty);
    }
    let is_cited = |seq| receipt.records.iter().any(|entry| entry.checkpoint == seq);
    let is_needed = |it: &&Checkpoint| is_cited(it.seq) || it.statement.next_key.is_some();
    if let Some(unneeded) = checkpoints.iter().find(|checkpoint| !is_needed(checkpoint)) {
        return Err(Refusal::Unneeded(unneeded.seq));
    }
    if let Some(expected) = pinned {
        let since = check_key(expected, &checkpoints, receipt, &keys)?;
        checkpoints.retain(|checkpoint| checkpoint.seq >= since);
        keys = keys.into_iter().skip_while(|key| *key != expected).collect();
    }
    let vouched =
        checkpoints.into_iter().map(|it| Vouched { seq: it.seq, time: it.time, node: it.node, key: it.statement.key });
    let (message, made) = (receipt.message, receipt.made);
    Ok(Proof { message, made, records, vouched: vouched.collect(), keys, is_pinned: pinned.is_some() })
}

/// The first checkpoint that the expected key signed, which has to stand before every record's. A key that is only
/// named proves nothing, and a receipt does not show that what stands before its first signature is what it followed on.
fn check_key(
    expected: PublicKey,
    checkpoints: &[Checkpoint],
    receipt: &Receipt,
    keys: &[PublicKey],
) -> Result<u64, Refusal> {
    let first = checkpoints.iter().find(|checkpoint| checkpoint.statement.key == expected);
    let Some(since) = first.map(|checkpoint| checkpoint.seq) else {
        // There is a checkpoint, as there is a record.
        let found = keys.last().copied().unwrap_or(expected);
        return Err(Refusal::KeyUnexpected { expected, found });
    };
    match receipt.records.iter().find(|entry| entry.checkpoint < since) {
        None => Ok(since),
        Some(Entry { line, checkpoint, .. }) => {
            let seq = Link::parse(line.as_bytes()).map_or(0, |link| link.seq);
            Err(Refusal::BeforeKey { seq, checkpoint: *checkpoint, expected, since })
        }
    }
}

/// Signatures, order, and the succession of keys. Gives the keys that signed.
fn check_checkpoints(lines: &[String]) -> Result<(Vec<Checkpoint>, Vec<PublicKey>), Refusal> {
    let mut checkpoints: Vec<Checkpoint> = Vec::with_capacity(lines.len());
    let mut keys = Vec::new();
    for (line, number) in lines.iter().zip(1..) {
        let checkpoint = Checkpoint::parse(line.as_bytes()).ok_or(Refusal::NotACheckpoint(number))?;
        let (seq, key) = (checkpoint.seq, checkpoint.statement.key);
        if !verify_signature(line.as_bytes(), &key) {
            return Err(Refusal::SignatureWrong { seq, key });
        }
        match checkpoints.last() {
            Some(before) if before.seq >= seq => {
                return Err(Refusal::CheckpointsOutOfOrder { seq, before: before.seq });
            }
            Some(before) if before.node != checkpoint.node => {
                let (node, before) = (checkpoint.node.clone(), before.node.clone());
                return Err(Refusal::OtherNode { seq, node, before });
            }
            Some(before) if before.key_in_force() != key => {
                return Err(Refusal::KeyChanged { seq, key, before: before.key_in_force() });
            }
            _ => (),
        }
        if keys.last() != Some(&key) {
            keys.push(key);
        }
        checkpoints.push(checkpoint);
    }
    Ok((checkpoints, keys))
}

fn check_record(
    entry: &Entry,
    number: usize,
    message: MessageId,
    checkpoints: &[Checkpoint],
) -> Result<(u64, Value), Refusal> {
    let line = entry.line.as_bytes();
    let Link { seq, .. } = Link::parse(line).ok_or(Refusal::NotARecord(number))?;
    let record: Value = serde_json::from_slice(line).map_err(|_| Refusal::NotARecord(number))?;
    let found = record.get("message").and_then(Value::as_str);
    if found != Some(&message.to_string()) {
        return Err(Refusal::OtherMessage { seq, found: found.map(str::to_owned) });
    }
    let cited = checkpoints.iter().find(|checkpoint| checkpoint.seq == entry.checkpoint);
    let checkpoint = cited.ok_or(Refusal::NoCheckpoint { seq, checkpoint: entry.checkpoint })?;
    let (first, last) = (checkpoint.statement.first, checkpoint.seq);
    if !(first..last).contains(&seq) {
        return Err(Refusal::NotCovered { seq, checkpoint: last, first });
    }
    let root = root_from_path(&Hash::of(line), seq - first, checkpoint.lines(), &entry.path);
    if root != Some(checkpoint.statement.root) {
        return Err(Refusal::RootWrong { seq, checkpoint: last });
    }
    Ok((seq, record))
}
