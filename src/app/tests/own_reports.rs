//! The whole relay with TLS reports that are due at its start: they go out once, whatever TLS the next hop lacks.

use std::net::SocketAddr;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::Ed25519KeyPair;

use crate::admin::client;
use crate::admin::protocol::{Request, Response};
use crate::clock;
use crate::dns::fake::FakeResolver;
use crate::dns::{LookupError, Service};
use crate::facts::tlsrpt::filed::{Filed, FiledTarget, Place, TargetState};
use crate::facts::tlsrpt::{Book, Subject};
use crate::mail::tlsrpt::day::Day;
use crate::mail::tlsrpt::session::SessionResult;
use crate::mail::tlsrpt::tally::Tally;
use crate::memory::Memory;
use crate::model::base64;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::{Hop, PATIENCE, relay, write_files};

const REPORTING: &str = "[tlsrpt]\norganization = \"Relay Test\"\ncontact = \"tls@relay.test\"\n\
    dkim = { selector = \"s1\", key = \"dkim.pem\" }\n";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// Of `NAME.test`, so many days ago.
fn subject(name: &str, days: u32) -> Subject {
    Subject { day: Day::of(clock::timestamp()).before(days), domain: domain(&format!("{name}.test")) }
}

/// The configuration, with a key for DKIM.
fn write_all_files(folder: &Path, hop: SocketAddr) {
    let route = format!("[route]\nhosts = [\"{hop}\"]\ntls = \"encrypt\"\n");
    write_files(folder, REPORTING, &[("dest", route)]);
    let der = Ed25519KeyPair::generate().unwrap();
    let der: Pkcs8V1Der<'_> = der.as_der().unwrap();
    let key = base64::encode(der.as_ref());
    std::fs::write(folder.join("dkim.pem"), format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"))
        .unwrap();
}

/// What an earlier run has left: counts of these domains and days, and what became of some reports.
fn leave(folder: &Path, left: &[(Subject, Option<Filed>)]) {
    std::fs::create_dir(folder.join("spool")).unwrap();
    let memory = Memory::open(&folder.join("spool")).unwrap();
    let book = Book::new(memory);
    for (subject, filed) in left {
        let mut tally = Tally::new(subject.domain.clone(), subject.day);
        tally.add(&SessionResult { applied: Vec::new(), failure: None });
        book.add(&tally, 10).unwrap();
        if let Some(filed) = filed {
            book.file(subject, filed).unwrap();
        }
    }
}

/// Who asks for reports, and where they go.
fn resolver() -> FakeResolver {
    let record = |to: &str| Ok(vec![format!("v=TLSRPTv1;rua=mailto:{to}@dest.test").into_bytes()]);
    FakeResolver::default()
        .with_text(Service::TlsRpt, domain("a.test"), record("a"))
        .with_text(Service::TlsRpt, domain("b.test"), record("b"))
        .with_text(Service::TlsRpt, domain("gone.test"), Err(LookupError::NoData))
        .with_text(Service::TlsRpt, domain("late.test"), record("late"))
}

/// What the daemon tells of all reports: the domain, and how the first place stands.
async fn standings(folder: &Path) -> Vec<(String, Option<TargetState>)> {
    let socket = folder.join("control.sock");
    let ask = move || client::ask(&socket, &Request::TlsrptList { which: Default::default() });
    let Response::TlsrptList(list) = tokio::task::spawn_blocking(ask).await.unwrap().unwrap() else {
        panic!("no list");
    };
    let state = |targets: &[FiledTarget]| targets.first().map(|target| target.state.clone());
    list.tallies.iter().map(|tally| (tally.domain.to_string(), state(&tally.targets))).collect()
}

/// The same when the reports to a.test and b.test of an earlier day are told as sent.
async fn all_sent(folder: &Path) -> Vec<(String, Option<TargetState>)> {
    loop {
        let told = standings(folder).await;
        let is_sent = |(_, state): &&(String, Option<TargetState>)| {
            matches!(state, Some(TargetState::Sent { message: Some(_), .. }))
        };
        if told.iter().filter(is_sent).count() == 2 {
            return told;
        }
    }
}

fn queuing(message: MessageId) -> Filed {
    let to = Place::Mailto("b@dest.test".parse().unwrap());
    let at = Timestamp::from_secs(0);
    Filed { at, targets: vec![FiledTarget { to, state: TargetState::Queuing { message, tries: 0 } }] }
}

#[tokio::test]
async fn reports_that_are_due_go_out_once_and_despite_failing_tls() {
    let folder = tempfile::tempdir().unwrap();
    let mut hop = Hop::start("250 hop\r\n").await;
    write_all_files(folder.path(), hop.address);
    // A crash has left open whether the report to b.test is in the queue, and it is not.
    leave(
        folder.path(),
        &[
            (subject("a", 2), None),
            (subject("b", 2), Some(queuing(MessageId::from_u128(1)))),
            (subject("gone", 2), None),
            (subject("late", 3), None),
            (subject("a", 0), None),
        ],
    );
    let running = relay(folder.path(), resolver()).await;
    let mut arrived = [hop.next_message().await, hop.next_message().await];
    arrived.sort_by_key(|content| content.contains("TLS-Report-Domain: b.test"));
    for (content, name) in arrived.iter().zip(["a", "b"]) {
        let id = subject(name, 2).report_id(&domain("relay.test"));
        for part in [
            "DKIM-Signature: v=1;".to_owned(),
            format!("To: <{name}@dest.test>\r\n"),
            format!("TLS-Report-Domain: {name}.test\r\n"),
            "TLS-Report-Submitter: relay.test\r\n".to_owned(),
            "TLS-Required: No\r\n".to_owned(),
            id.to_string(),
        ] {
            assert!(content.contains(&part), "{part} is missing in {content}");
        }
    }
    let told = tokio::time::timeout(PATIENCE, all_sent(folder.path())).await.expect("they are not told as sent");
    for name in ["gone.test", "late.test"] {
        assert!(told.contains(&(name.to_owned(), None)), "{told:?}");
    }
    // A start sends none of them again.
    running.stop().await;
    let running = relay(folder.path(), resolver()).await;
    assert_eq!(all_sent(folder.path()).await, told);
    let socket = folder.path().join("control.sock");
    let request = Request::TlsrptSend { domain: domain("a.test"), day: Some(subject("a", 0).day) };
    let answer = tokio::task::spawn_blocking(move || client::ask(&socket, &request)).await.unwrap().unwrap();
    assert!(matches!(answer, Response::TlsrptSent { ref targets, .. } if targets.len() == 1), "{answer:?}");
    // The next that comes is the one that was asked for: nothing was sent twice.
    let content = hop.next_message().await;
    assert!(content.contains(&format!("<{}.", subject("a", 0).day)), "{content}");
    running.stop().await;
}
