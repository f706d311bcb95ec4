//! What `[dns]` needs from outside the configuration: the file of the trust anchor, and the DNS servers of the system.

use std::path::Path;

use crate::app::build::dns_servers;
use crate::cli::main_file::MainFile;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::{Config, DnssecConfig};
use crate::dns::anchors;
use crate::dns::servers::{Mode, Servers, SetupError};
use crate::policy::names::NamePattern;
use crate::policy::settings::{DaneUse, Sourced};

use super::placed;

const REMEDY: &str = "write dnssec = \"trust-ad\" and a server on this host, or dnssec = \"validate\", under [dns]";

pub(super) fn findings(file: &Path, config: &Config) -> Vec<Diagnostic> {
    // A file that cannot be read was reported with the rest of the configuration.
    let Ok(main) = MainFile::read(file) else { return Vec::new() };
    let finding = |key: &str, error: &dyn std::error::Error| {
        let written = main.written_at(&["dns", key])?;
        Some(main.finding(Severity::Error, (&format!("dns.{key}"), &written), &error.to_string()))
    };
    let found = match &config.dns.dnssec {
        DnssecConfig::Validate { trust_anchor: Some(path) } => {
            anchors::read(path).err().and_then(|error| finding("trust_anchor", &error))
        }
        DnssecConfig::TrustAd => match dns_servers(&config.dns) {
            Err(error @ SetupError::FarServer { .. }) => finding("dnssec", &error),
            _ => None,
        },
        DnssecConfig::Auto => match dns_servers(&config.dns) {
            Ok(Servers { mode: Mode::Off, .. }) => match required_dane(config) {
                Some(dane) => Some(unmet(config, dane)),
                None => without_effect(config),
            },
            _ => None,
        },
        DnssecConfig::Off => without_effect(config),
        DnssecConfig::Validate { trust_anchor: None } => None,
    };
    found.into_iter().collect()
}

/// Where `dane = "required"` is written, if anywhere.
fn required_dane(config: &Config) -> Option<&Sourced<DaneUse>> {
    let policies = &config.policies;
    let defaults = &policies.defaults;
    let levels = policies.policies().map(|policy| (&policy.delivery, &policy.outbound));
    let levels = [(&defaults.delivery, &defaults.outbound)].into_iter().chain(levels);
    let layers = levels.flat_map(|(base, rules)| [base].into_iter().chain(rules.layers().map(|layer| &layer.delivery)));
    layers.filter_map(|layer| layer.dane.as_ref()).find(|dane| dane.value == DaneUse::Required)
}

/// What is written and comes to nothing because no answer of the DNS counts as secure.
fn without_effect(config: &Config) -> Option<Diagnostic> {
    let policies = &config.policies;
    let all = || policies.policies();
    let danes = [&policies.defaults.delivery].into_iter().chain(all().map(|policy| &policy.delivery));
    let dane = danes.filter_map(|layer| layer.dane.as_ref()).find(|dane| dane.value == DaneUse::Auto);
    let dane = dane.map(|dane| (&dane.source, "outbound.dane", "\"auto\" has no effect"));
    let rules = [&policies.defaults.outbound].into_iter().chain(all().map(|policy| &policy.outbound));
    let names = rules.filter_map(|rules| rules.base.match_names.as_ref());
    let is_mx = |names: &Vec<NamePattern>| !names.is_empty() && names.iter().all(|name| *name == NamePattern::Mx);
    let by_mx = names.into_iter().find(|names| is_mx(&names.value));
    let by_mx =
        by_mx.map(|names| (&names.source, "outbound.match", "\"mx\" alone is met only where MTA-STS names the host"));
    let (source, key, what) = dane.or(by_mx)?;
    let message = format!("{what}: DNSSEC is off here, so nothing in the DNS counts as signed");
    Some(Diagnostic { severity: Severity::Warning, ..placed::error(config, (source, key), (&message, REMEDY)) })
}

fn unmet(config: &Config, dane: &Sourced<DaneUse>) -> Diagnostic {
    let message = "\"required\" can never be met: with the DNS servers of this system DNSSEC is off by default, so \
                   that no TLSA record counts";
    placed::error(config, (&dane.source, "outbound.dane"), (message, REMEDY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn dane_that_is_required_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("domains.d")).unwrap();
        write("domains.d/a.toml", "domains = [\"a.example\"]\n[outbound]\ndane = \"auto\"\n");
        let main = "hostname = \"mx.example.org\"\nspool.path = \"s\"\naudit.path = \"a\"\ndomains = \"domains.d\"\n\
                    listener = [{ name = \"in\", bind = [\"[::1]:25\"], role = \"mx\", tls = \"off\" }]\n";
        write("gatepost.toml", main);
        let file = folder.path().join("gatepost.toml");
        assert_eq!(required_dane(&config::load(&file).unwrap().0), None);
        write("gatepost.toml", &format!("{main}[dns]\nservers = [\"192.0.2.1:53\"]\n"));
        let found = |file: &Path| findings(file, &config::load(file).unwrap().0);
        let [warning] = <[_; 1]>::try_from(found(&file)).unwrap();
        assert_eq!((warning.file.as_str(), warning.line, warning.is_error()), ("domains.d/a.toml", 3, false));
        write("domains.d/a.toml", "domains = [\"a.example\"]\n[outbound]\ntls = \"verify\"\nmatch = [\"mx\"]\n");
        let [warning] = <[_; 1]>::try_from(found(&file)).unwrap();
        assert_eq!((warning.line, warning.key.as_str()), (4, "outbound.match"));
        write("domains.d/a.toml", "domains = [\"a.example\"]\n[outbound]\ntls = \"verify\"\n");
        assert_eq!(found(&file), []);
        write("gatepost.toml", main);
        write("domains.d/b.toml", "domains = [\"b.example\"]\n[outbound]\ndane = \"required\"\n");
        let (config, _) = config::load(&file).unwrap();
        let finding = unmet(&config, required_dane(&config).unwrap());
        let place = (finding.file.as_str(), finding.line, finding.column);
        assert_eq!((place, finding.is_error()), (("domains.d/b.toml", 3, 8), true));
    }

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
            assert!(!finding.remedy.is_empty(), "{finding}");
        }
    }
}
