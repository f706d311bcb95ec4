//! Servers that say anything: no panic, bounded memory, and no recipient without an outcome.

use proptest::prelude::*;

use super::*;

/// Text that reaches deep states more often than random octets do.
fn server_text() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "220 hi\r\n",
        "220-hi\r\n",
        "250 ok\r\n",
        "250-mx\r\n",
        "250-STARTTLS\r\n",
        "250 PIPELINING\r\n",
        "354 go\r\n",
        "421 bye\r\n",
        "452 full\r\n",
        "550 5.1.1 no\n",
        "221 bye\r\n",
        "250",
        "\r\n",
    ]);
    let known = known.prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![6 => known, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

fn event() -> impl Strategy<Value = Option<&'static str>> {
    let events = ["tls", "body", "progress", "tick 100s", "tick 600s", "eof", "quit", "begin a@a.example b@b.example"];
    prop_oneof![4 => Just(None), 1 => prop::sample::select(events.to_vec()).prop_map(Some)]
}

proptest! {
    #[test]
    fn any_server_leaves_each_recipient_with_one_outcome(
        plan in prop::sample::select(vec![TlsPlan::Never, TlsPlan::IfOffered, TlsPlan::Required, TlsPlan::Implicit]),
        script in prop::collection::vec((server_text(), event()), 0..40),
    ) {
        let mut run = Run::new(plan);
        let mut begun = 0;
        for (bytes, event) in script {
            let ready_before = run.seen.iter().filter(|line| *line == "= ready").count();
            run.session.handle_bytes(run.now, &bytes);
            run.drain();
            let ready = run.seen.iter().filter(|line| *line == "= ready").count();
            if ready > ready_before {
                run.event("begin a@a.example b@b.example,c@b.example");
                begun += 1;
            }
            if let Some(event) = event {
                begun += usize::from(event.starts_with("begin"));
                run.event(event);
            }
        }
        run.event("eof");
        let count = |prefix: &str| run.seen.iter().filter(|line| line.starts_with(prefix)).count();
        prop_assert_eq!(count("= finished"), begun);
        prop_assert_eq!(count("= failed") + count("= closed"), 1);
    }

    #[test]
    fn any_octets_are_read_alike_however_they_are_cut(
        bytes in prop::collection::vec(server_text(), 0..12).prop_map(|parts| parts.concat()),
    ) {
        use crate::smtp::reply_parser::ReplyParser;
        let read = |size: usize| {
            let mut parser = ReplyParser::default();
            let mut seen = Vec::new();
            for mut chunk in bytes.chunks(size) {
                loop {
                    match parser.read(&mut chunk) {
                        Ok(Some(reply)) => seen.push(reply),
                        Ok(None) => break,
                        Err(fault) => return (seen, Some(fault)),
                    }
                }
            }
            (seen, None)
        };
        prop_assert_eq!(read(1), read(bytes.len().max(1)));
    }
}

#[test]
fn an_endless_server_is_cut_off_within_the_bounds() {
    for chunk in [b"220-x\r\n".as_slice(), b"x", b"220 x\r\n", b"\0\0\0\0"] {
        let mut run = Run::new(TlsPlan::Never);
        let mut fed = 0;
        while !run.seen.iter().any(|line| line.starts_with("= failed")) {
            run.receive(chunk, Feed::Whole);
            fed += chunk.len();
            assert!(fed <= 8192, "{chunk:?}");
        }
    }
}
