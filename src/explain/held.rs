//! Questions that are answered by the configuration and by what a daemon holds already: nothing is looked up.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde_json::Value;

use crate::audit::published::{DaneRecord, PublishedRecord};
use crate::config::Config;
use crate::dns::mx::RouteError;
use crate::dns::targets::TargetRule;
use crate::facts::sts_plan::CachedPolicy;
use crate::model::address::{Address, Host, ReversePath};
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::outbound::{Decision, NextHop};
use crate::policy::published::{Asks, Learned, MtaSts, Published};
use crate::policy::settings::{DaneUse, HostPort, Learn};
use crate::policy::sts_policy::{Mode, MxPattern};

use super::error::QuestionError;
use super::inbound::scene::{Assumed, STRANGER, Scene, listener};
use super::outbound::facts::{Facts, HostFact, of_learned, of_policy};
use super::outbound::question::Question;
use super::session::Session;
use super::{inbound, outbound};

/// Hosts of a policy of MTA-STS that are thought of; it may list thousands.
const HOSTS_OF_POLICY_MAX: usize = 10;
/// The label of a host whose name is not known, below the domain that a policy of MTA-STS lists hosts of.
const ANY_HOST_LABEL: &str = "any";

/// One question, as a form asks it.
#[derive(Clone, Debug)]
pub struct Form<'a> {
    pub config: &'a Config,
    pub from: &'a ReversePath,
    pub to: &'a Address,
    /// Who brings the message. `None`: inbound a stranger, outbound nobody in particular.
    pub client: Option<IpAddr>,
    pub session: Session,
    /// The moment by which policies are asked; `None` is `now`.
    pub at: Option<Timestamp>,
    /// By which it is judged whether what is held still holds.
    pub now: Timestamp,
    pub way: Way<'a>,
}

/// Which way the mail goes, with what belongs to that way alone.
#[derive(Clone, Debug)]
pub enum Way<'a> {
    Inbound {
        /// By its name; `None` is the first of role mx, else the first.
        listener: Option<&'a str>,
    },
    Outbound(Held),
}

/// What a daemon knows of a destination without asking anybody.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Policies of MTA-STS that are kept, whether or not they still hold; [`Form::policy_domains`] says of whom.
    pub policies: Vec<(Domain, CachedPolicy)>,
    /// The level that the recipient's domain is held to.
    pub learned: Option<Learned>,
}

/// The answer to a form.
#[derive(Debug)]
pub enum Answer<'a> {
    Inbound(Box<inbound::Explained<'a>>),
    Outbound(Box<outbound::Explained<'a>>),
}

impl Answer<'_> {
    /// As `policy explain --json` prints it. What was not looked up for a delivery stands in `unasked`, in sentences.
    pub fn json(&self) -> Value {
        match self {
            Self::Inbound(explained) => explained.json(),
            Self::Outbound(explained) => explained.json(),
        }
    }
}

impl<'a> Form<'a> {
    /// The answer of the engine. A session that cannot be is refused by [`Session::of`] before.
    pub fn explain(&self) -> Result<Answer<'a>, QuestionError> {
        match &self.way {
            Way::Inbound { listener } => Ok(Answer::Inbound(Box::new(self.inbound(*listener)?))),
            Way::Outbound(held) => Ok(Answer::Outbound(Box::new(self.outbound(held)))),
        }
    }

    /// The domains whose policies of MTA-STS make a difference to a delivery: that of the recipient, or the hosts of
    /// the route.
    pub fn policy_domains(&self) -> Vec<Domain> {
        let question = self.question();
        question.policy_domains(&question.decide())
    }

    fn inbound(&self, named: Option<&str>) -> Result<inbound::Explained<'a>, QuestionError> {
        let scene = Scene {
            config: self.config,
            listener: listener(self.config, named)?,
            client: self.client.unwrap_or(STRANGER),
            certificate: None,
            at: self.at.unwrap_or(self.now),
            from: self.from,
            to: self.to,
            assumed: Assumed { client: self.client.is_none(), at: self.at.is_none() },
        };
        Ok(inbound::Explained::new(scene, &self.session))
    }

    fn outbound(&self, held: &Held) -> outbound::Explained<'a> {
        let question = self.question();
        let decision = question.decide();
        let known = Known { question, decision: &decision, held, now: self.now };
        let (facts, unasked) = (known.facts(), known.unasked());
        let explained = outbound::Explained::new(question, decision, facts, false, &self.session);
        outbound::Explained { unasked, ..explained }
    }

    fn question(&self) -> Question<'a> {
        Question {
            config: self.config,
            at: self.at.unwrap_or(self.now),
            at_is_assumed: self.at.is_none(),
            client: self.client,
            from: self.from,
            to: self.to,
            certificate: None,
            certificate_names: &[],
        }
    }
}

/// A delivery with what is held for it.
struct Known<'q> {
    question: Question<'q>,
    decision: &'q Decision,
    held: &'q Held,
    now: Timestamp,
}

