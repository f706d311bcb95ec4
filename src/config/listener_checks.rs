//! Combinations of the keys of listeners, and with `[relay]` and `[[certificate]]`, that cannot be meant.

use crate::model::tls::{CertificateStack, ProtocolVersion};
use crate::policy::inbound::{SUBMISSION_CIPHER_MIN, SUBMISSION_VERSION_MIN};
use crate::policy::relay::Role;

use super::listener::Listener;
use super::main_file::MainFile;
use super::place::At;
use super::{ListenerTls, OFFER_MIN};

const REQUEST: &str = "write request_client_certificate = true";

pub(super) fn check_listener(main: &MainFile<'_>, listener: &Listener<'_>) {
    match listener.tls.as_ref().filter(|tls| tls.value == ListenerTls::Off) {
        Some(tls) => check_without_tls(listener, tls),
        None => check_with_tls(listener),
    }
    match listener.role.as_ref().map(|role| role.value) {
        Some(Role::Mx) => check_mx(main, listener),
        Some(Role::Smarthost) => check_smarthost(main, listener),
        Some(Role::Submission) => check_submission(main, listener),
        None => {}
    }
}

fn check_without_tls(listener: &Listener<'_>, tls: &At<'_, ListenerTls>) {
    if listener.is_role(Role::Submission) {
        let message = "role \"submission\" takes mail over TLS only";
        tls.place.error(message, "write \"starttls\" or \"implicit\"");
        return;
    }
    let request = listener.request.as_ref().filter(|request| request.value).map(|request| &request.place);
    let offer = listener.offer.as_ref().map(|offer| &offer.place);
    let client_ca = listener.client_ca.as_ref().map(|client_ca| &client_ca.place);
    for place in listener.floor_places().chain(offer).chain(request).chain(client_ca) {
        let off = tls.place.source();
        place.error(format!("cannot be met: {off} says tls = \"off\""), "remove one of the two");
    }
}

fn check_with_tls(listener: &Listener<'_>) {
    if let Some(offer) = &listener.offer {
        check_offer(listener, offer);
    }
    if let Some(client_ca) = listener.client_ca.as_ref().filter(|_| !listener.requests_certificate()) {
        let message = "has no effect: clients are not asked for a certificate";
        client_ca.place.warn(message, format!("{REQUEST} beside it, or remove it"));
    }
}

fn check_offer(listener: &Listener<'_>, offer: &At<'_, ProtocolVersion>) {
    let At { value, place } = offer;
    if *value < OFFER_MIN {
        place.error(
            format!("this build has no OpenSSL, so it offers {OFFER_MIN} and later"),
            format!("write \"{OFFER_MIN}\", or build with the cargo feature `legacy-tls` (it is on by default)"),
        );
    } else if *value == ProtocolVersion::Ssl3 && listener.is_role(Role::Mx) {
        place.warn(
            "SSLv3 is broken (RFC 7568): it protects against nobody who tries",
            "write \"TLSv1\", unless you know senders that would fall back to plaintext",
        );
    } else if *value == ProtocolVersion::Ssl3 && listener.role.is_some() {
        place.error("only role \"mx\" may offer SSLv3", "write \"TLSv1\" or later");
    } else if *value < SUBMISSION_VERSION_MIN && listener.is_role(Role::Submission) {
        let message = format!("role \"submission\" refuses mail below {SUBMISSION_VERSION_MIN}, whatever is offered");
        place.warn(message, format!("write \"{SUBMISSION_VERSION_MIN}\""));
    }
}

fn check_mx(main: &MainFile<'_>, listener: &Listener<'_>) {
    if listener.speaks_tls() && !listener.relays() {
        for place in listener.floor_places() {
            place.warn(
                "role \"mx\" has a floor for trusted clients only: strangers answer to the domains' policies",
                "write it under [inbound] of the domain, or under [default.inbound], if it is meant for all",
            );
        }
    }
    if let Some(relay) = listener.relay.as_ref().filter(|relay| relay.value) {
        check_trust(main, listener, relay, "nobody may relay: there are no trusted clients");
    }
}

