//! The tables of the main file that stand for themselves: spool, dns, metrics, admin, limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::name_server::is_near;

use super::document::{Table, Value, Words};
use super::place::At;
use super::policy_tables::retry;
use super::route_table::key_pair;
use super::values::{self, Invalid};
use super::{AdminConfig, DnsConfig, DnssecConfig, Limits, MetricsConfig, SpoolConfig};

const DEFAULT_SOCKET: &str = "/run/gatepost/control.sock";
const DEFAULT_ADMIN_PORT: u16 = 8025;
const DEFAULT_METRICS_PORT: u16 = 9725;

const CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;
const RECIPIENTS: RangeInclusive<u32> = 1..=100_000;
const ERRORS: RangeInclusive<u32> = 1..=10_000;
const MESSAGES: RangeInclusive<u32> = 1..=1_000_000;
const HOPS: RangeInclusive<u32> = 1..=10_000;
const CONCURRENCY: RangeInclusive<u32> = 1..=10_000;

/// The value of `dnssec`, which may need more keys beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DnssecWord {
    Validate,
    TrustAd,
    Off,
}

const DNSSEC: &Words<DnssecWord> = &[
    ("validate", Some(DnssecWord::Validate)),
    ("trust-ad", Some(DnssecWord::TrustAd)),
    ("off", Some(DnssecWord::Off)),
];

/// The folders are empty paths where they were missing or wrong, which was reported.
pub(super) fn spool(mut table: Table<'_>) -> SpoolConfig {
    let path = table.require("path", "write path = \"/var/lib/gatepost\" under [spool]");
    let delay_warning = table.get("delay_warning");
    let soft_bounce = table.get("soft_bounce").and_then(|value| value.flag());
    let config = SpoolConfig {
        path: path.and_then(|value| value.path()).unwrap_or_default(),
        max_message_size: size(table.get("max_message_size"), values::size_not_zero).unwrap_or(50_000_000),
        min_free_space: size(table.get("min_free_space"), values::size).unwrap_or(1_000_000_000),
        lifetime: duration(table.get("lifetime")).unwrap_or(days(5)),
        bounce_lifetime: duration(table.get("bounce_lifetime")).unwrap_or(days(1)),
        delay_warning: duration(delay_warning.clone()).unwrap_or(minutes(4 * 60)),
        retry: table.get("retry").and_then(|value| retry(&value)).unwrap_or_else(default_retry),
        soft_bounce: soft_bounce.as_ref().is_some_and(|at| at.value),
    };
    if let Some(soft_bounce) = soft_bounce.filter(|at| at.value) {
        soft_bounce.place.warn(
            "SOFT BOUNCE IS ON: mail that is refused for good waits until its lifetime is over, and no sender is told",
            "write false as soon as what it was meant for is over",
        );
    }
    if let Some(value) = delay_warning.filter(|_| config.delay_warning >= config.lifetime) {
        value.place.warn("no delay notice is ever sent: `lifetime` is over before", "write less than the lifetime");
    }
    table.finish();
    config
}

fn default_retry() -> Vec<Duration> {
    [1, 5, 15, 60].map(minutes).to_vec()
}

pub(super) fn dns(mut table: Table<'_>) -> DnsConfig {
    let servers = table.get("servers").and_then(|value| value.list(|item| item.parse(values::name_server)));
    let targets = table.get("allow_targets").and_then(|value| value.list_or_empty(|item| item.parse(values::network)));
    let dnssec = dnssec(&mut table, servers.as_ref());
    table.finish();
    DnsConfig {
        servers: servers.as_ref().map(At::items).unwrap_or_default(),
        dnssec,
        allow_targets: targets.as_ref().map(At::items).unwrap_or_default(),
    }
}

fn dnssec(table: &mut Table<'_>, servers: Option<&At<'_, Vec<At<'_, SocketAddr>>>>) -> DnssecConfig {
    let word = table.get("dnssec").and_then(|value| value.word(DNSSEC));
    let trust_anchor = table.get("trust_anchor");
    match word.as_ref().map(|at| at.value) {
        Some(DnssecWord::Validate) => {
            return DnssecConfig::Validate { trust_anchor: trust_anchor.and_then(|value| value.path()) };
        }
        Some(DnssecWord::Off | DnssecWord::TrustAd) | None => {}
    }
    if let Some(anchor) = trust_anchor {
        let message = "`trust_anchor` is used only where signatures are validated here";
        anchor.place.error(message, "write dnssec = \"validate\" beside it, or remove it");
    }
    let Some(At { value: DnssecWord::TrustAd, .. }) = word else {
        return word.map_or(DnssecConfig::Auto, |_| DnssecConfig::Off);
    };
    let far = |server: &&At<'_, SocketAddr>| !is_near(server.value.ip());
    for server in servers.iter().flat_map(|servers| &servers.value).filter(far) {
        let message = format!(
            "dnssec = \"trust-ad\" would believe {}, which is not on this host: on the way anybody can set the AD bit",
            server.value.ip()
        );
        let remedy =
            "name a validating resolver on this host, such as \"127.0.0.1:53\", or write dnssec = \"validate\"";
        server.place.error(message, remedy);
    }
    DnssecConfig::TrustAd
}

