//! What an operator can do about a failure, by its reason.

use crate::admin::protocol::QueueRecipient;
use crate::model::reason::Reason;

/// One sentence; `None` where the failure says it all.
pub(super) fn advice(reason: Reason, recipient: &QueueRecipient) -> Option<String> {
    let domain = recipient.address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let probe = probe(recipient, domain);
    let is_421 = recipient.detail.as_deref().is_some_and(|detail| detail.starts_with("421"));
    let text = match reason {
        Reason::RemoteDeferred if is_421 => {
            "The host takes no more from us just now; a lower `concurrency` of its policy may suit it.".to_owned()
        }
        Reason::DnsFailure => format!("`dig MX {domain}` asks the name servers yourself."),
        Reason::DnssecInvalid => {
            format!("Either the zone of {domain} or our resolver is broken: `delv MX {domain}` tells.")
        }
        Reason::TargetForbidden => "[dns].allow_targets or a [[route]] permits that address.".to_owned(),
        Reason::ConnectFailed => {
            "The host turns connections away: its mail service is down, or a firewall rejects us.".to_owned()
        }
        Reason::ConnectTimeout => {
            "Nothing answers there: the host is down, or a firewall drops our connections.".to_owned()
        }
        Reason::Timeout => "The host takes connections and falls silent: it is overloaded, or it stalls us.".to_owned(),
        Reason::ConnectionLost => "The host hung up; its operator can tell why.".to_owned(),
        Reason::ServerProtocol => format!("What answers there does not speak SMTP properly: {probe} shows it."),
        Reason::RemoteDeferred => {
            "Greylisting passes by itself; anything else the host's operator can explain.".to_owned()
        }
        Reason::StarttlsNotSupported => format!("The host has to offer TLS: {probe} shows what it offers."),
        Reason::CertificateHostMismatch => {
            format!("{probe} shows the names in its certificate; `match` can permit one.")
        }
        Reason::CertificateExpired => format!("Its operator has to renew the certificate: {probe} shows it."),
        Reason::CertificateNotTrusted => {
            format!("{probe} shows its chain; `fingerprints` can permit it by itself.")
        }
        Reason::ValidationFailure => format!("{probe} shows what fails."),
        Reason::TlsaInvalid => {
            format!("Its operator has to make TLSA records and certificate agree: {probe} shows both.")
        }
        Reason::DaneRequired => "It has no TLSA record under DNSSEC; dane = \"auto\" does without.".to_owned(),
        Reason::StsPolicyFetchError | Reason::StsPolicyInvalid => {
            format!("Look at https://mta-sts.{domain}/.well-known/mta-sts.txt.")
        }
        Reason::StsWebpkiInvalid => format!("The certificate of https://mta-sts.{domain} has to be mended."),
        Reason::VersionBelowMinimum | Reason::CipherBelowMinimum => {
            format!("The host does no better TLS than that: {probe} shows what it can.")
        }
        Reason::NeedsRequireTls => {
            "The sender asks for TLS on every hop (REQUIRETLS), and no host there promises that.".to_owned()
        }
        Reason::NoSpace | Reason::SpoolFault | Reason::AuditFault => {
            "The trouble is on this side: `gatepost status` tells more.".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

/// The domain where its own hosts are tried, else the host that was.
fn probe(recipient: &QueueRecipient, domain: &str) -> String {
    let is_own = recipient.destination.as_deref().is_none_or(|destination| destination == domain);
    let target = match recipient.mx.as_deref().filter(|mx| !is_own && !mx.starts_with('[')) {
        Some(mx) => format!("{mx}:25"),
        None => domain.to_owned(),
    };
    format!("`gatepost probe {target}`")
}
