//! What came of each message, read from the relay's answers, its audit log and the hops, and held against what must be.

use crate::model::reply::Reply;
use crate::model::tls::{Stack, TlsFacts, Verified};

use super::hops::Received;
use super::ledger::Entry;
use super::scenario::{End, Leg, Link, Step, Verdict};
use super::senders::{Answers, is_done};

/// One step as it went.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) step: &'static Step,
    /// `Err` says why the client could not finish.
    pub(super) answers: Result<Answers, String>,
    /// In the order of the step.
    pub(super) legs: Vec<PlayedLeg>,
}

/// One recipient as it went.
#[derive(Clone, Debug)]
pub(super) struct PlayedLeg {
    pub(super) leg: &'static Leg,
    /// The library that must have served the session.
    pub(super) served_by: Option<Stack>,
    /// The last word of the relay about this recipient.
    pub(super) reply: Option<Reply>,
    /// The record of the verdict.
    pub(super) inbound: Option<Entry>,
    /// The record of the first end of an attempt.
    pub(super) end: Option<Entry>,
    /// The record of the delivery after an attempt that failed.
    pub(super) mended: Option<Entry>,
    /// The record of the notice to the sender.
    pub(super) notice: Option<Entry>,
    /// What the hops got.
    pub(super) copies: Vec<Received>,
}

impl Played {
    /// A step that was sent; nothing is known yet of what came after.
    pub(super) fn new(step: &'static Step, answers: Result<Answers, String>) -> Self {
        let legs = step.legs.iter().enumerate().map(|(place, leg)| {
            let reply = answers.as_ref().ok().and_then(|answers| last_word(answers, place)).cloned();
            let served_by = step.client.served_by();
            PlayedLeg {
                leg,
                served_by,
                reply,
                inbound: None,
                end: None,
                mended: None,
                notice: None,
                copies: Vec::new(),
            }
        });
        Self { legs: legs.collect(), step, answers }
    }

    /// The session as the relay recorded it, else as the client saw it.
    pub(super) fn tls(&self) -> Option<&TlsFacts> {
        let recorded = self.legs.iter().find_map(|leg| leg.inbound.as_ref()?.tls.as_ref());
        recorded.or_else(|| self.answers.as_ref().ok()?.tls.as_ref())
    }
}

fn last_word(answers: &Answers, place: usize) -> Option<&Reply> {
    match answers.recipients.get(place) {
        None => Some(&answers.mail),
        Some(reply) if is_done(reply) => answers.content.as_ref(),
        refusal => refusal,
    }
}

impl PlayedLeg {
    /// Takes from the log what it says about this recipient.
    pub(super) fn observe(&mut self, step: &Step, entries: &[Entry]) {
        let to = |entry: &Entry| entry.to.iter().any(|to| to == self.leg.to);
        let verdict = |entry: &&Entry| {
            let ours = entry.from.as_deref() == Some(step.from);
            let at_mail = entry.event == "inbound.refused" && entry.to.is_empty();
            ours && entry.event.starts_with("inbound.") && (to(entry) || at_mail)
        };
        self.inbound = entries.iter().find(verdict).cloned();
        let Some(message) = self.inbound.as_ref().and_then(|entry| entry.message.clone()) else { return };
        let is_end = |entry: &&Entry| {
            let ends = ["outbound.delivered", "outbound.deferred", "outbound.bounced"];
            entry.message.as_ref() == Some(&message) && to(entry) && ends.contains(&entry.event.as_str())
        };
        let mut ends = entries.iter().filter(is_end);
        self.end = ends.next().cloned();
        self.mended = ends.find(|entry| entry.event == "outbound.delivered").cloned();
        let notice = |entry: &&Entry| {
            let to_sender = entry.to.iter().any(|to| to == step.from);
            entry.event == "outbound.delivered" && entry.from.as_deref() == Some("") && to_sender
        };
        self.notice = entries.iter().find(notice).cloned();
    }

    /// Whether nothing more is to come without a mended hop.
    pub(super) fn is_settled(&self) -> bool {
        match &self.reply {
            None => true,
            Some(reply) if !is_done(reply) => self.inbound.is_some(),
            Some(_) => {
                let bounced = self.end.as_ref().is_some_and(|end| end.event == "outbound.bounced");
                self.end.is_some() && (!bounced || self.notice.is_some())
            }
        }
    }

    /// The id of the message; `None` if it was not taken.
    pub(super) fn message(&self) -> Option<&str> {
        self.inbound.as_ref().and_then(|entry| entry.message.as_deref())
    }

    pub(super) fn is_taken(&self) -> bool {
        self.reply.as_ref().is_some_and(is_done)
    }

    /// How it differs from what must be. Empty: as expected.
    pub(super) fn problems(&self, answers: &Result<Answers, String>) -> Vec<String> {
        let mut problems = Vec::new();
        match answers {
            Ok(answers) => {
                self.check_session(answers, &mut problems);
                self.check_verdict(answers, &mut problems);
            }
            Err(error) => problems.push(format!("the client could not finish: {error}")),
        }
        self.check_end(&mut problems);
        problems
    }

