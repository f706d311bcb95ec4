//! The domains of a Postfix: each name that any of its tables has, what becomes of it, and which share a file.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::domain::{Domain, DomainPattern};
use crate::postfix::lists::{DomainList, Parents};
use crate::postfix::routing::{Class, Resolved};

use super::differences::Difference;
use super::plan::{Delivery, DomainFile, DomainPlan, Recipients};
use super::recipients;
use super::render;
use super::report::Notes;
use super::site::Site;
use super::ways::{Asked, Ways};

/// A label that no table has: it stands for all names that none names.
const ANY_LABEL: &str = "gatepost-import-any";

/// All that is said about domains.
#[derive(Debug)]
pub(super) struct Domains {
    /// For those that no file names.
    pub(super) rest: Delivery,
    pub(super) files: Vec<DomainFile>,
}

pub(super) fn plan(site: &Site, ways: &mut Ways<'_>, notes: &mut Notes) -> Domains {
    let name = format!("{ANY_LABEL}.invalid");
    let resolved = site.resolve(&name);
    let rest = ways.delivery(Asked { name: &name, pattern: None }, &resolved, notes);
    let mut plans: Vec<DomainPlan> = Vec::new();
    for pattern in patterns(site, notes) {
        plans.extend(one(site, ways, (&pattern, &rest), notes));
    }
    told_unused(site, ways, notes);
    // A default of old, by which Postfix relays for all names below its own.
    let is_silent = !site.main.is_written("relay_domains") && !site.main.text("relay_domains").is_empty();
    let has_own = plans.iter().any(|plan| plan.hosted.is_some());
    notes.differs_if(is_silent && has_own, Difference::SubdomainsNotRelayed);
    let kept = without_repetition(plans, &rest);
    Domains { files: grouped(kept), rest }
}

/// The name by which a pattern is resolved.
fn name_of(pattern: &DomainPattern) -> String {
    match pattern {
        DomainPattern::Exact(name) => name.to_string(),
        DomainPattern::Below(above) => format!("{ANY_LABEL}.{above}"),
    }
}

/// What one name becomes; `None` where no file is needed or none can be written, which is told.
fn one(
    site: &Site,
    ways: &mut Ways<'_>,
    (pattern, rest): (&DomainPattern, &Delivery),
    notes: &mut Notes,
) -> Option<DomainPlan> {
    let name = name_of(pattern);
    let resolved = site.resolve(&name);
    if resolved.class == Class::VirtualAlias {
        let place = resolved.because.first().map(ToString::to_string).unwrap_or_default();
        notes.missing(
            (format!("virtual_alias_domains: {pattern}"), place),
            "every address of it is an alias for others, and addresses are not rewritten",
            "host it with a route to a server that knows the aliases",
        );
        return None;
    }
    if resolved.class == Class::Local && is_of_this_machine(pattern) {
        notes.differs(Difference::LocalhostLeftOut, pattern.to_string());
        return None;
    }
    let asked = Asked { name: &name, pattern: Some(pattern) };
    let mut delivery = ways.delivery(asked, &resolved, notes);
    if delivery.route.is_none() && rest.route.is_some() {
        delivery = match pattern {
            DomainPattern::Exact(_) => ways.by_own_host(&name, &resolved, (&pattern.to_string(), notes))?,
            DomainPattern::Below(_) => {
                notes.differs(Difference::MxBesideDefaultRoute, pattern.to_string());
                return None;
            }
        };
    }
    let hosted = hosted(site, pattern, &resolved, &delivery, notes);
    Some(DomainPlan { pattern: pattern.clone(), hosted, delivery })
}

/// Whom a domain has that strangers may send to.
fn hosted(
    site: &Site,
    pattern: &DomainPattern,
    resolved: &Resolved,
    delivery: &Delivery,
    notes: &mut Notes,
) -> Option<Recipients> {
    let is_listed = matches!(resolved.class, Class::Local | Class::VirtualMailbox | Class::Relay);
    let goes_nowhere = matches!(resolved.transport.as_str(), "error" | "discard" | "retry");
    if !is_listed || goes_nowhere {
        return None;
    }
    if delivery.route.is_none() {
        let place = resolved.because.first().map(ToString::to_string).unwrap_or_default();
        notes.missing(
            (format!("{}: {pattern}", resolved.class.parameter()), place),
            "its mail goes by its MX records (a backup MX); a hosted domain needs a route, so that it is not hosted \
             and strangers are refused",
            "write hosted = true, recipients, and [route] with its primary mail host",
        );
        return None;
    }
    Some(recipients::of(site, pattern, resolved.class, notes))
}

/// Names that mean this machine to itself alone.
fn is_of_this_machine(pattern: &DomainPattern) -> bool {
    let (DomainPattern::Exact(name) | DomainPattern::Below(name)) = pattern;
    name.label_count() < 2 || name.as_str().starts_with("localhost.")
}

