//! The services of smtpd(8) as listeners, and what `[default.inbound]` asks for.

use std::net::IpAddr;

use crate::config::OFFER_MIN;
use crate::model::cipher::CipherGrade;
use crate::model::tls::ProtocolVersion;
use crate::policy::relay::Role;
use crate::postfix::ciphers::Grade;
use crate::postfix::lines::items;
use crate::postfix::master_cf::{self, Service};
use crate::postfix::parameters::Parameters;
use crate::postfix::protocols::{self, Protocols};

use super::certificates::{self, Copies, Pair};
use super::differences::Difference;
use super::keys;
use super::plan::{Inbound, Listener};
use super::report::Notes;
use super::site::Site;

const SMTP_PORT: u16 = 25;

/// What smtpd asks of every session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    None,
    May,
    Encrypt,
}

/// One service of smtpd with all that counts for it.
struct Door {
    parameters: Parameters,
    host: Option<String>,
    port: u16,
    level: Level,
    from: String,
}

#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) listeners: Vec<Listener>,
    pub(super) inbound: Inbound,
    pub(super) certificates: Vec<Pair>,
}

pub(super) fn plan(site: &Site, is_anyone_trusted: bool, copies: &mut Copies, notes: &mut Notes) -> Listeners {
    let doors = doors(site, notes);
    let strangers: Vec<&Door> = doors.iter().filter(|door| door.port == SMTP_PORT).collect();
    let inbound = inbound(&strangers, notes);
    let mut listeners: Vec<Listener> = Vec::new();
    for door in doors.iter().filter(|door| door.port == SMTP_PORT || is_anyone_trusted) {
        let mut listener = listener(site, door, is_anyone_trusted, (copies, notes));
        listener.name = name(door, &listeners);
        listeners.push(listener);
    }
    let speaks_tls = listeners.iter().any(|listener| listener.tls != "off");
    let certificates = if speaks_tls { certificates(site, &doors, copies, notes) } else { Vec::new() };
    Listeners { listeners, inbound, certificates }
}

/// The services that have an equivalent; all others are told.
fn doors(site: &Site, notes: &mut Notes) -> Vec<Door> {
    let is_screened = site.services.iter().any(|service| service.kind == "inet" && service.program == "postscreen");
    let mut found = Vec::new();
    for service in &site.services {
        let is_door = service.program == "smtpd" && service.kind == "inet";
        // Behind postscreen the service of port 25 is of type pass.
        let is_passed = service.program == "smtpd" && service.kind == "pass" && is_screened;
        if is_door || is_passed {
            found.extend(door(site, service, is_passed, notes));
        }
    }
    if site.services.is_empty() {
        let level = level(&site.main);
        found.push(Door { parameters: site.main.clone(), host: None, port: SMTP_PORT, level, from: String::new() });
    }
    if found.is_empty() {
        let remedy = "write a [[listener]] as it is meant in place of the one on loopback";
        notes.missing(("master.cf", ""), "it has no smtpd that could be carried over", remedy);
        let (host, level) = (Some("127.0.0.1".to_owned()), level(&site.main));
        found.push(Door { parameters: site.main.clone(), host, port: SMTP_PORT, level, from: String::new() });
    }
    found
}

fn door(site: &Site, service: &Service, is_passed: bool, notes: &mut Notes) -> Option<Door> {
    let what = || format!("the service {}", service.name);
    let parameters = site.main.of_service(&service.overrides);
    let (host, port) = match master_cf::address(&service.name) {
        Some(address) => address,
        None if is_passed => (None, SMTP_PORT),
        None => {
            notes.missing((what(), &service.place), "its port is not known", "write a [[listener]] for it");
            return None;
        }
    };
    let host = host.map(str::to_owned);
    let is_near = host.as_deref().is_some_and(is_loopback);
    if is_near && (port != SMTP_PORT || parameters.place("content_filter") == Some(&service.place)) {
        notes.missing(
            (what(), &service.place),
            "it takes mail back from a content filter on this host, and there are no filters here",
            "let the filter hand on to the next server, or leave it to the mailbox server",
        );
        return None;
    }
    if parameters.is_yes("smtpd_sasl_auth_enable") && port != SMTP_PORT {
        notes.missing(
            (what(), &service.place),
            "clients log in there with a password (SASL), which Gatepost does not know",
            "leave it to Postfix, with relayhost = this relay; or give clients certificates: role = \"submission\"",
        );
        return None;
    }
    let level = level(&parameters);
    Some(Door { parameters, host, port, level, from: service.place.to_string() })
}

