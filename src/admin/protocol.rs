//! The words of the control socket: one JSON line asks, one JSON line answers.

mod queue;

use serde::{Deserialize, Serialize};

use crate::config::diagnostic::Diagnostic;
use crate::facts::tlsrpt::filed::FiledTarget;
use crate::mail::tlsrpt::day::Day;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;
use crate::outbound::overview::Order;
use crate::policy::changes::ExceptionCounts;

use super::tlsrpt::{Shown, Tallies, Which};
use learned::{KeptPolicy, LearnedDomain};
use steering::{HoldInForce, Steer, Steered, Walking};

pub mod learned;
pub mod steering;

pub use queue::{
    DeliveryCounts, Filter, Prospects, QueueMessage, QueueRecipient, RecipientStanding, Top, WorstDestination,
};

/// Longest request line in bytes.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Messages in one answer to `QueueList`.
pub const QUEUE_PAGE_MAX: usize = 1000;
/// Domains in one answer to `LearnedList`.
pub const LEARNED_PAGE_MAX: usize = 200;
/// Destinations in alarm that `Status` names.
pub const ALARMS_SHOWN_MAX: usize = 20;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    Status,
    Reload,
    QueueList {
        #[serde(default)]
        filter: Filter,
        /// Go on behind this message.
        #[serde(default)]
        after: Option<MessageId>,
        /// No more messages than this in the answer.
        #[serde(default)]
        limit: Option<usize>,
    },
    QueueShow {
        id: MessageId,
    },
    /// The destinations from above.
    QueueTop {
        limit: usize,
        #[serde(default)]
        order: Order,
    },
    QueueRetry {
        /// `None`: all.
        #[serde(default)]
        id: Option<MessageId>,
        #[serde(default)]
        to_domain: Option<Domain>,
    },
    /// Change what waits, or count what would be.
    QueueSteer(Box<Steer>),
    /// The destinations that are held.
    QueueHolds,
    LearnedList {
        /// `None`: all, page by page.
        #[serde(default)]
        domain: Option<Domain>,
        /// Go on behind this domain.
        #[serde(default)]
        after: Option<Domain>,
    },
    /// Forget all about a domain.
    LearnedForget {
        domain: Domain,
    },
    /// The MTA-STS policy that is kept of a domain.
    StsShow {
        domain: Domain,
    },
    /// What was counted for TLS reports.
    TlsrptList {
        #[serde(default)]
        which: Which,
    },
    /// One TLS report; without a day the newest.
    TlsrptShow {
        domain: Domain,
        #[serde(default)]
        day: Option<Day>,
    },
    /// Sends one TLS report; without a day the newest that is over.
    TlsrptSend {
        domain: Domain,
        #[serde(default)]
        day: Option<Day>,
    },
    /// Empties segments of the spool that hold little, now.
    SpoolCompact,
    /// Leaves the files of the spool where they are, to be copied; `None` ends that.
    SpoolKeep {
        #[serde(default)]
        seconds: Option<u64>,
    },
    /// A checkpoint of the audit log, now.
    AuditCheckpoint,
    /// A new key for the checkpoints from now on.
    AuditRotateKey,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    Status(Box<Status>),
    Reloaded {
        /// SHA-256 of the configuration in force now.
        config: String,
        warnings: Vec<ReportedDiagnostic>,
    },
    /// The old configuration stays in force.
    NotReloaded {
        errors: Vec<ReportedDiagnostic>,
    },
    Queue {
        messages: Vec<QueueMessage>,
        /// There may be more: ask again with this `after`.
        more: bool,
        #[serde(default)]
        after: Option<MessageId>,
    },
    Message(Box<QueueMessage>),
    Top(Box<Top>),
    /// How many deliveries are tried now instead of later.
    Retried {
        count: usize,
    },
    /// How far a change has come. More lines follow.
    Walking(Walking),
    Steered(Box<Steered>),
    Holds {
        holds: Vec<HoldInForce>,
    },
    Learned {
        domains: Vec<LearnedDomain>,
        /// There are more: ask again with `after` the last one.
        more: bool,
    },
    Forgotten,
    Sts {
        /// Whether or not it holds.
        kept: Option<KeptPolicy>,
    },
    /// A line of the audit log, durable: the checkpoint that was asked for, or the one that names the next key.
    Checkpoint {
        line: String,
    },
    /// What is begun: segments that are emptied, the bytes of their files, and those that live in them.
    Compacting {
        segments: usize,
        bytes: u64,
        alive_bytes: u64,
    },
    /// `seconds` from now on; `None`: not any more, and whether it lasted until now.
    Keeping {
        seconds: Option<u64>,
        lasted: bool,
    },
    TlsrptList(Tallies),
    TlsrptReport(Box<Shown>),
    /// What became of the report at each place.
    TlsrptSent {
        domain: Domain,
        day: Day,
        targets: Vec<FiledTarget>,
    },
    NotFound,
    Error {
        message: String,
        #[serde(default)]
        cause: Cause,
    },
}

impl Response {
    pub fn wrong(message: String) -> Self {
        Self::Error { message, cause: Cause::Asked }
    }

    pub fn fault(message: String) -> Self {
        Self::Error { message, cause: Cause::Fault }
    }

