//! The content between 354 and its end: decoded, measured, and thrown away where it is void.

use crate::smtp::data::Decoder;

/// Content that is void is read to its end, so that the client learns why, but not for ever: this many times the
/// largest message, and [`OVERRUN_BYTES`] more.
const OVERRUN_FACTOR: u64 = 4;
const OVERRUN_BYTES: u64 = 1024 * 1024;

/// Why content is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Void {
    TooBig,
    BareLineEnd,
}

/// How content ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Void(Void),
    /// No end in sight.
    Overrun,
}

/// What a piece of input came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Octets of the piece that were used; less than all only with an `end`.
    pub(super) consumed: usize,
    /// Empty if the content is void.
    pub(super) content: Vec<u8>,
    /// Set once: the content has become void.
    pub(super) voided: Option<Void>,
    pub(super) end: Option<End>,
}

#[derive(Debug)]
pub(super) struct Receiving {
    decoder: Decoder,
    content_bytes_max: u64,
    content_bytes: u64,
    wire_bytes: u64,
    void: Option<Void>,
}

impl Receiving {
    pub(super) fn new(content_bytes_max: u64) -> Self {
        Self { decoder: Decoder::new(), content_bytes_max, content_bytes: 0, wire_bytes: 0, void: None }
    }

    /// Whether the driver still keeps what it was given.
    pub(super) fn is_void(&self) -> bool {
        self.void.is_some()
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) -> Received {
        let mut content = Vec::new();
        if self.void.is_none() {
            content.reserve(bytes.len());
        }
        let progress = self.decoder.decode(bytes, &mut content);
        self.wire_bytes = self.wire_bytes.saturating_add(octets(progress.consumed));
        self.content_bytes = self.content_bytes.saturating_add(octets(content.len()));
        let voided = self.check();
        if self.void.is_some() {
            content = Vec::new();
        }
        Received { consumed: progress.consumed, content, voided, end: self.end(progress.finished) }
    }

    fn check(&mut self) -> Option<Void> {
        if self.void.is_some() {
            return None;
        }
        if self.content_bytes > self.content_bytes_max {
            self.void = Some(Void::TooBig);
        } else if self.decoder.fault().is_some() {
            self.void = Some(Void::BareLineEnd);
        }
        if self.void.is_some() {
            self.decoder.discard();
        }
        self.void
    }

    fn end(&self, finished: bool) -> Option<End> {
        let wire_bytes_max = self.content_bytes_max.saturating_mul(OVERRUN_FACTOR).saturating_add(OVERRUN_BYTES);
        if self.void.is_some() && self.wire_bytes > wire_bytes_max {
            return Some(End::Overrun);
        }
        finished.then(|| self.void.map_or(End::Complete, End::Void))
    }
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
