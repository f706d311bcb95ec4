//! Every key of the configuration: where it stands, what is written for it, what holds without it, and what it means.
//!
//! The reference page and `gatepost keys` are made of this. Tests hold it against the reader of the configuration.

mod cases;
mod listeners;
mod main_file;
mod next_hops;
mod policies;
mod services;

#[cfg(test)]
mod tests;

/// A file that tables stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    /// `gatepost.toml`.
    Main,
    /// One of the folder of domain files.
    Domain,
    /// One of the folder of policy cases.
    Cases,
}

impl File {
    /// How it is named for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Domain => "domain",
            Self::Cases => "cases",
        }
    }

    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Main => "the main file",
            Self::Domain => "a domain file",
            Self::Cases => "a file of policy cases",
        }
    }
}

/// Where a table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: File,
    /// Its path, such as `inbound.step`; empty for the top of the file.
    pub table: &'static str,
    /// Whether there may be several: `[[inbound.step]]`.
    pub is_list: bool,
}

impl Place {
    const fn table(file: File, table: &'static str) -> Self {
        Self { file, table, is_list: false }
    }

    const fn list(file: File, table: &'static str) -> Self {
        Self { file, table, is_list: true }
    }

    /// `[spool]`, `[[listener]]`, or `the top of the main file`.
    pub fn header(&self) -> String {
        match (self.table, self.is_list) {
            ("", _) => format!("the top of {}", self.file.in_words()),
            (table, true) => format!("[[{table}]]"),
            (table, false) => format!("[{table}]"),
        }
    }
}

/// What may be written for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// One of these, in quotes.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number, from the first to the second.
    Number(u32, u32),
    /// In words.
    Form(&'static str),
}

impl Value {
    pub fn in_words(&self) -> String {
        match self {
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(", ")
            }
            Self::Flag => "true or false".to_owned(),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Form(form) => (*form).to_owned(),
        }
    }
}

/// What holds where a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// It must be written.
    Wrong,
    /// What this says, in TOML.
    As(&'static str),
    /// In words.
    Told(&'static str),
}

impl Unwritten {
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::Wrong => "must be written",
            Self::As(text) | Self::Told(text) => text,
        }
    }
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// By `gatepost reload`.
    Reload,
    /// At a restart of the daemon only: a reload is refused.
    Restart,
    /// The daemon does not read it: with the next command that does.
    Command,
}

impl Effect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Command => "command",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// As it is written. A key of a table that is written in place has the name of that before it: `dkim.selector`.
    pub name: &'static str,
    pub value: Value,
    pub unwritten: Unwritten,
    /// Plain sentences, with code between backticks.
    pub meaning: &'static str,
    pub effect: Effect,
}

impl Key {
    const fn new(name: &'static str, value: Value, unwritten: Unwritten, meaning: &'static str) -> Self {
        Self { name, value, unwritten, meaning, effect: Effect::Reload }
    }

    /// One that must be written.
    const fn needed(name: &'static str, value: Value, meaning: &'static str) -> Self {
        Self::new(name, value, Unwritten::Wrong, meaning)
    }

    const fn at_restart(self) -> Self {
        Self { effect: Effect::Restart, ..self }
    }

    const fn of_commands(self) -> Self {
        Self { effect: Effect::Command, ..self }
    }
}

/// A table, or several with the same keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Never empty.
    pub places: &'static [Place],
    /// What it is for, in a sentence or two.
    pub about: &'static str,
    /// Its keys. A group that several sections have is explained by the first of them.
    pub groups: &'static [&'static [Key]],
    /// Further groups, which are laid over what stands below: what is not written of them stays as it is there.
    pub laid: &'static [&'static [Key]],
}

impl Section {
    const fn new(places: &'static [Place], about: &'static str, groups: &'static [&'static [Key]]) -> Self {
        Self { places, about, groups, laid: &[] }
    }

    const fn over(self, laid: &'static [&'static [Key]]) -> Self {
        Self { laid, ..self }
    }

    /// Of all its groups.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.groups.iter().chain(self.laid).copied().flatten()
    }

    /// What holds for a key of this section where it is not written.
    pub fn unwritten(&self, key: &Key) -> Unwritten {
        let is_laid = self.laid.iter().copied().flatten().any(|laid| laid == key);
        if is_laid { Unwritten::Told("stays as it is below") } else { key.unwritten }
    }
}

/// All tables, in the order of the reference.
pub fn sections() -> impl Iterator<Item = &'static Section> {
    let of_main = [main_file::SECTIONS, listeners::SECTIONS, services::SECTIONS];
    let of_domains = [policies::SECTIONS, next_hops::SECTIONS, cases::SECTIONS];
    of_main.into_iter().chain(of_domains).flatten()
}

/// Forms that several keys have.
const DURATION: Value = Value::Form("a duration from \"1s\" to \"366d\"");
const TIMEOUT: Value = Value::Form("a duration from \"1s\" to \"1d\"");
const SIZE: Value = Value::Form("a size such as \"50MB\" or \"64MiB\"");
const PATH: Value = Value::Form("a path");
const ADDRESS: Value = Value::Form("a mail address");
const NAME: Value = Value::Form("a domain name");
const LABEL: Value = Value::Form("1 to 64 of a-z, 0-9, \"-\", \"_\"");
const TEXT: Value = Value::Form("1 to 256 octets of text");
const MOMENT: Value = Value::Form("a day or a moment, without quotes");
const VERSION: Value = Value::Words(&["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]);
const GRADE: Value = Value::Words(&["any", "strong", "forward-secret", "aead"]);
const RETRY: Value = Value::Form("a list of 1 to 32 durations");
const NONE: Unwritten = Unwritten::Told("none");
