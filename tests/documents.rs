//! The documents keep their word: what they name exists, what they quote is so, and their example loads.
//!
//! `tests/tidy.rs` checks that each path below `src`, `tests` and `benches` exists. A broken promise is reported as
//! `document: what is wrong`.

#[path = "documents/configuration.rs"]
mod configuration;
#[path = "documents/metrics.rs"]
mod metrics;
#[path = "documents/reference.rs"]
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn each_row_of_the_protocol_table_names_code_and_tests_that_exist() {
    let tests = test_names();
    let mut broken = Vec::new();
    let rows: Vec<_> = rows("docs/PROTOCOL.md").into_iter().filter(|row| row.len() == 4).collect();
    assert!(rows.len() > 20, "the table of docs/PROTOCOL.md has the columns RFC, what, code, tests");
    for row in &rows {
        let (code, named) = (quoted(&row[2]), quoted(&row[3]));
        if code.is_empty() || named.is_empty() {
            broken.push(format!("{} {}: names no code or no test", row[0], row[1]));
        }
        let missing_code = code.iter().filter(|path| !root().join(path).is_file());
        broken.extend(missing_code.map(|path| format!("{} {}: there is no file {path}", row[0], row[1])));
        let missing_tests = named.iter().filter(|name| !tests.contains(*name));
        broken.extend(missing_tests.map(|name| format!("{} {}: there is no test {name}", row[0], row[1])));
    }
    report("docs/PROTOCOL.md", &broken);
}

#[test]
fn each_invariant_of_the_architecture_names_a_test_that_exists() {
    let tests = test_names();
    let text = read("docs/ARCHITECTURE.md");
    let invariants: Vec<String> = items(&text).into_iter().filter(|item| item.starts_with("Invariant:")).collect();
    assert!(invariants.len() > 10, "docs/ARCHITECTURE.md lists its invariants as items that start with `Invariant:`");
    let is_backed = |item: &&String| quoted(item).iter().any(|name| tests.contains(name));
    let unbacked: Vec<String> = invariants.iter().filter(|item| !is_backed(item)).cloned().collect();
    report("docs/ARCHITECTURE.md: no test that exists is named", &unbacked);
    let unknown = invariants.iter().flat_map(|item| quoted(item)).filter(|name| {
        let is_test_name = name.matches('_').count() > 2 && !name.contains(['.', '/', ':']);
        is_test_name && !tests.contains(name)
    });
    report("docs/ARCHITECTURE.md: there is no such test", &unknown.collect::<Vec<_>>());
}

#[test]
fn every_module_stands_in_the_code_map() {
    let mapped: BTreeSet<String> =
        rows("docs/ARCHITECTURE.md").iter().filter_map(|row| row.first()).flat_map(|cell| quoted(cell)).collect();
    let modules = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let names = modules.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let missing: Vec<String> = names.filter(|name| name != "lib" && name != "main" && !mapped.contains(name)).collect();
    report("docs/ARCHITECTURE.md: missing in the code map", &missing);
}

#[test]
fn dependencies_are_those_of_the_manifest_in_the_versions_that_it_asks_for() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let mut asked = BTreeSet::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, value) in manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
            let version = value.get("version").unwrap_or(value).as_str().unwrap();
            asked.insert(format!("{name} {version}"));
        }
    }
    let rows = rows("docs/dependencies.md").into_iter().filter(|row| row.len() == 5);
    let explained: BTreeSet<String> = rows.map(|row| format!("{} {}", row[0].trim_matches('`'), row[1])).collect();
    report("docs/dependencies.md: missing", &asked.difference(&explained).cloned().collect::<Vec<_>>());
    report("docs/dependencies.md: not in Cargo.toml", &explained.difference(&asked).cloned().collect::<Vec<_>>());
}

#[test]
fn the_queue_format_lists_every_kind_of_entry() {
    let code = read("src/spool/entry.rs");
    let kinds = code.lines().filter_map(|line| line.trim().split_once("const KIND_")?.1.strip_suffix(';'));
    let kinds: BTreeSet<String> = kinds
        .filter_map(|kind| kind.split_once(": u8 = "))
        .map(|(name, number)| format!("{number} {}", name.to_lowercase()))
        .collect();
    assert!(!kinds.is_empty(), "src/spool/entry.rs declares its kinds as `const KIND_NAME: u8 = N;`");
    let is_kind = |row: &Vec<String>| row.len() == 4 && row[1].chars().all(char::is_alphabetic);
    let listed: BTreeSet<String> =
        rows("docs/QUEUE_FORMAT.md").into_iter().filter(is_kind).map(|row| format!("{} {}", row[0], row[1])).collect();
    assert_eq!(listed, kinds);
}

#[test]
fn the_example_configuration_of_the_readme_loads_without_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let names = write_examples("README.md", folder.path());
    assert_eq!(
        names.first(),
        Some(&"gatepost.toml".to_owned()),
        "the first line of each block of TOML is `# file name`"
    );
    let (config, warnings) = gatepost::config::load(&folder.path().join("gatepost.toml")).unwrap();
    assert_eq!(warnings, []);
    for domain in ["bank.example", "partner.example"] {
        let domain = gatepost::model::domain::Domain::parse(domain).unwrap();
        assert!(config.policies.find(&domain).is_some(), "{domain}: its file is part of the example");
    }
}

