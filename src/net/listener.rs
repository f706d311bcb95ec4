//! Opens listening sockets, and tells which accept errors a listener outlives.

use std::io;
use std::net::{SocketAddr, TcpListener};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes ahead of `accept`; it lowers this to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Why an address cannot be listened on. All causes are the operator's to repair, and the text says how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    pub address: SocketAddr,
    pub cause: BindCause,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindCause {
    #[error("another program listens there; stop it (see ss -ltnp) or choose another port")]
    InUse,
    #[error("not permitted; for ports below 1024 start as root or give the program CAP_NET_BIND_SERVICE")]
    NotPermitted,
    #[error("this host has no such address; check the address, or listen on 0.0.0.0 or [::]")]
    NoSuchAddress,
    #[error("this host does not speak this version of IP; remove the address from bind")]
    NoSuchFamily,
    #[error("{0}; see the system's log")]
    Other(io::ErrorKind),
}

/// A listening socket that does not block, ready for `tokio::net::TcpListener::from_std`. Needs no runtime, so that
/// ports can be bound before privileges are dropped. IPv6 sockets take IPv6 only: `[::]:25` goes beside `0.0.0.0:25`.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    open(address).map_err(|error| BindError { address, cause: bind_cause(&error) })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_cause(error: &io::Error) -> BindCause {
    match errno(error) {
        Some(Errno::EADDRINUSE) => BindCause::InUse,
        Some(Errno::EACCES | Errno::EPERM) => BindCause::NotPermitted,
        Some(Errno::EADDRNOTAVAIL) => BindCause::NoSuchAddress,
        Some(Errno::EAFNOSUPPORT) => BindCause::NoSuchFamily,
        _ => BindCause::Other(error.kind()),
    }
}

/// Whether the listener is still good after this error of `accept`: one connection failed (accept(2) lists how), or the
/// system is short of something, so that the next try should wait a little. Else the listener itself is lost.
pub fn accept_error_is_transient(error: &io::Error) -> bool {
    accept_error_is_shortage(error)
        || matches!(
            errno(error),
            Some(
                Errno::ECONNABORTED
                    | Errno::ECONNRESET
                    | Errno::EINTR
                    | Errno::EAGAIN
                    | Errno::EPERM
                    | Errno::EPROTO
                    | Errno::ENOPROTOOPT
                    | Errno::EOPNOTSUPP
                    | Errno::ENETDOWN
                    | Errno::ENETUNREACH
                    | Errno::EHOSTDOWN
                    | Errno::EHOSTUNREACH
                    | Errno::ENONET
                    | Errno::ETIMEDOUT
            )
        )
}

/// Whether `accept` failed for want of descriptors or memory: the connection still waits, and an instant retry spins.
pub fn accept_error_is_shortage(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_bound_address_takes_connections_without_blocking() {
        let listener = bind(address("127.0.0.1:0")).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok());
    }

    #[test]
    fn both_ip_versions_can_be_bound_side_by_side() {
        let v4 = bind(address("0.0.0.0:0")).unwrap();
        let port = v4.local_addr().unwrap().port();
        let cause = bind(address(&format!("[::]:{port}"))).err().map(|error| error.cause);
        // A host without IPv6 says so.
        assert!(matches!(cause, None | Some(BindCause::NoSuchFamily | BindCause::NoSuchAddress)), "{cause:?}");
    }

    #[test]
    fn a_bind_error_names_the_address_and_the_cause() {
        let taken = bind(address("127.0.0.1:0")).unwrap();
        let taken_address = taken.local_addr().unwrap();
        for (address, cause) in [(taken_address, BindCause::InUse), (address("192.0.2.1:0"), BindCause::NoSuchAddress)]
        {
            let error = bind(address).unwrap_err();
            assert_eq!(error, BindError { address, cause });
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
    }

    #[test]
    fn only_errors_of_the_listener_itself_end_it() {
        for (errno, transient, shortage) in [
            (Errno::EMFILE, true, true),
            (Errno::ENFILE, true, true),
            (Errno::ENOMEM, true, true),
            (Errno::ECONNABORTED, true, false),
            (Errno::EPROTO, true, false),
            (Errno::EBADF, false, false),
            (Errno::EINVAL, false, false),
            (Errno::ENOTSOCK, false, false),
        ] {
            let error = io::Error::from(errno);
            let found = (accept_error_is_transient(&error), accept_error_is_shortage(&error));
            assert_eq!(found, (transient, shortage), "{errno}");
        }
    }
}
