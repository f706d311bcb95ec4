//! A record of each event by the real types: with everything that it can have, and with nothing that it can do without.

use std::sync::LazyLock;

use gatepost::audit::checkpoint::Statement;
use gatepost::audit::event::{
    Client, Event, ExceptionRecord, Handshake, Outbound, Policy, Record, RequirementRecord, Stamp,
};
use gatepost::audit::published::{DaneRecord, LearnedRecord, PublishedRecord, StsRecord};
use gatepost::model::cipher::CipherSuite;
use gatepost::model::client_offer::ClientOffer;
use gatepost::model::id::{MessageId, RecordId, SessionId};
use gatepost::model::reason::Reason;
use gatepost::model::time::Timestamp;
use gatepost::model::tls::{ChainTrust, DaneMatch, DaneResult, PeerCertificate, ProtocolVersion, TlsFacts, Verified};
use serde_json::json;

pub const EVENTS: [Event; 16] = [
    Event::InboundRefused,
    Event::InboundAccepted,
    Event::InboundHandshakeFailed,
    Event::OutboundAttempt,
    Event::OutboundDelivered,
    Event::OutboundDeferred,
    Event::OutboundBounced,
    Event::OutboundRerouted,
    Event::QueueAdmin,
    Event::ConfigLoaded,
    Event::LearnedRaised,
    Event::LearnedViolation,
    Event::PathInterference,
    Event::AuditSummary,
    Event::AuditGap,
    Event::Checkpoint,
];

const DAY: Timestamp = Timestamp::from_secs(1_798_859_045);

static TLS: LazyLock<TlsFacts> = LazyLock::new(|| TlsFacts {
    group: Some("x25519".to_owned()),
    sni: Some("mx1.example.org".to_owned()),
    peer: Some(PeerCertificate {
        key_sha256: "00".repeat(32),
        subject: "CN=client.test".to_owned(),
        names: vec!["client.test".to_owned()],
        names_omitted: 7,
        not_after: Some(DAY),
        rsa_bits: Some(2048),
        chain: ChainTrust::Expired,
        dane: Some(DaneMatch { result: DaneResult::Match, record: Some("3 1 1 0a0b...".to_owned()) }),
        verified: Verified::Fingerprint,
        error: Some("certificate-expired".to_owned()),
        ..PeerCertificate::assumed("00".repeat(32))
    }),
    ..bare_tls()
});
static BARE_TLS: LazyLock<TlsFacts> =
    LazyLock::new(|| TlsFacts { peer: Some(PeerCertificate::assumed(String::new())), ..bare_tls() });
static OFFER: LazyLock<ClientOffer> =
    LazyLock::new(|| ClientOffer { sni: Some("mx1.example.org".to_owned()), truncated: true, ..bare_offer() });
static BARE_OFFER: LazyLock<ClientOffer> = LazyLock::new(bare_offer);

fn bare_tls() -> TlsFacts {
    TlsFacts::assumed(ProtocolVersion::Tls1_3, CipherSuite::by_name("TLS_AES_128_GCM_SHA256").unwrap())
}

fn bare_offer() -> ClientOffer {
    ClientOffer { versions: vec!["TLSv1".to_owned()], ja4: "t10i0100_0_0".to_owned(), ..ClientOffer::default() }
}

pub fn stamp() -> Stamp {
    Stamp { node: "mx1".into(), config: "5a".repeat(32).into() }
}

/// With everything that the event can have.
pub fn full(event: Event, stamp: &Stamp) -> Record<'_> {
    let mut record = bare(event, stamp);
    record.detail = Some("words".to_owned());
    if record.client.is_some() {
        record.client = Some(Client { ip: [192, 0, 2, 1].into(), port: 4242, helo: Some("client.test") });
    }
    match event {
        Event::InboundAccepted | Event::InboundRefused => {
            record.message = Some(MessageId::from_u128(3));
            record.tls = Some(&TLS);
            record.requiretls = true;
            record.tls_required_no = event == Event::InboundAccepted;
            record.to = vec!["b@bank.example", "c@bank.example"];
            record.part_of = Some(RecordId::from_u128(4));
            let verdict = if event == Event::InboundAccepted { "would_refuse" } else { "refuse" };
            record.reply = Some("554 5.7.10 no".to_owned());
            record.policy = Some(Policy {
                min_version: Some("TLSv1.2"),
                client_certificate: Some("verified".to_owned()),
                reported_by: Some("shadow"),
                exception: Some(exception()),
                because: vec!["tls = required (built-in)".to_owned()],
                ..Policy::other("rcpt", verdict, Reason::VersionBelowMinimum)
            });
        }
        Event::InboundHandshakeFailed => {
            let alert = Some("unknown_ca".to_owned());
            record.handshake = Some(Handshake { reason: "alert", alert, offered: Some(&OFFER) });
        }
        Event::OutboundAttempt
        | Event::OutboundDelivered
        | Event::OutboundDeferred
        | Event::OutboundBounced
        | Event::OutboundRerouted => {
            record.tls = Some(&TLS);
            record.reply = Some("250 2.0.0 Ok".to_owned());
            record.part_of = Some(RecordId::from_u128(4));
            let expired = event == Event::OutboundBounced;
            record.outbound = record.outbound.map(|outbound| Outbound { expired, ..full_outbound(outbound) });
        }
        Event::QueueAdmin => record.message = Some(MessageId::from_u128(3)),
        Event::LearnedRaised | Event::LearnedViolation | Event::PathInterference => {
            (record.session, record.message) = (Some(SessionId::from_u128(2)), Some(MessageId::from_u128(3)));
            record.tls = Some(&TLS);
        }
        Event::Checkpoint => {
            let hash = "00".repeat(32);
            record.checkpoint = Some(statement(json!({
                "next_key": format!("ed25519:{hash}"),
                "removed": { "segments": [1, 2], "first": 1, "last": 9, "hash": hash, "until": DAY },
            })));
        }
        Event::ConfigLoaded | Event::AuditSummary | Event::AuditGap => {}
    }
    record
}

