//! docs/METRICS.md against what the daemon exposes, and the queries for Prometheus and Grafana against that page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gatepost::metrics::{LabelSets, Metrics};
use gatepost::model::cipher::{CipherSuite, SUITES};
use gatepost::model::tls::{ProtocolVersion, TlsFacts, Verified};
use gatepost::tls::failure::FailureKind;

use super::{items, quoted, read, report, root};

const PAGE: &str = "docs/METRICS.md";
/// What Prometheus adds to each series.
const ADDED_LABELS: [&str; 2] = ["instance", "job"];
const HISTOGRAM_SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// A metric as it is described or exposed: its type, and the values of each label.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

type Families = BTreeMap<String, Family>;

#[test]
fn each_metric_stands_on_its_page_as_it_is_exposed_and_no_other_does() {
    let (mut exposed, (described, open)) = (exposed(), described(&read(PAGE)));
    // The configuration, or a list elsewhere, names the values of these.
    for (name, family) in &mut exposed {
        for (label, values) in &mut family.labels {
            if let Some(written) = open.get(&(name.clone(), label.clone())) {
                values.clone_from(written);
            }
        }
    }
    let mut broken = Vec::new();
    for name in exposed.keys().chain(described.keys()).collect::<BTreeSet<_>>() {
        match (exposed.get(name), described.get(name)) {
            (Some(is), Some(said)) if is == said => {}
            (Some(_), None) => broken.push(format!("{name}: is not on the page")),
            (None, _) => broken.push(format!("{name}: is not exposed")),
            (Some(is), Some(said)) => broken.push(format!("{name}:\n  is {is:?}\n  page {said:?}")),
        }
    }
    report(PAGE, &broken);
}

#[test]
fn queries_name_metrics_labels_and_values_that_exist() {
    let (families, open) = described(&read(PAGE));
    let mut files = vec![root().join(PAGE), root().join("docs/operations/monitoring.md")];
    collect(&root().join("config/prometheus"), &mut files);
    collect(&root().join("config/grafana"), &mut files);
    let (mut broken, mut seen) = (Vec::new(), 0);
    for file in files {
        let text = fs::read_to_string(&file).unwrap().replace("\\\"", "\"");
        for (name, matchers) in selectors(&text) {
            seen += 1;
            let place = format!("{}: {name}", file.strip_prefix(root()).unwrap().display());
            let Some((name, family)) = find(&families, &name) else {
                broken.push(format!("{place}: no such metric"));
                continue;
            };
            for (label, value) in matchers {
                let is_open = open.contains_key(&(name.to_owned(), label.clone()));
                match family.labels.get(&label) {
                    None if ADDED_LABELS.contains(&label.as_str()) => {}
                    None => broken.push(format!("{place}: no label {label}")),
                    Some(_) if is_open => {}
                    Some(values) => {
                        let unknown = value.split('|').filter(|value| is_word(value) && !values.contains(*value));
                        broken.extend(unknown.map(|value| format!("{place}: {label} is never {value}")));
                    }
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} queries were found");
    report("queries", &broken);
}

#[test]
fn selectors_are_read_with_their_matchers() {
    let text = r#"rate(gatepost_a_total{x="1",y=~"b|c"}[5m]) / gatepost_b{} + gatepost_c, gatepost:d:e {z="1"}"#;
    let found: Vec<_> = selectors(text).into_iter().map(|(name, matchers)| format!("{name} {matchers:?}")).collect();
    assert_eq!(found, [r#"gatepost_a_total [("x", "1"), ("y", "b|c")]"#, "gatepost_b []", "gatepost_c []"]);
}

/// What a daemon exposes to which everything has happened.
fn exposed() -> Families {
    let metrics = Metrics::new().unwrap();
    metrics.fill(LabelSets {
        listeners: &["mx".to_owned()],
        groups: &["banks".to_owned()],
        handshake_failures: &FailureKind::WORDS,
    });
    metrics.certificates(&[("mx1.example.org".to_owned(), 1)]);
    for version in ProtocolVersion::ALL {
        let facts = TlsFacts::assumed(version, a_suite());
        for mode in ["starttls", "implicit"] {
            metrics.inbound_tls("mx", mode, &facts);
        }
        for trust in [Verified::None, Verified::Webpki, Verified::Dane, Verified::Fingerprint] {
            // The lowest version of mail that goes out.
            if version >= ProtocolVersion::Tls1_0 {
                metrics.outbound_tls(&facts, trust);
            }
        }
    }
    parsed(&String::from_utf8(metrics.render().unwrap()).unwrap())
}

fn a_suite() -> &'static CipherSuite {
    &SUITES[0]
}

fn parsed(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let sample = line.split(['{', ' ']).next().unwrap();
            let name = find(&families, sample).unwrap_or_else(|| panic!("{sample} has no type")).0.to_owned();
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            for (label, value) in matchers(labels) {
                families.get_mut(&name).unwrap().labels.entry(label).or_default().insert(value);
            }
        }
    }
    families
}

/// A metric by its name or by that of one of its series.
fn find<'a>(families: &'a Families, name: &str) -> Option<(&'a str, &'a Family)> {
    let of_histogram = HISTOGRAM_SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
    let found = std::iter::once(name).chain(of_histogram).find_map(|name| families.get_key_value(name))?;
    Some((found.0, found.1))
}

/// What the page says, and of it the labels whose values it does not list one by one.
fn described(page: &str) -> (Families, BTreeMap<(String, String), BTreeSet<String>>) {
    let (mut families, mut open) = (Families::new(), BTreeMap::new());
    for section in page.split("\n### `").skip(1) {
        let (name, text) = section.split_once('`').unwrap();
        let kind = text.trim_start().split('.').next().unwrap().to_lowercase();
        let mut family = Family { kind, ..Family::default() };
        for item in items(text.split("\n## ").next().unwrap()) {
            let (label, values) = item.split_once(": ").unwrap_or_else(|| panic!("{name}: {item}"));
            let listed = values.split(". ").next().unwrap();
            let label = label.trim_matches('`').to_owned();
            let values: BTreeSet<String> = quoted(listed).into_iter().collect();
            if listed.contains("as configured") || listed.contains("src/") || label == "version" {
                open.insert((name.to_owned(), label.clone()), values.clone());
            }
            family.labels.insert(label, values);
        }
        families.insert(name.to_owned(), family);
    }
    (families, open)
}

/// Every name of a metric of ours in a text, with the matchers that stand behind it.
fn selectors(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("gatepost_") {
        let is_begin = !rest[..at].ends_with(|c| is_part(c) || c == ':');
        rest = &rest[at..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let inside =
            behind.strip_prefix('{').and_then(|behind| behind.split_once('}')).map_or("", |(inside, _)| inside);
        if is_begin && !name.ends_with('_') {
            found.push((name.to_owned(), matchers(inside)));
        }
        rest = behind;
    }
    found
}

/// Labels and values of `a="b",c=~"d"`.
fn matchers(inside: &str) -> Vec<(String, String)> {
    let pieces: Vec<&str> = inside.split('"').collect();
    let label = |text: &str| text.trim_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).to_owned();
    pieces.chunks_exact(2).map(|pair| (label(pair[0]), pair[1].to_owned())).collect()
}

/// No pattern and no variable.
fn is_word(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_+".contains(c))
        || value.starts_with("TLSv1.")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
