//! What an attempt shows of the hosts that it talked to: whether they answer, and whether they had enough. Pure.

use crate::model::reply::{EnhancedCode, Reply, Severity};
use crate::net::dial::DialErrorKind;
use crate::schedule::job::Signal;
use crate::smtp::client::{Fault, FaultKind, RecipientOutcome, Stage};
use crate::tls::failure::FailureKind;

/// What two hosts, or two recipients, tell together. Who is served is not served badly, and hosts are out of reach only
/// together: the next one may have taken the mail.
pub(super) fn together(one: Signal, other: Signal) -> Signal {
    let weight = |signal| match signal {
        Signal::Neutral => 0,
        Signal::Unreachable => 1,
        Signal::Answers => 2,
        Signal::Busy => 3,
        Signal::Good => 4,
    };
    if weight(other) > weight(one) { other } else { one }
}

/// What a host shows that mail goes to only after others: it may be anybody's, so that what is wrong with it says
/// nothing of them. That it serves does: nobody has to wait for them.
pub(super) const fn of_further_host(signal: Signal) -> Signal {
    match signal {
        Signal::Unreachable => Signal::Neutral,
        Signal::Busy => Signal::Answers,
        Signal::Neutral | Signal::Answers | Signal::Good => signal,
    }
}

/// A connection that did not come about.
pub(super) const fn of_dial(kind: DialErrorKind) -> Signal {
    match kind {
        DialErrorKind::Refused | DialErrorKind::Unreachable | DialErrorKind::Timeout | DialErrorKind::Reset => {
            Signal::Unreachable
        }
        // Ours: no address to come from, or no descriptor.
        DialErrorKind::SourceUnavailable | DialErrorKind::Other(_) => Signal::Neutral,
    }
}

/// A handshake that failed. One that hangs is no better than a greeting that does not come.
pub(super) const fn of_handshake(kind: FailureKind) -> Signal {
    match kind {
        FailureKind::Timeout => Signal::Unreachable,
        _ => Signal::Answers,
    }
}

/// A session that broke before a message could be sent.
pub(super) fn of_fault(fault: &Fault) -> Signal {
    match (&fault.reply, fault.stage) {
        (Some(reply), stage) => of_refusal(stage, reply),
        (None, stage) => of_breach(stage, fault.kind),
    }
}

/// What came of a recipient.
pub(super) fn of_outcome(outcome: &RecipientOutcome) -> Signal {
    match outcome {
        RecipientOutcome::Delivered(_) => Signal::Good,
        RecipientOutcome::Refused { stage, reply } => of_refusal(*stage, reply),
        RecipientOutcome::Unsupported(_) => Signal::Answers,
        RecipientOutcome::Lost { stage, fault } => of_breach(*stage, *fault),
    }
}

fn of_refusal(stage: Stage, reply: &Reply) -> Signal {
    match (reply.severity(), stage) {
        // RFC 5321 section 3.8: the service is not available and the channel is closed.
        _ if reply.code.number() == 421 => Signal::Busy,
        (Severity::Permanent, _) => Signal::Good,
        // Before anything is known of the message, it is us whom the host does not want now.
        (Severity::Transient, Stage::Greeting) => Signal::Busy,
        (Severity::Transient, Stage::Ehlo | Stage::Mail) if tells_of_load(reply) => Signal::Busy,
        // It had all of the message, and what it said is about that.
        (Severity::Transient, Stage::Done) if !tells_of_load(reply) => Signal::Good,
        (Severity::Transient, Stage::Done) => Signal::Busy,
        // Greylisting, most of all.
        _ => Signal::Answers,
    }
}

fn of_breach(stage: Stage, kind: FaultKind) -> Signal {
    match (stage, kind) {
        (Stage::Connect | Stage::Greeting, FaultKind::Timeout | FaultKind::Closed) => Signal::Unreachable,
        (Stage::Tls, FaultKind::Timeout) => Signal::Unreachable,
        // How STARTTLS breaks is a matter of TLS.
        (Stage::StartTls | Stage::Tls, _) => Signal::Answers,
        (_, FaultKind::Timeout | FaultKind::Closed) => Signal::Busy,
        (_, FaultKind::Protocol(_) | FaultKind::Refused | FaultKind::StarttlsNotOffered) => Signal::Answers,
    }
}

