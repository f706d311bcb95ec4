//! Reads a whole journal folder: replays its entries in order and tells what is wrong with it. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use super::chain::Chain;
use super::filesystem::{File, FileSystem};
use super::folder::{Folder, Removed, failed_path, segment_path};
use super::format::{BatchHeader, FORMAT_VERSION, HEADER_BYTES, HEADER_BYTES_U64, Label, LabelKind};
use super::segments::SegmentInfo;
use super::walk::{Bad, BatchRead, Step, Walk};
use super::{OpenError, Replayed};

/// What opening or scanning a journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Acknowledged data that cannot be read. Whoever opens decides whether to go on without it.
    pub damage: Vec<Damage>,
    /// The last write was not finished before the process or the machine stopped; nobody was told that it succeeded.
    pub torn: Option<TornTail>,
    /// Segments whose last write failed in an earlier run.
    pub failed: Vec<u64>,
    pub batches: u64,
    pub entries: u64,
    /// The sequence that the next batch gets.
    pub next_sequence: u64,
}

/// A place of the journal that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub segment: u64,
    pub offset: u64,
    /// In bytes; 0 where something is missing.
    pub length: u64,
    pub what: What,
    /// The batches that are lost, wholly or in part, if that is known.
    pub sequences: Option<RangeInclusive<u64>>,
    /// How many entries of them, if that is known.
    pub entries: Option<u64>,
}

/// The kind of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The header of the segment; its batches may still be read.
    SegmentHeader,
    BatchHeader,
    /// The metadata of some entries of a batch.
    Metadata,
    /// The body of an entry whose metadata is whole.
    Body,
    /// Batches are gone without a trace, such as a segment file that was lost.
    Missing,
    /// A batch that was seen before or should have been; it is not replayed.
    OutOfOrder,
}

/// The unfinished end of the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub segment: u64,
    pub offset: u64,
    pub length: u64,
}

/// What to read with [`scan`].
#[derive(Clone, Copy, Debug)]
pub struct ScanRequest<'a> {
    pub folder: &'a Path,
    /// Read the bodies too, and report those that are damaged.
    pub verify_bodies: bool,
}

/// Reads a journal without a lock and without changing anything. Beside a running daemon the end may look torn.
pub fn scan(
    fs: &dyn FileSystem,
    request: ScanRequest<'_>,
    visitor: &mut dyn FnMut(Replayed<'_>),
) -> Result<Recovery, OpenError> {
    Ok(survey(fs, request, visitor)?.recovery)
}

/// The size of each segment file, by its number.
pub fn segment_bytes(fs: &dyn FileSystem, folder: &Path) -> io::Result<BTreeMap<u64, u64>> {
    let mut sizes = BTreeMap::new();
    for number in Folder::of_names(fs.list(folder)?).segments {
        match fs.open(&segment_path(folder, number)) {
            // It went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => _ = sizes.insert(number, file?.length()?),
        }
    }
    Ok(sizes)
}

/// What recovery knows, and what there is to put in order before the journal can go on.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) recovery: Recovery,
    pub(super) infos: BTreeMap<u64, SegmentInfo>,
    pub(super) next_number: u64,
    /// Segments that end before their file does.
    pub(super) cuts: BTreeMap<u64, u64>,
    /// Files that never held a batch.
    pub(super) unused: BTreeSet<u64>,
    pub(super) removed: Vec<Removed>,
    /// The segment that was written last.
    pub(super) last: Option<u64>,
}

