//! `gatepost queue …`: the messages of the running daemon, or those that a stopped one has left; and what is to
//! become of them.

mod list;
mod meant;
mod show;
mod source;
pub(super) mod steer;
mod top;

use std::path::Path;

use serde_json::json;

use crate::admin::protocol::{Filter, QUEUE_PAGE_MAX, QueueMessage};
use crate::clock;
use crate::model::human;
use crate::model::id::MessageId;

use super::arguments::{Queue, QueueCommand, QueueFilter};
use super::output::{Console, Exit, Failure, WIDTH_COLUMNS};
use super::socket;

use source::Source;

pub(super) fn run(
    config: Option<&Path>,
    asked: &Queue,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match &asked.command {
        QueueCommand::List(which) => {
            let mut source = Source::find(config, &asked.socket)?;
            let filter = filter(&which.filter);
            let found = list::run(&mut source, (&filter, which.limit), json, console)?;
            if found == 0 && !json {
                let listed = source.page((&Filter::default(), QUEUE_PAGE_MAX), None, console);
                meant::hint(config, &filter, &listed.map(|page| page.messages).unwrap_or_default(), console)?;
            }
            Ok(Exit::Done)
        }
        QueueCommand::Show { id } => {
            let message = one(config, asked, *id, console)?;
            if json {
                console.json(&message)?;
            } else {
                write!(console.out, "{}", show::page(&message, clock::timestamp()))?;
            }
            Ok(Exit::Done)
        }
        QueueCommand::Why { id } => {
            let message = one(config, asked, *id, console)?;
            if json {
                console.json(&json!({ "id": message.id, "why": message.why }))?;
            } else {
                writeln!(console.out, "{}", human::wrap(&human::shown(&message.why), WIDTH_COLUMNS).join("\n"))?;
            }
            Ok(Exit::Done)
        }
        QueueCommand::Top(which) => top::run(&socket::find(config, &asked.socket)?, which, json, console),
        change => {
            steer::check(change)?;
            steer::run((config, &socket::find(config, &asked.socket)?), change, json, console)
        }
    }
}

pub(super) fn filter(asked: &QueueFilter) -> Filter {
    Filter {
        to_domain: asked.to_domain.clone(),
        from_domain: asked.from_domain.clone(),
        older_than_secs: asked.older_than.map(|age| age.as_secs()),
        route: asked.route.clone(),
        reason: asked.reason,
    }
}

fn one(
    config: Option<&Path>,
    asked: &Queue,
    id: MessageId,
    console: &mut Console<'_>,
) -> Result<Box<QueueMessage>, Failure> {
    Source::find(config, &asked.socket)?.one(id, console)?.ok_or_else(|| not_queued(id))
}

fn not_queued(id: MessageId) -> Failure {
    let help = format!("`gatepost audit trace {id}` tells what became of it");
    Failure::new(Exit::No, format!("no message {id} is in the queue"), help)
}

/// A look at so many destinations, for the same.
#[cfg(test)]
pub(super) fn sample_top(destinations: usize) -> crate::admin::protocol::Top {
    top::page::tests::top(destinations)
}

/// A message that waits, for the tests of whole commands.
#[cfg(test)]
pub(super) fn sample_message(id: u128) -> QueueMessage {
    QueueMessage { id: MessageId::from_u128(id), ..show::tests::message() }
}
