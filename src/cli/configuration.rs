//! The whole configuration for commands that need one, and where its file is.

use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::{self, Config};

use super::output::{Console, Failure};
use super::waiting::Waiting;

const DEFAULT_FILE: &str = "/etc/gatepost/gatepost.toml";
const MISSING_REMEDY: &str = "write one with `gatepost init DIR`, or name another with --config FILE";

/// The main file: what was asked for, else the system's.
pub(super) fn file(asked: Option<&Path>) -> PathBuf {
    asked.unwrap_or(Path::new(DEFAULT_FILE)).to_owned()
}

/// The main file, if it is there.
pub(super) fn existing(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let file = file(asked);
    if matches!(file.try_exists(), Ok(false)) { Err(missing(&file)) } else { Ok(file) }
}

/// Loads everything. A file that is not there is one finding with a remedy of its own.
pub(super) fn load(asked: Option<&Path>) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let file = file(asked);
    if matches!(file.try_exists(), Ok(false)) {
        return Err(vec![Diagnostic {
            severity: Severity::Error,
            file: file.display().to_string(),
            line: 1,
            column: 1,
            key: String::new(),
            message: "there is no such configuration file".to_owned(),
            remedy: MISSING_REMEDY.to_owned(),
            excerpt: None,
        }]);
    }
    let _waiting = Waiting::on("reading the configuration");
    config::load(&file)
}

/// The configuration, or all its errors on `err` and the end of the command. Warnings are left to `gatepost check`.
pub(super) fn require(asked: Option<&Path>) -> Result<Config, Failure> {
    match load(asked) {
        Ok((config, _)) => Ok(config),
        Err(findings) => {
            let errors = findings.into_iter().filter(Diagnostic::is_error).collect();
            Err(Failure::Findings { errors, message: "the configuration cannot be used" })
        }
    }
}

/// Every finding in its long form.
pub(super) fn show(findings: &[&Diagnostic], console: &mut Console<'_>) -> Result<(), Failure> {
    for finding in findings {
        writeln!(console.err, "{}\n", finding.render(true))?;
    }
    Ok(())
}

/// A missing file, for commands that look for one key only.
pub(super) fn missing(file: &Path) -> Failure {
    Failure::usage(format!("there is no configuration file {}", file.display()), MISSING_REMEDY)
}
