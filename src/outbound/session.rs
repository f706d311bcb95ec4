//! One outbound connection: dials, drives the SMTP client core, runs the handshake, streams bodies.

mod checked;
mod failure;
#[cfg(test)]
mod idle;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::clock;
use crate::metrics::Phase;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, Verified};
use crate::net::dial::dial;
use crate::policy::host_requirement::HostRequirement;
use crate::policy::names::Identity;
use crate::policy::session_check::{self, IdentityCheck};
use crate::smtp::client::{
    Action, ClientSession, Fault, FaultKind, RecipientOutcome, Settings, Stage, TlsPlan, Transaction, TransactionResult,
};
use crate::smtp::data::Encoder;
use crate::spool::{Body, BodyError, Recording};
use crate::tls::client::{CertificateUse, ClientHandshake, ClientTls, Peer};
use crate::tls::evaluate::{Evaluation, evaluate, evaluate_all};
use crate::tls::failure::FailureKind;
use crate::tls::roots::Roots;
use crate::tls::stream::Stream;

use super::Outbound;
use super::ladder::{self, TlsFailure, Way};
use super::signal;
use super::targets::Target;

use checked::Checked;
pub(super) use failure::{Known, OpenFailure, OwnFailure};

const READ_BYTES: usize = 4 << 10;
/// RFC 5321 section 4.5.3.2 has no time for the connection itself; Postfix's is 30 s too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a new connection is opened with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    pub(super) target: &'a Target,
    pub(super) source: Option<IpAddr>,
    pub(super) ehlo: &'a Domain,
    pub(super) tls: &'a ClientTls,
    pub(super) way: Way,
    pub(super) certificate: CertificateUse,
    pub(super) requirement: &'a HostRequirement,
}

impl Opening<'_> {
    fn plan(&self) -> TlsPlan {
        match self.way {
            Way::Plaintext => TlsPlan::Never,
            Way::Tls(_) if self.requirement.session.permits_plaintext() => TlsPlan::IfOffered,
            Way::Tls(_) => TlsPlan::Required,
        }
    }
}

/// A connection that is ready for a transaction.
#[derive(Debug)]
pub(super) struct Connection {
    session: ClientSession,
    stream: Stream,
    pub(super) target: Target,
    pub(super) way: Way,
    /// What the certificate was for when it was opened.
    pub(super) certificate: CertificateUse,
    /// `None` for plaintext.
    peer: Option<Peer>,
    checked: Option<Checked>,
    /// Messages sent over it.
    pub(super) messages: u32,
    /// What is read goes here; without room of its own while the connection is idle.
    buffer: Vec<u8>,
}

/// Why a body was not sent whole.
enum BodyFailure {
    /// Our own copy cannot be read.
    Unreadable(BodyError),
    /// The server does not take it.
    Write,
}

/// What a run of the session leads to.
enum Step {
    Ready,
    Finished(TransactionResult),
    SendBody,
    StartTls,
    Failed(Fault),
    Closed,
}

impl Connection {
    /// Dials and goes on until a transaction could begin.
    pub(super) async fn open(outbound: &Outbound, opening: Opening<'_>) -> Result<Box<Self>, OpenFailure> {
        let began = clock::now();
        let target = opening.target;
        let tcp = dial(target.address, opening.source, CONNECT_TIMEOUT).await.map_err(|error| OpenFailure {
            reason: error.reason(),
            stage: Stage::Connect,
            reply: None,
            detail: error.to_string(),
            tls: None,
            facts: None,
            known: Known::default(),
            signal: signal::of_dial(error.kind),
        })?;
        outbound.metrics.delivery_phase(Phase::Connect, clock::now().saturating_since(began));
        let settings =
            Settings { ehlo_name: opening.ehlo.to_string(), tls: opening.plan(), timeouts: outbound.timeouts };
        let session = ClientSession::new(settings, clock::now());
        let stream = Stream::Plain(tcp);
        let Opening { way, certificate, .. } = opening;
        let mut connection = Self {
            session,
            stream,
            target: target.clone(),
            way,
            certificate,
            peer: None,
            checked: None,
            messages: 0,
            buffer: Vec::new(),
        };
        loop {
            match connection.step().await {
                Step::Ready => return Ok(Box::new(connection)),
                Step::StartTls => connection = connection.start_tls(outbound, &opening).await?,
                Step::Failed(fault) => return Err(connection.failed(outbound, fault)),
                Step::Finished(_) | Step::SendBody | Step::Closed => {
                    let fault = connection.out_of_step();
                    return Err(connection.failed(outbound, fault));
                }
            }
        }
    }

