//! The house rules as tests: layers, sizes, names, and that the documents tell the truth about the tree.
//!
//! Each broken rule is reported as `file:line: what is wrong; remedy`. A rule bends only in a table, with a reason:
//! layers in `tests/tidy/layers.rs`, long functions and sleep here.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/mask.rs"]
mod mask;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/tree.rs"]
mod tree;

use tree::{Source, TREE, files_below, names_in, read, report, root};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 120;

/// Functions that may be longer: path, name, reason. Meant for tables of data in tests.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Files outside of `src` that may sleep: path, reason. Only programs that are no tests.
const SLEEPERS: &[(&str, &str)] = &[
    ("benches/load/sink.rs", "a next hop that is told to be slow"),
    ("benches/load/source.rs", "a sender that waits before it connects again"),
];

const VAGUE_NAMES: &[&str] = &["util", "utils", "manager", "managers", "helper", "helpers", "common", "misc"];

/// Written in two parts, so that this file does not name what it forbids.
const LEFTOVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "config",
    "docs",
    "src",
    "target",
    "tests",
];

#[test]
fn modules_import_strictly_lower_layers() {
    report(&layers::upward_imports(&TREE));
}

#[test]
fn the_lowest_layers_do_no_io_and_read_no_clock() {
    report(&layers::impure_uses(&TREE));
}

#[test]
fn files_are_short() {
    let long = TREE.sources.iter().map(|source| (source, source.text.lines().count()));
    let long = long.filter(|(_, lines)| *lines > FILE_LINES_MAX);
    let remedy = "split it by purpose, tests into a submodule";
    let report_of = |(source, lines): (&Source, usize)| {
        format!("{}:{lines}: {lines} lines, at most {FILE_LINES_MAX}; {remedy}", source.path)
    };
    report(&long.map(report_of).collect::<Vec<_>>());
}

#[test]
fn functions_are_short() {
    let (mut broken, mut excused) = (Vec::new(), Vec::new());
    for source in &TREE.sources {
        let functions = scan::functions(&source.tokens());
        for function in functions.into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX) {
            let scan::Function { name, line, lines } = function;
            let excuse = LONG_FUNCTIONS.iter().find(|(path, long, _)| *path == source.path && *long == name);
            match excuse {
                Some(excuse) => excused.push(excuse),
                None => {
                    let what = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
                    broken.push(format!("{}:{line}: {what}; name its parts and call them", source.path));
                }
            }
        }
    }
    for (path, name, _) in LONG_FUNCTIONS.iter().filter(|entry| !excused.contains(entry)) {
        broken.push(format!("tests/tidy.rs: `{name}` of {path} is short or gone; drop it from LONG_FUNCTIONS"));
    }
    report(&broken);
}

#[test]
fn lines_fit_unless_an_address_makes_them_long() {
    let mut broken = Vec::new();
    for (source, number, line) in lines() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX && !line.contains("://") {
            let what = format!("{columns} columns, at most {LINE_COLUMNS_MAX}");
            broken.push(format!("{}:{number}: {what}; break the line, rustfmt leaves comments alone", source.path));
        }
    }
    report(&broken);
}

#[test]
fn every_file_opens_with_its_purpose() {
    let mut broken = Vec::new();
    for source in &TREE.sources {
        if !source.text.starts_with("//! ") {
            broken.push(format!("{}:1: does not start with `//! `; say in a line what the file is for", source.path));
        }
        let header = source.text.lines().take_while(|line| line.starts_with("//!"));
        let is_module_root = source.path.starts_with("src/") && source.path.matches('/').count() == 2;
        let says_limits = header.into_iter().any(|line| line.contains("Must not:"));
        if is_module_root && source.path.ends_with("/mod.rs") && !says_limits {
            let remedy = "add a `//! Must not: …` line: what may never come in here";
            broken.push(format!("{}:1: the module does not say its limits; {remedy}", source.path));
        }
    }
    report(&broken);
}

#[test]
fn module_names_say_what_is_inside() {
    let mut broken = Vec::new();
    for source in &TREE.sources {
        let stem = source.path.trim_end_matches(".rs");
        if let Some(vague) = stem.split(['/', '_']).find(|word| VAGUE_NAMES.contains(word)) {
            broken.push(format!("{}:1: `{vague}` says nothing; name the module after what it holds", source.path));
        }
    }
    report(&broken);
}

