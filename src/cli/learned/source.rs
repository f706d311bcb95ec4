//! Where what was learned is asked for: the daemon, or what it left behind where none runs.

use std::io;
use std::path::{Path, PathBuf};

use crate::admin::client::{self, AskError};
use crate::admin::learned;
use crate::admin::protocol::learned::LearnedDomain;
use crate::admin::protocol::{Request, Response};
use crate::cli::output::{Exit, Failure};
use crate::cli::{configuration, near, socket};
use crate::clock;
use crate::config::Config;
use crate::facts::learned::{LearnTerms, LearnedStore};
use crate::memory::{Memory, MemoryError};
use crate::model::domain::Domain;
use crate::model::near_domain::NearDomain;
use crate::policy::outbound::Decision;
use crate::policy::published::Learned;
use crate::policy::settings::Learn;

use super::list::KNOWN_FROM;

/// What a delivery is held to now because it was learned; nothing where the policy does not go by it. The error says
/// why that cannot be known here.
pub(in crate::cli) fn in_force(
    config: &Config,
    decision: &Decision,
    domain: Option<&Domain>,
) -> Result<Option<Learned>, String> {
    let goes_by_it = decision.following.learn.value == Learn::Enforce && decision.is_by_mx();
    let Some(domain) = domain.filter(|_| goes_by_it) else { return Ok(None) };
    let at = &config.admin.socket;
    if is_silent(at) {
        return Ok(left_behind(config).map_err(Failure::into_message)?.requirement(domain));
    }
    match socket::ask(at, &Request::LearnedList { domain: Some(domain.clone()), after: None })
        .map_err(Failure::into_message)?
    {
        Response::Learned { domains, .. } => {
            let found = domains.into_iter().find(|found| found.domain == *domain);
            Ok(found.and_then(|found| found.in_force).map(|level| (&level.evidence).into()))
        }
        Response::NotFound => Ok(None),
        _ => Err(socket::unexpected().into_message()),
    }
}

/// No daemon runs.
pub(in crate::cli) fn is_silent(at: &Path) -> bool {
    match client::ask(at, &Request::Status) {
        Err(AskError::NotRunning { source, .. }) => source.kind() != io::ErrorKind::PermissionDenied,
        Err(AskError::BrokenOff(_) | AskError::Unintelligible(_)) | Ok(_) => false,
    }
}

fn left_behind(config: &Config) -> Result<LearnedStore, Failure> {
    let terms = LearnTerms { thresholds: config.learn.thresholds, ..LearnTerms::default() };
    Ok(LearnedStore::open(memory_left_behind(config)?, terms))
}

/// What a daemon remembered that does not run now.
pub(in crate::cli) fn memory_left_behind(config: &Config) -> Result<Memory, Failure> {
    let memory = Memory::peek(&config.spool.path).map_err(|error| {
        let help = match error {
            MemoryError::Damaged { .. } => "the daemon sets it aside at its next start and learns anew",
            MemoryError::InUse { .. } | MemoryError::Io { .. } => "run this as the daemon's account",
        };
        Failure::new(Exit::Unreachable, error.to_string(), help)
    })?;
    Ok(memory.unwrap_or_else(Memory::ephemeral))
}

/// Who is asked.
pub(super) enum Source {
    Daemon(PathBuf),
    /// No daemon runs: what it left behind.
    File(Box<(LearnedStore, Config)>),
}

impl Source {
    pub(super) fn open(config: Option<&Path>, at: PathBuf) -> Result<Self, Failure> {
        if !is_silent(&at) {
            return Ok(Self::Daemon(at));
        }
        let config = configuration::require(config)?;
        Ok(Self::File(Box::new((left_behind(&config)?, config))))
    }

    /// Every domain, or the one that is asked for.
    pub(super) fn all(&self, domain: Option<&Domain>) -> Result<Vec<LearnedDomain>, Failure> {
        let mut all: Vec<LearnedDomain> = Vec::new();
        loop {
            let after = all.last().map(|last| last.domain.clone());
            let (domains, more) = match self.ask(domain, after.as_ref())? {
                Response::Learned { domains, more } => (domains, more),
                Response::NotFound => return Err(domain.map_or_else(socket::unexpected, |domain| self.unknown(domain))),
                _ => return Err(socket::unexpected()),
            };
            // A page that does not lead on ends the walk, whatever it says.
            let leads_on = domains.first().is_some_and(|first| after.is_none_or(|after| first.domain > after));
            if leads_on {
                all.extend(domains);
            }
            if !more || !leads_on {
                return Ok(all);
            }
        }
    }

    /// Nothing was learned of this domain; perhaps of one that is close to it.
    pub(super) fn unknown(&self, domain: &Domain) -> Failure {
        let mut near = NearDomain::to(domain.clone());
        if let Ok(Response::Learned { domains, .. }) = self.ask(None, None) {
            domains.iter().for_each(|known| near.see(known.domain.as_str()));
        }
        let help =
            near::question(&near).map_or_else(|| KNOWN_FROM.to_owned(), |meant| format!("{meant} Else {KNOWN_FROM}"));
        Failure::new(Exit::No, format!("nothing is known of {domain}"), help)
    }

    fn ask(&self, domain: Option<&Domain>, after: Option<&Domain>) -> Result<Response, Failure> {
        match self {
            Self::Daemon(at) => {
                socket::ask(at, &Request::LearnedList { domain: domain.cloned(), after: after.cloned() })
            }
            Self::File(of) => Ok(learned::list(&of.0, &of.1.policies, (domain, after), clock::timestamp())),
        }
    }
}
