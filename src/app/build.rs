//! From the configuration to what each part is handed: the snapshots of inbound and outbound, certificates, listeners.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::admin::web::door::Door;
use crate::alert::Ways;
use crate::audit::event::Stamp;
use crate::clock;
use crate::config::{
    Config, DkimConfig, DnsConfig, DnssecConfig, Limits, ListenerConfig, ListenerTls, OnAuditFailure, TlsRptConfig,
};
use crate::dns::Resolver;
use crate::dns::cache::CachingResolver;
use crate::dns::hickory::{HickoryResolver, Options};
use crate::dns::servers::{Dnssec, Mode, Servers, SetupError};
use crate::dns::targets::TargetRule;
use crate::facts::Gatherer;
use crate::facts::learned::{LearnTerms, LearnedStore};
use crate::facts::sts_cache::StsCache;
use crate::facts::sts_fetch::StsFetcher;
use crate::inbound;
use crate::mail::dkim::Signer;
use crate::memory::Memory;
use crate::metrics::LabelSets;
use crate::model::time::Timestamp;
use crate::outbound;
use crate::outbound::reporting::Reporter;
use crate::policy::alarm::AlarmTerms;
use crate::policy::rules::PolicySet;
use crate::policy::settings::{KeyPair, Sourced};
use crate::schedule::scheduler;
use crate::smtp::client::Timeouts;
use crate::smtp::server;
use crate::tls::client::ClientTls;
use crate::tls::client::certificate::ClientCertificate;
use crate::tls::failure::FailureKind;
use crate::tls::roots::Roots;
use crate::tls::server::{ServerTls, ServerTlsOptions};
use crate::tls::store::CertificateStore;

use super::certificates::Certificates;
use super::{NamedFault, StartError, calendar};

/// What the daemon takes from the world around it, so that the demo can put another one there.
#[derive(Debug)]
pub struct Environment {
    pub resolver: Arc<dyn Resolver>,
    /// Who may vouch for next hops.
    pub roots: Roots,
    pub timeouts: Timeouts,
}

impl Environment {
    pub fn of_system(config: &Config) -> Result<Self, StartError> {
        let (roots, problems) = Roots::system();
        for problem in problems {
            tracing::warn!(problem, "a root certificate of the system cannot be read");
        }
        if roots.is_empty() {
            tracing::warn!("the system has no root certificates: no next hop can be verified by name");
        }
        Ok(Self { resolver: resolver(&config.dns)?, roots, timeouts: Timeouts::default() })
    }
}

/// All who ask the world about destinations, with what is remembered of it.
pub(super) fn gatherer(
    config: &Config,
    environment: &Environment,
    memory: Memory,
    learned: LearnedStore,
) -> Result<Gatherer, StartError> {
    let fetcher = fetcher(config, environment.resolver.clone(), &environment.roots)?;
    Ok(Gatherer { resolver: environment.resolver.clone(), sts: StsCache::new(memory, fetcher), learned })
}

/// The client of MTA-STS policies under this configuration.
pub(super) fn fetcher(config: &Config, resolver: Arc<dyn Resolver>, roots: &Roots) -> Result<StsFetcher, StartError> {
    let targets = TargetRule { allow: config.dns.allow_targets.clone() };
    Ok(StsFetcher::new(resolver, targets, roots)?)
}

/// The daemon's resolver, with a bounded cache.
pub(crate) fn resolver(config: &DnsConfig) -> Result<Arc<dyn Resolver>, SetupError> {
    let inner = HickoryResolver::new(&Options::new(&config.servers, dnssec(config)))?;
    Ok(Arc::new(CachingResolver::new(inner)))
}

/// The DNS servers in force, and whether anything that they say can count as secure.
pub(crate) fn dns_servers(config: &DnsConfig) -> Result<Servers, SetupError> {
    Servers::in_force(&config.servers, &dnssec(config))
}

/// How DNSSEC is used. Where no server is known nothing counts as secure.
pub(crate) fn dnssec_mode(config: &DnsConfig) -> Mode {
    dns_servers(config).map_or(Mode::Off, |servers| servers.mode)
}

pub(crate) fn is_dnssec_off(config: &DnsConfig) -> bool {
    dnssec_mode(config) == Mode::Off
}

fn dnssec(config: &DnsConfig) -> Dnssec {
    match &config.dnssec {
        DnssecConfig::Auto => Dnssec::Auto,
        DnssecConfig::Off => Dnssec::Off,
        DnssecConfig::TrustAd => Dnssec::TrustAd,
        DnssecConfig::Validate { trust_anchor } => Dnssec::Validate { trust_anchor: trust_anchor.clone() },
    }
}

/// One configuration made ready: to be swapped in as a whole.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) inbound: inbound::Snapshot,
    pub(super) outbound: outbound::Snapshot,
    pub(super) certificates: Certificates,
    /// Of the dashboard.
    pub(super) door: Door,
}

/// A configuration with everything that was read for it.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: Config,
    pub(super) built: Built,
}

impl Prepared {
    /// Reads certificates and keys.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let built = build(&config)?;
        Ok(Self { config, built })
    }
}

