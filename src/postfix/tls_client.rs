//! What the SMTP client asks of TLS for a destination: the policy table over the parameters.

use std::sync::Arc;

use super::Place;
use super::ciphers::Grade;
use super::lines::is_yes;
use super::parameters::Parameters;
use super::protocols::{self, Protocols, ProtocolsError};
use super::tables::{Table, find};
use super::tls_policy::{self, Entry, EntryError, Level, NameMatch};

/// The parameters of one transport, and the tables.
#[derive(Clone, Debug)]
pub struct TlsClient {
    pub level: Level,
    /// The parameter that sets the level, if one is written.
    pub level_set_by: Option<(&'static str, Place)>,
    /// Of a level that there is not.
    pub wrong_level: Option<String>,
    protocols: [String; 2],
    ciphers: [String; 2],
    exclude: [String; 2],
    /// By grade, where they are not the usual ones.
    cipher_lists: Vec<(Grade, String)>,
    verify_match: Vec<NameMatch>,
    secure_match: Vec<NameMatch>,
    fingerprint_match: String,
    /// The digest of fingerprints: `sha256`, `md5`.
    pub digest: String,
    pub ca_file: String,
    pub ca_path: String,
    pub trusts_system: bool,
    trust_anchors: Vec<String>,
    servername: String,
    /// Whether TLSA records can be had at all.
    pub has_dnssec: bool,
    /// Encrypts from the first byte, as servers on port 465 want it.
    pub wrapper_mode: bool,
    pub policy: Vec<Arc<Table>>,
    /// The obsolete table, which counts where there is no other one.
    pub per_site: Vec<Arc<Table>>,
}

/// What is asked for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub level: Level,
    pub protocols: Protocols,
    pub ciphers: Grade,
    /// The list of that grade, where it is not the usual one.
    pub cipher_list: Option<String>,
    pub exclude: String,
    pub names: Vec<NameMatch>,
    pub fingerprints: Vec<String>,
    pub ta_files: Vec<String>,
    pub servername: String,
    /// Attributes that say nothing about what is asked for, such as `connection_reuse=yes`.
    pub others: Vec<String>,
    /// Where the entry of the table stands; `None` where there is none.
    pub place: Option<Place>,
    /// What the table answered, as written.
    pub entry: Option<String>,
}

