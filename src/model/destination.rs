//! Where checkpoints of the audit log can be sent, as an operator writes it: a syslog or a webhook.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::address::Host;
use super::domain::Domain;

/// The port of syslog over UDP (RFC 5426 section 3.3).
const SYSLOG_PORT: u16 = 514;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
const URL_BYTES_MAX: usize = 2048;

/// Why a text names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("it begins with none of the schemes that can be used")]
    Scheme,
    #[error("the host is neither a name nor an IP address; IPv6 stands in brackets")]
    Host,
    #[error("the port is not from 1 to 65535")]
    Port,
    #[error("the path of the socket is not absolute")]
    Path,
    #[error("it has an octet that is no printable ASCII, a fragment, or more than 2048 octets")]
    Text,
    #[error("it has a user name or a password")]
    Credentials,
    #[error("without TLS everybody on the way can read and change it: http is for loopback alone")]
    Clear,
}

/// A syslog receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTarget {
    /// `udp://192.0.2.5:514`; each message is one datagram.
    Udp { host: Host, port: u16 },
    /// `unix:///dev/log`; a datagram socket.
    Socket(PathBuf),
}

impl SyslogTarget {
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        if let Some(path) = text.strip_prefix("unix://") {
            let is_absolute = path.starts_with('/') && !path.ends_with('/');
            return if is_absolute { Ok(Self::Socket(path.into())) } else { Err(DestinationError::Path) };
        }
        let authority = text.strip_prefix("udp://").ok_or(DestinationError::Scheme)?;
        let (host, port) = host_and_port(authority)?;
        Ok(Self::Udp { host, port: port.unwrap_or(SYSLOG_PORT) })
    }
}

impl fmt::Display for SyslogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp { host, port } => write!(f, "udp://{}:{port}", InUrl(host)),
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// `https://…`, or `http://…` on loopback. What stands behind the host may be a secret and is not displayed.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    tls: bool,
    host: Host,
    port: u16,
    /// Path and query.
    target: String,
}

impl WebhookUrl {
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        if text.len() > URL_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('#') {
            return Err(DestinationError::Text);
        }
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(DestinationError::Scheme),
        };
        let (authority, target) = match rest.find(['/', '?']).and_then(|at| rest.split_at_checked(at)) {
            Some((authority, target)) if target.starts_with('/') => (authority, target.to_owned()),
            Some((authority, query)) => (authority, format!("/{query}")),
            None => (rest, "/".to_owned()),
        };
        if authority.contains('@') {
            return Err(DestinationError::Credentials);
        }
        let (host, port) = host_and_port(authority)?;
        if !tls && !is_loopback(&host) {
            return Err(DestinationError::Clear);
        }
        Ok(Self { tls, host, port: port.unwrap_or(if tls { HTTPS_PORT } else { HTTP_PORT }), target })
    }

    pub fn tls(&self) -> bool {
        self.tls
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// All of it, with what is not displayed.
    pub fn whole(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.target)
    }

    /// Path and query, for the request line (RFC 9112 section 3.2.1).
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The value of `Host` (RFC 9110 section 7.2).
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, HTTPS_PORT) | (false, HTTP_PORT) => InUrl(&self.host).to_string(),
            (_, port) => format!("{}:{port}", InUrl(&self.host)),
        }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let rest = if self.target == "/" { "" } else { "…" };
        write!(f, "{scheme}://{}/{rest}", self.authority())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({self})")
    }
}

/// A host as URLs have it: an IPv6 address in brackets, without the tag of SMTP.
struct InUrl<'a>(&'a Host);

impl fmt::Display for InUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Host::Name(name) => write!(f, "{name}"),
            Host::Literal(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Literal(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

fn host_and_port(authority: &str) -> Result<(Host, Option<u16>), DestinationError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']').ok_or(DestinationError::Host)?;
            let ip = ip.parse().map(IpAddr::V6).map_err(|_| DestinationError::Host)?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(DestinationError::Port)?) };
            (Host::Literal(ip), port)
        }
        None => {
            let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
            let host = match name.parse() {
                Ok(ip) => Host::Literal(ip),
                Err(_) => Host::Name(Domain::parse(name).map_err(|_| DestinationError::Host)?),
            };
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0).ok_or(DestinationError::Port)?)
        }
        Some(_) => return Err(DestinationError::Port),
    };
    Ok((host, port))
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Literal(ip) => ip.is_loopback(),
        Host::Name(name) => name.as_str() == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syslog_is_a_host_or_a_socket() {
        for (text, expected) in [
            ("udp://192.0.2.5:514", Ok("udp://192.0.2.5:514")),
            ("udp://192.0.2.5", Ok("udp://192.0.2.5:514")),
            ("udp://Logs.Example.org:5514", Ok("udp://logs.example.org:5514")),
            ("udp://[2001:db8::1]", Ok("udp://[2001:db8::1]:514")),
            ("unix:///dev/log", Ok("unix:///dev/log")),
            ("unix://dev/log", Err(DestinationError::Path)),
            ("unix:///", Err(DestinationError::Path)),
            ("tcp://192.0.2.5:514", Err(DestinationError::Scheme)),
            ("192.0.2.5:514", Err(DestinationError::Scheme)),
            ("udp://", Err(DestinationError::Host)),
            ("udp://2001:db8::1", Err(DestinationError::Host)),
            ("udp://[192.0.2.5]", Err(DestinationError::Host)),
            ("udp://192.0.2.5:0", Err(DestinationError::Port)),
            ("udp://192.0.2.5:+5", Err(DestinationError::Port)),
            ("udp://192.0.2.5:65536", Err(DestinationError::Port)),
        ] {
            let shown = SyslogTarget::parse(text).map(|target| target.to_string());
            assert_eq!(shown, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_webhook_needs_tls_but_on_loopback_and_hides_what_may_be_a_secret() {
        for (text, expected) in [
            ("https://hooks.example.org", Ok(("https://hooks.example.org/", "hooks.example.org", "/"))),
            (
                "https://hooks.example.org/s3cret?k=1",
                Ok(("https://hooks.example.org/…", "hooks.example.org", "/s3cret?k=1")),
            ),
            ("https://192.0.2.1:8443?x", Ok(("https://192.0.2.1:8443/…", "192.0.2.1:8443", "/?x"))),
            ("http://localhost:80/a", Ok(("http://localhost/…", "localhost", "/a"))),
            ("http://127.0.0.1:8080/", Ok(("http://127.0.0.1:8080/", "127.0.0.1:8080", "/"))),
            ("http://[::1]/", Ok(("http://[::1]/", "[::1]", "/"))),
            ("http://192.0.2.1/", Err(DestinationError::Clear)),
            ("http://localhost.example.org/", Err(DestinationError::Clear)),
            ("ftp://hooks.example.org/", Err(DestinationError::Scheme)),
            ("https://me:pass@hooks.example.org/", Err(DestinationError::Credentials)),
            ("https://hooks.example.org/a b", Err(DestinationError::Text)),
            ("https://hooks.example.org/\r\nX: y", Err(DestinationError::Text)),
            ("https://hooks.example.org/#top", Err(DestinationError::Text)),
            ("https:///path", Err(DestinationError::Host)),
            ("https://hooks.example.org:x/", Err(DestinationError::Port)),
        ] {
            let seen = WebhookUrl::parse(text);
            let seen = seen.map(|url| (url.to_string(), url.authority(), url.target().to_owned()));
            let expected = expected.map(|(shown, host, target)| (shown.into(), host.into(), target.into()));
            assert_eq!(seen, expected, "{text}");
        }
    }
}
