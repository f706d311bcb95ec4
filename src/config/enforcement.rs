//! The emergency switch as written: `enforcement` and its end, `report_until`.

use std::time::Duration;

use crate::model::time::Timestamp;
use crate::policy::timed::Enforcement;

use super::document::{Table, Words};
use super::moment::moment;
use super::place::{At, Place};

/// An emergency that takes longer is a policy.
const REPORT_NOTICE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const ENFORCEMENT: &Words<Word> = &[("on", Some(Word::On)), ("report", Some(Word::Report))];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    On,
    Report,
}

#[derive(Debug)]
pub(super) struct Switch<'a> {
    word: Option<At<'a, Word>>,
    /// Where the end was written, right or wrong.
    until_place: Option<Place<'a>>,
    until: Option<At<'a, Timestamp>>,
}

impl<'a> Switch<'a> {
    /// Both keys stand at the top of the main file.
    pub(super) fn read(table: &mut Table<'a>) -> Self {
        let word = table.get("enforcement").and_then(|value| value.word(ENFORCEMENT));
        let until = table.get("report_until");
        Self {
            word,
            until_place: until.as_ref().map(|value| value.place.clone()),
            until: until.and_then(|value| moment(&value)),
        }
    }

    fn report(&self) -> Option<&Place<'a>> {
        self.word.as_ref().filter(|word| word.value == Word::Report).map(|word| &word.place)
    }

    pub(super) fn check(&self, now: Timestamp) {
        match (self.report(), &self.until_place, &self.until) {
            (None, Some(place), _) => {
                place.warn("has no effect: enforcement is \"on\"", "remove it");
            }
            (Some(report), None, _) => report.error(
                "\"report\" suspends all inbound policies, and nothing says until when",
                "write report_until = 2027-01-31T12:00:00Z beside it",
            ),
            (Some(report), _, Some(until)) if until.value > now => {
                report.warn(
                    format!(
                        "THE EMERGENCY SWITCH IS ON until {}: what inbound policies would refuse is let through",
                        until.value.brief()
                    ),
                    "write \"on\" as soon as the emergency is over",
                );
                if until.value.saturating_since(now) > REPORT_NOTICE {
                    until.place.warn(
                        "the switch is meant for hours, and this is more than 30 days ahead",
                        "write a nearer end, or mode = \"report\" in the policies that are not ready",
                    );
                }
            }
            (Some(report), _, Some(until)) => report.warn(
                format!("has no effect any more: `report_until` {} has passed", until.value.brief()),
                "write \"on\" and remove report_until, or name a later end",
            ),
            _ => {}
        }
    }

    pub(super) fn enforcement(&self) -> Enforcement {
        match (self.report(), &self.until) {
            (Some(report), Some(until)) => Enforcement::ReportUntil { until: until.value, source: report.source() },
            _ => Enforcement::On,
        }
    }
}
