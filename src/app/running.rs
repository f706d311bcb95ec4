//! The daemon at work: its tasks, its signals, and its orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::admin::control;
use crate::admin::desk::Desk;
use crate::admin::metrics_port::{self, Page};
use crate::admin::protocol::Response;
use crate::admin::web::{self, DoorNow, Site};
use crate::alert::Alerts;
use crate::audit::event::{Event, Record, Stamp};
use crate::audit::feed::Feed;
use crate::clock;
use crate::config::Config;
use crate::dns::Resolver;
use crate::facts::back_ends::BackEnds;
use crate::facts::tlsrpt::Book;
use crate::inbound::{Clients, Inbound, Refusals, Serving};
use crate::metrics::Metrics;
use crate::model::time::Timestamp;
use crate::outbound::dispatch::{self, Load};
use crate::outbound::holds::HoldTable;
use crate::outbound::reporting::{self, Reports, Sessions};
use crate::outbound::steering::Command;
use crate::outbound::{self, KnownHosts, Looks, Outbound, Pool, operator};
use crate::random;
use crate::tls::client::ClientTls;
use crate::tls::https::https_client;

use super::build::{self, Environment, Prepared, fill_metrics};
use super::certificates::files::PairFiles;
use super::certificates::{self, Certificates, Watch};
use super::evidence::{self, Evidence};
use super::maintenance::{self, Upkeep};
use super::sockets::{ControlSocket, Sockets};
use super::status::StatusSource;
use super::storage::{Opening, Storage};
use super::supervisor::Supervisor;
use super::{StartError, calendar, privileges, reload, storage};

/// What a shell gives for a process that SIGINT ended.
const CUT_OFF_EXIT_CODE: i32 = 130;
/// Questions of operators that wait for the dispatcher.
const COMMANDS_MAX: usize = 64;
/// Beyond the drain: how long the work on closed segments may take to end, and after it closing the spool, before the
/// process ends anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A running daemon.
#[derive(Debug)]
pub struct Running {
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) inbound: Arc<Inbound>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) certificates: Arc<ArcSwap<Certificates>>,
    /// Of the dashboard.
    pub(super) door: DoorNow,
    /// Files of certificates that have changed.
    renewals: mpsc::Receiver<Vec<PairFiles>>,
    reloads: mpsc::Receiver<oneshot::Sender<Response>>,
    drain: watch::Sender<bool>,
    draining: Arc<AtomicBool>,
    sessions: JoinSet<()>,
    services: JoinSet<()>,
    /// The way to the audit log's thread.
    pub(super) feed: Feed,
    audit_thread: std::thread::JoinHandle<()>,
    pub(super) evidence: Evidence,
    addresses: Addresses,
    /// Taken when they are listened to.
    signals: Option<Signals>,
    control: ControlSocket,
}

/// What the system may ask of the process.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let of = |kind| signal(kind).map_err(StartError::System);
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
        })
    }
}

/// Where the daemon listens.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub smtp: Vec<(Arc<str>, SocketAddr)>,
    pub metrics: Option<SocketAddr>,
    /// The dashboard.
    pub admin: Option<SocketAddr>,
    pub control: PathBuf,
}

impl Running {
    /// Starts everything. Nothing is accepted unless all of it succeeds.
    pub async fn start(
        prepared: Prepared,
        sockets: Sockets,
        environment: Environment,
        accept_damage: bool,
    ) -> Result<Self, StartError> {
        // First of all: a signal during the start is heard after it, and a reload that is asked for too early does not
        // end the process.
        let signals = Some(Signals::new()?);
        let metrics = Arc::new(Metrics::new()?);
        let Prepared { config, built } = prepared;
        fill_metrics(&metrics, &config);
        metrics.certificates(&built.certificates.ends());
        let stamp = built.inbound.stamp.clone();
        let shipper = evidence::shipper(&config, &environment.roots)?;
        let opening =
            Opening { stamp: stamp.clone(), metrics: metrics.clone(), shipper: shipper.clone(), accept_damage };
        let (storage, config) = open_storage(config, opening).await?;
        let (outbound, sessions) = deliveries((built.outbound, &config), environment, &storage, &metrics)?;
        let inbound = Arc::new(reception(built.inbound, &storage, &metrics, outbound.back_ends.clone()));
        record_start(&outbound, &stamp, &storage.gaps).await;
        let (drain, draining_signal) = watch::channel(false);
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (reload_sender, reloads) = mpsc::channel(1);
        let (renewal_sender, renewals) = mpsc::channel(1);
        let certificates = Arc::new(ArcSwap::from_pointee(built.certificates));
        let watch = Watch { certificates: certificates.clone(), renewals: renewal_sender };
        let mut running = Self {
            config: Arc::new(ArcSwap::from_pointee(config)),
            inbound,
            outbound,
            metrics,
            commands,
            certificates,
            door: Arc::new(ArcSwap::from_pointee(built.door)),
            renewals,
            reloads,
            drain,
            draining: Arc::new(AtomicBool::new(false)),
            sessions: JoinSet::new(),
            services: JoinSet::new(),
            feed: storage.feed,
            audit_thread: storage.audit_thread,
            evidence: Evidence::start(shipper, storage.keeper),
            addresses: Addresses::default(),
            signals,
            control: sockets.control,
        };
        let counts = running.start_dispatcher(storage.pending, command_queue, draining_signal.clone());
        running.serve(sockets.smtp, draining_signal)?;
        running.start_services(counts, (sockets.metrics, sockets.admin), reload_sender)?;
        running.start_watches(watch, sessions);
        Ok(running)
    }

