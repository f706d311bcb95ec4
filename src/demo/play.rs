//! Runs the scenario: sends every message, waits for the ends in the audit log, mends a hop and retries.

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::{Instant, timeout_at};

use crate::admin::client::ask;
use crate::admin::protocol::{Request, Response};
use crate::audit::verify::{Report, verify};

use super::ledger::Ledger;
use super::outcome::Played;
use super::scenario::{End, MENDED_HOP};
use super::senders::send;
use super::stage::Stage;
use super::steps::steps;

/// The whole scenario must be over by then; it takes a few seconds.
const PLAY_TIME_MAX: Duration = Duration::from_secs(60);
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Everything that the story tells.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) played: Vec<Played>,
    /// The chain of the audit log; `Err` says why it cannot be read.
    pub(super) audit: Result<Report, String>,
    /// The text of `/metrics`.
    pub(super) metrics: String,
    /// What kept the scenario from its end.
    pub(super) faults: Vec<String>,
}

impl Outcome {
    /// Recipients that ended as their policies say, and all of them.
    pub(super) fn score(&self) -> (usize, usize) {
        let legs = self.played.iter().flat_map(|played| played.legs.iter().map(|leg| (leg, &played.answers)));
        let all: Vec<bool> = legs.map(|(leg, answers)| leg.problems(answers).is_empty()).collect();
        (all.iter().filter(|good| **good).count(), all.len())
    }

    pub(super) fn is_as_expected(&self) -> bool {
        let (good, all) = self.score();
        good == all && self.faults.is_empty() && self.audit.as_ref().is_ok_and(|report| report.break_count == 0)
    }
}

/// Steps of the progress bar.
pub(super) fn length() -> u64 {
    let ends: usize = steps().map(|step| 1 + step.legs.len()).sum();
    (ends + 1) as u64
}

/// Plays every step. What goes wrong is in the outcome.
pub(super) async fn play(stage: &Stage, bar: &ProgressBar) -> Outcome {
    let ledger = Ledger { folder: stage.audit(), deadline: Instant::now() + PLAY_TIME_MAX };
    let mut played = Vec::new();
    let relay = stage.relay();
    for step in steps() {
        bar.set_message(step.title);
        let sent = timeout_at(ledger.deadline, send(step, &relay)).await;
        let answers = sent.map_err(|_| "it took too long".to_owned());
        played.push(Played::new(step, answers.and_then(|sent| sent.map_err(|error| error.to_string()))));
        bar.inc(1);
    }
    let mut faults = Vec::new();
    bar.set_message("Waiting for the ends of all deliveries");
    if !follow(&ledger, &mut played, bar).await {
        faults.push(format!("not every message had an end within {} s", PLAY_TIME_MAX.as_secs()));
    }
    bar.set_message("Mending a next hop");
    if let Err(fault) = mend(stage, &ledger, &mut played).await {
        faults.push(fault);
    }
    bar.inc(1);
    for played in &mut played {
        for leg in &mut played.legs {
            leg.copies = stage.hops.iter().flat_map(|hop| hop.received(played.step.from, leg.leg.to)).collect();
        }
    }
    let metrics = stage.running.metrics().render().unwrap_or_default();
    let folder = stage.audit();
    let audit = tokio::task::spawn_blocking(move || verify(&folder).map_err(|error| error.to_string())).await;
    Outcome {
        played,
        audit: audit.unwrap_or_else(|error| Err(error.to_string())),
        metrics: String::from_utf8_lossy(&metrics).into_owned(),
        faults,
    }
}

/// Reads the log until every recipient has an end.
async fn follow(ledger: &Ledger, played: &mut [Played], bar: &ProgressBar) -> bool {
    let sent = bar.position();
    let is_enough = |entries: &[_]| {
        let (mut settled, mut all) = (0, 0);
        for played in &mut *played {
            for leg in &mut played.legs {
                leg.observe(played.step, entries);
                all += 1;
                settled += u64::from(leg.is_settled());
            }
        }
        bar.set_position(sent + settled);
        settled == all
    };
    ledger.wait(is_enough).await
}

/// Gives the hop its right certificate and asks for a retry as an operator would, on the control socket.
async fn mend(stage: &Stage, ledger: &Ledger, played: &mut [Played]) -> Result<(), String> {
    let legs = played.iter_mut().flat_map(|played| played.legs.iter_mut().map(|leg| (played.step, leg)));
    let (step, leg) = legs
        .into_iter()
        .find(|(_, leg)| matches!(leg.leg.end, End::Mended(..)))
        .ok_or("no message waits to be mended")?;
    let id = leg.message().and_then(|id| id.parse().ok()).ok_or("the message that was to wait was not taken")?;
    stage.mend(MENDED_HOP).map_err(|error| error.to_string())?;
    let mut again = tokio::time::interval(RETRY_INTERVAL);
    loop {
        timeout_at(ledger.deadline, again.tick()).await.map_err(|_| "the retry was not taken in time")?;
        let socket = stage.running.addresses().control.clone();
        let request = Request::QueueRetry { id: Some(id), to_domain: None };
        let asked = tokio::task::spawn_blocking(move || ask(&socket, &request)).await;
        match asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())? {
            // The end of the first attempt is on record a moment before the dispatcher lets go of the message.
            Response::Retried { count: 0 } => {}
            Response::Retried { .. } => break,
            other => return Err(format!("the retry was answered with {other:?}")),
        }
    }
    let delivered = ledger.wait(|entries| {
        leg.observe(step, entries);
        leg.mended.is_some()
    });
    if delivered.await { Ok(()) } else { Err("the mended hop did not get the message in time".to_owned()) }
}
