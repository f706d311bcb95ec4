//! Which hosts serve a lane, as attempts find out, and what failed at those that nobody can reach.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::policy::outbound::NextHop;
use crate::schedule::job::Signal;
use crate::schedule::lane::LaneKey;
use crate::schedule::site::SiteKey;

use super::jobs::Lane;
use super::outcome::Failure;
use super::targets::{NextHost, Target};

const SMTP_PORT: u16 = 25;

/// An attempt has found out who serves its lane.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) lane: LaneKey,
    pub(super) site: SiteKey,
}

/// What an attempt tells it with. It is told once for each lane, and again where other hosts are found.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) lane: Arc<Lane>,
    /// Holds no more than one for each attempt that runs.
    pub(super) told: UnboundedSender<Told>,
}

impl Teller {
    /// Gives the site.
    pub(super) fn tell(&self, hop: &NextHop, hosts: &[NextHost]) -> Option<Arc<SiteKey>> {
        let name = name(hop, hosts)?;
        if let Some(known) = self.lane.site.load().as_ref().filter(|known| known.as_str() == name) {
            return Some(Arc::clone(known));
        }
        let site = Arc::new(SiteKey::new(&name));
        self.lane.site.store(Some(Arc::clone(&site)));
        _ = self.told.send(Told { lane: self.lane.key.clone(), site: SiteKey::clone(&site) });
        Some(site)
    }
}

/// The hosts that mail goes to first, by name, and the address that we come from if a route chooses it: what a host
/// grants one address of ours says nothing about another.
fn name<'a>(hop: &NextHop, hosts: &'a [NextHost]) -> Option<Cow<'a, str>> {
    let source = match hop {
        NextHop::Route(route) => route.source_address,
        NextHop::Mx => None,
    };
    let best = hosts.first()?.preference;
    let first = || hosts.iter().filter(move |host| host.preference == best).map(shown);
    if source.is_none() && first().nth(1).is_none() {
        return first().next();
    }
    let mut names: Vec<Cow<'_, str>> = first().collect();
    names.sort_unstable();
    names.dedup();
    let mut name = names.join(",");
    if let Some(source) = source {
        name.push_str(&format!(" from {source}"));
    }
    Some(name.into())
}

fn shown(host: &NextHost) -> Cow<'_, str> {
    match (&host.name, host.addresses.first(), host.port) {
        (Some(name), _, SMTP_PORT) => name.as_str().into(),
        (Some(name), _, port) => format!("{name}:{port}").into(),
        (None, Some(ip), port) => format!("[{ip}]:{port}").into(),
        (None, None, port) => format!(":{port}").into(),
    }
}

/// A site that nobody can reach, as its last attempt found it.
#[derive(Debug)]
pub(super) struct Gone {
    /// The end of the first attempt that found nobody.
    since: Timestamp,
    last: Failure,
}

impl Gone {
    /// The same where nothing is known of the last attempt.
    pub(super) fn unknown() -> Failure {
        let detail = "not tried: its mail hosts cannot be reached".to_owned();
        Failure { doubtful: true, ..Failure::ours(Reason::ConnectFailed, false, detail) }
    }

    /// What a recipient fails by that is not tried.
    pub(super) fn failure(&self) -> Failure {
        let host = self.last.target.as_ref().map_or_else(|| "its mail host".to_owned(), Target::shown);
        let (since, last) = (self.since.brief(), &self.last.detail);
        let detail = format!("not tried: {host} has not been reachable since {since} (last: {last})");
        // What was known and asked of the host was so for other mail; it was not asked for this, so that nothing is
        // certain of its TLS.
        let target = self.last.target.as_ref().map(Target::unasked);
        let reason = if self.last.reason.is_outbound_tls() { Reason::ConnectFailed } else { self.last.reason };
        Failure { target, doubtful: true, ..Failure::ours(reason, false, detail) }
    }
}

/// The sites that cannot be reached now.
#[derive(Debug, Default)]
pub(super) struct Sites {
    gone: HashMap<SiteKey, Arc<Gone>>,
}

impl Sites {
    /// What an attempt at a site showed, with the failure that it ended by.
    pub(super) fn showed(&mut self, site: &SiteKey, signal: Signal, failure: Option<&Failure>, now: Timestamp) {
        match (signal, failure) {
            (Signal::Unreachable, Some(last)) => {
                let since = self.gone.get(site).map_or(now, |gone| gone.since);
                self.gone.insert(site.clone(), Arc::new(Gone { since, last: last.clone() }));
            }
            (Signal::Unreachable | Signal::Neutral, _) => {}
            (Signal::Good | Signal::Answers | Signal::Busy, _) => _ = self.gone.remove(site),
        }
    }

    pub(super) fn gone(&self, site: &SiteKey) -> Option<&Arc<Gone>> {
        self.gone.get(site)
    }

    pub(super) fn are_all_there(&self) -> bool {
        self.gone.is_empty()
    }

    /// Keeps those that the scheduler still knows, which bounds their number.
    pub(super) fn tidy(&mut self, is_known: impl Fn(&SiteKey) -> bool) {
        self.gone.retain(|site, _| is_known(site));
    }
}

#[cfg(test)]
mod tests;
