//! What deliveries have shown of destinations, and the alarms and the suspicion that follow from it: at hand in memory,
//! written behind to [`Memory`], so that a restart or a kill costs a second of it at most.
//!
//! A level that rises, an alarm that changes and a word of the operator are handed to the memory at once.

mod keeping;
mod steady;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::{Memory, Table};
use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::model::id::RecordId;
use crate::model::reason::Reason;
use crate::model::time::{Instant, Timestamp};
use crate::policy::alarm::{AlarmTerms, Notice, Violation};
use crate::policy::interference::{Change, Outcome, Seen, Suspicion, WindowTerms};
use crate::policy::learned::evidence::Evidence;
use crate::policy::learned::{Lapsed, Learned, Level, Observation, Raised, Shown, Terms, Thresholds};
use crate::policy::published;
use crate::policy::settings::Learn;

use keeping::State;

/// What the operator wrote about learning and alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnTerms {
    pub thresholds: Thresholds,
    pub alarm: AlarmTerms,
    pub window: WindowTerms,
}

/// A destination whose mail hosts were looked up.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The recipient domain.
    pub domain: &'a Domain,
    /// Its mail hosts of today.
    pub hosts: &'a [Domain],
    pub learn: Learn,
}

/// A session with a mail host of a destination, or a message that was taken over one.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    pub to: Destination<'a>,
    pub mx: &'a Domain,
    pub address: IpAddr,
    /// `None` where it broke before it showed anything.
    pub shown: Option<Shown>,
    pub deliveries: u32,
    /// Plaintext was not permitted, whatever was learned.
    pub is_enforced: bool,
    /// The learned level that was asked for.
    pub asked: Option<Level>,
    /// What is wrong with what was shown, where the learned level was not met.
    pub violation: Option<Reason>,
    /// What it says about the path, if the destination is one that counts.
    pub path: Option<Sign>,
    /// The audit record that tells of it.
    pub record: Option<RecordId>,
}

/// What a session says about the way to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// What is asked for was met.
    Met,
    /// TLS was not there, or was cut or garbled.
    Stripped,
    /// The certificate is somebody else's.
    Strange,
}

/// What somebody should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Raised {
        domain: Domain,
        raised: Raised,
    },
    Lapsed {
        domain: Domain,
        lapsed: Lapsed,
    },
    /// Of a level in force.
    Alarm(Notice),
    Fallen(Fallen),
    Path(Change),
    /// Enough was shown but for these of its mail hosts, which nobody has seen for long or often enough.
    Unseen(Vec<Domain>),
}

/// A destination showed less than it had shown for long enough. Nothing is held back by it: that level is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    pub domain: Domain,
    pub mx: Domain,
    /// What it had shown.
    pub evidence: Evidence,
    /// What it shows; `None` is plaintext.
    pub shown: Option<Level>,
}

/// The alarms that stand and what is suspected, for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Destinations in alarm, and since when; by name.
    pub alarms: Vec<(Domain, Timestamp)>,
    pub suspicion: Option<Suspicion>,
    /// Domains by the level that is in force.
    pub levels: Levels,
}

/// How many domains a level is in force for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    pub encrypt: usize,
    pub verify: usize,
}

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LearnedStore(Arc<Mutex<State>>);

impl LearnedStore {
    /// Reads all of it, which may take a second.
    pub fn open(memory: Memory, terms: LearnTerms) -> Self {
        Self(Arc::new(Mutex::new(State::read(memory, terms))))
    }

    /// From now on these terms hold.
    pub fn configure(&self, terms: LearnTerms) {
        self.state().terms = terms;
    }

    pub fn terms(&self) -> LearnTerms {
        self.state().terms
    }

    /// Mail is about to go there. Where levels are enforced, one whose time has come is in force before the first
    /// session.
    pub fn attempted(&self, to: &Destination<'_>, now: Timestamp) -> Vec<News> {
        let mut news = Vec::new();
        if to.learn == Learn::Off {
            return news;
        }
        let mut state = self.state();
        let thresholds = state.terms.thresholds;
        let Some(mut learned) = state.take(to.domain) else { return news };
        learned.attempted(now);
        raise(&mut learned, to, &thresholds, now, &mut news);
        state.put(to.domain, learned, is_urgent(&news));
        news
    }