    /// The failure with all that is known of the session.
    fn failed(mut self, outbound: &Outbound, fault: Fault) -> OpenFailure {
        if let Some(peer) = &mut self.peer {
            let chain = evaluate(&peer.chain, &Identity::default(), &outbound.roots, clock::timestamp()).chain;
            peer.record_chain(chain);
        }
        let known = self.known();
        OpenFailure { facts: self.peer.map(|peer| peer.facts), known, ..fault.into() }
    }

    async fn start_tls(self, outbound: &Outbound, opening: &Opening<'_>) -> Result<Self, OpenFailure> {
        let began = clock::now();
        let known = self.known();
        let Self { mut session, stream, target, way, certificate, messages, buffer, .. } = self;
        let failed = |kind: FailureKind, detail: String| OpenFailure {
            reason: ladder::reason(&opening.requirement.session, kind),
            stage: Stage::Tls,
            reply: None,
            detail,
            tls: Some(TlsFailure::Handshake(kind)),
            facts: None,
            known: known.clone(),
            signal: signal::of_handshake(kind),
        };
        let (Way::Tls(by), Some(tcp)) = (way, stream.into_plain()) else {
            return Err(failed(FailureKind::Other, "TLS was not to begin here".to_owned()));
        };
        let handshake = ClientHandshake {
            stack: by.stack,
            server_name: target.server_name().cloned().filter(|_| by.sni),
            certificate,
            port: target.address.port(),
            min_grade: opening.requirement.session.cipher.value,
            min_version: opening.requirement.session.min_version.as_ref().map(|minimum| minimum.value),
            timeout: outbound.timeouts.tls,
        };
        let (stream, peer) =
            opening.tls.connect(tcp, handshake).await.map_err(|refused| failed(refused.kind, refused.to_string()))?;
        outbound.metrics.delivery_phase(Phase::Tls, clock::now().saturating_since(began));
        session.handle_tls(clock::now());
        let certificate = certificate.served_by(peer.facts.stack);
        let (stream, peer) = (Stream::Tls(stream), Some(peer));
        Ok(Self { session, stream, target, way, certificate, peer, checked: None, messages, buffer })
    }

    /// Holds what was negotiated against a requirement: when the connection is new, and again for each message.
    pub(super) fn check(
        &mut self,
        roots: &Roots,
        requirement: &HostRequirement,
        now: Timestamp,
    ) -> (Result<(), Reason>, Option<Evaluation>) {
        if let Some(checked) = self.checked.as_ref().filter(|checked| checked.holds(requirement, roots, now)) {
            let evaluation = checked.evaluation.clone();
            return (
                session_check::verify(requirement, self.tls(), identity_check(Some(&evaluation))),
                Some(evaluation),
            );
        }
        let evaluation = self.peer.as_ref().map(|peer| evaluate_all(&peer.chain, requirement, roots, now));
        if let (Some(peer), Some(evaluation)) = (&mut self.peer, &evaluation) {
            peer.record(evaluation);
            let (requirement, roots, evaluation) = (requirement.clone(), roots.clone(), evaluation.clone());
            self.checked = Some(Checked { requirement, roots, at: now, evaluation });
        }
        (session_check::verify(requirement, self.tls(), identity_check(evaluation.as_ref())), evaluation)
    }

    /// Whether the host promises to keep to REQUIRETLS; only what it said under TLS counts (RFC 8689 section 4.2.1).
    pub(super) fn offers_requiretls(&self) -> bool {
        self.session.capabilities().requiretls
    }

    /// What it said last, in plaintext or under TLS.
    pub(super) fn offers_starttls(&self) -> bool {
        self.session.capabilities().starttls
    }

    pub(super) fn known(&self) -> Known {
        let greeting = self.session.greeting().and_then(|reply| reply.lines.first());
        let helo = greeting.and_then(|line| line.split_ascii_whitespace().next()).map(str::to_owned);
        Known { local: self.stream.tcp().local_addr().ok().map(|local| local.ip()), helo }
    }

    /// Whether the host takes care of notices itself (RFC 3461).
    pub(super) fn knows_dsn(&self) -> bool {
        self.session.capabilities().dsn
    }

    pub(super) fn tls(&self) -> Option<&TlsFacts> {
        self.peer.as_ref().map(|peer| &peer.facts)
    }