pub(super) fn survey(
    fs: &dyn FileSystem,
    request: ScanRequest<'_>,
    visitor: &mut dyn FnMut(Replayed<'_>),
) -> Result<Survey, OpenError> {
    let failed_at = |path: &Path, error: &io::Error| OpenError::Io { path: path.to_owned(), kind: error.kind() };
    let names = fs.list(request.folder).map_err(|error| failed_at(request.folder, &error))?;
    let folder = Folder::of_names(names);
    let mut segments = BTreeMap::new();
    for &number in &folder.segments {
        let path = segment_path(request.folder, number);
        let mark = if folder.failed.contains(&number) { read_mark(fs, request.folder, number)? } else { None };
        let segment = fs.open(&path).and_then(|file| Segment::read(file.as_ref(), number, mark));
        let segment = segment.map_err(|error| failed_at(&path, &error))?;
        if let Some(label) = segment.label.filter(|label| label.version != FORMAT_VERSION) {
            return Err(OpenError::Version { path, version: label.version });
        }
        segments.insert(number, segment);
    }
    let mut reader = Reader::new(&folder, &segments, visitor, request.verify_bodies);
    let numbers: BTreeSet<u64> = folder.segments.iter().chain(folder.removed.keys()).copied().collect();
    for number in numbers {
        if let Some(segment) = segments.get(&number) {
            let path = segment_path(request.folder, number);
            let read = fs.open(&path).and_then(|file| reader.read_segment(segment, file.as_ref()));
            read.map_err(|error| failed_at(&path, &error))?;
        } else if let Some(removed) = folder.removed.get(&number) {
            reader.pass_removed(*removed);
        }
    }
    Ok(reader.finish(folder))
}

/// A failure mark that cannot be read says no more than that there was a failure.
fn read_mark(fs: &dyn FileSystem, folder: &Path, number: u64) -> Result<Option<u64>, OpenError> {
    let path = failed_path(folder, number);
    let mut bytes = [0; HEADER_BYTES];
    let read = fs.open(&path).and_then(|file| file.read_at(0, &mut bytes));
    read.map_err(|error| OpenError::Io { path, kind: error.kind() })?;
    let label = Label::decode(LabelKind::Failed, &bytes).filter(|label| label.number == number);
    Ok(label.map(|label| label.first))
}

/// What a segment file says of itself. The file is not kept open: there may be more segments than descriptors.
#[derive(Debug)]
struct Segment {
    number: u64,
    file_bytes: u64,
    /// What counts of it: a write that is known to have failed is left out.
    length: u64,
    /// `None` if it is damaged, or was never written whole.
    label: Option<Label>,
    first_batch_salt: Option<u64>,
}

impl Segment {
    fn read(file: &dyn File, number: u64, mark: Option<u64>) -> io::Result<Self> {
        let file_bytes = file.length()?;
        let length = mark.map_or(file_bytes, |mark| mark.min(file_bytes));
        let mut bytes = [0; 2 * HEADER_BYTES];
        file.read_at(0, &mut bytes)?;
        let (header, first_batch) = bytes.split_at(HEADER_BYTES);
        let label = Label::decode(LabelKind::Segment, header)
            .filter(|label| label.number == number && length >= HEADER_BYTES_U64);
        let first_batch_salt = BatchHeader::decode(first_batch).map(|header| header.salt);
        Ok(Self { number, file_bytes, length, label, first_batch_salt })
    }

    /// A file whose making was not finished holds nothing and proves nothing.
    fn was_begun(&self) -> bool {
        self.label.is_some() || self.length > HEADER_BYTES_U64
    }
}

struct Reader<'a> {
    survey: Survey,
    chain: Chain,
    salts: BTreeSet<u64>,
    lowest: Option<u64>,
    visitor: &'a mut dyn FnMut(Replayed<'_>),
    verify_bodies: bool,
}

