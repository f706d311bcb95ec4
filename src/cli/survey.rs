//! `gatepost survey`: asks a list of domains what they can do, politely, and goes on where it was stopped.

pub(in crate::cli) mod arguments;
mod candidates;
mod diff;
mod list;
mod page;
mod record;
mod summary;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::domain::Domain;
use crate::model::human::shown;
use crate::model::os_error;
use crate::model::time::Timestamp;
use crate::policy::rules::PolicySet;

use super::output::{Console, Exit, Failure};
use super::probe::setting::{self, Setting};
use arguments::Survey;
use candidates::Outcome;
use diff::{Change, Way};
use list::Output;
use record::Surveyed;
use summary::Summary;
use work::{Terms, Work};

/// For a connection, a handshake and each reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came out, with what was known before.
#[derive(Debug)]
struct Results {
    /// Of the domains of the list.
    found: BTreeMap<Domain, Surveyed>,
    is_interrupted: bool,
    /// Domains that were not asked.
    left: usize,
    /// Since the earlier survey, if one was named.
    changes: Option<Vec<Change>>,
    candidates: Vec<(Domain, Outcome)>,
    /// Domains that an earlier run asked.
    kept: Option<Kept>,
}

/// What stands in the file of results already.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    domains: usize,
    file: PathBuf,
    /// When the first of them was asked.
    since: Timestamp,
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &Survey,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let domains = list::read(&asked.domains)?;
    let before = asked.diff.as_deref().map(list::results).transpose()?;
    let (mut output, known) = match &asked.out {
        Some(path) => list_output(path)?,
        None => (None, BTreeMap::new()),
    };
    let setting = Setting::find(config)?;
    setting.tell_of_dnssec(console)?;
    let runtime = setting::runtime()?;
    let is_known = |domain: &Domain| !asked.again && known.get(domain).is_some_and(Surveyed::is_settled);
    let (old, to_ask): (Vec<Domain>, Vec<Domain>) = domains.iter().cloned().partition(is_known);
    let kept = kept(asked, old.iter().filter_map(|domain| known.get(domain)));
    let terms = Terms { versions: asked.versions, parallel: usize::from(asked.parallel), timeout: asked.timeout };
    let work = {
        let _entered = runtime.enter();
        let prober = setting.prober(asked.ehlo.as_ref(), setting::patience(PATIENCE), asked.pause)?;
        runtime.block_on(work::survey(prober, terms, to_ask, output.as_mut(), stop()))?
    };
    let results = Results { kept, ..results(asked, &domains, (known, work), before, setting.policies())? };
    if json {
        console.json(&answer(&results))?;
    } else {
        write!(console.out, "{}", page::page(&results))?;
    }
    Ok(results.exit())
}

fn list_output(path: &Path) -> Result<(Option<Output>, BTreeMap<Domain, Surveyed>), Failure> {
    Output::open(path).map(|(output, known)| (Some(output), known))
}

fn kept<'a>(asked: &Survey, old: impl Iterator<Item = &'a Surveyed> + Clone) -> Option<Kept> {
    let since = old.clone().map(|surveyed| surveyed.at).min()?;
    Some(Kept { domains: old.count(), file: asked.out.clone()?, since })
}

/// Ctrl-C. A second one ends the program at once.
async fn stop() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

fn results(
    asked: &Survey,
    domains: &[Domain],
    (mut known, work): (BTreeMap<Domain, Surveyed>, Work),
    before: Option<BTreeMap<Domain, Surveyed>>,
    policies: Option<&PolicySet>,
) -> Result<Results, Failure> {
    known.extend(work.found);
    let found: BTreeMap<Domain, Surveyed> = domains.iter().filter_map(|domain| known.remove_entry(domain)).collect();
    let before = before.map(|mut before| {
        // Of a part of the list only that part is compared.
        before.retain(|domain, _| found.contains_key(domain) || !work.is_interrupted);
        before
    });
    let changes = before.map(|before| diff::changes(&before, &found));
    let candidates = match &asked.candidates {
        Some(folder) => write_candidates(folder, &found, policies.unwrap_or(&PolicySet::default()))?,
        None => Vec::new(),
    };
    let left = domains.len() - found.len();
    Ok(Results { found, is_interrupted: work.is_interrupted, left, changes, candidates, kept: None })
}

fn write_candidates(
    folder: &Path,
    found: &BTreeMap<Domain, Surveyed>,
    policies: &PolicySet,
) -> Result<Vec<(Domain, Outcome)>, Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("{}: {}", shown(&folder.display().to_string()), os_error::why(&error));
        Failure::new(Exit::No, message, "name a folder that can be written to with --candidates DIR")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut outcomes = Vec::with_capacity(found.len());
    for (domain, surveyed) in found {
        outcomes.push((domain.clone(), candidates::write(folder, surveyed, policies).map_err(failed)?));
    }
    Ok(outcomes)
}

impl Results {
    /// Nobody said anything, and not because there is nobody.
    fn is_unanswered(&self) -> bool {
        let is_open = |surveyed: &Surveyed| !surveyed.is_settled() || surveyed.failure.is_none();
        self.found.values().all(|surveyed| surveyed.meets.is_none()) && self.found.values().any(is_open)
    }

    fn exit(&self) -> Exit {
        if self.is_unanswered() {
            return Exit::Unreachable;
        }
        let has_lost = self.changes.iter().flatten().any(|change| change.way == Way::Lost);
        if has_lost || self.is_interrupted { Exit::No } else { Exit::Done }
    }
}

fn answer(results: &Results) -> Value {
    let candidate = |(domain, outcome): &(Domain, Outcome)| match outcome {
        Outcome::Written(path) => json!({ "domain": domain, "file": path, "written": true }),
        Outcome::Kept(path) => json!({ "domain": domain, "file": path, "written": false }),
        Outcome::None(why) => json!({ "domain": domain, "file": null, "written": false, "why": why }),
    };
    json!({
        "domains": results.found.values().collect::<Vec<_>>(),
        "summary": Summary::of(results.found.values()).json(),
        "interrupted": results.is_interrupted,
        "left": results.left,
        "kept": results.kept.as_ref().map(|Kept { domains, since, .. }| json!({ "domains": domains, "since": since })),
        "changes": results.changes,
        "candidates": results.candidates.iter().map(candidate).collect::<Vec<_>>(),
    })
}
