//! Next hops as transports name them: `[host]:port`, `domain`, several with commas between.

use std::fmt;
use std::net::IpAddr;

use crate::model::address::Host;
use crate::model::domain::Domain;

use super::lines::items;
use super::master_cf::port_of;

const SMTP_PORT: u16 = 25;

/// One destination of the SMTP client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// As written: the key of the TLS policy table.
    pub key: String,
    pub host: Host,
    pub port: u16,
    /// Without brackets the name is a domain: its MX records come before its own address.
    pub by_mx: bool,
}

/// A destination that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no host with a port that is known")]
pub struct NotAHop(pub String);

/// The destinations in the order in which they are tried.
pub fn parse(text: &str) -> Result<Vec<Hop>, NotAHop> {
    let hops: Vec<Hop> = items(text).into_iter().map(one).collect::<Result<_, _>>()?;
    if hops.is_empty() { Err(NotAHop(text.to_owned())) } else { Ok(hops) }
}

fn one(text: &str) -> Result<Hop, NotAHop> {
    let wrong = || NotAHop(text.to_owned());
    let written = text.strip_prefix("inet:").unwrap_or(text);
    let (name, port, by_mx) = match written.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or_else(wrong)?;
            (name, port.strip_prefix(':').or(Some(port).filter(|port| !port.is_empty())), false)
        }
        None => {
            let (name, port) = written.split_once(':').map_or((written, None), |(name, port)| (name, Some(port)));
            (name, port, true)
        }
    };
    let port = port.map_or(Some(SMTP_PORT), port_of).ok_or_else(wrong)?;
    let bare = match name.split_at_checked("ipv6:".len()) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("ipv6:") => rest,
        _ => name,
    };
    let host = match bare.parse::<IpAddr>() {
        Ok(ip) => Host::Literal(ip),
        Err(_) => Host::Name(Domain::parse(name).map_err(|_| wrong())?),
    };
    let by_mx = by_mx && matches!(host, Host::Name(_));
    Ok(Hop { key: text.to_owned(), host, port, by_mx })
}

/// As our own `hosts` writes it.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Literal(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
            Host::Literal(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_say_that_a_host_is_meant_and_no_domain() {
        for (text, expected, by_mx) in [
            ("[mail.bank.example]", "mail.bank.example:25", false),
            ("[mail.bank.example]:587", "mail.bank.example:587", false),
            ("[mail.bank.example]:submission", "mail.bank.example:587", false),
            ("[192.0.2.1]:2525", "192.0.2.1:2525", false),
            ("192.0.2.1", "192.0.2.1:25", false),
            ("[ipv6:2001:db8::1]", "[2001:db8::1]:25", false),
            ("[IPv6:2001:db8::1]:26", "[2001:db8::1]:26", false),
            ("[2001:db8::1]", "[2001:db8::1]:25", false),
            ("bank.example", "bank.example:25", true),
            ("bank.example:10025", "bank.example:10025", true),
            ("Mail.Bank.example:smtp", "mail.bank.example:25", true),
        ] {
            let hops = parse(text).unwrap();
            let seen: Vec<_> = hops.iter().map(|hop| (hop.to_string(), hop.by_mx, hop.key.as_str())).collect();
            assert_eq!(seen, [(expected.to_owned(), by_mx, text)], "{text}");
        }
        let two = parse("[a.example]:587, b.example").unwrap();
        assert_eq!(two.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.example:587", "b.example:25"]);
    }

    #[test]
    fn what_is_no_host_is_an_error() {
        for text in ["", "[a.example", "[]:25", "a.example:0", "[a.example]:nobody", "unix:private/lmtp", "a b!"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
