//! States as the index keeps them: small, and what many failures have in common kept once.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use super::holds::Held;
use super::state::{LastAttempt, OtherHost, Pending, RecipientState, Settled, Via};
use super::store::due::recipient_due;

/// Failures that are kept once for all who have them. Beyond that each has its own copy.
const SHARED_FAILURES_MAX: usize = 10_000;

/// The state of one recipient of one message.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// [`NEVER`] for none.
    next_attempt: i64,
    tried_at: i64,
    failure: Option<Failure>,
    rare: Option<Box<Rare>>,
    /// The segment that holds the state.
    pub(super) segment: u64,
    attempts: u32,
    settled: Option<Settled>,
    delay_notified: bool,
    tls_notified: bool,
}

/// What a recipient that was tried takes, beside what it shares.
const KEPT_BYTES_MAX: usize = 56;
const _: () = assert!(size_of::<Kept>() <= KEPT_BYTES_MAX);

/// Stands for no moment: no clock shows it.
const NEVER: i64 = i64::MIN;

/// Why an attempt failed, the same for all that one outage holds up: [`Words`] as JSON, in one allocation.
type Failure = Arc<str>;

/// The last attempt without its moment.
type Words<'a> = (Reason, Option<Cow<'a, str>>, Cow<'a, str>, Cow<'a, [String]>, Cow<'a, [OtherHost]>);

/// What few recipients have.
#[derive(Clone, Debug)]
struct Rare {
    told_at: Option<Timestamp>,
    lacks_tls_since: Option<Timestamp>,
    route: Option<Box<str>>,
    held: Option<Arc<Held>>,
    via: Option<Arc<Via>>,
}

/// The failures that several recipients have in common.
#[derive(Debug, Default)]
pub(super) struct Failures {
    shared: HashSet<Failure>,
    /// New ones since the last look for those that nobody has any more.
    since_sweep: usize,
}

impl Kept {
    /// Never tried.
    pub(super) const fn fresh(segment: u64) -> Self {
        Self {
            next_attempt: NEVER,
            tried_at: NEVER,
            failure: None,
            rare: None,
            segment,
            attempts: 0,
            settled: None,
            delay_notified: false,
            tls_notified: false,
        }
    }

    pub(super) fn new(state: &RecipientState, segment: u64, failures: &mut Failures) -> Self {
        let pending = match state {
            RecipientState::Pending(pending) => pending,
            RecipientState::Settled(settled) => return Self { settled: Some(*settled), ..Self::fresh(segment) },
        };
        let rare = Rare::of(pending).map(Box::new);
        Self {
            next_attempt: micros(pending.next_attempt),
            tried_at: micros(pending.last.as_ref().map(|last| last.at)),
            failure: pending.last.as_ref().map(|last| failures.share(&told(last))),
            rare,
            segment,
            attempts: pending.attempts,
            settled: None,
            delay_notified: pending.delay_notified,
            tls_notified: pending.tls_notified,
        }
    }

    pub(super) fn state(&self) -> RecipientState {
        if let Some(settled) = self.settled {
            return RecipientState::Settled(settled);
        }
        let rare = self.rare.as_deref();
        RecipientState::Pending(Pending {
            attempts: self.attempts,
            next_attempt: moment(self.next_attempt),
            last: self.failure.as_ref().and_then(|failure| last(failure, Timestamp::from_micros(self.tried_at))),
            delay_notified: self.delay_notified,
            tls_notified: self.tls_notified,
            told_at: rare.and_then(|rare| rare.told_at),
            lacks_tls_since: rare.and_then(|rare| rare.lacks_tls_since),
            route: rare.and_then(|rare| rare.route.as_deref()).map(str::to_owned),
            held: rare.and_then(|rare| rare.held.clone()),
            via: rare.and_then(|rare| rare.via.clone()),
        })
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.is_some()
    }

    /// When it is due, of a message that came in then; `None`: not without a word of the operator, or never.
    pub(super) fn due(&self, received_at: Timestamp) -> Option<Timestamp> {
        let held = self.rare.as_deref().and_then(|rare| rare.held.as_deref());
        self.settled.is_none().then(|| recipient_due(received_at, moment(self.next_attempt), held)).flatten()
    }

    /// Whether it waits after an attempt.
    pub(super) fn was_tried(&self) -> bool {
        self.settled.is_none() && self.attempts > 0
    }
}

impl Rare {
    fn of(pending: &Pending) -> Option<Self> {
        // By name, so that a new part is not forgotten.
        let Pending {
            attempts: _,
            next_attempt: _,
            last: _,
            delay_notified: _,
            tls_notified: _,
            told_at,
            lacks_tls_since,
            route,
            held,
            via,
        } = pending;
        let is_moment = told_at.is_some() || lacks_tls_since.is_some();
        let is_needed = is_moment || route.is_some() || held.is_some() || via.is_some();
        let (held, via) = (held.clone(), via.clone());
        let route = route.as_deref().map(Box::from);
        is_needed.then_some(Self { told_at: *told_at, lacks_tls_since: *lacks_tls_since, route, held, via })
    }
}

fn micros(moment: Option<Timestamp>) -> i64 {
    moment.map_or(NEVER, Timestamp::micros)
}

