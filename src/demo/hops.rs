//! The next hops: small mail servers that take everything and remember what came, and how it came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock;
use crate::model::domain::Domain;
use crate::model::tls::TlsFacts;
use crate::random;
use crate::smtp::server::{Action, ServerSession, Settings, Transaction};
use crate::tls::stream::Stream;

use super::handshakes::HopTls;
use super::scenario::HopSpec;

/// Messages that a hop remembers; it takes more.
const RECEIVED_MAX: usize = 1000;
const READ_BYTES: usize = 16 << 10;
const MESSAGE_BYTES_MAX: u64 = 50_000_000;
const SESSIONS_MAX: usize = 64;
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// One mail server.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) spec: &'static HopSpec,
    pub(super) address: SocketAddr,
    settings: Arc<Settings>,
    /// `None`: no STARTTLS.
    tls: Mutex<Option<HopTls>>,
    received: Mutex<Vec<Received>>,
}

/// One message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Empty for the null reverse-path.
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// `None`: it came in plaintext.
    pub(super) tls: Option<TlsFacts>,
}

impl Hop {
    /// Binds a port of loopback and serves there until `tasks` ends.
    pub(super) async fn start(
        spec: &'static HopSpec,
        tls: Option<HopTls>,
        tasks: &mut JoinSet<()>,
    ) -> io::Result<Arc<Self>> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let hostname = Domain::parse(spec.name).map_err(|error| io::Error::other(error.to_string()))?;
        let settings = Settings {
            hostname,
            starttls: tls.is_some(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            recipients_max: 100,
            errors_max: 10,
            messages_max: 1000,
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(60),
            tls_timeout: HANDSHAKE_TIMEOUT,
            postmaster: None,
        };
        let hop = Arc::new(Self {
            spec,
            address: socket.local_addr()?,
            settings: Arc::new(settings),
            tls: Mutex::new(tls),
            received: Mutex::default(),
        });
        tasks.spawn(serve(hop.clone(), socket));
        Ok(hop)
    }

    /// Shows another certificate from now on.
    pub(super) fn mend(&self, tls: HopTls) {
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(tls);
    }

    /// Copies of what came from `from` for `to`.
    pub(super) fn received(&self, from: &str, to: &str) -> Vec<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received
            .iter()
            .filter(|message| message.from == from && message.to.iter().any(|at| at == to))
            .cloned()
            .collect()
    }

    fn remember(&self, envelope: &Transaction, tls: Option<&TlsFacts>) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        if received.len() < RECEIVED_MAX {
            received.push(Received {
                from: envelope.sender.path.as_str().to_owned(),
                to: envelope.recipients.iter().map(|recipient| recipient.address.as_str().to_owned()).collect(),
                tls: tls.cloned(),
            });
        }
    }
}

async fn serve(hop: Arc<Hop>, socket: TcpListener) {
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        if sessions.len() >= SESSIONS_MAX {
            sessions.join_next().await;
        }
        let Ok((tcp, _)) = socket.accept().await else { return };
        let session = ServerSession::new(hop.settings.clone(), clock::now(), None);
        let visit = Visit { hop: hop.clone(), session, stream: Some(Stream::Plain(tcp)), envelope: None };
        sessions.spawn(async move { _ = visit.run().await });
    }
}

/// One session of the relay with a hop.
struct Visit {
    hop: Arc<Hop>,
    session: ServerSession,
    /// Taken during a handshake only.
    stream: Option<Stream>,
    envelope: Option<Transaction>,
}

impl Visit {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            while let Some(action) = self.session.poll_action() {
                if let Action::Close(_) = action {
                    return self.stream()?.shutdown().await;
                }
                self.perform(action).await?;
            }
            let left = self.session.deadline().saturating_since(clock::now());
            match timeout(left, self.stream()?.read(&mut buffer)).await {
                Ok(Ok(0)) => self.session.handle_eof(clock::now()),
                Ok(Ok(count)) => self.session.handle_bytes(clock::now(), buffer.get(..count).unwrap_or_default()),
                Ok(Err(error)) => return Err(error),
                Err(_) => self.session.handle_timeout(clock::now()),
            }
        }
    }

    async fn perform(&mut self, action: Action) -> io::Result<()> {
        match action {
            Action::Send(bytes) => {
                let stream = self.stream()?;
                let write = async {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                };
                timeout(WRITE_TIMEOUT, write).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
            }
            Action::StartTls => self.start_tls().await?,
            Action::JudgeMail(_) | Action::JudgeRcpt(_) => self.session.handle_judgement(clock::now(), Ok(())),
            Action::BodyBegin(envelope) => {
                self.envelope = Some(envelope);
                self.session.handle_body_ready(clock::now(), Ok(()));
            }
            Action::Commit => {
                if let Some(envelope) = self.envelope.take() {
                    self.hop.remember(&envelope, self.session.tls());
                }
                let id = random::message_id(clock::timestamp());
                self.session.handle_commit(clock::now(), Ok(id));
            }
            Action::BodyChunk(_) | Action::Abort(_) | Action::Close(_) => {}
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let tls = self.hop.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tcp: Option<TcpStream> = self.stream.take().and_then(Stream::into_plain);
        let (Some(tls), Some(tcp)) = (tls, tcp) else { return Err(io::ErrorKind::Unsupported.into()) };
        let (stream, facts) = timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp)).await??;
        self.stream = Some(Stream::Tls(stream));
        self.session.handle_tls(clock::now(), facts);
        Ok(())
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
