//! One connection: reads, drives the SMTP server core, does what it asks for, and ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::audit::event::{Client as ClientRecord, Event, Handshake, Record};
use crate::clock;
use crate::model::reason::Reason;
use crate::model::reply::Reply;
use crate::random;
use crate::smtp::server::{Action, CloseReason, ServerSession};
use crate::tls::failure::HandshakeFailure;
use crate::tls::stream::Stream;

use super::content::Content;
use super::judge::{Context, Standing, Transaction};
use super::{Inbound, Listener};

/// Read at once while commands are exchanged, and while content comes in.
const COMMAND_READ_BYTES: usize = 4 << 10;
/// Most messages in one piece; and more for those that fill it.
const CONTENT_READ_BYTES: usize = 16 << 10;
const LARGE_CONTENT_READ_BYTES: usize = 64 << 10;
/// How long a client may take to read what is written to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the closing of a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a session is started with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) inbound: Arc<Inbound>,
    pub(super) listener: Arc<Listener>,
    pub(super) tcp: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) drain: watch::Receiver<bool>,
}

/// Serves one client until the session ends.
pub(super) async fn serve(start: Start) {
    let Start { inbound, listener, tcp, address, drain } = start;
    let session = random::session_id(clock::timestamp());
    let context = Context { inbound, session, address, listener };
    let (stream, facts) = match &context.listener.tls {
        Some(tls) if context.listener.implicit_tls => {
            match tls.accept(tcp, context.inbound.snapshot.load().tls_handshake_timeout).await {
                Ok((stream, facts)) => {
                    context.inbound.metrics.inbound_tls(&context.listener.name, "implicit", &facts);
                    (Stream::Tls(stream), Some(facts))
                }
                Err(failure) => return handshake_failed(&context, &failure),
            }
        }
        _ => (Stream::Plain(tcp), None),
    };
    let session = ServerSession::new(context.listener.session.clone(), clock::now(), facts);
    let driver = Driver { context, session, stream: Some(stream), transaction: None, content: None };
    driver.run(drain).await;
}

/// Tells a client that there is no place for it, and closes.
pub(super) async fn refuse(listener: &Listener, tcp: TcpStream, reply: &Reply) {
    let mut session = ServerSession::refuse(listener.session.clone(), clock::now(), reply.clone());
    let mut stream = Stream::Plain(tcp);
    // Under implicit TLS nothing can be said before a handshake, which such a client does not get.
    while let Some(action) = session.poll_action().filter(|_| !listener.implicit_tls) {
        if let Action::Send(bytes) = action {
            _ = send(&mut stream, &bytes).await;
        }
    }
    _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
}

struct Driver {
    context: Context,
    session: ServerSession,
    /// Taken during a handshake only.
    stream: Option<Stream>,
    transaction: Option<Transaction>,
    content: Option<Content>,
}

/// Why the driver stops.
struct Ended;

impl Driver {
    async fn run(mut self, mut drain: watch::Receiver<bool>) {
        let mut buffer = Vec::with_capacity(COMMAND_READ_BYTES);
        if *drain.borrow_and_update() {
            self.session.handle_drain(clock::now());
        }
        loop {
            while let Some(action) = self.session.poll_action() {
                if self.perform(action).await.is_err() {
                    self.close().await;
                    return;
                }
            }
            match self.listen(&mut buffer, &mut drain).await {
                Ok(()) => self.resize(&mut buffer),
                Err(Ended) => return,
            }
        }
    }

    /// A large buffer only while content comes in and fills the small one: idle sessions are many.
    fn resize(&self, buffer: &mut Vec<u8>) {
        let wanted = match &self.content {
            None => COMMAND_READ_BYTES,
            Some(_) if buffer.len() >= CONTENT_READ_BYTES => LARGE_CONTENT_READ_BYTES,
            Some(_) => CONTENT_READ_BYTES.max(buffer.capacity()),
        };
        if buffer.capacity() != wanted {
            *buffer = Vec::with_capacity(wanted);
        }
        buffer.clear();
    }

