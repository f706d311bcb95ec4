//! `gatepost init DIR`: writes a starter configuration and certificates to begin with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::clock;
use crate::config::starter::{STARTER_CHAIN, STARTER_KEY, STARTER_LEGACY_CHAIN, STARTER_LEGACY_KEY, starter};
use crate::model::domain::{Domain, DomainPattern};
use crate::tls::self_signed::{IssueError, IssuedCertificate, self_signed, self_signed_rsa};

use super::configuration;
use super::output::{BOLD, Console, DIM, Exit, Failure};

const FALLBACK_HOSTNAME: &str = "mail.example.org";
const SYSTEM_HOSTNAME: &str = "/proc/sys/kernel/hostname";
const SYSTEM_FILE: &str = "/etc/gatepost/gatepost.toml";
const PUBLIC_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;

#[derive(Debug)]
struct NewFile {
    path: PathBuf,
    content: String,
    mode: u32,
}

/// For all clients, and for old ones.
struct Certificates {
    all: IssuedCertificate,
    old: IssuedCertificate,
}

impl Certificates {
    fn new(hostname: &Domain) -> Result<Self, IssueError> {
        let (names, now) = (std::slice::from_ref(hostname), clock::timestamp());
        Ok(Self { all: self_signed(names, now)?, old: self_signed_rsa(names, now)? })
    }

    /// What to publish if DANE is wanted (RFC 7672 section 3.1.1).
    fn tlsa(&self, hostname: &Domain) -> Vec<String> {
        let record = |one: &IssuedCertificate| format!("_25._tcp.{hostname}. IN TLSA 3 1 1 {}", one.key_sha256());
        [&self.all, &self.old].map(record).into()
    }
}

/// The result for programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    hostname: &'a Domain,
    config: &'a Path,
    written: Vec<&'a Path>,
    /// TLSA records of the keys, for DNS.
    tlsa: &'a [String],
}

pub(super) fn run(asked: &super::arguments::Init, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let dir = std::path::absolute(&asked.dir).map_err(|error| cannot_write(&asked.dir, &error))?;
    let hostname = asked.hostname.clone().map_or_else(system_hostname, Ok)?;
    let certificates = Certificates::new(&hostname)
        .map_err(|error| Failure::new(Exit::No, error.to_string(), "choose another name with --hostname NAME"))?;
    let tlsa = certificates.tlsa(&hostname);
    let files = files(&dir, &hostname, certificates);
    refuse_to_overwrite(&files)?;
    for file in &files {
        write(file).map_err(|error| cannot_write(&file.path, &error))?;
    }
    let config = dir.join("gatepost.toml");
    if json {
        let written = files.iter().map(|file| file.path.as_path()).collect();
        console.json(&Report { hostname: &hostname, config: &config, written, tlsa: &tlsa })?;
        return Ok(Exit::Done);
    }
    writeln!(console.out, "Wrote a configuration for {BOLD}{hostname}{BOLD:#}:")?;
    for file in &files {
        let note = if file.mode == KEY_MODE { "  (mode 0600)" } else { "" };
        writeln!(console.out, "  {}{DIM}{note}{DIM:#}", file.path.display())?;
    }
    next_commands(&config, console)?;
    writeln!(console.out, "\nWhere you publish DANE, list both keys:")?;
    for record in tlsa {
        writeln!(console.out, "  {record}")?;
    }
    Ok(Exit::Done)
}

/// The name that the kernel knows, if it has a dot.
/// What the system calls itself, if that is more than one label.
pub(super) fn full_system_name() -> Option<Domain> {
    let told = fs::read_to_string(SYSTEM_HOSTNAME).ok();
    told.and_then(|name| Domain::parse(name.trim()).ok()).filter(|name| name.label_count() > 1)
}

fn system_hostname() -> Result<Domain, Failure> {
    full_system_name()
        .map_or_else(|| Domain::parse(FALLBACK_HOSTNAME), Ok)
        .map_err(|error| Failure::usage(error.to_string(), "name this host with --hostname NAME"))
}

fn files(dir: &Path, hostname: &Domain, certificates: Certificates) -> Vec<NewFile> {
    let starter = starter(dir, hostname).into_iter();
    let mut files: Vec<_> =
        starter.map(|file| NewFile { path: file.path, content: file.content, mode: PUBLIC_MODE }).collect();
    let Certificates { all, old } = certificates;
    for (certificate, chain, key) in
        [(all, STARTER_CHAIN, STARTER_KEY), (old, STARTER_LEGACY_CHAIN, STARTER_LEGACY_KEY)]
    {
        files.push(NewFile { path: dir.join(chain), content: certificate.certificate_pem, mode: PUBLIC_MODE });
        files.push(NewFile { path: dir.join(key), content: certificate.key_pem, mode: KEY_MODE });
    }
    files
}

fn refuse_to_overwrite(files: &[NewFile]) -> Result<(), Failure> {
    let there: Vec<_> = files.iter().filter(|file| file.path.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = there.iter().map(|file| file.path.display().to_string()).collect();
    let message = format!("nothing was written, because this is there already: {}", names.join(", "));
    Err(Failure::usage(message, "choose an empty folder, or move the old files away"))
}

/// Fails on a file that has come into being since it was looked for.
fn write(file: &NewFile) -> io::Result<()> {
    if let Some(folder) = file.path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut handle = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&file.path)?;
    handle.write_all(file.content.as_bytes())
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let help = "choose a folder that you may write to, or run this as root";
    Failure::usage(format!("cannot write {}: {error}", path.display()), help)
}

fn next_commands(config: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let option = match config == Path::new(SYSTEM_FILE) {
        true => String::new(),
        false => format!(" --config {}", config.display()),
    };
    let recipient = format!("postmaster@{}", hosted_domain(config));
    writeln!(
        console.out,
        "\nTry next:\n  \
         {BOLD}gatepost check{option}{BOLD:#}\n  \
         {BOLD}gatepost policy explain{option} \\\n    --from someone@partner.example --to {recipient}{BOLD:#}\n  \
         {BOLD}gatepost serve{option}{BOLD:#}\n\n\
         Before real mail comes: set the route in domains.d/example.toml, and put a\n\
         certificate that others trust in place of the self-signed ones. Port 25 needs\n\
         root, or CAP_NET_BIND_SERVICE."
    )?;
    Ok(())
}

/// The first domain that the new configuration hosts.
fn hosted_domain(config: &Path) -> String {
    let loaded = configuration::load(Some(config)).ok();
    let hosted = loaded.as_ref().and_then(|(config, _)| config.policies.policies().find(|policy| policy.hosted));
    let exact = hosted.and_then(|policy| {
        policy.patterns.iter().find_map(|pattern| match pattern {
            DomainPattern::Exact(name) => Some(name.to_string()),
            DomainPattern::Below(_) => None,
        })
    });
    exact.unwrap_or_else(|| "example.org".to_owned())
}
