//! Every parameter that main.cf or a service sets and nothing else here reads: why it has no equivalent.

use crate::postfix::Place;
use crate::postfix::expand::references;
use crate::postfix::main_cf::Setting;
use crate::postfix::parameters::{Parameters, is_known};

use super::classes::{CLASSES, READ};
use super::report::Notes;
use super::site::Site;

/// Tells of all that is set and not read.
pub(super) fn tell(site: &Site, notes: &mut Notes) {
    let main = &site.main;
    let mut mentioned = main.mentioned();
    for service in &site.services {
        mentioned.extend(service.overrides.iter().flat_map(|setting| references(&setting.value)));
    }
    for setting in main.settings() {
        let is_macro = !is_known(&setting.name) && mentioned.contains(&setting.name);
        if !main.is_default(&setting.name) && !is_macro {
            tell_of(main, setting, notes);
        }
    }
    for service in &site.services {
        let parameters = main.of_service(&service.overrides);
        for setting in &service.overrides {
            tell_of_service(&parameters, setting, (&service.name, &service.place), notes);
        }
    }
}

fn tell_of(main: &Parameters, setting: &Setting, notes: &mut Notes) {
    if is_read(&setting.name) {
        return;
    }
    let (because, remedy) = class(&setting.name);
    notes.missing((shown(&setting.name, &main.text(&setting.name)), &setting.place), because, remedy);
}

fn tell_of_service(parameters: &Parameters, setting: &Setting, (service, place): (&str, &Place), notes: &mut Notes) {
    if is_read(&setting.name) || parameters.text(&setting.name).is_empty() {
        return;
    }
    let (because, remedy) = class(&setting.name);
    let what = format!("{service}: -o {}", shown(&setting.name, &parameters.text(&setting.name)));
    notes.missing((what, place), because, remedy);
}

/// Where mail of a transport is bounded by a key of its domain file.
fn is_read(name: &str) -> bool {
    let is_pace = name.ends_with("_destination_concurrency_limit") || name.ends_with("_destination_rate_delay");
    (is_pace && !name.starts_with("local_") && !name.starts_with("virtual_")) || fits(READ, name)
}

fn class(name: &str) -> (&'static str, &'static str) {
    let found = CLASSES.iter().find(|(names, ..)| fits(names, name));
    found.map_or_else(|| of_unknown(name), |(_, because, remedy)| (*because, *remedy))
}

fn of_unknown(name: &str) -> (&'static str, &'static str) {
    match is_known(name) {
        true => ("it is not read", "see postconf(5) for what it is for"),
        false => ("it is no parameter of Postfix 3.7, and nothing mentions it", "see what it was meant for"),
    }
}

fn fits(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.split_once('*') {
        None => *pattern == name,
        Some((start, end)) => match end.split_once('*') {
            None => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
            // `*middle*`
            Some((middle, _)) => name.contains(middle),
        },
    })
}

/// The name and the value, the value cut to what a line takes.
fn shown(name: &str, value: &str) -> String {
    const VALUE_CHARS_MAX: usize = 120;
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match value.chars().count() > VALUE_CHARS_MAX {
        true => format!("{name} = {}…", value.chars().take(VALUE_CHARS_MAX - 1).collect::<String>()),
        false => format!("{name} = {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_parameters_are_in_their_class() {
        for (name, because) in [
            ("smtp_sasl_password_maps", "log in at next hops"),
            ("smtpd_sasl_type", "with a password"),
            ("smtpd_milters", "no filters"),
            ("content_filter", "no filters"),
            ("header_checks", "content is not looked at"),
            ("virtual_alias_maps", "not rewritten"),
            ("smtp_generic_maps", "not rewritten"),
            ("sender_canonical_maps", "not rewritten"),
            ("postscreen_dnsbl_sites", "block lists"),
            ("smtpd_recipient_restrictions", "access restrictions"),
            ("smtpd_helo_required", "access restrictions"),
            ("mailbox_size_limit", "no mailboxes"),
            ("virtual_mailbox_base", "no mailboxes"),
            ("sender_dependent_relayhost_maps", "recipient's domain alone"),
            ("smtp_tls_session_cache_database", "TLS sessions"),
            ("smtpd_banner", "of Postfix's own"),
            ("queue_directory", "the installation"),
            ("my_own_macro", "no parameter of Postfix"),
        ] {
            let (found, _) = class(name);
            assert!(found.contains(because), "{name}: {found}");
        }
        for name in ["relayhost", "smtp_tls_mandatory_ciphers", "slow_destination_rate_delay"] {
            assert!(is_read(name), "{name}");
        }
        assert!(!is_read("local_destination_concurrency_limit"));
    }

    #[test]
    fn each_parameter_of_postfix_is_read_or_in_a_class_but_for_a_few() {
        let names = include_str!("../../postfix/defaults.txt").lines().filter(|line| !line.starts_with('#'));
        let names = names.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
        let unread: Vec<_> = names.filter(|name| !is_read(name) && class(name) == of_unknown(name)).collect();
        assert!(unread.len() <= 60, "{} without a class: {unread:?}", unread.len());
    }
}
