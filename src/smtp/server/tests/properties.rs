//! What holds for any input.

use proptest::prelude::*;

use super::driver::Driver;
use super::{facts, settings, shared};
use crate::model::time::Instant;
use crate::smtp::server::{PIPELINE_BYTES_MAX, ServerSession};

/// Bytes that come far into the protocol, and bytes that do not.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "EHLO a\r\n", "HELO b\r\n", "MAIL FROM:<a@b.example>\r\n", "MAIL FROM:<> SIZE=5 SMTPUTF8\r\n", "NOOP\r\n",
            "RCPT TO:<c@d.example>\r\n", "RCPT TO:<e@d.example> NOTIFY=NEVER\r\n", "DATA\r\n", "RSET\r\n", "body\r\n",
            ".\r\n", "..\r\n", "\r\n", "\n", "\r", ".", "VRFY x\r\n", "FOO\r\n", "STARTTLS\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..3000usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn run(input: &[u8], chunk: usize) -> (String, Vec<String>) {
    // Under TLS: where STARTTLS is allowed, the outcome rightly depends on what has arrived with it.
    let mut driver = Driver::new(ServerSession::new(shared(settings()), Instant::ZERO, Some(facts())));
    for piece in input.chunks(chunk.max(1)) {
        driver.feed(piece);
    }
    driver.session.handle_eof(Instant::ZERO);
    driver.drain();
    (driver.sent, driver.actions)
}

proptest! {
    #[test]
    fn the_size_of_the_pieces_changes_nothing(input in input(), chunk in 1..200usize) {
        prop_assert_eq!(run(&input, chunk), run(&input, input.len()));
    }

    #[test]
    fn replies_are_whole_printable_lines_whatever_comes(input in input()) {
        let (sent, actions) = run(&input, 100);
        prop_assert!(sent.split_inclusive("\r\n").all(|line| line.len() <= 512 && line.ends_with("\r\n")));
        prop_assert!(sent.split("\r\n").all(|line| line.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
        prop_assert!(actions.last().is_some_and(|last| last.starts_with("close ")));
    }

    #[test]
    fn a_driver_that_never_answers_and_never_stops_reading_fills_no_memory(
        pieces in prop::collection::vec(input(), 1..4),
        start in prop::sample::select(vec!["", "HELO x\r\nMAIL FROM:<>\r\n"]),
    ) {
        let mut session = ServerSession::new(shared(settings()), Instant::ZERO, None);
        session.handle_bytes(Instant::ZERO, start.as_bytes());
        for piece in pieces.iter().cycle().take(200) {
            session.handle_bytes(Instant::ZERO, piece);
            while session.poll_action().is_some() {}
            prop_assert!(session.buffered_bytes() <= 4 * PIPELINE_BYTES_MAX + 2 * piece.len());
        }
    }
}
