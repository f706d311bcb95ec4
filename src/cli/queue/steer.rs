//! `gatepost queue retry | hold | release | bounce | delete | reroute | holds`: what the operator changes.

use std::io::{BufRead as _, IsTerminal as _, stdin};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::admin::protocol::steering::{HoldInForce, IDS_MAX, Steer, Steered, Verb, WHY_BYTES_MAX, Walking};
use crate::admin::protocol::{Filter, QUEUE_PAGE_MAX, QueueMessage, Request, Response};
use crate::cli::arguments::{QueueCommand, QueueFilter};
use crate::cli::human::parse_duration;
use crate::cli::output::{BOLD, Console, Exit, Failure, WIDTH_COLUMNS};
use crate::cli::socket;
use crate::cli::table::{Cell, Column, lines};
use crate::clock;
use crate::model::human::{self, count, shown};
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::{list, meant};

/// The configuration that was asked for, and the control socket.
type At<'a> = (Option<&'a Path>, &'a Path);

/// Which messages: by their ids, or by all that is given.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Which {
    /// The messages, by their ids
    #[arg(value_name = "ID")]
    ids: Vec<MessageId>,
    #[command(flatten)]
    filter: QueueFilter,
    /// Every message of the queue
    #[arg(long)]
    all: bool,
    /// Why, for the audit log and for whoever looks at the queue
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Say how many messages it would be about, show the first ones, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Hold {
    #[command(flatten)]
    which: Which,
    /// Release it by itself after this time: 90s, 5m, 4h, 5d [default: it stays held until it is released]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
}

impl Hold {
    fn is_bare(&self) -> bool {
        let Which { ids, filter, all, why, dry_run } = &self.which;
        let is_of_none = ids.is_empty() && !all && super::filter(filter) == Filter::default();
        is_of_none && why.is_none() && !dry_run && self.duration.is_none()
    }

    fn steer(&self) -> Result<Steer, Failure> {
        let steer = steer(Verb::Hold, &self.which)?;
        if self.duration.is_some_and(|time| time.is_zero()) {
            return Err(Failure::usage("--for takes at least one second", "leave it out for a hold without an end"));
        }
        Ok(Steer { for_secs: self.duration.map(|time| time.as_secs()), ..steer })
    }
}

/// What cannot be undone.
#[derive(Debug, Args)]
pub(in crate::cli) struct End {
    #[command(flatten)]
    which: Which,
    /// Do not ask, however many messages it is about
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Reroute {
    #[command(flatten)]
    which: Which,
    /// The [[route]] to take from now on
    #[arg(long, value_name = "ROUTE")]
    via: String,
}

/// Finds what is wrong with such a command by itself.
pub(super) fn check(command: &QueueCommand) -> Result<(), Failure> {
    let (verb, which) = match command {
        QueueCommand::Retry(which) => (Verb::Retry, which),
        QueueCommand::Release(which) => (Verb::Release, which),
        QueueCommand::Hold(hold) if !hold.is_bare() => return hold.steer().map(drop),
        QueueCommand::Bounce(End { which, .. }) => (Verb::Bounce, which),
        QueueCommand::Delete(End { which, .. }) => (Verb::Delete, which),
        QueueCommand::Reroute(Reroute { which, .. }) => (Verb::Reroute, which),
        _ => return Ok(()),
    };
    steer(verb, which).map(drop)
}

/// One of the commands that change the queue, or the list of holds.
pub(super) fn run(at: At<'_>, command: &QueueCommand, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match command {
        QueueCommand::Retry(which) => change(at, &steer(Verb::Retry, which)?, json, console),
        QueueCommand::Release(which) => change(at, &steer(Verb::Release, which)?, json, console),
        QueueCommand::Hold(hold) => self::hold(at, hold, json, console),
        QueueCommand::Bounce(end) => self::end(at, (Verb::Bounce, end), json, console),
        QueueCommand::Delete(end) => self::end(at, (Verb::Delete, end), json, console),
        QueueCommand::Reroute(Reroute { which, via }) => {
            let steer = steer(Verb::Reroute, which)?;
            change(at, &Steer { via: Some(via.clone()), ..steer }, json, console)
        }
        QueueCommand::Holds => holds(at.1, json, console),
        // They only look.
        QueueCommand::List(_) | QueueCommand::Show { .. } | QueueCommand::Why { .. } | QueueCommand::Top(_) => {
            Ok(Exit::Done)
        }
    }
}

