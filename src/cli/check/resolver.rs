//! What `[dns]` needs from outside the configuration: the file of the trust anchor, and the DNS servers of the system.

use std::path::Path;

use crate::app::build::dns_servers;
use crate::cli::main_file::MainFile;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::{Config, DnssecConfig};
use crate::dns::anchors;
use crate::dns::servers::SetupError;

pub(super) fn findings(file: &Path, config: &Config) -> Vec<Diagnostic> {
    // A file that cannot be read was reported with the rest of the configuration.
    let Ok(main) = MainFile::read(file) else { return Vec::new() };
    let finding = |key: &str, error: &dyn std::error::Error| {
        let written = main.written_at("dns", key)?;
        Some(main.finding(Severity::Error, (&format!("dns.{key}"), &written), &error.to_string()))
    };
    let found = match &config.dns.dnssec {
        DnssecConfig::Validate { trust_anchor: Some(path) } => {
            anchors::read(path).err().and_then(|error| finding("trust_anchor", &error))
        }
        // Another host may have other servers: only a server that would be believed wrongly is told here.
        DnssecConfig::TrustAd => match dns_servers(&config.dns) {
            Err(error @ SetupError::FarServer { .. }) => finding("dnssec", &error),
            _ => None,
        },
        DnssecConfig::Auto | DnssecConfig::Off | DnssecConfig::Validate { trust_anchor: None } => None,
    };
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_trust_anchor_that_cannot_be_used_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("empty.key", "");
        for (anchor, expected) in [("empty.key", "holds no DNSKEY record of the root"), ("no.key", "cannot be read")] {
            let main = format!(
                "hostname = \"mx.example.org\"\nspool.path = \"s\"\naudit.path = \"a\"\n\
                 listener = [{{ name = \"in\", bind = [\"[::1]:25\"], role = \"mx\", tls = \"off\" }}]\n\
                 [dns]\ndnssec = \"validate\"\ntrust_anchor = \"{anchor}\"\n"
            );
            write("gatepost.toml", &main);
            let file = folder.path().join("gatepost.toml");
            let (config, _) = config::load(&file).unwrap();
            let found = findings(&file, &config);
            let [finding] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((finding.line, finding.key.as_str()), (7, "dns.trust_anchor"));
            assert!(finding.is_error() && finding.message.contains(expected), "{finding}");
        }
    }
}
