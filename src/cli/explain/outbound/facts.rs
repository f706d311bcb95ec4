//! What is known of the next hop: looked up, or given in a file of JSON, the answer of this command among them.

use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::published::PublishedRecord;
use crate::cli::output::Failure;
use crate::dns::Security;
use crate::model::domain::Domain;
use crate::model::human::shown;
use crate::model::reason::Reason;
use crate::outbound::targets::NextHost;
use crate::policy::outbound::NextHop;
use crate::policy::published::Published;

use super::tlsa::TlsaFact;

/// Longest file of facts, in bytes.
const FACTS_BYTES_MAX: u64 = 1 << 20;
/// Most hosts in it.
const HOSTS_MAX: usize = 100;
const SMTP_PORT: u16 = 25;
/// Of the setting, not of the destination.
pub(in crate::cli) const DNSSEC_IS_OFF: &str = "DNSSEC is off here ([dns] dnssec), so TLSA records were not asked for";

/// The hosts of the next hop in the order to try, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Facts {
    #[serde(default)]
    pub(super) hosts: Vec<HostFact>,
    #[serde(default)]
    pub(super) failure: Option<NoHost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostFact {
    /// `None` for an address literal.
    #[serde(default)]
    pub(super) name: Option<Domain>,
    /// Of its MX record.
    #[serde(default)]
    pub(super) preference: Option<u16>,
    #[serde(default = "smtp_port")]
    pub(super) port: u16,
    #[serde(default)]
    pub(super) addresses: Vec<IpAddr>,
    #[serde(default)]
    pub(super) dnssec: Dnssec,
    /// The name does not come from unsigned DNS. Where all of DNSSEC is secure it never does.
    #[serde(default)]
    pub(super) trusted: bool,
    /// Whether there are TLSA records, the policy of MTA-STS and what was learned, as audit records have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<PublishedRecord>,
    /// The records themselves. They go before what `published` says of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tlsa: Option<TlsaFact>,
    /// The same for people, line by line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) found: Vec<String>,
    /// It cannot be used, because it is not known whether it has TLSA records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unusable: Option<NoHost>,
}

/// A host that is asked about.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Asked {
    /// `None` for an address literal, and where it is not known.
    pub(super) name: Option<Domain>,
    pub(super) name_is_trusted: bool,
    pub(super) published: Published,
    /// Why it cannot be used whatever the session is.
    pub(super) unusable: Option<NoHost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoHost {
    pub(super) reason: Reason,
    /// Trying again does not help.
    #[serde(default)]
    pub(super) permanent: bool,
    #[serde(default)]
    pub(super) detail: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dnssec {
    #[default]
    Unknown,
    Insecure,
    Secure,
}

const fn smtp_port() -> u16 {
    SMTP_PORT
}

impl Dnssec {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Insecure => "insecure",
            Self::Secure => "secure",
        }
    }
}

impl From<NextHost> for HostFact {
    fn from(host: NextHost) -> Self {
        let dnssec = match host.security {
            Security::Unknown => Dnssec::Unknown,
            Security::Insecure => Dnssec::Insecure,
            Security::Secure => Dnssec::Secure,
        };
        let NextHost { name, preference, port, addresses, name_is_trusted, .. } = host;
        Self { name, preference, port, addresses, dnssec, trusted: name_is_trusted, ..Self::default() }
    }
}

impl Default for HostFact {
    fn default() -> Self {
        Self {
            name: None,
            preference: None,
            port: SMTP_PORT,
            addresses: Vec::new(),
            dnssec: Dnssec::default(),
            trusted: false,
            published: None,
            tlsa: None,
            found: Vec::new(),
            unusable: None,
        }
    }
}

impl HostFact {
    fn asked(&self, is_written: bool) -> Asked {
        let mut published = self.published.as_ref().map(PublishedRecord::published).unwrap_or_default();
        if let Some(tlsa) = &self.tlsa {
            published.dane = tlsa.dane();
        }
        Asked {
            name: self.name.clone(),
            name_is_trusted: is_written || self.trusted || self.dnssec == Dnssec::Secure,
            published,
            unusable: self.unusable.clone(),
        }
    }

    /// Why it was not asked for TLSA records. `None`: they were, or an address has none.
    pub(super) fn no_tlsa(&self, dnssec_is_off: bool) -> Option<&'static str> {
        self.name.as_ref()?;
        match self.dnssec {
            Dnssec::Unknown if dnssec_is_off => Some(DNSSEC_IS_OFF),
            Dnssec::Unknown => Some("nobody validated the addresses, so TLSA records were not asked for"),
            Dnssec::Insecure => Some("the addresses are not signed, so no TLSA record counts"),
            Dnssec::Secure => None,
        }
    }

    /// The name, or the address where there is none.
    pub(super) fn shown(&self) -> String {
        match (&self.name, self.addresses.first()) {
            (Some(name), _) => name.to_string(),
            (None, Some(address)) => format!("[{address}]"),
            (None, None) => "a host".to_owned(),
        }
    }
}

