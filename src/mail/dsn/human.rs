//! The part of a notice for people: what happened, to whom, why, and what comes next.

use crate::mail::fold::paragraph;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use super::machine::diagnostic;
use super::{Action, Notice, Original, RecipientNotice};

/// In the order in which they are told.
const ACTIONS: [Action; 3] = [Action::Failed, Action::Delayed, Action::Relayed];

/// The subject, by the worst that happened.
pub(super) fn subject(recipients: &[RecipientNotice<'_>]) -> String {
    let worst = recipients.iter().map(|recipient| recipient.action).min().unwrap_or(Action::Failed);
    let what = match worst {
        Action::Failed => "Mail not delivered",
        Action::Delayed => "Mail delayed",
        Action::Relayed => "Mail passed on",
    };
    let mut concerned = recipients.iter().filter(|recipient| recipient.action == worst);
    match (concerned.next(), concerned.count()) {
        (Some(only), 0) if !only.recipient.address.needs_utf8() => format!("{what}: {}", only.recipient.address),
        (Some(_), 0) | (None, _) => what.to_owned(),
        (Some(_), others) => format!("{what}: {} recipients", others + 1),
    }
}

/// Who asks for the protection that is lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// What is written for the destination, or what it publishes.
    Policy,
    /// REQUIRETLS alone (RFC 8689).
    Sender,
}

/// Says in plain words what a TLS requirement has to do with it, if it has.
pub fn explanation_for(reason: Reason, asked_by: AskedBy) -> Option<String> {
    let why = match reason {
        Reason::NeedsRequireTls => {
            let asked = "You asked (REQUIRETLS) that every mail server on its way protects the message with";
            let lacking = "The receiving mail server does not promise that, so the message was not given to it.";
            return Some(format!("{asked} authenticated encryption. {lacking}"));
        }
        Reason::StarttlsNotSupported => "the receiving mail server does not offer encryption",
        Reason::CertificateHostMismatch => "the certificate of the receiving mail server is for another name",
        Reason::CertificateExpired => "the certificate of the receiving mail server is not valid at this time",
        Reason::CertificateNotTrusted => "the certificate of the receiving mail server is not trusted",
        Reason::ValidationFailure => {
            "no such connection could be made to a mail server that is confirmed as the right one"
        }
        Reason::TlsaInvalid => "the certificate of the receiving mail server is not the one that its domain announces",
        Reason::DnssecInvalid => {
            let no_answer = "The name servers of the receiving domain gave no answer that can be believed (DNSSEC)";
            return Some(format!("{no_answer}, so it is not known whether a connection there would be protected."));
        }
        Reason::DaneRequired => "the receiving domain does not announce the certificate of its mail server",
        Reason::StsPolicyFetchError => "the encryption policy that the receiving domain announces cannot be fetched",
        Reason::StsPolicyInvalid => "the encryption policy that the receiving domain announces is not valid",
        Reason::StsWebpkiInvalid => {
            "the encryption policy of the receiving domain is on a web server without a valid certificate"
        }
        Reason::VersionBelowMinimum | Reason::CipherBelowMinimum => {
            "the receiving mail server offers only outdated encryption"
        }
        _ => return None,
    };
    Some(match asked_by {
        AskedBy::Policy => format!("The policy for this destination requires an encrypted connection, and {why}."),
        AskedBy::Sender => {
            format!("You asked for a connection that is encrypted and authenticated (REQUIRETLS), and {why}.")
        }
    })
}

/// The same of mail that waits: until when it does, and what comes then.
pub fn waiting_for(
    reason: Reason,
    asked_by: AskedBy,
    until: Timestamp,
    other_route_from: Option<Timestamp>,
) -> Option<String> {
    let why = explanation_for(reason, asked_by)?;
    let waits = "Your message is held back until the connection can be protected as required.";
    let (by, then) = match other_route_from {
        Some(at) => (at, "it goes by another route, which is protected"),
        None => (until, "it is returned to you"),
    };
    Some(format!("{why} {waits} If that is not possible by {}, {then}.", by.rfc5322()))
}

/// The text. It may hold characters outside ASCII if an address does.
pub(super) fn text(notice: &Notice<'_>) -> String {
    let mut out = paragraph("", &format!("This is the mail relay {}.", notice.hostname));
    if let Some(explanation) = notice.explanation {
        out.push_str("\r\n");
        out.push_str(&paragraph("", explanation));
    }
    for action in ACTIONS {
        let concerned: Vec<_> = notice.recipients.iter().filter(|recipient| recipient.action == action).collect();
        if concerned.is_empty() {
            continue;
        }
        out.push_str("\r\n");
        let date = notice.envelope.received_at.rfc5322();
        out.push_str(&paragraph("", &format!("Your message of {date} {}", outcome(action))));
        for recipient in concerned {
            out.push_str("\r\n");
            out.push_str(&paragraph("  ", &format!("<{}>", recipient.recipient.address)));
            out.push_str(&paragraph("    ", &why(recipient)));
            out.push_str(&paragraph("    ", &next(recipient)));
        }
    }
    out.push_str("\r\n");
    out.push_str(&paragraph("", attached(notice)));
    out.push_str(&paragraph("", &format!("If you ask for help, name the message: {}", notice.envelope.id)));
    out
}

