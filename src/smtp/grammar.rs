//! Paths and parameters of MAIL and RCPT, as text (RFC 5321 section 4.1.2, RFC 3461 section 4).

use crate::model::address::{Address, AddressError, Charset, ReversePath};
use crate::model::domain::Domain;

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("an address stands in angle brackets")]
    Brackets,
    #[error("a source route has the form @a.example,@b.example:")]
    Route,
    #[error("there is no address in the brackets")]
    Empty,
    #[error("{0}")]
    Address(#[from] AddressError),
}

/// What RCPT names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain (RFC 5321 section 4.5.1).
    Postmaster,
    Mailbox(Address),
}

/// The path at the start of `text`, and what follows it. Characters outside ASCII are let through.
pub fn reverse_path(text: &str) -> Result<(ReversePath, &str), PathError> {
    let (inner, rest) = split_path(text)?;
    if inner.is_empty() {
        return Ok((ReversePath::Null, rest));
    }
    let mailbox = Address::parse(without_route(inner)?, Charset::Utf8)?;
    Ok((ReversePath::Mailbox(mailbox), rest))
}

/// The path at the start of `text`, and what follows it. Characters outside ASCII are let through.
pub fn forward_path(text: &str) -> Result<(ForwardPath, &str), PathError> {
    let (inner, rest) = split_path(text)?;
    if inner.is_empty() {
        return Err(PathError::Empty);
    }
    if inner.eq_ignore_ascii_case("postmaster") {
        return Ok((ForwardPath::Postmaster, rest));
    }
    let mailbox = Address::parse(without_route(inner)?, Charset::Utf8)?;
    Ok((ForwardPath::Mailbox(mailbox), rest))
}

/// What stands in the brackets, and what follows them. A bracket in a quoted local part does not count.
fn split_path(text: &str) -> Result<(&str, &str), PathError> {
    let text = text.strip_prefix('<').ok_or(PathError::Brackets)?;
    let mut quoted = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                bytes.next();
            }
            b'>' if !quoted => {
                let rest = text.get(at + 1..).unwrap_or_default();
                let ends = rest.is_empty() || rest.starts_with(' ');
                return text.get(..at).filter(|_| ends).map(|inner| (inner, rest)).ok_or(PathError::Brackets);
            }
            _ => {}
        }
    }
    Err(PathError::Brackets)
}

/// RFC 5321 section 4.1.1.3: a source route must be accepted, should be ignored.
fn without_route(inner: &str) -> Result<&str, PathError> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, mailbox) = inner.split_once(':').ok_or(PathError::Route)?;
    let valid = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(|name| Domain::parse(name).is_ok()));
    if valid { Ok(mailbox) } else { Err(PathError::Route) }
}

/// One `keyword[=value]` of MAIL, RCPT (RFC 5321 section 4.1.2, `esmtp-param`; RFC 6531 section 3.3 for the value).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EsmtpParameter<'a> {
    pub keyword: &'a str,
    pub value: Option<&'a str>,
}

/// The parameters behind a path; `None` stands for one that is malformed.
pub fn parameters(rest: &str) -> impl Iterator<Item = Option<EsmtpParameter<'_>>> {
    rest.split(' ').filter(|word| !word.is_empty()).map(parameter)
}

fn parameter(word: &str) -> Option<EsmtpParameter<'_>> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let keyword_valid = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let value_valid = value.is_none_or(|value| !value.is_empty() && value.chars().all(is_value_char));
    (keyword_valid && value_valid).then_some(EsmtpParameter { keyword, value })
}

fn is_value_char(c: char) -> bool {
    matches!(c, '!'..='<' | '>'..='~') || (!c.is_ascii() && !c.is_control())
}

/// RFC 3461 section 4: printable ASCII, where `+` and two hexadecimal digits stand for an octet. Empty text is none.
pub fn is_xtext(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let hex = [bytes.next(), bytes.next()];
                if !hex.iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())) {
                    return false;
                }
            }
            b'!'..=b'<' | b'>'..=b'~' => {}
            _ => return false,
        }
    }
    !text.is_empty()
}

