//! Follows the batch sequence over all segments and names what is missing from it.

use super::recover::Damage;

#[derive(Debug)]
pub(super) struct Chain {
    expected: u64,
    /// Damage, by its place in the list, that has lost batches not yet known.
    suspects: Vec<usize>,
}

impl Default for Chain {
    fn default() -> Self {
        Self { expected: 1, suspects: Vec::new() }
    }
}

impl Chain {
    /// The sequence that comes next.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// The journal begins behind `last`: all before it was removed.
    pub(super) fn begin_after(&mut self, last: u64) {
        self.expected = last.saturating_add(1);
    }

    /// `sequence` was read or is known to be removed.
    pub(super) fn pass(&mut self, sequence: u64) {
        self.expected = self.expected.max(sequence.saturating_add(1));
    }

    /// The damage at this place of the list explains the next gap.
    pub(super) fn suspect(&mut self, damage: usize) {
        self.suspects.push(damage);
    }

    /// The journal goes on at `sequence`: what lies before it and was not seen is lost to the suspects, or `missing`.
    pub(super) fn reach(&mut self, sequence: u64, missing: Damage, list: &mut Vec<Damage>) {
        let suspects = std::mem::take(&mut self.suspects);
        if sequence <= self.expected {
            return;
        }
        let lost = self.expected..=sequence.saturating_sub(1);
        self.expected = sequence;
        if suspects.is_empty() {
            list.push(Damage { sequences: Some(lost), ..missing });
            return;
        }
        for suspect in suspects {
            if let Some(damage) = list.get_mut(suspect) {
                damage.sequences = Some(lost.clone());
            }
        }
    }
}
