//! Each kind of waiting, and the sentence about it.

use super::*;
use crate::model::actor::Actor;
use crate::spool::state::OtherHost;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ID: MessageId = MessageId::from_u128(7);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

/// Never tried, and due.
fn fresh() -> Seen {
    let recipient = QueueRecipient {
        address: "b@bank.example".into(),
        destination: Some("bank.example".into()),
        state: RecipientStanding::Ready,
        attempts: 0,
        next_attempt: None,
        last_attempt: None,
        reason: None,
        mx: None,
        detail: None,
        lacks_tls_since: None,
        route: None,
        prospects: Prospects::default(),
    };
    let around = Circumstances {
        destination: "bank.example".into(),
        ready: 1,
        active: 0,
        concurrency: 5,
        concurrency_max: 5,
        total_active: 10,
        total_concurrency: 500,
        ..Circumstances::default()
    };
    (recipient, around)
}

/// Failed twice at a host, and waits for its next try in 6 minutes.
fn failed(reason: Reason, detail: &str) -> Seen {
    let (recipient, around) = fresh();
    let recipient = QueueRecipient {
        state: RecipientStanding::Waiting,
        attempts: 2,
        next_attempt: Some(after(400)),
        last_attempt: Some(NOW),
        reason: Some(reason),
        mx: Some("mx1.bank.example".into()),
        detail: Some(detail.into()),
        ..recipient
    };
    (recipient, Circumstances { ready: 0, ..around })
}

fn with(mut seen: Seen, change: impl FnOnce(&mut QueueRecipient, &mut Circumstances)) -> Seen {
    change(&mut seen.0, &mut seen.1);
    seen
}

fn hold(scope: HoldScope, until: Option<u64>, reason: Option<&str>) -> Seen {
    let hold =
        Hold { scope, by: Actor::Account(1000), at: NOW, until: until.map(after), reason: reason.map(str::to_owned) };
    with(fresh(), |recipient, around| {
        recipient.state = RecipientStanding::Held;
        around.hold = Some(hold);
    })
}

#[track_caller]
fn check(cases: &[(Seen, &str)]) {
    for (seen, expected) in cases {
        let text = why(ID, std::slice::from_ref(seen), NOW);
        assert_eq!(text, *expected);
        assert!(text.len() <= WHY_BYTES, "{} octets: {text}", text.len());
    }
}

#[test]
fn a_delivery_that_was_not_tried_yet_tells_what_it_waits_for() {
    check(&[
        (
            with(fresh(), |_, around| (around.ready, around.active) = (42, 5)),
            "Delivery to b@bank.example has not been tried yet; it waits for its turn: 41 others are due there \
             too, and 5 of at most 5 deliveries to bank.example run now.",
        ),
        (
            with(fresh(), |_, around| (around.ready, around.active) = (2, 5)),
            "Delivery to b@bank.example has not been tried yet; it waits for its turn: 1 other is due there too, and \
             5 of at most 5 deliveries to bank.example run now.",
        ),
        (
            with(fresh(), |_, around| {
                around.destination = "domains.d/bank.toml:4".into();
                around.active = 1;
            }),
            "Delivery to b@bank.example has not been tried yet; it waits for its turn: 1 of at most 5 deliveries to \
             the route of domains.d/bank.toml:4 run now.",
        ),
        (fresh(), "Delivery to b@bank.example has not been tried yet; it waits for its turn."),
        (
            with(fresh(), |_, around| around.total_active = 500),
            "Delivery to b@bank.example has not been tried yet; all 500 deliveries that may run at once are running. \
             [limits].max_outbound_connections sets how many.",
        ),
        (
            with(fresh(), |_, around| (around.rate_until, around.ready) = (Some(after(12)), 31)),
            "Delivery to b@bank.example has not been tried yet; bank.example gets mail at its rate only: the next may \
             go in 12 s, and 30 others are due there too.",
        ),
        (
            with(fresh(), |_, around| (around.rests_until, around.ready) = (Some(after(12)), 31)),
            "Delivery to b@bank.example has not been tried yet; bank.example refused even a single connection and is \
             left alone; it goes on in 12 s, and 30 others are due there too.",
        ),
        (
            with(fresh(), |_, around| around.down_until = Some(after(180))),
            "Delivery to b@bank.example has not been tried yet; bank.example is taken to be down and is probed in 3 \
             min (2027-01-15T08:03:00Z). `gatepost queue retry 00000000000000000000000007` probes it now.",
        ),
        (
            with(fresh(), |recipient, _| {
                (recipient.state, recipient.next_attempt) = (RecipientStanding::Waiting, Some(after(60)));
            }),
            "Delivery to b@bank.example has not been tried yet; it is tried in 60 s.",
        ),
    ]);
}

