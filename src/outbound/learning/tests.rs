//! What a session says to those who learn from it.

use std::sync::Arc;

use super::*;
use crate::dns::Security;
use crate::model::address::ReversePath;
use crate::model::cipher::CipherSuite;
use crate::model::domain::Domain;
use crate::model::tls::{ChainTrust, PeerCertificate, ProtocolVersion};
use crate::policy::host_requirement::require;
use crate::policy::learned::Proved;
use crate::policy::outbound::{HostIdentity, decide};
use crate::policy::published::{Learned, Published};
use crate::policy::rules::{Defaults, DomainPolicy, PolicySet};
use crate::policy::settings::{DeliveryLayer, Learn, OutboundLayer, OutboundTls, Sourced};
use crate::policy::timed::Asker;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// A host of `bank.example` under a written level and what was learned.
fn target(written: OutboundTls, learned: Option<Learned>) -> Target {
    let outbound = OutboundLayer { tls: Some(Sourced::built_in(written)), ..OutboundLayer::default() };
    let delivery = DeliveryLayer { learn: Some(Sourced::built_in(Learn::Enforce)), ..DeliveryLayer::default() };
    let defaults = Defaults { outbound: outbound.into(), delivery, ..Defaults::default() };
    let policies = PolicySet::new(defaults, Vec::<DomainPolicy>::new()).unwrap();
    let (bank, mx) = (domain("bank.example"), domain("mx.bank.example"));
    let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
    let decision = decide(&policies, Some(&bank), &asker);
    let identity = HostIdentity { recipient_domain: Some(&bank), name: Some(&mx), name_is_trusted: false };
    let published = Published { learned, ..Published::default() };
    let requirement = require(&decision, &identity, &published).unwrap();
    Target {
        name: Some(mx.clone()),
        name_is_trusted: false,
        address: ([192, 0, 2, 1], 25).into(),
        security: Security::Unknown,
        published: Arc::new(published),
        requirement: Some(Arc::new(requirement)),
        unmet: None,
    }
}

fn tls(name: &str, chain: ChainTrust) -> TlsFacts {
    let names = vec![name.to_owned()];
    let peer = PeerCertificate { names, chain, ..PeerCertificate::assumed(String::new()) };
    let suite = CipherSuite::by_name("TLS_AES_128_GCM_SHA256").unwrap();
    TlsFacts { peer: Some(peer), ..TlsFacts::assumed(ProtocolVersion::Tls1_3, suite) }
}

/// `shown`, `violation` and `path` of the session.
type Meaning = (Option<Shown>, Option<Reason>, Option<Sign>);

fn check(target: &Target, what: What<'_>, expected: Meaning) {
    let (bank, hosts) = (domain("bank.example"), [domain("mx.bank.example")]);
    let seen = Seen { at: Timestamp::from_secs(0), target, what };
    let to = Destination { domain: &bank, hosts: &hosts, learn: Learn::Enforce };
    let session = session(to, &seen, &target.requirement.as_ref().unwrap().session).unwrap();
    assert_eq!((session.shown, session.violation, session.path), expected, "{what:?}");
}

fn failed(reason: Reason, tls: Option<&TlsFacts>) -> What<'_> {
    What::Failed { reason, tls, lost: true }
}

#[test]
fn a_session_is_a_violation_if_what_was_learned_is_what_it_lacks() {
    use OutboundTls::{Opportunistic, Verify};
    let good = tls("mx.bank.example", ChainTrust::Trusted);
    let strange = tls("mx.other.example", ChainTrust::Trusted);
    let (plain, encrypted) = (Some(Shown::Plaintext), Some(Shown::Encrypted));
    let verified = Some(Shown::Verified(Proved::OwnName));
    let (lost, met, strange_sign) = (Some(Sign::Stripped), Some(Sign::Met), Some(Sign::Strange));
    let (no_tls, mismatch) = (Reason::StarttlsNotSupported, Reason::CertificateHostMismatch);
    let cut = Reason::ValidationFailure;
    let learned_encrypt = target(Opportunistic, Some(Learned::Encrypt));
    let learned_verify = target(Opportunistic, Some(Learned::Verify(vec![domain("mx.bank.example")])));
    let written = target(Verify, Some(Learned::Encrypt));
    let unlearned = target(OutboundTls::Encrypt, None);
    check(&learned_encrypt, What::Connected(Some(&good)), (verified, None, met));
    check(&learned_encrypt, What::Delivered(Some(&strange)), (encrypted, None, met));
    check(&learned_encrypt, failed(no_tls, None), (plain, Some(no_tls), lost));
    check(&learned_encrypt, failed(cut, None), (None, Some(cut), lost));
    // The host has TLS, but no version that is written.
    check(&learned_encrypt, failed(Reason::VersionBelowMinimum, None), (None, None, None));
    check(&learned_verify, failed(mismatch, Some(&strange)), (encrypted, Some(mismatch), strange_sign));
    // The written level asks for more than was learned, and that is what is not met.
    check(&written, failed(mismatch, Some(&strange)), (encrypted, None, strange_sign));
    check(&written, failed(no_tls, None), (plain, Some(no_tls), lost));
    check(&unlearned, failed(no_tls, None), (plain, None, lost));
    check(&unlearned, failed(Reason::CertificateExpired, Some(&good)), (verified, None, None));
    // The network, not TLS.
    check(&learned_encrypt, failed(Reason::ConnectionLost, None), (None, None, None));
    // Plaintext comes next, so nothing was held back.
    let given_up = What::Failed { reason: no_tls, tls: None, lost: false };
    check(&target(Opportunistic, None), given_up, (plain, None, lost));
    check(&target(Opportunistic, None), What::Connected(None), (plain, None, None));
}

#[test]
fn who_was_not_connected_to_has_shown_nothing() {
    let mut target = target(OutboundTls::Encrypt, None);
    let (bank, hosts) = (domain("bank.example"), []);
    let to = Destination { domain: &bank, hosts: &hosts, learn: Learn::Enforce };
    let what = failed(Reason::DnssecInvalid, None);
    let written = target.requirement.take().unwrap();
    let seen = Seen { at: Timestamp::from_secs(0), target: &target, what };
    assert!(session(to, &seen, &written.session).is_none());
}
