//! Where a command writes, how it ends, and how a failure is worded.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::config::diagnostic::Diagnostic;
use crate::model::human;

/// The terminal that everything is laid out for.
pub(super) const WIDTH_COLUMNS: usize = 80;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const ODD: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Results go to `out`, what went wrong to `err`.
pub(super) struct Console<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
    /// Failures are told to programs: a line of JSON each.
    pub(super) json: bool,
}

impl<'a> Console<'a> {
    /// For people.
    pub(super) fn plain(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, json: false }
    }

    /// A result for programs.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        Ok(writeln!(self.out, "{text}")?)
    }

    /// What may help although nothing failed. Programs are told nothing.
    pub(super) fn hint(&mut self, text: &str) -> Result<(), Failure> {
        if !self.json {
            write_part(self.err, ("help", GOOD), text)?;
        }
        Ok(())
    }
}

const MEND_FINDINGS: &str = "mend what `findings` names; `gatepost check` tells whether all is well";

/// A failure for programs, in one line on stderr. Fields are added here, never renamed.
#[derive(Debug, Serialize)]
struct FailureReport<'a> {
    error: &'a str,
    /// What to do about it; may be empty.
    help: &'a str,
    /// The exit code.
    exit: u8,
    /// What is wrong with the configuration, if that is it.
    findings: &'a [Diagnostic],
}

/// The exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    /// The answer is "no".
    No,
    /// Wrong usage or configuration.
    Usage,
    /// The daemon or a destination could not be reached.
    Unreachable,
}

impl Exit {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command broke off.
#[derive(Debug)]
pub(super) enum Failure {
    Told {
        exit: Exit,
        message: String,
        /// What to do about it.
        help: String,
    },
    /// The configuration has these errors.
    Findings {
        errors: Vec<Diagnostic>,
        /// What cannot be done because of them.
        message: &'static str,
    },
    /// Nobody reads what the command says.
    Output(io::Error),
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Told { exit, message: message.into(), help: help.into() }
    }

    pub(super) fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message, help)
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Told { exit, .. } => *exit,
            Self::Findings { .. } => Exit::Usage,
            Self::Output(_) => Exit::No,
        }
    }

    /// What is wrong, for a command that goes on without.
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Told { message, .. } => message,
            Self::Findings { message, .. } => message.to_owned(),
            Self::Output(error) => error.to_string(),
        }
    }

    /// What programs are told; `None` where nobody reads.
    fn report(&self) -> Option<FailureReport<'_>> {
        Some(match self {
            Self::Told { exit, message, help } => {
                FailureReport { error: message, help, exit: exit.code(), findings: &[] }
            }
            Self::Findings { errors, message } => {
                FailureReport { error: message, help: MEND_FINDINGS, exit: Exit::Usage.code(), findings: errors }
            }
            Self::Output(_) => return None,
        })
    }

    /// Writes `error: ...` and `help: ...`, or the same as JSON.
    pub(super) fn tell(self, console: &mut Console<'_>) -> Exit {
        if let Some(report) = self.report().filter(|_| console.json) {
            let exit = self.exit();
            let written = serde_json::to_string(&report).map(|text| writeln!(console.err, "{text}"));
            return if matches!(written, Ok(Ok(()))) { exit } else { Exit::No };
        }
        match self {
            Self::Told { exit, message, help } => {
                let told = write_part(console.err, ("error", BAD), &message).and_then(|()| match help.as_str() {
                    "" => Ok(()),
                    help => write_part(console.err, ("help", GOOD), help),
                });
                told.map_or(Exit::No, |()| exit)
            }
            Self::Findings { errors, message } => {
                let told = errors.iter().try_for_each(|error| writeln!(console.err, "{}\n", error.render(true)));
                let summary = human::count(errors.len(), "error");
                let told = told.and_then(|()| writeln!(console.err, "{BAD}{summary}{BAD:#}: {message}"));
                told.map_or(Exit::No, |()| Exit::Usage)
            }
            // The reader has seen enough, as with `| head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(error) => {
                _ = writeln!(console.err, "error: the output cannot be written: {error}");
                Exit::No
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn write_part(to: &mut dyn Write, (word, style): (&str, Style), text: &str) -> io::Result<()> {
    let indent = word.len() + 2;
    let lines = text.lines().flat_map(|line| human::wrap(&human::shown(line), WIDTH_COLUMNS - indent));
    let wrapped = lines.collect::<Vec<_>>().join(&format!("\n{:indent$}", ""));
    writeln!(to, "{style}{word}{style:#}: {wrapped}")
}
