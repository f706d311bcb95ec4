//! Whole commands on the spool of a daemon that does not run.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::audit::event::{Event, Record, Stamp};
use crate::cli::tests::run;
use crate::journal::{self, disk::Disk};
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::envelope::{Envelope, Origin, Recipient, Sender, Trust};
use crate::model::id::{MessageId, RecordId, SessionId};
use crate::model::time::Timestamp;
use crate::spool::{BodyBudget, NewMessage, Options, Recovered, Spool};

const CONTENT: &[u8] = b"Subject: a\r\n\r\ntext of the message\r\n";

fn configure(folder: &Path) {
    let main = "hostname = \"mx1.example.org\"\npostmaster = \"p@example.org\"\ndomains = \"domains.d\"\n\
                [spool]\npath = \"spool\"\n[audit]\npath = \"audit\"\nkey = \"audit.key\"\n\
                [admin]\nsocket = \"control.sock\"\n\
                [[listener]]\nname = \"mx\"\nbind = [\"127.0.0.1:0\"]\nrole = \"mx\"\ntls = \"off\"\n";
    fs::write(folder.join("gatepost.toml"), main).unwrap();
    fs::create_dir(folder.join("domains.d")).unwrap();
}

pub(super) fn open(folder: &Path) -> (Spool, Recovered) {
    let options = Options {
        path: folder.join("spool"),
        min_free_bytes: 0,
        budget: BodyBudget::new(1 << 20),
        limits: journal::Limits::default(),
        salt: 7,
    };
    Spool::open(options, Arc::new(Disk::default()), Box::new(|_, _| {})).unwrap()
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn id(number: u128) -> MessageId {
    MessageId::from_u128(number)
}

fn envelope(number: u128) -> Envelope {
    let address = |text: &str| Address::parse(text, Charset::Ascii).unwrap();
    Envelope {
        id: id(number),
        received_at: Timestamp::from_secs(1_800_000_000 + i64::try_from(number).unwrap()),
        sender: Sender::plain(ReversePath::Mailbox(address("a@partner.example"))),
        recipients: vec![
            Recipient::plain(address(&format!("b{number}@bank.example"))),
            Recipient::plain(address("c@other.example")),
        ],
        origin: Origin {
            session: SessionId::from_u128(1),
            listener: "mx".into(),
            ip: Some([192, 0, 2, 7].into()),
            port: 4242,
            helo: "client.example".into(),
            trust: Trust::Stranger,
            tls: None,
        },
        size: CONTENT.len() as u64,
        eight_bit: false,
        tls_required_no: false,
        tls_report: false,
    }
}

fn accept(spool: &Spool, number: u128) {
    let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
    let envelope = envelope(number);
    let mut record = Record::new(&stamp, envelope.received_at, RecordId::from_u128(number), Event::InboundAccepted);
    record.message = Some(envelope.id);
    record.from = Some("a@partner.example");
    let to: Vec<String> = envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
    record.to = to.iter().map(String::as_str).collect();
    let entry = record.entry();
    let message = NewMessage { envelope: Arc::new(envelope), content: spool.sealed(CONTENT.to_vec()) };
    wait(spool.accept(message, vec![entry])).unwrap();
}

/// A folder whose spool has the messages 1 to 3.
fn stopped() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let (spool, _) = open(folder.path());
    (1..=3).for_each(|number| accept(&spool, number));
    spool.close();
    folder
}

