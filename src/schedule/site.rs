//! A site: the mail hosts that serve one lane or many, with the connections that they bear, and whether they answer.
//!
//! A site is up, rests, or is down. Up, its window says how many runs may connect at once. If it refuses even one
//! connection, it rests for a while. If too many runs in a row found nobody, it is down: what falls due is concluded
//! without a connection, until a probe finds somebody.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::time::Instant;

use super::backoff;
use super::job::{Pass, Signal};
use super::lane::LaneId;
use super::moment::Moment;
use super::scheduler::Limits;
use super::window::Window;

/// So many runs that found nobody make a site down, or as many as were under way when the first of them ended.
pub const UNREACHABLE_MAX: u32 = 5;
/// From the moment that a site is down to the first probe. Each probe in vain doubles the wait.
pub const PROBE_WAIT_MIN: Duration = Duration::from_secs(30);
pub const PROBE_WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// The rest of a site that refuses a single connection. Each further refusal doubles it.
pub const REST_MIN: Duration = Duration::from_secs(1);
pub const REST_MAX: Duration = Duration::from_secs(60);

/// The name of a site, such as its mail hosts in order. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteKey(Arc<str>);

impl SiteKey {
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SiteKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A site as the scheduler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteView<'a> {
    /// `None`: the driver has not told it yet, and the site is that of a single lane.
    pub key: Option<&'a SiteKey>,
    pub lanes: u32,
    /// Runs that connect to it, a probe among them.
    pub running: u32,
    /// How many of them there may be now.
    pub window: u32,
    pub state: SiteState,
    /// The last one that told something.
    pub last_signal: Option<Signal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteState {
    Up,
    /// It refused a single connection: none is begun before this moment.
    Rests(Instant),
    Down {
        since: Instant,
        /// A moment that has passed: the probe waits for a job that may run, or runs.
        probe: Instant,
        probing: bool,
    },
}

/// A site by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SiteId(pub(super) u32);

#[derive(Debug)]
pub(super) struct Site {
    pub(super) key: Option<SiteKey>,
    pub(super) window: Window,
    /// Its lanes, and those of them that stand in its round.
    pub(super) lanes: u32,
    pub(super) offers: u32,
    /// Runs that connect.
    pub(super) used: u32,
    state: State,
    rest: Duration,
    /// Runs in a row that found nobody, and how many of them make the site down.
    unreachable: u32,
    unreachable_max: u32,
    /// Runs up to this number began before the window shrank and say nothing about it any more.
    shrunk_at: u64,
    last_signal: Option<Signal>,
    /// Kept by `Sites`: the moment under which the site stands in its alarm list.
    pub(super) alarm: Option<Moment>,
    /// Kept by `Sites`: when it is forgotten, if it has no lanes.
    pub(super) idle_until: Option<Moment>,
    /// Kept by `Turns`.
    pub(super) turn: Option<(Way, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up { rests_until: Moment },
    Down { since: Moment, wait: Duration, probe_at: Moment, probe: Probe },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Later,
    /// The next run is it.
    Due,
    Running {
        run: u64,
        lane: LaneId,
    },
}

/// In which round of turns a site stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Connect,
    Conclude,
}

/// What a signal changed for the lanes of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    WentDown,
    CameUp,
}

/// The end of a run that connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) now: Moment,
    /// The number of the run, and the last that was given.
    pub(super) run: u64,
    pub(super) last_run: u64,
    pub(super) signal: Signal,
    pub(super) jitter: u64,
}

