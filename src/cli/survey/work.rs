//! The work of a survey: several domains at once, each host looked at once, until all are done or somebody says stop.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::cli::output::Failure;
use crate::clock;
use crate::model::domain::Domain;
use crate::model::human;
use crate::probe::Prober;
use crate::probe::host::{HostReport, Inquiry, server_name};
use crate::probe::observe::{Look, Observation, Subject};
use crate::probe::publication::{FoundHost, StsFound, Target};

use super::list::Output;
use super::record::Surveyed;

/// Addresses of one host that are connected to.
const ADDRESSES_MAX: usize = 2;
/// Hosts whose observations are kept for other domains; of more, all are forgotten.
const HOSTS_MAX: usize = 20_000;

/// How the survey is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) versions: bool,
    pub(super) parallel: usize,
    /// For one domain.
    pub(super) timeout: Duration,
}

/// What was found, and whether that is all.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) found: BTreeMap<Domain, Surveyed>,
    /// Somebody said stop.
    pub(super) is_interrupted: bool,
}

/// What all domains share.
#[derive(Debug)]
struct Shared {
    prober: Prober,
    terms: Terms,
    hosts: Mutex<HashMap<Key, Seen>>,
}

/// A host as it is connected to: many domains have the same.
type Key = (Option<Domain>, Option<Domain>, Vec<SocketAddr>);
type Seen = Arc<OnceCell<Arc<Observation>>>;

/// Asks about each domain. Whatever is found is written at once; `stop` ends it early.
pub(super) async fn survey(
    prober: Prober,
    terms: Terms,
    domains: Vec<Domain>,
    output: Option<&mut Output>,
    stop: impl Future<Output = ()>,
) -> Result<Work, Failure> {
    let bar = bar(domains.len());
    let shared = Arc::new(Shared { prober, terms, hosts: Mutex::default() });
    let mut waiting: VecDeque<Domain> = domains.into();
    let (mut under_way, mut work, mut output) = (JoinSet::new(), Work::default(), output);
    let mut stop = std::pin::pin!(stop);
    loop {
        while under_way.len() < terms.parallel
            && let Some(domain) = waiting.pop_front()
        {
            let shared = shared.clone();
            under_way.spawn(async move { shared.domain(domain).await });
        }
        let ended = tokio::select! {
            biased;
            () = &mut stop => {
                work.is_interrupted = true;
                break;
            }
            ended = under_way.join_next() => ended,
        };
        match ended {
            None => break,
            Some(Ok(surveyed)) => {
                if let Some(output) = &mut output {
                    output.write(&surveyed)?;
                }
                bar.set_message(surveyed.domain.to_string());
                bar.inc(1);
                work.found.insert(surveyed.domain.clone(), surveyed);
            }
            // One that went wrong in our own code is left for the next run.
            Some(Err(_)) => bar.inc(1),
        }
    }
    bar.finish_and_clear();
    Ok(work)
}

/// Shows itself only on a terminal, on stderr.
fn bar(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos} of {len}{left}  {wide_msg}") {
        bar.set_style(style.with_key("left", left));
    }
    bar
}

/// Nothing as long as nothing is known.
fn left(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if state.pos() > 0 {
        // The terminal's own fault is nobody's.
        _ = write!(out, ", {} left", human::span(state.eta()));
    }
}

impl Shared {
    async fn domain(&self, domain: Domain) -> Surveyed {
        let at = clock::timestamp();
        let asked = tokio::time::timeout(self.terms.timeout, self.ask(domain.clone())).await;
        asked.unwrap_or_else(|_| Surveyed::unfinished(domain, at))
    }

    async fn ask(&self, domain: Domain) -> Surveyed {
        let at = clock::timestamp();
        let target = Target::Domain(domain.clone());
        let publication = self.prober.publication(&target, Some(&domain)).await;
        let mut hosts = Vec::new();
        for host in publication.hosts.iter().flat_map(|found| &found.hosts) {
            hosts.push(self.host(host.clone(), &domain, &publication.mta_sts).await);
        }
        Surveyed::new(domain, at, &publication, &hosts)
    }

    async fn host(&self, found: FoundHost, domain: &Domain, mta_sts: &StsFound) -> HostReport {
        let dane = self.prober.dane(&found).await;
        let look = Look { versions: self.terms.versions, addresses_max: ADDRESSES_MAX };
        let subject = Subject { name: found.name.as_ref(), server_name: server_name(&found, &dane) };
        let sockets = found.sockets();
        let cell = self.seen((subject.name.cloned(), subject.server_name.cloned(), sockets.clone()));
        let observe = || async { Arc::new(self.prober.observe(subject, &sockets, look).await) };
        let seen = cell.get_or_init(observe).await.clone();
        let inquiry =
            Inquiry { domain: Some(domain), mta_sts, kept: None, learned: None, look, decision: None, walk: None };
        self.prober.judge_host(found, dane, seen, &inquiry).await
    }

    fn seen(&self, mut key: Key) -> Seen {
        key.2.sort();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&key) {
            hosts.clear();
        }
        hosts.entry(key).or_default().clone()
    }
}
