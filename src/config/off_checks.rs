//! `tls = "off"` stands only where nothing is made of what domains publish (DANE, MTA-STS): on every way to a domain,
//! from whatever level it comes.

use crate::model::address::Host;
use crate::policy::settings::{DaneUse, OutboundTls, StsUse};

use super::delivery_table::{DeliveryKeys, OutboundTable};
use super::domain_file::DomainFile;
use super::main_file::MainFile;
use super::place::{At, Place};
use super::policy_tables::TlsKeys;
use super::route_table::RouteTable;

const NOT_ALONE: &str = "\"off\" stands only where DANE and MTA-STS are off too";

/// All of a configuration.
pub(super) fn check(main: &MainFile<'_>, files: &[DomainFile<'_>]) {
    let heeds_by_default = heeds(&main.outbound.delivery, None);
    if heeds_by_default {
        match main.default_route() {
            Some(route) => report_route(route, "[default.outbound]"),
            None => report_written(&main.outbound, "[default.outbound]"),
        }
        main.routes.iter().for_each(|route| report_route(&route.table, "[default.outbound]"));
    } else {
        let by_route = main.default_route().map(off_of_route);
        report_laid(&main.outbound, by_route.unwrap_or_else(|| off_of_table(&main.outbound)));
    }
    let keeps_off = |file: &&DomainFile<'_>| !heeds(&file.outbound.delivery, Some(&main.outbound.delivery));
    for file in files.iter().filter(keeps_off) {
        let by_route = file.route.as_ref().or(main.default_route()).map(off_of_route);
        let inherited = || off_of_table(&main.outbound).filter(|_| file.outbound.rules.base.tls.is_none());
        let off = by_route.unwrap_or_else(|| off_of_table(&file.outbound).or_else(inherited));
        report_laid(&file.outbound, off);
    }
    for file in files.iter().filter(|file| heeds(&file.outbound.delivery, Some(&main.outbound.delivery))) {
        match (&file.route, main.default_route()) {
            (Some(route), _) => report_route(route, "[outbound]"),
            (None, Some(route)) => report_inherited(file, off_of_route(route)),
            (None, None) => {
                report_written(&file.outbound, "[outbound]");
                if file.outbound.rules.base.tls.is_none() {
                    report_inherited(file, main.outbound.rules.parts().find_map(off));
                }
            }
        }
    }
}

/// Whether anything is made of what is published.
fn heeds(own: &DeliveryKeys<'_>, default: Option<&DeliveryKeys<'_>>) -> bool {
    let dane = own.dane.as_ref().or(default.and_then(|default| default.dane.as_ref()));
    let mta_sts = own.mta_sts.as_ref().or(default.and_then(|default| default.mta_sts.as_ref()));
    dane.is_none_or(|at| at.value != DaneUse::Off) || mta_sts.is_none_or(|at| at.value != StsUse::Off)
}

fn off<'t, 'a>(keys: &'t TlsKeys<'a>) -> Option<&'t At<'a, OutboundTls>> {
    keys.tls.as_ref().filter(|tls| tls.value == OutboundTls::Off)
}

/// An address publishes nothing.
fn off_of_route<'t, 'a>(route: &'t RouteTable<'a>) -> Option<&'t At<'a, OutboundTls>> {
    let has_name =
        || route.hosts.iter().flat_map(|hosts| &hosts.value).any(|hop| matches!(hop.value.host, Host::Name(_)));
    off(&route.tls).filter(|_| has_name())
}

fn report_written(own: &OutboundTable<'_>, table: &str) {
    for (index, keys) in own.rules.parts().enumerate() {
        let place = if index == 0 { "beside it".to_owned() } else { format!("in {table}") };
        // A step or an exception may say both by itself.
        let is_alone = index == 0 || heeds(&keys.delivery, Some(&own.delivery));
        if let Some(off) = off(keys).filter(|_| is_alone) {
            off.place.error(NOT_ALONE, format!("write dane = \"off\" and mta_sts = \"off\" {place}"));
        }
    }
}

fn report_route(route: &RouteTable<'_>, table: &str) {
    if let Some(off) = off_of_route(route) {
        off.place.error(
            format!("{NOT_ALONE}: a host that has a name may publish what asks for TLS"),
            format!("write dane = \"off\" and mta_sts = \"off\" in {table}, or name the hosts by their addresses"),
        );
    }
}

/// The level below is right by itself, and the file goes back on what it rests upon.
fn report_inherited(file: &DomainFile<'_>, off: Option<&At<'_, OutboundTls>>) {
    report_keys(&file.outbound.delivery, off);
}

/// The same of steps and exceptions.
fn report_laid(table: &OutboundTable<'_>, off: Option<&At<'_, OutboundTls>>) {
    table.rules.laid().for_each(|(_, keys)| report_keys(&keys.delivery, off));
}

/// Where mail goes without TLS, but by what switches both off beside it.
fn off_of_table<'t, 'a>(table: &'t OutboundTable<'a>) -> Option<&'t At<'a, OutboundTls>> {
    table.rules.parts().filter(|keys| heeds(&keys.delivery, None)).find_map(off)
}

fn report_keys(keys: &DeliveryKeys<'_>, off: Option<&At<'_, OutboundTls>>) {
    let Some(off) = off else { return };
    let DeliveryKeys { dane, mta_sts, .. } = keys;
    let dane = dane.as_ref().filter(|at| at.value != DaneUse::Off).map(|at| (&at.place, at.value.as_str(), "dane"));
    let mta_sts =
        mta_sts.as_ref().filter(|at| at.value != StsUse::Off).map(|at| (&at.place, at.value.as_str(), "mta_sts"));
    for (place, value, key) in dane.into_iter().chain(mta_sts) {
        report_heeded(place, (key, value), off);
    }
}

fn report_heeded(place: &Place<'_>, (key, value): (&str, &str), off: &At<'_, OutboundTls>) {
    let message = format!(
        "\"{value}\" cannot stand over `{}` = \"off\" of {}: where TLS is published, nothing would go out",
        off.place.key,
        off.place.source()
    );
    let remedy = match off.place.key.contains("route") {
        true => format!("give the domain a [route] of its own with TLS, or write {key} = \"off\""),
        false => format!("write tls = \"opportunistic\" beside it, or {key} = \"off\""),
    };
    place.error(message, remedy);
}