    /// The relay must have recorded what the client saw, and the library that served it.
    fn check_session(&self, answers: &Answers, problems: &mut Vec<String>) {
        let recorded = self.inbound.as_ref().and_then(|entry| entry.tls.as_ref());
        let recorded = recorded.map(|tls| (tls.version, tls.cipher.as_str(), tls.stack));
        let seen = answers.tls.as_ref().zip(self.served_by);
        let seen = seen.map(|(tls, stack)| (tls.version, tls.cipher.as_str(), stack));
        expect(recorded == seen, problems, "the audit log must say what the client's session was");
    }

    fn check_verdict(&self, answers: &Answers, problems: &mut Vec<String>) {
        let mail_is_taken = is_done(&answers.mail);
        let word = match self.leg.verdict {
            Verdict::Accept => "accept",
            Verdict::WouldRefuse => "would_refuse",
            Verdict::RefuseMail(reply) | Verdict::RefuseRcpt(reply) if reply.starts_with('4') => "defer",
            Verdict::RefuseMail(_) | Verdict::RefuseRcpt(_) => "refuse",
        };
        let said = self.reply.as_ref().map(Reply::to_string).unwrap_or_default();
        let id = self.inbound.as_ref().map(|entry| entry.id.as_str()).unwrap_or_default();
        match self.leg.verdict {
            Verdict::Accept | Verdict::WouldRefuse => expect(self.is_taken(), problems, "the reply must be 250"),
            Verdict::RefuseMail(reply) | Verdict::RefuseRcpt(reply) => {
                expect(said.starts_with(reply), problems, &format!("the reply must be {reply}"));
                expect(said.ends_with(&format!("id={id}")), problems, "the reply must name its audit record");
                let at_mail = matches!(self.leg.verdict, Verdict::RefuseMail(_));
                expect(at_mail != mail_is_taken, problems, "the refusal must come to the other command");
            }
        }
        let policy = self.inbound.as_ref().and_then(|entry| entry.policy.as_ref());
        let recorded = policy.is_some_and(|policy| policy.verdict == word && policy.rule.starts_with(self.leg.rule));
        expect(recorded, problems, &format!("the audit log must say {word} by {}", self.leg.rule));
    }

    fn check_end(&self, problems: &mut Vec<String>) {
        let event = self.end.as_ref().map(|end| end.event.as_str()).unwrap_or_default();
        let reason = self.end.as_ref().and_then(|end| end.reason);
        match self.leg.end {
            End::NotTaken => {
                expect(self.end.is_none(), problems, "there must be no delivery");
                self.check_copies(None, problems);
            }
            End::Delivered(link) => self.check_delivery(self.end.as_ref(), link, problems),
            End::Waits(why) | End::Mended(why, _) => {
                let waits = event == "outbound.deferred" && reason == Some(why);
                expect(waits, problems, &format!("it must wait: {why}"));
                match self.leg.end {
                    End::Mended(_, link) => self.check_delivery(self.mended.as_ref(), link, problems),
                    _ => self.check_copies(None, problems),
                }
            }
            End::Bounced(why) => {
                let bounced = event == "outbound.bounced" && reason == Some(why);
                expect(bounced, problems, &format!("it must be returned: {why}"));
                expect(self.notice.is_some(), problems, "the sender must be told");
                self.check_copies(None, problems);
            }
        }
    }

    fn check_delivery(&self, entry: Option<&Entry>, link: Link, problems: &mut Vec<String>) {
        let delivered = entry.filter(|entry| entry.event == "outbound.delivered");
        expect(delivered.is_some(), problems, "it must be delivered");
        let met = delivered.is_some_and(|entry| is_over(entry.tls.as_ref(), link));
        expect(met, problems, &format!("it must go over {link}"));
        self.check_copies(Some(link), problems);
    }

    /// The hops' own word: what came, and over what.
    fn check_copies(&self, link: Option<Link>, problems: &mut Vec<String>) {
        let expected = match (link, self.copies.as_slice()) {
            (None, copies) => copies.is_empty(),
            (Some(Link::Plaintext), [copy]) => copy.tls.is_none(),
            (Some(Link::Encrypted(version) | Link::Verified(version)), [copy]) => {
                copy.tls.as_ref().is_some_and(|tls| tls.version == version)
            }
            (Some(_), _) => false,
        };
        expect(expected, problems, &format!("the next hops must have got {}", copies_word(link)));
    }
}

fn is_over(tls: Option<&TlsFacts>, link: Link) -> bool {
    let is_verified = |tls: &TlsFacts| tls.peer.as_ref().is_some_and(|peer| peer.verified != Verified::None);
    match (link, tls) {
        (Link::Plaintext, tls) => tls.is_none(),
        (Link::Encrypted(version), Some(tls)) => tls.version == version,
        (Link::Verified(version), Some(tls)) => tls.version == version && is_verified(tls),
        (Link::Encrypted(_) | Link::Verified(_), None) => false,
    }
}

fn expect(is_so: bool, problems: &mut Vec<String>, otherwise: &str) {
    if !is_so {
        problems.push(otherwise.to_owned());
    }
}

fn copies_word(link: Option<Link>) -> String {
    link.map_or_else(|| "nothing of it".to_owned(), |link| format!("one copy of it, over {link}"))
}