fn flip(folder: &Path, part: &[u8]) {
    let path = folder.join("spool/journal/0000000000000001.journal");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(part.len()).position(|window| window == part).unwrap();
    bytes[at + part.len() - 1] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Without the line ends of the page.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_clean_spool_is_said_to_be_clean() {
    let folder = stopped();
    let ran = run(folder.path(), "spool check");
    assert_eq!((ran.exit, &*ran.err), (0, ""), "{ran:?}");
    assert!(ran.out.contains("no daemon has it open") && ran.out.contains("3 messages in the queue"), "{ran:?}");
    assert!(ran.out.ends_with("Everything is as it was written.\n"), "{ran:?}");
}

#[test]
fn damage_is_told_with_whose_mail_it_hit_and_what_to_do() {
    let folder = stopped();
    flip(folder.path(), CONTENT);
    let ran = run(folder.path(), "spool check");
    assert_eq!(ran.exit, 1);
    let expected = format!("{} (its content) from a@partner.example to b1@bank.example and 1", id(1));
    assert!(ran.out.contains("1 message is lost:") && words(&ran.out).contains(&expected), "{ran:?}");
    assert!(ran.out.contains("gatepost queue bounce"), "{ran:?}");
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{ran:?}");

    flip(folder.path(), format!("\"envelope\":{{\"id\":\"{}", id(2)).as_bytes());
    let ran = run(folder.path(), "spool check --json");
    assert_eq!(ran.exit, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["clean"], false);
    assert_eq!(report["lost"][0]["message"], id(1).to_string());
    assert_eq!(report["lost"][1]["message"], id(2).to_string());
    assert_eq!((&report["lost"][0]["queued"], &report["lost"][1]["queued"]), (&true.into(), &false.into()));
    assert_eq!(report["lost"][1]["to"][0], "b2@bank.example");
    assert_eq!(report["damage"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn what_is_no_spool_is_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let ran = run(folder.path(), "spool check");
    assert!(ran.exit == 3 && ran.err.contains("there is no spool in"), "{ran:?}");
    fs::write(folder.path().join("gatepost.toml"), "hostname = 3\n").unwrap();
    let ran = run(folder.path(), "spool check");
    assert!(ran.exit == 2 && ran.err.contains("--spool DIR"), "{ran:?}");
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<(String, Vec<u8>)> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

/// A folder whose spool is empty.
fn empty() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    open(folder.path()).0.close();
    folder
}

#[test]
fn a_round_trip_through_an_export_changes_no_byte_and_is_on_record() {
    let folder = stopped();
    let there = folder.path().join("out");
    let ran = run(folder.path(), &format!("spool export {}", there.display()));
    assert!(ran.exit == 0 && ran.out.contains("3 messages exported"), "{ran:?}");
    assert_eq!(files(&there).len(), 6);
    let ran = run(folder.path(), &format!("spool export {} --to-domain other.example", there.display()));
    assert!(ran.exit == 0 && ran.out.contains("3 messages there already"), "{ran:?}");
    let ran = run(folder.path(), &format!("spool export {}-none --to-domain none.example", there.display()));
    assert!(ran.exit == 0 && ran.out.contains("0 messages exported"), "{ran:?}");

    let target = empty();
    let ran = run(target.path(), &format!("spool import {} --json", there.display()));
    assert_eq!(
        (ran.exit, serde_json::from_str::<Value>(&ran.out).unwrap()["imported"].as_u64()),
        (0, Some(3)),
        "{ran:?}"
    );
    let ran = run(target.path(), &format!("spool import {}", there.display()));
    assert!(ran.exit == 1 && ran.err.contains("it is in the queue already"), "{ran:?}");
    let again = target.path().join("again");
    run(target.path(), &format!("spool export {}", again.display()));
    assert_eq!(files(&there), files(&again));

    let (_spool, recovered) = open(target.path());
    let records: Vec<_> = recovered.audit.iter().flat_map(|(_, records)| records).map(|entry| &*entry.json).collect();
    assert_eq!(records.len(), 3);
    let uid = format!("asked for by uid {}", nix::unistd::getuid());
    for (number, record) in (1..).zip(records) {
        let record: Value = serde_json::from_str(record).unwrap();
        assert_eq!((&record["event"], &record["message"]), (&"queue.admin".into(), &id(number).to_string().into()));
        assert!(record["detail"].as_str().unwrap().ends_with(&uid), "{record}");
    }
}

#[test]
fn a_spool_that_is_in_use_is_exported_from_and_not_imported_into() {
    let folder = stopped();
    let (spool, _) = open(folder.path());
    let there = folder.path().join("out");
    let ran = run(folder.path(), &format!("spool export {}", there.display()));
    assert!(ran.exit == 0 && ran.err.contains("a daemon runs"), "{ran:?}");
    let ran = run(folder.path(), &format!("spool import {}", there.display()));
    assert!(ran.exit == 3 && ran.err.contains("is in use") && ran.err.contains("stop the daemon"), "{ran:?}");
    let ran = run(folder.path(), "spool check --json");
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["in_use"], true);
    spool.close();
}

#[test]
fn a_stopped_spool_is_made_smaller_and_a_daemon_that_does_not_run_keeps_nothing_still() {
    let folder = stopped();
    let (spool, _) = open(folder.path());
    let sequence = 100;
    spool.audit_is_durable(crate::spool::Mark { sequence, note: String::new() }).unwrap();
    wait(spool.flush()).unwrap();
    spool.close();
    let before = files(&folder.path().join("spool/journal"));
    let ran = run(folder.path(), "spool compact --json");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.exit, &report["running"]), (0, &false.into()), "{ran:?}");
    assert!(before.len() >= 2, "{}", before.len());
    assert_eq!(run(folder.path(), "spool check").exit, 0);
    let ran = run(folder.path(), "spool keep 10m");
    assert!(ran.exit == 3 && ran.err.contains("no daemon answers"), "{ran:?}");
    assert_eq!(run(folder.path(), "spool keep").exit, 2);
}

#[test]
fn an_export_goes_into_an_empty_folder_and_into_no_folder_that_holds_something_else() {
    let folder = stopped();
    let there = folder.path().join("out");
    run(folder.path(), &format!("spool export {}", there.display()));
    let target = tempfile::tempdir().unwrap();
    configure(target.path());
    let import = format!("spool import {}", there.display());
    let ran = run(target.path(), &import);
    assert!(ran.exit == 3 && words(&ran.err).contains("an empty folder of its account"), "{ran:?}");
    fs::create_dir(target.path().join("spool")).unwrap();
    fs::write(target.path().join("spool/notes"), "mine").unwrap();
    let ran = run(target.path(), &import);
    assert!(ran.exit == 3 && ran.err.contains("there is no spool in"), "{ran:?}");
    fs::remove_file(target.path().join("spool/notes")).unwrap();
    let ran = run(target.path(), &import);
    assert!(ran.exit == 0 && ran.out.contains("3 messages imported"), "{ran:?}");
    let ran = run(target.path(), "spool check");
    assert!(ran.exit == 0 && ran.out.contains("3 messages in the queue"), "{ran:?}");
}
