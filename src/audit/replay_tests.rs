//! One verdict, however it is asked for: at the door, walked through as `policy explain` does, and from the record.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::audit::event::{Client, Event, Policy, Record, Stamp};
use crate::audit::facts::{Said, read};
use crate::model::cipher::{CipherGrade, CipherSuite};
use crate::model::domain::DomainPattern;
use crate::model::id::RecordId;
use crate::model::tls::{PeerCertificate, ProtocolVersion, Verified};
use crate::policy::inbound::{Floor, Judgement};
use crate::policy::names::Fingerprint;
use crate::policy::relay::{Role, TrustedClients};
use crate::policy::rules::{Defaults, DomainPolicy};
use crate::policy::settings::{
    AppliesTo, ClientCertificateRule, DeliveryLayer, InboundLayer, InboundTls, Mode, OnTlsFailure, OutboundLayer,
    OutboundTls, Sourced,
};
use crate::policy::timed::{Enforcement, Exception, Rules, Step};

const DOMAINS: [&str; 3] = ["a.example", "bank.example", "c.example"];
const SENDERS: [&str; 5] = ["", "x@a.example", "fax@a.example", "y@bank.example", "z@d.example"];
const RECIPIENTS: [&str; 6] = [
    "b@bank.example",
    "nobody@bank.example",
    "Postmaster@bank.example",
    "\"b\"@BANK.example",
    "u@a.example",
    "v@[192.0.2.9]",
];
const CLIENTS: [&str; 4] = ["192.0.2.1", "198.51.100.7", "10.0.0.1", "2001:db8::1"];
const LISTENERS: [(&str, Role); 3] = [("mx", Role::Mx), ("out", Role::Smarthost), ("submission", Role::Submission)];
const NOW: Timestamp = Timestamp::from_secs(100);

fn sourced<T: std::fmt::Debug + Clone>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Option<Sourced<T>>> {
    option::of(values.prop_map(|value| Sourced { value, source: Source::File { file: "f".into(), line: 1 } }))
}

fn fingerprint(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

fn versions() -> impl Strategy<Value = ProtocolVersion> {
    select(&ProtocolVersion::ALL)
}

fn grades() -> impl Strategy<Value = CipherGrade> {
    select(&CipherGrade::ALL)
}

fn inbound_layer() -> BoxedStrategy<InboundLayer> {
    let certificate = prop_oneof![
        4 => Just(ClientCertificateRule::None),
        1 => Just(ClientCertificateRule::Verified),
        1 => Just(ClientCertificateRule::Fingerprints([fingerprint(1)].into())),
    ];
    let sides = (any::<bool>(), any::<bool>()).prop_map(|(sender, recipient)| AppliesTo { sender, recipient });
    let modes = vec![Mode::Report, Mode::Defer, Mode::Enforce];
    let tls = vec![InboundTls::Optional, InboundTls::Required];
    let keys = (
        sourced(select(tls)),
        sourced(versions()),
        sourced(grades()),
        sourced(certificate),
        sourced(sides),
        sourced(select(modes)),
    );
    keys.prop_map(|(tls, min_version, cipher, client_certificate, applies_to, mode)| InboundLayer {
        tls,
        min_version,
        cipher,
        client_certificate,
        applies_to,
        mode,
        ..InboundLayer::default()
    })
    .boxed()
}

fn outbound_layer() -> BoxedStrategy<OutboundLayer> {
    let tls = select(&OutboundTls::ALL);
    (sourced(tls), sourced(versions()), sourced(grades()))
        .prop_map(|(tls, min_version, cipher)| OutboundLayer { tls, min_version, cipher, ..OutboundLayer::default() })
        .boxed()
}

fn terms() -> BoxedStrategy<Arc<Terms>> {
    let senders = vec![
        SenderPattern::Null,
        SenderPattern::Mailbox(Address::parse("fax@a.example", Charset::Ascii).unwrap()),
        SenderPattern::Domain(DomainPattern::parse("a.example").unwrap()),
    ];
    let clients = select(vec!["192.0.2.0/24", "198.51.100.7/32"]).prop_map(|network| network.parse().unwrap());
    (vec(clients, 0..2), vec(select(senders), 0..2), select(vec![50, 150]))
        .prop_map(|(clients, senders, expires)| {
            let expires = Timestamp::from_secs(expires);
            Arc::new(Terms {
                source: Source::BuiltIn,
                clients,
                senders,
                owner: "o".into(),
                reason: "r".into(),
                expires,
            })
        })
        .boxed()
}

fn rules<L: Clone + std::fmt::Debug + 'static>(layer: fn() -> BoxedStrategy<L>) -> BoxedStrategy<Rules<L>> {
    let step = (select(vec![50, 150]), layer()).prop_map(|(from, layer)| Step {
        from: Timestamp::from_secs(from),
        source: Source::BuiltIn,
        layer,
    });
    let exception = (terms(), layer()).prop_map(|(terms, layer)| Exception { terms, layer });
    (layer(), vec(step, 0..2), option::of(layer()), vec(exception, 0..2))
        .prop_map(|(base, steps, shadow, exceptions)| Rules { base, steps, shadow, exceptions })
        .boxed()
}

