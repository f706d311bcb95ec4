//! What the spool promises, over a filesystem that fails on purpose.

mod archiving;
mod backup;
mod carrying;
mod checking;
mod compacting;
mod contract;
mod damage;
mod faults;
mod holding;
mod index;
mod ledger;
mod loading;
mod memory;
mod model;
mod peeking;
mod space;

use std::path::Path;

use super::body::BodyError;
use super::state::{Change, Pending, RecipientState, Settled};
use super::*;
use crate::journal::simulated::Simulated;
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::envelope::{Origin, Recipient, Sender, Trust};
use crate::model::id::{RecordId, SessionId};
use crate::model::time::Timestamp;

const FOLDER: &str = "/spool";
/// Small enough that a few messages fill a segment.
const LIMITS: journal::Limits = journal::Limits {
    segment_bytes_max: 4000,
    batch_bytes_max: 3500,
    batch_entries_max: 64,
    queue_bytes_max: 1 << 20,
    lazy_queue_bytes_max: 1 << 20,
    lazy_delay_max: Duration::from_secs(3600),
    room_ahead_bytes: 0,
};
const SIZES: Sizes = Sizes {
    inline_bytes_max: 1000,
    spill_bytes: 600,
    carried_bytes_max: 400,
    compact_after: Duration::from_secs(3600),
};
const CHUNK_BYTES: usize = 350;

/// Records by batch, as the audit log gets them.
type Log = Arc<Mutex<Vec<(u64, Vec<AuditEntry>)>>>;

struct Opened {
    spool: Spool,
    recovered: Recovered,
    log: Log,
}

fn open(fs: &Simulated) -> Result<Opened, OpenError> {
    open_with(fs, BodyBudget::new(1 << 20), 0)
}

fn open_with(fs: &Simulated, budget: BodyBudget, min_free_bytes: u64) -> Result<Opened, OpenError> {
    open_sized(fs, budget, min_free_bytes, SIZES)
}

fn open_sized(fs: &Simulated, budget: BodyBudget, min_free_bytes: u64, sizes: Sizes) -> Result<Opened, OpenError> {
    let log = Log::default();
    let sink = log.clone();
    let audit: AuditSink = Box::new(move |sequence, records| sink.lock().unwrap().push((sequence, records)));
    let options = Options { path: FOLDER.into(), min_free_bytes, budget, limits: LIMITS, salt: 0x5a17 };
    let (spool, recovered) = Spool::open_sized(options, sizes, Arc::new(fs.clone()), audit)?;
    log.lock().unwrap().extend(recovered.audit.clone());
    Ok(Opened { spool, recovered, log })
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn id(number: u32) -> MessageId {
    MessageId::from_u128(u128::from(number))
}

fn envelope(number: u32, recipients: usize) -> Arc<Envelope> {
    let address = |place| Address::parse(&format!("r{place}@example.org"), Charset::Ascii).unwrap();
    Arc::new(Envelope {
        id: id(number),
        received_at: Timestamp::from_secs(1),
        sender: Sender::plain(ReversePath::Null),
        recipients: (0..recipients).map(|place| Recipient::plain(address(place))).collect(),
        origin: Origin {
            session: SessionId::from_u128(1),
            listener: String::new(),
            ip: None,
            port: 0,
            helo: String::new(),
            trust: Trust::Local,
            tls: None,
        },
        size: 0,
        eight_bit: false,
        tls_required_no: false,
        tls_report: false,
    })
}

/// The content of a message depends on its number, so that a mix-up is seen.
fn content(number: u32, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at as u32 * 7 + number * 31) as u8).collect()
}

fn record(number: u32) -> AuditEntry {
    let json = format!("{{\"record\":{number}}}").into();
    AuditEntry { id: RecordId::from_u128(u128::from(number)), json }
}

async fn fill(spool: &Spool, number: u32, bytes: usize) -> Result<Sealed, Fault> {
    let mut intake = spool.begin(id(number))?;
    for chunk in content(number, bytes).chunks(CHUNK_BYTES) {
        intake.push(Bytes::copy_from_slice(chunk)).await?;
    }
    assert_eq!(intake.length(), bytes as u64);
    intake.seal().await
}

/// Takes a message with one recipient.
fn accept(opened: &Opened, number: u32, bytes: usize) -> Result<(), Fault> {
    accept_for(opened, number, bytes, 1)
}

fn accept_for(opened: &Opened, number: u32, bytes: usize, recipients: usize) -> Result<(), Fault> {
    wait(async {
        let content = fill(&opened.spool, number, bytes).await?;
        let message = NewMessage { envelope: envelope(number, recipients), content };
        opened.spool.accept(message, Vec::new()).await
    })
}

fn delivered() -> RecipientState {
    RecipientState::Settled(Settled::Delivered)
}

fn deferred(attempts: u32) -> RecipientState {
    RecipientState::Pending(Pending { attempts, ..Pending::default() })
}

fn progress(number: u32, recipients: &[u32], state: RecipientState) -> Progress {
    Progress { message: id(number), changes: vec![Change { recipients: recipients.to_vec(), state }] }
}

fn commit_progress(opened: &Opened, progress: Progress) {
    wait(opened.spool.record(Some(progress), Vec::new(), Vec::new())).unwrap();
}

fn maintain(opened: &Opened) -> Maintenance {
    wait(opened.spool.maintain())
}

/// Commits messages that are finished at once, until the segment that is written is another one.
fn rotate(opened: &Opened, numbers: std::ops::Range<u32>) {
    let active = |opened: &Opened| opened.spool.shared.journal.segments().last().unwrap().number;
    let before = active(opened);
    for number in numbers {
        accept(opened, number, 900).unwrap();
        commit_progress(opened, progress(number, &[0], delivered()));
        if active(opened) != before {
            return;
        }
    }
    panic!("more messages are needed");
}

fn read(spool: &Spool, stored: &Stored) -> Result<Vec<u8>, BodyError> {
    let body = spool.body(stored);
    wait(async {
        let mut pieces = body.pieces().await?;
        let mut content = Vec::new();
        while let Some(piece) = pieces.next().await? {
            content.extend_from_slice(&piece);
        }
        Ok(content)
    })
}

fn load(opened: &Opened, number: u32) -> Stored {
    wait(opened.spool.load(id(number))).unwrap().unwrap()
}

/// All messages whole.
fn list(spool: &Spool) -> Vec<Stored> {
    let ids = spool.outlines(None, usize::MAX).into_iter().map(|outline| outline.id);
    ids.map(|id| wait(spool.load(id)).unwrap().unwrap()).collect()
}

fn states(spool: &Spool, number: u32) -> Option<Vec<RecipientState>> {
    spool.outline(id(number)).map(|outline| outline.states)
}

fn body_files(fs: &Simulated) -> Vec<MessageId> {
    let folder = Path::new(FOLDER).join("bodies");
    let files = fs.paths().into_iter().filter(|path| path.starts_with(&folder));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap()).collect()
}
