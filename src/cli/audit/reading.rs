//! A pass over the log under a progress bar.

use std::path::Path;

use crate::audit::lines::Progress;
use crate::audit::log::LogError;
use crate::audit::segments::{Segment, segments};
use crate::cli::output::Failure;

/// Lists the segments of the log and reads them with `read`.
pub(super) fn under_progress<T>(
    folder: &Path,
    read: impl FnOnce(&[Segment], Progress<'_>) -> Result<T, LogError>,
) -> Result<T, Failure> {
    let bar = super::progress_bar(folder)?;
    let segments = segments(folder).map_err(|error| super::unreadable(&error))?;
    let done = read(&segments, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    done.map_err(|error| super::unreadable(&error))
}
