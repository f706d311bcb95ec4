//! How the chain of a connection was judged last: the next message mostly asks for the same.

use std::time::Duration;

use crate::model::time::Timestamp;
use crate::policy::host_requirement::HostRequirement;
use crate::tls::evaluate::Evaluation;
use crate::tls::roots::Roots;

/// How long a chain is not judged again for the same question: it may expire meanwhile.
const EVALUATION_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) requirement: HostRequirement,
    pub(super) roots: Roots,
    pub(super) at: Timestamp,
    pub(super) evaluation: Evaluation,
}

impl Checked {
    /// Whether a judgement now could say nothing else.
    pub(super) fn holds(&self, requirement: &HostRequirement, roots: &Roots, now: Timestamp) -> bool {
        let is_recent = now >= self.at && now.saturating_since(self.at) < EVALUATION_TIME_MAX;
        is_recent && self.roots.is(roots) && self.requirement == *requirement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tls::ChainTrust;
    use crate::policy::host_requirement::require;
    use crate::policy::names::Identity;
    use crate::policy::outbound::{HostIdentity, decide};
    use crate::policy::published::Published;
    use crate::policy::rules::PolicySet;
    use crate::policy::settings::{OutboundTls, Sourced};
    use crate::policy::timed::Asker;
    use crate::tls::evaluate::evaluate;

    fn requirement(tls: OutboundTls) -> HostRequirement {
        let sender = crate::model::address::ReversePath::Null;
        let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &sender };
        let mut decision = decide(&PolicySet::default(), None, &asker);
        decision.requirement.tls = Sourced::built_in(tls);
        let host = HostIdentity { recipient_domain: None, name: None, name_is_trusted: false };
        require(&decision, &host, &Published::default()).unwrap()
    }

    #[test]
    fn a_chain_is_judged_anew_for_another_question_by_other_roots_and_after_a_while() {
        let (encrypt, roots) = (requirement(OutboundTls::Encrypt), Roots::empty());
        let evaluation = evaluate(&[], &Identity::default(), &roots, Timestamp::from_secs(100));
        assert_eq!(evaluation.chain, ChainTrust::Unknown);
        let at = Timestamp::from_secs(100);
        let checked = Checked { requirement: encrypt.clone(), roots: roots.clone(), at, evaluation };
        let other = requirement(OutboundTls::Opportunistic);
        for (asked, by, now, expected) in [
            (&encrypt, &roots, 100, true),
            (&encrypt, &roots, 104, true),
            (&encrypt, &roots, 105, false),
            (&encrypt, &roots, 99, false),
            (&encrypt, &Roots::empty(), 100, false),
            (&other, &roots, 100, false),
        ] {
            assert_eq!(checked.holds(asked, by, Timestamp::from_secs(now)), expected, "{asked:?} at {now}");
        }
    }
}