    /// What goes on beside mail.
    fn start_watches(&mut self, watch: Watch, sessions: Sessions) {
        self.services.spawn(certificates::watch(watch));
        self.services.spawn(self.outbound.alerts.clone().run());
        self.services.spawn(maintenance::refresh_policies(self.outbound.facts.sts.clone()));
        self.services.spawn(reporting::count(self.outbound.clone(), sessions));
        self.services.spawn(reporting::sending::run(self.outbound.clone()));
        self.services.spawn(operator::watch(self.outbound.clone(), self.commands.clone()));
    }

    fn start_dispatcher(
        &mut self,
        pending: Vec<crate::model::id::MessageId>,
        commands: mpsc::Receiver<Command>,
        drain: watch::Receiver<bool>,
    ) -> watch::Receiver<Load> {
        let (announce, new_messages) = mpsc::unbounded_channel();
        self.outbound.spool.subscribe(announce);
        let (report, counts) = watch::channel(Load::default());
        let start = dispatch::Start { outbound: self.outbound.clone(), pending, new_messages, commands, drain, report };
        self.sessions.spawn(dispatch::run(start));
        counts
    }

    fn serve(
        &mut self,
        sockets: Vec<(Arc<str>, std::net::TcpListener)>,
        drain: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let connections_max = privileges::connections_possible(&self.config.load());
        self.metrics.smtpd_connections_max.set(i64::try_from(connections_max).unwrap_or(i64::MAX));
        let permits = Arc::new(Semaphore::new(usize::try_from(connections_max).unwrap_or(Semaphore::MAX_PERMITS)));
        for (listener, socket) in sockets {
            let socket = TcpListener::from_std(socket).map_err(StartError::System)?;
            let address = socket.local_addr().map_err(StartError::System)?;
            tracing::info!(%listener, %address, "listening");
            self.addresses.smtp.push((listener.clone(), address));
            let (inbound, permits, drain) = (self.inbound.clone(), permits.clone(), drain.clone());
            self.sessions.spawn(crate::inbound::serve(Serving { inbound, listener, socket, permits, drain }));
        }
        Ok(())
    }

    fn start_services(
        &mut self,
        counts: watch::Receiver<Load>,
        (metrics, admin): (Option<std::net::TcpListener>, Option<std::net::TcpListener>),
        reload: mpsc::Sender<oneshot::Sender<Response>>,
    ) -> Result<(), StartError> {
        let status = Arc::new(StatusSource {
            config: self.config.clone(),
            certificates: self.certificates.clone(),
            spool: self.outbound.spool.clone(),
            outbound: self.outbound.clone(),
            audit: self.outbound.audit.clone(),
            evidence: self.evidence.watch(),
            learned: self.outbound.facts.learned.clone(),
            counts: counts.clone(),
            draining: self.draining.clone(),
            dnssec: build::dnssec_mode(&self.config.load().dns).as_str(),
            started_at: clock::timestamp(),
        });
        if let Some(socket) = metrics {
            let socket = TcpListener::from_std(socket).map_err(StartError::System)?;
            self.addresses.metrics = socket.local_addr().ok();
            tracing::info!(address = self.addresses.metrics.map(tracing::field::display), "listening for metrics");
            let (metrics, ready) = (self.metrics.clone(), status.clone());
            let is_ready = ready.clone();
            let rendered = move || {
                metrics.ready.set(i64::from(is_ready.ready().is_ok()));
                metrics.render().map_err(|error| error.to_string())
            };
            let page = Page { metrics: Arc::new(rendered), ready: Arc::new(move || ready.ready()) };
            self.services.spawn(metrics_port::serve(socket, page));
        }
        let desk = self.desk(status, reload);
        if let Some(socket) = admin {
            let socket = TcpListener::from_std(socket).map_err(StartError::System)?;
            self.addresses.admin = socket.local_addr().ok();
            tracing::info!(address = self.addresses.admin.map(tracing::field::display), "the dashboard is there");
            let (config, log) = (self.config.clone(), self.config.load().audit.path.clone());
            let site = Site::new(desk.clone(), Arc::new(move || config.load_full()), self.door.clone(), log);
            self.services.spawn(web::serve(socket, site));
        }
        if let Some(listener) = self.control.listener.take() {
            self.addresses.control = self.config.load().admin.socket.clone();
            let listener = UnixListener::from_std(listener).map_err(StartError::System)?;
            self.services.spawn(control::serve(listener, desk));
        }
        let (inbound, outbound, evidence) = (self.inbound.clone(), self.outbound.clone(), self.evidence.watch());
        let upkeep = Upkeep { inbound, outbound, counts, evidence };
        self.services.spawn(maintenance::run(upkeep));
        self.services.spawn(look_round(self.outbound.resolver.clone()));
        Ok(())
    }

