//! The load generator of `benches/compare` counts what it says it counts.

#[path = "../benches/load/figures.rs"]
#[allow(dead_code, reason = "the clock is for the programs")]
mod figures;
#[path = "../benches/load/message.rs"]
#[allow(dead_code, reason = "the sending half is for the source")]
mod message;
#[path = "../benches/load/tally.rs"]
#[allow(dead_code, reason = "the counts of connections are for the sink")]
mod tally;
#[path = "../benches/load/wire.rs"]
#[allow(dead_code, reason = "most of it is for the programs")]
mod wire;

use message::Mark;
use serde_json::json;
use tally::Tally;
use tokio::io::AsyncWriteExt;

#[test]
fn a_mark_is_found_behind_the_fields_that_relays_add() {
    let mark = Mark { run: 7, number: 41, sent_ns: 1_795_000_000_000_000_000 };
    let message = mark.header("from@a.example", "to@b.example");
    let received = "Received: from x (y [127.0.0.1])\r\n\tby relay; Sun, 22 Nov 2026 10:00:00 +0000\r\n";
    assert_eq!(Mark::find(format!("{received}{message}").as_bytes()), Some(mark));
    for other in ["Subject: a bounce\r\n\r\n", "X-Load: 7 forty 1\r\n\r\n", "X-Load: 7"] {
        assert_eq!(Mark::find(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn messages_that_never_came_and_that_came_twice_are_reported() {
    let mut tally = Tally::default();
    for number in [0, 1, 3, 1] {
        tally.add(Some(Mark { run: 1, number, sent_ns: 0 }));
    }
    tally.add(Some(Mark { run: 2, number: 2, sent_ns: 0 }));
    tally.add(None);
    assert_eq!(tally.count(1)["distinct"], 3);
    let report = tally.report(1, 5);
    let figures = ["distinct", "doubled", "missing", "strangers"].map(|name| report[name].clone());
    assert_eq!(figures, [json!(3), json!(1), json!([2, 4]), json!(1)]);
}

#[test]
fn content_ends_at_the_same_place_however_it_is_cut() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (content, rest) = ("Subject: x\r\n\r\n..\r\n.x\r\n\r\n.\r\n", "QUIT\r\n");
    let bytes = format!("{content}{rest}");
    for size in 1..=bytes.len() {
        let (near, mut far) = tokio::io::duplex(size);
        let (head, line) = runtime.block_on(async {
            let feed = async {
                far.write_all(bytes.as_bytes()).await.unwrap();
                drop(far);
            };
            let read = async {
                let mut wire = wire::Wire::new(near);
                (wire.content().await.unwrap(), wire.line().await.unwrap())
            };
            tokio::join!(feed, read).1
        });
        assert_eq!(head.as_deref(), Some(content.as_bytes()), "pieces of {size}");
        assert_eq!(line.as_deref(), Some("QUIT"), "pieces of {size}");
    }
}

#[test]
fn a_percentile_is_one_of_the_values() {
    let sorted: Vec<u64> = (1..=100).map(|millis| millis * 1_000_000).collect();
    for (share, expected) in [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)] {
        assert!((figures::percentile_ms(&sorted, share) - expected).abs() < 1e-9, "{share}");
    }
    assert!(figures::percentile_ms(&[], 0.5).abs() < 1e-9);
}
