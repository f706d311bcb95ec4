//! One requirement for one host: what is written, what its domain publishes, what was learned and what the message asks
//! for, each key taking the stricter, each with its reason.

use std::sync::Arc;

use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::ProtocolVersion;

use super::in_force::Because;
use super::names::Identity;
use super::outbound::{Decision, HostIdentity, Requirement};
use super::published::{Asks, Dane, Learned, Published, UsableRecords};
use super::settings::{DaneUse, Fact, Learn, OutboundTls, Source, Sourced, StsUse, TlsRequiredNo};

/// RFC 8461 section 7.2: whoever publishes a policy speaks at least this.
pub const STS_VERSION_MIN: ProtocolVersion = ProtocolVersion::Tls1_2;

/// What a session with one host must be before the message goes over it: a conjunction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRequirement {
    /// Level, version and cipher. The level is that of all parts together.
    pub session: Requirement,
    /// Each of them must hold. None: nobody's identity is asked for.
    pub proofs: Vec<Proof>,
    /// Whom the certificate would identify if nobody asks: for the record alone.
    pub usual: Identity,
    /// The message demands that the host offers REQUIRETLS (RFC 8689 section 4.2.1): the level that is asked for
    /// without that demand.
    pub require_tls_above: Option<OutboundTls>,
}

/// One thing that the host's certificate must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub of: Evidence,
    pub source: Source,
}

/// By what a certificate proves who the host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A name by an authority that is trusted, or a fingerprint.
    Names(Identity),
    /// A TLSA record (RFC 7672 section 3).
    Tlsa(Arc<UsableRecords>),
}

/// What no session with this host could meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    pub reason: Reason,
    pub detail: String,
    pub source: Source,
}

/// Makes the requirement for a host, or says why none can be met there.
pub fn require(decision: &Decision, host: &HostIdentity<'_>, published: &Published) -> Result<HostRequirement, Unmet> {
    match build(decision, host, published) {
        (_, Some(unmet)) => Err(unmet),
        (built, None) => Ok(built),
    }
}

/// All that is asked of a host, with what nothing could meet there. For the record: [`require`] says whether a session
/// may be held against it.
pub fn asked(decision: &Decision, host: &HostIdentity<'_>, published: &Published) -> HostRequirement {
    build(decision, host, published).0
}

/// What is asked for, and the first part of it that cannot be met.
fn build(decision: &Decision, host: &HostIdentity<'_>, published: &Published) -> (HostRequirement, Option<Unmet>) {
    if published.asks.tls_report {
        return (HostRequirement::of_report(decision, host), None);
    }
    let written = &decision.requirement;
    let facts = Followed::of(decision, host, published);
    let identity = HostIdentity { name_is_trusted: facts.name_is_trusted, ..*host };
    let mut built = HostRequirement {
        session: written.clone(),
        proofs: Vec::new(),
        usual: written.identity(&identity),
        require_tls_above: None,
    };
    let stands = written.names_identity() || !facts.replaces_names;
    if written.wants_identity() && stands {
        let of = Evidence::Names(built.usual.clone());
        built.proofs.push(Proof { of, source: written.tls.source.clone() });
    }
    let by_dane = add_dane(&mut built, decision, host, &facts);
    let by_sts = add_sts(&mut built, host, &facts);
    add_learned(&mut built, decision, host, &facts);
    if published.asks.require_tls {
        built.require_tls_above = Some(built.session.level());
    }
    if published.asks.require_tls || published.asks.is_protected_notice {
        add_require_tls(&mut built, &identity, &facts);
    }
    (built, by_dane.or(by_sts))
}

impl Decision {
    /// Whether TLSA records make a difference to a message: where they do not, a failure to look them up makes none
    /// either.
    pub fn heeds_dane(&self, asks: Asks) -> bool {
        match self.following.dane.value {
            DaneUse::Off => false,
            _ if asks.tls_report => false,
            DaneUse::Auto => !self.waives(asks),
            // It is written, so no field of the message takes it away.
            DaneUse::Required => true,
        }
    }

    /// The same of a policy of MTA-STS.
    pub fn heeds_sts(&self, asks: Asks) -> bool {
        self.following.mta_sts.value == StsUse::Auto && !asks.tls_report && !self.waives(asks)
    }

    /// RFC 8689 section 4.1: REQUIRETLS goes before the header field.
    fn waives(&self, asks: Asks) -> bool {
        let honours = self.following.tls_required_no.value == TlsRequiredNo::Honour;
        honours && asks.tls_required_no && !asks.require_tls
    }
}

/// What counts of the facts, by what is written about them.
struct Followed<'a> {
    dane: &'a Dane,
    /// The policy, where it is enforced.
    sts: Option<bool>,
    learned: Option<&'a Learned>,
    /// By the operator, by DNSSEC, or by a policy of MTA-STS that lists it.
    name_is_trusted: bool,
    /// Usable records of a host that was found securely take the place of names and of MTA-STS.
    replaces_names: bool,
    /// The name was found securely, whatever MTA-STS says.
    was_found_securely: bool,
}

