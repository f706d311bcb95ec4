//! The command line as typed: commands, options, and what their values must look like.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::model::address::{Address, Charset, ReversePath};
use crate::model::domain::{Domain, DomainPattern};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;
use crate::policy::assumed::{HostCertificate, ShownCertificate};
use crate::policy::names::Fingerprint;

use super::audit::arguments::AuditCommand;
use super::import::arguments::Import;
use super::init::arguments::Init;
use super::keys::KeysArguments;
use super::learned::arguments::LearnedArguments;
use super::probe::arguments::Probe;
use super::queue::steer::{End, Hold, Reroute, Which};
use super::spool::arguments::SpoolArguments;
use super::survey::arguments::Survey;
use super::tlsrpt::arguments::TlsRpt;
use super::{human, moment};

/// A policy-enforcing SMTP relay: judges the TLS that was negotiated, per domain, and proves what was done
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, max_term_width = 80, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// The main configuration file [default: /etc/gatepost/gatepost.toml]
    #[arg(long, global = true, env = "GATEPOST_CONFIG", hide_env_values = true)]
    #[arg(value_name = "FILE", help_heading = GLOBAL)]
    pub(super) config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Above the options that every command has.
const GLOBAL: &str = "Global options";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the answer is \"no\", 2 wrong usage or configuration,
3 the daemon or a destination could not be reached.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon in the foreground; SIGTERM drains and stops, SIGHUP reloads
    Serve(Serve),
    /// Show the whole system on loopback: no configuration, no root, no network
    Demo {
        /// End when every message has ended as its policy says
        #[arg(long)]
        once: bool,
    },
    /// Read the whole configuration and its certificates; print every error and warning at once
    Check,
    /// List the keys of the configuration: table, default, what may be written, and what it means
    Keys(KeysArguments),
    /// Write a commented starter configuration; at a terminal it asks what is not given as an option
    Init(Init),
    /// Make a configuration from that of another mail server, and tell what it cannot say
    Import(Import),
    /// Ask the policy engine
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Shake hands with the running listeners in every version and many ciphers, and compare what MAIL and RCPT are
    /// answered with what the policy engine says
    Selftest(Selftest),
    /// Ask a destination what it can do: hosts, STARTTLS, versions, certificates, DANE, MTA-STS, and whether our policy
    /// sends mail there
    Probe(Box<Probe>),
    /// Ask a list of domains what they can do, politely, and tell what changed since an earlier survey
    Survey(Survey),
    /// Look at the queue of the running daemon, and change what waits there
    Queue(Queue),
    /// Verify the spool, export and import messages, make it smaller, copy it while the daemon runs
    Spool(SpoolArguments),
    /// See what deliveries have shown of the TLS of their destinations, and what holds for them because of it
    Learned(LearnedArguments),
    /// Read the audit log
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Look at the reports on TLS to other domains (RFC 8460), and send one now
    Tlsrpt(TlsRpt),
    /// Make the running daemon read its configuration anew
    Reload(SocketPath),
    /// Ask the running daemon how it does
    Status(SocketPath),
    /// Ask the running daemon whether it takes mail; exit code 1 if it does not, for health checks
    Health(SocketPath),
    /// Print the completion script for a shell
    Completions { shell: Shell },
    /// Print the manual page gatepost(1), or write it and a page for each command into a folder
    Man { dir: Option<PathBuf> },
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The form of log lines on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// Start although records in the middle of the spool are damaged; what they held is lost
    #[arg(long)]
    pub(super) accept_damage: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Tell what a session would be answered, by which rules, and where each was written
    Explain(Box<Explain>),
    /// Run policy cases: who sends what, how and when, and what is expected; exit code 1 if one is answered otherwise
    Test(Test),
}

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Files of [[case]] tables, or folders of them [default: tests.d beside the folder of domain files]
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The sender; "<>" is the null sender of bounces
    #[arg(long, value_name = "ADDRESS", value_parser = sender)]
    pub(super) from: ReversePath,
    /// The recipient
    #[arg(long, value_name = "ADDRESS", value_parser = recipient)]
    pub(super) to: Address,
    /// Which way the mail goes
    #[arg(long, value_enum, default_value_t = Direction::Inbound)]
    pub(super) direction: Direction,
    /// A session without TLS; without this and --tls every kind of session is tried
    #[arg(long, conflicts_with_all = ["tls", "cipher"])]
    pub(super) plaintext: bool,
    /// A session of this protocol version
    #[arg(long, value_name = "VERSION", value_parser = version())]
    pub(super) tls: Option<ProtocolVersion>,
    /// Its cipher suite, by its IANA or OpenSSL name [default: a usual one of the version]
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(super) cipher: Option<String>,
    /// The client's address [default: 192.0.2.1, a stranger]; outbound, who brought the message
    #[arg(long, value_name = "IP")]
    pub(super) client: Option<IpAddr>,
    /// What the client shows where it is asked for a certificate: one that is "verified", or the "sha256:..." of a
    /// certificate or key
    #[arg(long, value_name = "WHICH", value_parser = shown_certificate, conflicts_with = "plaintext")]
    pub(super) client_certificate: Option<ShownCertificate>,
    /// The listener by its name [default: the first of role mx, else the first]
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// The moment to judge by: a day, which begins at 00:00 UTC, or a time such as 2027-01-02T03:04:05Z [default: now]
    #[arg(long, value_name = "DATE", value_parser = moment::parse)]
    pub(super) at: Option<Timestamp>,
    /// Outbound: what the host shows, a certificate that is "trusted", "untrusted" or "expired", or the "sha256:..." of
    /// one or its key
    #[arg(long, value_name = "WHICH", value_parser = host_certificate, requires = "tls")]
    pub(super) certificate: Option<HostCertificate>,
    /// Outbound: a name in that certificate; may be repeated [default: the name of the host]
    #[arg(long = "certificate-name", value_name = "NAME", value_parser = pattern, requires = "certificate")]
    pub(super) certificate_names: Vec<DomainPattern>,
    /// Outbound: the hosts of the next hop, as JSON, instead of a look-up; this command's own answer will do
    #[arg(long, value_name = "FILE")]
    pub(super) facts: Option<PathBuf>,
}

