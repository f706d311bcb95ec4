//! The words of the control socket: one JSON line asks, one JSON line answers.

use serde::{Deserialize, Serialize};

use crate::config::diagnostic::Diagnostic;
use crate::facts::sts_plan::CachedPolicy;
use crate::facts::tlsrpt::filed::FiledTarget;
use crate::mail::tlsrpt::day::Day;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::policy::changes::ExceptionCounts;
use crate::policy::learned::evidence::Evidence;
use crate::policy::sts_policy::StsPolicy;
use crate::policy::sts_record::StsId;
use crate::spool::state::OtherHost;

use super::tlsrpt::{Shown, Tallies, Which};

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
    },
    QueueShow {
        id: MessageId,
    },
    QueueRetry {
        /// `None`: all.
        #[serde(default)]
        id: Option<MessageId>,
        #[serde(default)]
        to_domain: Option<Domain>,
    },
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
    /// A checkpoint of the audit log, now.
    AuditCheckpoint,
    /// A new key for the checkpoints from now on.
    AuditRotateKey,
}

/// Which messages; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    #[serde(default)]
    pub to_domain: Option<Domain>,
    #[serde(default)]
    pub from_domain: Option<Domain>,
    #[serde(default)]
    pub older_than_secs: Option<u64>,
    #[serde(default)]
    pub reason: Option<Reason>,
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
        /// There are more: ask again with `after` the last one.
        more: bool,
    },
    Message(Box<QueueMessage>),
    /// How many deliveries are tried now instead of later.
    Retried {
        count: usize,
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
    },
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
    pub listeners: Vec<ListenerStatus>,
    pub certificates: Vec<CertificateStatus>,
    pub policy: PolicyStatus,
    pub messages: usize,
    pub deliveries: DeliveryCounts,
    pub spool_free_bytes: u64,
    /// `None`: the spool takes mail.
    pub spool_fault: Option<String>,
    pub audit_writable: bool,
    #[serde(default)]
    pub audit: AuditStatus,
    #[serde(default)]
    pub destinations: DestinationsStatus,
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

/// What was learned of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedDomain {
    pub domain: Domain,
    /// What the policy makes of it: `off`, `propose`, `enforce`.
    pub learn: String,
    /// What was raised; it holds where `learn` is `enforce`.
    pub in_force: Option<LearnedLevel>,
    /// The highest level that it has shown for long enough.
    pub evidence: Option<Evidence>,
    /// What stands in the way of the next one.
    pub lacking: Option<String>,
    pub hosts: Vec<LearnedHost>,
    pub last_tried: Timestamp,
    /// It does not meet what is in force.
    pub alarm_since: Option<Timestamp>,
    /// The domain file that names exactly this domain.
    pub file: Option<String>,
    /// A domain file that asks for what it has shown.
    #[serde(default)]
    pub candidate: Option<String>,
    /// Why there is none, though it has shown enough for a level.
    #[serde(default)]
    pub no_candidate: Option<String>,
}

/// A level in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedLevel {
    /// `encrypt`, `verify`.
    pub level: String,
    pub since: Timestamp,
    /// Of the day when it was raised.
    pub evidence: Evidence,
}

/// When a mail host last showed what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedHost {
    pub name: Domain,
    pub plaintext: Option<Timestamp>,
    pub encrypt: Option<Timestamp>,
    pub verify: Option<Timestamp>,
}

/// An MTA-STS policy as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicy {
    pub id: StsId,
    /// In its own grammar.
    pub policy: String,
    pub fetched: Timestamp,
}

impl KeptPolicy {
    pub fn of(cached: &CachedPolicy) -> Self {
        Self { id: cached.id.clone(), policy: cached.policy.to_string(), fetched: cached.fetched }
    }

    /// `None` if the text is no policy to this release.
    pub fn cached(&self) -> Option<CachedPolicy> {
        let policy = StsPolicy::parse(self.policy.as_bytes()).ok()?;
        Some(CachedPolicy { id: self.id.clone(), policy, fetched: self.fetched })
    }
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

/// Deliveries by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCounts {
    pub ready: usize,
    pub waiting: usize,
    pub active: usize,
    pub held: usize,
}

/// A message of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMessage {
    pub id: MessageId,
    pub received_at: Timestamp,
    /// Empty for the null reverse-path.
    pub from: String,
    pub size: u64,
    /// The listener that took it; empty for notices of our own.
    pub listener: String,
    pub client: Option<String>,
    /// `TLSv1.3 TLS_AES_256_GCM_SHA384` of the session that brought it.
    pub tls: Option<String>,
    pub recipients: Vec<QueueRecipient>,
    /// One sentence: why it is still here and when it is tried next.
    pub why: String,
    /// Subject of the message; only in `QueueShow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// One recipient of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecipient {
    pub address: String,
    /// Domain or route that it is delivered to; `None` if it is settled.
    pub destination: Option<String>,
    pub state: RecipientStanding,
    pub attempts: u32,
    pub next_attempt: Option<Timestamp>,
    pub last_attempt: Option<Timestamp>,
    pub reason: Option<Reason>,
    pub mx: Option<String>,
    pub detail: Option<String>,
    /// Since when it waits for TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks_tls_since: Option<Timestamp>,
    /// The route that it goes by, because TLS could not be met for too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(flatten)]
    pub prospects: Prospects,
}

/// Why a recipient waits, beyond the one reason, and what comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prospects {
    /// Who asks for the TLS that is lacking: `domains.d/bank.toml:12`, `DANE`, `MTA-STS`, `learned`, `REQUIRETLS`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<String>,
    /// The other hosts of the last attempt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_hosts: Vec<OtherHost>,
    /// When the message is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The route that comes before that, and from when on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reroute_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reroute_at: Option<Timestamp>,
    /// When the sender was told that it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// When the sender is told so next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientStanding {
    Ready,
    Waiting,
    Active,
    Held,
    Delivered,
    Bounced,
    Expired,
    Dropped,
}
