//! The client of the test: opens sessions of a kind and walks each column through them, up to RCPT TO.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::{Config, ListenerTls};
use crate::model::address::Address;
use crate::model::domain::Domain;
use crate::model::reply::{Code, Reply, Severity};
use crate::model::tls::TlsFacts;
use crate::net::dial::{DialError, dial, source_towards};
use crate::net::talk::{Talk, TalkError};
use crate::policy::inbound::Stage;
use crate::policy::transaction::Door;
use crate::tls::probe::{self, Probe};
use crate::tls::stream::Stream;

use super::columns::Column;
use super::result::{Cell, Expected, Met, Said};
use super::spread::Attempt;
use super::targets::Target;

/// For a connection, a handshake and each reply.
const PATIENCE: Duration = Duration::from_secs(20);
/// The name that audit records of these sessions show.
const HELO: &str = "gatepost-selftest.invalid";

/// Why the test of a listener cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WalkError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{at}: {error}")]
    Talk { at: &'static str, error: TalkError },
    #[error("{command} is answered: {reply}")]
    Unexpected { command: &'static str, reply: Box<Reply> },
    #[error("{0} was negotiated once and failed when it was tried again")]
    Handshake(Attempt),
}

/// A listener and how to come to it.
#[derive(Debug)]
pub(super) struct Way<'a> {
    address: SocketAddr,
    source: Option<IpAddr>,
    implicit: bool,
    server_name: &'a Domain,
    /// Refusals of one session: the server ends it, and logs that, at the next.
    refusals_max: u32,
}

/// One open session.
struct Session {
    talk: Talk<Stream>,
    facts: Option<Box<TlsFacts>>,
    refusals: u32,
}

/// A session, or what stands for it in the result.
enum Opened {
    Session(Box<Session>),
    Not(Met),
}

impl<'a> Way<'a> {
    pub(super) fn new(config: &'a Config, target: &Target<'_>, source: Option<IpAddr>) -> Self {
        Self {
            address: target.address,
            source,
            implicit: target.listener.tls == ListenerTls::Implicit,
            server_name: &config.hostname,
            refusals_max: config.limits.max_errors.saturating_sub(1).max(1),
        }
    }

    /// The address that we come from.
    pub(super) fn client(&self) -> Result<IpAddr, WalkError> {
        Ok(source_towards(self.address, self.source)?)
    }

    /// Tries one kind of session with all columns.
    pub(super) async fn walk(
        &self,
        attempt: Attempt,
        columns: &[Column],
        (door, client): (&Door<'_>, IpAddr),
    ) -> Result<Met, WalkError> {
        let mut session = match self.open(attempt).await? {
            Opened::Session(session) => session,
            Opened::Not(met) => return Ok(met),
        };
        let facts = session.facts.clone();
        let mut cells = Vec::with_capacity(columns.len());
        for column in columns {
            let said = self.ask(&mut session, attempt, column).await?;
            cells.push(Cell { expected: Expected::of(door, client, session.facts.as_deref(), column), said });
        }
        session.quit().await;
        Ok(Met::Made { facts, cells })
    }

    /// Asks in the session that is open. One that the server has ended, or is about to, is replaced by another of its
    /// kind, once.
    async fn ask(&self, session: &mut Box<Session>, attempt: Attempt, column: &Column) -> Result<Said, WalkError> {
        if session.refusals < self.refusals_max
            && let Ok(said) = session.transact(column).await
            && said.reply.code != Code::UNAVAILABLE
        {
            return Ok(said);
        }
        session.quit().await;
        match self.open(attempt).await? {
            Opened::Session(another) => *session = another,
            Opened::Not(_) => return Err(WalkError::Handshake(attempt)),
        }
        session.transact(column).await
    }

    async fn open(&self, attempt: Attempt) -> Result<Opened, WalkError> {
        let tcp = dial(self.address, self.source, PATIENCE).await?;
        let mut stream = Stream::Plain(tcp);
        if !self.implicit {
            let mut talk = Talk::new(stream, PATIENCE);
            greeted(&mut talk).await?;
            said_hello(&mut talk).await?;
            if attempt == Attempt::Plaintext {
                return Ok(Opened::Session(Box::new(Session { talk, facts: None, refusals: 0 })));
            }
            let reply = say(&mut talk, "STARTTLS", "STARTTLS").await?;
            if reply.code != Code::SERVICE_READY {
                return Ok(Opened::Not(Met::no_starttls(&reply)));
            }
            stream = talk.into_stream();
        }
        let (Attempt::Tls { version, suite }, Some(tcp)) = (attempt, stream.into_plain()) else {
            return Ok(Opened::Not(Met::Skipped));
        };
        let probe = Probe { version, suite, server_name: Some(self.server_name.clone()), timeout: PATIENCE };
        let (stream, peer) = match probe::shake(tcp, &probe).await {
            Ok(made) => made,
            Err(failure) => return Ok(Opened::Not(Met::failed(&failure))),
        };
        let mut talk = Talk::new(Stream::Tls(stream), PATIENCE);
        if self.implicit {
            greeted(&mut talk).await?;
        }
        said_hello(&mut talk).await?;
        // The certificate there is the server's own; the server judges ours, and we show none.
        let facts = Box::new(TlsFacts { peer: None, ..peer.facts });
        Ok(Opened::Session(Box::new(Session { talk, facts: Some(facts), refusals: 0 })))
    }
}

impl Session {
    /// MAIL, and if that is taken RCPT. The transaction that was open before is forgotten.
    async fn transact(&mut self, column: &Column) -> Result<Said, WalkError> {
        let reset = say(&mut self.talk, "RSET", "RSET").await?;
        if reset.severity() != Severity::Completed {
            return Ok(Said { stage: Stage::Mail, reply: reset });
        }
        let mail = say(&mut self.talk, "MAIL", &format!("MAIL FROM:<{}>", column.from)).await?;
        self.count(&mail);
        match column.to.as_ref().map(Address::as_str) {
            Some(to) if mail.severity() == Severity::Completed => {
                let reply = say(&mut self.talk, "RCPT", &format!("RCPT TO:<{to}>")).await?;
                self.count(&reply);
                Ok(Said { stage: Stage::Rcpt, reply })
            }
            _ => Ok(Said { stage: Stage::Mail, reply: mail }),
        }
    }

    fn count(&mut self, reply: &Reply) {
        self.refusals += u32::from(reply.severity() == Severity::Permanent);
    }

    /// What it ends with does not matter any more.
    async fn quit(&mut self) {
        _ = self.talk.say("QUIT").await;
    }
}

async fn greeted(talk: &mut Talk<Stream>) -> Result<(), WalkError> {
    let at = "the greeting";
    let reply = talk.hear().await.map_err(|error| WalkError::Talk { at, error })?;
    completed("a new connection", reply)
}

async fn said_hello(talk: &mut Talk<Stream>) -> Result<(), WalkError> {
    completed("EHLO", say(talk, "EHLO", &format!("EHLO {HELO}")).await?)
}

async fn say(talk: &mut Talk<Stream>, at: &'static str, line: &str) -> Result<Reply, WalkError> {
    talk.say(line).await.map_err(|error| WalkError::Talk { at, error })
}

fn completed(command: &'static str, reply: Reply) -> Result<(), WalkError> {
    match reply.severity() {
        Severity::Completed => Ok(()),
        _ => Err(WalkError::Unexpected { command, reply: Box::new(reply) }),
    }
}
