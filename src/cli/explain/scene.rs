//! One transaction walked through by the daemon's own engine: MAIL, and if that passes RCPT.

use std::net::IpAddr;

use crate::cli::arguments::ShownCertificate;
use crate::config::{Config, ListenerConfig, ListenerTls};
use crate::model::address::{Address, ReversePath};
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::relay::Trust;
use crate::policy::transaction::{Outcome, Transacted, Visitor};

use super::session;

/// Stands for the id of the audit record that a real reply names.
const ID: &str = "…";

/// Who sends what to whom, and where they come in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) config: &'a Config,
    pub(super) listener: &'a ListenerConfig,
    pub(super) client: IpAddr,
    pub(super) client_is_assumed: bool,
    /// What the client would show if it were asked.
    pub(super) certificate: Option<ShownCertificate>,
    /// The moment by which it is judged.
    pub(super) at: Timestamp,
    pub(super) from: &'a ReversePath,
    pub(super) to: &'a Address,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Played {
    /// `None` is plaintext.
    pub(super) tls: Option<TlsFacts>,
    pub(super) trust: Trust,
    pub(super) transacted: Transacted,
    pub(super) outcome: Outcome,
}

impl Scene<'_> {
    pub(super) fn play(&self, tls: Option<TlsFacts>) -> Played {
        let certificate = self.certificate.filter(|_| self.listener.request_client_certificate);
        let tls = tls.map(|facts| match certificate {
            Some(certificate) => session::showing(facts, certificate),
            None => facts,
        });
        let visitor = Visitor { at: self.at, ip: self.client, tls: tls.as_ref() };
        let door = self.config.door(self.listener);
        let transacted = door.transact(&visitor, self.from, self.to);
        let (trust, outcome) = (door.trust(&visitor), transacted.outcome(visitor.tls, ID));
        Played { tls, trust, transacted, outcome }
    }

    /// Whether the listener lets such a session come about at all.
    pub(super) fn offers(&self, tls: Option<&TlsFacts>) -> bool {
        match (self.listener.tls, tls) {
            (ListenerTls::Implicit, None) | (ListenerTls::Off, Some(_)) => false,
            (_, None) => true,
            (_, Some(facts)) => facts.version >= self.listener.offer,
        }
    }
}

impl Played {
    /// What the client reads in the end: the refusal, or the words of the server for a recipient that it takes.
    pub(super) fn reply(&self) -> Reply {
        let taken = || Reply::new(Code::OK, EnhancedCode::new(2, 1, 5), "Recipient ok");
        self.outcome.reply.clone().unwrap_or_else(taken)
    }
}
