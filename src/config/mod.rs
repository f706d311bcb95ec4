//! L2: the configuration. Files are read as typed, checked whole with every error at once, and become this `Config`.
//!
//! Must not: know any other layer-2 module. Only `crate::app` sees a whole `Config`; each part gets its own struct.

pub mod cases;
pub mod change;
pub mod diagnostic;
pub mod keys;
pub mod overruled;
pub mod starter;

mod audit_table;
mod combinations;
mod delivery_checks;
mod delivery_table;
mod document;
mod domain_file;
mod enforcement;
mod learn_tables;
mod listener;
mod listener_checks;
mod load;
mod main_file;
mod moment;
mod off_checks;
mod place;
mod policy_checks;
mod policy_tables;
mod recipients;
mod route_table;
mod sections;
mod source;
mod strictness;
mod timed_checks;
mod timed_tables;
mod tlsrpt_table;
mod values;
mod whereabouts;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::tlsrpt::message::Submitter;
use crate::model::address::Address;
use crate::model::destination::{SyslogTarget, WebhookUrl};
use crate::model::domain::Domain;
use crate::model::name_server::is_believed;
use crate::model::tls::{CertificateStack, ProtocolVersion};
use crate::policy::inbound::Floor;
use crate::policy::interference::WindowTerms;
use crate::policy::learned::Thresholds;
use crate::policy::relay::{Role, TrustedClients};
use crate::policy::rules::PolicySet;
use crate::policy::settings::{KeyPair, Source};
use crate::policy::transaction::Door;

pub use audit_table::DEFAULT_AUDIT_KEY;
pub use load::{Changed, load, load_at, load_changed};

/// The lowest version that this build can offer: without OpenSSL nothing below TLS 1.2.
pub const OFFER_MIN: ProtocolVersion =
    if cfg!(feature = "legacy-tls") { ProtocolVersion::Ssl3 } else { ProtocolVersion::Tls1_2 };

/// A whole configuration that has passed every check.
#[derive(Clone, Debug)]
pub struct Config {
    /// The main file.
    pub file: PathBuf,
    /// Every folder that a file was read from, for a reload to be able to.
    pub folders: Vec<PathBuf>,
    /// The folder of policy cases; it need not exist.
    pub cases: PathBuf,
    /// SHA-256 over the main file, the domain files and the recipient lists, hexadecimal: `config` in audit records.
    pub digest: String,
    /// The name in greeting, EHLO and `Received:`.
    pub hostname: Domain,
    /// Where mail for `<postmaster>` without a domain goes.
    pub postmaster: Option<Address>,
    /// The account that the daemon changes to after binding; `None` stays.
    pub user: Option<String>,
    /// Defaults to the account's own group.
    pub group: Option<String>,
    pub policies: Arc<PolicySet>,
    pub spool: SpoolConfig,
    /// Never empty.
    pub listeners: Vec<ListenerConfig>,
    /// Not empty if a listener speaks TLS. The first is the default.
    pub certificates: Vec<CertificateConfig>,
    pub relay: RelayConfig,
    pub dns: DnsConfig,
    pub audit: AuditConfig,
    pub metrics: MetricsConfig,
    pub admin: AdminConfig,
    pub learn: LearnConfig,
    pub alert: AlertConfig,
    pub tlsrpt: TlsRptConfig,
    pub limits: Limits,
}

impl Config {
    /// One of the listeners as the policy engine sees it.
    pub fn door<'a>(&'a self, listener: &'a ListenerConfig) -> Door<'a> {
        Door {
            policies: &self.policies,
            trusted: &self.relay.trusted,
            role: listener.role,
            relay: listener.relay,
            floor: &listener.floor,
        }
    }
}

#[derive(Clone, Debug)]
pub struct SpoolConfig {
    pub path: PathBuf,
    pub max_message_size: u64,
    pub min_free_space: u64,
    pub lifetime: Duration,
    pub bounce_lifetime: Duration,
    pub delay_warning: Duration,
    /// Never empty; the last one repeats.
    pub retry: Vec<Duration>,
    /// What is refused for good waits all the same.
    pub soft_bounce: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerTls {
    Off,
    Starttls,
    Implicit,
}

impl ListenerTls {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
        }
    }
}

#[derive(Clone, Debug)]
pub struct ListenerConfig {
    pub name: String,
    pub bind: Vec<SocketAddr>,
    pub role: Role,
    pub tls: ListenerTls,
    /// The lowest version that the handshake offers.
    pub offer: ProtocolVersion,
    /// Clients are asked for a certificate; none need show one.
    pub request_client_certificate: bool,
    /// PEM: the roots for client certificates; `None` takes the system's.
    pub client_ca: Option<PathBuf>,
    /// Role mx: trusted clients may send to any domain here.
    pub relay: bool,
    /// For every session of trusted clients and of the roles smarthost and submission.
    pub floor: Floor,
}

#[derive(Clone, Debug)]
pub struct CertificateConfig {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// A file with an OCSP response in DER.
    pub ocsp: Option<PathBuf>,
    pub stack: CertificateStack,
}

#[derive(Clone, Debug, Default)]
pub struct RelayConfig {
    pub trusted: TrustedClients,
}

#[derive(Clone, Debug, Default)]
pub struct DnsConfig {
    /// Empty: the system's.
    pub servers: Vec<SocketAddr>,
    pub dnssec: DnssecConfig,
    pub allow_targets: Vec<IpNet>,
}

