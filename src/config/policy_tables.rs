//! The tables `[inbound]`, `[outbound]` and `[route]` as written, in a domain file and under `[default]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use crate::model::cipher::CipherGrade;
use crate::model::spelling::nearest;
use crate::model::tls::ProtocolVersion;
use crate::policy::names::{Fingerprint, NamePattern};
use crate::policy::refusal_text::RefusalText;
use crate::policy::settings::{
    AppliesTo, ClientCertificateRule, InboundLayer, InboundTls, Mode, OutboundLayer, OutboundTls,
};

use super::delivery_table::DeliveryKeys;
use super::document::{Table, Value, Words};
use super::place::{At, Place};
use super::strictness::{self, Difference};
use super::timed_tables::{Keys, Part, Timed};
use super::values;
use super::{OFFER_MIN, policy_checks};

/// The most waiting times that a `retry` may list.
pub(super) const RETRY_STEPS_MAX: usize = 32;
/// The most certificates that a policy may list: each of its audit records repeats them.
pub(super) const CLIENT_CERTIFICATES_MAX: usize = 64;

const INBOUND_TLS: &Words<InboundTls> =
    &[("optional", Some(InboundTls::Optional)), ("required", Some(InboundTls::Required))];
const SIDES: &Words<Side> = &[("sender", Some(Side::Sender)), ("recipient", Some(Side::Recipient))];
const MODES: &Words<Mode> =
    &[("report", Some(Mode::Report)), ("defer", Some(Mode::Defer)), ("enforce", Some(Mode::Enforce))];
const OUTBOUND_TLS: &Words<OutboundTls> = &[
    ("off", Some(OutboundTls::Off)),
    ("opportunistic", Some(OutboundTls::Opportunistic)),
    ("encrypt", Some(OutboundTls::Encrypt)),
    ("verify", Some(OutboundTls::Verify)),
];
const CLIENT_CERTIFICATE: &Words<CertificateWord> =
    &[("none", Some(CertificateWord::None)), ("verified", Some(CertificateWord::Verified))];

#[derive(Clone, Copy)]
enum CertificateWord {
    None,
    Verified,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Sender,
    Recipient,
}

/// The keys of one layer of `[inbound]`.
#[derive(Clone, Debug, Default)]
pub(super) struct InboundKeys<'a> {
    pub(super) tls: Option<At<'a, InboundTls>>,
    pub(super) min_version: Option<At<'a, ProtocolVersion>>,
    pub(super) cipher: Option<At<'a, CipherGrade>>,
    pub(super) client_certificate: Option<At<'a, ClientCertificateRule>>,
    pub(super) applies_to: Option<At<'a, AppliesTo>>,
    pub(super) mode: Option<At<'a, Mode>>,
    pub(super) refusal_text: Option<At<'a, RefusalText>>,
    pub(super) refusal_url: Option<At<'a, Arc<str>>>,
}

/// `[inbound]`, whole.
pub(super) fn inbound(mut table: Table<'_>) -> Timed<'_, InboundKeys<'_>> {
    let read = Timed::read(&mut table);
    table.finish();
    read
}

impl<'a> InboundKeys<'a> {
    /// Where it asks for a certificate of the client.
    pub(super) fn certificate_place(&self) -> Option<&Place<'a>> {
        let asked = self.client_certificate.as_ref().filter(|at| at.value != ClientCertificateRule::None);
        asked.map(|at| &at.place)
    }

    pub(super) fn asks_for_any_verified(&self) -> bool {
        self.client_certificate.as_ref().is_some_and(|at| at.value == ClientCertificateRule::Verified)
    }

    /// Where it asks for something that only a TLS session can have.
    pub(super) fn floor_places(&self) -> [Option<&Place<'a>>; 3] {
        let cipher = self.cipher.as_ref().filter(|cipher| cipher.value != CipherGrade::Any);
        [self.min_version.as_ref().map(|at| &at.place), cipher.map(|at| &at.place), self.certificate_place()]
    }

    /// Whether plaintext is forbidden, by `tls` itself or by what implies it.
    pub(super) fn effective_tls(&self) -> InboundTls {
        let is_implied = self.floor_places().iter().any(Option::is_some);
        let written = self.tls.as_ref().map_or(InboundTls::Optional, |tls| tls.value);
        if is_implied { InboundTls::Required } else { written }
    }
}

