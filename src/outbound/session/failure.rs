//! Why a connection did not become ready, and what on our own side keeps a message from being sent.

use std::net::IpAddr;

use crate::model::reason::Reason;
use crate::model::reply::{Reply, Severity};
use crate::model::tls::TlsFacts;
use crate::outbound::ladder::TlsFailure;
use crate::outbound::signal;
use crate::schedule::job::Signal;
use crate::smtp::client::{Fault, Stage};
use crate::spool::{self, BodyError};
use crate::tls::failure::FailureKind;

/// Why a connection did not become ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::outbound) struct OpenFailure {
    pub(in crate::outbound) reason: Reason,
    pub(in crate::outbound) stage: Stage,
    pub(in crate::outbound) reply: Option<Reply>,
    pub(in crate::outbound) detail: String,
    /// TLS was tried and did not work so; another way on a fresh connection might.
    pub(in crate::outbound) tls: Option<TlsFailure>,
    /// What was negotiated, where it broke after the handshake.
    pub(in crate::outbound) facts: Option<TlsFacts>,
    pub(in crate::outbound) known: Known,
    /// What it shows of the host.
    pub(in crate::outbound) signal: Signal,
}

/// What the reports of failures tell besides of both ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::outbound) struct Known {
    /// Our own address.
    pub(in crate::outbound) local: Option<IpAddr>,
    /// What the host called itself in its greeting.
    pub(in crate::outbound) helo: Option<String>,
}

impl OpenFailure {
    /// Whether it said no for good, in its greeting or to EHLO.
    pub(in crate::outbound) fn is_permanent(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.severity() == Severity::Permanent)
            && !matches!(self.stage, Stage::StartTls | Stage::Tls)
    }

    /// Whether the host said that it cannot now.
    pub(in crate::outbound) fn is_temporary(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.severity() == Severity::Transient)
    }
}

impl From<Fault> for OpenFailure {
    fn from(fault: Fault) -> Self {
        let signal = signal::of_fault(&fault);
        let detail = match &fault.reply {
            Some(reply) => reply.to_string(),
            None => fault.to_string(),
        };
        let tls = match fault.stage {
            Stage::StartTls => Some(TlsFailure::StartTls),
            Stage::Tls => Some(TlsFailure::Handshake(FailureKind::Other)),
            _ => None,
        };
        Self {
            reason: fault.reason(),
            stage: fault.stage,
            reply: fault.reply,
            detail,
            tls,
            facts: None,
            known: Known::default(),
            signal,
        }
    }
}

/// What kept a message from being sent that is no fault of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::outbound) enum OwnFailure {
    /// Our copy of the content cannot be read.
    Unreadable(BodyError),
    /// That it is tried could not be made durable.
    Unrecorded(spool::Fault),
}
