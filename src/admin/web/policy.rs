//! The policies in force: each domain file with what it asks for, and the form that explains one case.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::clock;
use crate::config::Config;
use crate::model::address::ReversePath;
use crate::model::domain::DomainPattern;
use crate::model::time::Timestamp;
use crate::policy::in_force::{Because, InForce};
use crate::policy::outbound::decide;
use crate::policy::rules::{DomainPolicy, PolicySet};
use crate::policy::settings::Mode;
use crate::policy::timed::{Asker, Shadow, lay};

use super::frame::{Frame, Tab};
use super::words::number;
use super::{Site, explain, shown};

/// Files that are shown; a host of many thousand domains has them in its repository.
const FILES_MAX: usize = 500;
/// Patterns of one file that are shown.
const PATTERNS_MAX: usize = 5;
/// What a policy asks of sessions.
const INBOUND_KEYS: [&str; 4] = ["tls", "min_version", "cipher", "client_certificate"];

pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
    let (now, config) = (clock::timestamp(), (site.config)());
    let body = html! {
        h1 { "Policy" }
        section.card {
            header { h2 { "Explain one case" } p.lead { "By the daemon's own engine, from what it knows now" } }
            (explain::form(&explain::Asked::default(), &config))
        }
        section.card {
            header { h2 { "In force" } p.lead { "For those whom no exception covers" } }
            (table(&config, now))
        }
    };
    shown(&site, &Frame { title: "Policy", tab: Some(Tab::Policy), is_live: false }, &body)
}

fn table(config: &Config, now: Timestamp) -> Markup {
    let policies = &config.policies;
    let nobody = Asker { at: now, client: None, sender: &ReversePath::Null };
    let default = InForce::of(&lay(&[&policies.defaults.inbound], &nobody, Shadow::Left).layers);
    let count = policies.policies().count();
    html! {
        table.stack {
            thead { tr {
                th scope="col" { "Domains" } th scope="col" { "Mail in" } th scope="col" { "Mode" }
                th scope="col" { "Mail out" } th scope="col" { "To come" }
            } }
            tbody {
                @for policy in policies.policies().take(FILES_MAX) { (file(policies, policy, now)) }
                tr {
                    th scope="row" { "all others" br; code { "[default]" } }
                    td data-name="Mail in" { (settings(&default.because(), &INBOUND_KEYS)) }
                    td data-name="Mode" { (mode(default.mode.value)) }
                    td data-name="Mail out" { (settings(&decide(policies, None, &nobody).requirement.floor(), &[])) }
                    td {}
                }
            }
        }
        @if count > FILES_MAX { p { "and " (number(count - FILES_MAX)) " more files" } }
    }
}

fn file(policies: &PolicySet, policy: &DomainPolicy, now: Timestamp) -> Markup {
    let in_force = InForce::usual(policies, policy, now);
    let nobody = Asker { at: now, client: None, sender: &ReversePath::Null };
    let domain = policy.patterns.first().and_then(DomainPattern::one_of);
    let requirement = decide(policies, domain.as_ref(), &nobody).requirement;
    let steps = policy.inbound.steps.iter().map(|step| (step.from, "in", &step.source));
    let steps = steps.chain(policy.outbound.steps.iter().map(|step| (step.from, "out", &step.source)));
    let coming = steps.filter(|(from, ..)| *from > now);
    let exceptions = policy.inbound.exceptions.len() + policy.outbound.exceptions.len();
    html! {
        tr {
            th scope="row" {
                @for (place, pattern) in policy.patterns.iter().take(PATTERNS_MAX).enumerate() {
                    @if place > 0 { ", " }
                    (pattern)
                }
                @let more = policy.patterns.len().saturating_sub(PATTERNS_MAX);
                @if more > 0 { " and " (number(more)) " more" }
                br; code { (policy.file) }
                @if policy.hosted { " " span.tag { "hosted" } }
            }
            td data-name="Mail in" { (settings(&in_force.because(), &INBOUND_KEYS)) }
            td data-name="Mode" { (mode(in_force.mode.value)) }
            td data-name="Mail out" {
                (settings(&requirement.floor(), &[]))
                @if policy.route.is_some() { " by a route" }
            }
            td data-name="To come" {
                @for (from, side, source) in coming { (from.brief()) ": " (side) ", " code { (source) } br; }
                @if exceptions > 0 { (number(exceptions)) " exceptions" }
            }
        }
    }
}

/// The rows whose keys are asked for, or all; `any` and what nobody asks for is left out.
fn settings(rows: &[Because], keys: &[&str]) -> Markup {
    let is_shown = |row: &&Because| (keys.is_empty() || keys.contains(&row.key)) && row.value != "any";
    let shown: Vec<&Because> = rows.iter().filter(is_shown).collect();
    html! {
        @for (place, row) in shown.iter().enumerate() {
            @if place > 0 { ", " }
            @if row.key == "tls" { (row.value) } @else if row.key == "min_version" { (row.value) " or later" }
            @else { (row.key.replace('_', " ")) " " (row.value) }
        }
    }
}

fn mode(mode: Mode) -> Markup {
    let class = if mode == Mode::Enforce { "good" } else { "odd" };
    html! { span.tag.(class) { (mode.as_str()) } }
}
