//! The files of the repository, and how a broken rule is reported.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::mask::mask;
use crate::scan::{self, TestItem, Token};

pub static TREE: LazyLock<Tree> = LazyLock::new(Tree::load);

pub struct Tree {
    pub sources: Vec<Source>,
}

/// A Rust file. `path` is relative to the repository, with slashes.
pub struct Source {
    pub path: String,
    pub text: String,
    /// The text without comments and literals, line for line.
    pub code: String,
    /// The whole file is test code.
    pub is_test: bool,
    test_items: Vec<TestItem>,
}

impl Tree {
    fn load() -> Self {
        let paths = ["src", "tests", "benches"].into_iter().flat_map(|folder| files_below(folder, "rs"));
        Self::new(paths.map(|path| Source::new(&path, &read(&path))).collect())
    }

    /// The tree of these files; those that hold modules declared under `#[cfg(test)]` are marked as tests.
    pub fn new(mut sources: Vec<Source>) -> Self {
        let tests: BTreeSet<String> = sources.iter().flat_map(Source::test_files).collect();
        for source in &mut sources {
            let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
            source.is_test |= tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")));
        }
        Self { sources }
    }

    /// The files under `src` but for its root, as far as they are no tests.
    pub fn modules(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| !source.is_test && source.path != "src/lib.rs")
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = mask(text);
        let test_items = scan::test_items(&scan::tokens(&code));
        Self { is_test: !path.starts_with("src/"), path: path.into(), text: text.into(), code, test_items }
    }

    pub fn tokens(&self) -> Vec<Token<'_>> {
        scan::tokens(&self.code)
    }

    /// Each token with the one behind it, and the line of the first.
    pub fn token_pairs(&self) -> Vec<(usize, [&str; 2])> {
        self.tokens().windows(2).map(|pair| (pair[0].line, [pair[0].text, pair[1].text])).collect()
    }

    pub fn is_test_line(&self, line: usize) -> bool {
        self.is_test || self.test_items.iter().any(|item| (item.first_line..=item.last_line).contains(&line))
    }

    /// The modules that the file is in, outermost first: `src/smtp/server/mod.rs` gives `smtp`, `server`.
    pub fn modules(&self) -> Vec<&str> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let stem = inner.trim_end_matches(".rs");
        stem.strip_suffix("/mod").unwrap_or(stem).split('/').collect()
    }

    /// The files, without their ending, that hold the modules which are declared under `#[cfg(test)]`.
    fn test_files(&self) -> Vec<String> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let own_folder = match self.path.strip_suffix("/mod.rs").or_else(|| self.path.strip_suffix("/lib.rs")) {
            Some(folder) => folder,
            None => self.path.trim_end_matches(".rs"),
        };
        let elsewhere = self.test_items.iter().filter_map(|item| {
            let name = item.module_elsewhere.as_ref()?;
            let attribute = self.text.lines().take(item.last_line).skip(item.first_line - 1);
            let path = attribute.filter_map(|line| line.split_once("path = \"")).map(|(_, path)| path).next();
            Some(match path.and_then(|path| path.split_once('"')) {
                Some((path, _)) => format!("{folder}/{}", path.trim_end_matches(".rs")),
                None => format!("{own_folder}/{name}"),
            })
        });
        elsewhere.collect()
    }
}

/// Fails with all broken rules, one a line: `file:line: what is wrong; remedy`.
pub fn report(broken: &[String]) {
    assert!(broken.is_empty(), "{} to tidy:\n{}\n", broken.len(), broken.join("\n"));
}

/// The tree that cargo runs the test for, which need not be the one where the binary was built.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// A file by its path in the repository; empty if there is none.
pub fn read(path: &str) -> String {
    fs::read(root().join(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The files with this ending in the folder and all below it, in order; build output is left out.
pub fn files_below(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in names_in(&root().join(folder)) {
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            if name != "target" {
                found.extend(files_below(&path, ending));
            }
        } else if Path::new(&name).extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

/// The names in a folder, in order; none if it does not exist.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
