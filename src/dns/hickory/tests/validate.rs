//! With signatures that are checked here: a small signed tree, and answers that somebody has tampered with.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_resolver::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_resolver::proto::dnssec::{Algorithm, DigestType, DnssecSigner, SigningKey};
use hickory_resolver::proto::op::{Metadata, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, NS, SOA, TLSA};
use hickory_resolver::proto::rr::{LowerName, RecordSet, RrKey};
use hickory_server::Server;
use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponseBuilder, ZoneType};

use crate::policy::settings::IpChoice;

use super::super::super::Resolver;
use super::*;

type Zone = InMemoryZoneHandler<TokioRuntimeProvider>;

const TTL: u32 = 300;
/// Of the SOA record: the shorter one of its own lifetime and of what it says.
const NEGATIVE_TTL: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A key of a zone, as PKCS #8.
struct Key(Vec<u8>);

impl Key {
    fn new() -> Self {
        Self(EcdsaSigningKey::generate_pkcs8(Algorithm::ECDSAP256SHA256).unwrap().secret_pkcs8_der().to_vec())
    }

    fn signing(&self) -> EcdsaSigningKey {
        EcdsaSigningKey::from_pkcs8(&self.0.as_slice().into(), Algorithm::ECDSAP256SHA256).unwrap()
    }

    fn dnskey(&self) -> DNSKEY {
        DNSKEY::from_key(&self.signing().to_public_key().unwrap())
    }

    fn ds(&self, zone: &str) -> RData {
        let public = self.signing().to_public_key().unwrap();
        RData::DNSSEC(DNSSECRData::DS(DS::from_key(&public, &dns_name(zone), DigestType::SHA256).unwrap()))
    }
}

fn zone(origin: &str, records: Vec<(&str, RData)>) -> Zone {
    let soa = SOA::new(dns_name("ns.example."), dns_name("h.example."), 1, 60, 60, 60, 60);
    let mut zone = Zone::empty(dns_name(origin), ZoneType::Primary, AxfrPolicy::Deny, Some(NxProofKind::Nsec));
    let own = [(origin, RData::SOA(soa)), (origin, ns())];
    for (owner, data) in own.into_iter().chain(records) {
        assert!(zone.upsert_mut(Record::from_rdata(dns_name(owner), TTL, data), 1), "{owner}");
    }
    zone
}

fn signed(mut zone: Zone, origin: &str, key: &Key) -> Zone {
    let signer = DnssecSigner::new(key.dnskey(), Box::new(key.signing()), dns_name(origin), DAY);
    zone.add_zone_signing_key_mut(signer).unwrap();
    zone.secure_zone_mut().unwrap();
    zone
}

fn tamper(zone: &mut Zone, owner: &str, kind: RecordType, change: impl FnOnce(&mut RecordSet)) {
    let key = RrKey::new(LowerName::from(dns_name(owner)), kind);
    change(Arc::make_mut(zone.records_get_mut().get_mut(&key).unwrap()));
}

fn ns() -> RData {
    RData::NS(NS(dns_name("ns.example.")))
}

