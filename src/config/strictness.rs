//! What keys change about those that they are laid over: stricter, weaker, or only different.

use std::cmp::Ordering;

use crate::model::cipher::CipherGrade;
use crate::model::tls::ProtocolVersion;
use crate::policy::outbound::ROUTE_AFTER;
use crate::policy::settings::{
    ClientCertificateRule, DaneUse, InboundTls, Learn, Mode, OnTlsFailure, OutboundTls, StsUse, TlsRequiredNo,
};

use super::delivery_table::DeliveryKeys;
use super::place::{At, Place};
use super::policy_tables::{InboundKeys, TlsKeys};
use super::timed_tables::Keys;

/// One key that makes a difference.
#[derive(Debug)]
pub(super) struct Difference<'t, 'a> {
    pub(super) place: &'t Place<'a>,
    pub(super) change: Strictness,
    before: &'static str,
    /// `None`: it is built in.
    before_place: Option<Place<'a>>,
}

impl Difference<'_, '_> {
    /// What held before, with its place: `"TLSv1.2" of domains.d/bank.toml:5`.
    pub(super) fn before(&self) -> String {
        match &self.before_place {
            Some(place) => format!("\"{}\" of {}", self.before, place.source()),
            None => format!("\"{}\"", self.before),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    Weaker,
    Stricter,
    /// Neither asks for more.
    Other,
}

impl From<Ordering> for Strictness {
    fn from(order: Ordering) -> Self {
        if order == Ordering::Less { Self::Weaker } else { Self::Stricter }
    }
}

pub(super) fn inbound<'t, 'a>(own: &'t InboundKeys<'a>, below: &InboundKeys<'a>) -> Vec<Difference<'t, 'a>> {
    let (before, after) = (below.effective_tls(), own.over(below).effective_tls());
    let tls = own.tls.as_ref().and_then(|tls| {
        difference(&tls.place, after.cmp(&before), before.as_str(), below.tls.as_ref().map(|at| &at.place))
    });
    let mode = compared(&own.mode, &below.mode, Mode::Enforce, Mode::as_str, |mode| mode);
    // Nobody is let off who was never asked.
    let change =
        |mode: &Difference<'_, '_>| if before == InboundTls::Optional { Strictness::Other } else { mode.change };
    let mode = mode.map(|mode| Difference { change: change(&mode), ..mode });
    [
        tls,
        version(&own.min_version, &below.min_version),
        cipher(&own.cipher, &below.cipher),
        certificate(own, below),
        mode,
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn outbound<'t, 'a>(own: &'t TlsKeys<'a>, below: &TlsKeys<'a>) -> Vec<Difference<'t, 'a>> {
    let tls = compared(&own.tls, &below.tls, OutboundTls::Opportunistic, OutboundTls::as_str, |level| level);
    let names = other(&own.match_names, &below.match_names);
    let fingerprints = other(&own.fingerprints, &below.fingerprints);
    let ca = other(&own.ca, &below.ca);
    [tls, version(&own.min_version, &below.min_version), cipher(&own.cipher, &below.cipher), names, fingerprints, ca]
        .into_iter()
        .flatten()
        .chain(deliveries(&own.delivery, &below.delivery))
        .collect()
}

fn deliveries<'t, 'a>(own: &'t DeliveryKeys<'a>, below: &DeliveryKeys<'a>) -> Vec<Difference<'t, 'a>> {
    let dane = compared(&own.dane, &below.dane, DaneUse::Auto, DaneUse::as_str, |dane| dane);
    let mta_sts = compared(&own.mta_sts, &below.mta_sts, StsUse::Auto, StsUse::as_str, |sts| sts);
    let learn = compared(&own.learn, &below.learn, Learn::Propose, Learn::as_str, |learn| learn);
    let waived =
        compared(&own.tls_required_no, &below.tls_required_no, TlsRequiredNo::Ignore, TlsRequiredNo::as_str, |no| {
            no == TlsRequiredNo::Ignore
        });
    let end = changed(&own.on_tls_failure, &below.on_tls_failure, Some(OnTlsFailure::Defer), "another end");
    let route_after = changed(&own.route_after, &below.route_after, Some(ROUTE_AFTER), "another time");
    let notify_sender = changed(&own.notify_sender, &below.notify_sender, None, "another time");
    [dane, mta_sts, learn, waived, end, route_after, notify_sender].into_iter().flatten().collect()
}

/// Neither value asks for more.
fn changed<'t, 'a, T: PartialEq>(
    own: &'t Written<'a, T>,
    below: &Written<'a, T>,
    built_in: Option<T>,
    before: &'static str,
) -> Option<Difference<'t, 'a>> {
    let own = own.as_ref()?;
    let is_same = match below {
        Some(below) => below.value == own.value,
        None => built_in.as_ref() == Some(&own.value),
    };
    let before_place = below.as_ref().map(|below| below.place.clone());
    (!is_same).then_some(Difference { place: &own.place, change: Strictness::Other, before, before_place })
}

type Written<'a, T> = Option<At<'a, T>>;

/// `None` where both are equal.
fn difference<'t, 'a>(
    place: &'t Place<'a>,
    order: Ordering,
    before: &'static str,
    before_place: Option<&Place<'a>>,
) -> Option<Difference<'t, 'a>> {
    let difference = || Difference { place, change: order.into(), before, before_place: before_place.cloned() };
    order.is_ne().then(difference)
}

/// `built_in` is what holds where nothing is written.
fn compared<'t, 'a, T: Copy, R: Ord>(
    own: &'t Written<'a, T>,
    below: &Written<'a, T>,
    built_in: T,
    word: fn(T) -> &'static str,
    rank: fn(T) -> R,
) -> Option<Difference<'t, 'a>> {
    let own = own.as_ref()?;
    let before = below.as_ref().map_or(built_in, |below| below.value);
    let order = rank(own.value).cmp(&rank(before));
    difference(&own.place, order, word(before), below.as_ref().map(|below| &below.place))
}

fn version<'t, 'a>(
    own: &'t Written<'a, ProtocolVersion>,
    below: &Written<'a, ProtocolVersion>,
) -> Option<Difference<'t, 'a>> {
    match below {
        Some(at) => compared(own, below, at.value, ProtocolVersion::as_str, |version| version),
        None => difference(&own.as_ref()?.place, Ordering::Greater, "any", None),
    }
}

fn cipher<'t, 'a>(own: &'t Written<'a, CipherGrade>, below: &Written<'a, CipherGrade>) -> Option<Difference<'t, 'a>> {
    compared(own, below, CipherGrade::Any, CipherGrade::as_str, |grade| grade)
}

/// Weaker is what lets a certificate pass, or none, that did not pass before.
fn certificate<'t, 'a>(own: &'t InboundKeys<'a>, below: &InboundKeys<'a>) -> Option<Difference<'t, 'a>> {
    use ClientCertificateRule::{Fingerprints, None as NoneAsked, Verified};
    let (own, below) = (own.client_certificate.as_ref()?, below.client_certificate.as_ref());
    let before = below.map_or(&NoneAsked, |below| &below.value);
    let change = match (before, &own.value) {
        (before, after) if before == after => return None,
        (NoneAsked, _) => Strictness::Stricter,
        (_, NoneAsked) | (Fingerprints(_), Verified) => Strictness::Weaker,
        (Fingerprints(before), Fingerprints(after)) => {
            let adds = after.iter().any(|one| !before.contains(one));
            if adds { Strictness::Weaker } else { Strictness::Stricter }
        }
        (Verified, _) => Strictness::Other,
    };
    let word = match before {
        NoneAsked => "none",
        Verified => "verified",
        Fingerprints(_) => "fingerprints",
    };
    Some(Difference { place: &own.place, change, before: word, before_place: below.map(|below| below.place.clone()) })
}

/// Lists of which neither asks for more than the other.
fn other<'t, 'a, T: Clone + PartialEq>(
    own: &'t Written<'a, Vec<At<'a, T>>>,
    below: &Written<'a, Vec<At<'a, T>>>,
) -> Option<Difference<'t, 'a>> {
    let (own, below) = (own.as_ref()?, below.as_ref());
    let is_same = below.is_some_and(|below| below.items() == own.items());
    let before_place = below.map(|below| below.place.clone());
    let difference =
        || Difference { place: &own.place, change: Strictness::Other, before: "another list", before_place };
    (!is_same).then(difference)
}
