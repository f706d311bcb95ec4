//! How transactions and sessions end: per-recipient outcomes, and faults by stage and blame.

use std::fmt;

use crate::model::reason::Reason;
use crate::model::reply::{Reply, Severity};
use crate::smtp::reply_parser::ReplyFault;

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionResult {
    /// One outcome for each recipient of the transaction, in its order.
    pub recipients: Vec<RecipientOutcome>,
    /// Whether the driver reported that the whole body was written. If so and an outcome is `Lost`, the server may
    /// have taken the message all the same.
    pub body_sent: bool,
}

/// How it ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// The server took responsibility with this reply.
    Delivered(Reply),
    /// The server refused with this reply. Whether to retry is in its code.
    Refused { stage: Stage, reply: Reply },
    /// Nothing was sent, because this server cannot take the message: `NeedsSmtpUtf8`, `NeedsEightBit`,
    /// `NeedsRequireTls` or `TooBig`.
    Unsupported(Reason),
    /// The session broke before there was an answer. To be retried.
    Lost { stage: Stage, fault: FaultKind },
}

/// The step that a session is in. A session that waits for work or for the answer to RSET is at `Mail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before a session exists; for drivers.
    Connect,
    Greeting,
    Ehlo,
    StartTls,
    Tls,
    Mail,
    Rcpt,
    Data,
    /// The body is being written.
    Body,
    /// The body was written and its answer is awaited.
    Done,
    Quit,
}

impl Stage {
    /// The word for logs and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
            Self::Done => "done",
            Self::Quit => "quit",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a session cannot be used further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at {stage})")]
pub struct Fault {
    pub stage: Stage,
    pub kind: FaultKind,
    /// The reply that caused the fault, if one did.
    pub reply: Option<Reply>,
}

impl Fault {
    /// The word for audit, metrics and notices. Stage and reply make it more exact than `FaultKind::reason`.
    pub fn reason(&self) -> Reason {
        match (self.stage, self.kind) {
            (Stage::Connect | Stage::Greeting, FaultKind::Timeout) => Reason::ConnectTimeout,
            (Stage::Connect | Stage::Greeting, FaultKind::Closed) => Reason::ConnectFailed,
            // RFC 8460 section 4.3.1: TLS failed, in no way that has a word of its own.
            (Stage::StartTls | Stage::Tls, FaultKind::Timeout | FaultKind::Closed | FaultKind::Protocol(_)) => {
                Reason::ValidationFailure
            }
            // RFC 8460 section 4.3.1: the recipient's MTA did not support STARTTLS.
            (Stage::StartTls, FaultKind::Refused) => Reason::StarttlsNotSupported,
            (_, FaultKind::Refused) => match self.reply.as_ref().map(Reply::severity) {
                Some(Severity::Permanent) => Reason::RemoteRefused,
                _ => Reason::RemoteDeferred,
            },
            (_, kind) => kind.reason(),
        }
    }
}

/// What broke a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("no answer in time")]
    Timeout,
    #[error("the connection was closed")]
    Closed,
    #[error("{0}")]
    Protocol(#[from] ProtocolFault),
    #[error("refused by the server")]
    Refused,
    #[error("TLS is required and the server does not offer STARTTLS")]
    StarttlsNotOffered,
}

impl FaultKind {
    /// The word for audit, metrics and notices, as far as the kind alone tells it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Timeout => Reason::Timeout,
            Self::Closed => Reason::ConnectionLost,
            Self::Protocol(_) => Reason::ServerProtocol,
            Self::Refused => Reason::RemoteDeferred,
            Self::StarttlsNotOffered => Reason::StarttlsNotSupported,
        }
    }
}

/// How the server, or somebody on the way, broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolFault {
    #[error("{0}")]
    Reply(#[from] ReplyFault),
    /// RFC 3207 section 6: it would be taken for text that came under TLS.
    #[error("plaintext came behind the answer to STARTTLS")]
    Injected,
    #[error("the server sent a reply that nothing was asked for")]
    Unsolicited,
    #[error("the server answered with a code that does not belong to the command")]
    UnexpectedCode,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reply::{Code, EnhancedCode};

    #[test]
    fn what_breaks_at_starttls_is_a_failure_of_tls() {
        use FaultKind::{Closed, Refused, StarttlsNotOffered, Timeout};
        use Reason::{ConnectionLost, RemoteDeferred, ServerProtocol, StarttlsNotSupported, ValidationFailure};
        let protocol = FaultKind::Protocol;
        for (stage, kind, code, expected) in [
            (Stage::StartTls, Closed, None, ValidationFailure),
            (Stage::StartTls, Timeout, None, ValidationFailure),
            (Stage::StartTls, protocol(ProtocolFault::Reply(ReplyFault::BadLine)), None, ValidationFailure),
            (Stage::StartTls, protocol(ProtocolFault::Injected), None, ValidationFailure),
            (Stage::StartTls, protocol(ProtocolFault::Unsolicited), None, ValidationFailure),
            (Stage::StartTls, protocol(ProtocolFault::UnexpectedCode), Some(250), ValidationFailure),
            (Stage::StartTls, Refused, Some(454), StarttlsNotSupported),
            (Stage::StartTls, Refused, Some(421), StarttlsNotSupported),
            (Stage::StartTls, StarttlsNotOffered, None, StarttlsNotSupported),
            (Stage::Tls, Closed, None, ValidationFailure),
            (Stage::Tls, protocol(ProtocolFault::Injected), None, ValidationFailure),
            // Under TLS, and before it is asked for.
            (Stage::Ehlo, Closed, None, ConnectionLost),
            (Stage::Ehlo, Timeout, None, Reason::Timeout),
            (Stage::Ehlo, protocol(ProtocolFault::Unsolicited), None, ServerProtocol),
            (Stage::Ehlo, Refused, Some(421), RemoteDeferred),
            (Stage::Greeting, Closed, None, Reason::ConnectFailed),
        ] {
            let reply = code.map(|code| Reply::new(Code::new(code).unwrap(), EnhancedCode::new(4, 0, 0), "text"));
            let fault = Fault { stage, kind, reply };
            assert_eq!(fault.reason(), expected, "{fault}");
            let is_at_tls = matches!(stage, Stage::StartTls | Stage::Tls);
            assert_eq!(fault.reason().is_outbound_tls(), is_at_tls, "{fault}");
        }
    }
}