pub(super) fn build(config: &Config) -> Result<Built, StartError> {
    let (client_tls, of_routes) = client_tls(&config.policies)?;
    let certificates = Certificates::load(config)?.beside(of_routes);
    let inbound = build_inbound(config, certificates.store(), None)?;
    let outbound = outbound::Snapshot {
        policies: config.policies.clone(),
        stamp: stamp(config),
        hostname: config.hostname.clone(),
        client_tls,
        authorities: authorities(&config.policies)?,
        targets: TargetRule { allow: config.dns.allow_targets.clone() },
        lifetime: config.spool.lifetime,
        bounce_lifetime: config.spool.bounce_lifetime,
        delay_warning: config.spool.delay_warning,
        retry: config.spool.retry.clone(),
        soft_bounce: config.spool.soft_bounce,
        limits: schedule_limits(&config.limits),
        needs_audit: needs_audit(config),
        reporter: reporter(&config.tlsrpt)?,
    };
    Ok(Built { inbound, outbound, certificates, door: Door::read(&config.admin)? })
}

/// Runs that hang for long count apart from the total, up to this part of it.
const SLOW_SHARE: u32 = 2;

fn schedule_limits(limits: &Limits) -> scheduler::Limits {
    let total_concurrency = limits.max_outbound_connections;
    scheduler::Limits {
        lane_concurrency: limits.max_destination_concurrency,
        total_concurrency,
        slow_total_max: total_concurrency / SLOW_SHARE,
        initial_concurrency: limits.initial_concurrency,
        site_concurrency_max: limits.max_site_concurrency,
    }
}

/// All that inbound needs, with these certificates. What the snapshot `before` of the same configuration has read
/// beside them is not read again.
pub(crate) fn build_inbound(
    config: &Config,
    store: Option<&Arc<CertificateStore>>,
    before: Option<&inbound::Snapshot>,
) -> Result<inbound::Snapshot, StartError> {
    let mut listeners = HashMap::new();
    for listener in &config.listeners {
        let before = before.and_then(|before| before.listeners.get(listener.name.as_str()));
        let known_roots = before.and_then(|before| before.tls.as_ref()?.client_roots());
        let built = build_listener(config, listener, store, known_roots)?;
        listeners.insert(built.name.clone(), Arc::new(built));
    }
    Ok(inbound::Snapshot {
        policies: config.policies.clone(),
        trusted: config.relay.trusted.clone(),
        stamp: stamp(config),
        listeners,
        connections_per_client_max: config.limits.max_connections_per_client,
        hops_max: config.limits.max_hops,
        tls_handshake_timeout: config.limits.tls_handshake_timeout,
        needs_audit: needs_audit(config),
    })
}

fn stamp(config: &Config) -> Stamp {
    Stamp { node: config.hostname.as_str().into(), config: config.digest.as_str().into() }
}

/// Where alerts go.
pub(super) fn alert_ways(config: &Config) -> Ways {
    Ways { webhook: config.alert.webhook.clone(), command: config.alert.command.clone() }
}

/// What learning goes by.
pub(super) fn learn_terms(config: &Config) -> LearnTerms {
    let alarm = AlarmTerms { reminder: config.alert.remind, quiet: config.alert.quiet, ..AlarmTerms::default() };
    LearnTerms { thresholds: config.learn.thresholds, alarm, window: config.learn.window }
}

/// Who reports on TLS, with the key that signs; `None` if nobody does.
pub(crate) fn reporter(config: &TlsRptConfig) -> Result<Option<Arc<Reporter>>, StartError> {
    let Some(submitter) = config.submitter.clone() else { return Ok(None) };
    let signer = config.dkim.as_ref().map(dkim_signer).transpose()?;
    let domains_max = usize::try_from(config.max_domains).unwrap_or(usize::MAX);
    Ok(Some(Arc::new(Reporter { submitter, signer, domains_max })))
}

/// Reads the key.
pub(crate) fn dkim_signer(config: &DkimConfig) -> Result<Signer, StartError> {
    let failed = |why: String| StartError::Dkim { key: config.key.clone(), why };
    let pem = Zeroizing::new(std::fs::read(&config.key).map_err(|error| failed(error.to_string()))?);
    Signer::from_pem(config.domain.clone(), &config.selector, &pem).map_err(|error| failed(error.to_string()))
}

fn needs_audit(config: &Config) -> bool {
    config.audit.on_failure == OnAuditFailure::Refuse
}

/// The roots of each list of files that policies name.
fn authorities(policies: &PolicySet) -> Result<HashMap<Vec<PathBuf>, Roots>, StartError> {
    let mut known = HashMap::new();
    let mut faults = Vec::new();
    for Sourced { value: files, source } in policies.authorities() {
        if known.contains_key(files) {
            continue;
        }
        match Roots::from_pem_files(files) {
            Ok(roots) => drop(known.insert(files.clone(), roots)),
            Err(error) => faults.push(NamedFault { key: "ca", place: source.clone(), why: error.to_string() }),
        }
    }
    if faults.is_empty() { Ok(known) } else { Err(StartError::Named(faults)) }
}

