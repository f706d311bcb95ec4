//! What goes out, asked about in every way.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::audit::event::{Event, Outbound as OutboundRecord, RequirementRecord};
use crate::audit::replay::{Answer as Replayed, Effect, Replay};
use crate::cli::arguments::Explain;
use crate::cli::cases::attempt;
use crate::cli::explain::outbound;
use crate::cli::tests::arbitrary;
use crate::config::Config;
use crate::config::cases::{CaseFile, Delivery, Outbound, Way};
use crate::explain::session::Session;
use crate::model::address::{Address, Host, ReversePath};
use crate::model::domain::{Domain, DomainPattern};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::assumed::HostCertificate;
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::host_requirement::require;
use crate::policy::outbound::{Decision, HostIdentity, NextHop, decide};
use crate::policy::published::Published;
use crate::policy::session_check::{IdentityCheck, all, prove, verify};
use crate::policy::settings::OnTlsFailure;
use crate::policy::timed::Asker;

use super::{NOT_ASKED_ABOUT, record, stamp, what_if};

/// One message that goes out over one session.
#[derive(Clone, Debug)]
pub(super) struct Dispatch {
    /// `None`: the relay itself sends it.
    client: Option<IpAddr>,
    from: ReversePath,
    to: Address,
    /// Where the mail goes to MX hosts; `None` knows none by name.
    mx: Option<Domain>,
    /// Which of the hosts of a route, where one carries the mail.
    place: usize,
    tls: Option<TlsFacts>,
    certificate: Option<HostCertificate>,
    certificate_names: Vec<DomainPattern>,
}

pub(super) type Sent = (DeliveryVerdict, Option<Reason>);

pub(super) fn delivery() -> impl Strategy<Value = Dispatch> {
    use HostCertificate::{Expired, Trusted, Untrusted};
    let certificate = prop_oneof![
        3 => select(vec![Trusted, Trusted, Untrusted, Expired]),
        1 => arbitrary::fingerprint().prop_map(HostCertificate::Fingerprint),
    ];
    let names = select(vec!["bank.example", "*.hosts.example", "store.example"]);
    let names = vec(names.prop_map(|name| DomainPattern::parse(name).unwrap()), 0..2);
    let session = (arbitrary::bare_session(), arbitrary::peer());
    let session = session.prop_map(|(facts, peer)| facts.map(|facts| TlsFacts { peer: Some(peer), ..facts }));
    let mx = select(vec![None, Some("mx.hosts.example"), Some("store.example")]);
    let host = (mx.prop_map(|name| name.map(|name| Domain::parse(name).unwrap())), 0..2_usize);
    let message = (option::of(arbitrary::client()), arbitrary::sender(), arbitrary::recipient());
    (message, host, session, option::of(certificate), names).prop_map(
        |((client, from, to), (mx, place), tls, certificate, certificate_names)| Dispatch {
            client,
            from,
            to,
            mx,
            place,
            tls,
            certificate,
            certificate_names,
        },
    )
}

impl Dispatch {
    /// The daemon's way: the decision, a session with a host of its next hop, the check of that, the record.
    pub(super) fn deliver(&self, config: &Config, at: Timestamp) -> (Sent, String) {
        let asker = Asker { at, client: self.client, sender: &self.from };
        let decision = decide(&config.policies, self.to.domain(), &asker);
        let (host, is_written) = (self.host(&decision), matches!(decision.next_hop, NextHop::Route(_)));
        let name = host.as_ref().and_then(Host::domain);
        let names = match (self.certificate_names.as_slice(), name.or(self.to.domain())) {
            ([], Some(name)) => vec![DomainPattern::Exact(name.clone())],
            (names, _) => names.to_vec(),
        };
        let tls = self.tls.clone().map(|facts| match self.certificate {
            Some(certificate) => certificate.shown_in(facts, &names),
            None => facts,
        });
        let identity = HostIdentity { recipient_domain: self.to.domain(), name, name_is_trusted: is_written };
        let requirement = require(&decision, &identity, &Published::default()).unwrap();
        let peer = tls.as_ref().and_then(|facts| facts.peer.as_ref());
        let checked = all(requirement.proofs.iter().map(|proof| prove(&proof.of, peer)));
        assert_ne!(checked, IdentityCheck::Unknown, "a session that stands tells");
        let end = match (verify(&requirement, tls.as_ref(), checked), &decision.on_tls_failure.value) {
            (Ok(()), _) => (DeliveryVerdict::Deliver, None),
            (Err(reason), OnTlsFailure::Defer | OnTlsFailure::Route(_)) => (DeliveryVerdict::Defer, Some(reason)),
            (Err(reason), OnTlsFailure::Bounce) => (DeliveryVerdict::Bounce, Some(reason)),
        };
        (end, self.recorded(&decision, host.as_ref(), tls.as_ref(), end))
    }

