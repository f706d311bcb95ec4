//! Partners: everybody whom mail comes from or goes to, and one of them in full.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use crate::admin::learned;
use crate::admin::protocol::Response as Answer;
use crate::admin::protocol::learned::{LearnedDomain, LearnedHost};
use crate::admin::reading::Seen;
use crate::admin::reading::passes::{Dated, Found, Question};
use crate::audit::partners::{Mail, Partner, Partners};
use crate::audit::posture::Window;
use crate::audit::report::Sums;
use crate::clock;
use crate::config::Config;
use crate::facts::sts_plan::CachedPolicy;
use crate::model::domain::Domain;
use crate::model::human::second;
use crate::model::time::Timestamp;
use crate::page::chart::{Columns, shares};
use crate::page::figures::share;

use super::frame::{Frame, Tab, refusal, unread};
use super::words::{self, number};
use super::{Site, charts, part, shown};

/// Rows of the list.
const ROWS_MAX: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    domain: String,
}

/// The way to the page of the domain that was asked for.
pub(super) async fn search(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Response {
    match Domain::parse(asked.domain.trim()) {
        Ok(domain) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/partner/{domain}"))]).into_response(),
        Err(error) => refusal(&site, StatusCode::NOT_FOUND, ("No such domain", &error.to_string())),
    }
}

pub(super) async fn list(State(site): State<Arc<Site>>) -> Response {
    let partners = site.passes.ask(Question::Partners, &(site.config)()).await;
    let body = html! {
        h1 { "Partners" }
        section.card {
            form.line action="/partner" method="get" {
                label for="domain" { "Domain"
                    input #domain name="domain" spellcheck="false" autocapitalize="off" required;
                }
                button.main type="submit" { "Show" }
            }
        }
        (part("partners", "card", &html! {
            header { h2 { "By mail in the last 30 days" } }
            @match &partners {
                Seen::Ready(Dated { found, at }) => {
                    @if let Found::Partners(partners) = &**found { (table(partners)) }
                    p.lead { "Read from the audit log up to " (second(*at)) "." }
                }
                other => (unread(other))
            }
        }))
    };
    shown(&site, &Frame { title: "Partners", tab: Some(Tab::Partners), is_live: true }, &body)
}

fn table(partners: &Partners) -> Markup {
    let mut rows: Vec<(&str, &Partner)> = partners.domains.iter().map(|(name, partner)| (&**name, partner)).collect();
    rows.sort_by_key(|(name, partner)| (std::cmp::Reverse(partner.messages()), *name));
    html! {
        @if rows.is_empty() { p.empty { "No mail in this time." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Partners by mail" { table.stack {
                thead {
                    tr {
                        th rowspan="2" scope="col" { "Domain" }
                        th.group colspan="4" scope="colgroup" { "Mail from it" }
                        th.group colspan="4" scope="colgroup" { "Mail to it" }
                    }
                    tr {
                        th.number scope="col" { "messages" } th.number scope="col" { "plaintext" }
                        th.number scope="col" { "below TLS 1.2" } th.number scope="col" { "stopped" }
                        th.number scope="col" { "messages" } th.number scope="col" { "plaintext" }
                        th.number scope="col" { "verified" } th.number scope="col" { "tries failed" }
                    }
                }
                tbody { @for (name, partner) in rows.iter().take(ROWS_MAX) { (row(name, partner)) } }
            } }
            @if rows.len() > ROWS_MAX { p { "and " (number(rows.len() - ROWS_MAX)) " more" } }
            @if partners.others > 0 { p { (number(partners.others)) " records of domains beyond what is told apart." } }
        }
    }
}

fn row(name: &str, Partner { sends, gets }: &Partner) -> Markup {
    let part = |part: u64, mail: &Mail| {
        html! {
            @if mail.messages == 0 { "-" } @else if part == 0 { "none" } @else { (share(part, mail.messages)) }
        }
    };
    let some = |count: u64| if count == 0 { "-".to_owned() } else { number(count) };
    html! {
        tr {
            th scope="row" { (words::partner(name)) }
            td.number data-name="From it" { (some(sends.messages)) }
            td.number data-name="From it in plaintext" { (part(sends.plaintext, sends)) }
            td.number data-name="From it below TLS 1.2" { (part(sends.old, sends)) }
            td.number data-name="From it, stopped" { (some(sends.stopped)) }
            td.number data-name="To it" { (some(gets.messages)) }
            td.number data-name="To it in plaintext" { (part(gets.plaintext, gets)) }
            td.number data-name="To it, verified" { (part(gets.verified, gets)) }
            td.number data-name="Tries that failed" { (some(gets.stopped)) }
        }
    }
}