/// By key pair, and the names and ends of validity of the certificates.
type ClientIdentities = (HashMap<KeyPair, ClientTls>, Vec<(String, Timestamp)>);

/// TLS with each certificate that routes name.
fn client_tls(policies: &PolicySet) -> Result<ClientIdentities, StartError> {
    let (mut identities, mut ends, mut errors) = (HashMap::new(), Vec::new(), Vec::new());
    for Sourced { value: pair, source } in policies.client_certificates() {
        if identities.contains_key(pair) {
            continue;
        }
        match ClientCertificate::read(pair) {
            Ok(certificate) => {
                for warning in certificate.warnings(clock::timestamp()) {
                    tracing::warn!("{warning}");
                }
                ends.push(certificate.name_and_expiry());
                identities.insert(pair.clone(), ClientTls::new(Some(&certificate))?);
            }
            Err(error) => {
                let why = error.to_string();
                errors.push(NamedFault { key: "client_certificate", place: source.clone(), why });
            }
        }
    }
    if errors.is_empty() { Ok((identities, ends)) } else { Err(StartError::Named(errors)) }
}

fn build_listener(
    config: &Config,
    listener: &ListenerConfig,
    store: Option<&Arc<CertificateStore>>,
    known_roots: Option<&Roots>,
) -> Result<inbound::Listener, StartError> {
    let tls = match (listener.tls, store) {
        (ListenerTls::Off, _) | (_, None) => None,
        (_, Some(store)) => {
            let client_certificates = match known_roots {
                Some(roots) => Some(roots.clone()),
                None => client_roots(listener)?,
            };
            Some(ServerTls::new(store.clone(), ServerTlsOptions { lowest: listener.offer, client_certificates })?)
        }
    };
    let session = server::Settings {
        hostname: config.hostname.clone(),
        starttls: listener.tls == ListenerTls::Starttls && tls.is_some(),
        message_bytes_max: config.spool.max_message_size,
        recipients_max: config.limits.max_recipients,
        errors_max: config.limits.max_errors,
        messages_max: config.limits.max_messages_per_session,
        command_timeout: config.limits.command_timeout,
        data_timeout: config.limits.data_timeout,
        tls_timeout: config.limits.tls_handshake_timeout,
        postmaster: config.postmaster.clone(),
    };
    Ok(inbound::Listener {
        name: listener.name.as_str().into(),
        role: listener.role,
        relay: listener.relay,
        implicit_tls: listener.tls == ListenerTls::Implicit,
        floor: listener.floor.clone(),
        session: Arc::new(session),
        tls,
    })
}

/// The roots that certificates of clients are held against, where they are asked for.
fn client_roots(listener: &ListenerConfig) -> Result<Option<Roots>, StartError> {
    if !listener.request_client_certificate {
        return Ok(None);
    }
    match &listener.client_ca {
        Some(file) => {
            let roots = Roots::from_pem_files(std::slice::from_ref(file));
            roots.map(Some).map_err(|error| StartError::Certificates(vec![error.into()]))
        }
        None => Ok(Some(Roots::system().0)),
    }
}

/// Makes the series of this configuration's labels exist, and says how its policies stand today.
pub(super) fn fill_metrics(metrics: &crate::metrics::Metrics, config: &Config) {
    let listeners: Vec<String> = config.listeners.iter().map(|listener| listener.name.clone()).collect();
    let groups: Vec<String> =
        config.policies.policies().filter_map(|policy| policy.group.as_deref().map(str::to_owned)).collect();
    metrics.fill(LabelSets { listeners: &listeners, groups: &groups, handshake_failures: &FailureKind::WORDS });
    metrics.spool_min_free_bytes.set(i64::try_from(config.spool.min_free_space).unwrap_or(i64::MAX));
    let now = clock::timestamp();
    metrics.config_last_reload_success.set(now.micros() / 1_000_000);
    calendar::set_gauges(metrics, &config.policies, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn files_of_policies_and_routes_that_cannot_be_used_are_told_with_key_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let main = "hostname = \"mx.example.org\"\npostmaster = \"p@example.org\"\nspool.path = \"s\"\n\
                    audit = { path = \"a\", key = \"k\" }\n\
                    listener = [{ name = \"in\", bind = [\"[::1]:25\"], role = \"mx\", tls = \"off\" }]\n";
        let pair = "{ chain = \"no.pem\", key = \"no.key\" }";
        for (text, expected) in [
            (
                "[default.outbound]\ntls = \"verify\"\nca = \"no.pem\"\n".to_owned(),
                "`ca` of gatepost.toml:8: cannot read",
            ),
            (
                format!("[[route]]\nname = \"x\"\nhosts = [\"x.example\"]\nclient_certificate = {pair}\n"),
                "`client_certificate` of gatepost.toml:9: cannot read",
            ),
        ] {
            let file = folder.path().join("gatepost.toml");
            std::fs::write(&file, format!("{main}{text}")).unwrap();
            let (config, _) = config::load(&file).unwrap();
            let error = Prepared::new(config).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
