//! What `[outbound]` says about published policies, and about mail whose TLS cannot be met, held against the rest.

use std::cmp::Ordering;

use crate::model::cipher::CipherGrade;
use crate::model::tls::ProtocolVersion;
use crate::policy::settings::{DaneUse, Learn, OnTlsFailure, OutboundTls, StsUse};

use super::delivery_table::{DeliveryKeys, OutboundTable};
use super::main_file::MainFile;
use super::place::At;
use super::policy_tables::TlsKeys;
use super::route_table::NamedRoute;

/// `default` is the layer below, `None` for `[default.outbound]` itself.
pub(super) fn check_outbound(own: &OutboundTable<'_>, default: Option<&OutboundTable<'_>>) {
    let written = |pick: fn(&DeliveryKeys<'_>) -> bool, key: fn(&DeliveryKeys<'_>) -> bool| {
        if key(&own.delivery) { pick(&own.delivery) } else { default.is_some_and(|default| pick(&default.delivery)) }
    };
    let dane_off =
        written(|keys| keys.dane.as_ref().is_some_and(|at| at.value == DaneUse::Off), |keys| keys.dane.is_some());
    let sts_off =
        written(|keys| keys.mta_sts.as_ref().is_some_and(|at| at.value == StsUse::Off), |keys| keys.mta_sts.is_some());
    if dane_off && sts_off {
        return;
    }
    for (index, keys) in own.rules.parts().enumerate() {
        let Some(off) = keys.tls.as_ref().filter(|tls| tls.value == OutboundTls::Off) else { continue };
        let place = if index == 0 { "beside it" } else { "in [outbound]" };
        off.place.error(
            "\"off\" stands only where DANE and MTA-STS are off too",
            format!("write dane = \"off\" and mta_sts = \"off\" {place}"),
        );
    }
}

/// TLSA records count only in answers that are secure.
pub(super) fn check_dane(main: &MainFile<'_>, own: &OutboundTable<'_>) {
    let required = parts(own).filter_map(|keys| keys.dane.as_ref()).filter(|dane| dane.value == DaneUse::Required);
    for dane in required.filter(|_| main.dns.is_dnssec_off()) {
        dane.place.error(
            "\"required\" can never be met: DNSSEC is off, so that no TLSA record counts",
            "write dnssec = \"trust-ad\" and a server on this host, or dnssec = \"validate\", under [dns]",
        );
    }
}

/// The base, and what is said of deliveries on some day or for some.
fn parts<'t, 'a>(table: &'t OutboundTable<'a>) -> impl Iterator<Item = &'t DeliveryKeys<'a>> {
    std::iter::once(&table.delivery).chain(table.rules.parts().map(|keys| &keys.delivery))
}