fn a(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn mx(host: &str) -> RData {
    RData::MX(MX::new(10, dns_name(host)))
}

fn alias(to: &str) -> RData {
    RData::CNAME(CNAME(dns_name(to)))
}

fn tlsa(octet: u8) -> RData {
    RData::TLSA(TLSA::new(CertUsage::DaneEe, Selector::Spki, Matching::Sha256, vec![octet; 32]))
}

/// Root, `example.` with a key, `open.example.` without, `broken.` with another key than the root says.
fn tree(root_key: &Key) -> Vec<(&'static str, Zone)> {
    let [example_key, broken_key] = [Key::new(), Key::new()];
    let root = vec![
        ("example.", ns()),
        ("example.", example_key.ds("example.")),
        ("broken.", ns()),
        ("broken.", Key::new().ds("broken.")),
    ];
    let example = vec![
        ("to.example.", mx("mx.example.")),
        ("via.example.", alias("to.example.")),
        ("mx.example.", a(1)),
        ("_25._tcp.mx.example.", tlsa(7)),
        ("near.example.", alias("mx.example.")),
        ("far.example.", alias("mx.open.example.")),
        ("gone.example.", alias("nothing.open.example.")),
        ("dangling.example.", alias("nothing.example.")),
        ("_25._tcp.near.example.", alias("_25._tcp.mx.example.")),
        ("_25._tcp.dangling.example.", alias("nothing.example.")),
        ("crooked.example.", alias("host-.example.")),
        ("host-.example.", a(8)),
        ("forged.example.", a(3)),
        ("_25._tcp.forged.example.", tlsa(7)),
        ("bare.example.", a(4)),
        ("open.example.", ns()),
        ("*.wild.example.", a(9)),
    ];
    let open = vec![
        ("open.example.", mx("mx.open.example.")),
        ("mx.open.example.", a(2)),
        ("_25._tcp.mx.open.example.", tlsa(7)),
        ("back.open.example.", alias("mx.example.")),
    ];
    let mut example = signed(zone("example.", example), "example.", &example_key);
    let changed = |data: RData, owner: &str| vec![Record::from_rdata(dns_name(owner), TTL, data)];
    tamper(&mut example, "forged.example.", RecordType::A, |set| set.set_records(changed(a(66), "forged.example.")));
    tamper(&mut example, "_25._tcp.forged.example.", RecordType::TLSA, |set| {
        set.set_records(changed(tlsa(66), "_25._tcp.forged.example."));
    });
    tamper(&mut example, "bare.example.", RecordType::A, RecordSet::clear_rrsigs);
    vec![
        (".", signed(zone(".", root), ".", root_key)),
        ("example.", example),
        ("open.example.", zone("open.example.", open)),
        ("broken.", signed(zone("broken.", vec![("mx.broken.", a(5))]), "broken.", &broken_key)),
    ]
}

/// Answers like a recursive server, but for some questions about which somebody lies.
struct Handler {
    zones: BTreeMap<&'static str, Catalog>,
    lies: Vec<Lie>,
}

/// In place of the answer to a question.
#[derive(Clone, Debug)]
struct Lie {
    name: &'static str,
    kind: RecordType,
    code: ResponseCode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut answer: R) -> ResponseInfo {
        let query = request.request_info().unwrap().query;
        let (name, kind) = (Name::from(query.name()), query.query_type());
        let told = self.lies.iter().find(|lie| dns_name(lie.name) == name && kind == lie.kind);
        if let Some(lie) = told {
            let mut metadata = Metadata::response_from_request(&request.metadata);
            metadata.response_code = lie.code;
            let builder = MessageResponseBuilder::from_message_request(request);
            let response = builder.build(metadata, &lie.answers, &lie.authorities, [], []);
            return answer.send_response(response).await.unwrap();
        }
        // What a zone says about the key of another stands in the zone above.
        let holds = |zone: &Name| zone.zone_of(&name) && (kind != RecordType::DS || *zone != name || name.is_root());
        let zones = self.zones.iter().filter(|(zone, _)| holds(&dns_name(zone)));
        let (_, catalog) = zones.max_by_key(|(zone, _)| dns_name(zone).num_labels()).unwrap();
        catalog.handle_request::<R, T>(request, answer).await
    }
}

struct World {
    _server: Server<Handler>,
    _folder: tempfile::TempDir,
    options: Options,
}

impl World {
    async fn new(lies: Vec<Lie>) -> Self {
        let root_key = Key::new();
        let mut zones = BTreeMap::new();
        for (origin, zone) in tree(&root_key) {
            let mut catalog = Catalog::new();
            catalog.upsert(dns_name(origin).into(), vec![Arc::new(zone)]);
            zones.insert(origin, catalog);
        }
        let mut server = Server::new(Handler { zones, lies });
        let (tcp, udp) = sockets().await;
        let address = tcp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 64);
        let folder = tempfile::tempdir().unwrap();
        let anchor = folder.path().join("root.key");
        std::fs::write(&anchor, format!(". 3600 IN DNSKEY {}\n", root_key.dnskey())).unwrap();
        let options = Options::new(&[address], Dnssec::Validate { trust_anchor: Some(anchor) });
        Self { _server: server, _folder: folder, options }
    }

    fn resolver(&self) -> HickoryResolver {
        HickoryResolver::new(&self.options).unwrap()
    }
}

const SECURE: Security = Security::Secure;
const INSECURE: Security = Security::Insecure;

fn no(error: LookupError) -> Miss {
    Miss { error, ttl: Some(NEGATIVE_TTL) }
}

#[tokio::test]
async fn an_answer_is_as_secure_as_its_weakest_record() {
    let world = World::new(vec![]).await;
    for (name, expected) in [
        ("mx.example", Ok((SECURE, None))),
        ("near.example", Ok((SECURE, Some(("mx.example", SECURE))))),
        // RFC 7672 section 2.2.2: the alias is signed although what it leads to is not.
        ("far.example", Ok((INSECURE, Some(("mx.open.example", SECURE))))),
        ("mx.open.example", Ok((INSECURE, None))),
        ("back.open.example", Ok((INSECURE, Some(("mx.example", INSECURE))))),
        // Made of a wildcard; this server leaves out the proof that the name itself is not there.
        ("x.wild.example", Err(LookupError::Bogus.into())),
        ("forged.example", Err(LookupError::Bogus.into())),
        ("bare.example", Err(LookupError::Bogus.into())),
        ("mx.broken", Err(LookupError::Bogus.into())),
        ("to.example", Err(no(LookupError::NoData))),
        ("nothing.example", Err(no(LookupError::NoSuchName))),
        ("dangling.example", Err(no(LookupError::NoSuchName))),
        ("gone.example", Err(no(LookupError::NoSuchName))),
        ("nothing.open.example", Err(no(LookupError::NoSuchName))),
        ("to.broken", Err(LookupError::Bogus.into())),
        // Nobody could ask for TLSA records there.
        ("crooked.example", Err(LookupError::Malformed.into())),
    ] {
        let found = world.resolver().v4(&domain(name)).await;
        let shown = found.map(|answer| (answer.security, answer.alias));
        let alias = |(end, first)| Alias { end: domain(end), first };
        assert_eq!(shown, expected.map(|(security, led)| (security, led.map(alias))), "{name}");
    }
}

