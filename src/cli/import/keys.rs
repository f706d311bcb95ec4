//! The TLS keys of ours for what Postfix asks of a destination. Pure; where they cannot say it, the mail is held.

use std::collections::BTreeSet;

use crate::config::OFFER_MIN;
use crate::model::address::Host;
use crate::model::cipher::CipherGrade;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::tls::ProtocolVersion;
use crate::policy::names::Fingerprint;
use crate::policy::settings::OutboundTls;
use crate::postfix::ciphers::{self, Grade};
use crate::postfix::next_hop::Hop;
use crate::postfix::tls_client::{Asked, TlsClient, Unusable};
use crate::postfix::tls_policy::{Level, NameMatch};

use super::differences::Difference;

/// A name that no certificate is for (RFC 6761): what is matched against it waits.
pub(super) const HELD: &str = "held.invalid";
/// The same beside fingerprints, which then alone suffice.
const PINNED: &str = "pinned.invalid";

/// What is made of what destinations publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Published {
    /// DANE and MTA-STS are not asked for: there is no TLS at all.
    Off,
    /// As the default says: Postfix asks for nothing.
    #[default]
    Usual,
    /// Level dane.
    Dane,
    DaneRequired,
}

/// TLS keys of `[outbound]` or of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) tls: OutboundTls,
    pub(super) min_version: Option<ProtocolVersion>,
    pub(super) cipher: CipherGrade,
    /// Words of `match`.
    pub(super) names: Vec<String>,
    pub(super) fingerprints: Vec<Fingerprint>,
    /// Files as the configuration names them.
    pub(super) ca: Vec<String>,
    pub(super) published: Published,
}

/// Whom a certificate could be for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// The mail hosts of the domains of a file.
    Mx(&'a DomainPattern),
    /// Those of all domains that no file names.
    AnyMx,
    /// Next hops that are written down.
    Hops(&'a [Hop]),
}

/// The roots that may vouch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    /// As the configuration names them; `and_system` tells that Postfix takes the system's too.
    Files {
        files: Vec<String>,
        and_system: bool,
    },
    /// Postfix names none.
    None,
    /// A file that is not there.
    Missing(String),
}

impl Keys {
    pub(super) fn plain(tls: OutboundTls) -> Self {
        Self {
            tls,
            min_version: None,
            cipher: CipherGrade::Any,
            names: Vec::new(),
            fingerprints: Vec::new(),
            ca: Vec::new(),
            published: if tls == OutboundTls::Off { Published::Off } else { Published::Usual },
        }
    }

    /// Nothing goes out until somebody mends it.
    pub(super) fn held() -> Self {
        Self { names: vec![HELD.to_owned()], ..Self::plain(OutboundTls::Verify) }
    }
}

/// The keys, and in what they differ.
pub(super) type Mapped = (Keys, BTreeSet<Difference>);

/// Of a policy that Postfix cannot use.
pub(super) fn unusable(why: &Unusable) -> Mapped {
    (Keys::held(), BTreeSet::from([Difference::UnusablePolicy(why.to_string())]))
}

