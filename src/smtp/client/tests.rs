//! Transcripts of client sessions, and what arbitrary servers can do to one.
//!
//! `S:` what the server says (lines in a row arrive together), `C:` one write of ours (`|` stands for a line end),
//! `=` another action, `!` an event: `!begin FROM TO,TO options`, `!tls`, `!tick 300s`, `!body`, `!progress`,
//! `!quit`, `!eof`.

mod hostile;
mod sessions;
mod transactions;

use std::time::Duration;

use super::*;
use crate::model::address::{Address, ReversePath};
use crate::model::envelope::{BodyType, DsnReturn, Notify};
use crate::model::reply::Reply;
use crate::model::time::Instant;

const EHLO_NAME: &str = "relay.example";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Feed {
    Whole,
    Bytes,
}

/// Runs a transcript with the server's bytes whole and one by one.
fn check(plan: TlsPlan, transcript: &str) {
    check_fed(plan, transcript, Feed::Whole);
    check_fed(plan, transcript, Feed::Bytes);
}

fn check_fed(plan: TlsPlan, transcript: &str, feed: Feed) {
    let lines: Vec<&str> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let expected: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with(['C', '='])).collect();
    let mut run = Run::new(plan);
    let mut rest = lines.iter().peekable();
    while let Some(line) = rest.next() {
        if let Some(said) = line.strip_prefix("S:") {
            let mut bytes = server_line(said);
            while let Some(more) = rest.next_if(|line| line.starts_with("S:")) {
                bytes.extend(server_line(&more[2..]));
            }
            run.receive(&bytes, feed);
        } else if let Some(event) = line.strip_prefix('!') {
            run.event(event);
        }
        let position = lines.len() - rest.len();
        let due = lines[..position].iter().filter(|line| line.starts_with(['C', '='])).count();
        let next_input = rest.peek().is_none_or(|line| line.starts_with(['S', '!']));
        if next_input {
            assert_eq!(run.seen, &expected[..due], "after {line:?}, {feed:?}, of:{transcript}");
        }
    }
}

fn server_line(said: &str) -> Vec<u8> {
    format!("{}\r\n", said.strip_prefix(' ').unwrap_or(said)).into_bytes()
}

struct Run {
    session: ClientSession,
    now: Instant,
    seen: Vec<String>,
}

impl Run {
    fn new(tls: TlsPlan) -> Self {
        let settings = Settings { ehlo_name: EHLO_NAME.to_owned(), tls, timeouts: Timeouts::default() };
        let now = Instant::from_start(Duration::from_secs(1000));
        Self { session: ClientSession::new(settings, now), now, seen: Vec::new() }
    }

    fn receive(&mut self, bytes: &[u8], feed: Feed) {
        let size = if feed == Feed::Whole { bytes.len() } else { 1 };
        for chunk in bytes.chunks(size) {
            self.session.handle_bytes(self.now, chunk);
            self.drain();
        }
    }

    fn event(&mut self, event: &str) {
        let (word, rest) = event.split_once(' ').unwrap_or((event, ""));
        match word {
            "begin" => self.session.begin(self.now, transaction(rest)),
            "tls" => self.session.handle_tls(self.now),
            "body" => self.session.handle_body_sent(self.now),
            "progress" => self.session.handle_progress(self.now),
            "quit" => self.session.quit(self.now),
            "eof" => self.session.handle_eof(self.now),
            "tick" => {
                self.now = self.now + Duration::from_secs(rest.strip_suffix('s').unwrap().parse().unwrap());
                self.session.handle_timeout(self.now);
            }
            _ => panic!("no such event: {event}"),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.session.poll_action() {
            self.seen.push(shown(&action));
        }
    }
}

fn shown(action: &Action) -> String {
    match action {
        Action::Send(bytes) => {
            let text = std::str::from_utf8(bytes).unwrap();
            format!("C: {}", text.strip_suffix("\r\n").unwrap().replace("\r\n", "|"))
        }
        Action::StartTls => "= starttls".to_owned(),
        Action::Ready => "= ready".to_owned(),
        Action::SendBody => "= sendbody".to_owned(),
        Action::Closed => "= closed".to_owned(),
        Action::Failed(fault) => format!("= failed {} {}", fault.stage, shown_kind(fault.kind, fault.reply.as_ref())),
        Action::Finished(result) => {
            let outcomes: Vec<String> = result.recipients.iter().map(shown_outcome).collect();
            format!("= finished{} {}", if result.body_sent { " sent" } else { "" }, outcomes.join(", "))
        }
    }
}

fn shown_kind(kind: FaultKind, reply: Option<&Reply>) -> String {
    let kind = match kind {
        FaultKind::Protocol(ProtocolFault::Reply(fault)) => format!("{fault:?}"),
        FaultKind::Protocol(fault) => format!("{fault:?}"),
        other => format!("{other:?}"),
    };
    reply.map_or(kind.clone(), |reply| format!("{kind} {}", reply.code))
}

fn shown_outcome(outcome: &RecipientOutcome) -> String {
    match outcome {
        RecipientOutcome::Delivered(reply) => format!("delivered {}", reply.code),
        RecipientOutcome::Refused { stage, reply } => format!("refused {stage} {}", reply.code),
        RecipientOutcome::Unsupported(reason) => format!("unsupported {reason}"),
        RecipientOutcome::Lost { stage, fault } => format!("lost {stage} {}", shown_kind(*fault, None)),
    }
}

/// `FROM TO,TO options`; `<>` is the null path.
fn transaction(text: &str) -> Transaction {
    let mut words = text.split(' ');
    let path = match words.next().unwrap() {
        "<>" => ReversePath::Null,
        address => ReversePath::Mailbox(address.parse().unwrap()),
    };
    let recipients = words.next().unwrap().split(',').map(|to| Recipient::plain(to.parse::<Address>().unwrap()));
    let mut transaction =
        Transaction { sender: Sender::plain(path), recipients: recipients.collect(), size: 100, eight_bit: false };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let sender = &mut transaction.sender;
        let all = &mut transaction.recipients;
        match key {
            "size" => transaction.size = value.parse().unwrap(),
            "8bit" => transaction.eight_bit = true,
            "body8" => sender.body = BodyType::EightBitMime,
            "utf8" => sender.smtputf8 = true,
            "requiretls" => sender.require_tls = true,
            "full" => sender.ret = Some(DsnReturn::Full),
            "hdrs" => sender.ret = Some(DsnReturn::Headers),
            "envid" => sender.envid = Some(value.replace('~', "\r\n")),
            "never" => all.iter_mut().for_each(|r| r.notify = Some(Notify::NEVER)),
            "notify" => all.iter_mut().for_each(|r| r.notify = Some(Notify { success: true, ..Notify::DEFAULT })),
            "orcpt" => all.iter_mut().for_each(|r| r.orcpt = Some(value.to_owned())),
            _ => panic!("no such option: {word}"),
        }
    }
    transaction
}
