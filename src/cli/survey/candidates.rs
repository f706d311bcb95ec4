//! Candidate domain files of a survey: what each domain met, with the evidence in comments.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::clock;
use crate::model::cipher::CipherGrade;
use crate::model::human::shown;
use crate::policy::candidate::{Shown, candidate, named_in};
use crate::policy::names::NamePattern;
use crate::policy::rules::PolicySet;

use super::record::{HostLine, Surveyed, Word};

/// What became of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Written(PathBuf),
    /// A file of that name is there already.
    Kept(PathBuf),
    /// The configuration speaks of it, or there is nothing to ask for, and why.
    None(String),
}

/// Writes the file of a domain, unless it is there.
pub(super) fn write(folder: &Path, surveyed: &Surveyed, policies: &PolicySet) -> io::Result<Outcome> {
    let text = match file(surveyed, policies) {
        Ok(text) => text,
        Err(why) => return Ok(Outcome::None(why)),
    };
    let path = folder.join(format!("{}.toml", surveyed.domain));
    match fs::File::create_new(&path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| Outcome::Written(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Outcome::Kept(path)),
        Err(error) => Err(error),
    }
}

/// The text of the file, or why there is none. Asked for is only what every host meets, all of them seen.
pub(super) fn file(surveyed: &Surveyed, policies: &PolicySet) -> Result<String, String> {
    if let Some(file) = named_in(policies, &surveyed.domain) {
        return Err(format!("{} names it already", shown(file)));
    }
    if !surveyed.is_complete() {
        return Err("not every mail host was seen".to_owned());
    }
    if !surveyed.all_meet(|meets| meets.encrypt) {
        return Err("not every mail host does TLS".to_owned());
    }
    let candidate = candidate(policies, &surveyed.domain, &met(surveyed), clock::timestamp());
    Ok(candidate.map_err(|why| why.to_string())?.file(&evidence(surveyed)))
}

/// A name of an MX host counts only where nobody could have forged it.
fn met(surveyed: &Surveyed) -> Shown {
    let lists_hosts = surveyed.mta_sts == "enforce" && surveyed.all_meet(|meets| meets.mta_sts);
    let by_host = surveyed.all_meet(|meets| meets.verify_mx) && (surveyed.mx_secure || lists_hosts);
    let by_domain = surveyed.all_meet(|meets| meets.verify_domain);
    let ways = [(by_domain, NamePattern::Domain), (by_host, NamePattern::Mx)].into_iter();
    Shown {
        dane: Some(surveyed.mx_secure && surveyed.all_meet(|meets| meets.dane)),
        ways: ways.filter_map(|(is_met, name)| is_met.then(|| vec![name])).collect(),
        version: surveyed.version(),
        cipher: surveyed.hosts.iter().map(|host| host.grade.unwrap_or(CipherGrade::Any)).min(),
    }
}

fn evidence(surveyed: &Surveyed) -> Vec<String> {
    let mut lines = vec![
        format!("A candidate: what every mail host of {} met on {}.", surveyed.domain, surveyed.at.day()),
        "Read it, then put it into the folder of domain files. What is not met any more holds mail back.".to_owned(),
    ];
    lines.extend(surveyed.hosts.iter().map(|host| format!("  {}", host_in_words(host))));
    let signed = if surveyed.mx_secure { "secured by DNSSEC" } else { "not secured by DNSSEC" };
    let sts = match surveyed.mta_sts.as_str() {
        "absent" | "none" => "no MTA-STS policy".to_owned(),
        "invalid" => "an MTA-STS policy that cannot be had".to_owned(),
        mode => format!("an MTA-STS policy, mode {mode}"),
    };
    lines.push(format!("  MX records {signed}; {sts}"));
    let met = met(surveyed);
    if met.ways.is_empty() && met.dane != Some(true) && surveyed.all_meet(|meets| meets.verify_mx) {
        let names: Vec<String> = surveyed.hosts.iter().map(|host| format!("\"{}\"", host.host)).collect();
        lines.push(
            "The certificates verify for the names of the hosts, which came by unsigned DNS. Where you know".to_owned(),
        );
        lines.push("that they are right, write them down; mail then waits when the domain moves elsewhere:".to_owned());
        lines.push(format!("  tls = \"verify\", match = [{}]", names.join(", ")));
    }
    lines
}

fn host_in_words(host: &HostLine) -> String {
    let session = match (&host.version, &host.cipher) {
        (Some(version), Some(cipher)) => format!("{version} {cipher}"),
        _ => "no TLS".to_owned(),
    };
    let names: Vec<&str> = [("host", host.meets.verify_mx), ("domain", host.meets.verify_domain)]
        .into_iter()
        .filter(|(_, word)| *word == Word::Yes)
        .map(|(name, _)| name)
        .collect();
    let certificate = match names.as_slice() {
        [] => "a certificate that verifies for neither name".to_owned(),
        names => format!("a certificate that verifies for the name of the {}", names.join(" and of the ")),
    };
    let end = host.not_after.map(|end| format!(" until {}", end.day())).unwrap_or_default();
    format!("{}: {session}; {certificate}{end}; {}", host.host, records_in_words(&host.dane))
}

fn records_in_words(dane: &str) -> &'static str {
    match dane {
        "usable" => "TLSA records that can be used",
        "unusable" => "TLSA records that cannot be used",
        "absent" => "no TLSA records",
        "not-signed" => "no TLSA records that DNSSEC could secure",
        _ => "TLSA records not known",
    }
}
