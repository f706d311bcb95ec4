//! Which keys stand in which table of which file: tells where a key belongs that was written elsewhere.

/// What kind of file a key was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Main,
    Domain,
    /// Of `[[case]]` tables.
    Cases,
}

/// A table, by its path from the top of its file.
#[derive(Debug)]
struct Home {
    kind: FileKind,
    path: &'static str,
    /// Written with two brackets, as there may be several.
    repeats: bool,
    keys: &'static [&'static [&'static str]],
}

const fn one(kind: FileKind, path: &'static str, keys: &'static [&'static [&'static str]]) -> Home {
    Home { kind, path, repeats: false, keys }
}

const fn many(kind: FileKind, path: &'static str, keys: &'static [&'static [&'static str]]) -> Home {
    Home { kind, path, repeats: true, keys }
}

const TLS: &[&str] = &["tls", "min_version", "cipher", "match", "fingerprints", "ca"];
const INBOUND: &[&str] =
    &["tls", "min_version", "cipher", "client_certificate", "mode", "applies_to", "refusal_text", "refusal_url"];
const DELIVERY: &[&str] = &[
    "concurrency",
    "rate",
    "retry",
    "lifetime",
    "dane",
    "mta_sts",
    "learn",
    "tls_required_no",
    "on_tls_failure",
    "route_after",
    "notify_sender",
];
const HOP: &[&str] = &["hosts", "client_certificate", "source", "ehlo", "ip", "auth_file"];
const EXCEPTION: &[&str] = &["clients", "senders", "owner", "reason", "expires"];
const LIMITS: &[&str] = &[
    "max_connections",
    "max_connections_per_client",
    "max_recipients",
    "max_errors",
    "max_messages_per_session",
    "max_hops",
    "max_destination_concurrency",
    "initial_concurrency",
    "max_site_concurrency",
    "max_outbound_connections",
    "max_body_memory",
    "command_timeout",
    "data_timeout",
    "tls_handshake_timeout",
    "drain_timeout",
];
const SPOOL: &[&str] = &[
    "path",
    "max_message_size",
    "min_free_space",
    "lifetime",
    "bounce_lifetime",
    "delay_warning",
    "retry",
    "soft_bounce",
];
const LISTENER: &[&str] = &[
    "name",
    "bind",
    "role",
    "tls",
    "offer",
    "relay",
    "request_client_certificate",
    "client_ca",
    "proxy_protocol",
    "min_version",
    "cipher",
];
const AUDIT: &[&str] = &[
    "path",
    "key",
    "on_failure",
    "checkpoint_every",
    "checkpoint_file",
    "checkpoint_syslog",
    "checkpoint_webhook",
    "keep",
    "compress",
];
const TOP: &[&str] = &["hostname", "postmaster", "domains", "user", "group", "enforcement", "report_until"];
const CASE: &[&str] = &[
    "direction",
    "name",
    "from",
    "to",
    "tls",
    "cipher",
    "client",
    "client_certificate",
    "certificate",
    "certificate_names",
    "mx",
    "at",
    "listener",
    "expect",
    "stage",
    "reason",
];

