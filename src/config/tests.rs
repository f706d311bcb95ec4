//! Behaviour of the whole reader: files in, findings or a configuration out.

mod accepted;
mod rendering;
mod timed;
mod transcripts;
mod values;

use std::fs;

use super::diagnostic::Diagnostic;
use super::{Config, load_at};
use crate::model::time::Timestamp;

/// 2026-12-01.
const NOW: Timestamp = Timestamp::from_secs(1_796_083_200);

/// A main file without faults; further lines follow as line 5.
pub(in crate::config) const HEAD: &str = "\
hostname = \"mx1.example.org\"
postmaster = \"postmaster@example.org\"
spool = { path = \"spool\" }
audit = { path = \"audit\" }
";

/// A listener without faults on one line.
pub(in crate::config) const LISTENER: &str =
    "listener = [{ name = \"mx\", bind = [\"127.0.0.1:25\"], role = \"mx\", tls = \"off\" }]\n";

/// Writes the files to a new folder and loads `gatepost.toml` there.
fn load_files(files: &[(&str, &str)]) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    load_at(&folder.path().join("gatepost.toml"), NOW)
}

/// The findings on one line each.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let (found, refused) = match load_files(files) {
        Ok((_, warnings)) => (warnings, false),
        Err(found) => (found, true),
    };
    assert_eq!(refused, found.iter().any(Diagnostic::is_error), "a refusal has an error: {found:#?}");
    found.iter().map(ToString::to_string).collect()
}
