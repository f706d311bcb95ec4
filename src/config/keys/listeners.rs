//! `[[listener]]`, `[[certificate]]` and `[relay]`.

use super::{File, GRADE, Key, LABEL, NONE, PATH, Place, Section, Unwritten, VERSION, Value};

pub(super) const SECTIONS: &[Section] = &[
    Section::new(
        &[Place::list(File::Main, "listener")],
        "Where mail comes in; at least one. Strangers on role `mx` answer to `[inbound]` of the domains, all others \
         to the floor of their listener.",
        &[LISTENER],
    ),
    Section::new(
        &[Place::list(File::Main, "certificate")],
        "The certificates of the listeners. The first is the default; the name that a client asks for (SNI, RFC 6066) \
         chooses among several. Files that change are loaded within seconds, without a reload.",
        &[CERTIFICATE],
    ),
    Section::new(&[Place::table(File::Main, "relay")], "Who may send to any domain.", &[RELAY]),
];

const LISTENER: &[Key] = &[
    Key::needed("name", LABEL, "Its name in metrics and audit records. No other listener has it.").at_restart(),
    Key::needed(
        "bind",
        Value::Form("a list of IP addresses with ports"),
        "Where it listens, such as `[\"0.0.0.0:25\", \"[::]:25\"]`.",
    )
    .at_restart(),
    Key::needed(
        "role",
        Value::Words(&["mx", "smarthost", "submission"]),
        "`\"mx\"` takes mail for hosted domains from anyone; `\"smarthost\"` from clients of `[relay] trusted` to \
         anywhere; `\"submission\"` the same from clients with a trusted certificate, never below TLSv1.2 with \
         forward secrecy (RFC 8314).",
    ),
    Key::new(
        "tls",
        Value::Words(&["starttls", "implicit", "off"]),
        Unwritten::As("\"starttls\""),
        "How TLS begins: by STARTTLS (RFC 3207), with the connection, or never. All but `\"off\"` needs a \
         `[[certificate]]`.",
    ),
    Key::new(
        "offer",
        VERSION,
        Unwritten::Told("\"TLSv1\"; for role submission \"TLSv1.2\""),
        "The lowest version of the handshake. What is asked for beyond it is up to the policies. `\"SSLv3\"` is for \
         role `mx` alone. Builds without OpenSSL offer TLSv1.2 and later.",
    ),
    Key::new(
        "request_client_certificate",
        Value::Flag,
        Unwritten::As("false"),
        "Clients are asked for a certificate; nobody has to show one. It counts at TLSv1.2 or later.",
    ),
    Key::new(
        "client_ca",
        PATH,
        Unwritten::Told("the roots of the system"),
        "PEM: the only roots that may vouch for certificates of clients.",
    ),
    Key::new(
        "relay",
        Value::Flag,
        Unwritten::As("false"),
        "Role `mx` alone: clients of `[relay] trusted` may send to anywhere here, too.",
    ),
    Key::new(
        "min_version",
        VERSION,
        ANY_VERSION,
        "The lowest version of every session of trusted clients; it excludes plaintext. For role submission at least \
         TLSv1.2, which is built in.",
    ),
    Key::new(
        "cipher",
        GRADE,
        Unwritten::Told("\"any\"; for role submission \"forward-secret\""),
        "The lowest grade of their ciphers, from weak to strong; all but `\"any\"` excludes plaintext.",
    ),
];

const ANY_VERSION: Unwritten = Unwritten::Told("any; for role submission \"TLSv1.2\"");

const CERTIFICATE: &[Key] = &[
    Key::needed("chain", PATH, "PEM: the certificate, then its intermediates; at most 16."),
    Key::needed("key", PATH, "PEM: the private key."),
    Key::new("ocsp", PATH, NONE, "An OCSP response in DER (RFC 6960), sent along while it is valid."),
    Key::new(
        "stack",
        Value::Words(&["any", "legacy"]),
        Unwritten::As("\"any\""),
        "`\"legacy\"`: for old clients alone, which rustls cannot serve. It should have a key of its own. At least one \
         certificate is for `\"any\"`.",
    ),
];

const RELAY: &[Key] = &[Key::new(
    "trusted",
    Value::Form("a list of networks and \"sha256:...\""),
    Unwritten::As("[]"),
    "Clients that may send to any domain: networks such as `\"10.0.0.0/8\"`, never the whole internet; or client \
     certificates or their keys by SHA-256. Role submission trusts certificates alone.",
)];
