//! The commented configuration that `gatepost init DIR` writes: the files of `config/`, made to fit host and folder.

mod fit;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::model::domain::Domain;
use crate::model::tls::ProtocolVersion;
use crate::policy::settings::Mode;

use super::values;

/// Where the starter configuration expects the certificate, relative to its folder.
pub const STARTER_CHAIN: &str = "tls/server.pem";
/// Where it expects the key.
pub const STARTER_KEY: &str = "tls/server.key";
/// The same for old clients, which need RSA.
pub const STARTER_LEGACY_CHAIN: &str = "tls/legacy.pem";
pub const STARTER_LEGACY_KEY: &str = "tls/legacy.key";

/// The start of the line that keeps the second certificate for the stack of old clients. Without that stack it serves
/// those that know RSA alone.
const LEGACY_LINE: &str = "stack = \"legacy\"";

/// The folder that the templates are written for.
const SYSTEM_FOLDER: &str = "/etc/gatepost";
/// The host of the templates.
const TEMPLATE_HOSTNAME: &str = "mx1.example.org";
/// The mail domain of the templates.
const TEMPLATE_DOMAIN: &str = "example.org";

/// Paths of the templates, and what they are outside `/etc`: beside the configuration.
const SYSTEM_PATHS: [(&str, &str); 4] = [
    ("\"/var/lib/gatepost\"", "\"spool\""),
    ("\"/var/lib/gatepost/audit.key\"", "\"audit.key\""),
    ("\"/var/log/gatepost/audit\"", "\"audit\""),
    ("\"/run/gatepost/control.sock\"", "\"control.sock\""),
];

const MAIN: &str = "gatepost.toml";
const DOMAIN: &str = "domains.d/example.toml";
const RECIPIENTS: &str = "domains.d/recipients.txt";
const CASES: &str = "tests.d/example.toml";

const TEMPLATES: [(&str, &str); 4] = [
    (MAIN, include_str!("../../config/gatepost.toml")),
    (DOMAIN, include_str!("../../config/domains.d/example.toml")),
    (RECIPIENTS, include_str!("../../config/domains.d/recipients.txt")),
    (CASES, include_str!("../../config/tests.d/example.toml")),
];

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarterFile {
    pub path: PathBuf,
    pub content: String,
}

/// What a relay is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It takes mail for its domains from anyone.
    Mx,
    /// It sends the mail of its own hosts to anywhere.
    SmartHost,
    Both,
}

impl Duty {
    pub fn is_mx(self) -> bool {
        self != Self::SmartHost
    }

    pub fn is_smart_host(self) -> bool {
        self != Self::Mx
    }
}

/// What a starter configuration is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub hostname: Domain,
    pub duty: Duty,
    /// Its own domains; the first has the postmaster. Without any it is the domain above the hostname.
    pub domains: Vec<Domain>,
    /// `HOST:PORT` where the mailboxes of the domains are; without any a place to be changed.
    pub mailboxes: Vec<String>,
    /// Networks of its own hosts.
    pub trusted: Vec<IpNet>,
    /// Where it takes mail; without any port 25 of all addresses.
    pub bind: Vec<SocketAddr>,
    /// What mail from and to its domains must have at least, and what becomes of mail that has less.
    pub floor: Option<(ProtocolVersion, Mode)>,
    /// Files of the chain and the key; without them [`STARTER_CHAIN`] and [`STARTER_KEY`].
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Plan {
    /// For a host of which nothing but its name is known.
    pub fn new(hostname: Domain) -> Self {
        let (domains, mailboxes, trusted, bind) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { hostname, duty: Duty::Mx, domains, mailboxes, trusted, bind, floor: None, certificate: None }
    }

    /// The domain that the postmaster is in.
    pub fn first_domain(&self) -> Domain {
        self.domains.first().cloned().unwrap_or_else(|| domain_of(&self.hostname))
    }
}

/// The domain that a mail host of this name usually serves.
pub fn domain_of(hostname: &Domain) -> Domain {
    hostname.parent().filter(|parent| parent.label_count() >= 2).unwrap_or_else(|| hostname.clone())
}

/// Whether this can stand in [`Plan::mailboxes`]; if not, why, and how to write it.
pub fn check_next_hop(text: &str) -> Result<(), String> {
    values::host_port(text).map(|_| ()).map_err(|invalid| format!("{}; {}", invalid.message, invalid.remedy))
}

/// The files of a starter configuration in `dir`. Nothing is written. Outside `/etc/gatepost` spool, audit log and
/// control socket are placed in `dir` too, so that it can be tried without system folders.
pub fn starter(dir: &Path, plan: &Plan) -> Vec<StarterFile> {
    let system = dir == Path::new(SYSTEM_FOLDER);
    let fit = |name: &str, template: &str| {
        let template = if cfg!(feature = "legacy-tls") { template.to_owned() } else { without_legacy(template) };
        let named = with_names(&template, plan);
        let placed = match system {
            true => named,
            false => SYSTEM_PATHS.iter().fold(named, |text, (from, to)| text.replace(from, to)),
        };
        // Last, so that what the operator has named stays as it is.
        fit::fit(name, &placed, plan)
    };
    let wanted = TEMPLATES.iter().filter(|(name, _)| plan.duty.is_mx() || *name != RECIPIENTS);
    wanted.map(|(name, template)| StarterFile { path: dir.join(name), content: fit(name, template) }).collect()
}

fn without_legacy(template: &str) -> String {
    template.split_inclusive('\n').filter(|line| !line.starts_with(LEGACY_LINE)).collect()
}

fn with_names(template: &str, plan: &Plan) -> String {
    let domain = plan.first_domain();
    let around: Vec<String> =
        template.split(TEMPLATE_HOSTNAME).map(|text| text.replace(TEMPLATE_DOMAIN, domain.as_str())).collect();
    around.join(plan.hostname.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_stack_of_old_clients_both_certificates_serve_all() {
        let (_, template) = TEMPLATES[0];
        let fitted = without_legacy(template);
        assert_eq!(fitted.lines().count() + 1, template.lines().count());
        assert!(fitted.contains(STARTER_LEGACY_KEY) && !fitted.lines().any(|line| line.starts_with("stack")));
    }
}