impl<'a> Reader<'a> {
    fn new(
        folder: &Folder,
        segments: &BTreeMap<u64, Segment>,
        visitor: &'a mut dyn FnMut(Replayed<'_>),
        verify_bodies: bool,
    ) -> Self {
        let begun = || segments.values().filter(|segment| segment.was_begun());
        let survey = Survey {
            next_number: folder.next_number(),
            removed: folder.removed.values().copied().collect(),
            last: begun().map(|segment| segment.number).max(),
            ..Survey::default()
        };
        let salts = segments.values().filter_map(|segment| segment.label).map(|label| label.second).collect();
        let lowest = begun().map(|segment| segment.number).min();
        Self { survey, chain: Chain::default(), salts, lowest, visitor, verify_bodies }
    }

    /// Of the removed segments before all others only the newest is surely still named.
    fn pass_removed(&mut self, removed: Removed) {
        if self.lowest.is_none_or(|lowest| removed.number < lowest) {
            self.chain.begin_after(removed.last);
            return;
        }
        let missing = Damage { what: What::Missing, ..Damage::at(removed.number, 0) };
        self.chain.reach(removed.first, missing, &mut self.survey.recovery.damage);
        self.chain.pass(removed.last);
    }

    fn read_segment(&mut self, segment: &Segment, file: &dyn File) -> io::Result<()> {
        let number = segment.number;
        if segment.length < segment.file_bytes {
            self.survey.cuts.insert(number, segment.length);
        }
        if !segment.was_begun() {
            self.survey.unused.insert(number);
            return Ok(());
        }
        let salts: Vec<u64> = match segment.label {
            Some(label) => {
                let missing = Damage { what: What::Missing, ..Damage::at(number, 0) };
                self.chain.reach(label.first, missing, &mut self.survey.recovery.damage);
                vec![label.second]
            }
            None => {
                self.damage(Damage { length: HEADER_BYTES_U64, what: What::SegmentHeader, ..Damage::at(number, 0) });
                // The first batch stands where no body can be, so its salt is believed.
                self.salts.iter().copied().chain(segment.first_batch_salt).collect()
            }
        };
        let first = segment.label.map_or(self.chain.expected(), |label| label.first.max(1));
        let (bytes, last_sequence) = (segment.length, first.saturating_sub(1));
        let info = SegmentInfo { number, bytes, first_sequence: first, last_sequence, damaged: false };
        self.survey.infos.insert(number, info);
        let walk = Walk { file, segment: number, length: segment.length, salts: &salts, offset: HEADER_BYTES_U64 };
        self.walk(walk)
    }

    /// Delivers one batch late, because the last one of all counts only if its bodies are whole.
    fn walk(&mut self, mut walk: Walk<'_>) -> io::Result<()> {
        let is_last = self.survey.last == Some(walk.segment);
        let (file_bytes, mut is_sound) = (walk.length, true);
        let mut held: Option<BatchRead> = None;
        loop {
            let step = walk.step()?;
            let at_end = matches!(step, Step::End);
            let bad = match step {
                Step::Batch(batch) => {
                    if let Some(before) = held.replace(batch) {
                        self.deliver(&walk, before)?;
                    }
                    continue;
                }
                Step::End => None,
                Step::Tail(bad) if is_last => {
                    self.tear(&walk, bad.offset);
                    None
                }
                Step::Tail(bad) | Step::Damaged(bad) => Some(bad),
            };
            // What is behind damage stays as it is.
            if at_end && is_sound && walk.length < file_bytes {
                self.end_at(&walk, walk.length);
            }
            if let Some(batch) = held.take() {
                // Anything behind a batch was written after its sync.
                let unproven = is_last && at_end && self.survey.recovery.torn.is_none();
                if unproven && !walk.bodies_whole(&batch)? {
                    self.tear(&walk, batch.offset);
                } else {
                    self.deliver(&walk, batch)?;
                }
            }
            match bad {
                Some(bad) => {
                    is_sound = false;
                    self.report(&walk, bad)?;
                }
                None if at_end => return Ok(()),
                None => {}
            }
        }
    }

    fn tear(&mut self, walk: &Walk<'_>, offset: u64) {
        let length = walk.length.saturating_sub(offset);
        self.survey.recovery.torn = Some(TornTail { segment: walk.segment, offset, length });
        self.end_at(walk, offset);
    }

    fn end_at(&mut self, walk: &Walk<'_>, offset: u64) {
        let cut = self.survey.cuts.entry(walk.segment).or_insert(offset);
        *cut = offset.min(*cut);
        if let Some(info) = self.survey.infos.get_mut(&walk.segment) {
            info.bytes = *cut;
        }
    }

    /// Reports a bad region and replays what can be saved of it.
    fn report(&mut self, walk: &Walk<'_>, bad: Bad) -> io::Result<()> {
        let mut damage = Damage { length: bad.length, what: bad.what, ..Damage::at(walk.segment, bad.offset) };
        let Some(batch) = bad.batch else {
            self.chain.suspect(self.survey.recovery.damage.len());
            self.damage(damage);
            return Ok(());
        };
        damage.sequences = Some(batch.header.sequence..=batch.header.sequence);
        damage.entries = Some(u64::from(batch.header.entries).saturating_sub(batch.entries.len() as u64));
        self.damage(damage);
        self.deliver(walk, batch)
    }

    fn deliver(&mut self, walk: &Walk<'_>, batch: BatchRead) -> io::Result<()> {
        let sequence = batch.header.sequence;
        let missing = Damage { what: What::Missing, ..Damage::at(walk.segment, batch.offset) };
        self.chain.reach(sequence, missing, &mut self.survey.recovery.damage);
        if sequence < self.chain.expected() {
            self.damage(Damage {
                length: batch.end.saturating_sub(batch.offset),
                what: What::OutOfOrder,
                sequences: Some(sequence..=sequence),
                ..Damage::at(walk.segment, batch.offset)
            });
            return Ok(());
        }
        self.chain.pass(sequence);
        if let Some(info) = self.survey.infos.get_mut(&walk.segment) {
            info.last_sequence = sequence;
        }
        self.survey.recovery.batches += 1;
        let meta_start = batch.offset.saturating_add(HEADER_BYTES_U64);
        for entry in &batch.entries {
            self.survey.recovery.entries += 1;
            let meta = batch.meta.get(entry.meta.clone()).unwrap_or_default();
            let meta_offset = meta_start.saturating_add(entry.meta.start as u64);
            (self.visitor)(Replayed { kind: entry.kind, meta, location: entry.location, meta_offset, sequence });
            if self.verify_bodies && !super::body::is_whole(walk.file, &entry.location)? {
                self.damage(Damage {
                    length: entry.location.length,
                    what: What::Body,
                    sequences: Some(sequence..=sequence),
                    entries: Some(1),
                    ..Damage::at(walk.segment, entry.location.offset)
                });
            }
        }
        Ok(())
    }

    fn damage(&mut self, damage: Damage) {
        self.survey.recovery.damage.push(damage);
    }

    fn finish(mut self, folder: Folder) -> Survey {
        for damage in &self.survey.recovery.damage {
            // A file that is whole is no evidence of what is missing before it.
            if let Some(info) = self.survey.infos.get_mut(&damage.segment).filter(|_| damage.what != What::Missing) {
                info.damaged = true;
            }
        }
        for info in self.survey.infos.values().filter(|info| info.is_empty() && !info.damaged) {
            self.survey.unused.insert(info.number);
        }
        self.survey.infos.retain(|number, _| !self.survey.unused.contains(number));
        self.survey.recovery.failed = folder.failed.into_iter().collect();
        self.survey.recovery.next_sequence = self.chain.expected();
        self.survey
    }
}

impl Damage {
    const fn at(segment: u64, offset: u64) -> Self {
        Self { segment, offset, length: 0, what: What::BatchHeader, sequences: None, entries: None }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {:016x} at {}, {} bytes: {}", self.segment, self.offset, self.length, self.what)?;
        if let Some(sequences) = &self.sequences {
            match (sequences.start(), sequences.end()) {
                (first, last) if first == last => write!(f, "; batch {first}")?,
                (first, last) => write!(f, "; batches {first} to {last}")?,
            }
        }
        match self.entries {
            Some(entries) => write!(f, "; entries lost: {entries}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SegmentHeader => "the segment header is damaged",
            Self::BatchHeader => "batches are damaged",
            Self::Metadata => "metadata is damaged",
            Self::Body => "a body is damaged",
            Self::Missing => "batches are missing",
            Self::OutOfOrder => "a batch is out of order",
        })
    }
}