    /// What a delivery to the domain must meet, where its levels are enforced.
    pub fn requirement(&self, domain: &Domain) -> Option<published::Learned> {
        let mut state = self.state();
        // The usual answer costs one look.
        state.in_force(domain)?;
        state.look(domain)?.requirement()
    }

    /// Takes in what a session showed.
    pub fn see(&self, session: &Session<'_>, now: Timestamp) -> Vec<News> {
        let mut state = self.state();
        let mut news = Vec::new();
        let known = (session.to.learn != Learn::Off).then(|| learn(&mut state, session, now, &mut news));
        alarm(&mut state, session, now, &mut news);
        watch_path(&mut state, session, known.unwrap_or_default(), now, &mut news);
        news
    }

    /// Writes what has changed, and ends what is over once both clocks have agreed for hours; to be called every second
    /// or so. Blocks.
    pub fn tick(&self, now: Timestamp, monotonic: Instant) -> Vec<News> {
        let mut state = self.state();
        let terms = state.terms;
        let change = state.window.tick(&terms.window, now);
        if change.is_some() {
            state.window_changed();
        }
        state.write();
        let is_due = state.is_sweep_due(now, monotonic);
        drop(state);
        let mut news: Vec<News> = change.map(News::Path).into_iter().collect();
        if is_due {
            self.sweep(now, &mut news);
        }
        news
    }

    /// Forgets all about a domain. Gives whether there was anything.
    pub fn forget(&self, domain: &Domain) -> bool {
        self.state().forget(domain)
    }

    /// The domains in the order of their names, behind `after`, at most `limit`.
    pub fn list(&self, after: Option<&Domain>, limit: usize) -> Vec<(Domain, Learned)> {
        let mut state = self.state();
        state.write();
        let memory = state.memory.clone();
        drop(state);
        read_page(&memory, after, limit)
    }

    /// What is known of one domain.
    pub fn find(&self, domain: &Domain) -> Option<Learned> {
        self.state().look(domain).cloned()
    }

    pub fn standing(&self) -> Standing {
        let state = self.state();
        Standing {
            alarms: state.alarm.standing().map(|(domain, since)| (domain.clone(), since)).collect(),
            suspicion: state.window.suspicion(),
            levels: state.levels(),
        }
    }

    /// Hands everything to the memory.
    pub fn write(&self) {
        self.state().write();
    }

