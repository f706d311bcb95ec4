//! With a server that validates: it says so by a bit, if the question has asked for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, NS, SOA, TLSA, TXT};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::policy::settings::IpChoice;

use super::super::super::{Exchange, Resolver};
use super::*;

/// What the server says to one question.
#[derive(Clone, Debug)]
struct Said {
    code: ResponseCode,
    authentic: bool,
    records: Vec<Record>,
    soa_ttl: Option<u32>,
    /// Over UDP.
    truncated: bool,
}

impl Said {
    fn records(authentic: bool, records: Vec<(&str, RData)>) -> Self {
        let record = |(owner, data)| Record::from_rdata(dns_name(owner), 300, data);
        let records = records.into_iter().map(record).collect();
        Self { code: ResponseCode::NoError, authentic, records, soa_ttl: None, truncated: false }
    }

    fn no(code: ResponseCode, soa_ttl: Option<u32>) -> Self {
        Self { code, soa_ttl, ..Self::records(false, vec![]) }
    }
}

/// A server that has an answer for each question it may be asked, and is asked nothing else.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start<const N: usize>(says: [(&str, Said); N]) -> Self {
        let says: Arc<HashMap<String, Said>> =
            Arc::new(says.into_iter().map(|(question, said)| (question.to_owned(), said)).collect());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (tcp, udp) = sockets().await;
        let address = tcp.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let (says_tcp, asked_tcp, asked_udp) = (says.clone(), asked.clone(), asked.clone());
        tasks.spawn(async move {
            let mut buffer = vec![0; 4096];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                let answer = answer(&buffer[..length], &says, &asked_udp, true);
                udp.send_to(&answer, from).await.unwrap();
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; length.into()];
                    stream.read_exact(&mut question).await.unwrap();
                    let answer = answer(&question, &says_tcp, &asked_tcp, false);
                    stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    fn resolver(&self) -> CachingResolver {
        resolver_with(self.address, Dnssec::TrustAd)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(question: &[u8], says: &HashMap<String, Said>, asked: &Mutex<Vec<String>>, is_udp: bool) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries.first().unwrap().clone();
    let key = format!("{} {}", query.name().to_lowercase(), query.query_type());
    let (metadata, edns) = (&question.metadata, question.edns.as_ref().unwrap());
    let bits = [
        (metadata.recursion_desired, "rd"),
        (metadata.authentic_data, "ad"),
        (metadata.checking_disabled, "cd"),
        (edns.flags().dnssec_ok, "do"),
    ];
    let set: Vec<&str> = bits.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
    let protocol = if is_udp { "udp" } else { "tcp" };
    asked.lock().unwrap().push(format!("{key} {protocol} {}", set.join(" ")));
    let said = says.get(&key).cloned().unwrap_or_else(|| Said::no(ResponseCode::NotImp, None));
    let mut response = Message::response(metadata.id, OpCode::Query);
    response.add_query(query);
    response.metadata.response_code = said.code;
    response.metadata.recursion_available = true;
    if said.truncated && is_udp {
        response.metadata.truncation = true;
        return response.to_vec().unwrap();
    }
    // As a validating server does: nobody is told who has not asked.
    response.metadata.authentic_data = said.authentic && metadata.authentic_data;
    response.add_answers(said.records);
    if let Some(ttl) = said.soa_ttl {
        let name = |text: &str| dns_name(text);
        let soa = SOA::new(name("ns.example."), name("h.example."), 1, 60, 60, 60, 900);
        response.add_authority(Record::from_rdata(name("example."), ttl, RData::SOA(soa)));
    }
    response.to_vec().unwrap()
}

fn mx(host: &str) -> RData {
    RData::MX(MX::new(10, dns_name(host)))
}

fn a(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn alias(to: &str) -> RData {
    RData::CNAME(CNAME(dns_name(to)))
}

fn root(authentic: bool) -> Said {
    Said::records(authentic, vec![(".", RData::NS(NS(dns_name("ns.example."))))])
}

#[tokio::test]
async fn every_question_asks_whether_the_answer_is_authentic() {
    let tlsa = RData::TLSA(TLSA::new(CertUsage::DaneEe, Selector::Spki, Matching::Sha256, vec![7; 32]));
    let texts = vec![TXT::from_bytes(vec![b"v=STSv1; ", b"id=1;"]), TXT::from_bytes(vec![b"other"])];
    let server = Server::start([
        ("to.example. MX", Said::records(true, vec![("to.example.", mx("mx.example."))])),
        ("mx.example. A", Said::records(true, vec![("mx.example.", a(1))])),
        ("_25._tcp.mx.example. TLSA", Said::records(true, vec![("_25._tcp.mx.example.", tlsa)])),
        (
            "_mta-sts.to.example. TXT",
            Said::records(true, texts.into_iter().map(|text| ("_mta-sts.to.example.", RData::TXT(text))).collect()),
        ),
    ])
    .await;
    let dns = server.resolver();
    let mx = dns.mx(&domain("to.example")).await.unwrap();
    assert_eq!(mx.records, [Mx { preference: 10, exchange: Exchange::Host(domain("mx.example")) }]);
    let addresses = dns.addresses(&domain("mx.example"), IpChoice::V4).await.unwrap();
    let tlsa = dns.tlsa(25, &domain("mx.example")).await.unwrap();
    assert_eq!(tlsa.records, [Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }]);
    let text = dns.text(Service::MtaSts, &domain("to.example")).await.unwrap();
    assert_eq!(text.records, [b"v=STSv1; id=1;".to_vec(), b"other".to_vec()]);
    let states = [mx.security, addresses.security, tlsa.security, text.security];
    assert_eq!(states, [Security::Secure; 4]);
    let expected = ["to.example. MX", "mx.example. A", "_25._tcp.mx.example. TLSA", "_mta-sts.to.example. TXT"];
    assert_eq!(server.asked(), expected.map(|question| format!("{question} udp rd ad do")));
}

#[tokio::test]
async fn an_answer_without_the_bit_counts_as_unsigned_if_the_server_validates_and_else_as_unknown() {
    for (validates, expected) in [(true, Security::Insecure), (false, Security::Unknown)] {
        let server = Server::start([
            (". NS", root(validates)),
            ("a.example. A", Said::records(false, vec![("a.example.", a(1))])),
            ("b.example. A", Said::records(false, vec![("b.example.", a(1))])),
        ])
        .await;
        let dns = server.resolver();
        for name in ["a.example", "b.example"] {
            assert_eq!(dns.addresses(&domain(name), IpChoice::V4).await.unwrap().security, expected);
        }
        let asked = ["a.example. A udp rd ad do", ". NS udp rd ad do", "b.example. A udp rd ad do"];
        assert_eq!(server.asked(), asked, "the root is asked about once");
    }
}

#[tokio::test]
async fn a_look_round_settles_what_the_server_does() {
    let server =
        Server::start([(". NS", root(true)), ("a.example. A", Said::records(false, vec![("a.example.", a(1))]))]).await;
    let dns = server.resolver();
    dns.look_round().await;
    assert_eq!(dns.addresses(&domain("a.example"), IpChoice::V4).await.unwrap().security, Security::Insecure);
    assert_eq!(server.asked(), [". NS udp rd ad do", "a.example. A udp rd ad do"]);
}

#[tokio::test]
async fn an_alias_that_leads_to_an_unsigned_name_is_asked_about_by_itself() {
    let found =
        |authentic| Said::records(authentic, vec![("mx.example.", alias("Far.example.")), ("far.example.", a(1))]);
    let alone = |authentic| Said::records(authentic, vec![("mx.example.", alias("far.example."))]);
    for (whole, first, expected) in [
        (true, None, (Security::Secure, Security::Secure)),
        (false, Some(true), (Security::Insecure, Security::Secure)),
        (false, Some(false), (Security::Insecure, Security::Insecure)),
    ] {
        let unasked = Said::no(ResponseCode::NotImp, None);
        let server = Server::start([
            (". NS", root(true)),
            ("mx.example. A", found(whole)),
            ("mx.example. CNAME", first.map_or(unasked, alone)),
        ])
        .await;
        let answer = server.resolver().addresses(&domain("mx.example"), IpChoice::V4).await.unwrap();
        let (security, first) = expected;
        assert_eq!((answer.security, answer.alias), (security, Some(Alias { end: domain("far.example"), first })));
    }
    // An alias whose state cannot be had is no answer.
    for (said, expected) in [
        (Said::no(ResponseCode::ServFail, None), LookupError::ServFail),
        (Said::no(ResponseCode::NoError, Some(60)), LookupError::Malformed),
        (Said::no(ResponseCode::NXDomain, Some(60)), LookupError::Malformed),
        (Said::records(true, vec![("other.example.", alias("far.example."))]), LookupError::Malformed),
    ] {
        let world = [(". NS", root(true)), ("mx.example. A", found(false)), ("mx.example. CNAME", said)];
        let answer = Server::start(world).await.resolver().addresses(&domain("mx.example"), IpChoice::V4).await;
        assert_eq!(answer, Err(expected));
    }
}

#[tokio::test]
async fn of_other_records_the_alias_counts_as_the_whole_answer_does() {
    for authentic in [true, false] {
        let records = vec![("to.example.", alias("far.example.")), ("far.example.", mx("mx.example."))];
        let server = Server::start([(". NS", root(true)), ("to.example. MX", Said::records(authentic, records))]).await;
        let answer = server.resolver().mx(&domain("to.example")).await.unwrap();
        let security = if authentic { Security::Secure } else { Security::Insecure };
        let alias = Alias { end: domain("far.example"), first: security };
        assert_eq!((answer.security, answer.alias), (security, Some(alias)));
        assert!(!server.asked().iter().any(|question| question.contains("CNAME")));
    }
}

#[tokio::test]
async fn an_answer_in_parts_is_as_secure_as_its_weakest_part() {
    for (alias_authentic, end_authentic, expected) in
        [(true, true, Security::Secure), (true, false, Security::Insecure), (false, true, Security::Insecure)]
    {
        let server = Server::start([
            (". NS", root(true)),
            ("mx.example. A", Said::records(alias_authentic, vec![("mx.example.", alias("far.example."))])),
            ("mx.example. CNAME", Said::records(alias_authentic, vec![("mx.example.", alias("far.example."))])),
            ("far.example. A", Said::records(end_authentic, vec![("far.example.", a(1))])),
        ])
        .await;
        let answer = server.resolver().addresses(&domain("mx.example"), IpChoice::V4).await.unwrap();
        let first = if alias_authentic { Security::Secure } else { Security::Insecure };
        assert_eq!((answer.security, answer.alias.unwrap().first), (expected, first));
    }
}

#[tokio::test]
async fn aliases_in_a_circle_are_an_error_and_end() {
    let server = Server::start([
        (". NS", root(true)),
        ("a.example. A", Said::records(true, vec![("a.example.", alias("b.example."))])),
        ("b.example. A", Said::records(true, vec![("b.example.", alias("a.example."))])),
        ("c.example. A", Said::records(true, vec![("c.example.", alias("c.example."))])),
    ])
    .await;
    for name in ["a.example", "c.example"] {
        let answer = server.resolver().addresses(&domain(name), IpChoice::V4).await;
        assert_eq!(answer, Err(LookupError::Malformed), "{name}");
    }
    assert!(server.asked().len() <= REDIRECTS_MAX + 3);
}

#[tokio::test]
async fn what_is_too_long_for_udp_comes_over_tcp_with_its_bit() {
    let records = Said::records(true, vec![("to.example.", mx("mx.example."))]);
    let server = Server::start([("to.example. MX", Said { truncated: true, ..records })]).await;
    let answer = server.resolver().mx(&domain("to.example")).await.unwrap();
    assert_eq!(answer.security, Security::Secure);
    assert_eq!(server.asked(), ["to.example. MX udp rd ad do", "to.example. MX tcp rd ad do"]);
}

#[tokio::test]
async fn a_failure_is_never_taken_for_a_no() {
    use LookupError::*;
    use ResponseCode as Code;
    for (said, expected) in [
        (Said::no(Code::NXDomain, Some(600)), Miss { error: NoSuchName, ttl: Some(Duration::from_secs(600)) }),
        // Beyond what the SOA record itself says.
        (Said::no(Code::NoError, Some(86_400)), Miss { error: NoData, ttl: Some(Duration::from_secs(900)) }),
        (Said::no(Code::NoError, None), NoData.into()),
        (Said::no(Code::ServFail, None), ServFail.into()),
        (Said::no(Code::ServFail, Some(600)), ServFail.into()),
        (Said::no(Code::Refused, None), Refused.into()),
        (Said::no(Code::NotImp, None), ServFail.into()),
        (Said::no(Code::FormErr, None), ServFail.into()),
        (Said::no(Code::Unknown(12), None), ServFail.into()),
        (Said { code: Code::ServFail, ..Said::records(true, vec![("n.example.", a(1))]) }, ServFail.into()),
        // Somebody else's records, and none of the name.
        (Said::records(true, vec![("other.example.", a(1)), ("other.example.", mx("a."))]), Malformed.into()),
    ] {
        let shown = format!("{said:?}");
        let server = Server::start([
            (". NS", root(true)),
            ("n.example. MX", said.clone()),
            ("n.example. A", said.clone()),
            ("n.example. AAAA", said.clone()),
            ("_25._tcp.n.example. TLSA", said.clone()),
            ("_mta-sts.n.example. TXT", said.clone()),
            ("_smtp._tls.n.example. TXT", said),
        ])
        .await;
        let options = Options::new(&[server.address], Dnssec::TrustAd);
        let (dns, name) = (HickoryResolver::new(&options).unwrap(), domain("n.example"));
        assert_eq!(dns.mx(&name).await, Err(expected), "{shown}");
        if expected.error != Malformed {
            assert_eq!(dns.v4(&name).await, Err(expected), "{shown}");
        }
        assert_eq!(dns.v6(&name).await, Err(expected), "{shown}");
        assert_eq!(dns.tlsa(25, &name).await, Err(expected), "{shown}");
        assert_eq!(dns.text(Service::MtaSts, &name).await, Err(expected), "{shown}");
        assert_eq!(dns.text(Service::TlsRpt, &name).await, Err(expected), "{shown}");
    }
}

#[tokio::test]
async fn a_no_behind_an_alias_holds_no_longer_than_the_alias() {
    let alias = Said::records(true, vec![("_25._tcp.mx.example.", alias("none.example."))]);
    let no = Said::no(ResponseCode::NXDomain, Some(600));
    let server = Server::start([("_25._tcp.mx.example. TLSA", alias), ("none.example. TLSA", no)]).await;
    let dns = HickoryResolver::new(&Options::new(&[server.address], Dnssec::TrustAd)).unwrap();
    let expected = Miss { error: LookupError::NoSuchName, ttl: Some(Duration::from_secs(300)) };
    assert_eq!(dns.tlsa(25, &domain("mx.example")).await, Err(expected));
}

#[tokio::test]
async fn another_server_is_asked_where_one_is_silent() {
    let server =
        Server::start([("to.example. MX", Said::records(true, vec![("to.example.", mx("mx.example."))]))]).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = vec![silent.local_addr().unwrap(), server.address];
    let options = Options { servers, dnssec: Dnssec::TrustAd, try_timeout: Duration::from_secs(2), tries: 2 };
    let answer = HickoryResolver::new(&options).unwrap().mx(&domain("to.example")).await.unwrap();
    assert_eq!(answer.security, Security::Secure);
}

#[tokio::test]
async fn names_that_mean_the_same_everywhere_are_asked_of_nobody() {
    let server = Server::start([]).await;
    let dns = server.resolver();
    let local = dns.addresses(&domain("localhost"), IpChoice::Any).await.unwrap();
    assert_eq!(
        (local.records, local.security),
        (vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()], Security::Unknown)
    );
    assert_eq!(dns.mx(&domain("localhost")).await, Err(LookupError::NoData));
    for name in ["mx.invalid", "a.onion"] {
        assert_eq!(dns.mx(&domain(name)).await, Err(LookupError::NoSuchName), "{name}");
    }
    let long = domain(&["abcdefghi"; 25].join("."));
    assert_eq!(dns.tlsa(25, &long).await, Err(LookupError::NoSuchName), "no such name can be");
    assert_eq!(server.asked(), Vec::<String>::new());
}
