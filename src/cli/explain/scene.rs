//! One transaction walked through by the daemon's own engine: MAIL, and if that passes RCPT.

use std::net::{IpAddr, Ipv4Addr};

use crate::config::{Config, ListenerConfig, ListenerTls};
use crate::model::address::{Address, ReversePath};
use crate::model::assumed;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::policy::assumed::ShownCertificate;
use crate::policy::inbound::Judgement;
use crate::policy::provenance::Levels;
use crate::policy::relay::{Role, Trust};
use crate::policy::timed::Asker;
use crate::policy::transaction::{Outcome, Transacted, Visitor};

/// RFC 5737: nobody's address, so a stranger's.
pub(in crate::cli) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Stands for the id of the audit record that a real reply names.
const ID: &str = "…";

/// Who sends what to whom, and where and when they come in.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Scene<'a> {
    pub(in crate::cli) config: &'a Config,
    pub(in crate::cli) listener: &'a ListenerConfig,
    pub(in crate::cli) client: IpAddr,
    /// What the client would show if it were asked.
    pub(in crate::cli) certificate: Option<ShownCertificate>,
    /// The moment by which it is judged.
    pub(in crate::cli) at: Timestamp,
    pub(in crate::cli) from: &'a ReversePath,
    pub(in crate::cli) to: &'a Address,
    pub(in crate::cli) assumed: Assumed,
}

/// What of the scene nobody named.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Assumed {
    pub(in crate::cli) client: bool,
    pub(in crate::cli) at: bool,
}

/// What became of it.
#[derive(Debug)]
pub(in crate::cli) struct Played {
    /// `None` is plaintext.
    pub(in crate::cli) tls: Option<TlsFacts>,
    pub(in crate::cli) trust: Trust,
    pub(in crate::cli) transacted: Transacted,
    pub(in crate::cli) outcome: Outcome,
}

/// The one that was named, else the first of role mx, else the first. `None` if none has the name.
pub(in crate::cli) fn listener<'a>(config: &'a Config, name: Option<&str>) -> Option<&'a ListenerConfig> {
    let listeners = &config.listeners;
    match name {
        Some(name) => listeners.iter().find(|listener| listener.name == name),
        None => listeners.iter().find(|listener| listener.role == Role::Mx).or(listeners.first()),
    }
}

/// The names to choose from.
pub(in crate::cli) fn listener_names(config: &Config) -> String {
    let names: Vec<_> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    names.join(", ")
}

impl<'a> Scene<'a> {
    pub(in crate::cli) fn play(&self, tls: Option<TlsFacts>) -> Played {
        let certificate = self.certificate.filter(|_| self.listener.request_client_certificate);
        let tls = tls.map(|facts| match certificate {
            Some(certificate) => certificate.shown_in(facts),
            None => facts,
        });
        let visitor = Visitor { at: self.at, ip: self.client, tls: tls.as_ref() };
        let door = self.config.door(self.listener);
        let transacted = door.transact(&visitor, self.from, self.to);
        let (trust, outcome) = (door.trust(&visitor), transacted.outcome(visitor.tls, ID));
        Played { tls, trust, transacted, outcome }
    }

    /// Why the listener lets no such session come about, if it does not.
    pub(in crate::cli) fn no_session(&self, tls: Option<&TlsFacts>) -> Option<String> {
        let name = &self.listener.name;
        match (self.listener.tls, tls) {
            (ListenerTls::Implicit, None) => {
                Some(format!("listener {name} has tls = \"implicit\", so nothing there is plaintext"))
            }
            (ListenerTls::Off, Some(_)) => Some(format!("listener {name} has tls = \"off\"")),
            (_, Some(facts)) if facts.version < self.listener.offer => {
                Some(format!("listener {name} offers {}", later(self.listener.offer)))
            }
            (_, _) => None,
        }
    }

    /// The session that is shown where none was chosen: plaintext, if there can be any.
    pub(super) fn usual_session(&self) -> Option<TlsFacts> {
        self.no_session(None).map(|_| assumed::usual(ProtocolVersion::Tls1_3))
    }

    /// The same at another moment.
    pub(super) fn moved_to(&self, at: Timestamp) -> Self {
        Self { at, ..*self }
    }

    pub(super) fn asker(&self) -> Asker<'a> {
        Asker { at: self.at, client: Some(self.client), sender: self.from }
    }

    /// What a judgement was made from.
    pub(super) fn levels(&self, judgement: &Judgement) -> Levels<'a> {
        Levels::of(&self.config.policies, &judgement.subject)
    }
}

/// `TLSv1.2 and later`.
pub(super) fn later(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::Tls1_3 => version.to_string(),
        version => format!("{version} and later"),
    }
}

impl Played {
    /// What the client reads in the end: the refusal, or the words of the server for a recipient that it takes.
    pub(in crate::cli) fn reply(&self) -> Reply {
        let taken = || Reply::new(Code::OK, EnhancedCode::new(2, 1, 5), "Recipient ok");
        self.outcome.reply.clone().unwrap_or_else(taken)
    }

    /// The judgements that were made, in order.
    pub(super) fn judgements(&self) -> impl Iterator<Item = &Judgement> {
        std::iter::once(&self.transacted.mail).chain(self.judged_rcpt())
    }

    pub(super) fn judged_rcpt(&self) -> Option<&Judgement> {
        self.transacted.rcpt.as_ref().and_then(|rcpt| rcpt.judgement.as_ref())
    }
}
