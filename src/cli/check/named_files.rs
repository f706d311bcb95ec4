//! The files that listeners and routes name: roots for client certificates, and certificates shown to next hops.

use std::path::Path;

use crate::cli::main_file::{MainFile, WrittenPath};
use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::policy::settings::{KeyPair, Route, Source};
use crate::tls::certificates::{CertificatePaths, ServerCertificate};
use crate::tls::roots::Roots;

pub(super) fn findings(file: &Path, config: &Config) -> Vec<Diagnostic> {
    let policies = config.policies.policies().filter_map(|policy| policy.route.as_deref());
    let routes = policies.chain(config.policies.defaults.route.as_deref());
    let mut found = client_roots(file);
    found.extend(routes.filter_map(|route| pair(route, route.client_certificate.as_ref()?)));
    found
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

fn pair(route: &Route, pair: &KeyPair) -> Option<Diagnostic> {
    let error = ServerCertificate::read(&CertificatePaths::new(&pair.chain, &pair.key)).err()?.to_string();
    let (message, remedy) = error.split_once("; ").unwrap_or((&error, "name the files of a certificate and its key"));
    let (file, line) = match &route.source {
        Source::File { file, line } => (file.to_string(), *line),
        Source::BuiltIn | Source::Fact(_) => (String::new(), 1),
    };
    Some(Diagnostic {
        severity: Severity::Error,
        file,
        line,
        column: 1,
        key: "route.client_certificate".to_owned(),
        message: message.to_owned(),
        remedy: remedy.to_owned(),
        excerpt: None,
    })
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
        write(
            "domains.d/a.toml",
            "domains = [\"a.example\"]\n[route]\nhosts = [\"x.example\"]\n\
             client_certificate = { chain = \"no.pem\", key = \"no.key\" }\n",
        );
        let main = "hostname = \"mx.example.org\"\nspool.path = \"s\"\naudit.path = \"a\"\n\
                    certificate = [{ chain = \"c\", key = \"k\" }]\n\
                    [[listener]]\nname = \"in\"\nbind = [\"[::1]:25\"]\nrole = \"mx\"\n\
                    request_client_certificate = true\nclient_ca = \"empty.pem\"\n";
        write("gatepost.toml", main);
        let file = folder.path().join("gatepost.toml");
        let (config, _) = config::load(&file).unwrap();
        let seen: Vec<_> = findings(&file, &config).into_iter().map(|f| (f.file, f.line, f.key, f.severity)).collect();
        let finding = |file: &str, line, key: &str| (file.to_owned(), line, key.to_owned(), Severity::Error);
        let expected = [
            finding("gatepost.toml", 10, "listener.client_ca"),
            finding("domains.d/a.toml", 2, "route.client_certificate"),
        ];
        assert_eq!(seen, expected);
    }
}
