//! Writes the plan into a folder that is empty, and makes a certificate where Postfix brings none.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::output::{Exit, Failure};
use crate::clock;
use crate::config::starter::{STARTER_CHAIN, STARTER_KEY, STARTER_LEGACY_CHAIN, STARTER_LEGACY_KEY};
use crate::model::os_error;
use crate::tls::self_signed::{IssueError, IssuedCertificate, self_signed, self_signed_rsa};

use super::certificates::Pair;
use super::plan::{Plan, Recipients};
use super::render::{self, Paths};

const SYSTEM_FOLDER: &str = "/etc/gatepost";
const PUBLIC_MODE: u32 = 0o644;
const SECRET_MODE: u32 = 0o600;

/// Fails unless the folder is empty or does not exist.
pub(super) fn check_empty(dir: &Path) -> Result<(), Failure> {
    let first = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_write(dir, &error)),
        Ok(mut entries) => entries.next(),
    };
    match first {
        None => Ok(()),
        Some(_) => {
            let message = format!("nothing was written, because {} is not empty", dir.display());
            Err(Failure::usage(message, "choose an empty folder, or move the old files away"))
        }
    }
}

/// Writes all files and tells their names in the folder.
pub(super) fn write(dir: &Path, plan: &mut Plan) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    let needs_certificate = plan.listeners.iter().any(|listener| listener.tls != "off");
    if needs_certificate && plan.certificates.is_empty() {
        let names = std::slice::from_ref(&plan.hostname);
        let all = put_made(dir, (self_signed(names, clock::timestamp()), STARTER_CHAIN, STARTER_KEY), &mut written)?;
        plan.certificates.push(all);
        if cfg!(feature = "legacy-tls") && plan.offers_old_versions() {
            let made = self_signed_rsa(names, clock::timestamp());
            let old = put_made(dir, (made, STARTER_LEGACY_CHAIN, STARTER_LEGACY_KEY), &mut written)?;
            plan.legacy_certificate = Some(old);
        }
    }
    for (name, copied) in &plan.copies.0 {
        let bytes = fs::read(&copied.from).map_err(|error| {
            Failure::usage(
                format!("cannot read {}: {}", copied.from.display(), os_error::why(&error)),
                "make it readable, or leave it out",
            )
        })?;
        let mode = if copied.secret { SECRET_MODE } else { PUBLIC_MODE };
        put(dir, (name, &bytes, mode), &mut written)?;
    }
    let paths = if dir == Path::new(SYSTEM_FOLDER) { Paths::System } else { Paths::Beside };
    let main = render::main_file(plan, paths);
    put(dir, ("gatepost.toml", main.as_bytes(), PUBLIC_MODE), &mut written)?;
    let folder = dir.join("domains.d");
    fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
    for file in &plan.files {
        let text = render::domain_file(file, &plan.outbound);
        put(dir, (&format!("domains.d/{}.toml", file.name), text.as_bytes(), PUBLIC_MODE), &mut written)?;
        if let Some(Recipients::Listed(names)) = &file.hosted {
            let list: String = names.iter().map(|name| format!("{name}\n")).collect();
            let name = format!("domains.d/{}", render::recipients_path(&file.name));
            put(dir, (&name, list.as_bytes(), PUBLIC_MODE), &mut written)?;
        }
    }
    Ok(written)
}

type Made = Result<IssuedCertificate, IssueError>;

fn put_made(dir: &Path, (made, chain, key): (Made, &str, &str), written: &mut Vec<PathBuf>) -> Result<Pair, Failure> {
    let made =
        made.map_err(|error| Failure::new(Exit::No, error.to_string(), "name another host with --hostname NAME"))?;
    put(dir, (chain, made.certificate_pem.as_bytes(), PUBLIC_MODE), written)?;
    put(dir, (key, made.key_pem.as_bytes(), SECRET_MODE), written)?;
    Ok(Pair { chain: chain.to_owned(), key: key.to_owned() })
}

fn put(dir: &Path, (name, bytes, mode): (&str, &[u8], u32), written: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let path = dir.join(name);
    let put = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?.write_all(bytes)
    };
    put().map_err(|error| cannot_write(&path, &error))?;
    written.push(PathBuf::from(name));
    Ok(())
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(
        format!("cannot write {}: {}", path.display(), os_error::why(error)),
        "choose a folder that you may write to",
    )
}
