//! Whole commands on what a daemon left behind.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::source;
use crate::cli::tests::run;
use crate::clock;
use crate::facts::learned::{Destination, LearnTerms, LearnedStore, Session};
use crate::memory::Memory;
use crate::model::address::ReversePath;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::learned::{Proved, Shown};
use crate::policy::outbound::decide;
use crate::policy::settings::Learn;
use crate::policy::timed::Asker;

/// A configuration whose daemon does not run, and what that one saw of three domains in the last ten days.
fn left_behind(folder: &Path) {
    let main = "hostname = \"mx1.example.org\"\npostmaster = \"p@example.org\"\ndomains = \"domains.d\"\n\
                [spool]\npath = \"spool\"\n[audit]\npath = \"audit\"\nkey = \"audit.key\"\n\
                [admin]\nsocket = \"control.sock\"\n[default.outbound]\nlearn = \"enforce\"\n\
                [[listener]]\nname = \"mx\"\nbind = [\"127.0.0.1:0\"]\nrole = \"mx\"\ntls = \"off\"\n";
    fs::write(folder.join("gatepost.toml"), main).unwrap();
    for name in ["spool", "domains.d"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let written = "domains = [\"written.example\"]\n[outbound]\ntls = \"encrypt\"\nlearn = \"propose\"\n";
    fs::write(folder.join("domains.d/written.toml"), written).unwrap();
    let memory = Memory::open(&folder.join("spool")).unwrap();
    let store = LearnedStore::open(memory.clone(), LearnTerms::default());
    let now = clock::timestamp();
    for day in 0..10 {
        for (name, learn, shown, deliveries) in [
            ("bank.example", Learn::Enforce, Shown::Verified(Proved::OwnName), 3),
            ("new.example", Learn::Enforce, Shown::Encrypted, u32::from(day == 9)),
            ("written.example", Learn::Propose, Shown::Encrypted, 5),
        ] {
            deliver(&store, name, learn, shown, (deliveries, now - DAY * (9 - day)));
        }
    }
    store.write();
    memory.flush().unwrap();
}

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

fn deliver(store: &LearnedStore, name: &str, learn: Learn, shown: Shown, (count, now): (u32, Timestamp)) {
    let domain = Domain::parse(name).unwrap();
    let mx = Domain::parse(&format!("mx.{name}")).unwrap();
    let to = Destination { domain: &domain, hosts: std::slice::from_ref(&mx), learn };
    for _ in 0..count {
        let session = Session {
            to,
            mx: &mx,
            address: [192, 0, 2, 1].into(),
            shown: Some(shown),
            deliveries: 1,
            is_enforced: false,
            asked: None,
            violation: None,
            path: None,
            record: None,
        };
        store.see(&session, now);
    }
}

#[test]
fn what_was_learned_is_listed_without_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    left_behind(folder.path());
    let ran = run(folder.path(), "learned list");
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", ran.out);
    assert!(lines[0].starts_with("DOMAIN           LEVEL    STATE     MAIL  DAYS  FIRST       LAST"), "{}", ran.out);
    assert!(lines[1].starts_with("bank.example     verify   in force"), "{}", ran.out);
    assert_eq!(lines[2], "  mx.bank.example");
    assert!(lines[3].starts_with("new.example      none     learning"), "{}", ran.out);
    assert_eq!(lines[4], "  1 of 20 deliveries; mx.new.example");
    assert!(lines[5].starts_with("written.example  encrypt  proposed    50    10"), "{}", ran.out);
    assert_eq!((lines[7], lines.len()), ("3 domains", 8));

    let one = run(folder.path(), "learned list --domain written.example --json");
    let one: Value = serde_json::from_str(&one.out).unwrap();
    assert_eq!((&one[0]["learn"], &one[0]["file"]), (&"propose".into(), &"domains.d/written.toml".into()));
    assert_eq!(one[0]["evidence"]["deliveries"], 50);
    assert!(one[0]["in_force"].is_null() && one[0]["lacking"].as_str().unwrap().contains("encrypt"), "{one}");
    let page = run(folder.path(), "learned list --domain bank.example");
    assert!(page.out.contains("verify in force since ") && page.out.contains("mx.bank.example: verify "), "{page:?}");
    let ran = run(folder.path(), "learned list --domain other.example");
    assert!(ran.exit == 1 && ran.err.contains("nothing is known of other.example"), "{ran:?}");
    assert_eq!(run(folder.path(), "learned forget bank.example").exit, 3);
}

#[test]
fn what_was_learned_is_part_of_what_a_delivery_must_meet() {
    let folder = tempfile::tempdir().unwrap();
    left_behind(folder.path());
    let config = crate::config::load(&folder.path().join("gatepost.toml")).unwrap().0;
    let in_force = |name: &str| {
        let domain = Domain::parse(name).unwrap();
        let asker = Asker { at: clock::timestamp(), client: None, sender: &ReversePath::Null };
        let decision = decide(&config.policies, Some(&domain), &asker);
        source::in_force(&config, &decision, Some(&domain)).map(|learned| learned.map(|learned| learned.to_string()))
    };
    assert_eq!(in_force("bank.example"), Ok(Some("verify, by the domain's name or mx.bank.example".to_owned())));
    // Nothing is in force for one; the policy of the other does not go by what was learned.
    assert_eq!((in_force("new.example"), in_force("written.example")), (Ok(None), Ok(None)));
    // Whatever else has the file.
    let held = Memory::open(&folder.path().join("spool")).unwrap();
    assert!(in_force("bank.example").is_ok_and(|learned| learned.is_some()));
    drop(held);
}

#[test]
fn what_is_proposed_passes_check_and_leaves_out_what_is_written_already() {
    let folder = tempfile::tempdir().unwrap();
    left_behind(folder.path());
    let ran = run(folder.path(), "learned propose");
    assert_eq!(ran.exit, 0);
    assert!(ran.out.contains("domains = [\"bank.example\"]") && !ran.out.contains("written.example"), "{ran:?}");
    assert_eq!(ran.err, "written.example: domains.d/written.toml names it already\n");
    let out = folder.path().join("proposed");
    let propose = format!("learned propose --out {}", out.display());
    let ran = run(folder.path(), &propose);
    assert!(ran.exit == 0 && ran.out.starts_with("1 file written to "), "{ran:?}");
    let text = fs::read_to_string(out.join("bank.example.toml")).unwrap();
    assert!(text.contains("# 30 deliveries on 10 days from ") && text.contains("tls = \"verify\""), "{text}");
    let again = format!("{propose} --domain bank.example");
    let ran = run(folder.path(), &again);
    assert!(ran.exit == 1 && ran.err.contains("is there already and stays as it is"), "{ran:?}");
    assert_eq!(fs::read_to_string(out.join("bank.example.toml")).unwrap(), text);
    let names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["bank.example.toml"]);
    fs::copy(out.join("bank.example.toml"), folder.path().join("domains.d/bank.example.toml")).unwrap();
    let ran = run(folder.path(), "check");
    assert!(ran.exit == 0, "{ran:?}");
    let ran = run(folder.path(), "learned propose --domain bank.example");
    assert!(ran.exit == 1 && ran.err.contains("today it is held to all of"), "{ran:?}");
    let ran = run(folder.path(), "learned propose --domain new.example");
    assert!(ran.exit == 1 && ran.err.contains("1 of 20 deliveries"), "{ran:?}");
}
