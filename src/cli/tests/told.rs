//! What is said where something was mistyped or cannot be had: to people, to programs, and where nobody reads.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};

use serde_json::Value;

use super::{audited, run};

const MAIN: &str = "hostname = \"mx.example.org\"\npostmaster = \"p@example.org\"\nspool.path = \"spool\"\n\
                    admin = { socket = \"c.sock\", bind = \"off\" }\nmetrics.bind = \"off\"\ndomains = \"domains.d\"\n\
                    [[listener]]\nname = \"inside\"\nbind = [\"127.0.0.1:2525\"]\nrole = \"mx\"\ntls = \"off\"\n";

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A configuration that knows bank.example, beside a log that knows partner.example.
fn configured() -> (tempfile::TempDir, crate::audit::specimen::Specimen) {
    let (folder, mut log) = audited();
    log.say(None, "from partner.example");
    let audit = format!("[audit]\npath = \"{}\"\nkey = \"audit.key\"\n", log.folder().display());
    fs::write(folder.path().join("gatepost.toml"), format!("{MAIN}{audit}")).unwrap();
    fs::create_dir_all(folder.path().join("domains.d")).unwrap();
    let domain = "domains = [\"bank.example\"]\n[outbound]\ntls = \"encrypt\"\n";
    fs::write(folder.path().join("domains.d/bank.toml"), domain).unwrap();
    (folder, log)
}

#[test]
fn a_mistyped_domain_is_answered_with_the_one_that_is_near() {
    let (folder, _log) = configured();
    let near = "did you mean bank.example?";
    for (command, expected) in [
        ("audit report --partner bnak.example", near),
        ("audit report --partner bank.example", ""),
        ("audit report --partner other.example", ""),
        ("audit digest --domain bnak.example", near),
        ("audit tail --domain bnak.example", near),
        ("audit what-if --domain bnak.example --set tls=required", near),
        ("policy explain --from a@x.example --to b@bnak.example --plaintext", "Is bank.example meant"),
    ] {
        let ran = run(folder.path(), command);
        let said = words(&(ran.err.clone() + &ran.out));
        assert_eq!(said.contains("mean"), !expected.is_empty(), "{command}: {ran:?}");
        assert!(said.contains(expected), "{command}: {ran:?}");
        let for_programs = run(folder.path(), &format!("{command} --json"));
        assert!(!for_programs.err.contains("mean"), "{command}: {for_programs:?}");
    }
}

#[test]
fn a_failure_is_one_line_of_json_where_json_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("gatepost.toml");
    fs::write(&main, format!("{MAIN}misspelt = 1\n")).unwrap();
    for (line, exit, error, findings) in [
        ("status", 3, "no daemon answers on", 0),
        ("chek", 2, "there is no command \"chek\"", 0),
        ("queue show 7", 2, "invalid value \"7\" for ID", 0),
        ("audit verify --path /nonexistent", 2, "cannot read the audit log /nonexistent: there is no such", 0),
        ("policy test", 2, "the configuration cannot be used", 1),
        ("serve", 2, "the daemon has no result for programs", 0),
        ("demo", 2, "the demo has no form for programs", 0),
    ] {
        let ran = run(folder.path(), &format!("{line} --json"));
        assert!(ran.out.is_empty() && ran.err.lines().count() == 1, "{line}: {ran:?}");
        let told: Value = serde_json::from_str(&ran.err).unwrap();
        assert!(told["error"].as_str().unwrap().starts_with(error), "{line}: {ran:?}");
        assert_eq!((ran.exit, &told["exit"]), (exit, &Value::from(exit)), "{line}");
        let found = told["findings"].as_array().unwrap();
        assert!(found.len() == findings || (findings > 0 && found[0]["line"].is_number()), "{line}: {ran:?}");
    }
}

#[test]
fn a_file_of_another_kind_is_told_as_such_and_says_nothing_of_the_log() {
    let (folder, _log) = configured();
    let main = folder.path().join("gatepost.toml").display().to_string();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (command, exit, expected) in [
        (format!("audit verify --checkpoint {main}"), 2, "no checkpoint is in it help: name a file of lines that"),
        (format!("audit verify --receipt {main}"), 1, "help: name a whole file that `gatepost audit receipt"),
        (format!("audit verify --path {}", empty.display()), 1, "help: a log is a folder of files such as"),
        (format!("spool check --spool {main}"), 3, "help: name the folder of the spool with --spool DIR"),
        (format!("policy test {}", empty.display()), 2, "there is no case in"),
        (format!("policy test {main}"), 2, "it stands at the top of gatepost.toml"),
        (format!("init {main}"), 2, "is no folder"),
        ("survey /nonexistent".to_owned(), 2, "there is no such file or folder help: name a file with one domain"),
    ] {
        let ran = run(folder.path(), &command);
        let said = words(&(ran.out.clone() + &ran.err));
        assert!(ran.exit == exit && said.contains(expected), "{command}: {ran:?}");
    }
}

/// What `| head` leaves: whoever reads has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn help_that_nobody_reads_to_its_end_is_no_failure() {
    for line in ["gatepost --help", "gatepost audit --help", "gatepost --version", "gatepost man"] {
        let mut err = Vec::new();
        let exit = crate::cli::run(line.split(' ').map(OsString::from), &mut Gone, &mut err);
        assert_eq!((exit, err.as_slice()), (0, &[][..]), "{line}");
    }
}

#[test]
fn nothing_in_an_error_moves_the_cursor_and_its_lines_stay_lines() {
    let (folder, (mut out, mut err)) = (tempfile::tempdir().unwrap(), (Vec::new(), Vec::new()));
    let path = folder.path().join("\u{1b}[31mred").into_os_string();
    let args = ["gatepost".into(), "audit".into(), "tail".into(), "--path".into(), path];
    assert_eq!(crate::cli::run(args, &mut out, &mut err), 2);
    let said = anstream::adapter::strip_str(&String::from_utf8(err).unwrap()).to_string();
    assert!(words(&said).contains("\\u{1b}[31mred"), "{said}");
    let list = folder.path().join("list");
    fs::write(&list, "a b\n-x\n").unwrap();
    let ran = run(folder.path(), &format!("survey {}", list.display()));
    let lines: Vec<&str> = ran.err.lines().map(str::trim).collect();
    assert!(ran.exit == 2 && lines.iter().any(|line| line.starts_with("line 2: \"-x\"")), "{ran:?}");
}
