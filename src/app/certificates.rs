//! Our certificates at work: loaded with the configuration, watched, and loaded anew when their files change.
//!
//! A look at the files comes before they are read, so that no change is missed in between. What is wrong with new files
//! leaves the old certificate in use and is told once in the log, by a metric and in `status`.

mod expiry;
pub(super) mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use crate::admin::protocol::CertificateStatus;
use crate::clock;
use crate::config::Config;
use crate::inbound;
use crate::model::time::Timestamp;
use crate::model::tls::CertificateStack;
use crate::tls::certificates::{CertificateError, CertificatePaths, CertificateWarning, ServerCertificate};
use crate::tls::store::CertificateStore;

use super::StartError;
use super::build::build_inbound;
use super::running::Running;

use expiry::ExpiryLog;
use files::{PairFiles, Settling};

/// How often the files are looked at; a change takes effect after one to two of it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How often what failed is tried again although no file has changed: the fault may have passed.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// The certificates in use, and the files that they came from.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// `None`: none is configured.
    store: Option<Arc<CertificateStore>>,
    /// In the order of the store.
    pairs: Vec<Pair>,
    /// Names and ends of validity of those that routes show, which are read with the configuration only.
    of_routes: Vec<(String, Timestamp)>,
}

/// What is known about one certificate beside itself.
#[derive(Clone, Debug)]
struct Pair {
    /// As they were just before they were last read.
    files: PairFiles,
    /// Why what they hold is not in use.
    problems: Vec<String>,
    /// What is odd about the certificate in use, but for its end, which comes by itself.
    warnings: Vec<CertificateWarning>,
}

impl Certificates {
    /// Reads all files that the configuration names.
    pub(super) fn load(config: &Config) -> Result<Self, StartError> {
        let paths: Vec<CertificatePaths> = config
            .certificates
            .iter()
            .map(|certificate| CertificatePaths {
                chain: certificate.chain.clone(),
                key: certificate.key.clone(),
                ocsp: certificate.ocsp.clone(),
                stack: certificate.stack,
            })
            .collect();
        if paths.is_empty() {
            return Ok(Self::default());
        }
        Self::read(&paths, clock::timestamp()).map_err(StartError::Certificates)
    }

    fn read(paths: &[CertificatePaths], now: Timestamp) -> Result<Self, Vec<CertificateError>> {
        let files: Vec<_> = paths.iter().map(PairFiles::look).collect();
        let store = CertificateStore::load(paths)?;
        let pair = |(files, certificate): (PairFiles, &ServerCertificate)| {
            let warnings = lasting_warnings(certificate, now);
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            Pair { files, problems: Vec::new(), warnings }
        };
        let pairs = files.into_iter().zip(store.certificates()).map(pair).collect();
        Ok(Self { store: Some(Arc::new(store)), pairs, of_routes: Vec::new() })
    }

    /// The same beside the certificates of routes.
    pub(super) fn beside(self, of_routes: Vec<(String, Timestamp)>) -> Self {
        Self { of_routes, ..self }
    }

    pub(super) fn store(&self) -> Option<&Arc<CertificateStore>> {
        self.store.as_ref()
    }

    fn certificates(&self) -> &[ServerCertificate] {
        self.store.as_ref().map_or(&[], |store| store.certificates())
    }

    fn files(&self) -> Vec<PairFiles> {
        self.pairs.iter().map(|pair| pair.files.clone()).collect()
    }

    /// Blocks on the disk.
    fn look(&self) -> Vec<PairFiles> {
        self.pairs.iter().map(|pair| PairFiles::look(&pair.files.paths)).collect()
    }

    fn is_outdated(&self, now: Timestamp) -> bool {
        self.certificates().iter().any(|certificate| certificate.is_outdated(now))
    }

    fn has_problems(&self) -> bool {
        self.pairs.iter().any(|pair| !pair.problems.is_empty())
    }

    /// Names and ends of validity in seconds, for the metric.
    pub(super) fn ends(&self) -> Vec<(String, i64)> {
        let own = self.store.iter().flat_map(|store| store.names_and_expiry());
        let mut earliest = BTreeMap::new();
        for (name, end) in own.chain(self.of_routes.iter().cloned()) {
            let known = earliest.entry(name).or_insert(end);
            *known = end.min(*known);
        }
        earliest.into_iter().map(|(name, end)| (name, end.micros() / 1_000_000)).collect()
    }