/// Without any word on what is to be held, the holds in force are listed.
fn hold(at: At<'_>, hold: &Hold, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if hold.is_bare() {
        return holds(at.1, json, console);
    }
    change(at, &hold.steer()?, json, console)
}

/// Bounces or deletes. More than one message needs a word that it is meant so.
fn end(at: At<'_>, (verb, end): (Verb, &End), json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let steer = steer(verb, &end.which)?;
    let is_one = steer.ids.len() == 1;
    if !end.yes && !steer.dry_run && !is_one && !is_meant(at.1, &steer, console)? {
        return Err(Failure::new(Exit::No, "nothing was changed", "answer y if it is meant, or add --yes"));
    }
    change(at, &steer, json, console)
}

fn holds(at: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Response::Holds { holds } = socket::ask(at, &Request::QueueHolds)? else { return Err(socket::unexpected()) };
    if json {
        console.json(&holds)?;
    } else {
        write!(console.out, "{}", holds_page(&holds, clock::timestamp()))?;
    }
    Ok(Exit::Done)
}

fn steer(verb: Verb, which: &Which) -> Result<Steer, Failure> {
    let Which { ids, filter, all, why, dry_run } = which;
    let steer = Steer {
        verb,
        ids: ids.clone(),
        filter: super::filter(filter),
        all: *all,
        why: why.clone(),
        for_secs: None,
        via: None,
        dry_run: *dry_run,
    };
    let which = "name messages by their ids, or give --to-domain, --from-domain, --older-than, --route or --reason; \
                 --all means every message";
    match (steer.all, steer.is_selective()) {
        (false, false) => Err(Failure::usage("nothing says which messages are meant", which)),
        (true, true) => {
            Err(Failure::usage("--all means every message, and something else narrows it", "leave out one of the two"))
        }
        _ if steer.ids.len() > IDS_MAX => {
            Err(Failure::usage(format!("more than {IDS_MAX} messages are named"), "take a filter, or some at a time"))
        }
        _ if why.as_ref().is_some_and(|why| why.len() > WHY_BYTES_MAX) => {
            Err(Failure::usage(format!("--why takes at most {WHY_BYTES_MAX} octets"), "say it shorter"))
        }
        _ => Ok(steer),
    }
}

/// Asks, if there are several messages and somebody who can answer.
fn is_meant(at: &Path, steer: &Steer, console: &mut Console<'_>) -> Result<bool, Failure> {
    let Steered { messages, .. } = ask(at, &Steer { dry_run: true, ..steer.clone() })?;
    if messages <= 1 {
        return Ok(true);
    }
    let (verb, what) = (steer.verb.as_str(), count(messages, "message"));
    if !stdin().is_terminal() {
        let message = format!("this would {verb} {what}, and nobody can be asked whether that is meant");
        return Err(Failure::usage(message, "add --yes; --dry-run shows the first ones"));
    }
    write!(console.err, "{verb} {what}? This cannot be undone. [y/N] ")?;
    console.err.flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn change(at: At<'_>, steer: &Steer, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let steered = ask(at.1, steer)?;
    if json {
        console.json(&steered)?;
    } else {
        write!(console.out, "{}", page(steer, &steered, clock::timestamp()))?;
        if steered.messages == 0 && steer.ids.is_empty() {
            meant::hint(at.0, &steer.filter, &waiting(at.1, &steer.filter), console)?;
        }
    }
    let Steered { unknown, refused, failed, .. } = &steered;
    let is_all_done = unknown.is_empty() && refused.is_empty() && *failed == 0;
    Ok(if is_all_done { Exit::Done } else { Exit::No })
}

/// What waits, as far as a page goes, to find what was meant by a domain that has no mail there.
fn waiting(at: &Path, filter: &Filter) -> Vec<QueueMessage> {
    if filter.to_domain.is_none() && filter.from_domain.is_none() {
        return Vec::new();
    }
    let all = Request::QueueList { filter: Filter::default(), after: None, limit: Some(QUEUE_PAGE_MAX) };
    match socket::ask(at, &all) {
        Ok(Response::Queue { messages, .. }) => messages,
        _ => Vec::new(),
    }
}

/// Asks under a bar that shows itself only on a terminal.
fn ask(at: &Path, steer: &Steer) -> Result<Steered, Failure> {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos} of {len} messages, {msg}, {eta} left") {
        bar.set_style(style);
    }
    let seen = |Walking { looked_at, total, messages }| {
        bar.set_length(total as u64);
        bar.set_position(looked_at as u64);
        bar.set_message(format!("{messages} meant"));
    };
    let answer = socket::ask_along(at, &Request::QueueSteer(Box::new(steer.clone())), seen);
    bar.finish_and_clear();
    match answer? {
        Response::Steered(steered) => Ok(*steered),
        _ => Err(socket::unexpected()),
    }
}