fn policies() -> BoxedStrategy<PolicySet> {
    let end = sourced(select(vec![OnTlsFailure::Defer, OnTlsFailure::Bounce]));
    let domain = (rules(inbound_layer), rules(outbound_layer), end, any::<bool>(), any::<bool>());
    let suspended = option::of(select(vec![50, 150]));
    (rules(inbound_layer), rules(outbound_layer), [domain], suspended)
        .prop_map(|(inbound, outbound, [one], suspended)| {
            let (own_inbound, own_outbound, on_tls_failure, hosted, listed) = one;
            let names = Arc::new(["b".to_owned()].into());
            let of = |(index, name): (usize, &&str)| DomainPolicy {
                file: format!("{name}.toml").into(),
                patterns: vec![DomainPattern::parse(name).unwrap()],
                hosted: hosted || index == 1,
                recipients: match listed {
                    true => Recipients::Listed { file: "list".into(), names: Arc::clone(&names) },
                    false => Recipients::Any,
                },
                inbound: own_inbound.clone(),
                outbound: own_outbound.clone(),
                delivery: DeliveryLayer { on_tls_failure: on_tls_failure.clone(), ..DeliveryLayer::default() },
                ..DomainPolicy::default()
            };
            let defaults = Defaults { inbound, outbound, ..Defaults::default() };
            let mut set = PolicySet::new(defaults, DOMAINS.iter().enumerate().map(of).collect()).unwrap();
            if let Some(until) = suspended {
                let until = Timestamp::from_secs(until);
                set.enforcement = Enforcement::ReportUntil { until, source: Source::BuiltIn };
            }
            set
        })
        .boxed()
}

fn session() -> BoxedStrategy<Option<TlsFacts>> {
    let suite = select(vec!["TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-SHA", "AES256-SHA", "DES-CBC3-SHA"]);
    let verified = select(vec![Verified::None, Verified::Webpki]);
    let peer = (0..3_u8, verified).prop_map(|(n, verified)| PeerCertificate {
        names: vec!["bank.example".to_owned(), "*.hosts.example".to_owned()],
        verified,
        ..PeerCertificate::assumed(fingerprint(n).hex())
    });
    let group = select(vec![None, Some("x25519".to_owned()), Some("dh-1024".to_owned())]);
    option::of((versions(), suite, option::of(peer), group, any::<bool>()).prop_map(
        |(version, suite, peer, group, resumed)| TlsFacts {
            peer,
            group,
            resumed,
            ..TlsFacts::assumed(version, CipherSuite::by_name(suite).unwrap())
        },
    ))
    .boxed()
}

#[derive(Clone, Debug)]
struct Scene {
    listener: usize,
    client: &'static str,
    from: &'static str,
    to: &'static str,
    tls: Option<TlsFacts>,
}

fn scenes() -> BoxedStrategy<Vec<Scene>> {
    let listener = 0..LISTENERS.len();
    let scene = (listener, select(&CLIENTS), select(&SENDERS), select(&RECIPIENTS), session())
        .prop_map(|(listener, client, from, to, tls)| Scene { listener, client, from, to, tls });
    vec(scene, 1..24).boxed()
}

