//! One transaction walked through by the daemon's own engine: MAIL, and if that passes RCPT.

use std::net::{IpAddr, Ipv4Addr};

use crate::config::{Config, ListenerConfig, ListenerTls};
use crate::model::address::{Address, ReversePath};
use crate::model::assumed;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::policy::assumed::ShownCertificate;
use crate::policy::in_force::Because;
use crate::policy::inbound::Judgement;
use crate::policy::provenance::Levels;
use crate::policy::relay::{Role, Trust};
use crate::policy::settings::Source;
use crate::policy::timed::{Asker, Shadow};
use crate::policy::transaction::{Outcome, Transacted, Visitor};

use crate::explain::error::QuestionError;
use crate::explain::set_by::SetBy;

/// RFC 5737: nobody's address, so a stranger's.
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Stands for the id of the audit record that a real reply names.
const ID: &str = "…";

/// Who sends what to whom, and where and when they come in.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub config: &'a Config,
    pub listener: &'a ListenerConfig,
    pub client: IpAddr,
    /// What the client would show if it were asked.
    pub certificate: Option<ShownCertificate>,
    /// The moment by which it is judged.
    pub at: Timestamp,
    pub from: &'a ReversePath,
    pub to: &'a Address,
    pub assumed: Assumed,
}

/// What of the scene nobody named.
#[derive(Clone, Copy, Debug)]
pub struct Assumed {
    pub client: bool,
    pub at: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Played {
    /// `None` is plaintext.
    pub tls: Option<TlsFacts>,
    pub trust: Trust,
    pub transacted: Transacted,
    pub outcome: Outcome,
}

/// The one that was named, else the first of role mx, else the first.
pub fn listener<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a ListenerConfig, QuestionError> {
    let listeners = &config.listeners;
    let found = match name {
        Some(name) => listeners.iter().find(|listener| listener.name == name),
        None => listeners.iter().find(|listener| listener.role == Role::Mx).or(listeners.first()),
    };
    found.ok_or_else(|| QuestionError::NoSuchListener {
        name: name.unwrap_or_default().to_owned(),
        names: listeners.iter().map(|listener| listener.name.clone()).collect(),
    })
}

impl<'a> Scene<'a> {
    /// What the daemon's engine does with it over this session; `None` is plaintext.
    pub fn play(&self, tls: Option<TlsFacts>) -> Played {
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
    pub fn no_session(&self, tls: Option<&TlsFacts>) -> Option<String> {
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
    pub fn usual_session(&self) -> Option<TlsFacts> {
        self.no_session(None).map(|_| assumed::usual(ProtocolVersion::Tls1_3))
    }

    /// The same at another moment.
    pub fn moved_to(&self, at: Timestamp) -> Self {
        Self { at, ..*self }
    }

    /// By whom steps and exceptions are chosen.
    pub fn asker(&self) -> Asker<'a> {
        Asker { at: self.at, client: Some(self.client), sender: self.from }
    }

    /// What a judgement was made from.
    pub fn levels(&self, judgement: &Judgement) -> Levels<'a> {
        Levels::of(&self.config.policies, &judgement.subject)
    }

    /// By what a key in force was set.
    pub fn set_by(&self, judgement: &Judgement, row: &Because) -> SetBy {
        match self.levels(judgement).origin(&self.asker(), Shadow::Left, row) {
            Some(origin) => origin.into(),
            None if row.source == Source::BuiltIn => SetBy::BuiltIn,
            None => SetBy::Listener,
        }
    }

    /// The domain file that hosts the recipient's domain.
    pub fn hosting_file(&self) -> Option<&'a str> {
        let domain = self.to.domain()?;
        let (policy, _) = self.config.policies.find(domain)?;
        policy.hosted.then_some(&*policy.file)
    }
}

/// `TLSv1.2 and later`.
pub fn later(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::Tls1_3 => version.to_string(),
        version => format!("{version} and later"),
    }
}

impl Played {
    /// What the client reads in the end: the refusal, or the words of the server for a recipient that it takes.
    pub fn reply(&self) -> Reply {
        let taken = || Reply::new(Code::OK, EnhancedCode::new(2, 1, 5), "Recipient ok");
        self.outcome.reply.clone().unwrap_or_else(taken)
    }

    /// The judgements that were made, in order.
    pub fn judgements(&self) -> impl Iterator<Item = &Judgement> {
        std::iter::once(&self.transacted.mail).chain(self.judged_rcpt())
    }

    /// `None` if RCPT was not reached or nothing was to be judged there.
    pub fn judged_rcpt(&self) -> Option<&Judgement> {
        self.transacted.rcpt.as_ref().and_then(|rcpt| rcpt.judgement.as_ref())
    }
}
