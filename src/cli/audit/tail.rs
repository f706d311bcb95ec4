//! `gatepost audit tail`: the last records in a line each, and those that come.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anstyle::Style;
use serde_json::Value;

use crate::audit::facts::domain_of;
use crate::audit::pass::Span;
use crate::audit::segments::segments;
use crate::audit::tail::{Filter, last};
use crate::cli::human::shown_json;
use crate::cli::near;
use crate::cli::output::{BAD, BOLD, Console, DIM, Exit, Failure, GOOD, ODD, WIDTH_COLUMNS};
use crate::cli::waiting::Waiting;
use crate::clock;
use crate::model::human::{cut, shown};
use crate::model::time::Timestamp;

use super::arguments::Tail;
use super::reading::{self, none};
use crate::audit::told::{list, text};

/// How long nothing is looked at while the log is followed.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const EVENT_COLUMNS: usize = 18;
const WHO_COLUMNS: usize = 22;
const TLS_COLUMNS: usize = 7;

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Tail,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let folder = super::folder(config, &asked.log)?;
    if segments(&folder)?.is_empty() {
        return Err(none(&folder));
    }
    let filter = Filter { event: asked.event.clone(), domain: asked.domain.clone() };
    let searching = Waiting::on("searching the log");
    let (lines, mut follower) = last(&folder, asked.count, &filter)?;
    drop(searching);
    let width = io::stdout().is_terminal().then_some(WIDTH_COLUMNS);
    let mut printer = Printer { json, width, day: String::new() };
    for line in &lines {
        printer.print(line, console)?;
    }
    if !asked.follow {
        if lines.is_empty() && asked.count > 0 {
            writeln!(console.err, "no such record is in {}", shown(&folder.display().to_string()))?;
            if let Some(domain) = asked.domain.as_ref().filter(|_| !json) {
                let always = Span { from: Timestamp::from_secs(0), until: clock::timestamp() };
                near::hint(&reading::near(config, &folder, (always, domain))?, console)?;
            }
        }
        return Ok(Exit::Done);
    }
    loop {
        console.out.flush()?;
        let (mut is_idle, mut printed) = (true, Ok(()));
        let polled = follower.poll(&mut |line| {
            if printed.is_ok() && filter.accepts(line) {
                printed = printer.print(line, console);
                is_idle = false;
            }
        });
        printed?;
        polled?;
        if is_idle {
            std::thread::park_timeout(POLL_INTERVAL);
        }
    }
}

struct Printer {
    json: bool,
    /// `None` in a file, where nothing is cut.
    width: Option<usize>,
    /// The day of the line before.
    day: String,
}

impl Printer {
    fn print(&mut self, line: &[u8], console: &mut Console<'_>) -> Result<(), Failure> {
        if self.json {
            // Bytes for a program are those of the log; people see none that could do something to the terminal.
            if self.width.is_some() {
                console.out.write_all(shown_json(line).as_bytes())?;
            } else {
                console.out.write_all(line)?;
            }
            return Ok(writeln!(console.out)?);
        }
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            return Ok(writeln!(console.out, "{BAD}a line that is no record{BAD:#}: see `gatepost audit verify`")?);
        };
        let time = text(&record, "/time").unwrap_or_default();
        let (day, clock) = time.split_once('T').unwrap_or(("?", "?"));
        if self.day != day {
            writeln!(console.out, "{DIM}{} UTC{DIM:#}", shown(day))?;
            day.clone_into(&mut self.day);
        }
        Ok(writeln!(console.out, "{}", row(&record, clock.get(..8).unwrap_or(clock), self.width))?)
    }
}

/// One record in one line.
fn row(record: &Value, clock: &str, width: Option<usize>) -> String {
    let event = text(record, "/event").unwrap_or("?");
    let (result, style) = result(record, event);
    let tls = text(record, "/tls/version").unwrap_or(if is_session(record) { "none" } else { "" });
    let who = who(record);
    let head = [(clock, 8), (event, EVENT_COLUMNS), (&who, WHO_COLUMNS), (tls, TLS_COLUMNS)];
    // What is about no mail and no peer has the room for its detail.
    let columns = if who.is_empty() { 2 } else { head.len() };
    let mut line = String::new();
    for (word, columns) in head.into_iter().take(columns) {
        let word = shown(word);
        let word = if width.is_some() { cut(&word, columns) } else { word };
        line.push_str(&format!("{word:columns$} "));
    }
    let result = shown(&result);
    let result = cut(&result, width.map_or(usize::MAX, |width| width.saturating_sub(line.chars().count())));
    if result.is_empty() { line.trim_end().to_owned() } else { format!("{line}{style}{result}{style:#}") }
}

