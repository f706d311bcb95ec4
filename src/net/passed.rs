//! Listening sockets that a service manager has bound for us (socket activation, sd_listen_fds(3)).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use socket2::{Domain, SockRef, Type};

/// The first descriptor that is passed; the others follow it.
const FIRST_DESCRIPTOR: usize = 3;
/// How the manager calls a socket whose name nobody has written.
const NAMELESS: &str = "unknown";

/// A socket that was passed and that can be listened on.
#[derive(Debug)]
struct PassedSocket {
    descriptor: usize,
    name: String,
    address: SocketAddr,
    socket: TcpListener,
}

/// All that were passed and not taken yet.
#[derive(Debug, Default)]
pub struct PassedSockets(Vec<PassedSocket>);

/// Why a passed socket cannot be used. The text names it and says what to write.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    #[error("LISTEN_PID or LISTEN_FDS of the environment is no number")]
    Environment,
    #[error("{socket}: {cause}")]
    Unusable { socket: String, cause: io::Error },
    #[error("{socket} is no listening TCP socket; give the address with ListenStream=")]
    NotListening { socket: String },
    #[error(
        "{socket} takes IPv4 beside IPv6; write BindIPv6Only=ipv6-only, and a ListenStream= for each of both versions"
    )]
    BothVersions { socket: String },
    #[error("{socket}: nothing here has this name; FileDescriptorName= has to be one of {known}")]
    NoSuchName { socket: String, known: String },
    #[error("{socket}: `bind` of \"{name}\" does not have this address; it has {bind}")]
    OtherAddress { socket: String, name: String, bind: String },
}

impl PassedSockets {
    /// What the environment of this process passes; nothing, if nobody did. May be called once: the descriptors have
    /// one owner.
    pub fn of_environment() -> Result<Self, PassedError> {
        let passed = sd_listen_fds::get().map_err(|_| PassedError::Environment)?;
        let usable = |(at, (name, descriptor)): (usize, (Option<String>, sd_listen_fds::OwnedFd))| {
            let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| NAMELESS.to_owned());
            PassedSocket::new(FIRST_DESCRIPTOR + at, name, descriptor.into_std())
        };
        passed.into_iter().enumerate().map(usable).collect::<Result<_, _>>().map(Self)
    }

    /// Whether each one is wanted: by its name, and by an address that nobody else has. `wanted` is what is listened
    /// on; port 0 stands for any port.
    pub fn check(&self, wanted: &[(&str, SocketAddr)]) -> Result<(), PassedError> {
        let mut left = wanted.to_vec();
        for passed in &self.0 {
            if let Some(at) = left.iter().position(|(name, address)| passed.fits(name, *address)) {
                left.swap_remove(at);
                continue;
            }
            let same = |(name, _): &&(&str, SocketAddr)| *name == passed.name;
            let bind: Vec<_> = wanted.iter().filter(same).map(|(_, address)| address.to_string()).collect();
            let (socket, name) = (passed.to_string(), passed.name.clone());
            if !bind.is_empty() {
                return Err(PassedError::OtherAddress { socket, name, bind: bind.join(", ") });
            }
            let mut known: Vec<_> = wanted.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            known.dedup();
            return Err(PassedError::NoSuchName { socket, known: known.join(", ") });
        }
        Ok(())
    }

    /// The socket for this address of what has this name, if one was passed. It does not block.
    pub fn take(&mut self, name: &str, address: SocketAddr) -> Option<TcpListener> {
        let at = self.0.iter().position(|passed| passed.fits(name, address))?;
        Some(self.0.swap_remove(at).socket)
    }
}

