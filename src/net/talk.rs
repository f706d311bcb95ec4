//! One line out, one reply back, over any stream: for clients that say each line themselves.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::model::reply::Reply;
use crate::smtp::reply_parser::{ReplyFault, ReplyParser};

/// Read at once; no more than this is kept behind a reply.
const READ_BYTES: usize = 4 << 10;

/// Why there is no reply. The connection cannot be used further; another one may fare better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TalkError {
    #[error("the connection was closed")]
    Closed,
    #[error("no answer in time")]
    Timeout,
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
    #[error("the answer is no SMTP: {0}")]
    NotSmtp(#[from] ReplyFault),
}

impl From<io::Error> for TalkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            kind => Self::Io(kind),
        }
    }
}

/// The client's end of an SMTP connection.
#[derive(Debug)]
pub struct Talk<S> {
    stream: S,
    parser: ReplyParser,
    /// Octets behind the last reply.
    heard: Vec<u8>,
    patience: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// `patience` is how long one write, or one read of a reply, may take.
    pub fn new(stream: S, patience: Duration) -> Self {
        Self { stream, parser: ReplyParser::default(), heard: Vec::new(), patience }
    }

    /// Sends a line, to which CR and LF are added, and waits for its reply.
    pub async fn say(&mut self, line: &str) -> Result<Reply, TalkError> {
        let write = async {
            self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(self.patience, write).await.map_err(|_| TalkError::Timeout)??;
        self.hear().await
    }

    /// Waits for a reply to nothing, such as the greeting.
    pub async fn hear(&mut self) -> Result<Reply, TalkError> {
        loop {
            let heard = std::mem::take(&mut self.heard);
            let mut rest = heard.as_slice();
            if let Some(reply) = self.parser.read(&mut rest)? {
                self.heard = rest.to_vec();
                return Ok(reply);
            }
            let mut buffer = [0; READ_BYTES];
            let read = timeout(self.patience, self.stream.read(&mut buffer)).await;
            match read.map_err(|_| TalkError::Timeout)?? {
                0 => return Err(TalkError::Closed),
                count => self.heard.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    /// Whether nothing stands behind the last reply.
    pub fn is_quiet(&self) -> bool {
        self.heard.is_empty() && self.parser.is_empty()
    }

    /// The stream, to begin a handshake on it. What stood behind the last reply is forgotten: it was sent in clear.
    pub fn into_stream(self) -> S {
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn each_line_gets_its_reply_however_they_arrive() {
        let (near, mut far) = duplex(1024);
        let mut talk = Talk::new(near, PATIENCE);
        far.write_all(b"220 hello\r\n250-one\r\n250 two\r\n55").await.unwrap();
        assert_eq!(talk.hear().await.unwrap().to_string(), "220 hello");
        assert_eq!(talk.say("EHLO x").await.unwrap().to_string(), "250 one two");
        far.write_all(b"0 5.1.1 no\r\n").await.unwrap();
        assert_eq!(talk.say("RCPT TO:<a@b>").await.unwrap().to_string(), "550 5.1.1 no");
        let mut said = [0; 23];
        far.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"EHLO x\r\nRCPT TO:<a@b>\r\n");
    }

    #[tokio::test]
    async fn a_server_that_ends_hangs_or_speaks_otherwise_is_told_apart() {
        let (near, far) = duplex(1024);
        let mut talk = Talk::new(near, Duration::ZERO);
        assert_eq!(talk.hear().await, Err(TalkError::Timeout));
        drop(far);
        assert_eq!(talk.hear().await, Err(TalkError::Closed));
        assert_eq!(talk.say("NOOP").await, Err(TalkError::Closed));

        let (near, mut far) = duplex(1024);
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        let heard = Talk::new(near, PATIENCE).hear().await;
        assert_eq!(heard, Err(TalkError::NotSmtp(ReplyFault::BadLine)));
    }
}
