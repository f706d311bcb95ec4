//! The book of TLS reports (RFC 8460): what was counted for each domain on each day, and what became of the reports.
//!
//! All of it is in [`Memory`], so a count is on disk within a second of the session that it is of. The form of the
//! counts is that of [`Tally`]; nothing here knows how reports are sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use crate::mail::tlsrpt::day::Day;
use crate::mail::tlsrpt::tally::{TALLY_BYTES_MAX, Tally};
use crate::memory::{Memory, Refused, SCAN_ENTRIES_MAX, Table, VALUE_BYTES_MAX};
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

pub mod filed;
#[cfg(test)]
mod tests;

use filed::Filed;

/// How many days after its own a tally is kept, whatever became of its report.
pub const KEPT_DAYS: u32 = 7;
/// Sent reports of other days that go for one of today when the table is full.
const EVICTED_MAX: usize = 1000;

/// The first octet of a compressed value; JSON begins with a brace.
const COMPRESSED: u8 = 1;
/// Of 10: a count is compressed only if it is large, which is rare, and then each time it changes.
const LEVEL: u8 = 3;

/// The book. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Book {
    memory: Memory,
    /// Held while an entry is read and written.
    writing: Arc<Mutex<Latest>>,
}

/// The day that a domain was last new on, and how many domains it has.
#[derive(Debug, Default)]
struct Latest {
    day: Option<Day>,
    domains: usize,
}

/// A domain and a day: what one report is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    pub day: Day,
    pub domain: Domain,
}

/// Why sessions are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    #[error("as many domains as may be are counted today")]
    TooMany,
    #[error("the count cannot be kept: {0}")]
    Refused(#[from] Refused),
}

impl Subject {
    fn tally_key(&self) -> String {
        format!("{}{} {}", Kind::Tally.prefix(), self.day, self.domain)
    }

    fn filed_key(&self) -> String {
        format!("{}{} {}", Kind::Filed.prefix(), self.day, self.domain)
    }

    fn early_key(&self) -> String {
        format!("{}{} {}", Kind::Early.prefix(), self.day, self.domain)
    }

    /// The id of the report by this node: the same whenever it is made, so that a copy is known as one.
    pub fn report_id(&self, node: &Domain) -> MessageId {
        MessageId::from_u128(u128::from_be_bytes(self.number(node)))
    }

    /// When the report by this node is due: each at a moment of its own, the same each time it is asked for.
    pub fn due(&self, node: &Domain) -> Timestamp {
        let [.., a, b, c, d] = self.number(node);
        self.day.due(u32::from_be_bytes([a, b, c, d]).into())
    }

    fn number(&self, node: &Domain) -> [u8; 16] {
        let text = format!("{node} {} {}", self.domain, self.day);
        let hash = digest(&SHA256, text.as_bytes());
        hash.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// What an entry is.
#[derive(Clone, Copy)]
enum Kind {
    Tally,
    Filed,
    /// What became of a report that was sent before its day was over.
    Early,
}

impl Kind {
    /// Of the keys, which sort by day behind it.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Tally => "tally ",
            Self::Filed => "filed ",
            Self::Early => "early ",
        }
    }
}

impl Book {
    pub fn new(memory: Memory) -> Self {
        Self { memory, writing: Arc::default() }
    }

    /// Adds what was counted. A domain that is new on its day is taken if there are fewer than `domains_max`.
    pub fn add(&self, counted: &Tally, domains_max: usize) -> Result<(), NotCounted> {
        let subject = Subject { day: counted.day(), domain: counted.domain().clone() };
        let mut latest = self.writing();
        let before = self.tally(&subject);
        let is_new = before.is_none();
        let sum = match before {
            Some(mut sum) => {
                // Equal keys are of the same domain and day.
                _ = sum.merge(counted);
                sum
            }
            None if self.domains(subject.day, &mut latest) < domains_max => counted.clone(),
            None => return Err(NotCounted::TooMany),
        };
        let value = to_value(&sum);
        let mut result = self.memory.put(Table::TlsRpt, &subject.tally_key(), value.as_slice());
        if result == Err(Refused::Full) {
            self.evict(subject.day);
            result = self.memory.put(Table::TlsRpt, &subject.tally_key(), value);
        }
        result?;
        if is_new {
            latest.domains += 1;
        }
        Ok(())
    }

    pub fn tally(&self, subject: &Subject) -> Option<Tally> {
        from_value(&self.memory.get(Table::TlsRpt, &subject.tally_key())?)
    }

    /// What became of the report; `None` before the first try.
    pub fn filed(&self, subject: &Subject) -> Option<Filed> {
        serde_json::from_slice(&self.memory.get(Table::TlsRpt, &subject.filed_key())?).ok()
    }

