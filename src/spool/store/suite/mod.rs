//! What every store has to pass: a function for each law of the contract, and random histories of two nodes.
//!
//! An implementation brings a [`Fixture`] and calls `contract_tests!` with it.

mod accepting;
mod finding;
mod leasing;
mod model;
mod reporting;
mod rig;

use std::time::Duration;

use crate::model::id::RecordId;
use crate::model::time::{Instant, Timestamp};

use super::Store;

/// A store with two nodes, and the world around it.
pub(crate) trait Fixture {
    type Store: Store;

    fn new() -> Self;

    /// The handle of node 0 or 1.
    fn node(&self, number: usize) -> Self::Store;

    /// The clock of a node. Clocks of nodes may differ, but run alike.
    fn now(&self, number: usize) -> Instant;

    /// Lets time go by, for the store and for the nodes.
    fn advance(&mut self, time: Duration);

    /// The machine of the store fails, and what it has kept is opened again. The nodes have forgotten all.
    fn crash(&mut self);

    /// Whether there is no space left from now on.
    fn set_full(&mut self, is_full: bool);

    /// The records that the audit log was given, or would be after a restart: in any order, each as often as it was.
    fn records(&self) -> Vec<RecordId>;

    /// The date, for all.
    fn date(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.now(0).since_start().as_micros()).unwrap())
    }
}

/// Runs every law over a fixture, as tests of their own.
macro_rules! contract_tests {
    ($fixture:ty) => {
        $crate::spool::store::suite::contract_tests! { $fixture;
            law_01_accepted_mail_is_there_after_a_crash_with_its_content
            law_02_mail_that_was_not_accepted_is_not_there
            law_03_a_report_is_written_with_its_notices_and_records_or_not_at_all
            law_04_a_lease_keeps_others_away
            law_05_tokens_rise_and_none_comes_twice
            law_06_a_lease_is_over_after_its_length_and_not_before
            law_07_a_renewed_lease_lasts_and_a_lost_one_stays_lost
            law_08_nothing_is_written_under_an_old_token
            law_09_a_lease_that_is_over_counts_until_somebody_else_has_one
            law_10_what_is_given_back_can_be_claimed_at_once_and_is_not_due_before_its_moment
            law_11_a_report_given_again_changes_nothing_more
            law_12_a_report_about_somebody_who_is_settled_or_unknown_is_refused_whole
            law_13_the_last_settled_recipient_finishes_the_message_for_good
            law_14_who_is_given_a_message_sees_all_that_was_reported
            law_15_what_is_reported_soon_outlasts_a_crash_whole_or_not_at_all
            law_16_a_refusal_for_want_of_space_leaves_all_as_it_was
            law_17_what_is_given_as_due_is_due_and_the_longest_due_comes_first
            law_17_what_was_reported_last_says_when_it_is_due
            law_18_the_next_look_is_never_too_late
            law_19_what_can_be_claimed_is_announced_to_all
            law_20_after_a_crash_all_that_is_unfinished_can_be_claimed
            law_21_the_list_of_holds_with_the_higher_version_stands
            random_histories
        }
    };
    ($fixture:ty; $($law:ident)*) => {
        $(
            #[test]
            fn $law() {
                $crate::spool::store::suite::laws::$law::<$fixture>();
            }
        )*
    };
}
pub(crate) use contract_tests;

/// All laws in one place.
pub(crate) mod laws {
    pub(crate) use super::accepting::*;
    pub(crate) use super::finding::*;
    pub(crate) use super::leasing::*;
    pub(crate) use super::model::random_histories;
    pub(crate) use super::reporting::*;
}
