//! `docs/audit.schema.json` is true: each record that the code can write is valid by it, and nothing is undescribed.

#[path = "daemon/client.rs"]
#[expect(dead_code, reason = "the daemon's own tests use all of it")]
mod client;
#[path = "daemon/hop.rs"]
#[expect(dead_code, reason = "the daemon's own tests use all of it")]
mod hop;
#[path = "daemon/process.rs"]
#[expect(dead_code, reason = "the daemon's own tests use all of it")]
mod process;
#[path = "audit_schema/records.rs"]
mod records;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use gatepost::audit::chain::Tip;
use gatepost::audit::checkpoint::Why;
use gatepost::audit::event::{Event, Record};
use gatepost::model::cipher::CipherGrade;
use gatepost::model::reason::Reason;
use gatepost::model::tls::{ChainTrust, DaneResult, ProtocolVersion, SignatureHash, Stack, Verified};
use gatepost::policy::inbound::{ReportedBy, Stage, Verdict};
use gatepost::policy::settings::{InboundTls, OutboundTls};
use gatepost::tls::failure::FailureKind;
use serde_json::{Map, Value};

use hop::Hop;
use process::{Home, Process};
use records::{EVENTS, bare, full};

const PLACE: &str = "urn:gatepost:audit-record";

/// The schema, ready to hold lines against.
struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn load() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource(PLACE, document()).unwrap();
        let index = compiler.compile(PLACE, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    /// What is wrong with a line, by the schema.
    fn complaint(&self, line: &Value) -> Option<String> {
        self.schemas.validate(line, self.index).err().map(|error| format!("{error:#}\n{line:#}"))
    }
}

fn document() -> Value {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    serde_json::from_str(&fs::read_to_string(Path::new(&root).join("docs/audit.schema.json")).unwrap()).unwrap()
}

/// The record as the log has it.
fn line(record: &Record<'_>) -> Value {
    serde_json::from_str(&Tip::default().extend(&record.entry().json)).unwrap()
}

#[test]
fn each_event_is_valid_with_everything_and_with_nothing_that_can_be_left_out() {
    let schema = Schema::load();
    let stamp = records::stamp();
    for event in EVENTS {
        for record in [full(event, &stamp), bare(event, &stamp)] {
            let line = line(&record);
            assert_eq!(schema.complaint(&line), None, "{event:?}");
        }
    }
}

#[test]
fn a_field_that_nobody_described_is_found_wherever_it_is() {
    let schema = Schema::load();
    let stamp = records::stamp();
    for event in EVENTS {
        let line = line(&full(event, &stamp));
        for place in objects(&line, "") {
            let mut changed = line.clone();
            let object = changed.pointer_mut(&place).and_then(Value::as_object_mut).unwrap();
            object.insert("surprise".to_owned(), Value::from(1));
            assert!(schema.complaint(&changed).is_some(), "{event:?}: a new field in {place:?} goes unseen");
        }
    }
}

#[test]
fn a_record_that_was_cut_is_valid() {
    let schema = Schema::load();
    let stamp = records::stamp();
    for event in EVENTS {
        let mut record = full(event, &stamp);
        record.detail = Some("words ".repeat(20_000));
        let line = line(&record);
        assert_eq!((schema.complaint(&line), line["omitted"].as_u64()), (None, Some(1)), "{event:?}");
    }
}

/// JSON pointers to all objects of a value.
fn objects(value: &Value, place: &str) -> Vec<String> {
    let Some(fields) = value.as_object() else { return Vec::new() };
    let below = fields.iter().flat_map(|(name, value)| objects(value, &format!("{place}/{name}")));
    [place.to_owned()].into_iter().chain(below).collect()
}

