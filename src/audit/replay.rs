//! Recorded facts put to the policy engine under two settings. What is remembered between records is the engine's own
//! answer to a question that differs in nothing which the engine looks at.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::address::{Address, Charset, Host, ReversePath};
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, TlsOrNone};
use crate::policy::delivery::{DeliveryVerdict, HostFacts, judge_delivery};
use crate::policy::inbound::Verdict;
use crate::policy::outbound::NextHop;
use crate::policy::published::Published;
use crate::policy::relay::{Permission, admit};
use crate::policy::rules::{PolicySet, Recipients};
use crate::policy::settings::Source;
use crate::policy::timed::{Asker, SenderPattern, Terms};
use crate::policy::transaction::{Door, Visitor};

use super::facts::{Facts, Kind, domain_of};
use super::published::PublishedRecord;
use super::remembered::Remembered;

/// Bytes of an answer without its reply.
const ANSWER_BYTES: usize = 128;
/// Networks that are told apart in one word; with more of them each address is a client of its own.
const NETWORKS_MAX: usize = 64;
/// Stands for every domain of which no policy speaks.
const ANY_DOMAIN: &str = "*";
/// Stands for the id of the audit record that a real reply names.
const ID: &str = "…";
/// Bits of what is looked at in a local part.
const POSTMASTER: u8 = 1;
const EXISTS_BEFORE: u8 = 2;
const EXISTS_AFTER: u8 = 4;

/// One configuration, asked about one moment.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    pub policies: &'a PolicySet,
    /// By the names of the listeners.
    pub doors: HashMap<&'a str, Door<'a>>,
    pub at: Timestamp,
}

/// What becomes of a message, mildest first; of one that goes out, a bounce is a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    Taken,
    /// Taken, and recorded as what would be refused.
    Reported,
    Deferred,
    Refused,
}

/// The engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub effect: Effect,
    pub reason: Option<Reason>,
    /// The rule that is not met, or that decides.
    pub rule: Source,
    /// The exception that holds for this client and sender, whether it made a difference or not.
    pub exception: Option<Source>,
    /// What the client is told, or would be, with "…" for the id of the record. Deliveries have none.
    pub reply: Option<String>,
}

impl Answer {
    fn bytes(&self) -> usize {
        ANSWER_BYTES + self.reply.as_ref().map_or(0, String::len)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// The configuration has no listener of that name.
    ListenerGone,
    /// The record does not tell enough about the session.
    NotRecorded,
    /// Another next hop would be asked than the one on record.
    OtherNextHop,
}

impl Unknown {
    pub const ALL: [Self; 3] = [Self::ListenerGone, Self::NotRecorded, Self::OtherNextHop];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ListenerGone => "listener-gone",
            Self::NotRecorded => "not-recorded",
            Self::OtherNextHop => "other-next-hop",
        }
    }
}

/// One question under both settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub before: Result<Answer, Unknown>,
    pub after: Result<Answer, Unknown>,
}

/// One kind of session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Not given twice, so that the answers about a session that was forgotten are no other's.
    number: u64,
    /// `None` if the record's JSON is none of ours; plaintext is `Some(None)`.
    facts: Option<Option<TlsFacts>>,
    /// `TLSv1.2 ECDHE-RSA-AES128-SHA`, or `none`.
    pub label: Box<str>,
}

/// Asks, and remembers.
#[derive(Debug)]
pub struct Replay<'a> {
    before: &'a Setting<'a>,
    after: &'a Setting<'a>,
    /// How much of a sender exceptions look at.
    senders: Detail,
    /// All networks that trust or an exception names; `None` if there are more than can be told apart.
    networks: Option<Vec<IpNet>>,
    /// Whether a policy speaks of a domain, so that its name is looked at.
    domains: Remembered<bool>,
    /// A list of recipients is kept somewhere, so local parts are looked at.
    lists_recipients: bool,
    answers: Remembered<Arc<Pair>>,
    sessions: Remembered<Arc<Session>>,
    sessions_seen: u64,
    recipients: Remembered<u8>,
    key: Vec<u8>,
}

/// How much of an address is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// Whose policy it comes under.
    Policy,
    Domain,
    Address,
}

