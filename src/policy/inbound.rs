//! The inbound verdict: what was negotiated, held against the floor of whoever's mail it is. Pure and total.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::address::{Address, ReversePath};
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::client_certificate;
use super::in_force::InForce;
use super::refusal_text::{Filling, render};
use super::relay::Role;
use super::rules::{DomainPolicy, PolicySet};
use super::settings::{AppliesTo, ClientCertificateRule, InboundLayer, Mode, Source, Sourced};
use super::timed::{Asker, Rules, Shadow, Terms, guarded, lay};

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
    /// With the role of the listener, which has a floor of its own below the written one.
    Trusted(&'a Floor, Role),
}

/// Everything that the verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub at: Timestamp,
    pub ip: IpAddr,
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
    /// Not met, but only reported.
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

/// Why what is not met is only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedBy {
    /// `mode = "report"`.
    Mode,
    /// The settings in force are met; those of the shadow are not.
    Shadow,
    /// The emergency switch of the whole relay.
    Enforcement,
}

impl ReportedBy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Shadow => "shadow",
            Self::Enforcement => "enforcement",
        }
    }
}

/// Why a policy was not asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// RFC 5321 section 4.5.5: the null reverse-path is judged by its recipients only.
    NullSender,
    /// RFC 5321 section 4.5.1: postmaster of a hosted domain hears everybody.
    Postmaster,
    /// RFC 8460 section 3: reports arrive despite any failure of TLS.
    TlsReports,
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
            Self::TlsReports => "the address for TLS reports is exempt",
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
    /// With the mode that answers for what is lacking.
    pub in_force: InForce,
    /// The settings of the shadow, where these are what was not met.
    pub shadow: Option<InForce>,
    /// The exception that holds for this client and sender, whether it made a difference or not.
    pub exception: Option<Arc<Terms>>,
    /// `Some` exactly if the verdict is [`Verdict::WouldRefuse`].
    pub reported_by: Option<ReportedBy>,
}

/// Judges one MAIL or RCPT.
pub fn judge(policies: &PolicySet, question: &Question<'_>) -> Judgement {
    let Applicable { subject, levels, policy } = applicable(policies, question);
    let asker = Asker { at: question.at, client: Some(question.ip), sender: question.sender };
    let laid = lay(&levels, &asker, Shadow::Left);
    let in_force = match question.client {
        Client::Trusted(floor, _) => InForce::of_floor(floor),
        Client::Stranger => InForce::of(&laid.layers),
    };
    let exempt = match question.client {
        Client::Trusted(..) => None,
        Client::Stranger => {
            exemption(question, policy, in_force.applies_to.value).or_else(|| reports(policies, question))
        }
    };
    let rule = in_force.requires_tls().unwrap_or(&in_force.tls.source).clone();
    let exception = laid.exception.cloned();
    let stage = question.stage();
    let accepted = Judgement {
        stage,
        verdict: Verdict::Accept,
        reason: None,
        rule,
        subject,
        exempt,
        in_force,
        shadow: None,
        exception,
        reported_by: None,
    };
    if exempt.is_some() {
        return accepted;
    }
    match lacking(&levels, &asker, question.tls, &accepted.in_force) {
        Some(lacking) => held_against(policies, question, lacking, accepted),
        None => beside_shadow(&levels, &asker, question.tls, accepted),
    }
}

/// What the session lacks first, and the mode that answers for it.
struct Lacking {
    reason: Reason,
    rule: Source,
    mode: Sourced<Mode>,
}

/// An exception of the default lets pass what lacks of the default. What a domain file asks for comes first where it
/// has a stricter mode without that exception.
fn lacking(
    levels: &[&Rules<InboundLayer>],
    asker: &Asker<'_>,
    tls: Option<&TlsFacts>,
    in_force: &InForce,
) -> Option<Lacking> {
    let answer = |(reason, rule): (Reason, &Source), mode| Lacking { reason, rule: rule.clone(), mode };
    let usual = answer(in_force.shortfall(tls)?, in_force.mode.clone());
    let Some(guarded) = guarded(levels, asker) else { return Some(usual) };
    let mode = InForce::of(&guarded.unexcepted).mode;
    let own = InForce::of(&guarded.own);
    let by_file = own.shortfall(tls).filter(|_| mode.value > usual.mode.value);
    Some(by_file.map_or(usual, |shortfall| answer(shortfall, mode)))
}