fn outcome(action: Action) -> &'static str {
    match action {
        Action::Failed => "could not be delivered to:",
        Action::Delayed => "has not been delivered yet to:",
        Action::Relayed => "was passed on to the next mail host for:",
    }
}

/// The words of the remote host where there are any, else ours.
fn why(notice: &RecipientNotice<'_>) -> String {
    let host = notice.remote.unwrap_or("the next mail host");
    match (notice.reply, notice.reason) {
        (Some(reply), Some(Reason::Expired)) => {
            format!("It was tried until its time was over. At last {host} said: {}", diagnostic(reply))
        }
        (Some(reply), _) => format!("{host} said: {}", diagnostic(reply)),
        (None, Some(reason)) => match notice.remote {
            Some(remote) => format!("{} (host {remote})", plain_words(reason)),
            None => plain_words(reason).to_owned(),
        },
        (None, None) => match notice.remote {
            Some(remote) => format!("{remote} took the message."),
            None => "The next mail host took the message.".to_owned(),
        },
    }
}

fn next(notice: &RecipientNotice<'_>) -> String {
    let end = notice.retry_until.map(|until| format!(" until {}", until.rfc5322())).unwrap_or_default();
    match (notice.action, notice.other_route_from) {
        (Action::Failed, _) => "It will not be tried again.".to_owned(),
        (Action::Delayed, Some(at)) => {
            let by = at.rfc5322();
            format!("It will be tried again until {by}, then by another route{end}. You need not send it again.")
        }
        (Action::Delayed, None) => format!("It will be tried again{end}. You need not send it again."),
        (Action::Relayed, _) => "That host sends no notices of delivery, so you may hear no more of it.".to_owned(),
    }
}

fn attached(notice: &Notice<'_>) -> &'static str {
    match notice.original {
        Original::Full(content) if notice.returns_all_of(content) => "Your message is attached.",
        Original::Full(_) | Original::Headers(_) => "The header of your message is attached.",
    }
}

fn plain_words(reason: Reason) -> &'static str {
    match reason {
        Reason::TlsRequired => "Encryption is required and was not available.",
        Reason::VersionBelowMinimum => "The encryption that the next host offers is too old for the policy.",
        Reason::CipherBelowMinimum => "The encryption that the next host offers is too weak for the policy.",
        Reason::ClientCertificate => "A client certificate is required and was not accepted.",
        Reason::RelayDenied => "Mail to this domain is not relayed here.",
        Reason::NoSuchUser => "There is no such recipient.",
        Reason::Loop => "The message has passed too many hosts; it probably goes in circles.",
        Reason::TooBig => "The message is larger than the next host takes.",
        Reason::TooMany => "A limit was exceeded.",
        Reason::ClientProtocol => "The message was handed over in a way that breaks the protocol.",
        Reason::NoSpace | Reason::SpoolFault | Reason::AuditFault => "This relay has a fault of its own.",
        Reason::StarttlsNotSupported => "Encryption is required and the next host does not offer it.",
        Reason::CertificateHostMismatch => "The certificate of the next host belongs to another name.",
        Reason::CertificateExpired => "The certificate of the next host is out of date.",
        Reason::CertificateNotTrusted => "The certificate of the next host is not trusted.",
        Reason::ValidationFailure => {
            "No encrypted connection could be made to a host that is confirmed as the right one."
        }
        Reason::TlsaInvalid => "The certificate of the next host is not the one that its domain announces.",
        Reason::DnssecInvalid => "The name servers of the domain gave no answer that can be believed.",
        Reason::DaneRequired => {
            "The domain does not announce the certificate of its mail host, as the policy requires."
        }
        Reason::StsPolicyFetchError => "The encryption policy that the domain announces cannot be fetched.",
        Reason::StsPolicyInvalid => "The encryption policy that the domain announces is not valid.",
        Reason::StsWebpkiInvalid => {
            "The encryption policy of the domain is on a web server without a valid certificate."
        }
        Reason::DnsFailure => "The name servers of the domain gave no usable answer.",
        Reason::NoSuchDomain => "The domain does not exist.",
        Reason::NoMailHost => "The domain has no host that takes mail.",
        Reason::NullMx => "The domain says that it takes no mail.",
        Reason::RoutesToSelf => "The mail hosts of the domain lead back to this relay.",
        Reason::TargetForbidden => "The mail host of the domain has an address that must not be connected to.",
        Reason::ConnectFailed => "The next host could not be reached.",
        Reason::ConnectTimeout | Reason::Timeout => "The next host did not answer in time.",
        Reason::ConnectionLost => "The connection to the next host broke.",
        Reason::ServerProtocol => "The next host answered with something that is no mail protocol.",
        Reason::RemoteDeferred => "The next host asked to try again later.",
        Reason::RemoteRefused => "The next host refused the message.",
        Reason::NeedsSmtpUtf8 => {
            "The message has international addresses or headers, which the next host does not take."
        }
        Reason::NeedsEightBit => "The message has 8-bit content, which the next host does not take.",
        Reason::NeedsRequireTls => {
            "The sender demands encryption on the whole way, which the next host does not promise."
        }
        Reason::Expired => "The message could not be delivered within its time.",
        Reason::NoRoute => "There is no way to deliver mail to this domain.",
        Reason::Shutdown => "This relay was stopped.",
        Reason::Operator => "The administrator of this mail system has returned the message.",
    }
}