impl Known<'_> {
    fn facts(&self) -> Facts {
        match (&self.decision.next_hop, self.question.to.host()) {
            (NextHop::Route(route), _) => {
                let host = |hop: &HostPort| match &hop.host {
                    Host::Name(name) => HostFact { port: hop.port, trusted: true, ..self.host(Some(name), Some(name)) },
                    Host::Literal(ip) => {
                        HostFact { port: hop.port, trusted: true, addresses: vec![*ip], ..self.host(None, None) }
                    }
                };
                Facts::found(route.hosts.iter().map(host).collect())
            }
            (NextHop::Mx, Host::Literal(ip)) => self.literal(*ip),
            (NextHop::Mx, Host::Name(domain)) => Facts::found(self.mail_hosts(domain)),
        }
    }

    /// RFC 5321 section 4.1.3: the address is the host.
    fn literal(&self, ip: IpAddr) -> Facts {
        let targets = TargetRule { allow: self.question.config.dns.allow_targets.clone() };
        if !targets.permits(ip) {
            let error = RouteError::TargetForbidden;
            return Facts::failed(error.reason(), error.is_permanent(), error.to_string());
        }
        Facts::found(vec![HostFact { addresses: vec![ip], ..self.host(None, None) }])
    }

    /// Those that the policy names, if there is one; else one of which nothing is known.
    fn mail_hosts(&self, domain: &Domain) -> Vec<HostFact> {
        let patterns = self.policy(domain).map(|cached| cached.policy.mx.as_slice()).unwrap_or_default();
        let hosts = patterns.iter().filter_map(named).take(HOSTS_OF_POLICY_MAX);
        let mut hosts: Vec<HostFact> = hosts.map(|name| self.host(Some(&name), Some(domain))).collect();
        if hosts.is_empty() {
            hosts.push(self.host(None, Some(domain)));
        }
        hosts
    }

    /// A host, with what is held of it. Its policy is that of `policy_domain`.
    fn host(&self, name: Option<&Domain>, policy_domain: Option<&Domain>) -> HostFact {
        let cached = policy_domain.and_then(|domain| self.policy(domain));
        let mta_sts = cached.and_then(|cached| MtaSts::of(&cached.policy, name));
        let learned = self.learned();
        let lists = mta_sts.map(|sts| sts.lists_host);
        let told = cached.map(|cached| of_policy(&cached.policy, lists, cached.expires()));
        let found = told.into_iter().chain(learned.map(of_learned)).collect();
        let known = Published { mta_sts, learned: learned.cloned(), ..Published::default() };
        let mut published = PublishedRecord::of(&known);
        if self.requires_dane() {
            published.get_or_insert_default().dane = Some(DaneRecord::Usable);
        }
        HostFact { name: name.cloned(), published, found, trusted: self.requires_dane(), ..HostFact::default() }
    }

    /// The policy of a domain that holds, and says something.
    fn policy(&self, domain: &Domain) -> Option<&CachedPolicy> {
        let is_heeded = self.decision.heeds_sts(Asks::default());
        let cached = self.kept(domain).filter(|cached| is_heeded && cached.holds(self.now))?;
        (cached.policy.mode != Mode::None).then_some(cached)
    }

    fn kept(&self, domain: &Domain) -> Option<&CachedPolicy> {
        self.held.policies.iter().find(|(of, _)| of == domain).map(|(_, cached)| cached)
    }

    fn learned(&self) -> Option<&Learned> {
        let is_enforced = self.decision.following.learn.value == Learn::Enforce && self.decision.is_by_mx();
        self.held.learned.as_ref().filter(|_| is_enforced)
    }

    fn requires_dane(&self) -> bool {
        self.decision.following.dane.value == DaneUse::Required
    }

    /// What a delivery would ask besides.
    fn unasked(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        match (&self.decision.next_hop, self.question.to.domain()) {
            (NextHop::Route(_), _) => {
                sentences.push("The hosts are those of the route; their names were not looked up.".to_owned());
            }
            (NextHop::Mx, Some(domain)) => sentences.push(self.about_mail_hosts(domain)),
            (NextHop::Mx, None) => return Vec::new(),
        }
        sentences.extend(self.about_policies());
        if self.requires_dane() {
            let taken = "a host is taken to have some that can be used";
            let else_ = "With a host that has none no session will do (dane = \"required\").";
            sentences.push(format!("TLSA records were not looked up: {taken}. {else_}"));
        } else if self.decision.heeds_dane(Asks::default()) && !self.question.config.dns.is_dnssec_off() {
            let more = "where a host has any, its certificate must match one";
            sentences.push(format!("TLSA records were not looked up: {more}."));
        }
        sentences
    }

    fn about_mail_hosts(&self, domain: &Domain) -> String {
        let hosts = format!("The mail hosts of {domain} were not looked up");
        let Some(cached) = self.policy(domain) else { return format!("{hosts}: the answer is about any of them.") };
        let patterns = &cached.policy.mx;
        let first = "the answer is about hosts that its MTA-STS policy lists";
        match patterns.iter().find(|pattern| matches!(pattern, MxPattern::OneBelow(_))) {
            Some(pattern) => match named(pattern) {
                Some(name) => format!("{hosts}: {first}; {name} stands for any of {pattern}."),
                None => format!("{hosts}: {first}."),
            },
            None => format!("{hosts}: {first}."),
        }
    }

    fn about_policies(&self) -> Option<String> {
        let domains = self.question.policy_domains(self.decision);
        let missing: Vec<&str> =
            domains.iter().filter(|domain| !self.is_known_of(domain)).map(Domain::as_str).collect();
        let more = "nobody was asked whether there is one";
        (!missing.is_empty()).then(|| format!("No MTA-STS policy of {} is held: {more}.", missing.join(", ")))
    }

    /// A policy is held, of whatever mode.
    fn is_known_of(&self, domain: &Domain) -> bool {
        self.kept(domain).is_some_and(|cached| cached.holds(self.now))
    }
}

/// A host that the pattern lists: itself, or one that stands for all below a domain.
fn named(pattern: &MxPattern) -> Option<Domain> {
    match pattern {
        MxPattern::Exact(name) => Some(name.clone()),
        MxPattern::OneBelow(above) => Domain::parse(&format!("{ANY_HOST_LABEL}.{above}")).ok(),
    }
}