fn check_smarthost(main: &MainFile<'_>, listener: &Listener<'_>) {
    if let Some(relay) = &listener.relay {
        relay.place.error("only role \"mx\" has this key: a smarthost always relays", "remove it");
    }
    if let Some(role) = &listener.role {
        check_trust(main, listener, role, "a smarthost without trusted clients takes no mail");
    }
}

/// Whether anybody can be trusted at this listener.
fn check_trust<T>(main: &MainFile<'_>, listener: &Listener<'_>, at: &At<'_, T>, nobody: &str) {
    if main.trusted.is_empty() {
        at.place.error(nobody, "name networks or certificates in [relay] trusted");
    } else if main.trusted.networks.is_empty() && !listener.requests_certificate() {
        let message = "[relay] trusts certificates only, and this listener asks for none";
        at.place.error(message, format!("{REQUEST} here, or name networks in [relay] trusted"));
    }
}

fn check_submission(main: &MainFile<'_>, listener: &Listener<'_>) {
    if let Some(relay) = &listener.relay {
        relay.place.error("only role \"mx\" has this key: a submission listener always relays", "remove it");
    }
    if let Some(min_version) = listener.min_version.as_ref().filter(|at| at.value < SUBMISSION_VERSION_MIN) {
        let message =
            format!("role \"submission\" asks for {SUBMISSION_VERSION_MIN} at least, which cannot be lowered");
        min_version.place.error(message, format!("write \"{SUBMISSION_VERSION_MIN}\" or later, or remove it"));
    }
    if let Some(cipher) = listener.cipher.as_ref().filter(|at| at.value < SUBMISSION_CIPHER_MIN) {
        let message =
            format!("role \"submission\" asks for \"{SUBMISSION_CIPHER_MIN}\" at least, which cannot be lowered");
        cipher.place.error(message, format!("write \"{SUBMISSION_CIPHER_MIN}\" or \"aead\", or remove it"));
    }
    let Some(role) = &listener.role else { return };
    if listener.speaks_tls() && !listener.requests_certificate() {
        let message = "nobody can log in: a certificate is the only credential so far, and this listener asks for none";
        role.place.error(message, format!("{REQUEST} beside it"));
    }
    if main.trusted.certificates.is_empty() {
        let message = "nobody can log in: [relay] trusts no certificate, and networks do not count here";
        role.place.error(message, "name certificates in [relay] trusted: \"sha256:...\"");
    }
}

/// Certificates by which clients are trusted, where no listener asks for one.
pub(super) fn check_trusted_certificates(main: &MainFile<'_>) {
    if main.listeners.iter().any(Listener::requests_certificate) {
        return;
    }
    if let Some(first) = main.trusted.certificates.first() {
        let message = "nobody can show this certificate: no listener asks for one";
        first.place.error(message, format!("{REQUEST} in the [[listener]] of these clients, or remove it"));
    }
}

/// Old clients alone cannot be all that there is a certificate for.
pub(super) fn check_stacks(main: &MainFile<'_>) {
    let legacy =
        |certificate: &&super::main_file::Certificate<'_>| certificate.config.stack == CertificateStack::Legacy;
    let Some(first) = main.certificates.iter().find(legacy) else { return };
    let Some(place) = &first.stack else { return };
    if main.certificates.iter().all(|certificate| legacy(&certificate)) {
        let message = "every [[certificate]] is for old clients only, so there is none for all others";
        place.error(message, "add one with stack = \"any\"");
    } else if OFFER_MIN > ProtocolVersion::Ssl3 {
        let message = "has no effect: this build has no OpenSSL, which serves old clients";
        place.warn(message, "remove this [[certificate]], or build with the cargo feature `legacy-tls`");
    }
}
