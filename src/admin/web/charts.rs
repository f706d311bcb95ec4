//! Sums of the audit log as the parts and columns of charts.

use maud::{Markup, html};

use crate::audit::posture::Trend;
use crate::audit::report::Sums;
use crate::page::chart::{Column, Columns, Parts, shares};
use crate::page::shade::Shade;

use super::words::{counted, number};

pub(super) fn parts(sums: &Sums) -> Parts {
    let versions = sums.versions.iter().map(|(version, count)| (Shade::Version(*version), *count));
    versions.chain([(Shade::Plaintext, sums.plaintext)]).collect()
}

/// `2027-01-02T03:04` as `2027-01-02 03:04`, and `03:04`; an hour with its minutes, a day by its date.
fn names(period: &str) -> (String, String) {
    match period.split_once('T') {
        None => (period.to_owned(), period.to_owned()),
        Some((day, time)) => {
            let time = if time.len() == "03".len() { format!("{time}:00") } else { time.to_owned() };
            (format!("{day} {time}"), time)
        }
    }
}

pub(super) fn columns<'a>(steps: impl Iterator<Item = (&'a str, &'a Sums)>) -> Vec<Column> {
    let column = |(period, sums): (&str, &Sums)| {
        let (name, tick) = names(period);
        Column { name, tick, parts: parts(sums) }
    };
    steps.map(column).collect()
}

/// The card of one direction: totals, shares, columns over time.
pub(super) fn direction(is_inbound: bool, trend: &Trend) -> Markup {
    let (title, verb) = if is_inbound { ("Mail in", "accepted") } else { ("Mail out", "delivered") };
    let total = &trend.total;
    let refused: u64 = total.refused.values().sum();
    let deferred: u64 = total.deferred.values().sum();
    let reported: u64 = total.reported.values().sum();
    html! {
        header { h2 { (title) } }
        dl.numbers {
            (figure(total.messages, verb, ""))
            (figure(refused, if is_inbound { "refused" } else { "bounced" }, "bad"))
            (figure(deferred, if is_inbound { "deferred" } else { "tries that failed" }, "odd"))
            @if is_inbound { (figure(reported, "would be refused", "odd")) }
        }
        @if total.messages == 0 { p.empty { "No mail in this time." } }
        @else {
            @let columns = columns(trend.steps.iter().map(|(period, sums)| (&**period, sums)));
            (shares(&parts(total), &|count| counted(count, "message")))
            (Columns { title: "Messages by TLS version", columns: &columns, number: |count| number(count) }.draw())
        }
        (reasons(if is_inbound { "Refused" } else { "Bounced" }, &total.refused))
        (reasons(if is_inbound { "Deferred" } else { "Tries that failed" }, &total.deferred))
        (reasons("Would be refused", &total.reported))
    }
}

fn figure(count: u64, what: &str, class: &str) -> Markup {
    let class = if count > 0 { class } else { "" };
    html! { div.(class) { dt { (what) } dd { (number(count)) } } }
}

pub(super) fn reasons(title: &str, counts: &std::collections::BTreeMap<Box<str>, u64>) -> Markup {
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    html! {
        @if !rows.is_empty() {
            h3 { (title) ", by reason" }
            table {
                thead.unseen { tr { th scope="col" { "Reason" } th scope="col" { "Messages" } } }
                tbody {
                    @for (reason, count) in rows {
                        tr { th scope="row" { code { (reason) } } td.number { (number(*count)) } }
                    }
                }
            }
        }
    }
}
