//! What a delivery must meet: one requirement with its reasons, and where it goes. Decided anew at each attempt.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::rate::Rate;
use crate::model::reason::Reason;
use crate::model::tls::ProtocolVersion;

use super::in_force::Because;
use super::names::{Fingerprint, Identity, NamePattern};
use super::rules::PolicySet;
use super::settings::{
    DaneUse, DeliveryLayer, Learn, OnTlsFailure, OutboundLayer, OutboundTls, Route, Source, Sourced, StsUse,
    TlsRequiredNo,
};
use super::timed::{Asker, Rules, Shadow, Terms, guarded, lay};

/// What TLS must be before a message goes out: a conjunction. The transport may exceed it and never weakens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub tls: Sourced<OutboundTls>,
    pub min_version: Option<Sourced<ProtocolVersion>>,
    pub cipher: Sourced<CipherGrade>,
    /// For `verify`: any one of these suffices.
    pub match_names: Sourced<Vec<NamePattern>>,
    /// For `verify`: any one of these suffices instead of a name.
    pub fingerprints: Option<Sourced<Vec<Fingerprint>>>,
    /// For `verify`: the files of the roots that alone may vouch; `None` for those of the system.
    pub ca: Option<Sourced<Vec<PathBuf>>>,
}

impl Requirement {
    /// Lays `layers` over the built-in values, the later ones on top.
    pub fn of(layers: &[&OutboundLayer]) -> Self {
        requirement(layers, &[NamePattern::Domain, NamePattern::Mx])
    }

    /// `min_version` and `cipher` exclude plaintext, so does every level from `encrypt` on.
    pub fn permits_plaintext(&self) -> bool {
        self.tls.value <= OutboundTls::Opportunistic
            && self.min_version.is_none()
            && self.cipher.value == CipherGrade::Any
    }

    pub fn permits_tls(&self) -> bool {
        self.tls.value != OutboundTls::Off
    }

    pub fn wants_identity(&self) -> bool {
        self.tls.value == OutboundTls::Verify
    }

    /// The level in force, for metrics and records: `opportunistic` with a minimum is `encrypt` in effect.
    pub fn level(&self) -> OutboundTls {
        match self.tls.value {
            OutboundTls::Opportunistic if !self.permits_plaintext() => OutboundTls::Encrypt,
            level => level,
        }
    }

    /// The rule that a session lacking this does not meet; with `None` the one that decides about TLS.
    pub fn rule(&self, lacking: Option<Reason>) -> &Source {
        let version = self.min_version.as_ref().map(|version| &version.source);
        let cipher = Some(&self.cipher).filter(|cipher| cipher.value > CipherGrade::Any).map(|cipher| &cipher.source);
        let implied = || version.or(cipher).filter(|_| self.tls.value <= OutboundTls::Opportunistic);
        let rule = match lacking {
            Some(Reason::VersionBelowMinimum) => version,
            Some(Reason::CipherBelowMinimum) => cipher,
            Some(Reason::StarttlsNotSupported) | None => implied(),
            Some(_) => None,
        };
        rule.unwrap_or(&self.tls.source)
    }

    /// Whether it is written whose certificate is right.
    pub fn names_identity(&self) -> bool {
        self.match_names.source != Source::BuiltIn || self.fingerprints.is_some() || self.ca.is_some()
    }

    /// Level, version and cipher with their sources.
    pub fn floor(&self) -> Vec<Because> {
        let because = |key, value: String, source: &Source| Because { key, value, source: source.clone() };
        let mut out = vec![because("tls", self.tls.value.as_str().to_owned(), &self.tls.source)];
        out.extend(self.min_version.as_ref().map(|v| because("min_version", v.value.to_string(), &v.source)));
        out.push(because("cipher", self.cipher.value.to_string(), &self.cipher.source));
        out
    }

    /// Every key with its source.
    pub fn because(&self) -> Vec<Because> {
        let because = |key, value: String, source: &Source| Because { key, value, source: source.clone() };
        let mut out = self.floor();
        if self.wants_identity() {
            out.push(because("match", listed(&self.match_names.value), &self.match_names.source));
            out.extend(self.fingerprints.as_ref().map(|f| because("fingerprints", listed(&f.value), &f.source)));
            let files = |files: &[PathBuf]| listed(&files.iter().map(|file| file.display()).collect::<Vec<_>>());
            out.extend(self.ca.as_ref().map(|ca| because("ca", files(&ca.value), &ca.source)));
        }
        out
    }

