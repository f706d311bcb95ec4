//! Who may send to whom: hosted domains from anybody, other domains from trusted clients where the listener relays.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::address::Address;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::tls::TlsFacts;

use super::client_certificate;
use super::names::Fingerprint;
use super::rules::{PolicySet, Recipients};

/// How far a client is trusted, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    Stranger,
    /// By its address.
    Network,
    /// By a certificate that it proved to have: a credential, as good as a login.
    Certificate,
}

impl Trust {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Network => "network",
            Self::Certificate => "certificate",
        }
    }
}

/// Those of `[relay].trusted`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedClients {
    pub networks: Vec<IpNet>,
    /// Of certificates or their keys.
    pub certificates: Vec<Fingerprint>,
}

impl TrustedClients {
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.certificates.is_empty()
    }

    /// Whether the address alone is trusted.
    pub fn has_network_of(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// The highest trust that a session has. `tls` is `None` for plaintext.
    pub fn trust(&self, ip: IpAddr, tls: Option<&TlsFacts>) -> Trust {
        if client_certificate::check_listed(&self.certificates, tls).is_ok() {
            Trust::Certificate
        } else if self.has_network_of(ip) {
            Trust::Network
        } else {
            Trust::Stranger
        }
    }
}

/// Whose mail a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Mail for hosted domains, from anybody.
    Mx,
    /// Mail to anywhere, from trusted clients.
    Smarthost,
    /// Mail to anywhere, from clients with a credential; an address is none (RFC 6409 section 4.3).
    Submission,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Smarthost => "smarthost",
            Self::Submission => "submission",
        }
    }

    /// Whether a session answers to its listener's floor instead of the domains' policies. One of role smarthost or
    /// submission does whoever it is: strangers are denied at RCPT anyway.
    pub fn answers_to_floor(self, trust: Trust) -> bool {
        trust > Trust::Stranger || self != Self::Mx
    }
}

/// What a listener permits its client to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Mail for hosted domains only.
    HostedOnly,
    /// Mail to anywhere.
    Anywhere,
    /// No mail at all.
    Nothing,
}

impl Permission {
    /// `relay` is the listener's: on role mx, trusted clients may send anywhere.
    pub fn of(role: Role, relay: bool, trust: Trust) -> Self {
        match role {
            Role::Mx if trust > Trust::Stranger && relay => Self::Anywhere,
            Role::Mx => Self::HostedOnly,
            Role::Smarthost if trust > Trust::Stranger => Self::Anywhere,
            Role::Submission if trust == Trust::Certificate => Self::Anywhere,
            Role::Smarthost | Role::Submission => Self::Nothing,
        }
    }
}

/// Why a recipient is not taken, apart from TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    Relay,
    NoSuchUser,
}

impl Denial {
    pub const fn reason(self) -> Reason {
        match self {
            Self::Relay => Reason::RelayDenied,
            Self::NoSuchUser => Reason::NoSuchUser,
        }
    }

    /// `id` is the audit record's.
    pub fn reply(self, id: &str) -> Reply {
        match self {
            Self::Relay => {
                let text = format!("Relaying denied: this server takes no mail for that domain from you; id={id}");
                Reply::new(Code::REFUSED, EnhancedCode::new(5, 7, 1), text)
            }
            Self::NoSuchUser => {
                let text = format!("No such recipient here; id={id}");
                Reply::new(Code::REFUSED, EnhancedCode::new(5, 1, 1), text)
            }
        }
    }
}

/// Decides about one recipient. Only `hosted` opens a domain to strangers; a route never does.
pub fn admit(policies: &PolicySet, permission: Permission, recipient: &Address) -> Result<(), Denial> {
    let policy = recipient.domain().and_then(|domain| policies.find(domain)).map(|(policy, _)| policy);
    let hosted = policy.filter(|policy| policy.hosted);
    match (permission, hosted) {
        (Permission::Nothing, _) | (Permission::HostedOnly, None) => Err(Denial::Relay),
        (Permission::Anywhere, None) => Ok(()),
        (_, Some(policy)) if exists(&policy.recipients, recipient) => Ok(()),
        (_, Some(_)) => Err(Denial::NoSuchUser),
    }
}

