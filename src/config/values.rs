//! Values that are written as text: durations, sizes, addresses, networks, names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::address::{Address, AddressError, Host};
use crate::model::cipher::CipherGrade;
use crate::model::destination::{SyslogTarget, WebhookUrl};
use crate::model::domain::{Domain, DomainPattern, check_label};
use crate::model::rate::Rate;
use crate::model::tls::ProtocolVersion;
use crate::policy::names::{Fingerprint, NamePattern};
use crate::policy::refusal_text::{RefusalText, URL_BYTES_MAX};
use crate::policy::settings::HostPort;
use crate::policy::timed::SenderPattern;

use super::document::{Words, shown};

const DAY_SECS: u64 = 24 * 60 * 60;
/// The longest duration that any key takes.
const DURATION_SECS_MAX: u64 = 366 * DAY_SECS;
/// The shortest and the longest time that evidence may be kept for.
const RETENTION_DAYS: RangeInclusive<u64> = 1..=36_500;
/// The longest timeout.
const TIMEOUT_SECS_MAX: u64 = DAY_SECS;
/// The most messages of a rate, and the longest time.
const RATE_MESSAGES_MAX: u32 = 1_000_000;
const RATE_SECS_MAX: u64 = DAY_SECS;
/// The largest size that any key takes.
const SIZE_BYTES_MAX: u64 = 1 << 50;
/// Names that become metric labels.
const LABEL_BYTES_MAX: usize = 64;
/// Free text, such as an owner.
const TEXT_BYTES_MAX: usize = 256;

const SMTP_PORT: u16 = 25;
const DNS_PORT: u16 = 53;

pub(super) const VERSIONS: &Words<ProtocolVersion> = &[
    (ProtocolVersion::Ssl3.as_str(), Some(ProtocolVersion::Ssl3)),
    (ProtocolVersion::Tls1_0.as_str(), Some(ProtocolVersion::Tls1_0)),
    (ProtocolVersion::Tls1_1.as_str(), Some(ProtocolVersion::Tls1_1)),
    (ProtocolVersion::Tls1_2.as_str(), Some(ProtocolVersion::Tls1_2)),
    (ProtocolVersion::Tls1_3.as_str(), Some(ProtocolVersion::Tls1_3)),
];

pub(super) const GRADES: &Words<CipherGrade> = &[
    (CipherGrade::Any.as_str(), Some(CipherGrade::Any)),
    (CipherGrade::Strong.as_str(), Some(CipherGrade::Strong)),
    (CipherGrade::ForwardSecret.as_str(), Some(CipherGrade::ForwardSecret)),
    (CipherGrade::Aead.as_str(), Some(CipherGrade::Aead)),
];

/// Why a text is no such value, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Invalid {
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}

/// `"90s"`, `"5m"`, `"4h"`, `"5d"`, `"2w"`; never zero.
pub(super) fn duration(text: &str) -> Result<Duration, Invalid> {
    let secs = duration_secs(text)?.filter(|secs| (1..=DURATION_SECS_MAX).contains(secs));
    secs.map(Duration::from_secs).ok_or_else(|| {
        Invalid::new(format!("\"{}\" is out of bounds", shown(text)), "write a duration from \"1s\" to \"366d\"")
    })
}

/// How long evidence is kept: a day to a hundred years.
pub(super) fn retention(text: &str) -> Result<Duration, Invalid> {
    let secs = duration_secs(text)?
        .filter(|secs| (RETENTION_DAYS.start() * DAY_SECS..=RETENTION_DAYS.end() * DAY_SECS).contains(secs));
    secs.map(Duration::from_secs).ok_or_else(|| {
        let remedy = format!("write a duration from \"{}d\" to \"{}d\"", RETENTION_DAYS.start(), RETENTION_DAYS.end());
        Invalid::new(format!("\"{}\" is out of bounds", shown(text)), remedy)
    })
}

