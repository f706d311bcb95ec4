//! What `audit verify` found as a page: what is wrong, what is proved, and what is not.

use crate::audit::verify::{Compared, Report, Vouched};
use crate::cli::output::{BAD, BOLD, GOOD, ODD, WIDTH_COLUMNS};
use crate::model::human::{count, second, shown, wrap};

const INDENT: &str = "  ";

/// Ends with a line end. `note` says why the key could not be compared with its file.
pub(super) fn page(report: &Report, segment: Option<u64>, note: Option<&str>) -> String {
    let mut page = Page::default();
    page.lines.push(headline(report, segment));
    page.findings(report);
    match &report.vouched {
        Some(vouched) if report.break_count == 0 => page.proved(report, vouched, segment),
        Some(vouched) => page.last_checkpoint(vouched),
        None => (),
    }
    page.not_proved(report, segment, note);
    page.lines.push(String::new());
    page.lines.join("\n")
}

fn headline(report: &Report, segment: Option<u64>) -> String {
    let records = count(report.records, "record");
    let (what, size) = match segment {
        Some(number) => (format!("Segment {number:08}"), records),
        None => ("The log".to_owned(), format!("{records} in {}", count(report.segments, "segment"))),
    };
    match (report.break_count, &report.vouched) {
        (0, Some(_)) => format!("{GOOD}{what} is whole{GOOD:#}: {size}."),
        (0, None) if report.records == 0 => {
            format!("{BAD}There is no record{BAD:#}: nothing can be proved ({size}).")
        }
        (0, None) => format!("{ODD}The chain is whole, but nothing is signed{ODD:#}: {size}."),
        (breaks, _) => format!("{BAD}{what} is broken{BAD:#}, {}: {size}.", count(breaks, "finding")),
    }
}

#[derive(Default)]
struct Page {
    lines: Vec<String>,
}

impl Page {
    fn tell(&mut self, text: &str) {
        let wrapped = wrap(&shown(text), WIDTH_COLUMNS - INDENT.len());
        self.lines.extend(wrapped.into_iter().map(|line| format!("{INDENT}{line}")));
    }

    fn title(&mut self, title: String) {
        self.lines.extend([String::new(), title]);
    }

    fn findings(&mut self, report: &Report) {
        // Many lines of one file may have the same said of them.
        for alike in report.breaks.chunk_by(|one, next| (&one.file, &one.what) == (&next.file, &next.what)) {
            let [at, ..] = alike else { continue };
            let place = match alike.last() {
                _ if at.line == 0 => String::new(),
                Some(last) if last.line > at.line => format!(":{} to {}", at.line, last.line),
                _ => format!(":{}", at.line),
            };
            let file = at.file.display().to_string();
            self.title(format!("{BOLD}{}{place}{BOLD:#}", shown(&file)));
            self.tell(&at.what);
        }
        let listed = u64::try_from(report.breaks.len()).unwrap_or(u64::MAX);
        if report.break_count > listed {
            self.lines.push(format!("… and {} more", report.break_count - listed));
        }
    }

