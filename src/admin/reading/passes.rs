//! Questions that take a pass over the log: asked once however many look, one at a time, and remembered for a while.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::audit::lines::total_bytes;
use crate::audit::log::LogError;
use crate::audit::partners::Partners;
use crate::audit::pass::{Span, pass_on};
use crate::audit::posture::MONTH;
use crate::audit::replay::Setting;
use crate::audit::report::{Partner, Period, Report};
use crate::audit::segments::{Segment, segments};
use crate::audit::stricter::{Cost, PolicySide, Stricter};
use crate::audit::trace;
use crate::clock;
use crate::config::Config;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::{Instant, Timestamp};
use crate::policy::stricter::{NextStep, one_step};

use super::{Progress, Seen};

/// How long somebody who looks waits for the answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions that are remembered.
const KEPT_MAX: usize = 64;
/// Questions that wait for their turn.
const WAITING_MAX: usize = 8;
/// Records of one message that are kept.
pub const RECORDS_MAX: usize = 500;
/// A pass is not repeated before so many times its own length have passed.
const REST_FACTOR: u32 = 20;
/// Threads of a pass.
const THREADS_MAX: usize = 1;

/// What can be asked, each about the last month.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// What one step stricter costs, under the configuration with this digest.
    Stricter(String),
    /// Who sends and gets mail.
    Partners,
    /// How the mail of one domain came and went.
    Partner(Domain),
    /// The records of a message, or the one of that id.
    Trace(MessageId),
}

impl Question {
    /// How old an answer may be before it is asked anew.
    const fn fresh(&self) -> Duration {
        match self {
            Self::Stricter(_) | Self::Partners => Duration::from_secs(300),
            Self::Partner(_) => Duration::from_secs(30),
            Self::Trace(_) => Duration::from_secs(2),
        }
    }
}

/// The answers.
#[derive(Debug)]
pub enum Found {
    Stricter(Vec<StepCost>),
    Partners(Partners),
    Partner(Report),
    Trace(Vec<Value>),
}

/// The next step of a policy and what it would have cost.
#[derive(Clone, Debug)]
pub struct StepCost {
    pub step: NextStep,
    pub cost: Cost,
}

/// An answer and when it was read.
#[derive(Clone, Debug)]
pub struct Dated {
    pub found: Arc<Found>,
    pub at: Timestamp,
}

#[derive(Debug)]
struct Job {
    /// When it was begun, or has ended.
    asked_at: Instant,
    /// What it took.
    took: Duration,
    progress: Arc<Progress>,
    is_running: bool,
    answer: Option<Result<Dated, String>>,
    done: watch::Sender<bool>,
}

/// All questions.
#[derive(Debug)]
pub struct Passes {
    folder: PathBuf,
    jobs: Mutex<HashMap<Question, Job>>,
    turn: Arc<Semaphore>,
    /// Ends with this.
    tasks: Mutex<JoinSet<()>>,
}

impl Passes {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, jobs: Mutex::default(), turn: Arc::new(Semaphore::new(1)), tasks: Mutex::default() }
    }

    /// The answer, if it is known or known soon. One that is a little old is given while it is asked anew.
    pub async fn ask(self: &Arc<Self>, question: Question, config: &Arc<Config>) -> Seen<Dated> {
        let Some(mut done) = self.begin(&question, config) else { return Seen::Busy };
        if self.answer(&question).is_none() {
            _ = tokio::time::timeout(PATIENCE, done.wait_for(|done| *done)).await;
        }
        match self.answer(&question) {
            Some(Ok(dated)) => Seen::Ready(dated),
            Some(Err(why)) => Seen::Failed(why),
            None => Seen::Reading(self.jobs().get(&question).map(|job| job.progress.read()).unwrap_or_default()),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<Question, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, question: &Question) -> Option<Result<Dated, String>> {
        self.jobs().get(question)?.answer.clone()
    }

    /// Starts what is not known or not fresh; `None` where too much waits.
    fn begin(self: &Arc<Self>, question: &Question, config: &Arc<Config>) -> Option<watch::Receiver<bool>> {
        let now = clock::now();
        let mut jobs = self.jobs();
        let rest = |job: &Job| question.fresh().max(job.took.saturating_mul(REST_FACTOR));
        let is_due = |job: &Job| !job.is_running && now.saturating_since(job.asked_at) > rest(job);
        if let Some(job) = jobs.get(question).filter(|job| !is_due(job)) {
            return Some(job.done.subscribe());
        }
        if jobs.values().filter(|job| job.is_running).count() >= WAITING_MAX {
            return jobs.get(question).map(|job| job.done.subscribe());
        }
        let answer = jobs.get(question).and_then(|job| job.answer.clone());
        make_room(&mut jobs);
        let progress = Arc::new(Progress::default());
        let (done, finished) = watch::channel(false);
        let took = Duration::ZERO;
        let job = Job { asked_at: now, took, progress: progress.clone(), is_running: true, answer, done };
        jobs.insert(question.clone(), job);
        drop(jobs);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(run(self.clone(), question.clone(), config.clone(), progress));
        Some(finished)
    }

    fn finish(&self, question: &Question, answer: Result<Dated, String>, took: Duration) {
        if let Some(job) = self.jobs().get_mut(question) {
            job.took = took;
            job.asked_at = clock::now();
            job.is_running = false;
            job.answer = Some(answer);
            _ = job.done.send(true);
        }
    }
}

