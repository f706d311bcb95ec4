//! `gatepost selftest`: real sessions of every kind with the running listeners, held against the policy engine.

mod columns;
mod json;
mod page;
mod result;
mod spread;
mod targets;
mod walk;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use rustls::SignatureAlgorithm;

use crate::admin::client;
use crate::admin::protocol::{Request, Response};
use crate::clock;
use crate::config::{CertificateConfig, Config};
use crate::model::time::Timestamp;
use crate::policy::relay::Trust;
use crate::policy::transaction::Visitor;
use crate::tls::certificates::{CertificateError, CertificatePaths};
use crate::tls::store::CertificateStore;

use super::arguments::Selftest;
use super::configuration;
use super::output::{Console, Exit, Failure};
use columns::{Plan, Tester};
use result::{Counts, Row};
use targets::Target;
use walk::{WalkError, Way};

/// The whole result.
#[derive(Debug)]
struct Report<'a> {
    config: &'a Config,
    /// The main file, if one was asked for: it goes into commands that are proposed.
    config_asked: Option<&'a Path>,
    time: Timestamp,
    /// The configuration that the daemon behind the control socket runs; `None` if none answers there.
    daemon_digest: Option<String>,
    /// Why it is not known which suites there are certificates for.
    keys_unknown: Option<String>,
    tested: Vec<Tested<'a>>,
}

#[derive(Debug)]
struct Tested<'a> {
    target: Target<'a>,
    outcome: Result<Matrix, WalkError>,
}

/// Version and suite against policy, of one listener.
#[derive(Debug)]
struct Matrix {
    /// Our own address.
    client: IpAddr,
    trust: Trust,
    plan: Plan,
    rows: Vec<Row>,
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &Selftest,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config_asked = config;
    let config = configuration::require(config)?;
    let address = asked.address.as_deref().map(|text| resolve(text, asked.source)).transpose()?;
    let targets = targets::choose(&config.listeners, asked.listener.as_deref(), address)?;
    let keys = keys(&config);
    let mut report = Report {
        config: &config,
        config_asked,
        time: clock::timestamp(),
        daemon_digest: daemon_digest(&config),
        keys_unknown: keys.as_ref().err().cloned(),
        tested: Vec::new(),
    };
    let keys = keys.ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::No, format!("the system refused a runtime: {error}"), "end other programs, then try again")
    })?;
    for target in targets {
        let outcome = runtime.block_on(test(&config, &target, keys.as_deref(), asked));
        report.tested.push(Tested { target, outcome });
    }
    if json {
        console.json(&json::answer(&report))?;
    } else {
        write!(console.out, "{}", page::page(&report))?;
    }
    Ok(report.exit())
}

impl Report<'_> {
    fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        self.tested.iter().filter_map(|tested| tested.outcome.as_ref().ok())
    }

    fn counts(&self) -> Counts {
        Counts::of(self.matrices().flat_map(|matrix| &matrix.rows))
    }

    /// Whether the running daemon says by itself that it runs another configuration.
    fn is_outdated(&self) -> bool {
        self.daemon_digest.as_ref().is_some_and(|digest| *digest != self.config.digest)
    }

    /// A proved difference weighs more than a listener of which nothing is known.
    fn exit(&self) -> Exit {
        match self.counts().differences {
            0 if self.tested.iter().all(|tested| tested.outcome.is_ok()) => Exit::Done,
            0 => Exit::Unreachable,
            _ => Exit::No,
        }
    }
}

/// Tests one listener under a progress bar, which shows itself only on a terminal.
async fn test(
    config: &Config,
    target: &Target<'_>,
    keys: Option<&[SignatureAlgorithm]>,
    asked: &Selftest,
) -> Result<Matrix, WalkError> {
    let (listener, door) = (target.listener, config.door(target.listener));
    let way = Way::new(config, target, asked.source);
    let client = way.client()?;
    let at = clock::timestamp();
    let trust = door.trust(&Visitor { at, ip: client, tls: None });
    let tester = Tester { client, at, answers_to_floor: listener.role.answers_to_floor(trust) };
    let plan = columns::plan(&config.policies, &tester, &asked.domains);
    let attempts = spread::attempts(listener.tls);
    let bar = ProgressBar::new(u64::try_from(attempts.len()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos} of {len}  {wide_msg}") {
        bar.set_style(style);
    }
    let mut rows = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        bar.set_message(format!("{}: {attempt}", listener.name));
        let met = way.walk(attempt, &plan.columns, (&door, client)).await?;
        rows.push(Row { attempt, prospect: spread::prospect(attempt, listener, keys), met });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Matrix { client, trust, plan, rows })
}

/// The kinds of key that a client who asks for our name meets, or why they cannot be told.
fn keys(config: &Config) -> Result<Vec<SignatureAlgorithm>, String> {
    let paths = |certificate: &CertificateConfig| CertificatePaths {
        stack: certificate.stack,
        ..CertificatePaths::new(&certificate.chain, &certificate.key)
    };
    let paths: Vec<CertificatePaths> = config.certificates.iter().map(paths).collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let first = |errors: Vec<CertificateError>| errors.first().map(ToString::to_string).unwrap_or_default();
    let store = CertificateStore::load(&paths).map_err(first)?;
    Ok(store.key_algorithms(Some(config.hostname.as_str())))
}

/// A daemon that does not answer, or not to this user, is none of this command's business.
fn daemon_digest(config: &Config) -> Option<String> {
    match client::ask(&config.admin.socket, &Request::Status) {
        Ok(Response::Status(status)) => Some(status.config),
        _ => None,
    }
}

/// The first address of HOST:PORT that goes with the source address.
fn resolve(text: &str, source: Option<IpAddr>) -> Result<SocketAddr, Failure> {
    let wrong = |why: String| {
        let message = format!("--address {} cannot be used: {why}", crate::model::human::shown(text));
        Failure::usage(message, "write HOST:PORT, such as 127.0.0.1:25 or [::1]:25")
    };
    let mut addresses = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    let fits = |address: &SocketAddr| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
    addresses.find(fits).ok_or_else(|| wrong("it has no address that goes with --source".to_owned()))
}
