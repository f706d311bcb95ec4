//! A session as a delivery under our policy would have it, held against the requirement, and if asked on to MAIL FROM
//! and RCPT TO. It ends with RSET and QUIT: no content is ever sent.

use std::net::SocketAddr;

use crate::clock;
use crate::model::address::{Address, ReversePath};
use crate::model::reply::{Reply, Severity};
use crate::model::tls::TlsFacts;
use crate::net::talk::Talk;
use crate::outbound::ladder::{self, Ladder, Way};
use crate::policy::host_requirement::HostRequirement;
use crate::policy::outbound::Requirement;
use crate::tls::client::Peer;
use crate::tls::roots::Roots;
use crate::tls::stream::Stream;

use super::Prober;
use super::judge::{Verdict, check};
use super::observe::Subject;
use super::session::{Greeted, Hello, Trouble, quit, say};

/// Who writes to whom.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    pub from: &'a ReversePath,
    pub to: &'a Address,
}

/// What came of a session under our policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What was negotiated, `None` in plaintext or if it did not come so far.
    pub facts: Option<TlsFacts>,
    /// Whether the session may carry the mail.
    pub verdict: Verdict,
    /// The answers to MAIL and RCPT, as far as they were asked for; only a session that may carry mail is asked.
    pub said: Vec<(&'static str, Reply)>,
    /// Where the walk broke off.
    pub trouble: Option<Trouble>,
}

impl Trial {
    /// Whether a reply was no, or the walk broke off.
    pub fn is_refused(&self) -> bool {
        self.trouble.is_some() || self.said.iter().any(|(_, reply)| reply.severity() != Severity::Completed)
    }

    /// Whether all that stands against it is a reply that may be another one later, as to whoever comes first.
    pub fn is_deferred(&self) -> bool {
        let is_refused = |(_, reply): &&(_, Reply)| reply.severity() != Severity::Completed;
        let mut refused = self.said.iter().filter(is_refused).peekable();
        self.trouble.is_none()
            && refused.peek().is_some()
            && refused.all(|(_, reply)| reply.severity() == Severity::Transient)
    }

    fn failed(requirement: &Requirement, trouble: &Trouble) -> Self {
        let reason = match trouble {
            Trouble::Handshake(failure) => ladder::reason(requirement, failure.kind),
            trouble => trouble.reason(),
        };
        let verdict = Verdict::failed(requirement, reason, trouble.in_words());
        Self { facts: None, verdict, said: Vec::new(), trouble: None }
    }
}

/// A session that stands, in clear or under TLS.
struct Standing {
    talk: Talk<Stream>,
    hello: Hello,
    peer: Option<Peer>,
}

impl Prober {
    /// Goes the ways of a delivery under `requirement` until a session stands, and judges it.
    pub async fn attempt(
        &self,
        subject: Subject<'_>,
        address: SocketAddr,
        (requirement, roots): (&HostRequirement, &Roots),
        walk: Option<Walk<'_>>,
    ) -> Trial {
        let session = &requirement.session;
        let subject = Subject { server_name: requirement.tlsa_base().or(subject.server_name), ..subject };
        let mut ladder = Ladder::anew(session, subject.server_name.is_some());
        let mut troubles: Vec<Trouble> = Vec::new();
        let mut way = Some(ladder.way());
        while let Some(now) = way {
            let _turn = self.pace.turn(subject.name, address.ip()).await;
            let trouble = match self.stand(subject, (address, requirement), now).await {
                Ok(standing) => return self.judge(standing, (requirement, roots), walk).await,
                Err(trouble) => trouble,
            };
            way = trouble.of_tls().and_then(|failure| ladder.failed(failure));
            troubles.push(trouble);
        }
        let telling = troubles.get(ladder.most_telling()).or(troubles.last()).unwrap_or(&Trouble::NotOffered);
        Trial::failed(session, telling)
    }

    async fn stand(
        &self,
        subject: Subject<'_>,
        (address, requirement): (SocketAddr, &HostRequirement),
        way: Way,
    ) -> Result<Standing, Trouble> {
        let greeted = Greeted::open(self.caller(), address).await?;
        let offers = greeted.hello.capabilities.starttls;
        match way {
            Way::Tls(way) if offers || !requirement.session.permits_plaintext() => {
                let (talk, secured) = self.secure(greeted, subject, (address, &requirement.session), way).await?;
                Ok(Standing { talk, hello: secured.hello, peer: Some(secured.peer) })
            }
            Way::Tls(_) | Way::Plaintext => {
                let hello = greeted.hello.clone();
                Ok(Standing { talk: greeted.into_talk(), hello, peer: None })
            }
        }
    }

    async fn judge(
        &self,
        mut standing: Standing,
        (requirement, roots): (&HostRequirement, &Roots),
        walk: Option<Walk<'_>>,
    ) -> Trial {
        let verdict = check(requirement, standing.peer.as_ref(), roots, clock::timestamp());
        let mut trial = Trial {
            facts: standing.peer.as_ref().map(|peer| peer.facts.clone()),
            verdict,
            said: Vec::new(),
            trouble: None,
        };
        if let Some(walk) = walk.filter(|_| trial.verdict.met.is_ok()) {
            trial.trouble = standing.walk(walk, &mut trial.said).await.err();
        }
        if trial.trouble.is_none() {
            quit(standing.talk).await;
        }
        trial
    }
}

impl Standing {
    async fn walk(&mut self, walk: Walk<'_>, said: &mut Vec<(&'static str, Reply)>) -> Result<(), Trouble> {
        let needs_utf8 = walk.to.needs_utf8() || walk.from.mailbox().is_some_and(Address::needs_utf8);
        let parameter = if needs_utf8 && self.hello.capabilities.smtputf8 { " SMTPUTF8" } else { "" };
        let mail = format!("MAIL FROM:<{}>{parameter}", walk.from.as_str());
        let reply = say(&mut self.talk, "MAIL", &mail).await?;
        let is_taken = reply.severity() == Severity::Completed;
        said.push(("MAIL", reply));
        if is_taken {
            let rcpt = format!("RCPT TO:<{}>", walk.to.as_str());
            said.push(("RCPT", say(&mut self.talk, "RCPT", &rcpt).await?));
            say(&mut self.talk, "RSET", "RSET").await?;
        }
        Ok(())
    }
}