impl<'a> Keys<'a> for InboundKeys<'a> {
    type Layer = InboundLayer;

    const NEEDS_CLIENTS: bool = true;
    const HAS_SHADOW: bool = true;
    const CHOICE: &'static str = "tls, min_version, cipher, client_certificate or mode";

    fn read(table: &mut Table<'a>, part: Part) -> Self {
        let mut read = Self {
            tls: table.get("tls").and_then(|value| value.word(INBOUND_TLS)),
            min_version: min_version(table),
            cipher: cipher(table),
            client_certificate: table.get("client_certificate").and_then(|value| client_certificate(&value)),
            ..Self::default()
        };
        match part {
            Part::Shadow => table.misplaced(&["mode"], "has no meaning in a shadow: it is never enforced", "remove it"),
            Part::Base | Part::Step | Part::Exception => {
                read.mode = table.get("mode").and_then(|value| value.word(MODES));
            }
        }
        match part {
            Part::Base => {
                read.applies_to = table.get("applies_to").and_then(|value| applies_to(&value));
                read.refusal_text = table.get("refusal_text").and_then(|value| value.parse(values::refusal_text));
                read.refusal_url = table.get("refusal_url").and_then(|value| value.parse(values::url));
            }
            Part::Step | Part::Exception | Part::Shadow => {
                let of_base = ["applies_to", "refusal_text", "refusal_url"];
                table.misplaced(&of_base, "stands in [inbound] alone", "move it there: it holds with all of this too");
            }
        }
        read
    }

    fn layer(&self) -> InboundLayer {
        InboundLayer {
            tls: self.tls.as_ref().map(At::sourced),
            min_version: self.min_version.as_ref().map(At::sourced),
            cipher: self.cipher.as_ref().map(At::sourced),
            client_certificate: self.client_certificate.as_ref().map(At::sourced),
            applies_to: self.applies_to.as_ref().map(At::sourced),
            mode: self.mode.as_ref().map(At::sourced),
            refusal_text: self.refusal_text.as_ref().map(At::sourced),
            refusal_url: self.refusal_url.as_ref().map(At::sourced),
        }
    }

    /// Without what only the base has.
    fn places(&self) -> Vec<&Place<'a>> {
        let tls = self.tls.as_ref().map(|at| &at.place);
        let cipher = self.cipher.as_ref().map(|at| &at.place);
        let certificate = self.client_certificate.as_ref().map(|at| &at.place);
        let mode = self.mode.as_ref().map(|at| &at.place);
        [tls, self.min_version.as_ref().map(|at| &at.place), cipher, certificate, mode].into_iter().flatten().collect()
    }

    fn over(&self, below: &Self) -> Self {
        Self {
            tls: upper(&self.tls, &below.tls),
            min_version: upper(&self.min_version, &below.min_version),
            cipher: upper(&self.cipher, &below.cipher),
            client_certificate: upper(&self.client_certificate, &below.client_certificate),
            applies_to: upper(&self.applies_to, &below.applies_to),
            mode: upper(&self.mode, &below.mode),
            refusal_text: upper(&self.refusal_text, &below.refusal_text),
            refusal_url: upper(&self.refusal_url, &below.refusal_url),
        }
    }

    fn differences<'t>(&'t self, below: &Self) -> Vec<Difference<'t, 'a>> {
        strictness::inbound(self, below)
    }

    fn check(&self, below: Option<&Self>, part: Part) {
        policy_checks::check_inbound(self, below, part);
    }
}

pub(super) fn upper<T: Clone>(own: &Option<T>, below: &Option<T>) -> Option<T> {
    own.as_ref().or(below.as_ref()).cloned()
}

