//! Values by number in constant time. A number is used again once its value has left.

/// Values that are made room for at a time, so that growth copies nothing.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    vacant: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), vacant: Vec::new() }
    }

    /// Memory ends long before the numbers do.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.vacant.pop() {
            if let Some(slot) = self.slot(index) {
                *slot = Some(value);
            }
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let last = self.chunks.last_mut().map_or(0, |chunk| {
            chunk.push(Some(value));
            chunk.len() - 1
        });
        u32::try_from(full + last).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slot(index)?.as_mut()
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slot(index)?.take()?;
        self.vacant.push(index);
        Some(value)
    }

    fn slot(&mut self, index: u32) -> Option<&mut Option<T>> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_number_until_it_leaves_and_the_number_is_used_again() {
        let mut slab = Slab::new();
        let numbers: Vec<u32> = (0..1000_u32).map(|value| slab.insert(value)).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert_eq!((slab.get(999), slab.get(1000)), (Some(&999), None));
        assert_eq!((slab.remove(300), slab.remove(300), slab.get(300)), (Some(300), None, None));
        assert_eq!(slab.insert(7), 300);
        assert_eq!(slab.get_mut(300), Some(&mut 7));
    }
}