/// With the place of `bind` for comparison with the listeners.
pub(super) fn metrics<'a>(mut table: Table<'a>) -> (MetricsConfig, Option<At<'a, SocketAddr>>) {
    let written = table.get("bind").and_then(|value| value.parse(bind_or_off));
    table.finish();
    let default = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_METRICS_PORT)));
    let bind = written.as_ref().map_or(default, |at| at.value);
    let place = written.and_then(|at| at.value.map(|bind| at.with(bind)));
    (MetricsConfig { bind }, place)
}

fn bind_or_off(text: &str) -> Result<Option<SocketAddr>, Invalid> {
    if text == "off" { Ok(None) } else { values::bind_address(text).map(Some) }
}

/// With the place of `bind` for comparison with the listeners.
pub(super) fn admin<'a>(mut table: Table<'a>) -> (AdminConfig, Option<At<'a, SocketAddr>>) {
    let socket = table.get("socket").and_then(|value| value.path()).unwrap_or_else(|| DEFAULT_SOCKET.into());
    let written = table.get("bind").and_then(|value| value.parse(bind_or_off));
    let token_file = table.get("token_file").and_then(|value| value.path());
    let certificate = table.get("certificate").and_then(|value| key_pair(&value)).map(|at| at.value);
    table.finish();
    let default = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_ADMIN_PORT)));
    let bind = written.as_ref().map_or(default, |at| at.value);
    let place = written.and_then(|at| at.value.map(|bind| at.with(bind)));
    let is_guarded = token_file.is_some() && certificate.is_some();
    if let Some(at) = place.as_ref().filter(|at| !at.value.ip().is_loopback() && !is_guarded) {
        let message = format!("whoever reaches {} would read who writes to whom", at.value);
        let remedy = "add token_file = \"admin.token\" and \
                      certificate = { chain = \"admin.pem\", key = \"admin.key\" }, \
                      or bind a loopback address";
        at.place.error(message, remedy);
    }
    (AdminConfig { socket, bind, token_file, certificate }, place)
}

pub(super) fn limits(mut table: Table<'_>) -> Limits {
    let mut number = |key, default, range| {
        table.get(key).and_then(|value| value.number(range)).map_or(default, |at: At<'_, u32>| at.value)
    };
    let max_connections = number("max_connections", 20_000, CONNECTIONS);
    let max_connections_per_client = number("max_connections_per_client", 100, CONNECTIONS);
    let max_recipients = number("max_recipients", 1000, RECIPIENTS);
    let max_errors = number("max_errors", 20, ERRORS);
    let max_messages_per_session = number("max_messages_per_session", 1000, MESSAGES);
    let max_hops = number("max_hops", 100, HOPS);
    let max_destination_concurrency = number("max_destination_concurrency", 20, CONCURRENCY);
    let initial_concurrency = number("initial_concurrency", 5, CONCURRENCY);
    let max_site_concurrency = number("max_site_concurrency", max_destination_concurrency.max(100), CONCURRENCY);
    let max_outbound_connections = number("max_outbound_connections", 500, CONNECTIONS);
    let limits = Limits {
        max_connections,
        max_connections_per_client,
        max_recipients,
        max_errors,
        max_messages_per_session,
        max_hops,
        max_destination_concurrency,
        initial_concurrency,
        max_site_concurrency,
        max_outbound_connections,
        max_body_memory: size(table.get("max_body_memory"), values::size_not_zero).unwrap_or(256_000_000),
        command_timeout: timeout(table.get("command_timeout")).unwrap_or(minutes(5)),
        data_timeout: timeout(table.get("data_timeout")).unwrap_or(minutes(5)),
        tls_handshake_timeout: timeout(table.get("tls_handshake_timeout")).unwrap_or(Duration::from_secs(30)),
        drain_timeout: timeout(table.get("drain_timeout")).unwrap_or(Duration::from_secs(30)),
    };
    table.finish();
    limits
}

fn size(value: Option<Value<'_>>, parse: fn(&str) -> Result<u64, Invalid>) -> Option<u64> {
    Some(value?.parse(parse)?.value)
}

fn duration(value: Option<Value<'_>>) -> Option<Duration> {
    Some(value?.parse(values::duration)?.value)
}

fn timeout(value: Option<Value<'_>>) -> Option<Duration> {
    Some(value?.parse(values::timeout)?.value)
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

const fn days(count: u64) -> Duration {
    minutes(24 * 60 * count)
}
