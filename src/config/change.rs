//! A configuration that is thought of: settings laid over those of one place, or one domain file in place of another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::model::domain::Domain;
use crate::model::time::Timestamp;

use super::delivery_table::{DeliveryKeys, OutboundTable};
use super::document::Table;
use super::domain_file::DomainFile;
use super::main_file::MainFile;
use super::overruled::{How, Overruled, Overruling};
use super::place::{At, Place};
use super::policy_tables::{InboundKeys, TlsKeys, inbound};
use super::route_table::RouteTable;
use super::source::SourceFile;
use super::timed_tables::{Keys as _, Part, Timed};
use super::whereabouts::FileKind;

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

/// Keys laid over what one place says, as if they were written there and in force at a moment: they stand above its
/// steps whose day has come, and below those to come and all exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub place: SettingsPlace,
    pub at: Timestamp,
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
        let Settings { place, text, .. } = self.settings.as_ref()?;
        let text = match place {
            SettingsPlace::NewFile(domain) => format!("domains = [\"{domain}\"]\n{text}"),
            SettingsPlace::Default | SettingsPlace::File(_) => text.clone(),
        };
        Some(SourceFile { name: SETTINGS_NAME.into(), kind: FileKind::Domain, folder: folder.to_owned(), order, text })
    }

    /// Lays the settings of `table`, which is that of their source, over what was read. Gives what they overrule.
    pub(super) fn lay<'a>(
        &self,
        table: Table<'a>,
        main: Option<&mut MainFile<'a>>,
        files: &mut Vec<DomainFile<'a>>,
    ) -> Vec<Overruled> {
        let (Some(settings), Some(main)) = (&self.settings, main) else { return Vec::new() };
        let at = settings.at;
        match &settings.place {
            SettingsPlace::Default => {
                let own =
                    Tables { inbound: &mut main.inbound, outbound: &mut main.outbound, route: main.route.as_mut() };
                own.lay(table, None, at)
            }
            SettingsPlace::File(name) => {
                let Some(file) = files.iter_mut().find(|file| file.place.file.name == *name) else { return Vec::new() };
                let own =
                    Tables { inbound: &mut file.inbound, outbound: &mut file.outbound, route: file.route.as_mut() };
                own.lay(table, Some(&*main), at)
            }
            SettingsPlace::NewFile(_) => {
                let mut file = DomainFile::read(table);
                // Its own keys are laid over nothing, so that they too raise what they contradict.
                let (inbound, outbound) =
                    (std::mem::take(&mut file.inbound.base), std::mem::take(&mut file.outbound.rules.base));
                let below = Overruling { below: &mut file.inbound, default: Some(&main.inbound), at };
                let mut overruled = below.lay(inbound);
                let below = Overruling { below: &mut file.outbound.rules, default: Some(&main.outbound.rules), at };
                overruled.extend(below.lay(outbound));
                files.push(file);
                overruled
            }
        }
    }
}

/// The tables of one place.
#[derive(Debug)]
struct Tables<'t, 'a> {
    inbound: &'t mut Timed<'a, InboundKeys<'a>>,
    outbound: &'t mut OutboundTable<'a>,
    route: Option<&'t mut RouteTable<'a>>,
}

impl<'a> Tables<'_, 'a> {
    fn lay(self, mut table: Table<'a>, default: Option<&MainFile<'a>>, at: Timestamp) -> Vec<Overruled> {
        let Self { inbound: below, outbound, route } = self;
        let over = inbound(table.section("inbound")).base;
        let default_inbound = default.map(|main| &main.inbound);
        let mut overruled = Overruling { below, default: default_inbound, at }.lay(over);
        let over = OutboundTable::read(table.section("outbound"));
        let default_outbound = default.map(|main| &main.outbound.rules);
        let rules = Overruling { below: &mut outbound.rules, default: default_outbound, at };
        overruled.extend(rules.lay(over.rules.base));
        overruled.extend(lay_delivery(over.delivery, outbound, at));
        overruled.extend(lay_route(table.section("route"), route, at));
        table.finish();
        overruled
    }
}

/// The keys of deliveries that a replay of records can tell a difference by, above the base and the steps in force.
/// Gives what they replace.
fn lay_delivery<'a>(over: DeliveryKeys<'a>, below: &mut OutboundTable<'a>, at: Timestamp) -> Vec<Overruled> {
    let OutboundTable { rules, delivery } = below;
    let steps = rules.steps.iter_mut().filter(|step| step.from <= at);
    let steps = steps.rev().map(|step| (Some(step.from), &mut step.keys.delivery));
    let mut layers: Vec<Laid<'_, 'a>> = steps.chain([(None, delivery)]).collect();
    let end = replace(over.on_tls_failure, &mut layers, |keys| &mut keys.on_tls_failure)
        .map(|(step, end)| replaced("on_tls_failure", end.value.to_string(), step, &end.place));
    let dane = replace(over.dane, &mut layers, |keys| &mut keys.dane)
        .map(|(step, dane)| replaced("dane", dane.value.as_str().to_owned(), step, &dane.place));
    let mta_sts = replace(over.mta_sts, &mut layers, |keys| &mut keys.mta_sts)
        .map(|(step, sts)| replaced("mta_sts", sts.value.as_str().to_owned(), step, &sts.place));
    [end, dane, mta_sts].into_iter().flatten().collect()
}

/// A step in force with its moment, or the base.
type Laid<'t, 'a> = (Option<Timestamp>, &'t mut DeliveryKeys<'a>);

/// Writes a key into the base, the last of `layers`, and takes it out of what stands above. Gives what held.
fn replace<'a, T>(
    over: Option<At<'a, T>>,
    layers: &mut [Laid<'_, 'a>],
    key: for<'k> fn(&'k mut DeliveryKeys<'a>) -> &'k mut Option<At<'a, T>>,
) -> Option<(Option<Timestamp>, At<'a, T>)> {
    let over = over?;
    let mut before = None;
    for (step, keys) in layers.iter_mut() {
        let taken = key(keys).take().map(|at| (*step, at));
        before = before.or(taken);
    }
    if let Some((_, base)) = layers.last_mut() {
        *key(base) = Some(over);
    }
    before
}

fn replaced(key: &'static str, value: String, step: Option<Timestamp>, place: &Place<'_>) -> Overruled {
    Overruled { key, value, source: place.source(), step, how: How::Replaced }
}

fn lay_route<'a>(mut section: Table<'a>, route: Option<&mut RouteTable<'a>>, at: Timestamp) -> Vec<Overruled> {
    if !section.is_written() {
        return Vec::new();
    }
    let place = section.place().clone();
    let over = TlsKeys::read(&mut section, Part::Base);
    section.finish();
    let Some(route) = route else {
        place.error("there is no [route] to change", "change [outbound] instead");
        return Vec::new();
    };
    let mut keys = Timed { base: std::mem::take(&mut route.tls), ..Timed::default() };
    let overruled = Overruling { below: &mut keys, default: None, at }.lay(over);
    route.tls = keys.base;
    overruled
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
