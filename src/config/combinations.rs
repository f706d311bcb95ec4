//! What holds for the configuration as a whole: listeners, relaying, hosting, names that stand twice.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::hash::Hash;

use crate::model::time::Timestamp;
use crate::policy::relay::Role;
use crate::policy::settings::AppliesTo;

use super::delivery_checks::{self, Deliveries};
use super::delivery_table::OutboundTable;
use super::domain_file::{DomainFile, RecipientsFrom};
use super::listener::Listener;
use super::listener_checks;
use super::main_file::MainFile;
use super::off_checks;
use super::place::At;
use super::policy_checks::{self, is_written_empty};
use super::policy_tables::InboundKeys;
use super::route_table::RouteTable;
use super::timed_checks;
use super::timed_tables::{Keys, Timed};

/// Groups that are metric labels of their own.
pub(super) const GROUPS_MAX: usize = 64;

/// Checks that need the main file and the domain files together.
pub(super) fn check(main: &MainFile<'_>, files: &[DomainFile<'_>], now: Timestamp) {
    main.switch.check(now);
    check_listeners(main);
    check_trusted(main);
    check_defaults(main, now);
    for file in files {
        check_domain_file(main, file, now);
    }
    off_checks::check(main, files);
    delivery_checks::check_unused(main, files);
    check_host(main, files);
}

