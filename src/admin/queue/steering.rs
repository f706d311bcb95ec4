//! What the operator changes in the queue: on record first, then done in batches, with word on how far it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::admin::desk::Desk;
use crate::admin::protocol::Response;
use crate::admin::protocol::steering::{HoldInForce, IDS_MAX, Refused, Steer, Steered, Verb, WHY_BYTES_MAX, Walking};
use crate::clock;
use crate::model::actor::Actor;
use crate::model::escape::peer_text;
use crate::model::human::count;
use crate::model::spelling::choice;
use crate::model::time::Timestamp;
use crate::outbound::holds::HoldError;
use crate::outbound::operator::{self, Action, Order, Progress, Selection, Stopping, Walk, Walked};
use crate::spool::holds::{DestinationHold, Held, HeldPlace};

/// Ids that a record names.
const IDS_NAMED_MAX: usize = 10;
/// The longest hold that has an end: 100 years.
const HOLD_SECONDS_MAX: u64 = 100 * 365 * 86_400;

/// Who asks, and where word on how far it is goes.
pub(in crate::admin) struct Asker {
    pub(in crate::admin) actor: Actor,
    pub(in crate::admin) progress: mpsc::Sender<Progress>,
}

impl From<Progress> for Walking {
    fn from(Progress { looked_at, total, messages }: Progress) -> Self {
        Self { looked_at, total, messages }
    }
}

pub(in crate::admin) fn holds(desk: &Desk) -> Response {
    let shown = |DestinationHold { place, held }: DestinationHold| {
        let (domain, route) = match place {
            HeldPlace::Domain(domain) => (Some(domain.to_string()), None),
            HeldPlace::Route(route) => (None, Some(route)),
        };
        let Held { reason, until, by, at } = held;
        HoldInForce { domain, route, reason, since: at, until, by }
    };
    Response::Holds { holds: desk.outbound.holds.load().list().into_iter().map(shown).collect() }
}

pub(in crate::admin) async fn steer(desk: &Desk, asked: &Steer, asker: Asker) -> Response {
    if let Err(wrong) = check(desk, asked) {
        return Response::wrong(wrong);
    }
    match change(desk, asked, asker).await {
        Ok(steered) => Response::Steered(Box::new(steered)),
        Err(NotDone::Hold(error @ HoldError::TooMany)) => Response::wrong(error.to_string()),
        Err(NotDone::Hold(error @ HoldError::Fault(_))) => Response::fault(error.to_string()),
        Err(NotDone::Stopping(Stopping)) => Response::stopping(),
    }
}

/// Why an order was not carried out.
enum NotDone {
    Hold(HoldError),
    Stopping(Stopping),
}

/// What makes no sense is refused before anything is looked at.
fn check(desk: &Desk, asked: &Steer) -> Result<(), String> {
    match (asked.all, asked.is_selective()) {
        (false, false) => return Err("nothing says which messages are meant".to_owned()),
        (true, true) => return Err("it is all messages or some of them, not both".to_owned()),
        _ => {}
    }
    if asked.ids.len() > IDS_MAX {
        return Err(format!("more than {IDS_MAX} messages are named: take a filter, or some at a time"));
    }
    if asked.for_secs.is_some() && asked.verb != Verb::Hold {
        return Err("only a hold has an end".to_owned());
    }
    match (asked.verb, &asked.via) {
        (Verb::Reroute, Some(via)) => check_way(desk, via)?,
        (Verb::Reroute, None) => return Err("nothing says by which route".to_owned()),
        // It would stand in the record of the order.
        (_, Some(_)) => return Err("only a reroute has a route that mail is to take".to_owned()),
        (Verb::Hold, None) => check_hold(desk, asked)?,
        _ => {}
    }
    Ok(())
}

fn check_way(desk: &Desk, via: &str) -> Result<(), String> {
    let snapshot = desk.outbound.snapshot.load();
    let routes = &snapshot.policies.routes;
    if routes.contains_key(via) {
        return Ok(());
    }
    let names: Vec<&str> = routes.keys().map(|name| &**name).collect();
    Err(format!("there is no [[route]] named \"{}\"; {}", peer_text(via, WHY_BYTES_MAX), choice(via, &names)))
}

/// A hold that would hold nothing is a mistake.
fn check_hold(desk: &Desk, asked: &Steer) -> Result<(), String> {
    if asked.for_secs.is_some_and(|seconds| !(1..=HOLD_SECONDS_MAX).contains(&seconds)) {
        return Err("a hold that has an end lasts from 1 second to 100 years".to_owned());
    }
    match &asked.filter.route {
        Some(route) if !desk.outbound.snapshot.load().policies.has_route(route) => {
            let route = peer_text(route, WHY_BYTES_MAX);
            Err(format!("there is no route named \"{route}\": `gatepost queue top` tells those that mail takes"))
        }
        _ => Ok(()),
    }
}

