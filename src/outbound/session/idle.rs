//! A connection as tests of the pool want it.

use super::*;

impl Connection {
    /// One without TLS that has carried so many messages.
    pub(in crate::outbound) fn idle(tcp: tokio::net::TcpStream, messages: u32) -> Box<Self> {
        let settings =
            Settings { ehlo_name: "relay.example".into(), tls: TlsPlan::Never, timeouts: Default::default() };
        let target = Target {
            name: None,
            name_is_trusted: false,
            address: tcp.peer_addr().unwrap(),
            security: crate::dns::Security::Unknown,
            published: Default::default(),
            requirement: None,
            unmet: None,
        };
        Box::new(Self {
            session: ClientSession::new(settings, clock::now()),
            stream: Stream::Plain(tcp),
            target,
            way: Way::Plaintext,
            certificate: CertificateUse::Ignored,
            peer: None,
            checked: None,
            messages,
            buffer: Vec::new(),
        })
    }
}
