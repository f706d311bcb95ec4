//! What came of the hosts of one attempt so far, and what it amounts to. Pure.

use crate::model::reason::Reason;
use crate::outbound::outcome::Failure;
use crate::outbound::targets::TARGETS_MAX;

/// What came of the hosts so far.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// Addresses.
    pub(super) targets: usize,
    pub(super) failed: Option<Failure>,
    /// The last failure rules out all others.
    is_over: bool,
}

/// A host that says so at one address says so at all.
pub(super) fn is_of_host(reason: Reason) -> bool {
    reason == Reason::NeedsRequireTls
}

impl Tried {
    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.failed.is_none() || !self.is_over && self.targets < TARGETS_MAX
    }

    pub(super) fn add(&mut self, failure: Failure) {
        self.is_over = !failure.next_host;
        let failure = Failure { doubtful: failure.doubtful || failure.is_by_old_policy(), ..failure };
        self.failed = Some(match self.failed.take() {
            Some(before) => before.and(failure),
            None => failure,
        });
    }

    /// Hosts are left for another attempt, unless the last failure rules them out.
    pub(super) fn leave_hosts(&mut self) {
        let is_over = self.is_over;
        self.failed = self.failed.take().map(|failed| if is_over { failed } else { failed.and_untried() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_were_not_tried_keep_the_mail_from_bouncing_unless_they_are_ruled_out() {
        for (reason, permanent, next_host, expected) in [
            (Reason::RemoteRefused, true, true, (false, true)),
            (Reason::NeedsRequireTls, true, true, (false, true)),
            (Reason::StarttlsNotSupported, false, true, (false, true)),
            (Reason::RemoteRefused, true, false, (true, false)),
        ] {
            let mut tried = Tried::default();
            tried.add(Failure { next_host, ..Failure::ours(reason, permanent, String::new()) });
            tried.leave_hosts();
            let failed = tried.failed.unwrap();
            assert_eq!((failed.permanent, failed.doubtful), expected, "{reason}");
        }
    }
}
