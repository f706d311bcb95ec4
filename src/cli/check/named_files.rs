//! The files that listeners, policies, routes and the dashboard name: roots that vouch for others, certificates that
//! are shown, and the token.

use std::path::Path;

use crate::admin::web::door::{Door, DoorError};
use crate::cli::main_file::{MainFile, WrittenPath};
use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::policy::settings::Source;
use crate::tls::certificates::{CertificatePaths, ServerCertificate};
use crate::tls::roots::Roots;

use super::placed;

pub(super) fn findings(file: &Path, config: &Config) -> Vec<Diagnostic> {
    let mut found = client_roots(file);
    found.extend(config.policies.authorities().filter_map(|files| {
        let error = Roots::from_pem_files(&files.value).err()?;
        Some(unusable(config, (&files.source, "ca"), &error.to_string(), "name PEM files of root certificates"))
    }));
    found.extend(config.policies.client_certificates().filter_map(|pair| {
        let paths = CertificatePaths::new(&pair.value.chain, &pair.value.key);
        let error = ServerCertificate::read(&paths).err()?;
        let remedy = "name the files of a certificate and its key";
        Some(unusable(config, (&pair.source, "route.client_certificate"), &error.to_string(), remedy))
    }));
    found.extend(dashboard(file, config));
    found
}

fn dashboard(file: &Path, config: &Config) -> Option<Diagnostic> {
    let error = Door::read(&config.admin).err()?;
    let main = MainFile::read(file).ok()?;
    let (key, place): (_, &[_]) = match &error {
        DoorError::Token(_) => ("admin.token_file", &["admin", "token_file"]),
        DoorError::Certificate(_) => ("admin.certificate", &["admin", "certificate", "chain"]),
    };
    Some(main.finding(Severity::Error, (key, &main.written_at(place)?), &error.what()))
}

fn client_roots(file: &Path) -> Vec<Diagnostic> {
    // A file that cannot be read was reported with the rest of the configuration.
    let Ok(main) = MainFile::read(file) else { return Vec::new() };
    let unusable = |written: WrittenPath| {
        let error = Roots::from_pem_files(std::slice::from_ref(&written.path)).err()?;
        Some(main.finding(Severity::Error, ("listener.client_ca", &written), &error.to_string()))
    };
    main.paths_in_each("listener", "client_ca").into_iter().filter_map(unusable).collect()
}

/// The library says what to do behind the first semicolon.
fn unusable(config: &Config, place: (&Source, &str), error: &str, remedy: &str) -> Diagnostic {
    let (message, remedy) = error.split_once("; ").unwrap_or((error, remedy));
    placed::error(config, place, (message, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn files_that_cannot_be_used_are_told_with_the_place_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("domains.d")).unwrap();
        write("empty.pem", "");
        let route = "hosts = [\"x.example\"]\nclient_certificate = { chain = \"no.pem\", key = \"no.key\" }\n";
        write("domains.d/a.toml", &format!("domains = [\"a.example\"]\n[route]\n{route}"));
        write(
            "domains.d/b.toml",
            "domains = [\"b.example\"]\n[outbound]\ntls = \"verify\"\nca = \"no.pem\"\n\
             [[outbound.step]]\nfrom = 2027-01-01\nca = [\"no.pem\", \"../empty.pem\"]\n",
        );
        let main = "hostname = \"mx.example.org\"\nspool.path = \"s\"\naudit.path = \"a\"\n\
                    certificate = [{ chain = \"c\", key = \"k\" }]\n\
                    [[listener]]\nname = \"in\"\nbind = [\"[::1]:25\"]\nrole = \"mx\"\n\
                    request_client_certificate = true\nclient_ca = \"empty.pem\"\n\
                    [[route]]\nname = \"escrow\"\ntls = \"verify\"\nca = \"empty.pem\"\n";
        write("gatepost.toml", &format!("{main}{route}"));
        let file = folder.path().join("gatepost.toml");
        let (config, _) = config::load(&file).unwrap();
        let found = findings(&file, &config);
        assert!(found.iter().all(|finding| finding.is_error() && !finding.remedy.is_empty()), "{found:?}");
        let seen: Vec<_> = found.iter().map(|f| (f.file.as_str(), f.line, f.column, f.key.as_str())).collect();
        let expected = [
            ("gatepost.toml", 10, 13, "listener.client_ca"),
            ("domains.d/b.toml", 4, 6, "ca"),
            ("domains.d/b.toml", 7, 6, "ca"),
            ("gatepost.toml", 14, 6, "ca"),
            ("domains.d/a.toml", 4, 22, "route.client_certificate"),
            ("gatepost.toml", 16, 22, "route.client_certificate"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_the_dashboard_cannot_use_is_told_with_the_key_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gatepost.toml");
        std::fs::create_dir(folder.path().join("domains.d")).unwrap();
        std::fs::write(folder.path().join("short"), "secret").unwrap();
        let main = "hostname = \"mx.example.org\"\nspool.path = \"s\"\naudit.path = \"a\"\n\
                    certificate = [{ chain = \"c\", key = \"k\" }]\n\
                    [[listener]]\nname = \"in\"\nbind = [\"[::1]:25\"]\nrole = \"mx\"\n[admin]\n";
        let table = [
            ("token_file = \"no\"", Some(("admin.token_file", 14))),
            ("token_file = \"short\"", Some(("admin.token_file", 14))),
            ("certificate = { chain = \"no.pem\", key = \"no.key\" }", Some(("admin.certificate", 25))),
            ("", None),
        ];
        for (written, expected) in table {
            std::fs::write(&file, format!("{main}{written}\n")).unwrap();
            let (config, _) = config::load(&file).unwrap();
            let found = findings(&file, &config);
            assert!(found.iter().all(|finding| finding.is_error() && finding.line == 10), "{found:?}");
            assert_eq!(found.first().map(|f| (f.key.as_str(), f.column)), expected, "{written}: {found:?}");
        }
    }
}
