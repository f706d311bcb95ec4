//! The layers of the crate: who may import whom, and what the lowest ones must not touch.

use crate::scan;
use crate::tree::{Source, Tree};

/// Modules by layer, lowest first. A module imports lower layers only.
const LAYERS: &[(&str, &[&str])] = &[
    ("L0", &["model", "clock", "random"]),
    ("L1", &["smtp", "policy", "schedule", "mail", "page", "postfix"]),
    ("L2a", &["journal"]),
    ("L2", &["config", "dns", "net", "tls", "spool", "memory", "audit", "metrics"]),
    ("L3", &["facts", "alert", "explain"]),
    ("L4", &["inbound", "outbound", "probe"]),
    ("L5", &["app", "admin"]),
    ("L6", &["cli", "demo", "main"]),
];

/// Imports inside one layer: from, to, and why the layers stay sound.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("clock", "model", "it returns the moments that model defines"),
    ("random", "model", "it draws the ids that model defines"),
    ("probe", "outbound", "it tries a host by the ways of a delivery; outbound knows no probe"),
    ("explain", "facts", "it explains by the policies that facts keep; facts knows no explain"),
    ("app", "admin", "it starts the admin listener; admin knows no app"),
    ("cli", "demo", "it is the command that starts the demo"),
    ("main", "cli", "the binary is nothing but the call of cli"),
];

/// The layers from the lowest to this one are pure, but for `clock` and `random`.
const PURE_LAYER_MAX: &str = "L1";

/// What a pure layer must not use; `*` stands for any end of a segment.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net::Tcp*",
    "std::net::Udp*",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tracing",
    "prometheus",
    "fastrand",
    "crate::clock",
    "crate::random",
];

/// The imports that go up or sideways, and the modules without a layer.
pub fn upward_imports(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for source in tree.modules() {
        let from = source.modules()[0];
        if rank(from).is_none() {
            let remedy = "add it to LAYERS in tests/tidy/layers.rs and to the table in src/lib.rs";
            broken.push(format!("{}:1: module `{from}` has no layer; {remedy}", source.path));
        }
        for path in paths_outside_tests(source) {
            let Some(to) = module_of(source, &path.segments).filter(|to| from != *to) else { continue };
            let is_excused = EXCEPTIONS.iter().any(|(one, other, _)| (*one, *other) == (from, to));
            if rank(to).is_some() && rank(to) >= rank(from) && !is_excused {
                let (from, to) = (with_layer(from), with_layer(to));
                let remedy = "pass the value in, or move the shared type to a lower layer";
                broken.push(format!("{}:{}: {from} uses {to}, not a lower layer; {remedy}", source.path, path.line));
            }
        }
    }
    broken
}

/// What the pure layers use of the outside world.
pub fn impure_uses(tree: &Tree) -> Vec<String> {
    let pure_max = LAYERS.iter().position(|(layer, _)| *layer == PURE_LAYER_MAX);
    let is_pure =
        |module: &str| !["clock", "random"].contains(&module) && rank(module).is_some() && rank(module) <= pure_max;
    let mut broken = Vec::new();
    for source in tree.modules().filter(|source| is_pure(source.modules()[0])) {
        for path in paths_outside_tests(source) {
            if let Some(ban) = IMPURE.iter().find(|ban| starts_with(&path.segments, ban)) {
                let remedy = "take the value as a parameter and return what is to be done";
                broken.push(format!("{}:{}: `{ban}` in a pure layer; {remedy}", source.path, path.line));
            }
        }
    }
    broken
}

fn paths_outside_tests(source: &Source) -> impl Iterator<Item = scan::CodePath> {
    scan::paths(&source.tokens()).into_iter().filter(|path| !source.is_test_line(path.line))
}

/// The name under the root of this crate that a path leads to, if it goes through the root.
fn module_of<'a>(source: &Source, path: &'a [String]) -> Option<&'a str> {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    let index = match path.first()?.as_str() {
        "crate" | "gatepost" => 1,
        "super" if supers >= source.modules().len() => supers,
        _ => return None,
    };
    path.get(index).map(String::as_str)
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

