//! The stage: a temporary folder with real configuration files, the next hops, and the relay itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::app::{Environment, Options, Prepared, Running, Sockets, StartError, load};
use crate::clock;
use crate::dns::Exchange;
use crate::dns::fake::FakeResolver;
use crate::model::domain::{Domain, DomainError};
use crate::policy::rules::PolicySet;
use crate::smtp::client::Timeouts;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::failure::SetupError;
use crate::tls::self_signed::{IssueError, IssuedCertificate, Validity, self_signed, self_signed_rsa};

use super::handshakes::HopTls;
use super::hops::Hop;
#[cfg(feature = "legacy-tls")]
use super::old_hop::OldHop;
use super::scenario::{HAS_OLD_TLS, HopSpec, NULL_MX, Shown, TRAP, TRAP_HOST, hops};
use super::senders::Relay;

/// The relay's name in the demo's configuration.
pub(super) const HOSTNAME: &str = "relay.gatepost.example";
const FOLDER_PREFIX: &str = "gatepost-demo-";
const MAIN_FILE: &str = "gatepost.toml";
const AUTHORITY_FILE: &str = "ca.pem";
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Another program may take a free port between the look for it and its use.
const BIND_TRIES_MAX: u32 = 5;

const FILES: &[(&str, &str)] = &[
    (MAIN_FILE, include_str!("config/gatepost.toml")),
    ("domains.d/bank.toml", include_str!("config/domains.d/bank.toml")),
    ("domains.d/shop.toml", include_str!("config/domains.d/shop.toml")),
    ("domains.d/clinic.toml", include_str!("config/domains.d/clinic.toml")),
    ("domains.d/press.toml", include_str!("config/domains.d/press.toml")),
    ("domains.d/lab.toml", include_str!("config/domains.d/lab.toml")),
    ("domains.d/secret.toml", include_str!("config/domains.d/secret.toml")),
];
/// Of the domains behind the old next hop.
const OLD_FILES: &[(&str, &str)] = &[
    ("domains.d/museum.toml", include_str!("config/domains.d/museum.toml")),
    ("domains.d/archive.toml", include_str!("config/domains.d/archive.toml")),
];
/// What stands in the main file for the clients that the relay's RSA key is for.
const STACK: (&str, &str) = ("@STACK@", if HAS_OLD_TLS { "legacy" } else { "any" });

