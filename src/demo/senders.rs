//! The clients: each brings one message as its step says, and writes down every answer of the relay.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::model::cipher::CipherSuite;
use crate::model::domain::{Domain, DomainError};
use crate::model::reply::{Code, Reply, Severity};
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::net::dial::{DialError, dial};
use crate::net::talk::{Talk, TalkError};
use crate::policy::names::Identity;
use crate::tls::evaluate::evaluate;
use crate::tls::failure::HandshakeFailure;
use crate::tls::probe::{Probe, shake};
use crate::tls::roots::Roots;
use crate::tls::stream::{Stream, TlsStream};

use super::handshakes;
use super::scenario::{Client, Door, Step};

/// The address that strangers come from.
pub(super) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The address of our own application: the configuration trusts it.
pub(super) const APPLICATION: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// What clients know of the relay.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    pub(super) mx: SocketAddr,
    pub(super) smarthost: SocketAddr,
    pub(super) hostname: &'a str,
    pub(super) authority: &'a CertificateDer<'static>,
    /// The same authority.
    pub(super) roots: Roots,
}

/// What the relay answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    /// `None`: plaintext.
    pub(super) tls: Option<TlsFacts>,
    pub(super) mail: Reply,
    /// In the order of the step; empty if MAIL was refused.
    pub(super) recipients: Vec<Reply>,
    /// After the content; `None` if no recipient was accepted.
    pub(super) content: Option<Reply>,
}

/// Why a client could not finish. None of it is meant to happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Talk(#[from] TalkError),
    #[error("the relay answered {0}")]
    Unexpected(Reply),
    #[error("no TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the relay's name is no host name: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("the relay's name is no domain: {0}")]
    Domain(#[from] DomainError),
    #[error("no cipher suite is called {0}")]
    Suite(&'static str),
    #[error("no TLS: {0}")]
    Handshake(#[from] HandshakeFailure),
    #[error("the relay's certificate: {0}")]
    Certificate(String),
}

/// Brings the message of a step.
pub(super) async fn send(step: &Step, relay: &Relay<'_>) -> Result<Answers, SendError> {
    let (target, source) = match step.door {
        Door::Mx => (relay.mx, STRANGER),
        Door::Smarthost => (relay.smarthost, APPLICATION),
    };
    let stream = Stream::Plain(dial(target, Some(source), STEP_TIMEOUT).await?);
    let mut talk = Talk::new(stream, STEP_TIMEOUT);
    expect(talk.hear().await?)?;
    let domain = step.from.rsplit('@').next().unwrap_or_default();
    let ehlo = format!("EHLO mail.{domain}");
    expect(talk.say(&ehlo).await?)?;
    let mut tls = None;
    if step.client != Client::Plaintext {
        expect(talk.say("STARTTLS").await?)?;
        (talk, tls) = start_tls(talk, step.client, relay).await?;
        expect(talk.say(&ehlo).await?)?;
    }
    let mail = talk.say(&format!("MAIL FROM:<{}>", step.from)).await?;
    let mut answers = Answers { tls, mail, recipients: Vec::new(), content: None };
    if is_done(&answers.mail) {
        for leg in step.legs {
            answers.recipients.push(talk.say(&format!("RCPT TO:<{}>", leg.to)).await?);
        }
        if answers.recipients.iter().any(is_done) {
            answers.content = Some(send_content(&mut talk, step).await?);
        }
    }
    // The answers are known; how the session ends does not matter any more.
    _ = talk.say("QUIT").await;
    Ok(answers)
}

/// Whether a reply says yes.
pub(super) fn is_done(reply: &Reply) -> bool {
    reply.severity() == Severity::Completed
}

fn expect(reply: Reply) -> Result<(), SendError> {
    if is_done(&reply) { Ok(()) } else { Err(SendError::Unexpected(reply)) }
}

/// Shakes hands and checks the relay's certificate.
async fn start_tls(
    talk: Talk<Stream>,
    client: Client,
    relay: &Relay<'_>,
) -> Result<(Talk<Stream>, Option<TlsFacts>), SendError> {
    let tcp = talk.into_stream().into_plain().ok_or(io::ErrorKind::AlreadyExists).map_err(io::Error::from)?;
    let (stream, facts) = match client {
        Client::Plaintext => (Stream::Plain(tcp), None),
        Client::Modern(version) => modern(tcp, version, relay).await?,
        Client::Old(version, suite) => old(tcp, version, suite, relay).await?,
    };
    Ok((Talk::new(stream, STEP_TIMEOUT), facts))
}

async fn modern(
    tcp: TcpStream,
    version: ProtocolVersion,
    relay: &Relay<'_>,
) -> Result<(Stream, Option<TlsFacts>), SendError> {
    let config = handshakes::client(version, relay.authority)?;
    let name = ServerName::try_from(relay.hostname.to_owned())?;
    let handshake = TlsConnector::from(config).connect(name, tcp);
    let stream = timeout(STEP_TIMEOUT, handshake).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    let facts = handshakes::negotiated(stream.get_ref().1);
    Ok((Stream::Tls(TlsStream::RustlsClient(Box::new(stream))), facts))
}

async fn old(
    tcp: TcpStream,
    version: ProtocolVersion,
    suite: &'static str,
    relay: &Relay<'_>,
) -> Result<(Stream, Option<TlsFacts>), SendError> {
    let name = Domain::parse(relay.hostname)?;
    let suite = CipherSuite::by_name(suite).ok_or(SendError::Suite(suite))?;
    let probe = Probe { version, suite, server_name: Some(name.clone()), timeout: STEP_TIMEOUT };
    let (stream, peer) = shake(tcp, &probe).await?;
    let identity = Identity { names: vec![name], ..Identity::default() };
    let judged = evaluate(&peer.chain, &identity, &relay.roots, clock::timestamp());
    match judged.error {
        Some(reason) => Err(SendError::Certificate(format!("{reason}: {}", judged.detail))),
        None => Ok((Stream::Tls(stream), Some(peer.facts))),
    }
}

async fn send_content(talk: &mut Talk<Stream>, step: &Step) -> Result<Reply, SendError> {
    let go = talk.say("DATA").await?;
    if go.code != Code::START_INPUT {
        return Ok(go);
    }
    let to: Vec<&str> = step.legs.iter().map(|leg| leg.to).collect();
    let content = format!(
        "From: <{}>\r\nTo: {}\r\nDate: {}\r\nSubject: {}\r\n\r\nA message of the demo.\r\n.",
        step.from,
        to.join(", "),
        clock::timestamp().rfc5322(),
        step.title,
    );
    Ok(talk.say(&content).await?)
}
