//! `gatepost spool check`: what is damaged, whose mail it was, and what to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cli::output::{BAD, Console, Exit, Failure, GOOD, WIDTH_COLUMNS};
use crate::journal::disk::Disk;
use crate::journal::{Damage, TornTail, What};
use crate::model::human::{bytes, count, shown, thousands, wrap};
use crate::model::id::MessageId;
use crate::spool::body::BodyError;
use crate::spool::check::{Checked, Finding, Owner, check};

use super::place;
use super::progress::Progress;

/// Lost messages that are listed; `--json` has all.
const LISTED_MAX: usize = 100;

pub(super) fn run(spool: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut progress = Progress::of_bytes();
    let checked = check(spool, Arc::new(Disk::default()), &mut |done, total| progress.at(done, total));
    drop(progress);
    let report = Report::of(&checked.map_err(|error| place::failure(&error))?);
    if json {
        console.json(&report)?;
    } else {
        write!(console.out, "{}", report.page(spool))?;
    }
    Ok(if report.clean { Exit::Done } else { Exit::No })
}

/// What is told, for people and programs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    pub(super) clean: bool,
    /// A daemon has the spool: what it is writing now was not looked at.
    pub(super) in_use: bool,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) batches: u64,
    pub(super) entries: u64,
    /// That are not finished.
    pub(super) messages: usize,
    pub(super) content_files: u64,
    pub(super) damage: Vec<DamageReport>,
    pub(super) content: Vec<ContentReport>,
    pub(super) unreadable: Vec<String>,
    pub(super) torn: Option<TornReport>,
    /// Each message that cannot be delivered any more.
    pub(super) lost: Vec<Lost>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct DamageReport {
    segment: String,
    offset: u64,
    length: u64,
    what: &'static str,
    /// The first and the last batch that is hit, if that is known.
    sequences: Option<(u64, u64)>,
    /// How many entries of them are lost, if that is known.
    entries: Option<u64>,
    /// The message or the audit record that it hit, if that is known.
    hit: Option<String>,
    /// Nothing is lost by it that is still needed.
    harmless: bool,
    /// The same in words.
    text: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ContentReport {
    message: MessageId,
    text: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct TornReport {
    segment: String,
    offset: u64,
    length: u64,
}

/// A message that is lost, wholly or but for its envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Lost {
    pub(super) message: MessageId,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// Only the content is lost: the queue still has the message, and can return it.
    pub(super) queued: bool,
}

/// What an audit record tells of a message.
#[derive(Deserialize)]
struct Accepted {
    event: String,
    message: Option<MessageId>,
    from: Option<String>,
    #[serde(default)]
    to: Vec<String>,
}

impl Report {
    pub(super) fn of(checked: &Checked) -> Self {
        let Checked { peeked, in_use, counts, findings, torn, .. } = checked;
        let mut report = Self {
            clean: findings.is_empty(),
            in_use: *in_use,
            segments: counts.segments,
            bytes: counts.bytes,
            batches: counts.batches,
            entries: counts.entries,
            messages: peeked.message_count(),
            content_files: counts.content_files,
            damage: Vec::new(),
            content: Vec::new(),
            unreadable: Vec::new(),
            torn: torn.map(|TornTail { segment, offset, length }| TornReport {
                segment: name(segment),
                offset,
                length,
            }),
            lost: lost(checked),
        };
        for finding in findings {
            match finding {
                Finding::Damage { damage, owner } => report.damage.push(DamageReport::of(damage, *owner)),
                Finding::Content { message, error } => report.content.push(ContentReport {
                    message: *message,
                    text: match error {
                        BodyError::Gone => "the file with its content is missing".to_owned(),
                        error => error.to_string(),
                    },
                }),
                Finding::Unreadable(text) => report.unreadable.push(text.clone()),
            }
        }
        report
    }

    /// Ends with a line end.
    pub(super) fn page(&self, spool: &Path) -> String {
        let mut lines = Vec::new();
        let state = if self.in_use {
            "a daemon has it open: what it is writing now was not looked at"
        } else {
            "no daemon has it open: all of it was read"
        };
        lines.extend(wrap(&format!("{}: {state}", shown(&spool.to_string_lossy())), WIDTH_COLUMNS));
        let (segments, entries) = (count(self.segments, "segment"), count(self.entries, "entry"));
        let batches = if self.batches == 1 { "1 batch".to_owned() } else { thousands(self.batches) + " batches" };
        let messages = count(self.messages, "message");
        let files = count(self.content_files, "content file");
        let read = bytes(self.bytes);
        let text = format!("{segments}, {batches}, {entries}, {files}, {read}; {messages} in the queue");
        lines.extend(wrap(&text, WIDTH_COLUMNS));
        if let Some(torn) = &self.torn {
            let text = format!(
                "The last write was not finished before the stop ({} bytes of segment {}). Nobody was told that it \
                 succeeded: the next start cuts it off.",
                torn.length, torn.segment
            );
            lines.extend(wrap(&text, WIDTH_COLUMNS));
        }
        if self.clean {
            lines.push(format!("{GOOD}Everything is as it was written.{GOOD:#}"));
            return lines.join("\n") + "\n";
        }
        lines.push(String::new());
        let content = self.content.iter().map(|content| format!("message {}: {}", content.message, content.text));
        let damage = self.damage.iter().map(|damage| damage.text.clone());
        for text in damage.chain(content).chain(self.unreadable.iter().cloned()) {
            let mut wrapped = wrap(&shown(&text), WIDTH_COLUMNS - "damaged  ".len()).into_iter();
            lines.extend(wrapped.next().map(|line| format!("{BAD}damaged{BAD:#}  {line}")));
            lines.extend(wrapped.map(|line| format!("         {line}")));
        }
        lines.extend(self.losses());
        lines.push(String::new());
        lines.extend(self.remedies().iter().flat_map(|text| wrap(text, WIDTH_COLUMNS)));
        lines.join("\n") + "\n"
    }

    fn losses(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        if self.lost.is_empty() {
            lines.push("No message is known to be lost.".to_owned());
            return lines;
        }
        let verb = if self.lost.len() == 1 { "is" } else { "are" };
        lines.push(format!("{} {verb} lost:", count(self.lost.len(), "message")));
        for lost in self.lost.iter().take(LISTED_MAX) {
            let Lost { message, from, to, queued } = lost;
            let from = if from.is_empty() { "<>" } else { from };
            let more = to.len().saturating_sub(1);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let what = if *queued { "its content" } else { "all of it" };
            let first = to.first().map_or("nobody", String::as_str);
            let text = format!("{message} ({what}) from {from} to {first}{more}");
            lines.extend(wrap(&shown(&text), WIDTH_COLUMNS - 2).into_iter().map(|line| format!("  {line}")));
        }
        let unlisted = self.lost.len().saturating_sub(LISTED_MAX);
        if unlisted > 0 {
            lines.push(format!("  and {unlisted} more, which --json lists"));
        }
        lines
    }

    /// What an operator can do, a paragraph each.
    fn remedies(&self) -> Vec<String> {
        let mut remedies = Vec::new();
        if self.damage.iter().any(|damage| !damage.harmless) || !self.unreadable.is_empty() {
            remedies.push(
                "Copy the folder of the spool before anything else, and look into the system's log: a disk that \
                 damages what it holds will do so again."
                    .to_owned(),
            );
        }
        let is_hit = |damage: &DamageReport| damage.what != "body";
        if self.damage.iter().any(is_hit) && !self.in_use {
            remedies.push(
                "The daemon starts with `gatepost serve --accept-damage` only: what can be read goes on, the damaged \
                 segments are kept, and the audit log says what is missing."
                    .to_owned(),
            );
        }
        if self.in_use {
            remedies
                .push("The daemon goes on with what it has. Check again while it is stopped: then all is read.".into());
        }
        if self.lost.iter().any(|lost| lost.queued) {
            remedies.push("`gatepost queue bounce ID` tells the sender of a message whose content is lost.".to_owned());
        }
        if self.lost.iter().any(|lost| !lost.queued) {
            remedies.push(
                "`gatepost audit trace ID` tells whether a message that is lost whole had been delivered before; if \
                 not, its sender must send it again, or it comes from a copy with `gatepost spool import`."
                    .to_owned(),
            );
        }
        let hides = |damage: &DamageReport| is_hit(damage) && damage.entries != Some(0);
        if self.damage.iter().any(hides) {
            remedies.push(
                "Where only numbers of batches are named, the messages in them cannot be told from the spool. The \
                 audit log has each message that was accepted: `gatepost audit tail` and `gatepost audit verify`."
                    .to_owned(),
            );
        }
        remedies
    }
}

impl DamageReport {
    fn of(damage: &Damage, owner: Owner) -> Self {
        let (hit, words, harmless) = match owner {
            Owner::Unknown => (None, String::new(), false),
            Owner::Waiting(id) => (Some(id.to_string()), format!("; the content of message {id}"), false),
            Owner::Finished(id) => (
                Some(id.to_string()),
                format!("; nothing is lost: message {id} is finished or lies elsewhere too"),
                true,
            ),
            Owner::Record(id) => (Some(id.to_string()), format!("; the audit record {id}"), false),
        };
        Self {
            segment: name(damage.segment),
            offset: damage.offset,
            length: damage.length,
            what: word(damage.what),
            sequences: damage.sequences.as_ref().map(|lost| (*lost.start(), *lost.end())),
            entries: damage.entries,
            hit,
            harmless,
            text: format!("{damage}{words}"),
        }
    }
}

const fn word(what: What) -> &'static str {
    match what {
        What::SegmentHeader => "segment-header",
        What::BatchHeader => "batch-header",
        What::Metadata => "metadata",
        What::Body => "body",
        What::Missing => "missing",
        What::OutOfOrder => "out-of-order",
    }
}

