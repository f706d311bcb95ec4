//! The keys that rule a delivery, each with its place and what set it.

use crate::policy::in_force::Because;
use crate::policy::outbound::NextHop;
use crate::policy::settings::Source;
use crate::policy::timed::Shadow;

use super::Explained;
use crate::explain::set_by::SetBy;

/// Every key in force, with its place and what set it.
pub fn rows(explained: &Explained<'_>) -> Vec<(Because, SetBy)> {
    let Explained { question, decision, .. } = explained;
    let levels = question.levels(decision);
    let is_routed = matches!(decision.next_hop, NextHop::Route(_));
    let mut rows = decision.requirement.because();
    // What is published counts where it asks for more than what is written.
    if let Some(requirement) = explained.requirements().into_iter().find_map(|(_, requirement)| requirement.ok()) {
        let raised = requirement.session.floor().into_iter().filter(|row| matches!(row.source, Source::Fact(_)));
        for raised in raised {
            rows.retain(|row| row.key != raised.key);
            let place = usize::from(raised.key == "min_version").min(rows.len());
            rows.insert(place, raised);
        }
    }
    if rows.iter().all(|row| row.key != "min_version") {
        let none = Because { key: "min_version", value: "none".to_owned(), source: Source::BuiltIn };
        rows.insert(1.min(rows.len()), none);
    }
    let end = &decision.on_tls_failure;
    let on_tls_failure = Because { key: "on_tls_failure", value: end.value.to_string(), source: end.source.clone() };
    let set_by = |row: &Because| match levels.origin(&question.asker(), Shadow::Left, row) {
        _ if matches!(row.source, Source::Fact(_)) => SetBy::Published,
        Some(origin) => SetBy::from(origin),
        None if row.source != Source::BuiltIn && is_routed => SetBy::Route,
        None => SetBy::BuiltIn,
    };
    let mut rows: Vec<_> = rows.into_iter().map(|row| (set_by(&row), row)).map(|(by, row)| (row, by)).collect();
    let file = question.to.domain().and_then(|domain| question.config.policies.find(domain));
    let set_by = |row: &Because| match (levels.origin(&question.asker(), Shadow::Left, row), &row.source) {
        (Some(origin), _) => SetBy::from(origin),
        (None, Source::File { file: of, .. }) if file.as_ref().is_some_and(|(policy, _)| policy.file == *of) => {
            SetBy::DomainFile
        }
        (None, Source::BuiltIn) => SetBy::BuiltIn,
        (None, _) => SetBy::Default,
    };
    let written = decision.following.because().into_iter().filter(|row| row.source != Source::BuiltIn);
    rows.extend(written.chain([on_tls_failure]).map(|row| (set_by(&row), row)).map(|(by, row)| (row, by)));
    rows
}
