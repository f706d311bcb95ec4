//! Who may send to whom: hosted domains from anybody, other domains from trusted clients where the listener relays.

use crate::model::address::Address;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};

use super::rules::{PolicySet, Recipients};

/// Whose mail a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Mail for hosted domains, from anybody.
    Mx,
    /// Mail to anywhere, from trusted clients.
    Smarthost,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Smarthost => "smarthost",
        }
    }

    /// Whether a session answers to its listener's floor instead of the domains' policies. One of role smarthost does
    /// whoever it is: strangers are denied at RCPT anyway.
    pub fn answers_to_floor(self, trusted: bool) -> bool {
        trusted || self == Self::Smarthost
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
    pub fn of(role: Role, relay: bool, trusted: bool) -> Self {
        match role {
            Role::Mx if trusted && relay => Self::Anywhere,
            Role::Mx => Self::HostedOnly,
            Role::Smarthost if trusted => Self::Anywhere,
            Role::Smarthost => Self::Nothing,
        }
    }
}

/// Whether a recipient is accepted, apart from TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    RelayDenied,
    NoSuchUser,
}

impl Admission {
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Admitted => None,
            Self::RelayDenied => Some(Reason::RelayDenied),
            Self::NoSuchUser => Some(Reason::NoSuchUser),
        }
    }

    /// The reply of a refusal. `id` is the audit record's.
    pub fn reply(self, id: &str) -> Option<Reply> {
        match self {
            Self::Admitted => None,
            Self::RelayDenied => {
                let text = format!("Relaying denied: this server takes no mail for that domain from you; id={id}");
                Some(Reply::new(Code::REFUSED, EnhancedCode::new(5, 7, 1), text))
            }
            Self::NoSuchUser => {
                let text = format!("No such recipient here; id={id}");
                Some(Reply::new(Code::REFUSED, EnhancedCode::new(5, 1, 1), text))
            }
        }
    }
}

/// Decides about one recipient. Only `hosted` opens a domain to strangers; a route never does.
pub fn admit(policies: &PolicySet, permission: Permission, recipient: &Address) -> Admission {
    let policy = recipient.domain().and_then(|domain| policies.find(domain)).map(|(policy, _)| policy);
    let hosted = policy.filter(|policy| policy.hosted);
    match (permission, hosted) {
        (Permission::Nothing, _) | (Permission::HostedOnly, None) => Admission::RelayDenied,
        (Permission::Anywhere, None) => Admission::Admitted,
        (_, Some(policy)) if exists(&policy.recipients, recipient) => Admission::Admitted,
        (_, Some(_)) => Admission::NoSuchUser,
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
    use crate::model::domain::DomainPattern;
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
        for (role, relay, trusted, expected) in [
            (Role::Mx, false, false, Permission::HostedOnly),
            (Role::Mx, true, false, Permission::HostedOnly),
            (Role::Mx, false, true, Permission::HostedOnly),
            (Role::Mx, true, true, Permission::Anywhere),
            (Role::Smarthost, false, false, Permission::Nothing),
            (Role::Smarthost, false, true, Permission::Anywhere),
        ] {
            assert_eq!(Permission::of(role, relay, trusted), expected, "{role:?} {relay} {trusted}");
        }
    }

    #[test]
    fn strangers_reach_hosted_domains_only_whatever_is_routed() {
        use Admission::{Admitted, NoSuchUser, RelayDenied};
        use Permission::{Anywhere, HostedOnly, Nothing};
        let policies = policies();
        for (permission, to, expected) in [
            (HostedOnly, "a@hosted.example", Admitted),
            (HostedOnly, "a@routed.example", RelayDenied),
            (HostedOnly, "a@unknown.example", RelayDenied),
            (HostedOnly, "a@sub.hosted.example", RelayDenied),
            (HostedOnly, "a@[127.0.0.1]", RelayDenied),
            (HostedOnly, "\"a@hosted.example\"@unknown.example", RelayDenied),
            (HostedOnly, "a%hosted.example@unknown.example", RelayDenied),
            (HostedOnly, "Alice@listed.example", Admitted),
            (HostedOnly, "\"alice\"@listed.example", Admitted),
            (HostedOnly, "bob@listed.example", Admitted),
            (HostedOnly, "carol@listed.example", NoSuchUser),
            (HostedOnly, "postmaster@listed.example", Admitted),
            (Anywhere, "a@unknown.example", Admitted),
            (Anywhere, "carol@listed.example", NoSuchUser),
            (Nothing, "a@hosted.example", RelayDenied),
        ] {
            let address = Address::parse(to, Charset::Ascii).unwrap();
            assert_eq!(admit(&policies, permission, &address), expected, "{permission:?} {to}");
        }
    }
}
