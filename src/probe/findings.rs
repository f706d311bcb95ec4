//! What is wrong with a destination, and what is worth to know: one closed list of words, each with a sentence. Pure.

use std::time::Duration;

use crate::dns::Security;
use crate::dns::mx::RouteError;
use crate::model::cipher::CipherGrade;
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;
use crate::policy::host_requirement::{Evidence, Proof};
use crate::policy::sts_policy::Mode;
use crate::policy::tlsa::Standing;
use crate::tls::client::Peer;

use super::host::{HostReport, Other};
use super::judge::Met;
use super::observe::{End, VersionResult};
use super::publication::{Publication, StsFound, TlsRptFound};

/// A certificate that ends sooner is worth a word.
const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nobody there answers.
    Unreachable,
    /// The answer of the probe is "no".
    Wrong,
    Notice,
}

impl Weight {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Wrong => "wrong",
            Self::Notice => "notice",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    /// A stable word.
    pub word: &'static str,
    /// `None` for what concerns the domain.
    pub host: Option<String>,
    pub text: String,
}

/// Everything worth a word, the heaviest first.
pub fn findings(publication: &Publication, hosts: &[HostReport], now: Timestamp) -> Vec<Finding> {
    let mut found = List { host: None, all: Vec::new() };
    found.of_domain(publication, hosts);
    for host in hosts {
        found.host = Some(host.found.shown());
        found.of_host(host, now);
    }
    found.all.sort_by_key(|finding| finding.weight);
    found.all
}

struct List {
    host: Option<String>,
    all: Vec<Finding>,
}

impl List {
    fn add(&mut self, weight: Weight, word: &'static str, text: impl Into<String>) {
        self.all.push(Finding { weight, word, host: self.host.clone(), text: text.into() });
    }

    fn wrong(&mut self, word: &'static str, text: impl Into<String>) {
        self.add(Weight::Wrong, word, text);
    }

    fn notice(&mut self, word: &'static str, text: impl Into<String>) {
        self.add(Weight::Notice, word, text);
    }

    fn of_domain(&mut self, publication: &Publication, hosts: &[HostReport]) {
        match &publication.hosts {
            Err(error @ RouteError::Lookup(_)) => self.add(Weight::Unreachable, "dns", error.to_string()),
            Err(error) => self.wrong("no-mail-host", error.to_string()),
            Ok(found) => {
                for (_, name) in &found.left_out {
                    let text = format!("{name} has an MX record and is not tried: no usable address, or not before us");
                    self.notice("host-left-out", text);
                }
                let has_tlsa = hosts.iter().any(|host| host.dane.is_usable());
                if found.mx.is_some_and(|mx| mx != Security::Secure) && has_tlsa {
                    let text = "the MX records are not signed, so TLSA records do not authenticate the domain's mail";
                    self.notice("mx-not-signed", text);
                }
            }
        }
        match &publication.mta_sts {
            StsFound::Absent => {}
            StsFound::NotLookedUp(error) => {
                self.notice("mta-sts-record", format!("the MTA-STS record cannot be looked up: {error}"));
            }
            StsFound::BadRecord(error) => self.wrong("mta-sts-record", error.to_string()),
            StsFound::Announced { policy: Err(error), .. } => {
                let text = format!("an MTA-STS policy is announced and cannot be had: {error}");
                self.wrong("mta-sts-policy", text);
            }
            StsFound::Announced { policy: Ok(policy), .. } if policy.mode == Mode::Testing => {
                self.notice("mta-sts-testing", "the MTA-STS policy is being tested: it holds nothing back");
            }
            StsFound::Announced { .. } => {}
        }
        match &publication.tlsrpt {
            TlsRptFound::Absent | TlsRptFound::Wanted(_) => {}
            TlsRptFound::NotLookedUp(error) => {
                self.notice("tlsrpt-record", format!("the TLSRPT record cannot be looked up: {error}"));
            }
            TlsRptFound::BadRecord(error) => self.notice("tlsrpt-record", error.to_string()),
        }
    }

    fn of_host(&mut self, host: &HostReport, now: Timestamp) {
        if host.seen.is_unreachable() {
            self.add(Weight::Unreachable, "unreachable", first_trouble(host));
        } else if let Met::No { detail, .. } = &host.meets.opportunistic {
            self.wrong("takes-no-mail", detail.clone());
        } else if let Met::No { detail, .. } = &host.meets.encrypt {
            self.wrong("no-tls", detail.clone());
        }
        if !host.seen.is_unreachable() {
            self.of_addresses(host);
            self.of_promises(host);
        }
        self.of_policy(host);
        self.of_tlsa(host);
        self.of_tls(host, now);
    }

    /// Some addresses answer, others do not.
    fn of_addresses(&mut self, host: &HostReport) {
        for seen in &host.seen.addresses {
            if let End::Nothing(trouble) = &seen.end {
                self.notice("address-unreachable", trouble.in_words());
            }
        }
    }

    /// What is published and not kept.
    fn of_promises(&mut self, host: &HostReport) {
        if let Met::No { reason, detail } = &host.meets.dane {
            self.wrong("dane", format!("DANE is not met ({reason}): {detail}"));
        }
        if let Met::No { reason, detail } = &host.meets.mta_sts {
            self.wrong("mta-sts", format!("MTA-STS is not met ({reason}): {detail}"));
        }
    }

