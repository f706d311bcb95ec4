//! When the log says that a certificate nears its end: at each of a few steps once, and daily after it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::time::Timestamp;
use crate::tls::certificates::{CertificateWarning, EXPIRY_NOTICE};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How much is left when it is said again.
const STEPS: [Duration; 4] = [DAY, DAY.saturating_mul(3), DAY.saturating_mul(7), EXPIRY_NOTICE];

/// What was said already.
#[derive(Debug, Default)]
pub(super) struct ExpiryLog {
    /// By file and end, so that a renewed certificate begins anew. One for each certificate in use.
    told: HashMap<(PathBuf, Timestamp), Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Step(Duration),
    Expired(Timestamp),
}

impl ExpiryLog {
    /// What is to be said now of these certificates, each given by its file and its end.
    pub(super) fn due<'a>(
        &mut self,
        certificates: impl IntoIterator<Item = (&'a Path, Timestamp)>,
        now: Timestamp,
    ) -> Vec<CertificateWarning> {
        let mut due = Vec::new();
        let mut told = HashMap::new();
        for (chain, not_after) in certificates {
            let Some(warning) = CertificateWarning::of_expiry(chain, not_after, now) else { continue };
            let key = (chain.to_owned(), not_after);
            let before = self.told.get(&key).copied();
            let say = match &warning {
                CertificateWarning::ExpiresSoon { left, .. } => {
                    Told::Step(STEPS.into_iter().find(|step| left <= step).unwrap_or(EXPIRY_NOTICE))
                }
                _ => Told::Expired(now),
            };
            let is_new = match (before, say) {
                (Some(Told::Step(before)), Told::Step(step)) => step < before,
                (Some(Told::Expired(last)), Told::Expired(_)) => now.saturating_since(last) >= DAY,
                // The clock went back.
                (Some(Told::Expired(_)), Told::Step(_)) => false,
                _ => true,
            };
            let kept = if is_new { say } else { before.unwrap_or(say) };
            told.insert(key, kept);
            due.extend(is_new.then_some(warning));
        }
        self.told = told;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn an_end_is_told_once_at_each_step_and_daily_after_it() {
        let mut log = ExpiryLog::default();
        for (at, expected) in [
            (END - 15 * DAY, false),
            (END - 13 * DAY, true),
            (END - 8 * DAY, false),
            (END - 7 * DAY, true),
            (END - 4 * DAY, false),
            (END - 2 * DAY, true),
            (END - DAY, true),
            (END - HOUR, false),
            (END + HOUR, true),
            (END + 2 * HOUR, false),
            (END - HOUR, false),
            (END + 24 * HOUR, false),
            (END + 25 * HOUR, true),
        ] {
            let due = log.due([(Path::new("mx.pem"), END)], at);
            assert_eq!(
                due,
                Vec::from_iter(CertificateWarning::of_expiry(Path::new("mx.pem"), END, at).filter(|_| expected))
            );
        }
    }

    #[test]
    fn a_renewed_certificate_begins_anew_and_what_is_gone_is_forgotten() {
        let mut log = ExpiryLog::default();
        let (one, other) = (Path::new("1.pem"), Path::new("2.pem"));
        assert_eq!(log.due([(one, END), (other, END)], END - DAY).len(), 2);
        assert_eq!(log.due([(one, END), (other, END + DAY)], END - DAY).len(), 1);
        assert_eq!(log.told.len(), 2);
        assert_eq!(log.due([], END).len() + log.told.len(), 0);
    }
}
