//! One connection to a mail host, as far as its answers to EHLO, in clear and under TLS.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::domain::Domain;
use crate::model::escape::PEER_TEXT_BYTES_MAX;
use crate::model::reason::Reason;
use crate::model::reply::{Code, Reply, Severity};
use crate::net::dial::{DialError, dial};
use crate::net::talk::{Talk, TalkError};
use crate::outbound::ladder::TlsFailure;
use crate::smtp::capabilities::Capabilities;
use crate::tls::failure::{FailureKind, HandshakeFailure};
use crate::tls::stream::{Stream, TlsStream};

use super::Patience;

/// Lines of an answer to EHLO that are kept, and the characters of each.
const KEYWORDS_MAX: usize = 64;
const KEYWORD_CHARS_MAX: usize = 80;
/// For the answer to QUIT: nothing depends on it.
const QUIT_WAIT_MAX: Duration = Duration::from_secs(2);

/// Who calls, and how patient he is.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub hostname: &'a Domain,
    pub patience: Patience,
}

/// Why a connection goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{at}: {error}")]
    Talk { at: &'static str, error: TalkError },
    #[error("{at} is answered: {reply}")]
    Refused { at: &'static str, reply: Box<Reply> },
    #[error("STARTTLS is not offered")]
    NotOffered,
    #[error("STARTTLS is answered: {0}")]
    StartTlsRefused(Box<Reply>),
    /// What came in clear must not count under TLS.
    #[error("more came behind the answer to STARTTLS, as if somebody stood between")]
    Injected,
    #[error("{0}")]
    Handshake(#[from] HandshakeFailure),
}

impl Trouble {
    /// How TLS failed, if that is what failed.
    pub(crate) const fn of_tls(&self) -> Option<TlsFailure> {
        match self {
            Self::NotOffered | Self::StartTlsRefused(_) => Some(TlsFailure::StartTls),
            Self::Injected => Some(TlsFailure::Handshake(FailureKind::Other)),
            Self::Handshake(failure) => Some(TlsFailure::Handshake(failure.kind)),
            Self::Dial(_) | Self::Talk { .. } | Self::Refused { .. } => None,
        }
    }

    /// The word for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Dial(error) => error.reason(),
            Self::Talk { error: TalkError::Timeout, .. } => Reason::Timeout,
            Self::Talk { error: TalkError::NotSmtp(_), .. } => Reason::ServerProtocol,
            Self::Talk { .. } => Reason::ConnectionLost,
            Self::Refused { reply, .. } => match reply.severity() {
                Severity::Permanent => Reason::RemoteRefused,
                _ => Reason::RemoteDeferred,
            },
            Self::NotOffered | Self::StartTlsRefused(_) => Reason::StarttlsNotSupported,
            Self::Injected | Self::Handshake(_) => Reason::ValidationFailure,
        }
    }

    /// Whether nobody there speaks to us: no connection, or none that says anything.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Dial(_) | Self::Talk { error: TalkError::Timeout | TalkError::Closed, .. })
    }

    /// For people: one line, escaped as replies and failures are, and bounded.
    pub fn in_words(&self) -> String {
        let text = self.to_string();
        match text.char_indices().nth(PEER_TEXT_BYTES_MAX).and_then(|(end, _)| text.get(..end)) {
            Some(start) => format!("{start}..."),
            None => text,
        }
    }
}

/// What a host said to EHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub capabilities: Capabilities,
    /// The lines behind the first, escaped and bounded. None after HELO.
    pub keywords: Vec<String>,
}

impl Hello {
    fn of(reply: &Reply) -> Self {
        let lines = reply.lines.iter().skip(1).take(KEYWORDS_MAX);
        Self {
            capabilities: Capabilities::from_reply(reply),
            keywords: lines.map(|line| line.chars().take(KEYWORD_CHARS_MAX).collect()).collect(),
        }
    }
}

/// A connection that was greeted and has said hello.
#[derive(Debug)]
pub struct Greeted {
    talk: Talk<Stream>,
    pub greeting: Reply,
    pub hello: Hello,
}

impl Greeted {
    /// Connects and says EHLO, or HELO to a host that knows no other.
    pub async fn open(caller: Caller<'_>, target: SocketAddr) -> Result<Self, Trouble> {
        let tcp = dial(target, None, caller.patience.connect).await?;
        let mut talk = Talk::new(Stream::Plain(tcp), caller.patience.reply);
        let greeting = talk.hear().await.map_err(|error| Trouble::Talk { at: "the greeting", error })?;
        if greeting.code != Code::SERVICE_READY {
            quit(talk).await;
            return Err(Trouble::Refused { at: "the connection", reply: Box::new(greeting) });
        }
        let reply = say(&mut talk, "EHLO", &format!("EHLO {}", caller.hostname)).await?;
        let hello = match reply.severity() {
            Severity::Completed => Hello::of(&reply),
            Severity::Permanent => {
                let reply = say(&mut talk, "HELO", &format!("HELO {}", caller.hostname)).await?;
                if reply.severity() != Severity::Completed {
                    quit(talk).await;
                    return Err(Trouble::Refused { at: "HELO", reply: Box::new(reply) });
                }
                Hello { capabilities: Capabilities::default(), keywords: Vec::new() }
            }
            _ => {
                quit(talk).await;
                return Err(Trouble::Refused { at: "EHLO", reply: Box::new(reply) });
            }
        };
        Ok(Self { talk, greeting, hello })
    }

    /// Asks for TLS. The handshake is to begin on the stream.
    pub async fn start_tls(mut self) -> Result<TcpStream, Trouble> {
        if !self.hello.capabilities.starttls {
            quit(self.talk).await;
            return Err(Trouble::NotOffered);
        }
        let reply = say(&mut self.talk, "STARTTLS", "STARTTLS").await?;
        if reply.code != Code::SERVICE_READY {
            quit(self.talk).await;
            return Err(Trouble::StartTlsRefused(Box::new(reply)));
        }
        if !self.talk.is_quiet() {
            return Err(Trouble::Injected);
        }
        self.talk.into_stream().into_plain().ok_or(Trouble::Injected)
    }

    /// The connection for a walk in clear.
    pub(super) fn into_talk(self) -> Talk<Stream> {
        self.talk
    }

    pub async fn quit(self) {
        quit(self.talk).await;
    }
}

/// Says EHLO anew under TLS.
pub(super) async fn hello_under_tls(
    caller: Caller<'_>,
    stream: TlsStream<TcpStream>,
) -> Result<(Talk<Stream>, Hello), Trouble> {
    let mut talk = Talk::new(Stream::Tls(stream), caller.patience.reply);
    let reply = say(&mut talk, "EHLO under TLS", &format!("EHLO {}", caller.hostname)).await?;
    if reply.severity() == Severity::Completed {
        return Ok((talk, Hello::of(&reply)));
    }
    quit(talk).await;
    Err(Trouble::Refused { at: "EHLO under TLS", reply: Box::new(reply) })
}

pub(super) async fn say(talk: &mut Talk<Stream>, at: &'static str, line: &str) -> Result<Reply, Trouble> {
    talk.say(line).await.map_err(|error| Trouble::Talk { at, error })
}

/// Ends politely, without waiting long.
pub(super) async fn quit(mut talk: Talk<Stream>) {
    _ = timeout(QUIT_WAIT_MAX, talk.say("QUIT")).await;
}
