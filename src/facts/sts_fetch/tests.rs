//! Whole fetches from web servers that do right and wrong.

use std::net::{IpAddr, Ipv4Addr};

use crate::clock;
use crate::dns::fake::FakeResolver;
use crate::facts::fake_policy_host::{Answer, POLICY, PolicyHost, domain, octets};
use crate::policy::sts_policy::{LineFault, Mode};
use crate::tls::self_signed::Validity;

use super::*;

const SHORT: Duration = Duration::from_millis(500);
const HEAD: &str = "HTTP/1.1 200 OK\nContent-Type: text/plain";

async fn fetched(answer: Answer) -> Result<StsPolicy, FetchError> {
    let host = PolicyHost::start(answer).await;
    host.fetcher(host.dns()).fetch(&domain()).await
}

#[tokio::test]
async fn one_request_in_the_name_of_the_policy_host_gets_the_policy() {
    let host = PolicyHost::start(Answer::policy(POLICY)).await;
    let policy = host.fetcher(host.dns()).fetch(&domain()).await.unwrap();
    assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, Duration::from_secs(604_800)));
    let request = host.requests().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("get /.well-known/mta-sts.txt http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: mta-sts.bank.example:{}\r\n", host.address.port())), "{request}");
    assert!(!request.contains("if-none-match") && !request.contains("if-modified-since"), "{request}");
    assert_eq!(host.requests().len(), 1);
}

#[tokio::test]
async fn a_policy_comes_in_any_form_that_http_has() {
    let chunks = format!("5\r\nversi\r\n{:x}\r\n{}\r\n0\r\n\r\n", POLICY.len() - 5, &POLICY[5..]);
    for answer in [
        Answer::policy(POLICY),
        Answer::policy(&POLICY.replace('\n', "\r\n")),
        Answer::new(HEAD, POLICY),
        Answer::new("HTTP/1.0 200 OK\nContent-Type: text/plain", POLICY),
        Answer::new(&format!("{HEAD}\nTransfer-Encoding: chunked"), &chunks),
        Answer::new("HTTP/1.1 200 OK\ncontent-type: TEXT/Plain ; charset=utf-8; x=y", POLICY),
        Answer::new(
            "HTTP/1.1 200 Whatever\nContent-Type: text/plain;charset=us-ascii\nCache-Control: no-store",
            POLICY,
        ),
        Answer::new(&format!("HTTP/1.1 103 Early Hints\nLink: </x>\n\n{HEAD}"), POLICY),
        // Nothing has to follow what was announced.
        Answer::Hangs(octets(&format!("{HEAD}\nContent-Length: {}", POLICY.len()), POLICY)),
    ] {
        let told = format!("{answer:?}");
        assert_eq!(fetched(answer).await, StsPolicy::parse(POLICY.as_bytes()).map_err(Into::into), "{told}");
    }
}

#[tokio::test]
async fn any_other_answer_is_refused_and_its_fault_named() {
    let status = |line: &str| Answer::new(&format!("HTTP/1.1 {line}\nContent-Type: text/plain"), POLICY);
    let typed = |kind: &str| Answer::new(&format!("HTTP/1.1 200 OK\nContent-Type: {kind}"), POLICY);
    let served_as = |kind: &str| FetchError::ContentType(kind.to_owned());
    let at_line = |number, fault| FetchError::Policy(StsPolicyError::Line { number, fault });
    for (answer, expected) in [
        (status("301 Moved\nLocation: https://mta-sts.bank.example/other"), FetchError::Redirect(301)),
        (status("302 Found"), FetchError::Redirect(302)),
        (status("304 Not Modified"), FetchError::Redirect(304)),
        (status("307 Temporary Redirect"), FetchError::Redirect(307)),
        (status("308 Permanent Redirect"), FetchError::Redirect(308)),
        (status("404 Not Found"), FetchError::Status(404)),
        (status("203 Non-Authoritative"), FetchError::Status(203)),
        (status("206 Partial"), FetchError::Status(206)),
        (status("500 Error"), FetchError::Status(500)),
        (typed("text/html"), served_as("text/html")),
        (typed("text/plainer"), served_as("text/plainer")),
        (typed("application/octet-stream; text/plain"), served_as("application/octet-stream; text/plain")),
        (typed(""), served_as("")),
        (Answer::new("HTTP/1.1 200 OK", POLICY), served_as("nothing")),
        (Answer::policy("<html>"), at_line(1, LineFault::NoField)),
        (Answer::policy("version: STSv1\nmode: off\n"), at_line(2, LineFault::Mode)),
    ] {
        let told = format!("{answer:?}");
        assert_eq!(fetched(answer).await, Err(expected), "{told}");
    }
}

#[tokio::test]
async fn what_breaks_http_or_ends_early_is_no_policy() {
    let announced = format!("{HEAD}\nContent-Length: {}", POLICY.len());
    for answer in [
        Answer::new("220 mx.bank.example ESMTP", ""),
        Answer::Octets(Vec::new()),
        Answer::Cut(octets(&announced, &POLICY[..POLICY.len() - 1])),
        Answer::new(&announced, &POLICY[..POLICY.len() - 1]),
        // Cut off by somebody on the way: what came may be less than all.
        Answer::Cut(octets(HEAD, POLICY)),
        Answer::new(&format!("{HEAD}\nX: {}", "y".repeat(64 * 1024)), POLICY),
        Answer::new(&format!("{HEAD}\nTransfer-Encoding: chunked"), "zz\r\nversion"),
    ] {
        let told = format!("{answer:?}");
        let error = fetched(answer).await.unwrap_err();
        assert!(matches!(error, FetchError::Http(_)), "{told}: {error}");
    }
}