    /// Page by page, and each is read before deliveries have to wait.
    fn sweep(&self, now: Timestamp, news: &mut Vec<News>) {
        let memory = self.state().memory.clone();
        let mut after = None;
        loop {
            let page = read_page(&memory, after.as_ref(), keeping::SWEPT_AT_ONCE_MAX);
            let Some((last, _)) = page.last() else { return };
            after = Some(last.clone());
            let mut state = self.state();
            for (domain, learned) in &page {
                news.extend(state.sweep(domain, learned, now));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page of what the memory holds; what cannot be read is left out.
pub fn read_page(memory: &Memory, after: Option<&Domain>, limit: usize) -> Vec<(Domain, Learned)> {
    let mut from = after.map(|after| format!("{after}\0")).unwrap_or_default();
    let mut page = Vec::new();
    while page.len() < limit {
        let rows = memory.scan(Table::Learned, &from, limit - page.len());
        let Some((last, _)) = rows.last() else { break };
        from = format!("{last}\0");
        let read =
            |(key, value): &(String, Arc<[u8]>)| Some((Domain::parse(key).ok()?, serde_json::from_slice(value).ok()?));
        page.extend(rows.iter().filter_map(read));
    }
    page
}

/// What was known of a destination before a session.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// It has shown TLS.
    has_tls: bool,
    /// It has shown a certificate for itself.
    has_name: bool,
    /// It has shown a level for long enough, in force or not.
    has_level: bool,
}

fn learn(state: &mut State, session: &Session<'_>, now: Timestamp, news: &mut Vec<News>) -> Known {
    let Session { to, mx, shown, deliveries, record, .. } = *session;
    let thresholds = state.terms.thresholds;
    let taken = state.take(to.domain);
    // A domain of which nothing but plaintext was ever seen is not worth a place.
    let Some(mut learned) = taken.or_else(|| shown?.level().map(|_| Learned::default())) else {
        return Known::default();
    };
    // The same for every message of a session, so it is asked for once.
    let is_new = deliveries == 0;
    let proposal = if is_new { learned.proposal(&Terms { thresholds: &thresholds, current: None }, now) } else { None };
    let has_name = learned.hosts().any(|(_, sights)| sights.verify.is_some());
    let known = Known { has_tls: learned.has_shown_tls(), has_name, has_level: proposal.is_some() };
    match shown {
        Some(shown) => learned.observe(&Observation { mx, shown, deliveries, record }, now),
        None => learned.attempted(now),
    }
    if let (Some(shown), Some(evidence)) = (shown, proposal) {
        let is_held = to.learn == Learn::Enforce && learned.level_in_force() >= Some(evidence.level);
        if shown.level() < Some(evidence.level) && !is_held {
            let (domain, mx) = (to.domain.clone(), mx.clone());
            news.push(News::Fallen(Fallen { domain, mx, evidence, shown: shown.level() }));
        }
    }
    if deliveries > 0 {
        raise(&mut learned, &to, &thresholds, now, news);
        let unseen = unseen(&learned, &to, &thresholds, now);
        if !unseen.is_empty() && state.may_look(to.domain, now) {
            news.push(News::Unseen(unseen));
        }
    }
    state.put(to.domain, learned, is_urgent(news));
    known
}

fn raise(learned: &mut Learned, to: &Destination<'_>, thresholds: &Thresholds, now: Timestamp, news: &mut Vec<News>) {
    if to.learn != Learn::Enforce {
        return;
    }
    let raised = learned.raise(&Terms { thresholds, current: Some(to.hosts) }, now);
    news.extend(raised.map(|raised| News::Raised { domain: to.domain.clone(), raised }));
}

/// The mail hosts without which the evidence would be whole.
fn unseen(learned: &Learned, to: &Destination<'_>, thresholds: &Thresholds, now: Timestamp) -> Vec<Domain> {
    let unseen = learned.unseen(to.hosts, thresholds, now);
    let is_enough = || learned.proposal(&Terms { thresholds, current: None }, now).is_some();
    if unseen.is_empty() || !is_enough() { Vec::new() } else { unseen }
}

/// What must outlive a kill even if that comes within the second.
fn is_urgent(news: &[News]) -> bool {
    news.iter().any(|news| matches!(news, News::Raised { .. }))
}

fn alarm(state: &mut State, session: &Session<'_>, now: Timestamp, news: &mut Vec<News>) {
    let terms = state.terms.alarm;
    let domain = session.to.domain;
    let notice = match (session.violation.zip(session.asked), session.deliveries) {
        (Some((met, level)), _) => {
            let mx = Host::Name(session.mx.clone());
            let violation = Violation { domain: domain.clone(), mx, wanted: level.outbound(), met, at: now };
            state.alarm.violated(violation, &terms)
        }
        (None, deliveries) if deliveries == 0 || !state.alarm.is_standing(domain) => return,
        (None, deliveries) if session.to.learn == Learn::Enforce => state.alarm.met(domain, deliveries, &terms, now),
        (None, _) => {
            state.alarm.forget(domain);
            None
        }
    };
    state.alarm_changed(notice.is_some());
    news.extend(notice.map(News::Alarm));
}

fn watch_path(state: &mut State, session: &Session<'_>, known: Known, now: Timestamp, news: &mut Vec<News>) {
    let Some(sign) = session.path else { return };
    let destination = session.to.domain;
    let is_watched = state.window.knows(destination);
    let counts = session.is_enforced || session.asked.is_some() || known.has_level || is_watched;
    // Who never had it has not lost it, whatever is asked for since.
    let (outcome, had_it) = match sign {
        Sign::Met => (Outcome::Met, true),
        Sign::Stripped => (Outcome::Lost, known.has_tls || session.asked.is_some() || is_watched),
        Sign::Strange => (Outcome::Lost, known.has_name || session.asked == Some(Level::Verify)),
    };
    if !counts || !had_it {
        return;
    }
    let window = state.terms.window;
    let had_lost = state.window.has_lost(destination);
    let seen = Seen { destination, mx: Some(session.mx), address: session.address, outcome, at: now };
    let change = state.window.see(&seen, &window);
    if change.is_some() || had_lost || outcome == Outcome::Lost {
        state.window_changed();
    }
    news.extend(change.map(News::Path));
}
