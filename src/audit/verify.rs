//! `audit verify`: walks the whole chain and says exactly where it breaks.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::chain::Tip;
use super::log::LogError;
use super::segments::{Segment, open_segment, segments};

/// Breaks that are listed; the rest is counted.
pub const BREAKS_MAX: usize = 1000;

/// One place where the chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakAt {
    pub file: PathBuf,
    /// Line in the file, from 1.
    pub line: u64,
    pub what: String,
}

/// What the walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub segments: u64,
    pub records: u64,
    /// The end of the chain: give it to somebody, and the log up to here cannot be changed unseen.
    pub tip: Tip,
    pub breaks: Vec<BreakAt>,
    /// All breaks, the unlisted ones too.
    pub break_count: u64,
    /// The last line has no end: the daemon is writing it, or was killed while it did. A restart cuts it.
    pub unfinished: bool,
}

impl Report {
    fn add(&mut self, file: &Path, line: u64, what: String) {
        self.break_count += 1;
        if self.breaks.len() < BREAKS_MAX {
            self.breaks.push(BreakAt { file: file.to_owned(), line, what });
        }
    }
}

/// Reads every segment of the folder once, in constant memory.
pub fn verify(folder: &Path) -> Result<Report, LogError> {
    verify_observed(folder, &mut |_| ())
}

/// The same, and tells `progress` the bytes of each line that was read.
pub fn verify_observed(folder: &Path, progress: &mut dyn FnMut(u64)) -> Result<Report, LogError> {
    let mut report = Report::default();
    let mut tip = Tip::default();
    let mut expected = None;
    for segment in segments(folder)? {
        let Segment { number, path, .. } = &segment;
        let number = *number;
        if expected.is_some_and(|expected| expected != number) {
            report.add(path, 0, format!("the segment before this one is missing: {number:08} follows on a gap"));
        }
        expected = Some(number + 1);
        report.segments += 1;
        verify_segment(&segment, &mut tip, &mut report, progress)?;
    }
    report.tip = tip;
    Ok(report)
}

fn verify_segment(
    segment: &Segment,
    tip: &mut Tip,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) -> Result<(), LogError> {
    let path = &segment.path;
    let mut reader = open_segment(segment)?;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(LogError::of(path))?;
        if read == 0 {
            break;
        }
        progress(read as u64);
        if line.pop() != Some(b'\n') {
            report.unfinished = true;
            break;
        }
        report.records += 1;
        if let Err(broken) = tip.follow(&line) {
            report.add(path, number, broken.to_string());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::audit::tests::scratch;
    use crate::model::id::RecordId;
    use crate::model::record::AuditEntry;
    use crate::model::time::Timestamp;

    fn log_of(count: u128) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = scratch(folder.path());
        for n in 1..=count {
            log.append(
                &AuditEntry { id: RecordId::from_u128(n), json: format!("{{\"n\":{n}}}").into() },
                Timestamp::default(),
            )
            .unwrap();
        }
        log.sync().unwrap();
        let path = folder.path().join("00000001.jsonl");
        (folder, path)
    }

    /// Edits the lines of a log of four records and checks where the walk finds breaks.
    fn check(edit: impl Fn(&mut Vec<String>), expected: &[u64], unfinished: bool) {
        let (folder, path) = log_of(4);
        let mut lines: Vec<String> =
            fs::read_to_string(&path).unwrap().lines().map(|line| format!("{line}\n")).collect();
        edit(&mut lines);
        fs::write(&path, lines.concat()).unwrap();
        let report = verify(folder.path()).unwrap();
        assert_eq!(report.breaks.iter().map(|at| at.line).collect::<Vec<_>>(), expected, "{report:?}");
        assert_eq!(report.unfinished, unfinished);
    }

    #[test]
    fn every_change_is_found_at_its_line() {
        check(|_| (), &[], false);
        check(|lines| lines[1] = lines[1].replace("\"n\":2", "\"n\":8"), &[3], false);
        check(|lines| _ = lines.remove(1), &[2], false);
        check(|lines| _ = lines.remove(0), &[1], false);
        check(|lines| lines.swap(1, 2), &[2, 3, 4], false);
        check(|lines| lines.insert(1, lines[0].clone()), &[2], false);
        check(|lines| lines[3].truncate(9), &[], true);
    }

    #[test]
    fn a_missing_segment_is_a_break() {
        let (folder, path) = log_of(2);
        fs::rename(&path, folder.path().join("00000003.jsonl")).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(verify(folder.path()).unwrap().break_count, 1);
    }
}