/// `None` where the number is too large for any key.
fn duration_secs(text: &str) -> Result<Option<u64>, Invalid> {
    let (digits, unit) = split_unit(text);
    let unit_secs: Option<u64> = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(DAY_SECS),
        "w" => Some(7 * DAY_SECS),
        _ => None,
    };
    match digits.zip(unit_secs) {
        Some((number, unit_secs)) => Ok(unit_secs.checked_mul(number)),
        None => Err(Invalid::new(
            format!("\"{}\" is no duration", shown(text)),
            "write a whole number and s, m, h, d or w, such as \"90s\"",
        )),
    }
}

/// `"100/1m"`, `"10/s"`: so many messages in so much time.
pub(super) fn rate(text: &str) -> Result<Rate, Invalid> {
    const REMEDY: &str = "write a number, \"/\" and a duration, such as \"100/1m\" or \"10/s\"";
    let invalid = || Invalid::new(format!("\"{}\" is no rate", shown(text)), REMEDY);
    let (messages, per) = text.split_once('/').ok_or_else(invalid)?;
    let messages: u32 = messages.trim().parse().map_err(|_| invalid())?;
    let per = per.trim();
    let per = match per.starts_with(|c: char| c.is_ascii_digit()) {
        true => duration(per).map_err(|_| invalid())?,
        false => duration(&format!("1{per}")).map_err(|_| invalid())?,
    };
    if messages == 0 || messages > RATE_MESSAGES_MAX || per > Duration::from_secs(RATE_SECS_MAX) {
        let message = format!("\"{}\" is out of bounds", shown(text));
        return Err(Invalid::new(message, "write 1 to 1000000 messages in at most \"1d\""));
    }
    Ok(Rate { messages, per })
}

/// A duration of at most a day.
pub(super) fn timeout(text: &str) -> Result<Duration, Invalid> {
    let found = duration(text)?;
    if found > Duration::from_secs(TIMEOUT_SECS_MAX) {
        return Err(Invalid::new(format!("\"{}\" is out of bounds", shown(text)), "write at most \"1d\""));
    }
    Ok(found)
}

/// `"50MB"` (10^6), `"50MiB"` (2^20), in bytes.
pub(super) fn size(text: &str) -> Result<u64, Invalid> {
    let (digits, unit) = split_unit(text);
    let unit_bytes = match unit {
        "B" => Some(1),
        "kB" | "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "TB" => Some(1_000_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let Some((number, unit_bytes)) = digits.zip(unit_bytes) else {
        return Err(Invalid::new(
            format!("\"{}\" is no size", shown(text)),
            "write a whole number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as \"50MB\"",
        ));
    };
    match number.checked_mul(unit_bytes) {
        Some(bytes) if bytes <= SIZE_BYTES_MAX => Ok(bytes),
        _ => Err(Invalid::new(format!("\"{}\" is out of bounds", shown(text)), "write at most \"1024TiB\"")),
    }
}

pub(super) fn size_not_zero(text: &str) -> Result<u64, Invalid> {
    match size(text)? {
        0 => Err(Invalid::new("the size is zero", "write at least \"1B\"")),
        bytes => Ok(bytes),
    }
}

fn split_unit(text: &str) -> (Option<u64>, &str) {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text.split_at_checked(at) {
        Some((digits, unit)) => (digits.parse().ok(), unit),
        None => (None, text),
    }
}

/// An address to listen on.
pub(super) fn bind_address(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(
            format!("\"{}\" is no IP address with a port", shown(text)),
            "write it as \"0.0.0.0:25\" or \"[::]:25\"",
        )
    })
}

/// A name server: an address, with port 53 unless another is written.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, Invalid> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
    text.parse().or(bare).map_err(|_| {
        Invalid::new(
            format!("\"{}\" is no IP address", shown(text)),
            "write it as \"127.0.0.1:53\", \"[::1]:53\" or \"127.0.0.1\"",
        )
    })
}

pub(super) fn ip_address(text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(format!("\"{}\" is no IP address", shown(text)), "write it as \"192.0.2.25\" or \"2001:db8::25\"")
    })
}