    /// The identity that one host must prove.
    pub fn identity(&self, host: &HostIdentity<'_>) -> Identity {
        let mut identity = Identity::default();
        for pattern in &self.match_names.value {
            match pattern {
                NamePattern::Domain => identity.names.extend(host.recipient_domain.cloned()),
                NamePattern::Mx if host.name_is_trusted => identity.names.extend(host.name.cloned()),
                NamePattern::Mx => {}
                NamePattern::Exact(name) => identity.names.push(name.clone()),
                NamePattern::OneBelow(name) => identity.one_below.push(name.clone()),
            }
        }
        identity.fingerprints = self.fingerprints.as_ref().map(|f| f.value.clone()).unwrap_or_default();
        identity
    }
}

fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// What is known about a host before its certificate is seen.
#[derive(Clone, Copy, Debug)]
pub struct HostIdentity<'a> {
    pub recipient_domain: Option<&'a Domain>,
    /// `None` for an address literal.
    pub name: Option<&'a Domain>,
    /// The name was written by the operator (a route), not taken from unsigned DNS.
    pub name_is_trusted: bool,
}

/// Where a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The MX hosts of the recipient domain.
    Mx,
    /// The hosts that were written down.
    Route(Arc<Route>),
}

/// What is made of what others publish, of what was learned, and of what the message itself asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    pub dane: Sourced<DaneUse>,
    pub mta_sts: Sourced<StsUse>,
    pub learn: Sourced<Learn>,
    pub tls_required_no: Sourced<TlsRequiredNo>,
}

/// The way that mail takes whose TLS cannot be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    pub route: Arc<Route>,
    /// From the first attempt that lacked TLS.
    pub after: Duration,
}

/// How long mail waits for TLS before it takes the other route, where nothing else is written.
pub const ROUTE_AFTER: Duration = Duration::from_secs(4 * 60 * 60);

/// The decision about one recipient domain, before anything is known of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub next_hop: NextHop,
    pub requirement: Requirement,
    /// The exception that holds for this message, whether it made a difference or not.
    pub exception: Option<Arc<Terms>>,
    pub following: Following,
    pub on_tls_failure: Sourced<OnTlsFailure>,
    /// `None` but for `OnTlsFailure::Route`.
    pub fallback: Option<Fallback>,
    /// From the first attempt that lacked TLS until the sender is told; `None`: as for any other delay.
    pub notify_sender: Option<Duration>,
    /// `None`: the general limit.
    pub concurrency: Option<u32>,
    /// `None`: as fast as can be.
    pub rate: Option<Rate>,
    /// `None`: the spool's.
    pub retry: Option<Vec<Duration>>,
    /// `None`: the spool's.
    pub lifetime: Option<Duration>,
}

impl Decision {
    /// Whether the domain's own mail hosts are looked up.
    pub fn is_by_mx(&self) -> bool {
        self.next_hop == NextHop::Mx
    }

    /// Whether mail is dealt with in one way under both, wherever that was written, and recorded in the same words.
    pub fn is_like(&self, other: &Self) -> bool {
        // By name, so that a new part is not forgotten.
        let Self { next_hop, requirement, exception, following, .. } = self;
        let Self { on_tls_failure, fallback, notify_sender, concurrency, rate, retry, lifetime, .. } = self;
        next_hop == &other.next_hop
            && requirement == &other.requirement
            && exception == &other.exception
            && following.is_like(&other.following)
            && on_tls_failure.value == other.on_tls_failure.value
            && fallback == &other.fallback
            && notify_sender == &other.notify_sender
            && concurrency == &other.concurrency
            && rate == &other.rate
            && retry == &other.retry
            && lifetime == &other.lifetime
    }

