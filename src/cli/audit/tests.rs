//! Commands that ask the daemon for a checkpoint or a key, with one that answers as it is told; and what all commands
//! say to input that is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::admin::protocol::{Request, Response};
use crate::audit::chain::{Hash, Tip};
use crate::audit::checkpoint::{Draft, Why, sign};
use crate::audit::event::{Event, Record, Stamp};
use crate::audit::key::{PublicKey, SigningKey};
use crate::cli::tests::{answering, run};
use crate::model::id::{MessageId, RecordId};
use crate::model::time::Timestamp;

/// Checkpoint 42, whose tree begins with record `first`.
fn line(first: u64, key: &SigningKey, next_key: Option<PublicKey>) -> String {
    let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
    let time = Timestamp::from_secs(1_800_000_000);
    let record = Record::new(&stamp, time, RecordId::from_u128(7), Event::Checkpoint);
    let why = if next_key.is_some() { Why::Key } else { Why::Demand };
    let draft = Draft { why, first, root: Hash::of(b""), next_key, removed: None };
    sign(draft, record, &Tip { seq: 41, hash: Hash::of(b"before") }, key).unwrap()
}

#[test]
fn a_checkpoint_is_told_in_words_and_its_line_is_given_whole() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let key = SigningKey::generate().unwrap();
    let cases = [
        (42, "no record since the checkpoint before"),
        (41, "record 41"),
        (30, "records 30 to 41, and through the chain all before"),
    ];
    let lines = cases.map(|(first, _)| line(first, &key, None));
    let answers = lines.iter().chain([&lines[0], &lines[0]]).map(|line| Response::Checkpoint { line: line.clone() });
    let daemon = answering(&socket, answers.collect());
    let ask = |options: &str| run(folder.path(), &format!("audit checkpoint --socket {} {options}", socket.display()));
    for ((_, covers), line) in cases.iter().zip(&lines) {
        let ran = ask("");
        let expected = format!(
            "Signed: checkpoint 42 is on stable storage.\n\
             time    2027-01-15 08:00:00 UTC\n\
             covers  {covers}\n\
             key     {}\n\n\
             Whoever keeps this line elsewhere can prove later that nothing before it was\n\
             changed, even against somebody who has the key:\n\
             {line}\n",
            key.public()
        );
        assert_eq!((ran.exit, ran.out), (0, expected));
    }
    assert_eq!(ask("--line").out, format!("{}\n", lines[0]));
    let json: Value = serde_json::from_str(&ask("--json").out).unwrap();
    assert_eq!((json["seq"].as_u64(), json["line"].as_str()), (Some(42), Some(lines[0].as_str())));
    assert_eq!(json["key"], key.public().to_string());
    assert!(daemon.join().unwrap().iter().all(|request| *request == Request::AuditCheckpoint));
}

#[test]
fn an_answer_that_is_no_checkpoint_is_not_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let plain = line(42, &SigningKey::generate().unwrap(), None);
    let answers = vec![
        Response::Checkpoint { line: "{}".into() },
        Response::fault("the disk is full".into()),
        Response::Checkpoint { line: plain },
    ];
    let daemon = answering(&socket, answers);
    let ask = |what: &str| run(folder.path(), &format!("audit {what} --socket {}", socket.display()));
    assert_eq!(ask("checkpoint").exit, 3);
    let ran = ask("checkpoint");
    assert!(ran.exit == 1 && ran.err.contains("the disk is full"), "{ran:?}");
    assert_eq!(ask("key --rotate").exit, 3);
    daemon.join().unwrap();
}

#[test]
fn a_replaced_key_is_shown_with_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap().public());
    let line = line(30, &old, Some(new));
    let answers = vec![Response::Checkpoint { line: line.clone() }, Response::Checkpoint { line: line.clone() }];
    let daemon = answering(&socket, answers);
    let ask =
        |options: &str| run(folder.path(), &format!("audit key --rotate --socket {} {options}", socket.display()));
    let ran = ask("");
    let expected = format!(
        "Replaced: checkpoint 42 is the last that the old key signed.\nold     {}\nnew     {new}\n\nKeep the",
        old.public()
    );
    assert!(ran.exit == 0 && ran.out.starts_with(&expected), "{ran:?}");
    let json: Value = serde_json::from_str(&ask("--json").out).unwrap();
    assert_eq!((json["key"].as_str(), json["line"].as_str()), (Some(new.to_string().as_str()), Some(line.as_str())));
    assert_eq!(daemon.join().unwrap(), [Request::AuditRotateKey, Request::AuditRotateKey]);
}

