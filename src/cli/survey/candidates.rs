//! Candidate domain files: what a domain meets today, asked for from now on, with the evidence in comments.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::tls::ProtocolVersion;

use super::record::{HostLine, Surveyed, Word};

/// What became of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Written(PathBuf),
    /// A file of that name is there already.
    Kept(PathBuf),
    /// The configuration speaks of it, or there is nothing to ask for, and why.
    None(&'static str),
}

/// Writes the file of a domain, unless it is there.
pub(super) fn write(folder: &Path, surveyed: &Surveyed) -> io::Result<Outcome> {
    let text = match candidate(surveyed) {
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
pub(super) fn candidate(surveyed: &Surveyed) -> Result<String, &'static str> {
    if !surveyed.is_complete() {
        return Err("not every mail host was seen");
    }
    if !surveyed.all_meet(|meets| meets.encrypt) {
        return Err("not every mail host does TLS");
    }
    let mut lines = evidence(surveyed);
    lines.push(format!("domains = [\"{}\"]", surveyed.domain));
    lines.push(String::new());
    lines.push("[outbound]".to_owned());
    lines.extend(level(surveyed));
    lines.extend(version(surveyed));
    lines.extend(grade(surveyed));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn evidence(surveyed: &Surveyed) -> Vec<String> {
    let mut lines = vec![
        format!("# A candidate: what every mail host of {} met on {}.", surveyed.domain, surveyed.at.day()),
        "# Read it, then put it into the folder of domain files. What is not met any more holds mail back.".to_owned(),
    ];
    lines.extend(surveyed.hosts.iter().map(|host| format!("#   {}", host_in_words(host))));
    let signed = if surveyed.mx_secure { "secured by DNSSEC" } else { "not secured by DNSSEC" };
    lines.push(format!("#   MX records {signed}; MTA-STS {}", surveyed.mta_sts));
    lines.push(String::new());
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
    format!("{}: {session}; {certificate}{end}; TLSA records {}", host.host, host.dane)
}

/// DANE identifies better than names; a name of an MX host counts only where nobody could have forged it.
fn level(surveyed: &Surveyed) -> Vec<String> {
    let line = |text: &str| vec![text.to_owned()];
    if surveyed.mx_secure && surveyed.all_meet(|meets| meets.dane) {
        return vec!["tls = \"encrypt\"".to_owned(), "dane = \"required\"".to_owned()];
    }
    if surveyed.all_meet(|meets| meets.verify_domain) {
        return line("tls = \"verify\"\nmatch = [\"domain\"]");
    }
    let lists_hosts = surveyed.mta_sts == "enforce" && surveyed.all_meet(|meets| meets.mta_sts);
    if surveyed.all_meet(|meets| meets.verify_mx) && (surveyed.mx_secure || lists_hosts) {
        return line("tls = \"verify\" # by the host's name, which cannot be forged, or by the domain's");
    }
    let mut lines = line("tls = \"encrypt\"");
    if surveyed.all_meet(|meets| meets.verify_mx) {
        let names: Vec<String> = surveyed.hosts.iter().map(|host| format!("\"{}\"", host.host)).collect();
        lines.push(
            "# The certificates verify for the names of the hosts, which came by unsigned DNS. Where you know"
                .to_owned(),
        );
        lines.push(
            "# that they are right, write them down; mail then waits when the domain moves elsewhere:".to_owned(),
        );
        lines.push(format!("# tls = \"verify\"\n# match = [{}]", names.join(", ")));
    }
    lines
}

/// No more than TLSv1.2: whoever takes a version away rather takes the newest.
fn version(surveyed: &Surveyed) -> Option<String> {
    let met = surveyed.version()?;
    let note = if met > ProtocolVersion::Tls1_2 { format!(" # {met} was negotiated") } else { String::new() };
    Some(format!("min_version = \"{}\"{note}", met.min(ProtocolVersion::Tls1_2)))
}

fn grade(surveyed: &Surveyed) -> Option<String> {
    let met = surveyed.hosts.iter().map(|host| host.grade.unwrap_or(CipherGrade::Any)).min()?;
    (met > CipherGrade::Any).then(|| format!("cipher = \"{met}\""))
}

/// Whether the configuration speaks of the domain already, by its name.
pub(super) fn is_written(policies: Option<&crate::policy::rules::PolicySet>, domain: &Domain) -> bool {
    let exact = crate::model::domain::DomainPattern::Exact(domain.clone());
    policies.and_then(|policies| policies.find(domain)).is_some_and(|(_, pattern)| pattern == exact)
}
