//! What a survey keeps of one domain: a line of its file. Fields are added here, never renamed.

use serde::{Deserialize, Serialize};

use crate::dns::Security;
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;
use crate::policy::sts_policy::Mode;
use crate::probe::findings::{Finding, Weight, findings};
use crate::probe::host::HostReport;
use crate::probe::judge::{Meets, Met};
use crate::probe::observe::VersionResult;
use crate::probe::publication::{Publication, StsFound, TlsRptFound};

/// Findings of one domain that are kept.
const FINDINGS_MAX: usize = 20;

/// One domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Surveyed {
    pub(super) domain: Domain,
    pub(super) at: Timestamp,
    /// Why no host is known. The hosts are empty then.
    #[serde(default)]
    pub(super) failure: Option<Failed>,
    /// The MX records are secured by DNSSEC.
    #[serde(default)]
    pub(super) mx_secure: bool,
    #[serde(default)]
    pub(super) hosts: Vec<HostLine>,
    /// Hosts of MX records that no delivery would try.
    #[serde(default)]
    pub(super) left_out: usize,
    /// `absent`, `invalid`, or the mode of a valid policy.
    pub(super) mta_sts: String,
    /// It asks for reports.
    pub(super) tlsrpt: bool,
    /// What every host that answers meets; `None` if none does.
    #[serde(default)]
    pub(super) meets: Option<Levels>,
    #[serde(default)]
    pub(super) findings: Vec<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

/// Each level by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Levels {
    pub(super) encrypt: Word,
    pub(super) verify_mx: Word,
    pub(super) verify_domain: Word,
    pub(super) dane: Word,
    pub(super) mta_sts: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    Yes,
    No,
    /// Nothing is published that could be met.
    NotApplicable,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostLine {
    pub(super) host: String,
    pub(super) answers: bool,
    pub(super) meets: Levels,
    /// Of the weakest session, if all that answered were under TLS.
    #[serde(default)]
    pub(super) version: Option<ProtocolVersion>,
    #[serde(default)]
    pub(super) cipher: Option<String>,
    #[serde(default)]
    pub(super) grade: Option<CipherGrade>,
    #[serde(default)]
    pub(super) requiretls: bool,
    /// What its TLSA records are: `not-validated`, `not-signed`, `absent`, `not-looked-up`, `unusable`, `usable`.
    pub(super) dane: String,
    /// The last day of its certificate.
    #[serde(default)]
    pub(super) not_after: Option<Timestamp>,
    /// SHA-256 of its certificate's key.
    #[serde(default)]
    pub(super) key_sha256: Option<String>,
    /// The versions that it speaks, if it was asked.
    #[serde(default)]
    pub(super) versions: Vec<ProtocolVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) weight: String,
    pub(super) word: String,
    #[serde(default)]
    pub(super) host: Option<String>,
    pub(super) text: String,
}

impl Surveyed {
    pub(super) fn new(domain: Domain, at: Timestamp, publication: &Publication, hosts: &[HostReport]) -> Self {
        let answering = hosts.iter().filter(|host| !host.seen.is_unreachable());
        let found = publication.hosts.as_ref();
        let failed = |error: &crate::dns::mx::RouteError| Failed { reason: error.reason(), detail: error.to_string() };
        Self {
            domain,
            at,
            failure: found.err().map(failed),
            mx_secure: found.is_ok_and(|found| found.mx == Some(Security::Secure)),
            hosts: hosts.iter().map(HostLine::new).collect(),
            left_out: found.map_or(0, |found| found.left_out.len()),
            mta_sts: mta_sts(&publication.mta_sts).to_owned(),
            tlsrpt: matches!(publication.tlsrpt, TlsRptFound::Wanted(_)),
            meets: Meets::all(answering.map(|host| host.meets.clone())).map(|meets| Levels::new(&meets)),
            findings: findings(publication, hosts, at).iter().take(FINDINGS_MAX).map(Found::new).collect(),
        }
    }

    /// Nothing was found out in time.
    pub(super) fn unfinished(domain: Domain, at: Timestamp) -> Self {
        let detail = "the domain took too long".to_owned();
        Self {
            domain,
            at,
            failure: Some(Failed { reason: Reason::Timeout, detail }),
            mx_secure: false,
            hosts: Vec::new(),
            left_out: 0,
            mta_sts: "absent".to_owned(),
            tlsrpt: false,
            meets: None,
            findings: Vec::new(),
        }
    }

