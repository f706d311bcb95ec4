//! `[audit]`: where the log and its key are, where checkpoints go, and how long what is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::journal::disk::lies_in;

use super::document::{Table, Value, Words};
use super::{AuditConfig, OnAuditFailure, SpoolConfig, values};

/// Where the key is if nothing is written.
pub const DEFAULT_AUDIT_KEY: &str = "/var/lib/gatepost/audit.key";
const DEFAULT_CHECKPOINT_EVERY: Duration = Duration::from_secs(5 * 60);

const ON_AUDIT_FAILURE: &Words<OnAuditFailure> =
    &[("refuse", Some(OnAuditFailure::Refuse)), ("alarm", Some(OnAuditFailure::Alarm))];

/// `spool` is where the messages are.
pub(super) fn audit(mut table: Table<'_>, spool: &SpoolConfig) -> AuditConfig {
    let path = table.require("path", "write path = \"/var/log/gatepost/audit\" under [audit]");
    let folder = path.as_ref().and_then(Value::path).unwrap_or_default();
    if let Some(value) = path.as_ref().filter(|_| folder == spool.path && folder != Path::new("")) {
        value.place.error("the audit log and the spool share a folder", "give each a folder of its own");
    } else if let Some(value) = path.filter(|_| !table.has("key") && is_below(Path::new(DEFAULT_AUDIT_KEY), &folder)) {
        let message = format!("{DEFAULT_AUDIT_KEY}, which signs checkpoints, would lie in the folder of the log");
        value.place.error(message, "name a file in another folder with `key`");
    }
    let key = outside(table.get("key"), &folder, "the key would lie beside what it proves");
    let file = outside(table.get("checkpoint_file"), &folder, "whoever changes the log could change this too");
    if let Some(value) = table.get("checkpoint_file").filter(|_| file.is_some() && file == key) {
        value.place.error("the checkpoints would be written over the key", "give each a file of its own");
    }
    let on_failure = table.get("on_failure").and_then(|value| value.word(ON_AUDIT_FAILURE));
    let every = table.get("checkpoint_every").and_then(|value| value.parse(values::timeout));
    let syslog = table.get("checkpoint_syslog").and_then(|value| value.parse(values::syslog));
    let webhook = table.get("checkpoint_webhook").and_then(|value| value.parse(values::webhook));
    let keep = table.get("keep").and_then(|value| value.parse(values::retention));
    let compress = table.get("compress").and_then(|value| value.flag());
    table.finish();
    AuditConfig {
        path: folder,
        key: key.unwrap_or_else(|| DEFAULT_AUDIT_KEY.into()),
        on_failure: on_failure.map_or(OnAuditFailure::Refuse, |at| at.value),
        checkpoint_every: every.map_or(DEFAULT_CHECKPOINT_EVERY, |at| at.value),
        checkpoint_file: file,
        checkpoint_syslog: syslog.map(|at| at.value),
        checkpoint_webhook: webhook.map(|at| at.value),
        keep: keep.map(|at| at.value),
        compress: compress.is_none_or(|at| at.value),
    }
}

/// A file that must not lie in the folder of the log.
fn outside(value: Option<Value<'_>>, folder: &Path, why: &str) -> Option<PathBuf> {
    let value = value?;
    let path = value.path()?;
    if is_below(&path, folder) {
        value.place.error(format!("the file is in the folder of the log: {why}"), "name a file in another folder");
        return None;
    }
    Some(path)
}

/// `folder` is empty where it is missing.
fn is_below(path: &Path, folder: &Path) -> bool {
    folder != Path::new("") && lies_in(path, folder)
}
