//! From a host to a connection that meets the requirement: an idle one, or a new one by the first way that works.

use std::net::IpAddr;

use crate::clock;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::{Stack, Verified};
use crate::outbound::known_hosts::{KnownHost, Worked};
use crate::outbound::ladder::{Ladder, TlsWay, Way};
use crate::outbound::outcome::Failure;
use crate::outbound::pool::Key;
use crate::outbound::reporting::Failed;
use crate::outbound::seen::What;
use crate::outbound::session::{Connection, OpenFailure, Opening};
use crate::outbound::targets::Target;
use crate::policy::host_requirement::HostRequirement;
use crate::policy::outbound::NextHop;
use crate::policy::published::Published;
use crate::policy::settings::Learn;
use crate::schedule::job::Signal;
use crate::tls::client::{CertificateUse, ClientTls};

use super::Attempt;

impl Attempt {
    /// A connection to the host that meets the requirement: an idle one, or a new one.
    pub(super) async fn connect(&mut self, target: &Target) -> Result<Box<Connection>, Failure> {
        let key = self.pool_key(target);
        while let Some(mut connection) = self.outbound.pool.take(&key) {
            // What is known of the host may be newer than the connection.
            connection.target = target.clone();
            if connection.certificate >= self.certificate_use(target) && self.check(&mut connection).is_ok() {
                return Ok(connection);
            }
            connection.quit().await;
        }
        self.connect_anew(target).await
    }

    pub(super) async fn connect_anew(&mut self, target: &Target) -> Result<Box<Connection>, Failure> {
        let opened = self.open(target).await;
        let mut connection = opened.map_err(|failure| self.not_opened(target, failure))?;
        self.note_back_end(target, connection.tls().is_some() && connection.offers_requiretls());
        match self.check(&mut connection) {
            Ok(verified) => {
                self.remember(&connection);
                if let Some(facts) = connection.tls().filter(|_| self.carries_mail()) {
                    self.outbound.metrics.outbound_tls(facts, verified);
                }
                self.saw(target, What::Connected(connection.tls()));
                self.count_session(&connection);
                Ok(connection)
            }
            Err((reason, detail)) => {
                self.outbound.known_hosts.forget(&known_host(target));
                let failure = self.not_good_enough(&connection, reason, detail);
                connection.quit().await;
                Err(failure)
            }
        }
    }

    /// Opens a connection, one way after the other.
    async fn open(&self, target: &Target) -> Result<Box<Connection>, OpenFailure> {
        let requirement = &self.requirement(target).session;
        let host = known_host(target);
        let known = self.outbound.known_hosts.find(&host, clock::now());
        let mut ladder = Ladder::new(requirement, target.name.is_some(), known);
        let mut failures: Vec<OpenFailure> = Vec::new();
        loop {
            let way = ladder.way();
            let failure = match self.open_by(target, way).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            if known.is_some_and(|known| way == Way::Tls(known.way)) {
                self.outbound.known_hosts.forget(&host);
            }
            let Some(tls) = failure.tls else {
                // Not a matter of TLS. What TLS failed by before tells more, unless it was given up for plaintext.
                let telling = failures.into_iter().nth(ladder.most_telling());
                return Err(telling.filter(|_| way != Way::Plaintext).unwrap_or(failure));
            };
            match ladder.failed(tls) {
                Some(next) => {
                    self.note_tls_failure(target, &failure, next);
                    failures.push(failure);
                }
                None => {
                    failures.push(failure.clone());
                    return Err(failures.into_iter().nth(ladder.most_telling()).unwrap_or(failure));
                }
            }
        }
    }

    async fn open_by(&self, target: &Target, way: Way) -> Result<Box<Connection>, OpenFailure> {
        let (source, ehlo) = self.sender();
        let requirement = self.requirement(target);
        let certificate = self.certificate_use(target);
        let opening =
            Opening { target, source, ehlo: &ehlo, tls: self.tls(), way, certificate, requirement: &requirement };
        Connection::open(&self.outbound, opening).await
    }

    /// Tells the inbound side whether the host of a route takes mail that demands TLS.
    fn note_back_end(&self, target: &Target, offers_requiretls: bool) {
        if let NextHop::Route(_) = &self.decision.next_hop {
            self.outbound.back_ends.note(target.host(), offers_requiretls, clock::now());
        }
    }

    /// Nobody in particular is asked for, so that whoever answers speaks for the host. Else a "no" for good may be that
    /// of anybody on the way, and is one for now.
    fn is_open_to_all(&self, target: &Target) -> bool {
        let requirement = self.requirement(target);
        requirement.session.permits_plaintext() && requirement.proofs.is_empty()
    }