async fn change(desk: &Desk, asked: &Steer, Asker { actor, progress }: Asker) -> Result<Steered, NotDone> {
    let why = asked.why.as_ref().map(|why| peer_text(why, WHY_BYTES_MAX).into_owned());
    let until = asked.for_secs.map(|seconds| clock::timestamp() + Duration::from_secs(seconds));
    let mut destinations = would_change(desk, asked);
    let order = Order {
        action: action(asked, until, !destinations.is_empty()),
        route: asked.filter.route.clone(),
        by: actor,
        why: why.clone(),
        is_rehearsal: asked.dry_run,
    };
    let what = format!("{} of {}", asked.verb.as_str(), meant(asked));
    if !asked.dry_run {
        let until = until.map(|until| format!(", until {}", until.brief())).unwrap_or_default();
        let message = asked.ids.first().copied().filter(|_| asked.ids.len() == 1);
        let audit = operator::record(&desk.outbound, message, order.detail(&format!("{what}{until}")), None);
        let spool = &desk.spool;
        spool.record(None, Vec::new(), vec![audit]).await.map_err(|fault| NotDone::Hold(HoldError::Fault(fault)))?;
        destinations = change_destinations(desk, asked, &order).await.map_err(NotDone::Hold)?;
    }
    let walked = walk(desk, asked, order.clone(), progress).await.map_err(NotDone::Stopping)?;
    if !asked.dry_run && asked.ids.is_empty() {
        let short = if walked.is_cut_short { ", broken off before the end" } else { "" };
        let detail =
            order.detail(&format!("{what}: ended{short}, {} changed", count(walked.tally.done as u64, "delivery")));
        let audit = operator::record(&desk.outbound, None, detail, Some(walked.tally.done as u64));
        _ = desk.spool.record_lazily(None, vec![audit]);
    }
    Ok(steered(desk, asked, walked, destinations).await)
}

fn action(asked: &Steer, until: Option<Timestamp>, is_about_hold: bool) -> Action {
    match asked.verb {
        // What is there is held with its destination.
        Verb::Hold if asked.is_about_destination() => Action::Replan,
        Verb::Release if asked.is_about_destination() && is_about_hold => Action::ReleaseWithDestination,
        Verb::Retry => Action::Retry,
        Verb::Hold => Action::Hold { until },
        Verb::Release => Action::Release,
        Verb::Bounce => Action::Bounce,
        Verb::Delete => Action::Delete,
        Verb::Reroute => Action::Reroute { via: asked.via.clone().unwrap_or_default() },
    }
}

/// The destination that it is about as such.
fn place(asked: &Steer) -> Option<HeldPlace> {
    let place = match (&asked.filter.to_domain, &asked.filter.route) {
        (Some(domain), _) => Some(HeldPlace::Domain(domain.clone())),
        (None, Some(route)) => Some(HeldPlace::Route(route.clone())),
        (None, None) => None,
    };
    place.filter(|_| asked.is_about_destination())
}

/// The destinations whose hold would begin or end, in words.
fn would_change(desk: &Desk, asked: &Steer) -> Vec<String> {
    let table = desk.outbound.holds.load();
    let places = match (asked.verb, place(asked)) {
        (Verb::Hold, Some(place)) => vec![place],
        (Verb::Release, Some(place)) => table.find(&place).map(|_| place).into_iter().collect(),
        (Verb::Release, None) if asked.all => table.list().into_iter().map(|hold| hold.place).collect(),
        _ => Vec::new(),
    };
    places.iter().map(ToString::to_string).collect()
}

/// Begins or ends the hold of a destination. Gives those that it was about, in words.
async fn change_destinations(desk: &Desk, asked: &Steer, order: &Order) -> Result<Vec<String>, HoldError> {
    let (table, spool) = (&desk.outbound.holds, &desk.spool);
    match (asked.verb, place(asked)) {
        (Verb::Hold, Some(place)) => {
            let at = clock::timestamp();
            let until = asked.for_secs.map(|seconds| at + Duration::from_secs(seconds));
            let held = Held { reason: order.why.clone(), until, by: order.by, at };
            let named = place.to_string();
            table.put(spool, DestinationHold { place, held }, Vec::new()).await?;
            Ok(vec![named])
        }
        (Verb::Release, Some(place)) => {
            let ended = table.end(spool, |hold| hold.place == place, Vec::new()).await?;
            Ok(if ended > 0 { vec![place.to_string()] } else { Vec::new() })
        }
        (Verb::Release, None) if asked.all => {
            let places: Vec<HeldPlace> = table.load().list().into_iter().map(|hold| hold.place).collect();
            table.end(spool, |hold| places.contains(&hold.place), Vec::new()).await?;
            Ok(places.iter().map(ToString::to_string).collect())
        }
        _ => Ok(Vec::new()),
    }
}

