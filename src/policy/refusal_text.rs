//! The text of a refusal: what was negotiated, what is required, where to read more, and the id of the record.

use std::fmt;
use std::sync::Arc;

/// Octets of one reply behind its codes: RFC 5321 section 4.5.3.1.5, with `554 5.7.10 ` and the line end.
pub const REFUSAL_BYTES_MAX: usize = 512 - 11 - 2;
/// Octets of a configured text, so that there is room for what is put in.
pub const TEMPLATE_BYTES_MAX: usize = 300;
/// Octets of a configured URL.
pub const URL_BYTES_MAX: usize = 200;

/// What a text without a template says.
const BUILT_IN: &str = "Encryption needed: {domain} requires {required}; {negotiated}";
/// Stands for a name that is too long for its line.
const SOME_DOMAIN: &str = "this domain";

/// A text of the operator's with places for what differs from session to session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalText {
    written: Arc<str>,
    pieces: Arc<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Place(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Domain,
    Required,
    Negotiated,
    Url,
    Id,
}

impl Place {
    const ALL: [(&'static str, Self); 5] = [
        ("domain", Self::Domain),
        ("required", Self::Required),
        ("negotiated", Self::Negotiated),
        ("url", Self::Url),
        ("id", Self::Id),
    ];
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusalTextError {
    #[error("the text is empty")]
    Empty,
    #[error("the text has more than {TEMPLATE_BYTES_MAX} octets")]
    TooLong,
    #[error("a reply has printable ASCII only")]
    NotPrintable,
    #[error("no place is named {{{0}}}: there are {{domain}}, {{required}}, {{negotiated}}, {{url}} and {{id}}")]
    UnknownPlace(String),
    #[error("a brace has no partner: a brace itself is written twice")]
    Brace,
}

/// What is put into the places.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    pub domain: &'a str,
    pub required: &'a str,
    pub negotiated: &'a str,
    pub url: Option<&'a str>,
    pub id: &'a str,
}

impl RefusalText {
    pub fn parse(text: &str) -> Result<Self, RefusalTextError> {
        if text.trim().is_empty() {
            return Err(RefusalTextError::Empty);
        }
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(RefusalTextError::TooLong);
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(RefusalTextError::NotPrintable);
        }
        Ok(Self { written: text.into(), pieces: pieces(text)?.into() })
    }

    /// Whether the text says itself where to read more.
    pub fn names_url(&self) -> bool {
        self.has(Place::Url)
    }

    fn has(&self, place: Place) -> bool {
        self.pieces.contains(&Piece::Place(place))
    }
}

/// As it was written.
impl fmt::Display for RefusalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, RefusalTextError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.peek() == Some(&c) => literal.extend(rest.next()),
            '{' => {
                let mut name = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some(c) if c != '{' => name.push(c),
                        _ => return Err(RefusalTextError::Brace),
                    }
                }
                let place = Place::ALL.iter().find(|(word, _)| *word == name).map(|(_, place)| *place);
                pieces.extend((!literal.is_empty()).then(|| Piece::Literal(std::mem::take(&mut literal))));
                pieces.push(Piece::Place(place.ok_or(RefusalTextError::UnknownPlace(name))?));
            }
            '}' => return Err(RefusalTextError::Brace),
            c => literal.push(c),
        }
    }
    pieces.extend((!literal.is_empty()).then_some(Piece::Literal(literal)));
    Ok(pieces)
}

