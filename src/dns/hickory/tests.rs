//! The real resolver against servers on loopback.

use std::str::FromStr;

use tokio::net::{TcpListener, UdpSocket};

use super::super::cache::CachingResolver;
use super::*;

mod plain;
mod trust_ad;
mod validate;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn dns_name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

/// TCP and UDP of one port number, which may be free for TCP only at first.
async fn sockets() -> (TcpListener, UdpSocket) {
    for _ in 0..10 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both");
}

fn resolver_with(server: SocketAddr, dnssec: Dnssec) -> CachingResolver {
    let options = Options { servers: vec![server], dnssec, try_timeout: Duration::from_secs(5), tries: 2 };
    CachingResolver::new(HickoryResolver::new(&options).unwrap())
}
