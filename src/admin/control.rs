//! The control socket: reads one request, answers it, closes. Who asked is known by the kernel's word.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::audit::event::{Event, Record, Stamp};
use crate::audit::feed::{Answer, Feed};
use crate::clock;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::outbound::Outbound;
use crate::outbound::steering::{Command, Retry};
use crate::random;
use crate::spool::Spool;

use super::protocol::learned::KeptPolicy;
use super::protocol::steering::Steer;
use super::protocol::{REQUEST_BYTES_MAX, Request, Response, Status};
use super::queue::steering::{self, Asker};
use super::{learned, queue, spool, tlsrpt};

const CONNECTIONS_MAX: usize = 32;
/// For each of: the request, the answer, and each line of it. Only what the operator changes in the queue takes longer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// Serves until it is dropped.
pub async fn serve(listener: UnixListener, desk: Desk) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let desk = desk.clone();
        connections.spawn(async move {
            let _permit = permit;
            _ = exchange(stream, &desk).await;
        });
    }
}

async fn exchange(stream: UnixStream, desk: &Desk) -> std::io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    timeout(EXCHANGE_TIMEOUT, (&mut stream).take(REQUEST_BYTES_MAX as u64).read_line(&mut line)).await??;
    let response = match serde_json::from_str::<Request>(&line) {
        Ok(Request::QueueSteer(asked)) => steer(&mut stream, desk, (&asked, uid)).await?,
        Ok(request) => timeout(EXCHANGE_TIMEOUT, answer(desk, request, uid)).await?,
        Err(error) => Response::Error { message: format!("this request is not understood: {error}") },
    };
    write(&mut stream, &response).await
}

async fn write(stream: &mut BufReader<UnixStream>, response: &Response) -> std::io::Result<()> {
    // Only maps with string keys and numbers: serialisation cannot fail.
    let mut text = serde_json::to_string(response).unwrap_or_default();
    text.push('\n');
    timeout(EXCHANGE_TIMEOUT, stream.write_all(text.as_bytes())).await??;
    stream.flush().await
}

/// Changes the queue, with a line now and then on how far it is. Ends early when nobody reads them any more.
async fn steer(
    stream: &mut BufReader<UnixStream>,
    desk: &Desk,
    (asked, uid): (&Steer, u32),
) -> std::io::Result<Response> {
    let (progress, mut steps) = mpsc::channel(1);
    let mut change = std::pin::pin!(steering::steer(desk, asked, Asker { uid, progress }));
    loop {
        tokio::select! {
            response = &mut change => return Ok(response),
            Some(step) = steps.recv() => {
                if write(stream, &Response::Walking(step.into())).await.is_err() {
                    steps.close();
                }
            }
        }
    }
}

async fn answer(desk: &Desk, request: Request, uid: u32) -> Response {
    match request {
        Request::Status => {
            let worst = queue::worst(desk).await;
            Response::Status(Box::new(Status { worst, ..(desk.status)() }))
        }
        Request::Reload => {
            tracing::info!(uid, "reload asked for on the control socket");
            let (sender, receiver) = oneshot::channel();
            let asked = desk.reload.send(sender).await.is_ok();
            let stopping = || Response::Error { message: "the daemon is stopping".to_owned() };
            if asked { receiver.await.unwrap_or_else(|_| stopping()) } else { stopping() }
        }
        Request::QueueList { filter, after, limit } => queue::list(desk, &filter, after, limit).await,
        Request::QueueTop { limit, order } => queue::top(desk, limit, order).await,
        Request::QueueShow { id } => queue::show(desk, id).await,
        Request::QueueHolds => steering::holds(desk),
        // It is answered where its progress can be told.
        Request::QueueSteer(_) => Response::NotFound,
        Request::QueueRetry { id, to_domain } => retry(desk, id, to_domain, uid).await,
        Request::LearnedList { domain, after } => learned_list(desk, domain, after).await,
        Request::LearnedForget { domain } => learned_forget(desk, &domain, uid).await,
        Request::StsShow { domain } => {
            let kept = desk.outbound.facts.sts.cached(&domain);
            Response::Sts { kept: kept.as_ref().map(KeptPolicy::of) }
        }
        Request::TlsrptList { which } => tlsrpt::list(&desk.outbound, &which),
        Request::TlsrptShow { domain, day } => tlsrpt::show(&desk.outbound, &domain, day),
        Request::TlsrptSend { domain, day } => match tlsrpt::day_to_send(&desk.outbound, &domain, day) {
            Ok(subject) => {
                let detail =
                    format!("the TLS report to {domain} about {} is sent, asked for by uid {uid}", subject.day);
                match record(desk, None, detail).await {
                    Ok(()) => tlsrpt::send(&desk.outbound, &subject).await,
                    Err(not_done) => not_done,
                }
            }
            Err(nothing) => nothing,
        },
        Request::SpoolCompact => spool::compact(desk, uid).await,
        Request::SpoolKeep { seconds } => spool::keep(desk, seconds, uid).await,
        Request::AuditCheckpoint => {
            tracing::info!(uid, "checkpoint asked for on the control socket");
            checkpoint(desk.feed.checkpoint()).await
        }
        Request::AuditRotateKey => {
            tracing::warn!(uid, "a new key for the audit log asked for on the control socket");
            let detail = format!("a new key for checkpoints, asked for by uid {uid}");
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
    found.unwrap_or_else(|error| Response::Error { message: error.to_string() })
}

async fn learned_forget(desk: &Desk, domain: &Domain, uid: u32) -> Response {
    let store = &desk.outbound.facts.learned;
    if store.find(domain).is_none() {
        return Response::NotFound;
    }
    let detail = format!("all that was learned of {domain} is forgotten, asked for by uid {uid}");
    if let Err(not_done) = record(desk, None, detail).await {
        return not_done;
    }
    store.forget(domain);
    Response::Forgotten
}

async fn checkpoint(answer: oneshot::Receiver<Answer>) -> Response {
    match answer.await {
        Ok(Ok(line)) => Response::Checkpoint { line },
        Ok(Err(error)) => Response::Error { message: error.to_string() },
        Err(_) => Response::Error { message: "the daemon is stopping".to_owned() },
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
    recorded
        .map_err(|fault| Response::Error { message: format!("not done, because it could not be recorded: {fault}") })
}

async fn retry(desk: &Desk, id: Option<MessageId>, to_domain: Option<Domain>, uid: u32) -> Response {
    let (what, retry) = match (id, to_domain) {
        (Some(id), _) if !desk.spool.contains(id) => return Response::NotFound,
        (Some(id), _) => (format!("message {id}"), Retry::Message(id)),
        (None, Some(domain)) => (format!("all mail to {domain}"), Retry::Domain(domain)),
        (None, None) => ("the whole queue".to_owned(), Retry::All),
    };
    if let Err(not_done) = record(desk, id, format!("retry of {what}, asked for by uid {uid}")).await {
        return not_done;
    }
    let (sender, receiver) = oneshot::channel();
    _ = desk.commands.send(Command::Retry(retry, sender)).await;
    match receiver.await {
        Ok(count) => Response::Retried { count },
        Err(_) => Response::Error { message: "the daemon is stopping".to_owned() },
    }
}
