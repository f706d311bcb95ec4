//! `gatepost keys [WORD...]`: the keys of the configuration, their defaults and what they mean.

use clap::Args;
use serde::Serialize;

use crate::config::keys::{Effect, Key, Place, Section, Unwritten, sections};
use crate::model::human::{shown, wrap};
use crate::model::spelling::edits;

use super::output::{BOLD, Console, DIM, Exit, Failure, WIDTH_COLUMNS};

/// Before what is said of a key.
const INDENT: &str = "    ";
/// How far a misspelt word may be from the one that is suggested.
const SUGGESTION_EDITS_MAX: usize = 2;

#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    /// Only keys that have this in their table, name or meaning, such as "retry" or "listener.tls"; each of several
    #[arg(value_name = "WORD")]
    words: Vec<String>,
}

/// A key where it stands, for programs.
#[derive(Debug, Serialize)]
struct Standing {
    file: &'static str,
    /// Empty for the top of the file.
    table: &'static str,
    key: &'static str,
    value: String,
    required: bool,
    /// TOML.
    default: Option<&'static str>,
    /// What holds without it, in words.
    unwritten: &'static str,
    effect: &'static str,
    meaning: &'static str,
}

/// A key with the places that it has the same meaning in, the one that is asked for first.
struct Entry {
    key: &'static Key,
    places: Vec<(&'static Section, &'static Place)>,
}

