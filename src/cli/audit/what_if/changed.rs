//! The changed configuration that is asked about, whose mail it concerns, and both in words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::cli::configuration;
use crate::cli::output::Failure;
use crate::config::change::{Change, Settings, SettingsPlace};
use crate::config::diagnostic::Diagnostic;
use crate::config::overruled::{How, Overruled};
use crate::config::{self, Config};
use crate::model::domain::Domain;
use crate::model::human::{second, shown};
use crate::model::time::Timestamp;
use crate::policy::rules::{DomainPolicy, PolicySet};

use super::super::arguments::{Directions, WhatIf};
use super::super::setting::Setting;

/// Keys that only one direction has.
const INBOUND_KEYS: [&str; 5] = ["mode", "client_certificate", "applies_to", "refusal_text", "refusal_url"];
const OUTBOUND_KEYS: [&str; 3] = ["match", "fingerprints", "on_tls_failure"];
/// Keys that stand in a `[route]`, where there is one.
const ROUTE_KEYS: [&str; 5] = ["tls", "min_version", "cipher", "match", "fingerprints"];

/// Domains of a file that are named one by one.
const PATTERNS_SHOWN_MAX: usize = 3;

/// Whether a domain's mail is asked about.
pub(super) type Domains = Box<dyn Fn(&Domain) -> bool + Sync>;

pub(super) struct Changed {
    /// `None` if only another day is asked about.
    pub(super) config: Option<Config>,
    /// `None` for all.
    pub(super) domains: Option<Domains>,
    pub(super) words: String,
    /// What of the files holds no more beside `--set`.
    pub(super) overruled: Vec<Overruled>,
    pub(super) whose: String,
}

pub(super) fn read(
    file: Option<&Path>,
    asked: &WhatIf,
    (before, now): (&Config, Timestamp),
) -> Result<Changed, Failure> {
    let mut overruled = Vec::new();
    let (config, words) = if let Some(other) = &asked.with {
        let words = format!("the configuration {}", shown(&other.display().to_string()));
        (Some(require(config::load(other))?.0), words)
    } else if let Some(path) = &asked.with_domain {
        let change = Change { domain_file: Some(path.clone()), ..Change::default() };
        let words = format!("the domain file {}", shown(&path.display().to_string()));
        let loaded = config::load_changed(&configuration::file(file), &change, now);
        (Some(require(loaded)?.config), words)
    } else if !asked.set.is_empty() {
        let place = place(asked.domain.as_ref(), &before.policies);
        let tables = tables(asked, before, &place)?;
        let words = words(&tables, &place);
        let settings = Settings { place, at: asked.at.unwrap_or(now), text: text(&tables) };
        let change = Change { settings: Some(settings), ..Change::default() };
        let loaded = require(config::load_changed(&configuration::file(file), &change, now))?;
        overruled = loaded.overruled;
        (Some(loaded.config), words)
    } else if let Some(at) = asked.at {
        (None, format!("what the configuration says on {}", second(at)))
    } else {
        let help = "name one with --set, --with or --with-domain; or a day with --at, for the steps until then";
        return Err(Failure::usage("no other setting is asked about", help));
    };
    let after = config.as_ref().map_or(&before.policies, |config| &config.policies);
    let (domains, whose) = whose(asked, &before.policies, after);
    Ok(Changed { config, domains, words, overruled, whose })
}

/// What was loaded, or all its errors on `err` and the end of the command.
fn require<T>(loaded: Result<T, Vec<Diagnostic>>) -> Result<T, Failure> {
    match loaded {
        Ok(loaded) => Ok(loaded),
        Err(findings) => {
            let errors = findings.into_iter().filter(Diagnostic::is_error).collect();
            Err(Failure::Findings { errors, message: "the changed configuration cannot be used" })
        }
    }
}

/// Where the settings of a domain stand.
fn place(domain: Option<&Domain>, policies: &PolicySet) -> SettingsPlace {
    let Some(domain) = domain else { return SettingsPlace::Default };
    match policies.find(domain) {
        Some((policy, _)) => SettingsPlace::File(policy.file.clone()),
        None => SettingsPlace::NewFile(domain.clone()),
    }
}

/// The settings by the tables in which they stand.
fn tables<'a>(
    asked: &'a WhatIf,
    before: &Config,
    place: &SettingsPlace,
) -> Result<BTreeMap<&'static str, Vec<&'a Setting>>, Failure> {
    let has_route = match place {
        SettingsPlace::File(file) => {
            before.policies.policies().any(|policy| policy.file == *file && policy.route.is_some())
        }
        SettingsPlace::Default | SettingsPlace::NewFile(_) => false,
    };
    let mut tables: BTreeMap<&'static str, Vec<&Setting>> = BTreeMap::new();
    for setting in &asked.set {
        let key = setting.key.as_str();
        let table = match (setting.table, asked.direction) {
            (Some(table), _) => table,
            (None, _) if INBOUND_KEYS.contains(&key) => "inbound",
            (None, Directions::Inbound) if !OUTBOUND_KEYS.contains(&key) => "inbound",
            (None, Directions::Both) if !OUTBOUND_KEYS.contains(&key) => {
                let message = format!("`{key}` stands in both directions");
                return Err(Failure::usage(message, format!("write inbound.{key}=… or outbound.{key}=…")));
            }
            (None, _) if has_route && ROUTE_KEYS.contains(&key) => "route",
            (None, _) => "outbound",
        };
        tables.entry(table).or_default().push(setting);
    }
    Ok(tables)
}

