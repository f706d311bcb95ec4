//! The session: what it remembers, the events it takes, the order in which it gives out its actions.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::model::envelope::{Recipient, Sender};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::reply::Reply;
use crate::model::time::Instant;
use crate::model::tls::TlsFacts;
use crate::smtp::line::LineBuffer;

use super::action::{Action, CloseReason};
use super::body::Receiving;
use super::replies;
use super::settings::Settings;
use super::transaction::OpenTransaction;

/// Input that is held while an answer is awaited. A driver reads at most this much at once, and only while
/// [`ServerSession::wants_input`]; then a session holds less than twice this much.
pub const PIPELINE_BYTES_MAX: usize = 64 * 1024;

/// Replies that are held back to go out together.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// A command line with its CRLF. RFC 5321 section 4.5.3.1.4 and the parameters of the extensions that are offered.
const COMMAND_LINE_BYTES_MAX: usize = 2048;

/// One session with a client. After each `handle_*` call, [`poll_action`](Self::poll_action) is to be called until it
/// gives `None`.
#[derive(Debug)]
pub struct ServerSession {
    pub(super) settings: Arc<Settings>,
    /// The time of the last event.
    pub(super) now: Instant,
    pub(super) deadline: Instant,
    pub(super) tls: Option<TlsFacts>,
    pub(super) client: Option<Client>,
    pub(super) input: LineBuffer,
    /// Replies that are not given out yet.
    pub(super) output: Vec<u8>,
    pub(super) actions: VecDeque<Action>,
    pub(super) state: State,
    /// 5xx replies so far.
    pub(super) errors: u32,
    /// Contents begun so far.
    pub(super) messages: u32,
    pub(super) draining: bool,
    pub(super) eof: bool,
}

/// What the client said of itself.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) esmtp: bool,
}

/// What the session is waiting for, with what it knows only then.
#[derive(Debug)]
pub(super) enum State {
    /// A command, within a transaction or outside.
    Command(Option<OpenTransaction>),
    /// The driver's word on a sender.
    JudgeMail(Sender),
    /// The driver's word on a recipient.
    JudgeRcpt(OpenTransaction, Recipient),
    /// The driver's word that it can take content in.
    BodyOpening,
    /// Content.
    Receiving(Receiving),
    /// The driver's word that the content is durable.
    Committing,
    /// The driver's word that TLS is active.
    Handshake,
    Closed,
}

/// Events.
impl ServerSession {
    /// A session that greets. `tls`: the facts of a handshake that came before everything else.
    pub fn new(settings: Arc<Settings>, now: Instant, tls: Option<TlsFacts>) -> Self {
        let mut session = Self {
            now,
            deadline: now + settings.command_timeout,
            tls,
            client: None,
            input: LineBuffer::new(COMMAND_LINE_BYTES_MAX),
            output: Vec::new(),
            actions: VecDeque::new(),
            state: State::Command(None),
            errors: 0,
            messages: 0,
            draining: false,
            eof: false,
            settings,
        };
        replies::write_greeting(&session.settings.hostname, &mut session.output);
        session
    }

    /// A session that greets with `reply` (421 or 554, RFC 5321 section 3.1) and closes.
    pub fn refuse(settings: Arc<Settings>, now: Instant, reply: Reply) -> Self {
        let mut session = Self::new(settings, now, None);
        session.output.clear();
        replies::write_refusal(&reply, &mut session.output);
        session.close(CloseReason::Refused);
        session
    }

