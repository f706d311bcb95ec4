//! What one response says about the name that was asked about: where its aliases lead, which records are there, and how
//! far all of that can be believed.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::super::{LookupError, Security};
use super::dname;

/// Aliases that are followed one after the other.
pub(super) const ALIASES_MAX: usize = 16;

/// A response that answers something.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) message: Message,
    pub(super) trust: Trust,
}

/// Who says how far a response can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// One word for the whole response.
    Whole(Security),
    /// Each record has its own proof; none counts for more than this.
    Proofs(Security),
}

/// The part of a response that matters.
#[derive(Debug, PartialEq)]
pub(super) struct Reading<'m> {
    /// Where the aliases lead; the asked name itself if it has none.
    pub(super) end: Name,
    /// The state of the asked name's own alias.
    pub(super) first: Option<Security>,
    /// Of the end, of the asked type. Without any, the end has to be asked about by itself.
    pub(super) records: Vec<&'m Record>,
    /// Of all aliases and records above: of the weakest one.
    pub(super) security: Security,
    /// The shortest lifetime of them.
    pub(super) ttl_secs: u32,
}

impl Reply {
    /// Reads the response to the question for records of type `kind` at `asked`.
    pub(super) fn read(&self, asked: &Name, kind: RecordType) -> Result<Reading<'_>, LookupError> {
        let mut reading = Reading {
            end: asked.clone(),
            first: None,
            records: Vec::new(),
            security: Security::Secure,
            ttl_secs: u32::MAX,
        };
        // One step more than aliases, for the records at the end of the longest chain.
        for _ in 0..=ALIASES_MAX {
            let records: Vec<&Record> = self.of(&reading.end, kind).collect();
            if let Some(security) = self.state(&records, &mut reading.ttl_secs)? {
                reading.security = reading.security.min(security);
                reading.records = records;
                return Ok(reading);
            }
            let alias: Vec<&Record> = self.of(&reading.end, RecordType::CNAME).take(1).collect();
            let Some(security) = self.state(&alias, &mut reading.ttl_secs)? else { return Ok(reading) };
            reading.first = reading.first.or(Some(security));
            reading.security = reading.security.min(security);
            if let Some(RData::CNAME(target)) = alias.first().map(|record| &record.data) {
                reading.end = target.0.clone();
            }
        }
        Err(LookupError::Malformed)
    }

    fn of(&self, owner: &Name, kind: RecordType) -> impl Iterator<Item = &Record> {
        let owner = owner.clone();
        self.message.answers.iter().filter(move |record| record.record_type() == kind && record.name == owner)
    }

    /// The state of a record set, which is that of its weakest record. `None` if it is empty.
    fn state(&self, records: &[&Record], ttl_secs: &mut u32) -> Result<Option<Security>, LookupError> {
        let mut weakest = None;
        for record in records {
            *ttl_secs = record.ttl.min(*ttl_secs);
            let security = match self.trust {
                Trust::Whole(security) => security,
                Trust::Proofs(most) => most.min(self.proved(record)?),
            };
            weakest = Some(weakest.unwrap_or(security).min(security));
        }
        Ok(weakest)
    }

    fn proved(&self, record: &Record) -> Result<Security, LookupError> {
        match record.proof {
            Proof::Secure if self.is_expanded(record) && !self.has_denial() => Err(LookupError::Bogus),
            Proof::Secure => Ok(Security::Secure),
            Proof::Insecure => Ok(Security::Insecure),
            Proof::Indeterminate => Ok(Security::Unknown),
            Proof::Bogus => self.made_of_dname(record),
        }
    }

    /// The state of an alias that has no valid signature: that of the DNAME record which it is made of.
    fn made_of_dname(&self, alias: &Record) -> Result<Security, LookupError> {
        let is_its_dname = |record: &&Record| record.record_type() == RecordType::DNAME && dname::makes(record, alias);
        let dname = self.message.answers.iter().find(is_its_dname);
        dname.map_or(Err(LookupError::Bogus), |dname| self.proved(dname))
    }

    /// Whether a record was made of a wildcard (RFC 4035 section 5.3.2).
    fn is_expanded(&self, record: &Record) -> bool {
        self.of(&record.name, RecordType::RRSIG).any(|signature| match &signature.data {
            RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => {
                let input = rrsig.input();
                input.type_covered == record.record_type() && input.num_labels < record.name.num_labels()
            }
            _ => false,
        })
    }

    /// Whether the response proves that something is not there. What is made of a wildcard needs the proof that the
    /// name itself is not (RFC 4035 section 5.3.4); the validator looks at that proof, unless unsigned records stand
    /// in its place.
    fn has_denial(&self) -> bool {
        self.message.authorities.iter().any(is_denial)
    }
}

/// A signed record that says what is not there.
pub(super) fn is_denial(record: &Record) -> bool {
    record.proof.is_secure() && matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3)
}

#[cfg(test)]
mod tests;
