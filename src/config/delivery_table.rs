//! The table `[outbound]`: the keys that rule deliveries, in a domain file and under `[default]`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::rate::Rate;
use crate::policy::settings::{DaneUse, DeliveryLayer, Learn, OnTlsFailure, StsUse, TlsRequiredNo};

use super::document::{Table, Words, shown};
use super::place::{At, Place};
use super::policy_tables::{TlsKeys, retry, upper};
use super::timed_tables::Timed;
use super::values::{self, Invalid};

/// The highest `concurrency`.
const CONCURRENCY_MAX: u32 = 10_000;

const DANE: &Words<DaneUse> =
    &[("auto", Some(DaneUse::Auto)), ("required", Some(DaneUse::Required)), ("off", Some(DaneUse::Off))];
const MTA_STS: &Words<StsUse> = &[("auto", Some(StsUse::Auto)), ("off", Some(StsUse::Off))];
const LEARN: &Words<Learn> =
    &[("off", Some(Learn::Off)), ("propose", Some(Learn::Propose)), ("enforce", Some(Learn::Enforce))];
const TLS_REQUIRED_NO: &Words<TlsRequiredNo> =
    &[("ignore", Some(TlsRequiredNo::Ignore)), ("honour", Some(TlsRequiredNo::Honour))];

#[derive(Debug)]
pub(super) struct OutboundTable<'a> {
    pub(super) rules: Timed<'a, TlsKeys<'a>>,
    pub(super) delivery: DeliveryKeys<'a>,
}

/// What holds with a route too. No step and no exception has the last four.
#[derive(Clone, Debug, Default)]
pub(super) struct DeliveryKeys<'a> {
    pub(super) dane: Option<At<'a, DaneUse>>,
    pub(super) mta_sts: Option<At<'a, StsUse>>,
    pub(super) learn: Option<At<'a, Learn>>,
    pub(super) tls_required_no: Option<At<'a, TlsRequiredNo>>,
    pub(super) on_tls_failure: Option<At<'a, OnTlsFailure>>,
    pub(super) route_after: Option<At<'a, Duration>>,
    pub(super) notify_sender: Option<At<'a, Duration>>,
    pub(super) concurrency: Option<At<'a, u32>>,
    rate: Option<Rate>,
    retry: Option<Vec<Duration>>,
    pub(super) lifetime: Option<Duration>,
}

impl<'a> OutboundTable<'a> {
    pub(super) fn read(mut table: Table<'a>) -> Self {
        let read = Self { rules: Timed::read(&mut table), delivery: DeliveryKeys::read(&mut table) };
        table.finish();
        read
    }

    /// The rules with all of the base.
    pub(super) fn whole(&self) -> Timed<'a, TlsKeys<'a>> {
        let mut whole = self.rules.clone();
        whole.base.delivery = self.delivery.clone();
        whole
    }
}

/// The keys that no day and no exception changes.
const KEYS_OF_BASE: [&str; 4] = ["concurrency", "rate", "retry", "lifetime"];

impl<'a> DeliveryKeys<'a> {
    fn read(table: &mut Table<'a>) -> Self {
        Self {
            concurrency: table.get("concurrency").and_then(|value| value.number(1..=CONCURRENCY_MAX)),
            rate: table.get("rate").and_then(|value| value.parse(values::rate)).map(|at| at.value),
            retry: table.get("retry").and_then(|value| retry(&value)),
            lifetime: table.get("lifetime").and_then(|value| value.parse(values::duration)).map(|at| at.value),
            ..Self::read_common(table)
        }
    }

    /// Those of a step or an exception.
    pub(super) fn read_timed(table: &mut Table<'a>) -> Self {
        table.misplaced(&KEYS_OF_BASE, "stands in [outbound] alone", "move it there: it holds with all of this too");
        Self::read_common(table)
    }

    fn read_common(table: &mut Table<'a>) -> Self {
        Self {
            dane: table.get("dane").and_then(|value| value.word(DANE)),
            mta_sts: table.get("mta_sts").and_then(|value| value.word(MTA_STS)),
            learn: table.get("learn").and_then(|value| value.word(LEARN)),
            tls_required_no: table.get("tls_required_no").and_then(|value| value.word(TLS_REQUIRED_NO)),
            on_tls_failure: table.get("on_tls_failure").and_then(|value| value.parse(on_tls_failure)),
            route_after: table.get("route_after").and_then(|value| value.parse(values::duration)),
            notify_sender: table.get("notify_sender").and_then(|value| value.parse(values::duration)),
            ..Self::default()
        }
    }

    /// The keys of both; where both have one, that of `self`.
    pub(super) fn over(&self, below: &Self) -> Self {
        Self {
            dane: upper(&self.dane, &below.dane),
            mta_sts: upper(&self.mta_sts, &below.mta_sts),
            learn: upper(&self.learn, &below.learn),
            tls_required_no: upper(&self.tls_required_no, &below.tls_required_no),
            on_tls_failure: upper(&self.on_tls_failure, &below.on_tls_failure),
            route_after: upper(&self.route_after, &below.route_after),
            notify_sender: upper(&self.notify_sender, &below.notify_sender),
            concurrency: upper(&self.concurrency, &below.concurrency),
            rate: upper(&self.rate, &below.rate),
            retry: upper(&self.retry, &below.retry),
            lifetime: upper(&self.lifetime, &below.lifetime),
        }
    }

    /// Of the keys that a step or an exception may have.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place<'a>> {
        let dane = self.dane.as_ref().map(|at| &at.place);
        let mta_sts = self.mta_sts.as_ref().map(|at| &at.place);
        let learn = self.learn.as_ref().map(|at| &at.place);
        let tls_required_no = self.tls_required_no.as_ref().map(|at| &at.place);
        let on_tls_failure = self.on_tls_failure.as_ref().map(|at| &at.place);
        let waits = [&self.route_after, &self.notify_sender].into_iter().flatten().map(|at| &at.place);
        [dane, mta_sts, learn, tls_required_no, on_tls_failure].into_iter().flatten().chain(waits)
    }

    pub(super) fn layer(&self) -> DeliveryLayer {
        DeliveryLayer {
            dane: self.dane.as_ref().map(At::sourced),
            mta_sts: self.mta_sts.as_ref().map(At::sourced),
            learn: self.learn.as_ref().map(At::sourced),
            tls_required_no: self.tls_required_no.as_ref().map(At::sourced),
            on_tls_failure: self.on_tls_failure.as_ref().map(At::sourced),
            route_after: self.route_after.as_ref().map(At::sourced),
            notify_sender: self.notify_sender.as_ref().map(At::sourced),
            concurrency: self.concurrency.as_ref().map(|at| at.value),
            rate: self.rate,
            retry: self.retry.clone(),
            lifetime: self.lifetime,
        }
    }
}

fn on_tls_failure(text: &str) -> Result<OnTlsFailure, Invalid> {
    const REMEDY: &str = "use \"defer\", \"bounce\" or \"route:\" with the name of a [[route]]";
    match (text, text.strip_prefix("route:")) {
        ("defer", _) => Ok(OnTlsFailure::Defer),
        ("bounce", _) => Ok(OnTlsFailure::Bounce),
        (_, Some(name)) if !name.is_empty() => Ok(OnTlsFailure::Route(Arc::from(name))),
        _ => Err(Invalid::new(format!("unknown value \"{}\"", shown(text)), REMEDY)),
    }
}