#[test]
fn the_public_half_of_the_key_is_shown_without_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.toml"), "audit = { path = \"audit\", key = \"audit.key\" }\nwrong").unwrap();
    let ran = run(folder.path(), "audit key");
    assert!(ran.exit == 1 && ran.err.contains("first start"), "{ran:?}");

    let key = SigningKey::generate().unwrap();
    let file = folder.path().join("audit.key");
    fs::write(&file, key.to_pem().unwrap().as_bytes()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = run(folder.path(), "audit key");
    assert!(ran.exit == 0 && ran.out.starts_with(&format!("{}\nis the public half of ", key.public())), "{ran:?}");
    let json: Value = serde_json::from_str(&run(folder.path(), "audit key --json").out).unwrap();
    assert_eq!(json["key"], key.public().to_string());

    fs::write(&file, "no key").unwrap();
    assert_eq!(run(folder.path(), "audit key").exit, 2);
}

#[test]
fn what_is_no_log_is_never_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let main = "hostname = \"mx1.example.org\"\nspool = { path = \"spool\" }\n\
                audit = { path = \"empty\", key = \"audit.key\" }\n\
                [[listener]]\nname = \"mx\"\nbind = [\"127.0.0.1:25\"]\nrole = \"mx\"\ntls = \"off\"\n";
    fs::write(path("gatepost.toml"), main).unwrap();
    for name in ["empty", "noise", "broken"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("noise/00000001.jsonl"), "\u{1b}[2J\n".repeat(3)).unwrap();
    fs::write(path("broken/00000001.jsonl.zst"), "no frame").unwrap();
    let check = |command: &str, name: &str, exit: u8, expected: &str| {
        let ran = run(folder.path(), &format!("audit {command} --path {}", path(name)));
        let said = (ran.err.clone() + &ran.out).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.exit == exit && said.contains(expected), "{command} of {name}: {ran:?}");
        assert!(!said.contains('\u{1b}'), "{command} of {name}: {ran:?}");
    };
    let message = MessageId::from_u128(9);
    let (trace, receipt) = (format!("trace {message}"), format!("receipt {message}"));
    let readers = [&trace, &receipt, "tail", "report", "digest --domain a.example", "what-if --set tls=required"];
    for command in readers {
        check(command, "missing", 2, "there is no such file or folder help: name the folder");
        check(command, "gatepost.toml", 2, "a file stands where a folder should be help: name the folder");
        check(command, "empty", 2, "there is no audit log in");
        check(command, "broken", 2, "help: `gatepost audit verify` says what is wrong");
    }
    check("verify", "missing", 2, "help: name the folder");
    check("verify", "empty", 1, "There is no record: nothing can be proved");
    check("verify", "noise", 1, "The log is broken");
    check("verify", "broken", 1, "The log is broken");
    check("tail", "noise", 0, "a line that is no record: see `gatepost audit verify`");
    check("report", "noise", 0, "3 lines of the log could not be read: see `gatepost audit verify`.");
    check(&trace, "noise", 1, "no record of message");
    check("verify --checkpoint /nonexistent", "noise", 2, "cannot read the checkpoints of /nonexistent");
    check("verify --checkpoint /", "noise", 2, "cannot read the checkpoints of /: it is a folder");
    check("tail --event queue.admin", "noise", 0, "no such record is in");
}

#[test]
fn wrong_values_are_told_with_the_right_form_within_80_columns() {
    let folder = tempfile::tempdir().unwrap();
    for (command, expected) in [
        ("report --since yesterday", "write a number and a unit, such as 90s, 5m, 4h or 5d; or a date"),
        ("report --from 2027-13-01", "write a day such as 2027-01-02, or a time such as"),
        ("report --from 2027-02-01 --to 2027-01-31", "it begins at 2027-02-01 00:00:00 UTC and ends at"),
        ("report --since 1d --to 2020-01-01", "the span of time is empty"),
        ("digest --domain a.example --since 99999999d", "no more than 100 years"),
        ("what-if --at 2027-1-1", "write a day such as 2027-01-02"),
        ("trace nonsense", "26 letters and digits are expected"),
        ("verify --key ed25519:0", "for --key: not a public key"),
        ("verify --segment 0", "0 is not in"),
        ("tail -n 100001", "a number up to 100000 is expected"),
        ("tail --event inbuond", "did you mean inbound?"),
        ("tail --event nonsense", "one of these is expected: inbound.refused, inbound.accepted,"),
    ] {
        let ran = run(folder.path(), &format!("audit {command}"));
        let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.exit == 2 && said.contains(expected) && said.contains("help: "), "{command}: {ran:?}");
        assert!(ran.err.lines().all(|line| line.chars().count() <= 80), "{command}: {ran:?}");
    }
}