    fn proved(&mut self, report: &Report, vouched: &Vouched, segment: Option<u64>) {
        self.title(format!("{GOOD}Proved{GOOD:#}"));
        if let Some(removed) = &report.removed
            && report.first > removed.first
        {
            self.tell(&format!(
                "Records {} to {}, up to {}, were removed because they were old enough; a signed tombstone says so.",
                removed.first,
                removed.last,
                second(removed.until)
            ));
        }
        let (first, last) = (report.first, vouched.seq);
        let by_itself = if segment.is_some() { " The segments before and behind it were not read." } else { "" };
        let whole = if first == last {
            format!("Record {last} is as it was written.")
        } else {
            let none = "none was changed, taken out, put in or moved";
            format!("Records {first} to {last} are as they were written: {none}.")
        };
        self.tell(&format!(
            "{whole} Checkpoint {last} of {}, {}, vouches for this.{by_itself} It is signed with",
            vouched.node,
            second(vouched.time)
        ));
        self.tell(&vouched.key.to_string());
        let rotated = report.known_since.as_ref().is_some_and(|since| since.key != vouched.key);
        match report.compared {
            Compared::Pinned if rotated => self.tell("to which the key that you named has led by signed replacement."),
            Compared::Pinned => self.tell("which is the key that you named."),
            Compared::File => self.tell("which is the key that the daemon's key file holds."),
            Compared::Nothing => (),
        }
        if let Some(newest) = &report.held.newest {
            self.tell(&format!(
                "Up to record {} of {} not even its own host can have changed the log since: {} held elsewhere {} in \
                 it byte for byte.",
                newest.seq,
                second(newest.time),
                count(report.held.confirmed, "checkpoint"),
                if report.held.confirmed == 1 { "stands" } else { "stand" }
            ));
        }
        if report.held.removed > 0 {
            self.tell(&format!(
                "{} held elsewhere {} of the part that was removed.",
                count(report.held.removed, "checkpoint"),
                if report.held.removed == 1 { "is" } else { "are" }
            ));
        }
    }

    fn last_checkpoint(&mut self, vouched: &Vouched) {
        self.title(format!("{BOLD}The last checkpoint{BOLD:#}"));
        self.tell(&format!("is record {} of {}, {}, signed with", vouched.seq, vouched.node, second(vouched.time)));
        self.tell(&vouched.key.to_string());
    }

    fn not_proved(&mut self, report: &Report, segment: Option<u64>, note: Option<&str>) {
        let is_whole = report.break_count == 0 && report.vouched.is_some();
        if report.records == 0 || !(is_whole || report.unfinished || report.vouched.is_none()) {
            return;
        }
        let mut open = Self::default();
        open.left_open(report, segment, note);
        if !open.lines.is_empty() {
            self.title(format!("{BOLD}Not proved{BOLD:#}"));
            self.lines.append(&mut open.lines);
        }
    }