    fn of_policy(&mut self, host: &HostReport) {
        if let Some((policy, (reason, detail))) =
            host.policy.as_ref().and_then(|policy| Some((policy, policy.verdict.as_ref().err()?)))
        {
            if policy.requirement.is_err() || reason.is_outbound_tls() {
                self.wrong("policy", format!("our policy sends no mail there ({reason}): {detail}"));
            } else if host.meets.opportunistic.is_yes() {
                // It answered before: what came in between is no fault of a policy.
                self.notice("policy-not-tried", format!("no session under our policy came about ({reason}): {detail}"));
            }
        }
        let Some(walked) = host.walked.as_ref().filter(|walked| walked.is_refused()) else { return };
        let last = walked.said.last().map(|(command, reply)| format!("{command} is answered: {reply}"));
        let trouble = walked.trouble.as_ref().map(|trouble| trouble.in_words());
        let text = trouble.or(last).unwrap_or_default();
        match walked.is_deferred() {
            true => self.notice("walk-deferred", format!("{text}; this may be another one at the next try")),
            false => self.wrong("walk", text),
        }
    }

    fn of_tlsa(&mut self, host: &HostReport) {
        if host.dane.is_unusable() {
            self.wrong("tlsa-unusable", "none of the TLSA records can be used: TLS is a must, with whomever");
            return;
        }
        for judged in host.dane.judged().iter().filter(|one| one.standing > Standing::Weaker) {
            let text = format!("the TLSA record {} is {}", judged.record.shortened(8), judged.standing);
            self.notice("tlsa-unusable-record", text);
        }
    }

    /// Two certificates of which one keeps less than the other.
    fn of_other(&mut self, host: &HostReport, shown: &Peer, other: &Other) {
        let (first, second) = (key_kind(shown), key_kind(&other.peer));
        for (level, by_first, by_second) in [
            ("DANE", &host.meets.dane, &other.meets.dane),
            ("MTA-STS", &host.meets.mta_sts, &other.meets.mta_sts),
            ("verify (by the host's name)", &host.meets.verify_mx, &other.meets.verify_mx),
        ] {
            let told = match (by_first.is_yes(), by_second.is_yes()) {
                (true, false) => Some((first, second)),
                (false, true) => Some((second, first)),
                _ => None,
            };
            if let Some((met, lacking)) = told {
                let text = format!("{level}: met by the {met} certificate, not by the {lacking} one");
                self.notice("certificates-differ", text);
            }
        }
    }

    fn of_tls(&mut self, host: &HostReport, now: Timestamp) {
        let Some(secured) = host.seen.secured() else { return };
        let not_after = secured.peer.facts.peer.as_ref().and_then(|peer| peer.not_after);
        if let Some(end) = not_after.filter(|end| *end <= now + EXPIRY_NOTICE) {
            match end <= now {
                true if looks_at_dates(host) => {
                    self.wrong("certificate-ends", format!("the certificate ended on {}", end.day()));
                }
                true => self.notice("certificate-ends", format!("the certificate ended on {}", end.day())),
                false => self.notice("certificate-ends", format!("the certificate ends on {}", end.day())),
            }
        }
        if let Some(other) = &host.other {
            self.of_other(host, &secured.peer, other);
        }
        if secured.peer.facts.version < ProtocolVersion::Tls1_2 {
            self.notice("old-tls", format!("the best that it does is {}", secured.peer.facts));
        } else if secured.peer.facts.grade() < CipherGrade::ForwardSecret {
            self.notice("weak-cipher", format!("no forward secrecy: {}", secured.peer.facts));
        }
        let spoken = |version| {
            let of = |seen: &&super::observe::VersionSeen| seen.version == version;
            host.seen.versions.iter().find(of).is_some_and(|seen| matches!(seen.result, VersionResult::Spoken(_)))
        };
        if spoken(ProtocolVersion::Ssl3) {
            self.notice("sslv3", "it still speaks SSLv3");
        }
    }
}

/// `RSA` or `ECDSA`.
pub fn key_kind(peer: &Peer) -> &'static str {
    match peer.facts.peer.as_ref().is_some_and(|certificate| certificate.rsa_bits.is_some()) {
        true => "RSA",
        false => "ECDSA",
    }
}

/// Whether anything that is asked of the host depends on the dates of its certificate. Without a policy of ours nobody
/// knows who asks, unless DANE has the certificate or its key itself.
fn looks_at_dates(host: &HostReport) -> bool {
    let by_name = |proof: &Proof| matches!(&proof.of, Evidence::Names(identity) if identity.has_names());
    match host.policy.as_ref().map(|policy| &policy.requirement) {
        Some(Ok(requirement)) => host.sts_lists_it.is_some() || requirement.proofs.iter().any(by_name),
        Some(Err(_)) => true,
        None => !host.meets.dane.is_yes(),
    }
}

fn first_trouble(host: &HostReport) -> String {
    let troubles = host.seen.addresses.iter().filter_map(|seen| match &seen.end {
        End::Nothing(trouble) => Some(trouble.in_words()),
        End::Tls(_) | End::Plaintext(_) => None,
    });
    troubles.take(1).next().unwrap_or_else(|| "the host was not connected to".to_owned())
}
