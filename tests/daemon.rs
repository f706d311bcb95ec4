//! The daemon as a process: start, reload, drain, kill and restart, and what it says when it cannot start.

#[path = "daemon/client.rs"]
mod client;
#[path = "daemon/hop.rs"]
mod hop;
#[path = "daemon/process.rs"]
mod process;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use client::Client;
use gatepost::audit::checkpoint::{Checkpoint, Why, verify_signature};
use gatepost::audit::key::PublicKey;
use hop::Hop;
use nix::sys::signal::Signal;
use process::{Home, Process, refused};

const DATA: &str = "Subject: hello\r\n\r\n.dot\r\nhello\r\n";
/// More than are tried before hosts count as gone.
const MANY: usize = 20;
/// A port that nobody listens on.
const NOBODY: u16 = 1;

/// Hosted domains `lax.example`, and what `extra` says of it.
fn lax(hop_port: u16, extra: &str) -> String {
    let hosted = "domains = [\"lax.example\"]\nhosted = true\nrecipients = \"any\"";
    format!("{hosted}\n[route]\nhosts = [\"127.0.0.1:{hop_port}\"]\n{extra}")
}

fn open_transaction(client: &mut Client) {
    client.say("EHLO client.test", "250");
    client.say("MAIL FROM:<a@sender.example>", "250");
    client.say("RCPT TO:<b@lax.example>", "250");
}

fn send_content(client: &mut Client) {
    client.say("DATA", "354");
    client.send(&DATA.replace("\r\n.", "\r\n.."));
    client.say(".", "250 2.0.0 Ok: queued as ");
}

#[test]
fn mail_comes_in_under_starttls_and_goes_out_unchanged() {
    let hop = Hop::start();
    let home = Home::new();
    home.domain("lax", &lax(hop.port, "[inbound]\ntls = \"required\"\nmin_version = \"TLSv1.3\"\n"));
    let daemon = Process::start(&home);
    let mut client = daemon.connect();
    assert!(client.say("EHLO client.test", "250").contains("STARTTLS"));
    client.say("MAIL FROM:<a@sender.example>", "250");
    client.say("RCPT TO:<b@lax.example>", "550 5.7.10 ");
    client.say("STARTTLS", "220");
    let mut client = client.handshake(&home.certificate);
    client.say("MAIL FROM:<a@sender.example>", "503");
    assert!(!client.say("EHLO client.test", "250").contains("STARTTLS"));
    client.say("MAIL FROM:<a@sender.example>", "250");
    client.say("RCPT TO:<b@lax.example>", "250");
    send_content(&mut client);
    client.say("QUIT", "221");
    let arrived = hop.next();
    assert!(arrived.starts_with("Received: from client.test") && arrived.ends_with(DATA), "{arrived}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_demands_tls_is_refused_for_a_back_end_that_is_known_not_to_promise_it() {
    let hop = Hop::under_tls();
    let home = Home::new();
    home.domain("lax", &lax(hop.port, ""));
    let daemon = Process::start(&home);
    let mut client = daemon.connect();
    client.say("EHLO client.test", "250");
    client.say("MAIL FROM:<a@sender.example> REQUIRETLS", "530 5.7.10 ");
    client.say("STARTTLS", "220");
    let mut client = client.handshake(&home.certificate);
    assert!(client.say("EHLO client.test", "250").contains("250-REQUIRETLS\r\n"));
    // Nothing is known of the back end yet.
    client.say("MAIL FROM:<a@sender.example> REQUIRETLS", "250");
    client.say("RCPT TO:<b@lax.example>", "250");
    client.say("RSET", "250");
    open_transaction(&mut client);
    send_content(&mut client);
    assert!(hop.next().ends_with(DATA));
    for (mail, expected) in [
        ("MAIL FROM:<a@sender.example> REQUIRETLS", "550 5.7.30 "),
        ("MAIL FROM:<a@sender.example>", "250"),
        ("MAIL FROM:<> REQUIRETLS", "250"),
    ] {
        client.say(mail, "250");
        client.say("RCPT TO:<b@lax.example>", expected);
        client.say("RSET", "250");
    }
    client.say("QUIT", "221");
    assert_eq!(daemon.stop(), Some(0));
    let log = fs::read_dir(home.path().join("audit")).unwrap().map(|file| file.unwrap().path());
    let log: String = log.filter_map(|file| fs::read_to_string(file).ok()).collect();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("requiretls-not-supported")).collect();
    assert!(matches!(refused[..], [line] if line.contains("\"requiretls\":true")), "{log}");
}

