//! The plain store keeps the contract, and each way to break it is found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::super::suite::{Fixture, contract_tests, laws};
use super::{Flaw, Shared, set_flaw};
use crate::model::id::RecordId;
use crate::model::time::Instant;

/// Two nodes whose clocks are far apart, and a store with one of its own.
struct TwoNodes {
    store: Shared,
    clock: Instant,
}

const NODE_1_IS_AHEAD: Duration = Duration::from_secs(100_000);

impl Fixture for TwoNodes {
    type Store = Shared;

    fn new() -> Self {
        Self { store: Shared::default(), clock: Instant::from_start(Duration::from_secs(1)) }
    }

    fn node(&self, _: usize) -> Shared {
        self.store.clone()
    }

    fn now(&self, number: usize) -> Instant {
        if number == 0 { self.clock } else { self.clock + NODE_1_IS_AHEAD }
    }

    fn advance(&mut self, time: Duration) {
        self.clock = self.clock + time;
        self.store.advance(time);
    }

    fn crash(&mut self) {
        self.store.crash();
    }

    fn set_full(&mut self, is_full: bool) {
        self.store.set_full(is_full);
    }

    fn records(&self) -> Vec<RecordId> {
        self.store.records()
    }
}

contract_tests!(TwoNodes);

macro_rules! flaws {
    ($($flaw:ident: $law:ident;)*) => {
        [$((Flaw::$flaw, stringify!($law), laws::$law::<TwoNodes> as fn())),*]
    };
}

#[test]
fn each_way_to_break_the_contract_is_found_by_the_test_of_its_law() {
    let all = flaws! {
        AcceptsInMemory: law_01_accepted_mail_is_there_after_a_crash_with_its_content;
        KeepsWhatItRefused: law_02_mail_that_was_not_accepted_is_not_there;
        LosesRecords: law_03_a_report_is_written_with_its_notices_and_records_or_not_at_all;
        LosesNotices: law_03_a_report_is_written_with_its_notices_and_records_or_not_at_all;
        WritesWhatFits: law_03_a_report_is_written_with_its_notices_and_records_or_not_at_all;
        GivesTwice: law_04_a_lease_keeps_others_away;
        GivesTwiceAsDue: law_04_a_lease_keeps_others_away;
        ForgetsTokens: law_05_tokens_rise_and_none_comes_twice;
        LeasesForEver: law_06_a_lease_is_over_after_its_length_and_not_before;
        LeasesTooShort: law_06_a_lease_is_over_after_its_length_and_not_before;
        JudgesByTheCallersClock: law_06_a_lease_is_over_after_its_length_and_not_before;
        RenewsNothing: law_07_a_renewed_lease_lasts_and_a_lost_one_stays_lost;
        RenewsWhatIsLost: law_07_a_renewed_lease_lasts_and_a_lost_one_stays_lost;
        WritesUnderOldTokens: law_08_nothing_is_written_under_an_old_token;
        ReleasesUnderOldTokens: law_08_nothing_is_written_under_an_old_token;
        RefusesWhatIsLate: law_09_a_lease_that_is_over_counts_until_somebody_else_has_one;
        TakesNothingBack: law_10_what_is_given_back_can_be_claimed_at_once_and_is_not_due_before_its_moment;
        ForgetsNotBefore: law_10_what_is_given_back_can_be_claimed_at_once_and_is_not_due_before_its_moment;
        WritesTwice: law_11_a_report_given_again_changes_nothing_more;
        SettlesTwice: law_12_a_report_about_somebody_who_is_settled_or_unknown_is_refused_whole;
        WritesWhatFits: law_12_a_report_about_somebody_who_is_settled_or_unknown_is_refused_whole;
        NeverFinishes: law_13_the_last_settled_recipient_finishes_the_message_for_good;
        GivesWhatIsFinished: law_13_the_last_settled_recipient_finishes_the_message_for_good;
        NowIsSoon: law_13_the_last_settled_recipient_finishes_the_message_for_good;
        SoonIsUnseen: law_14_who_is_given_a_message_sees_all_that_was_reported;
        SoonIsHalf: law_15_what_is_reported_soon_outlasts_a_crash_whole_or_not_at_all;
        NowIsSoon: law_15_what_is_reported_soon_outlasts_a_crash_whole_or_not_at_all;
        RefusalsCount: law_16_a_refusal_for_want_of_space_leaves_all_as_it_was;
        GivesWhatIsNotDue: law_17_what_is_given_as_due_is_due_and_the_longest_due_comes_first;
        GivesTheNewestFirst: law_17_what_is_given_as_due_is_due_and_the_longest_due_comes_first;
        GivesWhatIsHeld: law_17_what_is_given_as_due_is_due_and_the_longest_due_comes_first;
        KnowsNoExceptions: law_17_what_is_given_as_due_is_due_and_the_longest_due_comes_first;
        NeverLooksAgain: law_18_the_next_look_is_never_too_late;
        IsSilent: law_19_what_can_be_claimed_is_announced_to_all;
        IsSilentAboutReleases: law_19_what_can_be_claimed_is_announced_to_all;
        LeasesOutlastCrashes: law_20_after_a_crash_all_that_is_unfinished_can_be_claimed;
        TakesOldHolds: law_21_the_list_of_holds_with_the_higher_version_stands;
        GivesTwice: random_histories;
        ForgetsTokens: random_histories;
        LeasesForEver: random_histories;
        WritesUnderOldTokens: random_histories;
        WritesTwice: random_histories;
        GivesWhatIsFinished: random_histories;
        SoonIsUnseen: random_histories;
        SoonIsHalf: random_histories;
        NowIsSoon: random_histories;
    };
    let mut unfound = Vec::new();
    for (flaw, name, law) in all {
        set_flaw(Some(flaw));
        if catch_unwind(AssertUnwindSafe(law)).is_ok() {
            unfound.push((flaw, name));
        }
    }
    set_flaw(None);
    assert_eq!(unfound, []);
}
