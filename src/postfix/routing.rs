//! Where mail for a domain goes: its class, the transport and the next hop, as trivial-rewrite(8) decides.

use std::sync::Arc;

use super::Place;
use super::lists::{DomainList, Parents, keys};
use super::parameters::Parameters;
use super::tables::{Found, Table, find};

/// What a domain is to Postfix, and thereby who may send to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// `mydestination`: mailboxes of this machine.
    Local,
    /// `virtual_alias_domains`: every address of it is an alias.
    VirtualAlias,
    /// `virtual_mailbox_domains`.
    VirtualMailbox,
    /// `relay_domains`.
    Relay,
    /// All others: for our own clients only.
    Default,
}

impl Class {
    /// The parameter that lists its domains.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Local => "mydestination",
            Self::VirtualAlias => "virtual_alias_domains",
            Self::VirtualMailbox => "virtual_mailbox_domains",
            Self::Relay => "relay_domains",
            Self::Default => "default_transport",
        }
    }
}

/// All that routing depends on.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    pub local: DomainList,
    pub virtual_alias: DomainList,
    pub virtual_mailbox: DomainList,
    pub relay: DomainList,
    /// How names above a domain count in `relay_domains`.
    pub relay_parents: Parents,
    pub transport: Vec<Arc<Table>>,
    /// The same in `transport_maps`.
    pub transport_parents: Parents,
    /// `transport:nexthop` of each class.
    pub local_transport: String,
    pub virtual_transport: String,
    pub relay_transport: String,
    pub default_transport: String,
    pub relayhost: String,
}

/// Where mail for a domain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub class: Class,
    /// The name of a service in master.cf.
    pub transport: String,
    /// The destination, which is the key of TLS policies.
    pub next_hop: String,
    /// Where the class and the transport were written.
    pub because: Vec<Place>,
}

impl Routing {
    /// Without the tables, which only a reader of files can bring.
    pub fn of(parameters: &Parameters) -> Self {
        let plain = parameters.text("parent_domain_matches_subdomains");
        let parents = |feature: &str| match plain.split([',', ' ', '\t']).any(|word| word == feature) {
            true => Parents::Plain,
            false => Parents::Dotted,
        };
        Self {
            relay_parents: parents("relay_domains"),
            transport_parents: parents("transport_maps"),
            local_transport: parameters.text("local_transport"),
            virtual_transport: parameters.text("virtual_transport"),
            relay_transport: parameters.text("relay_transport"),
            default_transport: parameters.text("default_transport"),
            relayhost: parameters.text("relayhost"),
            ..Self::default()
        }
    }

    /// Where mail for any mailbox of the domain goes; single mailboxes may have entries of their own.
    pub fn resolve(&self, domain: &str) -> Resolved {
        let (class, listed) = self.class(domain);
        let (transport, is_off_host) = match class {
            Class::Local => (self.local_transport.as_str(), false),
            Class::VirtualAlias => ("error:5.1.1 User unknown in virtual alias table", false),
            Class::VirtualMailbox => (self.virtual_transport.as_str(), false),
            Class::Relay => (self.relay_transport.as_str(), true),
            Class::Default => (self.default_transport.as_str(), true),
        };
        let usual = if is_off_host && !self.relayhost.is_empty() { self.relayhost.as_str() } else { domain };
        let (name, hop) = transport.split_once(':').unwrap_or((transport, ""));
        let hop = if hop.is_empty() { usual } else { hop };
        let mut resolved = Resolved {
            class,
            transport: name.to_owned(),
            next_hop: hop.to_owned(),
            because: listed.into_iter().cloned().collect(),
        };
        if class != Class::VirtualAlias
            && let Some(found) = self.entry(domain)
        {
            resolved.because.extend(found.place.cloned());
            resolved.change(found.value, domain);
        }
        resolved
    }

    fn class(&self, domain: &str) -> (Class, Option<&Place>) {
        let lists = [
            (Class::Local, &self.local, Parents::No),
            (Class::VirtualAlias, &self.virtual_alias, Parents::No),
            (Class::VirtualMailbox, &self.virtual_mailbox, Parents::No),
            (Class::Relay, &self.relay, self.relay_parents),
        ];
        let found = lists.iter().find_map(|(class, list, parents)| Some((*class, list.find(domain, *parents)?)));
        found.map_or((Class::Default, None), |(class, place)| (class, Some(place)))
    }

    /// The entry of the transport tables for a domain. A table that answers everything is asked for the whole address
    /// first, and so decides before domains are looked up.
    fn entry(&self, domain: &str) -> Option<Found<'_>> {
        let fixed = self.transport.iter().find(|table| table.fixed.is_some()).and_then(|table| table.get(""));
        let by_domain = || keys(domain, self.transport_parents).find_map(|key| find(&self.transport, &key));
        fixed.or_else(by_domain).or_else(|| find(&self.transport, "*"))
    }
}