    /// The same mail by the other route, if there is one. It answers to that route's keys alone, and does not go on
    /// from there to a third.
    pub fn rerouted(self) -> Option<Self> {
        let Fallback { route, .. } = self.fallback?;
        let mut requirement = requirement(&[&route.tls], &[NamePattern::Mx]);
        // What waited for TLS never goes out without.
        if requirement.tls.value < OutboundTls::Encrypt {
            requirement.tls = Sourced { value: OutboundTls::Encrypt, source: self.on_tls_failure.source.clone() };
        }
        Some(Self {
            requirement,
            next_hop: NextHop::Route(route),
            exception: None,
            on_tls_failure: Sourced { value: OnTlsFailure::Defer, source: self.on_tls_failure.source },
            fallback: None,
            following: self.following.where_published(),
            ..self
        })
    }
}

impl Following {
    fn of(layers: &[&DeliveryLayer]) -> Self {
        Self {
            dane: delivery(layers, |layer| &layer.dane).unwrap_or(Sourced::built_in(DaneUse::Auto)),
            mta_sts: delivery(layers, |layer| &layer.mta_sts).unwrap_or(Sourced::built_in(StsUse::Auto)),
            learn: delivery(layers, |layer| &layer.learn).unwrap_or(Sourced::built_in(Learn::Propose)),
            tls_required_no: delivery(layers, |layer| &layer.tls_required_no)
                .unwrap_or(Sourced::built_in(TlsRequiredNo::Ignore)),
        }
    }

    /// DANE that is demanded of the domain's own hosts is used with others as far as they have it.
    fn where_published(self) -> Self {
        let dane = match self.dane.value {
            DaneUse::Required => Sourced { value: DaneUse::Auto, ..self.dane },
            DaneUse::Auto | DaneUse::Off => self.dane,
        };
        Self { dane, ..self }
    }

    fn is_like(&self, other: &Self) -> bool {
        let Self { dane, mta_sts, learn, tls_required_no } = self;
        dane.value == other.dane.value
            && mta_sts.value == other.mta_sts.value
            && learn.value == other.learn.value
            && tls_required_no.value == other.tls_required_no.value
    }

    /// Every key with its source.
    pub fn because(&self) -> Vec<Because> {
        let because =
            |key, value: &str, source: &Source| Because { key, value: value.to_owned(), source: source.clone() };
        vec![
            because("dane", self.dane.value.as_str(), &self.dane.source),
            because("mta_sts", self.mta_sts.value.as_str(), &self.mta_sts.source),
            because("learn", self.learn.value.as_str(), &self.learn.source),
            because("tls_required_no", self.tls_required_no.value.as_str(), &self.tls_required_no.source),
        ]
    }
}

/// The uppermost layer's word on one key; the first of `layers` is the uppermost.
fn delivery<T: Clone>(
    layers: &[&DeliveryLayer],
    key: impl Fn(&DeliveryLayer) -> &Option<Sourced<T>>,
) -> Option<Sourced<T>> {
    layers.iter().find_map(|layer| key(layer).clone())
}

/// Decides how mail for `domain` is delivered; `None` is an address literal, which has no policy of its own.
pub fn decide(policies: &PolicySet, domain: Option<&Domain>, asker: &Asker<'_>) -> Decision {
    let policy = domain.and_then(|domain| policies.find(domain)).map(|(policy, _)| policy);
    let own = policy.map(|policy| delivery_layers(&policy.delivery, &policy.outbound, asker)).unwrap_or_default();
    // A route of its own has what stands beside it.
    let is_bare_route = policy.is_some_and(|policy| policy.route.is_some()) && own.iter().all(|own| own.dane.is_none());
    let default = delivery_layers(&policies.defaults.delivery, &policies.defaults.outbound, asker);
    let delivery = [own, default].concat();
    let route = match (policy.and_then(|policy| policy.route.as_ref()), domain) {
        (Some(route), _) => Some(route),
        (None, Some(_)) => policies.defaults.route.as_ref(),
        // An address literal says itself where it goes.
        (None, None) => None,
    };
    let levels: Vec<_> =
        [&policies.defaults.outbound].into_iter().chain(policy.map(|policy| &policy.outbound)).collect();
    // A static route answers to its own TLS keys; what [default.outbound] says of TLS does not reach it.
    let (requirement, exception) = match route {
        // Its hosts were written down, so a certificate must be for them; a recipient's domain has no say.
        Some(route) => (requirement(&[&route.tls], &[NamePattern::Mx]), delivery_exception(&levels, asker)),
        None => {
            let laid = lay(&levels, asker, Shadow::Left);
            (guard(Requirement::of(&laid.layers), &levels, asker), laid.exception.cloned())
        }
    };
    let following = Following::of(&delivery);
    let following = if is_bare_route { following.where_published() } else { following };
    let on_tls_failure =
        self::delivery(&delivery, |layer| &layer.on_tls_failure).unwrap_or(Sourced::built_in(OnTlsFailure::Defer));
    Decision {
        next_hop: route.map_or(NextHop::Mx, |route| NextHop::Route(route.clone())),
        requirement,
        exception,
        following,
        fallback: fallback(policies, &on_tls_failure.value, &delivery),
        on_tls_failure,
        notify_sender: self::delivery(&delivery, |layer| &layer.notify_sender).map(|after| after.value),
        concurrency: delivery.iter().find_map(|layer| layer.concurrency),
        rate: delivery.iter().find_map(|layer| layer.rate),
        retry: delivery.iter().find_map(|layer| layer.retry.clone()),
        lifetime: delivery.iter().find_map(|layer| layer.lifetime),
    }
}

