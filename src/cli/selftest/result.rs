//! What was said, held against what the policy engine says. Pure.

use std::net::IpAddr;

use crate::clock;
use crate::model::reply::{Code, EnhancedCode, Reply, Severity};
use crate::model::tls::TlsFacts;
use crate::policy::inbound::{Stage, Verdict};
use crate::policy::transaction::{Door, Transacted, Visitor};
use crate::tls::failure::{FailureKind, HandshakeFailure};

use super::columns::Column;
use super::spread::{Attempt, Prospect};

/// Stands for the id of the audit record that a real reply names.
const ID: &str = "…";
/// Behind it a refusal names its audit record.
const ID_MARK: &str = "; id=";

/// The reply that ended a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) stage: Stage,
    pub(super) reply: Reply,
}

/// What the engine says of the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) verdict: Verdict,
    pub(super) said: Said,
}

impl Expected {
    /// `facts` are those of the session, `None` for plaintext.
    pub(super) fn of(door: &Door<'_>, client: IpAddr, facts: Option<&TlsFacts>, column: &Column) -> Self {
        let visitor = Visitor { at: clock::timestamp(), ip: client, tls: facts };
        let transacted = match &column.to {
            Some(to) => door.transact(&visitor, &column.from, to),
            None => Transacted { mail: door.judge_mail(&visitor, &column.from), rcpt: None },
        };
        let outcome = transacted.outcome(facts, ID);
        let taken = || match outcome.stage {
            Stage::Mail => Reply::new(Code::OK, EnhancedCode::new(2, 1, 0), "Sender ok"),
            Stage::Rcpt => Reply::new(Code::OK, EnhancedCode::new(2, 1, 5), "Recipient ok"),
        };
        let reply = outcome.reply.clone().unwrap_or_else(taken);
        Self { verdict: outcome.verdict, said: Said { stage: outcome.stage, reply } }
    }

    /// Of a refusal codes and words must be the same, but for the id: the words name what was negotiated.
    pub(super) fn is_met_by(&self, said: &Said) -> bool {
        let (expected, seen) = (&self.said.reply, &said.reply);
        if self.said.stage != said.stage {
            return false;
        }
        match expected.severity() {
            Severity::Completed => seen.severity() == Severity::Completed,
            _ => {
                let without_id = |reply: &Reply| {
                    let text = reply.lines.join(" ");
                    text.split_once(ID_MARK).map(|(words, _)| words.to_owned()).unwrap_or(text)
                };
                (expected.code, expected.enhanced) == (seen.code, seen.enhanced)
                    && without_id(expected) == without_id(seen)
            }
        }
    }
}

/// One field of the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) expected: Expected,
    pub(super) said: Said,
}

impl Cell {
    pub(super) fn is_equal(&self) -> bool {
        self.expected.is_met_by(&self.said)
    }
}

/// What became of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// This build has no library for it.
    Skipped,
    /// There was no handshake.
    Failed { reason: &'static str, detail: String, is_answer: bool },
    /// A field for each column. The facts are those that the server judges: without its own certificate.
    Made { facts: Option<Box<TlsFacts>>, cells: Vec<Cell> },
}

impl Met {
    pub(super) fn failed(failure: &HandshakeFailure) -> Self {
        match failure.kind {
            FailureKind::Unsupported => Self::Skipped,
            kind => Self::Failed {
                reason: kind.as_str(),
                detail: failure.detail.clone(),
                // A server that falls silent has not refused.
                is_answer: !matches!(kind, FailureKind::Timeout | FailureKind::Io(_)),
            },
        }
    }

    /// STARTTLS itself was refused.
    pub(super) fn no_starttls(reply: &Reply) -> Self {
        Self::Failed { reason: "no-starttls", detail: reply.to_string(), is_answer: true }
    }
}

/// One line of the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) attempt: Attempt,
    pub(super) prospect: Prospect,
    pub(super) met: Met,
}

impl Row {
    /// Whether the handshake ended as it should, whatever was said then.
    pub(super) fn handshake_is_equal(&self) -> bool {
        match (&self.met, self.prospect) {
            (Met::Skipped, _) => true,
            (Met::Failed { is_answer, .. }, prospect) => *is_answer && prospect != Prospect::Made,
            (Met::Made { .. }, prospect) => prospect != Prospect::BelowOffer,
        }
    }

    pub(super) fn cells(&self) -> &[Cell] {
        match &self.met {
            Met::Made { cells, .. } => cells,
            Met::Skipped | Met::Failed { .. } => &[],
        }
    }

    fn is_handshake(&self) -> bool {
        self.attempt != Attempt::Plaintext && self.met != Met::Skipped
    }
}

/// How many of each there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) handshakes: usize,
    pub(super) verdicts: usize,
    pub(super) differences: usize,
}

impl Counts {
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        rows.into_iter().fold(Self::default(), |counts, row| Self {
            handshakes: counts.handshakes + usize::from(row.is_handshake()),
            verdicts: counts.verdicts + row.cells().len(),
            differences: counts.differences
                + usize::from(!row.handshake_is_equal())
                + row.cells().iter().filter(|cell| !cell.is_equal()).count(),
        })
    }
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
