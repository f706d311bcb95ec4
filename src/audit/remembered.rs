//! What was found out once about a text, so that millions of records need not be looked into each. It is bounded by
//! bytes, since strangers choose many of the texts: beyond the bound all is forgotten and found out anew.

use std::collections::HashMap;

/// Bytes that one of these may hold.
const BYTES_MAX: usize = 8 << 20;
/// Bytes that an entry counts for besides its text.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
pub(super) struct Remembered<V> {
    known: HashMap<Box<[u8]>, V>,
    bytes: usize,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self { known: HashMap::new(), bytes: 0 }
    }
}

impl<V: Clone> Remembered<V> {
    pub(super) fn get(&self, text: &[u8]) -> Option<V> {
        self.known.get(text).cloned()
    }

    /// `value_bytes` is about what the value holds elsewhere.
    pub(super) fn insert(&mut self, text: &[u8], value: V, value_bytes: usize) {
        let bytes = text.len().saturating_add(value_bytes).saturating_add(ENTRY_BYTES);
        if self.bytes.saturating_add(bytes) > BYTES_MAX {
            self.known = HashMap::new();
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.known.insert(text.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_stays_within_its_bytes() {
        let mut remembered = Remembered::default();
        let long = |n: usize| format!("{n:04}").repeat(25_000).into_bytes();
        for n in 0..1000 {
            remembered.insert(&long(n), n, 100_000);
            assert_eq!(remembered.get(&long(n)), Some(n));
            assert!(remembered.known.len() * 200_000 <= BYTES_MAX);
        }
        assert_eq!(remembered.get(&long(0)), None);
    }
}