impl Site {
    pub(super) fn new(key: Option<SiteKey>, initial: u32) -> Self {
        Self {
            key,
            window: Window::new(initial),
            lanes: 0,
            offers: 0,
            used: 0,
            state: State::Up { rests_until: Moment(0) },
            rest: Duration::ZERO,
            unreachable: 0,
            unreachable_max: 0,
            shrunk_at: 0,
            last_signal: None,
            alarm: None,
            idle_until: None,
            turn: None,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// It differs from a site that nobody knows.
    pub(super) fn is_worth_remembering(&self, initial: u32) -> bool {
        self.key.is_some() && !(self.is_up() && self.unreachable == 0 && self.window.is_new(initial))
    }

    /// How a job of it would run now.
    pub(super) const fn pass(&self) -> Pass {
        match self.state {
            State::Up { .. } => Pass::Normal,
            State::Down { probe: Probe::Due, .. } => Pass::Probe,
            State::Down { .. } => Pass::Down,
        }
    }

    /// In which round it belongs, if a lane of it has a job to run.
    pub(super) fn way(&self, now: Moment, max: u32) -> Option<Way> {
        match self.state {
            _ if self.offers == 0 => None,
            State::Up { rests_until } => {
                (rests_until <= now && self.used < self.window.size(max)).then_some(Way::Connect)
            }
            State::Down { probe: Probe::Due, .. } => Some(Way::Connect),
            State::Down { probe: Probe::Later, .. } => Some(Way::Conclude),
            State::Down { probe: Probe::Running { .. }, .. } => None,
        }
    }

    /// When something changes by itself.
    pub(super) fn next_alarm(&self, now: Moment) -> Option<Moment> {
        match self.state {
            State::Up { rests_until } => Some(rests_until).filter(|at| *at > now),
            State::Down { probe: Probe::Later, probe_at, .. } => Some(probe_at),
            State::Down { .. } => None,
        }
    }

    /// Makes the probe due if its moment has come; true if it is due and has no job yet.
    pub(super) fn wants_probe(&mut self, now: Moment) -> bool {
        if let State::Down { probe_at, probe: probe @ Probe::Later, .. } = &mut self.state
            && *probe_at <= now
        {
            *probe = Probe::Due;
        }
        self.pass() == Pass::Probe && self.offers == 0
    }

    /// The operator does not want to wait: a rest ends, and a site that is down is probed next.
    pub(super) fn hurry(&mut self, now: Moment) {
        match &mut self.state {
            State::Up { rests_until } => *rests_until = Moment(0),
            State::Down { probe: probe @ Probe::Later, probe_at, .. } => (*probe, *probe_at) = (Probe::Due, now),
            State::Down { .. } => {}
        }
    }

    /// A run of this lane begins to connect.
    pub(super) fn begin(&mut self, run: u64, lane: LaneId) {
        self.used += 1;
        if let State::Down { probe: probe @ Probe::Due, .. } = &mut self.state {
            *probe = Probe::Running { run, lane };
        }
    }

    /// The lane leaves with what it runs; a probe of it tells nothing of this site.
    pub(super) fn lose(&mut self, now: Moment, leaving: LaneId, used: u32) {
        self.used = self.used.saturating_sub(used);
        if let State::Down { probe, probe_at, .. } = &mut self.state
            && matches!(probe, Probe::Running { lane, .. } if *lane == leaving)
        {
            (*probe, *probe_at) = (Probe::Later, now.after(PROBE_WAIT_MIN));
        }
    }

    /// A run has ended that connected.
    pub(super) fn end(&mut self, sign: Sign, limits: &Limits) -> Change {
        let used = self.used;
        self.used = used.saturating_sub(1);
        if sign.signal != Signal::Neutral {
            self.last_signal = Some(sign.signal);
        }
        match self.state {
            State::Up { .. } => self.end_while_up(sign, used, limits),
            State::Down { since, wait, probe: Probe::Running { run, .. }, .. } if run == sign.run => {
                let wait = match sign.signal {
                    Signal::Good | Signal::Answers | Signal::Busy => {
                        self.come_up(sign, limits);
                        return Change::CameUp;
                    }
                    Signal::Unreachable => (wait * 2).min(PROBE_WAIT_MAX),
                    Signal::Neutral => wait,
                };
                self.state = down(since, wait, &sign);
                Change::Nothing
            }
            // Begun while the site was up, and it answers: worth a look at once.
            State::Down { .. } if matches!(sign.signal, Signal::Good | Signal::Answers) => {
                self.hurry(sign.now);
                Change::Nothing
            }
            State::Down { .. } => Change::Nothing,
        }
    }

    fn end_while_up(&mut self, sign: Sign, used: u32, limits: &Limits) -> Change {
        let tells = sign.run > self.shrunk_at;
        match sign.signal {
            Signal::Neutral => {}
            Signal::Answers => self.unreachable = 0,
            Signal::Good => {
                (self.unreachable, self.rest) = (0, Duration::ZERO);
                if tells {
                    self.window.on_good(used, limits.site_concurrency_max);
                }
            }
            Signal::Busy => {
                self.unreachable = 0;
                if tells {
                    self.shrunk_at = sign.last_run;
                    if self.window.on_busy() {
                        self.take_rest(sign);
                    }
                }
            }
            Signal::Unreachable => {
                if self.unreachable == 0 {
                    self.unreachable_max = used.max(UNREACHABLE_MAX);
                }
                self.unreachable += 1;
                if tells {
                    self.shrunk_at = sign.last_run;
                    self.window.on_unreachable();
                }
                if self.unreachable >= self.unreachable_max {
                    self.state = down(sign.now, PROBE_WAIT_MIN, &sign);
                    return Change::WentDown;
                }
            }
        }
        Change::Nothing
    }

    fn come_up(&mut self, sign: Sign, limits: &Limits) {
        self.unreachable = 0;
        self.shrunk_at = sign.last_run;
        self.state = State::Up { rests_until: Moment(0) };
        if sign.signal == Signal::Busy {
            self.window.restart(1);
            self.take_rest(sign);
        } else {
            self.window.restart(limits.initial_concurrency);
        }
    }

    fn take_rest(&mut self, sign: Sign) {
        self.rest = (self.rest * 2).clamp(REST_MIN, REST_MAX);
        self.state = State::Up { rests_until: sign.now.after(backoff::spread(self.rest, sign.jitter)) };
    }

    pub(super) fn last_signal(&self) -> Option<Signal> {
        self.last_signal
    }

    pub(super) fn down_until(&self) -> Option<Instant> {
        match self.state {
            State::Up { .. } => None,
            State::Down { probe_at, .. } => Some(probe_at.instant()),
        }
    }

    pub(super) fn rests_until(&self, now: Moment) -> Option<Instant> {
        match self.state {
            State::Up { rests_until } if rests_until > now => Some(rests_until.instant()),
            State::Up { .. } | State::Down { .. } => None,
        }
    }

    pub(super) fn view(&self, now: Moment, limits: &Limits) -> SiteView<'_> {
        let state = match self.state {
            State::Up { .. } => self.rests_until(now).map_or(SiteState::Up, SiteState::Rests),
            State::Down { since, probe_at, probe, .. } => SiteState::Down {
                since: since.instant(),
                probe: probe_at.instant(),
                probing: matches!(probe, Probe::Running { .. }),
            },
        };
        SiteView {
            key: self.key.as_ref(),
            lanes: self.lanes,
            running: self.used,
            window: self.window.size(limits.site_concurrency_max),
            state,
            last_signal: self.last_signal,
        }
    }
}

fn down(since: Moment, wait: Duration, sign: &Sign) -> State {
    let probe_at = sign.now.after(backoff::spread(wait, sign.jitter));
    State::Down { since, wait, probe_at, probe: Probe::Later }
}
