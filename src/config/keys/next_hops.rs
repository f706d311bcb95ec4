//! `[outbound]` with its steps and exceptions, and routes.

use super::policies::{EXCEPTION, STEP};
use super::{DURATION, File, GRADE, Key, LABEL, NAME, PATH, Place, RETRY, Section, Unwritten, VERSION, Value};

pub(super) const SECTIONS: &[Section] = &[
    Section::new(
        &[Place::table(File::Domain, "outbound"), Place::table(File::Main, "default.outbound")],
        "Deliveries to these domains. What a domain file does not say is as `[default.outbound]` of the main file \
         says, and what that does not say has the default that stands here. With a `[route]` the keys of TLS stand \
         there.",
        &[SESSION, FOLLOWING, PACE],
    ),
    Section::new(
        &[Place::list(File::Domain, "outbound.step"), Place::list(File::Main, "default.outbound.step")],
        "Keys that hold from a day on, laid over each other in the order of their days; at most 64.",
        &[STEP],
    )
    .over(&[SESSION, FOLLOWING]),
    Section::new(
        &[Place::list(File::Domain, "outbound.exception"), Place::list(File::Main, "default.outbound.exception")],
        "Keys that hold for some until a day. The first that has not expired and whose clients and senders fit counts; \
         without clients and senders it is for all mail to the domains. At least one key of the policy; at most 1000 \
         exceptions in a file.",
        &[FOR_CLIENTS, EXCEPTION],
    )
    .over(&[SESSION, FOLLOWING]),
    Section::new(
        &[Place::table(File::Domain, "route"), Place::table(File::Main, "default.route")],
        "Where mail goes instead of to the MX hosts: for these domains, or for all without a `[route]` of their own. \
         A route answers to its own keys of TLS; those of `[outbound]` do not reach it.",
        &[ROUTE],
    ),
    Section::new(
        &[Place::list(File::Main, "route")],
        "Another way, for `on_tls_failure = \"route:NAME\"` and `gatepost queue reroute`.",
        &[NAMED, ROUTE],
    ),
];

const FINGERPRINTS: Value = Value::Form("a list of \"sha256:...\"");
const AUTHORITIES: Value = Value::Form("a path, or a list of paths");
const NAMES: Value = Value::Form("a list of \"domain\", \"mx\", names, \"*.names\"");
const LEVEL: Value = Value::Words(&["off", "opportunistic", "encrypt", "verify"]);
const SYSTEM_ROOTS: Unwritten = Unwritten::Told("the roots of the system");

/// What is asked of a session with the domains' own hosts.
const SESSION: &[Key] = &[
    Key::new(
        "tls",
        LEVEL,
        Unwritten::As("\"opportunistic\""),
        "`\"opportunistic\"` uses the best TLS that there is, else plaintext; `\"encrypt\"` never sends plaintext; \
         `\"verify\"` asks for a certificate that proves the host. `\"off\"` needs `dane` and `mta_sts` off, too.",
    ),
    Key::new("min_version", VERSION, Unwritten::Told("any"), "The lowest version of TLS. It excludes plaintext."),
    Key::new(
        "cipher",
        GRADE,
        Unwritten::As("\"any\""),
        "The lowest grade of the cipher, as in `[inbound]`. All but `\"any\"` exclude plaintext.",
    ),
    Key::new(
        "match",
        NAMES,
        Unwritten::As("[\"domain\", \"mx\"]"),
        "With `\"verify\"`: names of which the certificate must have one. `\"domain\"` is the recipient's domain, \
         `\"mx\"` the host where its name can be trusted (DNSSEC, MTA-STS).",
    ),
    Key::new(
        "fingerprints",
        FINGERPRINTS,
        Unwritten::Told("none"),
        "With `\"verify\"`: of certificates or their keys; any of them suffices instead of a name.",
    ),
    Key::new("ca", AUTHORITIES, SYSTEM_ROOTS, "With `\"verify\"`: PEM, the only roots that may vouch."),
];

