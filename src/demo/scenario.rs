//! The words of the scenario: next hops, clients, steps, and what each message must come to by its policy.

use std::fmt;

use crate::model::reason::Reason;
use crate::model::tls::{ProtocolVersion, Stack};

use ProtocolVersion::{Tls1_0, Tls1_2, Tls1_3};

/// Whether this build has OpenSSL, without which neither old clients nor old next hops can be played or reached.
pub(super) const HAS_OLD_TLS: bool = cfg!(feature = "legacy-tls");

/// A next hop that the relay delivers to.
#[derive(Debug)]
pub(super) struct HopSpec {
    /// The name in the domain file, which the demo's DNS knows.
    pub(super) name: &'static str,
    /// What stands for its port in the domain file.
    pub(super) placeholder: &'static str,
    /// Versions that it speaks, the latest first; none: it offers no STARTTLS.
    pub(super) versions: &'static [ProtocolVersion],
    pub(super) certificate: Shown,
}

impl HopSpec {
    /// Whether rustls cannot reach it.
    pub(super) fn is_old(&self) -> bool {
        self.versions.first().is_some_and(|latest| *latest < Tls1_2)
    }
}

/// The certificate that a hop shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    None,
    /// Of the demo's authority, with the hop's own name.
    Right,
    /// Of the demo's authority, with another name.
    Name(&'static str),
    /// With the hop's own name, signed by itself.
    SelfSigned,
}

const HOPS: &[HopSpec] = &[
    HopSpec {
        name: "vault.bank.example",
        placeholder: "@VAULT@",
        versions: &[Tls1_3, Tls1_2],
        certificate: Shown::Right,
    },
    HopSpec { name: "mail.shop.example", placeholder: "@SHOP@", versions: &[], certificate: Shown::None },
    HopSpec {
        name: "mx.clinic.example",
        placeholder: "@CLINIC@",
        versions: &[Tls1_2],
        certificate: Shown::Name("old.hospital.example"),
    },
    HopSpec {
        name: "desk.press.example",
        placeholder: "@DESK@",
        versions: &[Tls1_3, Tls1_2],
        certificate: Shown::SelfSigned,
    },
    HopSpec { name: "mx.lab.example", placeholder: "@LAB@", versions: &[Tls1_3], certificate: Shown::Right },
    HopSpec { name: "mx.secret.example", placeholder: "@SECRET@", versions: &[], certificate: Shown::None },
    HopSpec {
        name: "mail.museum.example",
        placeholder: "@MUSEUM@",
        versions: &[Tls1_0],
        certificate: Shown::SelfSigned,
    },
];

/// The next hops that this build can play.
pub(super) fn hops() -> impl Iterator<Item = &'static HopSpec> {
    HOPS.iter().filter(|hop| HAS_OLD_TLS || !hop.is_old())
}

/// The hop that is mended while the demo runs.
pub(super) const MENDED_HOP: &str = "mx.clinic.example";
/// Takes no mail: its MX record says so (RFC 7505).
pub(super) const NULL_MX: &str = "gone.example";
/// Its MX record points into loopback.
pub(super) const TRAP: &str = "trap.example";
/// The host that the trap's MX record names.
pub(super) const TRAP_HOST: &str = "mx.trap.example";

/// The listener that a client comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// As a stranger.
    Mx,
    /// As an application of our own.
    Smarthost,
}

/// What a client can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Plaintext,
    /// This version alone, with all that a library of today has for it.
    Modern(ProtocolVersion),
    /// This version alone, with one cipher suite (OpenSSL's name) that libraries of today have left behind.
    Old(ProtocolVersion, &'static str),
}

impl Client {
    /// The library of the relay that must serve it; `None`: neither.
    pub(super) const fn served_by(self) -> Option<Stack> {
        match self {
            Self::Plaintext => None,
            Self::Modern(_) => Some(Stack::Rustls),
            Self::Old(..) => Some(Stack::Openssl),
        }
    }
}

/// One session of a client with one message.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) door: Door,
    pub(super) client: Client,
    /// Whether the next hop is an old one.
    pub(super) to_old_hop: bool,
    /// No two steps share one.
    pub(super) from: &'static str,
    pub(super) legs: &'static [Leg],
}

impl Step {
    /// Whether it takes OpenSSL on one side or the other.
    pub(super) fn is_old(&self) -> bool {
        self.to_old_hop || self.client.served_by() == Some(Stack::Openssl)
    }
}

/// One recipient, and what must come of it.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) to: &'static str,
    pub(super) verdict: Verdict,
    /// The file of the rule that decides, or `built-in`.
    pub(super) rule: &'static str,
    pub(super) end: End,
}

/// What the relay must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    /// Accepted, and on record as what mode "enforce" would refuse.
    WouldRefuse,
    /// A reply that begins like this, to MAIL.
    RefuseMail(&'static str),
    /// A reply that begins like this, to RCPT.
    RefuseRcpt(&'static str),
}

/// How it must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    NotTaken,
    Delivered(Link),
    Waits(Reason),
    /// Waits, and is delivered once its hop is mended.
    Mended(Reason, Link),
    /// Returned: the sender gets a notice.
    Bounced(Reason),
}

/// What the delivery went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Plaintext,
    /// TLS, whoever the host may be.
    Encrypted(ProtocolVersion),
    /// TLS with a certificate that proves the host's name.
    Verified(ProtocolVersion),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext => f.write_str("plaintext"),
            Self::Encrypted(version) => version.fmt(f),
            Self::Verified(version) => write!(f, "{version} with a verified certificate"),
        }
    }
}