pub(super) fn run(asked: &KeysArguments, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let words: Vec<String> = asked.words.iter().map(|word| word.to_lowercase()).collect();
    let found = entries(&words);
    if found.is_empty() {
        return Err(nothing(&asked.words));
    }
    if json {
        let places = |entry: &Entry| entry.places.iter().map(|at| standing(entry.key, at)).collect::<Vec<_>>();
        console.json(&found.iter().flat_map(places).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    for (index, entry) in found.iter().enumerate() {
        if index > 0 {
            writeln!(console.out)?;
        }
        show(entry, console)?;
    }
    Ok(Exit::Done)
}

/// The keys that have each of the words, which are in lower case, in the order of the reference.
fn entries(words: &[String]) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for section in sections() {
        for key in section.keys() {
            let places = section.places.iter().map(|place| (section, place));
            match all.iter_mut().find(|entry| entry.key == key) {
                Some(entry) => entry.places.extend(places),
                None => all.push(Entry { key, places: places.collect() }),
            }
        }
    }
    for entry in &mut all {
        let key = entry.key;
        entry.places.sort_by_key(|(_, place)| !has_all(key, place, words));
    }
    all.retain(|entry| entry.places.first().is_some_and(|(_, place)| has_all(entry.key, place, words)));
    all
}

fn has_all(key: &Key, place: &Place, words: &[String]) -> bool {
    let text = format!("{} {} {}", place.header(), path(place, key), key.meaning).to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

/// `spool.retry`.
fn path(place: &Place, key: &Key) -> String {
    if place.table.is_empty() { key.name.to_owned() } else { format!("{}.{}", place.table, key.name) }
}

fn standing(key: &Key, (section, place): &(&'static Section, &'static Place)) -> Standing {
    let unwritten = section.unwritten(key);
    Standing {
        file: place.file.as_str(),
        table: place.table,
        key: key.name,
        value: key.value.in_words(),
        required: unwritten == Unwritten::Wrong,
        default: match unwritten {
            Unwritten::As(text) => Some(text),
            Unwritten::Wrong | Unwritten::Told(_) => None,
        },
        unwritten: unwritten.in_words(),
        effect: key.effect.as_str(),
        meaning: key.meaning,
    }
}

fn show(entry: &Entry, console: &mut Console<'_>) -> Result<(), Failure> {
    let Some(((section, place), others)) = entry.places.split_first() else { return Ok(()) };
    let key = entry.key;
    let name = if place.table.is_empty() { key.name.to_owned() } else { format!("{} {}", place.header(), key.name) };
    let (default, mut beside) = match section.unwritten(key) {
        Unwritten::As(text) => (format!(" = {text}"), String::new()),
        Unwritten::Wrong if key.name.contains('.') => (String::new(), "  must be written in it".to_owned()),
        Unwritten::Wrong => (String::new(), "  must be written".to_owned()),
        Unwritten::Told(words) => (String::new(), format!("  not written: {words}")),
    };
    let mut value = format!("in {}: {}", place.file.in_words(), key.value.in_words());
    if name.chars().count() + beside.chars().count() > WIDTH_COLUMNS {
        value = format!("{value};{}", std::mem::take(&mut beside).split_off(1));
    }
    writeln!(console.out, "{BOLD}{name}{BOLD:#}{default}{DIM}{beside}{DIM:#}")?;
    let mut also = String::new();
    if !others.is_empty() {
        let headers: Vec<String> = others.iter().map(|(_, place)| place.header()).collect();
        also = format!("Also in {}.", headers.join(", "));
    }
    let effect = match key.effect {
        Effect::Restart => " A change takes effect at a restart only.",
        Effect::Reload | Effect::Command => "",
    };
    for line in wrap(&value, WIDTH_COLUMNS - INDENT.len()) {
        writeln!(console.out, "{INDENT}{DIM}{line}{DIM:#}")?;
    }
    for text in [format!("{}{effect}", key.meaning), also].into_iter().filter(|text| !text.is_empty()) {
        for line in wrap(&text, WIDTH_COLUMNS - INDENT.len()) {
            writeln!(console.out, "{INDENT}{line}")?;
        }
    }
    Ok(())
}

/// No key has all of the words.
fn nothing(words: &[String]) -> Failure {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", shown(word))).collect();
    let help = words.iter().find_map(|word| suggestion(word)).map_or_else(
        || "ask with fewer words; without any all keys are listed".to_owned(),
        |name| format!("did you mean `{name}`?"),
    );
    Failure::new(Exit::No, format!("no key of the configuration has {}", quoted.join(" and ")), help)
}

/// The key or table that is meant by a word which none has.
fn suggestion(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    if word.len() > WIDTH_COLUMNS || !entries(std::slice::from_ref(&word)).is_empty() {
        return None;
    }
    let last = word.rsplit('.').next().unwrap_or_default();
    let keys = || sections().flat_map(Section::keys).map(|key| key.name);
    let tables = || sections().flat_map(|section| section.places).map(|place| place.table);
    let close = keys().chain(tables()).map(|name| (edits(last, name), name));
    let close = close.filter(|(edits, name)| *edits <= SUGGESTION_EDITS_MAX && 2 * edits < name.len());
    close.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::cli::tests::{Ran, run};

    fn keys(words: &str) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &format!("keys {words}"))
    }

    const MIN_FREE_SPACE: &str = "\
[spool] min_free_space = \"1GB\"
    in the main file: a size such as \"50MB\" or \"64MiB\"
    With less free space than this no mail is accepted (452 4.3.1). `\"0B\"` asks
    for none. A change takes effect at a restart only.
";

    const MODE_OF_STEPS: &str = "\
[[inbound.step]] mode  not written: stays as it is below
    in a domain file: \"report\", \"defer\", \"enforce\"
    What becomes of mail that does not meet the policy: `\"report\"` takes and
    records it, `\"defer\"` answers 4xx, `\"enforce\"` 5xx.
    Also in [[default.inbound.step]], [inbound], [default.inbound],
    [[inbound.exception]], [[default.inbound.exception]].
";

    #[test]
    fn a_key_is_shown_with_its_table_default_and_meaning() {
        for (words, expected) in [("spool FREE", MIN_FREE_SPACE), ("inbound.step.mode", MODE_OF_STEPS)] {
            let ran = keys(words);
            assert_eq!((ran.exit, ran.out.as_str(), ran.err.as_str()), (0, expected, ""), "{words}");
        }
    }

    #[test]
    fn all_keys_fit_the_terminal_and_none_is_shown_twice() {
        let ran = keys("");
        assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
        let mut heads: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with(' ') && !line.is_empty()).collect();
        let count = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert!(count > 100 && heads.len() == count, "{count} {}", heads.len());
    }

    #[test]
    fn programs_get_each_place_of_a_key_by_itself() {
        let found: Value = serde_json::from_str(&keys("inbound.mode --json").out).unwrap();
        let found: Vec<_> = found.as_array().unwrap().iter().map(|key| (&key["table"], &key["default"])).collect();
        let (inbound, default) = (Value::from("inbound"), Value::from("default.inbound"));
        assert_eq!(found[..2], [(&inbound, &"\"enforce\"".into()), (&default, &"\"enforce\"".into())]);
        assert!(found[2..].iter().all(|(_, default)| default.is_null()), "{found:?}");
    }

    #[test]
    fn a_mistyped_key_gets_a_suggestion() {
        for (words, help) in [
            ("max_hop5", "help: did you mean `max_hops`?\n"),
            ("spool.lifetme", "help: did you mean `lifetime`?\n"),
            ("tlsrtp", "help: did you mean `tlsrpt`?\n"),
            ("spool colours", "help: ask with fewer words; without any all keys are listed\n"),
        ] {
            let ran = keys(words);
            assert!(ran.exit == 1 && ran.err.ends_with(help), "{words}: {ran:?}");
        }
    }
}