    fn host(&self, decision: &Decision) -> Option<Host> {
        match &decision.next_hop {
            NextHop::Mx => self.mx.clone().map(Host::Name),
            NextHop::Route(route) => route.hosts.get(self.place).or(route.hosts.first()).map(|hop| hop.host.clone()),
        }
    }

    fn recorded(
        &self,
        decision: &Decision,
        host: Option<&Host>,
        tls: Option<&TlsFacts>,
        (verdict, reason): Sent,
    ) -> String {
        let event = match verdict {
            DeliveryVerdict::Deliver => Event::OutboundDelivered,
            DeliveryVerdict::Bounce => Event::OutboundBounced,
            DeliveryVerdict::Defer | DeliveryVerdict::Unknown => Event::OutboundDeferred,
        };
        let stamp = stamp();
        let mut record = record(&stamp, event, &self.from, self.client);
        record.to = vec![self.to.as_str()];
        record.tls = tls;
        let route = match &decision.next_hop {
            NextHop::Mx => None,
            NextHop::Route(route) => Some(route.name.to_string()),
        };
        record.outbound = Some(OutboundRecord {
            mx_trusted: route.is_some(),
            route,
            mx: host.map(Host::to_string),
            remote: None,
            dnssec: "unknown",
            published: None,
            requirement: RequirementRecord::of(decision, None),
            attempt: 1,
            reason,
            next_attempt: None,
            expired: false,
            rerouted_to: None,
            duration_ms: 1,
        });
        record.entry().json.to_string()
    }

    pub(super) fn explained(&self, asked: &mut Explain, config: &Config, at: Timestamp) -> Sent {
        (asked.from, asked.to, asked.at) = (self.from.clone(), self.to.clone(), Some(at));
        (asked.client, asked.plaintext) = (self.client, self.tls.is_none());
        (asked.certificate, asked.certificate_names) = (self.certificate, self.certificate_names.clone());
        let decision =
            decide(&config.policies, self.to.domain(), &Asker { at, client: self.client, sender: &self.from });
        let name = self.host(&decision).and_then(|host| host.domain().cloned());
        let facts = outbound::facts::parse(&serde_json::json!({ "hosts": [{ "name": name }] }).to_string()).unwrap();
        let session = Session::certain(self.tls.clone());
        let answer = outbound::explain(config, asked, &session, Some(facts), &|_| panic!("facts were given"));
        let answer = answer.unwrap().json();
        let verdict = DeliveryVerdict::ALL.into_iter().find(|one| answer["verdict"] == one.as_str()).unwrap();
        (verdict, serde_json::from_value(answer["reason"].clone()).unwrap())
    }

    pub(super) fn replayed(&self, replay: &mut Replay<'_>, line: &str) -> Sent {
        match what_if(replay, line, Some(&self.to)) {
            Ok(Replayed { effect, reason, .. }) => match effect {
                Effect::Taken | Effect::Reported => (DeliveryVerdict::Deliver, reason),
                Effect::Deferred => (DeliveryVerdict::Defer, reason),
                Effect::Refused => (DeliveryVerdict::Bounce, reason),
            },
            Err(_) => (DeliveryVerdict::Unknown, None),
        }
    }

    /// A case that expects this end passes, and one that expects another does not.
    pub(super) fn check_case(
        &self,
        file: &mut CaseFile,
        config: &Config,
        at: Timestamp,
        end: Sent,
    ) -> Result<(), TestCaseError> {
        let decision =
            decide(&config.policies, self.to.domain(), &Asker { at, client: self.client, sender: &self.from });
        let case = &mut file.cases[1];
        (case.from, case.to, case.at) = (self.from.clone(), self.to.clone(), Some(at));
        (case.client, case.tls) = (self.client, self.tls.clone());
        // A route leads to its first named host where a case names none.
        let mx = self.host(&decision).and_then(|host| host.domain().cloned());
        for verdict in DeliveryVerdict::ALL {
            file.cases[1].way = Way::Outbound(Outbound {
                certificate: self.certificate,
                certificate_names: self.certificate_names.clone(),
                mx: mx.clone(),
                expected: Delivery::Verdict(verdict),
                reason: end.1,
            });
            let tried = attempt(config, file, &file.cases[1], NOT_ASKED_ABOUT).unwrap();
            prop_assert_eq!(tried.passes, verdict == end.0, "policy test {:?}, got {}", verdict, tried.got());
        }
        Ok(())
    }
}
