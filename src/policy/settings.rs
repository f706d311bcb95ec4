//! The keys of a policy as written, layer by layer: each value with the place that it came from.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::address::Host;
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::rate::Rate;
use crate::model::tls::ProtocolVersion;

use super::names::{Fingerprint, NamePattern};
use super::refusal_text::RefusalText;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    BuiltIn,
    /// Path as the configuration names it, relative to its root, and the line, from 1.
    File {
        file: Arc<str>,
        line: u32,
    },
    /// Nowhere: it is published, learned, or asked for by the message.
    Fact(Fact),
}

/// What is not written by the operator and counts all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// RFC 7672
    Tlsa,
    /// RFC 8461
    MtaSts,
    /// What the hosts have met so far.
    Learned,
    /// RFC 8689
    RequireTls,
    /// RFC 8460: the message is a report of ours, which failing TLS must not hold up.
    TlsReport,
}

impl Fact {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tlsa => "DANE",
            Self::MtaSts => "MTA-STS",
            Self::Learned => "learned",
            Self::RequireTls => "REQUIRETLS",
            Self::TlsReport => "TLS report",
        }
    }
}

/// `domains.d/bank.toml:12`, `built-in`, or the kind of fact.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Fact(fact) => f.write_str(fact.as_str()),
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    pub value: T,
    pub source: Source,
}

impl<T> Sourced<T> {
    pub const fn built_in(value: T) -> Self {
        Self { value, source: Source::BuiltIn }
    }
}

/// Whether a session may be plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InboundTls {
    Optional,
    Required,
}

impl InboundTls {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Which side of the envelope brings a domain's `[inbound]` into play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliesTo {
    pub sender: bool,
    pub recipient: bool,
}

/// What happens to what does not meet the policy, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Report,
    Defer,
    Enforce,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Report, Self::Defer, Self::Enforce];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Defer => "defer",
            Self::Enforce => "enforce",
        }
    }
}

/// What a policy asks of the client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificateRule {
    /// None is asked for.
    #[default]
    None,
    /// One that leads to a root which the listener trusts.
    Verified,
    /// One of these, by the certificate or by its key.
    Fingerprints(Arc<[Fingerprint]>),
}

/// `none`, `verified`, or the fingerprints.
impl fmt::Display for ClientCertificateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Verified => f.write_str("verified"),
            Self::Fingerprints(fingerprints) => {
                for (index, fingerprint) in fingerprints.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{fingerprint}")?;
                }
                Ok(())
            }
        }
    }
}

/// One layer of `[inbound]` keys; what is `None` is left to the layer below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundLayer {
    pub tls: Option<Sourced<InboundTls>>,
    pub min_version: Option<Sourced<ProtocolVersion>>,
    pub cipher: Option<Sourced<CipherGrade>>,
    pub client_certificate: Option<Sourced<ClientCertificateRule>>,
    pub applies_to: Option<Sourced<AppliesTo>>,
    pub mode: Option<Sourced<Mode>>,
    pub refusal_text: Option<Sourced<RefusalText>>,
    /// Where a refused sender may read more.
    pub refusal_url: Option<Sourced<Arc<str>>>,
}

/// The levels of outbound TLS, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutboundTls {
    /// Never TLS.
    Off,
    /// TLS where offered, plaintext else.
    Opportunistic,
    /// TLS or nothing; nobody's identity is checked.
    Encrypt,
    /// TLS with a certificate that proves the identity, or nothing.
    Verify,
}

impl OutboundTls {
    pub const ALL: [Self; 4] = [Self::Off, Self::Opportunistic, Self::Encrypt, Self::Verify];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Opportunistic => "opportunistic",
            Self::Encrypt => "encrypt",
            Self::Verify => "verify",
        }
    }
}

/// The end of a message whose TLS requirement cannot be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnTlsFailure {
    /// Retry until the lifetime is over, then bounce.
    Defer,
    Bounce,
    /// After a while by the `[[route]]` of this name, which has a requirement of its own.
    Route(Arc<str>),
}

