//! The steps of the scenario: what each client sends, and what must come of it.

use crate::model::reason::Reason;
use crate::model::tls::ProtocolVersion::{Tls1_0, Tls1_1, Tls1_2, Tls1_3};

use super::scenario::{Client, Door, End, HAS_OLD_TLS, Leg, Link, Step, Verdict};

/// Those that this build can play, in their order.
pub(super) fn steps() -> impl Iterator<Item = &'static Step> {
    STEPS.iter().filter(|step| HAS_OLD_TLS || !step.is_old())
}

const BANK: &str = "domains.d/bank.toml";
const SHOP: &str = "domains.d/shop.toml";
const CLINIC: &str = "domains.d/clinic.toml";
const PRESS: &str = "domains.d/press.toml";
const LAB: &str = "domains.d/lab.toml";
const MUSEUM: &str = "domains.d/museum.toml";
const MAIN: &str = "gatepost.toml";
const BUILT_IN: &str = "built-in";

const TO_BANK: Leg = accepted("teller@bank.example", BANK, End::Delivered(Link::Verified(Tls1_3)));
const TO_SHOP: Leg = accepted("anna@shop.example", SHOP, End::Delivered(Link::Plaintext));

const TO_PRESS: Leg = Leg {
    to: "news@press.example",
    verdict: Verdict::WouldRefuse,
    rule: PRESS,
    end: End::Delivered(Link::Encrypted(Tls1_3)),
};

const fn accepted(to: &'static str, rule: &'static str, end: End) -> Leg {
    Leg { to, verdict: Verdict::Accept, rule, end }
}

const fn refused(to: &'static str, rule: &'static str, reply: &'static str) -> Leg {
    Leg { to, verdict: Verdict::RefuseRcpt(reply), rule, end: End::NotTaken }
}

const fn refused_mail(to: &'static str, rule: &'static str, reply: &'static str) -> Leg {
    Leg { to, verdict: Verdict::RefuseMail(reply), rule, end: End::NotTaken }
}

const fn stranger(title: &'static str, client: Client, from: &'static str, legs: &'static [Leg]) -> Step {
    Step { title, door: Door::Mx, client, to_old_hop: false, from, legs }
}

const fn application(title: &'static str, client: Client, from: &'static str, legs: &'static [Leg]) -> Step {
    Step { title, door: Door::Smarthost, client, to_old_hop: false, from, legs }
}

const STEPS: &[Step] = &[
    stranger("A modern client writes to the bank", Client::Modern(Tls1_3), "ada@partner.example", &[TO_BANK]),
    stranger(
        "One TLS 1.2 session, two recipients: each domain answers for itself",
        Client::Modern(Tls1_2),
        "eve@partner.example",
        &[refused("teller@bank.example", BANK, "554 5.7.10"), TO_SHOP],
    ),
    stranger(
        "A scanner of 2009 with TLS 1.0: served, then judged by each domain",
        Client::Old(Tls1_0, "AES128-SHA"),
        "scan@office.example",
        &[TO_SHOP, refused("teller@bank.example", BANK, "554 5.7.10"), TO_PRESS],
    ),
    Step {
        to_old_hop: true,
        ..stranger(
            "An old client, an old next hop, and no plaintext on the way",
            Client::Old(Tls1_1, "ECDHE-RSA-AES128-SHA"),
            "till@office.example",
            &[accepted("guide@museum.example", MUSEUM, End::Delivered(Link::Encrypted(Tls1_0)))],
        )
    },
    stranger("The shop takes plaintext, too", Client::Plaintext, "joe@oldmail.example", &[TO_SHOP]),
    stranger(
        "The clinic does not take plaintext",
        Client::Plaintext,
        "nina@oldmail.example",
        &[refused("ward@clinic.example", CLINIC, "550 5.7.10")],
    ),
    stranger(
        "The clinic takes this session, but its own host shows a wrong name",
        Client::Modern(Tls1_2),
        "hugo@partner.example",
        &[accepted(
            "ward@clinic.example",
            CLINIC,
            End::Mended(Reason::CertificateHostMismatch, Link::Verified(Tls1_2)),
        )],
    ),
    stranger(
        "TLS 1.2 and no forward secrecy: not what the clinic asks for",
        Client::Old(Tls1_2, "AES128-SHA256"),
        "olga@oldmail.example",
        &[refused("ward@clinic.example", CLINIC, "554 5.7.10")],
    ),
    stranger(
        "The press only reports what its stricter rule would refuse",
        Client::Modern(Tls1_2),
        "iris@partner.example",
        &[TO_PRESS],
    ),
    stranger(
        "The lab puts off what is too old ...",
        Client::Modern(Tls1_2),
        "karl@partner.example",
        &[refused("otto@lab.example", LAB, "450 4.7.10")],
    ),
    stranger(
        "... and takes what is new",
        Client::Modern(Tls1_3),
        "lena@partner.example",
        &[accepted("otto@lab.example", LAB, End::Delivered(Link::Verified(Tls1_3)))],
    ),
    stranger(
        "A plaintext client pretends to be the bank",
        Client::Plaintext,
        "boss@bank.example",
        &[refused_mail("anna@shop.example", BANK, "530 5.7.10")],
    ),
    stranger(
        "Everybody may reach a postmaster (RFC 5321 section 4.5.1)",
        Client::Plaintext,
        "mary@oldmail.example",
        &[accepted("postmaster@bank.example", BANK, End::Delivered(Link::Verified(Tls1_3)))],
    ),
    stranger(
        "A stranger wants to relay",
        Client::Modern(Tls1_3),
        "spam@stranger.example",
        &[refused("victim@elsewhere.example", BUILT_IN, "550 5.7.1 ")],
    ),
    application(
        "Our own application forgets TLS",
        Client::Plaintext,
        "cron@shop.example",
        &[refused_mail("anna@shop.example", MAIN, "530 5.7.10")],
    ),
    application(
        "Never in plaintext: the partner's host has no STARTTLS",
        Client::Modern(Tls1_3),
        "memo@shop.example",
        &[accepted("agent@secret.example", MAIN, End::Waits(Reason::StarttlsNotSupported))],
    ),
    Step {
        to_old_hop: true,
        ..application(
            "The old next hop again, for mail that must have TLS 1.2",
            Client::Modern(Tls1_3),
            "deed@shop.example",
            &[accepted("clerk@archive.example", MAIN, End::Bounced(Reason::VersionBelowMinimum))],
        )
    },
    application(
        "A domain that takes no mail (null MX): the sender is told",
        Client::Modern(Tls1_3),
        "orders@shop.example",
        &[accepted("info@gone.example", MAIN, End::Bounced(Reason::NullMx))],
    ),
    application(
        "An MX record that points into our own network is a trap",
        Client::Modern(Tls1_3),
        "stock@shop.example",
        &[accepted("root@trap.example", MAIN, End::Bounced(Reason::TargetForbidden))],
    ),
];
