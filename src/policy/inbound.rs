//! The inbound verdict: what was negotiated, held against the floor of whoever's mail it is. Pure and total.

use std::fmt::Write as _;

use crate::model::address::{Address, ReversePath};
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::client_certificate;
use super::relay::Role;
use super::rules::{DomainPolicy, PolicySet};
use super::settings::{AppliesTo, ClientCertificateRule, InboundLayer, InboundTls, Mode, Source, Sourced};

/// Where in the transaction the question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Mail,
    Rcpt,
}

impl Stage {
    pub const ALL: [Self; 2] = [Self::Mail, Self::Rcpt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
        }
    }
}

/// The lowest version of role submission (RFC 8314 section 4.1).
pub const SUBMISSION_VERSION_MIN: ProtocolVersion = ProtocolVersion::Tls1_2;
/// The lowest grade of role submission.
pub const SUBMISSION_CIPHER_MIN: CipherGrade = CipherGrade::ForwardSecret;

/// What a listener asks of every trusted session; domain policies cannot lower it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    pub min_version: Option<Sourced<ProtocolVersion>>,
    pub cipher: Option<Sourced<CipherGrade>>,
}

impl Floor {
    /// What was written, raised to what the role has built in.
    pub fn of(role: Role, written: Self) -> Self {
        match role {
            Role::Mx | Role::Smarthost => written,
            Role::Submission => Self {
                min_version: Some(at_least(written.min_version, SUBMISSION_VERSION_MIN)),
                cipher: Some(at_least(written.cipher, SUBMISSION_CIPHER_MIN)),
            },
        }
    }
}

fn at_least<T: Ord>(written: Option<Sourced<T>>, built_in: T) -> Sourced<T> {
    written.filter(|written| written.value >= built_in).unwrap_or(Sourced::built_in(built_in))
}

/// Who asks: a trusted client answers to its listener's floor, everybody else to the domains' policies.
#[derive(Clone, Copy, Debug)]
pub enum Client<'a> {
    Stranger,
    Trusted(&'a Floor),
}

/// Everything that the verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub client: Client<'a>,
    pub sender: &'a ReversePath,
    /// `None` at MAIL.
    pub recipient: Option<&'a Address>,
    /// `None` is plaintext.
    pub tls: Option<&'a TlsFacts>,
}

impl Question<'_> {
    pub fn stage(&self) -> Stage {
        if self.recipient.is_some() { Stage::Rcpt } else { Stage::Mail }
    }
}

/// Mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Accept,
    /// Not met, but the mode only reports.
    WouldRefuse,
    /// Not met: try again later.
    Defer,
    /// Not met: no.
    Refuse,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Accept, Self::WouldRefuse, Self::Defer, Self::Refuse];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::WouldRefuse => "would_refuse",
            Self::Defer => "defer",
            Self::Refuse => "refuse",
        }
    }
}

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
        }
    }

    fn of_floor(floor: &Floor) -> Self {
        let built_in = Self::of(&[]);
        Self {
            min_version: floor.min_version.clone(),
            cipher: floor.cipher.clone().unwrap_or(built_in.cipher),
            ..built_in
        }
    }

    /// The rule that forbids plaintext, if one does. A minimum version or grade implies TLS, and so does a certificate.
    fn requires_tls(&self) -> Option<&Source> {
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
    fn shortfall(&self, tls: Option<&TlsFacts>) -> Option<(Reason, &Source)> {
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

/// Why a policy was not asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// RFC 5321 section 4.5.5: the null reverse-path is judged by its recipients only.
    NullSender,
    /// RFC 5321 section 4.5.1: postmaster of a hosted domain hears everybody.
    Postmaster,
    /// Only hosted domains have a say at RCPT.
    NotHosted,
    /// `applies_to` leaves this side out.
    Side,
}

impl Exempt {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NullSender => "the null sender is judged at RCPT only",
            Self::Postmaster => "postmaster of a hosted domain is exempt",
            Self::NotHosted => "the recipient's domain is not hosted here",
            Self::Side => "applies_to leaves this side out",
        }
    }
}

/// Whose policy was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A domain that has a file; its group is the metric label.
    Domain { name: Domain, group: Option<std::sync::Arc<str>> },
    /// `[default.inbound]`, for a sender without a file.
    Default,
    /// The listener's floor.
    Listener,
}

impl Subject {
    /// The metric label `policy`.
    pub fn label(&self) -> &str {
        match self {
            Self::Domain { group: Some(group), .. } => group,
            Self::Domain { group: None, .. } => "other",
            Self::Default | Self::Listener => "default",
        }
    }
}

/// The answer, with everything that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub stage: Stage,
    pub verdict: Verdict,
    /// `None` if accepted.
    pub reason: Option<Reason>,
    /// The rule that was not met; of an acceptance, the one that decides about TLS.
    pub rule: Source,
    pub subject: Subject,
    pub exempt: Option<Exempt>,
    pub in_force: InForce,
}