/// What one level says of deliveries, the uppermost first.
fn delivery_layers<'a>(
    base: &'a DeliveryLayer,
    rules: &'a Rules<OutboundLayer>,
    asker: &Asker<'_>,
) -> Vec<&'a DeliveryLayer> {
    let mut layers = vec![base];
    rules.each_part(asker, Shadow::Left, |_, layer| layers.push(&layer.delivery));
    layers.reverse();
    layers
}

/// The exception that holds, where it says something of deliveries.
fn delivery_exception(levels: &[&Rules<OutboundLayer>], asker: &Asker<'_>) -> Option<Arc<Terms>> {
    let holding = levels.iter().rev().find_map(|rules| rules.exception(asker));
    let telling = holding.filter(|exception| exception.layer.delivery != DeliveryLayer::default());
    telling.map(|exception| exception.terms.clone())
}

fn fallback(policies: &PolicySet, end: &OnTlsFailure, layers: &[&DeliveryLayer]) -> Option<Fallback> {
    let OnTlsFailure::Route(name) = end else { return None };
    let route = policies.routes.get(name)?.clone();
    let after = delivery(layers, |layer| &layer.route_after).map_or(ROUTE_AFTER, |after| after.value);
    Some(Fallback { route, after })
}

/// Names and fingerprints count only with `verify`: no exception of the default takes it from those of a domain file.
fn guard(requirement: Requirement, levels: &[&Rules<OutboundLayer>], asker: &Asker<'_>) -> Requirement {
    let Some(guarded) = guarded(levels, asker) else { return requirement };
    let names_identity = |layer: &&OutboundLayer| layer.match_names.is_some() || layer.fingerprints.is_some();
    let tls = Requirement::of(&guarded.unexcepted).tls;
    if tls.value > requirement.tls.value && guarded.own.iter().any(names_identity) {
        return Requirement { tls, ..requirement };
    }
    requirement
}

/// Lays `layers` over the built-in values, the later ones on top.
fn requirement(layers: &[&OutboundLayer], match_names: &[NamePattern]) -> Requirement {
    Requirement {
        tls: top(layers, |layer| &layer.tls).unwrap_or(Sourced::built_in(OutboundTls::Opportunistic)),
        min_version: top(layers, |layer| &layer.min_version),
        cipher: top(layers, |layer| &layer.cipher).unwrap_or(Sourced::built_in(CipherGrade::Any)),
        match_names: top(layers, |layer| &layer.match_names).unwrap_or(Sourced::built_in(match_names.to_vec())),
        fingerprints: top(layers, |layer| &layer.fingerprints),
        ca: top(layers, |layer| &layer.ca),
    }
}

fn top<T: Clone>(layers: &[&OutboundLayer], key: impl Fn(&OutboundLayer) -> &Option<Sourced<T>>) -> Option<Sourced<T>> {
    layers.iter().rev().find_map(|layer| key(layer).clone())
}

#[cfg(test)]
mod tests;