async fn walk(desk: &Desk, asked: &Steer, order: Order, progress: mpsc::Sender<Progress>) -> Result<Walked, Stopping> {
    let selection = Selection {
        ids: asked.ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect(),
        to_domain: asked.filter.to_domain.clone(),
        from_domain: asked.filter.from_domain.clone(),
        older_than: asked.filter.older_than_secs.map(Duration::from_secs),
        reason: asked.filter.reason,
    };
    let (outbound, commands) = (&desk.outbound, &desk.commands);
    Walk { outbound, commands, order: Arc::new(order), selection: &selection, progress: Some(progress) }.run().await
}

async fn steered(desk: &Desk, asked: &Steer, walked: Walked, destinations: Vec<String>) -> Steered {
    let Walked { tally, unknown, is_cut_short: _ } = walked;
    let named = if asked.dry_run { tally.first } else { Vec::new() };
    let standings = super::standings(desk, named.clone()).await;
    let mut first = Vec::new();
    for id in named {
        if let Some(stored) = desk.spool.load_known(id).await {
            first.push(super::message(desk, &stored, &standings));
        }
    }
    let refused = |(domain, (why, deliveries))| Refused { domain, why, deliveries };
    Steered {
        messages: tally.messages,
        deliveries: tally.recipients,
        changed: tally.done,
        active: tally.active,
        unchanged: tally.unchanged,
        still_held: tally.still_held,
        failed: tally.failed,
        refused: tally.refused.into_iter().map(refused).collect(),
        unknown,
        first,
        destinations,
    }
}

/// Which messages, in words: `mail to bank.example, older than 14400 s`.
fn meant(asked: &Steer) -> String {
    if asked.all {
        return "the whole queue".to_owned();
    }
    let named: Vec<String> = asked.ids.iter().take(IDS_NAMED_MAX).map(ToString::to_string).collect();
    let more = asked.ids.len().saturating_sub(IDS_NAMED_MAX);
    let ids = match (named.len(), more) {
        (0, _) => None,
        (1, _) => Some(format!("message {}", named.concat())),
        (_, 0) => Some(format!("messages {}", named.join(" "))),
        (_, more) => Some(format!("messages {} and {more} more", named.join(" "))),
    };
    let filter = &asked.filter;
    let words = [
        ids,
        filter.to_domain.as_ref().map(|domain| format!("mail to {domain}")),
        filter.from_domain.as_ref().map(|domain| format!("mail from {domain}")),
        asked.filter.route.as_ref().map(|route| format!("mail by the route {}", peer_text(route, WHY_BYTES_MAX))),
        filter.older_than_secs.map(|seconds| format!("mail older than {seconds} s")),
        filter.reason.map(|reason| format!("mail that waits for {reason}")),
    ];
    let via = asked.via.as_ref().map(|via| format!("by the route {via} from now on"));
    words.into_iter().flatten().chain(via).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::Filter;
    use crate::model::domain::Domain;
    use crate::model::id::MessageId;

    fn by(route: &str) -> Filter {
        Filter { route: Some(route.into()), ..Filter::default() }
    }

    #[test]
    fn what_is_meant_is_told_in_words() {
        let ids = |count: u128| (1..=count).map(MessageId::from_u128).collect();
        let domain = |name| Some(Domain::parse(name).unwrap());
        let filter = Filter { to_domain: domain("b.example"), older_than_secs: Some(60), ..Filter::default() };
        for (asked, expected) in [
            (Steer { all: true, ..Steer::of(Verb::Retry) }, "the whole queue".to_owned()),
            (Steer { ids: ids(1), ..Steer::of(Verb::Retry) }, format!("message {}", MessageId::from_u128(1))),
            (Steer { filter, ..Steer::of(Verb::Hold) }, "mail to b.example, mail older than 60 s".to_owned()),
            (
                Steer { filter: by("a"), via: Some("b".into()), ..Steer::of(Verb::Reroute) },
                "mail by the route a, by the route b from now on".to_owned(),
            ),
        ] {
            assert_eq!(meant(&asked), expected);
        }
        assert!(meant(&Steer { ids: ids(12), ..Steer::of(Verb::Hold) }).ends_with(" and 2 more"));
    }

    #[test]
    fn a_destination_is_held_as_such_where_nothing_else_narrows_it() {
        let to = |name| Filter { to_domain: Some(Domain::parse(name).unwrap()), ..Filter::default() };
        let both = Filter { route: Some("r".into()), ..to("b.example") };
        let old = Filter { older_than_secs: Some(1), ..to("b.example") };
        for (asked, expected) in [
            (Steer { filter: to("b.example"), ..Steer::of(Verb::Hold) }, true),
            (Steer { filter: by("r"), ..Steer::of(Verb::Hold) }, true),
            (Steer { filter: by("r"), ..Steer::of(Verb::Release) }, true),
            (Steer { filter: to("b.example"), ..Steer::of(Verb::Bounce) }, false),
            (Steer { filter: old, ..Steer::of(Verb::Hold) }, false),
            (Steer { filter: both, ..Steer::of(Verb::Hold) }, false),
            (Steer { all: true, ..Steer::of(Verb::Hold) }, false),
        ] {
            assert_eq!(asked.is_about_destination(), expected, "{asked:?}");
        }
    }
}
