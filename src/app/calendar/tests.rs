//! What is told when something changes by date, and by a daemon that starts while policies are suspended.

use std::time::Duration;

use super::*;
use crate::app::{Environment, Options, Prepared, Running, Sockets, load};
use crate::policy::rules::{Defaults, DomainPolicy};
use crate::policy::settings::{InboundLayer, Source};
use crate::policy::timed::{Exception, Rules, Step, Terms};

const DAY: Duration = Duration::from_secs(86_400);
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn source(line: u32) -> Source {
    Source::File { file: "bank.toml".into(), line }
}

/// A step on day 2, an exception until day 20, the switch until day 3.
fn policies() -> Arc<PolicySet> {
    let step = Step { from: START + DAY * 2, source: source(1), layer: InboundLayer::default() };
    let terms = Terms {
        source: source(2),
        clients: Vec::new(),
        senders: Vec::new(),
        owner: "facilities".to_owned(),
        reason: "scanners".to_owned(),
        expires: START + DAY * 20,
    };
    let exception = Exception { terms: Arc::new(terms), layer: InboundLayer::default() };
    let inbound = Rules { steps: vec![step], exceptions: vec![exception], ..Rules::default() };
    let bank = DomainPolicy { owner: Some("treasury".to_owned()), inbound, ..DomainPolicy::default() };
    let mut set = PolicySet::new(Defaults::default(), vec![bank]).unwrap();
    set.enforcement = Enforcement::ReportUntil { until: START + DAY * 3, source: source(3) };
    Arc::new(set)
}

#[test]
fn what_changes_by_date_is_told_once_and_again_only_if_the_clock_goes_back() {
    let set = policies();
    let mut calendar = Calendar::new(set.clone(), START);
    let step = "bank.toml:1: step of 2027-01-17T08:00:00Z is in force (owner: treasury)";
    let switch = "bank.toml:3: policies are enforced again, report_until 2027-01-18T08:00:00Z has passed";
    let exception = "bank.toml:2: exception has expired, 2027-02-04T08:00:00Z (owner: facilities)";
    for (day, expected) in [
        (1, None),
        (2, Some(vec![step])),
        (2, None),
        (4, Some(vec![switch])),
        (6, Some(vec![])),
        (7, None),
        (1, Some(vec![])),
        (30, Some(vec![step, switch, exception])),
        (31, None),
    ] {
        let told = calendar.turn(&set, START + DAY * day);
        let told = told.as_ref().map(|told| told.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(told, expected, "day {day}");
    }
}

#[test]
fn other_policies_are_looked_at_anew() {
    let mut calendar = Calendar::new(Arc::new(PolicySet::default()), START);
    assert_eq!(calendar.turn(&policies(), START + DAY), Some(Vec::new()));
    let told = calendar.turn(&calendar.policies.clone(), START + DAY * 2).unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn metrics_status_and_words_say_that_policies_are_suspended_while_they_are() {
    let (set, metrics) = (policies(), Metrics::new().unwrap());
    for (day, is_suspended, gauges) in [(0, true, [1, 1, 0, 0]), (6, false, [0, 0, 1, 0]), (20, false, [0, 0, 0, 1])] {
        let now = START + DAY * day;
        set_gauges(&metrics, &set, now);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let names = [
            "gatepost_enforcement_suspended".to_owned(),
            "gatepost_policy_exceptions{state=\"active\"}".to_owned(),
            "gatepost_policy_exceptions{state=\"expiring\"}".to_owned(),
            "gatepost_policy_exceptions{state=\"expired\"}".to_owned(),
        ];
        for (name, gauge) in names.iter().zip(gauges) {
            assert!(text.lines().any(|line| line == format!("{name} {gauge}")), "day {day}: {name} {gauge}");
        }
        let status = status(&set, now);
        assert_eq!(status.suspended.is_some(), is_suspended, "day {day}");
        let words = told_with_suspension("reloaded", &set, now);
        let suspended = "reloaded; bank.toml:3: enforcement is suspended until 2027-01-18T08:00:00Z";
        assert_eq!(words, if is_suspended { suspended } else { "reloaded" });
    }
}

const BANK: &str = "domains = [\"bank.example\"]
owner = \"treasury\"
[[inbound.step]]
from = 2099-01-01
tls = \"required\"
";

#[tokio::test]
async fn changes_and_the_suspension_are_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("domains.d")).unwrap();
    write("domains.d/bank.toml", BANK);
    write(
        "gatepost.toml",
        "hostname = \"mx1.example.org\"\nenforcement = \"report\"\nreport_until = 2099-01-01T12:00:00Z\n\
         spool = { path = \"spool\", min_free_space = \"1MB\" }\naudit.path = \"audit\"\nmetrics.bind = \"off\"\n\
         admin.socket = \"control.sock\"\ndns.servers = [\"127.0.0.1:53\"]\n\
         listener = [{ name = \"mx\", bind = [\"127.0.0.1:0\"], role = \"mx\", tls = \"off\" }]\n",
    );
    let options = Options { config: folder.path().join("gatepost.toml"), accept_damage: false };
    let config = load(&options).unwrap();
    let (sockets, environment) = (Sockets::bind(&config).unwrap(), Environment::of_system(&config).unwrap());
    let running = Running::start(Prepared::new(config).unwrap(), sockets, environment, false).await.unwrap();
    assert_eq!(running.metrics().enforcement_suspended.get(), 1);

    let policies = running.inbound.snapshot.load().policies.clone();
    let day = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut calendar = Calendar::new(policies, day("2098-12-31T00:00:00Z"));
    calendar.tell(&running.inbound, day("2099-01-02T00:00:00Z")).await;
    assert_eq!(running.metrics().enforcement_suspended.get(), 0);
    running.stop().await;

    let mut log = String::new();
    for file in std::fs::read_dir(folder.path().join("audit")).unwrap() {
        log += &String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap());
    }
    for detail in [
        concat!(
            "gatepost ",
            env!("CARGO_PKG_VERSION"),
            " started; gatepost.toml:2: enforcement is suspended until \
                 2099-01-01T12:00:00Z"
        ),
        "domains.d/bank.toml:3: step of 2099-01-01 is in force (owner: treasury)",
        "gatepost.toml:2: policies are enforced again, report_until 2099-01-01T12:00:00Z has passed",
    ] {
        let told = log.lines().filter(|line| line.contains("\"config.loaded\"") && line.contains(detail));
        assert_eq!(told.count(), 1, "{detail}\n{log}");
    }
}
