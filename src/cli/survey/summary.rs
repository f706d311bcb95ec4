//! Counts over all domains of a survey.

use serde_json::{Value, json};

use crate::model::tls::ProtocolVersion;

use super::record::{Levels, Surveyed, Word};

/// How many domains are so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) domains: u64,
    /// One host at least answered.
    pub(super) answered: u64,
    /// A host takes mail in plaintext only.
    pub(super) without_tls: u64,
    /// By the weakest session, in the order of [`ProtocolVersion::ALL`].
    pub(super) versions: [u64; ProtocolVersion::ALL.len()],
    pub(super) verify_domain: u64,
    pub(super) verify_mx: u64,
    pub(super) mx_secure: u64,
    pub(super) dane: u64,
    pub(super) dane_broken: u64,
    pub(super) sts_enforce: u64,
    pub(super) sts_testing: u64,
    pub(super) sts_broken: u64,
    pub(super) tlsrpt: u64,
    pub(super) requiretls: u64,
}

impl Summary {
    pub(super) fn of<'a>(all: impl IntoIterator<Item = &'a Surveyed>) -> Self {
        let mut summary = Self::default();
        for surveyed in all {
            summary.domains += 1;
            if let Some(meets) = &surveyed.meets {
                summary.count(surveyed, meets);
            }
        }
        summary
    }

    fn count(&mut self, surveyed: &Surveyed, meets: &Levels) {
        let sts = surveyed.mta_sts.as_str();
        let is_sts_broken = sts == "invalid" || meets.mta_sts == Word::No;
        for (counter, is_so) in [
            (&mut self.answered, true),
            (&mut self.without_tls, meets.encrypt != Word::Yes),
            (&mut self.verify_domain, meets.verify_domain == Word::Yes),
            (&mut self.verify_mx, meets.verify_mx == Word::Yes),
            (&mut self.mx_secure, surveyed.mx_secure),
            (&mut self.dane, meets.dane == Word::Yes),
            (&mut self.dane_broken, meets.dane == Word::No),
            (&mut self.sts_enforce, sts == "enforce"),
            (&mut self.sts_testing, sts == "testing"),
            (&mut self.sts_broken, is_sts_broken),
            (&mut self.tlsrpt, surveyed.tlsrpt),
            (&mut self.requiretls, surveyed.hosts.iter().all(|host| !host.answers || host.requiretls)),
        ] {
            *counter += u64::from(is_so);
        }
        let weakest = surveyed.version();
        for (counter, version) in self.versions.iter_mut().zip(ProtocolVersion::ALL) {
            *counter += u64::from(weakest == Some(version));
        }
    }

    /// In words, with their counts.
    pub(super) fn rows(&self) -> Vec<(String, u64)> {
        let versions = ProtocolVersion::ALL.into_iter().zip(self.versions).filter(|(_, number)| *number > 0);
        let mut rows = vec![("a host without TLS".to_owned(), self.without_tls)];
        rows.extend(
            versions.rev().map(|(version, number)| (format!("TLS everywhere, {version} at the least"), number)),
        );
        for (name, number) in [
            ("certificates that verify by the domain's name", self.verify_domain),
            ("certificates that verify by the hosts' names", self.verify_mx),
            ("MX records secured by DNSSEC", self.mx_secure),
            ("DANE that is met", self.dane),
            ("DANE that is broken", self.dane_broken),
            ("MTA-STS, enforced", self.sts_enforce),
            ("MTA-STS, being tested", self.sts_testing),
            ("MTA-STS that is broken", self.sts_broken),
            ("TLSRPT", self.tlsrpt),
            ("REQUIRETLS at every host", self.requiretls),
        ] {
            rows.push((name.to_owned(), number));
        }
        rows
    }

    /// Of those that answered, in whole percent.
    pub(super) fn share(&self, number: u64) -> u64 {
        (100 * number).checked_div(self.answered).unwrap_or(0)
    }

    pub(super) fn json(&self) -> Value {
        let versions = ProtocolVersion::ALL.into_iter().zip(self.versions);
        let versions: serde_json::Map<String, Value> =
            versions.map(|(version, number)| (version.to_string(), number.into())).collect();
        json!({
            "domains": self.domains,
            "answered": self.answered,
            "without_tls": self.without_tls,
            "weakest_version": versions,
            "verify_domain": self.verify_domain,
            "verify_mx": self.verify_mx,
            "mx_secure": self.mx_secure,
            "dane": self.dane,
            "dane_broken": self.dane_broken,
            "mta_sts_enforce": self.sts_enforce,
            "mta_sts_testing": self.sts_testing,
            "mta_sts_broken": self.sts_broken,
            "tlsrpt": self.tlsrpt,
            "requiretls": self.requiretls,
        })
    }
}
