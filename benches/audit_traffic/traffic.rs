//! The week itself: arrivals in their rhythm, what each leads to, and the records of it all in the order of time.

#[path = "inbound.rs"]
mod inbound;
#[path = "outbound.rs"]
mod outbound;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::time::Duration;

use gatepost::audit::checkpoint::Why;
use gatepost::audit::event::{Client, Event, Record, Stamp};
use gatepost::audit::log::Log;
use gatepost::model::id::{MessageId, RecordId, SessionId};
use gatepost::model::record::AuditEntry;
use gatepost::model::time::Timestamp;

use self::outbound::Delivery;
use crate::rhythm::Rhythm;
use crate::scene::Scene;
use crate::truth::Truth;
use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);
/// How often refusals are summed up, a queue is looked after, and the configuration is loaded anew.
const SUMMARY_EVERY: Duration = HOUR;
const CARE_EVERY: Duration = HOUR.saturating_mul(9);
const RELOAD_EVERY: Duration = HOUR.saturating_mul(23);
const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);

/// What happens at its time.
#[derive(Debug)]
enum Happening<'a> {
    /// An attempt begins.
    Attempt(Delivery<'a>),
    /// And ends.
    End(Delivery<'a>, outbound::Ending),
    Chore(Chore),
    /// A record is written.
    Line(AuditEntry),
    Checkpoint,
}

#[derive(Clone, Copy, Debug)]
enum Chore {
    Summary,
    Care,
    Reload,
}

/// Ordered by time, then by when it was planned.
#[derive(Debug)]
struct Planned<'a> {
    at: Timestamp,
    number: u64,
    what: Happening<'a>,
}

impl Ord for Planned<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Planned<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Planned<'_> {}

/// The writer of the week.
pub struct Traffic<'a> {
    scene: &'a Scene,
    world: &'a World,
    stamp: &'a Stamp,
    random: fastrand::Rng,
    plan: BinaryHeap<Reverse<Planned<'a>>>,
    planned: u64,
    truth: Truth,
}

impl<'a> Traffic<'a> {
    pub fn new(scene: &'a Scene, world: &'a World, stamp: &'a Stamp, random: fastrand::Rng) -> Self {
        let (plan, truth) = (BinaryHeap::new(), Truth::default());
        Self { scene, world, stamp, random, plan, planned: 0, truth }
    }

    /// Writes `count` records. Gives the time of the last one, and what is true of them.
    pub fn write(mut self, mut rhythm: Rhythm, count: u64, mut log: Log) -> Result<(Timestamp, Truth), Box<dyn Error>> {
        let mut arrival = rhythm.next(self.random.f64());
        let begin = arrival.unwrap_or_default();
        for chore in [Chore::Reload, Chore::Summary, Chore::Care] {
            self.plan(begin, Happening::Chore(chore));
        }
        self.plan(begin + CHECKPOINT_EVERY, Happening::Checkpoint);
        let (mut written, mut last) = (0, begin);
        while written < count {
            match (arrival, self.plan.peek().map(|Reverse(planned)| planned.at)) {
                (Some(at), next) if next.is_none_or(|next| at <= next) => {
                    self.arrive(at);
                    arrival = rhythm.next(self.random.f64());
                }
                _ => {
                    let Some(Reverse(Planned { at, what, .. })) = self.plan.pop() else { break };
                    match what {
                        Happening::Line(entry) => {
                            log.append(&entry, at)?;
                            (written, last) = (written + 1, at);
                        }
                        Happening::Checkpoint => {
                            log.checkpoint(Why::Interval, at)?;
                            self.plan(at + CHECKPOINT_EVERY, Happening::Checkpoint);
                        }
                        Happening::Attempt(delivery) => self.attempt(at, delivery),
                        Happening::End(delivery, ending) => self.end(at, delivery, ending),
                        Happening::Chore(chore) => self.do_chore(at, chore),
                    }
                }
            }
        }
        if written < count || arrival.is_none() {
            return Err("the rhythm has too few arrivals for so many records; lower RECORDS_PER_ARRIVAL".into());
        }
        log.checkpoint(Why::Stop, last)?;
        log.sync()?;
        if let Some(newest) = log.take_news().checkpoints.last() {
            log.remember(newest)?;
        }
        Ok((last, self.truth))
    }

    fn plan(&mut self, at: Timestamp, what: Happening<'a>) {
        self.planned += 1;
        self.plan.push(Reverse(Planned { at, number: self.planned, what }));
    }

    /// Of a hundred arrivals: mail from outside, mail of our own, strangers who try, and handshakes that fail.
    fn arrive(&mut self, at: Timestamp) {
        match self.random.u32(..100) {
            0..48 => self.mail_from_outside(at),
            48..70 => self.mail_from_inside(at),
            70..94 => self.stranger_tries(at),
            _ => self.handshake_fails(at),
        }
    }

    fn do_chore(&mut self, at: Timestamp, chore: Chore) {
        let (event, every) = match chore {
            Chore::Summary => (Event::AuditSummary, SUMMARY_EVERY),
            Chore::Care => (Event::QueueAdmin, CARE_EVERY),
            Chore::Reload => (Event::ConfigLoaded, RELOAD_EVERY),
        };
        let mut record = Record::new(self.stamp, at, self.record_id(at), event);
        record.detail = Some(match chore {
            Chore::Summary => {
                let ip = inbound::stranger(&mut self.random);
                record.client = Some(Client { ip, port: 0, helo: None });
                record.count = Some(self.random.u64(1..5000));
                "refusals of this client within a minute that have no record of their own".to_owned()
            }
            Chore::Care => "retry of the whole queue, asked for by uid 0".to_owned(),
            Chore::Reload => "reloaded".to_owned(),
        });
        self.plan(at, Happening::Line(record.entry()));
        self.plan(at + every, Happening::Chore(chore));
    }

    fn record_id(&mut self, at: Timestamp) -> RecordId {
        RecordId::new(at, self.random.u128(..))
    }

    fn session_id(&mut self, at: Timestamp) -> SessionId {
        SessionId::new(at, self.random.u128(..))
    }

    fn message_id(&mut self, at: Timestamp) -> MessageId {
        MessageId::new(at, self.random.u128(..))
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.random.u64(from * 1000..to * 1000))
    }

    fn is_one_of_100(&mut self, share: u32) -> bool {
        self.random.u32(..100) < share
    }
}
