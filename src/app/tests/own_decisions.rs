//! The whole relay with domains that share a next hop and want different things: each gets what its own file says.

use std::path::Path;

use crate::dns::fake::FakeResolver;

use super::{Hop, Seen, relay, send, write_files};

/// The ends of attempts that are on record, each as the event with its recipients.
fn recorded(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("audit")).unwrap();
    let log: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect();
    let records = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let end = |record: serde_json::Value| {
        let event = record["event"].as_str()?.strip_prefix("outbound.").filter(|event| *event != "attempt")?;
        let expired = if record["expired"] == true { " expired" } else { "" };
        let to: Vec<&str> = record["to"].as_array()?.iter().filter_map(|to| to.as_str()).collect();
        Some(format!("{event}{expired} {}", to.join(" ")))
    };
    let mut ends: Vec<String> = records.filter_map(end).collect();
    ends.sort();
    ends
}

/// One message for all these domains over one route that asks for TLS, to a hop without it. Stops after as many
/// connections.
async fn check(files: &[(&str, &str)], connections: usize, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut hop = Hop::start("250 hop\r\n").await;
    let route = format!("[default.route]\nhosts = [\"{}\"]\ntls = \"encrypt\"\n", hop.address);
    let written: Vec<(&str, String)> =
        files.iter().map(|(name, keys)| (*name, format!("[outbound]\n{keys}\n"))).collect();
    write_files(folder.path(), &route, &written);
    let running = relay(folder.path(), FakeResolver::default()).await;
    let domains: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    send(&running, &domains).await;
    for _ in 0..connections {
        assert_eq!(hop.next().await, Seen::Connection, "{files:?}");
    }
    running.stop().await;
    assert_eq!(recorded(folder.path()), expected, "{files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recipient_ends_as_its_own_domain_says_whoever_is_beside_it() {
    let keep = ("keep", "on_tls_failure = \"defer\"");
    let drop = ("drop", "on_tls_failure = \"bounce\"");
    let (long, short) = (("long", "lifetime = \"2d\""), ("short", "lifetime = \"1s\""));
    let ends = ["bounced a@drop.test", "deferred a@keep.test"];
    check(&[keep, drop], 2, &ends).await;
    check(&[drop, keep], 2, &ends).await;
    let ends = ["bounced expired a@short.test", "deferred a@long.test", "deferred a@short.test"];
    check(&[long, short], 3, &ends).await;
    check(&[short, long], 3, &ends).await;
    check(&[keep, ("keep-too", keep.1)], 1, &["deferred a@keep.test a@keep-too.test"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaintext_that_one_domain_wants_is_not_used_for_another_that_takes_tls_where_offered() {
    let folder = tempfile::tempdir().unwrap();
    let mut hop = Hop::start("250-hop\r\n250 STARTTLS\r\n").await;
    let keys = |tls| format!("[route]\nhosts = [\"{}\"]\ntls = \"{tls}\"\n", hop.address);
    let files = [("off", keys("off")), ("offered", keys("opportunistic"))];
    write_files(folder.path(), "", &files);
    let running = relay(folder.path(), FakeResolver::default()).await;
    let mut found = Vec::new();
    for domain in ["off", "offered"] {
        send(&running, &[domain]).await;
        loop {
            found.push(match hop.next().await {
                Seen::Connection => "connection",
                Seen::StartTls => "starttls",
                Seen::Message(_) => "message",
            });
            if found.last() == Some(&"message") {
                break;
            }
        }
    }
    running.stop().await;
    assert_eq!(found, ["connection", "message", "connection", "starttls", "connection", "message"]);
}
