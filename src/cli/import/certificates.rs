//! Certificates, keys and roots that Postfix names: used where they lie, or copied from the folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::postfix::lines::items;
use crate::postfix::parameters::Parameters;
use crate::postfix::tls_client::TlsClient;

use super::keys::Roots;
use super::sources::Folder;

/// Bundles of the roots of a system.
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/certs/ca-bundle.crt",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/usr/local/etc/ssl/cert.pem",
];
const SYSTEM_FOLDERS: &[&str] = &["/etc/ssl/certs", "/etc/pki/tls/certs", "/usr/share/ca-certificates"];
/// Files of a folder of roots.
const ROOTS_MAX: usize = 1000;

/// A file that goes into the new folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) from: PathBuf,
    /// Readable for the owner alone.
    pub(super) secret: bool,
}

/// What is copied, by its path in the new folder.
#[derive(Debug, Default)]
pub(super) struct Copies(pub(super) BTreeMap<String, Copied>);

impl Copies {
    /// How the configuration names a file: by its own path if it lies there, else by that of a copy. `None` where it
    /// cannot be read.
    pub(super) fn name(&mut self, folder: &Folder, written: &str, secret: bool) -> Option<String> {
        let found = folder.find(written)?;
        File::open(&found).ok()?;
        if found == Path::new(written.trim()) {
            return Some(written.trim().to_owned());
        }
        let file = found.file_name()?.to_string_lossy().into_owned();
        let names = (1_u32..).map(|n| if n == 1 { format!("tls/{file}") } else { format!("tls/{n}-{file}") });
        for name in names.take(ROOTS_MAX) {
            match self.0.get_mut(&name) {
                Some(there) if there.from == found => {
                    there.secret |= secret;
                    return Some(name);
                }
                Some(_) => {}
                None => {
                    self.0.insert(name.clone(), Copied { from: found, secret });
                    return Some(name);
                }
            }
        }
        None
    }

    /// The roots that may vouch for destinations of this client, or those of one entry of its table.
    pub(super) fn roots(&mut self, folder: &Folder, client: &TlsClient, ta_files: &[String]) -> Roots {
        if !ta_files.is_empty() {
            return self.files(folder, ta_files.iter().map(String::as_str), false);
        }
        let is_in = |known: &[&str], path: &str| known.contains(&path.trim_end_matches('/'));
        let (file, path) = (client.ca_file.as_str(), client.ca_path.as_str());
        let (system_file, system_path) = (is_in(SYSTEM_FILES, file), is_in(SYSTEM_FOLDERS, path));
        let has_system = system_file || system_path || client.trusts_system;
        if !file.is_empty() && !system_file {
            return self.files(folder, [file].into_iter(), has_system);
        }
        if !path.is_empty() && !system_path {
            return self.folder(folder, path, has_system);
        }
        if has_system { Roots::System } else { Roots::None }
    }

    fn files<'a>(&mut self, folder: &Folder, written: impl Iterator<Item = &'a str>, and_system: bool) -> Roots {
        let mut files = Vec::new();
        for file in written {
            match self.name(folder, file, false) {
                Some(name) => files.push(name),
                None => return Roots::Missing(file.to_owned()),
            }
        }
        Roots::Files { files, and_system }
    }

    fn folder(&mut self, folder: &Folder, path: &str, and_system: bool) -> Roots {
        let found = folder.find_folder(path).and_then(|found| fs::read_dir(found).ok());
        let Some(entries) = found else { return Roots::Missing(path.to_owned()) };
        let is_pem = |name: &String| [".pem", ".crt", ".cer", ".0"].iter().any(|ending| name.ends_with(ending));
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.filter(is_pem).take(ROOTS_MAX).collect();
        names.sort();
        if names.is_empty() {
            return Roots::Missing(path.to_owned());
        }
        let files: Vec<String> = names.iter().map(|name| format!("{}/{name}", path.trim_end_matches('/'))).collect();
        self.files(folder, files.iter().map(String::as_str), and_system)
    }
}

/// A chain and its key as Postfix names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) chain: String,
    pub(super) key: String,
}

/// The pairs of `smtpd` or `smtp`, in the order in which they are offered.
pub(super) fn pairs(folder: &Folder, parameters: &Parameters, program: &str) -> Vec<Pair> {
    let text = |name: &str| parameters.text(&format!("{program}_tls_{name}"));
    let listed = text("chain_files");
    if !listed.is_empty() {
        return chained(folder, &items(&listed));
    }
    let named = [("eccert_file", "eckey_file"), ("cert_file", "key_file")].map(|(chain, key)| (text(chain), text(key)));
    let is_written = |(chain, _): &(String, String)| !chain.is_empty() && chain != "none";
    named.into_iter().filter(is_written).map(|(chain, key)| Pair { chain, key }).collect()
}

