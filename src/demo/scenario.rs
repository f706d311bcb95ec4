//! The scenario as data: the next hops, the clients, and what each message must come to by its policy.

use std::fmt;

use crate::model::reason::Reason;
use crate::model::tls::ProtocolVersion;

use ProtocolVersion::{Tls1_2, Tls1_3};

/// A next hop that the relay delivers to.
#[derive(Debug)]
pub(super) struct HopSpec {
    /// The name in the domain file, which the demo's DNS knows.
    pub(super) name: &'static str,
    /// What stands for its port in the domain file.
    pub(super) placeholder: &'static str,
    /// Versions that it speaks; none: it offers no STARTTLS.
    pub(super) versions: &'static [ProtocolVersion],
    pub(super) certificate: Shown,
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

pub(super) const HOPS: &[HopSpec] = &[
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
];

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

/// One session of a client with one message.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) door: Door,
    /// The only version that the client speaks; `None`: plaintext.
    pub(super) tls: Option<ProtocolVersion>,
    /// No two steps share one.
    pub(super) from: &'static str,
    pub(super) legs: &'static [Leg],
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

const BANK: &str = "domains.d/bank.toml";
const SHOP: &str = "domains.d/shop.toml";
const CLINIC: &str = "domains.d/clinic.toml";
const PRESS: &str = "domains.d/press.toml";
const LAB: &str = "domains.d/lab.toml";
const MAIN: &str = "gatepost.toml";
const BUILT_IN: &str = "built-in";

const TO_BANK: Leg = accepted("teller@bank.example", BANK, End::Delivered(Link::Verified(Tls1_3)));
const TO_SHOP: Leg = accepted("anna@shop.example", SHOP, End::Delivered(Link::Plaintext));

const fn accepted(to: &'static str, rule: &'static str, end: End) -> Leg {
    Leg { to, verdict: Verdict::Accept, rule, end }
}

const fn refused(to: &'static str, rule: &'static str, reply: &'static str) -> Leg {
    Leg { to, verdict: Verdict::RefuseRcpt(reply), rule, end: End::NotTaken }
}

const fn refused_mail(to: &'static str, rule: &'static str, reply: &'static str) -> Leg {
    Leg { to, verdict: Verdict::RefuseMail(reply), rule, end: End::NotTaken }
}

const fn stranger(title: &'static str, tls: Option<ProtocolVersion>, from: &'static str, legs: &'static [Leg]) -> Step {
    Step { title, door: Door::Mx, tls, from, legs }
}

const fn application(
    title: &'static str,
    tls: Option<ProtocolVersion>,
    from: &'static str,
    legs: &'static [Leg],
) -> Step {
    Step { title, door: Door::Smarthost, tls, from, legs }
}

pub(super) const STEPS: &[Step] = &[
    stranger("A modern client writes to the bank", Some(Tls1_3), "ada@partner.example", &[TO_BANK]),
    stranger(
        "One TLS 1.2 session, two recipients: each domain answers for itself",
        Some(Tls1_2),
        "eve@partner.example",
        &[refused("teller@bank.example", BANK, "554 5.7.10"), TO_SHOP],
    ),
    stranger("The shop takes plaintext, too", None, "joe@oldmail.example", &[TO_SHOP]),
    stranger(
        "The clinic does not take plaintext",
        None,
        "nina@oldmail.example",
        &[refused("ward@clinic.example", CLINIC, "550 5.7.10")],
    ),
    stranger(
        "The clinic takes any TLS, but its own host shows a wrong name",
        Some(Tls1_2),
        "hugo@partner.example",
        &[accepted(
            "ward@clinic.example",
            CLINIC,
            End::Mended(Reason::CertificateHostMismatch, Link::Verified(Tls1_2)),
        )],
    ),
    stranger(
        "The press only reports what its stricter rule would refuse",
        Some(Tls1_2),
        "iris@partner.example",
        &[Leg {
            to: "news@press.example",
            verdict: Verdict::WouldRefuse,
            rule: PRESS,
            end: End::Delivered(Link::Encrypted(Tls1_3)),
        }],
    ),
    stranger(
        "The lab puts off what is too old ...",
        Some(Tls1_2),
        "karl@partner.example",
        &[refused("otto@lab.example", LAB, "450 4.7.10")],
    ),
    stranger(
        "... and takes what is new",
        Some(Tls1_3),
        "lena@partner.example",
        &[accepted("otto@lab.example", LAB, End::Delivered(Link::Verified(Tls1_3)))],
    ),
    stranger(
        "A plaintext client pretends to be the bank",
        None,
        "boss@bank.example",
        &[refused_mail("anna@shop.example", BANK, "530 5.7.10")],
    ),
    stranger(
        "Everybody may reach a postmaster (RFC 5321 section 4.5.1)",
        None,
        "mary@oldmail.example",
        &[accepted("postmaster@bank.example", BANK, End::Delivered(Link::Verified(Tls1_3)))],
    ),
    stranger(
        "A stranger wants to relay",
        Some(Tls1_3),
        "spam@stranger.example",
        &[refused("victim@elsewhere.example", BUILT_IN, "550 5.7.1 ")],
    ),
    application(
        "Our own application forgets TLS",
        None,
        "cron@shop.example",
        &[refused_mail("anna@shop.example", MAIN, "530 5.7.10")],
    ),
    application(
        "Never in plaintext: the partner's host has no STARTTLS",
        Some(Tls1_3),
        "memo@shop.example",
        &[accepted("agent@secret.example", MAIN, End::Waits(Reason::StarttlsNotSupported))],
    ),
    application(
        "A domain that takes no mail (null MX): the sender is told",
        Some(Tls1_3),
        "orders@shop.example",
        &[accepted("info@gone.example", MAIN, End::Bounced(Reason::NullMx))],
    ),
    application(
        "An MX record that points into our own network is a trap",
        Some(Tls1_3),
        "stock@shop.example",
        &[accepted("root@trap.example", MAIN, End::Bounced(Reason::TargetForbidden))],
    ),
];