/// Every name that some table or list has, as patterns of ours.
fn patterns(site: &Site, notes: &mut Notes) -> BTreeSet<DomainPattern> {
    let routing = &site.routing;
    let mut found = BTreeSet::new();
    let mut wrong = BTreeSet::new();
    let mut add = |key: &str, with_names_below: bool| match pattern(key) {
        Some(pattern) => {
            if let (true, DomainPattern::Exact(name)) = (with_names_below, &pattern) {
                found.insert(DomainPattern::Below(name.clone()));
            }
            found.insert(pattern);
        }
        None => drop(wrong.insert(key.to_owned())),
    };
    let lists: [(&DomainList, bool); 4] = [
        (&routing.local, false),
        (&routing.virtual_alias, false),
        (&routing.virtual_mailbox, false),
        (&routing.relay, routing.relay_parents == Parents::Plain),
    ];
    for (list, with_names_below) in lists {
        // Keys of tables of addresses that stand for domains too.
        list.names().into_iter().filter(|name| !name.contains('@')).for_each(|name| add(name, with_names_below));
    }
    for key in routing.transport.iter().flat_map(|table| table.entries.keys()) {
        if !key.contains('@') && key != "*" {
            add(key, routing.transport_parents == Parents::Plain);
        }
    }
    let clients = site.smtp_transports().map(|transport| &transport.client);
    let policies = clients.flat_map(|client| client.policy.iter().chain(&client.per_site));
    let keys: BTreeSet<&str> = policies.flat_map(|table| table.entries.keys()).map(String::as_str).collect();
    for key in keys.into_iter().filter(|key| !key.starts_with('[') && !key.contains(':')) {
        add(key, false);
    }
    told_of_keys(site, &wrong, notes);
    found
}

/// What is no domain: entries for single mailboxes, and keys that are nothing.
fn told_of_keys(site: &Site, wrong: &BTreeSet<String>, notes: &mut Notes) {
    for (key, entry) in site.routing.transport.iter().flat_map(|table| &table.entries) {
        if key.contains('@') {
            notes.missing(
                (format!("transport_maps: {key}"), &entry.place),
                "a route is for domains, not for single recipients",
                "let the next hop of the domain send it on",
            );
        }
    }
    for key in wrong {
        let what = format!("the name \"{key}\" in a list or table");
        notes.missing((what, ""), "it is no domain", "write it as a domain if it is meant as one");
    }
}

/// `bank.example`, or `.bank.example` for all names below.
fn pattern(key: &str) -> Option<DomainPattern> {
    match key.strip_prefix('.') {
        Some(above) => Domain::parse(above).ok().map(DomainPattern::Below),
        None => Domain::parse(key).ok().map(DomainPattern::Exact),
    }
}

/// Entries of policy tables that no delivery looks up.
fn told_unused(site: &Site, ways: &Ways<'_>, notes: &mut Notes) {
    let clients = site.smtp_transports().map(|transport| &transport.client);
    let entries = clients.flat_map(|client| &client.policy).flat_map(|table| &table.entries);
    let unused: BTreeMap<String, &String> = entries
        .map(|(key, entry)| (entry.place.to_string(), key))
        .filter(|(place, _)| !ways.used.contains(place))
        .collect();
    for (place, key) in unused {
        notes.differs(Difference::PolicyUnused, format!("{key} ({place})"));
    }
}

/// Leaves out names for which the next wider one says the same, and names that go the way of all others.
fn without_repetition(plans: Vec<DomainPlan>, rest: &Delivery) -> Vec<DomainPlan> {
    let by_pattern: BTreeMap<DomainPattern, DomainPlan> =
        plans.into_iter().map(|plan| (plan.pattern.clone(), plan)).collect();
    let is_needed = |plan: &DomainPlan| {
        let wider = wider(&plan.pattern).into_iter().find_map(|pattern| by_pattern.get(&pattern));
        match wider {
            Some(wider) => plan.hosted != wider.hosted || !plan.delivery.is_like(&wider.delivery),
            None => plan.hosted.is_some() || !plan.delivery.is_like(rest),
        }
    };
    by_pattern.values().filter(|plan| is_needed(plan)).cloned().collect()
}

/// The patterns that would speak for this one if it had no file, the longest first.
fn wider(pattern: &DomainPattern) -> Vec<DomainPattern> {
    let (DomainPattern::Exact(name) | DomainPattern::Below(name)) = pattern;
    std::iter::successors(name.parent(), Domain::parent).map(DomainPattern::Below).collect()
}

/// Domains for which the same is written share a file.
fn grouped(plans: Vec<DomainPlan>) -> Vec<DomainFile> {
    let mut groups: BTreeMap<String, DomainFile> = BTreeMap::new();
    for plan in plans {
        let DomainPlan { pattern, hosted, delivery } = plan;
        let key = render::sameness(&hosted, &delivery);
        let from = delivery.from.clone();
        match groups.get_mut(&key) {
            Some(file) => {
                if let (Some(Recipients::Listed(own)), Some(Recipients::Listed(all))) = (hosted, &mut file.hosted) {
                    all.extend(own);
                }
                file.domains.push((pattern, from));
            }
            None => {
                let domains = vec![(pattern, from)];
                groups.insert(key, DomainFile { name: String::new(), domains, hosted, delivery });
            }
        }
    }
    let mut files: Vec<DomainFile> = groups.into_values().collect();
    files.sort_by(|left, right| left.domains.first().map(|one| &one.0).cmp(&right.domains.first().map(|one| &one.0)));
    for file in &mut files {
        file.name = file.domains.first().map(|(pattern, _)| file_name(pattern)).unwrap_or_default();
    }
    files
}

fn file_name(pattern: &DomainPattern) -> String {
    match pattern {
        DomainPattern::Exact(name) => name.to_string(),
        DomainPattern::Below(name) => format!("below-{name}"),
    }
}
