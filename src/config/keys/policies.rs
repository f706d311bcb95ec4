//! The top of a domain file, and `[inbound]` with its steps, exceptions and shadow.

use super::{File, GRADE, Key, LABEL, MOMENT, NONE, PATH, Place, Section, TEXT, Unwritten, VERSION, Value};

pub(super) const SECTIONS: &[Section] = &[
    Section::new(
        &[Place::table(File::Domain, "")],
        "Whom a domain file is about. The file whose name matches longest speaks for a domain, exact before `*.`; \
         files are never merged.",
        &[DOMAIN],
    ),
    Section::new(
        &[Place::table(File::Domain, "inbound"), Place::table(File::Main, "default.inbound")],
        "Sessions that bring mail from or to these domains. What a domain file does not say is as `[default.inbound]` \
         of the main file says, and what that does not say has the default that stands here.",
        &[SESSION, MODE, REFUSAL],
    ),
    Section::new(
        &[Place::list(File::Domain, "inbound.step"), Place::list(File::Main, "default.inbound.step")],
        "Keys that hold from a day on, laid over each other in the order of their days; at most 64.",
        &[STEP],
    )
    .over(&[SESSION, MODE]),
    Section::new(
        &[Place::list(File::Domain, "inbound.exception"), Place::list(File::Main, "default.inbound.exception")],
        "Keys that hold for some until a day. The first that has not expired and whose clients and senders fit \
         counts. At least one key of the policy; at most 1000 exceptions in a file.",
        &[FOR_CLIENTS, EXCEPTION],
    )
    .over(&[SESSION, MODE]),
    Section::new(
        &[Place::table(File::Domain, "inbound.shadow"), Place::table(File::Main, "default.inbound.shadow")],
        "What would be refused if this were asked for is recorded and counted, and never refused.",
        &[],
    )
    .over(&[SESSION]),
];

const DOMAIN: &[Key] = &[
    Key::needed(
        "domains",
        Value::Form("a list of domain names; \"*.name\" for all below"),
        "The domains, such as `[\"bank.example\", \"*.bank.example\"]`. No other file names one of them.",
    ),
    Key::new("owner", TEXT, NONE, "Who answers for the policy: shown in reports."),
    Key::new(
        "group",
        LABEL,
        Unwritten::Told("\"other\""),
        "The label `policy` in metrics, neither `default` nor `other`. At most 64 groups; further ones count as \
         `other`.",
    ),
    Key::new(
        "hosted",
        Value::Flag,
        Unwritten::As("false"),
        "Role `mx` accepts mail for these domains from strangers. It needs `recipients`, and a `[route]` or \
         `[default.route]`.",
    ),
    Key::new(
        "recipients",
        Value::Form("\"any\", or `{ file = PATH }`"),
        Unwritten::Told("must be written with `hosted = true`"),
        "Which local parts there are.",
    ),
    Key::needed(
        "recipients.file",
        PATH,
        "A file with a local part or an address on each line, `#` for comments; at most 1000000.",
    ),
];

/// What is asked of a session.
const SESSION: &[Key] = &[
    Key::new(
        "tls",
        Value::Words(&["optional", "required"]),
        Unwritten::As("\"optional\""),
        "`\"required\"` refuses mail that comes without TLS.",
    ),
    Key::new(
        "min_version",
        VERSION,
        Unwritten::Told("any"),
        "The lowest version of TLS. It implies `tls = \"required\"`.",
    ),
    Key::new(
        "cipher",
        GRADE,
        Unwritten::As("\"any\""),
        "The lowest grade of the cipher: `\"strong\"` has 128 bits or more and neither RC4 nor 3DES, \
         `\"forward-secret\"` an ephemeral key exchange beside that, `\"aead\"` an AEAD cipher beside both. All but \
         `\"any\"` imply `tls = \"required\"`.",
    ),
    Key::new(
        "client_certificate",
        Value::Form("\"none\", \"verified\", or a list of \"sha256:...\""),
        Unwritten::As("\"none\""),
        "`\"verified\"`: one that leads to a root which the listener trusts; or one of at most 64, each by \
         certificate or key. A listener of role `mx` must ask for one. It implies `tls = \"required\"`.",
    ),
];

const MODE: &[Key] = &[Key::new(
    "mode",
    Value::Words(&["report", "defer", "enforce"]),
    Unwritten::As("\"enforce\""),
    "What becomes of mail that does not meet the policy: `\"report\"` takes and records it, `\"defer\"` answers 4xx, \
     `\"enforce\"` 5xx.",
)];

const REFUSAL: &[Key] = &[
    Key::new(
        "applies_to",
        Value::Form("a list of \"sender\", \"recipient\""),
        Unwritten::As("[\"sender\", \"recipient\"]"),
        "Whether senders of these domains are held to it at MAIL, recipients at RCPT, or both. Recipients \
         count for hosted domains alone.",
    ),
    Key::new(
        "refusal_text",
        Value::Form("text of at most 300 octets"),
        Unwritten::Told("a built-in text"),
        "The text of refusals, with the places `{domain}`, `{required}`, `{negotiated}`, `{url}` and `{id}`. URL and \
         id are added where they are left out.",
    ),
    Key::new(
        "refusal_url",
        Value::Form("an http:// or https:// address of at most 200 octets"),
        NONE,
        "Refusals say to read more there.",
    ),
];

/// Of a step in either direction.
pub(super) const STEP: &[Key] = &[Key::needed(
    "from",
    MOMENT,
    "It holds from then on: `2027-01-01`, which begins at 00:00 UTC, or `2027-01-01T06:00:00+01:00`.",
)];

const FOR_CLIENTS: &[Key] = &[Key::needed(
    "clients",
    Value::Form("a list of at most 1000 networks"),
    "The clients that it is for, such as `[\"203.0.113.0/24\"]`.",
)];

/// Of an exception in either direction.
pub(super) const EXCEPTION: &[Key] = &[
    Key::new(
        "senders",
        Value::Form("a list of at most 1000 addresses, domains, \"*.domains\", \"<>\""),
        Unwritten::Told("any"),
        "The senders that it is for; `\"<>\"` is that of bounces.",
    ),
    Key::needed("owner", TEXT, "Who asked for it and answers for it."),
    Key::needed("reason", TEXT, "Why, for whoever reads it in a year."),
    Key::needed("expires", MOMENT, "The first day without it. `gatepost check` warns 14 days before, and afterwards."),
];