    /// Whether the message goes back once no host has what it asks for itself (RFC 8689 section 4.2.1).
    fn ends_by_message(&self, target: &Target, reason: Reason) -> bool {
        self.requirement(target).is_for_message_alone(reason)
    }

    /// Keeps in mind by what way this host was good enough. One that was content with plaintext has taught us nothing.
    fn remember(&self, connection: &Connection) {
        if let (Way::Tls(way), Some(facts)) = (connection.way, connection.tls()) {
            let worked = Worked { way, version: facts.version, grade: facts.grade() };
            self.outbound.known_hosts.worked(known_host(&connection.target), worked, clock::now());
        }
    }

    fn certificate_use(&self, target: &Target) -> CertificateUse {
        let learn = if self.decision.is_by_mx() { self.decision.following.learn.value } else { Learn::Off };
        certificate_use(&self.requirement(target), &target.published, learn)
    }

    fn check(&self, connection: &mut Connection) -> Result<Verified, (Reason, String)> {
        let requirement = self.requirement(&connection.target);
        let roots = self.roots(&requirement.session);
        let (met, evaluation) = connection.check(roots, &requirement, clock::timestamp());
        let detail = evaluation.as_ref().map(|evaluation| evaluation.detail.clone()).unwrap_or_default();
        let verified = evaluation.map_or(Verified::None, |evaluation| evaluation.verified);
        met.map(|()| verified).map_err(|reason| (reason, detail))
    }

    /// Source address and EHLO name, from the route if there is one.
    fn sender(&self) -> (Option<IpAddr>, Domain) {
        let (source, ehlo) = match &self.decision.next_hop {
            NextHop::Route(route) => (route.source_address, route.ehlo.clone()),
            NextHop::Mx => (None, None),
        };
        (source, ehlo.unwrap_or_else(|| self.snapshot.hostname.clone()))
    }

    /// TLS with the route's certificate if it has one.
    fn tls(&self) -> &ClientTls {
        let pair = match &self.decision.next_hop {
            NextHop::Route(route) => route.client_certificate.as_ref().map(|pair| &pair.value),
            NextHop::Mx => None,
        };
        pair.and_then(|pair| self.snapshot.client_tls.get(pair)).unwrap_or(&self.outbound.tls)
    }

    pub(super) fn pool_key(&self, target: &Target) -> Key {
        let (source, ehlo) = self.sender();
        let requirement = self.requirement(target);
        Key {
            address: target.address,
            name: target.name.clone(),
            source,
            ehlo,
            identity: self.tls().identity(),
            sni: target.server_name().cloned(),
            permits_tls: requirement.session.permits_tls(),
        }
    }

    /// What is only looked at is no delivery that failed.
    pub(super) fn count_tls_failed(&self, reason: Reason) {
        if self.carries_mail() {
            self.outbound.metrics.outbound_tls_failed(reason);
        }
    }

    fn not_opened(&self, target: &Target, failure: OpenFailure) -> Failure {
        self.note.shows(failure.signal);
        if failure.tls.is_some() || failure.reason.is_outbound_tls() {
            self.count_tls_failed(failure.reason);
            self.saw(target, What::Failed { reason: failure.reason, tls: failure.facts.as_ref(), lost: true });
            self.count_failure(target, Failed::of(&failure));
        }
        let lacks_starttls = failure.reason == Reason::StarttlsNotSupported && !failure.is_temporary();
        if lacks_starttls {
            self.note_back_end(target, false);
        }
        // Who has no STARTTLS has no REQUIRETLS either.
        let ends = lacks_starttls && self.ends_by_message(target, failure.reason);
        let reason = if ends { Reason::NeedsRequireTls } else { failure.reason };
        let mut situation = self.situation(Some(target), failure.facts.clone());
        situation.reason = Some(reason);
        situation.reply.clone_from(&failure.reply);
        situation.detail = Some(failure.detail.clone());
        self.record_attempt(&situation);
        Failure {
            reason,
            permanent: ends || failure.is_permanent() && self.is_open_to_all(target),
            doubtful: false,
            next_host: true,
            detail: failure.detail,
            reply: failure.reply,
            target: Some(target.clone()),
            tls: failure.facts,
            others: Vec::new(),
        }
    }

    /// Another way to TLS is no failure yet; to give it up for plaintext is one.
    fn note_tls_failure(&self, target: &Target, failure: &OpenFailure, next: Way) {
        if next == Way::Plaintext {
            self.count_tls_failed(failure.reason);
            self.saw(target, What::Failed { reason: failure.reason, tls: failure.facts.as_ref(), lost: false });
            self.count_failure(target, Failed::of(failure));
        }
        let mut situation = self.situation(Some(target), failure.facts.clone());
        situation.reason = Some(failure.reason);
        situation.detail = Some(format!("{}; {}", failure.detail, in_words(next)));
        self.record_attempt(&situation);
    }

