//! Which DNS servers are asked, and whether their word about DNSSEC counts.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use hickory_resolver::system_conf::read_system_conf;

use crate::model::name_server::{is_believed, is_near};

use super::anchors::AnchorError;

/// What the operator wants of DNSSEC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dnssec {
    /// Nothing is written: [`Mode::TrustAd`] if every server is on this host and believed, else [`Mode::Off`].
    #[default]
    Auto,
    Off,
    TrustAd,
    /// With the built-in keys of the root if no file of keys is named.
    Validate {
        trust_anchor: Option<PathBuf>,
    },
}

/// How DNSSEC is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all: no answer counts as secure.
    Off,
    /// The servers validate and say so by the AD bit (RFC 6840 section 5.8).
    TrustAd,
    /// Signatures are checked here.
    Validate,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::TrustAd => "trust-ad",
            Self::Validate => "validate",
        }
    }
}

/// The servers to ask.
#[derive(Clone, Debug)]
pub struct Servers {
    pub(super) configs: Vec<NameServerConfig>,
    /// Those of `/etc/resolv.conf`.
    pub of_system: bool,
    pub mode: Mode,
}

/// Why the resolver cannot be set up: the operator's to repair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("/etc/resolv.conf names no usable DNS server ({detail}); repair it or set servers in [dns]")]
    SystemConfiguration { detail: String },
    #[error(
        "dnssec = \"trust-ad\" would believe the DNS server {server}, which is not on this host: on the way anybody \
         can set the AD bit; name a validating resolver on this host in [dns] servers, or write dnssec = \"validate\""
    )]
    FarServer { server: IpAddr },
    #[error("{0}")]
    TrustAnchor(#[from] AnchorError),
    #[error("the DNS resolver cannot be set up: {detail}")]
    Resolver { detail: String },
}

impl Servers {
    /// The written servers, or those of the system if none is written.
    pub fn in_force(written: &[SocketAddr], dnssec: &Dnssec) -> Result<Self, SetupError> {
        let configs = match written {
            [] => {
                // Names are absolute: the domain and the search list of the system are not used.
                let (system, _) = read_system_conf()
                    .map_err(|error| SetupError::SystemConfiguration { detail: error.to_string() })?;
                system.name_servers().to_vec()
            }
            written => written.iter().copied().map(name_server).collect(),
        };
        let mode = mode(dnssec, configs.iter().map(|config| config.ip))?;
        Ok(Self { configs, of_system: written.is_empty(), mode })
    }
}

fn mode(dnssec: &Dnssec, mut servers: impl Iterator<Item = IpAddr>) -> Result<Mode, SetupError> {
    match dnssec {
        Dnssec::Validate { .. } => Ok(Mode::Validate),
        Dnssec::Auto if servers.all(is_believed) => Ok(Mode::TrustAd),
        Dnssec::Auto | Dnssec::Off => Ok(Mode::Off),
        Dnssec::TrustAd => match servers.find(|server| !is_near(*server)) {
            Some(server) => Err(SetupError::FarServer { server }),
            None => Ok(Mode::TrustAd),
        },
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    udp.port = address.port();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_on_this_host_are_believed() {
        let validate = Dnssec::Validate { trust_anchor: None };
        let far = |server: &str| Err(SetupError::FarServer { server: server.parse().unwrap() });
        for (dnssec, servers, expected) in [
            (Dnssec::Auto, "127.0.0.1", Ok(Mode::TrustAd)),
            (Dnssec::Auto, "127.0.0.53 ::1 ::ffff:127.0.0.1", Ok(Mode::TrustAd)),
            (Dnssec::Auto, "127.0.0.1 192.0.2.1", Ok(Mode::Off)),
            (Dnssec::Auto, "10.0.0.1", Ok(Mode::Off)),
            (Dnssec::Auto, "127.0.0.11", Ok(Mode::Off)),
            (Dnssec::TrustAd, "127.0.0.11", Ok(Mode::TrustAd)),
            (Dnssec::TrustAd, "127.0.0.1 ::1", Ok(Mode::TrustAd)),
            (Dnssec::TrustAd, "127.0.0.1 192.0.2.1", far("192.0.2.1")),
            (Dnssec::TrustAd, "fd00::1", far("fd00::1")),
            (Dnssec::Off, "127.0.0.1", Ok(Mode::Off)),
            (validate.clone(), "192.0.2.1", Ok(Mode::Validate)),
            (validate, "127.0.0.1", Ok(Mode::Validate)),
        ] {
            let ips = servers.split_whitespace().map(|ip| ip.parse().unwrap());
            assert_eq!(mode(&dnssec, ips), expected, "{dnssec:?} {servers}");
        }
    }
}