/// Why the demo cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{0}")]
    Certificate(#[from] IssueError),
    #[error("TLS of the demo's hosts: {0}")]
    Tls(#[from] SetupError),
    #[error("a name of the demo: {0}")]
    Name(#[from] DomainError),
    #[error("{}", start_error(.0))]
    Start(#[from] StartError),
}

fn start_error(error: &StartError) -> String {
    match error {
        StartError::Config(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        error => format!("{error}\nhelp: {}", error.remedy()),
    }
}

/// Everything that runs. The folder goes when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) running: Running,
    pub(super) policies: Arc<PolicySet>,
    pub(super) hops: Vec<Arc<Hop>>,
    authority: DemoAuthority,
    /// The hops' tasks.
    _tasks: JoinSet<()>,
    folder: TempDir,
}

/// The folder alone, before anything runs in it.
pub(super) fn folder() -> Result<TempDir, StageError> {
    let made = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir();
    made.map_err(|source| StageError::Io { what: "a temporary folder".to_owned(), source })
}

impl Stage {
    /// Starts hops and relay.
    pub(super) async fn set(folder: TempDir) -> Result<Self, StageError> {
        let authority = DemoAuthority::new(clock::timestamp())?;
        let mut tasks = JoinSet::new();
        let mut started = Vec::new();
        for spec in hops() {
            let tls = hop_tls(spec, &authority, spec.certificate)?;
            let hop = Hop::start(spec, tls, &mut tasks).await;
            started.push(hop.map_err(|source| StageError::Io { what: format!("next hop {}", spec.name), source })?);
        }
        write_certificates(folder.path(), &authority)?;
        let (config, sockets) = configure(folder.path(), &started)?;
        let policies = config.policies.clone();
        let environment =
            Environment { resolver: Arc::new(resolver()?), roots: authority.roots(), timeouts: Timeouts::default() };
        let running = Running::start(Prepared::new(config)?, sockets, environment, false).await?;
        Ok(Self { running, policies, hops: started, authority, _tasks: tasks, folder })
    }

    pub(super) fn relay(&self) -> Relay<'_> {
        Relay {
            mx: self.listener("mx"),
            smarthost: self.listener("smarthost"),
            hostname: HOSTNAME,
            authority: self.authority(),
            roots: self.authority.roots(),
        }
    }

    pub(super) fn authority(&self) -> &CertificateDer<'static> {
        self.authority.certificate_der()
    }

    pub(super) fn listener(&self, name: &str) -> SocketAddr {
        let listeners = &self.running.addresses().smtp;
        let found = listeners.iter().find(|(listener, _)| &**listener == name);
        found.map_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into(), |(_, address)| *address)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn main_file(&self) -> PathBuf {
        self.folder.path().join(MAIN_FILE)
    }

    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.path().join(AUTHORITY_FILE)
    }

    pub(super) fn audit(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    /// Gives a hop the certificate that it should have had.
    pub(super) fn mend(&self, name: &str) -> Result<(), StageError> {
        for hop in self.hops.iter().filter(|hop| hop.spec.name == name) {
            if let Some(tls) = hop_tls(hop.spec, &self.authority, Shown::Right)? {
                hop.mend(tls);
            }
        }
        Ok(())
    }

    /// Ends the relay in order, then the hops; the folder goes.
    pub(super) async fn stop(self) {
        self.running.stop().await;
    }

    /// Serves until SIGINT or SIGTERM, then ends in order.
    pub(super) async fn run_until_stopped(self) {
        let Self { running, folder, _tasks: tasks, .. } = self;
        running.run_until_stopped().await;
        drop((tasks, folder));
    }
}

fn hop_tls(spec: &HopSpec, authority: &DemoAuthority, shown: Shown) -> Result<Option<HopTls>, StageError> {
    let key = if spec.is_old() { KeyKind::Rsa2048 } else { KeyKind::P256 };
    let issued = match shown {
        Shown::None => return Ok(None),
        Shown::Right => issue(authority, spec.name, key)?,
        Shown::Name(other) => issue(authority, other, key)?,
        Shown::SelfSigned if spec.is_old() => self_signed_rsa(&[Domain::parse(spec.name)?], clock::timestamp())?,
        Shown::SelfSigned => self_signed(&[Domain::parse(spec.name)?], clock::timestamp())?,
    };
    #[cfg(feature = "legacy-tls")]
    if let Some(version) = spec.versions.first().filter(|_| spec.is_old()) {
        return Ok(Some(HopTls::Old(OldHop::new(*version, &issued)?)));
    }
    Ok(Some(HopTls::modern(spec.versions, &issued)?))
}

fn issue(authority: &DemoAuthority, name: &str, key: KeyKind) -> Result<IssuedCertificate, StageError> {
    let validity = Validity::starting(clock::timestamp(), VALIDITY);
    Ok(authority.issue(&[name], key, validity)?)
}

fn write_certificates(folder: &Path, authority: &DemoAuthority) -> Result<(), StageError> {
    write(folder, AUTHORITY_FILE, &authority.certificate_pem())?;
    for (name, key) in [("tls/relay", KeyKind::P256), ("tls/relay-rsa", KeyKind::Rsa2048)] {
        let issued = issue(authority, HOSTNAME, key)?;
        write(folder, &format!("{name}.pem"), &issued.certificate_pem)?;
        write(folder, &format!("{name}.key"), &issued.key_pem)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), StageError> {
    let path = folder.join(name);
    let folder = path.parent().unwrap_or(folder);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
    written.map_err(|source| StageError::Io { what: path.display().to_string(), source })
}

/// Writes the files with ports that are free, reads them as the daemon does, and binds.
fn configure(folder: &Path, hops: &[Arc<Hop>]) -> Result<(crate::config::Config, Sockets), StageError> {
    let options = Options { config: folder.join(MAIN_FILE), accept_damage: false };
    let mut tries = 1;
    loop {
        let mut ports: BTreeMap<&str, u16> =
            hops.iter().map(|hop| (hop.spec.placeholder, hop.address.port())).collect();
        ports.extend(free_ports(["@MX@", "@SMARTHOST@", "@METRICS@", "@ADMIN@"])?);
        for (name, text) in files() {
            let filled = text.replace(STACK.0, STACK.1);
            let filled = ports.iter().fold(filled, |text, (word, port)| text.replace(word, &port.to_string()));
            write(folder, name, &filled)?;
        }
        let config = load(&options)?;
        match Sockets::bind(&config) {
            Ok(sockets) => return Ok((config, sockets)),
            Err(StartError::Bind(_)) if tries < BIND_TRIES_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn files() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    FILES.iter().chain(OLD_FILES.iter().filter(|_| HAS_OLD_TLS))
}

/// Ports that nobody listens on now. Held all at once, so that no two are the same.
fn free_ports(words: [&'static str; 4]) -> Result<Vec<(&'static str, u16)>, StageError> {
    let bind = |word| {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok((word, socket.local_addr()?.port(), socket))
    };
    let held: io::Result<Vec<_>> = words.into_iter().map(bind).collect();
    let held = held.map_err(|source| StageError::Io { what: "a port of loopback".to_owned(), source })?;
    Ok(held.iter().map(|(word, port, _)| (*word, *port)).collect())
}

/// The demo's own DNS: it asks nobody.
fn resolver() -> Result<FakeResolver, StageError> {
    let loopback = [Ipv4Addr::LOCALHOST.into()];
    let mut resolver = FakeResolver::new()
        .with_mx(Domain::parse(NULL_MX)?, [(0, Exchange::Root)])
        .with_mx(Domain::parse(TRAP)?, [(10, Exchange::Host(Domain::parse(TRAP_HOST)?))])
        .with_addresses(Domain::parse(TRAP_HOST)?, loopback);
    for spec in hops() {
        resolver = resolver.with_addresses(Domain::parse(spec.name)?, loopback);
    }
    Ok(resolver)
}
