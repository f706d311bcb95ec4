//! The layout of `queue top`.

use std::time::Duration;

use super::*;
use crate::model::reason::Reason;
use crate::outbound::overview::Overview;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn destination(name: &str) -> DestinationView {
    DestinationView {
        name: name.into(),
        is_route: false,
        ready: 12,
        waiting: 500_000,
        held: 0,
        active: 3,
        concurrency: 4,
        concurrency_max: 20,
        is_held: false,
        oldest: Some(NOW - Duration::from_secs(4 * 3600)),
        delivered_per_second: 12.34,
        deferred_per_second: 0.44,
        down_until: None,
        rate_until: None,
        last: Some(Trouble {
            at: NOW - Duration::from_secs(30),
            reason: Reason::RemoteDeferred,
            mx: Some("mx1.bank.example".into()),
            detail: "421 4.7.0 too many connections".into(),
        }),
    }
}

/// With so many destinations.
pub(in crate::cli::queue) fn top(destinations: usize) -> Top {
    Top {
        at: NOW,
        hostname: "mx1.example.org".into(),
        messages: 1_234_567,
        spool_free_bytes: 12_000_000_000,
        spool_fault: None,
        audit_writable: true,
        draining: false,
        overview: Overview {
            destination_count: 10_003,
            held_destinations: 2,
            down_destinations: 5,
            oldest: Some(NOW - Duration::from_secs(5 * 3600)),
            arrived_per_second: 120.0,
            delivered_per_second: 110.4,
            deferred_per_second: 0.01,
            ready: 1200,
            waiting: 1_200_000,
            held: 33,
            active: 300,
            concurrency: 500,
            destinations: (0..destinations).map(|number| destination(&format!("bank{number}.example"))).collect(),
        },
    }
}

fn plain(top: &Top, columns: usize) -> Vec<String> {
    let lines = lines(top, Room { columns, rows: 100 });
    lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
}

#[test]
fn what_is_so_for_all_stands_above_the_destinations_within_80_columns() {
    let mut top = top(4);
    top.overview.destinations[1].is_held = true;
    top.overview.destinations[2] =
        DestinationView { down_until: Some(NOW + Duration::from_secs(90)), is_route: true, ..destination("escrow") };
    top.overview.destinations[0].name = "domains.d/bank0.toml".into();
    top.overview.destinations[3] = DestinationView { last: None, concurrency: 20, ..destination("a.example") };
    let expected = "\
mx1.example.org: 1,234,567 messages, oldest 5h, spool 12GB free
deliveries    1,200 ready, 1,200,000 waiting, 33 held, 300 active of at most 500
per second    120 messages in, 110 deliveries made, 0 deferred
destinations  10,003: 2 held, 5 down

DESTINATION       READY   WAIT  HELD  ACTIVE  OLD  OUT/s  DEF/s  LAST ERROR
bank0.toml           12   500k     0     3/4   4h     12    0.4  remote-deferre…
bank1.example        12   500k     0    held   4h     12    0.4  remote-deferre…
route escrow         12   500k     0    down   4h     12    0.4  probe in 1m, r…
a.example            12   500k     0    3/20   4h     12    0.4";
    assert_eq!(plain(&top, 80).join("\n"), expected);
}

#[test]
fn a_wide_terminal_gets_the_words_of_the_last_error() {
    let lines = plain(&top(1), 200);
    let row = lines.last().unwrap();
    let words = "remote-deferred at mx1.bank.example 30s ago: 421 4.7.0 too many connections, 20 at most";
    assert!(row.ends_with(words), "{row}");
}

#[test]
fn trouble_is_told_in_words_and_nothing_is_wider_than_the_room() {
    let mut troubled = top(0);
    troubled.spool_fault = Some("no space\u{1b}[2J left ".repeat(10));
    troubled.audit_writable = false;
    let lines = plain(&troubled, 80);
    assert!(lines[4].starts_with("TROUBLE       takes no mail: no space\\u{1b}"), "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("Nothing waits"), "{lines:#?}");
    let mut long = top(3);
    for one in &mut long.overview.destinations {
        one.name = "x".repeat(253);
        (one.ready, one.waiting, one.held, one.active) = (99_999, 9_999_999, 123_456_789, 9999);
        (one.delivered_per_second, one.concurrency) = (123_456.7, 9999);
    }
    for columns in [80, 120, 200] {
        let lines = plain(&long, columns);
        assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:#?}");
    }
}

#[test]
fn numbers_and_rates_are_short() {
    for (count, expected) in [(0, "0"), (99_999, "99999"), (100_000, "100k"), (9_999_999, "9999k"), (12_345_678, "12M")]
    {
        assert_eq!(number(count), expected);
    }
    for (per_second, expected) in
        [(0.0, "0"), (0.04, "0"), (0.06, "0.1"), (9.94, "9.9"), (9.96, "10"), (1234.5, "1234")]
    {
        assert_eq!(rate(per_second), expected);
    }
}