fn path(text: &str) -> ReversePath {
    match text {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(Address::parse(text, Charset::Utf8).unwrap()),
    }
}

/// The line that the daemon writes about a transaction.
fn recorded(scene: &Scene, weighing: &Judgement, is_taken: bool, to: &[&str]) -> String {
    let event = if is_taken { Event::InboundAccepted } else { Event::InboundRefused };
    let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
    let mut record = Record::new(&stamp, NOW, RecordId::from_u128(7), event);
    record.listener = Some(LISTENERS[scene.listener].0);
    record.client = Some(Client { ip: scene.client.parse().unwrap(), port: 4242, helo: Some("h") });
    record.from = Some(scene.from);
    record.to = to.to_vec();
    record.tls = scene.tls.as_ref();
    record.policy = Some(Policy::of(weighing));
    record.entry().json.to_string()
}

fn setting<'a>(policies: &'a PolicySet, trusted: &'a TrustedClients, floors: &'a [Floor; 3]) -> Setting<'a> {
    let doors = LISTENERS.iter().zip(floors).map(|((name, role), floor)| {
        let door = Door { policies, trusted, role: *role, relay: true, floor };
        (*name, door)
    });
    Setting { policies, doors: doors.collect(), at: NOW }
}

fn floors() -> [Floor; 3] {
    LISTENERS.map(|(_, role)| Floor::of(role, Floor::default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Many records go through one replay, so that what it remembers is used too.
    #[test]
    fn daemon_explanation_and_replay_of_the_record_give_one_verdict(
        before in policies(), after in policies(), scenes in scenes(),
    ) {
        let trusted =
            TrustedClients { networks: vec!["10.0.0.0/8".parse().unwrap()], certificates: vec![fingerprint(2)] };
        let floors = floors();
        let (before, after) = (setting(&before, &trusted, &floors), setting(&after, &trusted, &floors));
        let mut replay = Replay::new(&before, &after);
        for scene in &scenes {
            let (from, to) = (path(scene.from), Address::parse(scene.to, Charset::Utf8).unwrap());
            let visitor = Visitor { at: NOW, ip: scene.client.parse().unwrap(), tls: scene.tls.as_ref() };
            for (index, setting) in [&before, &after].into_iter().enumerate() {
                let door = setting.doors[LISTENERS[scene.listener].0];
                // The daemon's way, command by command.
                let mail = door.judge_mail(&visitor, &from);
                let rcpt = mail.passes().then(|| door.judge_rcpt(&visitor, &from, &to));
                let outcome = door.transact(&visitor, &from, &to).outcome(visitor.tls, ID);
                let refusal = rcpt.as_ref().and_then(|rcpt| rcpt.refusal());
                let is_taken = mail.passes() && refusal.is_none();
                prop_assert_eq!(is_taken, outcome.verdict <= Verdict::WouldRefuse);

                let line = recorded(scene, &mail, is_taken, &[scene.to]);
                let Said::Facts(facts) = read(line.as_bytes()).unwrap() else { panic!("{line}") };
                let session = replay.session(&facts);
                let pair = replay.judge(&facts, &session, Some(scene.to));
                let answer = [&pair.before, &pair.after][index].clone().unwrap();
                prop_assert_eq!(answer.effect, Effect::from(outcome.verdict), "{}", line);
                prop_assert_eq!(answer.reason, outcome.reason);
                let reply = outcome.reply.or(outcome.would_be).map(|reply| reply.to_string());
                prop_assert_eq!(answer.reply, reply);

                // Refused at MAIL, nothing is known of a recipient.
                let pair = replay.judge(&facts, &session, None);
                let answer = [&pair.before, &pair.after][index].clone().unwrap();
                prop_assert_eq!((answer.effect, answer.reason), (mail.verdict.into(), mail.reason));
            }
        }
    }

    #[test]
    fn a_delivery_is_judged_from_its_record_as_it_was_by_the_daemon(
        policies in policies(), scenes in scenes(), mx_is_trusted in any::<bool>(),
    ) {
        let (trusted, floors) = (TrustedClients::default(), floors());
        let setting = setting(&policies, &trusted, &floors);
        let mut replay = Replay::new(&setting, &setting);
        for scene in &scenes {
            let (from, to) = (path(scene.from), Address::parse(scene.to, Charset::Utf8).unwrap());
            let mx = Domain::parse("mx.hosts.example").unwrap();
            let host = HostFacts { name: Some(&mx), name_is_trusted: mx_is_trusted, tls: scene.tls.as_ref() };
            let asker = Asker { at: NOW, client: Some(scene.client.parse().unwrap()), sender: &from };
            let judged = judge_delivery(&policies, &asker, to.domain(), &host);

            let json = recorded(scene, &Door::judge_mail(&setting.doors["mx"], &Visitor {
                at: NOW, ip: scene.client.parse().unwrap(), tls: None,
            }, &from), true, &[scene.to]);
            let mut record: serde_json::Value = serde_json::from_str(&json).unwrap();
            record["event"] = "outbound.delivered".into();
            record["mx"] = mx.as_str().into();
            record["mx_trusted"] = mx_is_trusted.into();
            record["route"] = serde_json::Value::Null;
            let line = record.to_string();
            let Said::Facts(facts) = read(line.as_bytes()).unwrap() else { panic!("{line}") };
            let session = replay.session(&facts);
            let answer = replay.judge(&facts, &session, Some(scene.to)).after.clone();
            let expected = match judged.verdict {
                DeliveryVerdict::Deliver => Ok(Effect::Taken),
                DeliveryVerdict::Defer => Ok(Effect::Deferred),
                DeliveryVerdict::Bounce => Ok(Effect::Refused),
                DeliveryVerdict::Unknown => Err(Unknown::NotRecorded),
            };
            prop_assert_eq!(answer.as_ref().map(|answer| answer.effect).map_err(|why| *why), expected, "{}", line);
            prop_assert_eq!(answer.map(|answer| answer.reason).unwrap_or_default(), judged.reason);
        }
    }
}

#[test]
fn what_the_record_does_not_tell_is_not_guessed() {
    let (policies, trusted, floors) = (PolicySet::default(), TrustedClients::default(), floors());
    let setting = setting(&policies, &trusted, &floors);
    let check = |json: &str, to: &str, expected: Result<Effect, Unknown>| {
        let line = format!("{{\"time\":\"t\",\"id\":\"i\",{json}}}");
        let Said::Facts(facts) = read(line.as_bytes()).unwrap() else { panic!("{line}") };
        let mut replay = Replay::new(&setting, &setting);
        let session = replay.session(&facts);
        let pair = replay.judge(&facts, &session, Some(to));
        assert_eq!(pair.after.as_ref().map(|answer| answer.effect).map_err(|why| *why), expected, "{line}");
    };
    let client = r#""client":{"ip":"192.0.2.1","port":1,"helo":null},"from":"a@x.example""#;
    let accepted = format!(r#""event":"inbound.accepted","listener":"mx",{client}"#);
    check(&accepted, "b@bank.example", Ok(Effect::Refused));
    check(&accepted.replace("\"mx\"", "\"old\""), "b@bank.example", Err(Unknown::ListenerGone));
    check(&accepted.replace("192.0.2.1", "?"), "b@bank.example", Err(Unknown::NotRecorded));
    check(&accepted, "not an address", Err(Unknown::NotRecorded));
    check(&format!("{accepted},\"tls\":{{\"version\":\"TLSv9\"}}"), "b@bank.example", Err(Unknown::NotRecorded));
    let out = |event: &str, more: &str| format!(r#""event":"outbound.{event}","from":"a@x.example",{more}"tls":null"#);
    check(&out("delivered", ""), "b@x.example", Ok(Effect::Taken));
    check(&out("deferred", r#""reason":"starttls-not-supported","#), "b@x.example", Ok(Effect::Taken));
    check(&out("deferred", r#""reason":"validation-failure","#), "b@x.example", Err(Unknown::NotRecorded));
    check(&out("delivered", r#""route":"escrow","#), "b@x.example", Err(Unknown::OtherNextHop));
}
