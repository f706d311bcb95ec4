//! Sessions with our listeners: mail that is taken, commands that are refused, handshakes that fail.

use std::net::IpAddr;
use std::time::Duration;

use gatepost::audit::event::{Client, Event, Handshake, Policy, Record};
use gatepost::model::address::{Address, ReversePath};
use gatepost::model::id::{MessageId, SessionId};
use gatepost::model::time::Timestamp;
use gatepost::model::tls::TlsFacts;
use gatepost::policy::inbound::{Judgement, Verdict};
use gatepost::policy::transaction::{Refusal, Visitor};

use super::outbound::{Delivery, Hop, Origin};
use super::{Happening, Traffic};
use crate::scene::{ASKED_ABOUT, HOSTED, MX, SMARTHOST};
use crate::world::Host;

const RESUMED_OF_100: u32 = 30;
const NULL_PATH_OF_100: u32 = 3;
const SECOND_RECIPIENT_OF_100: u32 = 8;
const POSTMASTER_OF_100: u32 = 1;
const UNKNOWN_OF_100: u32 = 4;
/// Recipients of one stranger who tries.
const TRIES_MAX: u32 = 5;
/// Hosts that are ours and send.
const INSIDE_HOSTS: u8 = 3;
const INSIDE_HELO: &str = "app.inside.example";
const STRANGER_HELO: &str = "ylmf-pc";

/// One session and what it brings.
struct Coming<'a> {
    listener: &'static str,
    ip: IpAddr,
    port: u16,
    helo: &'a str,
    tls: Option<&'a TlsFacts>,
    from: &'a ReversePath,
    to: Vec<&'a Address>,
}

impl<'a> Coming<'a> {
    fn head(&self, record: &mut Record<'a>, session: SessionId) {
        record.session = Some(session);
        record.listener = Some(self.listener);
        record.client = Some(Client { ip: self.ip, port: self.port, helo: Some(self.helo) });
        record.from = Some(self.from.as_str());
        record.tls = self.tls;
    }
}

impl<'a> Traffic<'a> {
    pub(super) fn mail_from_outside(&mut self, at: Timestamp) {
        let (world, scene) = (self.world, self.scene);
        let place = world.pick(&mut self.random);
        let sender = &world.senders[place];
        let host_place = sender.hosts[self.random.usize(..sender.hosts.len())];
        let host = &world.hosts[host_place];
        let is_null = self.is_one_of_100(NULL_PATH_OF_100);
        let from = if is_null { &ReversePath::Null } else { &sender.users[self.random.usize(..sender.users.len())] };
        let domain = self.hosted_of(&sender.writes_to);
        let is_postmaster = self.is_one_of_100(POSTMASTER_OF_100);
        let mailboxes = &scene.mailboxes[domain];
        let mut to = vec![if is_postmaster { &mailboxes.postmaster } else { self.user_of(domain) }];
        if !is_postmaster && self.is_one_of_100(SECOND_RECIPIENT_OF_100) {
            let other = self.hosted_of(&sender.writes_to);
            to.push(self.user_of(other));
            to.dedup();
        }
        let of_asked: Vec<_> = to.iter().filter(|to| to.domain().is_some_and(|d| d.as_str() == ASKED_ABOUT)).collect();
        if !of_asked.is_empty() {
            let only_postmaster = of_asked.iter().all(|to| to.is_postmaster());
            self.truth.add((!is_null).then_some(place), host_place, at, only_postmaster);
        }
        let (ip, helo, tls) = (host.ip, host.helo.as_str(), self.session_with(host));
        let port = self.random.u16(32_768..);
        self.transact(at, &Coming { listener: MX, ip, port, helo, tls, from, to });
    }

