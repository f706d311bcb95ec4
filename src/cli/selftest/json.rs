//! The result for programs and auditors: everything that was tried, expected and said. Fields are added, never renamed.

use serde_json::{Value, json};

use crate::config::ListenerTls;
use crate::model::tls::TlsFacts;

use super::columns::Column;
use super::result::{Cell, Counts, Met, Row, Said};
use super::spread::{Attempt, Prospect};
use super::{Matrix, Report, Tested};

pub(super) fn answer(report: &Report<'_>) -> Value {
    let Counts { handshakes, verdicts, differences } = report.counts();
    let is_complete = report.tested.iter().all(|tested| tested.outcome.is_ok());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "time": report.time,
        "equal": differences == 0 && is_complete,
        "handshakes": handshakes,
        "verdicts": verdicts,
        "differences": differences,
        "config_file": report.config.file,
        "config": report.config.digest,
        "daemon_config": report.daemon_digest,
        "certificates_error": report.keys_unknown,
        "listeners": report.tested.iter().map(|tested| listener(report, tested)).collect::<Vec<_>>(),
    })
}

fn listener(report: &Report<'_>, tested: &Tested<'_>) -> Value {
    let (at, matrix) = (tested.target.listener, tested.outcome.as_ref().ok());
    let asks = |(index, column): (usize, &Column)| {
        let door = report.config.door(at);
        json!({
            "column": index + 1,
            "about": column.side.as_str(),
            "from": column.from,
            "to": column.to,
            "domains": column.covers,
            "asks": matrix.map(|matrix| column.asks(&door, matrix.client)),
        })
    };
    let columns = || matrix.into_iter().flat_map(|matrix| matrix.plan.columns.iter().enumerate());
    json!({
        "listener": at.name,
        "role": at.role.as_str(),
        "tls": at.tls.as_str(),
        "offer": Some(at.offer).filter(|_| at.tls != ListenerTls::Off),
        "address": tested.target.address,
        "error": tested.outcome.as_ref().err().map(ToString::to_string),
        "client": matrix.map(|matrix| json!({
            "ip": matrix.client,
            "trust": matrix.trust.as_str(),
            "answers_to_floor": at.role.answers_to_floor(matrix.trust),
            "certificate": Value::Null,
        })),
        "columns": columns().map(asks).collect::<Vec<_>>(),
        "policies_left_out": matrix.map(|matrix| matrix.plan.left_out),
        "rows": matrix.map(|matrix| matrix.rows.iter().map(|at| row(matrix, at)).collect::<Vec<_>>()),
    })
}

fn row(matrix: &Matrix, row: &Row) -> Value {
    let (version, suite) = match row.attempt {
        Attempt::Plaintext => (None, None),
        Attempt::Tls { version, suite } => (Some(version), Some(suite)),
    };
    let (handshake, failure, facts) = match &row.met {
        Met::Skipped => ("skipped", None, None),
        Met::Failed { reason, detail, .. } => ("failed", Some(json!({ "reason": reason, "detail": detail })), None),
        Met::Made { facts, .. } => ("made", None, facts.as_deref()),
    };
    let is_tls = version.is_some();
    let needs = if let Prospect::NoKey(key) = row.prospect { Some(key.as_str()) } else { None };
    let cells = matrix.plan.columns.iter().zip(row.cells()).enumerate();
    json!({
        "version": version,
        "cipher": suite.map(|suite| suite.name),
        "cipher_openssl": suite.map(|suite| suite.openssl),
        "handshake": is_tls.then_some(handshake),
        "handshake_expected": is_tls.then_some(row.prospect.as_str()),
        "needs_key": needs,
        "handshake_equal": row.handshake_is_equal(),
        "failure": failure,
        "negotiated": facts.map(negotiated),
        "verdicts": cells.map(|(index, (_, cell))| verdict(index + 1, cell)).collect::<Vec<_>>(),
    })
}

/// Which library served is the server's secret; ours does not matter.
fn negotiated(facts: &TlsFacts) -> Value {
    json!({
        "version": facts.version,
        "cipher": facts.cipher,
        "cipher_openssl": facts.cipher_openssl,
        "bits": facts.bits,
        "grade": facts.grade(),
        "group": facts.group,
    })
}

fn verdict(column: usize, cell: &Cell) -> Value {
    let said = |said: &Said| json!({ "stage": said.stage.as_str(), "reply": said.reply.to_string() });
    json!({
        "column": column,
        "verdict": cell.expected.verdict.as_str(),
        "expected": said(&cell.expected.said),
        "got": said(&cell.said),
        "equal": cell.is_equal(),
    })
}
