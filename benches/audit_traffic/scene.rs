//! The relay that the mail goes through: its configuration, written out and loaded as the daemon would, and its log.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost::audit::event::Stamp;
use gatepost::audit::keyfile::KeyFiles;
use gatepost::audit::log::{Bounds, Log, Opening};
use gatepost::config::{self, Config, ListenerConfig};
use gatepost::journal::disk::Disk;
use gatepost::journal::filesystem::FileSystem;
use gatepost::model::address::{Address, Charset, ReversePath};
use gatepost::policy::transaction::Door;

/// A domain whose mailboxes the relay serves.
#[derive(Debug)]
pub struct Hosted {
    pub name: &'static str,
    /// Its weight among those that a sender writes to.
    pub weight: u32,
    /// Recipients are listed, so that there are unknown ones.
    pub listed: bool,
    inbound: &'static str,
}

/// The domain whose senders the truth is about. Anything goes there so far.
pub const ASKED_ABOUT: &str = "bank.example";
pub const HOSTED: [Hosted; 6] = [
    Hosted { name: ASKED_ABOUT, weight: 25, listed: false, inbound: "" },
    Hosted { name: "other.example", weight: 20, listed: false, inbound: "" },
    Hosted { name: "school.example", weight: 20, listed: true, inbound: "" },
    Hosted { name: "shop.example", weight: 18, listed: false, inbound: "tls = \"required\"\nmode = \"defer\"\n" },
    Hosted {
        name: "clinic.example",
        weight: 9,
        listed: false,
        inbound: "min_version = \"TLSv1.2\"\ncipher = \"forward-secret\"\nmode = \"report\"\n",
    },
    Hosted { name: "strict.example", weight: 8, listed: false, inbound: "min_version = \"TLSv1.2\"\n" },
];
/// Mailboxes of each: `user1` and so on.
pub const USERS: usize = 200;
pub const POSTMASTER: &str = "postmaster";
pub const MX: &str = "mx";
pub const SMARTHOST: &str = "smart";
const LIST: &str = "recipients.txt";

const MAIN_FILE: &str = r#"hostname = "mx1.gatepost.example"
postmaster = "postmaster@other.example"
domains = "domains.d"

[spool]
path = "spool"
min_free_space = "50MB"

[[listener]]
name = "mx"
bind = ["127.0.0.1:2525"]
role = "mx"

[[listener]]
name = "smart"
bind = ["127.0.0.1:2526"]
role = "smarthost"

[[certificate]]
chain = "server.pem"
key = "server.key"

[relay]
trusted = ["127.255.0.0/16"]

[audit]
path = "audit"
key = "audit.key"

[metrics]
bind = "off"

[admin]
bind = "off"
socket = "control/control.sock"
"#;

#[derive(Debug)]
pub struct Scene {
    folder: PathBuf,
    pub config: Config,
    /// For each of `HOSTED`: its users, the postmaster, and one who does not exist.
    pub mailboxes: Vec<Mailboxes>,
}

#[derive(Debug)]
pub struct Mailboxes {
    pub users: Vec<Address>,
    /// The same as senders.
    pub senders: Vec<ReversePath>,
    pub postmaster: Address,
    pub unknown: Address,
}

impl Scene {
    /// Writes the configuration into `folder` and loads it.
    pub fn write(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let domains = folder.join("domains.d");
        fs::create_dir_all(&domains)?;
        fs::write(folder.join("gatepost.toml"), MAIN_FILE)?;
        let users: String = (1..=USERS).map(|number| format!("user{number}\n")).collect();
        fs::write(domains.join(LIST), users)?;
        for hosted in &HOSTED {
            let stem = hosted.name.trim_end_matches(".example");
            fs::write(domains.join(format!("{stem}.toml")), hosted.file())?;
        }
        let loaded = config::load(&folder.join("gatepost.toml"));
        let render = |found: Vec<config::diagnostic::Diagnostic>| {
            found.iter().map(|diagnostic| diagnostic.render(false)).collect::<Vec<_>>().join("\n")
        };
        let (config, _) = loaded.map_err(render)?;
        let mailboxes = HOSTED.iter().map(Mailboxes::of).collect();
        Ok(Self { folder: folder.to_owned(), config, mailboxes })
    }

    /// A new log at the place that the configuration names.
    pub fn log(&self, stamp: &Stamp, segment_bytes_max: u64) -> Result<Log, Box<dyn Error>> {
        let (folder, key) = (self.folder.join("audit"), self.folder.join("audit.key"));
        if folder.exists() || key.exists() {
            return Err(format!("{} has a log already", self.folder.display()).into());
        }
        let filesystem: Arc<dyn FileSystem> = Arc::new(Disk::default());
        let keys = KeyFiles::new(filesystem.clone(), &key, &folder)?;
        let bounds = Bounds { segment_bytes_max, ..Bounds::default() };
        let stamp = stamp.clone();
        let opening = Opening { filesystem, folder: &folder, keys, stamp, mark: None, replayed: &[], bounds };
        let (log, _) = Log::open(opening)?;
        Ok(log)
    }

    pub fn door(&self, listener: &str) -> Door<'_> {
        self.config.door(self.listener(listener))
    }

    fn listener(&self, name: &str) -> &ListenerConfig {
        self.config.listeners.iter().find(|listener| listener.name == name).expect("a listener of the main file")
    }
}

impl Hosted {
    fn file(&self) -> String {
        let Self { name, listed, inbound, .. } = self;
        let recipients = if *listed { format!("{{ file = \"{LIST}\" }}") } else { "\"any\"".to_owned() };
        let inbound = if inbound.is_empty() { String::new() } else { format!("\n[inbound]\n{inbound}") };
        format!(
            "domains = [\"{name}\"]\nhosted = true\nrecipients = {recipients}\n\n\
             [route]\nhosts = [\"store.{name}:25\"]\n{inbound}"
        )
    }
}

impl Mailboxes {
    fn of(hosted: &Hosted) -> Self {
        let address =
            |local: &str| Address::parse(&format!("{local}@{}", hosted.name), Charset::Ascii).expect("an address");
        let users: Vec<Address> = (1..=USERS).map(|number| address(&format!("user{number}"))).collect();
        Self {
            senders: users.iter().cloned().map(ReversePath::Mailbox).collect(),
            users,
            postmaster: address(POSTMASTER),
            unknown: address("nobody.here"),
        }
    }
}
