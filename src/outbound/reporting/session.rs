//! From a session to what a report says of it: the policies that were found, and which of them it failed.
//!
//! Pure: values in, values out.

use std::net::IpAddr;
use std::sync::Arc;

use crate::facts::sts_cache::StsAnswer;
use crate::mail::tlsrpt::report::{Failure, Policy};
use crate::mail::tlsrpt::session::{Applied, SessionResult};
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::{PeerCertificate, TlsFacts};
use crate::model::tlsa::Tlsa;
use crate::policy::names::Identity;
use crate::policy::published::{Dane, Published};
use crate::policy::session_check::{IdentityCheck, identify};
use crate::policy::sts_policy::{Mode, StsPolicy};

/// What is said of hosts that a policy of MTA-STS leaves out.
const NOT_LISTED: &str = "the host is not among those of the MTA-STS policy";

/// A session, or a try at one, with all that is known of it.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) host: Host,
    pub(super) published: Arc<Published>,
    pub(super) sts: Option<StsAnswer>,
    pub(super) end: End,
    /// `None` for plaintext, and where no handshake ended.
    pub(super) tls: Option<TlsFacts>,
}

/// The two ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    /// `None` for an address literal.
    pub(super) name: Option<Domain>,
    /// `None` where nobody connected.
    pub(super) address: Option<IpAddr>,
    /// What it called itself.
    pub(super) helo: Option<String>,
    /// Our own address.
    pub(super) local: Option<IpAddr>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It carries mail, under TLS or because there is none.
    Ready,
    Failed {
        reason: Reason,
        detail: String,
    },
}

/// What it is to the report about `domain`. `None`: it is nothing that is reported.
pub(super) fn result(domain: &Domain, opened: &Opened) -> Option<SessionResult> {
    let failed = opened.failure();
    if failed.is_none() && opened.end != End::Ready {
        return None;
    }
    // What every policy asks for is TLS.
    let general = failed.clone().filter(|_| opened.peer().is_none() && !opened.concerns_records());
    let mut applied: Vec<Applied> = Vec::new();
    applied.extend(opened.by_records(general.as_ref()));
    applied.extend(opened.by_sts(domain, general.as_ref()));
    // Else it failed by what our own operator asks for.
    let is_told = general.is_some() || applied.iter().any(|applied| applied.failure.is_some());
    Some(SessionResult { failure: failed.filter(|_| !is_told || applied.is_empty()), applied })
}

impl Opened {
    fn peer(&self) -> Option<&PeerCertificate> {
        self.tls.as_ref()?.peer.as_ref()
    }

    /// Whether it failed by the TLSA records, or by how they were looked up.
    fn concerns_records(&self) -> bool {
        let words = [Reason::TlsaInvalid, Reason::DnssecInvalid, Reason::DaneRequired];
        matches!(&self.end, End::Failed { reason, .. } if words.contains(reason))
    }

    /// Why it failed, if it is a failure in the words of reports.
    fn failure(&self) -> Option<Failure> {
        match &self.end {
            End::Ready if self.tls.is_none() => self.failed_by(Reason::StarttlsNotSupported, ""),
            End::Ready => None,
            End::Failed { reason, detail } => self.failed_by(*reason, detail),
        }
    }

    fn failed_by(&self, reason: Reason, detail: &str) -> Option<Failure> {
        let failure = Failure::new(reason)?;
        let told = Some(detail).filter(|detail| !detail.is_empty());
        let code = failure.failure_reason_code.clone().or(told.map(str::to_owned));
        let unnamed = reason == Reason::ValidationFailure;
        Some(Failure {
            sending_mta_ip: self.host.local,
            receiving_mx_hostname: self.host.name.as_ref().map(Domain::to_string),
            receiving_mx_helo: self.host.helo.clone(),
            receiving_ip: self.host.address,
            failure_reason_code: code.or_else(|| unnamed.then(|| "the TLS handshake failed".to_owned())),
            ..failure
        })
    }

    /// DANE: it counts wherever records were found, and where it should have been known whether there are any.
    fn by_records(&self, general: Option<&Failure>) -> Option<Applied> {
        let dane = &self.published.dane;
        if matches!(dane, Dane::Absent | Dane::Inapplicable) && !self.concerns_records() {
            return None;
        }
        let base = dane.base().or(self.host.name.as_ref())?;
        let records: Vec<Tlsa> = dane.judged().iter().map(|judged| judged.record.clone()).collect();
        let policy = Policy::tlsa(base.clone(), &records);
        let own = self.failure().filter(|_| self.concerns_records());
        Some(Applied { policy, failure: own.or(general.cloned()) })
    }

    /// MTA-STS: by the policy's own measure, whatever was enforced. A policy that is only tested is there to be
    /// reported about, and so is one that cannot be had (RFC 8461 section 6).
    fn by_sts(&self, domain: &Domain, general: Option<&Failure>) -> Option<Applied> {
        let answer = self.sts.as_ref()?;
        let problem = answer.problem.as_ref().filter(|problem| problem.report);
        let kept = answer.policy.as_ref().filter(|cached| cached.policy.mode != Mode::None);
        let policy = match kept {
            Some(cached) => {
                let mx = cached.policy.mx.iter().map(ToString::to_string).collect();
                Policy::sts(domain.clone(), &cached.policy.to_string(), mx)
            }
            None => Policy::sts(domain.clone(), "", Vec::new()),
        };
        let trouble = problem.and_then(|problem| {
            let failure = Failure::new(problem.fault.reason())?;
            Some(Failure { failure_reason_code: Some(problem.fault.to_string()), ..failure })
        });
        let has_session = self.peer().is_some() || !self.concerns_records();
        if trouble.is_none() && (kept.is_none() || !has_session) {
            return None;
        }
        let unmet = || kept.and_then(|cached| self.unmet(&cached.policy));
        Some(Applied { policy, failure: trouble.or(general.cloned()).or_else(unmet) })
    }

    /// RFC 8461 section 4.1.
    fn unmet(&self, policy: &StsPolicy) -> Option<Failure> {
        let Some(name) = self.host.name.as_ref().filter(|name| policy.matches(name)) else {
            return self.failed_by(Reason::ValidationFailure, NOT_LISTED);
        };
        let identity = Identity { names: vec![name.clone()], ..Identity::default() };
        match identify(&identity, Some(self.peer()?)) {
            IdentityCheck::Failed(reason) => self.failed_by(reason, in_words(reason)),
            IdentityCheck::Verified(_) | IdentityCheck::Unknown => None,
        }
    }
}

/// What is wrong with a certificate that MTA-STS asks for.
const fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::CertificateHostMismatch => "the certificate does not name the host",
        Reason::CertificateExpired => "the certificate is expired, or not valid yet",
        Reason::CertificateNotTrusted => "the certificate leads to no root that is trusted here",
        _ => "the certificate cannot be read",
    }
}

#[cfg(test)]
mod tests;