impl<'a> Replay<'a> {
    pub fn new(before: &'a Setting<'a>, after: &'a Setting<'a>) -> Self {
        let both = [before.policies, after.policies];
        let senders = both.iter().flat_map(|policies| terms(policies)).flat_map(|terms| &terms.senders);
        Self {
            before,
            after,
            senders: senders.map(detail).max().unwrap_or(Detail::Policy),
            networks: networks([before, after]),
            domains: Remembered::default(),
            lists_recipients: both.iter().any(|policies| {
                policies.policies().any(|policy| matches!(policy.recipients, Recipients::Listed { .. }))
            }),
            answers: Remembered::default(),
            sessions: Remembered::default(),
            sessions_seen: 0,
            recipients: Remembered::default(),
            key: Vec::new(),
        }
    }

    /// The session of a record.
    pub fn session(&mut self, facts: &Facts<'_>) -> Arc<Session> {
        if let Some(known) = self.sessions.get(facts.tls) {
            return known;
        }
        self.sessions_seen += 1;
        let read: Option<Option<TlsFacts>> = serde_json::from_slice(facts.tls).ok();
        let label = TlsOrNone(read.as_ref().and_then(Option::as_ref)).to_string().into();
        let session = Arc::new(Session { number: self.sessions_seen, facts: read, label });
        // What was read is about as long as its JSON.
        self.sessions.insert(facts.tls, session.clone(), facts.tls.len());
        session
    }

    /// The answers about one recipient of a record; `None` for a transaction that was refused at MAIL.
    pub fn judge(&mut self, facts: &Facts<'_>, session: &Session, to: Option<&str>) -> Arc<Pair> {
        self.write_key(facts, session, to);
        if let Some(known) = self.answers.get(self.key.as_slice()) {
            return known;
        }
        let question = Question::of(facts, session, to);
        let ask = |setting| question.as_ref().ok_or(Unknown::NotRecorded).and_then(|question| question.ask(setting));
        let pair = Arc::new(Pair { before: ask(self.before), after: ask(self.after) });
        let bytes = [&pair.before, &pair.after].map(|answer| answer.as_ref().map_or(0, Answer::bytes));
        self.answers.insert(&self.key, pair.clone(), bytes.iter().sum());
        pair
    }

    /// Everything that the engine looks at, and no more than that.
    fn write_key(&mut self, facts: &Facts<'_>, session: &Session, to: Option<&str>) {
        let local = to.map_or(0, |to| self.recipient_class(to));
        let from = facts.from.as_deref();
        let sender = match self.senders {
            Detail::Address => from.unwrap_or_default(),
            Detail::Domain => from.map_or("", domain_of),
            Detail::Policy => self.domain_class(from.map_or("", domain_of)),
        };
        let recipient = match to.map_or("", domain_of) {
            domain if facts.kind.is_inbound() => self.domain_class(domain),
            domain => domain,
        };
        self.key.clear();
        write_client(&mut self.key, facts.client, self.networks.as_deref());
        let mut part = |part: &[u8]| {
            self.key.extend_from_slice(part);
            self.key.push(b'\n');
        };
        part(&session.number.to_be_bytes());
        part(&[u8::from(from.is_some()), u8::from(to.is_some()), local, u8::from(facts.kind.is_inbound())]);
        part(sender.as_bytes());
        part(recipient.as_bytes());
        if facts.kind.is_inbound() {
            part(facts.listener.as_deref().unwrap_or_default().as_bytes());
        } else {
            let hop = &facts.next_hop;
            part(hop.mx.as_deref().unwrap_or_default().as_bytes());
            part(hop.published);
            part(&[u8::from(has_session(facts)), u8::from(hop.route.is_some()), u8::from(is_trusted(facts))]);
        }
    }

    /// The name, or what stands for all domains of which neither setting has a file.
    fn domain_class<'t>(&mut self, name: &'t str) -> &'t str {
        if let Some(is_named) = self.domains.get(name.as_bytes()) {
            return if is_named { name } else { ANY_DOMAIN };
        }
        let has_file =
            |domain: &Domain| [self.before, self.after].iter().any(|setting| setting.policies.find(domain).is_some());
        let is_named = Domain::parse(name).map_or(true, |domain| has_file(&domain));
        self.domains.insert(name.as_bytes(), is_named, 0);
        if is_named { name } else { ANY_DOMAIN }
    }

    /// What is looked at in the local part of a recipient.
    fn recipient_class(&mut self, to: &str) -> u8 {
        let (local, _) = to.rsplit_once('@').unwrap_or((to, ""));
        if !self.lists_recipients && !local.starts_with('"') {
            return if local.eq_ignore_ascii_case("postmaster") { POSTMASTER } else { 0 };
        }
        if let Some(known) = self.recipients.get(to.as_bytes()) {
            return known;
        }
        let class = Address::parse(to, Charset::Utf8).map_or(0, |address| {
            let exists = |setting: &Setting<'_>| admit(setting.policies, Permission::Anywhere, &address).is_ok();
            let bit = |is_set, bit| if is_set { bit } else { 0 };
            bit(address.is_postmaster(), POSTMASTER)
                | bit(exists(self.before), EXISTS_BEFORE)
                | bit(exists(self.after), EXISTS_AFTER)
        });
        self.recipients.insert(to.as_bytes(), class, 0);
        class
    }
}