/// As a domain file has it.
fn text(tables: &BTreeMap<&'static str, Vec<&Setting>>) -> String {
    let mut text = String::new();
    for (table, settings) in tables {
        text.push_str(&format!("[{table}]\n"));
        settings.iter().for_each(|setting| text.push_str(&format!("{setting}\n")));
    }
    text
}

/// `min_version = "TLSv1.2" in [inbound] of domains.d/bank.toml`.
fn words(tables: &BTreeMap<&'static str, Vec<&Setting>>, place: &SettingsPlace) -> String {
    let (prefix, whose) = match place {
        SettingsPlace::Default => ("default.", ", where no domain file says otherwise".to_owned()),
        SettingsPlace::File(file) => ("", format!(" of {file}")),
        SettingsPlace::NewFile(domain) => ("", format!(" of a domain file of its own for {domain}")),
    };
    let of_table = |(table, settings): (&&str, &Vec<&Setting>)| {
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        format!("{} in [{prefix}{table}]", settings.join(", "))
    };
    let tables: Vec<_> = tables.iter().map(of_table).collect();
    shown(&format!("{}{whose}", tables.join("; "))).into_owned()
}

/// `min_version = TLSv1 (domains.d/bank.toml:12, the step of 2026-06-01)`.
pub(super) fn overruled(overruled: &Overruled) -> String {
    let Overruled { key, value, source, step, how } = overruled;
    let step = step.map(|from| format!(", the step of {}", from.brief())).unwrap_or_default();
    let what = format!("{key} = {} ({source}{step})", shown(value));
    match how {
        How::Replaced => what,
        How::Raised(needed) => format!("{what}: what is set needs {key} = {needed}, so that is judged by"),
        How::Dropped => format!("{what}: it contradicts what is set, and is left out"),
        How::Kept => format!("not {what}: other domains share it, so it is asked for as before"),
    }
}

/// Whose mail is asked about, and that in words.
fn whose(asked: &WhatIf, before: &Arc<PolicySet>, after: &Arc<PolicySet>) -> (Option<Domains>, String) {
    if let Some(domain) = &asked.domain {
        let file = |policies: &PolicySet| policies.find(domain).map(|(policy, _)| policy.file.clone());
        let words = [before, after]
            .iter()
            .find_map(|policies| policies.find(domain))
            .map_or_else(|| domain.to_string(), |(policy, _)| of_file(policy));
        let (files, policies) = ([file(before), file(after)], [before.clone(), after.clone()]);
        let domain = domain.clone();
        let is_one = move |asked: &Domain| {
            let same_file = |(policies, file): (&Arc<PolicySet>, &Option<Arc<str>>)| {
                file.as_ref().is_some_and(|file| policies.find(asked).is_some_and(|(policy, _)| policy.file == *file))
            };
            *asked == domain || policies.iter().zip(&files).any(same_file)
        };
        return (Some(Box::new(is_one)), words);
    }
    if asked.with_domain.is_none() {
        return (None, String::new());
    }
    // The file that is new, and those whose place it takes.
    let files = |policies: &PolicySet| policies.policies().map(|policy| policy.file.clone()).collect::<BTreeSet<_>>();
    let (old, new) = (files(before), files(after));
    let added = after.policies().find(|policy| !old.contains(&policy.file));
    let words = added.map_or_else(|| "the domains of that file".to_owned(), |policy| of_file(policy));
    let (before, after) = (before.clone(), after.clone());
    let is_one = move |asked: &Domain| {
        let is_new = after.find(asked).is_some_and(|(policy, _)| !old.contains(&policy.file));
        is_new || before.find(asked).is_some_and(|(policy, _)| !new.contains(&policy.file))
    };
    (Some(Box::new(is_one)), words)
}

/// `bank.example, *.bank.example`, all for which the file speaks; of many the first ones and their number.
fn of_file(policy: &DomainPolicy) -> String {
    let mut patterns: Vec<_> = policy.patterns.iter().take(PATTERNS_SHOWN_MAX).map(ToString::to_string).collect();
    let more = policy.patterns.len() - patterns.len();
    if more > 0 {
        patterns.push(format!("{more} more of {}", shown(&policy.file)));
    }
    match patterns.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => patterns.concat(),
    }
}
