//! `gatepost init DIR`: writes a starter configuration and certificates to begin with.

pub(super) mod arguments;
mod questions;

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group};
use serde::Serialize;

use crate::clock;
use crate::config::starter::{
    Duty, Plan, STARTER_CHAIN, STARTER_KEY, STARTER_LEGACY_CHAIN, STARTER_LEGACY_KEY, starter,
};
use crate::model::domain::Domain;
use crate::model::os_error;
use crate::policy::settings::Mode;
use crate::tls::certificates::{CertificatePaths, ServerCertificate};
use crate::tls::self_signed::{IssueError, IssuedCertificate, self_signed, self_signed_rsa};

use super::configuration;
use super::output::{BOLD, Console, DIM, Exit, Failure};
use arguments::{Init, Role};

const FALLBACK_HOSTNAME: &str = "mail.example.org";
const SYSTEM_HOSTNAME: &str = "/proc/sys/kernel/hostname";
const SYSTEM_FILE: &str = "/etc/gatepost/gatepost.toml";
const PUBLIC_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;

/// Readable by the group of the daemon, where there is one.
const GROUP_KEY_MODE: u32 = 0o640;
const DAEMON_GROUP: &str = "gatepost";

/// Ports below are for those with rights.
const FIRST_FREE_PORT: u16 = 1024;

#[derive(Debug)]
struct NewFile {
    path: PathBuf,
    content: String,
    mode: u32,
}

/// For all clients, unless the operator has one, and for old ones.
struct Certificates {
    all: Option<IssuedCertificate>,
    old: IssuedCertificate,
}

