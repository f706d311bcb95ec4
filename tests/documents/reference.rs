//! The pages of docs/reference that are made from the program itself: its commands, the fields of its audit records,
//! and the replies that it gives. `WRITE_REFERENCE=1 cargo test --test documents` writes the first two anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::{collect_sources, quoted, read, report, root, rows};

const WRITE: &str = "WRITE_REFERENCE";
const COMMANDS: &str = "docs/reference/commands.md";
const AUDIT: &str = "docs/reference/audit.md";
const REPLIES: &str = "docs/reference/replies.md";
const COMMANDS_HEAD: &str = "# Commands

What `gatepost COMMAND --help` prints, for every command. `gatepost man DIR` writes the same as manual pages.

Exit codes: 0 done, 1 the answer is no, 2 wrong usage or configuration, 3 the daemon or a destination could not be
reached. With `--json` the result is one JSON value on standard output, or one a line where the command says so; errors
are text on standard error.
";
const AUDIT_HEAD: &str = "# Audit records

The fields of a record, from [audit.schema.json](../audit.schema.json), which every record is held against in the tests.
What the log proves, and how its files are made: [AUDIT.md](../AUDIT.md).
";
/// The columns of a terminal.
const WIDTH: usize = 80;

#[test]
fn the_page_of_commands_says_what_the_program_says_and_help_fits_a_terminal() {
    let mut page = COMMANDS_HEAD.to_owned();
    add_command(&mut page, &[]);
    hold_against(COMMANDS, &page);
    let shown = page.split("```text\n").skip(1).filter_map(|block| block.split("```").next()).flat_map(str::lines);
    let wide = shown.filter(|line| line.chars().count() > WIDTH);
    report("wider than 80 columns", &wide.map(str::to_owned).collect::<Vec<_>>());
}

fn add_command(page: &mut String, words: &[&str]) {
    let help = help(words);
    let name = [&["gatepost"], words].concat().join(" ");
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    for below in commands_below(&help) {
        add_command(page, &[words, &[below.as_str()]].concat());
    }
}

fn help(words: &[&str]) -> String {
    let args = ["gatepost"].iter().chain(words).chain(&["--help"]).map(Into::into);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = gatepost::cli::run(args, &mut out, &mut err);
    let help = without_colour(&String::from_utf8(out).unwrap());
    assert!(exit == 0 && !help.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&err));
    // `[env: NAME=value]` tells of this machine.
    let without_value = |rest: &str| rest.find(']').map(|end| rest[end..].to_owned());
    let mut parts = help.split("[env: GATEPOST_CONFIG=");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(without_value).fold(first, |text, rest| text + "[env: GATEPOST_CONFIG" + &rest)
}

fn without_colour(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.filter_map(|piece| piece.split_once('m')).fold(first, |text, (_, rest)| text + rest)
}

/// The names at the begin of the lines below `Commands:`.
fn commands_below(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let name = |line: &str| {
        line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?.split(' ').next().map(str::to_owned)
    };
    listed.filter_map(name).filter(|name| name != "help").collect()
}

#[test]
fn the_page_of_audit_records_says_what_the_schema_says() {
    let schema: Value = serde_json::from_str(&read("docs/audit.schema.json")).unwrap();
    let mut page = AUDIT_HEAD.to_owned();
    writeln!(page, "\n{}\n", text(&schema["description"])).unwrap();
    add_fields(&mut page, &schema);
    for (name, part) in schema["$defs"].as_object().unwrap() {
        if part["properties"].is_object() {
            writeln!(page, "\n## {name}\n\n{}\n", text(&part["description"])).unwrap();
            add_fields(&mut page, part);
        } else {
            writeln!(page, "\n## {name}\n\n{} Values: {}.", text(&part["description"]), values(part)).unwrap();
        }
    }
    hold_against(AUDIT, &page);
}

