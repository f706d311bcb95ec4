//! The policy cases beside the domain files: each that is answered otherwise is an error of the configuration.

use crate::cli::cases::attempt;
use crate::config::Config;
use crate::config::cases::{CaseKey, load_cases};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::model::time::Timestamp;

/// Failing cases that are told one by one.
const FAILURES_MAX: usize = 50;

/// What the cases have shown.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Cases that were put to the engine.
    pub(super) count: usize,
    pub(super) findings: Vec<Diagnostic>,
    /// Findings about cases that fail.
    pub(super) failures: usize,
}

pub(super) fn check(config: &Config, now: Timestamp) -> Checked {
    let (files, findings) = load_cases(config, std::slice::from_ref(&config.cases));
    let mut checked = Checked { findings, ..Checked::default() };
    let (mut failed, mut failures) = (0, Vec::new());
    for (file, case) in files.iter().flat_map(|file| file.cases.iter().map(move |case| (file, case))) {
        let tried = match attempt(config, file, case, now) {
            Ok(tried) => tried,
            Err(finding) => {
                checked.findings.push(*finding);
                continue;
            }
        };
        checked.count += 1;
        if tried.passes {
            continue;
        }
        failed += 1;
        if failed <= FAILURES_MAX {
            let message = format!("policy case fails: {}: got {}", case.title(), tried.got());
            let remedy = "gatepost policy test tells why".to_owned();
            failures.push(file.finding(case, CaseKey::Expect, (message, remedy)));
        }
    }
    if failed > FAILURES_MAX {
        failures.push(more(config, failed - FAILURES_MAX));
    }
    checked.failures = failures.len();
    checked.findings.append(&mut failures);
    checked
}

fn more(config: &Config, count: usize) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: config.cases.display().to_string(),
        line: 1,
        column: 1,
        key: String::new(),
        message: format!("{count} more policy cases fail"),
        remedy: "gatepost policy test tells all of them".to_owned(),
        excerpt: None,
    }
}