/// The terms of all exceptions.
fn terms(policies: &PolicySet) -> impl Iterator<Item = &Arc<Terms>> {
    let defaults = &policies.defaults;
    let inbound = policies.policies().map(|policy| &policy.inbound).chain([&defaults.inbound]);
    let outbound = policies.policies().map(|policy| &policy.outbound).chain([&defaults.outbound]);
    let inbound = inbound.flat_map(|rules| &rules.exceptions).map(|exception| &exception.terms);
    inbound.chain(outbound.flat_map(|rules| &rules.exceptions).map(|exception| &exception.terms))
}

fn detail(pattern: &SenderPattern) -> Detail {
    match pattern {
        SenderPattern::Null => Detail::Policy,
        SenderPattern::Domain(_) => Detail::Domain,
        SenderPattern::Mailbox(_) => Detail::Address,
    }
}

/// Every network that the engine may hold a client against.
fn networks(settings: [&Setting<'_>; 2]) -> Option<Vec<IpNet>> {
    let trusted = settings.iter().flat_map(|setting| setting.doors.values()).flat_map(|door| &door.trusted.networks);
    let excepted = settings.iter().flat_map(|setting| terms(setting.policies)).flat_map(|terms| &terms.clients);
    let mut networks: Vec<IpNet> = trusted.chain(excepted).copied().collect();
    networks.sort();
    networks.dedup();
    (networks.len() <= NETWORKS_MAX).then_some(networks)
}

/// Of a client its networks, or its address where these are too many.
fn write_client(key: &mut Vec<u8>, client: Option<IpAddr>, networks: Option<&[IpNet]>) {
    // How long what follows is stands before it, so that no two questions have one key.
    match (client.map(|ip| ip.to_canonical()), networks) {
        (None, _) => key.push(0),
        (Some(ip), Some(networks)) => {
            let in_order = networks.iter().enumerate();
            let bits = in_order.fold(0_u64, |bits, (n, network)| bits | u64::from(network.contains(&ip)) << n);
            key.push(8);
            key.extend_from_slice(&bits.to_be_bytes());
        }
        (Some(IpAddr::V4(ip)), None) => {
            key.push(4);
            key.extend_from_slice(&ip.octets());
        }
        (Some(IpAddr::V6(ip)), None) => {
            key.push(16);
            key.extend_from_slice(&ip.octets());
        }
    }
}

/// Whether the record of a delivery tells about a session: without TLS facts only if one in plaintext is meant.
fn has_session(facts: &Facts<'_>) -> bool {
    let is_plaintext =
        || facts.kind == Kind::Delivered || facts.delivery_reason() == Some(Reason::StarttlsNotSupported.as_str());
    facts.tls != b"null" || is_plaintext()
}

/// Whether the operator wrote down the name of the host; those of routes are written.
fn is_trusted(facts: &Facts<'_>) -> bool {
    facts.next_hop.mx_trusted.unwrap_or(facts.next_hop.route.is_some())
}

/// Recorded facts in the words of the engine.
struct Question<'a> {
    client: Option<IpAddr>,
    from: ReversePath,
    to: Option<Address>,
    tls: Option<&'a TlsFacts>,
    way: Way<'a>,
}

