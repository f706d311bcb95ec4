//! Values that are written as text.

use std::time::Duration;

use super::super::values::{duration, host_port, name_server, network, rate, size};

#[test]
fn durations_are_a_whole_number_and_a_unit() {
    for (text, secs) in [
        ("90s", Some(90)),
        ("5m", Some(300)),
        ("4h", Some(14_400)),
        ("5d", Some(432_000)),
        ("2w", Some(1_209_600)),
        ("366d", Some(31_622_400)),
        ("367d", None),
        ("0s", None),
        ("", None),
        ("s", None),
        ("5", None),
        ("1.5h", None),
        ("-1s", None),
        ("1h30m", None),
        ("5 m", None),
        ("99999999999999999999s", None),
        ("9999999999999999999w", None),
        ("5\u{fc}", None),
    ] {
        assert_eq!(duration(text).ok(), secs.map(Duration::from_secs), "{text:?}");
    }
}

#[test]
fn rates_are_a_number_and_a_time() {
    for (text, expected) in [
        ("100/1m", Some((100, 60))),
        ("10/s", Some((10, 1))),
        ("1/h", Some((1, 3600))),
        ("1000000/1d", Some((1_000_000, 86_400))),
        ("5 / 30s", Some((5, 30))),
        ("0/1m", None),
        ("1000001/1m", None),
        ("1/2d", None),
        ("100", None),
        ("100/", None),
        ("/1m", None),
        ("100/0s", None),
        ("-1/1m", None),
        ("1/1/1m", None),
    ] {
        assert_eq!(rate(text).ok().map(|rate| (rate.messages, rate.per.as_secs())), expected, "{text:?}");
    }
}

#[test]
fn sizes_are_decimal_or_binary() {
    for (text, bytes) in [
        ("50MB", Some(50_000_000)),
        ("50MiB", Some(52_428_800)),
        ("1GB", Some(1_000_000_000)),
        ("10kB", Some(10_000)),
        ("10KB", Some(10_000)),
        ("0B", Some(0)),
        ("1024TiB", Some(1 << 50)),
        ("1025TiB", None),
        ("99999999999TB", None),
        ("50", None),
        ("50mb", None),
        ("MB", None),
    ] {
        assert_eq!(size(text).ok(), bytes, "{text:?}");
    }
}

#[test]
fn next_hops_are_names_or_addresses_with_port_25_unless_another_is_written() {
    for (text, expected) in [
        ("mail.example", Some("mail.example:25")),
        ("Mail.Example.:2525", Some("mail.example:2525")),
        ("192.0.2.1", Some("[192.0.2.1]:25")),
        ("192.0.2.1:26", Some("[192.0.2.1]:26")),
        ("[192.0.2.1]", Some("[192.0.2.1]:25")),
        ("[192.0.2.1]:26", Some("[192.0.2.1]:26")),
        ("2001:db8::1", Some("[IPv6:2001:db8::1]:25")),
        ("[2001:db8::1]:26", Some("[IPv6:2001:db8::1]:26")),
        ("[IPv6:2001:db8::1]:26", Some("[IPv6:2001:db8::1]:26")),
        ("", None),
        (":25", None),
        ("mail.example:", None),
        ("mail.example:0", None),
        ("mail.example:65536", None),
        ("mail.example:25:25", None),
        ("[192.0.2.1]26", None),
        ("[mail.example]:25", None),
        ("256.0.0.1:25", None),
    ] {
        assert_eq!(host_port(text).ok().map(|hop| hop.to_string()).as_deref(), expected, "{text:?}");
    }
}

#[test]
fn networks_and_name_servers_may_be_bare_addresses() {
    for (text, expected) in [
        ("10.0.0.0/8", Some("10.0.0.0/8")),
        ("192.0.2.1", Some("192.0.2.1/32")),
        ("2001:db8::1", Some("2001:db8::1/128")),
        ("10.1.0.0/8", None),
        ("10.0.0.0/33", None),
        ("example.org", None),
    ] {
        assert_eq!(network(text).ok().map(|net| net.to_string()).as_deref(), expected, "{text:?}");
    }
    for (text, expected) in [
        ("127.0.0.1", Some("127.0.0.1:53")),
        ("127.0.0.1:5353", Some("127.0.0.1:5353")),
        ("::1", Some("[::1]:53")),
        ("[::1]:5353", Some("[::1]:5353")),
        ("localhost", None),
    ] {
        assert_eq!(name_server(text).ok().map(|at| at.to_string()).as_deref(), expected, "{text:?}");
    }
}
