//! Commands of a client, parsed without regard to the session (RFC 5321 section 4.1.1).

use std::fmt;

use crate::model::address::AddressError;
use crate::model::envelope::{BodyType, DsnReturn, Notify, Sender};
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};

use super::grammar::{self, EsmtpParameter, ForwardPath, PathError};

/// RFC 5321 section 4.5.3.1.2, as an octet count of the argument of EHLO and HELO.
pub const HELO_NAME_BYTES_MAX: usize = 255;
/// RFC 1870 section 4.
pub const SIZE_DIGITS_MAX: usize = 20;
/// RFC 3461 section 4.4.
pub const ENVID_BYTES_MAX: usize = 100;
/// RFC 3461 section 4.2.
pub const ORCPT_BYTES_MAX: usize = 500;

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The name that the client gives itself, escaped.
    Ehlo(String),
    /// The same in the old greeting.
    Helo(String),
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    /// RFC 3207 section 4.
    StartTls,
}

/// The arguments of MAIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub sender: Sender,
    /// Whether parameters were given, which is for clients that said EHLO.
    pub has_parameters: bool,
}

/// The arguments of RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    pub path: ForwardPath,
    pub notify: Option<Notify>,
    /// As it was given, type and xtext.
    pub orcpt: Option<String>,
    /// Whether parameters were given, which is for clients that said EHLO.
    pub has_parameters: bool,
}

/// Why a line is no command that can be run. The texts are for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    #[error("Command not recognised")]
    UnknownCommand,
    #[error("Command not implemented")]
    NotImplemented,
    #[error("Control characters are not allowed in a command")]
    ControlCharacter,
    #[error("A command is ASCII or UTF-8 text")]
    Encoding,
    #[error("This command takes no argument")]
    ArgumentGiven,
    #[error("This command needs an argument")]
    ArgumentMissing,
    #[error("A host name or an address literal is expected, at most 255 octets without spaces")]
    HeloName,
    #[error("Syntax: MAIL FROM:<address> [parameters]")]
    MailForm,
    #[error("Syntax: RCPT TO:<address> [parameters]")]
    RcptForm,
    #[error("Bad sender address: {0}")]
    SenderAddress(AddressError),
    #[error("Bad recipient address: {0}")]
    RecipientAddress(AddressError),
    #[error("A source route has the form @a.example,@b.example:")]
    SourceRoute,
    #[error("A parameter has the form KEYWORD or KEYWORD=value")]
    ParameterForm,
    #[error("Parameter not recognised or not implemented")]
    UnknownParameter,
    #[error("Parameter {0} is given twice")]
    RepeatedParameter(Parameter),
    #[error("Bad value of {0}: {expected}", expected = .0.expected())]
    ParameterValue(Parameter),
}

/// The parameters that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    Size,
    Body,
    SmtpUtf8,
    Ret,
    Envid,
    Notify,
    Orcpt,
    RequireTls,
}

impl Command {
    /// Parses a line without its CRLF. Spaces at the end are tolerated (RFC 5321 section 4.1.1).
    pub fn parse(line: &[u8]) -> Result<Self, SyntaxError> {
        if line.iter().any(u8::is_ascii_control) {
            return Err(SyntaxError::ControlCharacter);
        }
        let text = std::str::from_utf8(line).map_err(|_| SyntaxError::Encoding)?.trim_end_matches(' ');
        let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
        let argument = argument.trim_start_matches(' ');
        match Verb::parse(word)? {
            Verb::Ehlo => helo_name(argument).map(Self::Ehlo),
            Verb::Helo => helo_name(argument).map(Self::Helo),
            Verb::Mail => Mail::parse(argument).map(Self::Mail),
            Verb::Rcpt => Rcpt::parse(argument).map(Self::Rcpt),
            Verb::Data => without_argument(argument, Self::Data),
            Verb::Rset => without_argument(argument, Self::Rset),
            Verb::Quit => without_argument(argument, Self::Quit),
            Verb::StartTls => without_argument(argument, Self::StartTls),
            Verb::Vrfy if argument.is_empty() => Err(SyntaxError::ArgumentMissing),
            Verb::Vrfy => Ok(Self::Vrfy),
            Verb::Noop => Ok(Self::Noop),
            Verb::Help => Ok(Self::Help),
        }
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
}

/// Sorted by how often they come.
const VERBS: [(&str, Verb); 11] = [
    ("RCPT", Verb::Rcpt),
    ("MAIL", Verb::Mail),
    ("DATA", Verb::Data),
    ("EHLO", Verb::Ehlo),
    ("QUIT", Verb::Quit),
    ("RSET", Verb::Rset),
    ("STARTTLS", Verb::StartTls),
    ("HELO", Verb::Helo),
    ("NOOP", Verb::Noop),
    ("VRFY", Verb::Vrfy),
    ("HELP", Verb::Help),
];

/// Commands of the RFCs that are not offered: a client that sends one gets 502 instead of 500.
const NOT_IMPLEMENTED: [&str; 9] = ["EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML", "AUTH", "BDAT"];

impl Verb {
    fn parse(word: &str) -> Result<Self, SyntaxError> {
        if let Some((_, verb)) = VERBS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)) {
            return Ok(*verb);
        }
        let known = NOT_IMPLEMENTED.iter().any(|name| word.eq_ignore_ascii_case(name));
        Err(if known { SyntaxError::NotImplemented } else { SyntaxError::UnknownCommand })
    }
}

