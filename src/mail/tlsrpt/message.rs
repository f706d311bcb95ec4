//! The mail that carries a report (RFC 8460 section 5.3): for people a summary, for programs the compressed JSON.

use crate::mail::dkim::{SignError, Signer};
use crate::mail::fold::{field, paragraph};
use crate::model::address::Address;
use crate::model::base64;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::CONTENT_TYPE_GZIP;
use super::report::{PolicyReport, Report, Summary};

/// Bytes that make one line of Base64 (RFC 2045 section 6.8: at most 76 letters).
const BASE64_LINE_BYTES: usize = 57;

/// Who reports: an organization, and a mailbox for questions whose domain stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitter {
    organization: String,
    contact: Address,
    domain: Domain,
}

/// Why somebody cannot submit reports. The operator's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitterError {
    #[error("the contact of TLS reports is an ASCII address at a named domain")]
    Contact,
}

impl Submitter {
    /// # Errors
    /// The contact has an address literal for a domain, or characters outside ASCII.
    pub fn new(organization: String, contact: Address) -> Result<Self, SubmitterError> {
        match contact.domain().filter(|_| !contact.needs_utf8()) {
            Some(domain) => Ok(Self { organization, domain: domain.clone(), contact }),
            None => Err(SubmitterError::Contact),
        }
    }

    pub fn organization(&self) -> &str {
        &self.organization
    }

    pub fn contact(&self) -> &Address {
        &self.contact
    }

    /// The value of `TLS-Report-Submitter`, which the DKIM signature has to be by.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

/// All that goes into the mail.
#[derive(Clone, Debug)]
pub struct ReportMail<'a> {
    pub report: &'a Report,
    /// The JSON of the report through [`super::gzip`].
    pub gzipped: &'a [u8],
    /// The domain that is reported about and that asked for it.
    pub domain: &'a Domain,
    pub submitter: &'a Submitter,
    pub to: &'a Address,
    /// The id of this mail.
    pub id: MessageId,
    pub now: Timestamp,
}

/// Why there is no mail. Trying again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("TLS reports must be signed by the domain of their contact, and the DKIM key is that of another")]
    Signer,
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Writes the mail, signed, with CRLF line ends and nothing above octet 127. It goes from the submitter's contact to
/// `to`, whatever TLS allows: `TLS-Required: No` says so to relays on its way (RFC 8689 section 3), and our own queue
/// must be told by the caller. Its sessions are not to be counted.
///
/// # Errors
/// See [`ComposeError`].
pub fn compose_mail(mail: &ReportMail<'_>, signer: &Signer) -> Result<Vec<u8>, ComposeError> {
    if signer.domain() != mail.submitter.domain() {
        return Err(ComposeError::Signer);
    }
    let boundary = format!("=_{}", mail.id);
    let mut message = header(mail, &boundary);
    message.push_str("\r\nThis is a report in MIME format.\r\n");
    message.push_str(&format!("\r\n--{boundary}\r\n"));
    message.push_str(&field("Content-Type", "text/plain; charset=us-ascii"));
    message.push_str(&field("Content-Transfer-Encoding", "7bit"));
    message.push_str("\r\n");
    message.push_str(&summary(mail));
    message.push_str(&format!("\r\n--{boundary}\r\n"));
    let name = mail.report.file_name(mail.submitter.domain(), mail.domain);
    message.push_str(&field("Content-Type", CONTENT_TYPE_GZIP));
    message.push_str(&field("Content-Transfer-Encoding", "base64"));
    message.push_str(&field("Content-Disposition", &format!("attachment; filename=\"{name}\"")));
    message.push_str("\r\n");
    for line in mail.gzipped.chunks(BASE64_LINE_BYTES) {
        base64::push(&mut message, line);
        message.push_str("\r\n");
    }
    message.push_str(&format!("\r\n--{boundary}--\r\n"));
    let signature = signer.sign(message.as_bytes(), mail.now)?;
    Ok([signature, message].concat().into_bytes())
}

fn header(mail: &ReportMail<'_>, boundary: &str) -> String {
    let (domain, submitter) = (mail.domain, mail.submitter.domain());
    let id = &mail.report.report_id;
    [
        field("From", &format!("<{}>", mail.submitter.contact())),
        field("To", &format!("<{}>", mail.to)),
        field("Subject", &format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{id}>")),
        field("Date", &mail.now.rfc5322()),
        field("Message-ID", &format!("<{}@{submitter}>", mail.id)),
        field("TLS-Report-Domain", domain.as_str()),
        field("TLS-Report-Submitter", submitter.as_str()),
        field("TLS-Required", "No"),
        // RFC 3834 section 5.
        field("Auto-Submitted", "auto-generated"),
        field("MIME-Version", "1.0"),
        field("Content-Type", &format!("multipart/report; report-type=\"tlsrpt\"; boundary=\"{boundary}\"")),
    ]
    .concat()
}

/// The numbers, for those who read mail without tools.
fn summary(mail: &ReportMail<'_>) -> String {
    let (domain, submitter) = (mail.domain, mail.submitter.domain());
    let day = mail.report.date_range.start_datetime.day();
    let mut out = paragraph("", &format!("This is an aggregate TLS report from {submitter}"));
    out.push_str("\r\n");
    out.push_str(&paragraph("", &format!("SMTP sessions with mail hosts of {domain} on {day} (UTC), by policy:")));
    for one in &mail.report.policies {
        let (policy, Summary { successes, failures }) = (&one.policy, one.summary);
        let name = format!("{} ({})", policy.policy_type.as_str(), policy.policy_domain);
        out.push_str("\r\n");
        out.push_str(&paragraph("  ", &format!("{name}: {successes} succeeded, {failures} failed")));
        for (result, count) in failures_by_type(one) {
            out.push_str(&paragraph("    ", &format!("{result}: {count}")));
        }
    }
    out.push_str("\r\n");
    let contact = mail.submitter.contact();
    let more = format!("The attached file has the details in the format of RFC 8460. Questions go to {contact}.");
    out.push_str(&paragraph("", &more));
    out
}

fn failures_by_type(policy: &PolicyReport) -> Vec<(&'static str, u64)> {
    let mut counts: Vec<(&'static str, u64)> = Vec::new();
    for details in &policy.failure_details {
        let (word, count) = (details.failure.result_type.as_str(), details.failed_session_count);
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => counts.push((word, count)),
        }
    }
    counts
}