    pub(super) fn mail_from_inside(&mut self, at: Timestamp) {
        let (world, scene) = (self.world, self.scene);
        let senders = &scene.mailboxes[self.random.usize(..HOSTED.len())].senders;
        let from = &senders[self.random.usize(..senders.len())];
        let recipient = &world.senders[world.pick(&mut self.random)];
        let to = recipient.users[self.random.usize(..recipient.users.len())].mailbox().into_iter().collect();
        let number = self.random.u8(..INSIDE_HOSTS);
        let ip = IpAddr::from([127, 255, 0, 10 + number]);
        let port = self.random.u16(32_768..);
        let tls = world.inside_tls.as_ref();
        self.transact(at, &Coming { listener: SMARTHOST, ip, port, helo: INSIDE_HELO, tls, from, to });
    }

    /// Open relays are looked for, and mailboxes guessed.
    pub(super) fn stranger_tries(&mut self, at: Timestamp) {
        let (world, scene) = (self.world, self.scene);
        let ip = stranger(&mut self.random);
        let from = &world.senders[world.pick(&mut self.random)].users[0];
        let listed = HOSTED.iter().position(|hosted| hosted.listed).unwrap_or(0);
        let mut to = Vec::new();
        for _ in 0..1 + self.random.u32(..TRIES_MAX) {
            let away = || world.senders[world.senders.len() / 2].users[0].mailbox();
            to.extend(if self.random.bool() { Some(&scene.mailboxes[listed].unknown) } else { away() });
        }
        let tls = world.stranger_tls.as_ref().filter(|_| self.random.bool());
        let port = self.random.u16(32_768..);
        self.transact(at, &Coming { listener: MX, ip, port, helo: STRANGER_HELO, tls, from, to });
    }

    pub(super) fn handshake_fails(&mut self, at: Timestamp) {
        let world = self.world;
        let (reason, words, offered) = &world.failed[self.random.usize(..world.failed.len())];
        let session = self.session_id(at);
        let mut record = Record::new(self.stamp, at, self.record_id(at), Event::InboundHandshakeFailed);
        record.session = Some(session);
        record.listener = Some(MX);
        let (ip, port) = (stranger(&mut self.random), self.random.u16(32_768..));
        record.client = Some(Client { ip, port, helo: None });
        let alert = (*reason == "alert").then(|| "unknown_ca".to_owned());
        record.handshake = Some(Handshake { reason, alert, offered: offered.as_ref() });
        record.detail = Some(format!("{reason}: {words}"));
        self.plan(at, Happening::Line(record.entry()));
    }

