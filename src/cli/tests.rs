//! Whole commands, from their arguments to exit code and output.

mod arbitrary;
mod install;
mod one_verdict;
mod queue_views;
mod told;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::Value;

use crate::admin::protocol::steering::Steered;
use crate::admin::protocol::{ReportedDiagnostic, Request, Response};
use crate::audit::specimen::Specimen;
use crate::model::id::MessageId;
use crate::tls::certificates::{CertificatePaths, ServerCertificate};

/// What came out, without colours.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) exit: u8,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs the words of `line` with `folder/gatepost.toml` as the configuration.
#[track_caller]
pub(super) fn run(folder: &Path, line: &str) -> Ran {
    let config = folder.join("gatepost.toml").into_os_string();
    let args = ["gatepost".into(), "--config".into(), config].into_iter();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = super::run(args.chain(line.split_whitespace().map(OsString::from)), &mut out, &mut err);
    let plain = |bytes: Vec<u8>| anstream::adapter::strip_str(&String::from_utf8(bytes).unwrap()).to_string();
    Ran { exit, out: plain(out), err: plain(err) }
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory as _;
    super::arguments::Arguments::command().debug_assert();
}

#[test]
fn a_mistyped_command_gets_a_suggestion_and_help_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), "chek");
    assert!(ran.exit == 2 && ran.err.contains("did you mean `check`?"), "{ran:?}");
    let ran = run(folder.path(), "--help");
    assert!(ran.exit == 0 && ran.out.contains("Exit codes") && ran.err.is_empty(), "{ran:?}");
    let ran = run(folder.path(), "queue retry");
    assert!(ran.exit == 2 && ran.err.contains("--all"), "{ran:?}");
    assert_eq!(run(folder.path(), "queue bounce x").exit, 2);
    let ran = run(folder.path(), "queue delete --all --to-domain bank.example --yes");
    assert!(ran.exit == 2 && ran.err.contains("narrows"), "{ran:?}");
}

#[test]
fn what_init_writes_passes_check_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new");
    let init = format!("init {} --hostname mx7.bank.example", dir.display());
    let ran = run(folder.path(), &init);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    assert!(ran.out.starts_with("Wrote a configuration for mx7.bank.example:\n"), "{ran:?}");
    assert!(ran.out.contains("--to postmaster@bank.example"), "{ran:?}");
    for key in ["server", "legacy"] {
        let mode = dir.join(format!("tls/{key}.key")).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let chain = dir.join(format!("tls/{key}.pem"));
        let certificate = ServerCertificate::read(&CertificatePaths::new(chain, dir.join(format!("tls/{key}.key"))));
        let record = format!("\n  _25._tcp.mx7.bank.example. IN TLSA 3 1 1 {}\n", certificate.unwrap().key_sha256());
        assert!(ran.out.contains(&record), "{ran:?}");
    }

    let ran = run(&dir, "check");
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "ok: 1 domain in 1 file, 1 listener, 2 certificates, 2 policy cases\n");
    let ran = run(&dir, "policy test");
    assert!(ran.exit == 0 && ran.out.ends_with("\n2 cases: all as expected\n"), "{ran:?}");
    let ran = run(&dir, "policy explain --from a@x.example --to postmaster@bank.example --plaintext");
    assert_eq!(ran.exit, 0, "{ran:?}");

    fs::remove_file(dir.join("gatepost.toml")).unwrap();
    let key = fs::read(dir.join("tls/server.key")).unwrap();
    let ran = run(folder.path(), &init);
    assert!(ran.exit == 2 && ran.err.contains("server.key") && ran.err.contains("help: "), "{ran:?}");
    assert!(!dir.join("gatepost.toml").exists());
    assert_eq!(fs::read(dir.join("tls/server.key")).unwrap(), key);
}

#[test]
fn check_tells_errors_of_configuration_and_certificates_together() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), "check");
    assert!(ran.exit == 2 && ran.err.contains("gatepost init DIR") && ran.err.ends_with("1 error\n"), "{ran:?}");
    let text = "hostname = \"mx.example.org\"\nmisspelt = 1\n[[certificate]]\nchain = \"no.pem\"\nkey = \"no.key\"\n";
    fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    let ran = run(folder.path(), "check");
    assert!(ran.exit == 2 && ran.out.is_empty(), "{ran:?}");
    assert!(ran.err.contains("unknown key `misspelt`") && ran.err.contains("no.pem"), "{ran:?}");
    let ran = run(folder.path(), "check --json");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.exit, &report["ok"]), (2, &Value::Bool(false)));
    let errors = report["errors"].as_array().unwrap();
    assert!(errors.iter().any(|error| error["key"] == "certificate.chain" && error["line"] == 4), "{report}");
}

