//! A pass over the log under a progress bar, and what it left open.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::audit::lines::{Progress, total_bytes};
use crate::audit::log::LogError;
use crate::audit::pass::{Met, Span, pass};
use crate::audit::segments::{Segment, segments};
use crate::cli::near;
use crate::cli::output::Failure;
use crate::model::domain::Domain;
use crate::model::human::{count, moment};
use crate::model::near_domain::NearDomain;
use crate::model::os_error;
use crate::model::time::Timestamp;

/// Reads the segments of the log with `read`, under a bar that shows itself only on a terminal.
pub(super) fn under_progress<T, E: Into<Failure>>(
    folder: &Path,
    read: impl FnOnce(&[Segment], Progress<'_>) -> Result<T, E>,
) -> Result<T, Failure> {
    let segments = segments(folder)?;
    let bar = ProgressBar::new(total_bytes(&segments));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    let done = read(&segments, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    done.map_err(Into::into)
}

/// The same for questions about the records: a folder without any is none of a log.
pub(super) fn records<T, E: Into<Failure>>(
    folder: &Path,
    read: impl FnOnce(&[Segment], Progress<'_>) -> Result<T, E>,
) -> Result<T, Failure> {
    under_progress(folder, |segments, progress| {
        if segments.is_empty() {
            return Err(none(folder));
        }
        read(segments, progress).map_err(Into::into)
    })
}

/// What is near to a domain of which the log says nothing in a span: from the configuration, and from the log.
pub(super) fn near(
    config: Option<&Path>,
    folder: &Path,
    (span, domain): (Span, &Domain),
) -> Result<NearDomain, Failure> {
    let (mut found, _) =
        records(folder, |segments, progress| pass(segments, span, || NearDomain::to(domain.clone()), progress))?;
    found.absorb(near::known(config, domain));
    Ok(found)
}

/// A folder without a segment.
pub(super) fn none(folder: &Path) -> Failure {
    let message = format!("there is no audit log in {}", folder.display());
    Failure::usage(message, "name the folder of the log with --path DIR; the daemon begins it at its first start")
}

impl From<LogError> for Failure {
    fn from(LogError { path, source }: LogError) -> Self {
        use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        let help = match source.kind() {
            NotFound | NotADirectory => {
                "name the folder of the log with --path DIR; the daemon begins it at its first start"
            }
            PermissionDenied => "read the log as root or as the account that it belongs to",
            _ => "`gatepost audit verify` says what is wrong with the log",
        };
        Self::usage(format!("cannot read the audit log {}: {}", path.display(), os_error::why(&source)), help)
    }
}

/// What the answer to a question from `from` on could not take in.
pub(super) fn left_open(met: &Met, from: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    if met.unrecorded > 0 {
        let refusals = count(met.unrecorded, "refusal");
        notes.push(format!("{refusals} in this time have no record of their own and are in no number here."));
    }
    if met.unreadable > 0 {
        let unreadable = count(met.unreadable, "line");
        notes.push(format!("{unreadable} of the log could not be read: see `gatepost audit verify`."));
    }
    if let Some(begins) = met.begins.as_deref().filter(|begins| *begins > from.to_string().as_str()) {
        notes.push(format!("The log begins at {} UTC.", moment(begins).get(..19).unwrap_or(begins)));
    }
    notes
}
