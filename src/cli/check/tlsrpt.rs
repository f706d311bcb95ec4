//! TLS reports: the key that signs the mail of ours, and the address that others send theirs to.

use std::path::Path;

use crate::app::build::dkim_signer;
use crate::cli::main_file::MainFile;
use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::model::address::Address;
use crate::policy::relay::{Denial, Permission, admit};
use crate::policy::rules::PolicySet;

use super::placed;

pub(super) fn findings(file: &Path, config: &Config) -> Vec<Diagnostic> {
    let key = config.tlsrpt.dkim.as_ref().and_then(|dkim| {
        let error = dkim_signer(dkim).err()?;
        Some(placed::error(config, (&dkim.source, "tlsrpt.dkim.key"), (&error.to_string(), error.remedy())))
    });
    key.into_iter().chain(address(file, config)).collect()
}

/// Reports to an address that does not exist here are refused.
fn address(file: &Path, config: &Config) -> Option<Diagnostic> {
    let lacking = lacking(&config.policies, config.tlsrpt.address.as_ref()?)?;
    let main = MainFile::read(file).ok()?;
    let written = main.written_at(&["tlsrpt", "address"])?;
    Some(main.finding(Severity::Warning, ("tlsrpt.address", &written), &lacking))
}

/// Why mail of strangers to `address` is not taken here, and what to do.
fn lacking(policies: &PolicySet, address: &Address) -> Option<String> {
    let domain = address.domain()?;
    let local = address.local_part();
    match admit(policies, Permission::HostedOnly, address).err()? {
        Denial::Relay => Some(format!(
            "{domain} is not hosted here, so that reports to this address do not come in here; \
             leave it out, or write hosted = true in the file of {domain}"
        )),
        Denial::NoSuchUser => Some(format!(
            "reports to this address are refused: the recipients of {domain} do not list it; add {local} to them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const MAIN: &str = "hostname = \"mx.example.org\"\npostmaster = \"p@example.org\"\nspool.path = \"s\"\n\
                        audit = { path = \"a\", key = \"k\" }\n\
                        [[listener]]\nname = \"in\"\nbind = [\"[::1]:25\"]\nrole = \"mx\"\ntls = \"off\"\n\
                        [tlsrpt]\n";

    #[test]
    fn a_key_that_cannot_sign_is_told_with_the_place_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("domains.d")).unwrap();
        write("empty.pem", "");
        for (key, expected) in [("none.pem", "No such file"), ("empty.pem", "no private key")] {
            let dkim = format!("contact = \"tls@example.org\"\ndkim = {{ selector = \"s\", key = \"{key}\" }}\n");
            write("gatepost.toml", &format!("{MAIN}{dkim}"));
            let file = folder.path().join("gatepost.toml");
            let (config, _) = config::load(&file).unwrap();
            let found = findings(&file, &config);
            let place = (found.len(), found[0].line, found[0].column, found[0].key.as_str());
            assert_eq!(place, (1, 12, 32, "tlsrpt.dkim.key"));
            assert!(found[0].message.contains(expected) && found[0].excerpt.is_some(), "{found:?}");
        }
    }

    #[test]
    fn an_address_that_takes_no_reports_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("domains.d")).unwrap();
        write("domains.d/names.txt", "info\n");
        let file = folder.path().join("gatepost.toml");
        let hosted = |recipients: &str| {
            format!("hosted = true\nrecipients = {recipients}\n[route]\nhosts = [\"back.example.org\"]\n")
        };
        for (policy, expected) in [
            (hosted("\"any\""), None),
            (hosted("{ file = \"names.txt\" }"), Some("do not list it")),
            (String::new(), Some("not hosted here")),
        ] {
            write("domains.d/a.toml", &format!("domains = [\"example.org\"]\n{policy}"));
            write("gatepost.toml", &format!("{MAIN}address = \"tls-reports@example.org\"\n"));
            let (config, _) = config::load(&file).unwrap();
            let found = findings(&file, &config);
            let told = found.first().map(|finding| (finding.line, finding.column, finding.is_error()));
            assert_eq!(told, expected.map(|_| (11, 11, false)), "{policy}");
            assert!(expected.is_none_or(|expected| found[0].message.contains(expected)), "{found:?}");
        }
    }
}
