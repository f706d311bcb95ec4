//! Small logs for tests: records, checkpoints, segments and keys as the daemon would write them, in an order that the
//! test chooses.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::audit::chain::{Hash, Tip};
use crate::audit::checkpoint::{Draft, Removed, Why, sign};
use crate::audit::event::{Event, Record, Stamp};
use crate::audit::key::{PublicKey, SigningKey};
use crate::audit::segments::Segment;
use crate::audit::tree::TreeBuilder;
use crate::model::id::{MessageId, RecordId};
use crate::model::time::Timestamp;

/// 2027-01-02T03:00:00Z; each record is a second later than the one before.
pub(crate) const START: i64 = 1_798_858_800;

pub(crate) struct Specimen {
    folder: tempfile::TempDir,
    pub(crate) key: SigningKey,
    pub(crate) tip: Tip,
    tree: TreeBuilder,
    first: u64,
    segment: u64,
    stamp: Stamp,
    pub(crate) checkpoints: Vec<String>,
}

impl Specimen {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: SigningKey::generate().unwrap(),
            tip: Tip::default(),
            tree: TreeBuilder::default(),
            first: 1,
            segment: 1,
            stamp: Stamp { node: "mx1".into(), config: "abc".into() },
            checkpoints: Vec::new(),
        }
    }

    /// Three segments with eight records each, a checkpoint at the start of everything, in the middle of the second
    /// segment and at the end of each: 29 lines, of which 1, 10, 15, 20 and 29 are checkpoints.
    pub(crate) fn usual() -> Self {
        static USUAL: LazyLock<(Specimen, [String; 3])> = LazyLock::new(|| {
            let log = Specimen::made();
            let texts = [1, 2, 3].map(|segment| log.text(segment));
            (log, texts)
        });
        let (made, texts) = &*USUAL;
        let log = Self {
            folder: tempfile::tempdir().unwrap(),
            key: SigningKey::from_pem(made.key.to_pem().unwrap().as_bytes()).unwrap(),
            tip: made.tip.clone(),
            tree: made.tree.clone(),
            first: made.first,
            segment: made.segment,
            stamp: made.stamp.clone(),
            checkpoints: made.checkpoints.clone(),
        };
        (1..).zip(texts).for_each(|(segment, text)| fs::write(log.path(segment), text).unwrap());
        log
    }

    /// As [`Specimen::usual`], with a key of its own.
    pub(crate) fn made() -> Self {
        let mut log = Self::new();
        log.checkpoint();
        log.records(8);
        log.rotate();
        log.records(4);
        log.checkpoint();
        log.records(4);
        log.rotate();
        log.records(8);
        log.checkpoint();
        log
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, segment: u64) -> PathBuf {
        Segment::plain(self.folder(), segment).path
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.key.public()
    }

    pub(crate) fn records(&mut self, count: u64) {
        for _ in 0..count {
            let message = MessageId::from_u128(u128::from(1 + self.tip.seq % 3));
            self.say(Some(message), "as it was");
        }
    }

    pub(crate) fn say(&mut self, message: Option<MessageId>, detail: &str) {
        let stamp = self.stamp.clone();
        let mut record = self.record(&stamp, Event::QueueAdmin);
        record.message = message;
        record.detail = Some(detail.to_owned());
        let line = self.tip.extend(&record.entry().json);
        self.tree.push(&Hash::of(line.as_bytes()));
        self.append(&line);
    }

    pub(crate) fn checkpoint(&mut self) {
        self.seal(Why::Interval, None, None);
    }

    /// The segment ends with a checkpoint; what follows goes into the next.
    pub(crate) fn rotate(&mut self) {
        self.seal(Why::Rotation, None, None);
        self.segment += 1;
    }

    pub(crate) fn replace_key(&mut self) {
        let next = SigningKey::generate().unwrap();
        self.name_key(next.public());
        self.key = next;
    }

    /// Names a key as the next one, whoever has it.
    pub(crate) fn name_key(&mut self, next: PublicKey) {
        self.seal(Why::Key, Some(next), None);
    }

    pub(crate) fn replace_key_but_keep_the_old(&mut self) -> SigningKey {
        let old = SigningKey::from_pem(self.key.to_pem().unwrap().as_bytes()).unwrap();
        self.replace_key();
        old
    }

    /// Forgets the last line, the checkpoint behind eight records of the third segment.
    pub(crate) fn unseal(&mut self) {
        let text = self.text(3);
        let lines: Vec<Hash> = text.lines().take(8).map(|line| Hash::of(line.as_bytes())).collect();
        self.tip = Tip { seq: 28, hash: *lines.last().unwrap() };
        (self.tree, self.first) = (TreeBuilder::default(), 21);
        lines.iter().for_each(|hash| self.tree.push(hash));
    }

    pub(crate) fn begin_segment_without_checkpoint(&mut self) {
        self.segment += 1;
    }

    /// Says that the first segments up to `last` go, and takes them away.
    pub(crate) fn retire(&mut self, last: u64) {
        let text = self.text(last);
        let line = text.lines().last().unwrap();
        let seq = crate::audit::chain::Link::parse(line.as_bytes()).unwrap().seq;
        let until = Timestamp::from_secs(START + i64::try_from(seq).unwrap());
        let removed = Removed { segments: [1, last], first: 1, last: seq, hash: Hash::of(line.as_bytes()), until };
        self.seal(Why::Retention, None, Some(removed));
        (1..=last).for_each(|segment| fs::remove_file(self.path(segment)).unwrap());
    }

    fn seal(&mut self, why: Why, next_key: Option<PublicKey>, removed: Option<Removed>) {
        let stamp = self.stamp.clone();
        let record = self.record(&stamp, Event::Checkpoint);
        let draft = Draft { why, first: self.first, root: self.tree.root(), next_key, removed };
        let line = sign(draft, record, &self.tip, &self.key).unwrap();
        self.tip.follow(line.as_bytes()).unwrap();
        (self.tree, self.first) = (TreeBuilder::default(), self.tip.seq + 1);
        self.append(&line);
        self.checkpoints.push(line);
    }

    fn record<'a>(&self, stamp: &'a Stamp, event: Event) -> Record<'a> {
        let seq = self.tip.seq + 1;
        let time = Timestamp::from_secs(START + i64::try_from(seq).unwrap());
        Record::new(stamp, time, RecordId::from_u128(seq.into()), event)
    }

    fn append(&self, line: &str) {
        let path = self.path(self.segment);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{before}{line}\n")).unwrap();
    }

    pub(crate) fn text(&self, segment: u64) -> String {
        fs::read_to_string(self.path(segment)).unwrap()
    }

    /// Puts a compressed segment in the place of a plain one.
    pub(crate) fn compress(&self, segment: u64) {
        let packed = zstd::encode_all(self.text(segment).as_bytes(), 3).unwrap();
        fs::write(Segment::compressed(self.folder(), segment).path, packed).unwrap();
        fs::remove_file(self.path(segment)).unwrap();
    }
}
