//! Which listeners are tested, and where they are reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::cli::output::Failure;
use crate::config::{ListenerConfig, ListenerTls};
use crate::model::human::shown;
use crate::model::spelling::choice;

/// One listener to test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) listener: &'a ListenerConfig,
    pub(super) address: SocketAddr,
}

/// The one that is named, else all that speak TLS. `address` overrides where the one listener is.
pub(super) fn choose<'a>(
    listeners: &'a [ListenerConfig],
    name: Option<&str>,
    address: Option<SocketAddr>,
) -> Result<Vec<Target<'a>>, Failure> {
    let is_wanted = |listener: &&ListenerConfig| match name {
        Some(name) => listener.name == name,
        None => listener.tls != ListenerTls::Off,
    };
    let wanted: Vec<&ListenerConfig> = listeners.iter().filter(is_wanted).collect();
    let all: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
    let names = || all.join(", ");
    match (wanted.as_slice(), name, address) {
        ([], Some(name), _) => {
            let message = format!("no listener is named \"{}\"", shown(name));
            Err(Failure::usage(message, choice(name, &all)))
        }
        ([], None, _) => Err(Failure::usage("no listener speaks TLS", format!("name one of these: {}", names()))),
        ([listener], _, Some(address)) => Ok(vec![Target { listener, address }]),
        (_, _, Some(_)) => {
            let help = format!("name the listener that is there: {}", names());
            Err(Failure::usage("--address is for one listener, and there are several", help))
        }
        (wanted, _, None) => wanted.iter().map(|listener| bound(listener)).collect(),
    }
}

fn bound(listener: &ListenerConfig) -> Result<Target<'_>, Failure> {
    let address = listener.bind.iter().find_map(|bind| reachable(*bind)).ok_or_else(|| {
        let message = format!("the port of listener \"{}\" is not known: the system chose it", listener.name);
        let help = format!("say where it is: gatepost selftest {} --address HOST:PORT", listener.name);
        Failure::usage(message, help)
    })?;
    Ok(Target { listener, address })
}

/// Where to connect to for what a listener is bound to; `None` if only the daemon knows.
fn reachable(bind: SocketAddr) -> Option<SocketAddr> {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (bind.port() != 0).then(|| SocketAddr::new(ip, bind.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tls::ProtocolVersion;
    use crate::policy::inbound::Floor;
    use crate::policy::relay::Role;

    fn listener(name: &str, tls: ListenerTls, bind: &[&str]) -> ListenerConfig {
        ListenerConfig {
            name: name.into(),
            bind: bind.iter().map(|bind| bind.parse().unwrap()).collect(),
            role: Role::Mx,
            tls,
            offer: ProtocolVersion::Tls1_0,
            request_client_certificate: false,
            client_ca: None,
            relay: false,
            floor: Floor::default(),
        }
    }

    #[test]
    fn listeners_are_found_with_the_address_that_reaches_them() {
        let listeners = [
            listener("mx", ListenerTls::Starttls, &["0.0.0.0:25", "[::]:25"]),
            listener("six", ListenerTls::Implicit, &["[::]:465"]),
            listener("own", ListenerTls::Off, &["192.0.2.1:2525"]),
            listener("port", ListenerTls::Off, &["127.0.0.1:0"]),
        ];
        let check = |name: Option<&str>, address: Option<&str>, expected: Result<&[&str], &str>| {
            let chosen = choose(&listeners, name, address.map(|address| address.parse().unwrap()));
            let seen = chosen.map(|targets| {
                let text = |target: &Target<'_>| format!("{} {}", target.listener.name, target.address);
                targets.iter().map(text).collect::<Vec<_>>()
            });
            match (seen, expected) {
                (Ok(seen), Ok(expected)) => assert_eq!(seen, expected),
                (Err(Failure::Told { message, .. }), Err(expected)) => assert!(message.contains(expected), "{message}"),
                (seen, expected) => panic!("{name:?} {address:?}: {seen:?}, expected {expected:?}"),
            }
        };
        check(None, None, Ok(&["mx 127.0.0.1:25", "six [::1]:465"]));
        check(Some("own"), None, Ok(&["own 192.0.2.1:2525"]));
        check(Some("mx"), Some("198.51.100.7:2025"), Ok(&["mx 198.51.100.7:2025"]));
        check(Some("port"), Some("127.0.0.1:9"), Ok(&["port 127.0.0.1:9"]));
        check(Some("port"), None, Err("port of listener \"port\" is not known"));
        check(Some("nix"), None, Err("no listener is named \"nix\""));
        check(None, Some("127.0.0.1:9"), Err("for one listener"));
        assert!(matches!(choose(&listeners[2..], None, None), Err(Failure::Told { .. })));
    }
}