fn moment(micros: i64) -> Option<Timestamp> {
    (micros != NEVER).then(|| Timestamp::from_micros(micros))
}

fn told(last: &LastAttempt) -> String {
    let LastAttempt { at: _, reason, mx, detail, asked_by, others } = last;
    let mx = mx.as_deref().map(Cow::Borrowed);
    let words: Words<'_> = (*reason, mx, detail.into(), asked_by.into(), others.into());
    // Strings and numbers only: this cannot fail.
    serde_json::to_string(&words).unwrap_or_default()
}

fn last(failure: &str, at: Timestamp) -> Option<LastAttempt> {
    let (reason, mx, detail, asked_by, others): Words<'_> = serde_json::from_str(failure).ok()?;
    let (mx, detail) = (mx.map(Cow::into_owned), detail.into_owned());
    Some(LastAttempt { at, reason, mx, detail, asked_by: asked_by.into_owned(), others: others.into_owned() })
}

impl Failures {
    fn share(&mut self, failure: &str) -> Failure {
        if let Some(known) = self.shared.get(failure) {
            return known.clone();
        }
        let failure = Failure::from(failure);
        if self.shared.len() >= SHARED_FAILURES_MAX && self.since_sweep >= SHARED_FAILURES_MAX {
            self.shared.retain(|failure| Arc::strong_count(failure) > 1);
            self.since_sweep = 0;
        }
        self.since_sweep += 1;
        if self.shared.len() < SHARED_FAILURES_MAX {
            self.shared.insert(failure.clone());
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::actor::Actor;

    fn last(detail: &str) -> LastAttempt {
        LastAttempt {
            at: Timestamp::from_secs(9),
            reason: Reason::ConnectTimeout,
            mx: Some("mx.b.example".to_owned()),
            detail: detail.to_owned(),
            asked_by: Vec::new(),
            others: Vec::new(),
        }
    }

    fn failed(last: LastAttempt) -> RecipientState {
        RecipientState::Pending(Pending { attempts: 1, last: Some(last), ..Pending::default() })
    }

    #[test]
    fn every_state_comes_back_as_it_was() {
        let other = OtherHost { mx: "m".to_owned(), reason: Reason::DnsFailure, detail: "d".to_owned() };
        let full = Pending {
            attempts: 3,
            next_attempt: Some(Timestamp::from_secs(-1)),
            last: Some(LastAttempt { asked_by: vec!["a".to_owned()], others: vec![other], mx: None, ..last("x") }),
            delay_notified: true,
            tls_notified: true,
            told_at: Some(Timestamp::from_secs(1)),
            lacks_tls_since: Some(Timestamp::from_secs(2)),
            route: Some("escrow".to_owned()),
            held: Some(Arc::new(Held {
                reason: None,
                until: None,
                by: Actor::Account(7),
                at: Timestamp::from_secs(3),
            })),
            via: Some(Arc::new(Via { route: "r".to_owned(), by: Actor::Account(8), at: Timestamp::from_secs(4) })),
        };
        let pending = [
            Pending::default(),
            full.clone(),
            Pending { told_at: None, lacks_tls_since: None, ..full.clone() },
            Pending { delay_notified: false, route: None, ..full.clone() },
            Pending { told_at: None, lacks_tls_since: None, route: None, via: None, ..full },
        ];
        let settled = [Settled::Delivered, Settled::Bounced, Settled::Expired, Settled::Dropped];
        let states = pending.map(RecipientState::Pending).into_iter().chain(settled.map(RecipientState::Settled));
        let mut failures = Failures::default();
        for state in states.chain([failed(last("y"))]) {
            let kept = Kept::new(&state, 5, &mut failures);
            assert_eq!((kept.state(), kept.segment), (state.clone(), 5));
            assert_eq!(kept.is_settled(), state.pending().is_none());
            assert_eq!(kept.was_tried(), state.pending().is_some_and(|pending| pending.attempts > 0));
        }
        assert_eq!(Kept::fresh(5).state(), RecipientState::default());
    }

    #[test]
    fn one_failure_of_many_is_kept_once_and_different_ones_up_to_a_bound() {
        let mut failures = Failures::default();
        let mut keep = |detail: &str| Kept::new(&failed(last(detail)), 1, &mut failures);
        let (first, second) = (keep("greylisted"), keep("greylisted"));
        assert!(Arc::ptr_eq(first.failure.as_ref().unwrap(), second.failure.as_ref().unwrap()));
        let many: Vec<Kept> = (0..2 * SHARED_FAILURES_MAX).map(|number| keep(&number.to_string())).collect();
        assert_eq!(many.last().unwrap().state(), failed(last(&(2 * SHARED_FAILURES_MAX - 1).to_string())));
        assert_eq!(failures.shared.len(), SHARED_FAILURES_MAX);
        drop(many);
        for number in 0..SHARED_FAILURES_MAX {
            drop(Kept::new(&failed(last(&format!("new {number}"))), 1, &mut failures));
        }
        let late = [1, 2].map(|_| Kept::new(&failed(last("late")), 1, &mut failures));
        assert!(Arc::ptr_eq(late[0].failure.as_ref().unwrap(), late[1].failure.as_ref().unwrap()), "room is made");
    }
}