fn level(parameters: &Parameters) -> Level {
    if parameters.is_yes("smtpd_tls_wrappermode") {
        return Level::Encrypt;
    }
    match parameters.text("smtpd_tls_security_level").to_ascii_lowercase().as_str() {
        "none" => Level::None,
        "may" => Level::May,
        "" if parameters.is_yes("smtpd_enforce_tls") => Level::Encrypt,
        "" if parameters.is_yes("smtpd_use_tls") => Level::May,
        "" => Level::None,
        // Anything above is taken for encrypt, a word that there is not too.
        _ => Level::Encrypt,
    }
}

fn listener(site: &Site, door: &Door, is_anyone_trusted: bool, (copies, notes): (&mut Copies, &mut Notes)) -> Listener {
    let Door { parameters, level, from, port, .. } = door;
    let role = if *port == SMTP_PORT { Role::Mx } else { Role::Smarthost };
    let tls = match level {
        Level::None => "off",
        _ if parameters.is_yes("smtpd_tls_wrappermode") => "implicit",
        Level::May | Level::Encrypt => "starttls",
    };
    let has_tls = *level != Level::None;
    let versions = protocols(parameters, *level, (from, notes));
    let floor = (*level == Level::Encrypt).then(|| floor(parameters, &versions));
    let asks = parameters.is_yes("smtpd_tls_ask_ccert") || parameters.is_yes("smtpd_tls_req_ccert");
    let ca_file = parameters.text("smtpd_tls_CAfile");
    let client_ca = Some(ca_file).filter(|file| asks && has_tls && !file.is_empty());
    let relay = role == Role::Mx && is_anyone_trusted && permits_networks(parameters, (from, notes));
    notes.carried(
        format!("smtpd on port {port}"),
        from,
        format!("[[listener]] role = \"{}\", tls = \"{tls}\"", role_word(role)),
    );
    Listener {
        name: String::new(),
        bind: bind(parameters, door.host.as_deref(), *port, notes),
        role,
        tls,
        offer: versions.map(|versions| versions.min.max(OFFER_MIN)).filter(|_| has_tls),
        relay,
        request_client_certificate: asks && has_tls,
        client_ca: client_ca.and_then(|file| copies.name(&site.folder, &file, false)),
        min_version: floor.map(|(version, _)| version).filter(|_| relay || role == Role::Smarthost),
        cipher: floor.map(|(_, cipher)| cipher).filter(|_| relay || role == Role::Smarthost).unwrap_or_default(),
        from: from.clone(),
    }
}

pub(super) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Mx => "mx",
        Role::Smarthost => "smarthost",
        Role::Submission => "submission",
    }
}

/// What a mandatory level asks of the session.
fn floor(parameters: &Parameters, versions: &Option<Protocols>) -> (ProtocolVersion, CipherGrade) {
    // Where the list cannot be used, Postfix takes nothing; the highest version comes next to it.
    let version = versions.map_or(ProtocolVersion::Tls1_3, |versions| versions.min.max(OFFER_MIN));
    (version, cipher(parameters).0)
}

fn cipher(parameters: &Parameters) -> (CipherGrade, Vec<Difference>) {
    let grade = Grade::parse(&parameters.text("smtpd_tls_mandatory_ciphers")).unwrap_or(Grade::High);
    let all = parameters.text("smtpd_tls_exclude_ciphers");
    let exclude = format!("{all} {}", parameters.text("smtpd_tls_mandatory_exclude_ciphers"));
    keys::cipher(grade, parameters.own_cipher_list(grade).as_deref(), &exclude)
}

