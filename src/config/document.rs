//! A typed reader over TOML with spans: it reports what is wrong and goes on, and knows which keys nobody asked for.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::model::escape::peer_text;
use crate::model::spelling::nearest;

use super::place::{At, Place, Problems};
use super::source::SourceFile;
use super::values::Invalid;
use super::whereabouts;

/// How much of a wrong value a message repeats.
const SHOWN_VALUE_BYTES_MAX: usize = 60;

/// A word of the configuration and what it means; `None` is not implemented yet.
pub(super) type Words<T> = [(&'static str, Option<T>)];

/// A TOML value in its place.
pub(super) type Value<'a> = At<'a, &'a DeValue<'a>>;

/// A TOML table of which keys are asked for one by one.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// `None` for a table that was not written.
    entries: Option<&'a DeTable<'a>>,
    /// The header.
    place: Place<'a>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The top of a file.
    pub(super) fn root(file: &'a SourceFile, problems: &'a Problems, entries: &'a DeTable<'a>) -> Self {
        let place = Place { file, problems, key: String::new(), span: 0..0 };
        Self { entries: Some(entries), place, known: Vec::new() }
    }

    pub(super) fn place(&self) -> &Place<'a> {
        &self.place
    }

    pub(super) fn is_written(&self) -> bool {
        self.entries.is_some()
    }

    /// Whether `key` was written, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        #[cfg(test)]
        asked::note(&self.place, key);
        self.find(key)
    }

    fn find(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let value = self.entries?.get(key)?;
        let place = Place { key: self.path(key), span: value.span(), ..self.place.clone() };
        Some(At { value: value.get_ref(), place })
    }

    /// A key that must be there.
    pub(super) fn require(&mut self, key: &'static str, remedy: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            Place { key: self.path(key), ..self.place.clone() }.error(format!("`{key}` is missing"), remedy);
        }
        value
    }

    /// The table behind `key`, an unwritten one if there is none.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let written = self.get(key).and_then(|value| value.table());
        written.unwrap_or_else(|| {
            let place = Place { key: self.path(key), ..self.place.clone() };
            Self { entries: None, place, known: Vec::new() }
        })
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.value {
            DeValue::Array(items) => items.iter().filter_map(|item| value.item(item).table()).collect(),
            _ => {
                value.place.error(format!("`{key}` is a list of tables"), format!("write [[{}]]", self.path(key)));
                Vec::new()
            }
        }
    }

    /// Reports keys that have no place here.
    pub(super) fn misplaced(&mut self, keys: &[&'static str], why: &str, remedy: &str) {
        for key in keys {
            if let Some(value) = self.find(key) {
                value.place.error(format!("`{key}` {why}"), remedy);
            }
        }
    }

    /// Reports keys that are foreseen and do nothing yet.
    pub(super) fn not_implemented(&mut self, keys: &[&'static str]) {
        for key in keys {
            if let Some(value) = self.find(key) {
                value.place.not_implemented(key, "remove it");
            }
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        #[cfg(test)]
        if self.entries.is_some() {
            let file = self.place.file;
            whereabouts::assert_listed((file.kind, &*file.name != "--set"), &self.place.key, &self.known);
        }
        for key in self.entries.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref();
            if self.known.contains(&name.as_ref()) {
                continue;
            }
            let shown = peer_text(name, SHOWN_VALUE_BYTES_MAX);
            let place = Place { key: self.path(&shown), span: key.span(), ..self.place.clone() };
            let near = || Some(format!("did you mean `{}`?", nearest(name, self.known.iter().copied())?));
            let remedy = whereabouts::remedy(self.place.file.kind, &self.place.key, name).or_else(near);
            let remedy = remedy.unwrap_or_else(|| "remove it".to_owned());
            place.error(format!("unknown key `{shown}`"), remedy);
        }
    }

    fn path(&self, key: &str) -> String {
        if self.place.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place.key) }
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(&self) -> Option<&'a str> {
        self.expect(self.value.as_str(), "a text in quotes")
    }

    pub(super) fn flag(&self) -> Option<At<'a, bool>> {
        self.expect(self.value.as_bool(), "true or false").map(|flag| self.with(flag))
    }

    pub(super) fn number(&self, range: RangeInclusive<u32>) -> Option<At<'a, u32>> {
        let integer = self.expect(self.value.as_integer(), "a number")?;
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|n| u32::try_from(n).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(self.with(number)),
            None => {
                let remedy = format!("write a number from {} to {}", range.start(), range.end());
                self.place.error(format!("{integer} is out of bounds"), remedy);
                None
            }
        }
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let entries = self.expect(self.value.as_table(), "a table")?;
        Some(Table { entries: Some(entries), place: self.place.clone(), known: Vec::new() })
    }

    /// A path, relative to the file that names it.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            self.place.error("the path is empty", "name a file or folder");
            return None;
        }
        Some(self.place.file.folder.join(text))
    }

    pub(super) fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, Invalid>) -> Option<At<'a, T>> {
        match parse(self.text()?) {
            Ok(value) => Some(self.with(value)),
            Err(Invalid { message, remedy }) => {
                self.place.error(message, remedy);
                None
            }
        }
    }

    /// A list of texts. Wrong items are reported and left out; a list without items is reported.
    pub(super) fn list<T>(&self, parse: impl Fn(&Value<'a>) -> Option<At<'a, T>>) -> Option<At<'a, Vec<At<'a, T>>>> {
        let list = self.list_or_empty(parse)?;
        if self.value.as_array().is_some_and(|items| items.is_empty()) {
            self.place.error("the list is empty", "name at least one");
            return None;
        }
        Some(list)
    }

    /// A list that may be empty; `None` if items were written and all are wrong.
    pub(super) fn list_or_empty<T>(
        &self,
        parse: impl Fn(&Value<'a>) -> Option<At<'a, T>>,
    ) -> Option<At<'a, Vec<At<'a, T>>>> {
        let items = self.expect(self.value.as_array(), "a list in brackets")?;
        let right: Vec<_> = items.iter().filter_map(|item| parse(&self.item(item))).collect();
        if right.is_empty() && !items.is_empty() { None } else { Some(self.with(right)) }
    }

    /// One of the words of a closed list.
    pub(super) fn word<T: Copy>(&self, words: &Words<T>) -> Option<At<'a, T>> {
        let text = self.word_text(words)?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, Some(meaning))) => return Some(self.with(*meaning)),
            Some((word, None)) => self.place.not_implemented(word, format!("use {}", choices(words))),
            None => {
                let known = words.iter().filter(|(_, meaning)| meaning.is_some()).map(|(word, _)| *word);
                // TLS 1.0 is written TLSv1, as OpenSSL and Postfix have it.
                let remedy = match nearest(text.strip_suffix(".0").unwrap_or(text), known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("use {}", choices(words)),
                };
                self.place.error(format!("unknown value \"{}\"", shown(text)), remedy);
            }
        }
        None
    }

    /// The text; where a number or flag stands in its place, the word that it may be meant for is told.
    fn word_text<T>(&self, words: &Words<T>) -> Option<&'a str> {
        let written = match self.value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) => number.as_str(),
            _ => return self.text(),
        };
        let Some(near) = nearest(written, words.iter().map(|(word, _)| *word)) else { return self.text() };
        self.place.error(format!("the value is a number: {written}"), format!("write \"{near}\", in quotes"));
        None
    }

    fn item(&self, item: &'a toml::Spanned<DeValue<'a>>) -> Self {
        At { value: item.get_ref(), place: Place { span: item.span(), ..self.place.clone() } }
    }

    fn expect<T>(&self, value: Option<T>, expected: &str) -> Option<T> {
        if value.is_none() {
            let found = self.value.type_str();
            self.place.error(format!("the value has the wrong type: {found}"), format!("write {expected}"));
        }
        value
    }
}

/// A wrong value as messages repeat it.
pub(super) fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    peer_text(text, SHOWN_VALUE_BYTES_MAX)
}

/// `"a", "b" or "c"`, without the words that are not implemented yet.
fn choices<T>(words: &Words<T>) -> String {
    let quoted: Vec<String> =
        words.iter().filter(|(_, meaning)| meaning.is_some()).map(|(word, _)| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

/// Which keys were asked for in which tables, on this thread.
#[cfg(test)]
pub(super) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::Place;

    /// File, path of the table, key.
    pub(in crate::config) type Asked = BTreeSet<(String, String, &'static str)>;

    thread_local! {
        static ASKED: RefCell<Asked> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(place: &Place<'_>, key: &'static str) {
        ASKED.with_borrow_mut(|asked| asked.insert((place.file.name.to_string(), place.key.clone(), key)));
    }

    /// Those since the last time.
    pub(in crate::config) fn take() -> Asked {
        ASKED.take()
    }
}
