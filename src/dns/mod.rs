//! L2: what the DNS says about where mail goes: look-ups, the mail hosts of a domain, and which targets are off limits.
//!
//! Must not: connect to mail hosts, decide TLS policy, or know about messages and queues.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tlsa::Tlsa;
use crate::policy::settings::IpChoice;

pub mod anchors;
pub mod cache;
pub mod fake;
pub mod families;
pub mod hickory;
pub mod mx;
pub mod servers;
pub mod targets;

/// MX records taken from one answer; the rest is dropped.
pub const MX_RECORDS_MAX: usize = 100;
/// Addresses of one IP version taken from one answer; the rest is dropped.
pub const ADDRESSES_MAX: usize = 32;
/// TXT records taken from one answer; the rest is dropped.
pub const TEXTS_MAX: usize = 32;

/// A look-up under way.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<Answer<T>, LookupError>> + Send + 'a>>;

/// Asks the DNS. An `Ok` answer holds at least one record. Names are absolute: no search list applies.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// The MX records of `domain`, in no particular order, at most [`MX_RECORDS_MAX`].
    fn mx<'a>(&'a self, domain: &'a Domain) -> Lookup<'a, Vec<Mx>>;

    /// The addresses of `name`, behind any aliases (CNAME): at most [`ADDRESSES_MAX`] of each IP version.
    /// With [`IpChoice::Any`] one version suffices, even if the look-up of the other fails, unless that is bogus.
    fn addresses<'a>(&'a self, name: &'a Domain, ip: IpChoice) -> Lookup<'a, Vec<IpAddr>>;

    /// The TLSA records at `_port._tcp.base` (RFC 7672 section 2.2.3): those that count for most, at most
    /// [`TLSA_RECORDS_MAX`](crate::policy::tlsa::TLSA_RECORDS_MAX).
    fn tlsa<'a>(&'a self, port: u16, base: &'a Domain) -> Lookup<'a, Vec<Tlsa>>;

    /// The TXT records in which a domain says something about a service: at most [`TEXTS_MAX`]. The strings of one
    /// record are joined without anything between (RFC 8461 section 3.1, RFC 8460 section 3).
    fn text<'a>(&'a self, service: Service, domain: &'a Domain) -> Lookup<'a, Vec<Vec<u8>>>;

    /// Finds out whether DNSSEC is of any use with the servers that are asked, and tells the log if not. Look-ups need
    /// not wait for it.
    fn look_round<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

/// A service that a domain publishes a TXT record about, below a label of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// `_mta-sts` (RFC 8461 section 3.1).
    MtaSts,
    /// `_smtp._tls` (RFC 8460 section 3).
    TlsRpt,
}

impl Service {
    /// What stands before the domain.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MtaSts => "_mta-sts",
            Self::TlsRpt => "_smtp._tls",
        }
    }
}

/// What the DNS answered, how far it can be believed and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    pub records: T,
    /// Of the whole answer: of the records and of all aliases that led to them. Of addresses of both IP versions, that
    /// of the more secure version.
    pub security: Security,
    /// Of MX records and addresses: where aliases led, if the asked name has one.
    pub alias: Option<Alias>,
    /// For how much longer the answer holds.
    pub ttl: Duration,
}

/// Aliases (CNAME) that led from the asked name to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The last name of the chain, which has the records.
    pub end: Domain,
    /// The DNSSEC state of the asked name's own CNAME record, whatever follows (RFC 7672 section 2.2.2). Of MX records
    /// it may be that of the whole answer.
    pub first: Security,
}

/// The DNSSEC state of an answer (RFC 4033 section 5). Weakest first; bogus data is an error and never an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// Nobody validated.
    Unknown,
    /// Proved to be unsigned.
    Insecure,
    /// Signed, and the signatures lead to a trust anchor.
    Secure,
}

/// An MX record (RFC 1035 section 3.3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    pub preference: u16,
    pub exchange: Exchange,
}

/// The host that an MX record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    Host(Domain),
    /// The root, `.`: "no mail here" if it stands alone (RFC 7505).
    Root,
    /// No host name, such as an address. Kept because a domain with MX records has no implicit one.
    Invalid,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("the name does not exist")]
    NoSuchName,
    #[error("the name has no such record")]
    NoData,
    #[error("the DNS server reports a failure")]
    ServFail,
    #[error("the DNS server refuses to answer")]
    Refused,
    #[error("the DNS server does not answer in time")]
    Timeout,
    #[error("no DNS server can be reached")]
    Unreachable,
    #[error("DNSSEC validation failed")]
    Bogus,
    #[error("the DNS server's answer cannot be understood")]
    Malformed,
}

impl LookupError {
    /// Whether the same question may be answered later. Else the answer is a "no" that the DNS stands by.
    pub const fn is_temporary(self) -> bool {
        !matches!(self, Self::NoSuchName | Self::NoData)
    }

    /// Why mail waits that needs the answer (RFC 8460 section 4.3.2.1, RFC 7672 section 2.1.2).
    pub const fn reason(self) -> Reason {
        match self {
            Self::Bogus => Reason::DnssecInvalid,
            _ => Reason::DnsFailure,
        }
    }
}

/// Why there is no answer, and for how long that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    pub error: LookupError,
    /// For a "no": as the zone says (RFC 2308 section 5).
    pub ttl: Option<Duration>,
}

impl Miss {
    /// A "no" at the end of aliases holds no longer than they do.
    fn within(self, alias_ttl_secs: u32) -> Self {
        let ttl = self.ttl.map(|ttl| ttl.min(Duration::from_secs(alias_ttl_secs.into())));
        Self { ttl, ..self }
    }
}

impl From<LookupError> for Miss {
    fn from(error: LookupError) -> Self {
        Self { error, ttl: None }
    }
}
