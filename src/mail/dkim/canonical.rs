//! The forms of header and body that are hashed (RFC 6376 sections 3.4.2, 3.4.4 and 3.7).

/// A header field as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    name: &'a [u8],
    /// With its line ends.
    value: &'a [u8],
}

impl Field<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields, in order, and the body behind the empty line. `None`: there is no such line, or a line is no field.
pub(super) fn split(message: &[u8]) -> Option<(Vec<Field<'_>>, &[u8])> {
    let mut fields = Vec::new();
    let mut rest = message;
    loop {
        if let Some(body) = rest.strip_prefix(b"\r\n") {
            return Some((fields, body));
        }
        let (whole, behind) = rest.split_at_checked(field_len(rest)?)?;
        let colon = whole.iter().position(|byte| *byte == b':')?;
        let (name, value) = whole.split_at_checked(colon)?;
        fields.push(Field { name: name.trim_ascii_end(), value: value.get(1..)? });
        rest = behind;
    }
}

/// The octets of the first field, with the lines that continue it.
fn field_len(text: &[u8]) -> Option<usize> {
    let mut ends = text.windows(2).enumerate().filter(|(_, pair)| pair == b"\r\n").map(|(at, _)| at + 2);
    ends.find(|end| !matches!(text.get(*end), Some(b' ' | b'\t')))
}

/// What is signed: the named fields, of equal ones the last first, and the signature's own field, whose value lacks the
/// signature. A name without a field stands for nothing.
pub(super) fn signed_data(fields: &[Field<'_>], names: &[&str], signature: &str) -> Vec<u8> {
    let mut left: Vec<_> = fields.iter().collect();
    let mut data = Vec::new();
    for name in names {
        if let Some(at) = left.iter().rposition(|field| field.is(name)) {
            let field = left.remove(at);
            relaxed_field(field.name, field.value, &mut data);
            data.extend_from_slice(b"\r\n");
        }
    }
    relaxed_field(b"DKIM-Signature", signature.as_bytes(), &mut data);
    data
}

/// RFC 6376 section 3.4.2, without a line end.
fn relaxed_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.to_ascii_lowercase());
    out.push(b':');
    let words = value.split(|byte| b" \t\r\n".contains(byte)).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// RFC 6376 section 3.4.4: runs of white space are one space, none at the end of a line, no empty lines at the end of
/// the body. Lines of nothing but white space become empty first, so that they count as empty at the end.
pub(super) fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    // Octets up to the end of the last line that is not empty.
    let mut kept = 0;
    let mut rest = body;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap_or(rest.len());
        let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let before = out.len();
        relaxed_line(line, &mut out);
        let is_empty = out.len() == before;
        out.extend_from_slice(b"\r\n");
        if !is_empty {
            kept = out.len();
        }
        rest = behind.get(2..).unwrap_or_default();
    }
    out.truncate(kept);
    out
}

fn relaxed_line(line: &[u8], out: &mut Vec<u8>) {
    let mut space = false;
    for byte in line {
        match byte {
            b' ' | b'\t' => space = true,
            byte => {
                if space {
                    out.push(b' ');
                }
                space = false;
                out.push(*byte);
            }
        }
    }
}
