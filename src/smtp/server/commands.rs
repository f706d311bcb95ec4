//! Commands, run one by one (RFC 5321 sections 4.1 and 4.3.2).

use std::mem;

use crate::model::address::{Address, Charset};
use crate::model::envelope::Recipient;
use crate::smtp::command::{Command, Mail, Rcpt, SyntaxError};
use crate::smtp::grammar::ForwardPath;
use crate::smtp::line::Line;
use crate::smtp::reply_writer;

use super::action::{Action, CloseReason};
use super::replies::{self, Answer};
use super::session::{Client, ServerSession, State};

impl ServerSession {
    /// Takes the next line out of the input and runs it; `false` if there is none.
    pub(super) fn run_line(&mut self) -> bool {
        let Some(line) = self.input.next_line() else { return false };
        let parsed = match line {
            Line::Complete(line) => Ok(Command::parse(line)),
            Line::BareCr => Err(replies::BARE_CR),
            Line::BareLf => Err(replies::BARE_LF),
            Line::TooLong => Err(replies::LINE_TOO_LONG),
            Line::Endless => {
                self.close_with(replies::ENDLESS_LINE, CloseReason::Protocol);
                return true;
            }
        };
        self.restart(self.settings.command_timeout);
        match parsed {
            Ok(Ok(command)) => self.run(command),
            Ok(Err(error)) => self.explain(error),
            Err(fault) => self.answer(fault),
        }
        true
    }

    fn run(&mut self, command: Command) {
        match command {
            Command::Ehlo(name) => self.greet(Client { name, esmtp: true }),
            Command::Helo(name) => self.greet(Client { name, esmtp: false }),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Rset => {
                self.await_command(None);
                self.answer(replies::OK);
            }
            Command::Noop => self.answer(replies::OK),
            Command::Vrfy => self.answer(replies::CANNOT_VRFY),
            Command::Help => replies::write_help(&mut self.output),
            Command::Quit => self.close_with(replies::BYE, CloseReason::Quit),
            Command::StartTls => self.start_tls(),
        }
    }

    fn explain(&mut self, error: SyntaxError) {
        let (code, enhanced) = replies::codes_of(error);
        reply_writer::write_line(code, Some(enhanced), &error.to_string(), &mut self.output);
        self.count(code);
    }

    /// EHLO and HELO end a transaction as RSET does (RFC 5321 section 4.1.4).
    fn greet(&mut self, client: Client) {
        if client.esmtp {
            replies::write_ehlo(&self.settings, self.tls.is_some(), &mut self.output);
        } else {
            replies::write_helo(&self.settings.hostname, &mut self.output);
        }
        self.client = Some(client);
        self.await_command(None);
    }

    fn mail(&mut self, mail: Mail) {
        if let Some(refusal) = self.mail_refusal(&mail) {
            return self.answer(refusal);
        }
        if self.messages >= self.settings.messages_max {
            return self.close_with(replies::TOO_MANY_MESSAGES, CloseReason::Refused);
        }
        self.actions.push_back(Action::JudgeMail(mail.sender.clone()));
        self.state = State::JudgeMail(mail.sender);
    }

    fn mail_refusal(&self, mail: &Mail) -> Option<Answer> {
        let sender = &mail.sender;
        let Some(client) = &self.client else { return Some(replies::GREET_FIRST) };
        if !self.is_idle() {
            return Some(replies::NESTED_MAIL);
        }
        if mail.has_parameters && !client.esmtp {
            return Some(replies::PARAMETERS_NEED_EHLO);
        }
        if sender.require_tls && self.tls.is_none() {
            return Some(replies::REQUIRETLS_NEEDS_TLS);
        }
        if !sender.smtputf8 && sender.path.mailbox().is_some_and(Address::needs_utf8) {
            return Some(replies::NEEDS_SMTPUTF8);
        }
        // RFC 1870 section 6.1.
        if sender.declared_size.is_some_and(|size| size > self.settings.message_bytes_max) {
            return Some(replies::TOO_BIG);
        }
        None
    }

    fn rcpt(&mut self, rcpt: Rcpt) {
        let state = mem::replace(&mut self.state, State::Command(None));
        let State::Command(Some(mut open)) = state else {
            return self.answer(replies::MAIL_FIRST);
        };
        let verdict = self.recipient(rcpt).and_then(|recipient| {
            let ascii = !recipient.address.needs_utf8() && recipient.orcpt.as_deref().is_none_or(str::is_ascii);
            if !ascii && !open.sender.smtputf8 {
                return Err(replies::NEEDS_SMTPUTF8);
            }
            if open.has(&recipient.address) {
                return Err(replies::RECIPIENT_OK);
            }
            if open.is_full(self.settings.recipients_max) {
                return Err(replies::TOO_MANY_RECIPIENTS);
            }
            Ok(recipient)
        });
        match verdict {
            Ok(recipient) => {
                self.actions.push_back(Action::JudgeRcpt(recipient.clone()));
                self.state = State::JudgeRcpt(open, recipient);
            }
            Err(answer) => {
                open.any_refused |= answer != replies::RECIPIENT_OK;
                self.state = State::Command(Some(open));
                self.answer(answer);
            }
        }
    }

    fn recipient(&self, rcpt: Rcpt) -> Result<Recipient, Answer> {
        if rcpt.has_parameters && !self.is_esmtp() {
            return Err(replies::PARAMETERS_NEED_EHLO);
        }
        let address = match (rcpt.path, &self.settings.postmaster) {
            (ForwardPath::Mailbox(address), _) => address,
            (ForwardPath::Postmaster, Some(address)) => address.clone(),
            (ForwardPath::Postmaster, None) => {
                let text = format!("postmaster@{}", self.settings.hostname);
                Address::parse(&text, Charset::Ascii).map_err(|_| replies::NO_POSTMASTER)?
            }
        };
        Ok(Recipient { address, notify: rcpt.notify, orcpt: rcpt.orcpt })
    }

    /// RFC 5321 section 3.3: without a recipient, DATA fails instead of asking for content.
    fn data(&mut self) {
        match mem::replace(&mut self.state, State::Command(None)) {
            State::Command(Some(open)) if open.has_recipients() => {
                let client = self.client.as_ref();
                let name = client.map(|client| client.name.clone()).unwrap_or_default();
                let transaction = open.into_transaction(name, self.is_esmtp());
                self.actions.push_back(Action::BodyBegin(transaction));
                self.state = State::BodyOpening;
            }
            State::Command(Some(open)) => {
                let answer = if open.any_refused { replies::NO_RECIPIENTS } else { replies::RCPT_FIRST };
                self.state = State::Command(Some(open));
                self.answer(answer);
            }
            _ => self.answer(replies::MAIL_FIRST),
        }
    }

    /// RFC 3207 section 4. What the client sent behind the command was sent in clear and is never looked at.
    fn start_tls(&mut self) {
        if self.tls.is_some() {
            return self.answer(replies::TLS_ACTIVE);
        }
        if !self.settings.starttls {
            return self.answer(replies::TLS_NOT_OFFERED);
        }
        if !self.input.is_empty() {
            return self.close_with(replies::TLS_INJECTION, CloseReason::Injection);
        }
        self.answer(replies::START_TLS);
        self.flush();
        self.actions.push_back(Action::StartTls);
        self.state = State::Handshake;
        self.restart(self.settings.tls_timeout);
    }
}
