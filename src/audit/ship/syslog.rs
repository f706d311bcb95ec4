//! Syslog: each checkpoint is one datagram in the form of RFC 5424.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, UnixDatagram, lookup_host};
use tokio::time::timeout;

use crate::model::address::Host;
use crate::model::destination::SyslogTarget;

use super::SendError;
use super::tray::Shipment;

/// Facility 13 "log audit", severity 5 "notice" (RFC 5424 section 6.2.1).
const PRIORITY: u8 = 13 * 8 + 5;
/// Longest HOSTNAME (RFC 5424 section 6).
const HOSTNAME_BYTES_MAX: usize = 255;
/// How long a host gets to say that nobody listens there.
const REFUSAL_WAIT: Duration = Duration::from_millis(200);

/// The datagram: the line is MSG, as it is in the log. `hostname` is printable ASCII.
pub(super) fn frame(hostname: &str, pid: u32, shipment: &Shipment) -> String {
    let hostname = if hostname.is_empty() || hostname.len() > HOSTNAME_BYTES_MAX { "-" } else { hostname };
    format!("<{PRIORITY}>1 {} {hostname} gatepost {pid} checkpoint - {}", shipment.time, shipment.line)
}

/// Success means that the system took it; over UDP nobody confirms more.
pub(super) async fn send(target: &SyslogTarget, datagram: &str) -> Result<(), SendError> {
    match target {
        SyslogTarget::Socket(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            whole(socket.send(datagram.as_bytes()).await?, datagram)
        }
        SyslogTarget::Udp { host, port } => {
            let to = resolve(host, *port).await?;
            let from: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(from).await?;
            socket.connect(to).await?;
            whole(socket.send(datagram.as_bytes()).await?, datagram)?;
            // A refusal (ICMP) comes back as an error of the next read; nothing else is expected there.
            match timeout(REFUSAL_WAIT, socket.recv(&mut [0; 1])).await {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(_)) | Err(_) => Ok(()),
            }
        }
    }
}

fn whole(sent: usize, datagram: &str) -> Result<(), SendError> {
    if sent == datagram.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero).into()) }
}

async fn resolve(host: &Host, port: u16) -> Result<SocketAddr, SendError> {
    match host {
        Host::Literal(ip) => Ok((*ip, port).into()),
        Host::Name(name) => lookup_host((name.as_str(), port)).await?.next().ok_or(SendError::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn shipment() -> Shipment {
        let time = Timestamp::from_micros(1_798_859_045_678_901);
        Shipment { seq: 7, time, line: r#"{"seq":7,"event":"checkpoint"}"#.into() }
    }

    #[test]
    fn a_message_has_the_header_of_rfc_5424_and_the_line_as_it_is() {
        let expected = concat!(
            "<109>1 2027-01-02T03:04:05.678901Z mx1.example.org gatepost 42 checkpoint - ",
            r#"{"seq":7,"event":"checkpoint"}"#
        );
        assert_eq!(frame("mx1.example.org", 42, &shipment()), expected);
        assert!(frame(&"x".repeat(256), 42, &shipment()).contains("Z - gatepost 42 "));
    }

    #[tokio::test]
    async fn it_arrives_as_one_datagram_over_udp_and_over_a_socket() {
        let datagram = frame("mx1.example.org", 42, &shipment()) + &"x".repeat(1500);
        let mut buffer = vec![0; 4096];

        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = SyslogTarget::parse(&format!("udp://{}", receiver.local_addr().unwrap())).unwrap();
        send(&target, &datagram).await.unwrap();
        let length = receiver.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], datagram.as_bytes());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        send(&SyslogTarget::Socket(path), &datagram).await.unwrap();
        let length = receiver.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], datagram.as_bytes());
    }

    #[tokio::test]
    async fn a_receiver_that_is_not_there_is_an_error_where_the_system_tells() {
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let target = SyslogTarget::parse(&format!("udp://{free}")).unwrap();
        assert!(send(&target, "x").await.is_err());
        assert!(send(&SyslogTarget::Socket("/nonexistent/log".into()), "x").await.is_err());
    }
}
