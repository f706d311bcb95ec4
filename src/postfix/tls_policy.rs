//! Security levels, and entries of the TLS policy table (TLS_README, "Client TLS security levels").

use super::lines::{in_braces, items};
use super::lists::{Parents, keys};
use super::main_cf::assignment;
use super::tables::{Found, Table, find};
use crate::model::domain::Domain;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    None,
    May,
    Encrypt,
    Dane,
    DaneOnly,
    Fingerprint,
    Verify,
    Secure,
}

impl Level {
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::May,
        Self::Encrypt,
        Self::Dane,
        Self::DaneOnly,
        Self::Fingerprint,
        Self::Verify,
        Self::Secure,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::May => "may",
            Self::Encrypt => "encrypt",
            Self::Dane => "dane",
            Self::DaneOnly => "dane-only",
            Self::Fingerprint => "fingerprint",
            Self::Verify => "verify",
            Self::Secure => "secure",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word))
    }

    /// Whether no message goes out in plaintext whatever is found.
    pub const fn is_mandatory(self) -> bool {
        !matches!(self, Self::None | Self::May | Self::Dane)
    }
}

/// What a certificate must be for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NameMatch {
    /// `nexthop`: the name of the next hop.
    NextHop,
    /// `dot-nexthop`: any name below it.
    BelowNextHop,
    /// `hostname`: the name of the host, which unsigned DNS may have told.
    HostName,
    /// A name; with a dot before it any name below.
    Name(String),
}

impl NameMatch {
    /// The parts of a list, between colons, commas and blanks.
    pub fn parse_list(list: &str) -> Vec<Self> {
        list.split([':', ',', ' ', '\t']).filter(|word| !word.is_empty()).map(Self::parse).collect()
    }

    fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "nexthop" => Self::NextHop,
            "dot-nexthop" => Self::BelowNextHop,
            "hostname" => Self::HostName,
            name => Self::Name(name.to_owned()),
        }
    }
}

/// An entry of the table: a level, and what it sets in place of main.cf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub level: Level,
    pub ciphers: Option<String>,
    pub protocols: Option<String>,
    pub exclude: Option<String>,
    pub servername: Option<String>,
    /// All of them: names with colons between, or fingerprints with bars.
    pub matches: Vec<String>,
    pub ta_files: Vec<String>,
    /// `connection_reuse`, `enable_rpk` and what later versions add.
    pub others: Vec<String>,
}

/// Why Postfix sends nothing to a destination: it defers with "client TLS configuration problem".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("the entry is empty")]
    Empty,
    #[error("there is no level \"{0}\"")]
    Level(String),
    #[error("\"{0}\" is no name=value")]
    Malformed(String),
    #[error("\"{0}\" stands there twice or has no value")]
    Attribute(String),
    #[error("\"{0}\" has no meaning at level {1}")]
    Misplaced(String, &'static str),
}

/// Reads one answer of the table.
pub fn parse(text: &str) -> Result<Entry, EntryError> {
    let mut words = items(text).into_iter();
    let word = words.next().ok_or(EntryError::Empty)?;
    let level = Level::parse(word).ok_or_else(|| EntryError::Level(word.to_owned()))?;
    let mut entry = Entry::bare(level);
    if level == Level::None {
        return Ok(entry);
    }
    for word in words {
        let (name, value) =
            assignment(in_braces(word).unwrap_or(word)).ok_or_else(|| EntryError::Malformed(word.to_owned()))?;
        entry.set(&name.to_ascii_lowercase(), value)?;
    }
    Ok(entry)
}

