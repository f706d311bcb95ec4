//! The listing: two lines a message, its standing and then its envelope.

use std::io;

use crate::admin::protocol::{Filter, QUEUE_PAGE_MAX, QueueMessage, QueueRecipient, RecipientStanding};
use crate::cli::output::{BOLD, Console, Failure, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::clock;
use crate::model::human::{bytes, count, cut, shown, span};
use crate::model::time::Timestamp;

use super::source::Source;

/// The columns have the same widths on every page.
const COLUMNS: [Column<'static>; 6] = [
    Column::left("ID").at_least(26),
    Column::right("AGE").at_least(4),
    Column::right("SIZE").at_least(5),
    Column::left("STATE").at_least(9),
    Column::right("NEXT").at_least(4),
    Column::left("REASON").shrinking(),
];

/// States of a recipient that is not settled, the busiest first: the first that occurs is the message's.
const OPEN: [RecipientStanding; 4] =
    [RecipientStanding::Active, RecipientStanding::Ready, RecipientStanding::Waiting, RecipientStanding::Held];

pub(super) const fn word(standing: RecipientStanding) -> &'static str {
    match standing {
        RecipientStanding::Ready => "ready",
        RecipientStanding::Waiting => "waiting",
        RecipientStanding::Active => "active",
        RecipientStanding::Held => "held",
        RecipientStanding::Delivered => "delivered",
        RecipientStanding::Bounced => "bounced",
        RecipientStanding::Expired => "expired",
        RecipientStanding::Dropped => "dropped",
    }
}

/// Asks for page after page and prints each as it comes. Gives how many messages there were.
pub(super) fn run(
    source: &mut Source<'_>,
    (filter, limit): (&Filter, Option<u64>),
    json: bool,
    console: &mut Console<'_>,
) -> Result<u64, Failure> {
    let (mut after, mut found, mut begun) = (None, 0_u64, false);
    loop {
        let left = limit.map_or(u64::MAX, |limit| limit - found);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(QUEUE_PAGE_MAX);
        let page = source.page((filter, wanted), after, console)?;
        let messages: Vec<QueueMessage> = page.messages.into_iter().take(wanted).collect();
        if json {
            if !std::mem::replace(&mut begun, true) {
                write!(console.out, "[")?;
            }
            for (place, message) in (found..).zip(&messages) {
                element(console, place, message)?;
            }
        } else if !messages.is_empty() {
            write!(console.out, "{}", self::page(&messages, clock::timestamp(), found == 0))?;
        }
        found += messages.len() as u64;
        // What does not lead on ends the walk, whatever it says.
        let leads_on = page.after > after;
        after = page.after;
        if !page.more || !leads_on || limit.is_some_and(|limit| found >= limit) {
            break;
        }
        console.out.flush()?;
    }
    match (json, found) {
        (true, 0) => writeln!(console.out, "]")?,
        (true, _) => writeln!(console.out, "\n]")?,
        (false, _) => writeln!(console.out, "{}", count(found, "message"))?,
    }
    Ok(found)
}

/// One of an array.
fn element(console: &mut Console<'_>, place: u64, message: &QueueMessage) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(message).map_err(io::Error::from)?.replace('\n', "\n  ");
    let before = if place == 0 { "" } else { "," };
    Ok(write!(console.out, "{before}\n  {text}")?)
}

/// Lines that end with a line end. Titles stand on the first page only.
pub(super) fn page(messages: &[QueueMessage], now: Timestamp, first: bool) -> String {
    let rows: Vec<Vec<Cell>> = messages.iter().map(|message| row(message, now)).collect();
    let mut table = lines(&COLUMNS, &rows, WIDTH_COLUMNS).into_iter();
    let titles = table.next().filter(|_| first);
    let both = table.zip(messages).flat_map(|(line, message)| [line, envelope(message)]);
    titles.into_iter().chain(both).map(|line| line + "\n").collect()
}

fn row(message: &QueueMessage, now: Timestamp) -> Vec<Cell> {
    let open = || message.recipients.iter().filter(|recipient| OPEN.contains(&recipient.state));
    let state = OPEN.into_iter().find(|state| open().any(|recipient| recipient.state == *state));
    let next = open().filter(|recipient| recipient.state == RecipientStanding::Waiting);
    let next = next.filter_map(|recipient| recipient.next_attempt).min();
    let reason = open().find_map(|recipient| recipient.reason);
    vec![
        Cell::styled(message.id.to_string(), BOLD),
        span(now.saturating_since(message.received_at)).into(),
        bytes(message.size).into(),
        state.map_or("settled", word).into(),
        next.map(|next| span(next.saturating_since(now))).unwrap_or_default().into(),
        Cell::styled(reason.map_or("", |reason| reason.as_str()), ODD),
    ]
}

/// `  a@partner.example to b@bank.example and 3 more`, of recipients that are not settled if there are any.
fn envelope(message: &QueueMessage) -> String {
    let is_open = |recipient: &&QueueRecipient| OPEN.contains(&recipient.state);
    let open = message.recipients.iter().filter(is_open).count();
    let first = message.recipients.iter().find(is_open).or(message.recipients.first());
    let more = match open {
        0 | 1 => String::new(),
        open => format!(" and {} more", open - 1),
    };
    let from = if message.from.is_empty() { "<>".into() } else { shown(&message.from) };
    let to = shown(first.map_or("nobody", |recipient| &recipient.address));
    // Each of both addresses gets what the other leaves, half of the line at least.
    let room = WIDTH_COLUMNS - "   to ".len() - more.len();
    let from = cut(&from, (room / 2).max(room.saturating_sub(to.chars().count())));
    let to = cut(&to, room - from.chars().count());
    format!("  {from} to {to}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::queue::show::tests::{NOW, message, recipient};
    use crate::model::reason::Reason;

    fn plain(messages: &[QueueMessage], first: bool) -> String {
        anstream::adapter::strip_str(&page(messages, NOW, first)).to_string()
    }

    #[test]
    fn a_message_takes_two_lines_within_80_columns() {
        let mut plain_message = message();
        plain_message.recipients.truncate(1);
        let mut settled = message();
        settled.from = String::new();
        for recipient in &mut settled.recipients {
            recipient.state = RecipientStanding::Delivered;
        }
        let expected = "\
ID                           AGE   SIZE  STATE      NEXT  REASON
00000000000000000000000007    4h   12kB  waiting      6m  starttls-not-supported
  a@partner.example to b@bank.example
00000000000000000000000007    4h   12kB  active           starttls-not-supported
  a@partner.example to b@bank.example and 1 more
00000000000000000000000007    4h   12kB  settled
  <> to b@bank.example
";
        let mut both = message();
        both.recipients[1].state = RecipientStanding::Active;
        both.recipients[0].next_attempt = None;
        assert_eq!(plain(&[plain_message, both, settled], true), expected);
    }

    #[test]
    fn long_addresses_are_cut_and_never_break_the_table() {
        let mut long = message();
        let address = |name: &str| format!("{}@{name}.example", "x".repeat(64));
        long.from = address("sender");
        long.recipients = vec![recipient(&address("recipient")), recipient("c@bank.example")];
        long.recipients[0].reason = Some(Reason::CertificateHostMismatch);
        let text = plain(&[long.clone()], false);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 2);
        assert!(widths.iter().all(|width| *width <= 80), "{text}");
        assert!(text.contains("… to xxx") && text.ends_with("… and 1 more\n"), "{text}");
        long.from = "a@b.example".into();
        assert!(plain(&[long], false).contains("a@b.example to xxx"));
    }
}