    pub(super) fn status(&self, now: Timestamp) -> Vec<CertificateStatus> {
        let status = |(certificate, pair): (&ServerCertificate, &Pair)| CertificateStatus {
            name: certificate.first_name().to_owned(),
            names: certificate.names().to_vec(),
            chain: certificate.paths().chain.display().to_string(),
            key: certificate.key_type().to_owned(),
            key_sha256: certificate.key_sha256().to_owned(),
            stack: match certificate.paths().stack {
                CertificateStack::Any => "any".to_owned(),
                CertificateStack::Legacy => "legacy".to_owned(),
            },
            not_after: certificate.not_after(),
            ocsp: certificate.ocsp_state(now).map(|state| state.to_string()),
            problems: pair.problems.clone(),
        };
        self.certificates().iter().zip(&self.pairs).map(status).collect()
    }

    /// Reads what has changed in these files, and leaves out OCSP responses that are no longer valid. Where the new is
    /// wrong the old stays. Blocks on the disk.
    fn renewed(&self, seen: &[PairFiles], now: Timestamp) -> Result<Self, CertificateError> {
        let of_routes = self.of_routes.clone();
        if self.pairs.is_empty() {
            return Ok(Self::default().beside(of_routes));
        }
        let mut certificates = Vec::new();
        let mut pairs = Vec::new();
        for (at, (certificate, pair)) in self.certificates().iter().zip(&self.pairs).enumerate() {
            let is_due = |seen: &PairFiles| seen.is_news_after(&pair.files) || !pair.problems.is_empty();
            let seen = seen.get(at).filter(|seen| seen.paths == pair.files.paths && is_due(seen));
            let (certificate, problems) = match seen {
                Some(seen) => pair.read_again(certificate, seen, now),
                None => (certificate.as_of(now), pair.problems.clone()),
            };
            let files = seen.unwrap_or(&pair.files).clone();
            pairs.push(Pair { files, problems, warnings: lasting_warnings(&certificate, now) });
            certificates.push(certificate);
        }
        Ok(Self { store: Some(Arc::new(CertificateStore::new(certificates)?)), pairs, of_routes })
    }

    /// The same, with why these files could not be put in force.
    fn with_problem(&self, seen: Vec<PairFiles>, problem: &str) -> Self {
        let pairs = self.pairs.iter().zip(seen);
        let pair = |(pair, files): (&Pair, _)| Pair { files, problems: vec![problem.to_owned()], ..pair.clone() };
        let pairs = pairs.map(pair).collect();
        Self { store: self.store.clone(), pairs, of_routes: self.of_routes.clone() }
    }

    /// Tells the log what has become different since `before`.
    fn tell_changes(&self, before: &Self) {
        let old = before.certificates().iter().zip(&before.pairs);
        for ((certificate, pair), (old, before)) in self.certificates().iter().zip(&self.pairs).zip(old) {
            let name = certificate.first_name();
            for problem in pair.problems.iter().filter(|problem| !before.problems.contains(problem)) {
                tracing::error!(certificate = name, "what its files hold now is not in use: {problem}");
            }
            if pair.problems.is_empty() && !before.problems.is_empty() {
                tracing::info!(certificate = name, "the files of the certificate are in order again");
            }
            if certificate.chain() != old.chain() {
                let until = certificate.not_after();
                tracing::info!(certificate = name, %until, key = certificate.key_type(), "certificate loaded anew");
            }
            for warning in pair.warnings.iter().filter(|warning| !before.warnings.contains(warning)) {
                tracing::warn!("{warning}");
            }
        }
    }
}

impl Pair {
    /// The certificate that these files hold, or the one in use with what is wrong with them.
    fn read_again(
        &self,
        in_use: &ServerCertificate,
        seen: &PairFiles,
        now: Timestamp,
    ) -> (ServerCertificate, Vec<String>) {
        let must_read = seen.pair_is_news_after(&self.files) || !self.problems.is_empty();
        let read = if must_read { ServerCertificate::read_pair(in_use.paths()) } else { Ok(in_use.clone()) };
        let pair = match read {
            Ok(pair) => pair,
            Err(error) => return (in_use.as_of(now), vec![error.to_string()]),
        };
        match pair.read_ocsp(now) {
            Ok(complete) => (complete, Vec::new()),
            // A new certificate without a response is better than an old one that runs out.
            Err(error) => (pair.with_ocsp_of(in_use, now), vec![error.to_string()]),
        }
    }
}

