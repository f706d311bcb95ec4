//! Reads the vectors of TLS (RFC 8446 section 3.4) from the front of a slice.

/// What is left to read. After a `None` nothing is said of what is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let (pair, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*pair))
    }

    /// A vector with its length in one byte before it.
    pub(super) fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// A vector with its length in two bytes before it.
    pub(super) fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

/// Reads the whole of `bytes`: what `read` leaves makes it `None`.
pub(super) fn whole<'a, T>(bytes: &'a [u8], read: impl FnOnce(&mut Bytes<'a>) -> Option<T>) -> Option<T> {
    let mut bytes = Bytes::new(bytes);
    let value = read(&mut bytes)?;
    bytes.is_empty().then_some(value)
}

/// Reads items up to the end of `bytes`, at least one.
pub(super) fn items<'a, T>(bytes: &'a [u8], read: impl Fn(&mut Bytes<'a>) -> Option<T>) -> Option<Vec<T>> {
    if bytes.is_empty() {
        return None;
    }
    let mut bytes = Bytes::new(bytes);
    let mut items = Vec::new();
    while !bytes.is_empty() {
        items.push(read(&mut bytes)?);
    }
    Some(items)
}

/// Numbers of two bytes, at least one.
pub(super) fn numbers(bytes: &[u8]) -> Option<Vec<u16>> {
    items(bytes, Bytes::u16)
}

/// A vector that must have content.
pub(super) fn filled(vector: Option<&[u8]>) -> Option<&[u8]> {
    vector.filter(|content| !content.is_empty())
}
