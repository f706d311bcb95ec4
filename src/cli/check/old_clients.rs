//! Advice about the keys that old clients meet, where a listener offers the versions that they need.

use std::path::Path;

use rustls::SignatureAlgorithm;

use crate::cli::main_file::MainFile;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::{CertificateConfig, Config, ListenerTls};
use crate::model::tls::{CertificateStack, ProtocolVersion};
use crate::tls::certificates::{CertificatePaths, ServerCertificate};

/// What is to be said about one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    /// An RSA key serves old and new clients alike.
    SharedKey,
    /// No certificate has an RSA key.
    NoRsa,
}

/// Nothing while a certificate cannot be read, which is told elsewhere.
pub(super) fn findings(file: &Path, config: &Config) -> Vec<Diagnostic> {
    let old = |offer: ProtocolVersion| offer < ProtocolVersion::Tls1_2;
    let listener = config.listeners.iter().find(|listener| listener.tls != ListenerTls::Off && old(listener.offer));
    let (Some(listener), Ok(main)) = (listener, MainFile::read(file)) else { return Vec::new() };
    let Some(held) = config.certificates.iter().map(held).collect::<Option<Vec<_>>>() else { return Vec::new() };
    let Some((index, advice)) = advice(&held) else { return Vec::new() };
    // A configuration without errors names chain and key of every certificate, so the indices are the same.
    let pairs = main.certificates();
    let Some(pair) = pairs.get(index) else { return Vec::new() };
    let offers = format!("listener {} offers {} and later", listener.name, listener.offer);
    let dane = "DANE 3 1 1 records must then list both keys";
    let (at, message) = match advice {
        Advice::SharedKey => (
            ("certificate.key", &pair.key),
            format!(
                "{offers}, and this RSA key serves old and new clients alike: who breaks the old key exchange has \
                 it all; give old clients a [[certificate]] of their own with stack = \"legacy\" ({dane})"
            ),
        ),
        Advice::NoRsa => (
            ("certificate.chain", &pair.chain),
            format!(
                "{offers}, but no certificate has an RSA key: old clients without ECDSA cannot connect and fall back \
                 to plaintext; add a [[certificate]] with an RSA key and stack = \"legacy\" ({dane})"
            ),
        ),
    };
    vec![main.finding(Severity::Warning, at, &message)]
}

type Held = (SignatureAlgorithm, CertificateStack);

fn held(certificate: &CertificateConfig) -> Option<Held> {
    let paths = CertificatePaths::new(&certificate.chain, &certificate.key);
    let read = ServerCertificate::read(&paths).ok()?;
    Some((read.key_algorithm(), certificate.stack))
}

/// With the index of the certificate that it is about.
fn advice(held: &[Held]) -> Option<(usize, Advice)> {
    let rsa = || held.iter().enumerate().filter(|(_, (algorithm, _))| *algorithm == SignatureAlgorithm::RSA);
    if rsa().any(|(_, (_, stack))| *stack == CertificateStack::Legacy) || held.is_empty() {
        return None;
    }
    Some(rsa().next().map_or((0, Advice::NoRsa), |(index, _)| (index, Advice::SharedKey)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_need_an_rsa_key_and_better_one_of_their_own() {
        use CertificateStack::{Any, Legacy};
        let (rsa, ecdsa) = (SignatureAlgorithm::RSA, SignatureAlgorithm::ECDSA);
        for (held, expected) in [
            (vec![], None),
            (vec![(ecdsa, Any)], Some((0, Advice::NoRsa))),
            (vec![(ecdsa, Any), (ecdsa, Legacy)], Some((0, Advice::NoRsa))),
            (vec![(rsa, Any)], Some((0, Advice::SharedKey))),
            (vec![(ecdsa, Any), (rsa, Any)], Some((1, Advice::SharedKey))),
            (vec![(ecdsa, Any), (rsa, Legacy)], None),
            (vec![(rsa, Any), (rsa, Legacy)], None),
        ] {
            assert_eq!(advice(&held), expected, "{held:?}");
        }
    }

    #[cfg(feature = "legacy-tls")]
    #[test]
    fn the_advice_names_listener_key_and_line_and_goes_where_nothing_old_is_offered() {
        use crate::config;
        use crate::model::time::Timestamp;
        use crate::tls::demo_authority::{DemoAuthority, KeyKind};
        use crate::tls::self_signed::Validity;

        let now = Timestamp::from_secs(1_800_000_000);
        let validity = Validity { not_before: now, not_after: Timestamp::from_secs(1_900_000_000) };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gatepost.toml");
        let authority = DemoAuthority::new(now).unwrap();
        for (name, kind) in [("rsa", KeyKind::Rsa2048), ("ec", KeyKind::P256)] {
            let pair = authority.issue(&["mx.example"], kind, validity).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), pair.certificate_pem).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), pair.key_pem).unwrap();
        }
        let check = |offer: &str, names: &[&str], expected: Option<(u32, &str, &str)>| {
            let mut text = format!(
                "hostname = \"mx.example.org\"\nspool.path = \"s\"\naudit.path = \"a\"\nlistener = [{{ name = \"in\", \
                 bind = [\"[::1]:25\"], role = \"mx\", offer = \"{offer}\" }}]\n"
            );
            for name in names {
                text += &format!("[[certificate]]\nchain = \"{name}.pem\"\nkey = \"{name}.key\"\n");
            }
            std::fs::write(&file, text).unwrap();
            let (config, _) = config::load(&file).unwrap();
            let found = findings(&file, &config);
            let seen = found.first().map(|finding| (finding.line, finding.key.as_str(), finding.message.as_str()));
            let is_same = match (seen, expected) {
                (Some((line, key, message)), Some((at, about, start))) => {
                    (line, key) == (at, about) && message.starts_with(start)
                }
                (seen, expected) => seen.is_none() && expected.is_none(),
            };
            assert!(is_same, "{offer} {names:?}: {found:#?}");
            assert!(found.iter().all(|finding| finding.remedy.contains("stack = \"legacy\"")), "{found:#?}");
        };
        let shared = "listener in offers TLSv1 and later, and this RSA";
        check("TLSv1", &["ec", "rsa"], Some((10, "certificate.key", shared)));
        check("TLSv1.1", &["ec"], Some((6, "certificate.chain", "listener in offers TLSv1.1 and later, but no")));
        check("TLSv1.2", &["ec"], None);
        check("TLSv1", &["ec", "missing"], None);
    }
}
