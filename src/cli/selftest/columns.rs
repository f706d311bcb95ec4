//! The transactions that are tried in each session: one for each set of settings, however many domains have it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock;
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::cipher::CipherGrade;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;
use crate::policy::in_force::InForce;
use crate::policy::inbound::Judgement;
use crate::policy::relay::{Denial, Permission, admit};
use crate::policy::rules::{DomainPolicy, PolicySet};
use crate::policy::settings::{ClientCertificateRule, InboundTls, Mode};
use crate::policy::timed::{Asker, Shadow, lay};
use crate::policy::transaction::{Door, Visitor};

/// Columns of one matrix; what goes beyond can be asked for by name.
pub(super) const COLUMNS_MAX: usize = 40;

/// The mailbox, and the name below a wildcard, that stand for all.
const NAME: &str = "gatepost-selftest";
/// RFC 2606: names that belong to nobody. The first that no domain file claims stands for all such names.
const NOBODYS: [&str; 3] = ["gatepost-selftest.invalid", "gatepost-selftest.example", "gatepost-selftest.test"];

/// What a column is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Mail for a hosted domain, from the null sender: judged at RCPT alone.
    To,
    /// Mail from a domain: judged at MAIL. Its recipient is a postmaster, who is exempt.
    From,
    /// Mail from a domain that no file claims.
    Default,
    /// Mail for a domain that no file claims.
    Relaying,
    /// Mail of a session that answers to the listener's floor, whatever the domains' policies say.
    Floor,
}

impl Side {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::From => "from",
            Self::Default => "default",
            Self::Relaying => "relaying",
            Self::Floor => "floor",
        }
    }
}

/// One transaction, and whom it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) side: Side,
    pub(super) from: ReversePath,
    /// `None`: nothing is hosted here, so the transaction ends with MAIL.
    pub(super) to: Option<Address>,
    /// The domains with the same settings as their files name them, the tried one first.
    pub(super) covers: Vec<String>,
}

/// The columns of one matrix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) columns: Vec<Column>,
    /// Sets of settings beyond the bound.
    pub(super) left_out: usize,
}

/// What makes two domains the same for a test: values, not where they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    side: Side,
    /// Whether the policy is asked on that side.
    is_asked: bool,
    /// Whether the recipient of the test exists.
    is_taken: bool,
    in_force: Asked,
    /// With the shadow laid over it; the same where there is none.
    in_shadow: Asked,
}

/// What a session must have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    tls: InboundTls,
    min_version: Option<ProtocolVersion>,
    cipher: CipherGrade,
    client_certificate: ClientCertificateRule,
    mode: Mode,
}

/// Who tests: steps and exceptions depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tester {
    pub(super) client: IpAddr,
    pub(super) at: Timestamp,
    pub(super) answers_to_floor: bool,
}

/// Every distinct set of settings once, then the default and relaying; or the named domains alone.
pub(super) fn plan(policies: &PolicySet, tester: &Tester, domains: &[Domain]) -> Plan {
    let nobody = NOBODYS.iter().filter_map(|name| Domain::parse(name).ok());
    let nobody = nobody.into_iter().find(|name| policies.find(name).is_none()).and_then(|name| mailbox(NAME, &name));
    let postmaster = policies.policies().filter(|policy| policy.hosted).find_map(|policy| {
        let sample = policy.patterns.iter().find_map(|pattern| sample(policies, policy, pattern))?;
        mailbox("postmaster", &sample)
    });
    let column = |side: Side, address: Address, covers: Vec<String>| match side {
        Side::To | Side::Relaying => Column { side, from: ReversePath::Null, to: Some(address), covers },
        Side::From | Side::Default => {
            Column { side, from: ReversePath::Mailbox(address), to: postmaster.clone(), covers }
        }
        Side::Floor => Column { side, from: ReversePath::Mailbox(address.clone()), to: Some(address), covers },
    };
    if !domains.is_empty() {
        let named = domains.iter().take(COLUMNS_MAX).filter_map(|domain| {
            let side = policies.find(domain).map_or(Side::From, |(policy, _)| side(policies, policy, tester));
            Some(column(side, mailbox(NAME, domain)?, vec![domain.to_string()]))
        });
        return Plan { columns: named.collect(), left_out: domains.len().saturating_sub(COLUMNS_MAX) };
    }
    let nobodys: &[Side] = if tester.answers_to_floor { &[Side::Floor] } else { &[Side::Default, Side::Relaying] };
    let nobodys = nobodys.iter().filter_map(|side| nobody.clone().map(|address| column(*side, address, Vec::new())));
    let mut groups = if tester.answers_to_floor { Vec::new() } else { groups(policies, tester) };
    let left_out = groups.len().saturating_sub(COLUMNS_MAX - nobodys.clone().count());
    groups.truncate(groups.len() - left_out);
    let grouped = groups.into_iter().map(|group| column(group.settings.side, group.address, group.covers));
    Plan { columns: grouped.chain(nobodys).collect(), left_out }
}

/// Domains with the same settings.
struct Group {
    settings: Settings,
    /// The mailbox of the first of them.
    address: Address,
    covers: Vec<String>,
}

