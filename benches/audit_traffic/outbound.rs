//! Deliveries: to the mailbox servers of hosted domains by their routes, and to the mail hosts of others.

use std::net::IpAddr;
use std::time::Duration;

use gatepost::audit::event::{Client, Event, Outbound, Record, RequirementRecord};
use gatepost::model::address::{Address, ReversePath};
use gatepost::model::id::{MessageId, SessionId};
use gatepost::model::reason::Reason;
use gatepost::model::time::Timestamp;
use gatepost::model::tls::TlsFacts;
use gatepost::policy::outbound::{NextHop, decide};
use gatepost::policy::timed::Asker;

use super::{Happening, Traffic};
use crate::scene::HOSTED;
use crate::world::World;

/// Of a hundred attempts at hosts of others.
const DEFERRED_OF_100: u32 = 6;
const UNREACHED_OF_100: u32 = 2;
const REFUSED_OF_100: u32 = 1;
const RETRIES: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900), Duration::from_secs(3600)];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a delivery goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// One of `HOSTED`.
    Store(usize),
    /// The mail host of one of the senders.
    Away(usize),
}

impl Hop {
    pub(super) fn of(world: &World, recipient: &Address) -> Self {
        let name = recipient.domain().map_or("", |domain| domain.as_str());
        match HOSTED.iter().position(|hosted| hosted.name == name) {
            Some(place) => Self::Store(place),
            None => Self::Away(world.place_of(name)),
        }
    }
}

/// Who brought the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) helo: &'a str,
}

/// A message on its way to one next hop.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    message: MessageId,
    origin: Origin<'a>,
    from: &'a ReversePath,
    pub(super) to: Vec<&'a Address>,
    pub(super) hop: Hop,
    /// From 1.
    attempt: u32,
    began: Timestamp,
    session: Option<SessionId>,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(
        message: MessageId,
        origin: Origin<'a>,
        from: &'a ReversePath,
        to: &'a Address,
        hop: Hop,
    ) -> Self {
        let began = Timestamp::default();
        Self { message, origin, from, to: vec![to], hop, attempt: 1, began, session: None }
    }
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Delivered,
    Deferred,
    Unreached,
    Bounced,
}

/// What the records of one attempt differ in.
#[derive(Debug, Default)]
struct Situation {
    reason: Option<Reason>,
    reply: Option<String>,
    detail: Option<String>,
    next_attempt: Option<Timestamp>,
    has_session: bool,
}

impl<'a> Traffic<'a> {
    pub(super) fn attempt(&mut self, at: Timestamp, mut delivery: Delivery<'a>) {
        delivery.began = at;
        delivery.session = Some(self.session_id(at));
        let ending = self.draw(delivery.hop);
        if ending == Ending::Unreached {
            let end = at + CONNECT_TIMEOUT;
            return self.plan(end, Happening::End(delivery, ending));
        }
        let connected = at + self.millis(2, 150);
        let situation = Situation { has_session: true, ..Situation::default() };
        self.delivery_record(connected, Event::OutboundAttempt, &delivery, situation);
        let end = connected + self.millis(5, 900);
        self.plan(end, Happening::End(delivery, ending));
    }

    fn draw(&mut self, hop: Hop) -> Ending {
        const DEFERRED: u32 = DEFERRED_OF_100;
        const UNREACHED: u32 = DEFERRED + UNREACHED_OF_100;
        const REFUSED: u32 = UNREACHED + REFUSED_OF_100;
        match (hop, self.random.u32(..100)) {
            (Hop::Away(_), 0..DEFERRED) => Ending::Deferred,
            (Hop::Away(_), DEFERRED..UNREACHED) => Ending::Unreached,
            (Hop::Away(_), UNREACHED..REFUSED) => Ending::Bounced,
            _ => Ending::Delivered,
        }
    }