/// Checks that need no main file.
pub(super) fn check_among_files(files: &[DomainFile<'_>]) {
    check_unique(files.iter().flat_map(|file| &file.patterns), "keep it in one place");
    let mut groups = BTreeSet::new();
    for group in files.iter().filter_map(|file| file.group.as_ref()) {
        if groups.len() >= GROUPS_MAX && !groups.contains(&group.value) {
            group.place.warn(
                format!(
                    "\"{}\" is one group too many: metrics have {GROUPS_MAX} and count it as \"other\"",
                    group.value
                ),
                "put several domain files into one group, or remove the key",
            );
        } else {
            groups.insert(group.value.clone());
        }
    }
}

fn check_listeners(main: &MainFile<'_>) {
    if !main.has_listener {
        main.place.error("there is no [[listener]]", "add one with name, bind and role");
    }
    check_unique(
        main.listeners.iter().filter_map(|listener| listener.name.as_ref()),
        "give each listener its own name",
    );
    let binds =
        main.listeners.iter().flat_map(|listener| &listener.bind).chain(&main.metrics_bind).chain(&main.admin_bind);
    check_unique(binds.filter(|bind| bind.value.port() != 0), "listen on each address once");
    if let Some(first) = main.listeners.iter().find(|listener| listener.speaks_tls() && !main.has_certificate) {
        let place = first.tls.as_ref().map_or(&first.place, |tls| &tls.place);
        place.error("TLS needs a [[certificate]]", "add [[certificate]] with chain and key, or write tls = \"off\"");
    }
    for listener in &main.listeners {
        listener_checks::check_listener(main, listener);
    }
    listener_checks::check_stacks(main);
}

fn check_trusted(main: &MainFile<'_>) {
    listener_checks::check_trusted_certificates(main);
    for network in main.trusted.networks.iter().filter(|network| network.value.prefix_len() == 0) {
        network.place.error(
            format!("{} trusts the whole internet: this is an open relay", network.value),
            "name only your own networks",
        );
    }
}

fn check_defaults(main: &MainFile<'_>, now: Timestamp) {
    timed_checks::check(&main.inbound, None, now);
    policy_checks::check_default_modes(&main.inbound);
    policy_checks::check_refusal_text(&main.inbound.base, None);
    check_certificate_is_requested(main, &main.inbound);
    timed_checks::check(&main.outbound.whole(), None, now);
    check_exception_count(&main.inbound, &main.outbound);
    check_named_routes(main);
    check_deliveries(main, None);
    let Some(route) = &main.route else { return };
    policy_checks::check_route(route);
    if is_written_empty(route.hosts.as_ref()) {
        for place in route.tls.places() {
            place.warn("has no effect: hosts is empty, so there is no default route", "name hosts, or remove it");
        }
    } else {
        const NO_EFFECT: &str = "has no effect: [default.route] answers to its own TLS keys";
        for place in main.outbound.rules.base.places() {
            place.warn(NO_EFFECT, "move it into [default.route]");
        }
        for (header, _) in main.outbound.rules.laid().filter(|(_, keys)| !keys.is_of_deliveries()) {
            header.warn(NO_EFFECT, "remove it: no day changes those");
        }
    }
}

fn check_domain_file(main: &MainFile<'_>, file: &DomainFile<'_>, now: Timestamp) {
    timed_checks::check(&file.inbound, Some(&main.inbound), now);
    policy_checks::check_mode(&file.inbound, &main.inbound);
    policy_checks::check_refusal_text(&file.inbound.base, Some(&main.inbound.base));
    check_certificate_is_requested(main, &file.inbound);
    check_exception_count(&file.inbound, &file.outbound);
    if let Some(route) = &file.route {
        check_own_route(route);
        policy_checks::check_overruled(&file.outbound, true);
    } else if main.default_route().is_some() {
        policy_checks::check_overruled(&file.outbound, false);
    } else {
        timed_checks::check(&file.outbound.whole(), Some(&main.outbound.whole()), now);
    }
    check_deliveries(main, Some(file));
    match &file.hosted {
        Some(hosted) if hosted.value => {
            if file.route.is_none() && main.default_route().is_none() {
                hosted.place.error(
                    "a hosted domain has no [route], so its mail would come back here",
                    "add [route] with the hosts that keep its mailboxes",
                );
            }
            if file.recipients.is_none() {
                hosted.place.error(
                    "a hosted domain says who its recipients are",
                    "write recipients = \"any\" or { file = \"recipients.txt\" }",
                );
            }
        }
        _ => check_not_hosted(file),
    }
}

fn check_exception_count(inbound: &Timed<'_, InboundKeys<'_>>, outbound: &OutboundTable<'_>) {
    let inbound = inbound.exceptions.iter().map(|exception| &exception.place);
    timed_checks::check_count(inbound.chain(outbound.rules.exceptions.iter().map(|exception| &exception.place)));
}

/// A client shows a certificate only where it is asked for one.
fn check_certificate_is_requested(main: &MainFile<'_>, inbound: &Timed<'_, InboundKeys<'_>>) {
    for keys in inbound.parts() {
        check_requested_by(main, keys);
    }
}

fn check_requested_by(main: &MainFile<'_>, inbound: &InboundKeys<'_>) {
    let Some(place) = inbound.certificate_place() else { return };
    let mx = || main.listeners.iter().filter(|listener| listener.is_role(Role::Mx));
    let name = |listener: &Listener<'_>| listener.name.as_ref().map(|name| format!("\"{}\"", name.value));
    let silent: Vec<String> = mx().filter(|listener| !listener.requests_certificate()).filter_map(name).collect();
    if !mx().any(Listener::requests_certificate) {
        place.error(
            "cannot be met: no listener of role \"mx\" asks for a certificate",
            "write request_client_certificate = true in its [[listener]], or remove this key",
        );
    } else if !silent.is_empty() {
        place.warn(
            format!("cannot be met where no certificate is asked for: listener {}", silent.join(", ")),
            "write request_client_certificate = true there too, unless this mail comes in elsewhere",
        );
    }
    if inbound.asks_for_any_verified() && mx().any(|mx| mx.requests_certificate() && mx.client_ca.is_none()) {
        place.warn(
            "\"verified\" asks for no name: every certificate of a public authority will do, whoever it was issued to",
            "name client_ca in the [[listener]], or list the fingerprints of those that are meant",
        );
    }
}

/// Of one file, or of all domains that none speaks for.
fn check_deliveries(main: &MainFile<'_>, file: Option<&DomainFile<'_>>) {
    let route = file.and_then(|file| file.route.as_ref()).or(main.default_route());
    let below = || main.outbound.rules.parts();
    let written = match (route, file) {
        (Some(route), _) => vec![route.tls.clone()],
        (None, None) => below().cloned().collect(),
        (None, Some(file)) => {
            file.outbound.rules.parts().flat_map(|keys| below().map(|below| keys.over(below))).collect()
        }
    };
    let table = file.map_or(&main.outbound, |file| &file.outbound);
    let usual = Deliveries { main, own: &table.delivery, file, route, written };
    usual.check();
    let mut in_force = table.delivery.clone();
    for step in &table.rules.steps {
        in_force = step.keys.delivery.over(&in_force);
        usual.with(&in_force).check_laid(&step.keys.delivery);
    }
    for exception in &table.rules.exceptions {
        let laid = &exception.keys.delivery;
        usual.with(&laid.over(&in_force)).check_laid(laid);
    }
    // What the default says on some day or for some holds where the file says nothing.
    for (_, keys) in main.outbound.rules.laid().filter(|_| file.is_some()) {
        usual.with(&table.delivery.over(&keys.delivery)).check_inherited(&keys.delivery);
    }
}

/// Every `[[route]]` by itself.
fn check_named_routes(main: &MainFile<'_>) {
    check_unique(main.routes.iter().map(|route| &route.name), "give each [[route]] its own name");
    for route in &main.routes {
        check_own_route(&route.table);
    }
}

fn check_own_route(route: &RouteTable<'_>) {
    policy_checks::check_route(route);
    if let Some(hosts) = route.hosts.as_ref().filter(|hosts| hosts.value.is_empty()) {
        hosts.place.error("a [route] without hosts leads nowhere", "name at least one host, or remove [route]");
    }
}

fn check_not_hosted(file: &DomainFile<'_>) {
    if let Some(recipients) = file.recipients.as_ref().filter(|at| !matches!(at.value, RecipientsFrom::Unknown)) {
        recipients.place.warn("has no effect: the domains are not hosted here", "write hosted = true, or remove it");
    }
    let recipient_only = AppliesTo { sender: false, recipient: true };
    if let Some(applies_to) = file.inbound.base.applies_to.as_ref().filter(|at| at.value == recipient_only) {
        applies_to.place.warn(
            "[inbound] has no effect: \"recipient\" counts for hosted domains only",
            "add \"sender\", or write hosted = true",
        );
    }
}

fn check_host(main: &MainFile<'_>, files: &[DomainFile<'_>]) {
    let Some(hostname) = &main.hostname else { return };
    if hostname.value.label_count() < 2 {
        hostname
            .place
            .warn("not a fully qualified name: other servers may refuse it", "write the name with its domain");
    }
    let hosted = files.iter().filter(|file| file.is_hosted()).flat_map(|file| &file.patterns);
    let answers = main.listeners.iter().any(|listener| listener.is_role(Role::Mx));
    if answers && main.postmaster.is_none() && !hosted.into_iter().any(|at| at.value.covers(&hostname.value)) {
        hostname.place.warn(
            "mail for <postmaster> without a domain has nowhere to go (RFC 5321 section 4.5.1)",
            "write postmaster = \"postmaster@...\", or host the domain of the hostname",
        );
    }
}

/// Reports each value that stands a second time, with the first place.
fn check_unique<'t, 'a: 't, T>(values: impl Iterator<Item = &'t At<'a, T>>, remedy: &str)
where
    T: Eq + Hash + Display + 't,
{
    let mut seen = HashMap::new();
    for at in values {
        match seen.get(&at.value) {
            None => drop(seen.insert(&at.value, &at.place)),
            Some(first) => at.place.error(format!("{} is written before, in {}", at.value, first.source()), remedy),
        }
    }
}
