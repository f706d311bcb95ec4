//! A driver that says yes to everything unless it is told otherwise, and transcripts that are run with it.
//!
//! A transcript has one step a line:
//! `C: text` the client sends the text and CRLF;
//! `R: text` it sends the text, where `\r \n \0 \\` mean what they do in Rust;
//! `S: text` this is the next reply line; `A: text` this is the next other action;
//! `!judge`, `!ready`, `!commit` with a reply: the driver's next answer of that kind is this refusal (`ok`: none);
//! `!tls` the handshake is done; `!tick 300s` time passes; `!eof`; `!drain`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Action, ServerSession, Settings};
use super::facts;
use crate::model::id::MessageId;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::time::Instant;

/// How the client's octets arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// Line by line, each after the replies to the one before.
    Lines,
    Bytes,
    /// All that comes before the next event at once.
    Pipelined,
}

pub(super) struct Driver {
    pub(super) session: ServerSession,
    pub(super) now: Instant,
    pub(super) judgements: VecDeque<Result<(), Reply>>,
    pub(super) readies: VecDeque<Result<(), Reply>>,
    pub(super) commits: VecDeque<Result<(), Reply>>,
    /// Everything sent, as text.
    pub(super) sent: String,
    pub(super) sends: usize,
    /// The other actions, judgements and chunks left out.
    pub(super) actions: Vec<String>,
    content: Vec<u8>,
}

impl Driver {
    pub(super) fn new(session: ServerSession) -> Self {
        let mut driver = Self {
            session,
            now: Instant::ZERO,
            judgements: VecDeque::new(),
            readies: VecDeque::new(),
            commits: VecDeque::new(),
            sent: String::new(),
            sends: 0,
            actions: Vec::new(),
            content: Vec::new(),
        };
        driver.drain();
        driver
    }

    pub(super) fn greeted(settings: Settings) -> Self {
        let mut driver = Self::new(ServerSession::new(Arc::new(settings), Instant::ZERO, None));
        assert_eq!(driver.sent, "220 mx.example.org ESMTP Gatepost\r\n");
        driver.sent.clear();
        driver.sends = 0;
        driver
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(self.now, bytes);
        self.drain();
    }

    /// What is sent in answer to `bytes`.
    pub(super) fn ask(&mut self, bytes: &str) -> String {
        self.feed(bytes.as_bytes());
        std::mem::take(&mut self.sent)
    }

    pub(super) fn drain(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(bytes) => {
                    self.sends += 1;
                    self.sent.push_str(&String::from_utf8(bytes).unwrap());
                }
                Action::StartTls => self.actions.push("starttls".to_owned()),
                Action::JudgeMail(_) | Action::JudgeRcpt(_) => {
                    let judgement = self.judgements.pop_front().unwrap_or(Ok(()));
                    self.session.handle_judgement(self.now, judgement);
                }
                Action::BodyBegin(transaction) => {
                    let recipients: Vec<_> = transaction.recipients.iter().map(|to| to.address.as_str()).collect();
                    let sender = transaction.sender.path.as_str();
                    self.actions.push(format!("begin {} <{sender}> <{}>", transaction.helo, recipients.join("> <")));
                    let ready = self.readies.pop_front().unwrap_or(Ok(()));
                    self.session.handle_body_ready(self.now, ready);
                }
                Action::BodyChunk(bytes) => {
                    assert!(!bytes.is_empty());
                    self.content.extend(bytes);
                }
                Action::Commit => {
                    let content = std::mem::take(&mut self.content);
                    self.actions.push(format!("commit {}", content.escape_ascii()).trim_end().to_owned());
                    let committed = self.commits.pop_front().unwrap_or(Ok(()));
                    self.session.handle_commit(self.now, committed.map(|()| MessageId::from_u128(7)));
                }
                Action::Abort(reason) => {
                    self.content.clear();
                    self.actions.push(format!("abort {reason}"));
                }
                Action::Close(reason) => {
                    self.actions.push(format!("close {reason:?}"));
                    assert_eq!(self.session.poll_action(), None, "nothing comes after Close");
                    assert!(!self.session.wants_input());
                }
            }
        }
    }

    fn event(&mut self, event: &str) {
        let (word, argument) = event.split_once(' ').unwrap_or((event, ""));
        match word {
            "!judge" => self.judgements.push_back(answer(argument)),
            "!ready" => self.readies.push_back(answer(argument)),
            "!commit" => self.commits.push_back(answer(argument)),
            "!tls" => self.session.handle_tls(self.now, facts()),
            "!eof" => self.session.handle_eof(self.now),
            "!drain" => self.session.handle_drain(self.now),
            "!tick" => {
                let seconds = argument.strip_suffix('s').unwrap().parse().unwrap();
                self.now = self.now + Duration::from_secs(seconds);
                self.session.handle_timeout(self.now);
            }
            _ => panic!("no such event: {event}"),
        }
        self.drain();
    }
}

fn answer(text: &str) -> Result<(), Reply> {
    if text == "ok" { Ok(()) } else { Err(refusal(text)) }
}

/// `550 5.7.1 text` as a reply.
pub(super) fn refusal(text: &str) -> Reply {
    let mut words = text.splitn(3, ' ');
    let code = Code::new(words.next().unwrap().parse().unwrap()).unwrap();
    let enhanced = EnhancedCode::parse(words.next().unwrap()).unwrap();
    Reply::new(code, enhanced, words.next().unwrap())
}

/// Runs a transcript in all ways; replies and actions must be the ones written in it.
pub(super) fn check(transcript: &str) {
    check_with(&super::settings(), &[Feed::Lines, Feed::Bytes, Feed::Pipelined], transcript);
}

pub(super) fn check_with(settings: &Settings, feeds: &[Feed], transcript: &str) {
    for feed in feeds {
        run(settings.clone(), *feed, transcript);
    }
}

fn run(settings: Settings, feed: Feed, transcript: &str) {
    let mut driver = Driver::greeted(settings);
    let mut replies = String::new();
    let mut actions = Vec::new();
    let mut held = Vec::new();
    for step in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        if let Some(text) = step.strip_prefix("S: ") {
            replies.push_str(text);
            replies.push_str("\r\n");
            continue;
        }
        if let Some(text) = step.strip_prefix("A: ") {
            actions.push(text.to_owned());
            continue;
        }
        if feed == Feed::Lines {
            assert_eq!(driver.sent, replies, "{feed:?}, before {step:?}");
        }
        match step.split_at_checked(2) {
            Some(("C:", text)) => held.extend(format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)).bytes()),
            Some(("R:", text)) => held.extend(unescape(text.trim_start()).bytes()),
            _ => {
                driver.feed(&std::mem::take(&mut held));
                driver.event(step);
            }
        }
        match feed {
            Feed::Lines => driver.feed(&std::mem::take(&mut held)),
            Feed::Bytes => std::mem::take(&mut held).chunks(1).for_each(|byte| driver.feed(byte)),
            Feed::Pipelined => {}
        }
    }
    driver.feed(&held);
    assert_eq!(driver.sent, replies, "replies, {feed:?}, of:\n{transcript}");
    assert_eq!(driver.actions, actions, "actions, {feed:?}, of:\n{transcript}");
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next().unwrap() {
                'r' => '\r',
                'n' => '\n',
                '0' => '\0',
                other => other,
            }),
            c => out.push(c),
        }
    }
    out
}
