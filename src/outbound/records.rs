//! The audit records of a delivery.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::event::{Client, Event, Outbound as OutboundRecord, Record, RequirementRecord, Stamp};
use crate::audit::published::PublishedRecord;
use crate::clock;
use crate::dns::Security;
use crate::model::domain::Domain;
use crate::model::envelope::{Envelope, Origin};
use crate::model::id::SessionId;
use crate::model::reason::Reason;
use crate::model::record::AuditEntry;
use crate::model::reply::Reply;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::outbound::{Decision, NextHop};
use crate::random;

use super::targets::Target;

/// What all records of one attempt share.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) stamp: Stamp,
    pub(super) session: SessionId,
    pub(super) envelope: Arc<Envelope>,
    pub(super) decision: Decision,
    pub(super) attempt: u32,
}

/// Where the attempt stands when the record is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Situation {
    pub(super) target: Option<Target>,
    /// The host, where there is no target because its addresses are not known.
    pub(super) host: Option<Domain>,
    pub(super) tls: Option<TlsFacts>,
    pub(super) reason: Option<Reason>,
    pub(super) reply: Option<Reply>,
    pub(super) detail: Option<String>,
    pub(super) next_attempt: Option<Timestamp>,
    /// The lifetime is over; `reason` is why the last attempt failed.
    pub(super) expired: bool,
    /// The name of the route that takes over.
    pub(super) rerouted_to: Option<String>,
    pub(super) took: Duration,
}

impl Subject {
    /// A record about the recipients at `places`, or several if they are too many for one.
    pub(super) fn records(&self, event: Event, places: &[u32], situation: &Situation) -> Vec<AuditEntry> {
        let time = clock::timestamp();
        let target = situation.target.as_ref();
        let requirement = target.and_then(Target::asked);
        let host = || situation.host.as_ref().map(ToString::to_string);
        let mut record = Record::new(&self.stamp, time, random::record_id(time), event);
        record.session = Some(self.session);
        record.message = Some(self.envelope.id);
        record.client = client(&self.envelope.origin);
        record.from = Some(self.envelope.sender.path.as_str());
        record.to = addresses(&self.envelope, places);
        record.tls = situation.tls.as_ref();
        record.reply = situation.reply.as_ref().map(Reply::to_string);
        record.detail.clone_from(&situation.detail);
        record.outbound = Some(OutboundRecord {
            route: match &self.decision.next_hop {
                NextHop::Mx => None,
                NextHop::Route(route) => Some(route.name.to_string()),
            },
            mx: target.map(Target::shown).or_else(host),
            mx_trusted: situation.target.as_ref().is_some_and(|target| target.name_is_trusted),
            remote: situation.target.as_ref().map(|target| target.address.to_string()),
            dnssec: dnssec(situation.target.as_ref().map(|target| target.security)),
            requirement: RequirementRecord::of(&self.decision, requirement),
            published: target.and_then(|target| PublishedRecord::of(&target.published)),
            attempt: self.attempt,
            reason: situation.reason,
            next_attempt: situation.next_attempt,
            expired: situation.expired,
            rerouted_to: situation.rerouted_to.clone(),
            duration_ms: u64::try_from(situation.took.as_millis()).unwrap_or(u64::MAX),
        });
        record.entries()
    }
}

/// Who brought the message: what a policy says may depend on it. `None` for our own notices.
fn client(origin: &Origin) -> Option<Client<'_>> {
    let helo = Some(origin.helo.as_str()).filter(|helo| !helo.is_empty());
    origin.ip.map(|ip| Client { ip, port: origin.port, helo })
}

pub(super) fn addresses<'a>(envelope: &'a Envelope, places: &[u32]) -> Vec<&'a str> {
    let recipient = |place: &u32| envelope.recipients.get(usize::try_from(*place).ok()?);
    places.iter().filter_map(recipient).map(|recipient| recipient.address.as_str()).collect()
}