/// The value of ORCPT: `type;xtext`, or `utf-8;` with the looser text of RFC 6533 section 3.
pub fn is_orcpt(value: &str) -> bool {
    let Some((kind, text)) = value.split_once(';') else { return false };
    let kind_valid = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let text_valid = match kind.eq_ignore_ascii_case("utf-8") {
        true => !text.is_empty() && text.chars().all(is_value_char),
        false => is_xtext(text),
    };
    kind_valid && text_valid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::DomainError;

    fn check_path(text: &str, expected: Result<(&str, &str), PathError>) {
        let parsed = reverse_path(text).map(|(path, rest)| (path.as_str().to_owned(), rest));
        assert_eq!(parsed, expected.map(|(path, rest)| (path.to_owned(), rest)), "{text}");
    }

    #[test]
    fn paths_are_read_up_to_the_bracket_that_closes_them() {
        check_path("<a@b.example>", Ok(("a@b.example", "")));
        check_path("<a@b.example> SIZE=1", Ok(("a@b.example", " SIZE=1")));
        check_path("<>", Ok(("", "")));
        check_path("<\"a>b\"@c.example>", Ok(("\"a>b\"@c.example", "")));
        check_path("<\"a\\\">\"@c.example> X", Ok(("\"a\\\">\"@c.example", " X")));
        check_path("<a@[192.0.2.1]>", Ok(("a@[192.0.2.1]", "")));
        check_path("<a@[IPv6:2001:db8::1]>", Ok(("a@[IPv6:2001:db8::1]", "")));
        for text in ["a@b.example", "<a@b.example", "<a@b.example>SIZE=1", "<\"a@b.example>", "<<a@b.example>>", ""] {
            check_path(text, Err(PathError::Brackets));
        }
        check_path("<a>", Err(PathError::Address(AddressError::NoAt)));
        check_path("<a@b@c.example>", Err(PathError::Address(AddressError::Domain(DomainError::Character))));
    }

    #[test]
    fn a_source_route_is_checked_and_ignored() {
        check_path("<@x.example,@y.example:a@b.example>", Ok(("a@b.example", "")));
        check_path("<@x.example:a@b.example>", Ok(("a@b.example", "")));
        for text in ["<@x.example>", "<@x.example,y.example:a@b.example>", "<@:a@b.example>"] {
            check_path(text, Err(PathError::Route));
        }
    }

    #[test]
    fn a_forward_path_may_be_postmaster_alone_and_not_empty() {
        assert_eq!(forward_path("<PostMaster>"), Ok((ForwardPath::Postmaster, "")));
        assert_eq!(forward_path("<>"), Err(PathError::Empty));
        assert_eq!(forward_path("<root>"), Err(PathError::Address(AddressError::NoAt)));
    }

    fn check_parameter(text: &str, expected: Option<(&str, Option<&str>)>) {
        let found: Vec<_> = parameters(text).collect();
        let expected = expected.map(|(keyword, value)| EsmtpParameter { keyword, value });
        assert_eq!(found, [expected], "{text}");
    }

    #[test]
    fn parameters_are_keywords_with_or_without_a_value() {
        check_parameter("SIZE=1", Some(("SIZE", Some("1"))));
        check_parameter("SMTPUTF8", Some(("SMTPUTF8", None)));
        check_parameter("X-a=b;c,d", Some(("X-a", Some("b;c,d"))));
        check_parameter("A=\u{f6}", Some(("A", Some("\u{f6}"))));
        for text in ["A=", "A=b=c", "=b", "-A=b", "A_B=c", "A=\u{85}"] {
            check_parameter(text, None);
        }
        assert_eq!(parameters("  A=1   B ").count(), 2);
    }

    #[test]
    fn xtext_and_orcpt_have_the_form_of_rfc_3461_and_rfc_6533() {
        for (text, valid) in [
            ("abc", true),
            ("a+20b", true),
            ("a+2b+3D", true),
            ("", false),
            ("a+2", false),
            ("a+GG", false),
            ("a b", false),
            ("a=b", false),
        ] {
            assert_eq!(is_xtext(text), valid, "{text}");
        }
        for (text, valid) in [
            ("rfc822;a@b.example", true),
            ("rfc822;a+2Bb@b.example", true),
            ("rfc822;a+b@b.example", false),
            ("utf-8;a+b@b.example", true),
            ("utf-8;\u{f6}@b.example", true),
            ("UTF-8;\\x{F6}@b.example", true),
            ("rfc822;\u{f6}@b.example", false),
            ("rfc822;", false),
            (";a", false),
            ("rfc822", false),
        ] {
            assert_eq!(is_orcpt(text), valid, "{text}");
        }
    }
}
