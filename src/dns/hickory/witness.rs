//! Whether a server that is believed validates at all. One that does not never sets the AD bit, so that nothing would
//! ever count as secure, and nobody would be told.

use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock;
use crate::model::time::Instant;

use super::super::Security;

/// For how long it is believed what the server showed.
const SEEN_TIME_MAX: Duration = Duration::from_secs(600);
/// After which time a question that was not answered is asked again.
const RETRY_TIME: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Witness {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Whether the server validates, if that is known.
    validates: Option<bool>,
    /// When to look anew.
    until: Option<Instant>,
}

impl Witness {
    /// What an answer counts for. Where it says nothing and the server has not shown for a while what it does, `probe`
    /// has to ask for something that is signed for certain, and tell whether the answer said so.
    pub(super) async fn judge(&self, authentic: bool, probe: impl Future<Output = Option<bool>>) -> Security {
        if authentic {
            // If somebody is just finding out, that will do.
            if let Ok(mut seen) = self.seen.try_lock() {
                seen.note(Some(true), clock::now());
            }
            return Security::Secure;
        }
        let mut seen = self.seen.lock().await;
        if seen.until.is_none_or(|until| until <= clock::now()) {
            let found = probe.await;
            seen.note(found, clock::now());
        }
        match seen.validates {
            Some(true) => Security::Insecure,
            Some(false) | None => Security::Unknown,
        }
    }
}

impl Seen {
    fn note(&mut self, found: Option<bool>, now: Instant) {
        self.until = Some(now + found.map_or(RETRY_TIME, |_| SEEN_TIME_MAX));
        let Some(validates) = found else { return };
        match (self.validates.replace(validates), validates) {
            (Some(true) | None, false) => tracing::warn!(
                "the DNS server on this host does not validate: what it says about the root, which is signed, comes \
                 without the AD bit, so no answer counts as secure and DANE is out of use; make it validate, or write \
                 dnssec = \"validate\""
            ),
            (Some(false), true) => tracing::info!("the DNS server on this host validates"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_secure_counts_as_unsigned_only_where_the_server_validates() {
        for (probe, expected) in
            [(Some(true), Security::Insecure), (Some(false), Security::Unknown), (None, Security::Unknown)]
        {
            let witness = Witness::default();
            assert_eq!(witness.judge(false, async { probe }).await, expected);
            assert_eq!(witness.judge(true, async { panic!("asked without need") }).await, Security::Secure);
            // An answer that is secure shows that the server validates.
            assert_eq!(witness.judge(false, async { panic!("asked twice") }).await, Security::Insecure);
        }
    }

    #[tokio::test]
    async fn the_server_is_asked_once_in_a_while() {
        let witness = Witness::default();
        assert_eq!(witness.judge(false, async { Some(false) }).await, Security::Unknown);
        assert_eq!(witness.judge(false, async { panic!("asked twice") }).await, Security::Unknown);
        let at = |secs| Instant::from_start(Duration::from_secs(secs));
        let mut seen = Seen::default();
        seen.note(Some(false), at(0));
        assert_eq!(seen.until, Some(at(600)));
        seen.note(None, at(600));
        assert_eq!((seen.until, seen.validates), (Some(at(630)), Some(false)));
    }
}