/// Postmaster exists everywhere (RFC 5321 section 4.5.1).
fn exists(recipients: &Recipients, address: &Address) -> bool {
    match recipients {
        Recipients::Any => true,
        Recipients::Listed { names, .. } => {
            let local = address.local_part_unquoted().to_lowercase();
            let whole = address.domain().map(|domain| format!("{local}@{domain}"));
            address.is_postmaster() || names.contains(&local) || whole.is_some_and(|whole| names.contains(&whole))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::address::Charset;
    use crate::model::cipher::CipherSuite;
    use crate::model::domain::DomainPattern;
    use crate::model::tls::{PeerCertificate, ProtocolVersion};
    use crate::policy::rules::{Defaults, DomainPolicy};
    use crate::policy::settings::{HostPort, IpChoice, OutboundLayer, Route, Source};

    fn policies() -> PolicySet {
        let route = Arc::new(Route {
            name: "route".into(),
            source: Source::BuiltIn,
            hosts: vec![HostPort { host: crate::model::address::Host::parse("[127.0.0.1]").unwrap(), port: 25 }],
            tls: OutboundLayer::default(),
            source_address: None,
            ehlo: None,
            ip: IpChoice::Any,
            client_certificate: None,
        });
        let policy = |name: &str, hosted, recipients| DomainPolicy {
            patterns: vec![DomainPattern::parse(name).unwrap()],
            hosted,
            recipients,
            route: Some(route.clone()),
            ..DomainPolicy::default()
        };
        let names = ["alice", "bob@listed.example"].map(str::to_owned).into_iter().collect();
        let listed = Recipients::Listed { file: "recipients.txt".into(), names: Arc::new(names) };
        let files = vec![
            policy("hosted.example", true, Recipients::Any),
            policy("listed.example", true, listed),
            policy("routed.example", false, Recipients::Any),
        ];
        PolicySet::new(Defaults { route: Some(route), ..Defaults::default() }, files).unwrap()
    }

    #[test]
    fn only_trusted_clients_get_further_than_hosted_domains() {
        use Permission::{Anywhere, HostedOnly, Nothing};
        for (role, relay, expected) in [
            (Role::Mx, false, [HostedOnly, HostedOnly, HostedOnly]),
            (Role::Mx, true, [HostedOnly, Anywhere, Anywhere]),
            (Role::Smarthost, false, [Nothing, Anywhere, Anywhere]),
            (Role::Submission, false, [Nothing, Nothing, Anywhere]),
        ] {
            let permissions = [Trust::Stranger, Trust::Network, Trust::Certificate];
            assert_eq!(permissions.map(|trust| Permission::of(role, relay, trust)), expected, "{role:?} {relay}");
        }
    }

    #[test]
    fn a_session_is_trusted_by_its_certificate_before_its_network() {
        let trusted = TrustedClients {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            certificates: vec![Fingerprint::from_bytes([5; 32])],
        };
        let session = |version, byte: u8| {
            let suite = CipherSuite::by_name("ECDHE-RSA-AES128-SHA").unwrap();
            let peer = PeerCertificate::assumed(Fingerprint::from_bytes([byte; 32]).hex());
            Some(TlsFacts { peer: Some(peer), ..TlsFacts::assumed(version, suite) })
        };
        let (old, new) = (ProtocolVersion::Tls1_1, ProtocolVersion::Tls1_2);
        for (ip, tls, expected) in [
            ("192.0.2.1", None, Trust::Stranger),
            ("10.1.2.3", None, Trust::Network),
            ("::ffff:10.1.2.3", session(new, 6), Trust::Network),
            ("192.0.2.1", session(new, 6), Trust::Stranger),
            ("192.0.2.1", session(new, 5), Trust::Certificate),
            ("192.0.2.1", session(old, 5), Trust::Stranger),
            ("10.1.2.3", session(new, 5), Trust::Certificate),
        ] {
            assert_eq!(trusted.trust(ip.parse().unwrap(), tls.as_ref()), expected, "{ip} {tls:?}");
        }
    }

    #[test]
    fn strangers_reach_hosted_domains_only_whatever_is_routed() {
        use Denial::{NoSuchUser, Relay};
        use Permission::{Anywhere, HostedOnly, Nothing};
        let policies = policies();
        for (permission, to, expected) in [
            (HostedOnly, "a@hosted.example", Ok(())),
            (HostedOnly, "a@routed.example", Err(Relay)),
            (HostedOnly, "a@unknown.example", Err(Relay)),
            (HostedOnly, "a@sub.hosted.example", Err(Relay)),
            (HostedOnly, "a@[127.0.0.1]", Err(Relay)),
            (HostedOnly, "\"a@hosted.example\"@unknown.example", Err(Relay)),
            (HostedOnly, "a%hosted.example@unknown.example", Err(Relay)),
            (HostedOnly, "Alice@listed.example", Ok(())),
            (HostedOnly, "\"alice\"@listed.example", Ok(())),
            (HostedOnly, "bob@listed.example", Ok(())),
            (HostedOnly, "carol@listed.example", Err(NoSuchUser)),
            (HostedOnly, "postmaster@listed.example", Ok(())),
            (Anywhere, "a@unknown.example", Ok(())),
            (Anywhere, "carol@listed.example", Err(NoSuchUser)),
            (Nothing, "a@hosted.example", Err(Relay)),
        ] {
            let address = Address::parse(to, Charset::Ascii).unwrap();
            assert_eq!(admit(&policies, permission, &address), expected, "{permission:?} {to}");
        }
    }
}
