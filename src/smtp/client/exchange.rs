//! One transaction on the wire: which commands go into the next write, and what each reply means for each recipient.
//!
//! Must not: know about time, TLS or the life of the session.

use std::collections::VecDeque;

use crate::model::address::ReversePath;
use crate::model::reason::Reason;
use crate::model::reply::{Code, Reply, Severity};
use crate::smtp::capabilities::Capabilities;

use super::Transaction;
use super::outcome::{FaultKind, ProtocolFault, RecipientOutcome, Stage, TransactionResult};
use super::parameters::{mail_command, message_needs_smtputf8, rcpt_command};

/// Most RCPT commands in one write, before their answers are read (RFC 2920 section 3.1).
const PIPELINE_RECIPIENTS: usize = 100;

/// An open transaction.
#[derive(Debug)]
pub(super) struct Exchange {
    transaction: Transaction,
    /// One for each recipient, in order.
    slots: Vec<Slot>,
    next: Next,
    /// Commands that were sent and not answered, at most `PIPELINE_RECIPIENTS` + 2.
    awaited: VecDeque<Awaited>,
    phase: Phase,
    mail_refused: bool,
    body_sent: bool,
}

#[derive(Debug)]
enum Slot {
    Open,
    /// RCPT was answered with 2xx.
    Accepted,
    Settled(RecipientOutcome),
    /// MAIL was refused, and RCPT was accepted all the same.
    RefusedThenAccepted(RecipientOutcome),
}

/// The next command to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Mail,
    /// The first recipient that was not sent.
    Rcpt(usize),
    Data,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Mail,
    Rcpt(usize),
    Data,
}

#[derive(Debug)]
enum Phase {
    Commands,
    /// The driver writes the body. A refusal may come before it is done.
    Body {
        early: Option<Reply>,
    },
    Done,
    /// The server wants a body although it refused every recipient; it gets an empty one.
    Discard,
}

/// What follows from an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More answers are awaited, and the time for the next one begins.
    Wait,
    /// Nothing changes, so that the time goes on running.
    Stay,
    Send(Vec<u8>),
    SendBody,
    /// The transaction is over, and the session is in the given condition.
    Finish(After),
    Fault(ProtocolFault),
}

/// The condition of the session after a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// No transaction is open at the server.
    Clean,
    /// The server may think that the transaction is still open.
    NeedsReset,
    /// The server refused during the body, so that nobody knows how many replies are still to come.
    Unclear(Reply),
}

/// Why a transaction is cut off.
#[derive(Clone, Debug)]
pub(super) enum Cut {
    Refused(Reply),
    Fault(FaultKind),
}

impl Exchange {
    /// Opens a transaction. What this server cannot take is settled here, without a command. `tls` is whether the
    /// session is under TLS.
    pub(super) fn new(transaction: Transaction, capabilities: &Capabilities, tls: bool) -> Self {
        let whole = unsupported(&transaction, capabilities, tls);
        let slots = transaction.recipients.iter().map(|recipient| {
            let own = recipient.address.needs_utf8() && !capabilities.smtputf8;
            match whole.or(own.then_some(Reason::NeedsSmtpUtf8)) {
                Some(reason) => Slot::Settled(RecipientOutcome::Unsupported(reason)),
                None => Slot::Open,
            }
        });
        let slots: Vec<Slot> = slots.collect();
        let any_open = slots.iter().any(|slot| matches!(slot, Slot::Open));
        Self {
            slots,
            transaction,
            next: if any_open { Next::Mail } else { Next::Nothing },
            awaited: VecDeque::new(),
            phase: Phase::Commands,
            mail_refused: false,
            body_sent: false,
        }
    }

    /// The first step. `Finish` if there is nothing to send.
    pub(super) fn start(&mut self, capabilities: &Capabilities) -> Step {
        if self.next == Next::Nothing { Step::Finish(After::Clean) } else { self.send_next(capabilities) }
    }

    /// What is awaited now.
    pub(super) fn stage(&self) -> Stage {
        match self.phase {
            Phase::Body { .. } => Stage::Body,
            Phase::Done | Phase::Discard => Stage::Done,
            Phase::Commands => match self.awaited.front() {
                None | Some(Awaited::Mail) => Stage::Mail,
                Some(Awaited::Rcpt(_)) => Stage::Rcpt,
                Some(Awaited::Data) => Stage::Data,
            },
        }
    }

