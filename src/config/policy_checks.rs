//! Combinations inside one policy, seen with the defaults below it, that cannot be meant.

use crate::model::address::Host;
use crate::policy::names::NamePattern;
use crate::policy::settings::{InboundTls, Mode, OutboundTls};

use super::delivery_table::OutboundTable;
use super::place::{At, Place};
use super::policy_tables::{InboundKeys, TlsKeys};
use super::route_table::RouteTable;
use super::timed_checks;
use super::timed_tables::{Keys, Part, Timed};

/// `below` is what the keys are laid over, `None` for the base of `[default.inbound]`.
pub(super) fn check_inbound(own: &InboundKeys<'_>, below: Option<&InboundKeys<'_>>, part: Part) {
    let own_floor = own.floor_places().into_iter().flatten().next();
    let inherited_floor = below.and_then(|below| inherited_floor(own, below));
    let tls = own.tls.as_ref().or(below.and_then(|below| below.tls.as_ref()));
    let is_required = tls.is_some_and(|tls| tls.value == InboundTls::Required);
    match (&own.tls, own_floor, inherited_floor) {
        (Some(tls), Some(floor), _) if tls.value == InboundTls::Optional => tls.place.error(
            format!("\"optional\" contradicts `{}` beside it, which needs TLS", floor.key),
            "write \"required\", or remove one of the two",
        ),
        (Some(tls), None, Some(floor)) if tls.value == InboundTls::Optional => tls.place.warn(
            format!("has no effect: `{}` of {} still needs TLS", floor.key, floor.source()),
            match part {
                Part::Base => "write \"required\" to say so, or remove the default",
                Part::Exception => "write mode = \"report\" to let plaintext in, or remove this",
                Part::Step | Part::Shadow => "write \"required\" to say so, or remove one of the two",
            },
        ),
        (None, Some(floor), _) if !is_required && matches!(part, Part::Base | Part::Step) => {
            floor.warn("implies tls = \"required\"", "write tls = \"required\" beside it to say so");
        }
        _ => {}
    }
}

/// A `mode` says what happens to what does not meet the policy, so something must be asked for.
pub(super) fn check_mode<'a>(own: &Timed<'a, InboundKeys<'a>>, default: &Timed<'a, InboundKeys<'a>>) {
    let modes = || own.parts().filter_map(|keys| keys.mode.as_ref());
    if modes().next().is_none() || timed_checks::asks_for_tls(own, Some(default)) {
        return;
    }
    for mode in modes() {
        mode.place.warn(
            "nothing is asked for that it could apply to",
            "write tls, min_version, cipher or client_certificate beside it",
        );
    }
}

/// The mode of an exception of the default lets nothing pass that a domain file asks for.
pub(super) fn check_default_modes<'a>(default: &Timed<'a, InboundKeys<'a>>) {
    let modes = default.exceptions.iter().filter_map(|exception| exception.keys.mode.as_ref());
    if timed_checks::asks_for_tls(default, None) {
        return;
    }
    for mode in modes.filter(|mode| mode.value == Mode::Report) {
        mode.place.warn(
            "has no effect: [default.inbound] asks for nothing, and what a domain file asks for is not lowered here",
            "write the exception into the domain files that it is about",
        );
    }
}

/// Where the layer below asks for what only TLS can have, by a key that `own` does not have.
fn inherited_floor<'t, 'a>(own: &InboundKeys<'a>, below: &'t InboundKeys<'a>) -> Option<&'t Place<'a>> {
    let replaced = [own.min_version.is_some(), own.cipher.is_some(), own.client_certificate.is_some()];
    let inherited = below.floor_places().into_iter().zip(replaced).filter(|(_, replaced)| !replaced);
    inherited.filter_map(|(place, _)| place).next()
}

/// A text that says where to read more needs to know where.
pub(super) fn check_refusal_text(own: &InboundKeys<'_>, default: Option<&InboundKeys<'_>>) {
    let has_url = own.refusal_url.is_some() || default.is_some_and(|default| default.refusal_url.is_some());
    if let Some(text) = own.refusal_text.as_ref().filter(|text| text.value.names_url() && !has_url) {
        text.place.error("{url} stands for nothing: there is no refusal_url", "write refusal_url, or take {url} out");
    }
}

