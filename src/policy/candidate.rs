//! Candidate domain files: what a domain has shown, asked for from now on, where it is held to less until then.
//!
//! A domain file stands above `[default]`, so a key that asks for less than what holds, or will hold by a step, is left
//! out, and of a domain that does not meet what it is held to there is no file.

use std::sync::Arc;

use crate::model::address::ReversePath;
use crate::model::cipher::CipherGrade;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;

use super::in_force::Because;
use super::names::NamePattern;
use super::outbound::{Decision, NextHop, decide};
use super::rules::{DomainPolicy, PolicySet};
use super::settings::{DaneUse, DeliveryLayer, OutboundLayer, OutboundTls, Source};
use super::timed::{Asker, Rules};

/// What every mail host of a domain has shown, all of it under TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// It proves itself by usable TLSA records. `None`: not known.
    pub dane: Option<bool>,
    /// Ways to prove its identity, the preferred one first: each host has a certificate for one of a way's names.
    /// Empty: nobody's certificate counts.
    pub ways: Vec<Vec<NamePattern>>,
    pub version: Option<ProtocolVersion>,
    pub cipher: Option<CipherGrade>,
}

/// Why there is no file for a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCandidate {
    #[error("its mail goes by a route today ({0}), which has keys of its own")]
    Routed(Source),
    #[error("{file} ({pattern}) says how its mail goes out, and a file of its own would lose that")]
    Wildcard { file: Arc<str>, pattern: DomainPattern },
    #[error("today it is held to {value} ({source}) and does not meet it", value = in_words(.0), source = .0.source)]
    NotMet(Because),
    #[error("today it is held to all of that already")]
    Nothing,
}

fn in_words(held: &Because) -> String {
    if held.key == "tls" || held.key == "min_version" {
        held.value.clone()
    } else {
        format!("{} {}", held.key, held.value)
    }
}

/// The keys of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    domain: Domain,
    keys: Vec<Key>,
    /// What is asked for already, and is more or as much.
    kept: Vec<Because>,
    /// The file that speaks for it until now.
    before: Option<(Arc<str>, DomainPattern)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    key: &'static str,
    /// As TOML.
    value: String,
    note: Option<String>,
}

/// The file that names exactly this domain: a second one would be an error.
pub fn named_in<'a>(policies: &'a PolicySet, domain: &Domain) -> Option<&'a Arc<str>> {
    let (policy, pattern) = policies.find(domain)?;
    matches!(pattern, DomainPattern::Exact(_)).then_some(&policy.file)
}

/// The keys that ask for what was shown, as far as it is more than what the domain is held to at this moment.
pub fn candidate(
    policies: &PolicySet,
    domain: &Domain,
    shown: &Shown,
    at: Timestamp,
) -> Result<Candidate, NoCandidate> {
    let today = decide(policies, Some(domain), &Asker { at, client: None, sender: &ReversePath::Null });
    if let NextHop::Route(route) = &today.next_hop {
        return Err(NoCandidate::Routed(route.source.clone()));
    }
    let wildcard = policies.find(domain).filter(|(_, pattern)| matches!(pattern, DomainPattern::Below(_)));
    if let Some((policy, pattern)) = &wildcard
        && speaks_of_deliveries(policy)
    {
        return Err(NoCandidate::Wildcard { file: policy.file.clone(), pattern: pattern.clone() });
    }
    let coming = to_come(&policies.defaults.outbound, at);
    let mut draft = Draft { today: &today, coming, keys: Vec::new(), kept: Vec::new() };
    draft.identity(shown)?;
    draft.dane(shown)?;
    draft.version(shown)?;
    draft.cipher(shown)?;
    let Draft { keys, kept, .. } = draft;
    if keys.is_empty() {
        return Err(NoCandidate::Nothing);
    }
    let before = wildcard.map(|(policy, pattern)| (policy.file.clone(), pattern));
    Ok(Candidate { domain: domain.clone(), keys, kept, before })
}