#[test]
fn fields_of_other_events_have_no_place_in_a_record() {
    let schema = Schema::load();
    let stamp = records::stamp();
    for (event, other, field) in [
        (Event::InboundAccepted, Event::OutboundDeferred, "next_attempt"),
        (Event::InboundAccepted, Event::Checkpoint, "checkpoint"),
        (Event::OutboundDelivered, Event::InboundAccepted, "policy"),
        (Event::OutboundDelivered, Event::OutboundBounced, "expired"),
        (Event::InboundRefused, Event::InboundHandshakeFailed, "handshake"),
        (Event::InboundRefused, Event::OutboundAttempt, "mx"),
        (Event::ConfigLoaded, Event::InboundAccepted, "part_of"),
    ] {
        let mut line = line(&full(event, &stamp));
        let value = self::line(&full(other, &stamp))[field].clone();
        line.as_object_mut().unwrap().insert(field.to_owned(), value);
        assert!(schema.complaint(&line).is_some(), "{event:?} with {field}");
    }
}

#[test]
fn every_field_and_type_is_described() {
    let document = document();
    let mut silent = Vec::new();
    let mut look = |path: &str, fields: &Map<String, Value>| {
        let is_silent = |field: &Value| field["description"].as_str().is_none_or(|text| text.len() < 10);
        let names = fields.iter().filter(|(_, field)| is_silent(field) && field.get("$ref").is_none());
        silent.extend(names.map(|(name, _)| format!("{path}/{name}")));
    };
    look("properties", document["properties"].as_object().unwrap());
    let types = document["$defs"].as_object().unwrap();
    look("$defs", types);
    for (name, definition) in types {
        if let Some(fields) = definition["properties"].as_object() {
            look(name, fields);
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}

/// The words that the schema allows at a place.
fn words(place: &str) -> BTreeSet<String> {
    let document = document();
    let schema = document.pointer(place).unwrap_or_else(|| panic!("{place} is not in the schema"));
    let listed = schema["enum"].as_array().cloned().unwrap_or_default();
    let described = schema["oneOf"].as_array().into_iter().flatten().map(|one| one["const"].clone());
    let words = listed.into_iter().chain(described).filter(|word| !word.is_null());
    words.map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn check<T: ToString>(place: &str, expected: impl IntoIterator<Item = T>) {
    assert_eq!(words(place), expected.into_iter().map(|word| word.to_string()).collect(), "{place}");
}

/// The word that a value is written as.
fn written<T: serde::Serialize>(value: T) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn closed_lists_are_those_of_the_code() {
    check("/properties/event", EVENTS.map(written));
    check("/$defs/reason", Reason::ALL);
    check("/$defs/version", ProtocolVersion::ALL);
    check("/$defs/grade", CipherGrade::ALL);
    check("/$defs/policy/properties/verdict", Verdict::ALL.map(Verdict::as_str));
    check("/$defs/policy/properties/stage", Stage::ALL.map(Stage::as_str).into_iter().chain(["data"]));
    check("/$defs/policy/properties/tls", [InboundTls::Optional, InboundTls::Required].map(InboundTls::as_str));
    let reported_by = [ReportedBy::Mode, ReportedBy::Shadow, ReportedBy::Enforcement];
    check("/$defs/policy/properties/reported_by", reported_by.map(ReportedBy::as_str));
    check("/$defs/requirement/properties/tls", OutboundTls::ALL.map(OutboundTls::as_str));
    check("/$defs/handshake/properties/reason", FailureKind::WORDS);
    check("/$defs/tls/properties/stack", [Stack::Rustls, Stack::Openssl].map(written));
    let verified = [Verified::None, Verified::Webpki, Verified::Dane, Verified::Fingerprint];
    check("/$defs/peer/properties/verified", verified.map(written));
    check("/$defs/peer/properties/signature", [SignatureHash::Sha1OrOlder, SignatureHash::Sha2].map(written));
    let chain = [ChainTrust::Unknown, ChainTrust::Trusted, ChainTrust::Expired, ChainTrust::NotTrusted];
    check("/$defs/peer/properties/chain", chain.into_iter().chain([ChainTrust::Invalid]).map(written));
    let dane = [DaneResult::Match, DaneResult::Refused, DaneResult::NoMatch];
    check("/$defs/peer/properties/dane/properties/result", dane.map(written));
    let why = [Why::Start, Why::Interval, Why::Rotation, Why::Demand, Why::Stop, Why::Key, Why::Retention];
    check("/$defs/checkpoint/properties/why", why.map(written));
}

const EXCEPTION: &str = r#"
[inbound]
min_version = "TLSv1.2"
[[inbound.exception]]
clients = ["127.0.0.1"]
senders = ["old.example"]
min_version = "TLSv1"
owner = "mail team"
reason = "their appliance"
expires = 2999-01-01
"#;

/// Mail that is refused, reported, excepted, taken, delivered and deferred, and handshakes that fail.
fn live(home: &Home, hop: &Hop) {
    let hosted = |name: &str, port: u16, inbound: &str| {
        let head = format!("domains = [\"{name}.example\"]\nhosted = true\nrecipients = \"any\"\n");
        home.domain(name, &format!("{head}[route]\nhosts = [\"127.0.0.1:{port}\"]\n{inbound}"));
    };
    hosted("any", hop.port, "");
    hosted("dead", 1, "");
    hosted("strict", hop.port, "[inbound]\nmin_version = \"TLSv1.2\"\n");
    hosted("report", hop.port, "[inbound]\ntls = \"required\"\nmode = \"report\"\n");
    hosted("excepted", hop.port, EXCEPTION);
    let daemon = Process::start(home);
    let mut plain = daemon.connect();
    plain.say("EHLO client.test", "250");
    plain.say("MAIL FROM:<a@old.example>", "250");
    plain.say("RCPT TO:<b@strict.example>", "550");
    plain.say("RCPT TO:<b@elsewhere.example>", "550");
    for domain in ["any", "dead", "report"] {
        plain.say(&format!("RCPT TO:<b@{domain}.example>"), "250");
    }
    plain.say("DATA", "354");
    plain.say("Subject: hello\r\n\r\nhello\r\n.", "250");
    plain.say("STARTTLS", "220");
    let mut secure = plain.handshake(&home.certificate);
    secure.say("EHLO client.test", "250");
    secure.say("MAIL FROM:<>", "250");
    secure.say("RCPT TO:<b@strict.example>", "250");
    secure.say("RCPT TO:<b@excepted.example>", "250");
    secure.say("DATA", "354");
    secure.say("Subject: bounce\r\n\r\nhello\r\n.", "250");
    secure.say("MAIL FROM:<a@old.example>", "250");
    secure.say("RCPT TO:<b@excepted.example>", "250");
    secure.say("DATA", "354");
    secure.say("Subject: excepted\r\n\r\nhello\r\n.", "250");
    (0..5).for_each(|_| _ = hop.next());
    daemon.wait_for("deferred");
    let mut garbage = TcpStream::connect(daemon.address()).unwrap();
    garbage.write_all(b"EHLO client.test\r\nSTARTTLS\r\n").unwrap();
    let mut other = daemon.connect();
    other.say("EHLO client.test", "250");
    other.say("STARTTLS", "220");
    other.send("this is no ClientHello\r\n");
    daemon.wait_for("TLS handshake failed");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn every_line_of_a_daemon_is_valid() {
    let (home, hop) = (Home::new(), Hop::start());
    live(&home, &hop);
    // The second start finds what the first one left.
    assert_eq!(Process::start(&home).stop(), Some(0));
    let schema = Schema::load();
    let mut seen = BTreeSet::new();
    let mut segments: Vec<_> = fs::read_dir(home.path().join("audit")).unwrap().map(|e| e.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    for path in segments {
        for line in fs::read_to_string(path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(schema.complaint(&line), None);
            seen.insert(line["event"].as_str().unwrap().to_owned());
        }
    }
    let expected = [
        "checkpoint",
        "config.loaded",
        "inbound.accepted",
        "inbound.handshake_failed",
        "inbound.refused",
        "outbound.attempt",
        "outbound.deferred",
        "outbound.delivered",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
