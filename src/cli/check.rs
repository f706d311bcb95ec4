//! `gatepost check`: everything that is wrong or odd about configuration and certificates, at once.

mod cases;
mod named_files;
mod old_clients;
mod placed;
mod resolver;
mod tlsrpt;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::admin::protocol::ExceptionStatus;
use crate::clock;
use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::model::human;
use crate::model::time::Timestamp;
use crate::tls::certificates::{CertificatePaths, CertificateWarning, ServerCertificate};

use super::configuration;
use super::main_file::{MainFile, WrittenCertificate};
use super::output::{BAD, Console, Exit, Failure, GOOD, ODD};
use super::waiting::Waiting;

/// The result for programs. The counts are `null` if there are errors.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    errors: Vec<&'a Diagnostic>,
    warnings: Vec<&'a Diagnostic>,
    #[serde(flatten)]
    counts: Option<Counts>,
    /// Of the policies, by state.
    exceptions: Option<ExceptionStatus>,
}

/// What the configuration holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Counts {
    domains: usize,
    files: usize,
    listeners: usize,
    certificates: usize,
    cases: usize,
}

pub(super) fn run(config: Option<&Path>, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let file = configuration::file(config);
    let (loaded, mut findings) = match configuration::load(config) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(findings) => (None, findings),
    };
    let waiting = Waiting::on("looking at what the configuration names");
    findings.extend(certificate_findings(&file, clock::timestamp()));
    if let Some(config) = &loaded {
        findings.extend(named_files::findings(&file, config));
        findings.extend(old_clients::findings(&file, config));
        findings.extend(resolver::findings(&file, config));
        findings.extend(tlsrpt::findings(&file, config));
    }
    let mut checked = loaded.as_ref().map(|config| cases::check(config, clock::timestamp())).unwrap_or_default();
    findings.append(&mut checked.findings);
    drop(waiting);
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_error());
    let exit = match errors.len() {
        0 => Exit::Done,
        // The configuration is good, and does not do what was expected.
        count if count == checked.failures => Exit::No,
        _ => Exit::Usage,
    };
    let counts = loaded.as_ref().map(|config| Counts::of(config, checked.count)).filter(|_| errors.is_empty());
    if json {
        let exceptions = loaded.as_ref().map(|config| config.policies.exception_counts(clock::timestamp()));
        let exceptions = exceptions.map(ExceptionStatus::of);
        console.json(&Report { ok: counts.is_some(), errors, warnings, counts, exceptions })?;
        return Ok(exit);
    }
    configuration::show(&findings.iter().collect::<Vec<_>>(), console)?;
    let summary = summary(counts, errors.len(), warnings.len());
    match exit {
        Exit::Done => writeln!(console.out, "{summary}")?,
        _ => writeln!(console.err, "{summary}")?,
    }
    Ok(exit)
}

/// `2 errors, 1 warning`, or `ok: 12 domains in 5 files, 2 listeners, 1 certificate`.
fn summary(counts: Option<Counts>, errors: usize, warnings: usize) -> String {
    let warned = if warnings == 0 { String::new() } else { format!(", {}", human::count(warnings, "warning")) };
    let Some(Counts { domains, files, listeners, certificates, cases }) = counts else {
        return format!("{BAD}{}{BAD:#}{warned}", human::count(errors, "error"));
    };
    let style = if warnings == 0 { GOOD } else { ODD };
    let cases = if cases == 0 { String::new() } else { format!(", {}", human::count(cases, "policy case")) };
    format!(
        "{style}ok{style:#}{warned}: {} in {}, {}, {}{cases}",
        human::count(domains, "domain"),
        human::count(files, "file"),
        human::count(listeners, "listener"),
        human::count(certificates, "certificate"),
    )
}

impl Counts {
    fn of(config: &Config, cases: usize) -> Self {
        let policies = || config.policies.policies();
        Self {
            domains: policies().map(|policy| policy.patterns.len()).sum(),
            files: policies().map(|policy| &policy.file).collect::<BTreeSet<_>>().len(),
            listeners: config.listeners.len(),
            certificates: config.certificates.len(),
            cases,
        }
    }
}

/// Reads the certificates that the main file names, even if other parts of it are wrong.
fn certificate_findings(file: &Path, now: Timestamp) -> Vec<Diagnostic> {
    // A file that cannot be read was reported with the rest of the configuration.
    let Ok(main) = MainFile::read(file) else { return Vec::new() };
    main.certificates().iter().flat_map(|pair| findings_of(&main, pair, now)).collect()
}

