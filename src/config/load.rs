//! Reading all files of a configuration and putting the checked whole together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use toml::Spanned;
use toml::de::DeTable;

use crate::clock;
use crate::model::hex;
use crate::model::os_error;
use crate::model::time::Timestamp;
use crate::policy::rules::{Defaults, DomainPolicy, PolicySet, Recipients};

use super::change::{self, Change};
use super::diagnostic::{Diagnostic, Severity};
use super::document::Table;
use super::domain_file::{DomainFile, RecipientsFrom};
use super::main_file::{self, DomainsKey, MainFile};
use super::overruled::Overruled;
use super::place::{Place, Problems};
use super::policy_tables::{InboundKeys, TlsKeys};
use super::recipients::Lists;
use super::route_table::{NamedRoute, RouteTable};
use super::source::{CONFIG_FILE_BYTES_MAX, SourceFile, read_text};
use super::timed_tables::Keys;
use super::whereabouts::FileKind;
use super::{Config, RelayConfig, combinations};

/// The most domain files.
const DOMAIN_FILES_MAX: usize = 100_000;
/// The folder of domain files if no other is named.
const DEFAULT_DOMAINS: &str = "domains.d";
/// The folder of policy cases, beside that of domain files.
const CASES_FOLDER: &str = "tests.d";
const DOMAIN_FILE_EXTENSION: &str = "toml";

/// Reads the main file, every `*.toml` of its folder of domain files in the order of their names, and the lists of
/// recipients that those name. Gives the configuration with its warnings, or every error and warning at once.
pub fn load(file: &Path) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    load_at(file, clock::timestamp())
}

/// The same with the findings of another day. Whether there are errors does not depend on it.
pub fn load_at(file: &Path, now: Timestamp) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    load_changed(file, &Change::default(), now).map(|changed| (changed.config, changed.findings))
}

/// A configuration that differs from the files.
#[derive(Debug)]
pub struct Changed {
    pub config: Config,
    /// Warnings.
    pub findings: Vec<Diagnostic>,
    /// What is written and holds no more.
    pub overruled: Vec<Overruled>,
}

/// The same for a configuration that differs from the files.
pub fn load_changed(file: &Path, change: &Change, now: Timestamp) -> Result<Changed, Vec<Diagnostic>> {
    let problems = Problems::default();
    let mut overruled = Vec::new();
    let config = load_all(file, (change, now), &problems, &mut overruled);
    let findings = problems.into_sorted();
    match config {
        Some(config) if !findings.iter().any(Diagnostic::is_error) => Ok(Changed { config, findings, overruled }),
        _ => Err(findings),
    }
}

/// `None` only after an error was reported.
fn load_all(
    file: &Path,
    (change, now): (&Change, Timestamp),
    problems: &Problems,
    overruled: &mut Vec<Overruled>,
) -> Option<Config> {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let source = read_source(&path, &folder, (FileKind::Main, 0), problems)?;
    let document = Document::parse(&source, problems);
    let mut table = Table::root(&source, problems, document.entries.get_ref());
    let domains = main_file::domains_key(&mut table);
    let mut main = document.is_whole.then(|| MainFile::read(table));

    let mut sources = read_domain_sources(&folder, domains.as_ref(), problems);
    if let Some(path) = &change.domain_file {
        let written = read_source(path, &folder, (FileKind::Domain, sources.len() + 1), problems)?;
        let folder = domains.as_ref().map_or_else(|| folder.join(DEFAULT_DOMAINS), |key| key.path.clone());
        change::put_domain_file(SourceFile { folder, ..written }, &mut sources);
    }
    let settings = change.settings_source(&folder, sources.len() + 1);
    let documents: Vec<Document<'_>> = sources.iter().map(|source| Document::parse(source, problems)).collect();
    let settings = settings.as_ref().map(|source| Document::parse(source, problems));
    let mut files: Vec<DomainFile<'_>> = documents
        .iter()
        .filter(|document| document.is_whole)
        .map(|document| DomainFile::read(Table::root(document.source, problems, document.entries.get_ref())))
        .collect();
    if let Some(settings) = settings.as_ref().filter(|settings| settings.is_whole) {
        let table = Table::root(settings.source, problems, settings.entries.get_ref());
        *overruled = change.lay(table, main.as_mut(), &mut files);
    }
    let mut lists = Lists::default();
    let recipients = files.iter().map(|file| read_recipients(file, &folder, &mut lists)).collect();
    combinations::check_among_files(&files);
    let main = main?;
    combinations::check(&main, &files, now);
    let texts = std::iter::once(&source).chain(&sources).map(|source| (&*source.name, source.text.as_str()));
    let digest = digest(texts.chain(lists.read.iter().map(|(name, text)| (&**name, text.as_str()))));
    let policies = policies(&main, &files, recipients)?;
    let domains = domains.map_or_else(|| folder.join(DEFAULT_DOMAINS), |key| key.path.clone());
    let cases = domains.parent().unwrap_or(&folder).join(CASES_FOLDER);
    let folders = [folder.clone(), domains].into_iter().chain(lists.folders()).collect();
    assemble(main, Whole { file: path, folders, cases, digest, policies })
}