/// Judges one MAIL or RCPT.
pub fn judge(policies: &PolicySet, question: &Question<'_>) -> Judgement {
    let (subject, in_force, exempt) = applicable(policies, question);
    let stage = question.stage();
    let shortfall = if exempt.is_some() { None } else { in_force.shortfall(question.tls) };
    let Some((reason, rule)) = shortfall else {
        let rule = in_force.requires_tls().unwrap_or(&in_force.tls.source).clone();
        return Judgement { stage, verdict: Verdict::Accept, reason: None, rule, subject, exempt, in_force };
    };
    let verdict = match in_force.mode.value {
        Mode::Report => Verdict::WouldRefuse,
        Mode::Defer => Verdict::Defer,
        Mode::Enforce => Verdict::Refuse,
    };
    Judgement { stage, verdict, reason: Some(reason), rule: rule.clone(), subject, exempt, in_force }
}

/// Whose settings hold, and whether the question is exempt from them.
fn applicable(policies: &PolicySet, question: &Question<'_>) -> (Subject, InForce, Option<Exempt>) {
    if let Client::Trusted(floor) = question.client {
        return (Subject::Listener, InForce::of_floor(floor), None);
    }
    let domain = match question.recipient {
        Some(recipient) => recipient.domain(),
        None => question.sender.domain(),
    };
    let found = domain.and_then(|domain| policies.find(domain).map(|(policy, _)| (domain, policy)));
    let default = &policies.defaults.inbound;
    let (subject, in_force) = match found {
        Some((domain, policy)) => (
            Subject::Domain { name: domain.clone(), group: policy.group.clone() },
            InForce::of(&[default, &policy.inbound]),
        ),
        None => (Subject::Default, InForce::of(&[default])),
    };
    let exempt = exemption(question, found.map(|(_, policy)| policy.as_ref()), in_force.applies_to.value);
    (subject, in_force, exempt)
}

fn exemption(question: &Question<'_>, policy: Option<&DomainPolicy>, applies_to: AppliesTo) -> Option<Exempt> {
    match question.recipient {
        None if *question.sender == ReversePath::Null => Some(Exempt::NullSender),
        None => (!applies_to.sender).then_some(Exempt::Side),
        Some(_) if !policy.is_some_and(|policy| policy.hosted) => Some(Exempt::NotHosted),
        Some(recipient) if recipient.is_postmaster() => Some(Exempt::Postmaster),
        Some(_) => (!applies_to.recipient).then_some(Exempt::Side),
    }
}

impl Judgement {
    /// Whether the transaction goes on, as far as this is concerned.
    pub fn passes(&self) -> bool {
        self.verdict <= Verdict::WouldRefuse
    }

    /// The reply that goes with the verdict, `None` where the transaction goes on. `id` is the audit record's.
    pub fn reply(&self, tls: Option<&TlsFacts>, id: &str) -> Option<Reply> {
        (!self.passes()).then(|| self.would_be_reply(tls, id))
    }

    /// The reply of a refusal, also where the mode only reports.
    pub fn would_be_reply(&self, tls: Option<&TlsFacts>, id: &str) -> Reply {
        let (code, enhanced) = match (self.verdict, self.reason, self.stage) {
            (Verdict::Defer, ..) => (Code::MAILBOX_BUSY, EnhancedCode::new(4, 7, 10)),
            (_, Some(Reason::TlsRequired), Stage::Mail) => (Code::AUTH_REQUIRED, EnhancedCode::new(5, 7, 10)),
            (_, Some(Reason::TlsRequired), Stage::Rcpt) => (Code::REFUSED, EnhancedCode::new(5, 7, 10)),
            _ => (Code::FAILED, EnhancedCode::new(5, 7, 10)),
        };
        Reply::new(code, enhanced, self.text(tls, id))
    }

    fn text(&self, tls: Option<&TlsFacts>, id: &str) -> String {
        let who = match &self.subject {
            Subject::Domain { name, .. } => name.as_str(),
            Subject::Default | Subject::Listener => "this server",
        };
        let mut text = format!("Encryption needed: {who} requires {}; ", self.requirement());
        let lack = client_certificate::check(&self.in_force.client_certificate.value, tls).err();
        match (tls, lack.filter(|_| self.reason == Some(Reason::ClientCertificate))) {
            (_, Some(lack)) => text.push_str(lack.as_str()),
            (Some(tls), None) => _ = write!(text, "this session uses {tls}"),
            (None, None) => text.push_str("this session is not encrypted"),
        }
        _ = write!(text, "; id={id}");
        text
    }

    /// `TLSv1.2 or later with a forward-secret cipher and a client certificate`, the requirement in words.
    pub fn requirement(&self) -> String {
        let mut text = match &self.in_force.min_version {
            Some(minimum) => format!("{} or later", minimum.value),
            None => "TLS".to_owned(),
        };
        let cipher = match self.in_force.cipher.value {
            CipherGrade::Any => None,
            CipherGrade::Strong => Some("a strong cipher"),
            CipherGrade::ForwardSecret => Some("a forward-secret cipher"),
            CipherGrade::Aead => Some("a forward-secret AEAD cipher"),
        };
        let certificate = match self.in_force.client_certificate.value {
            ClientCertificateRule::None => None,
            ClientCertificateRule::Verified => Some("a client certificate that is verified"),
            ClientCertificateRule::Fingerprints(_) => Some("a client certificate that is listed"),
        };
        for (part, joint) in cipher.into_iter().chain(certificate).zip(["with", "and"]) {
            _ = write!(text, " {joint} {part}");
        }
        text
    }
}

#[cfg(test)]
#[path = "inbound_tests.rs"]
mod tests;
