//! `gatepost audit verify`: proves that the log is as it was written, or says what is wrong with it.

use std::path::Path;

use crate::audit::keyfile;
use crate::audit::verify::{Expected, Report, verify_segment, verify_with};
use crate::cli::output::{Console, Exit, Failure};

use super::arguments::Verify;
use super::{proof, receipt};

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Verify,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if let Some(file) = &asked.receipt {
        return receipt::verify(file, asked.key, json, console);
    }
    let folder = super::folder(config, asked.log.path.as_deref())?;
    let (expected, note) = expected(config, asked, &folder);
    let report = read(&folder, asked.segment, &expected)?;
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
    let Some(file) = super::key_file(config, folder) else { return (expected, None) };
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

fn read(folder: &Path, segment: Option<u64>, expected: &Expected) -> Result<Report, Failure> {
    let bar = super::progress_bar(folder)?;
    let progress = |bytes| bar.inc(bytes);
    let report = match segment {
        None => verify_with(folder, expected, &progress).map(Some),
        Some(number) => verify_segment(folder, number, expected, &progress),
    };
    bar.finish_and_clear();
    report.map_err(|error| super::unreadable(&error))?.ok_or_else(|| {
        let number = segment.unwrap_or(0);
        Failure::new(Exit::No, format!("there is no segment {number:08} in {}", folder.display()), "")
    })
}
