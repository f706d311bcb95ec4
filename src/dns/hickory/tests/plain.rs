//! Without DNSSEC.

use std::sync::Arc;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, SOA, TLSA};
use hickory_server::Server;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponseBuilder, ZoneType};

use crate::policy::settings::IpChoice;

use super::super::super::{Exchange, Resolver};
use super::*;

fn zone() -> InMemoryZoneHandler<TokioRuntimeProvider> {
    let origin = dns_name("example.");
    let mut zone = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny, None);
    let mut add = |owner: &str, ttl: u32, data: RData| {
        assert!(zone.upsert_mut(Record::from_rdata(dns_name(owner), ttl, data), 1), "{owner}");
    };
    let host = |text: &str| dns_name(text);
    add("example.", 60, RData::SOA(SOA::new(host("ns.example."), host("h.example."), 1, 60, 60, 60, 60)));
    add("to.example.", 300, RData::MX(MX::new(10, host("MX1.example."))));
    add("to.example.", 300, RData::MX(MX::new(20, host("192.0.2.1."))));
    add("null.example.", 300, RData::MX(MX::new(0, Name::root())));
    add("mx1.example.", 120, RData::A(A::new(192, 0, 2, 1)));
    add("mx1.example.", 90, RData::AAAA(AAAA::from_str("2001:db8::1").unwrap()));
    add("v4.example.", 300, RData::A(A::new(192, 0, 2, 4)));
    add("alias.example.", 30, RData::CNAME(CNAME(host("alias2.example."))));
    add("alias2.example.", 300, RData::CNAME(CNAME(host("mx1.example."))));
    add("dangling.example.", 300, RData::CNAME(CNAME(host("gone.example."))));
    for number in 0..150 {
        add("many.example.", 300, RData::MX(MX::new(number, host(&format!("host-{number}.example.")))));
        add("wide.example.", 300, RData::A(A::new(192, 0, 2, u8::try_from(number).unwrap())));
    }
    let tlsa = |usage, number| RData::TLSA(TLSA::new(usage, Selector::Spki, Matching::Sha256, vec![number; 32]));
    for number in 0..150 {
        add("_25._tcp.crowd.example.", 300, tlsa(CertUsage::PkixTa, number));
    }
    add("_25._tcp.crowd.example.", 300, tlsa(CertUsage::DaneEe, 150));
    add("_25._tcp.crowd.example.", 300, tlsa(CertUsage::DaneTa, 151));
    zone
}

/// Serves the zone, and fails for names under `fail.example` and `refuse.example`.
struct Handler(Catalog);

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut answer: R) -> ResponseInfo {
        let name = request.request_info().unwrap().query.name().to_string();
        let code = match name.as_str() {
            "fail.example." => ResponseCode::ServFail,
            "refuse.example." => ResponseCode::Refused,
            _ => return self.0.handle_request::<R, T>(request, answer).await,
        };
        let response = MessageResponseBuilder::from_message_request(request).error_msg(&request.metadata, code);
        answer.send_response(response).await.unwrap()
    }
}

/// The server stops when it is dropped.
async fn serve() -> (Server<Handler>, CachingResolver) {
    let (server, address) = serve_zone().await;
    (server, resolver(address, Duration::from_secs(5)))
}

async fn serve_zone() -> (Server<Handler>, SocketAddr) {
    let mut catalog = Catalog::new();
    catalog.upsert(dns_name("example.").into(), vec![Arc::new(zone())]);
    let mut server = Server::new(Handler(catalog));
    let (tcp, udp) = sockets().await;
    let address = tcp.local_addr().unwrap();
    server.register_socket(udp);
    server.register_listener(tcp, Duration::from_secs(5), 64);
    (server, address)
}

fn resolver(server: SocketAddr, try_timeout: Duration) -> CachingResolver {
    let options = Options { servers: vec![server], dnssec: Dnssec::Off, try_timeout, tries: 2 };
    CachingResolver::new(HickoryResolver::new(&options).unwrap())
}

#[tokio::test]
async fn mx_records_come_with_their_lifetime_and_oddities() {
    let (_server, dns) = serve().await;
    let answer = dns.mx(&domain("to.example")).await.unwrap();
    let mut records = answer.records;
    records.sort_by_key(|mx| mx.preference);
    let expected = [
        Mx { preference: 10, exchange: Exchange::Host(domain("mx1.example")) },
        Mx { preference: 20, exchange: Exchange::Invalid },
    ];
    assert_eq!(records, expected);
    assert_eq!((answer.ttl, answer.security), (Duration::from_secs(300), Security::Unknown));
    let null = dns.mx(&domain("null.example")).await.unwrap();
    assert_eq!(null.records, [Mx { preference: 0, exchange: Exchange::Root }]);
}

