//! A pass over the log under a progress bar, which shows itself only on a terminal.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::audit::lines::{Progress, total_bytes};
use crate::audit::log::LogError;
use crate::audit::segments::{Segment, segments};
use crate::cli::output::Failure;

/// Lists the segments of the log and reads them with `read`.
pub(super) fn under_progress<T>(
    folder: &Path,
    read: impl FnOnce(&[Segment], Progress<'_>) -> Result<T, LogError>,
) -> Result<T, Failure> {
    let segments = segments(folder).map_err(|error| super::unreadable(&error))?;
    let bar = ProgressBar::new(total_bytes(&segments));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    let done = read(&segments, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    done.map_err(|error| super::unreadable(&error))
}