impl Certificates {
    fn new(plan: &Plan) -> Result<Self, IssueError> {
        let (names, now) = (std::slice::from_ref(&plan.hostname), clock::timestamp());
        let all = if plan.certificate.is_none() { Some(self_signed(names, now)?) } else { None };
        Ok(Self { all, old: self_signed_rsa(names, now)? })
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

/// Whether somebody sits there who could answer.
pub(super) fn may_ask(asked: &Init) -> bool {
    !asked.defaults && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks for what is not given, then does the same as [`run`].
pub(super) fn interview(asked: &Init, input: &mut dyn BufRead, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let answered = questions::ask(asked, &system_hostname()?, input, console.out)?;
    run(&answered, false, console)
}

pub(super) fn run(asked: &Init, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let dir = std::path::absolute(&asked.dir).map_err(|error| cannot_write(&asked.dir, &error))?;
    let plan = plan(asked)?;
    let certificates = Certificates::new(&plan)
        .map_err(|error| Failure::new(Exit::No, error.to_string(), "choose another name with --hostname NAME"))?;
    let tlsa = tlsa(&plan, &certificates)?;
    let group = daemon_group(&dir);
    let files = files(&dir, &plan, certificates, group.is_some());
    if dir.exists() && !dir.is_dir() {
        return Err(Failure::usage(
            format!("{} is no folder", dir.display()),
            "name a folder, which may be there or not",
        ));
    }
    refuse_to_overwrite(&files)?;
    for file in &files {
        write(file, group).map_err(|error| cannot_write(&file.path, &error))?;
    }
    let config = dir.join("gatepost.toml");
    // What was asked for may contradict itself, which the rules of the configuration know best.
    configuration::require(Some(&config))?;
    if json {
        let written = files.iter().map(|file| file.path.as_path()).collect();
        console.json(&Report { hostname: &plan.hostname, config: &config, written, tlsa: &tlsa })?;
        return Ok(Exit::Done);
    }
    writeln!(console.out, "Wrote a configuration for {BOLD}{}{BOLD:#}:", plan.hostname)?;
    for file in &files {
        let note = match file.mode {
            KEY_MODE => "  (mode 0600)",
            GROUP_KEY_MODE => "  (mode 0640, group gatepost)",
            _ => "",
        };
        writeln!(console.out, "  {}{DIM}{note}{DIM:#}", file.path.display())?;
    }
    writeln!(console.out, "\nWhere you publish DANE, list both keys:")?;
    for record in tlsa {
        writeln!(console.out, "  {record}")?;
    }
    before_mail_comes(&plan, console)?;
    next_commands(&plan, &config, console)?;
    Ok(Exit::Done)
}

/// What is asked for, with the defaults for the rest.
fn plan(asked: &Init) -> Result<Plan, Failure> {
    let hostname = asked.hostname.clone().map_or_else(system_hostname, Ok)?;
    let duty = asked.role.map_or(Duty::Mx, Role::duty);
    if duty.is_smart_host() && asked.trusted.is_empty() {
        let help = "name them: --trusted 10.0.0.0/8; or choose --role mx";
        return Err(Failure::usage("a smart host needs the networks of those whose mail it sends", help));
    }
    if !duty.is_smart_host() && !asked.trusted.is_empty() {
        let message = "--trusted has no effect: a relay of role mx sends nobody's mail to other domains";
        return Err(Failure::usage(message, "add --role smarthost or --role both"));
    }
    if !duty.is_mx() && !asked.mailboxes.is_empty() {
        let message = "--mailboxes has no effect: a smart host takes no mail for domains of its own";
        return Err(Failure::usage(message, "add --role both, or leave --mailboxes out"));
    }
    if !duty.is_mx() && asked.min_version.is_some() {
        let message = "--min-version has no effect: it is about mail that strangers bring to domains of its own";
        return Err(Failure::usage(message, "add --role both, or write min_version under [[listener]]"));
    }
    let path = |path: &Path| std::path::absolute(path).map_err(|error| cannot_read(path, &error.to_string()));
    let certificate = match (&asked.certificate, &asked.key) {
        (Some(chain), Some(key)) => Some((path(chain)?, path(key)?)),
        _ => None,
    };
    let (domains, mailboxes) = (asked.domains.clone(), asked.mailboxes.clone());
    let (trusted, bind) = (asked.trusted.clone(), asked.bind.clone());
    let floor = asked.min_version.map(|version| (version, asked.mode.unwrap_or(Mode::Report)));
    Ok(Plan { duty, domains, mailboxes, trusted, bind, floor, certificate, ..Plan::new(hostname) })
}

/// What to publish if DANE is wanted (RFC 7672 section 3.1.1).
fn tlsa(plan: &Plan, certificates: &Certificates) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    if let Some((chain, key)) = &plan.certificate {
        let read = ServerCertificate::read(&CertificatePaths::new(chain.clone(), key.clone()));
        keys.push(read.map_err(|error| cannot_read(chain, &error.to_string()))?.key_sha256().to_owned());
    }
    keys.extend(certificates.all.iter().chain([&certificates.old]).map(IssuedCertificate::key_sha256));
    Ok(keys.iter().map(|key| format!("_25._tcp.{}. IN TLSA 3 1 1 {key}", plan.hostname)).collect())
}

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

/// The group of the daemon's account, if this writes its configuration for it.
fn daemon_group(dir: &Path) -> Option<Gid> {
    let is_for_system = nix::unistd::geteuid().is_root() && dir.join("gatepost.toml") == Path::new(SYSTEM_FILE);
    let group = if is_for_system { Group::from_name(DAEMON_GROUP).ok().flatten() } else { None };
    group.map(|group| group.gid)
}

fn files(dir: &Path, plan: &Plan, certificates: Certificates, has_group: bool) -> Vec<NewFile> {
    let starter = starter(dir, plan).into_iter();
    let mut files: Vec<_> =
        starter.map(|file| NewFile { path: file.path, content: file.content, mode: PUBLIC_MODE }).collect();
    let Certificates { all, old } = certificates;
    let old = Some((old, STARTER_LEGACY_CHAIN, STARTER_LEGACY_KEY));
    let all = all.map(|all| (all, STARTER_CHAIN, STARTER_KEY));
    for (certificate, chain, key) in all.into_iter().chain(old) {
        let mode = if has_group { GROUP_KEY_MODE } else { KEY_MODE };
        files.push(NewFile { path: dir.join(chain), content: certificate.certificate_pem, mode: PUBLIC_MODE });
        files.push(NewFile { path: dir.join(key), content: certificate.key_pem, mode });
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
fn write(file: &NewFile, group: Option<Gid>) -> io::Result<()> {
    if let Some(folder) = file.path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut handle = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&file.path)?;
    if let Some(group) = group.filter(|_| file.mode == GROUP_KEY_MODE) {
        fchown(&handle, None, Some(group.as_raw()))?;
    }
    handle.write_all(file.content.as_bytes())
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let help = "choose a folder that you may write to, or run this as root";
    Failure::usage(format!("cannot write {}: {}", path.display(), os_error::why(error)), help)
}

fn cannot_read(path: &Path, why: &str) -> Failure {
    let help = "name a certificate and its key with --certificate FILE --key FILE, or leave both out";
    Failure::usage(format!("the certificate {} cannot be used: {why}", path.display()), help)
}

fn before_mail_comes(plan: &Plan, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut lines = Vec::new();
    if plan.duty.is_mx() {
        if plan.mailboxes.is_empty() {
            lines.push("name the server that keeps the mailboxes: [route] of domains.d/example.toml");
        }
        lines.push("list the recipients in domains.d/recipients.txt; others are refused");
    }
    match plan.certificate {
        None => lines.push("put a certificate that others trust in place of tls/server.pem and its key"),
        Some(_) => lines.push("let the daemon's account read the key of your certificate"),
    }
    writeln!(console.out, "\nBefore real mail comes:")?;
    for line in lines {
        writeln!(console.out, "  - {line}")?;
    }
    Ok(())
}

fn next_commands(plan: &Plan, config: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let option = match config == Path::new(SYSTEM_FILE) {
        true => String::new(),
        false => format!(" --config {}", config.display()),
    };
    let (from, to) = match plan.duty.is_mx() {
        true => ("someone@partner.example".to_owned(), format!("postmaster@{}", plan.first_domain())),
        false => (format!("someone@{}", plan.first_domain()), "someone@partner.example".to_owned()),
    };
    let client = match plan.trusted.first() {
        Some(network) if !plan.duty.is_mx() => format!(" --client {}", network.addr()),
        _ => String::new(),
    };
    writeln!(
        console.out,
        "\nTry next:\n  \
         {BOLD}gatepost check{option}{BOLD:#}\n  \
         {BOLD}gatepost policy explain{option} \\\n    --from {from} --to {to}{client}{BOLD:#}\n  \
         {BOLD}gatepost serve{option}{BOLD:#}"
    )?;
    if plan.bind.is_empty() || plan.bind.iter().any(|address| address.port() < FIRST_FREE_PORT) {
        writeln!(console.out, "\nPort 25 needs root, or CAP_NET_BIND_SERVICE.")?;
    }
    Ok(())
}
