//! The commented configuration that `gatepost init DIR` writes: the files of `config/`, made to fit host and folder.

use std::path::{Path, PathBuf};

use crate::model::domain::Domain;

/// Where the starter configuration expects the certificate, relative to its folder.
pub const STARTER_CHAIN: &str = "tls/server.pem";
/// Where it expects the key.
pub const STARTER_KEY: &str = "tls/server.key";
/// The same for old clients, which need RSA.
pub const STARTER_LEGACY_CHAIN: &str = "tls/legacy.pem";
pub const STARTER_LEGACY_KEY: &str = "tls/legacy.key";

/// The start of the line that keeps the second certificate for the stack of old clients. Without that stack it serves
/// those that know RSA alone.
const LEGACY_LINE: &str = "stack = \"legacy\"";

/// The folder that the templates are written for.
const SYSTEM_FOLDER: &str = "/etc/gatepost";
/// The host of the templates.
const TEMPLATE_HOSTNAME: &str = "mx1.example.org";
/// The mail domain of the templates.
const TEMPLATE_DOMAIN: &str = "example.org";

/// Paths of the templates, and what they are outside `/etc`: beside the configuration.
const SYSTEM_PATHS: [(&str, &str); 4] = [
    ("\"/var/lib/gatepost\"", "\"spool\""),
    ("\"/var/lib/gatepost/audit.key\"", "\"audit.key\""),
    ("\"/var/log/gatepost/audit\"", "\"audit\""),
    ("\"/run/gatepost/control.sock\"", "\"control.sock\""),
];

const TEMPLATES: [(&str, &str); 4] = [
    ("gatepost.toml", include_str!("../../config/gatepost.toml")),
    ("domains.d/example.toml", include_str!("../../config/domains.d/example.toml")),
    ("domains.d/recipients.txt", include_str!("../../config/domains.d/recipients.txt")),
    ("tests.d/example.toml", include_str!("../../config/tests.d/example.toml")),
];

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarterFile {
    pub path: PathBuf,
    pub content: String,
}

/// The files of a starter configuration in `dir`. Nothing is written. Outside `/etc/gatepost` spool, audit log and
/// control socket are placed in `dir` too, so that it can be tried without system folders.
pub fn starter(dir: &Path, hostname: &Domain) -> Vec<StarterFile> {
    let system = dir == Path::new(SYSTEM_FOLDER);
    let fit = |template: &str| {
        let template = if cfg!(feature = "legacy-tls") { template.to_owned() } else { without_legacy(template) };
        let named = with_names(&template, hostname);
        if system {
            return named;
        }
        SYSTEM_PATHS.iter().fold(named, |text, (from, to)| text.replace(from, to))
    };
    TEMPLATES.iter().map(|(name, template)| StarterFile { path: dir.join(name), content: fit(template) }).collect()
}

fn without_legacy(template: &str) -> String {
    template.split_inclusive('\n').filter(|line| !line.starts_with(LEGACY_LINE)).collect()
}

fn with_names(template: &str, hostname: &Domain) -> String {
    let above = hostname.parent().filter(|parent| parent.label_count() >= 2);
    let domain = above.as_ref().unwrap_or(hostname);
    let around: Vec<String> =
        template.split(TEMPLATE_HOSTNAME).map(|text| text.replace(TEMPLATE_DOMAIN, domain.as_str())).collect();
    around.join(hostname.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_stack_of_old_clients_both_certificates_serve_all() {
        let (_, template) = TEMPLATES[0];
        let fitted = without_legacy(template);
        assert_eq!(fitted.lines().count() + 1, template.lines().count());
        assert!(fitted.contains(STARTER_LEGACY_KEY) && !fitted.lines().any(|line| line.starts_with("stack")));
    }
}