/// A file as TOML.
#[derive(Debug)]
pub(super) struct Document<'a> {
    source: &'a SourceFile,
    pub(super) entries: Spanned<DeTable<'a>>,
    /// Without syntax errors; else keys may be missing.
    pub(super) is_whole: bool,
}

impl<'a> Document<'a> {
    pub(super) fn parse(source: &'a SourceFile, problems: &'a Problems) -> Self {
        let (entries, errors) = DeTable::parse_recoverable(&source.text);
        for error in &errors {
            let span = error.span().unwrap_or(source.text.len()..source.text.len());
            let place = Place { file: source, problems, key: String::new(), span };
            place.error(error.message(), "correct the TOML syntax");
        }
        Self { source, entries, is_whole: errors.is_empty() }
    }
}

/// `None` after the error was reported.
pub(super) fn read_source(
    path: &Path,
    root: &Path,
    (kind, order): (FileKind, usize),
    problems: &Problems,
) -> Option<SourceFile> {
    let below = path.strip_prefix(root).ok().filter(|_| root.parent().is_some());
    let name = below.unwrap_or(path).to_string_lossy();
    let folder = path.parent().unwrap_or(root).to_owned();
    match read_text(path, CONFIG_FILE_BYTES_MAX) {
        Ok(text) => Some(SourceFile { name: name.into(), kind, folder, order, text }),
        Err(unreadable) => {
            let diagnostic = Diagnostic {
                severity: Severity::Error,
                file: name.into_owned(),
                line: 1,
                column: 1,
                key: String::new(),
                message: unreadable.0,
                remedy: "name a TOML file that this account may read".to_owned(),
                excerpt: None,
            };
            problems.push(order, 0, diagnostic);
            None
        }
    }
}

fn read_domain_sources(root: &Path, key: Option<&DomainsKey<'_>>, problems: &Problems) -> Vec<SourceFile> {
    let default = root.join(DEFAULT_DOMAINS);
    let folder = match key {
        Some(key) => &key.path,
        None if default.is_dir() => &default,
        None => return Vec::new(),
    };
    let paths = match domain_paths(folder) {
        Ok(paths) if paths.len() <= DOMAIN_FILES_MAX => paths,
        Ok(_) => {
            report_folder(key, root, problems, format!("more than {DOMAIN_FILES_MAX} domain files"));
            return Vec::new();
        }
        Err(error) => {
            report_folder(key, root, problems, format!("cannot read {}: {}", folder.display(), os_error::why(&error)));
            return Vec::new();
        }
    };
    let in_order = paths.iter().enumerate();
    in_order.filter_map(|(index, path)| read_source(path, root, (FileKind::Domain, index + 1), problems)).collect()
}

/// Sorted; hidden files and files of another extension are left out.
pub(super) fn domain_paths(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == DOMAIN_FILE_EXTENSION) {
            paths.push(path);
        }
        if paths.len() > DOMAIN_FILES_MAX {
            break;
        }
    }
    paths.sort();
    Ok(paths)
}

