//! A client that waits for each reply and knows what it should be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::process::PATIENCE;

trait Channel: Read + Write {}
impl<T: Read + Write> Channel for T {}

/// One session.
pub struct Client {
    channel: BufReader<Box<dyn Channel>>,
    /// The connection under TLS, to put it there.
    tcp: TcpStream,
}

impl Client {
    /// Connects and takes the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        let channel: Box<dyn Channel> = Box::new(tcp.try_clone().unwrap());
        let mut client = Self { channel: BufReader::new(channel), tcp };
        client.expect("220 ");
        client
    }

    /// Goes on under TLS. The certificate is the only one that is trusted.
    pub fn handshake(self, certificate: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate.to_vec())).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("mx1.example.org").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let channel: Box<dyn Channel> = Box::new(StreamOwned::new(connection, self.tcp.try_clone().unwrap()));
        Self { channel: BufReader::new(channel), tcp: self.tcp }
    }

    pub fn send(&mut self, text: &str) {
        self.channel.get_mut().write_all(text.as_bytes()).unwrap();
        self.channel.get_mut().flush().unwrap();
    }

    /// Sends a command and gives the reply, which must begin so.
    pub fn say(&mut self, command: &str, expected: &str) -> String {
        self.send(&format!("{command}\r\n"));
        let reply = self.reply();
        assert!(reply.starts_with(expected), "{command:?} got {reply:?}, expected {expected:?}");
        reply
    }

    pub fn expect(&mut self, expected: &str) {
        let reply = self.reply();
        assert!(reply.starts_with(expected), "{reply:?}, expected {expected:?}");
    }

    pub fn expect_end(&mut self) {
        let mut rest = String::new();
        self.channel.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }

    fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            self.channel.read_line(&mut line).unwrap();
            let more = line.get(3..4) == Some("-");
            reply.push_str(&line);
            if !more {
                return reply;
            }
        }
    }
}