/// `roots` are those of this transport, or of the entry of the table.
pub(super) fn keys(asked: &Asked, client: &TlsClient, target: Target<'_>, roots: &Roots) -> Mapped {
    let mut differences = BTreeSet::new();
    if !asked.servername.is_empty() && asked.level > Level::May {
        differences.insert(Difference::Servername);
    }
    let told = |other: &&String| !other.starts_with("connection_reuse");
    differences.extend(asked.others.iter().filter(told).map(|other| Difference::Attribute(other.clone())));
    if client.wrapper_mode && asked.level > Level::None {
        differences.insert(Difference::WrapperMode);
    }
    let mut keys = match asked.level {
        Level::None => return (Keys::plain(OutboundTls::Off), differences),
        Level::May => optional(asked, &mut differences),
        Level::Dane => {
            differences.extend((!client.has_dnssec).then_some(Difference::DaneWithoutDnssec));
            differences.extend(dane_minimum(asked));
            Keys { published: Published::Dane, ..optional(asked, &mut differences) }
        }
        Level::Encrypt => floor(asked, Keys::plain(OutboundTls::Encrypt), &mut differences),
        Level::DaneOnly => {
            let required = Keys { published: Published::DaneRequired, ..Keys::plain(OutboundTls::Encrypt) };
            floor(asked, required, &mut differences)
        }
        Level::Fingerprint => floor(asked, pinned(asked, client, &mut differences), &mut differences),
        Level::Verify | Level::Secure => {
            let named = named(asked, target, &mut differences);
            floor(asked, vouched(named, roots, &mut differences), &mut differences)
        }
    };
    // Where the default is no TLS at all, it asks for nothing published either.
    if keys.published == Published::Usual && client.level != Level::None {
        differences.insert(Difference::PublishedIsFollowed);
    }
    keys.names.dedup();
    (keys, differences)
}

/// Several next hops share the keys of their route: those that are equal, else nothing goes out.
pub(super) fn together(mut all: Vec<Mapped>) -> Mapped {
    let Some((keys, mut differences)) = all.pop() else { return (Keys::held(), BTreeSet::new()) };
    let is_equal = all.iter().all(|(other, _)| *other == keys);
    differences.extend(all.into_iter().flat_map(|(_, differences)| differences));
    if is_equal {
        return (keys, differences);
    }
    differences.insert(Difference::UnequalHops);
    (Keys::held(), differences)
}

/// Nothing can be asked for where plaintext will do.
fn optional(asked: &Asked, differences: &mut BTreeSet<Difference>) -> Keys {
    if asked.protocols.min > ProtocolVersion::Tls1_0 || asked.protocols.max.is_some() {
        differences.insert(Difference::OptionalProtocols);
    }
    let excluded = ciphers::excluded(&asked.exclude);
    if asked.ciphers == Grade::High || excluded.grade > CipherGrade::Any || !excluded.kept.is_empty() {
        differences.insert(Difference::OptionalCiphers);
    }
    Keys::plain(OutboundTls::Opportunistic)
}

/// Level dane asks for the mandatory versions once there are records, which no key of ours says.
fn dane_minimum(asked: &Asked) -> Option<Difference> {
    (asked.protocols.min > ProtocolVersion::Tls1_0 || asked.ciphers == Grade::High).then_some(Difference::DaneMinimum)
}

/// Versions and ciphers of a mandatory level.
fn floor(asked: &Asked, keys: Keys, differences: &mut BTreeSet<Difference>) -> Keys {
    if asked.protocols.has_gap {
        differences.insert(Difference::ProtocolsGap);
    } else if asked.protocols.max.is_some() {
        differences.insert(Difference::ProtocolsCapped);
    }
    let (cipher, told) = cipher(asked.ciphers, asked.cipher_list.as_deref(), &asked.exclude);
    differences.extend(told);
    Keys { min_version: Some(asked.protocols.min.max(OFFER_MIN)), cipher, ..keys }
}

/// The grade that takes nothing which Postfix leaves out, as far as there is one.
pub(super) fn cipher(grade: Grade, own_list: Option<&str>, exclude: &str) -> (CipherGrade, Vec<Difference>) {
    let mut told = Vec::new();
    let excluded = ciphers::excluded(exclude);
    let of_list = own_list.and_then(ciphers::grade_of_list);
    match grade {
        _ if of_list.is_some() => told.push(Difference::CipherListAsGrade),
        _ if own_list.is_some() => told.push(Difference::CipherList),
        Grade::Null => told.push(Difference::NullCiphers),
        Grade::High => told.push(Difference::HighCiphers),
        Grade::Export | Grade::Low | Grade::Medium => {}
    }
    let listed = of_list.unwrap_or(grade.as_ours());
    if excluded.grade > listed {
        told.push(Difference::ExcludedCiphersAsGrade);
    }
    if !excluded.kept.is_empty() {
        told.push(Difference::ExcludedCiphersKept(excluded.kept.join(" ")));
    }
    (listed.max(excluded.grade), told)
}