#[test]
fn nothing_is_left_for_later() {
    let mut broken = Vec::new();
    for (source, number, line) in lines() {
        let words = || line.split(|c: char| !c.is_ascii_alphanumeric());
        if let Some(word) = LEFTOVERS.iter().find(|word| words().any(|other| other == **word)) {
            broken.push(format!("{}:{number}: `{word}`; do it now, or open an issue and drop the note", source.path));
        }
    }
    let remedy = "write the code, or drop the test";
    for source in &TREE.sources {
        for (line, pair) in source.token_pairs() {
            if let ["todo" | "unimplemented", "!"] | ["[", "ignore"] = pair {
                broken.push(format!("{}:{line}: `{}`; {remedy}", source.path, pair.concat()));
            }
        }
    }
    report(&broken);
}

#[test]
fn tests_wait_for_events_and_never_for_time() {
    let remedy = "wait for the event itself, or pass the time in";
    let mut broken = Vec::new();
    let may_sleep = |source: &Source| SLEEPERS.iter().any(|(path, _)| *path == source.path);
    for source in TREE.sources.iter().filter(|source| !may_sleep(source)) {
        for (line, pair) in source.token_pairs() {
            if pair == ["sleep", "("] && source.is_test_line(line) {
                broken.push(format!("{}:{line}: a test sleeps; {remedy}", source.path));
            }
        }
    }
    report(&broken);
}

#[test]
fn the_top_level_holds_only_what_tools_expect_there() {
    let names = names_in(&root());
    let strange = names.iter().filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()));
    let broken =
        strange.map(|name| format!("{name}: not at the top level; put it into config, docs, tests or benches"));
    report(&broken.collect::<Vec<_>>());
}

#[test]
fn every_dependency_is_explained() {
    let explained = read("docs/dependencies.md");
    if explained.is_empty() {
        report(&["docs/dependencies.md:1: missing; say there what each dependency is for and why this one".into()]);
    }
    let mut broken = Vec::new();
    let mut in_dependencies = false;
    for (index, line) in read("Cargo.toml").lines().enumerate() {
        let name = if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            in_dependencies = section.ends_with("dependencies");
            section.split_once("dependencies.").map(|(_, name)| name)
        } else {
            line.split_once('=').filter(|_| in_dependencies && !line.starts_with(['#', ' '])).map(|(name, _)| name)
        };
        let name = name.and_then(|name| name.trim().split('.').next());
        if let Some(name) = name.filter(|name| !mentions(&explained, name)) {
            let remedy = "say in docs/dependencies.md what it is for and why this one";
            broken.push(format!("Cargo.toml:{}: `{name}` is not explained; {remedy}", index + 1));
        }
    }
    report(&broken);
}

#[test]
fn documents_name_only_paths_that_exist() {
    let mut documents = files_below("docs", "md");
    documents.push("README.md".into());
    let mut broken = Vec::new();
    for document in documents {
        for (index, line) in read(&document).lines().enumerate() {
            for path in paths_in(line).filter(|path| !root().join(path).exists()) {
                broken.push(format!("{document}:{}: `{path}` does not exist; mend the document", index + 1));
            }
        }
    }
    report(&broken);
}

#[test]
fn paths_are_found_in_prose() {
    for (line, expected) in [
        ("see `src/smtp/mod.rs`, then src/policy/.", vec!["src/smtp/mod.rs", "src/policy/"]),
        ("[map](src/lib.rs) and tests/tidy.rs:12", vec!["src/lib.rs", "tests/tidy.rs"]),
        ("postfix/src/smtpd, https://example.org/src/x, my-tests/y", vec![]),
        ("src/{a,b}.rs, src/*.rs and the folder src", vec!["src/", "src/"]),
    ] {
        assert_eq!(paths_in(line).collect::<Vec<_>>(), expected, "{line}");
    }
}

/// The paths below `src`, `tests` and `benches` that a line of prose names, up to the first character that is none.
fn paths_in(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "/_.-".contains(c)));
    let is_ours = |word: &&str| ["src/", "tests/", "benches/"].iter().any(|folder| word.starts_with(folder));
    words.filter(is_ours).map(|word| word.trim_end_matches('.'))
}

fn mentions(text: &str, name: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c))).any(|word| word == name)
}

fn lines() -> impl Iterator<Item = (&'static Source, usize, &'static str)> {
    let numbered = |source: &'static Source| source.text.lines().zip(1..).map(move |(line, n)| (source, n, line));
    TREE.sources.iter().flat_map(numbered)
}
