//! Encodings of a notice: quoted-printable (RFC 2045), xtext (RFC 3461), `\x{..}` of addresses (RFC 6533).

/// RFC 2045 section 6.7, rule 5.
const QUOTED_LINE_BYTES_MAX: usize = 76;

/// Text with CRLF line ends as quoted-printable.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (line, end): (&[u8], &[u8]) = match line.strip_suffix(b"\r\n") {
            Some(stripped) => (stripped, b"\r\n"),
            None => (line, b""),
        };
        let mut column = 0;
        for (at, byte) in line.iter().enumerate() {
            let literal = match byte {
                b' ' | b'\t' => at + 1 < line.len(),
                b'=' => false,
                byte => byte.is_ascii_graphic(),
            };
            let width = if literal { 1 } else { 3 };
            if column + width >= QUOTED_LINE_BYTES_MAX {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            match literal {
                true => out.push(*byte),
                false => out.extend_from_slice(format!("={byte:02X}").as_bytes()),
            }
            column += width;
        }
        out.extend_from_slice(end);
    }
    out
}

/// RFC 3461 section 4: `+HH` stands for an octet. `None`: it is no xtext, or it hides control characters.
pub(super) fn xtext_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(hex_digit(bytes.next()?)? * 16 + hex_digit(bytes.next()?)?),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok().filter(|decoded| !decoded.chars().any(char::is_control))
}

/// RFC 6533 section 3: an address outside ASCII in ASCII.
pub(super) fn embedded(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for c in address.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => out.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    out
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
