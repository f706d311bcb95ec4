//! What was generated, for tests to compare with: every sender and host that wrote to one domain, and with what TLS.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use gatepost::model::time::Timestamp;
use gatepost::model::tls::ProtocolVersion;
use serde::Serialize;

use crate::scene::{ASKED_ABOUT, POSTMASTER};
use crate::world::World;

/// The minimum that is asked about.
const MIN_VERSION: ProtocolVersion = ProtocolVersion::Tls1_2;

/// Counts by sender (`None` is the null path) and host.
#[derive(Debug, Default)]
pub struct Truth {
    pairs: BTreeMap<(Option<usize>, usize), Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    messages: u64,
    to_postmaster: u64,
    last_seen: Timestamp,
}

#[derive(Debug, Serialize)]
struct Pair<'a> {
    /// The sender's domain, empty for the null path.
    domain: &'a str,
    from: &'a str,
    client: String,
    helo: &'a str,
    version: Option<ProtocolVersion>,
    cipher_openssl: Option<&'a str>,
    /// Below the minimum, plaintext included.
    weak: bool,
    /// To ordinary recipients.
    messages: u64,
    /// To the postmaster alone, whom no policy keeps mail from.
    to_postmaster: u64,
    last_seen: Timestamp,
}

#[derive(Debug, Serialize)]
struct Page<'a> {
    domain: &'static str,
    min_version: ProtocolVersion,
    to: String,
    postmaster: String,
    pairs: Vec<Pair<'a>>,
}

impl Truth {
    /// One message to the domain that is asked about.
    pub fn add(&mut self, sender: Option<usize>, host: usize, at: Timestamp, is_to_postmaster: bool) {
        let counts = self.pairs.entry((sender, host)).or_default();
        counts.messages += u64::from(!is_to_postmaster);
        counts.to_postmaster += u64::from(is_to_postmaster);
        counts.last_seen = at;
    }

    pub fn write(&self, world: &World, path: &Path) -> Result<(), Box<dyn Error>> {
        let pairs = self.pairs.iter().map(|((sender, host), counts)| {
            let (sender, host) = (sender.map(|sender| &world.senders[sender]), &world.hosts[*host]);
            let tls = host.tls.as_ref().map(|[fresh, _]| fresh);
            Pair {
                domain: sender.map_or("", |sender| &sender.name),
                from: sender.map_or("", |sender| sender.users[0].as_str()),
                client: host.ip.to_string(),
                helo: &host.helo,
                version: tls.map(|tls| tls.version),
                cipher_openssl: tls.map(|tls| tls.cipher_openssl.as_str()),
                weak: tls.is_none_or(|tls| tls.version < MIN_VERSION),
                messages: counts.messages,
                to_postmaster: counts.to_postmaster,
                last_seen: counts.last_seen,
            }
        });
        let page = Page {
            domain: ASKED_ABOUT,
            min_version: MIN_VERSION,
            to: format!("user1@{ASKED_ABOUT}"),
            postmaster: format!("{POSTMASTER}@{ASKED_ABOUT}"),
            pairs: pairs.collect(),
        };
        fs::write(path, serde_json::to_string_pretty(&page)? + "\n")?;
        Ok(())
    }
}