/// The versions of the handshake. `None` where the list cannot be used.
fn protocols(parameters: &Parameters, level: Level, (about, notes): (&str, &mut Notes)) -> Option<Protocols> {
    let name = match level {
        Level::None => return None,
        Level::May => "smtpd_tls_protocols",
        Level::Encrypt => "smtpd_tls_mandatory_protocols",
    };
    let written = parameters.text(name);
    match protocols::parse(&written) {
        Ok(versions) => {
            if versions.max.is_some() {
                notes.differs(Difference::InboundProtocolsCapped, about);
            }
            Some(versions)
        }
        Err(why) => {
            let place = parameters.place(name).map(ToString::to_string).unwrap_or_default();
            notes.missing((format!("{name} = {written}"), place), why.to_string(), "mend it, and import again");
            None
        }
    }
}

/// For strangers: what all of their listeners ask for.
fn inbound(doors: &[&Door], notes: &mut Notes) -> Inbound {
    let Some(weakest) = doors.iter().min_by_key(|door| door.level) else { return Inbound::default() };
    if doors.iter().any(|door| door.level != weakest.level) {
        notes.differs(Difference::InboundLevels, "");
    }
    let parameters = &weakest.parameters;
    if weakest.level != Level::Encrypt {
        let name = "smtpd_tls_ciphers";
        let is_high = Grade::parse(&parameters.text(name)) == Some(Grade::High);
        if weakest.level == Level::May && (is_high || !parameters.text("smtpd_tls_exclude_ciphers").is_empty()) {
            notes.differs(Difference::InboundOptionalCiphers, "smtpd_tls_ciphers, smtpd_tls_exclude_ciphers");
        }
        return Inbound { from: weakest.from.clone(), ..Inbound::default() };
    }
    notes.differs(Difference::PostmasterExempt, "");
    let (_, told) = cipher(parameters);
    for difference in told {
        notes.differs(difference, "what senders may use");
    }
    let versions = protocols(parameters, Level::Encrypt, ("", &mut Notes::default()));
    let (min_version, cipher) = floor(parameters, &versions);
    let client_certificate = parameters.is_yes("smtpd_tls_req_ccert");
    notes.differs_if(client_certificate, Difference::ClientRoots);
    Inbound {
        is_required: true,
        min_version: Some(min_version),
        cipher,
        client_certificate,
        from: weakest.from.clone(),
    }
}

/// Whether clients of `mynetworks` may send to anywhere.
fn permits_networks(parameters: &Parameters, (about, notes): (&str, &mut Notes)) -> bool {
    let relay = parameters.text("smtpd_relay_restrictions");
    let recipient = parameters.text("smtpd_recipient_restrictions");
    let is_permitted = decides(&relay) != Some(false) && decides(&recipient) != Some(false);
    if !is_permitted {
        notes.differs(Difference::RelayClosed, about);
    }
    is_permitted
}

/// Whether a list of restrictions lets clients of `mynetworks` send to anywhere: the first item that is about it says.
fn decides(restrictions: &str) -> Option<bool> {
    items(restrictions).into_iter().find_map(|item| match item {
        "permit_mynetworks" | "permit" => Some(true),
        "reject_unauth_destination" | "defer_unauth_destination" | "reject" | "defer" => Some(false),
        _ => None,
    })
}

fn bind(parameters: &Parameters, host: Option<&str>, port: u16, notes: &mut Notes) -> Vec<String> {
    let interfaces = parameters.text("inet_interfaces");
    let written: Vec<&str> = host.map_or_else(|| items(&interfaces), |host| vec![host]);
    let versions = parameters.text("inet_protocols");
    let (v4, v6) = (versions != "ipv6", versions != "ipv4");
    let mut found: Vec<IpAddr> = Vec::new();
    let mut add = |texts: [&str; 2]| {
        let ips = texts.into_iter().filter_map(|text| text.parse::<IpAddr>().ok());
        found.extend(ips.filter(|ip| if ip.is_ipv4() { v4 } else { v6 }));
    };
    for word in written {
        match word.trim_matches(['[', ']']) {
            "all" => add(["0.0.0.0", "::"]),
            "loopback-only" | "localhost" => add(["127.0.0.1", "::1"]),
            text => match text.parse::<IpAddr>() {
                Ok(_) => add([text, ""]),
                Err(_) => {
                    notes.differs(Difference::ListenerAddresses, text);
                    add(["0.0.0.0", "::"]);
                }
            },
        }
    }
    // All addresses have the single ones among them.
    let all: Vec<IpAddr> = found.iter().copied().filter(IpAddr::is_unspecified).collect();
    let is_covered = |ip: &IpAddr| all.iter().any(|all| all.is_ipv4() == ip.is_ipv4() && all != ip);
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|ip| !is_covered(ip) && seen.insert(*ip));
    found.into_iter().map(|ip| std::net::SocketAddr::new(ip, port).to_string()).collect()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn name(door: &Door, others: &[Listener]) -> String {
    let base = match door.port {
        SMTP_PORT => "mx".to_owned(),
        587 => "relay-587".to_owned(),
        port => format!("relay-{port}"),
    };
    let taken = |name: &str| others.iter().any(|other| other.name == name);
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(base)
}

