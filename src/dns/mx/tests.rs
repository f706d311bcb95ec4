//! Every branch of the resolution, by table, over a resolver that says what the test wants.

use std::collections::BTreeSet;

use super::super::fake::FakeResolver;
use super::*;

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn ips(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
}

/// `"10 mx1.example"`, `"0 ."`, `"5 !"` for a host that is no name.
fn mx(text: &str) -> (u16, Exchange) {
    let (preference, exchange) = text.split_once(' ').unwrap();
    let exchange = match exchange {
        "." => Exchange::Root,
        "!" => Exchange::Invalid,
        host => Exchange::Host(name(host)),
    };
    (preference.parse().unwrap(), exchange)
}

/// A world in which `to.example` has these MX records, and these hosts these addresses.
fn world(records: &[&str], hosts: &[(&str, &str)]) -> FakeResolver {
    let mut dns = FakeResolver::new();
    if !records.is_empty() {
        dns = dns.with_mx(name("to.example"), records.iter().map(|text| mx(text)));
    }
    for (host, addresses) in hosts {
        dns = dns.with_addresses(name(host), ips(addresses));
    }
    dns
}

struct Setting {
    own_names: Vec<Domain>,
    ip: IpChoice,
    targets: TargetRule,
    random: Vec<u64>,
    time_max: Duration,
}

fn setting() -> Setting {
    Setting {
        own_names: vec![name("relay.example")],
        ip: IpChoice::Any,
        targets: TargetRule::default(),
        random: Vec::new(),
        time_max: RESOLUTION_TIME_MAX,
    }
}

async fn resolve(dns: &FakeResolver, setting: &Setting) -> Result<MailHosts, RouteError> {
    let mut numbers = setting.random.iter().copied();
    let query = MailHostQuery {
        domain: &name("to.example"),
        own_names: &setting.own_names,
        ip: setting.ip,
        targets: &setting.targets,
        random: || numbers.next().unwrap_or(0),
    };
    // Boxed so that the compiler proves that deliveries may be spawned on any thread.
    let sendable: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(mail_hosts_within(setting.time_max, dns, query));
    sendable.await
}

