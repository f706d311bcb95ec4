//! The life of one connection: events in, transactions, QUIT, its deadline and its end.
//!
//! Must not: know the commands of a transaction (`exchange` does).

mod opening;

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::reply::{Code, Reply, Severity};
use crate::model::time::Instant;
use crate::smtp::capabilities::Capabilities;
use crate::smtp::reply_parser::ReplyParser;

use super::exchange::{After, Cut, Exchange, Step};
use super::outcome::{Fault, FaultKind, ProtocolFault, RecipientOutcome, Stage, TransactionResult};
use super::{Action, Settings, TlsPlan, Transaction};

/// Longest wait for the answer to QUIT: nothing depends on it.
const QUIT_WAIT_MAX: Duration = Duration::from_secs(30);

/// One connection to a server.
#[derive(Debug)]
pub struct ClientSession {
    settings: Settings,
    state: State,
    parser: ReplyParser,
    capabilities: Capabilities,
    greeting: Option<Reply>,
    tls: bool,
    deadline: Instant,
    /// What the driver has not taken yet: a few actions for each event.
    actions: VecDeque<Action>,
    /// Whether the reply in hand made us write something.
    wrote: bool,
}

/// What is awaited. Each step takes the old state and gives the new one.
#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    /// Ready was said.
    Idle,
    Exchange(Box<Exchange>),
    Reset,
    Quit,
    /// Failed or Closed was said.
    Over(FaultKind),
}

impl State {
    fn stage(&self) -> Stage {
        match self {
            Self::Greeting => Stage::Greeting,
            Self::Ehlo | Self::Helo => Stage::Ehlo,
            Self::StartTls => Stage::StartTls,
            Self::Handshake => Stage::Tls,
            Self::Exchange(exchange) => exchange.stage(),
            Self::Idle | Self::Reset => Stage::Mail,
            Self::Quit | Self::Over(_) => Stage::Quit,
        }
    }
}