    fn left_open(&mut self, report: &Report, segment: Option<u64>, note: Option<&str>) {
        if report.behind > 0 {
            let records = count(report.behind, "record");
            self.tell(&match report.vouched {
                Some(_) => format!("{records} behind that checkpoint: chained, but not signed yet."),
                None => format!("{records}: chained, but anybody can make such a chain."),
            });
        }
        if report.unfinished {
            self.tell(
                "The last line, which has no end: the daemon is writing it, or was killed while it did. A restart cuts \
                 it.",
            );
        }
        if report.vouched.is_none() {
            return;
        }
        if report.compared == Compared::Nothing {
            let why = note.map(|note| format!(" ({note})")).unwrap_or_default();
            self.tell(&format!(
                "That this is the right key: it was compared with nothing{why}. Keep what `gatepost audit key` shows \
                 on the day of installation elsewhere, and name it with --key."
            ));
        }
        if let Some(since) = report.known_since.as_ref().filter(|since| report.keys.first() != Some(&since.key)) {
            let whose = if report.compared == Compared::File { "in the key file" } else { "that you named" };
            self.tell(&format!(
                "That the records before {} are what was written then: other keys signed them. Checkpoint {}, the \
                 first by the key {whose}, shows that they were not changed since. To know more, name the oldest key \
                 that you kept with --key.",
                since.seq, since.seq
            ));
        }
        let held = report.held.newest.as_ref().map_or(0, |newest| newest.seq);
        if segment.is_none() && report.vouched.as_ref().is_some_and(|vouched| vouched.seq > held) {
            let from = if held > 0 { format!(", from record {} on", held + 1) } else { String::new() };
            self.tell(&format!(
                "That nobody wrote the log anew who has both it and its key{from}. Only a checkpoint held elsewhere \
                 shows that: --checkpoint FILE."
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Tip;
    use crate::audit::verify::{Finding, Held, Kind};
    use crate::model::time::Timestamp;

    fn whole() -> Report {
        let key = format!("ed25519:{}", "ab".repeat(32)).parse().unwrap();
        let time = Timestamp::from_secs(1_798_858_800);
        Report {
            segments: 3,
            records: 12_345,
            first: 1,
            tip: Tip { seq: 12_345, ..Tip::default() },
            checkpoints: 40,
            vouched: Some(Vouched { seq: 12_340, time, node: "mx1".into(), key }),
            behind: 5,
            keys: vec![key],
            ..Report::default()
        }
    }

    fn check(report: &Report, expected: &str) {
        let text = anstream::adapter::strip_str(&page(report, None, None)).to_string();
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH_COLUMNS));
    }

    #[test]
    fn a_whole_log_says_what_it_proves_and_what_not() {
        check(
            &whole(),
            "\
The log is whole: 12,345 records in 3 segments.

Proved
  Records 1 to 12340 are as they were written: none was changed, taken out, put
  in or moved. Checkpoint 12340 of mx1, 2027-01-02 03:00:00 UTC, vouches for
  this. It is signed with
  ed25519:abababababababababababababababababababababababababababababababab

Not proved
  5 records behind that checkpoint: chained, but not signed yet.
  That this is the right key: it was compared with nothing. Keep what `gatepost
  audit key` shows on the day of installation elsewhere, and name it with --key.
  That nobody wrote the log anew who has both it and its key. Only a checkpoint
  held elsewhere shows that: --checkpoint FILE.
",
        );
        let held = Held { confirmed: 7, newest: whole().vouched, removed: 0 };
        let report = Report { behind: 0, compared: Compared::Pinned, held, ..whole() };
        let text = page(&report, None, None);
        assert!(!text.contains("Not proved"), "{text}");
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("  which is the key that you named.\n  Up to record 12340 of 2027-01-02"), "{text}");
        assert!(text.contains("7 checkpoints held elsewhere stand in"), "{text}");
        let older = format!("ed25519:{}", "cd".repeat(32)).parse().unwrap();
        let keys = vec![older, whole().keys[0]];
        let report = Report { compared: Compared::Pinned, keys, known_since: whole().vouched, ..whole() };
        let text = page(&report, None, None).replace("\n  ", " ");
        assert!(text.contains("which is the key that you named."), "{text}");
        assert!(text.contains("That the records before 12340 are what was written then"), "{text}");
    }

    #[test]
    fn every_finding_stands_with_its_place() {
        let finding = Finding {
            kind: Kind::Missing,
            file: "/audit/00000001.jsonl".into(),
            line: 42,
            first: 42,
            last: 42,
            what: "Record 42 is missing: record 43 follows on record 41.".into(),
        };
        let held = |line| Finding { file: "/held".into(), line, what: "No checkpoint.".into(), ..finding.clone() };
        let report = Report { breaks: vec![finding.clone(), held(1), held(2)], break_count: 5, ..whole() };
        check(
            &report,
            "\
The log is broken, 5 findings: 12,345 records in 3 segments.

/audit/00000001.jsonl:42
  Record 42 is missing: record 43 follows on record 41.

/held:1 to 2
  No checkpoint.
… and 2 more

The last checkpoint
  is record 12340 of mx1, 2027-01-02 03:00:00 UTC, signed with
  ed25519:abababababababababababababababababababababababababababababababab
",
        );
    }

    #[test]
    fn what_is_empty_or_unsigned_proves_nothing() {
        check(&Report::default(), "There is no record: nothing can be proved (0 records in 0 segments).\n");
        let unsigned = Report { vouched: None, keys: Vec::new(), behind: 12_345, ..whole() };
        check(
            &unsigned,
            "\
The chain is whole, but nothing is signed: 12,345 records in 3 segments.

Not proved
  12,345 records: chained, but anybody can make such a chain.
",
        );
    }
}
