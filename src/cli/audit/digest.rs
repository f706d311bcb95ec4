//! `gatepost audit digest`: what was refused for a domain, for its owner: on the terminal, as JSON, or as a mail.

mod mail;
mod page;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::{Value, json};

use crate::audit::digest::{Digest as Tally, Ending, Entry, Subject};
use crate::audit::pass::{Met, Span, pass};
use crate::cli::output::{Console, Exit, Failure};
use crate::cli::{configuration, near};
use crate::clock;
use crate::model::domain::Domain;
use crate::model::human::peer;
use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, TlsOrNone};
use crate::random;

use super::arguments::{Digest, DigestFormat};
use super::checkpoint::read_late;
use super::reading;

/// What happened to the mail of one domain.
#[derive(Debug)]
struct Answered {
    domain: Domain,
    span: Span,
    /// By ending, the largest first.
    entries: Vec<(Subject, Entry)>,
    others: u64,
    met: Met,
}

impl Answered {
    fn sum(&self, ending: Ending) -> u64 {
        let entries = self.entries.iter().filter(|(subject, _)| subject.ending == ending);
        entries.map(|(_, entry)| entry.messages).sum()
    }
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &Digest,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let now = clock::timestamp();
    let span = Span { from: now - asked.since, until: now };
    let letter = match asked.format {
        DigestFormat::Mail if !json => Some(letter(config, asked, now)?),
        _ => None,
    };
    let folder = super::folder(config, &asked.log)?;
    let (Tally { entries, others, .. }, met) = read_late(config, &asked.log, || {
        reading::records(&folder, |segments, progress| {
            pass(segments, span, || Tally::new(asked.domain.clone()), progress)
        })
    })?;
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by(|(one, a), (other, b)| {
        one.ending.cmp(&other.ending).then(b.messages.cmp(&a.messages)).then_with(|| one.cmp(other))
    });
    let answered = Answered { domain: asked.domain.clone(), span, entries, others, met };
    match (letter, asked.format) {
        (Some(letter), _) => write!(console.out, "{}", letter.text(&answered))?,
        (None, DigestFormat::Table) if !json => write!(console.out, "{}", page::page(&answered))?,
        (None, _) => console.json(&answer(&answered))?,
    }
    if answered.entries.is_empty() && !json {
        near::hint(&reading::near(config, &folder, (span, &asked.domain))?, console)?;
    }
    Ok(Exit::Done)
}

/// The head of the mail.
fn letter(config: Option<&Path>, asked: &Digest, now: Timestamp) -> Result<mail::Letter, Failure> {
    let to = asked.to.clone();
    let to = to.ok_or_else(|| Failure::usage("a mail needs a recipient", "name the owner with --to ADDRESS"))?;
    let config = configuration::require(config)?;
    let from = match &asked.from {
        Some(from) => from.to_string(),
        None => format!("postmaster@{}", config.hostname),
    };
    Ok(mail::Letter { from, to: to.to_string(), at: now, host: config.hostname, id: random::record_id(now) })
}

/// For programs. Fields are added here, never renamed.
fn answer(answered: &Answered) -> Value {
    let Answered { domain, span, entries, others, met } = answered;
    let sums: serde_json::Map<String, Value> =
        Ending::ALL.iter().map(|ending| (ending.as_str().to_owned(), answered.sum(*ending).into())).collect();
    json!({
        "domain": domain,
        "from": span.from,
        "until": span.until,
        "messages": sums,
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
        "messages_beyond_the_bound_of_entries": others,
        "unrecorded_refusals": met.unrecorded,
    })
}

fn entry((subject, entry): &(Subject, Entry)) -> Value {
    json!({
        "ending": subject.ending.as_str(),
        "sender_domain": peer(&subject.sender),
        "recipient_domain": subject.recipient.as_deref().map(peer),
        "reason": subject.reason,
        "messages": entry.messages,
        "last": {
            "seen": entry.last_seen,
            "record": entry.record,
            "message": entry.message,
            "from": peer(&entry.from),
            "to": entry.to.as_deref().map(peer),
            "tls": session(entry),
            "reply": entry.reply.as_deref().map(peer),
        },
    })
}

/// `TLSv1.2 ECDHE-RSA-AES128-SHA`, or `none`.
fn session(entry: &Entry) -> String {
    let facts: Option<TlsFacts> = serde_json::from_slice(&entry.tls).unwrap_or_default();
    peer(&TlsOrNone(facts.as_ref()).to_string()).into_owned()
}
