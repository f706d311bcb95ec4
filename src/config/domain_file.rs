//! One domain file as written: each value typed and in its place, not yet held against the defaults.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::model::domain::DomainPattern;
use crate::policy::rules::{DomainPolicy, Recipients};

use super::delivery_table::OutboundTable;
use super::document::{Table, Value, Words};
use super::place::{At, Place};
use super::policy_tables::{self, InboundKeys, TlsKeys};
use super::route_table::RouteTable;
use super::timed_tables::{Keys, Timed};
use super::values::{self, Invalid};

const RECIPIENTS: &Words<RecipientsKey> = &[("any", Some(RecipientsKey::Any)), ("callout", None)];
/// What metrics call domains without a group of their own.
const RESERVED_GROUPS: [&str; 2] = ["default", "other"];

#[derive(Debug)]
pub(super) struct DomainFile<'a> {
    pub(super) place: Place<'a>,
    pub(super) patterns: Vec<At<'a, DomainPattern>>,
    pub(super) owner: Option<String>,
    pub(super) group: Option<At<'a, String>>,
    pub(super) hosted: Option<At<'a, bool>>,
    pub(super) recipients: Option<At<'a, RecipientsFrom>>,
    pub(super) inbound: Timed<'a, InboundKeys<'a>>,
    pub(super) outbound: OutboundTable<'a>,
    pub(super) route: Option<RouteTable<'a>>,
}

/// Where the local parts come from.
#[derive(Clone, Debug)]
pub(super) enum RecipientsFrom {
    Any,
    File(PathBuf),
    /// Written, but wrong.
    Unknown,
}

#[derive(Clone, Copy)]
enum RecipientsKey {
    Any,
}

impl<'a> DomainFile<'a> {
    pub(super) fn read(mut table: Table<'a>) -> Self {
        let domains = table.require("domains", "name the domains: domains = [\"bank.example\", \"*.bank.example\"]");
        let read = Self {
            place: table.place().clone(),
            patterns: domains
                .and_then(|value| value.list(|item| item.parse(values::domain_pattern)))
                .map_or_else(Vec::new, |at| at.value),
            owner: table.get("owner").and_then(|value| value.parse(values::free_text)).map(|at| at.value),
            group: table.get("group").and_then(|value| value.parse(group)),
            hosted: table.get("hosted").and_then(|value| value.flag()),
            recipients: table.get("recipients").map(|value| recipients(&value)),
            inbound: policy_tables::inbound(table.section("inbound")),
            outbound: OutboundTable::read(table.section("outbound")),
            route: RouteTable::read(table.section("route")),
        };
        table.finish();
        read
    }

    pub(super) fn is_hosted(&self) -> bool {
        self.hosted.as_ref().is_some_and(|hosted| hosted.value)
    }

    pub(super) fn policy(&self, recipients: Recipients) -> DomainPolicy {
        DomainPolicy {
            file: self.place.file.name.clone(),
            patterns: self.patterns.iter().map(|at| at.value.clone()).collect(),
            owner: self.owner.clone(),
            group: self.group.as_ref().map(|at| at.value.as_str().into()),
            hosted: self.is_hosted(),
            recipients,
            inbound: self.inbound.rules(InboundKeys::layer),
            outbound: self.outbound.rules.rules(TlsKeys::layer),
            delivery: self.outbound.delivery.layer(),
            route: self.route.as_ref().and_then(RouteTable::route),
        }
    }
}

fn group(text: &str) -> Result<String, Invalid> {
    if RESERVED_GROUPS.contains(&text) {
        return Err(Invalid::new(
            format!("\"{text}\" is what metrics call domains without a group"),
            "choose another name",
        ));
    }
    values::label(text)
}

/// In the place that the list or the word is named.
fn recipients<'a>(value: &Value<'a>) -> At<'a, RecipientsFrom> {
    let read = match value.value {
        DeValue::Table(_) => value.table().and_then(|mut table| {
            let file = table.require("file", "write recipients = { file = \"recipients.txt\" }");
            table.finish();
            file.and_then(|file| Some(file.with(RecipientsFrom::File(file.path()?))))
        }),
        _ => value.word(RECIPIENTS).map(|at| match at.value {
            RecipientsKey::Any => at.with(RecipientsFrom::Any),
        }),
    };
    read.unwrap_or_else(|| value.with(RecipientsFrom::Unknown))
}
