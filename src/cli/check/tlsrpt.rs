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
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("domains.d")).unwrap();
        write("empty.pem", "");
        for (key, expected) in [("none.pem", "No such file"), ("empty.pem", "no private key")] {
            let main = "hostname = \"mx.example.org\"\npostmaster = \"p@example.org\"\nspool.path = \"s\"\n\
                        audit = { path = \"a\", key = \"k\" }\n\
                        [[listener]]\nname = \"in\"\nbind = [\"[::1]:25\"]\nrole = \"mx\"\ntls = \"off\"\n\
                        [tlsrpt]\ncontact = \"tls@example.org\"\n";
            write("gatepost.toml", &format!("{main}dkim = {{ selector = \"s\", key = \"{key}\" }}\n"));
            let (config, _) = config::load(&folder.path().join("gatepost.toml")).unwrap();
            let found = findings(&config);
            assert_eq!((found.len(), found[0].line, found[0].key.as_str()), (1, 12, "tlsrpt.dkim"));
            assert!(found[0].message.contains(expected), "{found:?}");
        }
    }
}