fn full_outbound(bare: Outbound) -> Outbound {
    Outbound {
        route: Some("smart".to_owned()),
        mx: Some("mx.partner.example".to_owned()),
        remote: Some("192.0.2.2:25".to_owned()),
        published: Some(PublishedRecord {
            dane: Some(DaneRecord::Usable),
            mta_sts: Some(StsRecord { enforced: true, lists_host: false }),
            mta_sts_problem: Some(Reason::StsWebpkiInvalid),
            learned: Some(LearnedRecord { verify: true, hosts: vec!["mx.example".parse().unwrap()] }),
            requiretls: true,
            tls_required_no: true,
            protected_notice: true,
            tls_report: true,
        }),
        requirement: RequirementRecord {
            min_version: Some("TLSv1.2"),
            exception: Some(exception()),
            because: vec!["tls = verify (domains.d/partner.toml:3)".to_owned()],
            ..bare.requirement.clone()
        },
        ..bare
    }
}

/// With nothing that the event can do without.
pub fn bare(event: Event, stamp: &Stamp) -> Record<'_> {
    let mut record = Record::new(stamp, DAY, RecordId::from_u128(1), event);
    match event {
        Event::InboundAccepted | Event::InboundRefused | Event::InboundHandshakeFailed => {
            record.session = Some(SessionId::from_u128(2));
            record.listener = Some("mx");
            record.client = Some(client());
        }
        Event::OutboundAttempt
        | Event::OutboundDelivered
        | Event::OutboundDeferred
        | Event::OutboundBounced
        | Event::OutboundRerouted => {
            record.session = Some(SessionId::from_u128(2));
            record.message = Some(MessageId::from_u128(3));
            (record.from, record.to) = (Some(""), vec!["b@partner.example"]);
            record.outbound = Some(outbound(event));
            record.reply = (event == Event::OutboundDelivered).then(|| "250 Ok".to_owned());
        }
        Event::AuditSummary => (record.client, record.count) = (Some(client()), Some(5)),
        Event::Checkpoint => record.checkpoint = Some(statement(json!({}))),
        Event::QueueAdmin
        | Event::ConfigLoaded
        | Event::LearnedRaised
        | Event::LearnedViolation
        | Event::PathInterference
        | Event::AuditGap => {}
    }
    match event {
        Event::InboundAccepted => {
            record.message = Some(MessageId::from_u128(3));
            (record.from, record.to) = (Some("a@partner.example"), vec!["b@bank.example"]);
            record.reply = Some("250 2.0.0 Ok".to_owned());
            record.size = Some(100);
            record.policy = Some(Policy { reason: None, ..Policy::other("rcpt", "accept", Reason::Loop) });
        }
        Event::InboundRefused => {
            record.from = Some("");
            record.tls = Some(&BARE_TLS);
            record.policy = Some(Policy::other("mail", "defer", Reason::TlsRequired));
        }
        Event::InboundHandshakeFailed => {
            record.handshake = Some(Handshake { reason: "closed", alert: None, offered: Some(&BARE_OFFER) });
            record.detail = Some("closed".to_owned());
        }
        Event::AuditSummary
        | Event::AuditGap
        | Event::ConfigLoaded
        | Event::QueueAdmin
        | Event::LearnedRaised
        | Event::LearnedViolation
        | Event::PathInterference => {
            record.detail = Some("words".to_owned());
        }
        _ => {}
    }
    record
}

fn client() -> Client<'static> {
    Client { ip: "2001:db8::1".parse().unwrap(), port: 0, helo: None }
}

fn exception() -> ExceptionRecord {
    let (rule, owner, reason) =
        ("domains.d/bank.toml:17".to_owned(), "mail team".to_owned(), "an appliance".to_owned());
    ExceptionRecord { rule, owner, reason, expires: DAY }
}

fn outbound(event: Event) -> Outbound {
    let rerouted = event == Event::OutboundRerouted;
    let failed = rerouted || matches!(event, Event::OutboundDeferred | Event::OutboundBounced);
    Outbound {
        route: None,
        mx: None,
        mx_trusted: false,
        remote: None,
        dnssec: "unknown",
        published: None,
        requirement: RequirementRecord {
            tls: "opportunistic",
            min_version: None,
            cipher: "any",
            exception: None,
            because: Vec::new(),
        },
        attempt: 1,
        reason: failed.then_some(Reason::ConnectFailed),
        next_attempt: (event == Event::OutboundDeferred).then_some(DAY),
        expired: false,
        rerouted_to: rerouted.then(|| "escrow".to_owned()),
        duration_ms: 0,
    }
}

/// The statement of a checkpoint with these fields besides those that it always has.
fn statement(more: serde_json::Value) -> Statement {
    let hash = "00".repeat(32);
    let mut fields = json!({
        "why": "start", "first": 1, "root": hash, "key": format!("ed25519:{hash}"), "signature": "00".repeat(64),
    });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(fields).unwrap()
}
