//! `gatepost import postfix DIR`: a configuration that says the same as that of a Postfix, and a list of what it cannot
//! say.

pub(super) mod arguments;
mod certificates;
mod classes;
mod differences;
mod domains;
mod keys;
mod leftovers;
mod limits;
mod listeners;
mod networks;
mod page;
mod plan;
mod recipients;
mod render;
mod report;
mod site;
mod sources;
mod ways;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model::domain::Domain;
use crate::postfix::next_hop;
use crate::postfix::tls_policy::Level;

use super::output::{Console, Exit, Failure};
use super::waiting::Waiting;
use arguments::{From, FromPostfix, Import};
use differences::Difference;
use plan::Plan;
use report::{Carried, Differs, Missing, Notes};
use site::Site;
use ways::Ways;

/// What the machine is called where nobody says it.
const FALLBACK_HOSTNAME: &str = "mail.example.org";

/// The result for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    from: &'a Path,
    hostname: &'a Domain,
    /// `null` where nothing was written.
    out: Option<&'a Path>,
    written: &'a [PathBuf],
    domains: usize,
    files: usize,
    listeners: usize,
    carried: &'a [Carried],
    differs: &'a [Differs],
    missing: &'a [Missing],
}

pub(super) fn run(asked: &Import, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let From::Postfix(asked) = &asked.from;
    let mut notes = Notes::default();
    let out = asked.out.as_deref().map(std::path::absolute).transpose()?;
    if let Some(out) = &out {
        write::check_empty(out)?;
    }
    let hostname = hostname(asked);
    let waiting = Waiting::on("reading the configuration of Postfix");
    let site = Site::read(&asked.dir, &hostname, &mut notes)?;
    let mut plan = plan(&site, asked, &mut notes)?;
    let written = out.as_deref().map(|out| write::write(out, &mut plan)).transpose()?.unwrap_or_default();
    drop(waiting);
    let differs = notes.differing();
    let answer = Answer {
        from: &asked.dir,
        hostname: &plan.hostname,
        out: out.as_deref(),
        written: &written,
        domains: plan.files.iter().map(|file| file.domains.len()).sum(),
        files: plan.files.len(),
        listeners: plan.listeners.len(),
        carried: &notes.carried,
        differs: &differs,
        missing: &notes.missing,
    };
    if json {
        console.json(&answer)?;
    } else {
        write!(console.out, "{}", page::page(&answer))?;
    }
    Ok(Exit::Done)
}

fn hostname(asked: &FromPostfix) -> String {
    let own = asked.hostname.clone().or_else(super::init::full_system_name);
    own.map_or_else(|| FALLBACK_HOSTNAME.to_owned(), |name| name.to_string())
}

fn plan(site: &Site, asked: &FromPostfix, notes: &mut Notes) -> Result<Plan, Failure> {
    let main = &site.main;
    let hostname = Domain::parse(&main.text("myhostname")).map_err(|error| {
        Failure::usage(format!("myhostname: {error}"), "mend it in main.cf, or name this host with --hostname NAME")
    })?;
    if let Some(host) = &asked.mailboxes {
        next_hop::parse(host).map_err(|error| Failure::usage(error.to_string(), "write --mailboxes HOST:PORT"))?;
    }
    if !main.is_written("myhostname") {
        let remedy = "name it with --hostname NAME if it is another one";
        notes.missing(("myhostname", ""), format!("main.cf does not say it; {hostname} is assumed"), remedy);
    }
    tell_of_tls(site, notes);
    let mut ways = Ways::new(site, asked.mailboxes.as_deref());
    let domains = domains::plan(site, &mut ways, notes);
    let mut copies = ways.copies;
    let (trusted, trusted_from) = networks::trusted(site, notes);
    let listeners = listeners::plan(site, !trusted.is_empty(), &mut copies, notes);
    let needs_dnssec = site.smtp_transports().any(|transport| transport.client.has_dnssec)
        || domains.files.iter().any(|file| file.delivery.requires_dane())
        || domains.rest.requires_dane();
    notes.differs_if(needs_dnssec, Difference::DnssecHere);
    let goes_by_mx = |delivery: &plan::Delivery| delivery.route.is_none();
    if goes_by_mx(&domains.rest) || domains.files.iter().any(|file| goes_by_mx(&file.delivery)) {
        tell_of_mx(site, notes);
    }
    let limits = limits::limits(main, notes);
    leftovers::tell(site, notes);
    Ok(Plan {
        postmaster: postmaster(site),
        spool: limits::spool(main, notes),
        limits,
        listeners: listeners.listeners,
        certificates: listeners.certificates,
        legacy_certificate: None,
        trusted,
        trusted_from,
        inbound: listeners.inbound,
        outbound: domains.rest,
        needs_dnssec,
        files: domains.files,
        copies,
        hostname,
    })
}