#[tokio::test]
async fn addresses_are_found_behind_aliases_and_by_ip_version() {
    let (_server, address) = serve_zone().await;
    for (name, ip, expected) in [
        ("mx1.example", IpChoice::Any, Ok(("2001:db8::1 192.0.2.1", 90))),
        ("mx1.example", IpChoice::V4, Ok(("192.0.2.1", 120))),
        ("mx1.example", IpChoice::V6, Ok(("2001:db8::1", 90))),
        ("alias.example", IpChoice::V4, Ok(("192.0.2.1", 30))),
        ("v4.example", IpChoice::Any, Ok(("192.0.2.4", 300))),
        ("v4.example", IpChoice::V6, Err(LookupError::NoData)),
        ("null.example", IpChoice::Any, Err(LookupError::NoData)),
        ("gone.example", IpChoice::Any, Err(LookupError::NoSuchName)),
        ("dangling.example", IpChoice::V4, Err(LookupError::NoSuchName)),
        ("fail.example", IpChoice::Any, Err(LookupError::ServFail)),
        ("refuse.example", IpChoice::V4, Err(LookupError::Refused)),
    ] {
        // Without what is cached, whose lifetime is less by the next second.
        let dns = resolver(address, Duration::from_secs(5));
        let found = dns.addresses(&domain(name), ip).await.map(|answer| {
            let records: Vec<String> = answer.records.iter().map(IpAddr::to_string).collect();
            (records.join(" "), answer.ttl.as_secs())
        });
        assert_eq!(found, expected.map(|(records, ttl)| (records.to_owned(), ttl)), "{name} {ip:?}");
    }
}

#[tokio::test]
async fn negative_mx_answers_are_told_apart_from_failures() {
    let (_server, dns) = serve().await;
    for (name, expected) in [
        ("mx1.example", LookupError::NoData),
        ("gone.example", LookupError::NoSuchName),
        ("fail.example", LookupError::ServFail),
        ("refuse.example", LookupError::Refused),
    ] {
        assert_eq!(dns.mx(&domain(name)).await, Err(expected), "{name}");
    }
}

#[tokio::test]
async fn answers_too_large_for_udp_come_over_tcp_and_are_cut() {
    let (_server, dns) = serve().await;
    assert_eq!(dns.mx(&domain("many.example")).await.unwrap().records.len(), MX_RECORDS_MAX);
    let wide = dns.addresses(&domain("wide.example"), IpChoice::V4).await.unwrap();
    assert_eq!(wide.records.len(), ADDRESSES_MAX);
}

#[tokio::test]
async fn a_crowd_of_tlsa_records_hides_none_that_can_be_used() {
    let (_server, dns) = serve().await;
    let records = dns.tlsa(25, &domain("crowd.example")).await.unwrap().records;
    let first: Vec<u8> = records.iter().take(3).map(|record| record.usage).collect();
    assert_eq!((records.len(), first), (tlsa::TLSA_RECORDS_MAX, vec![3, 2, 0]));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_temporary_failure() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = resolver(silent.local_addr().unwrap(), Duration::from_millis(50));
    let error = dns.mx(&domain("to.example")).await.unwrap_err();
    assert!(matches!(error, LookupError::Timeout | LookupError::Unreachable), "{error}");
    let closed = silent.local_addr().unwrap();
    drop(silent);
    let error = resolver(closed, Duration::from_millis(50)).mx(&domain("to.example")).await.unwrap_err();
    assert!(matches!(error, LookupError::Timeout | LookupError::Unreachable), "{error}");
}

#[tokio::test]
async fn the_cache_spares_the_server_a_second_question() {
    let (mut server, dns) = serve().await;
    let first = dns.addresses(&domain("mx1.example"), IpChoice::Any).await.unwrap();
    let gone = dns.mx(&domain("gone.example")).await;
    server.shutdown_gracefully().await.unwrap();
    let second = dns.addresses(&domain("mx1.example"), IpChoice::Any).await.unwrap();
    assert_eq!(second.records, first.records);
    assert_eq!(dns.mx(&domain("gone.example")).await, gone);
    assert!(dns.addresses(&domain("mx1.example"), IpChoice::V4).await.is_ok());
}
