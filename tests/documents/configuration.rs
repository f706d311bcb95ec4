//! docs/reference/configuration.md is the table of keys: compared, or written with WRITE_REFERENCE=1.

use std::fmt::Write as _;
use std::fs;

use gatepost::config::keys::{Effect, Key, Place, Section, Unwritten, Value, sections};

use super::root;

const PAGE: &str = "docs/reference/configuration.md";
/// With this in the environment the page is written.
const WRITE: &str = "WRITE_REFERENCE";
const WIDTH_COLUMNS: usize = 120;

const INTRODUCTION: &str = "\
# Configuration keys

Every key of the main file `gatepost.toml`, of domain files (`domains.d`) and of policy cases (`tests.d`), made from \
the program's own table. `gatepost keys WORD` shows the same on a terminal. What the keys of a policy do together \
stands in [POLICY.md](../POLICY.md).

A file is TOML. Unknown keys are errors. A duration is a whole number with `s`, `m`, `h`, `d` or `w`, such as \
`\"90s\"`; a size has `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB` to `TiB` (powers of 1024). Paths are \
relative to the file that names them. A day begins at 00:00 UTC; a moment says how far it is from UTC.

A change takes effect by `gatepost reload`, but for the keys that are marked *restart*: while one of those differs, \
a reload is refused. A running daemon may read the folders of the system, such as `/etc`, and those of the files \
that it was started with: a file in another folder takes a restart.
";

#[test]
fn the_reference_of_keys_is_that_of_the_program() {
    let made = page();
    let path = root().join(PAGE);
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let at = made.lines().zip(written.lines()).position(|(made, written)| made != written);
    let at = at.unwrap_or_else(|| made.lines().count().min(written.lines().count()));
    assert!(
        made == written,
        "{PAGE}:{}: the program says\n{}\nrun this test with {WRITE}=1",
        at + 1,
        made.lines().nth(at).unwrap_or("no more")
    );
}

fn page() -> String {
    let mut out: String = INTRODUCTION.lines().map(|line| wrapped(line) + "\n").collect();
    let mut explained: Vec<(&'static [Key], &Section)> = Vec::new();
    for section in sections() {
        let titles: Vec<String> = section.places.iter().map(title).collect();
        let below = if section.laid.is_empty() { "" } else { " What is not written of a policy stays as it is below." };
        write!(out, "\n## {}\n\n{}\n", titles.join(", "), wrapped(&format!("{}{below}", section.about))).unwrap();
        let home = |group: &[Key]| explained.iter().find(|(known, _)| *known == group).map(|(_, home)| *home);
        let groups = section.groups.iter().chain(section.laid).copied();
        let (known, fresh): (Vec<&'static [Key]>, Vec<_>) = groups.partition(|group| home(group).is_some());
        if !fresh.is_empty() {
            out.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
            fresh.iter().copied().flatten().for_each(|key| out.push_str(&row(section, key)));
        }
        let mut said: Vec<(String, Vec<String>)> = Vec::new();
        for group in known {
            let names = group.iter().map(|key| format!("`{}`", key.name));
            let home = title(&home(group).unwrap().places[0]);
            match said.last_mut().filter(|(title, _)| *title == home) {
                Some((_, more)) => more.extend(names),
                None => said.push((home, names.collect())),
            }
        }
        for (home, names) in said {
            write!(out, "\n{}\n", wrapped(&format!("As in {home}: {}.", names.join(", ")))).unwrap();
        }
        explained.extend(fresh.into_iter().map(|group| (group, section)));
    }
    out
}

fn title(place: &Place) -> String {
    let header = place.header();
    if place.table.is_empty() { format!("T{}", &header[1..]) } else { format!("`{header}`") }
}

fn row(section: &Section, key: &Key) -> String {
    let value = match key.value {
        Value::Words(_) | Value::Form(_) => with_code(&key.value.in_words()),
        Value::Flag => "`true` or `false`".to_owned(),
        Value::Number(..) => key.value.in_words(),
    };
    let default = match section.unwritten(key) {
        Unwritten::As(text) => format!("`{text}`"),
        Unwritten::Wrong if key.name.contains('.') => "*must be written in it*".to_owned(),
        Unwritten::Wrong => "*must be written*".to_owned(),
        Unwritten::Told(words) => with_code(words),
    };
    let effect = if key.effect == Effect::Restart { " *Restart.*" } else { "" };
    format!("| `{}` | {value} | {default} | {}{effect} |\n", key.name, key.meaning)
}

/// What stands in quotes is code, unless it is already.
fn with_code(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        match index % 2 {
            0 => part.split('"').enumerate().for_each(|(index, part)| match index % 2 {
                0 => out.push_str(part),
                _ => write!(out, "`\"{part}\"`").unwrap(),
            }),
            _ => write!(out, "`{part}`").unwrap(),
        }
    }
    out
}

fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        match line.chars().count() {
            0 => line.push_str(word),
            used if used + 1 + word.chars().count() <= WIDTH_COLUMNS => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[test]
fn what_stands_in_quotes_is_code_and_lines_are_no_longer_than_others() {
    assert_eq!(with_code("\"a\", or \"*.b\", `c = \"d\"`"), "`\"a\"`, or `\"*.b\"`, `c = \"d\"`");
    assert_eq!(wrapped(&"word ".repeat(30)).lines().map(str::len).collect::<Vec<_>>(), [119, 29]);
}