#[test]
fn the_cases_of_the_policy_page_are_answered_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    write_examples("README.md", folder.path());
    let names = write_examples("docs/POLICY.md", folder.path());
    assert!(names.iter().any(|name| name == "tests.d/bank.toml"), "{names:?}");
    let config = folder.path().join("gatepost.toml").into_os_string();
    let args = ["gatepost".into(), "--config".into(), config, "policy".into(), "test".into()];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = gatepost::cli::run(args, &mut out, &mut err);
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    assert!(exit == 0 && out.contains("all as expected"), "{out}{err}");
}

#[test]
fn the_starter_configuration_names_every_key() {
    let templates = read("config/gatepost.toml") + &read("config/domains.d/example.toml");
    let is_no_key = |c: char| !(c.is_alphanumeric() || c == '_');
    let assigned = templates.split(" =").filter_map(|before| before.rsplit(is_no_key).next());
    let headers = templates.lines().filter_map(|line| line.trim_start_matches(['#', ' ']).strip_prefix('['));
    let named: BTreeSet<&str> = assigned.chain(headers.flat_map(|header| header.split(is_no_key))).collect();
    let mut files = Vec::new();
    collect_sources(&root().join("src/config"), &mut files);
    let of_cases = root().join("src/config/cases");
    let mut missing = BTreeSet::new();
    for file in files.iter().filter(|file| !file.starts_with(&of_cases)) {
        let text = fs::read_to_string(file).unwrap();
        for call in [".get(\"", ".require(\"", ".section(\"", ".sections(\"", "number(\""] {
            let keys = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            missing.extend(keys.filter(|key| !named.contains(key)).map(str::to_owned));
        }
    }
    report("config/", &missing.into_iter().collect::<Vec<_>>());
}

/// Writes the blocks of TOML whose first line is `# file name`, and gives those names.
fn write_examples(document: &str, folder: &Path) -> Vec<String> {
    let text = read(document);
    let write = |block: &str| {
        let block = block.split("\n```").next().unwrap();
        let (name, content) = block.split_once('\n').unwrap();
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("# {name}\n{content}\n")).unwrap();
        name.to_owned()
    };
    text.split("\n```toml\n# ").skip(1).map(write).collect()
}

#[test]
fn links_lead_to_files_of_the_repository() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = Path::new(&document).parent().unwrap();
        let text = read(&document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            if !root().join(folder).join(target).exists() {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    report("links that lead nowhere", &broken);
}

#[test]
fn tables_items_and_quotes_are_read_as_written() {
    let table = "| a | b |\n|---|---|\n| `x` | y `z` |\n\ntext | no row\n";
    assert_eq!(rows_of(table), [["`x`", "y `z`"]]);
    assert_eq!(items("* one\n  goes on\n* two\n\nother\n"), ["one goes on", "two"]);
    assert_eq!(quoted("see `a_b`, `c` and d"), ["a_b", "c"]);
}

/// Every page: the README, and what ends in `.md` below docs and config.
fn documents() -> Vec<String> {
    let mut files = vec![root().join("README.md")];
    for folder in ["docs", "config"] {
        collect(&root().join(folder), "md", &mut files);
    }
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    files.iter().map(name).collect()
}

fn report(what: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{what}:\n{}\n", broken.join("\n"));
}

/// The tree that cargo runs the test for.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rows(document: &str) -> Vec<Vec<String>> {
    rows_of(&read(document))
}

/// The rows of all tables, without their heads.
fn rows_of(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("|--"));
    let is_row = |at: &usize| lines[*at].starts_with('|') && !is_rule(lines.get(*at)) && !is_rule(lines.get(at + 1));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    (0..lines.len()).filter(is_row).map(|at| cells(lines[at])).collect()
}

/// The items of all lists, each on one line.
fn items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        if let Some(start) = line.strip_prefix("* ") {
            items.push(start.to_owned());
            is_open = true;
        } else if let Some(last) = items.last_mut().filter(|_| is_open && line.starts_with("  ")) {
            last.push(' ');
            last.push_str(line.trim());
        } else {
            is_open = false;
        }
    }
    items
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of all tests: functions right behind an attribute whose path ends in `test`.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    collect_sources(&root().join("src"), &mut files);
    collect_sources(&root().join("tests"), &mut files);
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let is_attribute = line.starts_with("#[");
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some(name) = function.and_then(|rest| rest.split('(').next()).filter(|_| is_test) {
                names.insert(name.to_owned());
            }
            is_test &= is_attribute;
        }
    }
    names
}

fn collect_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    collect(folder, "rs", files);
}

fn collect(folder: &Path, wanted: &str, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, wanted, files);
        } else if path.extension().is_some_and(|extension| extension == wanted) {
            files.push(path);
        }
    }
}