fn without_argument(argument: &str, command: Command) -> Result<Command, SyntaxError> {
    if argument.is_empty() { Ok(command) } else { Err(SyntaxError::ArgumentGiven) }
}

/// RFC 5321 section 4.1.4 forbids to refuse a message for a name that is wrong, and many are.
fn helo_name(argument: &str) -> Result<String, SyntaxError> {
    if argument.is_empty() || argument.len() > HELO_NAME_BYTES_MAX || argument.contains(' ') {
        return Err(SyntaxError::HeloName);
    }
    Ok(peer_text(argument, PEER_TEXT_BYTES_MAX).into_owned())
}

impl Mail {
    fn parse(argument: &str) -> Result<Self, SyntaxError> {
        let text = behind_prefix(argument, "FROM:").ok_or(SyntaxError::MailForm)?;
        let (path, rest) = grammar::reverse_path(text).map_err(|error| match error {
            PathError::Brackets | PathError::Empty => SyntaxError::MailForm,
            PathError::Route => SyntaxError::SourceRoute,
            PathError::Address(error) => SyntaxError::SenderAddress(error),
        })?;
        let mut sender = Sender::plain(path);
        let mut seen = Seen::default();
        for parameter in grammar::parameters(rest) {
            let parameter = parameter.ok_or(SyntaxError::ParameterForm)?;
            let name = Parameter::of_mail(parameter.keyword).ok_or(SyntaxError::UnknownParameter)?;
            seen.note(name)?;
            set_mail_parameter(&mut sender, name, parameter).ok_or(SyntaxError::ParameterValue(name))?;
        }
        Ok(Self { sender, has_parameters: !seen.is_empty() })
    }
}

/// `None`: the value is not one of the parameter.
fn set_mail_parameter(sender: &mut Sender, name: Parameter, parameter: EsmtpParameter<'_>) -> Option<()> {
    let flag = match name {
        Parameter::SmtpUtf8 => Some(&mut sender.smtputf8),
        Parameter::RequireTls => Some(&mut sender.require_tls),
        _ => None,
    };
    if let Some(flag) = flag {
        *flag = true;
        return parameter.value.is_none().then_some(());
    }
    let value = parameter.value?;
    match name {
        Parameter::Size => sender.declared_size = Some(size(value)?),
        Parameter::Body => sender.body = body(value)?,
        Parameter::Ret => sender.ret = Some(ret(value)?),
        Parameter::Envid => {
            let valid = value.len() <= ENVID_BYTES_MAX && grammar::is_xtext(value);
            sender.envid = Some(valid.then(|| value.to_owned())?);
        }
        Parameter::SmtpUtf8 | Parameter::RequireTls | Parameter::Notify | Parameter::Orcpt => return None,
    }
    Some(())
}

impl Rcpt {
    fn parse(argument: &str) -> Result<Self, SyntaxError> {
        let text = behind_prefix(argument, "TO:").ok_or(SyntaxError::RcptForm)?;
        let (path, rest) = grammar::forward_path(text).map_err(|error| match error {
            PathError::Brackets => SyntaxError::RcptForm,
            PathError::Empty => SyntaxError::RecipientAddress(AddressError::NoAt),
            PathError::Route => SyntaxError::SourceRoute,
            PathError::Address(error) => SyntaxError::RecipientAddress(error),
        })?;
        let mut rcpt = Self { path, notify: None, orcpt: None, has_parameters: false };
        let mut seen = Seen::default();
        for parameter in grammar::parameters(rest) {
            let parameter = parameter.ok_or(SyntaxError::ParameterForm)?;
            let name = Parameter::of_rcpt(parameter.keyword).ok_or(SyntaxError::UnknownParameter)?;
            seen.note(name)?;
            rcpt.set_parameter(name, parameter).ok_or(SyntaxError::ParameterValue(name))?;
        }
        rcpt.has_parameters = !seen.is_empty();
        Ok(rcpt)
    }