/// An audit log with two records about message 8, and a configuration that names it beside an error.
fn audited() -> (tempfile::TempDir, Specimen) {
    let mut log = Specimen::new();
    log.checkpoint();
    for n in 1..=4_u128 {
        log.say(Some(MessageId::from_u128(7 + n % 2)), &format!("n{n}"));
    }
    log.checkpoint();
    let folder = tempfile::tempdir().unwrap();
    let text = format!("wrong = \n[audit]\npath = \"{}\"\nkey = \"audit.key\"\n", log.folder().display());
    fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    (folder, log)
}

#[test]
fn a_whole_log_verifies_and_a_changed_one_does_not() {
    let (folder, mut log) = audited();
    let ran = run(folder.path(), "audit verify");
    assert!(ran.exit == 0 && ran.out.starts_with("The log is whole: 6 records in 1 segment."), "{ran:?}");
    assert!(ran.out.contains("compared with nothing"), "{ran:?}");
    let ran = run(folder.path(), &format!("audit verify --key {}", log.public()));
    assert!(ran.exit == 0 && ran.out.contains("which is the key that you named"), "{ran:?}");
    let held = folder.path().join("held");
    fs::write(&held, log.checkpoints.join("\n")).unwrap();
    let ran = run(folder.path(), &format!("audit verify --checkpoint {}", held.display()));
    assert!(ran.exit == 0 && ran.out.contains("2 checkpoints held elsewhere"), "{ran:?}");
    let stranger = Specimen::new().public();
    assert_eq!(run(folder.path(), &format!("audit verify --segment 1 --key {stranger}")).exit, 1);
    assert_eq!(run(folder.path(), "audit verify --segment 7").exit, 1);
    assert_eq!(run(folder.path(), "audit verify --key ed25519:nonsense").exit, 2);
    // The key and the newest checkpoint lie where the configuration says.
    let key = folder.path().join("audit.key");
    fs::write(&key, log.key.to_pem().unwrap().as_bytes()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let before = log.text(1);
    log.records(1);
    log.checkpoint();
    fs::write(folder.path().join("audit.key.seen"), log.checkpoints[2].clone() + "\n").unwrap();
    let ran = run(folder.path(), "audit verify");
    assert!(ran.exit == 0 && ran.out.contains("the daemon's key file holds"), "{ran:?}");
    fs::write(log.path(1), before.replace("n2", "n9")).unwrap();
    let ran = run(folder.path(), &format!("audit verify --path {}", log.folder().display()));
    assert!(ran.exit == 1 && ran.out.contains("00000001.jsonl:3\n"), "{ran:?}");
    assert!(ran.out.contains("audit.key.seen:1\n"), "{ran:?}");
    let ran = run(folder.path(), "audit verify --json");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.exit, &report["breaks"][0]["line"]), (1, &Value::from(3)));
    assert_eq!((&report["breaks"][0]["kind"], &report["breaks"][1]["kind"]), (&"changed".into(), &"tail-cut".into()));
    let ran = run(folder.path(), "audit verify --path /nonexistent/audit");
    assert!(ran.exit == 2 && ran.err.contains("--path DIR"), "{ran:?}");
}

#[test]
fn a_message_is_traced_and_an_unknown_one_is_a_no() {
    let (folder, _log) = audited();
    let ran = run(folder.path(), &format!("audit trace {} --json", MessageId::from_u128(8)));
    let records: Value = serde_json::from_str(&ran.out).unwrap();
    let details: Vec<_> = records.as_array().unwrap().iter().map(|record| record["detail"].clone()).collect();
    assert_eq!((ran.exit, details), (0, vec!["n1".into(), "n3".into()]));
    let ran = run(folder.path(), &format!("audit trace {}", MessageId::from_u128(9)));
    assert!(ran.exit == 1 && ran.out.is_empty() && ran.err.starts_with("error: no record"), "{ran:?}");
    assert_eq!(run(folder.path(), "audit trace nonsense").exit, 2);
}

#[test]
fn a_receipt_is_written_and_proves_itself_elsewhere() {
    let (folder, mut log) = audited();
    let out = folder.path().join("receipt.json");
    let message = MessageId::from_u128(8);
    let ran = run(folder.path(), &format!("audit receipt {message} --out {}", out.display()));
    assert!(ran.exit == 0 && ran.out.starts_with("Wrote ") && ran.out.contains("2 records"), "{ran:?}");
    let verify = format!("audit verify --receipt {}", out.display());
    let elsewhere = tempfile::tempdir().unwrap();
    let ran = run(elsewhere.path(), &format!("{verify} --key {}", log.public()));
    assert!(ran.exit == 0 && ran.out.starts_with(&format!("Message {message}: 2 records\n")), "{ran:?}");
    assert!(ran.out.contains("\nProved\n  These 2 records stood in the log of mx1 as shown"), "{ran:?}");
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{ran:?}");
    let ran = run(elsewhere.path(), &format!("{verify} --key {}", Specimen::new().public()));
    assert!(ran.exit == 1 && ran.out.contains("the expected key"), "{ran:?}");
    fs::write(&out, fs::read_to_string(&out).unwrap().replacen("n3", "n4", 1)).unwrap();
    let ran = run(elsewhere.path(), &verify);
    assert!(ran.exit == 1 && ran.out.contains("record 4 does not lead to the root"), "{ran:?}");
    log.say(Some(message), "late");
    let ran = run(folder.path(), &format!("audit receipt {message}"));
    assert!(ran.exit == 1 && ran.out.is_empty() && ran.err.contains("gatepost audit checkpoint"), "{ran:?}");
    assert_eq!(run(folder.path(), &format!("audit receipt {}", MessageId::from_u128(99))).exit, 1);
}

