//! What steps, exceptions, the shadow and the emergency switch are once they are read.

use std::fmt::Write as _;

use crate::model::time::Timestamp;
use crate::policy::settings::{Mode, OutboundTls};
use crate::policy::timed::Enforcement;

use super::{HEAD, LISTENER, findings, load_files};

const MAIN: &str = "enforcement = \"report\"\nreport_until = 2026-12-01T12:00:00+02:00\n[[default.inbound.exception]]\n\
                    clients = [\"192.0.2.1\"]\nmode = \"report\"\nowner = \"o\"\nreason = \"r\"\n\
                    expires = 2027-12-01\n";

const BANK: &str = "\
domains = [\"bank.example\"]
[inbound]
tls = \"required\"
min_version = \"TLSv1.2\"
refusal_text = \"TLS please: {url}\"
refusal_url = \"https://bank.example/tls\"
[[inbound.step]]
from = 2027-01-01
mode = \"defer\"
[[inbound.step]]
from = 2027-02-01T01:00:00+01:00
mode = \"enforce\"
[[inbound.exception]]
clients = [\"203.0.113.0/24\", \"2001:db8::7\"]
senders = [\"<>\", \"fax@bank.example\", \"*.plants.example\"]
mode = \"report\"
owner = \"facilities\"
reason = \"scanner fleet\"
expires = 2027-05-01
[inbound.shadow]
min_version = \"TLSv1.3\"
[[outbound.step]]
from = 2027-01-01
tls = \"encrypt\"
[[outbound.exception]]
tls = \"opportunistic\"
owner = \"operations\"
reason = \"their move\"
expires = 2027-02-01
";

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn everything_that_depends_on_the_day_is_read_with_its_line() {
    let main = format!("{HEAD}{LISTENER}{MAIN}");
    let (config, _) = load_files(&[("gatepost.toml", &main), ("domains.d/bank.toml", BANK)]).unwrap();
    let policies = &config.policies;
    let Enforcement::ReportUntil { until, source } = &policies.enforcement else { panic!("{policies:?}") };
    assert_eq!((*until, source.to_string().as_str()), (moment("2026-12-01T10:00:00Z"), "gatepost.toml:6"));
    assert_eq!(policies.defaults.inbound.exceptions.len(), 1);

    let bank = policies.policies().next().unwrap();
    let base = &bank.inbound.base;
    assert_eq!(base.refusal_text.as_ref().unwrap().value.to_string(), "TLS please: {url}");
    assert_eq!(base.refusal_url.as_ref().unwrap().source.to_string(), "domains.d/bank.toml:6");
    let steps: Vec<_> = bank.inbound.steps.iter().map(|step| (step.from, step.source.to_string())).collect();
    let midnights = [moment("2027-01-01T00:00:00Z"), moment("2027-02-01T00:00:00Z")];
    assert_eq!(
        steps,
        [(midnights[0], "domains.d/bank.toml:7".into()), (midnights[1], "domains.d/bank.toml:10".into())]
    );
    assert_eq!(bank.inbound.steps[1].layer.mode.as_ref().unwrap().value, Mode::Enforce);
    let shadow = bank.inbound.shadow.as_ref().unwrap().min_version.as_ref().unwrap();
    assert_eq!(shadow.source.to_string(), "domains.d/bank.toml:21");

    let terms = &bank.inbound.exceptions[0].terms;
    assert_eq!((terms.owner.as_str(), terms.reason.as_str()), ("facilities", "scanner fleet"));
    assert_eq!(
        (terms.expires, terms.source.to_string().as_str()),
        (moment("2027-05-01T00:00:00Z"), "domains.d/bank.toml:13")
    );
    let clients: Vec<_> = terms.clients.iter().map(ToString::to_string).collect();
    assert_eq!(clients, ["203.0.113.0/24", "2001:db8::7/128"]);
    let senders: Vec<_> = terms.senders.iter().map(ToString::to_string).collect();
    assert_eq!(senders, ["<>", "fax@bank.example", "*.plants.example"]);

    assert_eq!(bank.outbound.steps[0].layer.tls.as_ref().unwrap().value, OutboundTls::Encrypt);
    let terms = &bank.outbound.exceptions[0].terms;
    assert!(terms.clients.is_empty() && terms.senders.is_empty());
}

#[test]
fn steps_exceptions_and_lists_have_bounds() {
    let step =
        |n: usize| format!("[[outbound.step]]\nfrom = 2027-01-01T00:{:02}:{:02}Z\ncipher = \"any\"\n", n / 60, n % 60);
    let exception = |network: &str| {
        format!(
            "[[inbound.exception]]\nclients = [{network}]\nmode = \"report\"\nowner = \"o\"\nreason = \"r\"\n\
             expires = 2028-01-01\n"
        )
    };
    let networks = |count: usize| {
        (0..count).fold(String::new(), |mut text, n| {
            _ = write!(text, "\"10.0.{}.{}\",", n / 256, n % 256);
            text
        })
    };
    let errors = |text: String| {
        let domain = format!("domains = [\"bank.example\"]\ninbound.tls = \"required\"\n{text}");
        let main = format!("{HEAD}{LISTENER}");
        let found = findings(&[("gatepost.toml", &main), ("domains.d/bank.toml", &domain)]);
        found.into_iter().filter(|finding| finding.contains(" error: ")).collect::<Vec<_>>()
    };
    let one = exception("\"192.0.2.1\"");
    for (fits, exceeds, expected) in [
        ((0..64).map(step).collect(), (0..65).map(step).collect(), "more than 64 steps"),
        (one.repeat(1000), one.repeat(1001), "more than 1000 exceptions"),
        (exception(&networks(1000)), exception(&networks(1001)), "more than 1000 entries"),
    ] {
        let fits: String = fits;
        assert_eq!(errors(fits), [""; 0], "{expected}");
        let found = errors(exceeds);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }
}

#[test]
#[cfg(feature = "legacy-tls")]
fn the_policies_of_the_documents_load_without_a_finding() {
    let document = include_str!("../../../docs/POLICY.md");
    let blocks = document.split("```toml\n# ").skip(1).map(|block| block.split("```").next().unwrap());
    let mut files: Vec<_> = blocks.map(|block| block.split_once('\n').unwrap()).collect();
    files.retain(|(name, _)| name.starts_with("domains.d/"));
    assert_eq!(files.len(), 2);
    let main = format!("{HEAD}{LISTENER}");
    files.push(("gatepost.toml", &main));
    assert_eq!(findings(&files), [""; 0]);
}

#[test]
fn whether_there_are_errors_does_not_depend_on_the_day() {
    let domain = "domains = [\"bank.example\"]\n[outbound]\ntls = \"verify\"\nmatch = [\"domain\"]\n\
                  [[outbound.step]]\nfrom = 2020-01-01\ntls = \"encrypt\"\n\
                  [[outbound.step]]\nfrom = 2020-02-01\nmatch = [\"bank.example\"]\n\
                  [[outbound.step]]\nfrom = 2020-03-01\ntls = \"verify\"\n";
    let main = format!("{HEAD}{LISTENER}");
    let found = findings(&[("gatepost.toml", &main), ("domains.d/bank.toml", domain)]);
    let error = "domains.d/bank.toml:10:9: error: outbound.step.match: needs tls = \"verify\", and here it is \
                 \"encrypt\" (write tls = \"verify\" beside it, or remove it)";
    assert!(found.iter().any(|finding| finding == error), "{found:#?}");
}
