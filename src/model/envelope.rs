//! The envelope of a message: who it is from, for whom, and what was asked for (RFC 5321, 3461, 6152, 6531, 8689).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::{Address, ReversePath};
use super::id::{MessageId, SessionId};
use super::time::Timestamp;
use super::tls::TlsFacts;

/// RFC 6152 section 2: the BODY parameter of MAIL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyType {
    #[default]
    #[serde(rename = "7BIT")]
    SevenBit,
    #[serde(rename = "8BITMIME")]
    EightBitMime,
}

/// RFC 3461 section 4.3: how much of the message a DSN returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DsnReturn {
    #[serde(rename = "FULL")]
    Full,
    #[serde(rename = "HDRS")]
    Headers,
}

/// RFC 3461 section 4.1: when a recipient's DSN is wanted. All false is `NEVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

impl Notify {
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
    /// What holds without the parameter: failures, and delays as the relay sees fit (RFC 3461 section 4.1).
    pub const DEFAULT: Self = Self { success: false, failure: true, delay: true };
}

/// The parameters of MAIL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    pub path: ReversePath,
    #[serde(default)]
    pub body: BodyType,
    #[serde(default)]
    pub smtputf8: bool,
    /// The size that the client announced, in octets (RFC 1870).
    #[serde(default)]
    pub declared_size: Option<u64>,
    #[serde(default)]
    pub ret: Option<DsnReturn>,
    /// ENVID as it was given, xtext and all (RFC 3461 section 4.4).
    #[serde(default)]
    pub envid: Option<String>,
    /// REQUIRETLS: every hop is to be under authenticated TLS, or the message goes back (RFC 8689 section 2).
    #[serde(default)]
    pub require_tls: bool,
}

impl Sender {
    /// A sender without any parameter.
    pub fn plain(path: ReversePath) -> Self {
        Self {
            path,
            body: BodyType::SevenBit,
            smtputf8: false,
            declared_size: None,
            ret: None,
            envid: None,
            require_tls: false,
        }
    }
}

/// One accepted RCPT with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: Address,
    /// `None`: the parameter was not given.
    #[serde(default)]
    pub notify: Option<Notify>,
    /// ORCPT as it was given, `rfc822;` and xtext and all (RFC 3461 section 4.2).
    #[serde(default)]
    pub orcpt: Option<String>,
}

impl Recipient {
    /// A recipient without any parameter.
    pub fn plain(address: Address) -> Self {
        Self { address, notify: None, orcpt: None }
    }

    /// When a notice about this recipient is wanted.
    pub fn notify_or_default(&self) -> Notify {
        self.notify.unwrap_or(Notify::DEFAULT)
    }
}

/// How far the client of a session is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Anybody: may bring mail for hosted domains only.
    Stranger,
    /// Listed in `[relay].trusted`.
    Trusted,
    /// The relay itself: bounces and notices.
    Local,
}

/// The session that brought a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub session: SessionId,
    pub listener: String,
    pub ip: Option<IpAddr>,
    pub port: u16,
    /// The name of HELO or EHLO, escaped and bounded.
    pub helo: String,
    pub trust: Trust,
    pub tls: Option<TlsFacts>,
}

/// A message as the queue knows it, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub id: MessageId,
    pub received_at: Timestamp,
    pub sender: Sender,
    pub recipients: Vec<Recipient>,
    pub origin: Origin,
    /// Octets of header and body as stored, trace fields included.
    pub size: u64,
    /// Whether any octet of the content is above 127.
    pub eight_bit: bool,
    /// The header says `TLS-Required: No`, and REQUIRETLS was not given (RFC 8689 sections 3 and 4.1).
    #[serde(default)]
    pub tls_required_no: bool,
    /// It carries a TLS report of ours, which goes out whatever TLS allows (RFC 8460 section 3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_report: bool,
}