    /// `None`: the value is not one of the parameter.
    fn set_parameter(&mut self, name: Parameter, parameter: EsmtpParameter<'_>) -> Option<()> {
        let value = parameter.value?;
        if name == Parameter::Notify {
            self.notify = Some(notify(value)?);
        } else {
            let valid = value.len() <= ORCPT_BYTES_MAX && grammar::is_orcpt(value);
            self.orcpt = Some(valid.then(|| value.to_owned())?);
        }
        Some(())
    }
}

/// What follows `FROM:` or `TO:`. Spaces behind the colon are wrong and common.
fn behind_prefix<'a>(argument: &'a str, prefix: &str) -> Option<&'a str> {
    let (word, rest) = argument.split_at_checked(prefix.len())?;
    word.eq_ignore_ascii_case(prefix).then(|| rest.trim_start_matches(' '))
}

/// Which parameters a command has had.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn note(&mut self, name: Parameter) -> Result<(), SyntaxError> {
        let bit = 1 << (name as u8);
        if self.0 & bit != 0 {
            return Err(SyntaxError::RepeatedParameter(name));
        }
        self.0 |= bit;
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Parameter {
    const OF_MAIL: [Self; 6] = [Self::Size, Self::Body, Self::SmtpUtf8, Self::Ret, Self::Envid, Self::RequireTls];
    const OF_RCPT: [Self; 2] = [Self::Notify, Self::Orcpt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "SIZE",
            Self::Body => "BODY",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Ret => "RET",
            Self::Envid => "ENVID",
            Self::Notify => "NOTIFY",
            Self::Orcpt => "ORCPT",
            Self::RequireTls => "REQUIRETLS",
        }
    }

    fn of_mail(keyword: &str) -> Option<Self> {
        Self::OF_MAIL.into_iter().find(|name| keyword.eq_ignore_ascii_case(name.as_str()))
    }

    fn of_rcpt(keyword: &str) -> Option<Self> {
        Self::OF_RCPT.into_iter().find(|name| keyword.eq_ignore_ascii_case(name.as_str()))
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Size => "at most 20 digits are expected",
            Self::Body => "7BIT or 8BITMIME is expected",
            Self::SmtpUtf8 | Self::RequireTls => "it has none",
            Self::Ret => "FULL or HDRS is expected",
            Self::Envid => "xtext of at most 100 octets is expected",
            Self::Notify => "NEVER or some of SUCCESS,FAILURE,DELAY is expected",
            Self::Orcpt => "type;xtext of at most 500 octets is expected",
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// RFC 1870 section 3. Twenty digits can exceed 64 bits; such a size is too big for anybody.
fn size(value: &str) -> Option<u64> {
    let valid = value.len() <= SIZE_DIGITS_MAX && value.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| value.parse().unwrap_or(u64::MAX))
}

/// RFC 6152 section 2.
fn body(value: &str) -> Option<BodyType> {
    match value {
        value if value.eq_ignore_ascii_case("7BIT") => Some(BodyType::SevenBit),
        value if value.eq_ignore_ascii_case("8BITMIME") => Some(BodyType::EightBitMime),
        _ => None,
    }
}

/// RFC 3461 section 4.3.
fn ret(value: &str) -> Option<DsnReturn> {
    match value {
        value if value.eq_ignore_ascii_case("FULL") => Some(DsnReturn::Full),
        value if value.eq_ignore_ascii_case("HDRS") => Some(DsnReturn::Headers),
        _ => None,
    }
}

/// RFC 3461 section 4.1.
fn notify(value: &str) -> Option<Notify> {
    let mut notify = Notify::NEVER;
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(notify);
    }
    for word in value.split(',') {
        match word {
            word if word.eq_ignore_ascii_case("SUCCESS") => notify.success = true,
            word if word.eq_ignore_ascii_case("FAILURE") => notify.failure = true,
            word if word.eq_ignore_ascii_case("DELAY") => notify.delay = true,
            _ => return None,
        }
    }
    Some(notify)
}

#[cfg(test)]
mod tests;
