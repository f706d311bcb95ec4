//! Fewer rights: the account that the daemon changes to after binding, and a sandbox around the file system.

use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, initgroups, setgid, setgroups, setuid};

use crate::config::{Config, DnssecConfig};

/// Why rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error("there is no account named {0}")]
    NoSuchUser(String),
    #[error("there is no group named {0}")]
    NoSuchGroup(String),
    #[error("changing to account {user}: {source}")]
    Change { user: String, source: nix::Error },
    #[error("{path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
}

/// As many open files as the system lets us have: each connection is one.
pub(super) fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, soft, "the limit of open files could not be raised");
    }
}

/// Spool and log are for the daemon and its group.
const FOLDER_MODE: u32 = 0o750;

/// Descriptors that spool, log, sockets and look-ups need beside the connections.
const RESERVED_FILES: u64 = 512;

/// How many inbound connections the limit of open files leaves room for. One too many would stop the spool.
pub(super) fn connections_possible(config: &Config) -> u64 {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    // An outbound connection may have a look-up and a body file open beside it.
    let outbound = u64::from(config.limits.max_outbound_connections).saturating_mul(2);
    let wanted = u64::from(config.limits.max_connections);
    let possible = files.saturating_sub(outbound + RESERVED_FILES).max(1);
    if possible < wanted {
        tracing::warn!(
            files,
            possible,
            "the limit of open files permits fewer connections than [limits].max_connections"
        );
    }
    wanted.min(possible)
}

/// Makes the daemon's folders, gives them to the configured account, and becomes it. Must run before any thread does.
pub(super) fn hand_over(config: &Config) -> Result<(), PrivilegeError> {
    // The folder of the key may be one of the system's: it is ours only if it is new.
    let of_key = config.audit.key.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let folders = [Some(config.spool.path.as_path()), Some(config.audit.path.as_path()), of_key];
    for path in folders.into_iter().flatten() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path);
        made.map_err(|source| PrivilegeError::Folder { path: path.to_owned(), source })?;
    }
    let Some(name) = &config.user else { return Ok(()) };
    let user = User::from_name(name).ok().flatten().ok_or_else(|| PrivilegeError::NoSuchUser(name.clone()))?;
    let gid = match &config.group {
        None => user.gid,
        Some(group) => {
            let found = Group::from_name(group).ok().flatten();
            found.ok_or_else(|| PrivilegeError::NoSuchGroup(group.clone()))?.gid
        }
    };
    if Uid::effective() == user.uid {
        return Ok(());
    }
    for path in folders.into_iter().flatten().chain([config.admin.socket.as_path()]) {
        chown(path, Some(user.uid.as_raw()), Some(gid.as_raw()))
            .map_err(|source| PrivilegeError::Folder { path: path.to_owned(), source })?;
    }
    become_user(&user, gid).map_err(|source| PrivilegeError::Change { user: name.clone(), source })
}

fn become_user(user: &User, gid: Gid) -> Result<(), nix::Error> {
    match std::ffi::CString::new(user.name.as_str()) {
        Ok(name) => initgroups(&name, gid)?,
        Err(_) => setgroups(&[gid])?,
    }
    setgid(gid)?;
    setuid(user.uid)
}

/// Where the system keeps what the daemon reads: resolver, certificates, time zones, accounts, its own numbers.
const SYSTEM_FOLDERS: &[&str] = &["/etc", "/usr", "/lib", "/proc", "/sys", "/dev", "/run", "/nix/store"];

/// Where the system keeps programs and what they are made of.
const PROGRAM_FOLDERS: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store"];

/// Confines the process to the folders that it needs, as far as the kernel can (Landlock). Must run before any thread.
pub(super) fn sandbox(config: &Config) {
    match confine(config) {
        Ok(RulesetStatus::FullyEnforced) => tracing::info!("sandbox: file access is confined"),
        Ok(RulesetStatus::PartiallyEnforced) => tracing::info!("sandbox: file access is confined in part"),
        Ok(RulesetStatus::NotEnforced) => {
            tracing::warn!("sandbox: this kernel has no Landlock; file access is not confined")
        }
        Err(error) => tracing::warn!(%error, "sandbox: file access is not confined"),
    }
}

