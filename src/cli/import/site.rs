//! A whole Postfix as it was read: parameters, services, routing and what each transport asks of TLS.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::output::Failure;
use crate::postfix::main_cf;
use crate::postfix::master_cf::{self, Service};
use crate::postfix::parameters::Parameters;
use crate::postfix::routing::{Class, Resolved, Routing};
use crate::postfix::tls_client::TlsClient;

use super::report::Notes;
use super::sources::{Folder, read};

/// The transports of a Postfix whose master.cf is not there.
const BUILT_IN: [(&str, &str); 7] = [
    ("smtp", "smtp"),
    ("relay", "smtp"),
    ("lmtp", "lmtp"),
    ("local", "local"),
    ("virtual", "virtual"),
    ("error", "error"),
    ("discard", "discard"),
];

#[derive(Debug)]
pub(super) struct Site {
    pub(super) folder: Folder,
    pub(super) main: Parameters,
    /// Of master.cf; empty where it is not there.
    pub(super) services: Vec<Service>,
    pub(super) routing: Routing,
    transports: BTreeMap<String, Transport>,
}

/// What carries mail.
#[derive(Debug)]
pub(super) enum Transport {
    /// The SMTP client, with what this service overrides.
    Smtp(Box<SmtpTransport>),
    /// Mailboxes of this machine, or a program: what it is called.
    Mailboxes(String),
    /// Nothing is sent: errors, discarded mail, and names that master.cf does not have.
    Nothing(String),
}

#[derive(Debug)]
pub(super) struct SmtpTransport {
    pub(super) parameters: Parameters,
    pub(super) client: TlsClient,
}

impl Site {
    /// Reads all files. Only a main.cf that is not there ends it.
    pub(super) fn read(dir: &Path, hostname: &str, notes: &mut Notes) -> Result<Self, Failure> {
        let path = dir.join("main.cf");
        let text = read(&path).map_err(|error| {
            let help = "name a folder that has main.cf and master.cf, such as a copy of /etc/postfix";
            Failure::usage(format!("cannot read {}: {error}", path.display()), help)
        })?;
        let (settings, malformed) = main_cf::parse(&text);
        for line in &malformed {
            notes.missing((&line.text, &line.place), "Postfix cannot read this line", "mend it, and import again");
        }
        let main = Parameters::new(settings, hostname);
        for (setting, why) in main.faults() {
            let what = format!("{} = {}", setting.name, setting.value);
            notes.missing((what, &setting.place), why.to_string(), "mend it, and import again");
        }
        let folder = Folder::new(dir, Some(&main));
        let services = services(dir, notes);
        let routing = routing(&folder, &main, notes);
        let transports = transports(&folder, &main, &services, notes);
        Ok(Self { folder, main, services, routing, transports })
    }

    pub(super) fn resolve(&self, domain: &str) -> Resolved {
        self.routing.resolve(domain)
    }

    /// The transport of a name, which master.cf need not have.
    pub(super) fn transport(&self, name: &str) -> Option<&Transport> {
        self.transports.get(name)
    }

    /// Every transport that speaks SMTP.
    pub(super) fn smtp_transports(&self) -> impl Iterator<Item = &SmtpTransport> {
        self.transports.values().filter_map(|transport| match transport {
            Transport::Smtp(transport) => Some(transport.as_ref()),
            Transport::Mailboxes(_) | Transport::Nothing(_) => None,
        })
    }
}

fn services(dir: &Path, notes: &mut Notes) -> Vec<Service> {
    let Ok(text) = read(&dir.join("master.cf")) else {
        let remedy = "copy it too, if it has services or overrides of its own";
        notes.missing(("master.cf", "master.cf"), "it is not there, so that the usual services are assumed", remedy);
        return Vec::new();
    };
    let (services, malformed) = master_cf::parse(&text);
    for place in malformed {
        notes.missing(("a service", place), "the line has too few columns", "mend it, and import again");
    }
    services
}

fn routing(folder: &Folder, main: &Parameters, notes: &mut Notes) -> Routing {
    // What is not written and comes from other parameters is told where those are.
    let silent = &mut Notes::default();
    let mut list = |name: &str| {
        let notes = if main.is_written(name) { &mut *notes } else { &mut *silent };
        folder.list(main, name, notes)
    };
    let relay = if main.is_written("relay_domains") { list("relay_domains") } else { Default::default() };
    let (local, virtual_mailbox) = (list("mydestination"), list("virtual_mailbox_domains"));
    let virtual_alias = list("virtual_alias_domains");
    let transport = folder.tables(main, "transport_maps", notes);
    Routing { local, virtual_alias, virtual_mailbox, relay, transport, ..Routing::of(main) }
}

fn transports(
    folder: &Folder,
    main: &Parameters,
    services: &[Service],
    notes: &mut Notes,
) -> BTreeMap<String, Transport> {
    let named = services.iter().filter(|service| service.kind == "unix" || service.kind == "fifo");
    let mut found: BTreeMap<String, Transport> =
        named.map(|service| (service.name.clone(), transport(folder, main, service, notes))).collect();
    if services.is_empty() {
        for (name, program) in BUILT_IN {
            let place = crate::postfix::Place::new("master.cf", 1);
            let (name, program, kind) = (name.to_owned(), program.to_owned(), "unix".to_owned());
            let service = Service { name: name.clone(), kind, program, overrides: Vec::new(), place };
            found.insert(name, transport(folder, main, &service, notes));
        }
    }
    found
}

fn transport(folder: &Folder, main: &Parameters, service: &Service, notes: &mut Notes) -> Transport {
    let parameters = main.of_service(&service.overrides);
    match service.program.as_str() {
        "smtp" => {
            let policy = folder.tables(&parameters, "smtp_tls_policy_maps", notes);
            let per_site = match policy.is_empty() {
                true => folder.tables(&parameters, "smtp_tls_per_site", notes),
                false => Vec::new(),
            };
            let mut client = TlsClient::of(&parameters);
            (client.policy, client.per_site) = (policy, per_site);
            Transport::Smtp(Box::new(SmtpTransport { parameters, client }))
        }
        "error" | "discard" => Transport::Nothing(service.name.clone()),
        program => Transport::Mailboxes(match program == service.name {
            true => program.to_owned(),
            false => format!("{} ({program})", service.name),
        }),
    }
}

/// The names of lists that say which recipients a class has.
pub(super) const fn recipient_maps(class: Class) -> &'static str {
    match class {
        Class::Local => "local_recipient_maps",
        Class::VirtualMailbox => "virtual_mailbox_maps",
        Class::Relay | Class::Default | Class::VirtualAlias => "relay_recipient_maps",
    }
}
