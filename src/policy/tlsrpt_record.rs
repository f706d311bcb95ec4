//! The TXT record by which a domain asks for reports about TLS (RFC 8460 section 3), as DNS gave it.

use std::fmt;

use crate::model::address::{Address, Charset};
use crate::model::destination::WebhookUrl;

/// The longest record that is read.
pub const RECORD_BYTES_MAX: usize = 8 * 1024;
/// Targets of one record that get reports; those behind them are ignored.
pub const TARGETS_MAX: usize = 8;

const VERSION: &str = "v=TLSRPTv1";
const EXTENSION_NAME_BYTES_MAX: usize = 32;

/// Where a domain wants reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportTargets {
    /// At least one, at most [`TARGETS_MAX`], in the record's order, none twice. One that takes the report suffices.
    pub targets: Vec<ReportTarget>,
    /// URIs that nobody can report to: of another scheme, without a usable address, or too many.
    pub ignored: usize,
}

/// One place that takes reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTarget {
    /// By mail, to this mailbox of a named domain. All ASCII.
    Mail(Address),
    /// By POST (RFC 8460 section 5.4). Always `https`.
    Https(WebhookUrl),
}

impl fmt::Display for ReportTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(address) => write!(f, "mailto:{address}"),
            Self::Https(url) => write!(f, "{url}"),
        }
    }
}

/// Why a domain that seems to ask for reports gets none. Only its owner can mend it; the DNS will answer the same
/// until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsRptRecordError {
    #[error("there are {0} TLSRPT records, and only one may stand there")]
    Several(usize),
    #[error("the TLSRPT record is longer than {RECORD_BYTES_MAX} octets")]
    TooLong,
    #[error("the TLSRPT record has an octet that is no printable ASCII")]
    Character,
    #[error("field {0} of the TLSRPT record is not of the form name=value")]
    Field(usize),
    #[error("field {0} of the TLSRPT record has a URI that is not valid")]
    Uri(usize),
    #[error("the TLSRPT record has no rua field")]
    NoRua,
    #[error("the TLSRPT record names no mailto or https address that can be used")]
    NoTarget,
}

/// Reads the TXT records at `_smtp._tls` below a domain. `None`: the domain asks for no reports.
///
/// # Errors
/// A record is there and does not count. To a sender that is the same as none (RFC 8460 section 3).
pub fn parse(records: &[Vec<u8>]) -> Result<Option<ReportTargets>, TlsRptRecordError> {
    let mut ours = records.iter().filter_map(|record| behind_version(record));
    let Some(fields) = ours.next() else { return Ok(None) };
    match ours.count() {
        0 => parse_fields(fields).map(Some),
        others => Err(TlsRptRecordError::Several(others + 1)),
    }
}

/// What stands behind the version and its delimiter. Other records are discarded. The grammar permits white space
/// before the semicolon, the text around it does not; such a record is taken.
fn behind_version(record: &[u8]) -> Option<&[u8]> {
    let mut rest = record.strip_prefix(VERSION.as_bytes())?;
    while let [b' ' | b'\t', more @ ..] = rest {
        rest = more;
    }
    rest.strip_prefix(b";")
}

fn parse_fields(bytes: &[u8]) -> Result<ReportTargets, TlsRptRecordError> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(TlsRptRecordError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| TlsRptRecordError::Character)?;
    if !text.chars().all(|c| c.is_ascii_graphic() || is_space(c)) {
        return Err(TlsRptRecordError::Character);
    }
    let text = text.trim_matches(is_space);
    let text = text.strip_suffix(';').unwrap_or(text);
    let mut found = ReportTargets { targets: Vec::new(), ignored: 0 };
    let mut has_rua = false;
    for (number, field) in (1..).zip(text.split(';').map(|field| field.trim_matches(is_space))) {
        match field.strip_prefix("rua=") {
            Some(uris) => {
                has_rua = true;
                for uri in uris.split(',').map(|uri| uri.trim_matches(is_space)) {
                    let scheme = scheme_of(uri).ok_or(TlsRptRecordError::Uri(number))?;
                    found.take(target(scheme, uri));
                }
            }
            None if is_extension(field) => {}
            None => return Err(TlsRptRecordError::Field(number)),
        }
    }
    match (has_rua, found.targets.is_empty()) {
        (false, _) => Err(TlsRptRecordError::NoRua),
        (true, true) => Err(TlsRptRecordError::NoTarget),
        (true, false) => Ok(found),
    }
}

