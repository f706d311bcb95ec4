//! The folder of a Postfix: its files, looked for where the copy has them, and the tables and lists that they hold.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::os_error;
use crate::postfix::Place;
use crate::postfix::lines::{items, logical_lines};
use crate::postfix::lists::{DomainList, Item, Of};
use crate::postfix::parameters::Parameters;
use crate::postfix::tables::{Named, Table, named};

use super::report::Notes;

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// Files inside of files of lists.
const LIST_DEPTH_MAX: usize = 8;
/// Where a Postfix has its configuration.
const HOMES: [&str; 2] = ["/etc/postfix", "/usr/local/etc/postfix"];

/// The copy of the folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// What `dir` is a copy of, as far as paths in it say.
    homes: Vec<PathBuf>,
    /// The root of the copied system, if the copy is one of a whole tree.
    root: Option<PathBuf>,
}

impl Folder {
    pub(super) fn new(dir: &Path, parameters: Option<&Parameters>) -> Self {
        let written = parameters.map(|parameters| parameters.text("config_directory"));
        let homes = HOMES.into_iter().map(PathBuf::from).chain(written.map(PathBuf::from)).collect();
        let root = dir.ends_with("etc/postfix").then(|| dir.ancestors().nth(2).map(Path::to_owned)).flatten();
        Self { dir: dir.to_owned(), homes, root }
    }

    /// Where a file of the configuration is found here, if it is.
    pub(super) fn find(&self, written: &str) -> Option<PathBuf> {
        self.candidates(written).into_iter().find(|path| path.is_file())
    }

    pub(super) fn find_folder(&self, written: &str) -> Option<PathBuf> {
        self.candidates(written).into_iter().find(|path| path.is_dir())
    }

    fn candidates(&self, written: &str) -> Vec<PathBuf> {
        let path = Path::new(written.trim());
        let below = self.homes.iter().find_map(|home| path.strip_prefix(home).ok()).or_else(|| below_instance(path));
        let copied = below.map(|rest| self.dir.join(rest));
        let relative = path.is_relative().then(|| self.dir.join(path));
        let rooted = self.root.as_ref().and_then(|root| Some(root.join(path.strip_prefix("/").ok()?)));
        let own = path.is_absolute().then(|| path.to_owned());
        [copied, relative, rooted, own].into_iter().flatten().collect()
    }

    /// The text of a file of the configuration.
    pub(super) fn read(&self, written: &str) -> Result<String, String> {
        let path = self.find(written).ok_or_else(|| "it is not in the folder, nor on this machine".to_owned())?;
        read(&path)
    }

    /// The tables that a parameter lists; those that cannot be had are told.
    pub(super) fn tables(&self, parameters: &Parameters, name: &str, notes: &mut Notes) -> Vec<Arc<Table>> {
        let place = parameters.place(name).cloned().unwrap_or_else(|| Place::new("main.cf", 1));
        let value = parameters.text(name);
        named(&value, &place).iter().filter_map(|named| self.table(named, (name, &place), notes)).collect()
    }

    fn table(&self, named: &Named, (name, place): (&str, &Place), notes: &mut Notes) -> Option<Arc<Table>> {
        match named {
            Named::Inline(table) => Some(Arc::new(table.clone())),
            Named::Static(value) => Some(Arc::new(Table::fixed(value))),
            Named::Foreign { kind, name: table } => {
                let (because, remedy) = foreign(kind);
                notes.missing((format!("{name}: {table}"), place), because, remedy);
                None
            }
            Named::Source(path) => match self.read(path) {
                Ok(text) => Some(Arc::new(Table { name: path.clone(), ..Table::parse(&text, &short(path)) })),
                Err(why) => {
                    let because = format!("the text file of the table cannot be read: {why}");
                    notes.missing((format!("{name}: {path}"), place), because, "copy it too, and import again");
                    None
                }
            },
        }
    }

    /// A list of names, with the files and tables that it names.
    pub(super) fn list(&self, parameters: &Parameters, name: &str, notes: &mut Notes) -> DomainList {
        let place = parameters.place(name).cloned().unwrap_or_else(|| Place::new("main.cf", 1));
        let mut list = DomainList::default();
        self.add(&mut list, (&parameters.text(name), &place), (name, 0), notes);
        list
    }

    fn add(
        &self,
        list: &mut DomainList,
        (text, place): (&str, &Place),
        (name, depth): (&str, usize),
        notes: &mut Notes,
    ) {
        for written in items(text) {
            let (negated, item) = written.strip_prefix('!').map_or((false, written), |item| (true, item));
            if item.starts_with('/') && depth < LIST_DEPTH_MAX {
                self.add_file(list, item, (name, depth, place), notes);
            } else if item.contains(':') && !item.starts_with('[') {
                for named in named(item, place) {
                    let table = self.table(&named, (name, place), notes);
                    list.items.extend(table.map(|table| Item { negated, of: Of::Table(table), place: place.clone() }));
                }
            } else {
                list.items.push(Item { negated, of: Of::Name(item.to_ascii_lowercase()), place: place.clone() });
            }
        }
    }

