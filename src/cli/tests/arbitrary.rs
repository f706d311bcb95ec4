//! Any configuration and any facts: what the properties of verdicts are tried with.

use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::cli::explain::tests::configured;
use crate::config::{Config, ListenerTls, RelayConfig};
use crate::model::address::{Address, Charset, Host, ReversePath};
use crate::model::cipher::{CipherGrade, CipherSuite};
use crate::model::domain::DomainPattern;
use crate::model::time::Timestamp;
use crate::model::tls::{ChainTrust, PeerCertificate, ProtocolVersion, SignatureHash, TlsFacts, Verified};
use crate::policy::inbound::Floor;
use crate::policy::names::{Fingerprint, NamePattern};
use crate::policy::relay::TrustedClients;
use crate::policy::rules::{Defaults, DomainPolicy, PolicySet, Recipients};
use crate::policy::settings::{
    AppliesTo, ClientCertificateRule, DeliveryLayer, HostPort, InboundLayer, InboundTls, IpChoice, Mode, OnTlsFailure,
    OutboundLayer, OutboundTls, Route, Source, Sourced,
};
use crate::policy::timed::{Enforcement, Exception, Rules, SenderPattern, Step, Terms};

/// Those that have a file.
const DOMAINS: [&str; 3] = ["a.example", "bank.example", "*.bank.example"];
const SENDERS: [&str; 6] = ["", "x@a.example", "fax@a.example", "y@bank.example", "z@d.example", "m@[192.0.2.9]"];
const RECIPIENTS: [&str; 7] = [
    "b@bank.example",
    "nobody@bank.example",
    "Postmaster@bank.example",
    "\"b\"@Lab.BANK.example",
    "u@a.example",
    "w@d.example",
    "v@[192.0.2.9]",
];
const CLIENTS: [&str; 4] = ["192.0.2.1", "198.51.100.7", "10.0.0.1", "2001:db8::1"];
/// Steps, exceptions and questions lie within it.
const SECONDS: std::ops::Range<i64> = 0..200;
/// Of a certificate or key that `[relay].trusted` lists; policies list others.
const TRUSTED: u8 = 2;

/// With listeners of every role, some of which ask for a certificate.
static BASE: LazyLock<Config> = LazyLock::new(configured);

pub(super) fn moment() -> impl Strategy<Value = Timestamp> {
    SECONDS.prop_map(Timestamp::from_secs)
}

pub(super) fn sender() -> impl Strategy<Value = ReversePath> {
    select(&SENDERS).prop_map(|text| match text {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(address(text)),
    })
}

pub(super) fn recipient() -> impl Strategy<Value = Address> {
    select(&RECIPIENTS).prop_map(address)
}

pub(super) fn client() -> impl Strategy<Value = std::net::IpAddr> {
    select(&CLIENTS).prop_map(|ip| ip.parse().unwrap())
}

pub(super) fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    (0..4_u8).prop_map(|byte| Fingerprint::from_bytes([byte; 32]))
}

/// The name of a listener.
pub(super) fn listener() -> impl Strategy<Value = String> {
    select(BASE.listeners.iter().map(|listener| listener.name.clone()).collect::<Vec<_>>())
}

/// Plaintext, or a session without a certificate.
pub(super) fn bare_session() -> BoxedStrategy<Option<TlsFacts>> {
    let suite = select(vec!["TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-SHA", "AES256-SHA", "DES-CBC3-SHA"]);
    let group = select(vec![None, Some("x25519".to_owned()), Some("dh-1024".to_owned())]);
    let facts = (version(), suite, group, prop::bool::weighted(0.1)).prop_map(|(version, suite, group, resumed)| {
        TlsFacts { group, resumed, ..TlsFacts::assumed(version, CipherSuite::by_name(suite).unwrap()) }
    });
    option::weighted(0.8, facts).boxed()
}