/// Sender and recipient by their domains, else the client; empty where there is neither.
fn who(record: &Value) -> String {
    let Some(from) = text(record, "/from") else {
        return text(record, "/client/ip").unwrap_or_default().to_owned();
    };
    let from = if from.is_empty() { "<>" } else { domain_of(from) };
    match list(record, "/to").as_slice() {
        [] => from.to_owned(),
        [only] => format!("{from}>{}", domain_of(only)),
        [first, others @ ..] => format!("{from}>{}+{}", domain_of(first), others.len()),
    }
}

/// What came of it, in words that do not need their colour.
fn result(record: &Value, event: &str) -> (String, Style) {
    let reason = text(record, "/policy/reason").or_else(|| text(record, "/reason"));
    let reason = reason.or_else(|| text(record, "/handshake/reason"));
    let verdict = text(record, "/policy/verdict").unwrap_or_default();
    let with = |word: &str| match reason {
        Some(reason) if word.is_empty() => reason.to_owned(),
        Some(reason) => format!("{word}: {reason}"),
        None => word.to_owned(),
    };
    let detail = || {
        // An order of the operator tells its number in its own words.
        let count = record.pointer("/count").and_then(Value::as_u64).filter(|_| event != "queue.admin");
        let count = count.map(|count| format!("{count} "));
        let why = text(record, "/checkpoint/why").or_else(|| text(record, "/detail")).unwrap_or_default();
        count.unwrap_or_default() + why
    };
    match event {
        "inbound.accepted" if verdict == "would_refuse" => (with("would refuse"), ODD),
        "inbound.accepted" => (with("accept"), GOOD),
        "inbound.refused" if verdict == "defer" => (with("defer"), ODD),
        "inbound.refused" => (with(""), BAD),
        "inbound.handshake_failed" => (with("failed"), ODD),
        "outbound.delivered" => (text(record, "/requirement/tls").unwrap_or_default().to_owned(), GOOD),
        "outbound.deferred" | "outbound.rerouted" => (with(""), ODD),
        "outbound.bounced" => (with(""), BAD),
        "outbound.attempt" => (with(""), Style::new()),
        "audit.gap" | "learned.violation" | "path.interference" => (detail(), BAD),
        _ => (detail(), BOLD),
    }
}

fn is_session(record: &Value) -> bool {
    text(record, "/client/ip").is_some() || text(record, "/remote").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_written_as_it_is_in_the_log_but_on_a_terminal() {
        let line = "{\"from\":\"\u{202e}\"}";
        for (width, expected) in [(None, line), (Some(WIDTH_COLUMNS), "{\"from\":\"\\u202e\"}")] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut printer = Printer { json: true, width, day: String::new() };
            let printed = printer.print(line.as_bytes(), &mut Console::plain(&mut out, &mut err));
            assert!(printed.is_ok());
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
        }
    }

    #[test]
    fn a_record_fits_on_a_line_and_says_what_came_of_it() {
        let check = |record: &Value, expected: &str| {
            let line = anstream::adapter::strip_str(&row(record, "03:04:05", Some(WIDTH_COLUMNS))).to_string();
            assert_eq!(line, expected);
            assert!(line.chars().count() <= WIDTH_COLUMNS, "{line}");
        };
        check(
            &json!({"event": "inbound.refused", "client": {"ip": "203.0.113.5"}, "from": "a@p.example",
                    "to": ["b@bank.example"], "tls": {"version": "TLSv1.1"},
                    "policy": {"verdict": "refuse", "reason": "version-below-minimum"}}),
            "03:04:05 inbound.refused    p.example>bank.example TLSv1.1 version-below-minimum",
        );
        check(
            &json!({"event": "inbound.accepted", "client": {"ip": "203.0.113.5"}, "from": "",
                    "to": ["b@bank.example", "c@bank.example"], "tls": null, "policy": {"verdict": "accept"}}),
            "03:04:05 inbound.accepted   <>>bank.example+1      none    accept",
        );
        check(
            &json!({"event": "inbound.handshake_failed", "client": {"ip": "203.0.113.5"},
                    "handshake": {"reason": "no-shared-version"}}),
            "03:04:05 inbound.handshake… 203.0.113.5            none    failed: no-shared-ve…",
        );
        check(
            &json!({"event": "checkpoint", "node": "mx1", "checkpoint": {"why": "interval"}}),
            "03:04:05 checkpoint         interval",
        );
        check(
            &json!({"event": "queue.admin", "detail": "retry of all: ended, 3 deliveries changed", "count": 3}),
            "03:04:05 queue.admin        retry of all: ended, 3 deliveries changed",
        );
        check(&json!({"event": "queue.admin", "detail": "a\u{1b}[2J"}), "03:04:05 queue.admin        a\\u{1b}[2J");
    }
}
