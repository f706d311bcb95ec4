//! Which recipients a hosted domain has, from the tables of its class.

use std::collections::BTreeSet;

use crate::model::address::{Address, Charset};
use crate::model::domain::DomainPattern;
use crate::postfix::lines::items;
use crate::postfix::routing::Class;
use crate::postfix::tables::{Named, named};

use super::differences::Difference;
use super::plan::Recipients;
use super::report::Notes;
use super::site::{Site, recipient_maps};

/// A list that leaves somebody out loses mail, so that every doubt ends as any recipient, which is told.
pub(super) fn of(site: &Site, pattern: &DomainPattern, class: Class, notes: &mut Notes) -> Recipients {
    let name = recipient_maps(class);
    if site.main.text(name).is_empty() {
        return Recipients::Any;
    }
    match listed(site, pattern, class) {
        Ok(list) if list.is_empty() => any(format!("{name} lists none for it"), pattern, notes),
        Ok(list) => {
            let place = site.main.place(name).map(ToString::to_string).unwrap_or_default();
            notes.carried(name, place, "recipients = { file = ... }");
            Recipients::Listed(list)
        }
        Err(Doubt::Everybody) => Recipients::Any,
        Err(Doubt::Unknown(why)) => any(why, pattern, notes),
    }
}

fn any(why: String, pattern: &DomainPattern, notes: &mut Notes) -> Recipients {
    notes.differs(Difference::AnyRecipient(why), pattern.to_string());
    Recipients::Any
}

enum Doubt {
    /// A table answers for every address of the domain: Postfix takes all.
    Everybody,
    Unknown(String),
}

fn listed(site: &Site, pattern: &DomainPattern, class: Class) -> Result<BTreeSet<String>, Doubt> {
    let (main, name) = (&site.main, recipient_maps(class));
    let unknown = |why: &str| Err(Doubt::Unknown(why.to_owned()));
    if !main.text("recipient_delimiter").is_empty() {
        return unknown("recipient_delimiter lets each address have extensions");
    }
    let mut found = BTreeSet::new();
    // Who has an alias is a recipient too.
    for parameter in [name, "virtual_alias_maps"] {
        let value = main.text(parameter);
        let place = main.place(parameter).cloned().unwrap_or_else(|| crate::postfix::Place::new("main.cf", 1));
        let silent = &mut Notes::default();
        let tables = site.folder.tables(main, parameter, silent);
        if named(&value, &place).iter().any(|one| matches!(one, Named::Foreign { .. })) {
            return Err(Doubt::Unknown(format!("{parameter} has tables that cannot be read as files")));
        }
        if tables.len() < items(&value).len() {
            return Err(Doubt::Unknown(format!("a table of {parameter} is not there")));
        }
        if tables.iter().any(|table| table.fixed.is_some()) {
            return Err(Doubt::Everybody);
        }
        for key in tables.iter().flat_map(|table| table.entries.keys()) {
            match key.strip_prefix('@') {
                Some(domain) if is_covered(pattern, domain) => return Err(Doubt::Everybody),
                Some(_) => {}
                None => found.extend(recipient(key, pattern, class)),
            }
        }
    }
    Ok(found)
}

/// An address of these domains; a bare local part stands for all domains of this machine.
fn recipient(key: &str, pattern: &DomainPattern, class: Class) -> Option<String> {
    match key.rsplit_once('@') {
        Some((_, domain)) => {
            let address = Address::parse(key, Charset::Utf8).ok()?;
            is_covered(pattern, domain).then(|| address.to_string())
        }
        None if class == Class::Local => {
            let address = Address::parse(&format!("{key}@local.invalid"), Charset::Utf8).ok()?;
            Some(address.local_part_unquoted().into_owned()).filter(|part| !part.starts_with('#'))
        }
        None => None,
    }
}

fn is_covered(pattern: &DomainPattern, domain: &str) -> bool {
    crate::model::domain::Domain::parse(domain).is_ok_and(|domain| pattern.covers(&domain))
}
