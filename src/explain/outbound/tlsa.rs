//! TLSA records among the facts: as they are published, so that they are judged anew wherever they are read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::domain::Domain;
use crate::model::tlsa::Tlsa;
use crate::policy::published::{Dane, UnusableRecords, UsableRecords};
use crate::policy::tlsa::{TlsaSet, classify};

/// The records of a host, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsaFact {
    /// The name below which they are.
    #[serde(default)]
    base: Option<Domain>,
    /// Names of which a certificate below an issuer must have one.
    #[serde(default)]
    names: Vec<Domain>,
    records: Vec<Record>,
}

/// `3 1 1 0a0b…`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Record(Tlsa);

impl TryFrom<String> for Record {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no TLSA record; write one as zone files do: 3 1 1 and hexadecimal digits");
        Tlsa::parse(&text).map(Self).ok_or_else(wrong)
    }
}

impl From<Record> for String {
    fn from(Record(record): Record) -> Self {
        record.to_string()
    }
}

impl TlsaFact {
    /// `None` where there are none.
    pub fn of(dane: &Dane) -> Option<Self> {
        let names = match dane {
            Dane::Inapplicable | Dane::Absent => return None,
            Dane::Unusable(_) => Vec::new(),
            Dane::Usable(records) => records.names.clone(),
        };
        let records = dane.judged().iter().map(|judged| Record(judged.record.clone())).collect();
        Some(Self { base: dane.base().cloned(), names, records })
    }

    /// What they say.
    pub fn dane(&self) -> Dane {
        let records: Vec<Tlsa> = self.records.iter().map(|Record(record)| record.clone()).collect();
        let base = self.base.clone();
        match classify(&records) {
            None => Dane::Absent,
            Some(TlsaSet::Unusable(judged)) => Dane::Unusable(Arc::new(UnusableRecords { base, judged })),
            Some(TlsaSet::Usable(records)) => {
                let names = self.names.clone();
                Dane::Usable(Arc::new(UsableRecords { records: Some(records), base, names }))
            }
        }
    }
}