    /// Octets of the client. Empty input is nothing, not the end: that is [`handle_eof`](Self::handle_eof).
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.now = now;
        match &mut self.state {
            State::Closed => {}
            _ if bytes.is_empty() => {}
            // RFC 3207 section 4.2, and CVE-2011-0411: what came in clear must not count under TLS.
            State::Handshake => self.close(CloseReason::Injection),
            // The driver has not kept to `wants_input`; without this the buffer had no bound.
            _ if self.input.len() >= PIPELINE_BYTES_MAX => self.break_off(),
            // Content is the bulk of all input: from here it is copied once.
            State::Receiving(receiving) if self.input.is_empty() && self.actions.is_empty() => {
                let received = receiving.receive(bytes);
                self.input.push(bytes.get(received.consumed..).unwrap_or_default());
                self.conclude(received);
            }
            _ => self.input.push(bytes),
        }
    }

    /// The answer to [`Action::StartTls`]. Everything learned before is forgotten (RFC 3207 section 4.2).
    pub fn handle_tls(&mut self, now: Instant, facts: TlsFacts) {
        self.now = now;
        if let State::Handshake = self.state {
            self.tls = Some(facts);
            self.client = None;
            self.input.clear();
            self.await_command(None);
        }
    }

    /// The answer to [`Action::JudgeMail`] and [`Action::JudgeRcpt`]. A refusal with 421 ends the session, too.
    pub fn handle_judgement(&mut self, now: Instant, judgement: Result<(), Reply>) {
        self.now = now;
        match mem::replace(&mut self.state, State::Closed) {
            State::JudgeMail(sender) => match judgement {
                Ok(()) => {
                    self.await_command(Some(OpenTransaction::new(sender)));
                    self.answer(replies::SENDER_OK);
                }
                Err(refusal) => {
                    self.await_command(None);
                    self.refuse_with(&refusal);
                }
            },
            State::JudgeRcpt(mut open, recipient) => match judgement {
                Ok(()) => {
                    open.accept(recipient);
                    self.await_command(Some(open));
                    self.answer(replies::RECIPIENT_OK);
                }
                Err(refusal) => {
                    open.any_refused = true;
                    self.await_command(Some(open));
                    self.refuse_with(&refusal);
                }
            },
            other => self.state = other,
        }
    }

    /// The answer to [`Action::BodyBegin`]. After a refusal the transaction is over.
    pub fn handle_body_ready(&mut self, now: Instant, ready: Result<(), Reply>) {
        self.now = now;
        if !matches!(self.state, State::BodyOpening) {
            return;
        }
        match ready {
            Ok(()) => {
                self.messages = self.messages.saturating_add(1);
                self.state = State::Receiving(Receiving::new(self.settings.message_bytes_max));
                self.restart(self.settings.data_timeout);
                self.answer(replies::START_INPUT);
            }
            Err(refusal) => {
                self.await_command(None);
                self.refuse_with(&refusal);
            }
        }
    }

    /// The answer to [`Action::Commit`].
    pub fn handle_commit(&mut self, now: Instant, committed: Result<MessageId, Reply>) {
        self.now = now;
        if !matches!(self.state, State::Committing) {
            return;
        }
        self.await_command(None);
        match committed {
            Ok(id) => replies::write_queued(id, &mut self.output),
            Err(refusal) => self.refuse_with(&refusal),
        }
    }

    /// Time has passed. Does nothing before [`deadline`](Self::deadline).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if now < self.deadline() {
            return;
        }
        match &self.state {
            State::Closed => return,
            // The client waits for a handshake: a reply in clear would be taken for a part of it.
            State::Handshake => {}
            State::Receiving(receiving) => {
                if !receiving.is_void() {
                    self.actions.push_back(Action::Abort(Reason::Timeout));
                }
                replies::TIMEOUT.write(&mut self.output);
            }
            _ => replies::TIMEOUT.write(&mut self.output),
        }
        self.close(CloseReason::Timeout);
    }

    /// The client will send no more. What it sent before is still answered.
    pub fn handle_eof(&mut self, now: Instant) {
        self.now = now;
        self.eof = true;
        if let State::Handshake = self.state {
            self.close(CloseReason::Eof);
        }
    }

    /// The relay is stopping: 421 as soon as no transaction is open.
    pub fn handle_drain(&mut self, now: Instant) {
        self.now = now;
        self.draining = true;
    }
}

/// Effects.
impl ServerSession {
    /// What is to be done next. `None`: another event is needed, see [`is_awaiting`](Self::is_awaiting).
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if self.output.len() >= REPLY_BYTES_MAX {
                return self.take_output();
            }
            if self.advance() {
                continue;
            }
            self.input.shrink();
            if self.is_awaiting() || matches!(self.state, State::Closed) {
                return None;
            }
            if !self.eof {
                return self.take_output();
            }
            self.end_of_input();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. Never, while the driver's answer is awaited.
    pub fn deadline(&self) -> Instant {
        match self.state {
            State::Command(_) | State::Receiving(_) | State::Handshake => self.deadline,
            State::JudgeMail(_) | State::JudgeRcpt(..) | State::BodyOpening | State::Committing | State::Closed => {
                Instant::from_start(Duration::MAX)
            }
        }
    }

    /// Whether the client is to be read from: not while the window is full, a handshake is due or all is over.
    pub fn wants_input(&self) -> bool {
        !self.eof && self.input.len() < PIPELINE_BYTES_MAX && !matches!(self.state, State::Closed | State::Handshake)
    }

    /// Whether the driver owes an answer to a judgement, [`Action::BodyBegin`], [`Action::Commit`] or
    /// [`Action::StartTls`].
    pub fn is_awaiting(&self) -> bool {
        !matches!(self.state, State::Command(_) | State::Receiving(_) | State::Closed)
    }

    /// Whether no transaction is open.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Command(None))
    }

    /// The facts of the TLS session; `None` in clear.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// The name that the client gave itself, escaped.
    pub fn helo(&self) -> Option<&str> {
        self.client.as_ref().map(|client| client.name.as_str())
    }

    /// Whether the client said EHLO.
    pub fn is_esmtp(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.esmtp)
    }

    #[cfg(test)]
    pub(super) fn buffered_bytes(&self) -> usize {
        let queued = self.actions.iter().map(|action| match action {
            Action::Send(bytes) | Action::BodyChunk(bytes) => bytes.capacity(),
            _ => 0,
        });
        self.input.held_bytes() + self.output.capacity() + queued.sum::<usize>()
    }
}