#[tokio::test]
async fn a_policy_is_read_up_to_64_kib_and_no_octet_further() {
    let of = |length: usize| format!("{POLICY}x: {}", "y".repeat(length - POLICY.len() - 3));
    let (full, more) = (of(STS_POLICY_BYTES_MAX), of(STS_POLICY_BYTES_MAX + 1));
    assert!(fetched(Answer::policy(&full)).await.is_ok());
    for answer in [
        Answer::policy(&more),
        Answer::new(HEAD, &more),
        // Whoever never ends is not waited for.
        Answer::Hangs(octets(HEAD, &more)),
    ] {
        assert_eq!(fetched(answer).await, Err(FetchError::Policy(StsPolicyError::TooLong)));
    }
}

#[tokio::test]
async fn a_slow_web_server_is_given_up() {
    for answer in [
        Answer::Hangs(Vec::new()),
        Answer::Hangs(octets(HEAD, &POLICY[..10])),
        Answer::Hangs(b"HTTP/1.1 200 OK\r\nX: ".to_vec()),
    ] {
        let host = PolicyHost::start(answer).await;
        let fetcher = host.fetcher(host.dns()).with_timeout(SHORT);
        assert_eq!(fetcher.fetch(&domain()).await, Err(FetchError::Timeout));
    }
}

#[tokio::test]
async fn the_web_server_must_prove_that_it_is_the_policy_host() {
    let now = clock::timestamp();
    let day = Duration::from_secs(86_400);
    let good = Validity::starting(now, day);
    let expired = Validity { not_before: now - 10 * day, not_after: now - day };
    let early = Validity { not_before: now + day, not_after: now + 2 * day };
    for (name, validity, accepted) in [
        ("mta-sts.bank.example", good, true),
        ("*.bank.example", good, true),
        ("bank.example", good, false),
        ("mta-sts.other.example", good, false),
        ("*.mta-sts.bank.example", good, false),
        ("mta-sts.bank.example", expired, false),
        ("mta-sts.bank.example", early, false),
    ] {
        let host = PolicyHost::start_as(name, validity, Answer::policy(POLICY)).await;
        let result = host.fetcher(host.dns()).fetch(&domain()).await;
        assert_eq!(result.is_ok(), accepted, "{name} {result:?}");
        assert_eq!(host.requests().len(), usize::from(accepted));
        if let Err(error) = result {
            assert!(matches!(error, FetchError::Certificate(_)), "{error}");
            assert_eq!(error.reason(), Reason::StsWebpkiInvalid);
        }
    }
    let (host, other) = (PolicyHost::start(Answer::policy(POLICY)).await, PolicyHost::start(Answer::policy("")).await);
    let fetcher = StsFetcher { tls: https_client(&other.roots).unwrap(), ..host.fetcher(host.dns()) };
    assert!(matches!(fetcher.fetch(&domain()).await, Err(FetchError::Certificate(_))));
}

#[tokio::test]
async fn only_permitted_addresses_are_connected_to() {
    let host = PolicyHost::start(Answer::policy(POLICY)).await;
    let name = Domain::parse("mta-sts.bank.example").unwrap();
    let with = |addresses: Vec<IpAddr>| FakeResolver::new().with_addresses(name.clone(), addresses);
    let own: IpAddr = Ipv4Addr::LOCALHOST.into();
    let silent: IpAddr = Ipv4Addr::new(127, 0, 0, 2).into();
    let refused =
        FetchError::Connect { target: SocketAddr::new(silent, host.address.port()), kind: DialErrorKind::Refused };
    let policy = StsPolicy::parse(POLICY.as_bytes()).unwrap();
    for (dns, expected) in [
        (with(vec![silent, own]), Ok(policy)),
        (with(vec![silent]), Err(refused)),
        (with(vec!["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()]), Err(FetchError::Forbidden)),
        (with(vec![]), Err(FetchError::Lookup(LookupError::NoData))),
        (FakeResolver::new(), Err(FetchError::Lookup(LookupError::NoSuchName))),
        (
            FakeResolver::new().with_addresses_error(name.clone(), LookupError::Bogus),
            Err(FetchError::Lookup(LookupError::Bogus)),
        ),
    ] {
        let told = format!("{dns:?}");
        assert_eq!(host.fetcher(dns).fetch(&domain()).await, expected, "{told}");
    }
    let silence = host.fetcher(FakeResolver::new().with_silence(name)).with_timeout(SHORT);
    assert_eq!(silence.fetch(&domain()).await, Err(FetchError::Timeout));
    let strict = StsFetcher { targets: TargetRule::default(), ..host.fetcher(host.dns()) };
    assert_eq!(strict.fetch(&domain()).await, Err(FetchError::Forbidden));
    let long = Domain::parse(&["abcdefg"; 31].join(".")).unwrap();
    assert_eq!(strict.fetch(&long).await, Err(FetchError::Name(long)));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_a_failure_to_fetch() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = PolicyHost::start(Answer::policy(POLICY)).await;
    let fetcher = host.fetcher(host.dns()).with_port(listener.local_addr().unwrap().port());
    let server = async {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let domain = domain();
    let (result, _stream) = tokio::join!(fetcher.fetch(&domain), server);
    let error = result.unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)), "{error}");
    assert_eq!(error.reason(), Reason::StsPolicyFetchError);
}