impl Explain {
    /// An option that only deliveries have, if one was given.
    pub(super) fn of_deliveries(&self) -> Option<&'static str> {
        let certificate = self.certificate.is_some().then_some("--certificate");
        certificate.or(self.facts.is_some().then_some("--facts"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Direction {
    Inbound,
    Outbound,
}

#[derive(Debug, Args)]
pub(super) struct Selftest {
    /// The listener by its name [default: each that speaks TLS]
    pub(super) listener: Option<String>,
    /// Only the policy of this domain; may be repeated [default: one domain for each set of settings]
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub(super) domains: Vec<Domain>,
    /// Where the listener is reached [default: its first bind address]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) address: Option<String>,
    /// The address to connect from, such as 127.0.0.2 where 127.0.0.1 is trusted
    #[arg(long, value_name = "IP")]
    pub(super) source: Option<IpAddr>,
}

#[derive(Debug, Args)]
pub(super) struct Queue {
    #[command(flatten)]
    pub(super) socket: SocketPath,
    #[command(subcommand)]
    pub(super) command: QueueCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List the messages, oldest first; what the spool holds, if the daemon is not running
    List(QueueList),
    /// Show one message with each of its recipients
    Show { id: MessageId },
    /// Tell in one sentence why a message is still here and when it is tried next
    Why { id: MessageId },
    /// Watch the destinations: what waits, how old it is, how fast it goes, what went wrong last
    Top(QueueTop),
    /// Try deliveries now instead of later
    Retry(Which),
    /// Keep messages where they are. With --to-domain or --route alone: the destination, with what is still to come.
    /// Without any word on which: list the destinations that are held
    Hold(Hold),
    /// Let what is held go on. With --to-domain or --route alone: the destination too; with --all: everything
    Release(Which),
    /// Return messages to their senders, who are told the reason of --why
    Bounce(End),
    /// Drop messages: no sender is told
    Delete(End),
    /// Send messages by another route from now on, if it is no weaker than their policy
    Reroute(Reroute),
    /// List the destinations that are held
    Holds,
}

#[derive(Debug, Args)]
pub(super) struct QueueList {
    #[command(flatten)]
    pub(super) filter: QueueFilter,
    /// No more than so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct QueueTop {
    /// The destinations that have the most of this come first: messages, age of the oldest, running deliveries, or
    /// deliveries a second
    #[arg(long, value_name = "WHAT", default_value = "messages")]
    pub(super) sort: TopOrder,
    /// No more than so many destinations [default: as many as fit, or 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: Option<u16>,
    /// One look, also on a terminal
    #[arg(long)]
    pub(super) once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TopOrder {
    Messages,
    Age,
    Active,
    Rate,
}

#[derive(Debug, Default, Args)]
pub(super) struct QueueFilter {
    /// Only mail to this domain
    #[arg(long, value_name = "DOMAIN")]
    pub(super) to_domain: Option<Domain>,
    /// Only mail from this domain
    #[arg(long, value_name = "DOMAIN")]
    pub(super) from_domain: Option<Domain>,
    /// Only mail that was received longer ago: 90s, 5m, 4h, 5d
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    pub(super) older_than: Option<Duration>,
    /// Only mail that goes by this route
    #[arg(long, value_name = "NAME")]
    pub(super) route: Option<String>,
    /// Only mail that waits for this reason, such as starttls-not-supported
    #[arg(long, value_name = "REASON", value_parser = reason(), hide_possible_values = true)]
    pub(super) reason: Option<Reason>,
}

#[derive(Debug, Default, Args)]
pub(super) struct SocketPath {
    /// The control socket of the daemon [default: [admin].socket of the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
}

pub(super) fn sender(text: &str) -> Result<ReversePath, String> {
    match bare(text) {
        "" => Ok(ReversePath::Null),
        bare => parse_address(bare).map(ReversePath::Mailbox),
    }
}

pub(super) fn recipient(text: &str) -> Result<Address, String> {
    parse_address(bare(text))
}

/// Without the angle brackets of SMTP.
fn bare(text: &str) -> &str {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text)
}

fn parse_address(text: &str) -> Result<Address, String> {
    Address::parse(text, Charset::Utf8).map_err(|error| error.to_string())
}

fn shown_certificate(text: &str) -> Result<ShownCertificate, String> {
    ShownCertificate::parse(text).map_err(|error| format!("{error}; or \"verified\""))
}

fn host_certificate(text: &str) -> Result<HostCertificate, String> {
    match text {
        "trusted" => Ok(HostCertificate::Trusted),
        "untrusted" => Ok(HostCertificate::Untrusted),
        "expired" => Ok(HostCertificate::Expired),
        text => Fingerprint::parse(text)
            .map(HostCertificate::Fingerprint)
            .map_err(|error| format!("{error}; or \"trusted\", \"untrusted\", \"expired\"")),
    }
}

fn pattern(text: &str) -> Result<DomainPattern, String> {
    DomainPattern::parse(text).map_err(|error| error.to_string())
}

pub(super) fn version() -> impl TypedValueParser<Value = ProtocolVersion> {
    PossibleValuesParser::new(ProtocolVersion::ALL.map(ProtocolVersion::as_str))
        .try_map(|word| ProtocolVersion::parse(&word).ok_or("no such version"))
}

fn reason() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.as_str()))
        .try_map(|word| Reason::ALL.iter().copied().find(|reason| reason.as_str() == word).ok_or("no such reason"))
}