/// Those of all services, each once.
fn certificates(site: &Site, doors: &[Door], copies: &mut Copies, notes: &mut Notes) -> Vec<Pair> {
    let mut found: Vec<Pair> = Vec::new();
    for pair in doors.iter().flat_map(|door| certificates::pairs(&site.folder, &door.parameters, "smtpd")) {
        let chain = copies.name(&site.folder, &pair.chain, false);
        let key = copies.name(&site.folder, &pair.key, true);
        match chain.zip(key) {
            Some((chain, key)) if !found.iter().any(|other| other.chain == chain) => found.push(Pair { chain, key }),
            Some(_) => {}
            None => {
                let because = format!("{} or {} cannot be read here", pair.chain, pair.key);
                notes.differs(Difference::SelfSigned(because), "");
            }
        }
    }
    if doors.iter().all(|door| certificates::pairs(&site.folder, &door.parameters, "smtpd").is_empty()) {
        notes.differs(Difference::SelfSigned("Postfix names none".to_owned()), "");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::main_cf;

    fn parameters(text: &str) -> Parameters {
        Parameters::new(main_cf::parse(text).0, "mx.here.example")
    }

    #[test]
    fn our_own_clients_relay_only_where_nothing_refuses_them_before() {
        for (main, expected) in [
            ("", true),
            ("compatibility_level = 3.6", true),
            ("smtpd_relay_restrictions = permit_sasl_authenticated, reject", false),
            ("smtpd_relay_restrictions = defer_unauth_destination, permit_mynetworks", false),
            ("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks, reject", true),
            ("smtpd_relay_restrictions = reject\nsmtpd_recipient_restrictions = permit_mynetworks, reject", false),
            ("smtpd_recipient_restrictions = reject_unauth_destination", false),
            ("smtpd_recipient_restrictions = reject_unknown_sender_domain", true),
        ] {
            let notes = &mut Notes::default();
            assert_eq!(permits_networks(&parameters(main), ("", notes)), expected, "{main}");
        }
    }

    #[test]
    fn listeners_take_the_addresses_of_their_interfaces() {
        for (main, host, expected) in [
            ("", None, vec!["0.0.0.0:25", "[::]:25"]),
            ("inet_protocols = ipv4", None, vec!["0.0.0.0:25"]),
            ("inet_interfaces = loopback-only", None, vec!["127.0.0.1:25", "[::1]:25"]),
            ("inet_interfaces = 192.0.2.1, [2001:db8::1]", None, vec!["192.0.2.1:25", "[2001:db8::1]:25"]),
            ("inet_interfaces = $myhostname, localhost", None, vec!["0.0.0.0:25", "[::]:25"]),
            ("", Some("192.0.2.7"), vec!["192.0.2.7:25"]),
        ] {
            assert_eq!(bind(&parameters(main), host, 25, &mut Notes::default()), expected, "{main}");
        }
    }

    #[test]
    fn the_level_of_senders_comes_from_the_first_parameter_that_says_it() {
        for (main, expected) in [
            ("", Level::None),
            ("smtpd_use_tls = yes", Level::May),
            ("smtpd_use_tls = yes\nsmtpd_enforce_tls = yes", Level::Encrypt),
            ("smtpd_tls_security_level = may\nsmtpd_enforce_tls = yes", Level::May),
            ("smtpd_tls_security_level = encrypt", Level::Encrypt),
            ("smtpd_tls_security_level = none\nsmtpd_tls_wrappermode = yes", Level::Encrypt),
            ("smtpd_tls_security_level = better", Level::Encrypt),
        ] {
            assert_eq!(level(&parameters(main)), expected, "{main}");
        }
    }
}
