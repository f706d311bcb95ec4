//! The top of the main file, `[spool]` and `[limits]`.

use super::{
    ADDRESS, DURATION, File, Key, MOMENT, NAME, NONE, PATH, Place, RETRY, SIZE, Section, TIMEOUT, Unwritten, Value,
};

pub(super) const SECTIONS: &[Section] = &[
    Section::new(
        &[Place::table(File::Main, "")],
        "The host, its domain files, and the emergency switch. These keys stand before the first table.",
        &[TOP],
    ),
    Section::new(&[Place::table(File::Main, "spool")], "Messages that were accepted and not yet passed on.", &[SPOOL]),
    Section::new(
        &[Place::table(File::Main, "limits")],
        "Bounds on what clients and destinations can take of this host.",
        &[OF_CLIENTS, OF_DELIVERIES, OF_TIME],
    ),
];

const ACCOUNT: Value = Value::Form("the name of an account");

const TOP: &[Key] = &[
    Key::needed(
        "hostname",
        NAME,
        "The name of this host in greeting, EHLO, `Received:` and audit records. It should have an MX or address \
         record.",
    ),
    Key::new(
        "postmaster",
        ADDRESS,
        NONE,
        "Where mail for `<postmaster>` without a domain goes (RFC 5321 section 4.5.1). Without it that mail is taken \
         only where the domain of `hostname` is hosted.",
    ),
    Key::new(
        "domains",
        PATH,
        Unwritten::As("\"domains.d\""),
        "The folder of domain files: each `*.toml` in it, at most 100000. A folder that is named must be there. The \
         folder `tests.d` beside it has the policy cases.",
    ),
    Key::new(
        "enforcement",
        Value::Words(&["on", "report"]),
        Unwritten::As("\"on\""),
        "The emergency switch: with `\"report\"` what inbound policies would refuse or defer is let through and \
         recorded, until `report_until`. What a role has built in and all requirements of deliveries stay.",
    ),
    Key::new(
        "report_until",
        MOMENT,
        Unwritten::Told("must be written with `enforcement = \"report\"`"),
        "The end of `enforcement = \"report\"`, such as `2027-01-31T12:00:00Z`.",
    ),
    Key::new(
        "user",
        ACCOUNT,
        Unwritten::Told("stays who started it"),
        "The account to change to once the ports are bound.",
    )
    .at_restart(),
    Key::new("group", ACCOUNT, Unwritten::Told("that of `user`"), "The group to change to with `user`.").at_restart(),
];

const SPOOL: &[Key] = &[
    Key::needed("path", PATH, "The folder of the spool, which nothing else uses.").at_restart(),
    Key::new(
        "max_message_size",
        SIZE,
        Unwritten::As("\"50MB\""),
        "The largest message, at least `\"1B\"`, announced by SIZE (RFC 1870). A larger one is refused with 552.",
    ),
    Key::new(
        "min_free_space",
        SIZE,
        Unwritten::As("\"1GB\""),
        "With less free space than this no mail is accepted (452 4.3.1). `\"0B\"` asks for none.",
    )
    .at_restart(),
    Key::new(
        "lifetime",
        DURATION,
        Unwritten::As("\"5d\""),
        "How long a message is tried. Then its sender gets a bounce.",
    ),
    Key::new("bounce_lifetime", DURATION, Unwritten::As("\"1d\""), "How long a bounce is tried. Then it is dropped."),
    Key::new(
        "delay_warning",
        DURATION,
        Unwritten::As("\"4h\""),
        "After so long the sender is told that the mail is late: only those who sent as trusted clients, and senders \
         of hosted domains. Less than `lifetime`.",
    ),
    Key::new(
        "retry",
        RETRY,
        Unwritten::As("[\"1m\", \"5m\", \"15m\", \"1h\"]"),
        "The waiting times between attempts, each moved a little at random. The last one repeats.",
    ),
    Key::new(
        "soft_bounce",
        Value::Flag,
        Unwritten::As("false"),
        "What would bounce because it was refused for good waits instead, until its lifetime ends. For a migration.",
    ),
];

const CONNECTIONS: Value = Value::Number(1, 1_000_000);
const CONCURRENCY: Value = Value::Number(1, 10_000);

const OF_CLIENTS: &[Key] = &[
    Key::new(
        "max_connections",
        CONNECTIONS,
        Unwritten::As("20000"),
        "Connections of clients at once, all listeners together. The limit of open files may permit fewer, which the \
         log tells at the start.",
    )
    .at_restart(),
    Key::new(
        "max_connections_per_client",
        CONNECTIONS,
        Unwritten::As("100"),
        "Connections at once of one client: an IPv4 address, or a /64 of IPv6. Networks of `[relay] trusted` are not \
         bound by it.",
    ),
    Key::new(
        "max_recipients",
        Value::Number(1, 100_000),
        Unwritten::As("1000"),
        "Recipients of one message. Further ones get 452 4.5.3. RFC 5321 section 4.5.3.1.8 asks for at least 100.",
    ),
    Key::new(
        "max_errors",
        Value::Number(1, 10_000),
        Unwritten::As("20"),
        "Refusals (5xx) in one session. Then it ends with 421 4.7.0.",
    ),
    Key::new(
        "max_messages_per_session",
        CONNECTIONS,
        Unwritten::As("1000"),
        "Messages in one session. A further MAIL ends it with 421 4.7.0.",
    ),
    Key::new(
        "max_hops",
        Value::Number(1, 10_000),
        Unwritten::As("100"),
        "`Received:` fields in a message before it counts as looping (554 5.4.6). RFC 5321 section 6.3 asks for at \
         least 100.",
    ),
];

const OF_DELIVERIES: &[Key] = &[
    Key::new(
        "max_destination_concurrency",
        CONCURRENCY,
        Unwritten::As("20"),
        "Deliveries at once to one domain or route that has no `concurrency` of its own.",
    ),
    Key::new(
        "initial_concurrency",
        CONCURRENCY,
        Unwritten::As("5"),
        "Deliveries at once to mail hosts of which nothing is known yet. There are more as they take it.",
    ),
    Key::new(
        "max_site_concurrency",
        CONCURRENCY,
        Unwritten::As("100"),
        "Deliveries at once to the same mail hosts, for all domains that they serve. If it is not written, it is never \
         less than `max_destination_concurrency`.",
    ),
    Key::new(
        "max_outbound_connections",
        CONNECTIONS,
        Unwritten::As("500"),
        "Deliveries at once in all. Those that hang are left at most half of it.",
    ),
];

const OF_TIME: &[Key] = &[
    Key::new(
        "max_body_memory",
        SIZE,
        Unwritten::As("\"256MB\""),
        "Memory for messages that are being received or wait for their first delivery, at least `\"1B\"`.",
    )
    .at_restart(),
    Key::new(
        "command_timeout",
        TIMEOUT,
        Unwritten::As("\"5m\""),
        "How long a client may take for its next command. RFC 5321 section 4.5.3.2.7 asks for at least 5 minutes.",
    ),
    Key::new("data_timeout", TIMEOUT, Unwritten::As("\"5m\""), "How long a client may take for more of a message."),
    Key::new(
        "tls_handshake_timeout",
        TIMEOUT,
        Unwritten::As("\"30s\""),
        "How long the handshake of a client may take.",
    ),
    Key::new(
        "drain_timeout",
        TIMEOUT,
        Unwritten::As("\"30s\""),
        "From SIGTERM to the end: open sessions and deliveries may come to their end in this time.",
    ),
];
