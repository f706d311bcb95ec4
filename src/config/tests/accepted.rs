//! What an accepted configuration holds, and how its files are found and read.

use std::path::Path;
use std::time::Duration;

use crate::model::cipher::CipherGrade;
use crate::model::destination::{SyslogTarget, WebhookUrl};
use crate::model::domain::Domain;
use crate::model::rate::Rate;
use crate::model::tls::ProtocolVersion;
use crate::policy::inbound::Floor;
use crate::policy::names::Fingerprint;
use crate::policy::rules::Recipients;
use crate::policy::settings::{KeyPair, OutboundTls, Source, Sourced};

use super::super::starter::{Plan, STARTER_CHAIN, STARTER_KEY, StarterFile, starter};
use super::super::{DnsConfig, DnssecConfig, ListenerTls, OnAuditFailure, Role, load};
use super::{HEAD, LISTENER, findings, load_files};

fn main_with(text: &str) -> String {
    format!("{HEAD}{LISTENER}{text}")
}

#[test]
fn what_is_not_written_has_the_defaults_of_the_contract() {
    let (config, warnings) = load_files(&[("gatepost.toml", &main_with(""))]).unwrap();
    assert_eq!(warnings, []);
    let folder = config.file.parent().unwrap();
    assert_eq!(config.spool.path, folder.join("spool"));
    assert_eq!(config.spool.max_message_size, 50_000_000);
    assert_eq!(config.spool.min_free_space, 1_000_000_000);
    assert_eq!(config.spool.lifetime, Duration::from_secs(5 * 86_400));
    assert_eq!(config.spool.bounce_lifetime, Duration::from_secs(86_400));
    assert_eq!(config.spool.delay_warning, Duration::from_secs(4 * 3600));
    assert_eq!(config.spool.retry, [60, 300, 900, 3600].map(Duration::from_secs));
    assert_eq!(config.audit.on_failure, OnAuditFailure::Refuse);
    assert_eq!(config.audit.key, Path::new("/var/lib/gatepost/audit.key"));
    assert_eq!(config.audit.checkpoint_every, Duration::from_secs(300));
    assert_eq!(config.audit.checkpoint_file, None);
    assert!(config.audit.checkpoint_syslog.is_none() && config.audit.checkpoint_webhook.is_none());
    assert_eq!((config.audit.keep, config.audit.compress), (None, true));
    assert_eq!(config.metrics.bind, Some("127.0.0.1:9725".parse().unwrap()));
    assert_eq!(config.admin.socket, Path::new("/run/gatepost/control.sock"));
    assert_eq!(config.limits.max_connections, 20_000);
    assert_eq!(config.limits.max_body_memory, 256_000_000);
    assert!(config.relay.trusted.is_empty() && config.dns.servers.is_empty());
}

#[test]
fn dnssec_is_validated_here_or_by_servers_on_this_host() {
    for (servers, dnssec, expected) in [
        ("127.0.0.1:53", DnssecConfig::Auto, false),
        ("[::ffff:127.0.0.1]:53", DnssecConfig::Auto, false),
        ("192.0.2.1:53", DnssecConfig::Auto, true),
        ("192.0.2.1:53", DnssecConfig::Validate { trust_anchor: None }, false),
        ("127.0.0.1:53", DnssecConfig::Off, true),
    ] {
        let config = DnsConfig { servers: vec![servers.parse().unwrap()], dnssec, allow_targets: vec![] };
        assert_eq!(config.is_dnssec_off(), expected, "{config:?}");
    }
    for (text, expected) in [
        ("", DnssecConfig::Auto),
        ("dnssec = \"off\"", DnssecConfig::Off),
        ("dnssec = \"trust-ad\"\nservers = [\"127.0.0.1\", \"[::1]:5353\"]", DnssecConfig::TrustAd),
        ("dnssec = \"trust-ad\"", DnssecConfig::TrustAd),
        ("dnssec = \"validate\"\nservers = [\"192.0.2.1\"]", DnssecConfig::Validate { trust_anchor: None }),
        (
            "dnssec = \"validate\"\ntrust_anchor = \"/etc/root.key\"",
            DnssecConfig::Validate { trust_anchor: Some("/etc/root.key".into()) },
        ),
    ] {
        let text = format!("[dns]\n{text}\n");
        let (config, warnings) = load_files(&[("gatepost.toml", &main_with(&text))]).unwrap();
        assert_eq!((config.dns.dnssec, warnings), (expected, vec![]), "{text}");
    }
}