fn with_layer(module: &str) -> String {
    let layer = rank(module).and_then(|rank| LAYERS.get(rank)).map_or("no layer", |(layer, _)| layer);
    format!("`{module}` ({layer})")
}

fn starts_with(path: &[String], ban: &str) -> bool {
    let ban: Vec<_> = ban.split("::").collect();
    let same = |(segment, ban): (&String, &&str)| match ban.strip_suffix('*') {
        Some(start) => segment.starts_with(start),
        None => segment == ban,
    };
    path.len() >= ban.len() && path.iter().zip(&ban).all(same)
}

/// Runs a rule over one file and compares what it finds, as `line: what`, without path and remedy.
fn check(rule: fn(&Tree) -> Vec<String>, path: &str, text: &str, expected: &[&str]) {
    let found = rule(&Tree::new(vec![Source::new(path, text)]));
    let shorten = |line: &String| {
        let what = line.strip_prefix(path).and_then(|line| line.strip_prefix(':')).unwrap_or(line);
        what.split(';').next().unwrap_or_default().to_owned()
    };
    assert_eq!(found.iter().map(shorten).collect::<Vec<_>>(), expected, "{path}: {text}");
}

#[test]
fn an_import_that_goes_up_or_sideways_is_found_however_it_is_written() {
    for (path, text, expected) in [
        ("src/smtp/line.rs", "use crate::policy::x;", &["1: `smtp` (L1) uses `policy` (L1), not a lower layer"][..]),
        ("src/smtp/mod.rs", "\nuse super::{model::a, dns};", &["2: `smtp` (L1) uses `dns` (L2), not a lower layer"]),
        ("src/smtp/a/b.rs", "super::super::super::tls::f()", &["1: `smtp` (L1) uses `tls` (L2), not a lower layer"]),
        ("src/model/a.rs", "fn f(x: crate::clock::T)", &["1: `model` (L0) uses `clock` (L0), not a lower layer"]),
        ("src/spool/a.rs", "use crate::{journal, model::id, spool::b, policy::*};", &[]),
        ("src/smtp/line.rs", "use super::super::model::x; use super::dns::y; // crate::dns::z", &[]),
        ("src/smtp/line.rs", "#[cfg(test)]\nmod tests { use crate::dns::fake; }", &[]),
        ("src/main.rs", "gatepost::cli::run()", &[]),
        ("src/new.rs", "", &["1: module `new` has no layer"]),
    ] {
        check(upward_imports, path, text, expected);
    }
}

#[test]
fn the_outside_world_is_found_in_pure_layers_only() {
    for (path, text, expected) in [
        (
            "src/smtp/a.rs",
            "use std::{fmt, time::{Duration, Instant}};",
            &["1: `std::time::Instant` in a pure layer"][..],
        ),
        ("src/model/a.rs", "std::net::TcpStream::connect(a)", &["1: `std::net::Tcp*` in a pure layer"]),
        ("src/policy/a.rs", "tracing::info!(\"x\")", &["1: `tracing` in a pure layer"]),
        ("src/mail/a.rs", "use tokio;\nuse std::net::IpAddr;", &["1: `tokio` in a pure layer"]),
        ("src/mail/a.rs", "let tracing = self.fastrand; // tokio::spawn", &[]),
        ("src/mail/a.rs", "#[cfg(test)]\nuse std::fs;", &[]),
        ("src/clock.rs", "use std::time::SystemTime;", &[]),
        ("src/net/a.rs", "use tokio::net::TcpStream;", &[]),
    ] {
        check(impure_uses, path, text, expected);
    }
}

#[test]
fn files_of_test_modules_are_tests() {
    let declares = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"other_tests.rs\"]\nmod others;\nmod product;";
    let files = ["src/a/b/tests.rs", "src/a/b/tests/deep.rs", "src/a/other_tests.rs", "src/a/b/product.rs"];
    let mut sources = vec![Source::new("src/a/b.rs", declares)];
    sources.extend(files.map(|path| Source::new(path, "")));
    let tests: Vec<_> = Tree::new(sources).sources.iter().map(|source| source.is_test).collect();
    assert_eq!(tests, [false, true, true, true, false]);
}