impl ClientSession {
    /// A session on a connection that was just opened (and is under TLS if the plan is `Implicit`). Waits for
    /// the greeting.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            tls: settings.tls == TlsPlan::Implicit,
            deadline: now + settings.timeouts.greeting,
            settings,
            state: State::Greeting,
            parser: ReplyParser::default(),
            capabilities: Capabilities::default(),
            greeting: None,
            actions: VecDeque::new(),
            wrote: false,
        }
    }

    /// Bytes of the server. The driver has done all actions before, so that nothing here can be an answer to what is
    /// still to be written.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let mut input = bytes;
        while !input.is_empty() {
            match self.state {
                State::Over(_) => return,
                State::Handshake => return self.fail(ProtocolFault::Injected.into()),
                _ => {}
            }
            let reply = match self.parser.read(&mut input) {
                Ok(None) => return,
                Ok(Some(reply)) => reply,
                Err(fault) => return self.fail(ProtocolFault::from(fault).into()),
            };
            self.wrote = false;
            self.handle_reply(now, reply, !input.is_empty());
            if self.wrote && !input.is_empty() {
                // The answer came before its command, so it cannot be one.
                self.fail(ProtocolFault::Unsolicited.into());
            }
        }
    }

    /// The handshake after `StartTls` is done. What the server said in plaintext is forgotten (RFC 3207 section 4.2).
    pub fn handle_tls(&mut self, now: Instant) {
        if matches!(self.state, State::Handshake) {
            self.tls = true;
            self.capabilities = Capabilities::default();
            self.send_ehlo(now);
        }
    }

    /// The driver has written the whole body with its final dot.
    pub fn handle_body_sent(&mut self, now: Instant) {
        let State::Exchange(exchange) = &mut self.state else { return };
        let step = exchange.handle_body_sent();
        self.follow(now, step);
    }

    /// The driver has written another block of the body (RFC 5321 section 4.5.3.2.5).
    pub fn handle_progress(&mut self, now: Instant) {
        if self.state.stage() == Stage::Body {
            self.deadline = now + self.settings.timeouts.data_block;
        }
    }

    /// Time has passed. Nothing happens before `deadline`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        match self.state {
            State::Idle => self.quit(now),
            State::Quit => self.close(),
            State::Over(_) => {}
            _ => self.fail(FaultKind::Timeout),
        }
    }

    /// The server closed the connection, or it broke.
    pub fn handle_eof(&mut self, _now: Instant) {
        match self.state {
            State::Quit => self.close(),
            State::Over(_) => {}
            _ => self.fail(FaultKind::Closed),
        }
    }

    /// Starts a transaction after `Ready`. On a session that is not ready every recipient is `Lost`.
    pub fn begin(&mut self, now: Instant, transaction: Transaction) {
        match self.state {
            State::Idle if self.parser.is_empty() => {
                let mut exchange = Exchange::new(transaction, &self.capabilities, self.tls);
                let step = exchange.start(&self.capabilities);
                self.state = State::Exchange(Box::new(exchange));
                self.follow(now, step);
            }
            State::Idle => {
                let fault = ProtocolFault::Unsolicited.into();
                self.lose(&transaction, fault);
                self.fail(fault);
            }
            State::Over(fault) => self.lose(&transaction, fault),
            _ => self.lose(&transaction, FaultKind::Closed),
        }
    }

    /// Ends the session: QUIT where a command can be sent, then `Closed`. An open transaction is lost.
    pub fn quit(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, State::Quit) {
            State::Exchange(exchange) => {
                self.finish(exchange.cut(Cut::Fault(FaultKind::Closed)));
                self.close();
            }
            State::Handshake => self.close(),
            State::Over(fault) => self.state = State::Over(fault),
            State::Quit => {}
            State::Greeting | State::Ehlo | State::Helo | State::StartTls | State::Idle | State::Reset => {
                self.send(now, b"QUIT\r\n".to_vec(), State::Quit);
            }
        }
    }

    /// The next thing to do, `None` if there is none until the next event.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the last EHLO offered.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The greeting of a server that took us.
    pub fn greeting(&self) -> Option<&Reply> {
        self.greeting.as_ref()
    }

    fn handle_reply(&mut self, now: Instant, reply: Reply, more: bool) {
        // RFC 5321 section 3.8: the server may say this at any time and then closes.
        if reply.code == Code::UNAVAILABLE && !matches!(self.state, State::Quit) {
            return self.fail_with(reply);
        }
        match self.state {
            State::Greeting => self.handle_greeting(now, reply),
            State::Ehlo => self.handle_ehlo(now, reply),
            State::Helo => match reply.severity() {
                Severity::Completed => self.ready(now),
                _ => self.refuse(reply),
            },
            State::StartTls => self.handle_starttls(now, reply, more),
            State::Exchange(ref mut exchange) => {
                let step = exchange.handle_reply(reply, &self.capabilities);
                self.follow(now, step);
            }
            State::Reset => match reply.severity() {
                Severity::Completed => self.ready(now),
                _ => self.refuse(reply),
            },
            State::Quit => self.close(),
            State::Idle => self.fail(ProtocolFault::Unsolicited.into()),
            State::Handshake | State::Over(_) => {}
        }
    }

    /// Does what a step of the open transaction asks for.
    fn follow(&mut self, now: Instant, step: Step) {
        match step {
            Step::Stay => {}
            Step::Wait => self.restart_deadline(now),
            Step::Send(bytes) => self.write(now, bytes),
            Step::SendBody => {
                self.actions.push_back(Action::SendBody);
                self.restart_deadline(now);
            }
            Step::Fault(fault) => self.fail(fault.into()),
            Step::Finish(after) => {
                let State::Exchange(exchange) = std::mem::replace(&mut self.state, State::Reset) else { return };
                self.finish(exchange.cut(Cut::Fault(FaultKind::Closed)));
                match after {
                    After::Clean => self.ready(now),
                    After::NeedsReset => self.write(now, b"RSET\r\n".to_vec()),
                    After::Unclear(reply) => {
                        self.write(now, b"QUIT\r\n".to_vec());
                        self.end(Fault { stage: Stage::Body, kind: FaultKind::Refused, reply: Some(reply) });
                    }
                }
            }
        }
    }

    fn send(&mut self, now: Instant, bytes: Vec<u8>, state: State) {
        self.state = state;
        self.write(now, bytes);
    }

    fn write(&mut self, now: Instant, bytes: Vec<u8>) {
        self.wrote = true;
        self.actions.push_back(Action::Send(bytes));
        self.restart_deadline(now);
    }

    fn ready(&mut self, now: Instant) {
        self.actions.push_back(Action::Ready);
        self.enter(now, State::Idle);
    }

    fn enter(&mut self, now: Instant, state: State) {
        self.state = state;
        self.restart_deadline(now);
    }

    fn restart_deadline(&mut self, now: Instant) {
        let timeouts = &self.settings.timeouts;
        let wait = match self.state.stage() {
            Stage::Connect | Stage::Greeting => timeouts.greeting,
            Stage::Ehlo | Stage::StartTls => timeouts.command,
            Stage::Tls => timeouts.tls,
            Stage::Mail if !matches!(self.state, State::Exchange(_)) => timeouts.command,
            Stage::Mail => timeouts.mail,
            Stage::Rcpt => timeouts.rcpt,
            Stage::Data => timeouts.data_init,
            Stage::Body => timeouts.data_block,
            Stage::Done => timeouts.data_done,
            Stage::Quit => timeouts.command.min(QUIT_WAIT_MAX),
        };
        self.deadline = now + wait;
    }

    /// The session cannot go on because of this reply, which is a refusal or fits no command.
    fn refuse(&mut self, reply: Reply) {
        match reply.severity() {
            Severity::Transient | Severity::Permanent => self.fail_with(reply),
            Severity::Completed | Severity::Intermediate => {
                let kind = ProtocolFault::UnexpectedCode.into();
                self.cut_off(Cut::Fault(kind), Fault { stage: self.state.stage(), kind, reply: Some(reply) });
            }
        }
    }

    fn fail_with(&mut self, reply: Reply) {
        let fault = Fault { stage: self.state.stage(), kind: FaultKind::Refused, reply: Some(reply.clone()) };
        self.cut_off(Cut::Refused(reply), fault);
    }

    fn fail(&mut self, kind: FaultKind) {
        let fault = Fault { stage: self.state.stage(), kind, reply: None };
        self.cut_off(Cut::Fault(kind), fault);
    }

    /// Ends the open transaction, if there is one, and the session.
    fn cut_off(&mut self, cut: Cut, fault: Fault) {
        if matches!(self.state, State::Quit) {
            return self.close();
        }
        if matches!(self.state, State::Over(_)) {
            return;
        }
        if let State::Exchange(exchange) = std::mem::replace(&mut self.state, State::Over(fault.kind)) {
            self.finish(exchange.cut(cut));
        }
        self.end(fault);
    }

    fn end(&mut self, fault: Fault) {
        self.state = State::Over(fault.kind);
        self.actions.push_back(Action::Failed(fault));
    }

    fn close(&mut self) {
        self.state = State::Over(FaultKind::Closed);
        self.actions.push_back(Action::Closed);
    }

    fn finish(&mut self, result: TransactionResult) {
        self.actions.push_back(Action::Finished(result));
    }

    fn lose(&mut self, transaction: &Transaction, fault: FaultKind) {
        let lost = RecipientOutcome::Lost { stage: Stage::Mail, fault };
        self.finish(TransactionResult { recipients: vec![lost; transaction.recipients.len()], body_sent: false });
    }
}