#[test]
fn signals_that_come_during_the_start_are_heard_after_it() {
    let home = Home::new();
    home.domain("lax", &lax(1, ""));
    let daemon = Process::start(&home);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("configuration reloaded");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_stop_tells_idle_sessions_and_lets_a_transaction_end() {
    let hop = Hop::start();
    let home = Home::new();
    home.domain("lax", &lax(hop.port, ""));
    let daemon = Process::start(&home);
    let (mut idle, mut busy) = (daemon.connect(), daemon.connect());
    idle.say("EHLO client.test", "250");
    open_transaction(&mut busy);
    busy.say("DATA", "354");
    daemon.signal(Signal::SIGTERM);
    idle.expect("421 ");
    idle.expect_end();
    busy.send(DATA);
    busy.say(".\r\nNOOP", "250 2.0.0 Ok: queued as ");
    busy.expect("421 ");
    busy.expect_end();
    assert_eq!(daemon.wait(), Some(0));
    assert!(!home.control_socket().exists());
    // Delivered before the end or after the start, but in any case delivered.
    let again = Process::start(&home);
    assert!(hop.next().ends_with("hello\r\n"));
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_stop_leaves_no_record_without_a_checkpoint_and_a_key_that_others_read_is_refused() {
    let home = Home::new();
    home.domain("lax", &lax(1, ""));
    let daemon = Process::start(&home);
    assert_eq!(daemon.stop(), Some(0));
    let log = fs::read_to_string(home.path().join("audit/00000001.jsonl")).unwrap();
    let last = log.lines().last().unwrap();
    assert!(last.contains("\"event\":\"checkpoint\"") && last.contains("\"why\":\"stop\""), "{last}");
    assert_eq!(fs::read_to_string(home.path().join("audit.key.seen")).unwrap(), format!("{last}\n"));
    let key = home.path().join("audit.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, words) = refused(&home);
    assert!(code.is_some_and(|code| code > 0) && words.contains("chmod 600"), "{words}");
}

#[test]
fn a_reload_swaps_the_configuration_as_a_whole_or_keeps_the_old_one() {
    let home = Home::new();
    home.domain("lax", &lax(1, ""));
    let daemon = Process::start(&home);
    let (mut early, mut late) = (daemon.connect(), daemon.connect());
    early.say("EHLO client.test", "250");
    early.say("MAIL FROM:<a@sender.example>", "250");
    home.domain("lax", &lax(1, "[inbound]\ntls = \"required\"\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("configuration reloaded");
    early.say("RCPT TO:<b@lax.example>", "250");
    late.say("EHLO client.test", "250");
    late.say("MAIL FROM:<a@sender.example>", "250");
    late.say("RCPT TO:<b@lax.example>", "550 5.7.10 ");
    home.domain("other", "domains = [\"lax.example\"]\nhosted = maybe\n");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the old one stays in force");
    late.say("RCPT TO:<b@lax.example>", "550 5.7.10 ");
    drop((early, late));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_queue_that_no_daemon_serves_is_read_as_it_will_be_found() {
    let home = Home::new();
    home.domain("lax", &lax(NOBODY, ""));
    let daemon = Process::start(&home);
    let mut client = daemon.connect();
    client.say("EHLO client.test", "250");
    client.say("MAIL FROM:<a@sender.example>", "250");
    client.say("RCPT TO:<b@lax.example>", "250");
    send_content(&mut client);
    daemon.wait_for("deferred");
    let list = |filter: &str| {
        let arguments = [&["list", "--json"][..], &filter.split_whitespace().collect::<Vec<_>>()].concat();
        let (exit, text, words) = home.run("queue", &arguments);
        assert_eq!(exit, Some(0), "{words}");
        (serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap(), words)
    };
    let filter = "--to-domain lax.example --from-domain sender.example --reason connect-failed";
    // What an attempt came to is written within a second.
    let found = std::iter::repeat_with(|| list(filter)).take(1000).find(|(listed, _)| !listed.is_empty());
    let (running, words) = found.unwrap();
    assert_eq!((running.len(), words.as_str()), (1, ""));
    let (exit, top, words) = home.run("queue", &["top"]);
    assert!(exit == Some(0) && top.contains("connect-failed") && top.contains("\nlax.toml "), "{top}{words}");
    let (_, status, _) = home.run("status", &[]);
    assert!(status.contains("most for ") && status.contains(": 1, oldest "), "{status}");
    assert_eq!(home.run("queue", &["hold", "--to-domain", "lax.example", "--why", "they move"]).0, Some(0));
    let running = list(filter).0;
    let hold = &running[0]["recipients"][0]["hold"];
    assert_eq!((&hold["domain"], &hold["reason"]), (&"lax.example".into(), &"they move".into()));
    let sentence = running[0]["why"].as_str().unwrap();
    assert!(sentence.starts_with("All mail for lax.example is held by uid "), "{sentence}");
    assert_eq!(daemon.stop(), Some(0));

    let (stopped, words) = list(filter);
    assert!(words.starts_with("note: no daemon answers on "), "{words}");
    for (key, expected) in
        running[0].as_object().unwrap().iter().filter(|(key, _)| *key != "recipients" && *key != "why")
    {
        assert_eq!(stopped[0][key], *expected, "{key}");
    }
    for key in ["address", "destination", "state", "attempts", "reason", "detail", "expires_at", "hold"] {
        assert_eq!(stopped[0]["recipients"][0][key], running[0]["recipients"][0][key], "{key}");
    }
    assert_eq!(list("--older-than 1h").0.len() + list("--route nowhere").0.len(), 0);
    let route = running[0]["recipients"][0]["destination"].as_str().unwrap();
    let (exit, shown, words) = home.run("queue", &["show", running[0]["id"].as_str().unwrap()]);
    assert!(exit == Some(0) && shown.contains("subject   hello") && shown.contains("is held by uid"), "{shown}{words}");
    assert_eq!(list(&format!("--route {}", route.split(':').next().unwrap())).0.len(), 1, "{route}");
    let (exit, why, _) = home.run("queue", &["why", "00000000000000000000000007"]);
    assert_eq!((exit, why.as_str()), (Some(1), ""));
}

#[test]
fn what_was_accepted_before_a_kill_is_delivered_after_the_restart() {
    // Connections to it are taken by the system only: the first delivery is under way when the kill comes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    home.domain("lax", &lax(silent.local_addr().unwrap().port(), ""));
    let daemon = Process::start(&home);
    let mut client = daemon.connect();
    open_transaction(&mut client);
    send_content(&mut client);
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.wait(), None);
    let hop = Hop::serve(silent);
    let again = Process::start(&home);
    assert!(hop.next().ends_with(DATA));
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_selftest_finds_every_verdict_as_the_policy_says_and_sees_when_another_policy_is_in_force() {
    let home = Home::new();
    home.main_file(|text| format!("{text}max_errors = 3\n"));
    home.domain("lax", &lax(1, "[inbound]\nmin_version = \"TLSv1.2\"\ncipher = \"forward-secret\"\n"));
    home.domain("partner", "domains = [\"partner.example\"]\n[inbound]\ntls = \"required\"\nmode = \"report\"\n");
    let daemon = Process::start(&home);
    let address = daemon.address().to_string();
    let selftest = |arguments: &[&str]| home.run("selftest", &[&["--address", &address], arguments].concat());
    let (code, result, words) = selftest(&["--json"]);
    assert_eq!(code, Some(0), "{result}{words}");
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!((&result["equal"], &result["config"]), (&true.into(), &result["daemon_config"]));
    let listener = &result["listeners"][0];
    let rows = listener["rows"].as_array().unwrap();
    let replies = |row: &serde_json::Value| {
        let verdicts = row["verdicts"].as_array().unwrap().iter();
        verdicts.map(|verdict| verdict["got"]["reply"].as_str().unwrap()[..10].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(replies(&rows[0]), ["550 5.7.10", "250 2.1.5 ", "250 2.1.5 ", "550 5.7.1 "]);
    let modern = rows.iter().find(|row| row["cipher_openssl"] == "ECDHE-ECDSA-AES256-GCM-SHA384").unwrap();
    assert_eq!(replies(modern), ["250 2.1.5 ", "250 2.1.5 ", "250 2.1.5 ", "550 5.7.1 "]);
    let (code, _, _) = selftest(&["--domain", "lax.example"]);
    assert_eq!(code, Some(0));

    // Written, but not in force.
    home.domain("lax", &lax(1, "[inbound]\nmin_version = \"TLSv1.3\"\n"));
    let (code, result, words) = selftest(&["mx", "--domain", "lax.example"]);
    assert_eq!(code, Some(1), "{result}{words}");
    assert!(result.contains("gatepost reload") && result.contains("!250"), "{result}");
    assert!(result.contains("expected  at RCPT: 554 5.7.10 "), "{result}");
    assert_eq!(daemon.stop(), Some(0));
    let (code, result, _) = selftest(&[]);
    assert_eq!((code, result.contains("connection refused")), (Some(3), true), "{result}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    home.domain("lax", &lax(1, ""));
    home.main_file(|text| text.replace("127.0.0.1:0", &address));
    let (code, words) = refused(&home);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains(&address), "{words}");
}

#[test]
fn a_second_daemon_on_the_same_spool_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    home.domain("lax", &lax(1, ""));
    let daemon = Process::start(&home);
    home.main_file(|text| text.replace("control.sock", "second.sock"));
    let (code, words) = refused(&home);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("spool"), "{words}");
    daemon.connect().say("EHLO client.test", "250");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_second_daemon_on_the_same_control_socket_is_refused_and_leaves_the_socket_alone() {
    let home = Home::new();
    home.domain("lax", &lax(1, ""));
    let daemon = Process::start(&home);
    let (code, words) = refused(&home);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("control.sock"), "{words}");
    assert!(std::os::unix::net::UnixStream::connect(home.control_socket()).is_ok());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn every_error_of_a_wrong_configuration_is_told_at_once() {
    let home = Home::new();
    home.domain("lax", "domains = [\"lax.example\"]\nhosted = true\n");
    home.domain("twin", "domains = [\"lax.example\"]\ncolour = \"red\"\n");
    home.main_file(|text| format!("{text}[dns]\nservers = [\"nonsense\"]\n"));
    let (code, words) = refused(&home);
    assert_eq!(code, Some(2), "{words}");
    for expected in ["lax.toml", "recipients", "twin.toml", "colour", "gatepost.toml", "nonsense", "is written before"]
    {
        assert!(words.contains(expected), "{expected} is not told in: {words}");
    }
    assert!(!Path::new(&home.path().join("spool/journal")).exists());
}

#[test]
fn checkpoints_are_kept_elsewhere_to_the_last_and_a_new_key_is_vouched_for_by_the_old() {
    let home = Home::new();
    home.domain("lax", &lax(1, ""));
    std::fs::create_dir(home.path().join("elsewhere")).unwrap();
    home.main_file(|main| main.replace("[audit]", "[audit]\ncheckpoint_file = \"elsewhere/checkpoints.jsonl\""));
    let daemon = Process::start(&home);
    let (exit, asked_for, error) = home.run("audit", &["checkpoint", "--line"]);
    assert_eq!(exit, Some(0), "{error}");
    let (exit, old_key, error) = home.run("audit", &["key"]);
    assert_eq!(exit, Some(0), "{error}");
    let (exit, _, error) = home.run("audit", &["key", "--rotate"]);
    assert_eq!(exit, Some(0), "{error}");
    let (_, status, _) = home.run("status", &[]);
    assert!(status.contains("elsewhere/checkpoints.jsonl"), "{status}");
    // Leaves a record for the checkpoint of the stop to cover.
    assert_eq!(home.run("reload", &[]).0, Some(0));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(home.run("audit", &["checkpoint"]).0, Some(3));

    let file = std::fs::read_to_string(home.path().join("elsewhere/checkpoints.jsonl")).unwrap();
    assert!(file.contains(&asked_for), "{file}");
    let log = std::fs::read_to_string(home.path().join("audit/00000001.jsonl")).unwrap();
    let mut key: PublicKey = old_key.lines().next().unwrap().parse().unwrap();
    let mut whys = Vec::new();
    for line in file.lines() {
        let checkpoint = Checkpoint::parse(line.as_bytes()).unwrap();
        assert!(verify_signature(line.as_bytes(), &key) && checkpoint.statement.key == key, "{line}");
        assert!(log.contains(line), "{line}");
        key = checkpoint.key_in_force();
        whys.push(checkpoint.statement.why);
    }
    assert!(whys.contains(&Why::Demand) && whys.contains(&Why::Key), "{whys:?}");
    assert_eq!(whys.last(), Some(&Why::Stop), "{whys:?}");
    assert_eq!(home.run("audit", &["key"]).1.lines().next(), Some(key.to_string().as_str()));
    assert!(log.contains("a new key for checkpoints, asked for by uid "), "{log}");
}

#[test]
fn mail_for_hosts_that_nobody_can_reach_is_put_off_untried_and_goes_out_when_they_are_back() {
    // Below the ports that the system gives to who asks for any.
    let port = 20_000 + (std::process::id() % 10_000) as u16;
    let closed = SocketAddr::from(([127, 0, 0, 1], port));
    let home = Home::new();
    home.domain("lax", &lax(closed.port(), ""));
    let daemon = Process::start(&home);
    let mut client = daemon.connect();
    client.say("EHLO client.test", "250");
    for _ in 0..MANY {
        client.say("MAIL FROM:<a@sender.example>", "250");
        client.say("RCPT TO:<b@lax.example>", "250");
        send_content(&mut client);
    }
    let recipients = |text: &str| -> Vec<serde_json::Value> {
        let messages: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        messages.into_iter().map(|message| message["recipients"][0].clone()).collect()
    };
    // What an attempt came to is written within a second.
    let is_told = |one: &serde_json::Value| one["state"] == "waiting" && one["detail"].is_string();
    let is_put_off = |all: &[serde_json::Value]| all.len() == MANY && all.iter().all(is_told);
    let list = || recipients(&home.run("queue", &["list", "--json"]).1);
    let all = std::iter::repeat_with(list).take(1000).find(|all| is_put_off(all)).unwrap();
    let is_untried = |one: &&serde_json::Value| one["detail"].as_str().unwrap().starts_with("not tried: ");
    let untried: Vec<&serde_json::Value> = all.iter().filter(is_untried).collect();
    assert!((1..MANY).contains(&untried.len()), "{all:#?}");
    for one in untried {
        let detail = one["detail"].as_str().unwrap();
        assert!(detail.contains("127.0.0.1] has not been reachable since 2"), "{detail}");
        assert!(detail.contains("(last: cannot connect to 127.0.0.1:"), "{detail}");
        assert_eq!(
            (&one["reason"], &one["mx"], &one["attempts"]),
            (&"connect-failed".into(), &"[127.0.0.1]".into(), &1.into())
        );
    }
    let (_, top, _) = home.run("queue", &["top", "--json"]);
    let top: serde_json::Value = serde_json::from_str(&top).unwrap();
    assert!(top["down_destinations"] == 1 && top["destinations"][0]["down_until"].is_string(), "{top:#}");

    let hop = Hop::serve(TcpListener::bind(closed).unwrap());
    assert_eq!(home.run("queue", &["retry", "--all"]).0, Some(0));
    (0..MANY).for_each(|_| assert!(hop.next().ends_with(DATA)));
    assert_eq!(daemon.stop(), Some(0));
}
