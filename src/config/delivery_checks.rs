//! What `[outbound]` says about published policies, and about mail whose TLS cannot be met, held against the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::policy::alternate::{Asked, Floor};
use crate::policy::settings::{DaneUse, Learn, OnTlsFailure, OutboundTls, StsUse};

use super::delivery_table::DeliveryKeys;
use super::domain_file::DomainFile;
use super::main_file::MainFile;
use super::place::At;
use super::policy_tables::TlsKeys;
use super::route_table::{NamedRoute, RouteTable};

/// The keys of one `[outbound]` beside its TLS keys, and the way that its mail goes. What has no effect under
/// `[default.outbound]` by itself may have one in the files that lie above it.
pub(super) struct Deliveries<'t, 'a> {
    pub(super) main: &'t MainFile<'a>,
    pub(super) own: &'t DeliveryKeys<'a>,
    /// `None` for `[default.outbound]` itself.
    pub(super) file: Option<&'t DomainFile<'a>>,
    /// What carries the mail instead of the domain's own hosts.
    pub(super) route: Option<&'t RouteTable<'a>>,
    /// What the mail answers to on some day: the route's own keys, or each layer.
    pub(super) written: Vec<TlsKeys<'a>>,
}

impl<'t, 'a> Deliveries<'t, 'a> {
    pub(super) fn check(&self) {
        self.check_dane();
        self.check_learn();
        self.check_notice();
        self.check_end();
        self.check_concurrency();
    }

    /// The same with other keys of deliveries in force.
    pub(super) fn with<'u>(&self, own: &'u DeliveryKeys<'a>) -> Deliveries<'u, 'a>
    where
        't: 'u,
    {
        let Self { main, file, route, written, .. } = self;
        Deliveries { main, own, file: *file, route: *route, written: written.clone() }
    }

    /// What a step or an exception makes of it: `laid` are its own keys.
    pub(super) fn check_laid(&self, laid: &DeliveryKeys<'a>) {
        if laid.dane.is_some() {
            self.check_dane();
        }
        if laid.learn.is_some() {
            self.check_learn();
        }
        if laid.notify_sender.is_some() {
            self.check_notice();
        }
        if laid.on_tls_failure.is_some() {
            self.check_end();
        } else {
            self.check_inherited(laid);
        }
    }

    /// What a step or an exception of the level below makes of it: mail takes a route that is strong enough then too.
    pub(super) fn check_inherited(&self, laid: &DeliveryKeys<'a>) {
        let matters = laid.on_tls_failure.is_some() || laid.dane.is_some() || laid.learn.is_some();
        let end = self.effective(|keys| keys.on_tls_failure.as_ref()).and_then(named).filter(|_| matters);
        let route = end.and_then(|(_, name)| self.main.routes.iter().find(|route| route.name.value == name));
        if let (Some((end, _)), Some(route)) = (end, route) {
            self.check_strength(end, route);
        }
    }

    /// The word of the file, else of the default.
    fn effective<T>(&self, key: impl Fn(&'t DeliveryKeys<'a>) -> Option<&'t At<'a, T>>) -> Option<&'t At<'a, T>> {
        key(self.own).or_else(|| key(&self.main.outbound.delivery))
    }

    fn lifetime(&self) -> Duration {
        self.own.lifetime.or(self.main.outbound.delivery.lifetime).unwrap_or(self.main.spool.lifetime)
    }

    /// TLSA records count only in answers that are secure, and only names have them.
    fn check_dane(&self) {
        let is_required = |dane: &&At<'a, DaneUse>| dane.value == DaneUse::Required;
        let own = self.own.dane.as_ref().filter(is_required);
        if let Some(dane) = own.filter(|_| self.main.dns.is_dnssec_off()) {
            dane.place.error(
                "\"required\" can never be met: DNSSEC is off, so that no TLSA record counts",
                "write dnssec = \"trust-ad\" and a server on this host, or dnssec = \"validate\", under [dns]",
            );
        }
        let Some(route) = self.route.filter(|route| route.has_addresses_only()) else { return };
        if let Some(dane) = own {
            dane.place.error(
                format!(
                    "\"required\" can never be met: {} names addresses, which publish nothing",
                    route.place.source()
                ),
                "name the hosts there, or remove it",
            );
        }
    }

