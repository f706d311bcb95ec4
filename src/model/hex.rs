//! Lower-case hexadecimal digits: the one spelling of hashes, keys and signatures.

use std::fmt;

/// Bytes that are spelled at a time.
const CHUNK_BYTES: usize = 32;

/// Two digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    // Writing to a text does not fail.
    _ = write(&mut text, bytes);
    text
}

/// The same behind what is there.
///
/// # Errors
/// As `out`.
pub fn write(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.chunks(CHUNK_BYTES) {
        let mut digits = [0; 2 * CHUNK_BYTES];
        for ([high, low], byte) in digits.as_chunks_mut().0.iter_mut().zip(chunk) {
            (*high, *low) = (letter(byte >> 4), letter(byte & 15));
        }
        let written = digits.get(..2 * chunk.len()).and_then(|digits| str::from_utf8(digits).ok());
        out.write_str(written.unwrap_or_default())?;
    }
    Ok(())
}

/// Exactly `N` bytes; capital letters are refused, so that a value has one spelling only.
pub fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// `digit` is below 16.
const fn letter(digit: u8) -> u8 {
    match digit {
        0..=9 => b'0' + digit,
        _ => b'a' + digit - 10,
    }
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_spelling() {
        assert_eq!(encode(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(decode(b"001fff"), Some([0, 0x1f, 0xff]));
        for text in ["001FFF", "001ff", "001fff0", "001ff ", "+01fff", ""] {
            assert_eq!(decode::<3>(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_byte_at_every_place_reads_back() {
        let bytes: [u8; 256] = std::array::from_fn(|n| u8::try_from(n).unwrap());
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1] {
            assert_eq!(encode(&bytes[..length]).len(), 2 * length);
        }
        assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
    }
}
