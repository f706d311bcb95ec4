//! One `[[case]]`, key by key.

use crate::config::document::{Table, Value, Words, shown};
use crate::config::moment::moment;
use crate::config::place::At;
use crate::config::values::{self, Invalid};
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::assumed::{self, AssumedError};
use crate::model::domain::DomainPattern;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode};
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::policy::assumed::{HostCertificate, ShownCertificate};
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::inbound::{Stage, Verdict};

use super::{Answer, Case, Delivery, Inbound, Outbound, Places, Way};

const DIRECTIONS: &Words<Direction> = &[("inbound", Some(Direction::Inbound)), ("outbound", Some(Direction::Outbound))];
const INBOUND_KEYS: [&str; 3] = ["client_certificate", "listener", "stage"];
const OUTBOUND_KEYS: [&str; 3] = ["certificate", "certificate_names", "mx"];
const OTHERWISE_OUTBOUND: &str = "remove it, or write direction = \"outbound\"";
const OTHERWISE_INBOUND: &str = "remove it, or write direction = \"inbound\"";
const VERSIONS: &Words<Option<ProtocolVersion>> = &[
    ("none", Some(None)),
    (ProtocolVersion::Ssl3.as_str(), Some(Some(ProtocolVersion::Ssl3))),
    (ProtocolVersion::Tls1_0.as_str(), Some(Some(ProtocolVersion::Tls1_0))),
    (ProtocolVersion::Tls1_1.as_str(), Some(Some(ProtocolVersion::Tls1_1))),
    (ProtocolVersion::Tls1_2.as_str(), Some(Some(ProtocolVersion::Tls1_2))),
    (ProtocolVersion::Tls1_3.as_str(), Some(Some(ProtocolVersion::Tls1_3))),
];
const STAGES: &Words<Stage> = &[(Stage::Mail.as_str(), Some(Stage::Mail)), (Stage::Rcpt.as_str(), Some(Stage::Rcpt))];
const ANSWERS: &Words<Answer> = &[
    (Verdict::Accept.as_str(), Some(Answer::Verdict(Verdict::Accept))),
    (Verdict::WouldRefuse.as_str(), Some(Answer::Verdict(Verdict::WouldRefuse))),
    (Verdict::Defer.as_str(), Some(Answer::Verdict(Verdict::Defer))),
    (Verdict::Refuse.as_str(), Some(Answer::Verdict(Verdict::Refuse))),
];
const CERTIFICATES: &Words<HostCertificate> = &[
    ("trusted", Some(HostCertificate::Trusted)),
    ("untrusted", Some(HostCertificate::Untrusted)),
    ("expired", Some(HostCertificate::Expired)),
];
/// Why an inbound transaction may not be taken.
const INBOUND_REASONS: &Words<Reason> = &[
    (Reason::TlsRequired.as_str(), Some(Reason::TlsRequired)),
    (Reason::VersionBelowMinimum.as_str(), Some(Reason::VersionBelowMinimum)),
    (Reason::CipherBelowMinimum.as_str(), Some(Reason::CipherBelowMinimum)),
    (Reason::ClientCertificate.as_str(), Some(Reason::ClientCertificate)),
    (Reason::RelayDenied.as_str(), Some(Reason::RelayDenied)),
    (Reason::NoSuchUser.as_str(), Some(Reason::NoSuchUser)),
];
const DELIVERIES: &Words<DeliveryVerdict> = &[
    (DeliveryVerdict::Deliver.as_str(), Some(DeliveryVerdict::Deliver)),
    ("accept", Some(DeliveryVerdict::Deliver)),
    (DeliveryVerdict::Defer.as_str(), Some(DeliveryVerdict::Defer)),
    (DeliveryVerdict::Bounce.as_str(), Some(DeliveryVerdict::Bounce)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Inbound,
    Outbound,
}

/// `None` after an error was reported.
pub(super) fn case(mut table: Table<'_>) -> Option<Case> {
    let case = table.place().span.clone();
    let direction = table.get("direction").map(|value| value.word(DIRECTIONS).map(|at| at.value));
    // Where the direction is wrong, what belongs to it cannot be told.
    let direction = direction.unwrap_or(Some(Direction::Inbound));
    let name = table.get("name").map(|value| value.parse(values::free_text));
    let from = table.require("from", "write the sender: from = \"a@partner.example\", or \"<>\" for bounces");
    let to = table.require("to", "write the recipient: to = \"b@bank.example\"");
    let (from, to) = (from.and_then(|value| value.parse(sender)), to.and_then(|value| value.parse(address)));
    let tls = session(&mut table);
    let client = table.get("client").map(|value| value.parse(values::ip_address));
    let at = table.get("at").map(|value| moment(&value));
    let expect = table.require("expect", "write what must come of it, such as expect = \"accept\" or \"554 5.7.10\"");
    let (listener, mx) = (table.get("listener"), table.get("mx"));
    let places = Places {
        case,
        expect: expect.as_ref().map_or(0..0, |value| value.place.span.clone()),
        listener: listener.map(|value| value.place.span),
        mx: mx.map(|value| value.place.span),
    };
    let has_tls = tls.as_ref().is_none_or(Option::is_some);
    let way = match direction {
        Some(Direction::Inbound) => inbound(&mut table, expect, has_tls).map(Way::Inbound),
        Some(Direction::Outbound) => outbound(&mut table, expect, has_tls).map(Way::Outbound),
        None => None,
    };
    match direction {
        Some(Direction::Inbound) => table.misplaced(&OUTBOUND_KEYS, "belongs to outbound cases", OTHERWISE_OUTBOUND),
        Some(Direction::Outbound) => table.misplaced(&INBOUND_KEYS, "belongs to inbound cases", OTHERWISE_INBOUND),
        None => [INBOUND_KEYS, OUTBOUND_KEYS].concat().into_iter().for_each(|key| drop(table.get(key))),
    }
    drop(table.get("reason"));
    table.finish();
    Some(Case {
        name: all_or_nothing(name)?.map(|at| at.value),
        from: from?.value,
        to: to?.value,
        tls: tls?,
        client: all_or_nothing(client)?.map(|at| at.value),
        at: all_or_nothing(at)?.map(|at| at.value),
        way: way?,
        places,
    })
}

/// `None` for a key that is written and wrong.
#[expect(clippy::option_option, reason = "unwritten and wrong are different")]
fn all_or_nothing<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

/// `tls` and `cipher`: the inner `None` is plaintext.
#[expect(clippy::option_option, reason = "plaintext and wrong are different")]
fn session(table: &mut Table<'_>) -> Option<Option<TlsFacts>> {
    let written = table.get("tls");
    let version = written.as_ref().map_or(Some(None), |value| value.word(VERSIONS).map(|at| at.value));
    let Some(cipher) = table.get("cipher") else { return Some(version?.map(assumed::usual)) };
    let name = cipher.text()?;
    let Some(version) = version? else {
        cipher.place.error("a plaintext session has no cipher suite", "write tls = \"TLSv1.2\" or another version");
        return None;
    };
    match assumed::session(version, name) {
        Ok(facts) => Some(Some(facts)),
        Err(error) => {
            let message = match error {
                AssumedError::NoSuchSuite(_) => format!("no cipher suite is named \"{}\"", shown(name)),
                AssumedError::NotOfVersion { .. } => error.to_string(),
            };
            cipher.place.error(message, error.examples());
            None
        }
    }
}

fn inbound(table: &mut Table<'_>, expect: Option<Value<'_>>, has_tls: bool) -> Option<Inbound> {
    let certificate = table.get("client_certificate").map(|value| {
        let certificate = value.parse(shown_certificate);
        certificate.filter(|at| needs_tls(at, has_tls))
    });
    let listener = table.get("listener").map(|value| value.text());
    let stage = table.get("stage").map(|value| value.word(STAGES));
    let reason = table.get("reason").map(|value| value.word(INBOUND_REASONS));
    let expected = expect.and_then(|value| answer(&value));
    let reason = all_or_nothing(reason)?;
    if let (Some(at), Some(Answer::Verdict(Verdict::Accept))) = (&reason, expected) {
        at.place.error("what is accepted has no reason", "remove it, or expect something else");
        return None;
    }
    Some(Inbound {
        certificate: all_or_nothing(certificate)?.map(|at| at.value),
        listener: all_or_nothing(listener)?.map(str::to_owned),
        expected: expected?,
        stage: all_or_nothing(stage)?.map(|at| at.value),
        reason: reason.map(|at| at.value),
    })
}

fn outbound(table: &mut Table<'_>, expect: Option<Value<'_>>, has_tls: bool) -> Option<Outbound> {
    let certificate = table.get("certificate").map(|value| {
        let is_hash = value.value.as_str().is_some_and(|text| text.starts_with("sha256:"));
        let certificate = match is_hash {
            true => value.parse(|text| values::fingerprint(text).map(HostCertificate::Fingerprint)),
            false => value.word(CERTIFICATES),
        };
        certificate.filter(|at| needs_tls(at, has_tls))
    });
    let names = table.get("certificate_names").map(|value| value.list(|item| item.parse(values::domain_pattern)));
    let mx = table.get("mx").map(|value| value.parse(values::domain));
    let reason = table.get("reason").map(|value| value.word(&outbound_reasons()));
    let expected = expect.and_then(|value| delivery(&value));
    let reason = all_or_nothing(reason)?;
    if let (Some(at), Some(Delivery::Verdict(DeliveryVerdict::Deliver))) = (&reason, expected) {
        at.place.error("what is delivered has no reason", "remove it, or expect something else");
        return None;
    }
    if certificate.is_none()
        && let Some(Some(at)) = &names
    {
        let remedy = "write certificate = \"trusted\" beside it";
        at.place.error("`certificate_names` are those of a `certificate`, and there is none", remedy);
        return None;
    }
    let certificate_names: Vec<DomainPattern> = all_or_nothing(names)?.map(|at| at.items()).unwrap_or_default();
    Some(Outbound {
        certificate: all_or_nothing(certificate)?.map(|at| at.value),
        certificate_names,
        mx: all_or_nothing(mx)?.map(|at| at.value),
        expected: expected?,
        reason: reason.map(|at| at.value),
    })
}

fn needs_tls<T>(certificate: &At<'_, T>, has_tls: bool) -> bool {
    if !has_tls {
        certificate.place.error("a plaintext session has no certificate", "write tls = \"TLSv1.2\" or another version");
    }
    has_tls
}

/// A verdict, or a reply code with or without its enhanced code.
fn answer(value: &Value<'_>) -> Option<Answer> {
    let is_reply = value.value.as_str().is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let answer = if is_reply { value.parse(reply) } else { value.word(ANSWERS) };
    answer.map(|at| at.value)
}

fn reply(text: &str) -> Result<Answer, Invalid> {
    let invalid = || {
        let message = format!("\"{}\" is no reply of an SMTP server", shown(text));
        Invalid::new(message, "write its code, such as \"530\", or also its enhanced code, such as \"554 5.7.10\"")
    };
    let (code, enhanced) = text.split_once(' ').map_or((text, None), |(code, enhanced)| (code, Some(enhanced)));
    let is_three_digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let code = code.parse().ok().filter(|_| is_three_digits).and_then(Code::new).ok_or_else(invalid)?;
    let enhanced = enhanced.map(|enhanced| EnhancedCode::parse(enhanced).ok_or_else(invalid)).transpose()?;
    if enhanced.is_some_and(|enhanced| u16::from(enhanced.class) != code.number() / 100) {
        let message = format!("\"{}\" contradicts itself: both codes begin with the same digit", shown(text));
        return Err(Invalid::new(message, "write the codes of one reply, such as \"554 5.7.10\""));
    }
    Ok(Answer::Reply(code, enhanced))
}

/// Why a delivery may not be made.
fn outbound_reasons() -> Vec<(&'static str, Option<Reason>)> {
    let reasons = Reason::OUTBOUND_TLS.iter().chain(&[Reason::NeedsRequireTls]);
    reasons.map(|reason| (reason.as_str(), Some(*reason))).collect()
}

/// A verdict, or the reason for which the mail is not sent.
fn delivery(value: &Value<'_>) -> Option<Delivery> {
    let text = value.value.as_str().unwrap_or_default();
    match outbound_reasons().into_iter().find(|(word, _)| *word == text) {
        Some((_, reason)) => reason.map(Delivery::Reason),
        None => value.word(DELIVERIES).map(|at| Delivery::Verdict(at.value)),
    }
}

fn sender(text: &str) -> Result<ReversePath, Invalid> {
    if matches!(text, "" | "<>") {
        return Ok(ReversePath::Null);
    }
    address(text).map(ReversePath::Mailbox)
}

fn address(text: &str) -> Result<Address, Invalid> {
    Address::parse(text, Charset::Utf8).map_err(|error| {
        Invalid::new(format!("\"{}\": {error}", shown(text)), "write an address such as \"someone@partner.example\"")
    })
}

fn shown_certificate(text: &str) -> Result<ShownCertificate, Invalid> {
    ShownCertificate::parse(text).map_err(|error| {
        Invalid::new(format!("\"{}\": {error}", shown(text)), "write \"verified\", or sha256: and the digest")
    })
}
