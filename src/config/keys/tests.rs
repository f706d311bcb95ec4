//! The table of keys against the reader: the same keys in the same tables, the same words, bounds and defaults.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value as Toml};

use super::{DURATION, Effect, File, Key, Place, Section, TIMEOUT, Unwritten, Value, sections};
use crate::config::cases::load_cases;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::asked;
use crate::config::{Config, load_at};
use crate::model::address::ReversePath;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::in_force::InForce;
use crate::policy::outbound::{Decision, NextHop, decide};
use crate::policy::settings::{OutboundLayer, Route};
use crate::policy::timed::Asker;

/// 2026-12-01.
const NOW: Timestamp = Timestamp::from_secs(1_796_083_200);

/// A sound configuration. The certificates are read by nobody here.
const MAIN: &str = "
hostname = \"mx1.example.org\"
postmaster = \"postmaster@example.org\"
spool.path = \"spool\"
audit.path = \"audit\"
listener = [{ name = \"mx\", bind = [\"127.0.0.1:25\"], role = \"mx\" }]
certificate = [{ chain = \"a\", key = \"b\" }, { chain = \"c\", key = \"d\" }]
";
const DOMAIN: &str = "domains = [\"a.example\"]";
const ROUTED: &str = "domains = [\"b.example\"]\nroute.hosts = [\"b.example.org\"]";
const CASE: &str = "case = [{ from = \"a@a.example\", to = \"b@b.example\", expect = \"defer\" }]";

/// What must stand beside a key for it to say something: the table and the key, and TOML for the main file and for the
/// domain file, or for the file of the case.
const BESIDE: &[(&str, &str, &str, &str)] = &[
    ("", "enforcement", "report_until = 2027-01-01", ""),
    ("", "hosted", "", "recipients = \"any\""),
    ("inbound", "client_certificate", ASKS, ""),
    ("default.inbound", "client_certificate", ASKS, ""),
    ("listener", "relay", "relay.trusted = [\"10.0.0.0/8\"]", ""),
    ("outbound", "match", "", "outbound.tls = \"verify\""),
    ("outbound", "route_after", OTHER_ROUTE, "outbound.on_tls_failure = \"route:r\""),
    ("default.outbound", "match", "default.outbound.tls = \"verify\"", ""),
    ("default.outbound", "route_after", OTHER_ROUTE, "outbound.on_tls_failure = \"route:r\""),
    ("route", "match", "", "route.tls = \"verify\""),
    ("default.route", "match", "default.route = { hosts = [\"c.example\"], tls = \"verify\" }", ""),
    ("default.route", "", "default.route.hosts = [\"c.example\"]", ""),
];
const ASKS: &str = "listener = [{ name = \"mx\", bind = [\"127.0.0.1:25\"], role = \"mx\", \
                    request_client_certificate = true }]";
const OTHER_ROUTE: &str = "route = [{ name = \"r\", hosts = [\"r.example\"], tls = \"verify\" }]";

/// The same for `[[route]]`, which only mail takes that lacks TLS.
const BESIDE_NAMED: &[(&str, &str)] =
    &[("match", OTHER_ROUTE), ("", "route = [{ name = \"r\", hosts = [\"r.example\"], min_version = \"TLSv1.2\" }]")];
const TAKES_NAMED: &str = "outbound.on_tls_failure = \"route:r\"";

/// Values of many forms, none of which is a default.
const OTHERS: &str = "all = [\"other\", \"7s\", \"7d\", \"7MB\", \"127.0.0.1:1\", \"bounce\", \"verified\",
    [\"7s\"], [\"sender\"], [\"x.example.org\"], [\"10.0.0.0/8\"], [\"sha256:00\"]]";

/// All files of a configuration.
#[derive(Clone, Debug, Default)]
struct Files {
    main: Table,
    domain: Table,
    /// Of a domain with a route.
    routed: Table,
    cases: Table,
}

#[derive(Debug)]
struct Loaded {
    findings: Vec<Diagnostic>,
    /// What it says, wherever that was written; `None` with errors.
    meaning: Option<String>,
}

fn parse(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Files {
    fn sound() -> Self {
        Self { main: parse(MAIN), domain: parse(DOMAIN), routed: parse(ROUTED), cases: parse(CASE) }
    }

    fn file(&mut self, place: &Place) -> &mut Table {
        match (place.file, place.table) {
            (File::Main, _) => &mut self.main,
            (File::Domain, "" | "route") => &mut self.routed,
            (File::Domain, _) => &mut self.domain,
            (File::Cases, _) => &mut self.cases,
        }
    }

    /// The table of `place`, which is made if it is not there.
    fn table(&mut self, place: &Place) -> &mut Table {
        let steps: Vec<&str> = place.table.split('.').filter(|step| !step.is_empty()).collect();
        let mut table = self.file(place);
        for (index, step) in steps.iter().enumerate() {
            let is_list = place.is_list && index + 1 == steps.len();
            let empty = Toml::Table(Table::new());
            let missing = if is_list { Toml::Array(vec![empty]) } else { empty };
            table = match table.entry(*step).or_insert(missing) {
                Toml::Table(below) => below,
                Toml::Array(items) => items[0].as_table_mut().unwrap(),
                other => panic!("{step} is {other}"),
            };
        }
        table
    }

    /// Writes a key; one with a dot is that of a table in place.
    fn set(&mut self, place: &Place, key: &str, value: Toml) {
        let table = self.table(place);
        match key.split_once('.') {
            None => drop(table.insert(key.to_owned(), value)),
            Some((parent, key)) => {
                let parent = table.entry(parent).or_insert_with(|| Toml::Table(Table::new()));
                parent.as_table_mut().unwrap().insert(key.to_owned(), value);
            }
        }
    }

    fn load(&self, folder: &Path) -> Loaded {
        let texts = [
            ("gatepost.toml", &self.main),
            ("domains.d/a.toml", &self.domain),
            ("domains.d/b.toml", &self.routed),
            ("tests.d/a.toml", &self.cases),
        ];
        for (name, table) in texts {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), table.to_string()).unwrap();
        }
        fs::create_dir_all(folder.join("other")).unwrap();
        let (config, mut findings) = match load_at(&folder.join("gatepost.toml"), NOW) {
            Ok((config, findings)) => (Some(config), findings),
            Err(findings) => (None, findings),
        };
        let mut meaning = config.as_ref().map(meaning);
        if let Some((config, meaning)) = config.as_ref().zip(meaning.as_mut()) {
            let (files, of_cases) = load_cases(config, std::slice::from_ref(&config.cases));
            for case in files.iter().flat_map(|file| &file.cases) {
                let of_both = (&case.name, &case.from, &case.to, &case.tls, &case.client, &case.at);
                write!(meaning, "{of_both:?} {:?}", case.way).unwrap();
            }
            findings.extend(of_cases);
        }
        let meaning = meaning.filter(|_| !findings.iter().any(Diagnostic::is_error));
        Loaded { findings, meaning }
    }
}

/// All that a configuration says.
fn meaning(config: &Config) -> String {
    let policies = &config.policies;
    let rest = Config { policies: Arc::default(), digest: String::new(), ..config.clone() };
    let mut out = format!("{rest:?} {:?} {:?}", policies.enforcement, policies.tls_report_address);
    let inbound = &policies.defaults.inbound.base;
    for domain in ["a.example", "b.example", "elsewhere.example"].map(|name| Domain::parse(name).unwrap()) {
        let asker = Asker { at: NOW, client: None, sender: &ReversePath::Null };
        let decision = decide(policies, Some(&domain), &asker);
        let other = decision.clone().rerouted().map(told);
        write!(out, "{:?} {other:?}", told(decision)).unwrap();
        let Some((policy, _)) = policies.find(&domain) else { continue };
        let session = InForce::of(&[inbound, &policy.inbound.base]);
        let of_file = (&policy.patterns, &policy.owner, &policy.group, policy.hosted, &policy.recipients);
        write!(out, "{session:?} {of_file:?}").unwrap();
    }
    write!(out, "{:?}", InForce::of(&[inbound])).unwrap();
    without_sources(&out)
}

/// With what is asked of TLS in the requirement alone, where it has the defaults.
fn told(mut decision: Decision) -> Decision {
    let bare = |route: &Route| Arc::new(Route { tls: OutboundLayer::default(), ..route.clone() });
    if let NextHop::Route(route) = &mut decision.next_hop {
        *route = bare(route);
    }
    if let Some(fallback) = &mut decision.fallback {
        fallback.route = bare(&fallback.route);
    }
    decision
}

fn without_sources(text: &str) -> String {
    let mut parts = text.split("source: File {");
    let first = parts.next().unwrap().to_owned();
    let rest = parts.map(|part| part.split_once('}').unwrap().1);
    rest.fold(first, |out, part| out + "source: BuiltIn" + part)
}

fn all() -> impl Iterator<Item = (&'static Section, &'static Place, &'static Key)> {
    sections().flat_map(|section| {
        section.places.iter().flat_map(move |place| section.keys().map(move |key| (section, place, key)))
    })
}

fn path(place: &Place, key: &str) -> String {
    if place.table.is_empty() { key.to_owned() } else { format!("{}.{key}", place.table) }
}

/// Every table there is, empty.
fn empty() -> Files {
    let mut files = Files::default();
    for (_, place, key) in all() {
        files.table(place);
        if let Some((parent, _)) = key.name.split_once('.') {
            files.set(place, parent, Toml::Table(Table::new()));
        }
    }
    files
}

#[test]
fn the_reader_asks_for_these_keys_and_for_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let empty = empty();
    drop(asked::take());
    empty.load(folder.path());
    let cases = parse("case = [{}, { direction = \"outbound\" }]");
    Files { cases, ..Files::sound() }.load(folder.path());
    let asked: BTreeSet<(File, String)> = asked::take()
        .into_iter()
        .map(|(file, table, key)| {
            let file = match file.split('/').next() {
                Some("gatepost.toml") => File::Main,
                Some("domains.d") => File::Domain,
                _ => File::Cases,
            };
            (file, if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") })
        })
        .collect();
    let mut known = BTreeSet::new();
    for (_, place, key) in all() {
        assert!(known.insert((place.file, path(place, key.name))), "{}: twice", path(place, key.name));
    }
    // A table is a key of the one around it.
    for (_, place, _) in all() {
        let steps: Vec<&str> = place.table.split('.').filter(|step| !step.is_empty()).collect();
        known.extend((1..=steps.len()).map(|count| (place.file, steps[..count].join("."))));
    }
    assert_eq!(asked.difference(&known).collect::<Vec<_>>(), Vec::<&(File, String)>::new(), "missing in the table");
    assert_eq!(known.difference(&asked).collect::<Vec<_>>(), Vec::<&(File, String)>::new(), "nobody asks for them");
}

#[test]
fn words_and_bounds_are_those_that_the_reader_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = Vec::new();
    for (_, place, key) in all() {
        let (wrong, remedy) = match key.value {
            Value::Words(words) => (Toml::from("qqqqqqqqqqqqqqqqqqqqqqqq"), choices(words)),
            Value::Flag => (Toml::from("no"), "write true or false".to_owned()),
            Value::Number(least, most) => {
                (Toml::from(i64::from(most) + 1), format!("write a number from {least} to {most}"))
            }
            form if form == DURATION => (Toml::from("367d"), "write a duration from \"1s\" to \"366d\"".to_owned()),
            form if form == TIMEOUT => (Toml::from("2d"), "write at most \"1d\"".to_owned()),
            Value::Form(_) => continue,
        };
        let mut files = if place.file == File::Cases { Files::sound() } else { empty() };
        files.set(place, key.name, wrong);
        let path = path(place, key.name);
        let found = files.load(folder.path()).findings;
        let remedies: Vec<_> = found.iter().filter(|found| found.key == path).map(|found| &found.remedy).collect();
        if remedies != [&remedy] {
            broken.push(format!("{path}: {remedy:?}, and the reader says {remedies:?}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn choices(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let (last, rest) = quoted.split_last().unwrap();
    format!("use {} or {last}", rest.join(", "))
}

/// A sound configuration in which it matters whether `key` is written there.
fn around(place: &Place, key: &str) -> Files {
    let mut files = Files::sound();
    let mut beside = vec![];
    if place.table == "route" && place.is_list {
        let of = |name: &str| BESIDE_NAMED.iter().find(|(known, _)| *known == name).map(|(_, main)| *main);
        beside.push((of(key).or(of("")).unwrap(), TAKES_NAMED));
    } else {
        let of = |name: &str| BESIDE.iter().find(|(table, known, ..)| (*table, *known) == (place.table, name));
        beside.extend(of(key).or(of("")).map(|(_, _, main, own)| (*main, *own)));
    }
    for (main, own) in beside {
        merge(&mut files.main, parse(main));
        let of_domain = Place { file: File::Domain, ..*place };
        merge(files.file(&of_domain), parse(own));
    }
    files
}

fn merge(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (Some(Toml::Table(table)), Toml::Table(more)) => merge(table, more),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

#[test]
fn what_is_not_written_is_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = Vec::new();
    for (section, place, key) in all() {
        let Unwritten::As(text) = section.unwritten(key) else { continue };
        let path = path(place, key.name);
        let default = parse(&format!("value = {text}")).remove("value").unwrap();
        let base = around(place, key.name);
        let says = |value: Option<Toml>| {
            let mut files = base.clone();
            if let Some(value) = value {
                files.set(place, key.name, value);
            }
            files.load(folder.path())
        };
        let unwritten = says(None);
        let Some(expected) = &unwritten.meaning else {
            broken.push(format!("{path}: what stands around it is wrong: {:?}", unwritten.findings));
            continue;
        };
        let written = says(Some(default.clone()));
        if written.meaning.as_ref() != Some(expected) {
            let difference = written.meaning.map(|meaning| difference(expected, &meaning));
            broken.push(format!("{path}: {text} is not the default: {difference:?} {:?}", written.findings));
        }
        // Else the comparison could not fail.
        let differs = |other| says(Some(other)).meaning.is_some_and(|other| other != *expected);
        if !others(key, &default).any(differs) {
            broken.push(format!("{path}: no other value makes a difference"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn others(key: &Key, default: &Toml) -> impl Iterator<Item = Toml> {
    let of_kind: Vec<Toml> = match (key.value, default) {
        (Value::Words(words), _) => words.iter().map(|word| Toml::from(*word)).collect(),
        (_, Toml::Boolean(flag)) => vec![Toml::from(!flag)],
        (_, Toml::Integer(number)) => vec![Toml::from(number + 1)],
        _ => parse(OTHERS)["all"].as_array().unwrap().clone(),
    };
    of_kind.into_iter().filter(move |other| other != default)
}

/// Where two texts begin to differ.
fn difference(left: &str, right: &str) -> (String, String) {
    let same = left.chars().zip(right.chars()).take_while(|(l, r)| l == r).count();
    let from = |text: &str| text.chars().skip(same.saturating_sub(40)).take(120).collect();
    (from(left), from(right))
}

#[test]
fn each_key_is_explained_in_whole_sentences() {
    for (_, place, key) in all() {
        let path = path(place, key.name);
        assert!(key.meaning.ends_with('.') && key.meaning.split('`').count() % 2 == 1, "{path}: {}", key.meaning);
        assert_eq!(place.file == File::Cases, key.effect == Effect::Command, "{path}");
        // A cell of a table.
        assert!(!key.meaning.contains('|') && !key.value.in_words().contains('|'), "{path}");
    }
    assert!(sections().all(|section| !section.places.is_empty() && section.about.ends_with('.')));
}