/// A certificate that was looked at whole.
pub(super) fn peer() -> BoxedStrategy<PeerCertificate> {
    let signature = select(vec![Some(SignatureHash::Sha2), Some(SignatureHash::Sha1OrOlder), None]);
    let rsa_bits = select(vec![None, Some(1024), Some(2048)]);
    let verified = select(vec![Verified::None, Verified::Webpki]);
    let chain = vec![ChainTrust::Trusted, ChainTrust::NotTrusted, ChainTrust::Expired, ChainTrust::Invalid];
    let names = select(vec!["bank.example", "*.hosts.example", "store.example", "other.example"]);
    (fingerprint(), signature, rsa_bits, verified, select(chain), vec(names, 0..3))
        .prop_map(|(hash, signature, rsa_bits, verified, chain, names)| PeerCertificate {
            names: names.into_iter().map(str::to_owned).collect(),
            signature,
            rsa_bits,
            verified,
            chain,
            ..PeerCertificate::assumed(hash.hex())
        })
        .boxed()
}

/// Any policies, floors of listeners and emergency switch.
pub(super) fn config() -> BoxedStrategy<Config> {
    let floors = vec((sourced(version()), sourced(grade())), BASE.listeners.len());
    (policies(), floors)
        .prop_map(|(policies, floors)| {
            let mut config = Config { policies: Arc::new(policies), ..BASE.clone() };
            for (listener, (min_version, cipher)) in config.listeners.iter_mut().zip(floors) {
                listener.floor = Floor::of(listener.role, Floor { min_version, cipher });
                // Every session can come about.
                (listener.tls, listener.offer) = (ListenerTls::Starttls, ProtocolVersion::Ssl3);
            }
            let certificates = vec![Fingerprint::from_bytes([TRUSTED; 32])];
            let networks = vec!["10.0.0.0/8".parse().unwrap()];
            config.relay = RelayConfig { trusted: TrustedClients { networks, certificates } };
            config
        })
        .boxed()
}

fn policies() -> impl Strategy<Value = PolicySet> {
    let files = DOMAINS.map(domain_file);
    let default_route = option::weighted(0.1, route());
    let suspended = option::weighted(0.2, (moment(), source()));
    (rules(inbound_layer), rules(outbound_layer), default_route, files, suspended).prop_map(
        |(inbound, outbound, route, files, suspended)| {
            let defaults = Defaults { inbound, outbound, route, ..Defaults::default() };
            let mut set = PolicySet::new(defaults, files.into()).unwrap();
            if let Some((until, source)) = suspended {
                set.enforcement = Enforcement::ReportUntil { until, source };
            }
            set
        },
    )
}

fn domain_file(pattern: &'static str) -> impl Strategy<Value = DomainPolicy> {
    let end = sourced(select(vec![OnTlsFailure::Defer, OnTlsFailure::Bounce]));
    let hosted = prop::bool::weighted(0.8);
    (rules(inbound_layer), rules(outbound_layer), end, hosted, any::<bool>(), option::weighted(0.2, route())).prop_map(
        move |(inbound, outbound, on_tls_failure, hosted, is_listed, route)| DomainPolicy {
            file: format!("{pattern}.toml").into(),
            patterns: vec![DomainPattern::parse(pattern).unwrap()],
            hosted,
            recipients: match is_listed {
                true => Recipients::Listed { file: "list".into(), names: Arc::new(["b".to_owned()].into()) },
                false => Recipients::Any,
            },
            inbound,
            outbound,
            delivery: DeliveryLayer { on_tls_failure, ..DeliveryLayer::default() },
            route,
            ..DomainPolicy::default()
        },
    )
}

fn rules<L: Clone + std::fmt::Debug + 'static>(layer: fn() -> BoxedStrategy<L>) -> BoxedStrategy<Rules<L>> {
    let step = (moment(), source(), layer()).prop_map(|(from, source, layer)| Step { from, source, layer });
    let exception = (terms(), layer()).prop_map(|(terms, layer)| Exception { terms, layer });
    (layer(), vec(step, 0..2), option::of(layer()), vec(exception, 0..3))
        .prop_map(|(base, steps, shadow, exceptions)| Rules { base, steps, shadow, exceptions })
        .boxed()
}

