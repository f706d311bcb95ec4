//! What is known of a host besides what is written: published by its domain, learned, or asked for by the message.

use std::fmt;
use std::sync::Arc;

use crate::model::domain::Domain;
use crate::model::reason::Reason;

use super::sts_policy::{Mode, StsPolicy};
use super::tlsa::{Judged, UsableTlsa};

/// All of it about one host, for one message. The default knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    pub dane: Dane,
    pub mta_sts: Option<MtaSts>,
    /// Why it is not known which policy of MTA-STS the domain has now, in a word of RFC 8460 section 4.3.2.2. One that
    /// is kept applies all the same.
    pub sts_trouble: Option<Reason>,
    pub learned: Option<Learned>,
    pub asks: Asks,
}

impl Published {
    /// Whether an enforced policy of MTA-STS may have been replaced by now: it was not possible to find out.
    pub fn may_have_newer_sts(&self) -> bool {
        self.mta_sts.is_some_and(|sts| sts.is_enforced) && self.sts_trouble.is_some()
    }
}

/// What TLSA records say about a host (RFC 7672 section 2.2). A failed look-up is not among these: it keeps the mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dane {
    /// Nobody asked: it is switched off, or the addresses of the host are not signed.
    #[default]
    Inapplicable,
    /// There is no record, or none that is signed.
    Absent,
    /// There are signed records and none that can be used (RFC 7672 section 2.2): TLS, with whomever.
    Unusable(Arc<UnusableRecords>),
    Usable(Arc<UsableRecords>),
}

impl Dane {
    /// The TLSA base domain (RFC 7672 section 2.2.3), where records were found.
    pub fn base(&self) -> Option<&Domain> {
        match self {
            Self::Inapplicable | Self::Absent => None,
            Self::Unusable(records) => records.base.as_ref(),
            Self::Usable(records) => records.base.as_ref(),
        }
    }

    /// Every record that was found, those that count first.
    pub fn judged(&self) -> &[Judged] {
        match self {
            Self::Inapplicable | Self::Absent => &[],
            Self::Unusable(records) => &records.judged,
            Self::Usable(records) => records.records.as_ref().map_or(&[], |usable| usable.judged()),
        }
    }
}

/// Records that no certificate can be held against. Which they were is not known any more where an audit record tells
/// of them: that is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnusableRecords {
    pub base: Option<Domain>,
    pub judged: Vec<Judged>,
}

/// The records that a certificate is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableRecords {
    /// Any one suffices. `None`: they were usable when an audit record was written, and are not known any more.
    pub records: Option<Arc<UsableTlsa>>,
    /// The TLSA base domain (RFC 7672 section 2.2.3): the name to ask for in the handshake.
    pub base: Option<Domain>,
    /// The names of which a certificate that leads to a trust anchor must have one (section 3.2.2).
    pub names: Vec<Domain>,
}

/// The MTA-STS policy of the domain that the mail goes to, unexpired (RFC 8461). Mode `none` is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MtaSts {
    /// Else it is tested: what fails is reported, and nothing is held back.
    pub is_enforced: bool,
    /// The host is one that the policy names.
    pub lists_host: bool,
}

impl MtaSts {
    /// What a policy says of a host. Mode `none` is as good as no policy (RFC 8461 section 5).
    pub fn of(policy: &StsPolicy, host: Option<&Domain>) -> Option<Self> {
        let is_enforced = match policy.mode {
            Mode::Enforce => true,
            Mode::Testing => false,
            Mode::None => return None,
        };
        Some(Self { is_enforced, lists_host: host.is_some_and(|host| policy.matches(host)) })
    }
}

/// What the hosts of the domain have met for long enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learned {
    Encrypt,
    /// A certificate for the recipient domain, or for one of these hosts, by a public authority.
    Verify(Vec<Domain>),
}

impl Learned {
    /// The level's word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Verify(_) => "verify",
        }
    }
}

/// `encrypt`; `verify, by the domain's name or mx1.bank.example`.
impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        let Self::Verify(hosts) = self else { return Ok(()) };
        f.write_str(", by the domain's name")?;
        hosts.iter().try_for_each(|host| write!(f, " or {host}"))
    }
}

/// What the message itself asks for (RFC 8689; RFC 8460 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// It came with REQUIRETLS.
    pub require_tls: bool,
    /// It has the field `TLS-Required: No`, and did not come with REQUIRETLS.
    pub tls_required_no: bool,
    /// It is a TLS report of ours.
    pub tls_report: bool,
    /// It came with REQUIRETLS and is a notice, from nobody: it is protected in the same manner, but is not lost for
    /// want of the next host's promise to do so (RFC 8689 section 5).
    pub is_protected_notice: bool,
}
