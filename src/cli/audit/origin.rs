//! What a page about the log rests on: whose log it is, what of it was read, and the newest checkpoint in it.

use std::path::Path;

use crate::audit::checkpoint::Checkpoint;
use crate::audit::lines::since;
use crate::audit::log::LogError;
use crate::audit::pass::Span;
use crate::audit::segments::segments;
use crate::audit::tail::{Filter, last};
use crate::model::time::Timestamp;

/// Read before the records are, so that they reach at least as far.
#[derive(Debug)]
pub(super) struct Origin {
    /// As the configuration of this log has it.
    pub(super) host: Option<String>,
    /// Numbers of the segments in which records of the span can stand.
    pub(super) segments: Vec<u64>,
    /// The newest one. Nobody looked at its signature.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) at: Timestamp,
}

impl Origin {
    pub(super) fn read(config: Option<&Path>, folder: &Path, span: Span, at: Timestamp) -> Result<Self, LogError> {
        let found = segments(folder)?;
        let read = since(&found, span.from)?;
        let checkpoints = Filter { event: Some("checkpoint".to_owned()), domain: None };
        let (lines, _) = last(folder, 1, &checkpoints)?;
        Ok(Self {
            host: super::main_file(config, folder).and_then(|main| main.hostname()),
            segments: read.iter().map(|segment| segment.number).collect(),
            checkpoint: lines.first().and_then(|line| Checkpoint::parse(line)),
            at,
        })
    }
}
