//! What is asked of the running daemon, done and answered: one place for whoever asks and however.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::audit::event::{Event, Record, Stamp};
use crate::audit::feed::{Answer, Feed};
use crate::clock;
use crate::model::actor::Actor;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::outbound::Outbound;
use crate::outbound::steering::{Command, Retry};
use crate::random;
use crate::spool::Spool;

use super::protocol::learned::KeptPolicy;
use super::protocol::{Request, Response, Status};
use super::queue::steering::{self, Asker};
use super::{learned, queue, spool, tlsrpt};

/// For everything but changes of the queue, which take as long as the queue is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What answers are made of.
#[derive(Clone)]
pub struct Desk {
    pub spool: Spool,
    pub commands: mpsc::Sender<Command>,
    pub reload: mpsc::Sender<oneshot::Sender<Response>>,
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    pub stamp: Arc<dyn Fn() -> Stamp + Send + Sync>,
    /// To the writer of the audit log.
    pub feed: Feed,
    pub outbound: Arc<Outbound>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

/// Does what is asked, and tells what came of it.
pub(super) async fn answer(desk: &Desk, request: Request, asker: Asker) -> Response {
    match request {
        // The dispatcher, or whoever reloads, may be gone already: half of it would be done.
        Request::QueueSteer(_) | Request::Reload if (desk.status)().draining => Response::stopping(),
        Request::QueueSteer(asked) => steering::steer(desk, &asked, asker).await,
        request => {
            let late = || Response::fault(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()));
            timeout(ANSWER_TIMEOUT, answer_soon(desk, request, asker.actor)).await.unwrap_or_else(|_| late())
        }
    }
}

async fn answer_soon(desk: &Desk, request: Request, by: Actor) -> Response {
    match request {
        Request::Status => {
            let worst = queue::worst(desk).await;
            Response::Status(Box::new(Status { worst, ..(desk.status)() }))
        }
        Request::Reload => {
            tracing::info!(%by, "a reload is asked for");
            let (sender, receiver) = oneshot::channel();
            let asked = desk.reload.send(sender).await.is_ok();
            if asked { receiver.await.unwrap_or_else(|_| Response::stopping()) } else { Response::stopping() }
        }
        Request::QueueList { filter, after, limit } => queue::list(desk, &filter, after, limit).await,
        Request::QueueTop { limit, order } => queue::top(desk, limit, order).await,
        Request::QueueShow { id } => queue::show(desk, id).await,
        Request::QueueHolds => steering::holds(desk),
        // It takes its time, see above.
        Request::QueueSteer(_) => Response::NotFound,
        Request::QueueRetry { id, to_domain } => retry(desk, id, to_domain, by).await,
        Request::LearnedList { domain, after } => learned_list(desk, domain, after).await,
        Request::LearnedForget { domain } => learned_forget(desk, &domain, by).await,
        Request::StsShow { domain } => {
            let kept = desk.outbound.facts.sts.cached(&domain);
            Response::Sts { kept: kept.as_ref().map(KeptPolicy::of) }
        }
        Request::TlsrptList { which } => tlsrpt::list(&desk.outbound, &which),
        Request::TlsrptShow { domain, day } => tlsrpt::show(&desk.outbound, &domain, day),
        Request::TlsrptSend { domain, day } => match tlsrpt::day_to_send(&desk.outbound, &domain, day) {
            Ok(subject) => {
                let detail = format!("the TLS report to {domain} about {} is sent, asked for by {by}", subject.day);
                match record(desk, None, detail).await {
                    Ok(()) => tlsrpt::send(&desk.outbound, &subject).await,
                    Err(not_done) => not_done,
                }
            }
            Err(nothing) => nothing,
        },
        Request::SpoolCompact => spool::compact(desk, by).await,
        Request::SpoolKeep { seconds } => spool::keep(desk, seconds, by).await,
        Request::AuditCheckpoint => {
            tracing::info!(%by, "a checkpoint is asked for");
            checkpoint(desk.feed.checkpoint()).await
        }
        Request::AuditRotateKey => {
            tracing::warn!(%by, "a new key for the audit log is asked for");
            let detail = format!("a new key for checkpoints, asked for by {by}");
            match record(desk, None, detail).await {
                Ok(()) => checkpoint(desk.feed.rotate_key()).await,
                Err(not_done) => not_done,
            }
        }
    }
}

async fn learned_list(desk: &Desk, domain: Option<Domain>, after: Option<Domain>) -> Response {
    let (store, policies) = (desk.outbound.facts.learned.clone(), desk.outbound.snapshot.load().policies.clone());
    let now = clock::timestamp();
    let work = move || learned::list(&store, &policies, (domain.as_ref(), after.as_ref()), now);
    let found = tokio::task::spawn_blocking(work).await;
    found.unwrap_or_else(|error| Response::fault(error.to_string()))
}

async fn learned_forget(desk: &Desk, domain: &Domain, by: Actor) -> Response {
    let store = &desk.outbound.facts.learned;
    if store.find(domain).is_none() {
        return Response::NotFound;
    }
    let detail = format!("all that was learned of {domain} is forgotten, asked for by {by}");
    if let Err(not_done) = record(desk, None, detail).await {
        return not_done;
    }
    store.forget(domain);
    Response::Forgotten
}

async fn checkpoint(answer: oneshot::Receiver<Answer>) -> Response {
    match answer.await {
        Ok(Ok(line)) => Response::Checkpoint { line },
        Ok(Err(error)) => Response::fault(error.to_string()),
        Err(_) => Response::stopping(),
    }
}

/// A change is on record before it is made.
pub(super) async fn record(desk: &Desk, message: Option<MessageId>, detail: String) -> Result<(), Response> {
    let stamp = (desk.stamp)();
    let time = clock::timestamp();
    let mut record = Record::new(&stamp, time, random::record_id(time), Event::QueueAdmin);
    record.message = message;
    record.detail = Some(detail);
    let recorded = desk.spool.record(None, Vec::new(), vec![record.entry()]).await;
    recorded.map_err(|fault| Response::fault(format!("not done, because it could not be recorded: {fault}")))
}

async fn retry(desk: &Desk, id: Option<MessageId>, to_domain: Option<Domain>, by: Actor) -> Response {
    let (what, retry) = match (id, to_domain) {
        (Some(id), _) if !desk.spool.contains(id) => return Response::NotFound,
        (Some(id), _) => (format!("message {id}"), Retry::Message(id)),
        (None, Some(domain)) => (format!("all mail to {domain}"), Retry::Domain(domain)),
        (None, None) => ("the whole queue".to_owned(), Retry::All),
    };
    if let Err(not_done) = record(desk, id, format!("retry of {what}, asked for by {by}")).await {
        return not_done;
    }
    let (sender, receiver) = oneshot::channel();
    _ = desk.commands.send(Command::Retry(retry, sender)).await;
    match receiver.await {
        Ok(count) => Response::Retried { count },
        Err(_) => Response::stopping(),
    }
}
