//! The whole relay while the operator steers its queue: what is held stays, what is ended ends once, and it is on
//! record.

use std::net::Ipv4Addr;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin::client;
use crate::admin::protocol::steering::{Steer, Steered, Verb};
use crate::admin::protocol::{Filter, QueueMessage, RecipientStanding, Request, Response};
use crate::app::Running;
use crate::dns::fake::FakeResolver;
use crate::model::domain::Domain;
use crate::model::id::MessageId;

use super::{Hop, PATIENCE, relay, write_files};

fn about(verb: Verb, id: MessageId) -> Steer {
    Steer { ids: vec![id], ..Steer::of(verb) }
}

fn to(verb: Verb, domain: &str) -> Steer {
    let to_domain = Some(Domain::parse(&format!("{domain}.test")).unwrap());
    Steer { filter: Filter { to_domain, ..Filter::default() }, ..Steer::of(verb) }
}

async fn ask(running: &Running, request: Request) -> Response {
    let socket = running.addresses().control.clone();
    tokio::task::spawn_blocking(move || client::ask(&socket, &request)).await.unwrap().unwrap()
}

async fn steer(running: &Running, steer: Steer) -> Steered {
    match ask(running, Request::QueueSteer(Box::new(steer))).await {
        Response::Steered(steered) => *steered,
        other => panic!("{other:?}"),
    }
}

