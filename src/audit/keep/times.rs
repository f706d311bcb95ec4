//! What retention reads of segments: where they begin and end, and the times of their lines.

use std::io::BufRead;

use serde::Deserialize;

use crate::audit::chain::{Hash, Link};
use crate::audit::lines::time_of;
use crate::audit::log::LogError;
use crate::audit::reading::Reading;
use crate::audit::resume::LINE_BYTES_MAX;
use crate::audit::retention::Ends;
use crate::audit::segments::{self, Segment};
use crate::journal::filesystem::FileSystem;
use crate::model::time::Timestamp;

use super::KeepError;

/// Reads a whole segment for its first and its last line.
pub(super) fn ends(fs: &dyn FileSystem, segment: &Segment) -> Result<Ends, KeepError> {
    #[derive(Deserialize)]
    struct Time {
        time: Timestamp,
    }
    let path = &segment.path;
    let no_ends = || KeepError::NoEnds { path: path.clone() };
    let mut reader = open(fs, segment)?;
    let (mut first, mut last, mut line) = (None, Vec::new(), Vec::new());
    while let Some(is_whole) =
        segments::read_line(&mut reader, &mut line, LINE_BYTES_MAX).map_err(LogError::of(path))?
    {
        if !is_whole {
            return Err(no_ends());
        }
        if first.is_none() {
            first = Some(Link::parse(&line).ok_or_else(no_ends)?.seq);
        }
        std::mem::swap(&mut last, &mut line);
    }
    let end = Link::parse(&last).zip(serde_json::from_slice::<Time>(&last).ok());
    let ((Link { seq, .. }, Time { time }), first) = end.zip(first).ok_or_else(no_ends)?;
    Ok(Ends { number: segment.number, first, last: seq, hash: Hash::of(&last), until: time })
}

/// The newest time up to `until` in the newest of these segments that begins by then. One that cannot be read is
/// passed over.
pub(super) fn newest_up_to(fs: &dyn FileSystem, segments: &[Segment], until: Timestamp) -> Option<Timestamp> {
    segments.iter().rev().find_map(|segment| {
        let mut reader = open(fs, segment).ok()?;
        let mut line = Vec::new();
        let mut times = std::iter::from_fn(|| {
            let is_whole = segments::read_line(&mut reader, &mut line, LINE_BYTES_MAX).ok()??;
            is_whole.then(|| time_of(&line))
        });
        let first = times.next()?.filter(|first| *first <= until)?;
        Some(times.flatten().filter(|time| *time <= until).fold(first, Timestamp::max))
    })
}

fn open(fs: &dyn FileSystem, segment: &Segment) -> Result<Box<dyn BufRead + Send>, LogError> {
    let file = Reading::open(fs, &segment.path).map_err(LogError::of(&segment.path))?;
    segments::reader(segment, file)
}