/// Codes of RFC 3463 that speak of too much mail or too many connections, and words that servers use with others.
fn tells_of_load(reply: &Reply) -> bool {
    /// 4.3.2: "system not accepting network messages"; 4.4.5: "system congestion"; 4.5.3 is about one message.
    const LOAD: [(u16, u16); 2] = [(3, 2), (4, 5)];
    /// 4.2.1, 4.4.2 and 4.7.x are used for rates, and for much else: there the words decide.
    const WORDS: [&str; 9] = [
        "too many",
        "too much",
        "too fast",
        "rate limit",
        "ratelimit",
        "throttl",
        "concurren",
        "connections from",
        "slow down",
    ];
    let is_code = |code: EnhancedCode| LOAD.contains(&(code.subject, code.detail));
    let is_worded = |line: &String| {
        let line = line.to_ascii_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    };
    // RFC 5321 section 4.5.3.1.10: a host that takes only so many recipients speaks of this message.
    let is_of_recipients = |line: &String| line.to_ascii_lowercase().contains("recipients");
    reply.enhanced.is_some_and(is_code)
        || reply.lines.iter().any(is_worded) && !reply.lines.iter().any(is_of_recipients)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::model::reason::Reason;
    use crate::model::reply::Code;
    use crate::smtp::client::ProtocolFault;
    use Signal::{Answers, Busy, Good, Neutral, Unreachable};

    fn reply(text: &str) -> Reply {
        let (code, rest) = text.split_once(' ').unwrap();
        let (enhanced, words) = match rest.split_once(' ') {
            Some((first, words)) if EnhancedCode::parse(first).is_some() => (EnhancedCode::parse(first), words),
            _ => (None, rest),
        };
        Reply { code: Code::new(code.parse().unwrap()).unwrap(), enhanced, lines: vec![words.to_owned()] }
    }

    #[test]
    fn what_a_host_says_tells_whether_it_had_enough() {
        for (stage, text, expected) in [
            (Stage::Greeting, "421 4.7.0 too many connections", Busy),
            (Stage::Greeting, "450 4.7.1 try again later", Busy),
            (Stage::Greeting, "451 local problem", Busy),
            (Stage::Greeting, "452 4.3.1 no space", Busy),
            (Stage::Greeting, "554 5.7.1 you are on a list", Good),
            (Stage::Ehlo, "421 4.3.0 closing", Busy),
            (Stage::Ehlo, "451 4.7.1 greylisted", Answers),
            (Stage::Ehlo, "450 4.7.1 too many connections from your address", Busy),
            (Stage::StartTls, "454 4.7.0 TLS not available", Answers),
            (Stage::Mail, "421 4.4.5 system busy", Busy),
            (Stage::Mail, "451 4.4.5 directory server full", Busy),
            (Stage::Mail, "450 4.3.2 system not accepting network messages", Busy),
            (Stage::Mail, "450 4.7.1 rate limit exceeded", Busy),
            (Stage::Mail, "450 4.2.1 receiving mail at a rate that prevents more; throttled", Busy),
            (Stage::Mail, "450 4.7.1 greylisted", Answers),
            (Stage::Mail, "452 4.3.1 no space", Answers),
            (Stage::Mail, "550 5.7.1 we do not like you", Good),
            (Stage::Rcpt, "450 4.2.0 greylisted", Answers),
            (Stage::Rcpt, "452 4.5.3 too many recipients", Answers),
            (Stage::Rcpt, "421 4.7.0 go away", Busy),
            (Stage::Rcpt, "550 5.1.1 no such user", Good),
            (Stage::Data, "451 4.3.0 later", Answers),
            (Stage::Done, "451 4.7.1 scanner is away", Good),
            (Stage::Done, "451 4.4.5 too much mail", Busy),
            (Stage::Done, "421 4.3.0 shutting down", Busy),
            (Stage::Done, "554 5.6.0 spam", Good),
        ] {
            let fault = Fault { stage, kind: FaultKind::Refused, reply: Some(reply(text)) };
            assert_eq!(of_fault(&fault), expected, "{stage}: {text}");
            assert_eq!(
                of_outcome(&RecipientOutcome::Refused { stage, reply: reply(text) }),
                expected,
                "{stage}: {text}"
            );
        }
        assert_eq!(of_outcome(&RecipientOutcome::Delivered(reply("250 2.0.0 ok"))), Good);
        assert_eq!(of_outcome(&RecipientOutcome::Unsupported(Reason::NeedsRequireTls)), Answers);
    }

    #[test]
    fn where_a_session_breaks_tells_whether_anybody_is_there() {
        use FaultKind::{Closed, Protocol, StarttlsNotOffered, Timeout};
        let nonsense = || Protocol(ProtocolFault::Unsolicited);
        for (stage, kind, expected) in [
            (Stage::Greeting, Timeout, Unreachable),
            (Stage::Greeting, Closed, Unreachable),
            (Stage::Greeting, nonsense(), Answers),
            (Stage::Ehlo, Timeout, Busy),
            (Stage::Ehlo, Closed, Busy),
            (Stage::StartTls, StarttlsNotOffered, Answers),
            (Stage::StartTls, Closed, Answers),
            (Stage::Tls, Timeout, Unreachable),
            (Stage::Tls, Closed, Answers),
            (Stage::Mail, Closed, Busy),
            (Stage::Rcpt, Timeout, Busy),
            (Stage::Body, Closed, Busy),
            (Stage::Done, Timeout, Busy),
            (Stage::Done, nonsense(), Answers),
        ] {
            assert_eq!(of_fault(&Fault { stage, kind, reply: None }), expected, "{kind} at {stage}");
            assert_eq!(of_outcome(&RecipientOutcome::Lost { stage, fault: kind }), expected, "{kind} at {stage}");
        }
        for (kind, expected) in [
            (FailureKind::Timeout, Unreachable),
            (FailureKind::Closed, Answers),
            (FailureKind::NoCommonVersion, Answers),
        ] {
            assert_eq!(of_handshake(kind), expected, "{kind:?}");
        }
        for (kind, expected) in [
            (DialErrorKind::Refused, Unreachable),
            (DialErrorKind::Timeout, Unreachable),
            (DialErrorKind::Unreachable, Unreachable),
            (DialErrorKind::Reset, Unreachable),
            (DialErrorKind::SourceUnavailable, Neutral),
            (DialErrorKind::Other(io::ErrorKind::Other), Neutral),
        ] {
            assert_eq!(of_dial(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn one_host_that_answers_speaks_for_those_that_do_not() {
        for (all, expected) in [
            (&[][..], Neutral),
            (&[Unreachable, Unreachable], Unreachable),
            (&[Neutral, Unreachable], Unreachable),
            (&[Unreachable, Good], Good),
            (&[Unreachable, Busy], Busy),
            (&[Busy, Unreachable], Busy),
            (&[Answers, Busy], Busy),
            (&[Busy, Good], Good),
            (&[Unreachable, Answers], Answers),
        ] {
            assert_eq!(all.iter().copied().fold(Neutral, together), expected, "{all:?}");
        }
    }
}
