//! The first words of an answer: what becomes of the message, as far as that is certain.

use crate::model::tls::ProtocolVersion;
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::host_requirement::{Evidence, HostRequirement, Proof};
use crate::policy::outbound::Requirement;
use crate::policy::settings::OnTlsFailure;

use super::Explained;
use super::kinds::Kind;

/// Kinds of host that are told apart.
const KINDS_MAX: usize = 3;

/// What becomes of a message, as a participle.
pub const fn word(verdict: DeliveryVerdict) -> &'static str {
    match verdict {
        DeliveryVerdict::Deliver => "delivered",
        DeliveryVerdict::Defer => "deferred",
        DeliveryVerdict::Bounce => "bounced",
        DeliveryVerdict::Unknown => "unknown",
    }
}

/// One sentence, without its full stop.
pub fn headline(explained: &Explained<'_>) -> String {
    match (explained.verdict(), &explained.facts.failure) {
        (Some(end), _) if end.verdict == DeliveryVerdict::Deliver => "Would be delivered".to_owned(),
        (Some(end), _) if end.verdict == DeliveryVerdict::Unknown => "Depends on the certificate".to_owned(),
        (Some(end), _) => {
            let reason = end.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("Would be {}{reason}", word(end.verdict))
        }
        (None, Some(failure)) => format!("Would be deferred as long as this lasts: {}", failure.reason),
        (None, None) => open(explained),
    }
}

/// Where it depends on the session.
fn open(explained: &Explained<'_>) -> String {
    let kinds = explained.kinds();
    let usable: Vec<(&Kind, &HostRequirement)> =
        kinds.iter().filter_map(|kind| Some((kind, kind.requirement.as_ref().ok()?))).collect();
    let needs = |requirement: &HostRequirement| {
        let over = if requirement.session.permits_plaintext() { "" } else { "over " };
        format!("{over}{}", in_words(&requirement.session, &requirement.proofs))
    };
    let mut text = match usable.as_slice() {
        [(_, requirement)] if requirement.session.permits_plaintext() => {
            format!("Would be delivered: {}", needs(requirement))
        }
        [(_, requirement)] => format!("Would be delivered {}", needs(requirement)),
        several => {
            let to =
                |(kind, requirement): &(&Kind, &HostRequirement)| format!("to {} {}", kind.names(), needs(requirement));
            let told: Vec<String> = several.iter().take(KINDS_MAX).map(to).collect();
            format!("Would be delivered {}", told.join("; "))
        }
    };
    if usable.iter().all(|(_, requirement)| !requirement.session.permits_plaintext()) {
        text.push_str(&format!(", else {}", end(explained)));
    }
    let never = kinds.iter().filter_map(|kind| Some((kind, kind.requirement.as_ref().err()?)));
    for (kind, unmet) in never.take(KINDS_MAX) {
        text.push_str(&format!("; never to {} ({})", kind.names(), unmet.reason));
    }
    text
}

fn end(explained: &Explained<'_>) -> String {
    match &explained.decision.on_tls_failure.value {
        OnTlsFailure::Defer => "deferred".to_owned(),
        OnTlsFailure::Bounce => "bounced".to_owned(),
        OnTlsFailure::Route(name) => format!("deferred, and later sent by route \"{name}\""),
    }
}

/// What a session must be.
pub fn in_words(requirement: &Requirement, proofs: &[Proof]) -> String {
    if !requirement.permits_tls() {
        return "in plaintext, and never over TLS".to_owned();
    }
    if requirement.permits_plaintext() {
        return "over TLS where the host offers it, else in plaintext".to_owned();
    }
    let mut text = match requirement.min_version.as_ref().map(|version| version.value) {
        None => "TLS".to_owned(),
        Some(ProtocolVersion::Tls1_3) => "TLSv1.3".to_owned(),
        Some(version) => format!("{version} or later"),
    };
    let cipher = requirement.cipher.value.in_words();
    let by_tlsa = proofs.iter().any(|proof| matches!(proof.of, Evidence::Tlsa(_)));
    let by_name = proofs.iter().any(|proof| matches!(proof.of, Evidence::Names(_)));
    let identity = match (by_tlsa, by_name || !by_tlsa && requirement.wants_identity()) {
        (true, true) => Some("a certificate that proves the host and matches a TLSA record"),
        (true, false) => Some("a certificate that matches a TLSA record"),
        (false, true) => Some("a certificate that proves the host"),
        (false, false) => None,
    };
    let parts: Vec<&str> = cipher.into_iter().chain(identity).collect();
    if !parts.is_empty() {
        text.push_str(&format!(" with {}", parts.join(" and ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cipher::CipherGrade;
    use crate::policy::settings::{OutboundLayer, OutboundTls, Sourced};

    #[test]
    fn a_requirement_is_told_in_one_phrase() {
        let check = |tls, version, cipher, expected: &str| {
            let layer = OutboundLayer {
                tls: Some(Sourced::built_in(tls)),
                min_version: version,
                cipher: Some(Sourced::built_in(cipher)),
                ..OutboundLayer::default()
            };
            assert_eq!(in_words(&Requirement::of(&[&layer]), &[]), expected);
        };
        let version = |version| Some(Sourced::built_in(version));
        use OutboundTls::{Encrypt, Off, Opportunistic, Verify};
        check(Off, None, CipherGrade::Any, "in plaintext, and never over TLS");
        check(Opportunistic, None, CipherGrade::Any, "over TLS where the host offers it, else in plaintext");
        check(Opportunistic, version(ProtocolVersion::Tls1_2), CipherGrade::Any, "TLSv1.2 or later");
        check(Encrypt, None, CipherGrade::Strong, "TLS with a strong cipher");
        check(
            Verify,
            version(ProtocolVersion::Tls1_3),
            CipherGrade::Aead,
            "TLSv1.3 with a forward-secret AEAD cipher and a certificate that proves the host",
        );
    }
}
