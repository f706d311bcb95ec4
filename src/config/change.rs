//! A configuration that is thought of: settings laid over those of one place, or one domain file in place of another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::model::domain::Domain;

use super::document::Table;
use super::domain_file::DomainFile;
use super::main_file::MainFile;
use super::policy_tables::{InboundKeys, OutboundTable, RouteTable, TlsKeys, inbound};
use super::source::SourceFile;
use super::timed_tables::{Keys, Part, Timed};

/// How findings and rules name the settings.
const SETTINGS_NAME: &str = "--set";

/// What differs from the files. The default differs in nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub settings: Option<Settings>,
    /// A domain file that is read as if it lay in the folder of domain files. It takes the place of the one with the
    /// same name and of those that speak for one of the same domains.
    pub domain_file: Option<PathBuf>,
}

/// Keys laid over what one place says, as if they were written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub place: SettingsPlace,
    /// TOML: tables `[inbound]`, `[outbound]` and `[route]`.
    pub text: String,
}

/// Where settings are thought to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsPlace {
    /// `[default.*]` of the main file.
    Default,
    /// A domain file, by its name.
    File(Arc<str>),
    /// A domain file for this domain alone.
    NewFile(Domain),
}

impl Change {
    /// The settings as a file, to be read behind all others.
    pub(super) fn settings_source(&self, folder: &Path, order: usize) -> Option<SourceFile> {
        let Settings { place, text } = self.settings.as_ref()?;
        let text = match place {
            SettingsPlace::NewFile(domain) => format!("domains = [\"{domain}\"]\n{text}"),
            SettingsPlace::Default | SettingsPlace::File(_) => text.clone(),
        };
        Some(SourceFile { name: SETTINGS_NAME.into(), folder: folder.to_owned(), order, text })
    }

    /// Lays the settings of `table`, which is that of their source, over what was read.
    pub(super) fn lay<'a>(&self, table: Table<'a>, main: Option<&mut MainFile<'a>>, files: &mut Vec<DomainFile<'a>>) {
        match self.settings.as_ref().map(|settings| &settings.place) {
            None => {}
            Some(SettingsPlace::NewFile(_)) => files.push(DomainFile::read(table)),
            Some(SettingsPlace::File(name)) => {
                if let Some(file) = files.iter_mut().find(|file| file.place.file.name == *name) {
                    lay_over(table, &mut file.inbound, &mut file.outbound, file.route.as_mut());
                }
            }
            Some(SettingsPlace::Default) => {
                if let Some(main) = main {
                    lay_over(table, &mut main.inbound, &mut main.outbound, main.route.as_mut());
                }
            }
        }
    }
}

fn lay_over<'a>(
    mut table: Table<'a>,
    below: &mut Timed<'a, InboundKeys<'a>>,
    outbound: &mut OutboundTable<'a>,
    route: Option<&mut RouteTable<'a>>,
) {
    below.base = inbound(table.section("inbound")).base.over(&below.base);
    let over = OutboundTable::read(table.section("outbound"));
    outbound.rules.base = over.rules.base.over(&outbound.rules.base);
    outbound.on_tls_failure = over.on_tls_failure.or(outbound.on_tls_failure.take());
    let mut section = table.section("route");
    if section.is_written() {
        let place = section.place().clone();
        let over = TlsKeys::read(&mut section, Part::Base);
        section.finish();
        match route {
            Some(route) => route.tls = over.over(&route.tls),
            None => place.error("there is no [route] to change", "change [outbound] instead"),
        }
    }
    table.finish();
}

/// Puts `file` in the place of those that it replaces.
pub(super) fn put_domain_file(file: SourceFile, sources: &mut Vec<SourceFile>) {
    let base = |source: &SourceFile| Path::new(&*source.name).file_name().map(ToOwned::to_owned);
    let (name, claimed) = (base(&file), domains(&file));
    sources.retain(|source| base(source) != name && domains(source).is_disjoint(&claimed));
    sources.push(file);
}

/// The texts under `domains`, however wrong the rest is.
fn domains(source: &SourceFile) -> BTreeSet<String> {
    let (entries, _) = DeTable::parse_recoverable(&source.text);
    let listed = entries.get_ref().get("domains").and_then(|value| value.get_ref().as_array());
    let items = listed.into_iter().flat_map(|items| items.iter());
    items.filter_map(|item| DeValue::as_str(item.get_ref())).map(str::to_ascii_lowercase).collect()
}
