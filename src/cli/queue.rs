//! `gatepost queue …`: asks the running daemon about its messages.

mod list;
mod show;

use std::path::Path;

use serde_json::json;

use crate::admin::protocol::{Filter, QueueMessage, Request, Response};
use crate::clock;
use crate::model::id::MessageId;

use super::arguments::{Queue, QueueCommand, QueueFilter, Retry};
use super::output::{Console, Exit, Failure, WIDTH_COLUMNS};
use super::{human, socket};

pub(super) fn run(
    config: Option<&Path>,
    asked: &Queue,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let at = socket::find(config, &asked.socket)?;
    match &asked.command {
        QueueCommand::List(filter) => list_all(&at, filter, json, console),
        QueueCommand::Show { id } => {
            let message = one(&at, *id)?;
            if json {
                console.json(&message)?;
            } else {
                write!(console.out, "{}", show::page(&message, clock::timestamp()))?;
            }
            Ok(Exit::Done)
        }
        QueueCommand::Why { id } => {
            let message = one(&at, *id)?;
            if json {
                console.json(&json!({ "id": message.id, "why": message.why }))?;
            } else {
                writeln!(console.out, "{}", human::wrap(&human::shown(&message.why), WIDTH_COLUMNS).join("\n"))?;
            }
            Ok(Exit::Done)
        }
        QueueCommand::Retry(which) => retry(&at, which, json, console),
    }
}

/// Asks for page after page and prints each as it comes; as JSON, one array in the end.
fn list_all(at: &Path, filter: &QueueFilter, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let filter = Filter {
        to_domain: filter.to_domain.clone(),
        from_domain: filter.from_domain.clone(),
        older_than_secs: filter.older_than.map(|age| age.as_secs()),
        reason: filter.reason,
    };
    let (mut after, mut count, mut collected) = (None, 0, Vec::new());
    loop {
        let Response::Queue { messages, more } =
            socket::ask(at, &Request::QueueList { filter: filter.clone(), after })?
        else {
            return Err(socket::unexpected());
        };
        let previous = std::mem::replace(&mut after, messages.last().map(|message| message.id));
        if !json && !messages.is_empty() {
            write!(console.out, "{}", list::page(&messages, clock::timestamp(), count == 0))?;
        }
        count += messages.len();
        if json {
            collected.extend(messages);
        }
        // A page that does not lead on ends the walk, whatever it says.
        if !more || after <= previous {
            break;
        }
    }
    if json {
        console.json(&collected)?;
    } else {
        writeln!(console.out, "{}", human::count(count, "message"))?;
    }
    Ok(Exit::Done)
}

fn one(at: &Path, id: MessageId) -> Result<Box<QueueMessage>, Failure> {
    match socket::ask(at, &Request::QueueShow { id })? {
        Response::Message(message) => Ok(message),
        Response::NotFound => Err(not_queued(id)),
        _ => Err(socket::unexpected()),
    }
}

fn not_queued(id: MessageId) -> Failure {
    let help = format!("`gatepost audit trace {id}` tells what became of it");
    Failure::new(Exit::No, format!("no message {id} is in the queue"), help)
}

fn retry(at: &Path, which: &Retry, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    // `--all` is the absence of the other two, which the command line has made sure of.
    let Retry { id, to_domain, all: _ } = which;
    match socket::ask(at, &Request::QueueRetry { id: *id, to_domain: to_domain.clone() })? {
        Response::Retried { count } if json => console.json(&json!({ "retried": count }))?,
        Response::Retried { count: 0 } => writeln!(console.out, "nothing was waiting")?,
        Response::Retried { count } => {
            let deliveries = if count == 1 { "1 delivery is" } else { &*format!("{count} deliveries are") };
            writeln!(console.out, "{deliveries} tried now")?;
        }
        Response::NotFound => {
            return Err(match id {
                Some(id) => not_queued(*id),
                None => Failure::new(Exit::No, "no message of the queue matches", "see `gatepost queue list`"),
            });
        }
        _ => return Err(socket::unexpected()),
    }
    Ok(Exit::Done)
}

/// A message that waits, for the tests of whole commands.
#[cfg(test)]
pub(super) fn sample_message(id: u128) -> QueueMessage {
    QueueMessage { id: MessageId::from_u128(id), ..show::tests::message() }
}