fn page(steer: &Steer, steered: &Steered, now: Timestamp) -> String {
    let mut said: Vec<String> = steered.destinations.iter().map(|place| destination(steer, place)).collect();
    said.extend(done(steer, steered));
    let Steered { active, unchanged, still_held, failed, refused, unknown, .. } = steered;
    let mut add = |number: usize, text: String| said.extend((number > 0).then_some(text));
    let late = match steer.verb {
        Verb::Retry | Verb::Release => "",
        _ => ": it takes effect for what comes back",
    };
    add(*active, format!("{} under way now{late}", are(*active)));
    let (lacking, how) = match steer.verb {
        Verb::Release => ("not held", "held still, with the destination: see `gatepost queue holds`"),
        _ => ("due already", "held: `gatepost queue release` lets go"),
    };
    let others = unchanged.saturating_sub(*still_held);
    add(others, format!("{} {lacking}", were(others)));
    add(*still_held, format!("{} {how}", are(*still_held)));
    for one in refused {
        let (domain, why) = (shown(&one.domain), shown(&one.why));
        add(one.deliveries, format!("mail to {domain} goes on its own way ({}): {why}", deliveries(one.deliveries)));
    }
    add(*failed, format!("{} could not be changed: the daemon's log says why", deliveries(*failed)));
    let unknown_ids: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    add(unknown.len(), format!("not in the queue, see `gatepost audit trace`: {}", unknown_ids.join(" ")));
    let mut page: String =
        said.iter().flat_map(|text| human::wrap(text, WIDTH_COLUMNS)).map(|line| line + "\n").collect();
    if !steered.first.is_empty() {
        page.push('\n');
        page.push_str(&list::page(&steered.first, now, true));
    }
    page
}

fn done(steer: &Steer, steered: &Steered) -> Option<String> {
    let Steered { messages, deliveries: meant, changed, active, .. } = steered;
    if *meant == 0 {
        let told = match (steered.destinations.is_empty(), steer.ids.is_empty()) {
            (false, _) => "nothing waits there now",
            (true, true) => "no message of the queue is meant",
            (true, false) => "nothing of it waits",
        };
        return steered.unknown.is_empty().then(|| told.to_owned());
    }
    let word = match steer.verb {
        Verb::Retry => "tried now",
        Verb::Hold => "held",
        Verb::Release => "released",
        Verb::Bounce => "bounced",
        Verb::Delete => "deleted",
        Verb::Reroute => "rerouted",
    };
    let of = format!("{} of {}", deliveries(*changed), count(*messages, "message"));
    let is_one = *changed == 1;
    Some(match (steer.dry_run, steer.is_about_destination() && steer.verb == Verb::Hold) {
        (true, _) => format!("{of} would be {word}"),
        (false, true) => {
            let waiting = meant.saturating_sub(*active);
            let verb = if waiting == 1 { "waits" } else { "wait" };
            format!("{} of {} {verb} there", deliveries(waiting), count(*messages, "message"))
        }
        (false, false) if is_one => format!("{of} is {word}"),
        (false, false) => format!("{of} are {word}"),
    })
}

fn destination(steer: &Steer, place: &str) -> String {
    let place = shown(place);
    match (steer.verb, steer.dry_run) {
        (Verb::Hold, false) => format!("{place} is held from now on, with what is still to come"),
        (Verb::Hold, true) => format!("{place} would be held, with what is still to come"),
        (_, false) => format!("{place} is held no more"),
        (_, true) => format!("{place} would be held no more"),
    }
}

fn deliveries(number: usize) -> String {
    count(number, "delivery")
}

fn are(number: usize) -> String {
    format!("{} {}", deliveries(number), if number == 1 { "is" } else { "are" })
}