    pub(super) fn handle_reply(&mut self, reply: Reply, capabilities: &Capabilities) -> Step {
        match &mut self.phase {
            Phase::Commands => self.handle_command_reply(reply, capabilities),
            Phase::Body { early } => match reply.severity() {
                Severity::Transient | Severity::Permanent => {
                    early.get_or_insert(reply);
                    Step::Stay
                }
                Severity::Completed | Severity::Intermediate => Step::Fault(ProtocolFault::UnexpectedCode),
            },
            Phase::Done => match reply.severity() {
                Severity::Intermediate => Step::Fault(ProtocolFault::UnexpectedCode),
                Severity::Completed => {
                    self.settle_accepted(&RecipientOutcome::Delivered(reply));
                    Step::Finish(After::Clean)
                }
                Severity::Transient | Severity::Permanent => {
                    self.settle_accepted(&RecipientOutcome::Refused { stage: Stage::Done, reply });
                    Step::Finish(After::NeedsReset)
                }
            },
            Phase::Discard => Step::Finish(After::NeedsReset),
        }
    }

    /// The driver wrote the whole body. Ignored where no body was asked for.
    pub(super) fn handle_body_sent(&mut self) -> Step {
        let Phase::Body { early } = &mut self.phase else { return Step::Stay };
        self.body_sent = true;
        let early = early.take();
        self.phase = Phase::Done;
        let Some(reply) = early else { return Step::Wait };
        self.settle_accepted(&RecipientOutcome::Refused { stage: Stage::Body, reply: reply.clone() });
        Step::Finish(After::Unclear(reply))
    }

    /// Ends the transaction where it is. Recipients without an outcome get one from `cut`, or from a refusal that came
    /// during the body.
    pub(super) fn cut(self, cut: Cut) -> TransactionResult {
        let stage = self.stage();
        let last = match (self.phase, cut) {
            (Phase::Body { early: Some(reply) }, _) | (_, Cut::Refused(reply)) => {
                RecipientOutcome::Refused { stage, reply }
            }
            (_, Cut::Fault(fault)) => RecipientOutcome::Lost { stage, fault },
        };
        let settled = self.slots.into_iter().map(|slot| match slot {
            Slot::Settled(outcome) | Slot::RefusedThenAccepted(outcome) => outcome,
            Slot::Open | Slot::Accepted => last.clone(),
        });
        TransactionResult { recipients: settled.collect(), body_sent: self.body_sent }
    }

    fn handle_command_reply(&mut self, reply: Reply, capabilities: &Capabilities) -> Step {
        let Some(answered) = self.awaited.pop_front() else { return Step::Fault(ProtocolFault::Unsolicited) };
        let taken = match answered {
            Awaited::Mail => self.take_mail_reply(reply),
            Awaited::Rcpt(index) => self.take_rcpt_reply(index, reply),
            Awaited::Data => self.take_data_reply(reply),
        };
        match taken {
            Err(fault) => {
                self.awaited.push_front(answered);
                Step::Fault(fault)
            }
            Ok(Step::Wait) if self.awaited.is_empty() => self.send_next(capabilities),
            Ok(step) => step,
        }
    }

    fn take_mail_reply(&mut self, reply: Reply) -> Result<Step, ProtocolFault> {
        match reply.severity() {
            Severity::Intermediate => return Err(ProtocolFault::UnexpectedCode),
            Severity::Completed => {}
            Severity::Transient | Severity::Permanent => {
                self.mail_refused = true;
                let refused = RecipientOutcome::Refused { stage: Stage::Mail, reply };
                self.settle(|slot| matches!(slot, Slot::Open), &refused);
            }
        }
        Ok(Step::Wait)
    }

    fn take_rcpt_reply(&mut self, index: usize, reply: Reply) -> Result<Step, ProtocolFault> {
        let Some(slot) = self.slots.get_mut(index) else { return Err(ProtocolFault::Unsolicited) };
        let before = std::mem::replace(slot, Slot::Open);
        *slot = match (before, reply.severity()) {
            (_, Severity::Intermediate) => return Err(ProtocolFault::UnexpectedCode),
            (Slot::Settled(outcome), Severity::Completed) => Slot::RefusedThenAccepted(outcome),
            (Slot::Open, Severity::Completed) => Slot::Accepted,
            (Slot::Open, _) => Slot::Settled(RecipientOutcome::Refused { stage: Stage::Rcpt, reply }),
            (settled, _) => settled,
        };
        Ok(Step::Wait)
    }

