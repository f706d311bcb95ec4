//! `gatepost policy test`: cases of the operator's, put to the engine, one line each.

use std::path::Path;

use serde_json::{Value, json};

use crate::clock;
use crate::config::cases::load_cases;
use crate::config::diagnostic::Diagnostic;
use crate::model::human::{self, count, cut, shown};

use super::arguments::Test;
use super::cases::{Tried, attempt};
use super::configuration;
use super::output::{BAD, Console, DIM, Exit, Failure, GOOD, WIDTH_COLUMNS};

/// `ok    ` and `FAIL  `.
const LABEL_COLUMNS: usize = 6;

pub(super) fn run(config: Option<&Path>, asked: &Test, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let config = configuration::require(config)?;
    let own = std::slice::from_ref(&config.cases);
    let paths = if asked.files.is_empty() { own } else { &asked.files };
    let (files, mut findings) = load_cases(&config, paths);
    let now = clock::timestamp();
    let cases = files.iter().flat_map(|file| file.cases.iter().map(move |case| (file, case)));
    let mut totals = Totals::default();
    let mut values = Vec::new();
    for (file, case) in cases {
        match attempt(&config, file, case, now) {
            Ok(tried) => {
                totals.add(&tried);
                if json {
                    values.push(tried.json());
                } else {
                    show(&tried, console)?;
                }
            }
            Err(finding) => findings.push(*finding),
        }
    }
    totals.unreadable = findings.len();
    if totals.is_empty() && !asked.files.is_empty() {
        let named: Vec<String> = asked.files.iter().map(|file| file.display().to_string()).collect();
        let help = "name files of [[case]] tables, or folders that hold some as *.toml";
        return Err(Failure::usage(format!("there is no case in {}", named.join(", ")), help));
    }
    if json {
        console.json(&report(&totals, values, &findings))?;
        return Ok(totals.exit());
    }
    configuration::show(&findings.iter().collect::<Vec<_>>(), console)?;
    if totals.is_empty() {
        writeln!(console.out, "no cases: write them to {}", config.cases.display())?;
    } else {
        writeln!(console.out, "{}", totals.line())?;
    }
    Ok(totals.exit())
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    passed: usize,
    failed: usize,
    /// Errors of files and cases that could not be put.
    unreadable: usize,
}

impl Totals {
    fn add(&mut self, tried: &Tried<'_>) {
        if tried.passes {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    const fn is_empty(&self) -> bool {
        self.passed + self.failed + self.unreadable == 0
    }

    const fn exit(&self) -> Exit {
        match self {
            Self { unreadable: 1.., .. } => Exit::Usage,
            Self { failed: 1.., .. } => Exit::No,
            _ => Exit::Done,
        }
    }

    /// `12 cases: all as expected`, or `12 cases: 11 ok, 1 FAIL, 2 errors`.
    fn line(&self) -> String {
        let cases = count(self.passed + self.failed, "case");
        if self.failed + self.unreadable == 0 {
            return format!("{GOOD}{cases}: all as expected{GOOD:#}");
        }
        let unreadable = match self.unreadable {
            0 => String::new(),
            errors => format!(", {}", human::count(errors, "error")),
        };
        format!("{BAD}{cases}: {} ok, {} FAIL{unreadable}{BAD:#}", self.passed, self.failed)
    }
}

fn show(tried: &Tried<'_>, console: &mut Console<'_>) -> Result<(), Failure> {
    let title = tried.case.title();
    let title = shown(&title);
    let title = cut(&title, WIDTH_COLUMNS - LABEL_COLUMNS);
    if tried.passes {
        return Ok(writeln!(console.out, "{GOOD}{:LABEL_COLUMNS$}{GOOD:#}{title}", "ok")?);
    }
    let blank = format!("{:LABEL_COLUMNS$}", "");
    writeln!(console.out, "{BAD}{:LABEL_COLUMNS$}{BAD:#}{title}", "FAIL")?;
    writeln!(console.out, "{blank}{}:{}", tried.file.name(), tried.file.line(tried.case))?;
    writeln!(console.out, "{blank}{DIM}expected{DIM:#}  {}", tried.expected())?;
    writeln!(console.out, "{blank}{DIM}got{DIM:#}       {}\n", tried.got())?;
    for line in tried.explanation() {
        writeln!(console.out, "{line}")?;
    }
    Ok(writeln!(console.out)?)
}

fn report(totals: &Totals, cases: Vec<Value>, errors: &[Diagnostic]) -> Value {
    json!({
        "ok": totals.exit() == Exit::Done,
        "passed": totals.passed,
        "failed": totals.failed,
        "cases": cases,
        "errors": errors,
    })
}

#[cfg(test)]
#[path = "policy_test_tests.rs"]
mod tests;
