//! What stands beside the mail: `[dns]`, `[audit]`, `[metrics]`, `[admin]`, `[learn]`, `[alert]`, `[tlsrpt]`.

use super::{ADDRESS, DURATION, File, Key, NAME, NONE, PATH, Place, Section, TEXT, TIMEOUT, Unwritten, Value};

pub(super) const SECTIONS: &[Section] = &[
    Section::new(
        &[Place::table(File::Main, "dns")],
        "Which name servers are asked, and which of their answers count as secure.",
        &[DNS],
    ),
    Section::new(
        &[Place::table(File::Main, "audit")],
        "The log of evidence: one record for each decision, chained by hashes.",
        &[AUDIT, CHECKPOINTS],
    ),
    Section::new(
        &[Place::table(File::Main, "metrics")],
        "`/metrics` for Prometheus, `/healthz` and `/readyz`.",
        &[METRICS],
    ),
    Section::new(
        &[Place::table(File::Main, "admin")],
        "The dashboard, its API, and the socket of the command line.",
        &[ADMIN],
    ),
    Section::new(
        &[Place::table(File::Main, "learn")],
        "When what destinations show of their TLS counts, for `learn` in `[outbound]`.",
        &[LEARN],
    ),
    Section::new(
        &[Place::table(File::Main, "alert")],
        "Who is told at once that what was learned is not met, or that our own path is suspected.",
        &[ALERT],
    ),
    Section::new(&[Place::table(File::Main, "tlsrpt")], "Reports on TLS (RFC 8460), made and taken.", &[TLSRPT]),
];

const WEBHOOK: Value = Value::Form("an https:// address, or http:// on loopback");
const BIND: Value = Value::Form("an IP address with a port, or \"off\"");

const DNS: &[Key] = &[
    Key::new(
        "servers",
        Value::Form("a list of IP addresses, with or without port"),
        Unwritten::Told("those of the system"),
        "The name servers, such as `[\"127.0.0.1:53\"]`. Without a port it is 53.",
    )
    .at_restart(),
    Key::new(
        "dnssec",
        Value::Words(&["validate", "trust-ad", "off"]),
        Unwritten::Told("\"trust-ad\" if all servers are on this host, else \"off\""),
        "`\"trust-ad\"` believes the AD bit of validating resolvers on this host; `\"validate\"` checks signatures \
         here; with `\"off\"` no answer is secure and DANE is never used.",
    )
    .at_restart(),
    Key::new(
        "trust_anchor",
        PATH,
        Unwritten::Told("built in"),
        "With `dnssec = \"validate\"`: DNSKEY records of the root in zone file format.",
    )
    .at_restart(),
    Key::new(
        "allow_targets",
        Value::Form("a list of networks"),
        Unwritten::As("[]"),
        "Private networks, such as `\"10.0.0.0/8\"`, that MX records and policy hosts found in the DNS may lead to. \
         Without it loopback, private and link-local addresses are not connected to.",
    ),
];

const AUDIT: &[Key] = &[
    Key::needed("path", PATH, "The folder of the log; not that of the spool.").at_restart(),
    Key::new(
        "key",
        PATH,
        Unwritten::As("\"/var/lib/gatepost/audit.key\""),
        "The Ed25519 key that signs checkpoints, made at the first start. It is not in the folder of the log.",
    )
    .at_restart(),
    Key::new(
        "on_failure",
        Value::Words(&["refuse", "alarm"]),
        Unwritten::As("\"refuse\""),
        "While the log cannot be written: `\"refuse\"` accepts no mail (451 4.3.0) and begins no delivery; \
         `\"alarm\"` goes on, and log and metrics say that evidence lags.",
    ),
    Key::new(
        "keep",
        Value::Form("a duration from \"1d\" to \"36500d\""),
        Unwritten::Told("for ever"),
        "How long records are kept. Then their segment goes, and a signed record says what was there.",
    ),
    Key::new("compress", Value::Flag, Unwritten::As("true"), "Segments that are closed are compressed with zstd."),
];

const CHECKPOINTS: &[Key] = &[
    Key::new(
        "checkpoint_every",
        TIMEOUT,
        Unwritten::As("\"5m\""),
        "The longest that a record waits for a signed checkpoint.",
    )
    .at_restart(),
    Key::new(
        "checkpoint_file",
        PATH,
        NONE,
        "Each checkpoint is appended to this file, which is not in the folder of the log. Another folder takes effect \
         at a restart.",
    ),
    Key::new(
        "checkpoint_syslog",
        Value::Form("\"udp://ADDRESS:PORT\" or \"unix://PATH\""),
        NONE,
        "Each checkpoint goes to this syslog, such as `\"unix:///dev/log\"`.",
    ),
    Key::new("checkpoint_webhook", WEBHOOK, NONE, "Each checkpoint goes there by POST."),
];