fn report_folder(key: Option<&DomainsKey<'_>>, root: &Path, problems: &Problems, message: String) {
    let remedy = "name a readable folder of domain files";
    match key {
        Some(key) => key.place.error(message, remedy),
        None => {
            let nowhere = SourceFile {
                name: DEFAULT_DOMAINS.into(),
                kind: FileKind::Main,
                folder: root.to_owned(),
                order: 0,
                text: String::new(),
            };
            Place { file: &nowhere, problems, key: "domains".to_owned(), span: 0..0 }.error(message, remedy);
        }
    }
}

/// `None` where a list is wrong, which was reported.
fn read_recipients(file: &DomainFile<'_>, root: &Path, lists: &mut Lists) -> Option<Recipients> {
    match file.recipients.as_ref().map(|at| (&at.value, &at.place)) {
        Some((RecipientsFrom::File(path), place)) => lists.load(path, root, place),
        Some((RecipientsFrom::Unknown, _)) => None,
        Some((RecipientsFrom::Any, _)) | None => Some(Recipients::Any),
    }
}

/// SHA-256 over names and contents, each with its length before it, in hexadecimal.
fn digest<'t>(files: impl Iterator<Item = (&'t str, &'t str)>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in files.flat_map(|(name, content)| [name, content]) {
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    }
    hex::encode(context.finish().as_ref())
}

fn policies(
    main: &MainFile<'_>,
    files: &[DomainFile<'_>],
    recipients: Vec<Option<Recipients>>,
) -> Option<Arc<PolicySet>> {
    let defaults = Defaults {
        inbound: main.inbound.rules(InboundKeys::layer),
        outbound: main.outbound.rules.rules(TlsKeys::layer),
        delivery: main.outbound.delivery.layer(),
        route: main.route.as_ref().and_then(RouteTable::route),
    };
    let policies = files.iter().zip(recipients).map(|(file, recipients)| Some(file.policy(recipients?)));
    let mut policies: Vec<DomainPolicy> = policies.collect::<Option<_>>()?;
    let mut groups = BTreeSet::new();
    for policy in &mut policies {
        // What exceeds the bound counts as `other`; a warning has said so.
        policy.group = policy.group.take().filter(|group| {
            let has_room = groups.len() < combinations::GROUPS_MAX;
            groups.contains(group) || (has_room && groups.insert(group.clone()))
        });
    }
    let mut set = PolicySet::new(defaults, policies).ok()?;
    set.enforcement = main.switch.enforcement();
    set.tls_report_address.clone_from(&main.tlsrpt.address);
    set.routes = main.routes.iter().filter_map(NamedRoute::route).map(|route| (route.name.clone(), route)).collect();
    Some(Arc::new(set))
}

/// What is not in the main file.
#[derive(Debug)]
struct Whole {
    file: PathBuf,
    folders: Vec<PathBuf>,
    cases: PathBuf,
    digest: String,
    policies: Arc<PolicySet>,
}

/// `None` where a required value was missing or wrong, which was reported.
fn assemble(main: MainFile<'_>, whole: Whole) -> Option<Config> {
    Some(Config {
        file: whole.file,
        folders: whole.folders,
        cases: whole.cases,
        digest: whole.digest,
        hostname: main.hostname?.value,
        postmaster: main.postmaster,
        user: main.user,
        group: main.group,
        policies: whole.policies,
        spool: main.spool,
        listeners: main.listeners.iter().map(|listener| listener.config()).collect::<Option<_>>()?,
        certificates: main.certificates.into_iter().map(|certificate| certificate.config).collect(),
        relay: RelayConfig { trusted: main.trusted.clients() },
        dns: main.dns,
        audit: main.audit,
        metrics: main.metrics,
        admin: main.admin,
        learn: main.learn,
        alert: main.alert,
        tlsrpt: main.tlsrpt,
        limits: main.limits,
    })
}