/// The verdict about a session that lacks something.
fn held_against(policies: &PolicySet, question: &Question<'_>, lacking: Lacking, accepted: Judgement) -> Judgement {
    let Lacking { reason, rule, mode } = lacking;
    let is_suspended = policies.enforcement.is_suspended(question.at) && !is_below_role(question);
    let (verdict, reported_by) = match mode.value {
        Mode::Report => (Verdict::WouldRefuse, Some(ReportedBy::Mode)),
        _ if is_suspended => (Verdict::WouldRefuse, Some(ReportedBy::Enforcement)),
        Mode::Defer => (Verdict::Defer, None),
        Mode::Enforce => (Verdict::Refuse, None),
    };
    let in_force = InForce { mode, ..accepted.in_force };
    Judgement { verdict, reason: Some(reason), rule, in_force, reported_by, ..accepted }
}

/// Whether the session is below what its listener's role has built in, which no switch suspends.
fn is_below_role(question: &Question<'_>) -> bool {
    let Client::Trusted(_, role) = question.client else { return false };
    InForce::of_floor(&Floor::of(role, Floor::default())).shortfall(question.tls).is_some()
}

/// The verdict about a session that lacks nothing: the shadow may say what it would lack.
fn beside_shadow(
    levels: &[&Rules<InboundLayer>],
    asker: &Asker<'_>,
    tls: Option<&TlsFacts>,
    accepted: Judgement,
) -> Judgement {
    if levels.iter().all(|level| level.shadow.is_none()) {
        return accepted;
    }
    let shadow = InForce::of(&lay(levels, asker, Shadow::Laid).layers);
    match shadow.shortfall(tls).map(|(reason, rule)| (reason, rule.clone())) {
        None => accepted,
        Some((reason, rule)) => Judgement {
            verdict: Verdict::WouldRefuse,
            reason: Some(reason),
            rule,
            shadow: Some(shadow),
            reported_by: Some(ReportedBy::Shadow),
            ..accepted
        },
    }
}

/// Whose settings hold.
struct Applicable<'a> {
    subject: Subject,
    /// Lowest first; none for a client that answers to its listener's floor.
    levels: Vec<&'a Rules<InboundLayer>>,
    policy: Option<&'a DomainPolicy>,
}

fn applicable<'a>(policies: &'a PolicySet, question: &Question<'_>) -> Applicable<'a> {
    if let Client::Trusted(..) = question.client {
        return Applicable { subject: Subject::Listener, levels: Vec::new(), policy: None };
    }
    let domain = match question.recipient {
        Some(recipient) => recipient.domain(),
        None => question.sender.domain(),
    };
    let default = &policies.defaults.inbound;
    match domain.and_then(|domain| policies.find(domain).map(|(policy, _)| (domain, policy))) {
        Some((domain, policy)) => Applicable {
            subject: Subject::Domain { name: domain.clone(), group: policy.group.clone() },
            levels: vec![default, &policy.inbound],
            policy: Some(policy),
        },
        None => Applicable { subject: Subject::Default, levels: vec![default], policy: None },
    }
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

/// Whether TLS reports arrive at the recipient.
fn reports(policies: &PolicySet, question: &Question<'_>) -> Option<Exempt> {
    let (recipient, address) = (question.recipient?, policies.tls_report_address.as_ref()?);
    let is_same = recipient.host() == address.host()
        && recipient.local_part_unquoted().eq_ignore_ascii_case(&address.local_part_unquoted());
    is_same.then_some(Exempt::TlsReports)
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
        let domain = match &self.subject {
            Subject::Domain { name, .. } => name.as_str(),
            Subject::Default | Subject::Listener => "this server",
        };
        let (required, negotiated) = (self.requirement(), self.negotiated(tls));
        let InForce { refusal_text, refusal_url, .. } = self.unmet();
        let url = refusal_url.as_ref().map(|url| &*url.value);
        let filling = Filling { domain, required: &required, negotiated: &negotiated, url, id };
        render(refusal_text.as_ref().map(|text| &text.value), &filling)
    }

    /// What the session has of what is asked for, in words.
    fn negotiated(&self, tls: Option<&TlsFacts>) -> String {
        let lack = client_certificate::check(&self.unmet().client_certificate.value, tls).err();
        match (tls, lack.filter(|_| self.reason == Some(Reason::ClientCertificate))) {
            (_, Some(lack)) => lack.as_str().to_owned(),
            (Some(tls), None) => format!("this session uses {tls}"),
            (None, None) => "this session is not encrypted".to_owned(),
        }
    }

    /// The settings that were not met, or those in force where all is well.
    pub fn unmet(&self) -> &InForce {
        self.shadow.as_ref().unwrap_or(&self.in_force)
    }

    /// `TLSv1.2 or later with a forward-secret cipher and a client certificate`, the requirement in words.
    pub fn requirement(&self) -> String {
        let mut text = match &self.unmet().min_version {
            Some(minimum) => format!("{} or later", minimum.value),
            None => "TLS".to_owned(),
        };
        let cipher = self.unmet().cipher.value.in_words();
        let certificate = match self.unmet().client_certificate.value {
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
