//! What installs the program: starter configurations for each role, manual pages, completions, health.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::admin::protocol::{Request, Response, Status};
use crate::cli::status::tests::running;

use super::{answering, run};

#[test]
fn each_role_gets_a_configuration_that_passes_check_and_its_cases() {
    let both = "--role both --trusted 192.0.2.0/24 --trusted 2001:db8::1";
    for (options, ok, main, domain) in [
        ("", "1 domain in 1 file", "role = \"mx\"", "domains = [\"bank.example\"] "),
        (
            "--domain a.example --domain example.org --mailboxes [::1]:24 --mailboxes mail.example.org",
            "2 domains in 1 file",
            "postmaster = \"postmaster@a.example\"",
            "hosts = [\"[::1]:24\", \"mail.example.org\"] ",
        ),
        (both, "1 domain in 1 file", "trusted = [\"192.0.2.0/24\", \"2001:db8::1/128\"] ", "\nhosted = true "),
        (
            "--bind 127.0.0.1:2525 --min-version TLSv1.3 --mode enforce",
            "1 domain in 1 file",
            "bind = [\"127.0.0.1:2525\"]\n",
            "\nmin_version = \"TLSv1.3\" ",
        ),
        (
            "--role smarthost --trusted 10.0.0.0/8",
            "1 domain in 1 file",
            "name = \"relay\"                          # its name",
            "\n# hosted = true ",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        let ran = run(folder.path(), &format!("init {} --hostname mx1.bank.example {options}", dir.display()));
        assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{options}");
        let long = |line: &&str| line.chars().count() > 80 && !line.contains("/new") && !line.contains("TLSA");
        assert_eq!(ran.out.lines().find(long), None, "{options}");
        let ran = run(&dir, "check");
        assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{options}: {ran:?}");
        assert!(ran.out.starts_with(&format!("ok: {ok}, 1 listener, 2 certificates")), "{options}: {ran:?}");
        let ran = run(&dir, "policy test");
        assert!(ran.exit == 0 && ran.out.contains(": all as expected\n"), "{options}: {ran:?}");
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        assert!(read("gatepost.toml").contains(main), "{options}: {}", read("gatepost.toml"));
        assert!(read("domains.d/example.toml").contains(domain), "{options}: {}", read("domains.d/example.toml"));
    }
}

#[test]
fn a_certificate_of_the_operator_is_used_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(run(folder.path(), &format!("init {} --hostname mx1.bank.example", at("one"))).exit, 0);
    let (chain, key) = (at("one/tls/server.pem"), at("one/tls/server.key"));
    let wrong = at("one/tls/legacy.key");
    let two = format!("init {} --hostname mx1.bank.example --certificate {chain} --key", at("two"));
    let ran = run(folder.path(), &format!("{two} {wrong}"));
    assert!(ran.exit == 2 && ran.err.contains("cannot be used") && !Path::new(&at("two")).exists(), "{ran:?}");
    let ran = run(folder.path(), &format!("{two} {key}"));
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    assert!(!Path::new(&at("two/tls/server.pem")).exists() && Path::new(&at("two/tls/legacy.pem")).exists());
    let main = fs::read_to_string(at("two/gatepost.toml")).unwrap();
    assert!(main.contains(&format!("chain = \"{chain}\" # the certificate")), "{main}");
    assert_eq!(run(Path::new(&at("two")), "check").exit, 0);
}

#[test]
fn options_of_init_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new");
    for (options, expected) in [
        ("--role smarthost", "needs the networks"),
        ("--trusted 10.0.0.0/8", "has no effect"),
        ("--role smarthost --trusted 10.0.0.0/8 --mailboxes a.example", "has no effect"),
        ("--mailboxes a.example:0", "the port is not from 1 to 65535"),
        ("--role smarthost --trusted 10.0.0.0/8 --min-version TLSv1.2", "has no effect"),
        ("--mode enforce", "--min-version"),
        ("--trusted everybody", "write a network"),
        ("--certificate x.pem", "--key"),
        ("--certificate x.pem --key x.key", "x.pem"),
    ] {
        let ran = run(folder.path(), &format!("init {} {options}", dir.display()));
        assert!(ran.exit == 2 && ran.err.contains(expected), "{options}: {ran:?}");
    }
    assert!(!dir.exists());
}

#[test]
fn each_command_has_a_manual_page_without_faults() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let ran = run(folder.path(), &format!("man {}", pages.display()));
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    let names: Vec<_> = fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(ran.out.starts_with(&format!("Wrote {} pages to ", names.len())), "{ran:?}");
    for name in ["gatepost.1", "gatepost-serve.1", "gatepost-queue-list.1", "gatepost-audit-verify.1"] {
        assert!(names.contains(&pages.join(name)), "{name}: {names:?}");
    }
    let top = fs::read_to_string(pages.join("gatepost.1")).unwrap();
    assert!(top.contains(".SH FILES") && top.contains("/etc/gatepost/gatepost.toml"), "{top}");
    assert_eq!(run(folder.path(), "man").out, top);
    assert_eq!(run(folder.path(), "man /proc/none").exit, 2);
    assert_eq!(run(folder.path(), "man --json").exit, 2);
    let mut groff = Command::new("groff");
    groff.args(["-man", "-Tutf8", "-ww", "-rLL=80n", "-z"]).args(&names);
    let Ok(done) = groff.output() else { return assert!(std::env::var_os("CI").is_none(), "groff is missing") };
    assert!(done.status.success(), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

/// What bash offers behind these words.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let line = words.iter().map(|word| format!("'{word}' ")).collect::<String>();
    let ask = format!(
        "source '{}'\nCOMP_WORDS=({line})\nCOMP_CWORD={}\n_gatepost gatepost '{}' '{}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let done = Command::new("bash").args(["--norc", "-c", &ask]).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_their_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("gatepost");
    fs::write(&script, run(folder.path(), "completions bash").out).unwrap();
    for (words, expected) in [
        (&["gatepost", "st"][..], &["status"][..]),
        (&["gatepost", "queue", "re"], &["retry", "release", "reroute"]),
        (&["gatepost", "init", "--role", ""], &["mx", "smarthost", "both"]),
        (&["gatepost", "serve", "--acc"], &["--accept-damage"]),
    ] {
        assert_eq!(offered(&script, words), expected, "{words:?}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let ran = run(folder.path(), &format!("completions {shell}"));
        assert!(ran.exit == 0 && ran.out.contains("selftest"), "{shell}");
    }
    assert_eq!(run(folder.path(), "completions tcsh").exit, 2);
}

#[test]
fn health_is_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let line = format!("health --socket {}", socket.display());
    assert_eq!(run(folder.path(), &line).exit, 3);
    for (state, exit, said) in [
        (running(), 0, "takes mail\n"),
        (Status { draining: true, ..running() }, 1, "stopping\n"),
        (Status { spool_fault: Some("the disk is full".to_owned()), ..running() }, 1, "the disk is full\n"),
        (Status { audit_writable: false, ..running() }, 1, "the audit log cannot be written\n"),
    ] {
        let daemon = answering(&socket, vec![Response::Status(Box::new(state))]);
        let ran = run(folder.path(), &line);
        assert_eq!((ran.exit, ran.out.as_str()), (exit, said));
        assert!(matches!(daemon.join().unwrap()[..], [Request::Status]));
        fs::remove_file(&socket).unwrap();
    }
}