/// Forgets what was asked longest ago.
fn make_room(jobs: &mut HashMap<Question, Job>) {
    while jobs.len() >= KEPT_MAX {
        let idle = jobs.iter().filter(|(_, job)| !job.is_running);
        let Some(oldest) = idle.min_by_key(|(_, job)| job.asked_at).map(|(question, _)| question.clone()) else {
            return;
        };
        jobs.remove(&oldest);
    }
}

async fn run(passes: Arc<Passes>, question: Question, config: Arc<Config>, progress: Arc<Progress>) {
    let Ok(turn) = passes.turn.clone().acquire_owned().await else { return };
    let (folder, asked) = (passes.folder.clone(), question.clone());
    let (at, begun) = (clock::timestamp(), clock::now());
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        find(&asked, &segments(&folder)?, &config, &progress)
    });
    let answer = match read.await {
        Ok(Ok(found)) => Ok(Dated { found: Arc::new(found), at }),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    passes.finish(&question, answer, clock::now().saturating_since(begun));
}

fn find(
    question: &Question,
    segments: &[Segment],
    config: &Arc<Config>,
    progress: &Progress,
) -> Result<Found, LogError> {
    progress.begin(total_bytes(segments));
    let now = clock::timestamp();
    let span = Span { from: now - MONTH, until: now + MONTH };
    let tell = |bytes| progress.add(bytes);
    match question {
        Question::Stricter(_) => stricter(segments, (span, now), config, &tell).map(Found::Stricter),
        Question::Partners => {
            let (partners, _) = pass_on(THREADS_MAX, segments, span, (&Partners::default, &tell))?;
            Ok(Found::Partners(partners))
        }
        Question::Partner(domain) => {
            let new = || Report::new(Period::Day, Some(Partner { domain: domain.clone(), with_below: false }));
            let (report, _) = pass_on(THREADS_MAX, segments, span, (&new, &tell))?;
            Ok(Found::Partner(report))
        }
        Question::Trace(id) => trace::trace_on((THREADS_MAX, RECORDS_MAX), segments, *id, &tell).map(Found::Trace),
    }
}

fn stricter(
    segments: &[Segment],
    (span, now): (Span, Timestamp),
    config: &Arc<Config>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<StepCost>, LogError> {
    let raised = one_step(&config.policies, now);
    let after = Config { policies: Arc::new(raised.policies), ..Config::clone(config) };
    let (before, after) = (setting(config, now), setting(&after, now));
    let new = || Stricter::new(&before, &after);
    let (tally, _) = pass_on(THREADS_MAX, segments, span, (&new, progress))?;
    let mut costs = tally.costs;
    let cost_of = |step: NextStep| {
        let side: PolicySide = (step.file.clone(), step.is_inbound);
        StepCost { cost: costs.remove(&side).unwrap_or_default(), step }
    };
    Ok(raised.steps.into_iter().map(cost_of).collect())
}

/// The configuration as the engine is asked under it.
fn setting(config: &Config, at: Timestamp) -> Setting<'_> {
    let door = |listener| config.door(listener);
    let doors = config.listeners.iter().map(|listener| (listener.name.as_str(), door(listener))).collect();
    Setting { policies: &config.policies, doors, at }
}