/// Keys of `[outbound]` over those below, `None` at the bottom.
pub(super) fn check_tls_keys(own: &TlsKeys<'_>, below: Option<&TlsKeys<'_>>) {
    check_off(own, below);
    check_identity(own, below);
}

/// A route answers to its own keys: there is no layer below.
pub(super) fn check_route(route: &RouteTable<'_>) {
    check_off(&route.tls, None);
    check_identity(&route.tls, None);
    if let Some(pair) =
        route.client_certificate.as_ref().filter(|_| effective_tls(&route.tls, None) == OutboundTls::Off)
    {
        pair.place.error("cannot be shown with tls = \"off\"", "remove it, or ask for TLS");
    }
    let verify = route.tls.tls.as_ref().is_some_and(|tls| tls.value == OutboundTls::Verify);
    let names = route.tls.match_names.as_ref();
    let named = route.tls.fingerprints.is_some()
        || names.is_some_and(|names| names.value.iter().any(|name| name.value != NamePattern::Mx));
    if !verify || named {
        return;
    }
    for host in route.hosts.iter().flat_map(|hosts| &hosts.value) {
        if matches!(host.value.host, Host::Literal(_)) {
            host.place.error(
                "tls = \"verify\" has no name that an address could be verified by",
                "name the host, or write match or fingerprints",
            );
        }
    }
}

fn effective_tls(own: &TlsKeys<'_>, default: Option<&TlsKeys<'_>>) -> OutboundTls {
    let written = own.tls.as_ref().or(default.and_then(|default| default.tls.as_ref()));
    written.map_or(OutboundTls::Opportunistic, |tls| tls.value)
}

/// Without TLS there is nothing that a floor or an identity could be asked of.
fn check_off(own: &TlsKeys<'_>, default: Option<&TlsKeys<'_>>) {
    if effective_tls(own, default) != OutboundTls::Off {
        return;
    }
    for place in own.floor_places().chain(own.identity_places()) {
        place.error("cannot be met with tls = \"off\"", "remove it, or ask for TLS");
    }
    let inherited = default.and_then(|default| default.floor_places().next());
    if let (Some(tls), Some(floor)) = (&own.tls, inherited) {
        tls.place.error(
            format!("\"off\" cannot meet `{}` of {}", floor.key, floor.source()),
            "ask for TLS, or move the default into the domain files that need it",
        );
    }
}

fn check_identity(own: &TlsKeys<'_>, default: Option<&TlsKeys<'_>>) {
    let tls = effective_tls(own, default);
    if matches!(tls, OutboundTls::Off | OutboundTls::Verify) {
        return;
    }
    for place in own.identity_places() {
        place.error(
            format!("needs tls = \"verify\", and here it is \"{}\"", tls.as_str()),
            "write tls = \"verify\" beside it, or remove it",
        );
    }
}

/// TLS keys that a route overrules.
pub(super) fn check_overruled(outbound: &OutboundTable<'_>, own_route: bool) {
    for place in outbound.rules.base.places() {
        if own_route {
            place.error("with a [route] the TLS keys stand in [route]", "move it into [route]");
        } else {
            place.error(
                "has no effect: [default.route] carries this mail and answers to its own TLS keys",
                "give the domain a [route] of its own with this key, or remove it",
            );
        }
    }
    let route = if own_route { "[route]" } else { "[default.route]" };
    for (header, _) in outbound.rules.laid().filter(|(_, keys)| !keys.is_of_deliveries()) {
        header.error(
            format!("has no effect: {route} carries this mail and answers to its own TLS keys, which no day changes"),
            "remove it, or let the MX records lead the way",
        );
    }
}

/// A value whose list ended up empty, so that the table says nothing.
pub(super) fn is_written_empty<T>(list: Option<&At<'_, Vec<T>>>) -> bool {
    list.is_some_and(|list| list.value.is_empty())
}