/// The keys of one layer of `[outbound]`, and of a `[route]`.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsKeys<'a> {
    pub(super) tls: Option<At<'a, OutboundTls>>,
    pub(super) min_version: Option<At<'a, ProtocolVersion>>,
    pub(super) cipher: Option<At<'a, CipherGrade>>,
    pub(super) match_names: Option<At<'a, Vec<At<'a, NamePattern>>>>,
    pub(super) fingerprints: Option<At<'a, Vec<At<'a, Fingerprint>>>>,
    pub(super) ca: Option<At<'a, Vec<At<'a, PathBuf>>>>,
    /// Of a step or an exception. A base has them in a table of their own, and a route has none.
    pub(super) delivery: DeliveryKeys<'a>,
}

impl<'a> Keys<'a> for TlsKeys<'a> {
    type Layer = OutboundLayer;

    const NEEDS_CLIENTS: bool = false;
    const HAS_SHADOW: bool = false;
    const CHOICE: &'static str =
        "tls, min_version, cipher, match, fingerprints, ca, or a key of deliveries such as dane";

    fn read(table: &mut Table<'a>, part: Part) -> Self {
        let delivery = match part {
            Part::Base => DeliveryKeys::default(),
            Part::Step | Part::Exception | Part::Shadow => DeliveryKeys::read_timed(table),
        };
        Self {
            delivery,
            tls: table.get("tls").and_then(|value| value.word(OUTBOUND_TLS)),
            min_version: min_version(table),
            cipher: cipher(table),
            match_names: table.get("match").and_then(|value| value.list(match_name)),
            fingerprints: table
                .get("fingerprints")
                .and_then(|value| value.list(|item| item.parse(values::fingerprint))),
            ca: table.get("ca").and_then(|value| authorities(&value)),
        }
    }

    fn layer(&self) -> OutboundLayer {
        OutboundLayer {
            tls: self.tls.as_ref().map(At::sourced),
            min_version: self.min_version.as_ref().map(At::sourced),
            cipher: self.cipher.as_ref().map(At::sourced),
            match_names: self.match_names.as_ref().map(|at| at.with(at.items()).sourced()),
            fingerprints: self.fingerprints.as_ref().map(|at| at.with(at.items()).sourced()),
            ca: self.ca.as_ref().map(|at| at.with(at.items()).sourced()),
            delivery: self.delivery.layer(),
        }
    }

    fn places(&self) -> Vec<&Place<'a>> {
        self.tls_places().chain(self.delivery.places()).collect()
    }

    fn over(&self, below: &Self) -> Self {
        Self {
            tls: upper(&self.tls, &below.tls),
            min_version: upper(&self.min_version, &below.min_version),
            cipher: upper(&self.cipher, &below.cipher),
            match_names: upper(&self.match_names, &below.match_names),
            fingerprints: upper(&self.fingerprints, &below.fingerprints),
            ca: upper(&self.ca, &below.ca),
            delivery: self.delivery.over(&below.delivery),
        }
    }

    fn differences<'t>(&'t self, below: &Self) -> Vec<Difference<'t, 'a>> {
        strictness::outbound(self, below)
    }

    fn check(&self, below: Option<&Self>, _part: Part) {
        policy_checks::check_tls_keys(self, below);
    }
}

impl<'a> TlsKeys<'a> {
    /// Where it speaks of TLS, which a route answers for by itself.
    pub(super) fn tls_places(&self) -> impl Iterator<Item = &Place<'a>> {
        let tls = self.tls.as_ref().map(|at| &at.place);
        tls.into_iter().chain(self.floor_places()).chain(self.identity_places())
    }

    /// Whether all that it says is of deliveries, so that it holds with a route too.
    pub(super) fn is_of_deliveries(&self) -> bool {
        self.tls_places().next().is_none() && self.delivery.places().next().is_some()
    }

    /// Where it asks for a quality of the session.
    pub(super) fn floor_places(&self) -> impl Iterator<Item = &Place<'a>> {
        let min_version = self.min_version.as_ref().map(|at| &at.place);
        min_version.into_iter().chain(self.cipher.as_ref().map(|at| &at.place))
    }

    /// Where it says whose certificate is right.
    pub(super) fn identity_places(&self) -> impl Iterator<Item = &Place<'a>> {
        let match_names = self.match_names.as_ref().map(|at| &at.place);
        let fingerprints = self.fingerprints.as_ref().map(|at| &at.place);
        match_names.into_iter().chain(fingerprints).chain(self.ca.as_ref().map(|at| &at.place))
    }
}

