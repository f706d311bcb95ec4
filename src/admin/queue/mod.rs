//! The queue as an operator sees it: each message with what every recipient waits for and one sentence about it, and
//! the destinations.

mod advice;
pub mod matching;
pub(super) mod steering;
pub mod view;
pub mod why;

use std::collections::HashMap;
use std::time::Duration;

use mail_parser::MessageParser;
use tokio::sync::oneshot;

use crate::clock;
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::id::MessageId;
use crate::outbound::overview::{DESTINATIONS_MAX, DestinationView, Order, Overview, Standing};
use crate::outbound::steering::Command;
use crate::spool::{Outline, Stored};

use super::desk::Desk;
use super::protocol::{Filter, QUEUE_PAGE_MAX, QueueMessage, Response, Top, WorstDestination};
use view::Around;

/// The part of a message that is read for its Subject.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Messages that are taken out of the spool at once: that long its lock is held.
const WALK_MESSAGES: usize = 256;
/// Messages that are looked at for one answer, whether or not they are meant.
const LOOKED_AT_MAX: usize = 50_000;
/// How long `status` waits for the destinations.
const WORST_PATIENCE: Duration = Duration::from_secs(1);
/// Recipients in one answer, after which no further message is added.
const RECIPIENTS_SHOWN_MAX: usize = 10_000;

/// The next messages that the filter means, behind `after`.
pub(super) async fn list(desk: &Desk, filter: &Filter, after: Option<MessageId>, limit: Option<usize>) -> Response {
    let messages_max = limit.unwrap_or(QUEUE_PAGE_MAX).min(QUEUE_PAGE_MAX);
    let (found, position, more) = find(desk, filter, after, messages_max).await;
    let ids: Vec<MessageId> = found.iter().map(|outline| outline.id).collect();
    let standings = standings(desk, ids).await;
    let mut messages = Vec::with_capacity(found.len());
    for outline in &found {
        if let Some(stored) = desk.spool.load_known(outline.id).await {
            messages.push(message(desk, &stored, &standings));
        }
    }
    Response::Queue { messages, more, after: position }
}

/// Walks in steps, so that nobody waits for long. Gives what was found, how far it went, and whether there may be more.
async fn find(
    desk: &Desk,
    filter: &Filter,
    after: Option<MessageId>,
    messages_max: usize,
) -> (Vec<Outline>, Option<MessageId>, bool) {
    let snapshot = desk.outbound.snapshot.load_full();
    let (mut found, mut position) = (Vec::new(), after);
    let (mut looked_at, mut recipients) = (0, 0);
    while looked_at < LOOKED_AT_MAX {
        let page = desk.spool.outlines(position, WALK_MESSAGES);
        if page.is_empty() {
            return (found, position, false);
        }
        let around = Around { now: clock::timestamp(), terms: Some(snapshot.terms()), stop: None, holds: None };
        for outline in page {
            if found.len() >= messages_max || recipients >= RECIPIENTS_SHOWN_MAX {
                return (found, position, true);
            }
            position = Some(outline.id);
            looked_at += 1;
            if view::is_meant(filter, &outline, &around) {
                recipients += outline.states.len();
                found.push(outline);
            }
        }
        tokio::task::yield_now().await;
    }
    (found, position, true)
}

pub(super) async fn show(desk: &Desk, id: MessageId) -> Response {
    let Some(stored) = desk.spool.load_known(id).await else { return Response::NotFound };
    let mut message = message(desk, &stored, &standings(desk, vec![id]).await);
    if let Ok(head) = desk.spool.body(&stored).head(HEADER_BYTES_MAX).await {
        message.subject = subject(&head);
    }
    Response::Message(Box::new(message))
}

/// The Subject of a message that begins so.
pub fn subject(head: &[u8]) -> Option<String> {
    let parsed = MessageParser::default().parse_headers(head)?;
    parsed.subject().map(|subject| peer_text(subject, PEER_TEXT_BYTES_MAX).into_owned())
}

fn message(desk: &Desk, stored: &Stored, standings: &HashMap<MessageId, Vec<Standing>>) -> QueueMessage {
    let snapshot = desk.outbound.snapshot.load();
    let holds = desk.outbound.holds.load();
    let around = Around { now: clock::timestamp(), terms: Some(snapshot.terms()), stop: None, holds: Some(&holds) };
    let standings = standings.get(&stored.envelope.id).map(Vec::as_slice).unwrap_or_default();
    view::message((&stored.envelope, &stored.states), standings, &around)
}

async fn standings(desk: &Desk, ids: Vec<MessageId>) -> HashMap<MessageId, Vec<Standing>> {
    if ids.is_empty() {
        return HashMap::new();
    }
    let (sender, receiver) = oneshot::channel();
    _ = desk.commands.send(Command::Standings(ids, sender)).await;
    receiver.await.unwrap_or_default()
}

/// The destinations from above.
pub(super) async fn top(desk: &Desk, limit: usize, order: Order) -> Response {
    match destinations(desk, limit, order).await {
        Some(top) => Response::Top(Box::new(top)),
        None => Response::stopping(),
    }
}

/// The same; `None` if the daemon is stopping.
pub(super) async fn destinations(desk: &Desk, limit: usize, order: Order) -> Option<Top> {
    let overview = overview(desk, limit.min(DESTINATIONS_MAX), order).await?;
    let status = (desk.status)();
    Some(Top {
        at: clock::timestamp(),
        hostname: status.hostname,
        messages: status.messages,
        spool_free_bytes: status.spool_free_bytes,
        spool_fault: status.spool_fault,
        audit_writable: status.audit_writable,
        draining: status.draining,
        overview,
    })
}

/// The destination that most deliveries wait for; `None` where nothing waits, or the dispatcher has no time to tell.
pub(super) async fn worst(desk: &Desk) -> Option<WorstDestination> {
    let overview = tokio::time::timeout(WORST_PATIENCE, overview(desk, 1, Order::Count)).await.ok()??;
    let view = overview.destinations.into_iter().next()?;
    let waiting = view.ready + view.waiting + view.held;
    let reason = view.last.map(|last| last.reason);
    let DestinationView { name, oldest, down_until, .. } = view;
    (waiting > 0).then_some(WorstDestination { name, waiting, oldest, reason, down_until })
}

async fn overview(desk: &Desk, limit: usize, order: Order) -> Option<Overview> {
    let (sender, receiver) = oneshot::channel();
    desk.commands.send(Command::Overview(limit, order, sender)).await.ok()?;
    receiver.await.ok()
}
