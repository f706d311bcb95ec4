//! Which jobs wait because the last attempt found TLS that does not do, counted by reason.

use std::collections::HashMap;

use crate::model::reason::Reason;
use crate::schedule::job::JobId;

const REASONS: usize = Reason::OUTBOUND_TLS.len();

/// How many jobs wait for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsWaits([usize; REASONS]);

impl TlsWaits {
    /// Every reason with its count, zero too.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, usize)> {
        Reason::OUTBOUND_TLS.iter().copied().zip(self.0)
    }

    fn of(&mut self, reason: Reason) -> Option<&mut usize> {
        self.0.get_mut(Reason::OUTBOUND_TLS.iter().position(|known| *known == reason)?)
    }
}

/// The jobs and their counts. Counting takes no walk through the jobs.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    reasons: HashMap<JobId, Reason>,
    counts: TlsWaits,
}

impl Lacking {
    /// Why the last attempt of a job failed; `None`, or a reason that is not about TLS, takes it out.
    pub(super) fn set(&mut self, job: JobId, reason: Option<Reason>) {
        let reason = reason.filter(|reason| reason.is_outbound_tls());
        let before = match reason {
            Some(reason) => self.reasons.insert(job, reason),
            None => self.reasons.remove(&job),
        };
        if let Some(count) = before.and_then(|before| self.counts.of(before)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = reason.and_then(|reason| self.counts.of(reason)) {
            *count += 1;
        }
        if self.reasons.is_empty() {
            self.reasons = HashMap::new();
        }
    }

    pub(super) const fn counts(&self) -> TlsWaits {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_counts_once_by_its_last_reason_and_only_by_one_of_tls() {
        let mut lacking = Lacking::default();
        let (plain, name) = (Reason::StarttlsNotSupported, Reason::CertificateHostMismatch);
        for (job, reason, expected) in [
            (1, Some(plain), (1, 0)),
            (2, Some(plain), (2, 0)),
            (2, Some(plain), (2, 0)),
            (3, Some(Reason::ConnectTimeout), (2, 0)),
            (2, Some(name), (1, 1)),
            (1, Some(Reason::ConnectTimeout), (0, 1)),
            (1, None, (0, 1)),
            (2, None, (0, 0)),
        ] {
            lacking.set(JobId(job), reason);
            let count = |reason| lacking.counts().iter().find(|(known, _)| *known == reason).unwrap().1;
            let total: usize = lacking.counts().iter().map(|(_, count)| count).sum();
            assert_eq!((count(plain), count(name)), expected, "{job} {reason:?}");
            assert_eq!(total, expected.0 + expected.1);
        }
        assert_eq!(lacking.reasons.capacity(), 0);
    }
}