/// Why Postfix sends nothing to a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("{0}")]
    Entry(#[from] EntryError),
    #[error("the protocols cannot be used: {0}")]
    Protocols(#[from] ProtocolsError),
    #[error("there is no grade of ciphers \"{0}\"")]
    Ciphers(String),
    #[error("no fingerprint is named")]
    NoFingerprint,
    #[error("there is no level \"{0}\"")]
    Level(String),
}

impl TlsClient {
    /// Without the tables, which only a reader of files can bring.
    pub fn of(parameters: &Parameters) -> Self {
        let text = |name: &str| parameters.text(name);
        let (level, level_set_by) = level(parameters);
        let written = text("smtp_tls_security_level");
        Self {
            level,
            level_set_by,
            wrong_level: Some(written).filter(|word| !word.is_empty() && Level::parse(word).is_none()),
            protocols: [text("smtp_tls_protocols"), text("smtp_tls_mandatory_protocols")],
            ciphers: [text("smtp_tls_ciphers"), text("smtp_tls_mandatory_ciphers")],
            exclude: [text("smtp_tls_exclude_ciphers"), text("smtp_tls_mandatory_exclude_ciphers")],
            cipher_lists: [Grade::Null, Grade::Export, Grade::Low, Grade::Medium, Grade::High]
                .into_iter()
                .filter_map(|grade| Some((grade, parameters.own_cipher_list(grade)?)))
                .collect(),
            verify_match: NameMatch::parse_list(&text("smtp_tls_verify_cert_match")),
            secure_match: NameMatch::parse_list(&text("smtp_tls_secure_cert_match")),
            fingerprint_match: text("smtp_tls_fingerprint_cert_match"),
            digest: text("smtp_tls_fingerprint_digest"),
            ca_file: text("smtp_tls_CAfile"),
            ca_path: text("smtp_tls_CApath"),
            trusts_system: is_yes(&text("tls_append_default_CA")),
            trust_anchors: super::lines::items(&text("smtp_tls_trust_anchor_file"))
                .into_iter()
                .map(Into::into)
                .collect(),
            servername: text("smtp_tls_servername"),
            has_dnssec: text("smtp_dns_support_level").eq_ignore_ascii_case("dnssec"),
            wrapper_mode: is_yes(&text("smtp_tls_wrappermode")),
            policy: Vec::new(),
            per_site: Vec::new(),
        }
    }

    /// What is asked of sessions with this destination, by the key of [`super::next_hop::Hop`].
    pub fn ask(&self, destination: &str) -> Result<Asked, Unusable> {
        let found = tls_policy::look_up(&self.policy, destination);
        let entry = match found {
            Some(found) => tls_policy::parse(found.value)?,
            None => match &self.wrong_level {
                Some(word) => return Err(Unusable::Level(word.clone())),
                None => Entry::bare(self.level_of_site(destination)),
            },
        };
        let place = found.and_then(|found| found.place.cloned());
        self.asked(entry, place, found.map(|found| found.value.to_owned()))
    }

    fn asked(&self, entry: Entry, place: Option<Place>, written: Option<String>) -> Result<Asked, Unusable> {
        let level = entry.level;
        let [optional, mandatory] = &self.protocols;
        let usual = if level.is_mandatory() { mandatory } else { optional };
        let protocols = protocols::parse(entry.protocols.as_deref().unwrap_or(usual))?;
        let [optional, mandatory] = &self.ciphers;
        let usual = if level.is_mandatory() { mandatory } else { optional };
        let word = entry.ciphers.as_deref().unwrap_or(usual);
        let ciphers = Grade::parse(word).ok_or_else(|| Unusable::Ciphers(word.to_owned()))?;
        let fingerprints = match level {
            Level::Fingerprint => self.fingerprints(&entry),
            _ => Vec::new(),
        };
        if level == Level::Fingerprint && fingerprints.is_empty() {
            return Err(Unusable::NoFingerprint);
        }
        let names = match level {
            Level::Verify | Level::Secure if !entry.matches.is_empty() => {
                NameMatch::parse_list(&entry.matches.join(":"))
            }
            Level::Verify => self.verify_match.clone(),
            Level::Secure => self.secure_match.clone(),
            _ => Vec::new(),
        };
        let verifies = matches!(level, Level::Verify | Level::Secure);
        let exclude = self.excluded(&entry);
        let ta_files = if entry.ta_files.is_empty() { self.trust_anchors.clone() } else { entry.ta_files };
        Ok(Asked {
            level,
            protocols,
            ciphers,
            cipher_list: self.cipher_lists.iter().find(|(grade, _)| *grade == ciphers).map(|(_, list)| list.clone()),
            exclude,
            names,
            fingerprints,
            ta_files: if verifies { ta_files } else { Vec::new() },
            servername: entry.servername.unwrap_or_else(|| self.servername.clone()),
            others: entry.others,
            place,
            entry: written,
        })
    }

    /// That of an entry stands in place of all in main.cf.
    fn excluded(&self, entry: &Entry) -> String {
        let [all, mandatory] = &self.exclude;
        match &entry.exclude {
            Some(none) if none.eq_ignore_ascii_case("none") => String::new(),
            Some(own) => own.clone(),
            None if entry.level.is_mandatory() => format!("{all} {mandatory}").trim().to_owned(),
            None => all.clone(),
        }
    }

    fn fingerprints(&self, entry: &Entry) -> Vec<String> {
        let listed: Vec<&str> = match entry.matches.as_slice() {
            [] => self.fingerprint_match.split([',', ' ', '\t']).collect(),
            written => written.iter().flat_map(|list| list.split('|')).collect(),
        };
        listed.into_iter().filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    /// By the obsolete table of sites, for the next hop alone.
    fn level_of_site(&self, destination: &str) -> Level {
        if !self.policy.is_empty() {
            return self.level;
        }
        let word = find(&self.per_site, destination).map(|found| found.value.to_ascii_uppercase());
        match word.as_deref() {
            Some("NONE") => Level::None,
            Some("MAY") => self.level.max(Level::May),
            Some("MUST_NOPEERMATCH") => Level::Encrypt,
            Some("MUST") => Level::Verify,
            _ => self.level,
        }
    }
}

/// The level of all destinations that no table knows, and what sets it.
fn level(parameters: &Parameters) -> (Level, Option<(&'static str, Place)>) {
    let set_by = |name: &'static str| parameters.place(name).map(|place| (name, place.clone()));
    const LEVEL: &str = "smtp_tls_security_level";
    let written = parameters.text(LEVEL);
    if !written.is_empty() {
        return (Level::parse(&written).unwrap_or(Level::None), set_by(LEVEL));
    }
    if parameters.is_yes("smtp_enforce_tls") {
        let level = if parameters.is_yes("smtp_tls_enforce_peername") { Level::Verify } else { Level::Encrypt };
        return (level, set_by("smtp_enforce_tls"));
    }
    match parameters.is_yes("smtp_use_tls") {
        true => (Level::May, set_by("smtp_use_tls")),
        false => (Level::None, set_by(LEVEL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tls::ProtocolVersion::{Tls1_0, Tls1_2, Tls1_3};
    use crate::postfix::main_cf;

    fn client(main: &str, policy: &str) -> TlsClient {
        let parameters = Parameters::new(main_cf::parse(main).0, "mx.here.example");
        let table = |text: &str| vec![Arc::new(Table::parse(text, &"policy".into()))];
        match policy.strip_prefix("site:") {
            Some(sites) => TlsClient { per_site: table(sites), ..TlsClient::of(&parameters) },
            None if policy.is_empty() => TlsClient::of(&parameters),
            None => TlsClient { policy: table(policy), ..TlsClient::of(&parameters) },
        }
    }

    #[test]
    fn the_level_comes_from_the_table_else_from_the_first_parameter_that_says_it() {
        for (main, policy, expected) in [
            ("", "", Level::None),
            ("smtp_use_tls = yes", "", Level::May),
            ("smtp_use_tls = yes\nsmtp_enforce_tls = yes", "", Level::Verify),
            ("smtp_enforce_tls = yes\nsmtp_tls_enforce_peername = no", "", Level::Encrypt),
            ("smtp_enforce_tls = yes\nsmtp_tls_security_level = may", "", Level::May),
            ("smtp_tls_security_level = may", "a.example dane", Level::Dane),
            ("smtp_tls_security_level = may", "b.example dane", Level::May),
            ("smtp_use_tls = yes", "site:a.example MUST", Level::Verify),
            ("smtp_use_tls = yes", "site:a.example NONE", Level::None),
            ("smtp_tls_security_level = encrypt", "site:a.example MAY", Level::Encrypt),
            ("smtp_tls_security_level = may", "site:a.example MUST_NOPEERMATCH", Level::Encrypt),
        ] {
            assert_eq!(client(main, policy).ask("a.example").unwrap().level, expected, "{main} {policy}");
        }
    }

    #[test]
    fn mandatory_levels_have_parameters_of_their_own_and_entries_go_before_both() {
        const MAIN: &str = "smtp_tls_protocols = >=TLSv1\nsmtp_tls_mandatory_protocols = >=TLSv1.2\n\
                            smtp_tls_mandatory_ciphers = high\nsmtp_tls_exclude_ciphers = RC4\n\
                            smtp_tls_mandatory_exclude_ciphers = kRSA\n";
        for (policy, min, ciphers, exclude) in [
            ("a.example may", Tls1_0, Grade::Medium, "RC4"),
            ("a.example dane", Tls1_0, Grade::Medium, "RC4"),
            ("a.example encrypt", Tls1_2, Grade::High, "RC4 kRSA"),
            ("a.example dane-only", Tls1_2, Grade::High, "RC4 kRSA"),
            ("a.example encrypt ciphers=medium exclude=MD5 protocols=TLSv1.3", Tls1_3, Grade::Medium, "MD5"),
            ("a.example encrypt exclude=none", Tls1_2, Grade::High, ""),
        ] {
            let asked = client(MAIN, policy).ask("a.example").unwrap();
            assert_eq!(
                (asked.protocols.min, asked.ciphers, asked.exclude.as_str()),
                (min, ciphers, exclude),
                "{policy}"
            );
        }
    }

    #[test]
    fn who_is_right_depends_on_the_level() {
        use NameMatch::{BelowNextHop, HostName, Name, NextHop};
        for (policy, names, fingerprints) in [
            ("a.example secure", vec![NextHop, BelowNextHop], vec![]),
            ("a.example verify", vec![HostName], vec![]),
            ("a.example secure match=x.example match=.y", vec![Name("x.example".into()), Name(".y".into())], vec![]),
            ("a.example fingerprint match=AA:BB|CC", vec![], vec!["AA:BB", "CC"]),
            ("a.example fingerprint", vec![], vec!["DD", "EE"]),
            ("a.example encrypt", vec![], vec![]),
        ] {
            let asked = client("smtp_tls_fingerprint_cert_match = DD, EE\n", policy).ask("a.example").unwrap();
            assert_eq!(
                (asked.names, asked.fingerprints),
                (names, fingerprints.into_iter().map(String::from).collect())
            );
        }
    }

    #[test]
    fn what_postfix_cannot_use_is_an_error_and_never_a_lower_level() {
        for (main, policy, expected) in [
            ("", "a.example tls", Unusable::Entry(EntryError::Level("tls".into()))),
            ("", "a.example encrypt protocols=SSLv9", Unusable::Protocols(ProtocolsError::Unknown)),
            ("", "a.example encrypt ciphers=best", Unusable::Ciphers("best".into())),
            ("", "a.example fingerprint", Unusable::NoFingerprint),
            ("smtp_tls_security_level = must", "", Unusable::Level("must".into())),
        ] {
            assert_eq!(client(main, policy).ask("a.example"), Err(expected), "{main} {policy}");
        }
    }
}
