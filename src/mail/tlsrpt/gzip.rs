//! A gzip file of one member (RFC 1952): without name and time, so that equal content gives equal bytes.

/// Of 10: reports are small and repeat themselves, and somebody stores them.
const LEVEL: u8 = 9;
/// Magic, DEFLATE, no flags, no time, made with the highest compression, on no system that matters.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];

/// Compresses, for mail and for a POST (RFC 8460 section 5.2).
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    out.extend_from_slice(&miniz_oxide::deflate::compress_to_vec(content, LEVEL));
    out.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    // The size modulo 2^32 (RFC 1952 section 2.3.1).
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_out_again_and_is_the_same_each_time() {
        for content in [&b""[..], b"x", &b"{\"policies\":[]}".repeat(5000)] {
            let file = gzip(content);
            assert_eq!(file, gzip(content));
            let (deflated, trailer) = file[HEADER.len()..].split_at(file.len() - HEADER.len() - 8);
            assert_eq!(miniz_oxide::inflate::decompress_to_vec(deflated).unwrap(), content);
            assert_eq!(trailer[4..], (content.len() as u32).to_le_bytes());
        }
    }
}
