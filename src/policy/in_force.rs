//! The settings of one inbound question, each with where it was written, and what a session lacks of them.

use std::sync::Arc;

use crate::model::address::ReversePath;
use crate::model::cipher::CipherGrade;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::client_certificate;
use super::inbound::Floor;
use super::refusal_text::RefusalText;
use super::rules::{DomainPolicy, PolicySet};
use super::settings::{AppliesTo, ClientCertificateRule, InboundLayer, InboundTls, Mode, Source, Sourced};
use super::timed::{Asker, Shadow, lay};

/// One key of the policy in force, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    pub key: &'static str,
    pub value: String,
    pub source: Source,
}

/// The settings in force for one question, each with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    pub tls: Sourced<InboundTls>,
    pub min_version: Option<Sourced<ProtocolVersion>>,
    pub cipher: Sourced<CipherGrade>,
    pub client_certificate: Sourced<ClientCertificateRule>,
    pub applies_to: Sourced<AppliesTo>,
    pub mode: Sourced<Mode>,
    /// `None`: the built-in one.
    pub refusal_text: Option<Sourced<RefusalText>>,
    pub refusal_url: Option<Sourced<Arc<str>>>,
}

impl InForce {
    /// Lays `layers` over the built-in values, key by key, the later ones on top.
    pub fn of(layers: &[&InboundLayer]) -> Self {
        Self {
            tls: top(layers, |layer| &layer.tls).unwrap_or(Sourced::built_in(InboundTls::Optional)),
            min_version: top(layers, |layer| &layer.min_version),
            cipher: top(layers, |layer| &layer.cipher).unwrap_or(Sourced::built_in(CipherGrade::Any)),
            client_certificate: top(layers, |layer| &layer.client_certificate)
                .unwrap_or(Sourced::built_in(ClientCertificateRule::None)),
            applies_to: top(layers, |layer| &layer.applies_to)
                .unwrap_or(Sourced::built_in(AppliesTo { sender: true, recipient: true })),
            mode: top(layers, |layer| &layer.mode).unwrap_or(Sourced::built_in(Mode::Enforce)),
            refusal_text: top(layers, |layer| &layer.refusal_text),
            refusal_url: top(layers, |layer| &layer.refusal_url),
        }
    }

    /// What a domain file asks of those whom no exception covers.
    pub fn usual(policies: &PolicySet, policy: &DomainPolicy, at: Timestamp) -> Self {
        let nobody = Asker { at, client: None, sender: &ReversePath::Null };
        Self::of(&lay(&[&policies.defaults.inbound, &policy.inbound], &nobody, Shadow::Left).layers)
    }

    pub(super) fn of_floor(floor: &Floor) -> Self {
        let built_in = Self::of(&[]);
        Self {
            min_version: floor.min_version.clone(),
            cipher: floor.cipher.clone().unwrap_or(built_in.cipher),
            ..built_in
        }
    }

    /// The rule that forbids plaintext, if one does. A minimum version or grade implies TLS, and so does a certificate.
    pub(super) fn requires_tls(&self) -> Option<&Source> {
        if self.tls.value == InboundTls::Required {
            return Some(&self.tls.source);
        }
        let by_version = self.min_version.as_ref().map(|version| &version.source);
        let by_cipher = (self.cipher.value > CipherGrade::Any).then_some(&self.cipher.source);
        by_version.or(by_cipher).or(self.certificate_asked_for().map(|_| &self.client_certificate.source))
    }

    /// `None` where no certificate is asked for.
    pub fn certificate_asked_for(&self) -> Option<&ClientCertificateRule> {
        Some(&self.client_certificate.value).filter(|rule| **rule != ClientCertificateRule::None)
    }

    /// Whether plaintext is forbidden, by `tls` itself or by what implies it.
    pub fn effective_tls(&self) -> InboundTls {
        if self.requires_tls().is_some() { InboundTls::Required } else { InboundTls::Optional }
    }

    /// The first thing that the session lacks, with the rule that asks for it.
    pub(super) fn shortfall(&self, tls: Option<&TlsFacts>) -> Option<(Reason, &Source)> {
        let Some(tls) = tls else {
            return self.requires_tls().map(|source| (Reason::TlsRequired, source));
        };
        if let Some(minimum) = self.min_version.as_ref().filter(|minimum| tls.version < minimum.value) {
            return Some((Reason::VersionBelowMinimum, &minimum.source));
        }
        if tls.grade() < self.cipher.value {
            return Some((Reason::CipherBelowMinimum, &self.cipher.source));
        }
        let rule = &self.client_certificate;
        let lacking = client_certificate::check(&rule.value, Some(tls)).is_err();
        lacking.then_some((Reason::ClientCertificate, &rule.source))
    }

    /// Every key with its source, for explanations; what nobody wrote about certificates is left out.
    pub fn because(&self) -> Vec<Because> {
        let sides = match self.applies_to.value {
            AppliesTo { sender: true, recipient: true } => "sender, recipient",
            AppliesTo { sender: true, .. } => "sender",
            AppliesTo { recipient: true, .. } => "recipient",
            AppliesTo { .. } => "nobody",
        };
        let mut out = vec![because("tls", self.tls.value.as_str(), &self.tls.source)];
        out.extend(self.min_version.as_ref().map(|v| because("min_version", v.value.as_str(), &v.source)));
        out.push(because("cipher", self.cipher.value.as_str(), &self.cipher.source));
        let certificate = &self.client_certificate;
        if certificate.source != Source::BuiltIn {
            out.push(because("client_certificate", &certificate.value.to_string(), &certificate.source));
        }
        out.push(because("applies_to", sides, &self.applies_to.source));
        out.push(because("mode", self.mode.value.as_str(), &self.mode.source));
        out
    }
}

fn because(key: &'static str, value: &str, source: &Source) -> Because {
    Because { key, value: value.to_owned(), source: source.clone() }
}

fn top<T: Clone>(layers: &[&InboundLayer], key: impl Fn(&InboundLayer) -> &Option<Sourced<T>>) -> Option<Sourced<T>> {
    layers.iter().rev().find_map(|layer| key(layer).clone())
}
