//! What a record does not tell. That what it tells gives the verdict of the daemon is a property of the whole program,
//! and tried where every way to ask is known.

use super::*;
use crate::audit::facts::{Said, read};
use crate::policy::inbound::Floor;
use crate::policy::relay::{Role, TrustedClients};

#[test]
fn what_the_record_does_not_tell_is_not_guessed() {
    let (policies, trusted, floor) = (PolicySet::default(), TrustedClients::default(), Floor::default());
    let door = Door { policies: &policies, trusted: &trusted, role: Role::Mx, relay: false, floor: &floor };
    let setting = Setting { policies: &policies, doors: [("mx", door)].into(), at: Timestamp::from_secs(100) };
    let check = |json: &str, to: &str, expected: Result<Effect, Unknown>| {
        let line = format!("{{\"time\":\"t\",\"id\":\"i\",{json}}}");
        let Said::Facts(facts) = read(line.as_bytes()).unwrap() else { panic!("{line}") };
        let mut replay = Replay::new(&setting, &setting);
        let session = replay.session(&facts);
        let pair = replay.judge(&facts, &session, Some(to));
        assert_eq!(pair.after.as_ref().map(|answer| answer.effect).map_err(|why| *why), expected, "{line}");
    };
    let client = r#""client":{"ip":"192.0.2.1","port":1,"helo":null},"from":"a@x.example""#;
    let accepted = format!(r#""event":"inbound.accepted","listener":"mx",{client}"#);
    check(&accepted, "b@bank.example", Ok(Effect::Refused));
    check(&accepted.replace("\"mx\"", "\"old\""), "b@bank.example", Err(Unknown::ListenerGone));
    check(&accepted.replace("192.0.2.1", "?"), "b@bank.example", Err(Unknown::NotRecorded));
    check(&accepted, "not an address", Err(Unknown::NotRecorded));
    check(&format!("{accepted},\"tls\":{{\"version\":\"TLSv9\"}}"), "b@bank.example", Err(Unknown::NotRecorded));
    let out = |event: &str, more: &str| format!(r#""event":"outbound.{event}","from":"a@x.example",{more}"tls":null"#);
    check(&out("delivered", ""), "b@x.example", Ok(Effect::Taken));
    check(&out("deferred", r#""reason":"starttls-not-supported","#), "b@x.example", Ok(Effect::Taken));
    check(&out("deferred", r#""reason":"validation-failure","#), "b@x.example", Err(Unknown::NotRecorded));
    check(&out("delivered", r#""route":"escrow","#), "b@x.example", Err(Unknown::OtherNextHop));
}
