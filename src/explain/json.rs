//! What both directions say to programs alike. Fields are added here, never renamed.

use serde_json::{Value, json};

use crate::model::tls::TlsFacts;
use crate::policy::in_force::Because;
use crate::policy::timed::Terms;

use super::set_by::SetBy;

pub(super) fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

pub(super) fn tls(facts: &TlsFacts) -> Value {
    json!({
        "version": facts.version,
        "cipher": facts.cipher,
        "cipher_openssl": facts.cipher_openssl,
        "bits": facts.bits,
        "grade": facts.grade(),
    })
}

pub(super) fn set(row: &Because, by: SetBy) -> Value {
    json!({ "key": row.key, "value": row.value, "source": row.source.to_string(), "set_by": by.as_str() })
}

pub(super) fn written_rows(rows: &[Because]) -> Vec<Value> {
    let row = |row: &Because| json!({ "key": row.key, "value": row.value, "source": row.source.to_string() });
    rows.iter().map(row).collect()
}

/// As audit records have it.
pub(super) fn exception(terms: &Terms) -> Value {
    json!({
        "rule": terms.source.to_string(),
        "owner": terms.owner,
        "reason": terms.reason,
        "expires": terms.expires,
    })
}