fn were(number: usize) -> String {
    format!("{} {}", deliveries(number), if number == 1 { "was" } else { "were" })
}

fn holds_page(holds: &[HoldInForce], now: Timestamp) -> String {
    if holds.is_empty() {
        return "no destination is held; messages that are held one by one: gatepost queue list\n".to_owned();
    }
    let columns = [
        Column::left("HELD").shrinking(),
        Column::right("SINCE"),
        Column::right("FOR"),
        Column::left("BY").shrinking(),
        Column::left("REASON").shrinking(),
    ];
    let row = |hold: &HoldInForce| {
        let name = match (&hold.domain, &hold.route) {
            (Some(domain), _) => shown(domain).into_owned(),
            (None, route) => format!("route {}", shown(route.as_deref().unwrap_or_default())),
        };
        let left = hold.until.map_or_else(|| "ever".to_owned(), |until| human::span(until.saturating_since(now)));
        vec![
            Cell::styled(name, BOLD),
            human::span(now.saturating_since(hold.since)).into(),
            left.into(),
            hold.by.to_string().into(),
            shown(hold.reason.as_deref().unwrap_or_default()).into_owned().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = holds.iter().map(row).collect();
    lines(&columns, &rows, WIDTH_COLUMNS).into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::actor::Actor;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn asked(verb: Verb) -> Steer {
        steer(verb, &Which { all: true, ..Which::default() }).unwrap()
    }

    #[test]
    fn the_answer_says_what_was_changed_and_what_was_not() {
        let steered = Steered { messages: 3, deliveries: 4, changed: 4, ..Steered::default() };
        let busy = Steered { changed: 1, active: 3, ..steered.clone() };
        let refused = crate::admin::protocol::steering::Refused {
            domain: "bank.example".into(),
            why: "route \"r\" is weaker than its policy: it lacks tls = \"verify\"".into(),
            deliveries: 1,
        };
        let refused = Steered { changed: 3, refused: vec![refused], ..steered.clone() };
        let dry = Steer { dry_run: true, ..asked(Verb::Delete) };
        for (asked, steered, expected) in [
            (asked(Verb::Hold), &steered, "4 deliveries of 3 messages are held\n"),
            (dry, &steered, "4 deliveries of 3 messages would be deleted\n"),
            (
                asked(Verb::Bounce),
                &busy,
                "1 delivery of 3 messages is bounced\n3 deliveries are under way now: it takes effect for what comes \
                 back\n",
            ),
            (
                asked(Verb::Reroute),
                &refused,
                "3 deliveries of 3 messages are rerouted\nmail to bank.example goes on its own way (1 delivery): route \
                 \"r\" is weaker than\nits policy: it lacks tls = \"verify\"\n",
            ),
            (asked(Verb::Release), &Steered::default(), "no message of the queue is meant\n"),
        ] {
            assert_eq!(page(&asked, steered, NOW), expected);
        }
    }

    #[test]
    fn holds_are_listed_with_who_why_and_for_how_long() {
        let hold = |name: &str, until| HoldInForce {
            domain: Some(name.into()),
            route: None,
            reason: Some("maintenance".into()),
            since: Timestamp::from_secs(1_799_996_400),
            until,
            by: Actor::Account(1000),
        };
        let until = Some(Timestamp::from_secs(1_800_007_200));
        let by = Actor::Api("192.0.2.7".parse().unwrap());
        let route = HoldInForce { domain: None, route: Some("escrow".into()), reason: None, by, ..hold("", until) };
        let text = holds_page(&[hold("bank.example", None), route], NOW);
        let plain = anstream::adapter::strip_str(&text).to_string();
        let expected = "\
HELD          SINCE   FOR  BY                      REASON
bank.example     1h  ever  uid 1000                maintenance
route escrow     1h    2h  the API from 192.0.2.7
";
        assert_eq!(plain, expected);
        assert!(holds_page(&[], NOW).starts_with("no destination is held"));
    }

    #[test]
    fn nothing_given_is_an_error_that_says_so() {
        let Err(Failure::Told { exit, message, help }) = steer(Verb::Delete, &Which::default()) else {
            panic!("it was taken")
        };
        assert_eq!((exit, message.as_str()), (Exit::Usage, "nothing says which messages are meant"));
        assert!(help.contains("--all"));
    }
}