impl DnsConfig {
    /// Whether it is certain that no answer counts as secure. Without written servers it may depend on the system's.
    pub fn is_dnssec_off(&self) -> bool {
        match self.dnssec {
            DnssecConfig::Off => true,
            DnssecConfig::Auto => !self.servers.iter().all(|server| is_believed(server.ip())),
            DnssecConfig::TrustAd | DnssecConfig::Validate { .. } => false,
        }
    }
}

/// What is asked of DNSSEC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DnssecConfig {
    /// Not written: [`Self::TrustAd`] if every server in force is on this host and believed, else [`Self::Off`].
    #[default]
    Auto,
    Off,
    /// Of the written servers each is on this host.
    TrustAd,
    Validate {
        /// A file of DNSKEY records of the root; `None` takes the keys that are built in.
        trust_anchor: Option<PathBuf>,
    },
}

/// What happens when the audit log cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAuditFailure {
    /// No mail is accepted and no delivery begun.
    Refuse,
    /// Mail goes on; the log and the metrics say that evidence lags.
    Alarm,
}

#[derive(Clone, Debug)]
pub struct AuditConfig {
    pub path: PathBuf,
    /// Signs checkpoints; never in `path`.
    pub key: PathBuf,
    pub on_failure: OnAuditFailure,
    /// The longest that a record waits for a checkpoint.
    pub checkpoint_every: Duration,
    /// Every checkpoint is appended there; never in `path`.
    pub checkpoint_file: Option<PathBuf>,
    pub checkpoint_syslog: Option<SyslogTarget>,
    pub checkpoint_webhook: Option<WebhookUrl>,
    /// `None`: for ever.
    pub keep: Option<Duration>,
    /// Closed segments.
    pub compress: bool,
}

#[derive(Clone, Debug)]
pub struct MetricsConfig {
    pub bind: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where commands reach the daemon.
    pub socket: PathBuf,
    /// Dashboard and API; `None` for none.
    pub bind: Option<SocketAddr>,
    /// Holds what a reader from elsewhere logs in with, and what changes are asked for with.
    pub token_file: Option<PathBuf>,
    /// With one, HTTPS is spoken.
    pub certificate: Option<KeyPair>,
}

impl AdminConfig {
    /// What to write into the address bar: an address that is this host's alone, else `hostname`.
    pub fn url(&self, hostname: &Domain) -> Option<String> {
        let address = self.bind?;
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        Some(match address.ip().is_unspecified() {
            true => format!("{scheme}://{hostname}:{}/", address.port()),
            false => format!("{scheme}://{address}/"),
        })
    }
}

/// When what destinations show counts, and when our own path is suspected.
#[derive(Clone, Copy, Debug, Default)]
pub struct LearnConfig {
    pub thresholds: Thresholds,
    pub window: WindowTerms,
}

/// Who hears of violations of what was learned, and of a suspected path.
#[derive(Clone, Debug)]
pub struct AlertConfig {
    pub webhook: Option<WebhookUrl>,
    /// The program, by its absolute path, and its arguments. Never empty.
    pub command: Option<Vec<String>>,
    /// Between two alerts about one destination, at least.
    pub remind: Duration,
    /// Without a violation, before it is over.
    pub quiet: Duration,
}

/// Reports on TLS (RFC 8460).
#[derive(Clone, Debug)]
pub struct TlsRptConfig {
    /// Who reports; `None`: nobody.
    pub submitter: Option<Submitter>,
    /// What signs the mail of reports; `None`: reports go to web servers alone.
    pub dkim: Option<DkimConfig>,
    /// Where others report to: mail to it is taken whatever TLS it comes with.
    pub address: Option<Address>,
    /// Domains that are counted for in a day.
    pub max_domains: u32,
}

/// A DKIM key (RFC 6376).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimConfig {
    pub domain: Domain,
    pub selector: String,
    /// PEM.
    pub key: PathBuf,
    /// Where the key was written.
    pub source: Source,
}

/// Named bounds that an operator may move.
#[derive(Clone, Debug)]
pub struct Limits {
    pub max_connections: u32,
    pub max_connections_per_client: u32,
    /// A transaction.
    pub max_recipients: u32,
    /// A session.
    pub max_errors: u32,
    /// A session.
    pub max_messages_per_session: u32,
    /// `Received:` fields before a message counts as looping (RFC 5321 section 6.3 asks for at least 100).
    pub max_hops: u32,
    /// Deliveries at once to one destination.
    pub max_destination_concurrency: u32,
    /// Deliveries at once to hosts of which nothing is known yet.
    pub initial_concurrency: u32,
    /// Deliveries at once to the same mail hosts, for all destinations that they serve.
    pub max_site_concurrency: u32,
    /// Outbound connections at once.
    pub max_outbound_connections: u32,
    /// Bodies of messages being received or waiting for their first delivery, held in memory at once, in bytes.
    pub max_body_memory: u64,
    /// Waiting for a command (RFC 5321 section 4.5.3.2.7: at least 5 minutes).
    pub command_timeout: Duration,
    /// Waiting for more message data (section 4.5.3.2.5: at least 3 minutes for the sender, so more for us).
    pub data_timeout: Duration,
    /// ClientHello and handshake together.
    pub tls_handshake_timeout: Duration,
    /// SIGTERM to the end.
    pub drain_timeout: Duration,
}