    pub(super) fn end(&mut self, at: Timestamp, mut delivery: Delivery<'a>, ending: Ending) {
        let (event, mut situation) = match ending {
            Ending::Delivered => {
                let reply = Some(format!("250 2.0.0 Ok: queued as {:08X}", self.random.u32(..)));
                (Event::OutboundDelivered, Situation { reply, has_session: true, ..Situation::default() })
            }
            Ending::Deferred => {
                let (reason, reply) =
                    (Some(Reason::RemoteDeferred), Some("451 4.7.1 Greylisted; try later".to_owned()));
                (Event::OutboundDeferred, Situation { reason, reply, has_session: true, ..Situation::default() })
            }
            Ending::Unreached => {
                let (reason, detail) = (Some(Reason::ConnectTimeout), Some("no answer within 30s".to_owned()));
                let attempt = Situation { reason, detail: detail.clone(), ..Situation::default() };
                self.delivery_record(at, Event::OutboundAttempt, &delivery, attempt);
                (Event::OutboundDeferred, Situation { reason, detail, ..Situation::default() })
            }
            Ending::Bounced => {
                let (reason, reply) = (Some(Reason::RemoteRefused), Some("550 5.1.1 No such user".to_owned()));
                (Event::OutboundBounced, Situation { reason, reply, has_session: true, ..Situation::default() })
            }
        };
        if event == Event::OutboundDeferred {
            let retry = usize::try_from(delivery.attempt - 1).unwrap_or(0).min(RETRIES.len() - 1);
            situation.next_attempt = Some(at + RETRIES[retry]);
        }
        let again = situation.next_attempt;
        self.delivery_record(at, event, &delivery, situation);
        if let Some(next) = again {
            delivery.attempt += 1;
            self.plan(next, Happening::Attempt(delivery));
        }
    }

    fn delivery_record(&mut self, at: Timestamp, event: Event, delivery: &Delivery<'a>, situation: Situation) {
        let world = self.world;
        let domain = delivery.to.first().and_then(|to| to.domain());
        let asker = Asker { at, client: Some(delivery.origin.ip), sender: delivery.from };
        let decision = decide(&self.scene.config.policies, domain, &asker);
        let (mx, remote, tls): (String, String, Option<&TlsFacts>) = match delivery.hop {
            Hop::Store(place) => {
                let tls = world.inside_tls.as_ref();
                (format!("store.{}", HOSTED[place].name), format!("127.255.1.{}:25", 10 + place), tls)
            }
            Hop::Away(place) => {
                let (mx, remote, tls) = &world.senders[place].hop;
                (mx.clone(), remote.clone(), tls.as_ref())
            }
        };
        let mut record = Record::new(self.stamp, at, self.record_id(at), event);
        record.session = delivery.session;
        record.message = Some(delivery.message);
        let Origin { ip, port, helo } = delivery.origin;
        record.client = Some(Client { ip, port, helo: Some(helo) });
        record.from = Some(delivery.from.as_str());
        record.to = delivery.to.iter().map(|to| to.as_str()).collect();
        record.tls = tls.filter(|_| situation.has_session);
        record.reply = situation.reply;
        record.detail = situation.detail;
        record.outbound = Some(Outbound {
            route: match &decision.next_hop {
                NextHop::Mx => None,
                NextHop::Route(route) => Some(route.name.to_string()),
            },
            mx_trusted: matches!(decision.next_hop, NextHop::Route(_)),
            mx: Some(mx),
            remote: Some(remote),
            dnssec: "insecure",
            published: None,
            rerouted_to: None,
            requirement: RequirementRecord::of(&decision, None),
            attempt: delivery.attempt,
            reason: situation.reason,
            next_attempt: situation.next_attempt,
            expired: false,
            duration_ms: u64::try_from(at.saturating_since(delivery.began).as_millis()).unwrap_or(u64::MAX),
        });
        self.plan(at, Happening::Line(record.entry()));
    }
}