    /// Waits for the next thing to happen and tells the session. What was read stays in the buffer.
    async fn listen(&mut self, buffer: &mut Vec<u8>, drain: &mut watch::Receiver<bool>) -> Result<(), Ended> {
        let Some(stream) = &mut self.stream else { return Err(Ended) };
        let left = self.session.deadline().saturating_since(clock::now());
        tokio::select! {
            read = timeout(left, stream.read_buf(buffer)) => match read {
                Ok(Ok(0)) => self.session.handle_eof(clock::now()),
                Ok(Ok(_)) => self.session.handle_bytes(clock::now(), buffer),
                // A close without close_notify is an end like any other: SMTP has its own.
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.session.handle_eof(clock::now()),
                Ok(Err(error)) => {
                    tracing::debug!(session = %self.context.session, %error, "connection lost");
                    self.drop_content(Reason::ConnectionLost);
                    return Err(Ended);
                }
                Err(_) => self.session.handle_timeout(clock::now()),
            },
            changed = drain.changed() => {
                if changed.is_ok() {
                    self.session.handle_drain(clock::now());
                }
            }
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> Result<(), Ended> {
        let done = match action {
            Action::Send(bytes) => {
                let Some(stream) = &mut self.stream else { return Err(Ended) };
                let sent = send(stream, &bytes).await;
                sent.map_err(|_| self.drop_content(Reason::ConnectionLost))
            }
            Action::StartTls => self.start_tls().await,
            Action::JudgeMail(sender) => {
                let standing = Standing { tls: self.session.tls(), helo: self.session.helo() };
                let begun = Transaction::begin(&self.context, &sender, standing);
                let answer = begun.map(|transaction| self.transaction = Some(transaction));
                self.session.handle_judgement(clock::now(), answer);
                Ok(())
            }
            Action::JudgeRcpt(recipient) => {
                let standing = Standing { tls: self.session.tls(), helo: self.session.helo() };
                let Some(transaction) = &mut self.transaction else { return Err(Ended) };
                let answer = transaction.recipient(&self.context, &recipient, standing);
                self.session.handle_judgement(clock::now(), answer);
                Ok(())
            }
            Action::BodyBegin(envelope) => {
                let Some(transaction) = &self.transaction else { return Err(Ended) };
                let begun = Content::begin(&self.context, transaction, envelope, self.session.tls()).await;
                let answer = begun.map(|content| self.content = Some(content));
                self.session.handle_body_ready(clock::now(), answer);
                Ok(())
            }
            Action::BodyChunk(chunk) => {
                let Some(content) = &mut self.content else { return Ok(()) };
                content.push(chunk).await;
                Ok(())
            }
            Action::Commit => self.commit().await,
            Action::Abort(reason) => {
                self.drop_content(reason);
                Ok(())
            }
            Action::Close(reason) => {
                let quiet = matches!(reason, CloseReason::Quit | CloseReason::Eof | CloseReason::Drain);
                if !quiet {
                    let client = self.context.address.ip();
                    tracing::info!(session = %self.context.session, %client, ?reason, "session ended");
                }
                Err(())
            }
        };
        done.map_err(|()| Ended)
    }

    async fn commit(&mut self) -> Result<(), ()> {
        let (Some(content), Some(transaction)) = (self.content.take(), self.transaction.take()) else { return Err(()) };
        let committed = content.commit(&self.context, &transaction, self.session.tls()).await;
        self.session.handle_commit(clock::now(), committed);
        Ok(())
    }

    fn drop_content(&mut self, reason: Reason) {
        if let (Some(content), Some(transaction)) = (self.content.take(), &self.transaction) {
            content.refused(&self.context, transaction, self.session.tls(), (reason, None));
        }
    }

    /// Everything that was said before is forgotten, by the session and here (RFC 3207 section 4.2).
    async fn start_tls(&mut self) -> Result<(), ()> {
        self.transaction = None;
        let (Some(tls), Some(tcp)) = (&self.context.listener.tls, self.stream.take().and_then(Stream::into_plain))
        else {
            return Err(());
        };
        match tls.accept(tcp, self.context.inbound.snapshot.load().tls_handshake_timeout).await {
            Ok((stream, facts)) => {
                self.context.inbound.metrics.inbound_tls(&self.context.listener.name, "starttls", &facts);
                self.stream = Some(Stream::Tls(stream));
                self.session.handle_tls(clock::now(), facts);
                Ok(())
            }
            Err(failure) => {
                handshake_failed(&self.context, &failure);
                Err(())
            }
        }
    }

    async fn close(&mut self) {
        if let Some(stream) = &mut self.stream {
            _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
        }
    }
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    timeout(WRITE_TIMEOUT, write).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Counts and records a handshake that failed.
fn handshake_failed(context: &Context, failure: &HandshakeFailure) {
    let reason = failure.kind.as_str();
    context.inbound.metrics.inbound_handshake_failed(&context.listener.name, reason);
    tracing::info!(
        session = %context.session, client = %context.address.ip(), reason, detail = %failure.detail,
        offered = %failure.offer.as_deref().map(ToString::to_string).unwrap_or_default(),
        "TLS handshake failed"
    );
    if !context.inbound.may_record(context.address.ip()) {
        return;
    }
    let snapshot = context.inbound.snapshot.load();
    let time = clock::timestamp();
    let mut record = Record::new(&snapshot.stamp, time, random::record_id(time), Event::InboundHandshakeFailed);
    record.session = Some(context.session);
    record.listener = Some(&context.listener.name);
    record.client = Some(ClientRecord { ip: context.address.ip(), port: context.address.port(), helo: None });
    record.handshake = Some(Handshake { reason, alert: failure.kind.alert(), offered: failure.offer.as_deref() });
    record.detail = Some(format!("{reason}: {}", failure.detail));
    if let Err(fault) = context.inbound.spool.record_lazily(None, vec![record.entry()]) {
        tracing::warn!(%fault, "a failed handshake could not be recorded");
    }
}