enum Way<'a> {
    In { listener: &'a str },
    Out { mx: Option<&'a str>, mx_is_trusted: bool, is_routed: bool, published: Published },
}

impl<'a> Question<'a> {
    /// `None` if the record does not tell enough.
    fn of(facts: &'a Facts<'_>, session: &'a Session, to: Option<&str>) -> Option<Self> {
        let address = |text: &str| Address::parse(text, Charset::Utf8).ok();
        let from = match facts.from.as_deref()? {
            "" => ReversePath::Null,
            from => ReversePath::Mailbox(address(from)?),
        };
        let to = match to {
            Some(to) => Some(address(to)?),
            None => None,
        };
        let way = if facts.kind.is_inbound() {
            Way::In { listener: facts.listener.as_deref()? }
        } else if has_session(facts) {
            let hop = &facts.next_hop;
            let published = match hop.published {
                b"" => Published::default(),
                json => serde_json::from_slice::<PublishedRecord>(json).ok()?.published(),
            };
            let is_routed = hop.route.is_some();
            Way::Out { mx: hop.mx.as_deref(), mx_is_trusted: is_trusted(facts), is_routed, published }
        } else {
            return None;
        };
        Some(Self { client: facts.client, from, to, tls: session.facts.as_ref()?.as_ref(), way })
    }

    fn ask(&self, setting: &Setting<'_>) -> Result<Answer, Unknown> {
        match &self.way {
            Way::In { listener } => self.ask_inbound(setting, listener),
            Way::Out { mx, mx_is_trusted, is_routed, published } => {
                let name = mx.and_then(|mx| Domain::parse(mx).ok());
                let host = HostFacts { name: name.as_ref(), name_is_trusted: *mx_is_trusted, published, tls: self.tls };
                self.ask_outbound(setting, &host, is_routed.then(|| mx.unwrap_or_default()))
            }
        }
    }

    fn ask_inbound(&self, setting: &Setting<'_>, listener: &str) -> Result<Answer, Unknown> {
        let door = setting.doors.get(listener).ok_or(Unknown::ListenerGone)?;
        let visitor = Visitor { at: setting.at, ip: self.client.ok_or(Unknown::NotRecorded)?, tls: self.tls };
        let Some(to) = &self.to else {
            let judged = door.judge_mail(&visitor, &self.from);
            let reply = judged.reason.map(|_| judged.would_be_reply(self.tls, ID).to_string());
            let exception = excepted(judged.exception.as_deref());
            return Ok(Answer {
                effect: judged.verdict.into(),
                reason: judged.reason,
                rule: judged.rule,
                exception,
                reply,
            });
        };
        let transacted = door.transact(&visitor, &self.from, to);
        let outcome = transacted.outcome(self.tls, ID);
        let reply = outcome.reply.or(outcome.would_be).map(|reply| reply.to_string());
        let (rule, exception) = (transacted.rule().clone(), excepted(transacted.weighing().exception.as_deref()));
        Ok(Answer { effect: outcome.verdict.into(), reason: outcome.reason, rule, exception, reply })
    }

    /// `written` is the host of a route on record; `None` is one of the MX hosts.
    fn ask_outbound(
        &self,
        setting: &Setting<'_>,
        host: &HostFacts<'_>,
        written: Option<&str>,
    ) -> Result<Answer, Unknown> {
        let asker = Asker { at: setting.at, client: self.client, sender: &self.from };
        let domain = self.to.as_ref().and_then(Address::domain);
        let judged = judge_delivery(setting.policies, &asker, domain, host);
        let is_same = match (&judged.decision.next_hop, written) {
            (NextHop::Mx, None) => true,
            (NextHop::Route(route), Some(written)) => route.hosts.iter().any(|hop| match &hop.host {
                Host::Name(name) => name.as_str() == written,
                Host::Literal(ip) => format!("[{ip}]") == written,
            }),
            _ => false,
        };
        if !is_same {
            return Err(Unknown::OtherNextHop);
        }
        let effect = match judged.verdict {
            DeliveryVerdict::Deliver => Effect::Taken,
            DeliveryVerdict::Defer => Effect::Deferred,
            DeliveryVerdict::Bounce => Effect::Refused,
            DeliveryVerdict::Unknown => return Err(Unknown::NotRecorded),
        };
        let exception = excepted(judged.decision.exception.as_deref());
        Ok(Answer { effect, reason: judged.reason, rule: judged.rule, exception, reply: None })
    }
}

fn excepted(terms: Option<&Terms>) -> Option<Source> {
    terms.map(|terms| terms.source.clone())
}

impl From<Verdict> for Effect {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Taken,
            Verdict::WouldRefuse => Self::Reported,
            Verdict::Defer => Self::Deferred,
            Verdict::Refuse => Self::Refused,
        }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