    /// Writes down what became of a report.
    pub fn file(&self, subject: &Subject, filed: &Filed) -> Result<(), Refused> {
        // It has no part that JSON cannot say.
        let value = serde_json::to_vec(filed).unwrap_or_default();
        let _writing = self.writing();
        let mut result = self.memory.put(Table::TlsRpt, &subject.filed_key(), value.as_slice());
        if result == Err(Refused::Full) {
            self.evict(subject.day);
            result = self.memory.put(Table::TlsRpt, &subject.filed_key(), value);
        }
        result
    }

    /// What became of the last report that was sent on demand before the day was over.
    pub fn early(&self, subject: &Subject) -> Option<Filed> {
        serde_json::from_slice(&self.memory.get(Table::TlsRpt, &subject.early_key())?).ok()
    }

    /// Writes that down.
    pub fn file_early(&self, subject: &Subject, filed: &Filed) -> Result<(), Refused> {
        // It has no part that JSON cannot say.
        self.memory.put(Table::TlsRpt, &subject.early_key(), serde_json::to_vec(filed).unwrap_or_default())
    }

    /// Waits until all of it is on disk, or cannot be. Blocks.
    pub fn flush(&self) {
        // A failure was told by the memory itself, and what is in it stands.
        _ = self.memory.flush();
    }

    /// What there are counts of, by day.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.keys(Kind::Tally, String::new())
    }

    /// Forgets what is older than [`KEPT_DAYS`].
    pub fn forget_old(&self, today: Day) {
        let oldest = today.before(KEPT_DAYS);
        let tallies: Vec<Subject> = self.keys(Kind::Tally, String::new()).take_while(|s| s.day < oldest).collect();
        let filed: Vec<Subject> = self.keys(Kind::Filed, String::new()).take_while(|s| s.day < oldest).collect();
        for subject in tallies {
            self.memory.remove(Table::TlsRpt, &subject.tally_key());
        }
        for subject in filed {
            self.memory.remove(Table::TlsRpt, &subject.filed_key());
        }
        let early: Vec<Subject> = self.keys(Kind::Early, String::new()).take_while(|s| s.day < oldest).collect();
        for subject in early {
            self.memory.remove(Table::TlsRpt, &subject.early_key());
        }
    }

    fn domains(&self, day: Day, latest: &mut Latest) -> usize {
        if latest.day != Some(day) {
            let of_day = self.keys(Kind::Tally, day.to_string()).take_while(|subject| subject.day == day);
            *latest = Latest { day: Some(day), domains: of_day.count() };
        }
        latest.domains
    }

    /// Makes room: reports that are done, of the oldest days first.
    fn evict(&self, day: Day) {
        let is_done = |subject: &Subject| self.filed(subject).is_some_and(|filed| filed.is_done());
        let done: Vec<Subject> =
            self.subjects().filter(|subject| subject.day < day && is_done(subject)).take(EVICTED_MAX).collect();
        for subject in done {
            self.memory.remove(Table::TlsRpt, &subject.tally_key());
            self.memory.remove(Table::TlsRpt, &subject.filed_key());
            self.memory.remove(Table::TlsRpt, &subject.early_key());
        }
    }

    /// The subjects of one kind from a key on, page by page.
    fn keys(&self, kind: Kind, from: String) -> impl Iterator<Item = Subject> {
        let prefix = kind.prefix();
        let mut from = Some(format!("{prefix}{from}"));
        let pages = std::iter::from_fn(move || {
            let page = self.memory.scan(Table::TlsRpt, &from.take()?, SCAN_ENTRIES_MAX);
            from = page.last().map(|(key, _)| format!("{key}\0"));
            Some(page)
        });
        let keys = pages.flatten().map_while(move |(key, _)| key.strip_prefix(prefix).map(str::to_owned));
        keys.filter_map(|key| {
            let (day, domain) = key.split_once(' ')?;
            Some(Subject { day: day.parse().ok()?, domain: Domain::parse(domain).ok()? })
        })
    }

    /// A panic of another holder leaves whole values behind.
    fn writing(&self) -> MutexGuard<'_, Latest> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// JSON, compressed where it would be too long.
fn to_value(tally: &Tally) -> Vec<u8> {
    let json = serde_json::to_vec(tally).unwrap_or_default();
    if json.len() <= VALUE_BYTES_MAX {
        return json;
    }
    let mut value = vec![COMPRESSED];
    value.extend_from_slice(&compress_to_vec(&json, LEVEL));
    value
}

fn from_value(value: &[u8]) -> Option<Tally> {
    match value.split_first() {
        Some((&COMPRESSED, compressed)) => {
            serde_json::from_slice(&decompress_to_vec_with_limit(compressed, TALLY_BYTES_MAX).ok()?).ok()
        }
        _ => serde_json::from_slice(value).ok(),
    }
}