/// Each key begins a pair, and the certificates behind it, in its file or in the next one, are its chain. A file that
/// cannot be read counts as both.
fn chained(folder: &Folder, files: &[&str]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for file in files {
        let text = folder.read(file).ok();
        let has = |mark: &str| text.as_ref().is_none_or(|text| text.contains(mark));
        let (has_key, has_chain) = (has("PRIVATE KEY-----"), has("BEGIN CERTIFICATE-----"));
        if has_key {
            pairs.push(Pair { chain: (*file).to_owned(), key: (*file).to_owned() });
        } else if let Some(last) = pairs.last_mut().filter(|last| has_chain && last.chain == last.key) {
            last.chain = (*file).to_owned();
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::main_cf;

    fn parameters(text: &str) -> Parameters {
        Parameters::new(main_cf::parse(text).0, "mx.here.example")
    }

    #[test]
    fn roots_are_those_of_the_system_or_files_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("roots")).unwrap();
        for file in ["own.pem", "roots/a.pem", "roots/readme"] {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let found = Folder::new(folder.path(), None);
        let files = |names: &[&str], and_system| Roots::Files {
            files: names.iter().map(|name| (*name).to_owned()).collect(),
            and_system,
        };
        for (main, ta_files, expected) in [
            ("", vec![], Roots::None),
            ("tls_append_default_CA = yes", vec![], Roots::System),
            ("smtp_tls_CApath = /etc/ssl/certs/", vec![], Roots::System),
            ("smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt", vec![], Roots::System),
            ("smtp_tls_CAfile = /etc/postfix/own.pem", vec![], files(&["tls/own.pem"], false)),
            (
                "smtp_tls_CAfile = /etc/postfix/own.pem\nsmtp_tls_CApath = /etc/ssl/certs",
                vec![],
                files(&["tls/own.pem"], true),
            ),
            ("smtp_tls_CApath = /etc/postfix/roots", vec![], files(&["tls/a.pem"], false)),
            ("smtp_tls_CAfile = /nowhere/x.pem", vec![], Roots::Missing("/nowhere/x.pem".into())),
            ("smtp_tls_CApath = /nowhere", vec![], Roots::Missing("/nowhere".into())),
            ("tls_append_default_CA = yes", vec!["own.pem".to_owned()], files(&["tls/own.pem"], false)),
        ] {
            let client = TlsClient::of(&parameters(main));
            assert_eq!(Copies::default().roots(&found, &client, &ta_files), expected, "{main}");
        }
    }

    #[test]
    fn two_files_of_one_name_are_two_copies_and_a_key_stays_secret() {
        let folder = tempfile::tempdir().unwrap();
        for dir in ["a", "b"] {
            fs::create_dir_all(folder.path().join(dir)).unwrap();
            fs::write(folder.path().join(dir).join("x.pem"), dir).unwrap();
        }
        let (found, mut copies) = (Folder::new(folder.path(), None), Copies::default());
        let names = [("a/x.pem", false), ("b/x.pem", false), ("a/x.pem", true), ("c/x.pem", false)];
        let names = names.map(|(file, secret)| copies.name(&found, file, secret));
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(names, [name("tls/x.pem"), name("tls/2-x.pem"), name("tls/x.pem"), None]);
        assert!(copies.0["tls/x.pem"].secret && !copies.0["tls/2-x.pem"].secret);
    }

    #[test]
    fn pairs_come_from_either_form() {
        let folder = tempfile::tempdir().unwrap();
        let (key, chain) = ("-----BEGIN PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\n");
        for (name, text) in [("k", key.to_owned()), ("c", chain.to_owned()), ("both", format!("{key}{chain}"))] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let found = Folder::new(folder.path(), None);
        let pair = |chain: &str, key: &str| Pair { chain: chain.into(), key: key.into() };
        for (text, expected) in [
            ("", vec![]),
            ("smtpd_tls_cert_file = a.pem", vec![pair("a.pem", "a.pem")]),
            ("smtpd_tls_cert_file = a.pem\nsmtpd_tls_key_file = a.key", vec![pair("a.pem", "a.key")]),
            (
                "smtpd_tls_cert_file = a.pem\nsmtpd_tls_eccert_file = b.pem",
                vec![pair("b.pem", "b.pem"), pair("a.pem", "a.pem")],
            ),
            ("smtpd_tls_chain_files = x.pem, y.pem", vec![pair("x.pem", "x.pem"), pair("y.pem", "y.pem")]),
            ("smtpd_tls_chain_files = k c both", vec![pair("c", "k"), pair("both", "both")]),
            ("smtpd_tls_cert_file = none", vec![]),
        ] {
            assert_eq!(pairs(&found, &parameters(text), "smtpd"), expected, "{text}");
        }
    }
}