/// Every table but the inline ones. What stands first is named first.
const HOMES: &[Home] = {
    use FileKind::{Cases, Domain, Main};
    &[
        one(Main, "", &[TOP]),
        one(Main, "spool", &[SPOOL]),
        many(Main, "listener", &[LISTENER]),
        many(Main, "certificate", &[&["chain", "key", "stack", "ocsp"]]),
        one(Main, "relay", &[&["trusted"]]),
        one(Main, "dns", &[&["servers", "dnssec", "trust_anchor", "allow_targets"]]),
        one(Main, "audit", &[AUDIT]),
        one(Main, "metrics", &[&["bind"]]),
        one(Main, "admin", &[&["bind", "socket", "token_file", "certificate"]]),
        one(Main, "learn", &[&["deliveries", "days", "interference_destinations", "interference_window", "expire"]]),
        one(Main, "alert", &[&["webhook", "command", "remind", "quiet"]]),
        one(Main, "tlsrpt", &[&["send", "organization", "contact", "dkim", "address", "max_domains"]]),
        one(Main, "limits", &[LIMITS]),
        one(Main, "default", &[]),
        one(Main, "default.inbound", &[INBOUND]),
        one(Main, "default.outbound", &[TLS, DELIVERY]),
        one(Main, "default.route", &[TLS, HOP]),
        many(Main, "route", &[&["name"], TLS, HOP]),
        many(Main, "default.inbound.step", &[&["from"], INBOUND]),
        many(Main, "default.inbound.exception", &[EXCEPTION, INBOUND]),
        one(Main, "default.inbound.shadow", &[INBOUND]),
        many(Main, "default.outbound.step", &[&["from"], TLS, DELIVERY]),
        many(Main, "default.outbound.exception", &[EXCEPTION, TLS, DELIVERY]),
        one(Domain, "", &[&["domains", "owner", "group", "hosted", "recipients"]]),
        one(Domain, "inbound", &[INBOUND]),
        one(Domain, "outbound", &[TLS, DELIVERY]),
        one(Domain, "route", &[TLS, HOP]),
        many(Domain, "inbound.step", &[&["from"], INBOUND]),
        many(Domain, "inbound.exception", &[EXCEPTION, INBOUND]),
        one(Domain, "inbound.shadow", &[INBOUND]),
        many(Domain, "outbound.step", &[&["from"], TLS, DELIVERY]),
        many(Domain, "outbound.exception", &[EXCEPTION, TLS, DELIVERY]),
        many(Cases, "case", &[CASE]),
    ]
};

impl Home {
    fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|keys| keys.contains(&key))
    }

    /// Steps, exceptions and shadows have the keys of what they stand in.
    fn is_laid_over(&self) -> bool {
        ["step", "exception", "shadow"].contains(&self.name())
    }

    fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    fn header(&self) -> String {
        if self.repeats { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) }
    }
}

/// Where `key` belongs, which means nothing in the table `path` of such a file, as a remedy; `None` if nowhere.
pub(super) fn remedy(kind: FileKind, path: &str, key: &str) -> Option<String> {
    let headers = |homes: &[&Home]| among(homes.iter().map(|home| home.header()).collect());
    let tables: Vec<&Home> = HOMES.iter().filter(|home| home.name() == key).collect();
    let (here, elsewhere): (Vec<&Home>, Vec<&Home>) = tables.into_iter().partition(|home| home.kind == kind);
    match (here.is_empty(), elsewhere.first()) {
        (false, Some(_)) if kind == FileKind::Main && !here.iter().any(|home| home.is_laid_over()) => {
            let (here, elsewhere) = (headers(&here), headers(&elsewhere));
            return Some(format!("its place is {here}, or {elsewhere} in a domain file"));
        }
        (false, _) => return Some(format!("its place is {}", headers(&here))),
        (true, Some(_)) => return Some(format!("it stands in {}: {}", files(&elsewhere), headers(&elsewhere))),
        (true, None) => {}
    }
    // What a case is asked by is no setting.
    let is_of_kind = |home: &Home| home.kind != FileKind::Cases || kind == FileKind::Cases;
    let holds: Vec<&Home> = HOMES.iter().filter(|home| home.has(key) && is_of_kind(home)).collect();
    let plain: Vec<&Home> = holds.iter().copied().filter(|home| !home.is_laid_over()).collect();
    let holds = if plain.is_empty() { holds } else { plain };
    let (here, elsewhere): (Vec<&Home>, Vec<&Home>) = holds.into_iter().partition(|home| home.kind == kind);
    let told = if here.is_empty() { elsewhere } else { here };
    let first = told.first()?;
    let of = if first.kind == kind { String::new() } else { format!(" of {}", files(&told)) };
    let (top, tables): (Vec<&Home>, Vec<&Home>) = told.iter().copied().partition(|home| home.path.is_empty());
    Some(match (top.is_empty(), tables.is_empty()) {
        (false, true) if of.is_empty() => "write it at the top of the file, above the first [table]".to_owned(),
        (false, true) => format!("it stands at the top{of}"),
        (false, false) => format!("it stands at the top{of}, or under {}", headers(&tables)),
        (true, _) if path.is_empty() && of.is_empty() => format!("it stands under {}, not above", headers(&tables)),
        (true, _) => format!("it stands under {}{of}", headers(&tables)),
    })
}