async fn show(running: &Running, id: MessageId) -> QueueMessage {
    match ask(running, Request::QueueShow { id }).await {
        Response::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

/// Waits for what the dispatcher does a moment after something was recorded.
async fn standing(running: &Running, id: MessageId, expected: &[RecipientStanding]) {
    let is_so = async {
        loop {
            let found: Vec<_> = show(running, id).await.recipients.iter().map(|to| to.state).collect();
            if found == expected {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, is_so).await.expect("it does not come to stand so");
}

/// Hands in one message. Its sender wants to know what becomes of it.
async fn hand_in(running: &Running, subject: &str, domains: &[&str]) {
    let mut stream = BufReader::new(TcpStream::connect(running.addresses().smtp[0].1).await.unwrap());
    let recipients = domains.iter().map(|domain| format!("RCPT TO:<b@{domain}.test>"));
    let before = ["", "EHLO x.test", "MAIL FROM:<a@home.test>"].map(str::to_owned);
    let after = ["DATA".to_owned(), format!("Subject: {subject}\r\n\r\nx\r\n."), "QUIT".to_owned()];
    for say in before.into_iter().chain(recipients).chain(after) {
        if !say.is_empty() {
            stream.write_all(format!("{say}\r\n").as_bytes()).await.unwrap();
        }
        let mut line = String::new();
        while line.get(3..4).is_none_or(|mark| mark == "-") {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            assert!(line.starts_with(['2', '3']), "{say}: {line}");
        }
    }
}

/// A relay whose mail, notices too, goes to one hop.
async fn begin(folder: &Path, hop: &Hop) -> Running {
    let main = format!(
        "[default.route]\nhosts = [\"{0}\"]\ntls = \"off\"\n[default.outbound]\ndane = \"off\"\nmta_sts = \"off\"\n\
         [[route]]\nname = \"weak\"\nhosts = [\"{0}\"]\ntls = \"opportunistic\"\n",
        hop.address
    );
    let files = ["home", "one", "two"].map(|name| (name, String::new()));
    if !folder.join("gatepost.toml").exists() {
        write_files(folder, &main, &files);
    }
    relay(folder, FakeResolver::default()).await
}

fn only_id(running: &Running) -> MessageId {
    let found = running.spool().outlines(None, 2);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].id
}

/// The details of the records about the queue.
fn recorded(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("audit")).unwrap();
    let log: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect();
    let records = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let detail = |record: serde_json::Value| {
        let is_about_queue = record["event"] == "queue.admin" || record["event"] == "outbound.bounced";
        record["detail"].as_str().filter(|_| is_about_queue).map(str::to_owned)
    };
    records.filter_map(detail).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_domain_keeps_its_share_of_a_message_and_the_others_go_on() {
    let (folder, mut hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    let held = steer(&running, Steer { why: Some("moving".into()), ..to(Verb::Hold, "one") }).await;
    assert_eq!((held.destinations, held.messages), (vec!["mail to one.test".to_owned()], 0));
    hand_in(&running, "both", &["one", "two"]).await;
    assert!(hop.next_message().await.contains("Subject: both"));
    let id = only_id(&running);
    standing(&running, id, &[RecipientStanding::Held, RecipientStanding::Delivered]).await;
    running.stop().await;
    // The hold is there before the first delivery of the next start.
    let running = begin(folder.path(), &hop).await;
    standing(&running, id, &[RecipientStanding::Held, RecipientStanding::Delivered]).await;
    let freed = steer(&running, to(Verb::Release, "one")).await;
    assert_eq!(freed.destinations, ["mail to one.test"]);
    assert!(hop.next_message().await.contains("Subject: both"));
    running.stop().await;
    let recorded = recorded(folder.path());
    assert!(recorded.iter().any(|detail| detail.starts_with("hold of mail to one.test, asked for by uid ")));
    assert!(recorded.iter().any(|detail| detail.ends_with(": moving")), "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_message_is_held_after_a_restart_and_released_by_itself_when_its_time_has_come() {
    let (folder, mut hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    steer(&running, to(Verb::Hold, "one")).await;
    hand_in(&running, "kept", &["one"]).await;
    let id = only_id(&running);
    standing(&running, id, &[RecipientStanding::Held]).await;
    let held = steer(&running, about(Verb::Hold, id)).await;
    assert_eq!((held.messages, held.changed, held.still_held), (1, 1, 0));
    // It is held with its domain all the same.
    assert_eq!(steer(&running, about(Verb::Release, id)).await.still_held, 1);
    steer(&running, about(Verb::Hold, id)).await;
    running.stop().await;

    let running = begin(folder.path(), &hop).await;
    standing(&running, id, &[RecipientStanding::Held]).await;
    let again = steer(&running, about(Verb::Retry, id)).await;
    assert_eq!((again.changed, again.unchanged), (0, 1));
    let place = Steer { for_secs: Some(1), ..to(Verb::Hold, "one") };
    assert_eq!(steer(&running, place).await.messages, 1);
    let brief = Steer { for_secs: Some(1), ..about(Verb::Hold, id) };
    assert_eq!(steer(&running, brief).await.changed, 1);
    assert!(hop.next_message().await.contains("Subject: kept"));
    running.stop().await;
    let recorded = recorded(folder.path());
    assert!(recorded.iter().any(|detail| detail == "released, its time is over"), "{recorded:?}");
    assert!(recorded.iter().any(|detail| detail.starts_with("the hold of mail to one.test is over")), "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounced_message_goes_back_once_and_a_deleted_one_not_at_all() {
    let (folder, mut hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    steer(&running, to(Verb::Hold, "one")).await;
    steer(&running, to(Verb::Hold, "two")).await;

    hand_in(&running, "deleted", &["one", "two"]).await;
    let id = only_id(&running);
    standing(&running, id, &[RecipientStanding::Held; 2]).await;
    let rehearsed = steer(&running, Steer { dry_run: true, ..about(Verb::Delete, id) }).await;
    assert_eq!((rehearsed.messages, rehearsed.changed, rehearsed.first.len()), (1, 2, 1));
    assert_eq!(steer(&running, about(Verb::Delete, id)).await.changed, 2);
    assert_eq!(running.spool().message_count(), 0);
    let gone = steer(&running, about(Verb::Delete, id)).await;
    assert_eq!((gone.messages, gone.unknown), (0, vec![id]));

    hand_in(&running, "bounced", &["one", "two"]).await;
    let id = only_id(&running);
    standing(&running, id, &[RecipientStanding::Held; 2]).await;
    let why = Some("not wanted".to_owned());
    let bounced = steer(&running, Steer { all: true, why, ..Steer::of(Verb::Bounce) }).await;
    assert_eq!((bounced.messages, bounced.changed, bounced.failed), (1, 2, 0));
    hand_in(&running, "next", &["home"]).await;
    let mut came = vec![hop.next_message().await, hop.next_message().await];
    came.sort_by_key(|content| content.contains("Subject: next"));
    assert!(came[1].contains("Subject: next"), "{came:?}");
    for expected in
        ["Final-Recipient: rfc822; b@one.test", "b@two.test", "Status: 5.7.1", "bounced by the administrator"]
    {
        assert!(came[0].contains(expected), "{expected}: {}", came[0]);
    }
    running.stop().await;
    let recorded = recorded(folder.path());
    let told = |start: &str| recorded.iter().filter(|detail| detail.starts_with(start)).count();
    assert_eq!((told("deleted, asked for by uid "), told("bounced by the administrator: not wanted")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_not_rerouted_by_a_weaker_route() {
    let (folder, hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    steer(&running, to(Verb::Hold, "one")).await;
    hand_in(&running, "kept", &["one"]).await;
    let id = only_id(&running);
    standing(&running, id, &[RecipientStanding::Held]).await;
    let refused = steer(&running, Steer { via: Some("weak".into()), ..about(Verb::Reroute, id) }).await;
    assert_eq!((refused.changed, refused.refused.len()), (0, 1));
    assert_eq!(refused.refused[0].domain, "one.test");
    assert!(refused.refused[0].why.contains("it lacks tls = \"encrypt\""), "{refused:?}");
    let unknown = Steer { via: Some("none".into()), ..about(Verb::Reroute, id) };
    let answer = ask(&running, Request::QueueSteer(Box::new(unknown))).await;
    assert!(matches!(&answer, Response::Error { message, .. } if message.contains("no [[route]]")), "{answer:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_refuses_what_would_be_refused_and_changes_nothing() {
    let (folder, hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    let rehearsed = |asked: Steer| Steer { dry_run: true, ..asked };
    let place = steer(&running, rehearsed(to(Verb::Hold, "one"))).await;
    assert_eq!(place.destinations, ["mail to one.test"]);
    assert!(matches!(ask(&running, Request::QueueHolds).await, Response::Holds { holds } if holds.is_empty()));

    steer(&running, to(Verb::Hold, "one")).await;
    hand_in(&running, "kept", &["one"]).await;
    let id = only_id(&running);
    standing(&running, id, &[RecipientStanding::Held]).await;
    let weak = Steer { via: Some("weak".into()), ..about(Verb::Reroute, id) };
    let refused = steer(&running, rehearsed(weak)).await;
    assert_eq!((refused.changed, refused.refused.len()), (0, 1));
    let retried = steer(&running, rehearsed(about(Verb::Retry, id))).await;
    assert_eq!((retried.changed, retried.unchanged, retried.still_held), (0, 1, 1));
    let freed = steer(&running, rehearsed(to(Verb::Release, "one"))).await;
    assert_eq!((freed.changed, freed.destinations.len()), (1, 1));
    standing(&running, id, &[RecipientStanding::Held]).await;
    assert_eq!(steer(&running, to(Verb::Release, "one")).await.changed, 1, "it was held with its domain");
    running.stop().await;
    let recorded = recorded(folder.path());
    assert_eq!(recorded.iter().filter(|detail| detail.starts_with("reroute") || detail.contains("retry")).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_would_hold_nothing_is_refused() {
    let (folder, hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    let by = |route: &str| Steer {
        filter: Filter { route: Some(route.into()), ..Filter::default() },
        ..Steer::of(Verb::Hold)
    };
    for (steer, expected) in [
        (by("none"), "there is no route named \"none\""),
        (Steer { for_secs: Some(0), ..to(Verb::Hold, "one") }, "from 1 second"),
        (Steer { for_secs: Some(u64::MAX), ..to(Verb::Hold, "one") }, "to 100 years"),
    ] {
        let answer = ask(&running, Request::QueueSteer(Box::new(steer))).await;
        assert!(matches!(&answer, Response::Error { message, .. } if message.contains(expected)), "{answer:?}");
    }
    assert!(matches!(ask(&running, Request::QueueHolds).await, Response::Holds { holds } if holds.is_empty()));
    assert_eq!(steer(&running, by("weak")).await.destinations, ["mail by the route weak"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_about_one_message_at_once_both_count() {
    let (folder, hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    steer(&running, to(Verb::Hold, "one")).await;
    for _ in 0..20 {
        hand_in(&running, "gone", &["one"]).await;
        let id = only_id(&running);
        standing(&running, id, &[RecipientStanding::Held]).await;
        // The record of a hold by itself is being written while the deletion is asked for.
        let (held, deleted) =
            tokio::join!(steer(&running, about(Verb::Hold, id)), steer(&running, about(Verb::Delete, id)),);
        assert!(deleted.unknown.is_empty() && deleted.deliveries == 1, "{deleted:?}");
        assert!(held.deliveries <= 1, "{held:?}");
        let is_gone = async {
            while running.spool().message_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, is_gone).await.expect("the deletion was forgotten");
    }
    running.stop().await;
    let recorded = recorded(folder.path());
    assert_eq!(recorded.iter().filter(|detail| detail.starts_with("deleted, asked for by uid ")).count(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_comes_while_a_message_is_delivered_outdoes_the_hold_before_it() {
    let (folder, listener) = (tempfile::tempdir().unwrap(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let address = listener.local_addr().unwrap();
    let hop = Hop { address, reports: mpsc::unbounded_channel().1, _task: JoinSet::new() };
    let running = begin(folder.path(), &hop).await;
    hand_in(&running, "slow", &["one"]).await;
    let (silent, _) = listener.accept().await.unwrap();
    let id = only_id(&running);
    assert_eq!(steer(&running, about(Verb::Hold, id)).await.active, 1);
    assert_eq!(steer(&running, about(Verb::Release, id)).await.active, 1);
    drop(silent);
    let again = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("it is held");
    drop(again);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_hold_of_a_destination_frees_nothing_that_is_held_by_itself() {
    let (folder, mut hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    steer(&running, to(Verb::Hold, "one")).await;
    hand_in(&running, "evidence", &["one"]).await;
    let id = only_id(&running);
    standing(&running, id, &[RecipientStanding::Held]).await;
    let rehearse = |steer: Steer| Steer { dry_run: true, ..steer };
    let counts = |answer: &Steered| (answer.changed, answer.unchanged, answer.still_held);
    let released = steer(&running, rehearse(about(Verb::Release, id))).await;
    assert_eq!(counts(&released), (0, 1, 1), "it is held with its destination");
    assert_eq!(steer(&running, about(Verb::Hold, id)).await.changed, 1);
    let (one, all) = (rehearse(about(Verb::Release, id)), rehearse(to(Verb::Release, "one")));
    assert_eq!(counts(&steer(&running, one).await), (1, 0, 1), "both ways");
    assert_eq!(counts(&steer(&running, all).await), (0, 1, 1), "both ways");
    let ended = steer(&running, to(Verb::Release, "one")).await;
    assert_eq!((ended.destinations.len(), ended.changed, ended.still_held), (1, 0, 1));
    standing(&running, id, &[RecipientStanding::Held]).await;
    // There is no hold of the destination any more: this is about what waits.
    assert_eq!(steer(&running, to(Verb::Release, "one")).await.changed, 1);
    assert!(hop.next_message().await.contains("Subject: evidence"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_but_a_reroute_names_a_route_to_take() {
    let (folder, hop) = (tempfile::tempdir().unwrap(), Hop::start("250 hop\r\n").await);
    let running = begin(folder.path(), &hop).await;
    let via = Some("x from now on, asked for by uid 0: ticket".to_owned());
    let asked = Request::QueueSteer(Box::new(Steer { via, all: true, ..Steer::of(Verb::Release) }));
    assert!(matches!(ask(&running, asked).await, Response::Error { .. }));
    running.stop().await;
    assert!(recorded(folder.path()).iter().all(|detail| !detail.contains("uid 0: ticket")));
}