#[tokio::test]
async fn records_of_all_kinds_are_validated_and_signatures_among_them_left_out() {
    let world = World::new(vec![]).await;
    let dns = CachingResolver::new(world.resolver());
    for (name, expected) in [("to.example", SECURE), ("via.example", SECURE), ("open.example", INSECURE)] {
        let answer = dns.mx(&domain(name)).await.unwrap();
        assert_eq!((answer.security, answer.records.len()), (expected, 1), "{name}");
    }
    for (name, expected) in [
        ("mx.example", Ok(SECURE)),
        ("near.example", Ok(SECURE)),
        ("mx.open.example", Ok(INSECURE)),
        ("forged.example", Err(LookupError::Bogus)),
        ("to.example", Err(LookupError::NoSuchName)),
        ("dangling.example", Err(LookupError::NoSuchName)),
        ("mx.broken", Err(LookupError::Bogus)),
    ] {
        let answer = dns.tlsa(25, &domain(name)).await;
        assert!(answer.as_ref().map_or(true, |answer| answer.records.len() == 1), "{name}");
        assert_eq!(answer.map(|answer| answer.security), expected, "{name}");
    }
    let both = dns.addresses(&domain("far.example"), IpChoice::Any).await.unwrap();
    assert_eq!((both.security, both.alias.unwrap().first), (INSECURE, SECURE));
    assert_eq!(dns.text(Service::MtaSts, &domain("mx.example")).await, Err(LookupError::NoSuchName));
}

fn unsigned(owner: &str, data: RData) -> Vec<Record> {
    vec![Record::from_rdata(dns_name(owner), TTL, data)]
}

fn soa(owner: &str) -> Vec<Record> {
    let soa = SOA::new(dns_name("ns.example."), dns_name("h.example."), 1, 60, 60, 60, 60);
    unsigned(owner, RData::SOA(soa))
}

const TLSA_OWNER: &str = "_25._tcp.mx.example.";

/// `mx.example` as a delegation without keys, which it is not.
fn false_delegation(authorities: Vec<Record>) -> Vec<Lie> {
    let of_mx = |kind, answers, authorities| Lie {
        name: "mx.example.",
        kind,
        code: ResponseCode::NoError,
        answers,
        authorities,
    };
    vec![of_mx(RecordType::NS, unsigned("mx.example.", ns()), vec![]), of_mx(RecordType::DS, vec![], authorities)]
}

#[tokio::test]
async fn a_no_that_is_not_proved_is_bogus() {
    let lie = |code, answers, authorities| Lie { name: TLSA_OWNER, kind: RecordType::TLSA, code, answers, authorities };
    let no_error = |answers, authorities| lie(ResponseCode::NoError, answers, authorities);
    let no_such_name = |answers, authorities| lie(ResponseCode::NXDomain, answers, authorities);
    for first in [
        no_error(vec![], vec![]),
        no_such_name(vec![], vec![]),
        no_error(vec![], soa("example.")),
        no_such_name(vec![], soa("mx.example.")),
        // Unsigned records of a zone that is none of the name's: nothing wrong with them, and they prove nothing.
        no_error(vec![], soa("open.example.")),
        no_such_name(vec![], soa("open.example.")),
        no_error(unsigned(TLSA_OWNER, tlsa(66)), vec![]),
        no_error(unsigned(TLSA_OWNER, tlsa(66)), soa("open.example.")),
        no_error(unsigned(TLSA_OWNER, alias("_25._tcp.mx.open.example.")), vec![]),
        no_such_name(unsigned(TLSA_OWNER, alias("x.open.example.")), soa("open.example.")),
    ] {
        let others = [
            vec![],
            false_delegation(vec![]),
            false_delegation(soa("mx.example.")),
            false_delegation(soa("open.example.")),
            false_delegation(soa("example.")),
        ];
        // Whoever can forge one answer can forge those to the questions that follow from it.
        for others in others {
            let shown = format!("{first:?} {others:?}");
            let world = World::new([vec![first.clone()], others].concat()).await;
            let answer = world.resolver().tlsa(25, &domain("mx.example")).await;
            assert_eq!(answer, Err(LookupError::Bogus.into()), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_no_of_an_unsigned_zone_needs_no_proof() {
    for (code, expected) in
        [(ResponseCode::NoError, LookupError::NoData), (ResponseCode::NXDomain, LookupError::NoSuchName)]
    {
        let (name, kind) = ("_25._tcp.x.open.example.", RecordType::TLSA);
        let world = World::new(vec![Lie { name, kind, code, answers: vec![], authorities: vec![] }]).await;
        assert_eq!(world.resolver().tlsa(25, &domain("x.open.example")).await, Err(expected.into()));
    }
}
