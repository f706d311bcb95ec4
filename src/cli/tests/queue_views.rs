//! `queue list` and `queue top` as programs and people see them.

use serde_json::Value;

use super::{answering, run};
use crate::admin::protocol::{Request, Response};
use crate::cli::queue::{sample_message, sample_top};
use crate::model::id::MessageId;

#[test]
fn as_json_the_queue_is_one_array_however_many_pages_it_has_and_pages_without_a_match_lead_on() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let page = |ids: &[u128], after: u128, more| Response::Queue {
        messages: ids.iter().map(|id| sample_message(*id)).collect(),
        more,
        after: Some(MessageId::from_u128(after)),
    };
    let pages = vec![page(&[], 5, true), page(&[7, 8], 8, true), page(&[9], 9, false), page(&[], 9, false)];
    let daemon = answering(&socket, pages);
    let line = format!("queue list --json --route escrow --socket {}", socket.display());
    let ran = run(folder.path(), &line);
    let listed: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.exit, listed.len()), (0, 3), "{ran:?}");
    assert_eq!(listed[2]["id"], MessageId::from_u128(9).to_string());
    assert_eq!(run(folder.path(), &line).out, "[]\n");
    let requests = daemon.join().unwrap();
    let after = |request: &Request| match request {
        Request::QueueList { filter, after, .. } if filter.route.as_deref() == Some("escrow") => {
            after.map(MessageId::as_u128)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(requests.iter().map(after).collect::<Vec<_>>(), [None, Some(5), Some(8), None]);
}

#[test]
fn a_limit_ends_the_list_and_a_page_that_does_not_lead_on_does_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let page = |ids: &[u128]| Response::Queue {
        messages: ids.iter().map(|id| sample_message(*id)).collect(),
        more: true,
        after: None,
    };
    let daemon = answering(&socket, vec![page(&[7, 8]), page(&[9, 10]), page(&[7]), page(&[7])]);
    let ran = run(folder.path(), &format!("queue list --limit 3 --socket {}", socket.display()));
    assert!(ran.exit == 0 && ran.out.ends_with("\n3 messages\n"), "{ran:?}");
    let ran = run(folder.path(), &format!("queue list --socket {}", socket.display()));
    assert!(ran.exit == 0 && ran.out.ends_with("\n2 messages\n"), "{ran:?}");
    let requests = daemon.join().unwrap();
    assert!(matches!(requests[1], Request::QueueList { limit: Some(1), .. }), "{requests:?}");
}

#[test]
fn where_neither_the_daemon_answers_nor_its_spool_is_there_both_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[admin]\nsocket = \"c.sock\"\n[spool]\npath = \"no-spool\"\n";
    std::fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    let id = MessageId::from_u128(7);
    for line in ["list".to_owned(), format!("show {id}"), format!("why {id}")] {
        let ran = run(folder.path(), &format!("queue {line}"));
        assert!(ran.exit == 3 && ran.err.contains("c.sock") && ran.err.contains("no-spool"), "{ran:?}");
    }
    let ran = run(folder.path(), "queue top --once");
    assert!(ran.exit == 3 && ran.err.contains("c.sock"), "{ran:?}");
}

#[test]
fn one_look_at_the_destinations_is_a_table_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let answer = || Response::Top(Box::new(sample_top(3)));
    let daemon = answering(&socket, vec![answer(), answer()]);
    let ran = run(folder.path(), &format!("queue top --once --sort age --socket {}", socket.display()));
    assert!(ran.exit == 0 && ran.out.contains("\nDESTINATION ") && ran.out.contains("\nbank2.example"), "{ran:?}");
    let ran = run(folder.path(), &format!("queue top --json --limit 3 --socket {}", socket.display()));
    let top: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&top["messages"], &top["destinations"][0]["waiting"]), (&1_234_567.into(), &500_000.into()));
    let asked: Vec<Value> =
        daemon.join().unwrap().iter().map(|request| serde_json::to_value(request).unwrap()).collect();
    assert_eq!(asked[0], serde_json::json!({ "command": "queue-top", "limit": 20, "order": "age" }));
    assert_eq!(asked[1], serde_json::json!({ "command": "queue-top", "limit": 3, "order": "count" }));
}