/// One entry of `match`.
fn match_name<'a>(item: &Value<'a>) -> Option<At<'a, NamePattern>> {
    let pattern = item.parse(values::name_pattern)?;
    if let NamePattern::Exact(name) = &pattern.value
        && name.label_count() < 2
    {
        let remedy = match nearest(name.as_str(), ["domain", "mx"].into_iter()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write the name with its domain, if the certificate has it so".to_owned(),
        };
        item.place.warn(format!("\"{name}\" counts as the name of a host, and has no dot"), remedy);
    }
    Some(pattern)
}

/// The key `min_version`, wherever it stands.
pub(super) fn min_version<'a>(table: &mut Table<'a>) -> Option<At<'a, ProtocolVersion>> {
    let found = table.get("min_version")?.word(values::VERSIONS)?;
    if found.value < OFFER_MIN {
        let message =
            format!("this build speaks {OFFER_MIN} and later, so \"{}\" asks for no more than that", found.value);
        found.place.warn(message, format!("write \"{OFFER_MIN}\""));
    }
    Some(found)
}

/// The key `cipher`, wherever it stands.
pub(super) fn cipher<'a>(table: &mut Table<'a>) -> Option<At<'a, CipherGrade>> {
    table.get("cipher")?.word(values::GRADES)
}

/// A list of waiting times.
pub(super) fn retry(value: &Value<'_>) -> Option<Vec<Duration>> {
    let steps = value.list(|item| item.parse(values::duration))?;
    if steps.value.len() > RETRY_STEPS_MAX {
        let message = format!("the list has more than {RETRY_STEPS_MAX} waiting times");
        value.place.error(message, "shorten it: the last one repeats");
        return None;
    }
    Some(steps.items()).filter(|steps| !steps.is_empty())
}

fn applies_to<'a>(value: &Value<'a>) -> Option<At<'a, AppliesTo>> {
    let sides = match value.value {
        DeValue::String(_) => {
            value
                .place
                .error("the value has the wrong type: string", "write a list such as [\"sender\", \"recipient\"]");
            return None;
        }
        _ => value.list(|item| item.word(SIDES))?.items(),
    };
    Some(value.with(AppliesTo { sender: sides.contains(&Side::Sender), recipient: sides.contains(&Side::Recipient) }))
}

/// A word, or a list of fingerprints.
fn client_certificate<'a>(value: &Value<'a>) -> Option<At<'a, ClientCertificateRule>> {
    if value.value.is_array() {
        let listed = value.list(|item| item.parse(values::fingerprint))?.items();
        if listed.len() > CLIENT_CERTIFICATES_MAX {
            let message = format!("the list has more than {CLIENT_CERTIFICATES_MAX} certificates");
            value.place.error(message, "let an authority sign them: client_ca in the listener, and \"verified\" here");
            return None;
        }
        return Some(value.with(ClientCertificateRule::Fingerprints(listed.into())));
    }
    if value.value.as_str().is_some_and(|text| text.starts_with("sha256:")) {
        value.place.error("fingerprints stand in a list", "write them in brackets: [\"sha256:...\"]");
        return None;
    }
    value.word(CLIENT_CERTIFICATE).map(|at| match at.value {
        CertificateWord::None => at.with(ClientCertificateRule::None),
        CertificateWord::Verified => at.with(ClientCertificateRule::Verified),
    })
}

/// One PEM file, or several.
fn authorities<'a>(value: &Value<'a>) -> Option<At<'a, Vec<At<'a, PathBuf>>>> {
    match value.value {
        DeValue::String(_) => value.path().map(|path| value.with(vec![value.with(path)])),
        _ => value.list(|item| item.path().map(|path| item.with(path))),
    }
}
