//! A file of facts about the next hop: JSON, the answer of this command among it.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::cli::output::Failure;
use crate::explain::outbound::facts::Facts;
use crate::model::human::shown;
use crate::model::os_error;

/// Longest file of facts, in bytes.
const FACTS_BYTES_MAX: u64 = 1 << 20;
/// Most hosts in it.
const HOSTS_MAX: usize = 100;

/// Reads a file of facts.
pub(super) fn read(path: &Path) -> Result<Facts, Failure> {
    let unreadable = |what: String| {
        let message = format!("{}: {}", shown(&path.display().to_string()), shown(&what));
        Failure::usage(message, EXAMPLE)
    };
    let mut text = String::new();
    let refused = |error| {
        let message = format!("cannot read {}: {}", path.display(), os_error::why(&error));
        Failure::usage(message, "name a file of facts with --facts FILE, or leave it out to look up the hosts")
    };
    let file = fs::File::open(path).map_err(refused)?;
    file.take(FACTS_BYTES_MAX + 1).read_to_string(&mut text).map_err(refused)?;
    if text.len() as u64 > FACTS_BYTES_MAX {
        return Err(unreadable(format!("longer than {FACTS_BYTES_MAX} bytes")));
    }
    parse(&text).map_err(unreadable)
}

const EXAMPLE: &str = "write JSON such as {\"hosts\": [{\"name\": \"mx1.bank.example\", \"preference\": 10, \
                       \"addresses\": [\"192.0.2.1\"], \"dnssec\": \"insecure\"}]}, or give an answer of this command \
                       with --json";

pub(in crate::cli) fn parse(text: &str) -> Result<Facts, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let own = value.get("next_hop").cloned();
    let facts: Facts = serde_json::from_value(own.unwrap_or(value)).map_err(|error| error.to_string())?;
    match (facts.hosts.len(), &facts.failure) {
        (0, None) => Err("it names neither hosts nor a failure".to_owned()),
        (1.., Some(_)) => Err("it names hosts and a failure, and only one of them can be".to_owned()),
        (HOSTS_MAX.., _) => Err(format!("it names more than {HOSTS_MAX} hosts")),
        _ => Ok(facts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::outbound::facts::Dnssec;
    use crate::model::reason::Reason;

    #[test]
    fn facts_are_read_with_their_defaults_or_refused_with_what_is_wrong() {
        let whole = r#"{"hosts": [{"name": "MX.example.", "preference": 5, "addresses": ["192.0.2.1"],
                        "dnssec": "secure", "port": 2525}]}"#;
        let host = parse(whole).unwrap().hosts.remove(0);
        assert_eq!((host.shown().as_str(), host.port, host.dnssec), ("mx.example", 2525, Dnssec::Secure));
        let bare = parse(r#"{"next_hop": {"hosts": [{"addresses": ["2001:db8::1"]}], "failure": null}, "x": 1}"#);
        let bare = bare.unwrap().hosts.remove(0);
        assert_eq!((bare.shown().as_str(), bare.port, bare.dnssec), ("[2001:db8::1]", 25, Dnssec::Unknown));
        let failure = parse(r#"{"failure": {"reason": "null-mx", "permanent": true}}"#).unwrap().failure.unwrap();
        assert_eq!((failure.reason, failure.permanent), (Reason::NullMx, true));
        for (text, expected) in [
            ("", "EOF"),
            ("{}", "neither hosts nor a failure"),
            (r#"{"host": []}"#, "unknown field `host`"),
            (r#"{"hosts": [{"nam": "a"}]}"#, "unknown field `nam`"),
            (r#"{"hosts": [{"name": "a b"}]}"#, "letters, digits"),
            (r#"{"hosts": [{"name": "a", "tlsa": {"records": ["3 1 1 0"]}}]}"#, "\"3 1 1 0\" is no TLSA record"),
            (r#"{"hosts": [{"name": "a"}], "failure": {"reason": "null-mx"}}"#, "only one"),
            (r#"{"failure": {"reason": "nul-mx"}}"#, "unknown variant `nul-mx`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
