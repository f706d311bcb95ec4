//! An MTA-STS policy: what a domain promises about its mail hosts (RFC 8461 section 3.2), and which hosts it means.

use std::fmt;
use std::time::Duration;

use crate::model::domain::{Domain, DomainError};

use super::sts_record::is_field_name;

/// Longest policy that is read (RFC 8461 section 3.3 suggests 64 kilobytes).
pub const STS_POLICY_BYTES_MAX: usize = 64 * 1024;
/// Longest `max_age`, in seconds: about a year.
pub const STS_MAX_AGE_SECS_MAX: u32 = 31_557_600;
/// Most digits that a `max_age` is written with.
const MAX_AGE_DIGITS_MAX: usize = 10;

/// What a sender is to do about a host that does not keep the promise (RFC 8461 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Not to deliver there.
    Enforce,
    /// To report it and deliver all the same.
    Testing,
    /// Nothing: the domain says that it has no policy any more.
    None,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which mail hosts a policy names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MxPattern {
    Exact(Domain),
    /// `*.DOMAIN`: every name that has one label more (RFC 8461 section 4.1).
    OneBelow(Domain),
}

impl MxPattern {
    /// `["*."] Domain` as RFC 5321 section 4.1.2 writes it: A-labels of letters, digits and hyphens. Any case.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let (name, pattern): (_, fn(Domain) -> Self) = match text.strip_prefix("*.") {
            Some(name) => (name, Self::OneBelow),
            None => (text, Self::Exact),
        };
        if name.ends_with('.') || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
            return Err(DomainError::Character);
        }
        Domain::parse(name).map(pattern)
    }

    pub fn matches(&self, mx: &Domain) -> bool {
        match self {
            Self::Exact(name) => name == mx,
            Self::OneBelow(above) => mx.as_str().split_once('.').is_some_and(|(_, rest)| rest == above.as_str()),
        }
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::OneBelow(above) => write!(f, "*.{above}"),
        }
    }
}

/// A policy that follows the grammar. Shown, it is the text of such a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPolicy {
    pub mode: Mode,
    /// Not empty unless the mode is `none`.
    pub mx: Vec<MxPattern>,
    /// For how long after it was fetched the policy holds, at most [`STS_MAX_AGE_SECS_MAX`].
    pub max_age: Duration,
}

/// A field that every policy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StsField {
    Version,
    Mode,
    MaxAge,
    Mx,
}

impl fmt::Display for StsField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "version",
            Self::Mode => "mode",
            Self::MaxAge => "max_age",
            Self::Mx => "mx",
        })
    }
}

/// Why a text is no policy. It is the domain's fault, and nothing of the policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StsPolicyError {
    #[error("the policy is longer than {STS_POLICY_BYTES_MAX} octets")]
    TooLong,
    #[error("the policy is not UTF-8")]
    NotUtf8,
    #[error("the policy has no `{0}`")]
    Missing(StsField),
    /// Lines are counted from 1.
    #[error("line {number} of the policy {fault}")]
    Line { number: usize, fault: LineFault },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("is empty")]
    Empty,
    #[error("is not a name, `:` and a value")]
    NoField,
    #[error("has a value with a control character")]
    Control,
    #[error("has a version other than `STSv1`")]
    Version,
    #[error("has a mode other than `enforce`, `testing` and `none`")]
    Mode,
    #[error("has a max_age that is not a number from 0 to {STS_MAX_AGE_SECS_MAX}")]
    MaxAge,
    #[error("has an mx that is no host name: {0}")]
    Mx(DomainError),
}

impl StsPolicy {
    /// Reads the body of a policy. Lines end with CR LF or LF. Names and words are case-sensitive. Of a field that may
    /// stand once the first counts; unknown fields are passed over; any other departure from the grammar makes the
    /// whole invalid.
    pub fn parse(body: &[u8]) -> Result<Self, StsPolicyError> {
        if body.len() > STS_POLICY_BYTES_MAX {
            return Err(StsPolicyError::TooLong);
        }
        let text = std::str::from_utf8(body).map_err(|_| StsPolicyError::NotUtf8)?;
        let mut fields = Fields::default();
        for (line, number) in text.split_inclusive('\n').zip(1..) {
            let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
            fields.line(line).map_err(|fault| StsPolicyError::Line { number, fault })?;
        }
        fields.policy()
    }

    /// Whether the policy names this host.
    pub fn matches(&self, mx: &Domain) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(mx))
    }

    /// The lines of the policy's text, as reports tell them (RFC 8460 section 4.4, `policy-string`).
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let head = ["version: STSv1".to_owned(), format!("mode: {}", self.mode)];
        let mx = self.mx.iter().map(|pattern| format!("mx: {pattern}"));
        head.into_iter().chain(mx).chain([format!("max_age: {}", self.max_age.as_secs())])
    }
}

impl fmt::Display for StsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// What has been read so far.
#[derive(Default)]
struct Fields {
    has_version: bool,
    mode: Option<Mode>,
    max_age: Option<Duration>,
    mx: Vec<MxPattern>,
}

impl Fields {
    fn line(&mut self, line: &str) -> Result<(), LineFault> {
        let line = line.trim_end_matches([' ', '\t']);
        if line.is_empty() {
            return Err(LineFault::Empty);
        }
        let (name, value) = line.split_once(':').ok_or(LineFault::NoField)?;
        let value = value.trim_start_matches([' ', '\t']);
        if !is_field_name(name) || value.is_empty() {
            return Err(LineFault::NoField);
        }
        if value.bytes().any(|b| b.is_ascii_control()) {
            return Err(LineFault::Control);
        }
        match name {
            "version" if !self.has_version => {
                self.has_version = value == "STSv1";
                if self.has_version { Ok(()) } else { Err(LineFault::Version) }
            }
            "mode" if self.mode.is_none() => {
                let known = [Mode::Enforce, Mode::Testing, Mode::None].into_iter().find(|mode| mode.as_str() == value);
                self.mode = Some(known.ok_or(LineFault::Mode)?);
                Ok(())
            }
            "max_age" if self.max_age.is_none() => {
                self.max_age = Some(max_age(value).ok_or(LineFault::MaxAge)?);
                Ok(())
            }
            "mx" => {
                self.mx.push(MxPattern::parse(value).map_err(LineFault::Mx)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn policy(self) -> Result<StsPolicy, StsPolicyError> {
        if !self.has_version {
            return Err(StsPolicyError::Missing(StsField::Version));
        }
        let mode = self.mode.ok_or(StsPolicyError::Missing(StsField::Mode))?;
        let max_age = self.max_age.ok_or(StsPolicyError::Missing(StsField::MaxAge))?;
        if self.mx.is_empty() && mode != Mode::None {
            return Err(StsPolicyError::Missing(StsField::Mx));
        }
        Ok(StsPolicy { mode, mx: self.mx, max_age })
    }
}

/// `1*10(DIGIT)`
fn max_age(text: &str) -> Option<Duration> {
    let is_number = text.len() <= MAX_AGE_DIGITS_MAX && text.bytes().all(|b| b.is_ascii_digit());
    let secs = text.parse().ok().filter(|secs: &u32| is_number && *secs <= STS_MAX_AGE_SECS_MAX)?;
    Some(Duration::from_secs(secs.into()))
}

#[cfg(test)]
mod tests;
