//! A domain file for what was learned, to be read and put in place by the operator.

use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::candidate::{NoCandidate, Shown, candidate};
use crate::policy::names::NamePattern;
use crate::policy::rules::PolicySet;

use super::Level;
use super::evidence::{Evidence, HostEvidence};

/// The file as TOML: its comments tell the evidence, its keys ask for no more than was met, and for no less than what
/// holds today.
pub fn file(policies: &PolicySet, domain: &Domain, evidence: &Evidence, at: Timestamp) -> Result<String, NoCandidate> {
    let lines = about_all(domain, evidence);
    candidate(policies, domain, &shown(evidence), at).map(|candidate| candidate.file(&lines))
}

/// For `verify` a certificate for the domain itself, or for any of the hosts that have proved their own names.
fn shown(evidence: &Evidence) -> Shown {
    let hosts = evidence.hosts.iter().filter(|host| host.own_name).map(|host| NamePattern::Exact(host.name.clone()));
    let way = [NamePattern::Domain].into_iter().chain(hosts).collect();
    let ways = if evidence.level == Level::Verify { vec![way] } else { Vec::new() };
    Shown { ways, ..Shown::default() }
}

fn about_all(domain: &Domain, evidence: &Evidence) -> Vec<String> {
    let met = match evidence.level {
        Level::Encrypt => "took mail over TLS",
        Level::Verify => "took mail over TLS with a certificate that could be verified",
    };
    let Evidence { deliveries, days, first, last, .. } = evidence;
    let mut lines = vec![
        format!("Every mail host of {domain} {met}:"),
        format!("{deliveries} deliveries on {days} days from {} to {}.", first.day(), last.day()),
    ];
    lines.extend(evidence.hosts.iter().map(|host| about(host, domain, evidence.level)));
    lines
}

fn about(host: &HostEvidence, domain: &Domain, level: Level) -> String {
    let HostEvidence { name, deliveries, last, own_name, name_days } = host;
    let proved = match (level, own_name, name_days) {
        (Level::Encrypt, ..) => String::new(),
        (Level::Verify, true, _) => ", certificate for its own name".to_owned(),
        (Level::Verify, false, 0) => format!(", certificate for {domain}"),
        (Level::Verify, false, days) => format!(", its own name on {days} days: too few to count"),
    };
    format!("  {name}: {deliveries} deliveries{proved}, last seen {}", last.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: Level, expected: &str) {
        let day = |n: i64| Timestamp::from_secs(86_400 * (20_757 + n));
        let host = |name, name_days, deliveries| HostEvidence {
            name: Domain::parse(name).unwrap(),
            deliveries,
            last: day(9),
            own_name: name_days > 7,
            name_days,
        };
        let evidence = Evidence {
            level,
            first: day(1),
            last: day(9),
            days: 8,
            deliveries: 24,
            hosts: vec![
                host("mx1.host.example", 8, 20),
                host("mx2.bank.example", 0, 3),
                host("mx3.host.example", 1, 1),
            ],
        };
        let bank = Domain::parse("bank.example").unwrap();
        let text = file(&PolicySet::default(), &bank, &evidence, day(9)).unwrap();
        assert_eq!(text, expected);
        toml::from_str::<toml::Table>(&text).unwrap();
    }

    #[test]
    fn a_candidate_asks_for_what_was_met_and_says_why() {
        check(
            Level::Verify,
            r#"# Every mail host of bank.example took mail over TLS with a certificate that could be verified:
# 24 deliveries on 8 days from 2026-11-01 to 2026-11-09.
#   mx1.host.example: 20 deliveries, certificate for its own name, last seen 2026-11-09
#   mx2.bank.example: 3 deliveries, certificate for bank.example, last seen 2026-11-09
#   mx3.host.example: 1 deliveries, its own name on 1 days: too few to count, last seen 2026-11-09
domains = ["bank.example"]

[outbound]
tls = "verify"
match = ["domain", "mx1.host.example"]
"#,
        );
        check(
            Level::Encrypt,
            r#"# Every mail host of bank.example took mail over TLS:
# 24 deliveries on 8 days from 2026-11-01 to 2026-11-09.
#   mx1.host.example: 20 deliveries, last seen 2026-11-09
#   mx2.bank.example: 3 deliveries, last seen 2026-11-09
#   mx3.host.example: 1 deliveries, last seen 2026-11-09
domains = ["bank.example"]

[outbound]
tls = "encrypt"
"#,
        );
    }
}