/// What a route can say and mail by MX records cannot.
fn tell_of_mx(site: &Site, notes: &mut Notes) {
    for name in ["smtp_bind_address", "smtp_bind_address6", "smtp_helo_name", "inet_protocols"] {
        if let Some(place) = site.main.place(name).filter(|_| !site.main.is_default(name)) {
            notes.differs(Difference::SourceOnRoutesOnly(name), place.to_string());
        }
    }
}

/// Where mail for `<postmaster>` without a domain goes.
fn postmaster(site: &Site) -> Option<String> {
    let written = site.main.text("myorigin");
    // A path names a file with the name in it.
    let origin = match written.starts_with('/') {
        true => site.folder.read(&written).ok().and_then(|text| text.lines().next().map(|line| line.trim().to_owned())),
        false => Some(written),
    };
    let domain = origin
        .and_then(|origin| Domain::parse(&origin).ok())
        .or_else(|| Domain::parse(&site.main.text("myhostname")).ok());
    domain.map(|domain| format!("postmaster@{domain}"))
}

/// The settings that hold for all destinations, each with what it becomes.
fn tell_of_tls(site: &Site, notes: &mut Notes) {
    let main = &site.main;
    let client = crate::postfix::tls_client::TlsClient::of(main);
    let becomes = match client.level {
        Level::None => "[default.outbound] tls = \"off\"",
        Level::May => "[default.outbound] tls = \"opportunistic\"",
        Level::Dane => "[default.outbound] tls = \"opportunistic\", dane = \"auto\"",
        Level::Encrypt => "[default.outbound] tls = \"encrypt\"",
        Level::DaneOnly => "[default.outbound] tls = \"encrypt\", dane = \"required\"",
        Level::Fingerprint | Level::Verify | Level::Secure => "[default.outbound] tls = \"verify\"",
    };
    let (what, place) = match &client.level_set_by {
        Some((name, place)) => (format!("{name} = {}", main.text(name)), place.to_string()),
        None => ("smtp_tls_security_level is not set, which means none".to_owned(), String::new()),
    };
    notes.carried(what, place, becomes);
    for (name, becomes) in [
        ("relayhost", "[default.route], where no table says otherwise"),
        ("transport_maps", "[route] of domain files"),
        ("smtp_tls_policy_maps", "[outbound] of domain files, and the TLS keys of routes by their next hops"),
        ("relay_domains", "hosted = true with a [route]"),
        ("mydestination", "hosted = true with a [route] to the mailboxes"),
        ("virtual_mailbox_domains", "hosted = true with a [route] to the mailboxes"),
        ("smtp_tls_mandatory_protocols", "min_version, where TLS is required"),
        ("smtp_tls_mandatory_ciphers", "cipher, where TLS is required"),
        ("smtpd_tls_protocols", "offer of the listeners"),
        ("smtpd_tls_mandatory_protocols", "min_version, where TLS is required of senders"),
    ] {
        if let Some(place) = main.place(name).filter(|_| !main.text(name).is_empty()) {
            notes.carried(format!("{name} = {}", main.text(name)), place, becomes);
        }
    }
}