const METRICS: &[Key] = &[Key::new(
    "bind",
    BIND,
    Unwritten::As("\"127.0.0.1:9725\""),
    "Where metrics are read. There is no login, and nothing of mail is told there.",
)
.at_restart()];

const ADMIN: &[Key] = &[
    Key::new(
        "bind",
        BIND,
        Unwritten::As("\"127.0.0.1:8025\""),
        "Where dashboard and API are. Beyond loopback `token_file` and `certificate` are needed.",
    )
    .at_restart(),
    Key::new(
        "token_file",
        PATH,
        NONE,
        "A file with one line, 24 characters or more: who reads from elsewhere logs in with it, and programs send it \
         as bearer token. Without it nothing can be changed over HTTP.",
    ),
    Key::new("certificate", Value::Form("`{ chain = PATH, key = PATH }`"), NONE, "With it HTTPS is spoken."),
    Key::needed("certificate.chain", PATH, "PEM: the certificate, then its intermediates."),
    Key::needed("certificate.key", PATH, "PEM: the private key."),
    Key::new(
        "socket",
        PATH,
        Unwritten::As("\"/run/gatepost/control.sock\""),
        "How the command line talks to the daemon.",
    )
    .at_restart(),
];

const LEARN: &[Key] = &[
    Key::new(
        "deliveries",
        Value::Number(1, 1_000_000),
        Unwritten::As("20"),
        "How many deliveries over TLS, to all mail hosts of a domain together, it takes to learn a level.",
    ),
    Key::new(
        "days",
        Value::Number(1, 32),
        Unwritten::As("7"),
        "On how many different days (UTC) they must have been; not more than `expire`.",
    ),
    Key::new(
        "expire",
        Value::Form("whole days from \"1d\" to \"32d\""),
        Unwritten::As("\"30d\""),
        "How long a delivery counts. A level ends when nobody has tried the domain for so long.",
    ),
    Key::new(
        "interference_destinations",
        Value::Number(2, 100),
        Unwritten::As("5"),
        "How many destinations must lose TLS together for our own path to be suspected.",
    ),
    Key::new("interference_window", TIMEOUT, Unwritten::As("\"15m\""), "Within what time they must have lost it."),
];

const ALERT: &[Key] = &[
    Key::new("webhook", WEBHOOK, NONE, "Gets each alert as JSON by POST."),
    Key::new(
        "command",
        Value::Form("a list: a program by its absolute path, and its arguments"),
        NONE,
        "Gets the same JSON on its standard input; no shell. At most 64 words of 1024 octets. Another program takes \
         effect at a restart.",
    ),
    Key::new("remind", DURATION, Unwritten::As("\"1d\""), "Between two alerts about one destination, at least."),
    Key::new(
        "quiet",
        DURATION,
        Unwritten::As("\"1h\""),
        "Without a violation for so long, and with 3 deliveries at the level, an alarm is over.",
    ),
];

const TLSRPT: &[Key] = &[
    Key::new(
        "contact",
        ADDRESS,
        NONE,
        "Who sends the reports and answers questions about them. Without it none are made.",
    ),
    Key::new(
        "organization",
        TEXT,
        Unwritten::Told("the domain of the contact"),
        "The name of the organization that reports.",
    ),
    Key::new(
        "dkim",
        Value::Form("`{ selector = NAME, key = PATH }`"),
        NONE,
        "What signs the mail of reports (RFC 6376). Without it they go to HTTPS addresses alone (RFC 8460 section \
         5.3).",
    ),
    Key::needed("dkim.selector", Value::Form("labels with dots between them"), "The name of the key in the DNS."),
    Key::needed(
        "dkim.key",
        PATH,
        "PEM: an RSA key of 2048 bits or more, or an Ed25519 key. `gatepost tlsrpt dkim` prints its TXT record.",
    ),
    Key::new(
        "dkim.domain",
        NAME,
        Unwritten::Told("that of the contact"),
        "The domain that signs. RFC 8460 section 5.3 lets it be no other.",
    ),
    Key::new(
        "send",
        Value::Flag,
        Unwritten::Told("true with a contact"),
        "`false`: nothing is counted and no report is sent, whatever is written here. `true` needs `contact`.",
    ),
    Key::new("max_domains", Value::Number(1, 20_000), Unwritten::As("10000"), "Domains that are counted for in a day."),
    Key::new(
        "address",
        ADDRESS,
        NONE,
        "The address of your own TLSRPT record: mail to it is taken whatever TLS it comes with.",
    ),
];