#[test]
fn the_last_records_are_shown_in_a_line_each_or_raw() {
    let (folder, log) = audited();
    let ran = run(folder.path(), "audit tail -n 2 --event queue.admin");
    assert_eq!(ran.exit, 0, "{ran:?}");
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines[0], "2027-01-02 UTC");
    assert!(lines.len() == 3 && lines[1].starts_with("03:00:04 queue.admin ") && lines[1].ends_with("n3"), "{ran:?}");
    let ran = run(folder.path(), "audit tail -n 1 --json");
    assert_eq!((ran.exit, ran.out), (0, log.checkpoints[1].clone() + "\n"));
}

/// A daemon that gives one answer to each of the connections, in order. Returns the requests it got.
pub(super) fn answering(socket: &Path, answers: Vec<Response>) -> std::thread::JoinHandle<Vec<Request>> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let answer = |answer: Response| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            writeln!(stream, "{}", serde_json::to_string(&answer).unwrap()).unwrap();
            serde_json::from_str(&line).unwrap()
        };
        answers.into_iter().map(answer).collect()
    })
}

#[test]
fn without_a_daemon_the_exit_code_is_3_and_the_remedy_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.toml"), "admin = { socket = \"c.sock\" }\nwrong").unwrap();
    for line in [
        "status",
        "reload",
        "queue list",
        "queue retry --all",
        "queue list --socket /nonexistent/socket",
        "audit checkpoint",
        "audit key --rotate",
    ] {
        let ran = run(folder.path(), line);
        assert!(ran.exit == 3 && ran.err.contains("gatepost serve"), "{line}: {ran:?}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let ran = run(elsewhere.path(), "status");
    assert!(ran.exit == 2 && ran.err.contains("gatepost init DIR"), "{ran:?}");
}

#[test]
fn reload_tells_what_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let finding = || vec![ReportedDiagnostic::plain("something is wrong")];
    let daemon = answering(
        &socket,
        vec![
            Response::Reloaded { config: "0123456789abcdef".into(), warnings: finding() },
            Response::NotReloaded { errors: finding() },
            Response::fault("it stops".into()),
        ],
    );
    let line = format!("reload --socket {}", socket.display());
    let ran = run(folder.path(), &line);
    assert_eq!((ran.exit, ran.out.as_str()), (0, "reloaded with 1 warning: configuration 0123456789ab is in force\n"));
    let ran = run(folder.path(), &line);
    assert!(ran.exit == 2 && ran.err.ends_with("1 error: the old configuration stays in force\n"), "{ran:?}");
    let ran = run(folder.path(), &line);
    assert_eq!((ran.exit, ran.err.as_str()), (1, "error: the daemon answers: it stops\n"));
    assert_eq!(daemon.join().unwrap(), vec![Request::Reload; 3]);
}

#[test]
fn the_queue_is_listed_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("c.sock");
    let message = super::queue::sample_message;
    let page = |id: u128, more| Response::Queue { messages: vec![message(id)], more, after: None };
    let retried = Steered { messages: 1, deliveries: 2, changed: 2, ..Steered::default() };
    let daemon = answering(
        &socket,
        vec![page(7, true), page(8, false), Response::NotFound, Response::Steered(Box::new(retried))],
    );
    let socket = socket.display();
    let ran =
        run(folder.path(), &format!("queue --socket {socket} list --older-than 4h --reason starttls-not-supported"));
    assert_eq!(ran.exit, 0, "{ran:?}");
    let lines: Vec<_> = ran.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["ID", "00000000000000000000000007", "", "00000000000000000000000008", "", "2"]);
    let ran = run(folder.path(), &format!("queue why --socket {socket} {}", MessageId::from_u128(9)));
    assert!(ran.exit == 1 && ran.err.contains("gatepost audit trace"), "{ran:?}");
    let ran = run(folder.path(), &format!("queue retry --to-domain bank.example --socket {socket}"));
    assert_eq!((ran.exit, ran.out.as_str()), (0, "2 deliveries of 1 message are tried now\n"));
    let requests = daemon.join().unwrap();
    let seen: Vec<_> = requests.iter().map(|request| serde_json::to_value(request).unwrap()).collect();
    assert_eq!(seen[0]["filter"]["older_than_secs"], 14_400);
    assert_eq!(seen[1]["after"], "00000000000000000000000007");
    assert_eq!((&seen[3]["verb"], &seen[3]["filter"]["to_domain"]), (&"retry".into(), &"bank.example".into()));
}