#[test]
fn what_keeps_everything_is_told_first() {
    let stopped = |stop| with(fresh(), |_, around| around.stop = Some(stop));
    check(&[
        (
            stopped(Stop::Spool),
            "Delivery to b@bank.example has not been tried yet; nothing is begun while the spool cannot be written. \
             `gatepost status` tells more.",
        ),
        (
            stopped(Stop::Audit),
            "Delivery to b@bank.example has not been tried yet; nothing is begun while the audit log cannot be \
             written. `gatepost status` tells more.",
        ),
        (
            stopped(Stop::NotRunning),
            "Delivery to b@bank.example has not been tried yet; the daemon is not running: start it with `gatepost \
             serve`.",
        ),
        (
            with(failed(Reason::ConnectFailed, "connection refused"), |recipient, around| {
                recipient.next_attempt = None;
                recipient.state = RecipientStanding::Ready;
                around.stop = Some(Stop::NotRunning);
            }),
            "Delivery to b@bank.example failed twice with connect-failed at mx1.bank.example (connection refused); it \
             is due. The daemon is not running: start it with `gatepost serve`. The host turns connections away: its \
             mail service is down, or a firewall rejects us.",
        ),
    ]);
}

#[test]
fn a_delivery_under_way_tells_where_and_for_how_long() {
    let active = |run| {
        with(failed(Reason::ConnectTimeout, "no answer"), |recipient, around| {
            (recipient.state, recipient.next_attempt) = (RecipientStanding::Active, None);
            around.run = run;
        })
    };
    check(&[
        (
            active(Some(Run { since: NOW - Duration::from_secs(12), host: Some("mx2.bank.example".into()) })),
            "It is being delivered to b@bank.example right now, for 12 s, at mx2.bank.example by now. Before that it \
             failed twice with connect-timeout.",
        ),
        (
            active(None),
            "It is being delivered to b@bank.example right now. Before that it failed twice with connect-timeout.",
        ),
    ]);
}

#[test]
fn a_hold_tells_who_why_until_when_and_what_ends_it() {
    check(&[
        (
            hold(HoldScope::Message, None, Some("suspected phishing\u{1b}[2J")),
            "The delivery to b@bank.example is held by uid 1000 since 2027-01-15T08:00:00Z (\"suspected \
             phishing\\x1b[2J\"), until somebody releases it. `gatepost queue release 00000000000000000000000007` \
             lets it go.",
        ),
        (
            hold(HoldScope::Domain("bank.example".into()), Some(7200), None),
            "All mail for bank.example is held by uid 1000 since 2027-01-15T08:00:00Z, until 2027-01-15T10:00:00Z (in \
             2 h). `gatepost queue release --to-domain bank.example` lets it go.",
        ),
        (
            with(hold(HoldScope::Route("escrow".into()), None, Some("")), |recipient, _| {
                recipient.prospects.expires_at = Some(after(7200));
            }),
            "All mail by the route escrow is held by uid 1000 since 2027-01-15T08:00:00Z (\"\"), until somebody \
             releases it. `gatepost queue release --route escrow` lets it go. Its lifetime ends \
             2027-01-15T10:00:00Z: released later, it is tried once.",
        ),
        (
            with(fresh(), |recipient, _| recipient.state = RecipientStanding::Held),
            "The delivery to b@bank.example is held. `gatepost queue release 00000000000000000000000007` lets it go.",
        ),
    ]);
}

