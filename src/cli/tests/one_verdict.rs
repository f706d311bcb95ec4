//! One verdict, whoever is asked: the daemon, `policy explain`, `policy test`, and what-if with the daemon's record.

mod incoming;
mod outgoing;

use std::fs;
use std::net::IpAddr;

use clap::Parser as _;
use proptest::collection::vec;
use proptest::prelude::*;

use super::arbitrary;
use crate::app::build::build_inbound;
use crate::audit::event::{Client, Event, Record, Stamp};
use crate::audit::facts::{Said, read};
use crate::audit::replay::{Answer as Replayed, Replay, Unknown};
use crate::cli::arguments::{Arguments, Command, Explain, PolicyCommand};
use crate::cli::audit::what_if::setting;
use crate::config::Config;
use crate::config::cases::{CaseFile, load_cases};
use crate::model::address::{Address, ReversePath};
use crate::model::id::RecordId;
use crate::model::time::Timestamp;

/// Now, as far as anybody looks at a clock.
const NOT_ASKED_ABOUT: Timestamp = Timestamp::from_secs(1_000_000);
const SCENES_MAX: usize = 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// All records of one case go through one replay, so that what it remembers is used too.
    #[test]
    fn a_transaction_has_one_verdict(
        config in arbitrary::config(), other in arbitrary::config(), at in arbitrary::moment(),
        scenes in vec(incoming::transaction(), 1..SCENES_MAX),
    ) {
        let daemon = build_inbound(&config, None, None).unwrap();
        let (before, after) = (setting(&other, at), setting(&config, at));
        let mut replay = Replay::new(&before, &after);
        let mut asked = question();
        let mut cases = template(&config);
        for scene in &scenes {
            let (end, line) = scene.meet(&daemon, &config, at);
            prop_assert_eq!(&scene.explained(&mut asked, &config, at), &end, "explain");
            prop_assert_eq!(&incoming::replayed(&mut replay, &line, end.stage, &scene.to), &end, "what-if {}", line);
            scene.check_case(&mut cases, &config, at, &end)?;
        }
    }

    #[test]
    fn a_delivery_has_one_verdict(
        config in arbitrary::config(), other in arbitrary::config(), at in arbitrary::moment(),
        scenes in vec(outgoing::delivery(), 1..SCENES_MAX),
    ) {
        let (before, after) = (setting(&other, at), setting(&config, at));
        let mut replay = Replay::new(&before, &after);
        let mut asked = question();
        let mut cases = template(&config);
        for scene in &scenes {
            let (end, line) = scene.deliver(&config, at);
            prop_assert_eq!(scene.explained(&mut asked, &config, at), end, "explain");
            prop_assert_eq!(scene.replayed(&mut replay, &line), end, "what-if {}", line);
            scene.check_case(&mut cases, &config, at, end)?;
        }
    }
}

/// A question on the command line, to be changed in all that a scene says.
fn question() -> Explain {
    let words = "gatepost policy explain --from a@x.example --to b@y.example";
    match Arguments::try_parse_from(words.split(' ')).unwrap().command {
        Command::Policy { command: PolicyCommand::Explain(asked) } => *asked,
        other => panic!("{other:?}"),
    }
}

/// A file of two cases, inbound and outbound, to be changed likewise.
fn template(config: &Config) -> CaseFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.toml");
    let case = "[[case]]\nfrom = \"a@x.example\"\nto = \"b@y.example\"\n";
    fs::write(&path, format!("{case}expect = \"accept\"\n{case}direction = \"outbound\"\nexpect = \"deliver\"\n"))
        .unwrap();
    let (mut files, findings) = load_cases(config, &[path]);
    assert!(findings.is_empty(), "{findings:?}");
    files.remove(0)
}

fn record<'a>(stamp: &'a Stamp, event: Event, from: &'a ReversePath, client: Option<IpAddr>) -> Record<'a> {
    let mut record = Record::new(stamp, NOT_ASKED_ABOUT, RecordId::from_u128(7), event);
    record.client = client.map(|ip| Client { ip, port: 4242, helo: Some("h") });
    record.from = Some(from.as_str());
    record
}

fn stamp() -> Stamp {
    Stamp { node: "mx1".into(), config: "abc".into() }
}

fn what_if(replay: &mut Replay<'_>, line: &str, to: Option<&Address>) -> Result<Replayed, Unknown> {
    let Said::Facts(facts) = read(line.as_bytes()).unwrap() else { panic!("{line}") };
    let session = replay.session(&facts);
    replay.judge(&facts, &session, to.map(Address::as_str)).after.clone()
}