fn name(segment: u64) -> String {
    format!("{segment:016x}")
}

/// The messages that are lost: by their envelopes where these can be read, else by the records of their acceptance.
fn lost(checked: &Checked) -> Vec<Lost> {
    let mut lost = BTreeMap::new();
    for finding in &checked.findings {
        let message = match finding {
            Finding::Damage { owner: Owner::Waiting(id), .. } => *id,
            Finding::Content { message, .. } => *message,
            Finding::Damage { .. } | Finding::Unreadable(_) => continue,
        };
        let Ok(Some(stored)) = checked.peeked.load(message) else { continue };
        let from = stored.envelope.sender.path.to_string();
        let to = stored.envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
        lost.insert(message, Lost { message, from, to, queued: true });
    }
    for record in &checked.records {
        let Ok(Accepted { event, message: Some(message), from, to }) = serde_json::from_str(record) else { continue };
        let is_there = checked.readable.contains(&message) || matches!(checked.peeked.load(message), Ok(Some(_)));
        if event == "inbound.accepted" && !is_there {
            // Many recipients have several records.
            let entry = lost.entry(message).or_insert(Lost {
                message,
                from: from.unwrap_or_default(),
                to: Vec::new(),
                queued: false,
            });
            entry.to.extend(to);
        }
    }
    lost.into_values().collect()
}
