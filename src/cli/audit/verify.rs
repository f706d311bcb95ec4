//! `gatepost audit verify`: proves that the chain of records is whole, or says where it is not.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::audit::segments::segments;
use crate::audit::verify::{Report, verify_observed};
use crate::cli::arguments::Verify;
use crate::cli::human::{count, wrap};
use crate::cli::output::{BAD, BOLD, Console, Exit, Failure, GOOD, WIDTH_COLUMNS};

/// The bar moves after this many bytes.
const PROGRESS_STEP_BYTES: u64 = 1 << 20;
const INDENT: &str = "  ";

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Verify,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let folder = super::folder(config, asked.path.as_deref())?;
    let report = walk(&folder)?;
    if json {
        console.json(&report)?;
    } else {
        write!(console.out, "{}", page(&report))?;
    }
    // A daemon that has ever run left its start in the log: one that is empty was emptied.
    Ok(if report.break_count == 0 && report.records > 0 { Exit::Done } else { Exit::No })
}

/// Walks the log under a progress bar, which shows itself only on a terminal.
fn walk(folder: &Path) -> Result<Report, Failure> {
    let segments = segments(folder).map_err(|error| super::unreadable(&error))?;
    let total = segments.iter().filter_map(|segment| segment.path.metadata().ok()).map(|file| file.len()).sum();
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    let mut unseen = 0;
    let report = verify_observed(folder, &mut |bytes| {
        unseen += bytes;
        if unseen >= PROGRESS_STEP_BYTES {
            bar.inc(std::mem::take(&mut unseen));
        }
    });
    bar.finish_and_clear();
    report.map_err(|error| super::unreadable(&error))
}

/// Ends with a line end.
fn page(report: &Report) -> String {
    let size = format!("{} in {}", count(report.records, "record"), count(report.segments, "segment"));
    let mut page = match report.break_count {
        0 if report.records == 0 => vec![format!("{BAD}There is no record{BAD:#}: nothing can be proved ({size}).")],
        0 => vec![format!("{GOOD}The chain is whole{GOOD:#}: {size}.")],
        breaks => vec![format!("{BAD}The chain is broken{BAD:#} in {}: {size}.", count(breaks, "place"))],
    };
    for at in &report.breaks {
        let place = if at.line > 0 { format!(":{}", at.line) } else { String::new() };
        page.push(format!("{BOLD}{}{place}{BOLD:#}", at.file.display()));
        page.extend(wrap(&at.what, WIDTH_COLUMNS - INDENT.len()).into_iter().map(|line| format!("{INDENT}{line}")));
    }
    let listed = u64::try_from(report.breaks.len()).unwrap_or(u64::MAX);
    if report.break_count > listed {
        page.push(format!("… and {} more", report.break_count - listed));
    }
    if report.unfinished {
        let text = "The last line has no end: the daemon is writing it, or was killed while it did. \
                    A restart cuts it.";
        page.extend(wrap(text, WIDTH_COLUMNS));
    }
    if report.records > 0 {
        page.push(format!("Its tip is record {}, SHA-256", report.tip.seq));
        page.push(format!("{INDENT}{}", report.tip.hash));
        page.push("Whoever keeps this tip elsewhere can prove later that nothing before it changed.".to_owned());
    }
    page.push(String::new());
    page.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Tip;
    use crate::audit::verify::BreakAt;

    #[test]
    fn the_report_names_the_tip_and_every_break() {
        let tip = Tip { seq: 12_345, hash: "ab".repeat(32).parse().unwrap() };
        let whole = Report { segments: 3, records: 12_345, tip, ..Report::default() };
        let text = |report: &Report| anstream::adapter::strip_str(&page(report)).to_string();
        let expected = "\
The chain is whole: 12,345 records in 3 segments.
Its tip is record 12345, SHA-256
  abababababababababababababababababababababababababababababababab
Whoever keeps this tip elsewhere can prove later that nothing before it changed.
";
        assert_eq!(text(&whole), expected);
        let at = BreakAt { file: "/audit/00000001.jsonl".into(), line: 42, what: "record 42 is missing".into() };
        let broken = Report { breaks: vec![at], break_count: 3, unfinished: true, ..whole };
        let expected = "\
The chain is broken in 3 places: 12,345 records in 3 segments.
/audit/00000001.jsonl:42
  record 42 is missing
… and 2 more
The last line has no end: the daemon is writing it, or was killed while it did.
A restart cuts it.
Its tip is";
        assert!(text(&broken).starts_with(expected), "{}", text(&broken));
        let empty = "There is no record: nothing can be proved (0 records in 0 segments).\n";
        assert_eq!(text(&Report::default()), empty);
    }
}
