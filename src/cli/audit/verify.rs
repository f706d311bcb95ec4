//! `gatepost audit verify`: proves that the log is as it was written, or says what is wrong with it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use crate::audit::keyfile;
use crate::audit::verify::{Expected, verify_segment, verify_with};
use crate::cli::output::{Console, Exit, Failure};
use crate::model::os_error;

use super::arguments::Verify;
use super::{proof, reading, receipt};

/// Of a file of checkpoints that is looked through, at a time.
const LINE_BYTES_MAX: u64 = 1 << 20;

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
            let message = format!("cannot read the checkpoints of {}: {}", file.display(), os_error::why(&error));
            Failure::usage(message, OF_CHECKPOINTS)
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
        if report.records == 0 {
            let help = "a log is a folder of files such as 00000001.jsonl, and has a signed checkpoint from its first \
                        line on; --path DIR names another";
            console.hint(help)?;
        }
    }
    // A daemon that has ever run left a signed checkpoint in the log: one without was emptied, or is none.
    Ok(if report.break_count == 0 && report.vouched.is_some() { Exit::Done } else { Exit::No })
}

const OF_CHECKPOINTS: &str =
    "name a file of lines that `gatepost audit checkpoint --line` printed with --checkpoint FILE";

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

/// A file without a word of checkpoints is another one than was meant, and says nothing of the log.
fn may_hold_checkpoints(text: &mut impl BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    while text.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        if memchr::memmem::find(&line, b"\"checkpoint\":").is_some() {
            return Ok(());
        }
        line.clear();
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "no checkpoint is in it"))
}

/// A file of checkpoints that was named. What is no file, such as a pipe, may give what it has only once.
fn readable(file: &Path) -> io::Result<()> {
    let kind = fs::metadata(file)?;
    match () {
        () if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        () if kind.is_file() => File::open(file).and_then(|file| may_hold_checkpoints(&mut BufReader::new(file))),
        () => Ok(()),
    }
}