/// A network; a bare address stands for itself alone.
pub(super) fn network(text: &str) -> Result<IpNet, Invalid> {
    let bare = text.parse::<IpAddr>().map(IpNet::from);
    let found = text.parse::<IpNet>().or(bare).map_err(|_| {
        Invalid::new(
            format!("\"{}\" is no network", shown(text)),
            "write it as \"10.0.0.0/8\", \"2001:db8::/32\" or one address",
        )
    })?;
    if found.addr() != found.network() {
        return Err(Invalid::new(
            format!("\"{}\" has bits set behind its prefix", shown(text)),
            format!("write \"{}\"", found.trunc()),
        ));
    }
    Ok(found)
}

/// A client of `[relay].trusted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrustedClient {
    Network(IpNet),
    Certificate(Fingerprint),
}

pub(super) fn trusted(text: &str) -> Result<TrustedClient, Invalid> {
    if text.starts_with("sha256:") {
        return fingerprint(text).map(TrustedClient::Certificate);
    }
    network(text).map(TrustedClient::Network)
}

/// A next hop: `host:port`, `ip:port`, `[ip]:port`, each also without the port for port 25.
pub(super) fn host_port(text: &str) -> Result<HostPort, Invalid> {
    const FORMS: &str = "write it as \"mail.example:25\", \"192.0.2.1:25\" or \"[2001:db8::1]:25\"";
    let invalid = |why: String| Invalid::new(format!("\"{}\" is no next hop: {why}", shown(text)), FORMS);
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(HostPort { host: Host::Literal(ip), port: SMTP_PORT });
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or_else(|| invalid("the bracket is not closed".to_owned()))?;
            let ip = literal(inner).ok_or_else(|| invalid("no IP address stands in the brackets".to_owned()))?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').unwrap_or_default()),
            };
            (Host::Literal(ip), port)
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            let host = match name.parse::<IpAddr>() {
                Ok(ip) => Host::Literal(ip),
                Err(_) => Host::Name(Domain::parse(name).map_err(|error| invalid(error.to_string()))?),
            };
            (host, port)
        }
    };
    let port = match port {
        None => SMTP_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(invalid("the port is not from 1 to 65535".to_owned())),
        },
    };
    Ok(HostPort { host, port })
}

/// What may stand in brackets, with or without the `IPv6:` of RFC 5321 section 4.1.3.
fn literal(inner: &str) -> Option<IpAddr> {
    match inner.split_at_checked("IPv6:".len()) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => rest.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => inner.parse().ok(),
    }
}

/// Where checkpoints go by syslog.
pub(super) fn syslog(text: &str) -> Result<SyslogTarget, Invalid> {
    SyslogTarget::parse(text).map_err(|error| {
        Invalid::new(
            format!("\"{}\" is no syslog: {error}", shown(text)),
            "write \"udp://192.0.2.5:514\" or \"unix:///dev/log\"",
        )
    })
}

/// Where checkpoints go by HTTP. What was written may hold a secret and is not repeated.
pub(super) fn webhook(text: &str) -> Result<WebhookUrl, Invalid> {
    WebhookUrl::parse(text).map_err(|error| {
        Invalid::new(
            format!("this is no address of a webhook: {error}"),
            "write \"https://hooks.example.org/audit\", or http:// with a loopback address",
        )
    })
}

pub(super) fn domain(text: &str) -> Result<Domain, Invalid> {
    Domain::parse(text).map_err(|error| {
        Invalid::new(format!("\"{}\": {error}", shown(text)), "write a name such as \"mx1.example.org\"")
    })
}

pub(super) fn domain_pattern(text: &str) -> Result<DomainPattern, Invalid> {
    DomainPattern::parse(text).map_err(|error| {
        Invalid::new(
            format!("\"{}\": {error}", shown(text)),
            "write a name such as \"bank.example\", or \"*.bank.example\" for all names below",
        )
    })
}

