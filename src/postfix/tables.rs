//! Lookup tables: how parameters name them, and what the source of one holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Place;
use super::lines::{in_braces, items, logical_lines};
use super::main_cf::assignment;

/// The most entries of one table.
pub const ENTRIES_MAX: usize = 1_000_000;

/// One table as a parameter names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An indexed file: its entries stand in the text file of that name.
    Source(String),
    /// The entries stand in the parameter itself.
    Inline(Table),
    /// Answers every question with this.
    Static(String),
    /// Nobody but Postfix can ask it: the type, and all of its name.
    Foreign { kind: String, name: String },
}

/// What a table answers, and where each answer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// As the parameter names it: `hash:/etc/postfix/transport`.
    pub name: String,
    /// By key in lower case; of several entries with one key the first.
    pub entries: BTreeMap<String, Entry>,
    /// What every key is answered, whatever the entries say.
    pub fixed: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: String,
    pub place: Place,
}

/// The tables that a parameter lists, in their order.
pub fn named(value: &str, place: &Place) -> Vec<Named> {
    items(value).into_iter().map(|item| one(in_braces(item).unwrap_or(item), place)).collect()
}

fn one(text: &str, place: &Place) -> Named {
    let (kind, name) = text.split_once(':').unwrap_or(("", text));
    let name = name.trim();
    match kind {
        "hash" | "btree" | "lmdb" | "cdb" | "dbm" | "sdbm" | "texthash" => Named::Source(name.to_owned()),
        "inline" => Named::Inline(Table { name: "inline".to_owned(), ..Table::inline(name, place) }),
        "static" => Named::Static(in_braces(name).unwrap_or(name).to_owned()),
        // It is a way to ask another one.
        "proxy" => one(name, place),
        kind => Named::Foreign { kind: kind.to_owned(), name: text.to_owned() },
    }
}

impl Table {
    pub fn fixed(value: &str) -> Self {
        Self { name: format!("static:{value}"), fixed: Some(value.to_owned()), ..Self::default() }
    }

    /// Reads the source of an indexed file, which postmap(1) takes. `file` is for places.
    pub fn parse(text: &str, file: &Arc<str>) -> Self {
        let mut table = Self::default();
        for line in logical_lines(text).into_iter().take(ENTRIES_MAX) {
            let (key, value) = match line.text.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                Some((key, value)) => (key, value),
                None => line.text.split_once(char::is_whitespace).unwrap_or((&line.text, "")),
            };
            table.add(key, value.trim(), Place { file: file.clone(), line: line.number });
        }
        table
    }

    /// `{ key = value, { key = long value } }`.
    fn inline(text: &str, place: &Place) -> Self {
        let mut table = Self::default();
        for item in items(in_braces(text).unwrap_or(text)) {
            if let Some((key, value)) = assignment(in_braces(item).unwrap_or(item)) {
                table.add(key, value, place.clone());
            }
        }
        table
    }

    fn add(&mut self, key: &str, value: &str, place: Place) {
        let entry = || Entry { value: value.to_owned(), place };
        self.entries.entry(key.to_ascii_lowercase()).or_insert_with(entry);
    }

    pub fn get(&self, key: &str) -> Option<Found<'_>> {
        if let Some(value) = &self.fixed {
            return Some(Found { value, place: None });
        }
        let entry = self.entries.get(&key.to_ascii_lowercase())?;
        Some(Found { value: &entry.value, place: Some(&entry.place) })
    }
}

/// An answer. One that every key gets has no place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    pub value: &'a str,
    pub place: Option<&'a Place>,
}

/// The answer of the first table that has the key.
pub fn find<'a>(tables: &'a [Arc<Table>], key: &str) -> Option<Found<'a>> {
    tables.iter().find_map(|table| table.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_apart_by_their_type() {
        let place = Place::new("main.cf", 3);
        let found = named("hash:/etc/postfix/a, proxy:btree:$x static:{smtp:[h]} pcre:/b proxy:mysql:/c d", &place);
        let foreign = |kind: &str, name: &str| Named::Foreign { kind: kind.into(), name: name.into() };
        assert_eq!(
            found,
            [
                Named::Source("/etc/postfix/a".into()),
                Named::Source("$x".into()),
                Named::Static("smtp:[h]".into()),
                foreign("pcre", "pcre:/b"),
                foreign("mysql", "mysql:/c"),
                foreign("", "d"),
            ]
        );
        let Named::Inline(table) = &named("inline:{ a.example=smtp:, { b.example = relay:[h]:25 } }", &place)[0] else {
            panic!("no inline table")
        };
        assert_eq!(table.get("A.example").map(|found| found.value), Some("smtp:"));
        assert_eq!(table.get("b.example"), Some(Found { value: "relay:[h]:25", place: Some(&place) }));
    }

    #[test]
    fn the_first_entry_of_a_key_holds_and_keys_have_no_case() {
        let text = "# policy\nBank.example   secure\n  match=.bank.example\nbank.example may\n\"a b\" x\nempty\n";
        let table = Table::parse(text, &"tls_policy".into());
        let found = table.get("bank.EXAMPLE").unwrap();
        assert_eq!(found.value, "secure  match=.bank.example");
        assert_eq!(found.place.unwrap().to_string(), "tls_policy:2");
        assert_eq!(table.get("a b").unwrap().value, "x");
        assert_eq!(table.get("empty").unwrap().value, "");
        assert_eq!(table.get("other"), None);
    }

    #[test]
    fn a_static_table_answers_before_those_behind_it() {
        let tables = [Arc::new(Table::fixed("x")), Arc::new(Table::parse("a b\n", &"t".into()))];
        assert_eq!(find(&tables, "a").unwrap().value, "x");
    }
}
