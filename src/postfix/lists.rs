//! Lists of domains such as `relay_domains`: names, tables and exclusions, the first that fits decides.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Place;
use super::tables::Table;

/// How names above a domain count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parents {
    /// Not at all: the name itself stands there.
    No,
    /// `bank.example` stands for all names below it too.
    Plain,
    /// `.bank.example` stands for all names below it.
    #[default]
    Dotted,
}

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Written with `!`: what fits is not on the list.
    pub negated: bool,
    pub of: Of,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    Name(String),
    /// Its keys are the names.
    Table(Arc<Table>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainList {
    pub items: Vec<Item>,
}

impl DomainList {
    /// Where it says that the domain is on the list.
    pub fn find(&self, domain: &str, parents: Parents) -> Option<&Place> {
        let found = self.items.iter().find_map(|item| Some((item, item.fits(domain, parents)?)));
        found.filter(|(item, _)| !item.negated).map(|(_, place)| place)
    }

    /// Every name and key that is written in it, with the dot of those that begin with one.
    pub fn names(&self) -> BTreeSet<&str> {
        fn own(item: &Item) -> Vec<&str> {
            match &item.of {
                Of::Name(name) => vec![name],
                Of::Table(table) => table.entries.keys().map(String::as_str).collect(),
            }
        }
        self.items.iter().flat_map(own).collect()
    }
}

impl Item {
    fn fits(&self, domain: &str, parents: Parents) -> Option<&Place> {
        match &self.of {
            Of::Name(name) => keys(domain, parents).any(|key| key.eq_ignore_ascii_case(name)).then_some(&self.place),
            Of::Table(table) => {
                let found = keys(domain, parents).find_map(|key| table.get(&key))?;
                Some(found.place.unwrap_or(&self.place))
            }
        }
    }
}

/// What is looked up for a domain, in this order.
pub fn keys(domain: &str, parents: Parents) -> impl Iterator<Item = String> {
    let above = domain.match_indices('.').filter_map(|(at, _)| domain.get(at + 1..));
    let above = above.filter(move |_| parents != Parents::No).map(move |name| match parents {
        Parents::Dotted => format!(".{name}"),
        Parents::Plain | Parents::No => name.to_owned(),
    });
    std::iter::once(domain.to_owned()).chain(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> DomainList {
        let items = text.split_whitespace().zip(1..).map(|(word, line)| {
            let (negated, word) = word.strip_prefix('!').map_or((false, word), |word| (true, word));
            let of = match word.strip_prefix("table:") {
                Some(keys) => {
                    let text: String = keys.split('|').map(|key| format!("{key} x\n")).collect();
                    Of::Table(Arc::new(Table::parse(&text, &"t".into())))
                }
                None => Of::Name(word.to_owned()),
            };
            Item { negated, of, place: Place::new("main.cf", line) }
        });
        DomainList { items: items.collect() }
    }

    #[test]
    fn the_first_item_that_fits_decides() {
        for (written, domain, parents, expected) in [
            ("a.example b.example", "b.example", Parents::No, Some("main.cf:2")),
            ("a.example", "x.a.example", Parents::No, None),
            ("a.example", "x.a.example", Parents::Plain, Some("main.cf:1")),
            ("a.example", "x.a.example", Parents::Dotted, None),
            (".a.example", "y.x.a.example", Parents::Dotted, Some("main.cf:1")),
            ("!x.a.example a.example", "x.a.example", Parents::Plain, None),
            ("a.example !x.a.example", "x.a.example", Parents::Plain, Some("main.cf:1")),
            ("table:a.example|b.example", "x.b.example", Parents::Plain, Some("t:2")),
            ("table:a.example", "b.example", Parents::Plain, None),
            ("A.Example", "a.example", Parents::No, Some("main.cf:1")),
        ] {
            let found = list(written).find(domain, parents).map(ToString::to_string);
            assert_eq!(found.as_deref(), expected, "{written}: {domain}");
        }
    }

    #[test]
    fn names_above_are_looked_up_from_the_longest_on() {
        assert_eq!(keys("x.a.b", Parents::Dotted).collect::<Vec<_>>(), ["x.a.b", ".a.b", ".b"]);
        assert_eq!(keys("x.a.b", Parents::Plain).collect::<Vec<_>>(), ["x.a.b", "a.b", "b"]);
        assert_eq!(keys("x.a.b", Parents::No).collect::<Vec<_>>(), ["x.a.b"]);
    }
}