fn groups(policies: &PolicySet, tester: &Tester) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for policy in policies.policies() {
        let samples = policy.patterns.iter().filter_map(|pattern| {
            let domain = sample(policies, policy, pattern)?;
            Some((pattern.to_string(), mailbox(NAME, &domain)?))
        });
        for (pattern, address) in samples {
            let settings = Settings::of(policies, policy, (&address, tester));
            match groups.iter_mut().find(|group| group.settings == settings) {
                Some(group) => group.covers.push(pattern),
                None => groups.push(Group { settings, address, covers: vec![pattern] }),
            }
        }
    }
    groups
}

impl Settings {
    fn of(policies: &PolicySet, policy: &DomainPolicy, (address, tester): (&Address, &Tester)) -> Self {
        let side = side(policies, policy, tester);
        let sender = match side {
            Side::To => ReversePath::Null,
            _ => ReversePath::Mailbox(address.clone()),
        };
        let laid = |shadow| in_force(policies, policy, (&sender, tester), shadow);
        let (in_force, in_shadow) = (laid(Shadow::Left), laid(Shadow::Laid));
        let applies_to = in_force.applies_to.value;
        Self {
            side,
            is_asked: if side == Side::To { applies_to.recipient } else { applies_to.sender },
            is_taken: side == Side::To && admit(policies, Permission::HostedOnly, address).is_ok(),
            in_force: Asked::of(in_force),
            in_shadow: Asked::of(in_shadow),
        }
    }
}

impl Asked {
    fn of(in_force: InForce) -> Self {
        Self {
            tls: in_force.effective_tls(),
            min_version: in_force.min_version.map(|version| version.value),
            cipher: in_force.cipher.value,
            client_certificate: in_force.client_certificate.value,
            mode: in_force.mode.value,
        }
    }
}

/// The settings that this client meets now with mail of this sender.
fn in_force(
    policies: &PolicySet,
    policy: &DomainPolicy,
    (sender, tester): (&ReversePath, &Tester),
    shadow: Shadow,
) -> InForce {
    let asker = Asker { at: tester.at, client: Some(tester.client), sender };
    InForce::of(&lay(&[&policies.defaults.inbound, &policy.inbound], &asker, shadow).layers)
}

/// Hosted domains are asked at RCPT, unless their policy is for mail from them alone.
fn side(policies: &PolicySet, policy: &DomainPolicy, tester: &Tester) -> Side {
    let in_force = in_force(policies, policy, (&ReversePath::Null, tester), Shadow::Left);
    let applies_to = in_force.applies_to.value;
    let is_senders_only = applies_to.sender && !applies_to.recipient;
    if policy.hosted && !is_senders_only { Side::To } else { Side::From }
}

/// A name that the pattern covers and that this policy speaks for; `None` if other files claim what would be tried.
fn sample(policies: &PolicySet, policy: &Arc<DomainPolicy>, pattern: &DomainPattern) -> Option<Domain> {
    let name = match pattern {
        DomainPattern::Exact(name) => name.clone(),
        DomainPattern::Below(above) => Domain::parse(&format!("{NAME}.{above}")).ok()?,
    };
    policies.find(&name).filter(|(found, _)| Arc::ptr_eq(found, policy)).map(|_| name)
}

/// `None` if the domain is too long for it.
fn mailbox(local_part: &str, domain: &Domain) -> Option<Address> {
    Address::parse(&format!("{local_part}@{domain}"), Charset::Ascii).ok()
}

impl Column {
    /// `to bank.example and 12 more`.
    pub(super) fn name(&self) -> String {
        match (self.side, self.covers.split_first()) {
            (Side::Floor, _) => "any domain".to_owned(),
            (Side::Default, _) => "from any other domain".to_owned(),
            (Side::Relaying, _) => "to any other domain".to_owned(),
            (side, Some((first, []))) => format!("{} {first}", side.as_str()),
            (side, Some((first, more))) => format!("{} {first} and {} more", side.as_str(), more.len()),
            (side, None) => side.as_str().to_owned(),
        }
    }

    /// What the policy engine asks of such mail, in words.
    pub(super) fn asks(&self, door: &Door<'_>, client: IpAddr) -> String {
        let visitor = Visitor { at: clock::timestamp(), ip: client, tls: None };
        let at_mail = door.judge_mail(&visitor, &self.from);
        let answer = self.to.as_ref().map(|to| door.judge_rcpt(&visitor, &self.from, to));
        let denial = answer.as_ref().and_then(|answer| answer.denial);
        let denied = match denial {
            Some(Denial::Relay) => "no relaying",
            Some(Denial::NoSuchUser) => "no such recipient",
            None if self.side == Side::Relaying => "relayed",
            None => "",
        };
        let at_rcpt = answer.and_then(|answer| answer.judgement);
        let judgement = if self.side == Side::To { at_rcpt.as_ref() } else { Some(&at_mail) };
        let asked = judgement.filter(|_| self.side != Side::Relaying).map(words).unwrap_or_default();
        [asked.as_str(), denied].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

fn words(judgement: &Judgement) -> String {
    let in_force = &judgement.in_force;
    if let Some(exempt) = judgement.exempt {
        return format!("nothing: {}", exempt.as_str());
    }
    if in_force.effective_tls() == InboundTls::Optional {
        return "TLS optional".to_owned();
    }
    match in_force.mode.value {
        Mode::Enforce => judgement.requirement(),
        mode => format!("{}, mode {}", judgement.requirement(), mode.as_str()),
    }
}

#[cfg(test)]
#[path = "columns_tests.rs"]
pub(super) mod tests;