/// Whether a key has such a value on some day or for some. What the base says stands above the default.
fn ever<'t, 'a>(
    main: &'t MainFile<'a>,
    own: &'t OutboundTable<'a>,
    key: impl Fn(&DeliveryKeys<'a>) -> Option<bool>,
) -> bool {
    let inherited = parts(&main.outbound).filter(|_| key(&own.delivery).is_none());
    parts(own).chain(inherited).any(|keys| key(keys) == Some(true))
}

/// What becomes of mail whose TLS cannot be met. `written` is what its deliveries answer to, the lowest first.
pub(super) fn check_fallback(main: &MainFile<'_>, table: &OutboundTable<'_>, written: &[&TlsKeys<'_>]) {
    check_usual_fallback(main, table, written);
    let is_default = std::ptr::eq(table, &main.outbound);
    let inherits = !is_default && table.delivery.on_tls_failure.is_none();
    let inherited = main.outbound.rules.parts().filter(|_| inherits).map(|keys| (keys, false));
    for (keys, is_own) in table.rules.parts().map(|keys| (keys, true)).chain(inherited) {
        let Some(end) = &keys.delivery.on_tls_failure else { continue };
        let OnTlsFailure::Route(name) = &end.value else { continue };
        match main.routes.iter().find(|route| route.name.value == **name) {
            Some(route) => check_strength(end, route, written, table, main),
            // An inherited name is reported once, where it stands.
            None if is_own => report_unknown(main, end, name),
            None => {}
        }
    }
}

fn check_usual_fallback(main: &MainFile<'_>, table: &OutboundTable<'_>, written: &[&TlsKeys<'_>]) {
    let own = &table.delivery;
    let inherited = main.outbound.delivery.on_tls_failure.as_ref();
    let Some(end) = own.on_tls_failure.as_ref().or(inherited) else {
        return check_no_route(main, table);
    };
    let OnTlsFailure::Route(name) = &end.value else {
        return check_no_route(main, table);
    };
    let Some(route) = main.routes.iter().find(|route| route.name.value == **name) else {
        // An inherited name is reported once, where it stands.
        if own.on_tls_failure.is_some() {
            report_unknown(main, end, name);
        }
        return;
    };
    check_strength(end, route, written, table, main);
    let lifetime = own.lifetime.or(main.outbound.delivery.lifetime).unwrap_or(main.spool.lifetime);
    if let Some(after) = own.route_after.as_ref().filter(|after| after.value >= lifetime) {
        after.place.warn("the other route is never taken: `lifetime` is over before", "write less than the lifetime");
    }
}

fn check_no_route(main: &MainFile<'_>, own: &OutboundTable<'_>) {
    let names_route =
        |keys: &DeliveryKeys<'_>| Some(matches!(keys.on_tls_failure.as_ref()?.value, OnTlsFailure::Route(_)));
    if let Some(after) = own.delivery.route_after.as_ref().filter(|_| !ever(main, own, names_route)) {
        after.place.warn(
            "has no effect: on_tls_failure names no route",
            "write on_tls_failure = \"route:\" with the name of a [[route]], or remove this",
        );
    }
}

fn report_unknown(main: &MainFile<'_>, end: &At<'_, OnTlsFailure>, name: &str) {
    let names: Vec<&str> = main.routes.iter().map(|route| route.name.value.as_str()).collect();
    let remedy = match names.as_slice() {
        [] => format!("write a [[route]] with name = \"{name}\" in the main file"),
        names => format!("there is: {}; or write a [[route]] with this name in the main file", names.join(", ")),
    };
    end.place.error(format!("there is no [[route]] named \"{name}\""), remedy);
}

/// Mail that was kept back for its TLS does not go out by a weaker way.
fn check_strength(
    end: &At<'_, OnTlsFailure>,
    route: &NamedRoute<'_>,
    written: &[&TlsKeys<'_>],
    own: &OutboundTable<'_>,
    main: &MainFile<'_>,
) {
    // It takes mail that something asked TLS for, and some that asked whose TLS it is.
    let proves = ever(main, own, |keys| Some(keys.dane.as_ref()?.value == DaneUse::Required))
        || ever(main, own, |keys| Some(keys.learn.as_ref()?.value == Learn::Enforce));
    let least = if proves { OutboundTls::Verify } else { OutboundTls::Encrypt };
    let (wanted, given) = (Floor::of(written), Floor::of(&[&route.table.tls]));
    let wanted = Floor { tls: wanted.tls.max(least), ..wanted };
    let lacking = wanted.lacking(&given);
    if !lacking.is_empty() {
        end.place.error(
            format!("route \"{}\" is weaker than this policy: it lacks {}", route.name.value, lacking.join(", ")),
            format!("write that into [[route]] of {}, or take another route", route.table.place.source()),
        );
    }
}

/// What a session is asked for at least.
#[derive(Debug)]
struct Floor {
    tls: OutboundTls,
    min_version: Option<ProtocolVersion>,
    cipher: CipherGrade,
}

impl Floor {
    /// The strictest of each key in any of the layers; the layers may each be in force on some day.
    fn of(layers: &[&TlsKeys<'_>]) -> Self {
        let tls = layers.iter().filter_map(|keys| keys.tls.as_ref()).map(|at| at.value).max();
        let min_version = layers.iter().filter_map(|keys| keys.min_version.as_ref()).map(|at| at.value).max();
        let cipher = layers.iter().filter_map(|keys| keys.cipher.as_ref()).map(|at| at.value).max();
        let cipher = cipher.unwrap_or(CipherGrade::Any);
        let implied = if min_version.is_some() || cipher > CipherGrade::Any {
            OutboundTls::Encrypt
        } else {
            OutboundTls::Opportunistic
        };
        Self { tls: tls.unwrap_or(implied).max(implied), min_version, cipher }
    }

    fn lacking(&self, given: &Self) -> Vec<String> {
        let mut lacking = Vec::new();
        if given.tls < self.tls {
            lacking.push(format!("tls = \"{}\"", self.tls.as_str()));
        }
        if let Some(version) = self.min_version.filter(|_| given.min_version.cmp(&self.min_version) == Ordering::Less) {
            lacking.push(format!("min_version = \"{version}\""));
        }
        if given.cipher < self.cipher {
            lacking.push(format!("cipher = \"{}\"", self.cipher));
        }
        lacking
    }
}