    fn add_file(
        &self,
        list: &mut DomainList,
        path: &str,
        (name, depth, place): (&str, usize, &Place),
        notes: &mut Notes,
    ) {
        match self.read(path) {
            Ok(text) => {
                let file = short(path);
                for line in logical_lines(&text) {
                    let place = Place { file: file.clone(), line: line.number };
                    self.add(list, (&line.text, &place), (name, depth + 1), notes);
                }
            }
            Err(why) => notes.missing(
                (format!("{name}: {path}"), place),
                format!("the list cannot be read: {why}"),
                "copy it too, and import again",
            ),
        }
    }
}

/// What stands below the folder of one of several instances: `/etc/postfix-out/transport`.
fn below_instance(path: &Path) -> Option<&Path> {
    HOMES.iter().filter_map(|home| Path::new(home).parent()).find_map(|above| {
        let mut parts = path.strip_prefix(above).ok()?.components();
        let folder = parts.next()?.as_os_str().to_str()?;
        folder.starts_with("postfix").then_some(parts.as_path())
    })
}

/// The file without its folder, for places.
fn short(path: &str) -> Arc<str> {
    Path::new(path).file_name().map_or(path, |name| name.to_str().unwrap_or(path)).into()
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let refused = |error| os_error::why(&error).into_owned();
    let file = fs::File::open(path).map_err(refused)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(refused)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Why a table of this type is left out, and what to do.
fn foreign(kind: &str) -> (String, &'static str) {
    let remedy = match kind {
        "regexp" | "pcre" => "write a domain file with \"*.\" for the names that the patterns mean",
        "cidr" => "write the networks where they are meant, such as [relay] trusted",
        "mysql" | "pgsql" | "ldap" | "sqlite" | "mongodb" | "memcache" => {
            "export the entries into a text file, name it by texthash:, and import again"
        }
        "tcp" | "socketmap" | "unix" | "nis" | "netinfo" => {
            "write down what the service answers in a text file, name it by texthash:, and import again"
        }
        "" => "name the table with its type, such as hash:",
        _ => "write the entries into a text file, name it by texthash:, and import again",
    };
    let why = match kind {
        "" => "a table without a type cannot be read".to_owned(),
        "regexp" | "pcre" => "patterns over whole addresses have no equivalent".to_owned(),
        kind => format!("tables of type {kind} are asked by Postfix and cannot be read as a file"),
    };
    (why, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::lists::Parents;
    use crate::postfix::main_cf;

    #[test]
    fn paths_of_the_old_folder_are_found_in_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("etc/postfix");
        fs::create_dir_all(dir.join("maps")).unwrap();
        fs::write(dir.join("maps/transport"), "a.example smtp:\n").unwrap();
        fs::write(folder.path().join("etc/ca.pem"), "x").unwrap();
        let found = Folder::new(&dir, None);
        for (written, is_there) in [
            ("/etc/postfix/maps/transport", true),
            ("/usr/local/etc/postfix/maps/transport", true),
            ("maps/transport", true),
            ("/etc/postfix-out/maps/transport", true),
            ("/etc/ca.pem", true),
            ("/etc/postfix/maps/other", false),
        ] {
            assert_eq!(found.find(written).is_some(), is_there, "{written}");
        }
    }

    #[test]
    fn lists_hold_names_files_and_tables_and_what_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("names"), "# ours\nb.example c.example\n!d.example\n").unwrap();
        fs::write(folder.path().join("table"), "e.example x\n").unwrap();
        let text = "relay_domains = A.example, /etc/postfix/names hash:/etc/postfix/table\n\
                    \x20 pcre:/etc/postfix/p mysql:/etc/postfix/m hash:/nowhere/t /nowhere/l\n";
        let parameters = Parameters::new(main_cf::parse(text).0, "mx.here.example");
        let mut notes = Notes::default();
        let list = Folder::new(folder.path(), Some(&parameters)).list(&parameters, "relay_domains", &mut notes);
        let place = |domain: &str| list.find(domain, Parents::No).map(ToString::to_string);
        assert_eq!(place("a.example").as_deref(), Some("main.cf:1"));
        assert_eq!(place("c.example").as_deref(), Some("names:2"));
        assert_eq!(place("e.example").as_deref(), Some("table:1"));
        assert_eq!(place("d.example"), None);
        let told: Vec<_> = notes.missing.iter().map(|missing| missing.what.as_str()).collect();
        let expected = [
            "relay_domains: pcre:/etc/postfix/p",
            "relay_domains: mysql:/etc/postfix/m",
            "relay_domains: /nowhere/t",
            "relay_domains: /nowhere/l",
        ];
        assert_eq!(told, expected);
    }
}
