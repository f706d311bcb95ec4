//! The digest as plain text for people who know mail and not this program.

use crate::audit::digest::{Ending, Entry, Subject};
use crate::cli::output::{BOLD, WIDTH_COLUMNS};
use crate::model::human::{count, moment, peer, thousands, wrap};

use super::{Answered, session};

/// Entries that are told one by one.
const ENTRIES_SHOWN_MAX: usize = 100;
const INDENT: &str = "  ";
const QUOTE: &str = "  | ";

/// For the terminal. Ends with a line end.
pub(super) fn page(answered: &Answered) -> String {
    let mut page: Vec<String> = Vec::new();
    let mut lines = lines(answered, WIDTH_COLUMNS).into_iter();
    // The first paragraph says it all.
    page.extend(lines.by_ref().take_while(|line| !line.is_empty()).map(|line| format!("{BOLD}{line}{BOLD:#}")));
    page.push(String::new());
    page.extend(lines);
    while page.last().is_some_and(String::is_empty) {
        page.pop();
    }
    page.push(String::new());
    page.join("\n")
}

/// Printable ASCII in lines of at most `columns_max`; the first paragraph is the summary.
pub(super) fn lines(answered: &Answered, columns_max: usize) -> Vec<String> {
    let mut lines = wrap(&summary(answered), columns_max);
    for entry in answered.entries.iter().take(ENTRIES_SHOWN_MAX) {
        lines.push(String::new());
        lines.extend(told(entry, columns_max));
    }
    let more = answered.entries.iter().skip(ENTRIES_SHOWN_MAX).map(|(_, entry)| entry.messages).sum::<u64>();
    let notes = [
        (more + answered.others, "more message", "of other senders or for other reasons."),
        (answered.met.unrecorded, "refusal", "of all domains in this time have no record of their own."),
    ];
    for (number, noun, text) in notes.into_iter().filter(|(number, ..)| *number > 0) {
        lines.push(String::new());
        lines.extend(wrap(&format!("{} {text}", count(number, noun)), columns_max));
    }
    lines
}

/// `For bank.example, from 2027-01-01 10:00 to 2027-01-02 10:00 UTC: 87 messages were refused, 3 bounced.`
fn summary(answered: &Answered) -> String {
    let minute = |time: crate::model::time::Timestamp| {
        let text = time.to_string();
        moment(&text).get(..16).unwrap_or(&text).to_owned()
    };
    let span = format!("from {} to {} UTC", minute(answered.span.from), minute(answered.span.until));
    let ends: Vec<String> = Ending::ALL
        .iter()
        .map(|ending| (answered.sum(*ending), in_words(*ending)))
        .filter(|(messages, _)| *messages > 0)
        .map(|(messages, words)| format!("{} {words}", thousands(messages)))
        .collect();
    if ends.is_empty() {
        return format!("Mail of {} {span}: nothing was refused, deferred or bounced.", answered.domain);
    }
    format!("Mail of {} {span}: {}.", answered.domain, ends.join(", "))
}

const fn in_words(ending: Ending) -> &'static str {
    match ending {
        Ending::Refused => "refused",
        Ending::Deferred => "told to try again",
        Ending::Bounced => "bounced",
        Ending::Delayed => "delayed",
        Ending::Reported => "accepted though a stricter policy would refuse them",
    }
}

/// One entry: who, why, when, and the exact answer.
fn told((subject, entry): &(Subject, Entry), columns_max: usize) -> Vec<String> {
    let sender = match &*subject.sender {
        "" => "the null sender".into(),
        sender => peer(sender),
    };
    let recipient = subject.recipient.as_deref().map_or_else(String::new, |to| format!(" to {}", peer(to)));
    let noun = if subject.ending == Ending::Delayed { "attempt" } else { "message" };
    let number = count(entry.messages, noun);
    let ending = match subject.ending {
        Ending::Reported => "would be refused",
        ending => in_words(ending),
    };
    let head = format!("{number} from {sender}{recipient}, {ending}: {}", peer(&subject.reason));
    let mut lines = wrap(&head, columns_max);
    let seen = moment(&entry.last_seen);
    let to = entry.to.as_deref().map_or_else(String::new, |to| format!(" to <{}>", peer(to)));
    let tls = match session(entry).as_str() {
        "none" => "without TLS".to_owned(),
        session => format!("with {session}"),
    };
    let (seen, from) = (seen.get(..19).unwrap_or(&seen), peer(&entry.from));
    let last = format!("last at {seen} UTC from <{from}>{to} {tls}, record {}", entry.record);
    lines.extend(wrap(&last, columns_max - INDENT.len()).into_iter().map(|line| format!("{INDENT}{line}")));
    if let Some(reply) = &entry.reply {
        let said = match subject.ending {
            Ending::Reported => "the answer would be:",
            Ending::Refused | Ending::Deferred => "the answer was:",
            Ending::Bounced | Ending::Delayed => "because of:",
        };
        lines.push(format!("{INDENT}{said}"));
        let reply = peer(reply);
        lines.extend(wrap(&reply, columns_max - QUOTE.len()).into_iter().map(|line| format!("{QUOTE}{line}")));
    }
    lines
}
