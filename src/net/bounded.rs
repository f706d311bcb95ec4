//! A connection that ends when the other end has said too much, whatever it says.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Once so many bytes have been read, the next read is an error. Writes as the connection does.
#[derive(Debug)]
pub struct Bounded<S> {
    stream: S,
    left_bytes: usize,
}

impl<S> Bounded<S> {
    pub const fn new(stream: S, read_bytes_max: usize) -> Self {
        Self { stream, left_bytes: read_bytes_max }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left_bytes == 0 {
            return Poll::Ready(Err(io::Error::other("the server sends more than it may")));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buf);
        self.left_bytes = self.left_bytes.saturating_sub(buf.filled().len().saturating_sub(before));
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn an_answer_without_end_ends_soon_after_its_bound() {
        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near, 1000);
        let endless =
            tokio::spawn(async move { while far.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {} });
        let mut heard = Vec::new();
        let error = near.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(error.to_string(), "the server sends more than it may");
        assert!((1000..1100).contains(&heard.len()), "{}", heard.len());
        near.write_all(b"GET").await.unwrap();
        drop(near);
        endless.await.unwrap();
    }
}