/// `defer`, `bounce` or `route:escrow`, as it is written.
impl fmt::Display for OnTlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defer => f.write_str("defer"),
            Self::Bounce => f.write_str("bounce"),
            Self::Route(name) => write!(f, "route:{name}"),
        }
    }
}

/// What is made of TLSA records (RFC 7672).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DaneUse {
    Off,
    /// They are followed where they are published.
    Auto,
    /// Without usable ones nothing is delivered (RFC 7672 section 6).
    Required,
}

impl DaneUse {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Required => "required",
        }
    }
}

/// What is made of MTA-STS policies (RFC 8461).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StsUse {
    Off,
    /// They are followed where they are published.
    Auto,
}

impl StsUse {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
        }
    }
}

/// What is made of the TLS that a domain's hosts have shown so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Learn {
    Off,
    /// It is remembered and proposed.
    Propose,
    /// It is required from then on.
    Enforce,
}

impl Learn {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Propose => "propose",
            Self::Enforce => "enforce",
        }
    }
}

/// What a message's `TLS-Required: No` counts for (RFC 8689 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsRequiredNo {
    Ignore,
    /// It waives DANE and MTA-STS, never what is written here.
    Honour,
}

impl TlsRequiredNo {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Honour => "honour",
        }
    }
}

/// One layer of the keys that rule deliveries: of `[outbound]`, or of a `[route]`, which answers to its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundLayer {
    pub tls: Option<Sourced<OutboundTls>>,
    pub min_version: Option<Sourced<ProtocolVersion>>,
    pub cipher: Option<Sourced<CipherGrade>>,
    pub match_names: Option<Sourced<Vec<NamePattern>>>,
    pub fingerprints: Option<Sourced<Vec<Fingerprint>>>,
    /// PEM files of the roots that alone may vouch for these hosts.
    pub ca: Option<Sourced<Vec<PathBuf>>>,
    /// What a step or an exception says of deliveries. What the base says stands beside the rules: it has more keys.
    pub delivery: DeliveryLayer,
}

/// The keys of `[outbound]` that hold with a route too. No step and no exception has the last four.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryLayer {
    pub dane: Option<Sourced<DaneUse>>,
    pub mta_sts: Option<Sourced<StsUse>>,
    pub learn: Option<Sourced<Learn>>,
    pub tls_required_no: Option<Sourced<TlsRequiredNo>>,
    pub on_tls_failure: Option<Sourced<OnTlsFailure>>,
    /// From the first attempt that lacked TLS until the other route is taken.
    pub route_after: Option<Sourced<Duration>>,
    /// From the first attempt that lacked TLS until the sender is told.
    pub notify_sender: Option<Sourced<Duration>>,
    /// Deliveries at once to one destination.
    pub concurrency: Option<u32>,
    /// Deliveries to one destination in a time.
    pub rate: Option<Rate>,
    pub retry: Option<Vec<Duration>>,
    pub lifetime: Option<Duration>,
}

/// A next hop that was written down: a name or address literal and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Which IP versions a delivery uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IpChoice {
    #[default]
    Any,
    V4,
    V6,
}

/// Where a certificate of ours and its key are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPair {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// Next hops that replace the MX look-up, tried in order, with the TLS that they must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Stable name for queue listings: the name of a `[[route]]`, or the file that holds the `[route]`.
    pub name: Arc<str>,
    /// Where it was written.
    pub source: Source,
    /// Never empty.
    pub hosts: Vec<HostPort>,
    pub tls: OutboundLayer,
    pub source_address: Option<IpAddr>,
    /// The name given in EHLO instead of our hostname.
    pub ehlo: Option<Domain>,
    pub ip: IpChoice,
    /// What is shown to a next hop that asks for a certificate.
    pub client_certificate: Option<Sourced<KeyPair>>,
}