fn dnssec(security: Option<Security>) -> &'static str {
    match security {
        Some(Security::Secure) => "secure",
        Some(Security::Insecure) => "insecure",
        Some(Security::Unknown) | None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::{Address, Host, ReversePath};
    use crate::model::cipher::CipherSuite;
    use crate::model::domain::DomainPattern;
    use crate::model::envelope::{Recipient, Sender, Trust};
    use crate::model::id::MessageId;
    use crate::model::tls::ProtocolVersion;
    use crate::policy::delivery::{HostFacts, judge_delivery};
    use crate::policy::published::Published;
    use crate::policy::rules::{Defaults, DomainPolicy, PolicySet};
    use crate::policy::settings::{HostPort, IpChoice, OutboundLayer, OutboundTls, Route, Source, Sourced};
    use crate::policy::timed::{Asker, Exception, Rules, Terms};

    const SENDER: &str = "a@partner.example";

    fn envelope(ip: Option<[u8; 4]>) -> Envelope {
        Envelope {
            id: MessageId::from_u128(1),
            received_at: Timestamp::from_secs(0),
            sender: Sender::plain(ReversePath::Mailbox(SENDER.parse::<Address>().unwrap())),
            recipients: vec![Recipient::plain("b@bank.example".parse().unwrap())],
            origin: Origin {
                session: SessionId::from_u128(1),
                listener: "mx".to_owned(),
                ip: ip.map(Into::into),
                port: 4242,
                helo: "mail.partner.example".to_owned(),
                trust: Trust::Local,
                tls: None,
            },
            size: 0,
            eight_bit: false,
            tls_required_no: false,
            tls_report: false,
        }
    }

    /// `bank.example` asks for TLS 1.3, and of one network for TLS 1.0; `routed.example` has a route.
    fn policies() -> PolicySet {
        let minimum = |value| OutboundLayer {
            tls: Some(Sourced::built_in(OutboundTls::Encrypt)),
            min_version: Some(Sourced::built_in(value)),
            ..OutboundLayer::default()
        };
        let terms = Terms {
            source: Source::File { file: "domains.d/bank.toml".into(), line: 7 },
            clients: vec!["203.0.113.0/24".parse().unwrap()],
            senders: Vec::new(),
            owner: "facilities".to_owned(),
            reason: "scanner fleet".to_owned(),
            expires: Timestamp::from_secs(1_000),
        };
        let exception = Exception { terms: Arc::new(terms), layer: minimum(ProtocolVersion::Tls1_0) };
        let bank = Rules { exceptions: vec![exception], ..Rules::from(minimum(ProtocolVersion::Tls1_3)) };
        let route = Route {
            name: "store".into(),
            source: Source::BuiltIn,
            hosts: vec![HostPort { host: Host::parse("store.example").unwrap(), port: 25 }],
            tls: OutboundLayer::default(),
            source_address: None,
            ehlo: None,
            ip: IpChoice::Any,
            client_certificate: None,
        };
        let file = |name: &str| DomainPolicy {
            patterns: vec![DomainPattern::parse(name).unwrap()],
            ..DomainPolicy::default()
        };
        let files = vec![
            DomainPolicy { outbound: bank, ..file("bank.example") },
            DomainPolicy { route: Some(Arc::new(route)), ..file("routed.example") },
        ];
        PolicySet::new(Defaults::default(), files).unwrap()
    }

    fn record(policies: &PolicySet, ip: Option<[u8; 4]>, domain: &str, situation: &Situation) -> serde_json::Value {
        let envelope = envelope(ip);
        let asker = crate::outbound::destination::asker(&envelope, Timestamp::from_secs(1));
        let decision = crate::policy::outbound::decide(policies, Some(&Domain::parse(domain).unwrap()), &asker);
        let subject = Subject {
            stamp: Stamp { node: "mx1".into(), config: "abc".into() },
            session: SessionId::from_u128(2),
            envelope: Arc::new(envelope),
            decision,
            attempt: 1,
        };
        serde_json::from_str(&subject.records(Event::OutboundDeferred, &[0], situation)[0].json).unwrap()
    }

    fn situation(name: &str, name_is_trusted: bool) -> Situation {
        let target = Target {
            name: Some(Domain::parse(name).unwrap()),
            name_is_trusted,
            address: ([192, 0, 2, 1], 25).into(),
            security: Security::Unknown,
            published: Arc::default(),
            requirement: None,
            unmet: None,
        };
        let suite = CipherSuite::by_name("ECDHE-RSA-AES128-SHA").unwrap();
        let tls = Some(TlsFacts::assumed(ProtocolVersion::Tls1_1, suite));
        Situation { target: Some(target), tls, ..Situation::default() }
    }

    #[test]
    fn a_delivery_is_on_record_with_who_brought_it_and_where_it_went() {
        let policies = policies();
        let routed = record(&policies, Some([203, 0, 113, 5]), "routed.example", &situation("store.example", true));
        assert_eq!(routed["client"]["ip"], "203.0.113.5");
        assert_eq!(routed["client"]["helo"], "mail.partner.example");
        assert_eq!((&routed["route"], &routed["mx_trusted"]), (&"store".into(), &true.into()));
        assert!(routed["requirement"].get("exception").is_none());

        let own = record(&policies, None, "bank.example", &Situation::default());
        assert!(own["client"].is_null() && own["route"].is_null() && own["mx"].is_null(), "{own}");
        assert_eq!(own["mx_trusted"], false);

        let unknown = Situation { host: Some(Domain::parse("mx.bank.example").unwrap()), ..Situation::default() };
        let unknown = record(&policies, None, "bank.example", &unknown);
        assert_eq!((&unknown["mx"], unknown["remote"].is_null()), (&"mx.bank.example".into(), true));

        let excepted = record(&policies, Some([203, 0, 113, 5]), "bank.example", &situation("mx.example", false));
        let exception = &excepted["requirement"]["exception"];
        assert_eq!((&exception["owner"], &exception["rule"]), (&"facilities".into(), &"domains.d/bank.toml:7".into()));
    }

    #[test]
    fn a_record_holds_what_its_verdict_can_be_asked_again_by() {
        let policies = policies();
        for (ip, expected) in [([203, 0, 113, 5], "deliver"), ([198, 51, 100, 5], "defer")] {
            let record = record(&policies, Some(ip), "bank.example", &situation("mx.example", false));
            let tls: TlsFacts = serde_json::from_value(record["tls"].clone()).unwrap();
            let sender = ReversePath::Mailbox(record["from"].as_str().unwrap().parse().unwrap());
            let name = Domain::parse(record["mx"].as_str().unwrap()).unwrap();
            let recipient: Address = record["to"][0].as_str().unwrap().parse().unwrap();
            let asker = Asker {
                at: Timestamp::from_secs(1),
                client: Some(record["client"]["ip"].as_str().unwrap().parse().unwrap()),
                sender: &sender,
            };
            let host = HostFacts {
                name: Some(&name),
                name_is_trusted: record["mx_trusted"].as_bool().unwrap(),
                published: &Published::default(),
                tls: Some(&tls),
            };
            let judged = judge_delivery(&policies, &asker, recipient.domain(), &host);
            assert_eq!(judged.verdict.as_str(), expected, "{record}");
        }
    }
}
