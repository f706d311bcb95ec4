//! Domain files for what was shown: printed, or written to a folder.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::json;

use crate::admin::protocol::learned::LearnedDomain;
use crate::cli::output::{Console, Exit, Failure};
use crate::model::human::count;
use crate::model::os_error;

use super::arguments::Propose;

/// A domain file that could be put in place.
struct Proposal<'a> {
    of: &'a LearnedDomain,
    text: &'a str,
}

pub(super) fn run(
    domains: &[LearnedDomain],
    asked: &Propose,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let mut proposals: Vec<Proposal<'_>> = domains.iter().filter_map(proposal).collect();
    if let (Some(domain), true) = (&asked.domain, proposals.is_empty()) {
        let why = domains.first().and_then(|one| one.no_candidate.as_deref().or(one.lacking.as_deref()));
        let lacking = why.unwrap_or("it has shown too little");
        return Err(Failure::new(Exit::No, format!("there is nothing to propose for {domain}: {lacking}"), ""));
    }
    let has_file = |proposal: &Proposal<'_>| proposal.of.file.is_some();
    for LearnedDomain { domain, file, no_candidate, evidence, .. } in domains.iter().filter(|_| !json) {
        match (file, no_candidate) {
            (Some(file), _) if evidence.is_some() => writeln!(console.err, "{domain}: {file} names it already")?,
            (None, Some(why)) => writeln!(console.err, "{domain}: no file: {why}")?,
            _ => {}
        }
    }
    // A domain in two files is an error; printed it can be copied from.
    let is_printed = asked.domain.is_some() && asked.out.is_none();
    proposals.retain(|proposal| is_printed || !has_file(proposal));
    if asked.domain.is_some() && proposals.is_empty() {
        return Ok(Exit::No);
    }
    let exit = match &asked.out {
        Some(folder) => write_all(&proposals, folder, json, console)?,
        None => print_all(&proposals, json, console)?,
    };
    Ok(exit)
}

fn proposal(of: &LearnedDomain) -> Option<Proposal<'_>> {
    Some(Proposal { of, text: of.candidate.as_deref()? })
}

fn print_all(proposals: &[Proposal<'_>], json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if json {
        let value = |proposal: &Proposal<'_>| {
            let LearnedDomain { domain, evidence, file, .. } = proposal.of;
            json!({ "domain": domain, "evidence": evidence, "file": file, "toml": proposal.text })
        };
        console.json(&proposals.iter().map(value).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    for proposal in proposals {
        writeln!(console.out, "# {}\n{}", file_name(proposal.of), proposal.text)?;
    }
    if proposals.is_empty() {
        writeln!(console.err, "nothing to propose; `gatepost learned list` shows what is still lacking")?;
    }
    Ok(Exit::Done)
}

fn write_all(
    proposals: &[Proposal<'_>],
    folder: &Path,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(
            Exit::No,
            format!("{}: {}", path.display(), os_error::why(error)),
            "name a folder that can be written to",
        )
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let (mut written, mut kept) = (Vec::new(), Vec::new());
    for proposal in proposals {
        let path = folder.join(file_name(proposal.of));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(proposal.text.as_bytes()).map_err(|error| failed(&path, &error))?;
                written.push(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => kept.push(path),
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    if json {
        console.json(&json!({ "written": written, "there_already": kept }))?;
    } else {
        for path in &kept {
            writeln!(console.err, "{} is there already and stays as it is", path.display())?;
        }
        writeln!(console.out, "{} written to {}", count(written.len(), "file"), folder.display())?;
    }
    Ok(if kept.is_empty() { Exit::Done } else { Exit::No })
}

fn file_name(of: &LearnedDomain) -> String {
    format!("{}.toml", of.domain)
}