/// `mx1.example=192.0.2.1,192.0.2.2 mx2.example!Timeout`, or the error.
async fn check_with(dns: &FakeResolver, setting: &Setting, expected: Result<&str, RouteError>) {
    let shown = resolve(dns, setting).await.map(|found| {
        let show = |host: &MailHost| {
            if let Some(error) = host.failed {
                assert!(host.addresses.is_empty());
                return format!("{}!{error:?}", host.name);
            }
            let addresses: Vec<String> = host.addresses.iter().map(IpAddr::to_string).collect();
            format!("{}={}", host.name, addresses.join(","))
        };
        found.hosts.iter().map(show).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(shown.as_deref().map_err(|e| *e), expected, "{dns:?}");
}

async fn check(dns: &FakeResolver, expected: Result<&str, RouteError>) {
    check_with(dns, &setting(), expected).await;
}

const A: (&str, &str) = ("a.example", "192.0.2.1");
const B: (&str, &str) = ("b.example", "192.0.2.2");
const C: (&str, &str) = ("c.example", "192.0.2.3");

#[tokio::test]
async fn hosts_are_tried_by_preference() {
    let all = world(&["30 c.example", "10 a.example", "20 b.example"], &[A, B, C]);
    check(&all, Ok("a.example=192.0.2.1 b.example=192.0.2.2 c.example=192.0.2.3")).await;
    let twice = world(&["20 a.example", "30 b.example", "10 a.example"], &[A, B]);
    check(&twice, Ok("a.example=192.0.2.1 b.example=192.0.2.2")).await;
}

#[tokio::test]
async fn hosts_of_equal_preference_are_shuffled_and_others_are_not() {
    let dns = world(&["10 a.example", "10 b.example", "5 c.example"], &[A, B, C]);
    for (random, expected) in [
        (vec![1, 2, 9], "c.example=192.0.2.3 a.example=192.0.2.1 b.example=192.0.2.2"),
        (vec![2, 1, 9], "c.example=192.0.2.3 b.example=192.0.2.2 a.example=192.0.2.1"),
    ] {
        check_with(&dns, &Setting { random, ..setting() }, Ok(expected)).await;
    }
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_mail_host() {
    let dns = world(&[], &[("to.example", "192.0.2.7")]);
    check(&dns, Ok("to.example=192.0.2.7")).await;
    let found = resolve(&dns, &setting()).await.unwrap();
    assert!(found.implicit);
    assert!(!resolve(&world(&["1 a.example"], &[A]), &setting()).await.unwrap().implicit);
}

#[tokio::test]
async fn a_domain_with_mx_is_never_its_own_implicit_mail_host() {
    for records in [&["10 gone.example"][..], &["10 !"], &["10 !", "0 ."]] {
        check(&world(records, &[("to.example", "192.0.2.7")]), Err(RouteError::NoMailHost)).await;
    }
}

#[tokio::test]
async fn a_lone_root_is_a_null_mx_and_beside_others_it_is_skipped() {
    check(&world(&["0 ."], &[("to.example", "192.0.2.7")]), Err(RouteError::NullMx)).await;
    check(&world(&["77 ."], &[]), Err(RouteError::NullMx)).await;
    check(&world(&["0 .", "10 a.example"], &[A]), Ok("a.example=192.0.2.1")).await;
}

#[tokio::test]
async fn what_the_dns_denies_is_permanent_and_what_it_fails_to_say_is_not() {
    let failing = |error| world(&[], &[]).with_mx_error(name("to.example"), error);
    check(&world(&[], &[]), Err(RouteError::NoSuchDomain)).await;
    check(&world(&[], &[("to.example", "")]), Err(RouteError::NoMailHost)).await;
    for error in [LookupError::ServFail, LookupError::Timeout, LookupError::Bogus, LookupError::Refused] {
        check(&failing(error), Err(RouteError::Lookup(error))).await;
        let implicit = world(&[], &[]).with_addresses_error(name("to.example"), error);
        check(&implicit, Err(RouteError::Lookup(error))).await;
    }
}

#[tokio::test]
async fn hosts_without_address_are_left_out_and_those_that_cannot_be_looked_up_now_keep_their_place() {
    let two = world(&["10 a.example", "20 b.example"], &[B]);
    check(&two, Ok("b.example=192.0.2.2")).await;
    let failed = two.with_addresses_error(name("a.example"), LookupError::ServFail);
    check(&failed, Ok("a.example!ServFail b.example=192.0.2.2")).await;
    let last = failed.clone().with_mx(name("to.example"), [mx("10 b.example"), mx("20 a.example")]);
    check(&last, Ok("b.example=192.0.2.2 a.example!ServFail")).await;
    let none = failed.with_addresses(name("b.example"), []);
    check(&none, Err(RouteError::Lookup(LookupError::ServFail))).await;
    check(&world(&["10 a.example", "20 b.example"], &[]), Err(RouteError::NoMailHost)).await;
}

#[tokio::test]
async fn a_record_that_names_ourselves_ends_the_list() {
    let hosts = &[A, B, C, ("relay.example", "192.0.2.9")];
    let before = world(&["10 a.example", "20 relay.example", "20 b.example", "30 c.example"], hosts);
    check(&before, Ok("a.example=192.0.2.1")).await;
    check(&world(&["10 relay.example", "20 a.example"], hosts), Err(RouteError::RoutesToSelf)).await;
    check(&world(&["10 a.example", "10 relay.example"], hosts), Err(RouteError::RoutesToSelf)).await;
    let implicit = world(&[], &[("to.example", "192.0.2.7")]);
    let own = Setting { own_names: vec![name("to.example")], ..setting() };
    check_with(&implicit, &own, Err(RouteError::RoutesToSelf)).await;
}

#[tokio::test]
async fn addresses_take_turns_and_follow_the_choice_of_ip_version() {
    let dns = world(&["10 a.example"], &[("a.example", "192.0.2.1 192.0.2.2 2001:db8::1")]);
    for (ip, expected) in [
        (IpChoice::Any, Ok("a.example=2001:db8::1,192.0.2.1,192.0.2.2")),
        (IpChoice::V4, Ok("a.example=192.0.2.1,192.0.2.2")),
        (IpChoice::V6, Ok("a.example=2001:db8::1")),
    ] {
        check_with(&dns, &Setting { ip, ..setting() }, expected).await;
    }
    let v4_only = Setting { ip: IpChoice::V6, ..setting() };
    check_with(&world(&["10 a.example"], &[A]), &v4_only, Err(RouteError::NoMailHost)).await;
}

#[tokio::test]
async fn addresses_that_are_off_limits_are_left_out_unless_allowed() {
    let mixed =
        world(&["10 a.example", "20 b.example"], &[("a.example", "127.0.0.1 192.0.2.1"), ("b.example", "10.0.0.1")]);
    check(&mixed, Ok("a.example=192.0.2.1")).await;
    let inside = world(&["10 a.example", "20 gone.example"], &[("a.example", "127.0.0.1 ::1")]);
    check(&inside, Err(RouteError::TargetForbidden)).await;
    let targets = TargetRule { allow: vec!["127.0.0.0/8".parse().unwrap()] };
    check_with(&inside, &Setting { targets, ..setting() }, Ok("a.example=127.0.0.1")).await;
    let failing = inside.with_addresses_error(name("gone.example"), LookupError::Timeout);
    check(&failing, Err(RouteError::Lookup(LookupError::Timeout))).await;
}

#[tokio::test]
async fn the_number_of_hosts_is_bounded_and_the_best_stay() {
    let mut dns = FakeResolver::new();
    let host = |number: u16| name(&format!("h{number}.example"));
    dns = dns.with_mx(name("to.example"), (0..50).rev().map(|n| (n, Exchange::Host(host(n)))));
    for number in 0..50 {
        dns = dns.with_addresses(host(number), ips("192.0.2.1"));
    }
    let found = resolve(&dns, &setting()).await.unwrap();
    let names: Vec<Domain> = found.hosts.into_iter().map(|host| host.name).collect();
    assert_eq!(names, (0..20).map(host).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_resolved_in_time_counts_as_failed() {
    let soon = Setting { time_max: Duration::from_millis(20), ..setting() };
    let timeout = Err(RouteError::Lookup(LookupError::Timeout));
    check_with(&world(&["10 a.example"], &[A]).with_silence(name("to.example")), &soon, timeout).await;
    let one = world(&["10 a.example", "20 b.example"], &[A, B]).with_silence(name("a.example"));
    check_with(&one, &soon, Ok("a.example!Timeout b.example=192.0.2.2")).await;
    check_with(&one.with_silence(name("b.example")), &soon, timeout).await;
}

#[tokio::test]
async fn silent_hosts_within_the_bound_leave_room_for_others() {
    let silent: BTreeSet<u16> = (0..7).collect();
    let host = |number: u16| name(&format!("h{number}.example"));
    let mut dns = FakeResolver::new().with_mx(name("to.example"), (0..20).map(|n| (n, Exchange::Host(host(n)))));
    for number in 0..20 {
        dns = match silent.contains(&number) {
            true => dns.with_silence(host(number)),
            false => dns.with_addresses(host(number), ips("192.0.2.1")),
        };
    }
    let soon = Setting { time_max: Duration::from_millis(20), ..setting() };
    let found = resolve(&dns, &soon).await.unwrap().hosts;
    assert_eq!(found.iter().filter(|host| host.failed.is_none()).count(), 13);
}

#[tokio::test]
async fn the_dnssec_states_of_the_answers_are_kept_apart() {
    let mx = [(1, Exchange::Host(name("a.example")))];
    let dns = FakeResolver::new().with_mx_answer(name("to.example"), mx, Security::Secure).with_addresses_answer(
        name("a.example"),
        ips("192.0.2.1"),
        Security::Insecure,
    );
    let found = resolve(&dns, &setting()).await.unwrap();
    assert_eq!((found.security, found.hosts[0].security), (Security::Secure, Security::Insecure));
    let implicit = FakeResolver::new().with_addresses_answer(name("to.example"), ips("192.0.2.1"), Security::Insecure);
    assert_eq!(resolve(&implicit, &setting()).await.unwrap().security, Security::Insecure);
}

#[tokio::test]
async fn a_configured_next_hop_may_be_private_and_its_absence_is_not_held_against_the_mail() {
    let dns = world(&[], &[("inner.example", "10.0.0.1 fd00::1")])
        .with_addresses_error(name("broken.example"), LookupError::ServFail);
    for (host, expected) in [
        ("inner.example", Ok("fd00::1 10.0.0.1")),
        ("[127.0.0.1]", Ok("127.0.0.1")),
        ("gone.example", Err(RouteError::NextHopUnknown)),
        ("broken.example", Err(RouteError::Lookup(LookupError::ServFail))),
    ] {
        let found = next_hop(&dns, &Host::parse(host).unwrap(), IpChoice::Any).await;
        assert_eq!(found.map(|answer| answer.records), expected.map(ips), "{host}");
    }
}

#[test]
fn errors_tell_their_reason_and_whether_to_retry() {
    for (error, reason, permanent) in [
        (RouteError::Lookup(LookupError::Bogus), Reason::DnssecInvalid, false),
        (RouteError::Lookup(LookupError::ServFail), Reason::DnsFailure, false),
        (RouteError::NullMx, Reason::NullMx, true),
        (RouteError::NoSuchDomain, Reason::NoSuchDomain, true),
        (RouteError::NoMailHost, Reason::NoMailHost, true),
        (RouteError::RoutesToSelf, Reason::RoutesToSelf, true),
        (RouteError::TargetForbidden, Reason::TargetForbidden, true),
        (RouteError::NextHopUnknown, Reason::NoMailHost, false),
    ] {
        assert_eq!((error.reason(), error.is_permanent()), (reason, permanent));
    }
}
