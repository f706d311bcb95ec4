//! How mail for one domain goes out: by MX, by a route, to the mailbox server, or nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::domain::{Domain, DomainPattern};
use crate::policy::settings::OutboundTls;
use crate::postfix::next_hop::{self, Hop};
use crate::postfix::parameters::Parameters;
use crate::postfix::routing::Resolved;

use super::certificates::{self, Copies, Pair};
use super::differences::Difference;
use super::keys::{Keys, Mapped, Target, keys, together, unusable};
use super::plan::{Delivery, Route};
use super::report::Notes;
use super::site::{Site, SmtpTransport, Transport};

/// A next hop that there is not (RFC 6761): what Postfix sends nowhere is sent nowhere here.
const NOWHERE: &str = "nowhere.invalid:25";
/// Where the mailboxes are unless somebody says so.
pub(super) const MAILBOXES: &str = "127.0.0.1:2525";

/// What is needed to tell the way of a domain, and what was found out on the way.
#[derive(Debug)]
pub(super) struct Ways<'a> {
    pub(super) site: &'a Site,
    pub(super) mailboxes: Option<&'a str>,
    pub(super) copies: Copies,
    /// Lines of policy tables that some delivery looks up.
    pub(super) used: BTreeSet<String>,
    /// Domains by transport, for what is the same for all of one.
    client_certificates: BTreeMap<String, Option<Pair>>,
}

/// The name that a domain is resolved by: itself, or one that stands for all below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    /// `None` for all domains that no file names.
    pub(super) pattern: Option<&'a DomainPattern>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(site: &'a Site, mailboxes: Option<&'a str>) -> Self {
        let (copies, used) = (Copies::default(), BTreeSet::new());
        Self { site, mailboxes, copies, used, client_certificates: BTreeMap::new() }
    }

    pub(super) fn delivery(&mut self, asked: Asked<'_>, resolved: &Resolved, notes: &mut Notes) -> Delivery {
        let about = asked.pattern.map_or_else(|| "all other domains".to_owned(), ToString::to_string);
        let site = self.site;
        let mut delivery = match site.transport(&resolved.transport) {
            Some(Transport::Smtp(transport)) => self.by_smtp(asked, resolved, transport, (&about, notes)),
            Some(Transport::Mailboxes(program)) => {
                let how = match resolved.next_hop.as_str() {
                    hop if hop.contains('/') || hop.contains(':') => format!("{program}, {hop}"),
                    _ => program.clone(),
                };
                notes.differs(Difference::Mailboxes(how), &about);
                self.by_mailbox_server()
            }
            Some(Transport::Nothing(name)) => nowhere(name.clone(), (&about, notes)),
            None => nowhere(format!("{}, which master.cf does not have", resolved.transport), (&about, notes)),
        };
        delivery.from.extend(resolved.because.iter().map(ToString::to_string));
        delivery
    }

    fn by_smtp(
        &mut self,
        asked: Asked<'_>,
        resolved: &Resolved,
        transport: &SmtpTransport,
        (about, notes): (&str, &mut Notes),
    ) -> Delivery {
        let is_own = resolved.next_hop.eq_ignore_ascii_case(asked.name);
        let hops = match next_hop::parse(&resolved.next_hop) {
            Ok(hops) => hops,
            Err(why) => return nowhere(format!("{} ({why})", resolved.transport), (about, notes)),
        };
        let (keys, from) = if is_own {
            let target = asked.pattern.map_or(Target::AnyMx, Target::Mx);
            let (mapped, from) = self.asked(transport, asked.name, target);
            (told(mapped, (about, notes)), from)
        } else {
            self.hop_keys(transport, &hops, (about, notes))
        };
        let route = (!is_own).then(|| self.route(transport, &hops, &resolved.transport, (about, notes)));
        let (concurrency, rate) = pace(&self.site.main, &resolved.transport);
        Delivery { route, keys, concurrency, rate, from }
    }

    /// Mail for a domain goes to its own host where there is no way to write that it goes by its MX records.
    pub(super) fn by_own_host(
        &mut self,
        name: &str,
        resolved: &Resolved,
        about: (&str, &mut Notes),
    ) -> Option<Delivery> {
        let site = self.site;
        let Some(Transport::Smtp(transport)) = site.transport(&resolved.transport) else { return None };
        let hops = next_hop::parse(name).ok()?;
        let (about, notes) = about;
        let (keys, mut from) = self.hop_keys(transport, &hops, (about, &mut *notes));
        from.extend(resolved.because.iter().map(ToString::to_string));
        let route = self.route(transport, &hops, &resolved.transport, (about, notes));
        let (concurrency, rate) = pace(&site.main, &resolved.transport);
        Some(Delivery { route: Some(route), keys, concurrency, rate, from })
    }

    fn hop_keys(
        &mut self,
        transport: &SmtpTransport,
        hops: &[Hop],
        about: (&str, &mut Notes),
    ) -> (Keys, BTreeSet<String>) {
        let mut from = BTreeSet::new();
        let mut mapped = Vec::new();
        for hop in hops {
            let (one, place) = self.asked(transport, &hop.key, Target::Hops(hops));
            mapped.push(one);
            from.extend(place);
        }
        (told(together(mapped), about), from)
    }

    /// What is asked of one destination, and the line of the table that asks it.
    fn asked(
        &mut self,
        transport: &SmtpTransport,
        destination: &str,
        target: Target<'_>,
    ) -> (Mapped, BTreeSet<String>) {
        let client = &transport.client;
        let looked_up = crate::postfix::tls_policy::look_up(&client.policy, destination);
        let place = looked_up.and_then(|found| found.place).map(ToString::to_string);
        self.used.extend(place.clone());
        let mapped = match client.ask(destination) {
            Err(why) => unusable(&why),
            Ok(asked) => {
                let roots = self.copies.roots(&self.site.folder, client, &asked.ta_files);
                let (keys, mut differences) = keys(&asked, client, target, &roots);
                differences.extend((!client.per_site.is_empty()).then_some(Difference::PerSiteHosts));
                (keys, differences)
            }
        };
        (mapped, place.into_iter().collect())
    }

    fn route(
        &mut self,
        transport: &SmtpTransport,
        hops: &[Hop],
        name: &str,
        (about, notes): (&str, &mut Notes),
    ) -> Route {
        if hops.iter().any(|hop| hop.by_mx) {
            notes.differs(Difference::MxOfNextHop, about);
        }
        let parameters = &transport.parameters;
        let client_certificate = match self.client_certificates.get(name) {
            Some(known) => known.clone(),
            None => {
                let pair = self.client_certificate(parameters, notes);
                self.client_certificates.insert(name.to_owned(), pair.clone());
                pair
            }
        };
        let is_off = transport.client.level == crate::postfix::tls_policy::Level::None;
        let hostname = parameters.text("myhostname");
        let ehlo = Domain::parse(&parameters.text("smtp_helo_name")).ok();
        Route {
            hosts: hops.iter().map(ToString::to_string).collect(),
            source: source(parameters),
            ehlo: ehlo.filter(|name| !name.as_str().eq_ignore_ascii_case(&hostname)),
            ip: only_version(parameters),
            client_certificate: client_certificate.filter(|_| !is_off),
        }
    }

    fn client_certificate(&mut self, parameters: &Parameters, notes: &mut Notes) -> Option<Pair> {
        let pair = certificates::pairs(&self.site.folder, parameters, "smtp").into_iter().next()?;
        let chain = self.copies.name(&self.site.folder, &pair.chain, false);
        let key = self.copies.name(&self.site.folder, &pair.key, true);
        match chain.zip(key) {
            Some((chain, key)) => Some(Pair { chain, key }),
            None => {
                let place = parameters.place("smtp_tls_cert_file").or(parameters.place("smtp_tls_chain_files"));
                let place = place.map(ToString::to_string).unwrap_or_default();
                notes.missing(
                    (format!("the client certificate {}", pair.chain), place),
                    "its files cannot be read here, so that none is shown to next hops",
                    "copy them, and write client_certificate in the [route]",
                );
                None
            }
        }
    }

    fn by_mailbox_server(&self) -> Delivery {
        let host = self.mailboxes.unwrap_or(MAILBOXES);
        let is_near = next_hop::parse(host).is_ok_and(|hops| {
            hops.iter().all(|hop| matches!(&hop.host, crate::model::address::Host::Literal(ip) if ip.is_loopback()))
        });
        let level = if is_near { OutboundTls::Opportunistic } else { OutboundTls::Encrypt };
        routed(host, Keys::plain(level))
    }
}

