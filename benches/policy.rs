//! Speed of the decisions that each session and each delivery waits for, with 10,000 domain files.
//!
//! `cargo bench --bench policy`

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use gatepost::config;
use gatepost::model::address::{Address, Charset, ReversePath};
use gatepost::model::cipher::CipherSuite;
use gatepost::model::domain::Domain;
use gatepost::model::time::Timestamp;
use gatepost::model::tls::{ProtocolVersion, TlsFacts};
use gatepost::policy::host_requirement::require;
use gatepost::policy::inbound::{Client, Question, judge};
use gatepost::policy::outbound::{HostIdentity, decide};
use gatepost::policy::published::Published;
use gatepost::policy::rules::PolicySet;
use gatepost::policy::timed::Asker;

const FILES: usize = 10_000;
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const MAIN_FILE: &str = r#"hostname = "mx1.example.org"
postmaster = "postmaster@example.org"
domains = "domains.d"
[spool]
path = "spool"
[[listener]]
name = "mx"
bind = ["127.0.0.1:2525"]
role = "mx"
tls = "off"
[audit]
path = "audit"
key = "audit.key"
[metrics]
bind = "off"
[admin]
bind = "off"
socket = "control/control.sock"
"#;

criterion_group!(benches, inbound, outbound);
criterion_main!(benches);

fn inbound(criterion: &mut Criterion) {
    let policies = policies().expect("policies that load");
    let suite = CipherSuite::by_name("TLS_AES_128_GCM_SHA256").expect("a suite of the table");
    let tls = TlsFacts::assumed(ProtocolVersion::Tls1_3, suite);
    let sender = ReversePath::Mailbox(address("sender@elsewhere.example"));
    let mut group = criterion.benchmark_group("judge");
    let recipients = [
        ("a hosted domain", "user@hosted7000.example"),
        ("below a wildcard", "user@a.b.partner7001.example"),
        ("of no file", "user@unknown.example"),
    ];
    for (name, recipient) in recipients {
        let recipient = address(recipient);
        for (with, tls) in [("TLS 1.3", Some(&tls)), ("plaintext", None)] {
            let to = Some(&recipient);
            let client = Client::Stranger;
            let question = Question { at: NOW, ip: CLIENT, client, sender: &sender, recipient: to, tls };
            group.bench_function(format!("{name}, {with}"), |bencher| {
                bencher.iter(|| judge(black_box(&policies), black_box(&question)));
            });
        }
    }
    group.finish();
}

fn outbound(criterion: &mut Criterion) {
    let policies = policies().expect("policies that load");
    let sender = ReversePath::Mailbox(address("sender@hosted2.example"));
    let asker = Asker { at: NOW, client: Some(CLIENT), sender: &sender };
    let mut group = criterion.benchmark_group("delivery");
    for (name, domain) in [
        ("a route", "hosted7000.example"),
        ("verified TLS by MX", "a.partner7001.example"),
        ("of no file", "unknown.example"),
    ] {
        let domain = Domain::parse(domain).expect("a domain");
        group.bench_function(format!("decide: {name}"), |bencher| {
            bencher.iter(|| decide(black_box(&policies), Some(&domain), &asker));
        });
        let decision = decide(&policies, Some(&domain), &asker);
        let mx = Domain::parse("mx1.provider.example").expect("a domain");
        let host = HostIdentity { recipient_domain: Some(&domain), name: Some(&mx), name_is_trusted: false };
        let published = Published::default();
        group.bench_function(format!("requirement of a host: {name}"), |bencher| {
            bencher.iter(|| require(black_box(&decision), &host, &published));
        });
    }
    group.finish();
}

/// Half of the domains are hosted, half are partners that mail goes to over verified TLS; loaded as the daemon does.
fn policies() -> Result<PolicySet, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let domains = folder.path().join("domains.d");
    fs::create_dir(&domains)?;
    fs::write(folder.path().join("gatepost.toml"), MAIN_FILE)?;
    for number in 0..FILES {
        let text = match number % 2 {
            0 => format!(
                "domains = [\"hosted{number}.example\"]\nhosted = true\nrecipients = \"any\"\n\
                 [route]\nhosts = [\"store{number}.example:25\"]\n\
                 [inbound]\ntls = \"required\"\nmin_version = \"TLSv1.2\"\ncipher = \"forward-secret\"\n"
            ),
            _ => format!(
                "domains = [\"partner{number}.example\", \"*.partner{number}.example\"]\n\
                 [outbound]\ntls = \"verify\"\nmin_version = \"TLSv1.2\"\n"
            ),
        };
        fs::write(domains.join(format!("{number}.toml")), text)?;
    }
    let render = |found: Vec<config::diagnostic::Diagnostic>| {
        found.iter().map(|diagnostic| diagnostic.render(false)).collect::<Vec<_>>().join("\n")
    };
    let (config, _) = config::load(&folder.path().join("gatepost.toml")).map_err(render)?;
    Ok(config.policies.as_ref().clone())
}

fn address(text: &str) -> Address {
    Address::parse(text, Charset::Ascii).expect("an address")
}
