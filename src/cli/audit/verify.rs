//! `gatepost audit verify`: proves that the log is as it was written, or says what is wrong with it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::audit::keyfile;
use crate::audit::verify::{Expected, verify_segment, verify_with};
use crate::cli::output::{Console, Exit, Failure};

use super::arguments::Verify;
use super::{proof, reading, receipt};

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Verify,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if let Some(file) = &asked.receipt {
        return receipt::verify(file, asked.key, json, console);
    }
    let folder = super::folder(config, &asked.log)?;
    for file in &asked.checkpoints {
        readable(file).map_err(|error| {
            let message = format!("cannot read the checkpoints of {}: {error}", file.display());
            Failure::usage(message, "name a file of checkpoints, one line each, with --checkpoint FILE")
        })?;
    }
    let (expected, note) = expected(config, asked, &folder);
    let report = reading::under_progress(&folder, |_, progress| match asked.segment {
        None => verify_with(&folder, &expected, progress).map_err(Failure::from),
        Some(number) => verify_segment(&folder, number, &expected, progress)?.ok_or_else(|| {
            let message = format!("there is no segment {number:08} in {}", folder.display());
            Failure::new(Exit::No, message, "the names of its files begin with the numbers of the segments")
        }),
    })?;
    if json {
        console.json(&report)?;
    } else {
        write!(console.out, "{}", proof::page(&report, asked.segment, note.as_deref()))?;
    }
    // A daemon that has ever run left a signed checkpoint in the log: one without was emptied, or is none.
    Ok(if report.break_count == 0 && report.vouched.is_some() { Exit::Done } else { Exit::No })
}

/// What is known besides the log, and why it is not more.
fn expected(config: Option<&Path>, asked: &Verify, folder: &Path) -> (Expected, Option<String>) {
    let mut expected = Expected { pinned: asked.key, held: asked.checkpoints.clone(), current: None, seen: None };
    let main = super::main_file(config, folder);
    let Some(file) = main.map(|main| main.audit_key()) else { return (expected, None) };
    let mut note = None;
    match keyfile::public_key(&file) {
        Ok(key) => expected.current = key,
        Err(error) => note = Some(error.to_string()),
    }
    match keyfile::seen(&file) {
        Ok(Some(line)) => {
            let mut name = file.into_os_string();
            name.push(".seen");
            expected.seen = Some((name.into(), line));
        }
        Ok(None) => (),
        Err(error) => note = Some(note.unwrap_or_else(|| error.to_string())),
    }
    (expected, note)
}

/// A file of checkpoints that was named. What is no file, such as a pipe, may give what it has only once.
fn readable(file: &Path) -> io::Result<()> {
    let kind = fs::metadata(file)?;
    match () {
        () if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        () if kind.is_file() => File::open(file).map(drop),
        () => Ok(()),
    }
}
