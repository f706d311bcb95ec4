//! Answers that go to a file instead of the output.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::cli::output::{Console, Failure, GOOD};
use crate::model::os_error;

/// As `Console::json` prints it.
pub(super) fn json_text(value: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(value).map_err(io::Error::from)? + "\n")
}

/// Prints an answer, or writes it to a file without what only a terminal understands and says so.
pub(super) fn give(out: Option<&Path>, text: &str, json: bool, console: &mut Console<'_>) -> Result<(), Failure> {
    let Some(out) = out else { return Ok(write!(console.out, "{text}")?) };
    write(out, &anstream::adapter::strip_str(text).to_string())?;
    match json {
        true => console.json(&json!({ "file": out })),
        false => Ok(writeln!(console.out, "{GOOD}Wrote{GOOD:#} {}.", out.display())?),
    }
}

/// For the eyes of the one who asked: the log tells who wrote to whom.
pub(super) fn write(out: &Path, text: &str) -> Result<(), Failure> {
    privately(out, text).map_err(|error| {
        Failure::usage(
            format!("cannot write {}: {}", out.display(), os_error::why(&error)),
            "name another file with --out FILE",
        )
    })
}

fn privately(out: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(out)?;
    // The file may have been there. What is no file, such as a terminal, stays as it is.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_read_what_is_written_whatever_stood_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("receipt.json");
        let mode = || std::fs::metadata(&out).unwrap().permissions().mode() & 0o777;
        write(&out, "{}").unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&out, Permissions::from_mode(0o644)).unwrap();
        write(&out, "[]").unwrap();
        assert_eq!((mode(), std::fs::read_to_string(&out).unwrap()), (0o600, "[]".to_owned()));
    }
}
