//! What is read of a real log under a real configuration.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::audit::chain::Tip;
use crate::audit::event::{Client, Event, Policy, Record, Stamp};
use crate::audit::posture::Window;
use crate::clock;
use crate::config::{self, Config};
use crate::model::cipher::CipherSuite;
use crate::model::domain::Domain;
use crate::model::id::{MessageId, RecordId};
use crate::model::reason::Reason;
use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::Seen;
use super::passes::{Found, Passes, Question};
use super::watch::{self, Watch};

const MAIN: &str = "\
hostname = \"mx1.example.org\"
postmaster = \"postmaster@example.org\"
spool = { path = \"spool\" }
audit = { path = \"audit\", key = \"k\" }
domains = \"domains.d\"
[[listener]]
name = \"mx\"
bind = [\"127.0.0.1:25\"]
role = \"mx\"
tls = \"off\"
";
const HOSTED: &str = "hosted = true\nrecipients = \"any\"\n[route]\nhosts = [\"store.example\"]\n";

/// Sender, recipient, version (plaintext if empty), and whether it was refused.
type Mail = (&'static str, &'static str, &'static str, bool);

const MAILS: [Mail; 5] = [
    ("a@old.example", "b@bank.example", "TLSv1", false),
    ("a@old.example", "b@shop.example", "TLSv1", false),
    ("a@bare.example", "b@shop.example", "", false),
    ("a@new.example", "b@bank.example", "TLSv1.3", false),
    ("a@bare.example", "b@bank.example", "", true),
];

fn suite(version: ProtocolVersion) -> &'static CipherSuite {
    let name = if version == ProtocolVersion::Tls1_3 { "TLS_AES_256_GCM_SHA384" } else { "ECDHE-RSA-AES128-SHA" };
    CipherSuite::by_name(name).unwrap()
}

fn record(number: u128, (from, to, version, is_refused): Mail) -> String {
    let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
    let event = if is_refused { Event::InboundRefused } else { Event::InboundAccepted };
    let mut record = Record::new(&stamp, clock::timestamp(), RecordId::from_u128(number), event);
    record.message = (!is_refused).then(|| MessageId::from_u128(number));
    record.listener = Some("mx");
    record.client = Some(Client { ip: "192.0.2.1".parse().unwrap(), port: 4242, helo: None });
    (record.from, record.to) = (Some(from), vec![to]);
    let tls = ProtocolVersion::parse(version).map(|version| TlsFacts::assumed(version, suite(version)));
    record.tls = tls.as_ref();
    let reason = is_refused.then_some(Reason::TlsRequired);
    let verdict = if is_refused { "refuse" } else { "accept" };
    let policy = Policy::other("rcpt", verdict, Reason::TlsRequired);
    record.policy = Some(Policy { reason, ..policy });
    record.entry().json.to_string()
}

/// A folder in which `bank.example` requires TLS and `shop.example` nothing, with a log of [`MAILS`].
fn folder() -> (TempDir, Arc<Config>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("audit")).unwrap();
    fs::create_dir_all(path("domains.d")).unwrap();
    fs::write(path("gatepost.toml"), MAIN).unwrap();
    let inbound = "[inbound]\ntls = \"required\"\n";
    fs::write(path("domains.d/bank.toml"), format!("domains = [\"bank.example\"]\n{HOSTED}{inbound}")).unwrap();
    fs::write(path("domains.d/shop.toml"), format!("domains = [\"shop.example\"]\n{HOSTED}")).unwrap();
    let mut tip = Tip::default();
    let lines: String = (1..).zip(MAILS).map(|(number, mail)| tip.extend(&record(number, mail)) + "\n").collect();
    fs::write(path("audit/00000001.jsonl"), lines).unwrap();
    let (config, _) = config::load(&path("gatepost.toml")).unwrap();
    (folder, Arc::new(config))
}

/// Asks until it is known.
async fn ask(passes: &Arc<Passes>, question: Question, config: &Arc<Config>) -> Arc<Found> {
    loop {
        match passes.ask(question.clone(), config).await {
            Seen::Ready(dated) => return dated.found,
            Seen::Reading(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn each_policy_is_told_what_its_next_step_would_have_stopped_and_whose_mail_that_is() {
    let (folder, config) = folder();
    let passes = Arc::new(Passes::new(folder.path().join("audit")));
    let found = ask(&passes, Question::Stricter(config.digest.clone()), &config).await;
    let Found::Stricter(costs) = &*found else { panic!("{found:?}") };
    let told: Vec<_> = costs
        .iter()
        .filter(|one| one.step.is_inbound)
        .map(|one| {
            let partners: Vec<&str> = one.cost.partners.iter().map(|partner| &**partner).collect();
            (&*one.step.file, one.step.setting.as_str(), one.cost.messages, one.cost.hit, partners)
        })
        .collect();
    assert_eq!(
        told,
        [
            // Its step is met by every sender but one, of whom the recipient's policy is not asked before.
            ("", "tls = \"required\"", 5, 1, vec!["bare.example"]),
            ("domains.d/bank.toml", "min_version = \"TLSv1.2\"", 3, 1, vec!["old.example"]),
            ("domains.d/shop.toml", "tls = \"required\"", 2, 0, vec![]),
        ]
    );
}

#[tokio::test]
async fn partners_and_messages_are_found_and_remembered() {
    let (folder, config) = folder();
    let passes = Arc::new(Passes::new(folder.path().join("audit")));
    let found = ask(&passes, Question::Partners, &config).await;
    let Found::Partners(partners) = &*found else { panic!("{found:?}") };
    let sends = |name: &str| partners.domains[name].sends;
    let counts = |name: &str| (sends(name).messages, sends(name).plaintext, sends(name).old, sends(name).stopped);
    assert_eq!(counts("old.example"), (2, 0, 2, 0));
    assert_eq!(counts("bare.example"), (1, 1, 0, 1));
    assert_eq!(counts("new.example"), (1, 0, 0, 0));
    let found = ask(&passes, Question::Partner(Domain::parse("old.example").unwrap()), &config).await;
    let Found::Partner(report) = &*found else { panic!("{found:?}") };
    assert_eq!(report.inbound.values().map(|sums| sums.messages).sum::<u64>(), 2);
    for (id, records) in [(1, 1), (5, 1), (77, 0)] {
        let found = ask(&passes, Question::Trace(MessageId::from_u128(id)), &config).await;
        let Found::Trace(found) = &*found else { panic!("{found:?}") };
        assert_eq!(found.len(), records, "{id}");
    }
    // What is known is not read again.
    fs::remove_dir_all(folder.path().join("audit")).unwrap();
    assert!(matches!(&*ask(&passes, Question::Partners, &config).await, Found::Partners(_)));
    let gone = passes.ask(Question::Trace(MessageId::from_u128(2)), &config).await;
    assert!(matches!(gone, Seen::Failed(_)), "{gone:?}");
}

#[tokio::test]
async fn the_posture_follows_the_log() {
    let (folder, _) = folder();
    let log = folder.path().join("audit");
    let watch = Arc::new(Watch::new(log.clone()));
    let running = tokio::spawn(watch::run(watch.clone()));
    let accepted = async |expected: u64| {
        loop {
            let seen = watch.look(|posture| posture.trend(true, Window::Hour, clock::timestamp()).total.messages).await;
            match seen {
                Seen::Ready(found) if found == expected => return,
                Seen::Ready(_) | Seen::Reading(_) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    };
    let within = Duration::from_secs(60);
    tokio::time::timeout(within, accepted(4)).await.unwrap();
    // Another segment: the reader does not look at the chain.
    let line = Tip::default().extend(&record(6, MAILS[0])) + "\n";
    fs::write(log.join("00000002.jsonl"), line).unwrap();
    tokio::time::timeout(within, accepted(5)).await.unwrap();
    running.abort();
}
