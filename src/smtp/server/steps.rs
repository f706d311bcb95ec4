//! How a session goes on with what it has: the steps between an event and the actions that come of it.

use std::mem;
use std::time::Duration;

use crate::model::reason::Reason;
use crate::model::reply::{Code, Reply, Severity};

use super::action::{Action, CloseReason};
use super::body::{End, Received, Void};
use super::replies::{self, Answer};
use super::session::{ServerSession, State};
use super::transaction::OpenTransaction;

impl ServerSession {
    /// Goes one step on with what is buffered; `false` if there is nothing to go on with.
    pub(super) fn advance(&mut self) -> bool {
        match &mut self.state {
            State::Command(_) if self.errors >= self.settings.errors_max.max(1) => {
                self.close_with(replies::TOO_MANY_ERRORS, CloseReason::TooManyErrors);
                true
            }
            State::Command(None) if self.draining => {
                self.close_with(replies::DRAINING, CloseReason::Drain);
                true
            }
            State::Command(_) => self.run_line(),
            State::Receiving(_) if self.input.is_empty() => false,
            State::Receiving(receiving) => {
                let received = receiving.receive(self.input.pending());
                self.input.consume(received.consumed);
                self.conclude(received);
                true
            }
            _ => false,
        }
    }

    /// Acts on a piece of content.
    pub(super) fn conclude(&mut self, received: Received) {
        self.restart(self.settings.data_timeout);
        match received.voided {
            Some(Void::TooBig) => self.actions.push_back(Action::Abort(Reason::TooBig)),
            Some(Void::BareLineEnd) => self.actions.push_back(Action::Abort(Reason::ClientProtocol)),
            None if received.content.is_empty() => {}
            None => self.actions.push_back(Action::BodyChunk(received.content)),
        }
        match received.end {
            None => {}
            Some(End::Complete) => {
                self.flush();
                self.actions.push_back(Action::Commit);
                self.state = State::Committing;
            }
            Some(End::Void(void)) => {
                self.await_command(None);
                self.answer(replies::of_void(void));
            }
            Some(End::Overrun) => self.close_with(replies::ENDLESS_DATA, CloseReason::Protocol),
        }
    }

    pub(super) fn end_of_input(&mut self) {
        if let State::Receiving(receiving) = &self.state
            && !receiving.is_void()
        {
            self.actions.push_back(Action::Abort(Reason::ConnectionLost));
        }
        self.close(CloseReason::Eof);
    }

    pub(super) fn break_off(&mut self) {
        let begun = match &self.state {
            State::BodyOpening => true,
            State::Receiving(receiving) => !receiving.is_void(),
            _ => false,
        };
        if begun {
            self.actions.push_back(Action::Abort(Reason::ClientProtocol));
        }
        self.close(CloseReason::Protocol);
    }

    pub(super) fn await_command(&mut self, open: Option<OpenTransaction>) {
        self.state = State::Command(open);
        self.restart(self.settings.command_timeout);
    }

    pub(super) fn restart(&mut self, timeout: Duration) {
        self.deadline = self.now + timeout;
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        answer.write(&mut self.output);
        self.count(answer.code);
    }

    /// Sends the driver's refusal. 421 says that the connection closes (RFC 5321 section 3.8), so it does.
    pub(super) fn refuse_with(&mut self, refusal: &Reply) {
        let code = replies::write_refusal(refusal, &mut self.output);
        self.count(code);
        if code == Code::UNAVAILABLE {
            self.close(CloseReason::Refused);
        }
    }

    pub(super) fn count(&mut self, code: Code) {
        if code.severity() == Severity::Permanent {
            self.errors = self.errors.saturating_add(1);
        }
    }

    pub(super) fn close_with(&mut self, answer: Answer, reason: CloseReason) {
        answer.write(&mut self.output);
        self.close(reason);
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        self.flush();
        self.actions.push_back(Action::Close(reason));
        self.state = State::Closed;
        self.input.clear();
    }

    /// Queues the replies so far, for an action that must not overtake them.
    pub(super) fn flush(&mut self) {
        let output = self.take_output();
        self.actions.extend(output);
    }

    pub(super) fn take_output(&mut self) -> Option<Action> {
        (!self.output.is_empty()).then(|| Action::Send(mem::take(&mut self.output)))
    }
}