/// The text with everything put in: at most [`REFUSAL_BYTES_MAX`] octets, always with the id. `None`: the built-in one.
pub fn render(text: Option<&RefusalText>, filling: &Filling<'_>) -> String {
    let built_in;
    let text = match text {
        Some(text) => text,
        None => {
            // The constant parses; a test looks.
            built_in = RefusalText { written: BUILT_IN.into(), pieces: pieces(BUILT_IN).unwrap_or_default().into() };
            &built_in
        }
    };
    let mut tail = match filling.url {
        Some(url) if !text.names_url() => format!("; see {url}"),
        _ => String::new(),
    };
    if !text.has(Place::Id) {
        tail.push_str("; id=");
        tail.push_str(filling.id);
    }
    let whole = filled(text, filling) + &tail;
    if whole.len() <= REFUSAL_BYTES_MAX {
        return whole;
    }
    let short = filled(text, &Filling { domain: SOME_DOMAIN, ..*filling }) + &tail;
    if short.len() <= REFUSAL_BYTES_MAX {
        return short;
    }
    let end = format!("; id={}", filling.id);
    let cut = short.chars().take(REFUSAL_BYTES_MAX.saturating_sub(end.len())).collect::<String>();
    cut + &end
}

fn filled(text: &RefusalText, filling: &Filling<'_>) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(literal) => literal.clone(),
        Piece::Place(Place::Domain) => filling.domain.to_owned(),
        Piece::Place(Place::Required) => filling.required.to_owned(),
        Piece::Place(Place::Negotiated) => filling.negotiated.to_owned(),
        Piece::Place(Place::Url) => filling.url.unwrap_or_default().to_owned(),
        Piece::Place(Place::Id) => filling.id.to_owned(),
    };
    text.pieces.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01KY0000000000000000000000";

    fn filling<'a>(domain: &'a str, url: Option<&'a str>) -> Filling<'a> {
        Filling { domain, required: "TLSv1.2 or later", negotiated: "this session is not encrypted", url, id: ID }
    }

    #[test]
    fn texts_are_filled_and_always_end_with_what_helps() {
        let url = Some("https://x.example/tls");
        for (text, url, expected) in [
            (
                None,
                None,
                "Encryption needed: b.example requires TLSv1.2 or later; this session is not encrypted; id=ID",
            ),
            (
                None,
                url,
                "Encryption needed: b.example requires TLSv1.2 or later; this session is not encrypted; \
                 see https://x.example/tls; id=ID",
            ),
            (Some("Sorry ({id}): {required}, {url}"), url, "Sorry (ID): TLSv1.2 or later, https://x.example/tls"),
            (Some("No {{{domain}}}"), url, "No {b.example}; see https://x.example/tls; id=ID"),
            (Some("{negotiated}"), None, "this session is not encrypted; id=ID"),
        ] {
            let text = text.map(|text| RefusalText::parse(text).unwrap());
            let seen = render(text.as_ref(), &filling("b.example", url)).replace(ID, "ID");
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn no_text_is_longer_than_its_line_and_each_has_the_id() {
        let name = format!("{}.example", "a".repeat(240));
        let (url, long) = ("u".repeat(URL_BYTES_MAX), "x".repeat(TEMPLATE_BYTES_MAX));
        let greedy = "{domain}{required}{negotiated}{url}".repeat(8);
        for text in [None, Some(long.as_str()), Some(&greedy), Some("{domain} {domain} {domain}")] {
            let text = text.map(|text| RefusalText::parse(text).unwrap());
            let seen = render(text.as_ref(), &filling(&name, Some(&url)));
            assert!(seen.len() <= REFUSAL_BYTES_MAX && seen.contains(ID), "{seen}");
        }
    }

    #[test]
    fn what_cannot_be_a_reply_is_an_error() {
        for (text, expected) in [
            ("  ", RefusalTextError::Empty),
            ("a\r\n250 ok", RefusalTextError::NotPrintable),
            ("Verschl\u{fc}sselung", RefusalTextError::NotPrintable),
            ("{helo}", RefusalTextError::UnknownPlace("helo".to_owned())),
            ("{id", RefusalTextError::Brace),
            ("id}", RefusalTextError::Brace),
            (&"x".repeat(TEMPLATE_BYTES_MAX + 1), RefusalTextError::TooLong),
        ] {
            assert_eq!(RefusalText::parse(text), Err(expected), "{text}");
        }
    }
}