    /// What is learned is about a domain's own hosts.
    fn check_learn(&self) {
        let is_off = |keys: &TlsKeys<'_>| keys.tls.as_ref().is_some_and(|tls| tls.value == OutboundTls::Off);
        let Some(learn) = self.own.learn.as_ref().filter(|learn| learn.value == Learn::Enforce) else { return };
        if let Some(route) = self.route {
            let place = route.place.source();
            learn.place.warn(
                format!(
                    "has no effect: the route of {place} carries this mail, and its hosts answer to their own keys"
                ),
                "ask for TLS there, and remove this",
            );
        } else if self.file.is_some() && self.written.iter().all(is_off) {
            learn.place.warn("has no effect: with tls = \"off\" nothing is learned", "remove it, or ask for TLS");
        }
    }

    fn check_notice(&self) {
        let Some(notice) = &self.own.notify_sender else { return };
        let end = self.effective(|keys| keys.on_tls_failure.as_ref());
        if notice.value >= self.lifetime() {
            notice.place.warn("nobody is told: `lifetime` is over before", "write less than the lifetime");
        } else if let Some(end) = end.filter(|end| self.file.is_some() && end.value == OnTlsFailure::Bounce) {
            notice.place.warn(
                format!("\"bounce\" of {} tells the sender at once, so that hardly any mail waits", end.place.source()),
                "remove one of the two",
            );
        }
    }

    /// What becomes of mail whose TLS cannot be met.
    /// Of one domain: whatever serves it has no more than that.
    fn check_concurrency(&self) {
        let most = self.main.limits.max_site_concurrency;
        if let Some(concurrency) = self.own.concurrency.as_ref().filter(|at| at.value > most) {
            let message = format!("{} is more than [limits].max_site_concurrency, which is {most}", concurrency.value);
            concurrency.place.error(message, "raise that, or write no more here");
        }
    }

    fn check_end(&self) {
        let Some((end, name)) = self.effective(|keys| keys.on_tls_failure.as_ref()).and_then(named) else {
            return self.check_no_route();
        };
        let Some(route) = self.main.routes.iter().find(|route| route.name.value == name) else {
            // An inherited name is reported once, where it stands.
            if self.own.on_tls_failure.is_some() {
                report_unknown(self.main, end, name);
            }
            return;
        };
        if self.file.is_some() && self.own.on_tls_failure.is_some() && !self.asks_for_tls() {
            end.place.warn(
                "nothing asks for TLS here, so that no mail but that of REQUIRETLS takes the route",
                "write tls = \"encrypt\" or more beside it, or remove this",
            );
        }
        self.check_strength(end, route);
        if let Some(after) = self.own.route_after.as_ref().filter(|after| after.value >= self.lifetime()) {
            let remedy = "write less than the lifetime";
            after.place.warn("the other route is never taken: `lifetime` is over before", remedy);
        }
    }

    fn check_no_route(&self) {
        let table = self.file.map_or(&self.main.outbound, |file| &file.outbound);
        let laid = table.rules.parts().chain(self.main.outbound.rules.parts());
        let is_ever_taken =
            laid.filter_map(|keys| keys.delivery.on_tls_failure.as_ref()).any(|end| named(end).is_some());
        if let Some(after) = self.own.route_after.as_ref().filter(|_| !is_ever_taken) {
            after.place.warn(
                "has no effect: on_tls_failure names no route",
                "write on_tls_failure = \"route:\" with the name of a [[route]], or remove this",
            );
        }
    }