impl<'a> Followed<'a> {
    fn of(decision: &Decision, host: &HostIdentity<'_>, published: &'a Published) -> Self {
        let Published { dane, mta_sts, learned, asks, .. } = published;
        let dane = if decision.heeds_dane(*asks) { dane } else { &Dane::Inapplicable };
        let sts = mta_sts.filter(|_| decision.heeds_sts(*asks));
        let was_found_securely = host.name_is_trusted;
        Self {
            dane,
            sts: sts.filter(|sts| sts.is_enforced).map(|sts| sts.lists_host),
            learned: learned.as_ref().filter(|_| decision.following.learn.value == Learn::Enforce),
            name_is_trusted: was_found_securely || sts.is_some_and(|sts| sts.lists_host),
            replaces_names: was_found_securely && matches!(dane, Dane::Usable(_)),
            was_found_securely,
        }
    }
}

/// RFC 7672. Records of a host that was not found securely add to the rest and take the place of nothing: whoever
/// chose the host could have chosen the records too (section 2.2.1).
fn add_dane(
    built: &mut HostRequirement,
    decision: &Decision,
    host: &HostIdentity<'_>,
    facts: &Followed<'_>,
) -> Option<Unmet> {
    match facts.dane {
        Dane::Inapplicable | Dane::Absent => {}
        // RFC 7672 section 2.2: never plaintext, and nothing to authenticate by.
        Dane::Unusable(_) => built.raise(OutboundTls::Encrypt, Source::Fact(Fact::Tlsa)),
        Dane::Usable(records) => built.prove(Evidence::Tlsa(records.clone()), Source::Fact(Fact::Tlsa)),
    }
    let is_usable = matches!(facts.dane, Dane::Usable(_));
    if decision.following.dane.value == DaneUse::Required && !(is_usable && facts.was_found_securely) {
        let host = host.name.map_or_else(|| "the host".to_owned(), Domain::to_string);
        let what = match facts.dane {
            Dane::Usable(_) => "was found by an unsigned MX record",
            Dane::Unusable(_) => "has no TLSA record that can be used",
            Dane::Absent => "has no TLSA record",
            Dane::Inapplicable => "has no signed address, so no TLSA record counts",
        };
        let detail = format!("{host} {what}, and the policy requires DANE");
        let source = decision.following.dane.source.clone();
        let none = UsableRecords { records: None, base: None, names: Vec::new() };
        built.prove(Evidence::Tlsa(Arc::new(none)), source.clone());
        return Some(Unmet { reason: Reason::DaneRequired, detail, source });
    }
    None
}

/// RFC 8461 sections 4 and 5. It never saves what DANE fails (section 2). That usable TLSA records take its place as
/// proof of identity is our own decision, and what it asks of the session stays.
fn add_sts(built: &mut HostRequirement, host: &HostIdentity<'_>, facts: &Followed<'_>) -> Option<Unmet> {
    let lists_host = facts.sts?;
    built.raise(OutboundTls::Encrypt, Source::Fact(Fact::MtaSts));
    built.raise_version(STS_VERSION_MIN, Fact::MtaSts);
    if facts.replaces_names {
        return None;
    }
    let Some(name) = host.name.filter(|_| lists_host) else {
        let name = host.name.map_or_else(|| "an address without a name".to_owned(), Domain::to_string);
        let detail = format!("{name} is not among the mail hosts of the domain's MTA-STS policy");
        built.prove(Evidence::Names(Identity::default()), Source::Fact(Fact::MtaSts));
        return Some(Unmet { reason: Reason::ValidationFailure, detail, source: Source::Fact(Fact::MtaSts) });
    };
    let of = Evidence::Names(Identity { names: vec![name.clone()], ..Identity::default() });
    built.prove(of, Source::Fact(Fact::MtaSts));
    None
}

/// A route answers to its own keys; what the domain's own hosts have shown says nothing about it.
fn add_learned(built: &mut HostRequirement, decision: &Decision, host: &HostIdentity<'_>, facts: &Followed<'_>) {
    let Some(learned) = facts.learned.filter(|_| decision.is_by_mx()) else { return };
    built.raise(OutboundTls::Encrypt, Source::Fact(Fact::Learned));
    let Learned::Verify(hosts) = learned else { return };
    if facts.replaces_names {
        return;
    }
    let trusted = host.name.filter(|name| facts.name_is_trusted || hosts.contains(name));
    let names = host.recipient_domain.into_iter().chain(trusted).cloned().collect();
    built.prove(Evidence::Names(Identity { names, ..Identity::default() }), Source::Fact(Fact::Learned));
}

