//! The parameters in force: what a service overrides, else main.cf, else what is built in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::Place;
use super::ciphers::Grade;
use super::expand::{ExpandError, expand, references};
use super::lines::is_yes;
use super::main_cf::{Setting, assignment};

/// What Postfix takes where main.cf says nothing.
static DEFAULTS: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
    include_str!("defaults.txt").lines().filter(|line| !line.starts_with('#')).filter_map(assignment).collect()
});

/// All parameters of a configuration, or of one of its services.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// The last one of each name.
    written: BTreeMap<String, Setting>,
    /// What depends on the machine, such as `mydomain`.
    derived: BTreeMap<&'static str, String>,
    /// Of one service; empty for main.cf itself.
    overrides: BTreeMap<String, Setting>,
}

impl Parameters {
    /// `hostname` is what the machine calls itself, for where main.cf does not say it.
    pub fn new(settings: Vec<Setting>, hostname: &str) -> Self {
        let written = settings.into_iter().map(|setting| (setting.name.clone(), setting)).collect();
        let mut parameters = Self { written, ..Self::default() };
        parameters.derived.insert("myhostname", hostname.to_owned());
        let hostname = parameters.value("myhostname").unwrap_or_default();
        let domain = hostname.split_once('.').map_or("localdomain", |(_, domain)| domain).to_owned();
        parameters.derived.insert("mydomain", domain);
        parameters
    }

    /// The same with what a service overrides on top.
    pub fn of_service(&self, overrides: &[Setting]) -> Self {
        let overrides = overrides.iter().map(|setting| (setting.name.clone(), setting.clone())).collect();
        Self { overrides, ..self.clone() }
    }

    /// The value, expanded; empty for a parameter that there is not.
    pub fn value(&self, name: &str) -> Result<String, ExpandError> {
        let raw = self.raw(name).unwrap_or_default();
        Ok(expand(&raw, &|name| self.raw(name))?.trim().to_owned())
    }

    /// The value, empty where it cannot be expanded: that is told once, by [`Self::faults`].
    pub fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or_default()
    }

    pub fn is_yes(&self, name: &str) -> bool {
        is_yes(&self.text(name))
    }

    /// Where it was written, by the service or in main.cf.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.overrides.get(name).or_else(|| self.written.get(name)).map(|setting| &setting.place)
    }

    /// The cipher list of a grade, where it is not the usual one.
    pub fn own_cipher_list(&self, grade: Grade) -> Option<String> {
        let name = match grade {
            Grade::Null => "tls_null_cipherlist",
            Grade::Export => "tls_export_cipherlist",
            Grade::Low => "tls_low_cipherlist",
            Grade::Medium => "tls_medium_cipherlist",
            Grade::High => "tls_high_cipherlist",
        };
        (!self.is_default(name)).then(|| self.text(name))
    }

    pub fn is_written(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Whether the value is what Postfix takes anyway.
    pub fn is_default(&self, name: &str) -> bool {
        let Some(default) = DEFAULTS.get(name) else { return !self.is_written(name) };
        let default = expand(default, &|name| self.raw(name)).unwrap_or_default();
        let same = |left: &str, right: &str| left.split_whitespace().eq(right.split_whitespace());
        self.value(name).is_ok_and(|value| same(&value, &default))
    }

    /// What main.cf sets, the last one of each name, by name.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.written.values()
    }

    /// The settings that cannot be expanded.
    pub fn faults(&self) -> Vec<(&Setting, ExpandError)> {
        let faults = self.written.values().filter_map(|setting| Some((setting, self.value(&setting.name).err()?)));
        faults.collect()
    }

    /// The names that other settings mention.
    pub fn mentioned(&self) -> BTreeSet<String> {
        self.written.values().chain(self.overrides.values()).flat_map(|setting| references(&setting.value)).collect()
    }

    fn raw(&self, name: &str) -> Option<String> {
        if let Some(setting) = self.overrides.get(name).or_else(|| self.written.get(name)) {
            return Some(setting.value.clone());
        }
        self.derived.get(name).cloned().or_else(|| DEFAULTS.get(name).map(|value| (*value).to_owned()))
    }
}

/// Whether Postfix has a parameter of this name.
pub fn is_known(name: &str) -> bool {
    DEFAULTS.contains_key(name) || name.starts_with("lmtp_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::main_cf;

    fn parameters(text: &str) -> Parameters {
        Parameters::new(main_cf::parse(text).0, "host.here.example")
    }

    #[test]
    fn the_last_setting_holds_and_defaults_depend_on_others() {
        let found = parameters("myhostname = mx.bank.example\nrelay_domains = a\nrelay_domains = $mydestination\n");
        assert_eq!(found.text("mydomain"), "bank.example");
        assert_eq!(found.text("relay_domains"), "mx.bank.example, localhost.bank.example, localhost");
        assert_eq!(found.place("relay_domains"), Some(&Place::new("main.cf", 3)));
        assert_eq!(parameters("").text("myhostname"), "host.here.example");
        for (text, expected) in [("", "md5"), ("compatibility_level = 3.6", "sha256")] {
            assert_eq!(parameters(text).text("smtp_tls_fingerprint_digest"), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_as_it_is_anyway_counts_as_default() {
        for (text, name, expected) in [
            ("maximal_queue_lifetime = 5d", "maximal_queue_lifetime", true),
            ("maximal_queue_lifetime = 3d", "maximal_queue_lifetime", false),
            ("mydestination = $myhostname,  localhost.$mydomain,\n localhost", "mydestination", true),
            ("biff = no", "biff", false),
            ("relay_domains =", "relay_domains", false),
            ("compatibility_level = 2\nrelay_domains =", "relay_domains", true),
            ("my_macro = x", "my_macro", false),
        ] {
            assert_eq!(parameters(text).is_default(name), expected, "{text}");
        }
    }

    #[test]
    fn a_service_overrides_main_cf_and_its_values_see_it() {
        let main = parameters("smtp_tls_security_level = may\nlevel = encrypt\n");
        let (overrides, _) = main_cf::parse("smtp_tls_security_level = $level\n");
        assert_eq!(main.of_service(&overrides).text("smtp_tls_security_level"), "encrypt");
        assert_eq!(main.text("smtp_tls_security_level"), "may");
        assert_eq!(main.mentioned(), BTreeSet::new());
    }

    #[test]
    fn a_value_that_never_ends_is_told_and_counts_as_empty() {
        let found = parameters("a = $b\nb = $a\n");
        assert_eq!(found.faults().len(), 2);
        assert_eq!(found.text("a"), "");
    }
}