#[test]
fn a_failure_of_the_network_or_the_host_tells_what_to_look_at() {
    let expires = |seen| with(seen, |recipient, _| recipient.prospects.expires_at = Some(after(18_000)));
    check(&[
        (
            expires(failed(Reason::RemoteDeferred, "450 4.2.0 \\x1bgreylisted")),
            "Delivery to b@bank.example failed twice with remote-deferred at mx1.bank.example (450 4.2.0 \
             \\x1bgreylisted); it is tried again in 6 min. Greylisting passes by itself; anything else the host's \
             operator can explain. \
             It is given up in 5 h (2027-01-15T13:00:00Z).",
        ),
        (
            with(failed(Reason::RemoteDeferred, "421 4.7.0 too many connections"), |_, around| {
                (around.concurrency, around.had_enough) = (2, true);
            }),
            "Delivery to b@bank.example failed twice with remote-deferred at mx1.bank.example (421 4.7.0 too many \
             connections); it is tried again in 6 min. bank.example is found to take few deliveries at once: 2 of 5 \
             now. The host takes no more from us just now; a lower `concurrency` of its policy may suit it.",
        ),
        (
            with(expires(failed(Reason::ConnectTimeout, "no answer")), |_, around| {
                around.down_until = Some(after(180));
            }),
            "Delivery to b@bank.example failed twice with connect-timeout at mx1.bank.example (no answer); it is tried \
             again in 6 min. bank.example is taken to be down and is probed in 3 min (2027-01-15T08:03:00Z). `gatepost \
             queue retry 00000000000000000000000007` probes it now. Nothing answers there: the host is down, or a \
             firewall drops our connections. It is given up in 5 h (2027-01-15T13:00:00Z).",
        ),
        (
            failed(Reason::ConnectFailed, "connection refused"),
            "Delivery to b@bank.example failed twice with connect-failed at mx1.bank.example (connection refused); it \
             is tried again in 6 min. The host turns connections away: its mail service is down, or a firewall rejects \
             us.",
        ),
        (
            with(failed(Reason::DnsFailure, "SERVFAIL"), |recipient, _| recipient.mx = None),
            "Delivery to b@bank.example failed twice with dns-failure (SERVFAIL); it is tried again in 6 min. `dig MX \
             bank.example` asks the name servers yourself.",
        ),
        (
            with(failed(Reason::Timeout, ""), |recipient, around| {
                (recipient.state, recipient.next_attempt) = (RecipientStanding::Ready, None);
                (around.ready, around.active) = (8, 5);
            }),
            "Delivery to b@bank.example failed twice with timeout at mx1.bank.example; it is due. It waits for its \
             turn: 7 others are due there too, and 5 of at most 5 deliveries to bank.example run now. The host takes \
             connections and falls silent: it is overloaded, or it stalls us.",
        ),
    ]);
}