fn findings_of(main: &MainFile, written: &WrittenCertificate, now: Timestamp) -> Vec<Diagnostic> {
    let WrittenCertificate { chain, key, ocsp } = written;
    let of_chain = ("certificate.chain", chain);
    let of_ocsp = ocsp.as_ref().map_or(of_chain, |ocsp| ("certificate.ocsp", ocsp));
    let ocsp = ocsp.as_ref().map(|ocsp| ocsp.path.clone());
    let paths = CertificatePaths { ocsp, ..CertificatePaths::new(&chain.path, &key.path) };
    let pair = match ServerCertificate::read_pair(&paths) {
        Ok(pair) => pair,
        Err(error) => {
            let message = error.to_string();
            let is_about_key = !message.contains(&*chain.path.to_string_lossy());
            let at = if is_about_key { ("certificate.key", key) } else { of_chain };
            return vec![main.finding(Severity::Error, at, &message)];
        }
    };
    let mut findings = Vec::new();
    let certificate = pair.read_ocsp(now).unwrap_or_else(|error| {
        findings.push(main.finding(Severity::Error, of_ocsp, &error.to_string()));
        pair
    });
    findings.extend(certificate.warnings(now).iter().map(|warning| {
        let at = if matches!(warning, CertificateWarning::OcspNotSent { .. }) { of_ocsp } else { of_chain };
        main.finding(Severity::Warning, at, &warning.to_string())
    }));
    findings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tls::demo_authority::{DemoAuthority, KeyKind};
    use crate::tls::self_signed::Validity;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_summary_is_one_line() {
        let counts = Counts { domains: 12, files: 5, listeners: 2, certificates: 1, cases: 0 };
        for (counts, errors, warnings, expected) in [
            (None, 2, 1, "2 errors, 1 warning"),
            (None, 1, 0, "1 error"),
            (Some(counts), 0, 0, "ok: 12 domains in 5 files, 2 listeners, 1 certificate"),
            (
                Some(Counts { cases: 1200, ..counts }),
                0,
                0,
                "ok: 12 domains in 5 files, 2 listeners, 1 certificate, 1,200 policy cases",
            ),
            (Some(counts), 0, 3, "ok, 3 warnings: 12 domains in 5 files, 2 listeners, 1 certificate"),
        ] {
            let seen = summary(counts, errors, warnings);
            assert_eq!(anstream::adapter::strip_str(&seen).to_string(), expected);
        }
    }

    #[test]
    fn each_certificate_is_told_with_the_line_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let authority = DemoAuthority::new(NOW).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        for (name, days) in [("good", 90), ("soon", 3)] {
            let pair = authority.issue(&["mx.example"], KeyKind::P256, Validity::starting(NOW, DAY * days)).unwrap();
            write(&format!("{name}.pem"), &pair.certificate_pem);
            write(&format!("{name}.key"), &pair.key_pem);
        }
        let pairs = ["good good", "good soon", "none good", "good none", "soon soon"];
        let tables = pairs.map(|pair| {
            let (chain, key) = pair.split_once(' ').unwrap();
            format!("[[certificate]]\nchain = \"{chain}.pem\"\nkey = \"{key}.key\"\n")
        });
        let with_ocsp = format!("{}ocsp = \"good.key\"\n", tables[0]);
        write("gatepost.toml", &(tables.concat() + &with_ocsp));
        let found = certificate_findings(&folder.path().join("gatepost.toml"), NOW);
        let seen: Vec<_> = found.iter().map(|f| (f.line, f.severity, f.key.as_str())).collect();
        let expected = [
            (5, Severity::Error, "certificate.chain"),
            (8, Severity::Error, "certificate.chain"),
            (12, Severity::Error, "certificate.key"),
            (14, Severity::Warning, "certificate.chain"),
            (19, Severity::Error, "certificate.ocsp"),
        ];
        assert_eq!(seen, expected, "{found:#?}");
        assert!(found[0].message.contains("do not match") && found[0].remedy.starts_with("name the key"), "{found:#?}");
        assert!(found[3].message.ends_with("in 3 days") && found[3].remedy == "renew it", "{found:#?}");
        assert!(found[4].message.contains("no OCSP response") && found[4].remedy.contains("-respout"), "{found:#?}");
    }
}