fn nowhere(transport: String, (about, notes): (&str, &mut Notes)) -> Delivery {
    notes.differs(Difference::Nowhere(transport), about);
    routed(NOWHERE, Keys::plain(OutboundTls::Encrypt))
}

fn routed(host: &str, keys: Keys) -> Delivery {
    let hosts = vec![host.to_owned()];
    let route = Route { hosts, source: None, ehlo: None, ip: None, client_certificate: None };
    Delivery { route: Some(route), ..Delivery::by_mx(keys) }
}

fn told((keys, differences): Mapped, (about, notes): (&str, &mut Notes)) -> Keys {
    for difference in differences {
        notes.differs(difference, about);
    }
    keys
}

/// The address of ours that mail goes out from.
pub(super) fn source(parameters: &Parameters) -> Option<IpAddr> {
    let address = |name: &str| parameters.text(name).trim_matches(['[', ']']).parse::<IpAddr>().ok();
    address("smtp_bind_address").or_else(|| address("smtp_bind_address6")).filter(|ip| !ip.is_unspecified())
}

/// The one version of IP that is used.
fn only_version(parameters: &Parameters) -> Option<&'static str> {
    match parameters.text("inet_protocols").as_str() {
        "ipv4" => Some("v4"),
        "ipv6" => Some("v6"),
        _ => None,
    }
}

/// Deliveries at once and in a time, where a transport has bounds of its own.
fn pace(main: &Parameters, transport: &str) -> (Option<u32>, Option<String>) {
    let of_transport = |what: &str| {
        let name = format!("{transport}_destination_{what}");
        if main.is_written(&name) { main.text(&name) } else { main.text(&format!("default_destination_{what}")) }
    };
    let usual = main.text("default_destination_concurrency_limit");
    let own = of_transport("concurrency_limit");
    let concurrency = Some(own).filter(|own| *own != usual).and_then(|own| own.parse().ok());
    let delay = super::limits::seconds(&of_transport("rate_delay"), 's').filter(|delay| (1..=86_400).contains(delay));
    (concurrency.filter(|count| (1..=10_000).contains(count)), delay.map(|delay| format!("1/{delay}s")))
}