    fn take_data_reply(&mut self, reply: Reply) -> Result<Step, ProtocolFault> {
        match reply.severity() {
            Severity::Intermediate if reply.code == Code::START_INPUT => self.take_go_ahead(),
            Severity::Intermediate | Severity::Completed => Err(ProtocolFault::UnexpectedCode),
            Severity::Transient | Severity::Permanent => {
                self.settle_accepted(&RecipientOutcome::Refused { stage: Stage::Data, reply });
                Ok(Step::Finish(After::NeedsReset))
            }
        }
    }

    fn take_go_ahead(&mut self) -> Result<Step, ProtocolFault> {
        if self.any_accepted() {
            self.phase = Phase::Body { early: None };
            return Ok(Step::SendBody);
        }
        // A server that refused the sender and took a recipient might deliver the empty body that ends a void DATA.
        if self.slots.iter().any(|slot| matches!(slot, Slot::RefusedThenAccepted(_))) {
            return Err(ProtocolFault::UnexpectedCode);
        }
        // RFC 2920 section 3.1: the client has pipelined DATA and must end it.
        self.phase = Phase::Discard;
        Ok(Step::Send(b".\r\n".to_vec()))
    }

    /// The next write, when every answer has come.
    fn send_next(&mut self, capabilities: &Capabilities) -> Step {
        if self.mail_refused {
            return Step::Finish(After::NeedsReset);
        }
        let mut batch = String::new();
        let mut recipients = 0;
        while let Some(awaited) = self.next_command() {
            match awaited {
                Awaited::Mail => batch.push_str(&mail_command(&self.transaction, capabilities)),
                Awaited::Data => batch.push_str("DATA\r\n"),
                Awaited::Rcpt(index) => {
                    let Some(recipient) = self.transaction.recipients.get(index) else { break };
                    batch.push_str(&rcpt_command(recipient, &self.transaction, capabilities));
                    recipients += 1;
                }
            }
            self.awaited.push_back(awaited);
            self.advance(awaited);
            if !capabilities.pipelining || recipients == PIPELINE_RECIPIENTS {
                break;
            }
        }
        if batch.is_empty() { Step::Finish(After::NeedsReset) } else { Step::Send(batch.into_bytes()) }
    }

    fn next_command(&self) -> Option<Awaited> {
        match self.next {
            Next::Mail => Some(Awaited::Mail),
            Next::Rcpt(index) => Some(Awaited::Rcpt(index)),
            // DATA only if a recipient was accepted, or if the answers to this same write may still accept one.
            Next::Data => (self.any_accepted() || !self.awaited.is_empty()).then_some(Awaited::Data),
            Next::Nothing => None,
        }
    }

    fn advance(&mut self, sent: Awaited) {
        let from = match sent {
            Awaited::Mail => 0,
            Awaited::Rcpt(index) => index + 1,
            Awaited::Data => {
                self.next = Next::Nothing;
                return;
            }
        };
        let open = self.slots.iter().enumerate().skip(from).find(|(_, slot)| matches!(slot, Slot::Open));
        self.next = open.map_or(Next::Data, |(index, _)| Next::Rcpt(index));
    }

    fn any_accepted(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Accepted))
    }

    fn settle_accepted(&mut self, outcome: &RecipientOutcome) {
        self.settle(|slot| matches!(slot, Slot::Accepted), outcome);
    }

    fn settle(&mut self, which: fn(&Slot) -> bool, outcome: &RecipientOutcome) {
        for slot in self.slots.iter_mut().filter(|slot| which(slot)) {
            *slot = Slot::Settled(outcome.clone());
        }
    }
}

/// Why this server cannot take the message for anybody.
fn unsupported(transaction: &Transaction, capabilities: &Capabilities, tls: bool) -> Option<Reason> {
    if transaction.sender.require_tls && !may_carry_requiretls(&transaction.sender.path, capabilities, tls) {
        return Some(Reason::NeedsRequireTls);
    }
    if message_needs_smtputf8(transaction) && !capabilities.smtputf8 {
        return Some(Reason::NeedsSmtpUtf8);
    }
    if transaction.eight_bit && !capabilities.eight_bit_mime {
        return Some(Reason::NeedsEightBit);
    }
    capabilities.is_too_big(transaction.size).then_some(Reason::TooBig)
}

/// RFC 8689 section 4.2.1: only under TLS, and only to a server that offers REQUIRETLS there. A notice has no way back,
/// so that it is not lost for want of the offer (section 5); in clear it does not go either.
fn may_carry_requiretls(sender: &ReversePath, capabilities: &Capabilities, tls: bool) -> bool {
    tls && (capabilities.requiretls || *sender == ReversePath::Null)
}
