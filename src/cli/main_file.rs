//! Single keys of the main file, read leniently: what needs only a path works beside a configuration that has errors.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::DEFAULT_AUDIT_KEY;
use crate::config::diagnostic::{Diagnostic, Excerpt, Severity};
use crate::model::os_error;

use super::configuration;
use super::output::Failure;

/// The longest file that is looked into.
const MAIN_FILE_BYTES_MAX: u64 = 4 << 20;

/// The main file as text.
#[derive(Debug)]
pub(super) struct MainFile {
    /// As findings name it.
    name: String,
    /// The folder that relative paths start from.
    folder: PathBuf,
    text: String,
}

/// A path that was written, with its place.
#[derive(Debug)]
pub(super) struct WrittenPath {
    pub(super) path: PathBuf,
    offset: usize,
    end: usize,
}

/// A `[[certificate]]` with its files.
#[derive(Debug)]
pub(super) struct WrittenCertificate {
    pub(super) chain: WrittenPath,
    pub(super) key: WrittenPath,
    pub(super) ocsp: Option<WrittenPath>,
}

impl MainFile {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let mut bytes = Vec::new();
        File::open(&path)?.take(MAIN_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// The main file that was asked for, else the system's, for commands that cannot do without.
    pub(super) fn require(asked: Option<&Path>) -> Result<Self, Failure> {
        let file = configuration::existing(asked)?;
        Self::read(&file).map_err(|error| {
            Failure::usage(
                format!("cannot read {}: {}", file.display(), os_error::why(&error)),
                "name another with --config FILE",
            )
        })
    }

    /// The file of the key that signs the audit log.
    pub(super) fn audit_key(&self) -> PathBuf {
        self.path_at("audit", "key").unwrap_or_else(|| DEFAULT_AUDIT_KEY.into())
    }

    /// The name of this mail host, if it is written as a text.
    pub(super) fn hostname(&self) -> Option<String> {
        let (entries, _) = DeTable::parse_recoverable(&self.text);
        Some(entries.get_ref().get("hostname")?.get_ref().as_str()?.to_owned())
    }

    /// `path_at("admin", "socket")`; `None` if it is not written as a text.
    pub(super) fn path_at(&self, table: &str, key: &str) -> Option<PathBuf> {
        self.written_at(&[table, key]).map(|written| written.path)
    }

    /// The same with its place; the last of `keys` is in the tables that are named before it.
    pub(super) fn written_at(&self, keys: &[&str]) -> Option<WrittenPath> {
        let (entries, _) = DeTable::parse_recoverable(&self.text);
        let (last, tables) = keys.split_last()?;
        let inner = |table, key: &&str| DeTable::get(table, *key)?.get_ref().as_table();
        self.written(tables.iter().try_fold(entries.get_ref(), inner)?.get(*last)?)
    }

    /// The pairs that name two files; what is missing or wrong is for the whole reading to report.
    pub(super) fn certificates(&self) -> Vec<WrittenCertificate> {
        let (entries, _) = DeTable::parse_recoverable(&self.text);
        let items = entries.get_ref().get("certificate").and_then(|value| value.get_ref().as_array());
        let pair = |item: &Spanned<DeValue<'_>>| {
            let table = item.get_ref().as_table()?;
            Some(WrittenCertificate {
                chain: self.written(table.get("chain")?)?,
                key: self.written(table.get("key")?)?,
                ocsp: table.get("ocsp").and_then(|value| self.written(value)),
            })
        };
        items.into_iter().flat_map(|items| items.iter()).filter_map(pair).collect()
    }

    /// The paths of one key in the tables of `[[table]]`.
    pub(super) fn paths_in_each(&self, table: &str, key: &str) -> Vec<WrittenPath> {
        let (entries, _) = DeTable::parse_recoverable(&self.text);
        let items = entries.get_ref().get(table).and_then(|value| value.get_ref().as_array());
        let path = |item: &Spanned<DeValue<'_>>| self.written(item.get_ref().as_table()?.get(key)?);
        items.into_iter().flat_map(|items| items.iter()).filter_map(path).collect()
    }

    fn written(&self, value: &Spanned<DeValue<'_>>) -> Option<WrittenPath> {
        let text = value.get_ref().as_str().filter(|text| !text.is_empty())?;
        Some(WrittenPath { path: self.folder.join(text), offset: value.span().start, end: value.span().end })
    }

    /// A finding about a path, with its line.
    pub(super) fn finding(&self, severity: Severity, (key, at): (&str, &WrittenPath), message: &str) -> Diagnostic {
        let before = self.text.get(..at.offset).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let within = |offset: usize| offset.saturating_sub(start).min(line.len());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        // The library's errors about certificates say what to do behind the first semicolon.
        let (message, remedy) = message.split_once("; ").unwrap_or((message, ""));
        Diagnostic {
            severity,
            file: self.name.clone(),
            line: number(1 + before.matches('\n').count()),
            column: number(1 + self.text.get(start..at.offset).map_or(0, |text| text.chars().count())),
            key: key.to_owned(),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
            excerpt: Some(Excerpt { line: line.to_owned(), start: within(at.offset), end: within(at.end) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> MainFile {
        MainFile { name: "gatepost.toml".into(), folder: "/etc/gatepost".into(), text: text.into() }
    }

    #[test]
    fn a_path_is_found_however_it_is_written_and_whatever_is_wrong_beside_it() {
        for (text, expected) in [
            ("[admin]\nsocket = \"/run/a.sock\"", Some("/run/a.sock")),
            ("admin.socket = \"a.sock\"\nunknown = 1", Some("/etc/gatepost/a.sock")),
            ("admin = { socket = 'a.sock' }\nhostname = ", Some("/etc/gatepost/a.sock")),
            ("[admin]\nsocket = 5", None),
            ("[admin]\nsocket = \"\"", None),
            ("admin = \"socket\"", None),
            ("", None),
        ] {
            assert_eq!(file(text).path_at("admin", "socket").as_deref(), expected.map(Path::new), "{text}");
        }
    }

    #[test]
    fn certificates_are_found_with_their_lines() {
        let file =
            file("x = 1\n[[certificate]]\nchain = \"a.pem\"\nkey = \"a.key\"\n[[certificate]]\nchain = \"b.pem\"\n");
        let pairs = file.certificates();
        assert_eq!(pairs.len(), 1);
        let finding = file.finding(Severity::Error, ("certificate.key", &pairs[0].key), "no key; write one");
        assert_eq!(finding.to_string(), "gatepost.toml:4:7: error: certificate.key: no key (write one)");
        let excerpt = finding.excerpt.unwrap();
        assert_eq!(
            (&excerpt.line[excerpt.start..excerpt.end], pairs[0].chain.path.as_path()),
            ("\"a.key\"", Path::new("/etc/gatepost/a.pem"))
        );
    }
}
