//! `[tlsrpt]`: who reports on TLS to the domains that ask for it, and where others send their reports about us.

use std::ops::RangeInclusive;

use crate::mail::tlsrpt::message::Submitter;
use crate::model::address::Address;

use super::document::{Table, Value};
use super::{DkimConfig, TlsRptConfig, values};

/// Domains that are counted for in a day if nothing is written.
const DOMAINS_DEFAULT: u32 = 10_000;
/// As many as the table of counts has room for in the days that it is kept.
const DOMAINS: RangeInclusive<u32> = 1..=20_000;

pub(super) fn tlsrpt(mut table: Table<'_>) -> TlsRptConfig {
    let send = table.get("send").and_then(|value| value.flag());
    let organization = table.get("organization").and_then(|value| value.parse(values::free_text));
    let contact = table.get("contact");
    let submitter = contact.as_ref().and_then(|value| submitter(value, organization.as_ref().map(|at| &*at.value)));
    let dkim = table.get("dkim");
    let address = table.get("address").and_then(|value| value.parse(values::mailbox)).map(|at| at.value);
    let domains_max = table.get("max_domains").and_then(|value| value.number(DOMAINS));
    let is_off = send.as_ref().is_some_and(|send| !send.value);
    if let Some(send) = send.filter(|send| send.value && contact.is_none()) {
        let remedy = "write contact = \"tls-reports@example.org\", who is asked about the reports and sends them";
        send.place.error("reports need a contact", remedy);
    }
    if contact.is_none() && !is_off {
        for value in table.get("organization").iter().chain(&dkim) {
            value.place.error("has no effect: without a `contact` no reports are sent", "write contact, or remove it");
        }
    }
    let signs = dkim.is_some();
    let dkim = dkim.and_then(|value| dkim_key(&value, submitter.as_ref()));
    if let Some(value) = contact.filter(|_| !signs && !is_off) {
        let message = "reports go to HTTPS addresses alone: mail must be signed with DKIM (RFC 8460 section 5.3)";
        let remedy = "write dkim = { selector = \"NAME\", key = \"FILE\" }, and publish the public key";
        value.place.warn(message, remedy);
    }
    table.finish();
    TlsRptConfig {
        submitter: submitter.filter(|_| !is_off),
        dkim: dkim.filter(|_| !is_off),
        address,
        max_domains: domains_max.map_or(DOMAINS_DEFAULT, |at| at.value),
    }
}

/// Without a name the organization is the contact's domain.
fn submitter(contact: &Value<'_>, organization: Option<&str>) -> Option<Submitter> {
    let address: Address = contact.parse(values::mailbox)?.value;
    let name = organization.map_or_else(|| address.host().to_string(), str::to_owned);
    match Submitter::new(name, address) {
        Ok(submitter) => Some(submitter),
        Err(error) => {
            contact.place.error(error.to_string(), "write an address such as \"tls-reports@example.org\"");
            None
        }
    }
}

fn dkim_key(value: &Value<'_>, submitter: Option<&Submitter>) -> Option<DkimConfig> {
    let mut table = value.table()?;
    let domain = table.get("domain").and_then(|value| value.parse(values::domain));
    let selector = table.require("selector", "write the name of the key: selector = \"tls2027\"");
    let key = table.require("key", "write the PEM file of the private key, RSA of 2048 bits or more, or Ed25519");
    table.finish();
    let of_contact = submitter.map(Submitter::domain);
    if let (Some(domain), Some(of_contact)) = (&domain, of_contact)
        && domain.value != *of_contact
    {
        let message = format!("reports by {of_contact} must be signed by it (RFC 8460 section 5.3)");
        domain.place.error(message, format!("write domain = \"{of_contact}\", or leave it out"));
        return None;
    }
    Some(DkimConfig {
        domain: of_contact?.clone(),
        selector: selector.and_then(|value| value.parse(values::selector))?.value,
        source: key.as_ref()?.place.source(),
        key: key.and_then(|value| value.path())?,
    })
}