fn confine(config: &Config) -> Result<RulesetStatus, RulesetError> {
    let abi = ABI::V3;
    let read = AccessFs::from_read(abi) & !AccessFs::Execute;
    let write = AccessFs::from_all(abi) & !AccessFs::Execute;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?;
    let folder = |path: &Path| path.parent().map(Path::to_path_buf);
    // A certificate is often a link to where a client renews it; the rules hold for where it leads.
    let target = |path: &Path| std::fs::canonicalize(path).ok().as_deref().and_then(folder);
    let of_certificate = |path: &Path| [folder(path), target(path)];
    let files = config.certificates.iter().flat_map(|c| [Some(&c.chain), Some(&c.key), c.ocsp.as_ref()]).flatten();
    let ours_as_client = config.policies.client_certificates().flat_map(|at| [&at.value.chain, &at.value.key]);
    let authorities = config.listeners.iter().filter_map(|listener| listener.client_ca.as_ref());
    let of_next_hops = config.policies.authorities().flat_map(|at| &at.value);
    let anchor = match &config.dns.dnssec {
        DnssecConfig::Validate { trust_anchor } => trust_anchor.as_ref(),
        DnssecConfig::Auto | DnssecConfig::Off | DnssecConfig::TrustAd => None,
    };
    let dkim = config.tlsrpt.dkim.as_ref().map(|dkim| &dkim.key);
    let of_admin = config.admin.certificate.iter().flat_map(|pair| [&pair.chain, &pair.key]);
    let of_admin = of_admin.chain(&config.admin.token_file);
    let named =
        files.chain(ours_as_client).chain(of_admin).chain(authorities).chain(of_next_hops).chain(anchor).chain(dkim);
    let certificates = named.flat_map(|path| of_certificate(path)).flatten();
    // Where roots are read from instead of where the system has them.
    let of_roots = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(std::env::var_os).map(PathBuf::from);
    let of_roots = of_roots.flat_map(|path| [folder(&path), target(&path), Some(path)]).flatten();
    let system = SYSTEM_FOLDERS.iter().map(PathBuf::from).chain(of_roots);
    let readable = system.chain(config.folders.clone()).chain(certificates);
    for path in readable {
        if let Ok(handle) = PathFd::new(&path) {
            rules = rules.add_rule(PathBeneath::new(handle, read))?;
        }
    }
    if let Some(program) = config.alert.command.as_ref().and_then(|words| words.first()) {
        rules = permit_program(rules, Path::new(program))?;
    }
    let writable = [
        Some(config.spool.path.clone()),
        Some(config.audit.path.clone()),
        folder(&config.audit.key),
        config.audit.checkpoint_file.as_deref().and_then(folder),
        folder(&config.admin.socket),
    ];
    for path in writable.into_iter().flatten() {
        if let Ok(handle) = PathFd::new(&path) {
            rules = rules.add_rule(PathBeneath::new(handle, write))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// The program of alerts may be run, with what it is made of and what it starts: interpreters, loaders, the system's
/// programs. It has the daemon's own rights beside that, and no more.
fn permit_program(mut rules: RulesetCreated, program: &Path) -> Result<RulesetCreated, RulesetError> {
    let run = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let target = std::fs::canonicalize(program).ok();
    let folders = [Some(program), target.as_deref()].into_iter().flatten().filter_map(Path::parent);
    for path in PROGRAM_FOLDERS.iter().map(Path::new).chain(folders) {
        if let Ok(handle) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(handle, run))?;
        }
    }
    // Where scripts send what nobody is to see.
    if let Ok(handle) = PathFd::new("/dev/null") {
        rules =
            rules.add_rule(PathBeneath::new(handle, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate))?;
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn renewed_certificates_can_be_read_inside_the_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["etc/domains.d", "live", "archive", "ocsp", "other"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let main = "hostname = \"mx1.example.org\"\ndomains = \"domains.d\"\npostmaster = \"p@example.org\"\n\
                    [spool]\npath = \"spool\"\n[audit]\npath = \"audit\"\nkey = \"audit.key\"\n\
                    [[listener]]\nname = \"mx\"\nbind = [\"127.0.0.1:0\"]\nrole = \"mx\"\n\
                    [[certificate]]\nchain = \"../live/c.pem\"\nkey = \"../live/c.key\"\n";
        fs::write(at("etc/gatepost.toml"), main).unwrap();
        for name in ["archive/c1.pem", "archive/c2.pem", "live/c.key", "ocsp/c.ocsp", "other/secret"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("../archive/c1.pem", at("live/c.pem")).unwrap();
        let (mut config, _) = crate::config::load(&at("etc/gatepost.toml")).unwrap();
        config.certificates[0].ocsp = Some(at("ocsp/c.ocsp"));

        // The rules hold for one thread, so the other one renews.
        let turn = Barrier::new(2);
        let (status, renewed, fetched, other) = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let status = confine(&config).unwrap();
                turn.wait();
                turn.wait();
                let read = |name: &str| fs::read_to_string(at(name)).ok();
                (status, read("live/c.pem"), read("ocsp/c.ocsp"), read("other/secret"))
            });
            turn.wait();
            symlink("../archive/c2.pem", at("live/next")).unwrap();
            fs::rename(at("live/next"), at("live/c.pem")).unwrap();
            fs::write(at("ocsp/next"), "new").unwrap();
            fs::rename(at("ocsp/next"), at("ocsp/c.ocsp")).unwrap();
            turn.wait();
            inside.join().unwrap()
        });
        assert_eq!((renewed.as_deref(), fetched.as_deref()), (Some("archive/c2.pem"), Some("new")));
        // Old kernels have no sandbox.
        assert!(other.is_none() || status == RulesetStatus::NotEnforced);
    }
}
