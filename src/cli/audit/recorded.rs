//! Logs for tests of the commands that read them, made of real records.

use std::fs;

use tempfile::TempDir;

use crate::audit::chain::Tip;
use crate::audit::event::{Client, Event, Policy, Record, Stamp};
use crate::model::cipher::CipherSuite;
use crate::model::id::{MessageId, RecordId};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts};

const MAIN: &str = "\
hostname = \"mx1.example.org\"
postmaster = \"postmaster@example.org\"
spool = { path = \"spool\" }
audit = { path = \"audit\" }
domains = \"domains.d\"
[[listener]]
name = \"mx\"
bind = [\"127.0.0.1:25\"]
role = \"mx\"
tls = \"off\"
";
const BANK: &str = "\
domains = [\"bank.example\"]
hosted = true
recipients = \"any\"
[route]
hosts = [\"store.bank.example\"]
";

/// One mail as it is told here.
#[derive(Clone, Copy)]
pub(super) struct Mail {
    pub(super) event: Event,
    /// `2027-01-02T03:04:05Z`.
    pub(super) time: &'static str,
    /// Names the record, and the message of an accepted one.
    pub(super) number: u128,
    pub(super) ip: &'static str,
    pub(super) from: &'static str,
    /// Empty at MAIL.
    pub(super) to: &'static str,
    /// `None` is plaintext; else version and suite.
    pub(super) tls: Option<(&'static str, &'static str)>,
    pub(super) reason: Option<Reason>,
    /// Of an accepted one: it would be refused.
    pub(super) is_reported: bool,
    pub(super) reply: &'static str,
}

pub(super) const OLD: Option<(&str, &str)> = Some(("TLSv1", "ECDHE-RSA-AES128-SHA"));
pub(super) const NEW: Option<(&str, &str)> = Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384"));

/// An accepted mail to `bank.example`.
pub(super) const ACCEPTED: Mail = Mail {
    event: Event::InboundAccepted,
    time: "2027-01-02T03:04:05Z",
    number: 1,
    ip: "192.0.2.1",
    from: "a@new.example",
    to: "b@bank.example",
    tls: NEW,
    reason: None,
    is_reported: false,
    reply: "250 2.0.0 Ok",
};

/// A folder with a configuration in which `bank.example` is hosted, and a log of these records.
pub(super) fn folder(mails: &[Mail]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = mails.iter().map(json).collect();
    write(&folder, &lines);
    folder
}

/// The same, of records as JSON.
pub(super) fn write(folder: &TempDir, records: &[String]) {
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("audit")).unwrap();
    fs::create_dir_all(path("domains.d")).unwrap();
    fs::write(path("gatepost.toml"), MAIN).unwrap();
    fs::write(path("domains.d/bank.toml"), BANK).unwrap();
    let mut tip = Tip::default();
    let lines: String = records.iter().map(|json| tip.extend(json) + "\n").collect();
    fs::write(path("audit/00000001.jsonl"), lines).unwrap();
}

pub(super) fn json(mail: &Mail) -> String {
    let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
    let time: Timestamp = mail.time.parse().unwrap();
    let mut record = Record::new(&stamp, time, RecordId::from_u128(mail.number), mail.event);
    record.message = (mail.event != Event::InboundRefused).then(|| MessageId::from_u128(mail.number));
    record.listener = Some("mx");
    record.client = Some(Client { ip: mail.ip.parse().unwrap(), port: 4242, helo: Some("h\u{1b}[2J") });
    record.from = Some(mail.from);
    record.to = Some(mail.to).filter(|to| !to.is_empty()).into_iter().collect();
    let tls = mail.tls.map(|(version, suite)| {
        TlsFacts::assumed(ProtocolVersion::parse(version).unwrap(), CipherSuite::by_name(suite).unwrap())
    });
    record.tls = tls.as_ref();
    let (stage, verdict) = match (mail.to, mail.is_reported, mail.reason) {
        (_, true, _) => ("rcpt", "would_refuse"),
        (_, false, None) => ("rcpt", "accept"),
        ("", false, Some(_)) => ("mail", "refuse"),
        (_, false, Some(_)) => ("rcpt", "refuse"),
    };
    let policy = Policy::other(stage, verdict, mail.reason.unwrap_or(Reason::TlsRequired));
    record.policy = Some(Policy { reason: mail.reason, ..policy });
    record.reply = Some(mail.reply.to_owned());
    if mail.is_reported {
        record.detail = Some("in mode \"enforce\" the reply would be: 550 5.7.10 Encryption needed".to_owned());
    }
    record.entry().json.to_string()
}