#[test]
fn checkpoints_can_go_to_three_places_and_evidence_can_have_an_end() {
    let text = "\
[audit]
path = \"audit\"
key = \"keys/audit.key\"
checkpoint_every = \"1m\"
checkpoint_file = \"/mnt/elsewhere/checkpoints.jsonl\"
checkpoint_syslog = \"unix:///dev/log\"
checkpoint_webhook = \"https://hooks.example.org/a\"
keep = \"400d\"
compress = false
";
    let head = HEAD.replace("audit = { path = \"audit\" }\n", "");
    let (config, warnings) = load_files(&[("gatepost.toml", &format!("{head}{LISTENER}{text}"))]).unwrap();
    assert_eq!(warnings, []);
    let audit = &config.audit;
    assert_eq!(audit.key, config.file.with_file_name("keys").join("audit.key"));
    assert_eq!(audit.checkpoint_every, Duration::from_secs(60));
    assert_eq!(audit.checkpoint_file.as_deref(), Some(Path::new("/mnt/elsewhere/checkpoints.jsonl")));
    assert_eq!(audit.checkpoint_syslog, Some(SyslogTarget::Socket("/dev/log".into())));
    assert_eq!(audit.checkpoint_webhook, Some(WebhookUrl::parse("https://hooks.example.org/a").unwrap()));
    assert_eq!((audit.keep, audit.compress), (Some(Duration::from_secs(400 * 86_400)), false));
}