    pub fn stopping() -> Self {
        Self::Error { message: "the daemon is stopping".to_owned(), cause: Cause::Stopping }
    }
}

/// Why nothing came of it, by who can mend it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// What was asked makes no sense here.
    Asked,
    /// It makes sense, and could not be done.
    #[default]
    Fault,
    /// To be asked again of the next daemon.
    Stopping,
}

/// A finding about the configuration, in its one-line and in its long form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedDiagnostic {
    pub line: String,
    pub rendered: String,
}

impl ReportedDiagnostic {
    pub fn of(diagnostic: &Diagnostic) -> Self {
        Self { line: diagnostic.to_string(), rendered: diagnostic.render(false) }
    }

    /// A finding that stands in no file.
    pub fn plain(message: &str) -> Self {
        Self { line: message.to_owned(), rendered: format!("error: {message}") }
    }
}

/// How the daemon does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub hostname: String,
    pub started_at: Timestamp,
    pub config: String,
    pub config_file: String,
    /// Address of the dashboard; `None` where there is none.
    #[serde(default)]
    pub dashboard: Option<String>,
    pub listeners: Vec<ListenerStatus>,
    pub certificates: Vec<CertificateStatus>,
    pub policy: PolicyStatus,
    pub messages: usize,
    pub deliveries: DeliveryCounts,
    /// The destination that most deliveries wait for.
    #[serde(default)]
    pub worst: Option<WorstDestination>,
    pub spool_free_bytes: u64,
    /// `None`: the spool takes mail.
    pub spool_fault: Option<String>,
    pub audit_writable: bool,
    #[serde(default)]
    pub audit: AuditStatus,
    #[serde(default)]
    pub destinations: DestinationsStatus,
    /// Destinations that the operator holds.
    #[serde(default)]
    pub held_destinations: usize,
    /// What is refused for good waits.
    #[serde(default)]
    pub soft_bounce: bool,
    /// `trust-ad`, `validate`, or `off`: no answer of the DNS counts as secure. Empty: not told.
    #[serde(default)]
    pub dnssec: String,
    pub draining: bool,
}

/// How the TLS of destinations stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationsStatus {
    /// Domains that are held to a level which was learned.
    pub encrypt: usize,
    pub verify: usize,
    /// How many of them are in alarm.
    pub alarm_count: usize,
    /// Some of these, by name.
    pub alarms: Vec<AlarmStatus>,
    /// `None`: our own path is not suspected.
    pub interference: Option<InterferenceStatus>,
}

/// A destination that does not meet what was learned of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmStatus {
    pub domain: Domain,
    pub since: Timestamp,
}

/// Our own path is suspected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterferenceStatus {
    pub since: Timestamp,
    /// How many destinations have lost TLS.
    pub count: usize,
    /// Some of them, by name.
    pub destinations: Vec<Domain>,
}

/// How the evidence stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// The newest that this daemon has made or found.
    pub checkpoint: Option<CheckpointStatus>,
    /// Where checkpoints are sent.
    pub destinations: Vec<DestinationStatus>,
    /// Why old segments are not removed or compressed.
    pub fault: Option<String>,
}

/// A checkpoint by its number in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointStatus {
    pub seq: u64,
    pub time: Timestamp,
}

/// A place that checkpoints are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// `file`, `syslog`, `webhook`.
    pub kind: String,
    /// Without what may be a secret.
    pub target: String,
    /// The last that arrived since the start.
    pub sent: Option<CheckpointStatus>,
    pub waiting: usize,
    /// Checkpoints that are never sent there, because too many waited.
    pub given_up: u64,
    /// Why the last one did not arrive, and since when none does.
    pub error: Option<String>,
    pub failing_since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub name: String,
    pub role: String,
    pub bind: Vec<String>,
    pub tls: String,
}

/// A certificate that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The first DNS name, or the subject if there is none.
    pub name: String,
    pub names: Vec<String>,
    /// Its file, as configured.
    pub chain: String,
    /// `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub key: String,
    /// What a TLSA record 3 1 1 lists.
    pub key_sha256: String,
    /// `any`, or `legacy` for old clients alone.
    pub stack: String,
    pub not_after: Timestamp,
    /// The OCSP response in words: `stapled until 2027-01-02`; `None` if there is none.
    pub ocsp: Option<String>,
    /// Why what its files hold now is not in use. Empty: it is.
    pub problems: Vec<String>,
}

/// What of the policies depends on the day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// The emergency switch, while it is on.
    pub suspended: Option<SuspensionStatus>,
    pub exceptions: ExceptionStatus,
    pub next_change: Option<ChangeStatus>,
}

/// Inbound policies report and do not refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspensionStatus {
    pub until: Timestamp,
    /// File and line of the switch.
    pub rule: String,
}

/// Exceptions by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionStatus {
    pub active: usize,
    /// In force for at most 14 days more.
    pub expiring: usize,
    pub expired: usize,
}

impl ExceptionStatus {
    pub fn of(ExceptionCounts { active, expiring, expired }: ExceptionCounts) -> Self {
        Self { active, expiring, expired }
    }
}

/// What changes next by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStatus {
    pub at: Timestamp,
    /// `step` comes into force, `exception` ends, `enforcement` is resumed.
    pub kind: String,
    /// File and line.
    pub rule: String,
    pub owner: Option<String>,
}
