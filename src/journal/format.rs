//! The bytes of labels, batch headers and entry heads. All numbers are little-endian; see `docs/QUEUE_FORMAT.md`.

use crc32fast::Hasher;

/// Of a label and of a batch header. A multiple of [`ALIGNMENT`].
pub(super) const HEADER_BYTES: usize = 48;
pub(super) const HEADER_BYTES_U64: u64 = HEADER_BYTES as u64;
pub(super) const ENTRY_HEAD_BYTES: usize = 24;
/// Every batch starts at a multiple of this.
pub(super) const ALIGNMENT: u64 = 8;
pub(super) const BATCH_MAGIC: [u8; 8] = *b"GPbatch\n";
pub(super) const FORMAT_VERSION: u32 = 1;

const CHECKED_HEADER_BYTES: usize = HEADER_BYTES - 4;
const CHECKED_HEAD_BYTES: usize = ENTRY_HEAD_BYTES - 4;
const FLAG_SEAL: u32 = 1;

/// What a label stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelKind {
    /// The header of a segment file: `first` is the sequence its first batch gets, `second` the salt.
    Segment,
    /// The content of a failure mark: `first` is the length that was surely synced, `second` the sequence that failed.
    Failed,
}

impl LabelKind {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Segment => *b"GPsegmt\n",
            Self::Failed => *b"GPfaild\n",
        }
    }
}

/// 48 bytes about a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) kind: LabelKind,
    pub(super) version: u32,
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) second: u64,
}

impl Label {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(self.kind.magic());
        out.extend(self.version.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.number.to_le_bytes());
        out.extend(self.first.to_le_bytes());
        out.extend(self.second.to_le_bytes());
        out.extend([0; 4]);
        let crc = crc32fast::hash(&out);
        out.extend(crc.to_le_bytes());
        out
    }

    pub(super) fn decode(kind: LabelKind, bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::checked(bytes)?;
        if fields.u64()? != u64::from_le_bytes(kind.magic()) {
            return None;
        }
        let version = fields.u32()?;
        fields.u32()?;
        Some(Self { kind, version, number: fields.u64()?, first: fields.u64()?, second: fields.u64()? })
    }
}

/// The first 48 bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) salt: u64,
    pub(super) sequence: u64,
    pub(super) body_bytes: u64,
    pub(super) meta_bytes: u32,
    pub(super) entries: u32,
    /// The empty batch of an orderly end: all before it is known to be synced.
    pub(super) seal: bool,
}

impl BatchHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(BATCH_MAGIC);
        out.extend(self.salt.to_le_bytes());
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.body_bytes.to_le_bytes());
        out.extend(self.meta_bytes.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out.extend(if self.seal { FLAG_SEAL } else { 0 }.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend(crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::checked(bytes)?;
        if fields.u64()? != u64::from_le_bytes(BATCH_MAGIC) {
            return None;
        }
        Some(Self {
            salt: fields.u64()?,
            sequence: fields.u64()?,
            body_bytes: fields.u64()?,
            meta_bytes: fields.u32()?,
            entries: fields.u32()?,
            seal: fields.u32()? & FLAG_SEAL != 0,
        })
    }

    /// From the start of the batch to the start of its bodies.
    pub(super) fn body_start(&self) -> u64 {
        HEADER_BYTES_U64.saturating_add(u64::from(self.meta_bytes))
    }

    /// Of the whole batch with its padding.
    pub(super) fn total_bytes(&self) -> u64 {
        self.body_start().saturating_add(self.body_bytes).checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX)
    }
}

/// Stands before the metadata of each entry. Its checksum covers the head and the metadata, seeded with the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryHead {
    pub(super) kind: u8,
    pub(super) meta_bytes: u32,
    pub(super) body_bytes: u64,
    pub(super) body_crc: u32,
    pub(super) crc: u32,
}

impl EntryHead {
    /// Writes the head, with its checksum over `meta`, into `out`.
    pub(super) fn seal(mut self, salt: u64, meta: &[u8]) -> [u8; ENTRY_HEAD_BYTES] {
        self.crc = self.checksum(salt, meta);
        let mut out = [0; ENTRY_HEAD_BYTES];
        let bytes = self.checked_bytes().into_iter().chain(self.crc.to_le_bytes());
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let kind = fields.u32()?.to_le_bytes();
        let [kind, 0, 0, 0] = kind else { return None };
        Some(Self {
            kind,
            meta_bytes: fields.u32()?,
            body_bytes: fields.u64()?,
            body_crc: fields.u32()?,
            crc: fields.u32()?,
        })
    }

    pub(super) fn checksum(&self, salt: u64, meta: &[u8]) -> u32 {
        let [a, b, c, d, ..] = salt.to_le_bytes();
        let mut hasher = Hasher::new_with_initial(u32::from_le_bytes([a, b, c, d]));
        hasher.update(&self.checked_bytes());
        hasher.update(meta);
        hasher.finalize()
    }

    fn checked_bytes(&self) -> [u8; CHECKED_HEAD_BYTES] {
        let mut out = [0; CHECKED_HEAD_BYTES];
        let fields = [self.kind, 0, 0, 0]
            .into_iter()
            .chain(self.meta_bytes.to_le_bytes())
            .chain(self.body_bytes.to_le_bytes())
            .chain(self.body_crc.to_le_bytes());
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        out
    }
}

/// Takes numbers from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of a label or batch header whose checksum is right.
    fn checked(bytes: &'a [u8]) -> Option<Self> {
        let (checked, rest) = bytes.split_at_checked(CHECKED_HEADER_BYTES)?;
        (Fields(rest).u32()? == crc32fast::hash(checked)).then_some(Self(checked))
    }

    fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*value))
    }

    fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }
}
