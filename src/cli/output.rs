//! Where a command writes, how it ends, and how a failure is worded.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

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
}

impl Console<'_> {
    /// A result for programs.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        Ok(writeln!(self.out, "{text}")?)
    }
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
    /// The findings were printed already.
    Shown(Exit),
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

    /// What is wrong, for a command that goes on without.
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Told { message, .. } => message,
            Self::Shown(_) => String::new(),
            Self::Output(error) => error.to_string(),
        }
    }

    /// Writes `error: ...` and `help: ...`.
    pub(super) fn tell(self, console: &mut Console<'_>) -> Exit {
        match self {
            Self::Told { exit, message, help } => {
                let told = write_part(console.err, ("error", BAD), &message).and_then(|()| match help.as_str() {
                    "" => Ok(()),
                    help => write_part(console.err, ("help", GOOD), help),
                });
                told.map_or(Exit::No, |()| exit)
            }
            Self::Shown(exit) => exit,
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
    let wrapped = human::wrap(text, WIDTH_COLUMNS - indent).join(&format!("\n{:indent$}", ""));
    writeln!(to, "{style}{word}{style:#}: {wrapped}")
}