impl Asked {
    /// A host of which nothing is known but perhaps its name, and whether the operator wrote it.
    pub(in crate::cli) fn named(name: Option<Domain>, is_written: bool) -> Self {
        Self { name, name_is_trusted: is_written, ..Self::default() }
    }
}

impl Facts {
    pub(super) fn found(hosts: Vec<HostFact>) -> Self {
        Self { hosts, failure: None }
    }

    /// One host of which nothing is known but perhaps its name.
    pub(super) fn thought_of(name: Option<Domain>) -> Self {
        Self { hosts: vec![HostFact { name, ..HostFact::default() }], failure: None }
    }

    pub(super) fn failed(reason: Reason, permanent: bool, detail: String) -> Self {
        Self { hosts: Vec::new(), failure: Some(NoHost { reason, permanent, detail }) }
    }

    /// The hosts to judge a session by, in order: those that were found, else those of the route; one that is not known
    /// if there is neither.
    pub(super) fn asked(&self, next_hop: &NextHop) -> Vec<Asked> {
        let is_written = matches!(next_hop, NextHop::Route(_));
        match (self.hosts.as_slice(), next_hop) {
            ([], NextHop::Mx) => vec![Asked::default()],
            ([], NextHop::Route(route)) => {
                route.hosts.iter().map(|hop| Asked::named(hop.host.domain().cloned(), true)).collect()
            }
            (hosts, _) => hosts.iter().map(|host| host.asked(is_written)).collect(),
        }
    }
}

/// Reads a file of facts.
pub(super) fn read(path: &Path) -> Result<Facts, Failure> {
    let unreadable = |what: String| {
        let message = format!("{}: {}", shown(&path.display().to_string()), shown(&what));
        Failure::usage(message, EXAMPLE)
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    file.take(FACTS_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > FACTS_BYTES_MAX {
        return Err(unreadable(format!("longer than {FACTS_BYTES_MAX} bytes")));
    }
    parse(&text).map_err(unreadable)
}

const EXAMPLE: &str = "write JSON such as {\"hosts\": [{\"name\": \"mx1.bank.example\", \"preference\": 10, \
                       \"addresses\": [\"192.0.2.1\"], \"dnssec\": \"insecure\"}]}, or give an answer of this command \
                       with --json";

pub(in crate::cli) fn parse(text: &str) -> Result<Facts, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let own = value.get("next_hop").cloned();
    let facts: Facts = serde_json::from_value(own.unwrap_or(value)).map_err(|error| error.to_string())?;
    match (facts.hosts.len(), &facts.failure) {
        (0, None) => Err("it names neither hosts nor a failure".to_owned()),
        (1.., Some(_)) => Err("it names hosts and a failure, and only one of them can be".to_owned()),
        (HOSTS_MAX.., _) => Err(format!("it names more than {HOSTS_MAX} hosts")),
        _ => Ok(facts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_with_their_defaults_or_refused_with_what_is_wrong() {
        let whole = r#"{"hosts": [{"name": "MX.example.", "preference": 5, "addresses": ["192.0.2.1"],
                        "dnssec": "secure", "port": 2525}]}"#;
        let host = parse(whole).unwrap().hosts.remove(0);
        assert_eq!((host.shown().as_str(), host.port, host.dnssec), ("mx.example", 2525, Dnssec::Secure));
        let bare = parse(r#"{"next_hop": {"hosts": [{"addresses": ["2001:db8::1"]}], "failure": null}, "x": 1}"#);
        let bare = bare.unwrap().hosts.remove(0);
        assert_eq!((bare.shown().as_str(), bare.port, bare.dnssec), ("[2001:db8::1]", 25, Dnssec::Unknown));
        let failure = parse(r#"{"failure": {"reason": "null-mx", "permanent": true}}"#).unwrap().failure.unwrap();
        assert_eq!((failure.reason, failure.permanent), (Reason::NullMx, true));
        for (text, expected) in [
            ("", "EOF"),
            ("{}", "neither hosts nor a failure"),
            (r#"{"host": []}"#, "unknown field `host`"),
            (r#"{"hosts": [{"nam": "a"}]}"#, "unknown field `nam`"),
            (r#"{"hosts": [{"name": "a b"}]}"#, "letters, digits"),
            (r#"{"hosts": [{"name": "a", "tlsa": {"records": ["3 1 1 0"]}}]}"#, "\"3 1 1 0\" is no TLSA record"),
            (r#"{"hosts": [{"name": "a"}], "failure": {"reason": "null-mx"}}"#, "only one"),
            (r#"{"failure": {"reason": "nul-mx"}}"#, "unknown variant `nul-mx`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
