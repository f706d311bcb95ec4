//! Policy cases as written: who sends what to whom, how and when, and what the policy engine must answer.

mod file;
mod read;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::Range;

use crate::model::address::{Address, ReversePath};
use crate::model::domain::{Domain, DomainPattern};
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode};
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::assumed::{HostCertificate, ShownCertificate};
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::inbound::{Stage, Verdict};

pub use file::{CaseFile, load_cases};

/// One `[[case]]`.
#[derive(Debug)]
pub struct Case {
    pub name: Option<String>,
    pub from: ReversePath,
    pub to: Address,
    /// `None` is plaintext.
    pub tls: Option<TlsFacts>,
    /// Who comes in, or of a delivery who brought the message.
    pub client: Option<IpAddr>,
    /// `None`: now.
    pub at: Option<Timestamp>,
    pub way: Way,
    places: Places,
}

/// Which way the mail goes, with what only that way has.
#[derive(Debug)]
pub enum Way {
    Inbound(Inbound),
    Outbound(Outbound),
}

#[derive(Debug)]
pub struct Inbound {
    pub certificate: Option<ShownCertificate>,
    /// `None`: the usual one.
    pub listener: Option<String>,
    pub expected: Answer,
    pub stage: Option<Stage>,
    pub reason: Option<Reason>,
}

#[derive(Debug)]
pub struct Outbound {
    /// `None`: one that should do.
    pub certificate: Option<HostCertificate>,
    /// Empty: the name of the host.
    pub certificate_names: Vec<DomainPattern>,
    /// The host; `None`: the first of the route, else the domain itself.
    pub mx: Option<Domain>,
    pub expected: Delivery,
    pub reason: Option<Reason>,
}

/// What a transaction must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Verdict(Verdict),
    /// A reply code, and if written its enhanced code.
    Reply(Code, Option<EnhancedCode>),
}

/// What must become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Verdict(DeliveryVerdict),
    /// It is not sent, for this reason.
    Reason(Reason),
}

/// Bytes of the file.
#[derive(Clone, Debug)]
struct Places {
    case: Range<usize>,
    expect: Range<usize>,
    listener: Option<Range<usize>>,
    mx: Option<Range<usize>>,
}

/// A key of a case that a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseKey {
    Expect,
    Listener,
    Mx,
}

impl Case {
    /// Its name, or who sends to whom.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{} → {}", self.from, self.to))
    }
}
