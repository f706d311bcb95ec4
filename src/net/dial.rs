//! Opens TCP connections to next hops, from a chosen source address, within a time limit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::model::reason::Reason;

/// Why there is no connection. All kinds may pass, so the delivery is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot connect to {target}: {kind}")]
pub struct DialError {
    pub target: SocketAddr,
    pub kind: DialErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialErrorKind {
    #[error("connection refused")]
    Refused,
    #[error("host or network unreachable")]
    Unreachable,
    #[error("no answer in time")]
    Timeout,
    #[error("connection reset")]
    Reset,
    /// Our own fault: the source address is not on this host, is of the other IP version, or has no free port.
    #[error("the source address cannot be used")]
    SourceUnavailable,
    #[error("{0}")]
    Other(io::ErrorKind),
}

impl DialError {
    pub const fn reason(&self) -> Reason {
        match self.kind {
            DialErrorKind::Timeout => Reason::ConnectTimeout,
            DialErrorKind::Refused
            | DialErrorKind::Unreachable
            | DialErrorKind::Reset
            | DialErrorKind::SourceUnavailable
            | DialErrorKind::Other(_) => Reason::ConnectFailed,
        }
    }
}

/// Connects to `target`, from `source` if there is one, within `timeout` (RFC 5321 section 4.5.3.2 leaves it open; the
/// kernel's own is about two minutes). The stream sends small segments at once.
pub async fn dial(target: SocketAddr, source: Option<IpAddr>, timeout: Duration) -> Result<TcpStream, DialError> {
    let fail = |kind| DialError { target, kind };
    let socket = open(target, source).map_err(fail)?;
    match tokio::time::timeout(timeout, socket.connect(target)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(fail(blame(&error))),
        Err(_) => Err(fail(DialErrorKind::Timeout)),
    }
}

/// The address that [`dial`] would come from: what the system's routes say. Nothing is sent.
pub fn source_towards(target: SocketAddr, source: Option<IpAddr>) -> Result<IpAddr, DialError> {
    let any = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let fail = |error: io::Error| DialError { target, kind: blame(&error) };
    let socket = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0)).map_err(fail)?;
    socket.connect(target).map_err(fail)?;
    Ok(socket.local_addr().map_err(fail)?.ip())
}

/// Turns off Nagle's algorithm: a session waits for each reply, and delayed small segments would cost 40 ms apiece.
pub fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}

fn open(target: SocketAddr, source: Option<IpAddr>) -> Result<TcpSocket, DialErrorKind> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| blame(&error))?;
    socket.set_nodelay(true).map_err(|error| blame(&error))?;
    if let Some(source) = source {
        if source.is_ipv4() != target.is_ipv4() {
            return Err(DialErrorKind::SourceUnavailable);
        }
        socket.bind(SocketAddr::new(source, 0)).map_err(|_| DialErrorKind::SourceUnavailable)?;
    }
    Ok(socket)
}

fn blame(error: &io::Error) -> DialErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialErrorKind::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            DialErrorKind::Unreachable
        }
        io::ErrorKind::TimedOut => DialErrorKind::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => DialErrorKind::Reset,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => DialErrorKind::SourceUnavailable,
        kind => DialErrorKind::Other(kind),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_connection_comes_from_the_source_address_and_does_not_wait_to_send() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let source: IpAddr = "127.0.0.2".parse().unwrap();
        let stream = dial(target, Some(source), LIMIT).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), source);
        assert!(stream.nodelay().unwrap());
        assert!(dial(target, None, LIMIT).await.is_ok());
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let short_lived = TcpListener::bind("127.0.0.1:0").await.unwrap();
            short_lived.local_addr().unwrap()
        };
        for (target, source, kind) in [
            (closed, None, DialErrorKind::Refused),
            (open, Some("192.0.2.1"), DialErrorKind::SourceUnavailable),
            (open, Some("::1"), DialErrorKind::SourceUnavailable),
        ] {
            let source = source.map(|ip| ip.parse().unwrap());
            let error = dial(target, source, LIMIT).await.unwrap_err();
            assert_eq!(error, DialError { target, kind });
            assert_eq!(error.reason(), Reason::ConnectFailed);
        }
    }

    #[test]
    fn the_source_is_known_before_a_connection() {
        let target = "127.0.0.1:25".parse().unwrap();
        for (source, expected) in [
            (None, Ok("127.0.0.1")),
            (Some("127.0.0.2"), Ok("127.0.0.2")),
            (Some("192.0.2.1"), Err(DialErrorKind::SourceUnavailable)),
        ] {
            let seen = source_towards(target, source.map(|ip| ip.parse().unwrap()));
            let seen = seen.map(|ip| ip.to_string()).map_err(|error| error.kind);
            assert_eq!(seen.as_deref().map_err(|kind| *kind), expected, "{source:?}");
        }
    }

    #[test]
    fn a_timeout_has_a_reason_of_its_own() {
        for (kind, expected, reason) in [
            (io::ErrorKind::TimedOut, DialErrorKind::Timeout, Reason::ConnectTimeout),
            (io::ErrorKind::HostUnreachable, DialErrorKind::Unreachable, Reason::ConnectFailed),
            (io::ErrorKind::NetworkUnreachable, DialErrorKind::Unreachable, Reason::ConnectFailed),
            (io::ErrorKind::ConnectionReset, DialErrorKind::Reset, Reason::ConnectFailed),
            (io::ErrorKind::OutOfMemory, DialErrorKind::Other(io::ErrorKind::OutOfMemory), Reason::ConnectFailed),
        ] {
            let error = DialError { target: "192.0.2.1:25".parse().unwrap(), kind: blame(&kind.into()) };
            assert_eq!((error.kind, error.reason()), (expected, reason));
        }
    }

    #[tokio::test]
    async fn a_host_that_does_not_answer_ends_in_a_timeout() {
        // A listener whose queue is full drops further connection requests.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let target = listener.local_addr().unwrap();
        let mut held = Vec::new();
        for _ in 0..8 {
            match dial(target, None, Duration::from_millis(100)).await {
                Ok(stream) => held.push(stream),
                Err(error) => return assert_eq!(error.kind, DialErrorKind::Timeout),
            }
        }
        panic!("the queue of one takes {} connections", held.len());
    }
}