fn lasting_warnings(certificate: &ServerCertificate, now: Timestamp) -> Vec<CertificateWarning> {
    certificate.warnings(now).into_iter().filter(|warning| !warning.is_expiry()).collect()
}

/// What the watcher needs.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) certificates: Arc<ArcSwap<Certificates>>,
    /// To whoever puts them in force.
    pub(super) renewals: mpsc::Sender<Vec<PairFiles>>,
}

/// Looks at the files again and again, and says in the log when a certificate nears its end. Never returns.
pub(super) async fn watch(watch: Watch) {
    let mut interval = tokio::time::interval(POLL_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settling = Settling::default();
    let mut expiry = ExpiryLog::default();
    let mut closed = BTreeSet::new();
    let mut tried = clock::now();
    loop {
        interval.tick().await;
        let in_force = watch.certificates.load_full();
        let now = clock::timestamp();
        tell_expiry(&mut expiry, &in_force, now);
        let looked_at = in_force.clone();
        let Ok(seen) = spawn_blocking(move || looked_at.look()).await else { continue };
        let files = in_force.files();
        tell_closed(&mut closed, &files, &seen);
        let is_due = || clock::now().saturating_since(tried) >= RETRY_INTERVAL;
        let settled = settling.look(&files, seen);
        let again = || (is_due() && (in_force.has_problems() || in_force.is_outdated(now))).then_some(files);
        if let Some(files) = settled.or_else(again) {
            tried = clock::now();
            // Nobody listens once the daemon stops.
            _ = watch.renewals.send(files).await;
        }
    }
}

fn tell_expiry(log: &mut ExpiryLog, in_force: &Certificates, now: Timestamp) {
    let ends = in_force.certificates().iter().map(|one| (one.paths().chain.as_path(), one.not_after()));
    for warning in log.due(ends, now) {
        match warning {
            CertificateWarning::Expired { .. } => tracing::error!("{warning}"),
            _ => tracing::warn!("{warning}"),
        }
    }
}

/// Says once of each file that a renewal of it could not be read.
fn tell_closed(told: &mut BTreeSet<PathBuf>, in_force: &[PairFiles], seen: &[PairFiles]) {
    let closed = in_force.iter().zip(seen).flat_map(|(before, now)| now.closed_since(before));
    let closed: BTreeSet<PathBuf> = closed.map(Path::to_owned).collect();
    for file in closed.difference(told) {
        tracing::warn!(
            file = %file.display(),
            "a file of a certificate cannot be read with the rights that the daemon has kept: once it is renewed, only \
             a restart takes it up; let the daemon's account or group read it and its folder"
        );
    }
    *told = closed;
}

/// Loads what has changed and hands it to all listeners. Sessions and handshakes that have begun keep what they have.
pub(super) async fn renew(running: &Running, seen: Vec<PairFiles>) {
    let (config, before) = (running.config.load_full(), running.certificates.load_full());
    let (old, files, in_force) = (before.clone(), seen.clone(), running.inbound.snapshot.load_full());
    let work = spawn_blocking(move || {
        let renewed = old.renewed(&files, clock::timestamp()).map_err(|error| StartError::Certificates(vec![error]))?;
        let inbound = build_inbound(&config, renewed.store(), Some(&in_force))?;
        Ok::<(Certificates, inbound::Snapshot), StartError>((renewed, inbound))
    });
    let after = match work.await.unwrap_or_else(|error| Err(StartError::System(io::Error::other(error)))) {
        Ok((renewed, inbound)) => {
            running.inbound.snapshot.store(Arc::new(inbound));
            renewed
        }
        Err(error) => before.with_problem(seen, &error.to_string()),
    };
    after.tell_changes(&before);
    put_in_force(running, after);
}

/// Makes these the certificates that are watched and told of.
pub(super) fn put_in_force(running: &Running, certificates: Certificates) {
    running.metrics.certificates(&certificates.ends());
    running.metrics.certificate_last_reload_successful.set(i64::from(!certificates.has_problems()));
    running.certificates.store(Arc::new(certificates));
}

#[cfg(test)]
mod tests;