/// A name of `match`.
pub(super) fn name_pattern(text: &str) -> Result<NamePattern, Invalid> {
    NamePattern::parse(text).map_err(|error| {
        Invalid::new(format!("\"{}\": {error}", shown(text)), "write \"domain\", \"mx\", a name, or \"*.\" and a name")
    })
}

pub(super) fn fingerprint(text: &str) -> Result<Fingerprint, Invalid> {
    Fingerprint::parse(text).map_err(|error| {
        Invalid::new(
            format!("\"{}\": {error}", shown(text)),
            "write sha256: and the digest of the certificate or of its public key",
        )
    })
}

/// Labels with dots between them (RFC 6376 section 3.1).
pub(super) fn selector(text: &str) -> Result<String, Invalid> {
    if text.split('.').all(|label| check_label(label).is_ok()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Invalid::new(
        format!("\"{}\" is no selector", shown(text)),
        "write labels of letters, digits and '-', such as \"tls2027\"",
    ))
}

pub(super) fn mailbox(text: &str) -> Result<Address, Invalid> {
    text.parse().map_err(|error| {
        Invalid::new(format!("\"{}\": {error}", shown(text)), "write an address such as \"postmaster@example.org\"")
    })
}

/// A name that becomes a metric label.
pub(super) fn label(text: &str) -> Result<String, Invalid> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > LABEL_BYTES_MAX || !text.bytes().all(plain) {
        return Err(Invalid::new(
            format!("\"{}\" cannot be a metric label", shown(text)),
            "write 1 to 64 of a-z, 0-9, \"-\" and \"_\"",
        ));
    }
    Ok(text.to_owned())
}

/// The name of a system account or group.
pub(super) fn account(text: &str) -> Result<String, Invalid> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'$');
    if text.is_empty() || text.len() > LABEL_BYTES_MAX || !text.bytes().all(plain) {
        return Err(Invalid::new(
            format!("\"{}\" is no account name", shown(text)),
            "write a name such as \"gatepost\"",
        ));
    }
    Ok(text.to_owned())
}

/// A sender whom an exception covers.
pub(super) fn sender_pattern(text: &str) -> Result<SenderPattern, Invalid> {
    const FORMS: &str = "write an address, a domain, \"*.example.org\" for all below, or \"<>\" for bounces";
    let invalid = |error: String| Invalid::new(format!("\"{}\": {error}", shown(text)), FORMS);
    if text == "<>" {
        return Ok(SenderPattern::Null);
    }
    if text.contains('@') {
        return text.parse().map(SenderPattern::Mailbox).map_err(|error: AddressError| invalid(error.to_string()));
    }
    DomainPattern::parse(text).map(SenderPattern::Domain).map_err(|error| invalid(error.to_string()))
}

/// A text for refusals.
pub(super) fn refusal_text(text: &str) -> Result<RefusalText, Invalid> {
    RefusalText::parse(text).map_err(|error| {
        Invalid::new(error.to_string(), "write such as \"{domain} takes mail over {required} only; {negotiated}\"")
    })
}

/// An address of the web, as it can stand in a reply.
pub(super) fn url(text: &str) -> Result<Arc<str>, Invalid> {
    const REMEDY: &str = "write such as \"https://bank.example/mail-tls\"";
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !b"\"<>\\^`{|}".contains(&byte));
    if text.len() > URL_BYTES_MAX {
        return Err(Invalid::new(format!("the URL has more than {URL_BYTES_MAX} octets"), REMEDY));
    }
    if !is_plain || !host.is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')) {
        let why = "is no http or https URL in printable ASCII without spaces";
        return Err(Invalid::new(format!("\"{}\" {why}", shown(text)), REMEDY));
    }
    Ok(text.into())
}

/// Text that is only shown.
pub(super) fn free_text(text: &str) -> Result<String, Invalid> {
    if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Invalid::new(
            "the text is empty, too long or has control characters",
            "write 1 to 256 printable characters",
        ));
    }
    Ok(text.to_owned())
}