    /// Whether asking again soon would tell the same: the DNS answered, and in time.
    pub(super) fn is_settled(&self) -> bool {
        let reason = self.failure.as_ref().map(|failure| failure.reason);
        !matches!(reason, Some(Reason::DnsFailure | Reason::DnssecInvalid | Reason::Timeout))
    }

    /// The weakest version of its hosts; `None` if one of those that answer has none, or nobody answers.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        let answering = self.hosts.iter().filter(|host| host.answers);
        answering.map(|host| host.version).min().flatten()
    }

    /// Whether every host that it has was seen, so that what was found holds for all its mail.
    pub(super) fn is_complete(&self) -> bool {
        self.failure.is_none()
            && self.left_out == 0
            && !self.hosts.is_empty()
            && self.hosts.iter().all(|host| host.answers)
    }

    /// Whether every host meets the level.
    pub(super) fn all_meet(&self, level: impl Fn(&Levels) -> Word) -> bool {
        self.meets.as_ref().is_some_and(|meets| level(meets) == Word::Yes)
    }

    /// Whether some hosts that answer prove themselves by TLSA records, and others publish none.
    pub(super) fn has_dane_in_part(&self) -> bool {
        let is_met = |host: &HostLine| host.answers && host.meets.dane == Word::Yes;
        self.meets.is_some_and(|meets| meets.dane == Word::NotApplicable) && self.hosts.iter().any(is_met)
    }

    /// The worst of what is wrong, and how much more there is: a promise that is not kept before a host that is silent.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(failure.detail.clone());
        }
        let of = |weight: Weight| self.findings.iter().filter(move |found| found.weight == weight.as_str());
        let mut all = of(Weight::Wrong).chain(of(Weight::Unreachable));
        let worst = all.next().map(|found| match &found.host {
            Some(host) => format!("{host}: {}", found.text),
            None => found.text.clone(),
        })?;
        Some(match all.count() {
            0 => worst,
            more => format!("{worst} (and {more} more)"),
        })
    }
}

fn mta_sts(found: &StsFound) -> &'static str {
    match found {
        StsFound::Absent => "absent",
        StsFound::NotLookedUp(_) | StsFound::BadRecord(_) | StsFound::Announced { policy: Err(_), .. } => "invalid",
        StsFound::Announced { policy: Ok(policy), .. } => match policy.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        },
    }
}

impl Levels {
    fn new(meets: &Meets) -> Self {
        Self {
            encrypt: Word::of(&meets.encrypt),
            verify_mx: Word::of(&meets.verify_mx),
            verify_domain: Word::of(&meets.verify_domain),
            dane: Word::of(&meets.dane),
            mta_sts: Word::of(&meets.mta_sts),
        }
    }
}

impl Word {
    const fn of(met: &Met) -> Self {
        match met {
            Met::Yes => Self::Yes,
            Met::No { .. } => Self::No,
            Met::NotApplicable => Self::NotApplicable,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotApplicable => "not-applicable",
        }
    }
}

impl HostLine {
    fn new(host: &HostReport) -> Self {
        let answering = || host.seen.addresses.iter().filter(|seen| seen.takes_mail());
        let sessions = || answering().filter_map(|seen| seen.secured());
        let all_are_secured = answering().count() == sessions().count();
        let weakest = sessions().map(|secured| &secured.peer.facts).min_by_key(|facts| (facts.version, facts.grade()));
        let weakest = weakest.filter(|_| all_are_secured);
        let shown = host.seen.secured().and_then(|secured| secured.peer.facts.peer.as_ref());
        let spoken = host.seen.versions.iter().filter(|seen| matches!(seen.result, VersionResult::Spoken(_)));
        Self {
            host: host.found.shown(),
            answers: answering().next().is_some(),
            meets: Levels::new(&host.meets),
            version: weakest.map(|facts| facts.version),
            cipher: weakest.map(|facts| facts.cipher_openssl.clone()),
            grade: sessions().map(|secured| secured.peer.facts.grade()).min().filter(|_| weakest.is_some()),
            requiretls: sessions().next().is_some() && sessions().all(|secured| secured.hello.capabilities.requiretls),
            dane: host.dane_state().to_owned(),
            not_after: shown.and_then(|peer| peer.not_after),
            key_sha256: shown.map(|peer| peer.key_sha256.clone()),
            versions: spoken.map(|seen| seen.version).collect(),
        }
    }
}

impl Found {
    fn new(finding: &Finding) -> Self {
        Self {
            weight: finding.weight.as_str().to_owned(),
            word: finding.word.to_owned(),
            host: finding.host.clone(),
            text: finding.text.clone(),
        }
    }
}