/// What is made of what is published, and of mail whose TLS is lacking.
const FOLLOWING: &[Key] = &[
    Key::new(
        "dane",
        Value::Words(&["auto", "required", "off"]),
        Unwritten::As("\"auto\""),
        "Whether TLSA records (RFC 7672) are followed where they are published, must be there, or are not looked at.",
    ),
    Key::new(
        "mta_sts",
        Value::Words(&["auto", "off"]),
        Unwritten::As("\"auto\""),
        "Whether the domain's policy of MTA-STS (RFC 8461) is followed.",
    ),
    Key::new(
        "learn",
        Value::Words(&["off", "propose", "enforce"]),
        Unwritten::As("\"propose\""),
        "What is made of the TLS that the hosts have shown: nothing, a proposal, or a requirement.",
    ),
    Key::new(
        "tls_required_no",
        Value::Words(&["ignore", "honour"]),
        Unwritten::As("\"ignore\""),
        "Whether the field `TLS-Required: No` (RFC 8689) waives DANE and MTA-STS; never what is written here.",
    ),
    Key::new(
        "on_tls_failure",
        Value::Form("\"defer\", \"bounce\", or \"route:NAME\""),
        Unwritten::As("\"defer\""),
        "Mail whose TLS cannot be met waits until `lifetime`, is returned at once, or takes a `[[route]]` of the main \
         file that is no weaker.",
    ),
    Key::new(
        "route_after",
        DURATION,
        Unwritten::As("\"4h\""),
        "After so long from the first attempt that lacked TLS the other route is taken.",
    ),
    Key::new(
        "notify_sender",
        DURATION,
        Unwritten::Told("as for any delay"),
        "After so long the sender is told that the mail waits for TLS, and why. Less than `lifetime`.",
    ),
];

/// How mail is tried; of the base alone.
const PACE: &[Key] = &[
    Key::new(
        "concurrency",
        Value::Number(1, 10_000),
        Unwritten::Told("`max_destination_concurrency` of `[limits]`"),
        "Deliveries at once; not more than `max_site_concurrency` of `[limits]`.",
    ),
    Key::new(
        "rate",
        Value::Form("a number, \"/\" and a duration: \"100/1m\", \"10/s\""),
        Unwritten::Told("as fast as the hosts take it"),
        "Deliveries in a time, after a burst of a sixtieth; 1 to 1000000 in at most a day.",
    ),
    Key::new(
        "retry",
        RETRY,
        Unwritten::Told("that of `[spool]`"),
        "The waiting times between attempts. The last repeats.",
    ),
    Key::new("lifetime", DURATION, Unwritten::Told("that of `[spool]`"), "How long a message is tried."),
];

const FOR_CLIENTS: &[Key] = &[Key::new(
    "clients",
    Value::Form("a list of at most 1000 networks"),
    Unwritten::Told("any"),
    "The clients that brought the message, such as `[\"203.0.113.0/24\"]`.",
)];

const NAMED: &[Key] = &[Key::needed("name", LABEL, "How policies and commands name it. No other `[[route]]` has it.")];

const ROUTE: &[Key] = &[
    Key::needed(
        "hosts",
        Value::Form("a list of names or IP addresses, with or without port"),
        "The next hops in the order in which they are tried, such as `[\"mailstore.internal:25\"]`. Without a port it \
         is 25. `[]` in `[default.route]` is no route.",
    ),
    Key::new(
        "tls",
        LEVEL,
        Unwritten::As("\"opportunistic\""),
        "As in `[outbound]`. `\"off\"` needs `dane` and `mta_sts` of the domain off, too, or hosts that are \
         addresses. What comes by `on_tls_failure` never goes out below `\"encrypt\"`.",
    ),
    Key::new("min_version", VERSION, Unwritten::Told("any"), "The lowest version of TLS. It excludes plaintext."),
    Key::new(
        "cipher",
        GRADE,
        Unwritten::As("\"any\""),
        "The lowest grade of the cipher. All but `\"any\"` exclude plaintext.",
    ),
    Key::new(
        "match",
        NAMES,
        Unwritten::As("[\"mx\"]"),
        "With `\"verify\"`: names of which the certificate must have one. `\"mx\"` is the host's own name.",
    ),
    Key::new(
        "fingerprints",
        FINGERPRINTS,
        Unwritten::Told("none"),
        "With `\"verify\"`: of certificates or their keys; any of them suffices instead of a name.",
    ),
    Key::new("ca", AUTHORITIES, SYSTEM_ROOTS, "With `\"verify\"`: PEM, the only roots that may vouch."),
    Key::new(
        "client_certificate",
        Value::Form("`{ chain = PATH, key = PATH }`"),
        Unwritten::Told("none"),
        "Shown to hosts that ask for a certificate.",
    ),
    Key::needed("client_certificate.chain", PATH, "PEM: the certificate, then its intermediates."),
    Key::needed("client_certificate.key", PATH, "PEM: the private key."),
    Key::new(
        "source",
        Value::Form("an IP address"),
        Unwritten::Told("up to the system"),
        "Our address of the connection.",
    ),
    Key::new("ehlo", NAME, Unwritten::Told("`hostname` of the main file"), "Our name in EHLO."),
    Key::new(
        "ip",
        Value::Words(&["any", "v4", "v6"]),
        Unwritten::As("\"any\""),
        "Which addresses of the hosts are used: all, or those of IPv4 or IPv6 alone.",
    ),
];