/// RFC 8689 section 4.2.1, items 2 and 4: the host is the right one, and the certificate is the host's. Where that is
/// not yet asked for, a name is.
fn add_require_tls(built: &mut HostRequirement, host: &HostIdentity<'_>, facts: &Followed<'_>) {
    built.raise(OutboundTls::Encrypt, Source::Fact(Fact::RequireTls));
    let is_proved = |proof: &Proof| match proof.of {
        Evidence::Names(_) => true,
        Evidence::Tlsa(_) => facts.was_found_securely,
    };
    if built.proofs.iter().any(is_proved) {
        return;
    }
    let trusted = host.name.filter(|_| host.name_is_trusted);
    let names = host.recipient_domain.into_iter().chain(trusted).cloned().collect();
    built.prove(Evidence::Names(Identity { names, ..Identity::default() }), Source::Fact(Fact::RequireTls));
}

impl HostRequirement {
    /// A session that fails for `reason` would do but for the message, which demands the protection itself: by RFC 8689
    /// section 4.2.1 it goes back to its sender once no host has it, whatever is written about others.
    pub fn is_for_message_alone(&self, reason: Reason) -> bool {
        use Reason::{CertificateExpired, CertificateHostMismatch, CertificateNotTrusted, StarttlsNotSupported};
        let missed = match reason {
            StarttlsNotSupported => OutboundTls::Encrypt,
            CertificateExpired | CertificateHostMismatch | CertificateNotTrusted => OutboundTls::Verify,
            _ => return false,
        };
        self.require_tls_above.is_some_and(|level| level < missed)
    }

    /// What no session meets: that of a host which cannot be used, whatever it shows.
    pub fn out_of_reach(decision: &Decision) -> Self {
        let source = decision.requirement.tls.source.clone();
        let tls = Sourced { value: OutboundTls::Verify, source: source.clone() };
        let session = Requirement { tls, ..decision.requirement.clone() };
        let nobody = Identity::default();
        let proofs = vec![Proof { of: Evidence::Names(nobody.clone()), source }];
        Self { session, proofs, usual: nobody, require_tls_above: None }
    }

    /// RFC 8460 section 3: reports are delivered despite any failure of TLS. The best that the host can do is enough,
    /// whatever is written or published: what is reported may be the very reason why it cannot be met.
    fn of_report(decision: &Decision, host: &HostIdentity<'_>) -> Self {
        let source = Source::Fact(Fact::TlsReport);
        let session = Requirement {
            tls: Sourced { value: OutboundTls::Opportunistic, source: source.clone() },
            min_version: None,
            cipher: Sourced { value: CipherGrade::Any, source },
            ..decision.requirement.clone()
        };
        Self { usual: session.identity(host), session, proofs: Vec::new(), require_tls_above: None }
    }

    fn raise(&mut self, level: OutboundTls, source: Source) {
        if self.session.tls.value < level {
            self.session.tls = Sourced { value: level, source };
        }
    }

    fn raise_version(&mut self, version: ProtocolVersion, by: Fact) {
        if self.session.min_version.as_ref().is_none_or(|minimum| minimum.value < version) {
            self.session.min_version = Some(Sourced { value: version, source: Source::Fact(by) });
        }
    }

    fn prove(&mut self, of: Evidence, source: Source) {
        self.raise(OutboundTls::Verify, source.clone());
        self.proofs.push(Proof { of, source });
    }

    /// The TLSA base domain, which goes before the host's name in the handshake (RFC 7672 section 8.1).
    pub fn tlsa_base(&self) -> Option<&Domain> {
        self.proofs.iter().find_map(|proof| match &proof.of {
            Evidence::Tlsa(records) => records.base.as_ref(),
            Evidence::Names(_) => None,
        })
    }

    /// Who asks that it is protected, each once; none where plaintext would do.
    pub fn asked_by(&self) -> Vec<Source> {
        let is_asked = |row: &Because| match row.key {
            "tls" => self.session.tls.value > OutboundTls::Opportunistic,
            "cipher" => self.session.cipher.value > CipherGrade::Any,
            _ => true,
        };
        let mut sources = Vec::new();
        for row in self.because().into_iter().filter(is_asked) {
            if !sources.contains(&row.source) {
                sources.push(row.source);
            }
        }
        sources
    }

    /// Every part with its source.
    pub fn because(&self) -> Vec<Because> {
        let mut rows = self.session.floor();
        rows.extend(self.proofs.iter().map(|proof| Because {
            key: "identity",
            value: proof.of.in_words(),
            source: proof.source.clone(),
        }));
        if self.require_tls_above.is_some() {
            let source = Source::Fact(Fact::RequireTls);
            rows.push(Because { key: "requiretls", value: "offered".to_owned(), source });
        }
        rows
    }
}

impl Evidence {
    /// What would do, for people.
    pub fn in_words(&self) -> String {
        match self {
            Self::Names(identity) => identity.in_words(),
            Self::Tlsa(records) => {
                let usable = records.records.iter().flat_map(|usable| usable.records());
                let mut kinds: Vec<String> =
                    usable.map(|record| format!("{} {} {}", record.usage, record.selector, record.matching)).collect();
                kinds.dedup();
                match &records.base {
                    Some(base) => format!("TLSA of {base} ({})", kinds.join(", ")),
                    None => "a TLSA record".to_owned(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