    /// A whole transaction, judged command by command as a listener does.
    fn transact(&mut self, at: Timestamp, coming: &Coming<'a>) {
        let door = self.scene.door(coming.listener);
        let visitor = Visitor { at, ip: coming.ip, tls: coming.tls };
        let session = self.session_id(at);
        let mail = door.judge_mail(&visitor, coming.from);
        if let Some(refusal) = Refusal::by(&mail) {
            return self.refused(at, session, coming, (refusal, None));
        }
        let mut taken: Vec<(&'a Address, Judgement)> = Vec::new();
        let mut now = at;
        for recipient in &coming.to {
            now = now + Duration::from_millis(3);
            let answer = door.judge_rcpt(&visitor, coming.from, recipient);
            match answer.refusal() {
                Some(refusal) => self.refused(now, session, coming, (refusal, Some(*recipient))),
                None => taken.extend(answer.judgement.map(|judgement| (*recipient, judgement))),
            }
        }
        if !taken.is_empty() {
            let now = now + self.millis(20, 400);
            self.accepted(now, session, coming, taken);
        }
    }

    fn refused(
        &mut self,
        at: Timestamp,
        session: SessionId,
        coming: &Coming<'a>,
        (refusal, recipient): (Refusal<'_>, Option<&'a Address>),
    ) {
        let id = self.record_id(at);
        let mut record = Record::new(self.stamp, at, id, Event::InboundRefused);
        coming.head(&mut record, session);
        record.to = recipient.map(Address::as_str).into_iter().collect();
        record.policy = Some(match refusal {
            Refusal::Policy { judgement, .. } => Policy::of(judgement),
            Refusal::Denied(denial) => Policy::other("rcpt", Verdict::Refuse.as_str(), denial.reason()),
        });
        record.reply = Some(refusal.reply(coming.tls, &id.to_string()).to_string());
        self.plan(at, Happening::Line(record.entry()));
    }

    /// One record for each verdict that the recipients got, and the deliveries.
    fn accepted(
        &mut self,
        at: Timestamp,
        session: SessionId,
        coming: &Coming<'a>,
        taken: Vec<(&'a Address, Judgement)>,
    ) {
        let message = self.message_id(at);
        let size = 900 + self.random.u64(..40_000);
        let mut groups: Vec<(&Judgement, Vec<&'a str>)> = Vec::new();
        for (address, judgement) in &taken {
            let is_same = |seen: &Judgement| {
                seen.verdict == judgement.verdict
                    && seen.rule == judgement.rule
                    && seen.exception == judgement.exception
            };
            match groups.iter_mut().find(|(seen, _)| is_same(seen)) {
                Some((_, addresses)) => addresses.push(address.as_str()),
                None => groups.push((judgement, vec![address.as_str()])),
            }
        }
        for (judgement, to) in groups {
            let id = self.record_id(at);
            let mut record = Record::new(self.stamp, at, id, Event::InboundAccepted);
            coming.head(&mut record, session);
            record.message = Some(message);
            record.to = to;
            record.reply = Some(format!("250 2.0.0 Ok: queued as {message}"));
            record.size = Some(size);
            record.policy = Some(Policy::of(judgement));
            if judgement.verdict == Verdict::WouldRefuse {
                let reply = judgement.would_be_reply(coming.tls, &id.to_string());
                record.detail = Some(format!("in mode \"enforce\" the reply would be: {reply}"));
            }
            self.plan(at, Happening::Line(record.entry()));
        }
        self.pass_on(at, message, coming, taken.iter().map(|(address, _)| *address));
    }

    /// One delivery for each recipient domain.
    fn pass_on(
        &mut self,
        at: Timestamp,
        message: MessageId,
        coming: &Coming<'a>,
        recipients: impl Iterator<Item = &'a Address>,
    ) {
        let mut deliveries: Vec<Delivery<'a>> = Vec::new();
        for recipient in recipients {
            let hop = Hop::of(self.world, recipient);
            match deliveries.iter_mut().find(|delivery| delivery.hop == hop) {
                Some(delivery) => delivery.to.push(recipient),
                None => {
                    let origin = Origin { ip: coming.ip, port: coming.port, helo: coming.helo };
                    deliveries.push(Delivery::new(message, origin, coming.from, recipient, hop));
                }
            }
        }
        for delivery in deliveries {
            let begin = at + self.millis(1, 30);
            self.plan(begin, Happening::Attempt(delivery));
        }
    }

    fn hosted_of(&mut self, places: &[usize]) -> usize {
        let sum: u32 = places.iter().map(|&place| HOSTED[place].weight).sum();
        let mut left = self.random.u32(..sum.max(1));
        let found = places.iter().find(|&&place| match left.checked_sub(HOSTED[place].weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        found.copied().unwrap_or(1)
    }

    fn user_of(&mut self, domain: usize) -> &'a Address {
        let mailboxes = &self.scene.mailboxes[domain];
        match HOSTED[domain].listed && self.is_one_of_100(UNKNOWN_OF_100) {
            true => &mailboxes.unknown,
            false => &mailboxes.users[self.random.usize(..mailboxes.users.len())],
        }
    }

    fn session_with(&mut self, host: &'a Host) -> Option<&'a TlsFacts> {
        let [fresh, resumed] = host.tls.as_ref()?;
        Some(if self.is_one_of_100(RESUMED_OF_100) { resumed } else { fresh })
    }
}

/// A client that brings nothing good.
pub(super) fn stranger(random: &mut fastrand::Rng) -> IpAddr {
    IpAddr::from([127, random.u8(200..240), random.u8(..50), 1])
}
