//! The answer at 80 columns: one sentence, then who it is.

use crate::audit::replay::Unknown;
use crate::audit::what_if::{By, Group, Outcome, Subject};
use crate::cli::human::labelled;
use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::config::overruled::Overruled;
use crate::model::human::{count, peer, second, thousands, wrap};

use super::super::arguments::Directions;
use super::super::reading::left_open;
use super::super::share::share;
use super::answer::{clients, sessions};
use super::{Answered, changed};

const INDENT: &str = "  ";
/// As records and answers for programs have a session without TLS, with the bracket of its number.
pub(super) const PLAINTEXT: &str = "none (";
/// Networks of clients in one line of the list.
const CLIENTS_SHOWN_MAX: usize = 3;
/// The column of the subject, so that the others do not wander.
const NAME_COLUMNS: usize = 24;

/// Ends with a line end.
pub(super) fn page(answered: &Answered<'_>) -> String {
    let mut page: Vec<String> = wrap(&sentence(answered), WIDTH_COLUMNS);
    page.iter_mut().for_each(|line| *line = format!("{BOLD}{line}{BOLD:#}"));
    page.push(String::new());
    page.extend(labelled("setting", &answered.change));
    page.extend(overruled(&answered.overruled));
    page.extend(labelled("judged", &format!("by the policy engine, as of {}", second(answered.at))));
    if !answered.groups.is_empty() {
        page.push(String::new());
        page.extend(list(answered));
    }
    let mut notes = notes(answered);
    notes.extend(left_open(&answered.met, answered.span.from));
    if !notes.is_empty() {
        page.push(String::new());
    }
    page.extend(notes.iter().flat_map(|note| wrap(note, WIDTH_COLUMNS)));
    page.push(String::new());
    page.join("\n")
}

fn overruled(overruled: &[Overruled]) -> impl Iterator<Item = String> {
    let labels = std::iter::once("overrules").chain(std::iter::repeat(""));
    overruled.iter().zip(labels).flat_map(|(one, label)| labelled(label, &changed::overruled(one)))
}

/// `Of 12,345 messages from or to bank.example since 2026-10-23, 87 (0.7 %) from 5 senders would have been refused.`
pub(super) fn sentence(answered: &Answered<'_>) -> String {
    let total = answered.totals.messages;
    let what = subject(answered, total);
    let span = answered.asked.span.in_words(answered.span);
    if total == 0 {
        return format!("There are no{} {span} on record that could be judged.", what.trim_start_matches('0'));
    }
    let hits: Vec<String> = Outcome::HITS.iter().filter_map(|outcome| hit(answered, *outcome)).collect();
    match hits.split_last() {
        None => format!("Of {what} {span}, none would have met with another answer."),
        Some((only, [])) => format!("Of {what} {span}, {only}."),
        Some((last, first)) => format!("Of {what} {span}, {}, and {last}.", first.join(", ")),
    }
}

pub(super) fn subject(answered: &Answered<'_>, total: u64) -> String {
    let whose = answered.whose.as_str();
    match answered.asked.direction {
        Directions::Inbound if whose.is_empty() => count(total, "message"),
        Directions::Inbound => format!("{} from or to {whose}", count(total, "message")),
        Directions::Outbound if whose.is_empty() => count(total, "delivery"),
        Directions::Outbound => format!("{} to {whose}", count(total, "delivery")),
        Directions::Both if whose.is_empty() => format!("{} in and out", count(total, "message")),
        Directions::Both => format!("{} from or to {whose}, in and out", count(total, "message")),
    }
}

fn hit(answered: &Answered<'_>, outcome: Outcome) -> Option<String> {
    let messages = answered.count(outcome);
    if messages == 0 {
        return None;
    }
    let senders = answered.totals.senders.get(&outcome).map_or(0, std::collections::HashSet::len);
    let who = format!(
        "{} ({}) from {}",
        thousands(messages),
        share(messages, answered.totals.messages),
        count(senders, "sender")
    );
    let end = match outcome {
        Outcome::Refused if answered.asked.direction == Directions::Outbound => "would have been bounced",
        Outcome::Refused => "would have been refused",
        Outcome::Deferred => "would have been deferred",
        Outcome::Reported => "would have been reported and let through",
        Outcome::Accepted | Outcome::Unknown | Outcome::Unchanged => "would be accepted that are not now",
    };
    Some(format!("{who} {end}"))
}

