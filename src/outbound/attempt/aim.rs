//! From a host to what a session with it must be: asks what is known of it, and makes the one requirement.

use std::sync::Arc;

use crate::clock;
use crate::dns::LookupError;
use crate::facts::DomainFacts;
use crate::model::address::ReversePath;
use crate::model::reason::Reason;
use crate::outbound::outcome::Failure;
use crate::outbound::reporting::Failed;
use crate::outbound::seen::What;
use crate::outbound::targets::{NextHost, Target};
use crate::policy::host_requirement::{HostRequirement, asked, require};
use crate::policy::outbound::{HostIdentity, Requirement};
use crate::policy::published::Asks;
use crate::tls::roots::Roots;

use super::Attempt;

impl Attempt {
    /// What is known of the domain, whichever of its hosts takes the mail.
    pub(super) async fn domain_facts(&self) -> DomainFacts {
        self.outbound.facts.domain(&self.decision, self.domain.as_ref(), self.asks(), clock::timestamp()).await
    }

    fn asks(&self) -> Asks {
        let envelope = &self.stored.envelope;
        let is_notice = envelope.sender.path == ReversePath::Null;
        let require_tls = envelope.sender.require_tls;
        Asks {
            require_tls: require_tls && !is_notice,
            tls_required_no: envelope.tls_required_no,
            is_protected_notice: require_tls && is_notice,
            tls_report: envelope.tls_report,
        }
    }

    /// The addresses of a host with what must be met there, or why it cannot be used.
    pub(super) async fn aim(&self, host: &NextHost, facts: &DomainFacts) -> Result<Vec<Target>, Failure> {
        if let Some(error) = host.failed {
            return Err(self.not_resolved(host, error));
        }
        let published = match self.outbound.facts.host(&self.decision, facts, &host.known(), clock::timestamp()).await {
            Ok(published) => Arc::new(published),
            Err(error) => return Err(self.not_looked_up(host, error)),
        };
        let identity = HostIdentity {
            recipient_domain: self.domain.as_ref(),
            name: host.name.as_ref(),
            name_is_trusted: host.name_is_trusted,
        };
        match require(&self.decision, &identity, &published) {
            Ok(requirement) => {
                let requirement = Arc::new(requirement);
                Ok(host.targets(&published, Some(&requirement)).collect())
            }
            Err(unmet) => {
                let asked = Arc::new(asked(&self.decision, &identity, &published));
                let target = host.first_target(published).map(|target| Target { unmet: Some(asked), ..target });
                Err(self.unusable(target, unmet.reason, unmet.detail))
            }
        }
    }

    /// A host whose addresses are not known now may take the mail another time (RFC 7672 section 2.1.2).
    fn not_resolved(&self, host: &NextHost, error: LookupError) -> Failure {
        let reason = error.reason();
        if reason.is_outbound_tls() && self.carries_mail() {
            self.outbound.metrics.outbound_tls_failed(reason);
        }
        let name = host.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let detail = format!("the addresses of {name} cannot be looked up: {error}");
        let mut situation = self.situation(None, None);
        situation.host.clone_from(&host.name);
        situation.reason = Some(reason);
        situation.detail = Some(detail.clone());
        self.record_attempt(&situation);
        Failure { next_host: true, ..Failure::ours(reason, false, detail) }
    }

    /// RFC 7672 section 2.2: a host of which it is not known whether it has TLSA records is not connected to.
    fn not_looked_up(&self, host: &NextHost, error: LookupError) -> Failure {
        let name = host.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let detail = format!("the TLSA records of {name} cannot be looked up: {error}");
        self.unusable(host.first_target(Arc::default()), error.reason(), detail)
    }

    fn unusable(&self, target: Option<Target>, reason: Reason, detail: String) -> Failure {
        if reason.is_outbound_tls() {
            self.count_tls_failed(reason);
        }
        if let Some(target) = &target {
            self.saw(target, What::Failed { reason, tls: None, lost: true });
            self.count_failure(target, Failed { reason, detail: detail.as_str().into(), tls: None, known: None });
        }
        let mut situation = self.situation(target.as_ref(), None);
        situation.reason = Some(reason);
        situation.detail = Some(detail.clone());
        self.record_attempt(&situation);
        Failure { next_host: true, target, ..Failure::ours(reason, false, detail) }
    }

    /// What a session there must be.
    pub(in crate::outbound) fn requirement(&self, target: &Target) -> Arc<HostRequirement> {
        target.requirement.clone().unwrap_or_else(|| Arc::new(HostRequirement::out_of_reach(&self.decision)))
    }

    /// Who may vouch for hosts under this requirement.
    pub(super) fn roots(&self, requirement: &Requirement) -> &Roots {
        let own = requirement.ca.as_ref().and_then(|ca| self.snapshot.authorities.get(&ca.value));
        own.unwrap_or(&self.outbound.roots)
    }
}