/// Fingerprints alone, whatever name the certificate is for.
fn pinned(asked: &Asked, client: &TlsClient, differences: &mut BTreeSet<Difference>) -> Keys {
    let is_sha256 = client.digest.eq_ignore_ascii_case("sha256");
    let read = |text: &String| Fingerprint::parse(&format!("sha256:{text}")).ok();
    let fingerprints: Vec<_> = asked.fingerprints.iter().filter(|_| is_sha256).filter_map(read).collect();
    if fingerprints.is_empty() {
        let digest = if is_sha256 { "something that is no SHA-256".to_owned() } else { client.digest.clone() };
        differences.insert(Difference::WeakFingerprint(digest));
        return Keys::held();
    }
    Keys { names: vec![PINNED.to_owned()], fingerprints, ..Keys::plain(OutboundTls::Verify) }
}

/// Names that a certificate may be for.
fn named(asked: &Asked, target: Target<'_>, differences: &mut BTreeSet<Difference>) -> Keys {
    let mut names = Vec::new();
    for name in &asked.names {
        match name {
            NameMatch::NextHop => names.extend(own_name(target)),
            NameMatch::BelowNextHop => match below(target) {
                Some(pattern) => {
                    differences.insert(Difference::OneLabelBelow);
                    names.push(pattern);
                }
                None => drop(differences.insert(Difference::NothingBelow)),
            },
            NameMatch::HostName => match target {
                Target::Mx(_) | Target::AnyMx => {
                    differences.insert(Difference::UnsignedMx);
                    names.push("mx".to_owned());
                }
                Target::Hops(_) => names.extend(own_name(target)),
            },
            NameMatch::Name(name) => names.extend(written(name, differences)),
        }
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() {
        differences.insert(Difference::NoNameToMatch);
        return Keys::held();
    }
    Keys { names, ..Keys::plain(OutboundTls::Verify) }
}

/// The word for the name of the next hop itself. An address has none.
fn own_name(target: Target<'_>) -> Option<String> {
    match target {
        Target::Mx(_) | Target::AnyMx => Some("domain".to_owned()),
        Target::Hops(hops) => {
            let named = hops.iter().all(|hop| matches!(hop.host, Host::Name(_)));
            named.then(|| "mx".to_owned())
        }
    }
}

/// The names below the next hop, where there is but one.
fn below(target: Target<'_>) -> Option<String> {
    match target {
        Target::Mx(DomainPattern::Exact(name)) => Some(format!("*.{name}")),
        Target::Hops([Hop { host: Host::Name(name), .. }]) => Some(format!("*.{name}")),
        Target::Mx(DomainPattern::Below(_)) | Target::AnyMx | Target::Hops(_) => None,
    }
}

/// A name that is written in `match`.
fn written(name: &str, differences: &mut BTreeSet<Difference>) -> Option<String> {
    match name.strip_prefix('.') {
        Some(above) => {
            differences.insert(Difference::OneLabelBelow);
            Domain::parse(above).ok().map(|above| format!("*.{above}"))
        }
        None => Domain::parse(name).ok().map(|name| name.to_string()),
    }
}

fn vouched(keys: Keys, roots: &Roots, differences: &mut BTreeSet<Difference>) -> Keys {
    match roots {
        Roots::System => keys,
        Roots::None => {
            differences.insert(Difference::NoRoots);
            keys
        }
        Roots::Missing(file) => {
            differences.insert(Difference::RootsMissing(file.clone()));
            Keys::held()
        }
        Roots::Files { files, and_system } => {
            differences.extend(and_system.then_some(Difference::AlsoSystemRoots));
            Keys { ca: files.clone(), ..keys }
        }
    }
}

#[cfg(test)]
mod tests;