impl Entry {
    pub const fn bare(level: Level) -> Self {
        Self {
            level,
            ciphers: None,
            protocols: None,
            exclude: None,
            servername: None,
            matches: Vec::new(),
            ta_files: Vec::new(),
            others: Vec::new(),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), EntryError> {
        let again = || EntryError::Attribute(name.to_owned());
        let misplaced = |level: Level| EntryError::Misplaced(name.to_owned(), level.as_str());
        let once = |slot: &mut Option<String>| match slot {
            Some(_) => Err(again()),
            None => {
                *slot = Some(value.to_owned());
                Ok(())
            }
        };
        match name {
            "ciphers" if value.is_empty() => Err(again()),
            "ciphers" => once(&mut self.ciphers),
            "protocols" => once(&mut self.protocols),
            "exclude" => once(&mut self.exclude),
            "servername" => once(&mut self.servername),
            "match" | "tafile" if value.is_empty() => Err(again()),
            "match" => match self.level {
                Level::Fingerprint | Level::Verify | Level::Secure => {
                    self.matches.push(value.to_owned());
                    Ok(())
                }
                level => Err(misplaced(level)),
            },
            "tafile" => match self.level {
                Level::Verify | Level::Secure => {
                    self.ta_files.push(value.to_owned());
                    Ok(())
                }
                level => Err(misplaced(level)),
            },
            _ => {
                self.others.push(format!("{name}={value}"));
                Ok(())
            }
        }
    }
}

/// The answer for a destination. One without brackets and port is looked up as it is, then by each `.parent`; any other
/// one by itself alone.
pub fn look_up<'a>(tables: &'a [Arc<Table>], destination: &str) -> Option<Found<'a>> {
    let is_domain = Domain::parse(destination).is_ok();
    let parents = if is_domain { Parents::Dotted } else { Parents::No };
    keys(destination, parents).take(if is_domain { usize::MAX } else { 1 }).find_map(|key| find(tables, &key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_a_level_and_what_they_set() {
        let entry =
            parse("secure match=.bank.example:nexthop protocols=>=TLSv1.2 ciphers=high exclude=RC4:3DES").unwrap();
        assert_eq!(
            entry,
            Entry {
                ciphers: Some("high".into()),
                protocols: Some(">=TLSv1.2".into()),
                exclude: Some("RC4:3DES".into()),
                matches: vec![".bank.example:nexthop".into()],
                ..Entry::bare(Level::Secure)
            }
        );
        let entry = parse("fingerprint, match=AA:BB|CC match=DD, connection_reuse=yes").unwrap();
        assert_eq!(entry.matches, ["AA:BB|CC", "DD"]);
        assert_eq!(entry.others, ["connection_reuse=yes"]);
        assert_eq!(parse("none match=x"), Ok(Entry::bare(Level::None)));
        assert_eq!(parse("verify { tafile = /a b } tafile=/c").unwrap().ta_files, ["/a b", "/c"]);
        assert_eq!(parse("DANE-only"), Ok(Entry::bare(Level::DaneOnly)));
    }

    #[test]
    fn entries_that_postfix_does_not_take_are_errors() {
        for (text, expected) in [
            ("", EntryError::Empty),
            ("tls", EntryError::Level("tls".into())),
            ("encrypt high", EntryError::Malformed("high".into())),
            ("encrypt ciphers=high ciphers=low", EntryError::Attribute("ciphers".into())),
            ("secure match=", EntryError::Attribute("match".into())),
            ("encrypt match=a.example", EntryError::Misplaced("match".into(), "encrypt")),
            ("fingerprint tafile=/x", EntryError::Misplaced("tafile".into(), "fingerprint")),
        ] {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_domain_is_looked_up_with_those_above_it_and_a_bracket_by_itself() {
        let text = "bank.example a\n.bank.example b\n[bank.example]:587 c\n.example d\n587 e\n";
        let tables = [Arc::new(Table::parse(text, &"p".into()))];
        for (destination, expected) in [
            ("bank.example", Some("a")),
            ("x.y.bank.example", Some("b")),
            ("Other.example", Some("d")),
            ("[bank.example]:587", Some("c")),
            ("[bank.example]", None),
            ("[x.bank.example]:25", None),
            ("x.bank.example:587", None),
            ("example", None),
        ] {
            assert_eq!(look_up(&tables, destination).map(|found| found.value), expected, "{destination}");
        }
    }

    #[test]
    fn strategies_are_told_from_names() {
        let found = NameMatch::parse_list("nexthop, dot-nexthop:hostname mail.bank.example .Bank.example");
        let name = |name: &str| NameMatch::Name(name.into());
        use NameMatch::{BelowNextHop, HostName, NextHop};
        let expected = [NextHop, BelowNextHop, HostName, name("mail.bank.example"), name(".bank.example")];
        assert_eq!(found, expected);
    }
}