    fn not_good_enough(&self, connection: &Connection, reason: Reason, detail: String) -> Failure {
        self.note.shows(Signal::Answers);
        self.count_tls_failed(reason);
        self.saw(&connection.target, What::Failed { reason, tls: connection.tls(), lost: true });
        let known = Some(connection.known());
        self.count_failure(
            &connection.target,
            Failed { reason, detail: detail.as_str().into(), tls: connection.tls(), known },
        );
        let detail = match connection.tls() {
            Some(facts) if detail.is_empty() => format!("{reason}: this session uses {facts}"),
            Some(_) => format!("{reason}: {detail}"),
            None => format!("{reason}: the session is not encrypted"),
        };
        let mut situation = self.situation(Some(&connection.target), connection.tls().cloned());
        situation.reason = Some(reason);
        situation.detail = Some(detail.clone());
        self.record_attempt(&situation);
        Failure {
            reason,
            permanent: self.ends_by_message(&connection.target, reason),
            doubtful: false,
            next_host: true,
            detail,
            reply: None,
            target: Some(connection.target.clone()),
            tls: connection.tls().cloned(),
            others: Vec::new(),
        }
    }
}

fn known_host(target: &Target) -> KnownHost {
    KnownHost { address: target.address, name: target.name.clone() }
}

/// Who looks at the certificate of a host: the requirement, or those who learn and report.
fn certificate_use(requirement: &HostRequirement, published: &Published, learn: Learn) -> CertificateUse {
    if !requirement.proofs.is_empty() {
        return CertificateUse::Required;
    }
    match learn {
        Learn::Off if published.mta_sts.is_none() => CertificateUse::Ignored,
        _ => CertificateUse::Noted,
    }
}

/// What is tried next, for the record.
const fn in_words(next: Way) -> &'static str {
    match next {
        Way::Plaintext => "plaintext is permitted and tried next",
        Way::Tls(TlsWay { stack: Stack::Rustls, sni: true }) => "tried next with rustls",
        Way::Tls(TlsWay { stack: Stack::Rustls, sni: false }) => "tried next with rustls and no server name",
        Way::Tls(TlsWay { stack: Stack::Openssl, sni: true }) => "tried next with OpenSSL",
        Way::Tls(TlsWay { stack: Stack::Openssl, sni: false }) => "tried next with OpenSSL and no server name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::ReversePath;
    use crate::model::time::Timestamp;
    use crate::policy::host_requirement::require;
    use crate::policy::outbound::{HostIdentity, decide};
    use crate::policy::published::{Learned, MtaSts};
    use crate::policy::rules::PolicySet;
    use crate::policy::settings::{OutboundTls, Sourced};
    use crate::policy::timed::Asker;

    #[test]
    fn a_session_is_resumed_only_where_nobody_looks_at_its_certificate() {
        use CertificateUse::{Ignored, Noted, Required};
        let (bank, mx) = (Domain::parse("bank.example").unwrap(), Domain::parse("mx.example").unwrap());
        let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
        let sts = |is_enforced| Some(MtaSts { is_enforced, lists_host: true });
        for (tls, mta_sts, learned, learn, expected) in [
            (OutboundTls::Opportunistic, None, None, Learn::Off, Ignored),
            (OutboundTls::Encrypt, None, None, Learn::Off, Ignored),
            (OutboundTls::Encrypt, None, None, Learn::Propose, Noted),
            (OutboundTls::Opportunistic, None, Some(Learned::Encrypt), Learn::Enforce, Noted),
            (OutboundTls::Opportunistic, sts(false), None, Learn::Off, Noted),
            (OutboundTls::Opportunistic, sts(true), None, Learn::Off, Required),
            (OutboundTls::Opportunistic, None, Some(Learned::Verify(vec![mx.clone()])), Learn::Enforce, Required),
            (OutboundTls::Verify, None, None, Learn::Off, Required),
        ] {
            let mut decision = decide(&PolicySet::default(), Some(&bank), &asker);
            decision.requirement.tls = Sourced::built_in(tls);
            decision.following.learn = Sourced::built_in(learn);
            let published = Published { mta_sts, learned, ..Published::default() };
            let host = HostIdentity { recipient_domain: Some(&bank), name: Some(&mx), name_is_trusted: false };
            let requirement = require(&decision, &host, &published).unwrap();
            assert_eq!(certificate_use(&requirement, &published, learn), expected, "{tls:?} {published:?} {learn:?}");
        }
    }
}