#[test]
fn a_failure_of_tls_tells_who_asks_for_it_and_where_it_can_be_mended() {
    let asked = |reason, detail: &str, by: &[&str]| {
        with(failed(reason, detail), |recipient, _| {
            recipient.prospects.asked_by = by.iter().map(|by| (*by).to_owned()).collect();
            recipient.lacks_tls_since = Some(NOW - Duration::from_secs(300));
        })
    };
    check(&[
        (
            with(asked(Reason::StarttlsNotSupported, "", &["domains.d/bank.toml:12"]), |recipient, _| {
                recipient.prospects.reroute_to = Some("escrow".into());
                recipient.prospects.reroute_at = Some(after(10_800));
            }),
            "Delivery to b@bank.example failed twice with starttls-not-supported at mx1.bank.example; it is tried \
             again in 6 min; it has waited for TLS for 5 min. TLS is asked for by domains.d/bank.toml:12. The host has \
             to offer TLS: `gatepost probe bank.example` shows what it offers. If that is not met by then, it goes by \
             the route escrow in 3 h (2027-01-15T11:00:00Z).",
        ),
        (
            asked(Reason::CertificateExpired, "Expired", &["learned"]),
            "Delivery to b@bank.example failed twice with certificate-expired at mx1.bank.example (Expired); it is \
             tried again in 6 min; it has waited for TLS for 5 min. TLS is asked for by learned. If its hosts will not \
             meet what was learned again: `gatepost learned forget bank.example`. Its operator has to renew the \
             certificate: `gatepost probe bank.example` shows it.",
        ),
        (
            asked(Reason::TlsaInvalid, "no TLSA record matches", &["DANE"]),
            "Delivery to b@bank.example failed twice with tlsa-invalid at mx1.bank.example (no TLSA record matches); \
             it is tried again in 6 min; it has waited for TLS for 5 min. TLS is asked for by DANE. Its operator has \
             to make TLSA records and certificate agree: `gatepost probe bank.example` shows both.",
        ),
        (
            with(asked(Reason::CertificateHostMismatch, "", &["MTA-STS"]), |recipient, _| {
                recipient.destination = Some("escrow".into());
                recipient.route = Some("escrow".into());
                recipient.mx = Some("portal.example.net".into());
            }),
            "Delivery to b@bank.example failed twice with certificate-host-mismatch at portal.example.net; it is tried \
             again in 6 min, by the route escrow, because its own mail hosts could not meet its policy for too long. \
             TLS is asked for by MTA-STS. `gatepost probe portal.example.net:25` shows the names in its certificate; \
             `match` can permit one.",
        ),
        (
            asked(Reason::StsPolicyFetchError, "", &["MTA-STS"]),
            "Delivery to b@bank.example failed twice with sts-policy-fetch-error at mx1.bank.example; it is tried \
             again in 6 min; it has waited for TLS for 5 min. TLS is asked for by MTA-STS. Look at \
             https://mta-sts.bank.example/.well-known/mta-sts.txt.",
        ),
        (
            asked(Reason::NeedsRequireTls, "", &["REQUIRETLS"]),
            "Delivery to b@bank.example failed twice with requiretls-not-supported at mx1.bank.example; it is tried \
             again in 6 min; it has waited for TLS for 5 min. TLS is asked for by REQUIRETLS. The sender asks for TLS \
             on every hop (REQUIRETLS), and no host there promises that.",
        ),
    ]);
}

#[test]
fn the_recipient_that_comes_first_speaks_and_the_others_are_counted() {
    let waits = || failed(Reason::ConnectFailed, "");
    let runs = || with(fresh(), |recipient, _| recipient.state = RecipientStanding::Active);
    let settled = || with(fresh(), |recipient, _| recipient.state = RecipientStanding::Delivered);
    let begins = |seen: &[Seen], expected: &str| {
        let text = why(ID, seen, NOW);
        assert!(text.starts_with(expected), "{text}");
    };
    begins(&[waits(), waits(), settled()], "Delivery to b@bank.example (and 1 more) failed twice");
    begins(&[waits(), runs()], "It is being delivered to b@bank.example (1 more for other reasons) right now");
    begins(&[waits(), waits(), fresh()], "Delivery to b@bank.example (2 more for other reasons) has not been tried");
    begins(
        &[hold(HoldScope::Message, None, None), waits()],
        "Delivery to b@bank.example (1 more for other reasons) failed twice",
    );
    begins(&[settled()], "All recipients are settled");
}

#[test]
fn what_does_not_fit_is_left_out_and_what_matters_less_first() {
    let other = |number| OtherHost {
        mx: format!("mx{number}.bank.example"),
        reason: Reason::ConnectTimeout,
        detail: String::new(),
    };
    let short = with(failed(Reason::ValidationFailure, "x"), |recipient, _| {
        recipient.prospects.other_hosts = (2..=5).map(other).collect();
        recipient.prospects.told_at = Some(NOW);
    });
    let text = why(ID, &[short], NOW);
    let others = " Other hosts failed too: mx2.bank.example (connect-timeout), mx3.bank.example (connect-timeout) \
    and 2 \
                  more. The sender was told 2027-01-15T08:00:00Z.";
    assert!(text.ends_with(others), "{text}");
    let long = with(failed(Reason::ValidationFailure, &"words ".repeat(100)), |recipient, _| {
        recipient.prospects.asked_by = vec!["domains.d/bank.toml:12".into(), "DANE".into()];
        recipient.prospects.other_hosts = (2..=5).map(other).collect();
        recipient.prospects.expires_at = Some(after(18_000));
    });
    let text = why(ID, &[long], NOW);
    assert!(text.len() <= WHY_BYTES && text.contains("domains.d/bank.toml:12, DANE"), "{text}");
    assert!(!text.contains("Other hosts"), "{text}");
}