    /// Sends one message. The connection comes back if it can take another. Not an octet of content goes out before
    /// `recorded`. Fails only on our own side; then the host has taken nothing.
    pub(super) async fn deliver(
        mut self: Box<Self>,
        transaction: Transaction,
        body: &Body,
        recorded: Recording<'_>,
    ) -> Result<(TransactionResult, Option<Box<Self>>), OwnFailure> {
        let lost = TransactionResult {
            recipients: transaction
                .recipients
                .iter()
                .map(|_| RecipientOutcome::Lost { stage: Stage::Body, fault: FaultKind::Closed })
                .collect(),
            body_sent: false,
        };
        self.messages += 1;
        self.session.begin(clock::now(), transaction);
        let (mut result, mut recorded) = (None, Some(recorded));
        loop {
            match self.step().await {
                Step::SendBody => {
                    if let Some(recorded) = recorded.take() {
                        recorded.end().await.map_err(OwnFailure::Unrecorded)?;
                    }
                    match self.send_body(body).await {
                        // After a write error the server's last word may still be there to be read.
                        Ok(()) | Err(BodyFailure::Write) => {}
                        Err(BodyFailure::Unreadable(error)) => return Err(OwnFailure::Unreadable(error)),
                    }
                }
                Step::Finished(finished) => result = Some(finished),
                Step::Ready => {
                    self.buffer = Vec::new();
                    return Ok((result.unwrap_or(lost), Some(self)));
                }
                Step::Failed(_) | Step::Closed | Step::StartTls => return Ok((result.unwrap_or(lost), None)),
            }
        }
    }

    /// Writes the content with stuffed dots; the final dot rides with its last piece. A body that cannot be read is
    /// never ended with a dot, so that half of it is not taken for the whole.
    async fn send_body(&mut self, body: &Body) -> Result<(), BodyFailure> {
        let block_timeout = self.session.deadline().saturating_since(clock::now());
        let mut pieces = body.pieces().await.map_err(BodyFailure::Unreadable)?;
        let mut encoder = Encoder::new();
        let mut out = Vec::with_capacity(SMALL_WRITE_BYTES);
        let mut next = pieces.next().await.map_err(BodyFailure::Unreadable)?;
        while let Some(piece) = next {
            encoder.encode(&piece, &mut out);
            next = pieces.next().await.map_err(BodyFailure::Unreadable)?;
            if next.is_some() && out.len() >= WRITE_BYTES {
                self.write(&out, block_timeout).await.map_err(|_| BodyFailure::Write)?;
                out.clear();
                self.session.handle_progress(clock::now());
            }
        }
        encoder.finish(&mut out);
        self.write(&out, block_timeout).await.map_err(|_| BodyFailure::Write)?;
        self.session.handle_body_sent(clock::now());
        Ok(())
    }

    /// Ends the session politely, without waiting long.
    pub(super) async fn quit(mut self: Box<Self>) {
        self.session.quit(clock::now());
        _ = timeout(CLOSE_TIMEOUT, async {
            while matches!(self.step().await, Step::Ready) {}
            _ = self.stream.shutdown().await;
        })
        .await;
    }

    /// Whether the server has closed an idle connection, or said something unasked.
    pub(super) fn is_stale(&self) -> bool {
        let mut byte = [0];
        match &self.stream {
            // Any octet here is an alert, a ticket or a close; only silence is certain to be good.
            Stream::Plain(tcp) => !would_block(&tcp.try_read(&mut byte)),
            stream => is_readable(stream),
        }
    }

    /// Runs the session until the driver has something to decide.
    async fn step(&mut self) -> Step {
        loop {
            while let Some(action) = self.session.poll_action() {
                match action {
                    Action::Send(bytes) => {
                        let left = self.session.deadline().saturating_since(clock::now());
                        if self.write(&bytes, left).await.is_err() {
                            self.session.handle_eof(clock::now());
                        }
                    }
                    Action::StartTls => return Step::StartTls,
                    Action::Ready => return Step::Ready,
                    Action::SendBody => return Step::SendBody,
                    Action::Finished(result) => return Step::Finished(result),
                    Action::Failed(fault) => return Step::Failed(fault),
                    Action::Closed => return Step::Closed,
                }
            }
            let left = self.session.deadline().saturating_since(clock::now());
            self.buffer.clear();
            self.buffer.reserve(READ_BYTES);
            match timeout(left, self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(count)) if count > 0 => self.session.handle_bytes(clock::now(), &self.buffer),
                Ok(_) => self.session.handle_eof(clock::now()),
                Err(_) => self.session.handle_timeout(clock::now()),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(limit, write).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    }

    fn out_of_step(&self) -> Fault {
        Fault { stage: Stage::Ehlo, kind: FaultKind::Closed, reply: None }
    }
}

/// Content is gathered to about this size before it is written.
const WRITE_BYTES: usize = 64 << 10;
/// Most messages fit in this.
const SMALL_WRITE_BYTES: usize = 16 << 10;

fn identity_check(evaluation: Option<&Evaluation>) -> IdentityCheck {
    match evaluation {
        Some(Evaluation { error: Some(reason), .. }) => IdentityCheck::Failed(*reason),
        Some(evaluation) => IdentityCheck::Verified(evaluation.verified),
        None => IdentityCheck::Verified(Verified::None),
    }
}

fn would_block(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Looks at the socket below TLS without taking anything from it.
fn is_readable(stream: &Stream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let socket = socket2::SockRef::from(stream.tcp());
    match socket.peek(&mut byte) {
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        Ok(_) => true,
    }
}