pub(super) async fn page(State(site): State<Arc<Site>>, Path(domain): Path<String>) -> Response {
    let Ok(domain) = Domain::parse(&domain) else {
        return refusal(
            &site,
            StatusCode::NOT_FOUND,
            ("No such domain", "A domain has letters, digits, hyphens and dots."),
        );
    };
    let (now, config) = (clock::timestamp(), (site.config)());
    let report = site.passes.ask(Question::Partner(domain.clone()), &config).await;
    let facts = &site.desk.outbound.facts;
    let (store, policies, asked) = (facts.learned.clone(), config.policies.clone(), domain.clone());
    let learned = tokio::task::spawn_blocking(move || learned::list(&store, &policies, (Some(&asked), None), now));
    let learned = match learned.await {
        Ok(Answer::Learned { domains, .. }) => domains.into_iter().next(),
        _ => None,
    };
    let kept = facts.sts.cached(&domain);
    let body = html! {
        h1 { (domain) }
        div.grid {
            (mail(&report, now))
            (part("policy", "card", &policy(&config, &domain)))
            (part("known", "card", &known((learned.as_ref(), kept.as_ref()), now)))
        }
        p.lead { a href=(format!("/queue?to={domain}")) { "What waits for it" } }
    };
    shown(&site, &Frame { title: domain.as_str(), tab: Some(Tab::Partners), is_live: true }, &body)
}

fn mail(report: &Seen<Dated>, now: Timestamp) -> Markup {
    let Seen::Ready(Dated { found, .. }) = report else { return part("mail", "card wide", &unread(report)) };
    let Found::Partner(report) = &**found else { return html! {} };
    let of = |title: &'static str, periods: &std::collections::BTreeMap<Box<str>, Sums>| {
        let mut total = Sums::default();
        periods.values().for_each(|sums| total.absorb(sums));
        let nothing = Sums::default();
        let days = Window::Month.periods(now);
        let columns = charts::columns(days.iter().map(|day| (&**day, periods.get(day).unwrap_or(&nothing))));
        html! {
            header { h2 { (title) } p.lead { "30 days" } }
            @if total.messages == 0 { p.empty { "No mail in this time." } }
            @else {
                (shares(&charts::parts(&total), &|count| words::counted(count, "message")))
                (Columns { title: "Messages by day", columns: &columns, number: |count| number(count) }.draw())
                h3 { "Identity" }
                p { @for (place, (identity, count)) in total.identities.iter().enumerate() {
                    @if place > 0 { ", " } (identity) " " (share(*count, total.messages))
                } }
            }
            (charts::reasons("Stopped", &total.refused))
            (charts::reasons("Deferred", &total.deferred))
            (charts::reasons("Would be refused", &total.reported))
        }
    };
    html! {
        (part("in", "card", &of("From it", &report.inbound)))
        (part("out", "card", &of("To it", &report.outbound)))
    }
}

fn policy(config: &Config, domain: &Domain) -> Markup {
    let found = config.policies.find(domain);
    html! {
        header { h2 { "Policy" } }
        @match &found {
            Some((policy, pattern)) => p { code { (policy.file) } " by " code { (pattern) }
                @if let Some(owner) = &policy.owner { ", owner " (owner) }
                @if policy.hosted { ", hosted here" } "." },
            None => p { "No domain file names it: the defaults hold." }
        }
        ul {
            @let ask = |rest: &str| format!("/policy/explain?direction={rest}=postmaster@{domain}");
            li { a href=(ask("inbound&from")) { "Explain mail from it" } }
            li { a href=(ask("outbound&to")) { "Explain mail to it" } }
        }
    }
}

/// What is kept of it without asking anybody.
fn known((learned, kept): (Option<&LearnedDomain>, Option<&CachedPolicy>), now: Timestamp) -> Markup {
    html! {
        header { h2 { "What is known of it" } p.lead { "Kept, not looked up for this page" } }
        dl.facts {
            dt { "MTA-STS" }
            dd { @match kept {
                Some(policy) => {
                    "mode " (policy.policy.mode) ", fetched " (words::ago(policy.fetched, now))
                    ", holds until " (policy.expires().brief())
                }
                None => "no policy is kept"
            } }
            @match learned {
                None => { dt { "learned" } dd { "nothing yet" } }
                Some(learned) => {
                    dt { "learned" }
                    dd { @match &learned.in_force {
                        Some(level) => { "held to " strong { (level.level) } " since " (level.since.brief()) }
                        None => "no level is in force"
                    } }
                    @if let Some(since) = learned.alarm_since {
                        dt { "alarm" } dd { span.tag.bad { "lacks it" } " since " (words::ago(since, now)) }
                    }
                    @if let Some(lacking) = &learned.lacking { dt { "next level" } dd { (lacking) } }
                    @for host in &learned.hosts {
                        dt { "host" }
                        dd { (host.name) ": " (shown_by(host, now)) }
                    }
                }
            }
        }
    }
}

/// When a mail host last showed what.
fn shown_by(host: &LearnedHost, now: Timestamp) -> String {
    let last = [("verified", host.verify), ("encrypted", host.encrypt), ("plaintext", host.plaintext)];
    let told = last.into_iter().filter_map(|(what, at)| Some(format!("{what} {}", words::ago(at?, now))));
    told.collect::<Vec<_>>().join(", ")
}