fn speaks_of_deliveries(policy: &DomainPolicy) -> bool {
    policy.outbound != Rules::default() || policy.delivery != DeliveryLayer::default() || policy.route.is_some()
}

/// What the default may say later, or to somebody: a file's key would stand above that too.
fn to_come(rules: &Rules<OutboundLayer>, at: Timestamp) -> Vec<&OutboundLayer> {
    let steps = rules.steps.iter().filter(|step| step.from > at).map(|step| &step.layer);
    let excepted = rules.exceptions.iter().filter(|exception| !exception.terms.has_expired(at));
    steps.chain(excepted.map(|exception| &exception.layer)).collect()
}

struct Draft<'a> {
    today: &'a Decision,
    coming: Vec<&'a OutboundLayer>,
    keys: Vec<Key>,
    kept: Vec<Because>,
}

impl Draft<'_> {
    fn write(&mut self, key: &'static str, value: String, note: Option<String>) {
        self.keys.push(Key { key, value, note });
    }

    /// Leaves a key to what holds already.
    fn keep(&mut self, key: &'static str, value: &str, source: &Source) {
        self.kept.push(because(key, value, source));
    }

    /// DANE identifies better than names; with `verify` written below it goes before the names of nobody's choice.
    fn identity(&mut self, shown: &Shown) -> Result<(), NoCandidate> {
        let by_dane = shown.dane == Some(true);
        let today = self.today;
        let tls = &today.requirement.tls;
        if tls.value == OutboundTls::Verify {
            return self.verified_already(shown);
        }
        let way = if by_dane { None } else { shown.ways.first() };
        let wanted = if way.is_some() { OutboundTls::Verify } else { OutboundTls::Encrypt };
        let later = self.coming.iter().filter_map(|layer| layer.tls.as_ref()).max_by_key(|tls| tls.value);
        if let Some(later) = later.filter(|later| later.value > wanted) {
            self.keep("tls", later.value.as_str(), &later.source);
            return Ok(());
        }
        if tls.value >= wanted {
            self.keep("tls", tls.value.as_str(), &tls.source);
            return Ok(());
        }
        let by_host = way.is_some_and(|way| way.as_slice() == [NamePattern::Mx]);
        let note = by_host.then(|| "by the host's name, which cannot be forged, or by the domain's".to_owned());
        self.write("tls", format!("\"{}\"", wanted.as_str()), note);
        if let Some(way) = way {
            self.names(way);
        }
        Ok(())
    }

    /// `verify` holds: names are narrowed to those that were shown, never changed for others.
    fn verified_already(&mut self, shown: &Shown) -> Result<(), NoCandidate> {
        let today = self.today;
        let requirement = &today.requirement;
        let accepted = &requirement.match_names.value;
        let is_other = requirement.fingerprints.is_some() || requirement.ca.is_some();
        let by_dane = shown.dane == Some(true) && !requirement.names_identity();
        let met = shown.ways.iter().find(|way| way.iter().all(|name| accepted.contains(name)));
        let is_general =
            |names: &[NamePattern]| names.iter().all(|n| matches!(n, NamePattern::Domain | NamePattern::Mx));
        let is_certain = is_general(accepted) && shown.ways.iter().all(|way| is_general(way));
        if met.is_none() && !by_dane && !is_other && is_certain {
            return Err(NoCandidate::NotMet(because("tls", "verify", &requirement.tls.source)));
        }
        self.keep("tls", "verify", &requirement.tls.source);
        if let Some(way) = met.filter(|way| !is_other && !by_dane && way.len() < accepted.len()) {
            self.names(way);
        }
        Ok(())
    }

    fn names(&mut self, way: &[NamePattern]) {
        let names = &self.today.requirement.match_names;
        let says_later = |layer: &&OutboundLayer| layer.match_names.is_some() || layer.fingerprints.is_some();
        // The name of a host stands for that of the domain too, as long as nobody wrote otherwise.
        let is_implied = way == [NamePattern::Mx] && names.value.contains(&NamePattern::Mx);
        if !is_implied && names.value != way && !self.coming.iter().any(says_later) {
            let list: Vec<String> = way.iter().map(|name| format!("\"{name}\"")).collect();
            self.write("match", format!("[{}]", list.join(", ")), None);
        }
    }

    fn dane(&mut self, shown: &Shown) -> Result<(), NoCandidate> {
        let today = self.today;
        let dane = &today.following.dane;
        match (shown.dane, dane.value) {
            (Some(false), DaneUse::Required) => {
                Err(NoCandidate::NotMet(because("dane", dane.value.as_str(), &dane.source)))
            }
            (Some(true), DaneUse::Required) => {
                self.keep("dane", dane.value.as_str(), &dane.source);
                Ok(())
            }
            (Some(true), DaneUse::Auto | DaneUse::Off) => {
                self.write("dane", format!("\"{}\"", DaneUse::Required.as_str()), None);
                Ok(())
            }
            (Some(false), DaneUse::Auto | DaneUse::Off) | (None, _) => Ok(()),
        }
    }

    /// No more than TLSv1.2: whoever takes a version away rather takes the newest.
    fn version(&mut self, shown: &Shown) -> Result<(), NoCandidate> {
        let Some(met) = shown.version else { return Ok(()) };
        let today = self.today;
        if let Some(held) = today.requirement.min_version.as_ref().filter(|held| held.value > met) {
            return Err(NoCandidate::NotMet(because("min_version", held.value.as_str(), &held.source)));
        }
        let wanted = met.min(ProtocolVersion::Tls1_2);
        let later = self.coming.iter().filter_map(|layer| layer.min_version.as_ref());
        let held = later.chain(&today.requirement.min_version).max_by_key(|held| held.value).cloned();
        match held.filter(|held| held.value >= wanted) {
            Some(held) => self.keep("min_version", held.value.as_str(), &held.source),
            None => {
                let note = (met > wanted).then(|| format!("{met} was negotiated"));
                self.write("min_version", format!("\"{wanted}\""), note);
            }
        }
        Ok(())
    }

    fn cipher(&mut self, shown: &Shown) -> Result<(), NoCandidate> {
        let Some(met) = shown.cipher else { return Ok(()) };
        let today = self.today;
        let cipher = &today.requirement.cipher;
        if cipher.value > met {
            return Err(NoCandidate::NotMet(because("cipher", &cipher.value.to_string(), &cipher.source)));
        }
        let later = self.coming.iter().filter_map(|layer| layer.cipher.as_ref());
        let held = later.chain([cipher]).max_by_key(|held| held.value).cloned();
        match held.filter(|held| held.value >= met) {
            Some(held) if held.value > CipherGrade::Any => {
                self.keep("cipher", &held.value.to_string(), &held.source);
            }
            Some(_) => {}
            None => self.write("cipher", format!("\"{met}\""), None),
        }
        Ok(())
    }
}

fn because(key: &'static str, value: &str, source: &Source) -> Because {
    Because { key, value: value.to_owned(), source: source.clone() }
}

impl Candidate {
    /// The file as TOML: the evidence in comments, a line each, then what else is to be known, then the keys.
    pub fn file(&self, evidence: &[String]) -> String {
        let mut lines: Vec<String> = evidence.iter().map(|line| format!("# {line}")).collect();
        lines.extend(self.kept.iter().map(|Because { key, value, source }| {
            format!("# Left as it is, and no less: {key} = {value} ({source}).")
        }));
        if let Some((file, pattern)) = &self.before {
            lines.push(format!("# Until now {file} speaks for it ({pattern}). Files are not merged: what else stands"));
            lines.push("# there must be written here too.".to_owned());
        }
        lines.push(format!("domains = [\"{}\"]", self.domain));
        lines.push(String::new());
        lines.push("[outbound]".to_owned());
        lines.extend(self.keys.iter().map(|Key { key, value, note }| {
            let note = note.as_ref().map(|note| format!(" # {note}")).unwrap_or_default();
            format!("{key} = {value}{note}")
        }));
        lines.push(String::new());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests;
