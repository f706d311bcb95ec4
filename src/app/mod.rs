//! L5: the daemon put together: what is made in which order, reload, drain. The only place that sees a whole `Config`.
//!
//! Start order: configuration and certificates, sockets, privileges and sandbox, runtime, spool and audit log, sessions
//! and deliveries. Nothing is accepted before everything before it has succeeded.
//!
//! Must not: hold logic of its own beyond wiring.

pub(crate) mod build;
mod calendar;
mod certificates;
mod evidence;
mod maintenance;
mod privileges;
mod reload;
mod running;
mod sockets;
mod status;
mod storage;
mod supervisor;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::admin::web::door::DoorError;
use crate::audit::keyfile::KeyError;
use crate::audit::log::LogOrKeyError;
use crate::config::diagnostic::Diagnostic;
use crate::config::{self, Config};
use crate::dns::servers::SetupError as DnsError;
use crate::journal::{self, Damage};
use crate::memory::MemoryError;
use crate::net::listener::BindError;
use crate::net::passed::{PassedError, PassedSockets};
use crate::policy::settings::Source;
use crate::spool::OpenError;
use crate::tls::certificates::CertificateError;
use crate::tls::failure::SetupError as TlsError;

pub use build::{Environment, Prepared};
pub use running::{Addresses, Running};
pub use sockets::Sockets;

/// What `serve` is started with.
#[derive(Clone, Debug)]
pub struct Options {
    pub config: PathBuf,
    /// Start although acknowledged data in the spool cannot be read.
    pub accept_damage: bool,
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration has errors")]
    Config(Vec<Diagnostic>),
    #[error("{}", lines(.0))]
    Certificates(Vec<CertificateError>),
    #[error("{0}")]
    Bind(#[from] BindError),
    #[error("{0}")]
    Passed(#[from] PassedError),
    #[error("control socket {path}: {source}")]
    ControlSocket { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Privileges(#[from] privileges::PrivilegeError),
    #[error("spool {path}: {source}")]
    Spool { path: PathBuf, source: OpenError },
    #[error("the spool is damaged; nothing was started:\n{}", lines(.0))]
    Damaged(Vec<Damage>),
    #[error("what was learned of other hosts: {0}")]
    Memory(MemoryError),
    #[error("{0}")]
    Audit(#[from] LogOrKeyError),
    #[error("the key of the audit log: {0}")]
    AuditKey(#[from] KeyError),
    #[error("{}", lines(.0))]
    Named(Vec<NamedFault>),
    #[error("[tlsrpt].dkim.key {key}: {why}")]
    Dkim { key: PathBuf, why: String },
    #[error("{0}")]
    Dns(#[from] DnsError),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Door(#[from] DoorError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the system refused a thread or a runtime: {0}")]
    System(#[source] io::Error),
    #[error("a part of the daemon has ended")]
    Broken,
}

/// A file that a policy or a route names, and that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` of {place}: {why}")]
pub struct NamedFault {
    key: &'static str,
    place: Source,
    why: String,
}

impl StartError {
    /// What the operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Config(_) => "mend what is shown above; `gatepost check` shows it without starting anything",
            Self::Certificates(_) => {
                "mend the [[certificate]] and client_certificate entries or the files that they name"
            }
            Self::Named(_) => "mend these entries or the files that they name",
            Self::Bind(_) => "stop what holds the port, or change `bind`",
            Self::Passed(_) => "make the socket units of the service manager and `bind` of the configuration agree",
            Self::ControlSocket { .. } => "stop the daemon that holds it, or change [admin].socket",
            Self::Privileges(privileges::PrivilegeError::Folder { .. }) => {
                "name folders in [spool].path and [audit].path that can be made and written"
            }
            Self::Privileges(_) => "start as root, or leave `user` and `group` out",
            Self::Spool { source: OpenError::Journal(journal::OpenError::Version { .. }), .. } => {
                "use the release that wrote it, or a newer one"
            }
            Self::Spool { source: OpenError::Journal(journal::OpenError::Locked { .. }), .. } => {
                "end that process first: a daemon that runs already, or a command that changes its spool"
            }
            Self::Spool { .. } => {
                "see that the folder exists, belongs to the daemon's account and is in use by nobody else"
            }
            Self::Damaged(_) => {
                "make a copy of the spool folder; `gatepost serve --accept-damage` starts without what cannot be read"
            }
            Self::Memory(MemoryError::InUse { .. }) => {
                "end what has the file (`fuser` names it); without it mail would go below what was learned"
            }
            Self::Memory(_) => {
                "see that the file belongs to the daemon's account and can be read and written, or move it away, which \
                 forgets what was learned"
            }
            Self::AuditKey(_) | Self::Audit(LogOrKeyError::Key(_)) => {
                "name a file in [audit].key that the daemon's account alone can read and write, outside of [audit].path"
            }
            Self::Audit(_) => "see that the folder exists, belongs to the daemon's account and has room",
            Self::Dkim { .. } => {
                "name a PEM file with an RSA key of 2048 bits or more, or an Ed25519 key, or remove it"
            }
            Self::Door(_) => "mend the file, or write [admin] bind = \"off\"",
            Self::Dns(_) => "set [dns].servers",
            Self::Tls(_) | Self::Metrics(_) | Self::System(_) | Self::Broken => "report this, with the log",
        }
    }
}

fn lines<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join("\n")
}

/// Runs the daemon in the foreground until it is told to stop.
pub fn serve(options: &Options) -> Result<(), StartError> {
    let (config, warnings) = config::load(&options.config).map_err(StartError::Config)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    // Before rights are given up: keys are often readable by root alone.
    let prepared = Prepared::new(config)?;
    let sockets = Sockets::with(&prepared.config, PassedSockets::of_environment()?)?;
    privileges::raise_file_limit();
    privileges::hand_over(&prepared.config)?;
    privileges::sandbox(&prepared.config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::System)?;
    let ended = runtime.block_on(async {
        let environment = Environment::of_system(&prepared.config)?;
        let running = Running::start(prepared, sockets, environment, options.accept_damage).await?;
        if running.run_until_stopped().await { Ok(()) } else { Err(StartError::Broken) }
    });
    // A disk that hangs must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    ended
}

/// How long what still blocks on the disk may keep the process after everything else has ended.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The configuration as the demo makes it: read from real files, like the operator's.
pub fn load(options: &Options) -> Result<Config, StartError> {
    config::load(&options.config).map(|(config, _)| config).map_err(StartError::Config)
}