impl ReportTargets {
    fn take(&mut self, target: Option<ReportTarget>) {
        match target {
            Some(target) if self.targets.contains(&target) => {}
            Some(target) if self.targets.len() < TARGETS_MAX => self.targets.push(target),
            _ => self.ignored += 1,
        }
    }
}

/// A place that we can report to, if the URI names one.
fn target(scheme: &str, uri: &str) -> Option<ReportTarget> {
    let rest = uri.get(scheme.len() + 1..)?;
    if scheme.eq_ignore_ascii_case("mailto") {
        return mailbox(rest).map(ReportTarget::Mail);
    }
    if scheme.eq_ignore_ascii_case("https") {
        return WebhookUrl::parse(&format!("https:{rest}")).ok().map(ReportTarget::Https);
    }
    None
}

/// The one mailbox of a `mailto` URI (RFC 6068 section 2). Header fields behind `?` are not ours to send.
fn mailbox(rest: &str) -> Option<Address> {
    let (encoded, _) = rest.split_once('?').unwrap_or((rest, ""));
    let address = Address::parse(&percent_decoded(encoded)?, Charset::Ascii).ok()?;
    address.domain().is_some().then_some(address)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The scheme of a valid URI (RFC 3986 section 3.1), in which exclamation points are encoded too.
fn scheme_of(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let is_valid = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@$&'()*+=%".contains(&b))
        && rest.split('%').skip(1).all(|escape| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2);
    (is_scheme && is_valid && !rest.is_empty()).then_some(scheme)
}

/// A field of a later version (`tlsrpt-extension`), which is ignored.
fn is_extension(field: &str) -> bool {
    let Some((name, value)) = field.split_once('=') else { return false };
    name.len() <= EXTENSION_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        && !value.is_empty()
        && value.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
}

fn is_space(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The targets, and how many URIs were ignored.
    fn check(record: &str, expected: Result<(&[&str], usize), TlsRptRecordError>) {
        let found = parse(&[record.as_bytes().to_vec()]).map(|found| found.expect("a record"));
        let shown = found.map(|found| (found.targets.iter().map(ToString::to_string).collect(), found.ignored));
        let expected = expected.map(|(targets, ignored)| (targets.iter().map(ToString::to_string).collect(), ignored));
        assert_eq!(shown, expected as Result<(Vec<String>, usize), _>, "{record:?}");
    }

    #[test]
    fn records_of_the_grammar_name_their_targets() {
        for (record, targets, ignored) in [
            ("v=TLSRPTv1;rua=mailto:reports@example.com", &["mailto:reports@example.com"][..], 0),
            ("v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", &["https://reporting.example.com/…"], 0),
            ("v=TLSRPTv1 \t;\t rua=mailto:a@b.example ; ", &["mailto:a@b.example"], 0),
            (
                "v=TLSRPTv1;rua=mailto:a@b.example , https://c.example:8443/x?y=%21",
                &["mailto:a@b.example", "https://c.example:8443/…"],
                0,
            ),
            ("v=TLSRPTv1;rua=MAILTO:a@b.example,HTTPS://c.example", &["mailto:a@b.example", "https://c.example/"], 0),
            // More than one rua field, and fields of later versions.
            (
                "v=TLSRPTv1;x-1=y/z:[];rua=mailto:a@b.example;ruf=later;rua=mailto:c@d.example",
                &["mailto:a@b.example", "mailto:c@d.example"],
                0,
            ),
            ("v=TLSRPTv1;rua=mailto:a@b.example,mailto:a@b.example", &["mailto:a@b.example"], 0),
            ("v=TLSRPTv1;rua=mailto:a%2Bb%2cc@d.example", &[], 1),
            ("v=TLSRPTv1;rua=mailto:a%2Bb@d.example?subject=Bcc:%20all", &["mailto:a+b@d.example"], 0),
            ("v=TLSRPTv1;rua=ftp://x.example/,urn:x,mailto:a@b.example", &["mailto:a@b.example"], 2),
        ] {
            let expected = if targets.is_empty() { Err(TlsRptRecordError::NoTarget) } else { Ok((targets, ignored)) };
            check(record, expected);
        }
    }

    #[test]
    fn records_outside_of_the_grammar_have_their_error() {
        use TlsRptRecordError::*;
        let long = format!("v=TLSRPTv1;rua=mailto:a@b.example;x={}", "y".repeat(RECORD_BYTES_MAX));
        let long_name = format!("v=TLSRPTv1;{}=y;rua=mailto:a@b.example", "x".repeat(EXTENSION_NAME_BYTES_MAX + 1));
        for (record, error) in [
            ("v=TLSRPTv1;", Field(1)),
            ("v=TLSRPTv1;;rua=mailto:a@b.example", Field(1)),
            ("v=TLSRPTv1;rua=mailto:a@b.example;;", Field(2)),
            ("v=TLSRPTv1;rua", Field(1)),
            ("v=TLSRPTv1;rua =mailto:a@b.example", Field(1)),
            ("v=TLSRPTv1;-x=y;rua=mailto:a@b.example", Field(1)),
            ("v=TLSRPTv1;x=y=z;rua=mailto:a@b.example", Field(1)),
            ("v=TLSRPTv1;x=y z;rua=mailto:a@b.example", Field(1)),
            (&long_name, Field(1)),
            // The name of a field counts by its letters: this one is an extension.
            ("v=TLSRPTv1;RUA=mailto:a@b.example", NoRua),
            ("v=TLSRPTv1;rua=", Uri(1)),
            ("v=TLSRPTv1;rua=reports@example.com", Uri(1)),
            ("v=TLSRPTv1;x=y;rua=mailto:a@b.example,", Uri(2)),
            ("v=TLSRPTv1;rua=mailto:a b@c.example", Uri(1)),
            ("v=TLSRPTv1;rua=mailto:a@b.example!10m", Uri(1)),
            ("v=TLSRPTv1;rua=mailto:a%4@b.example", Uri(1)),
            ("v=TLSRPTv1;rua=mailto:a@b.example%", Uri(1)),
            ("v=TLSRPTv1;rua=mailto:", Uri(1)),
            ("v=TLSRPTv1;rua=mailto:%0d%0aX@b.example", NoTarget),
            ("v=TLSRPTv1;rua=mailto:a@[192.0.2.1]", NoTarget),
            ("v=TLSRPTv1;rua=http://c.example/", NoTarget),
            ("v=TLSRPTv1;rua=https://user@c.example/", NoTarget),
            ("v=TLSRPTv1;rua=mailto:\u{f6}@b.example", Character),
            ("v=TLSRPTv1;rua=mailto:a@b.example\r\n", Character),
            (&long, TooLong),
        ] {
            check(record, Err(error));
        }
    }

    #[test]
    fn exactly_one_record_of_this_version_counts() {
        let good = "v=TLSRPTv1;rua=mailto:a@b.example";
        for (records, expected) in [
            (&[][..], Ok(false)),
            (&["v=spf1 -all", "v=TLSRPTv2;rua=mailto:a@b.example", "V=TLSRPTv1;rua=mailto:a@b.example"], Ok(false)),
            (&["v=TLSRPTv1"], Ok(false)),
            (&["v=TLSRPTv10;x", good, "other"], Ok(true)),
            (&[good, good], Err(TlsRptRecordError::Several(2))),
            (&["v=TLSRPTv1;", good], Err(TlsRptRecordError::Several(2))),
        ] {
            let records: Vec<_> = records.iter().map(|record| record.as_bytes().to_vec()).collect();
            assert_eq!(parse(&records).map(|found| found.is_some()), expected, "{records:?}");
        }
    }

    #[test]
    fn targets_above_the_bound_are_ignored_and_counted() {
        let uris: Vec<_> = (0..TARGETS_MAX + 3).map(|n| format!("mailto:r{n}@b.example")).collect();
        let record = format!("v=TLSRPTv1;rua={}", uris.join(","));
        let found = parse(&[record.into_bytes()]).unwrap().unwrap();
        assert_eq!((found.targets.len(), found.ignored), (TARGETS_MAX, 3));
    }

    proptest! {
        #[test]
        fn no_octets_are_too_odd(rest in proptest::collection::vec(any::<u8>(), 0..200), text in "[ -~]{0,80}") {
            let odd = [b"v=TLSRPTv1;".to_vec(), rest].concat();
            let _ = parse(&[odd]);
            if let Ok(Some(found)) = parse(&[format!("v=TLSRPTv1;rua={text}").into_bytes()]) {
                prop_assert!(!found.targets.is_empty() && found.targets.len() <= TARGETS_MAX);
            }
        }
    }
}