impl PassedSocket {
    fn new(descriptor: usize, name: String, handle: OwnedFd) -> Result<Self, PassedError> {
        let shown = format!("passed socket {descriptor} \"{name}\"");
        let cannot = |cause: io::Error| PassedError::Unusable { socket: shown.clone(), cause };
        let socket = SockRef::from(&handle);
        let is_tcp = socket.r#type().map_err(cannot)? == Type::STREAM && socket.is_listener().map_err(cannot)?;
        let address = socket.local_addr().map_err(cannot)?.as_socket().filter(|_| is_tcp);
        let Some(address) = address else { return Err(PassedError::NotListening { socket: shown }) };
        let is_ipv6 = socket.domain().map_err(cannot)? == Domain::IPV6;
        if is_ipv6 && address.ip().is_unspecified() && !socket.only_v6().map_err(cannot)? {
            return Err(PassedError::BothVersions { socket: format!("{shown} on {address}") });
        }
        socket.set_nonblocking(true).map_err(cannot)?;
        // The program of alerts must not inherit it.
        fcntl(handle.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|errno| cannot(errno.into()))?;
        Ok(Self { descriptor, name, address, socket: handle.into() })
    }

    fn fits(&self, name: &str, address: SocketAddr) -> bool {
        let same_port = address.port() == 0 || address.port() == self.address.port();
        self.name == name && self.address.ip() == address.ip() && same_port
    }
}

impl std::fmt::Display for PassedSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "passed socket {} \"{}\" on {}", self.descriptor, self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use socket2::Socket;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn passed(name: &str, at: &str) -> PassedSocket {
        let socket = TcpListener::bind(at).unwrap();
        PassedSocket::new(3, name.to_owned(), socket.into()).unwrap()
    }

    #[test]
    fn a_socket_goes_to_the_address_of_its_name_and_to_nothing_else() {
        let mut sockets = PassedSockets(vec![passed("mx", "127.0.0.1:0"), passed("mx", "127.0.0.2:0")]);
        let (first, second) = (sockets.0[0].address, sockets.0[1].address);
        let any = address("127.0.0.2:0");
        let wanted = [("mx", first), ("mx", any), ("metrics", second)];
        assert!(sockets.check(&wanted).is_ok());
        assert!(sockets.take("metrics", second).is_none() && sockets.take("mx", address("127.0.0.1:1")).is_none());
        assert_eq!(sockets.take("mx", any).unwrap().local_addr().unwrap(), second);
        let socket = sockets.take("mx", first).unwrap();
        assert_eq!(socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(sockets.take("mx", first).is_none());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let one = || passed("mx", "127.0.0.1:0");
        let elsewhere = [("mx", address("127.0.0.2:25")), ("admin", address("127.0.0.1:0"))];
        for (sockets, wanted, expected) in [
            (vec![one()], &elsewhere[..], "`bind` of \"mx\" does not have this address; it has 127.0.0.2:25"),
            (vec![one()], &elsewhere[1..], "FileDescriptorName= has to be one of \"admin\""),
            (vec![one(), one()], &[("mx", address("127.0.0.1:0"))], "it has 127.0.0.1:0"),
        ] {
            let last = sockets.last().unwrap().to_string();
            let said = PassedSockets(sockets).check(wanted).unwrap_err().to_string();
            assert!(said.starts_with(&last) && said.ends_with(expected), "{said}");
        }
    }

    #[test]
    fn only_listening_tcp_sockets_of_one_version_are_taken() {
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&address("127.0.0.1:0").into()).unwrap();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let local = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        let file = tempfile::tempfile().unwrap();
        for (handle, expected) in [
            (OwnedFd::from(silent), "passed socket 7 \"mx\" is no listening TCP socket"),
            (datagrams.into(), "passed socket 7 \"mx\" is no listening TCP socket"),
            (local.into(), "passed socket 7 \"mx\" is no listening TCP socket"),
            (file.into(), "passed socket 7 \"mx\": "),
        ] {
            let said = PassedSocket::new(7, "mx".to_owned(), handle).unwrap_err().to_string();
            assert!(said.starts_with(expected), "{said}");
        }
        // A host without IPv6 cannot have such a socket.
        let Ok(both) = Socket::new(Domain::IPV6, Type::STREAM, None) else { return };
        both.set_only_v6(false).unwrap();
        if both.bind(&address("[::]:0").into()).is_ok() {
            both.listen(1).unwrap();
            let said = PassedSocket::new(7, "mx".to_owned(), both.into()).unwrap_err().to_string();
            assert!(said.contains("BindIPv6Only=ipv6-only"), "{said}");
        }
    }
}
