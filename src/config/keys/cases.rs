//! `[[case]]` of the folder `tests.d`.

use super::{ADDRESS, File, Key, MOMENT, NAME, Place, Section, TEXT, Unwritten, Value};

pub(super) const SECTIONS: &[Section] = &[Section::new(
    &[Place::list(File::Cases, "case")],
    "What must be answered to a session or become of a delivery. `gatepost check` runs the cases of `tests.d`, beside \
     the folder of domain files, and `gatepost policy test` shows them; the daemon does not read them.",
    &[CASE, INBOUND, OUTBOUND],
)];

const SENDER: Value = Value::Form("a mail address, or \"<>\"");
const UNTOLD: Unwritten = Unwritten::Told("is not compared");

const CASE: &[Key] = &[
    Key::new("name", TEXT, Unwritten::Told("sender and recipient"), "How the case is called.").of_commands(),
    Key::new(
        "direction",
        Value::Words(&["inbound", "outbound"]),
        Unwritten::As("\"inbound\""),
        "Whether it is about mail that comes in or about a delivery.",
    )
    .of_commands(),
    Key::needed("from", SENDER, "The sender; `\"<>\"` is that of bounces.").of_commands(),
    Key::needed("to", ADDRESS, "The recipient.").of_commands(),
    Key::new(
        "tls",
        Value::Words(&["none", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
        Unwritten::As("\"none\""),
        "The version of the session; `\"none\"` is plaintext.",
    )
    .of_commands(),
    Key::new(
        "cipher",
        Value::Form("a cipher suite by its IANA or OpenSSL name"),
        Unwritten::Told("a usual one of the version"),
        "The cipher suite of the session, such as `\"ECDHE-RSA-AES128-SHA\"`.",
    )
    .of_commands(),
    Key::new(
        "client",
        Value::Form("an IP address"),
        Unwritten::Told("a stranger; outbound nobody"),
        "The address of the client; of a delivery, of who brought the message.",
    )
    .of_commands(),
    Key::new("at", MOMENT, Unwritten::Told("the moment of the command"), "The policy of that moment is asked.")
        .of_commands(),
    Key::needed(
        "expect",
        Value::Form("a verdict, a reply, or a reason"),
        "Inbound: `\"accept\"`, `\"would_refuse\"`, `\"defer\"`, `\"refuse\"`, or a reply such as `\"530\"` or `\"554 \
         5.7.10\"`. Outbound: `\"deliver\"` or `\"accept\"`, `\"defer\"`, `\"bounce\"`, or why it is not sent, such \
         as `\"certificate-expired\"`.",
    )
    .of_commands(),
    Key::new(
        "reason",
        Value::Form("a word of the audit log"),
        UNTOLD,
        "Why it is not taken or sent, such as `\"version-below-minimum\"`; it must be met as well.",
    )
    .of_commands(),
];

const INBOUND: &[Key] = &[
    Key::new(
        "stage",
        Value::Words(&["mail", "rcpt"]),
        UNTOLD,
        "Inbound: the command at which it is answered so; it must be met as well.",
    )
    .of_commands(),
    Key::new(
        "listener",
        Value::Form("the name of a listener"),
        Unwritten::Told("the first of role mx, else the first"),
        "Inbound: where the client connects to.",
    )
    .of_commands(),
    Key::new(
        "client_certificate",
        Value::Form("\"verified\" or \"sha256:...\""),
        Unwritten::Told("none"),
        "Inbound: what the client shows where it is asked for a certificate.",
    )
    .of_commands(),
];

const OUTBOUND: &[Key] = &[
    Key::new(
        "mx",
        NAME,
        Unwritten::Told("the first host of the route, else the domain"),
        "Outbound: the name of the host.",
    )
    .of_commands(),
    Key::new(
        "certificate",
        Value::Form("\"trusted\", \"untrusted\", \"expired\" or \"sha256:...\""),
        Unwritten::Told("one that is valid for the right name"),
        "Outbound: what the host shows.",
    )
    .of_commands(),
    Key::new(
        "certificate_names",
        Value::Form("a list of names and \"*.names\""),
        Unwritten::Told("the name of the host"),
        "Outbound: the names in that certificate.",
    )
    .of_commands(),
];