fn add_fields(page: &mut String, part: &Value) {
    page.push_str("| field | value | meaning |\n|---|---|---|\n");
    let required: BTreeSet<&str> =
        part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in part["properties"].as_object().unwrap() {
        let optional = if required.contains(name.as_str()) { "" } else { " May be left out." };
        writeln!(page, "| `{name}` | {} | {}{optional} |", values(field), text(&field["description"])).unwrap();
    }
}

fn text(description: &Value) -> String {
    description.as_str().unwrap_or_default().replace('|', "\\|")
}

/// What a value may be, in a cell.
fn values(field: &Value) -> String {
    if let Some(part) = field["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{part}](#{part})");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(ways) = field[key].as_array() {
            return ways.iter().map(values).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(words) = field["enum"].as_array() {
        return words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or("null")))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(word) = field.get("const") {
        return format!("`{}`", word.to_string().trim_matches('"'));
    }
    let kinds: Vec<&str> = match &field["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let of = if field["items"].is_object() { format!(" of {}", values(&field["items"])) } else { String::new() };
    let pattern = field["pattern"].as_str().map(|pattern| format!(" `{}`", pattern.replace('|', "\\|")));
    format!("{}{of}{}", kinds.join(" or "), pattern.unwrap_or_default())
}

#[test]
fn each_reply_of_the_code_stands_on_the_page_of_replies_and_no_other_does() {
    let mut files = Vec::new();
    for folder in ["src/smtp/server", "src/inbound", "src/policy"] {
        collect_sources(&root().join(folder), &mut files);
    }
    let is_test = |path: &&std::path::PathBuf| path.to_string_lossy().contains("test");
    let sources: String =
        files.iter().filter(|path| !is_test(path)).map(|path| fs::read_to_string(path).unwrap()).collect();
    let names = code_names();
    let given: BTreeSet<String> =
        sources.match_indices("Code::").filter_map(|(at, _)| pair(&sources[at..], &names)).collect();
    assert!(given.len() > 20, "{given:?}");
    let rows = rows(REPLIES);
    let described: BTreeSet<String> = rows.iter().filter_map(|row| quoted(&row[0]).into_iter().next()).collect();
    report("given by the code, not on the page", &given.difference(&described).cloned().collect::<Vec<_>>());
    report("on the page, not in the code", &described.difference(&given).cloned().collect::<Vec<_>>());
    let code = sources.split_whitespace().collect::<Vec<_>>().join(" ");
    let literal = |word: &String| code.contains(word.as_str());
    let texts = rows.iter().flat_map(|row| quoted(&row[1]));
    report("texts that the code does not have", &texts.filter(|word| !literal(word)).collect::<Vec<_>>());
}

/// The constants of `Code`: name and number.
fn code_names() -> Vec<(String, String)> {
    let code = read("src/model/reply.rs");
    let constants = code.split("pub const ").skip(1).filter_map(|rest| rest.split_once(": Self = Self("));
    constants.map(|(name, rest)| (name.to_owned(), rest.split(')').next().unwrap().to_owned())).collect()
}

/// `550 5.7.1` of `Code::REFUSED, EnhancedCode::new(5, 7, 1)` and of `Code::REFUSED, 5, (7, 1)`.
fn pair(text: &str, names: &[(String, String)]) -> Option<String> {
    let rest = text.strip_prefix("Code::")?;
    let (name, number) =
        names.iter().find(|(name, _)| rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(',')))?;
    let rest = rest[name.len() + 1..].trim_start();
    let enhanced = rest
        .strip_prefix("EnhancedCode::new(")
        .or_else(|| rest.starts_with(|c: char| c.is_ascii_digit()).then_some(rest))?;
    let digits: Vec<String> = enhanced
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .take(3)
        .map(str::to_owned)
        .collect();
    Some(format!("{number} {}", digits.join(".")))
}

/// Compares a page with what it should be, or writes it.
fn hold_against(path: &str, page: &str) {
    if std::env::var_os(WRITE).is_some() {
        fs::write(root().join(path), page).unwrap();
    }
    let file = fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(file == page, "{path} is not what the program says; write it anew: {WRITE}=1 cargo test --test documents");
}