fn terms() -> impl Strategy<Value = Arc<Terms>> {
    let senders = vec![
        SenderPattern::Null,
        SenderPattern::Mailbox(address("fax@a.example")),
        SenderPattern::Domain(DomainPattern::parse("a.example").unwrap()),
    ];
    let network = select(vec!["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]);
    let clients = network.prop_map(|network| network.parse().unwrap());
    (source(), vec(clients, 0..2), vec(select(senders), 0..2), moment()).prop_map(
        |(source, clients, senders, expires)| {
            let (owner, reason) = ("o".to_owned(), "r".to_owned());
            Arc::new(Terms { source, clients, senders, owner, reason, expires })
        },
    )
}

fn inbound_layer() -> BoxedStrategy<InboundLayer> {
    let certificate = prop_oneof![
        4 => Just(ClientCertificateRule::None),
        1 => Just(ClientCertificateRule::Verified),
        1 => fingerprint().prop_map(|one| ClientCertificateRule::Fingerprints([one].into())),
    ];
    let sides = vec![(true, true), (true, true), (true, false), (false, true)];
    let sides = select(sides).prop_map(|(sender, recipient)| AppliesTo { sender, recipient });
    let modes = vec![Mode::Report, Mode::Defer, Mode::Enforce];
    let tls = vec![InboundTls::Optional, InboundTls::Required];
    let url = Just("https://bank.example/tls".into());
    let certificate = option::weighted(0.2, certificate).prop_flat_map(|rule| match rule {
        Some(rule) => sourced(Just(rule)).boxed(),
        None => Just(None).boxed(),
    });
    let keys = (
        sourced(select(tls)),
        sourced(version()),
        sourced(grade()),
        certificate,
        sourced(sides),
        sourced(select(modes)),
        sourced(url),
    );
    keys.prop_map(|(tls, min_version, cipher, client_certificate, applies_to, mode, refusal_url)| InboundLayer {
        tls,
        min_version,
        cipher,
        client_certificate,
        applies_to,
        mode,
        refusal_url,
        ..InboundLayer::default()
    })
    .boxed()
}

fn outbound_layer() -> BoxedStrategy<OutboundLayer> {
    let names = select(vec!["domain", "mx", "store.example", "*.hosts.example"]);
    let names = vec(names.prop_map(|name| NamePattern::parse(name).unwrap()), 1..3);
    let keys = (
        sourced(select(&OutboundTls::ALL)),
        sourced(version()),
        sourced(grade()),
        sourced(names),
        sourced(vec(fingerprint(), 1..2)),
        sourced(select(vec![OnTlsFailure::Defer, OnTlsFailure::Bounce])),
    );
    keys.prop_map(|(tls, min_version, cipher, match_names, fingerprints, on_tls_failure)| OutboundLayer {
        tls,
        min_version,
        cipher,
        match_names,
        fingerprints,
        ca: None,
        delivery: DeliveryLayer { on_tls_failure, ..DeliveryLayer::default() },
    })
    .boxed()
}

fn route() -> impl Strategy<Value = Arc<Route>> {
    let named = vec(select(vec!["store.example", "mx.hosts.example"]), 1..3);
    let hosts = prop_oneof![3 => named, 1 => Just(vec!["[192.0.2.25]"])];
    (hosts, outbound_layer(), source()).prop_map(|(hosts, tls, source)| {
        let host = |host: &str| HostPort { host: Host::parse(host).unwrap(), port: 25 };
        Arc::new(Route {
            name: "store".into(),
            source,
            hosts: hosts.into_iter().map(host).collect(),
            tls,
            source_address: None,
            ehlo: None,
            ip: IpChoice::Any,
            client_certificate: None,
        })
    })
}

/// Written or not, and where.
fn sourced<T: std::fmt::Debug + Clone>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Option<Sourced<T>>> {
    option::weighted(0.3, (values, source()).prop_map(|(value, source)| Sourced { value, source }))
}

fn source() -> impl Strategy<Value = Source> {
    (1..1000_u32).prop_map(|line| Source::File { file: "f".into(), line })
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    select(&ProtocolVersion::ALL)
}

fn grade() -> impl Strategy<Value = CipherGrade> {
    select(&CipherGrade::ALL)
}

fn address(text: &str) -> Address {
    Address::parse(text, Charset::Utf8).unwrap()
}