    fn asks_for_tls(&self) -> bool {
        let publishes = !self.route.is_some_and(RouteTable::has_addresses_only);
        let dane = self.effective(|keys| keys.dane.as_ref()).is_none_or(|dane| dane.value != DaneUse::Off);
        let mta_sts = self.effective(|keys| keys.mta_sts.as_ref()).is_none_or(|sts| sts.value != StsUse::Off);
        let written = floor(&self.written).tls >= OutboundTls::Encrypt;
        written || self.enforces_learned() || publishes && (dane || mta_sts)
    }

    fn enforces_learned(&self) -> bool {
        let learn = self.effective(|keys| keys.learn.as_ref());
        self.route.is_none() && learn.is_some_and(|learn| learn.value == Learn::Enforce)
    }

    /// Mail that was kept back for its TLS does not go out by a weaker way.
    fn check_strength(&self, end: &At<'_, OnTlsFailure>, route: &NamedRoute<'_>) {
        let required = self.effective(|keys| keys.dane.as_ref()).filter(|dane| dane.value == DaneUse::Required);
        // It takes mail that something asked TLS for, and some that asked whose TLS it is.
        let proves = required.is_some() || self.enforces_learned();
        let given = floor(std::slice::from_ref(&route.table.tls));
        let lacking = floor(&self.written).of_alternate(proves).lacking(&given);
        let name = &route.name.value;
        let inherits = self.file.filter(|_| self.own.on_tls_failure.is_none());
        let whose =
            inherits.map_or_else(|| "this policy".to_owned(), |file| format!("the policy of {}", file.place.file.name));
        if !lacking.is_empty() {
            end.place.error(
                format!("route \"{name}\" is weaker than {whose}: it lacks {}", lacking.join(", ")),
                format!("write that into [[route]] of {}, or take another route", route.table.place.source()),
            );
        }
        if let Some(dane) = required.filter(|_| route.table.has_addresses_only()) {
            end.place.error(
                format!(
                    "route \"{name}\" names addresses, which never meet dane = \"required\" of {}",
                    dane.place.source()
                ),
                format!("name its hosts in {}, or take another route", route.table.place.source()),
            );
        }
    }
}

/// The name of the route that mail takes in the end.
fn named<'t, 'a>(end: &'t At<'a, OnTlsFailure>) -> Option<(&'t At<'a, OnTlsFailure>, &'t str)> {
    match &end.value {
        OnTlsFailure::Route(name) => Some((end, name)),
        OnTlsFailure::Defer | OnTlsFailure::Bounce => None,
    }
}

/// A `[[route]]` that no mail takes.
pub(super) fn check_unused(main: &MainFile<'_>, files: &[DomainFile<'_>]) {
    let tables = files.iter().map(|file| &file.outbound).chain([&main.outbound]);
    let keys = tables
        .flat_map(|table| std::iter::once(&table.delivery).chain(table.rules.laid().map(|(_, keys)| &keys.delivery)));
    let used: BTreeSet<&str> = keys.filter_map(|keys| Some(named(keys.on_tls_failure.as_ref()?)?.1)).collect();
    for route in main.routes.iter().filter(|route| !used.contains(route.name.value.as_str())) {
        let name = &route.name.value;
        route.name.place.warn(
            "no mail takes this route: no policy names it",
            format!(
                "write on_tls_failure = \"route:{name}\" where it is meant; or leave it for `gatepost queue reroute`, \
                 or remove it"
            ),
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

/// What these keys ask of a session, each perhaps in force on some day.
fn floor(layers: &[TlsKeys<'_>]) -> Floor {
    Floor::of(layers.iter().map(|keys| Asked {
        tls: keys.tls.as_ref().map(|at| at.value),
        min_version: keys.min_version.as_ref().map(|at| at.value),
        cipher: keys.cipher.as_ref().map(|at| at.value),
    }))
}