fn list(answered: &Answered<'_>) -> Vec<String> {
    let title = match answered.by {
        By::Sender => "SENDER",
        By::Client => "CLIENT",
        By::Destination => "DESTINATION",
        By::Tls => "SESSION",
    };
    let columns = [
        Column::left(title).at_least(NAME_COLUMNS).shrinking(),
        Column::right("MESSAGES"),
        Column::left("WOULD BE"),
        Column::left("REASON"),
        Column::left("LAST SEEN"),
    ];
    let rows: Vec<Vec<Cell>> = answered.groups.iter().map(row).collect();
    let mut lines = lines(&columns, &rows, WIDTH_COLUMNS).into_iter();
    let mut list: Vec<String> = lines.next().into_iter().collect();
    for (line, (subject, group)) in lines.zip(&answered.groups) {
        list.push(line);
        let about = wrap(&about(answered.by, subject, group), WIDTH_COLUMNS - INDENT.len());
        list.extend(about.into_iter().map(|line| format!("{INDENT}{DIM}{line}{DIM:#}")));
    }
    let (groups, messages) = answered.omitted;
    if groups > 0 {
        let (more, messages) = (count(groups, "more line"), count(messages, "message"));
        list.push(format!("… and {more} with {messages} (--limit 0 lists all)"));
    }
    if answered.totals.others > 0 {
        list.push(format!("… and {} of others, too many to tell apart", count(answered.totals.others, "message")));
    }
    list
}

/// `record …: TLSv1 ECDHE-RSA-AES128-SHA (3), from 192.0.2.0/24 (3)`.
fn about(by: By, subject: &Subject, group: &Group) -> String {
    let mut about = format!("record {}: {}", group.example, sessions(group).replace(PLAINTEXT, "plaintext ("));
    if by != By::Client {
        let verb = if subject.is_inbound { "from" } else { "brought by" };
        about.push_str(&format!("; {verb} {}", clients(group, CLIENTS_SHOWN_MAX)));
    }
    if let Some(exception) = &group.exception {
        about.push_str(&format!("; under the exception {exception}"));
    }
    about
}

fn row((subject, group): &(Subject, Group)) -> Vec<Cell> {
    let end = match (subject.outcome, subject.is_inbound) {
        (Outcome::Refused, true) => Cell::styled("refused", BAD),
        (Outcome::Refused, false) => Cell::styled("bounced", BAD),
        (Outcome::Deferred, _) => Cell::styled("deferred", BAD),
        (Outcome::Reported, _) => Cell::styled("reported", ODD),
        (Outcome::Accepted | Outcome::Unknown | Outcome::Unchanged, _) => Cell::styled("accepted", GOOD),
    };
    let last_seen = group.last_seen.get(..10).unwrap_or_default();
    let name = if &*subject.name == "none" { "plaintext".into() } else { peer(&subject.name) };
    vec![name.into_owned().into(), thousands(group.messages).into(), end, subject.reason.into(), last_seen.into()]
}

/// What the numbers leave open, besides what the log does.
pub(super) fn notes(answered: &Answered<'_>) -> Vec<String> {
    let totals = &answered.totals;
    let mut notes = Vec::new();
    let mut note = |number: u64, noun: &str, text: &str| {
        if number > 0 {
            notes.push(format!("{} {text}", count(number, noun)));
        }
    };
    note(totals.refused_already, "message", "refused or deferred then would be so again.");
    for (rule, recipients) in &totals.excepted {
        let text = format!("come under the exception {rule}, which stands above every setting and answers as before.");
        note(*recipients, "recipient", &text);
    }
    let mail_only = "accepted anew came no further than MAIL: the recipients are not on record.";
    note(totals.accepted_without_recipient, "message", mail_only);
    for why in Unknown::ALL {
        let text = match why {
            Unknown::ListenerGone => "cannot be judged: the configuration has no listener of that name.",
            Unknown::NotRecorded => "cannot be judged: the record does not tell enough about the session.",
            Unknown::OtherNextHop => "cannot be judged: another next hop would be asked.",
        };
        note(totals.unknown.get(&why).copied().unwrap_or_default(), "recipient", text);
    }
    note(totals.left_out, "record", "left out: the message failed for another reason than TLS.");
    notes
}
