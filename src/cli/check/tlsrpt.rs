//! The key that signs the mail of TLS reports.

use crate::app::build::dkim_signer;
use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::policy::settings::Source;

pub(super) fn findings(config: &Config) -> Vec<Diagnostic> {
    let Some(dkim) = &config.tlsrpt.dkim else { return Vec::new() };
    let Err(error) = dkim_signer(dkim) else { return Vec::new() };
    let (file, line) = match &dkim.source {
        Source::File { file, line } => (file.to_string(), *line),
        Source::BuiltIn | Source::Fact(_) => (String::new(), 1),
    };
    vec![Diagnostic {
        severity: Severity::Error,
        file,
        line,
        column: 1,
        key: "tlsrpt.dkim".to_owned(),
        message: error.to_string(),
        remedy: error.remedy().to_owned(),
        excerpt: None,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_key_that_cannot_sign_is_told_with_the_line_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty.pem"), "").unwrap();
        for (file, expected) in [("none.pem", "No such file"), ("empty.pem", "no private key")] {
            let main = format!(
                "hostname = \"mx.example.org\"\npostmaster = \"p@example.org\"\ndomains = \".\"\nspool.path = \"s\"\naudit = {{ path = \"a\", key = \"k\" }}\n\
                 [[listener]]\nname = \"in\"\nbind = [\"[::1]:25\"]\nrole = \"mx\"\ntls = \"off\"\n\
                 [tlsrpt]\ncontact = \"tls@example.org\"\ndkim = {{ selector = \"s\", key = \"{file}\" }}\n"
            );
            let folder = folder.path().join(file.replace(".pem", ""));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.parent().unwrap().join("gatepost.conf");
            std::fs::write(&path, main.replace("domains = \".\"", &format!("domains = \"{}\"", folder.display())))
                .unwrap();
            let (config, _) = config::load(&path).unwrap();
            let found = findings(&config);
            assert_eq!((found.len(), found[0].line, found[0].key.as_str()), (1, 13, "tlsrpt.dkim"));
            assert!(found[0].message.contains(expected), "{found:?}");
        }
    }
}