/// Of homes of the same kind, which kind.
fn files(homes: &[&Home]) -> &'static str {
    match homes.first().map(|home| home.kind) {
        Some(FileKind::Main) | None => "gatepost.toml",
        Some(FileKind::Domain) => "a domain file",
        Some(FileKind::Cases) => "a file of policy cases",
    }
}

/// `a, b or c`.
fn among(words: Vec<String>) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

/// Panics if a reader asks for keys of a table that are not listed here, or for fewer.
#[cfg(test)]
pub(super) fn assert_listed((kind, is_whole): (FileKind, bool), path: &str, known: &[&str]) {
    let Some(home) = HOMES.iter().find(|home| home.kind == kind && home.path == path) else {
        let is_inline = path.contains("certificate") || matches!(path, "recipients" | "tlsrpt.dkim" | "case");
        assert!(is_inline || (kind == FileKind::Cases && path.is_empty()), "the table {path} is not listed");
        return;
    };
    let is_table = |key: &str| {
        let below = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        HOMES.iter().any(|home| home.kind == kind && home.path == below)
    };
    let missing: Vec<_> = known.iter().filter(|key| !home.has(key) && !is_table(key)).collect();
    // What `--set` makes is not read whole.
    let listed = home.keys.iter().copied().flatten().filter(|_| is_whole);
    let extra: Vec<_> = listed.filter(|key| !known.contains(key)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{path}: not listed {missing:?}, listed in vain {extra:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_table_or_file_is_told_where_it_belongs() {
        use FileKind::{Cases, Domain, Main};
        for (kind, path, key, expected) in [
            (
                Main,
                "",
                "min_version",
                "it stands under [[listener]], [default.inbound], [default.outbound], [default.route] or [[route]], \
                 not above",
            ),
            (Main, "", "trusted", "it stands under [relay], not above"),
            (Main, "metrics", "hostname", "write it at the top of the file, above the first [table]"),
            (Main, "", "inbound", "its place is [default.inbound], or [inbound] in a domain file"),
            (Main, "", "step", "its place is [[default.inbound.step]] or [[default.outbound.step]]"),
            (Main, "default", "recipients", "it stands at the top of a domain file"),
            (Main, "spool", "max_errors", "it stands under [limits]"),
            (Domain, "inbound", "recipients", "write it at the top of the file, above the first [table]"),
            (Domain, "", "mode", "it stands under [inbound], not above"),
            (Domain, "inbound", "dane", "it stands under [outbound]"),
            (Domain, "inbound", "expires", "it stands under [[inbound.exception]] or [[outbound.exception]]"),
            (Domain, "", "spool", "it stands in gatepost.toml: [spool]"),
            (Domain, "", "hostname", "it stands at the top of gatepost.toml"),
            (Domain, "inbound", "route", "its place is [route]"),
            (Cases, "", "listener", "it stands in gatepost.toml: [[listener]]"),
            (Cases, "case", "hosted", "it stands at the top of a domain file"),
        ] {
            assert_eq!(remedy(kind, path, key).as_deref(), Some(expected), "{path} {key}");
        }
        assert_eq!(remedy(Main, "", "frobnicate"), None);
    }
}