impl Resolved {
    /// `transport:nexthop`, each of which may be left out.
    fn change(&mut self, entry: &str, domain: &str) {
        let (transport, hop) = entry.split_once(':').unwrap_or((entry, ""));
        let (transport, hop) = (transport.trim(), hop.trim());
        if !transport.is_empty() {
            self.transport = transport.to_owned();
            self.next_hop = domain.to_owned();
        }
        if !hop.is_empty() {
            self.next_hop = hop.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::lists::{Item, Of};
    use crate::postfix::main_cf;

    fn list(names: &str) -> DomainList {
        let item = |name: &str| Item { negated: false, of: Of::Name(name.into()), place: Place::new("main.cf", 1) };
        DomainList { items: names.split_whitespace().map(item).collect() }
    }

    fn routing(main: &str, transport: &str) -> Routing {
        let parameters = Parameters::new(main_cf::parse(main).0, "mx.here.example");
        let table = match transport.strip_prefix("static:") {
            Some(value) => Table::fixed(value),
            None => Table::parse(transport, &"transport".into()),
        };
        Routing {
            local: list("here.example"),
            virtual_alias: list("alias.example"),
            virtual_mailbox: list("box.example"),
            relay: list("relay.example"),
            transport: vec![Arc::new(table)],
            ..Routing::of(&parameters)
        }
    }

    #[test]
    fn each_class_has_its_transport_and_tables_change_it() {
        const TABLE: &str = "relay.example relay:[in.example]:25\n.relay.example :\nother.example slow:\n\
                             .other.example :[gate.example]\nout.example smtp:\nbad.example error:no mail\n";
        let relayed = "relayhost = [out.example]:587";
        for (main, table, domain, expected) in [
            ("", "", "far.example", (Class::Default, "smtp", "far.example")),
            (relayed, "", "far.example", (Class::Default, "smtp", "[out.example]:587")),
            ("", "", "here.example", (Class::Local, "local", "mx.here.example")),
            ("", "", "x.here.example", (Class::Default, "smtp", "x.here.example")),
            ("", "", "box.example", (Class::VirtualMailbox, "virtual", "box.example")),
            (relayed, "", "box.example", (Class::VirtualMailbox, "virtual", "box.example")),
            ("virtual_transport = lmtp:unix:x", "", "box.example", (Class::VirtualMailbox, "lmtp", "unix:x")),
            ("", "", "relay.example", (Class::Relay, "relay", "relay.example")),
            ("", "", "x.relay.example", (Class::Relay, "relay", "x.relay.example")),
            (relayed, "", "relay.example", (Class::Relay, "relay", "[out.example]:587")),
            ("", TABLE, "relay.example", (Class::Relay, "relay", "[in.example]:25")),
            (relayed, TABLE, "x.relay.example", (Class::Relay, "relay", "[out.example]:587")),
            (relayed, TABLE, "other.example", (Class::Default, "slow", "other.example")),
            ("", TABLE, "a.b.other.example", (Class::Default, "smtp", "[gate.example]")),
            (relayed, TABLE, "out.example", (Class::Default, "smtp", "out.example")),
            ("", TABLE, "bad.example", (Class::Default, "error", "no mail")),
            ("", "* smtp:[all.example]\n", "far.example", (Class::Default, "smtp", "[all.example]")),
            ("", "* smtp:[all.example]\nfar.example :\n", "far.example", (Class::Default, "smtp", "far.example")),
            ("", "static:smtp:[s.example]", "box.example", (Class::VirtualMailbox, "smtp", "[s.example]")),
            ("", "* smtp:[all.example]\n", "alias.example", (Class::VirtualAlias, "error", UNKNOWN)),
            ("default_transport = smtp:[d.example]", "", "far.example", (Class::Default, "smtp", "[d.example]")),
            (PARENTS, "p.example smtp:[p]\n", "x.p.example", (Class::Default, "smtp", "[p]")),
            (PARENTS, "", "x.relay.example", (Class::Default, "smtp", "x.relay.example")),
        ] {
            let Resolved { class, transport, next_hop, .. } = routing(main, table).resolve(domain);
            assert_eq!((class, transport.as_str(), next_hop.as_str()), expected, "{main} {table} {domain}");
        }
    }

    const UNKNOWN: &str = "5.1.1 User unknown in virtual alias table";
    const PARENTS: &str = "parent_domain_matches_subdomains = transport_maps";

    #[test]
    fn the_lines_that_led_there_are_kept() {
        let resolved = routing("", "relay.example :[x]\n").resolve("relay.example");
        assert_eq!(resolved.because, [Place::new("main.cf", 1), Place::new("transport", 1)]);
    }
}
