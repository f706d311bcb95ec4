//! A queued message whose envelope cannot be read back: it stays, says why, and is tried again after a while.

use std::time::Duration;

use crate::clock;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::spool::state::{Change, LastAttempt, Pending, Progress, RecipientState};
use crate::spool::{LoadError, Outline};

use super::Outbound;
use super::attempt::{Ended, Work};

/// Until the disk is asked again.
const READ_RETRY: Duration = Duration::from_secs(60);
/// Until the next look at what is damaged: an operator may put the segment back from a backup.
const DAMAGED_RETRY: Duration = Duration::from_secs(60 * 60);

/// Leaves the recipients waiting, with the reason for the operator. There is no record, as there was no attempt.
pub(super) fn defer(outbound: &Outbound, work: Work, error: LoadError) -> Ended {
    let after = match error {
        LoadError::Damaged => DAMAGED_RETRY,
        LoadError::Io(_) => READ_RETRY,
    };
    let id = work.message;
    tracing::error!(%id, %error, retry_in = ?after, "a queued message cannot be read; it stays in the queue");
    let Some(outline) = outbound.spool.outline(id) else { return Ended::Done };
    let progress = progress(&outline, &work.recipients, error, (clock::timestamp(), after));
    if let Err(fault) = outbound.spool.record_lazily(Some(progress), Vec::new()) {
        tracing::warn!(%id, %fault, "that a message cannot be read could not be written down");
    }
    Ended::Again { recipients: work.recipients, after }
}

fn progress(outline: &Outline, places: &[u32], error: LoadError, (now, after): (Timestamp, Duration)) -> Progress {
    let change = |place: &u32| {
        let before = outline.states.get(usize::try_from(*place).ok()?)?.pending()?.clone();
        let last = LastAttempt {
            at: now,
            reason: Reason::SpoolFault,
            mx: None,
            detail: error.to_string(),
            asked_by: Vec::new(),
            others: Vec::new(),
        };
        let attempts = before.attempts.saturating_add(1);
        let pending = Pending { attempts, next_attempt: Some(now + after), last: Some(last), ..before };
        Some(Change { recipients: vec![*place], state: RecipientState::Pending(pending) })
    };
    Progress { message: outline.id, changes: places.iter().filter_map(change).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::ReversePath;
    use crate::model::envelope::Trust;
    use crate::model::id::MessageId;
    use crate::spool::state::Settled;

    #[test]
    fn a_message_that_cannot_be_read_says_so_and_nothing_else_of_it_changes() {
        let waiting = Pending { attempts: 2, delay_notified: true, ..Pending::default() };
        let pending = RecipientState::Pending(waiting.clone());
        let outline = Outline {
            id: MessageId::from_u128(1),
            received_at: Timestamp::from_secs(1),
            size: 1,
            sender: ReversePath::Null,
            recipients: vec!["a@b.example".parse().unwrap(); 3],
            client: None,
            trust: Trust::Stranger,
            tls_report: false,
            states: vec![pending.clone(), RecipientState::Settled(Settled::Delivered), pending],
        };
        let now = Timestamp::from_secs(9);
        let progress = progress(&outline, &[0, 1, 7], LoadError::Damaged, (now, DAMAGED_RETRY));
        let [Change { recipients, state: RecipientState::Pending(after) }] = &*progress.changes else { panic!() };
        let last = after.last.as_ref().unwrap();
        assert_eq!(
            (progress.message, recipients, after.next_attempt),
            (outline.id, &vec![0], Some(now + DAMAGED_RETRY))
        );
        assert_eq!((last.reason, &*last.detail), (Reason::SpoolFault, "the stored envelope is damaged"));
        assert_eq!(Pending { attempts: 2, next_attempt: None, last: None, ..after.clone() }, waiting);
    }
}
