//! What a probe is made with: the configuration if there is one, else what the system says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::app::build;
use crate::cli::configuration;
use crate::cli::init::full_system_name;
use crate::cli::output::{Console, Exit, Failure, WIDTH_COLUMNS};
use crate::config::{Config, DnsConfig};
use crate::dns::targets::TargetRule;
use crate::facts::sts_fetch::StsFetcher;
use crate::model::domain::Domain;
use crate::model::human::wrap;
use crate::policy::rules::PolicySet;
use crate::probe::pace::Pace;
use crate::probe::{Patience, Prober, SMTP_PORT};
use crate::tls::roots::Roots;

/// Between two connections to one host.
pub(in crate::cli) const PAUSE: Duration = Duration::from_millis(500);
/// The name of a host that does not know its own.
const NAMELESS: &str = "gatepost-probe.invalid";

/// The configuration, if there is one.
#[derive(Debug)]
pub(in crate::cli) struct Setting(Option<Box<Config>>);

impl Setting {
    /// A configuration that was asked for must be there; that of the system need not.
    pub(in crate::cli) fn find(asked: Option<&Path>) -> Result<Self, Failure> {
        if asked.is_none() && !configuration::file(None).exists() {
            return Ok(Self(None));
        }
        configuration::require(asked).map(|config| Self(Some(Box::new(config))))
    }

    pub(in crate::cli) fn config(&self) -> Option<&Config> {
        self.0.as_deref()
    }

    pub(in crate::cli) fn policies(&self) -> Option<&PolicySet> {
        self.0.as_ref().map(|config| config.policies.as_ref())
    }

    /// Nothing that the DNS says counts as secure here.
    pub(in crate::cli) fn is_dnssec_off(&self) -> bool {
        build::is_dnssec_off(self.0.as_ref().map_or(&DnsConfig::default(), |config| &config.dns))
    }

    /// A word about that, where results go to another place: it is no fact about any destination.
    pub(in crate::cli) fn tell_of_dnssec(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        if self.is_dnssec_off() {
            let text = "DNSSEC is off here ([dns] dnssec): no TLSA records are asked for, and nothing counts as signed";
            for line in wrap(&format!("warning: {text}"), WIDTH_COLUMNS) {
                writeln!(console.err, "{line}")?;
            }
        }
        Ok(())
    }

    /// To be called inside a runtime.
    pub(in crate::cli) fn prober(
        &self,
        ehlo: Option<&Domain>,
        patience: Patience,
        pause: Duration,
    ) -> Result<Prober, Failure> {
        let no_config = DnsConfig::default();
        let dns = self.0.as_ref().map_or(&no_config, |config| &config.dns);
        let resolver = build::resolver(dns).map_err(|error| Failure::usage(error.to_string(), ""))?;
        let targets = TargetRule { allow: dns.allow_targets.clone() };
        let (roots, _) = Roots::system();
        let sts = StsFetcher::new(Arc::clone(&resolver), targets.clone(), &roots)
            .map_err(|error| Failure::new(Exit::No, error.to_string(), ""))?;
        let own = self.0.as_ref().map(|config| config.hostname.clone());
        let hostname = ehlo.cloned().or(own).map_or_else(hostname_of_system, Ok)?;
        Ok(Prober { resolver, targets, roots, hostname, patience, pace: Pace::new(pause), port: SMTP_PORT, sts })
    }
}

fn hostname_of_system() -> Result<Domain, Failure> {
    let nameless = || Domain::parse(NAMELESS).map_err(|error| Failure::new(Exit::No, error.to_string(), ""));
    full_system_name().map_or_else(nameless, Ok)
}

pub(in crate::cli) const fn patience(each: Duration) -> Patience {
    Patience { connect: each, reply: each, handshake: each }
}

pub(in crate::cli) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::No, format!("the system refused a runtime: {error}"), "end other programs, then try again")
    })
}