    /// Where an operator's questions are answered.
    fn desk(&self, status: Arc<StatusSource>, reload: mpsc::Sender<oneshot::Sender<Response>>) -> Desk {
        let stamp = self.outbound.clone();
        Desk {
            spool: self.outbound.spool.clone(),
            commands: self.commands.clone(),
            reload,
            status: Arc::new(move || status.status()),
            stamp: Arc::new(move || stamp.snapshot.load().stamp.clone()),
            feed: self.feed.clone(),
            outbound: self.outbound.clone(),
        }
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn spool(&self) -> &crate::spool::Spool {
        &self.outbound.spool
    }

    /// Runs until SIGTERM or SIGINT; SIGHUP and the control socket reload.
    ///
    /// Gives whether it ended as it was told to.
    pub async fn run_until_stopped(mut self) -> bool {
        let Some(Signals { mut terminate, mut interrupt, mut hangup }) = self.signals.take() else { return false };
        let mut as_told = true;
        let supervisor = Supervisor::of_environment();
        let mut pulse = supervisor.pulse();
        supervisor.ready(&self);
        loop {
            tokio::select! {
                _ = pulse.tick() => supervisor.alive(&self),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                // None of them ends by itself. Half a daemon is worse than none: whoever supervises it starts it again.
                ended = next_end(&mut self.sessions, &mut self.services) => {
                    tracing::error!(ended, "a part of the daemon has ended; stopping");
                    as_told = false;
                    break;
                }
                _ = hangup.recv() => { self.reload(&supervisor).await; }
                // Here too, so that neither undoes what the other does.
                Some(seen) = self.renewals.recv() => certificates::renew(&self, seen).await,
                Some(answer) = self.reloads.recv() => {
                    let response = self.reload(&supervisor).await;
                    _ = answer.send(response);
                }
            }
        }
        supervisor.stopping();
        tokio::select! {
            () = self.stop() => as_told,
            _ = terminate.recv() => leave_at_once(),
            _ = interrupt.recv() => leave_at_once(),
        }
    }

    async fn reload(&self, supervisor: &Supervisor) -> Response {
        supervisor.reloading();
        let response = reload::reload(self).await;
        supervisor.reloaded(self, &response);
        response
    }

    /// Stops accepting, lets transactions and deliveries end within the deadline, and leaves the rest queued.
    pub async fn stop(mut self) {
        let deadline = self.config.load().limits.drain_timeout;
        tracing::info!(?deadline, "stopping: no new connections, waiting for sessions and deliveries to end");
        self.draining.store(true, Ordering::Relaxed);
        _ = self.drain.send(true);
        let ended = tokio::time::timeout(deadline, async { while self.sessions.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("the deadline has passed; what is not delivered stays queued");
            self.sessions.shutdown().await;
        }
        self.services.shutdown().await;
        write_down_counts(&self.outbound);
        let Self { inbound, outbound, feed, audit_thread, evidence, control, .. } = self;
        let last_shipment = evidence.stop_keeper(CLOSE_TIMEOUT).await;
        inbound.refusals.summarize_all(&inbound.spool, &inbound.snapshot.load().stamp);
        let (spool, learned) = (outbound.spool.clone(), outbound.facts.learned.clone());
        drop((inbound, outbound));
        let close = tokio::task::spawn_blocking(move || {
            // What the last deliveries have shown reaches the disk with the end of the memory.
            learned.write();
            drop(learned);
            spool.close();
            drop(spool);
            feed.stop();
            _ = audit_thread.join();
        });
        if tokio::time::timeout(CLOSE_TIMEOUT, close).await.is_err() {
            tracing::warn!("the audit log could not be completed; the next start does that");
        }
        last_shipment.finish().await;
        drop(control);
        tracing::info!("stopped");
    }
}

/// What deliveries share under this configuration, and those of their sessions that are to be counted.
fn deliveries(
    (snapshot, config): (outbound::Snapshot, &Config),
    environment: Environment,
    storage: &Storage,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Outbound>, Sessions), StartError> {
    let (reports, sessions) = Reports::new(Book::new(storage.memory.clone()), metrics.clone());
    reports.settle(&storage.spool, clock::timestamp());
    let facts = build::gatherer(config, &environment, storage.memory.clone(), storage.learned.clone())?;
    facts.sts.count_in(metrics.clone());
    let outbound = Outbound {
        snapshot: ArcSwap::from_pointee(snapshot),
        spool: storage.spool.clone(),
        holds: HoldTable::new(&storage.spool),
        audit: storage.audit.clone(),
        metrics: metrics.clone(),
        alerts: Alerts::new(https_client(&environment.roots)?, build::alert_ways(config)),
        facts,
        resolver: environment.resolver,
        tls: ClientTls::new(None)?,
        roots: environment.roots,
        pool: Pool::default(),
        known_hosts: KnownHosts::default(),
        looks: Looks::default(),
        back_ends: Arc::default(),
        timeouts: environment.timeouts,
        reports,
    };
    Ok((Arc::new(outbound), sessions))
}

/// What sessions share.
fn reception(
    snapshot: crate::inbound::Snapshot,
    storage: &Storage,
    metrics: &Arc<Metrics>,
    back_ends: Arc<BackEnds>,
) -> Inbound {
    Inbound {
        snapshot: ArcSwap::from_pointee(snapshot),
        spool: storage.spool.clone(),
        audit: storage.audit.clone(),
        metrics: metrics.clone(),
        clients: Clients::default(),
        refusals: Refusals::default(),
        back_ends,
    }
}

/// What is counted for TLS reports and not in the book yet.
fn write_down_counts(outbound: &Outbound) {
    if let Some(reporter) = &outbound.snapshot.load().reporter {
        outbound.reports.write_down(reporter.domains_max);
    }
}

/// What the end of a task of the daemon was, in words.
async fn next_end(sessions: &mut JoinSet<()>, services: &mut JoinSet<()>) -> String {
    let ended = tokio::select! {
        Some(ended) = sessions.join_next() => ended,
        Some(ended) = services.join_next() => ended,
        else => return "nothing runs".to_owned(),
    };
    ended.map_or_else(|error| error.to_string(), |()| "it returned".to_owned())
}

/// Tells the log early if DNSSEC is of no use. A service does not end.
async fn look_round(resolver: Arc<dyn Resolver>) {
    resolver.look_round().await;
    std::future::pending().await
}

/// The second signal: no drain, no closing, as after a kill. Nothing that was acknowledged is lost by that.
fn leave_at_once() -> ! {
    tracing::warn!("told again to stop: leaving at once");
    std::process::exit(CUT_OFF_EXIT_CODE)
}

/// Opens the storage off the runtime's threads; hands the configuration back.
async fn open_storage(config: Config, opening: Opening) -> Result<(Storage, Config), StartError> {
    let work = move || storage::open(&config, opening).map(|storage| (storage, config));
    let opened = tokio::task::spawn_blocking(work).await;
    opened.map_err(|error| StartError::System(std::io::Error::other(error)))?
}

/// The start, and what the log cannot vouch for, are on record before anything else.
async fn record_start(outbound: &Outbound, stamp: &Stamp, gaps: &[String]) {
    // The first look at the free space comes before the first mail.
    outbound.spool.maintain().await;
    let head = |event, time: Timestamp| Record::new(stamp, time, random::record_id(time), event);
    let mut records = Vec::new();
    for gap in gaps {
        let mut record = head(Event::AuditGap, clock::timestamp());
        record.detail = Some(gap.clone());
        records.push(record.entry());
    }
    let mut loaded = head(Event::ConfigLoaded, clock::timestamp());
    let started = format!("gatepost {} started", env!("CARGO_PKG_VERSION"));
    let policies = &outbound.snapshot.load().policies;
    loaded.detail = Some(calendar::told_with_suspension(&started, policies, clock::timestamp()));
    records.push(loaded.entry());
    if let Err(fault) = outbound.spool.record(None, Vec::new(), records).await {
        tracing::error!(%fault, "the start could not be recorded");
    }
}
