//! One connection: lines, replies and message content over a plain or TLS stream, through a buffer of our own.

use std::io::{Error, ErrorKind, Result};

use memchr::{memchr, memmem};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const LINE_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// As much of a message is kept as has the fields that relays add, and the mark.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const CONTENT_END: &[u8] = b"\r\n.\r\n";

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// Where in the buffer begins what was not read yet.
    start: usize,
}

/// A whole reply of a server.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Wire {
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), start: 0 }
    }

    /// The stream for a handshake. An error if the other side did not wait for it.
    pub fn into_stream(self) -> Result<Box<dyn Stream>> {
        if self.unread().is_empty() { Ok(self.stream) } else { Err(fault("octets before the handshake")) }
    }

    pub fn has_line(&self) -> bool {
        memchr(b'\n', self.unread()).is_some()
    }

    /// The next line without its end; `None` at the end of the connection.
    pub async fn line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = memchr(b'\n', self.unread()) {
                let line = String::from_utf8_lossy(&self.unread()[..end]).trim_end().to_owned();
                self.start += end + 1;
                return Ok(Some(line));
            }
            if self.unread().len() > LINE_BYTES_MAX {
                return Err(fault("a line without end"));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    pub async fn reply(&mut self) -> Result<Reply> {
        let mut text = String::new();
        loop {
            let line = self.line().await?.ok_or_else(|| fault("closed instead of a reply"))?;
            let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or_else(|| fault("no reply"))?;
            text.push_str(&line);
            text.push('\n');
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text });
            }
        }
    }

    /// A reply of this class (2 for 250), or an error with what came instead.
    pub async fn expect(&mut self, class: u16) -> Result<Reply> {
        let reply = self.reply().await?;
        if reply.code / 100 == class { Ok(reply) } else { Err(fault(reply.text.trim())) }
    }

    pub async fn command(&mut self, line: &str, class: u16) -> Result<Reply> {
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.expect(class).await
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub async fn close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads message content to its end and gives its beginning; `None` if the connection ends before.
    pub async fn content(&mut self) -> Result<Option<Vec<u8>>> {
        let mut head = Vec::new();
        loop {
            let found = memmem::find(self.unread(), CONTENT_END);
            let kept = self.unread().len().saturating_sub(CONTENT_END.len() - 1);
            let done = found.map_or(kept, |at| at + CONTENT_END.len());
            let wanted = done.min(HEAD_BYTES_MAX - head.len());
            head.extend_from_slice(&self.buffer[self.start..self.start + wanted]);
            self.start += done;
            if found.is_some() {
                return Ok(Some(head));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    async fn fill(&mut self) -> Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.buffer).await
    }
}

pub fn fault(text: &str) -> Error {
    Error::new(ErrorKind::InvalidData, text)
}