#[test]
fn listeners_are_read_with_the_place_of_their_floor() {
    let text = "\
relay.trusted = [\"10.0.0.0/8\", \"2001:db8::1\"]
metrics.bind = \"off\"
[[certificate]]
chain = \"tls/mx1.pem\"
key = \"/etc/key.pem\"
stack = \"any\"
[[listener]]
name = \"mx\"
bind = [\"0.0.0.0:25\", \"[::]:25\"]
role = \"mx\"
relay = true
cipher = \"strong\"
[[listener]]
name = \"out\"
bind = [\"127.0.0.1:465\"]
role = \"smarthost\"
tls = \"implicit\"
min_version = \"TLSv1.3\"
";
    let (config, warnings) = load_files(&[("gatepost.toml", &format!("{HEAD}{text}"))]).unwrap();
    assert_eq!(warnings, []);
    let [mx, out] = config.listeners.as_slice() else { panic!("{:?}", config.listeners) };
    assert_eq!((mx.role, mx.tls, mx.relay, mx.bind.len()), (Role::Mx, ListenerTls::Starttls, true, 2));
    let strong =
        Sourced { value: CipherGrade::Strong, source: Source::File { file: "gatepost.toml".into(), line: 16 } };
    assert_eq!(mx.floor, Floor { min_version: None, cipher: Some(strong) });
    assert_eq!((out.role, out.tls, out.relay), (Role::Smarthost, ListenerTls::Implicit, false));
    let floor = out.floor.min_version.as_ref().unwrap();
    assert_eq!((floor.value, floor.source.to_string().as_str()), (ProtocolVersion::Tls1_3, "gatepost.toml:22"));
    assert_eq!(config.relay.trusted.networks.len(), 2);
    assert_eq!(config.metrics.bind, None);
    assert_eq!(config.certificates[0].chain, config.file.with_file_name("tls").join("mx1.pem"));
    assert_eq!(config.certificates[0].key, Path::new("/etc/key.pem"));
}

#[test]
fn each_role_has_its_own_lowest_version_and_submission_a_floor() {
    let listener = |name: &str, role: &str, more: &str| {
        format!("[[listener]]\nname = \"{name}\"\nbind = [\"[::1]:0\"]\nrole = \"{role}\"\n{more}")
    };
    let fingerprint = Fingerprint::from_bytes([7; 32]);
    let text = [
        format!("relay.trusted = [\"10.0.0.0/8\", \"{fingerprint}\"]\n"),
        "certificate = [{ chain = \"c.pem\", key = \"c.key\", ocsp = \"c.der\" }]\n".to_owned(),
        listener("mx", "mx", ""),
        listener("out", "smarthost", ""),
        listener("users", "submission", "request_client_certificate = true\nclient_ca = \"ca.pem\"\n"),
        listener("new", "mx", "offer = \"TLSv1.3\"\n"),
    ];
    let (config, warnings) = load_files(&[("gatepost.toml", &format!("{HEAD}{}", text.concat()))]).unwrap();
    assert_eq!(warnings, []);
    let old = if cfg!(feature = "legacy-tls") { ProtocolVersion::Tls1_0 } else { ProtocolVersion::Tls1_2 };
    let offers: Vec<_> = config.listeners.iter().map(|listener| listener.offer).collect();
    assert_eq!(offers, [old, old, ProtocolVersion::Tls1_2, ProtocolVersion::Tls1_3]);
    let requests: Vec<_> = config.listeners.iter().map(|listener| listener.request_client_certificate).collect();
    assert_eq!(requests, [false, false, true, false]);
    let users = &config.listeners[2];
    assert_eq!(users.client_ca, Some(config.file.with_file_name("ca.pem")));
    let floor = Floor {
        min_version: Some(Sourced::built_in(ProtocolVersion::Tls1_2)),
        cipher: Some(Sourced::built_in(CipherGrade::ForwardSecret)),
    };
    assert_eq!(users.floor, floor);
    assert_eq!(config.relay.trusted.certificates, [fingerprint]);
    assert_eq!(config.certificates[0].ocsp, Some(config.file.with_file_name("c.der")));
}

#[test]
fn policies_know_the_line_that_each_value_was_written_on() {
    let bank = "\
domains = [\"bank.example\", \"*.bank.example\"]
owner = \"treasury\"
group = \"banks\"
[inbound]
tls = \"required\"
applies_to = [
  \"sender\",
]
[outbound]
tls = \"verify\"
match = [\"domain\", \"*.filter.example\"]
concurrency = 3
rate = \"100/1m\"
retry = [\"1m\"]
";
    let lab = "\
domains = [\"lab.example\"]
[route]
hosts = [\"a.example\", \"[::1]:26\"]
tls = \"encrypt\"
ip = \"v4\"
client_certificate = { chain = \"lab.pem\", key = \"/etc/lab.key\" }
";
    let main = main_with("default.outbound = { min_version = \"TLSv1.2\" }\ndomains = \"etc\"");
    let files = [("gatepost.toml", main.as_str()), ("etc/bank.toml", bank), ("etc/lab.toml", lab)];
    let (config, warnings) = load_files(&files).unwrap();
    assert_eq!(warnings, []);
    let (bank, _) = config.policies.find(&Domain::parse("www.bank.example").unwrap()).unwrap();
    assert_eq!((bank.owner.as_deref(), bank.group.as_deref(), bank.hosted), (Some("treasury"), Some("banks"), false));
    assert_eq!(bank.inbound.base.tls.as_ref().unwrap().source.to_string(), "etc/bank.toml:5");
    let applies_to = bank.inbound.base.applies_to.as_ref().unwrap();
    assert_eq!((applies_to.value.sender, applies_to.value.recipient), (true, false));
    assert_eq!(applies_to.source.to_string(), "etc/bank.toml:6");
    assert_eq!(bank.outbound.base.tls.as_ref().unwrap().value, OutboundTls::Verify);
    assert_eq!(bank.outbound.base.match_names.as_ref().unwrap().value.len(), 2);
    let minute = Duration::from_secs(60);
    assert_eq!(
        (bank.delivery.concurrency, bank.delivery.rate, bank.delivery.retry.as_deref()),
        (Some(3), Some(Rate { messages: 100, per: minute }), Some(&[minute][..]))
    );
    let (lab, _) = config.policies.find(&Domain::parse("lab.example").unwrap()).unwrap();
    let route = lab.route.as_ref().unwrap();
    assert_eq!((&*route.name, route.source.to_string().as_str()), ("etc/lab.toml", "etc/lab.toml:2"));
    assert_eq!(route.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.example:25", "[IPv6:::1]:26"]);
    let pair = KeyPair { chain: config.file.with_file_name("etc").join("lab.pem"), key: "/etc/lab.key".into() };
    assert_eq!(route.client_certificate.as_ref().map(|at| &at.value), Some(&pair));
    let min_version = config.policies.defaults.outbound.base.min_version.as_ref().unwrap();
    assert_eq!(min_version.source.to_string(), "gatepost.toml:6");
}

#[test]
fn recipients_are_read_from_lists_that_files_may_share() {
    let list = "# people\nAnna  # boss\n\n\"Odd User\"\nBob+tag@B\u{fc}cher.example\na#b\n";
    let file = |name: &str| {
        let route = "[route]\nhosts = [\"a.example\"]";
        format!("domains = [\"{name}.example\"]\nhosted = true\nrecipients = {{ file = \"list.txt\" }}\n{route}")
    };
    let (a, b, main) = (file("a"), file("b"), main_with(""));
    let files = [
        ("gatepost.toml", main.as_str()),
        ("domains.d/a.toml", &a),
        ("domains.d/b.toml", &b),
        ("domains.d/list.txt", list),
    ];
    let (config, warnings) = load_files(&files).unwrap();
    assert_eq!(warnings, []);
    for policy in config.policies.policies() {
        let Recipients::Listed { file, names } = &policy.recipients else { panic!("{policy:?}") };
        let mut names: Vec<_> = names.iter().map(String::as_str).collect();
        names.sort();
        assert_eq!(&**file, "domains.d/list.txt");
        assert_eq!(names, ["a#b", "anna", "bob+tag@xn--bcher-kva.example", "odd user"]);
    }
}

#[test]
fn wrong_lines_of_a_recipient_list_are_errors() {
    let file =
        "domains = [\"a.example\"]\nhosted = true\nrecipients = { file = \"list.txt\" }\nroute.hosts = [\"x.example\"]";
    let expected = [
        "domains.d/list.txt:1:2: error: recipients: \"two words\": the local part is no dot-string and no quoted \
         string (write one local part or address on each line)",
        "domains.d/list.txt:3:1: error: recipients: \"x@\": a domain name may not be empty or have an empty label \
         (write one local part or address on each line)",
    ];
    let main = main_with("");
    let list = ("domains.d/list.txt", " two words\nfine\nx@\n");
    assert_eq!(findings(&[("gatepost.toml", &main), ("domains.d/a.toml", file), list]), expected);
    let missing = findings(&[("gatepost.toml", &main), ("domains.d/a.toml", file)]);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].starts_with("domains.d/a.toml:3:23: error: recipients.file: cannot read "), "{missing:?}");
}

#[test]
fn errors_of_all_files_are_reported_at_once_in_order() {
    let files = [
        ("gatepost.toml", "hostname = \"mx1\nuser = 5\n"),
        ("domains.d/a.toml", "domains = [\"a.example\", \"both.example\"]\nhosted = 1\n"),
        ("domains.d/b.toml", "domains = [\"both.example\"\n"),
        ("domains.d/c.toml", "domains = [\"Both.example\", \"c.example\", \"c.example\"]\ngroop = \"x\"\n"),
        ("domains.d/.hidden.toml", "nonsense"),
        ("domains.d/notes.txt", "nonsense"),
    ];
    assert_eq!(
        findings(&files),
        [
            "gatepost.toml:1:16: error: invalid basic string, expected `\"` (correct the TOML syntax)",
            "domains.d/a.toml:2:10: error: hosted: the value has the wrong type: integer (write true or false)",
            "domains.d/b.toml:1:26: error: unclosed array, expected `]` (correct the TOML syntax)",
            "domains.d/c.toml:1:12: error: domains: both.example is written before, in domains.d/a.toml:1 \
             (keep it in one place)",
            "domains.d/c.toml:1:41: error: domains: c.example is written before, in domains.d/c.toml:1 \
             (keep it in one place)",
            "domains.d/c.toml:2:1: error: groop: unknown key `groop` (did you mean `group`?)",
        ]
    );
}

#[test]
fn a_file_cut_anywhere_is_read_or_refused_with_a_reason() {
    let main = include_str!("../../../config/gatepost.toml");
    let listed = ("domains.d/recipients.txt", include_str!("../../../config/domains.d/recipients.txt"));
    let domain = include_str!("../../../config/domains.d/example.toml");
    for cut in (0..main.len()).step_by(11) {
        findings(&[("gatepost.toml", &main[..cut]), ("domains.d/example.toml", domain), listed]);
    }
    for cut in (0..domain.len()).step_by(11) {
        findings(&[("gatepost.toml", main), ("domains.d/example.toml", &domain[..cut]), listed]);
    }
}

#[test]
fn files_and_folders_that_cannot_be_read_are_errors() {
    let found = findings(&[]);
    assert!(found[0].starts_with("gatepost.toml:1:1: error: cannot read "), "{found:?}");
    let found = findings(&[("gatepost.toml", &main_with("domains = \"missing\""))]);
    assert!(found[0].starts_with("gatepost.toml:6:11: error: domains: cannot read "), "{found:?}");
    let found = findings(&[("gatepost.toml", &main_with("")), ("domains.d/a.toml/x", "")]);
    assert!(
        found[0].starts_with("domains.d/a.toml:1:1: error: ") && found[0].contains("is not a regular file"),
        "{found:?}"
    );
}

#[test]
fn a_policy_lists_at_most_64_certificates() {
    let findings_of = |count: u8| {
        let listed: Vec<_> = (0..count).map(|byte| format!("\"{}\"", Fingerprint::from_bytes([byte; 32]))).collect();
        let domain = format!(
            "domains = [\"a.example\"]\ninbound = {{ tls = \"required\", client_certificate = [{}] }}",
            listed.join(", ")
        );
        let listener = "certificate = [{ chain = \"c\", key = \"k\" }]\nlistener = [{ name = \"mx\", bind = \
                        [\"127.0.0.1:25\"], role = \"mx\", request_client_certificate = true }]\n";
        findings(&[("gatepost.toml", &format!("{HEAD}{listener}")), ("domains.d/a.toml", &domain)])
    };
    assert_eq!(findings_of(64), [""; 0]);
    let refused = findings_of(65);
    assert!(refused.len() == 1 && refused[0].contains("more than 64 certificates"), "{refused:?}");
}

#[test]
fn the_65th_group_counts_as_other_and_is_warned_of() {
    let main = main_with("");
    let files: Vec<(String, String)> = (0..66)
        .map(|n| {
            let group = n.min(64);
            (format!("domains.d/{n:02}.toml"), format!("domains = [\"d{n}.example\"]\ngroup = \"g{group}\"\n"))
        })
        .collect();
    let mut all = vec![("gatepost.toml", main.as_str())];
    all.extend(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    assert!(load_files(&all[..65]).is_ok());
    let (config, warnings) = load_files(&all).unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let told = "domains.d/64.toml:2:9: warning: group: \"g64\" is one group too many";
    assert_eq!(warnings.iter().filter(|warning| warning.starts_with(told)).count(), 1, "{warnings:#?}");
    let groups = config.policies.policies().filter(|policy| policy.group.is_some()).count();
    assert_eq!(groups, 64);
}

#[test]
fn the_digest_changes_with_every_file_and_only_with_them() {
    let main = main_with("");
    let bank = "domains = [\"bank.example\"]\n";
    let digest = |files: &[(&str, &str)]| load_files(files).unwrap().0.digest;
    let one = digest(&[("gatepost.toml", &main), ("domains.d/a.toml", bank)]);
    assert_eq!(one.len(), 64);
    assert_eq!(one, digest(&[("gatepost.toml", &main), ("domains.d/a.toml", bank), ("notes.txt", "x")]));
    assert_ne!(one, digest(&[("gatepost.toml", &main), ("domains.d/b.toml", bank)]));
    assert_ne!(one, digest(&[("gatepost.toml", &main), ("domains.d/a.toml", "domains = [\"bank.example\"]")]));
}

#[test]
fn the_starter_configuration_loads_without_a_finding() {
    for (hostname, domain) in [("mx1.example.org", "example.org"), ("mail.b.test", "b.test"), ("c.test", "c.test")] {
        let folder = tempfile::tempdir().unwrap();
        for StarterFile { path, content } in starter(folder.path(), &Plan::new(Domain::parse(hostname).unwrap())) {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let (config, warnings) = load(&folder.path().join("gatepost.toml")).unwrap();
        assert_eq!(warnings, [], "{hostname}");
        assert_eq!(config.hostname.as_str(), hostname);
        assert!(config.policies.is_hosted(&Domain::parse(domain).unwrap()), "{hostname}");
        assert_eq!(config.postmaster.unwrap().as_str(), format!("postmaster@{domain}"));
        assert_eq!(config.certificates[0].chain, folder.path().join(STARTER_CHAIN));
        assert_eq!(config.certificates[0].key, folder.path().join(STARTER_KEY));
        for inside in [&config.spool.path, &config.audit.path, &config.admin.socket] {
            assert!(inside.starts_with(folder.path()), "{inside:?}");
        }
    }
}

#[test]
fn the_starter_of_the_system_folder_uses_the_system_folders() {
    let files = starter(Path::new("/etc/gatepost"), &Plan::new(Domain::parse("mx1.example.org").unwrap()));
    assert_eq!(files[0].path, Path::new("/etc/gatepost/gatepost.toml"));
    if cfg!(feature = "legacy-tls") {
        assert_eq!(files[0].content, include_str!("../../../config/gatepost.toml"));
    }
}
