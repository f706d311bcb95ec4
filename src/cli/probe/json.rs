//! The result of a probe for programs. Fields are added here, never renamed.

use serde_json::{Value, json};

use crate::dns::Security;
use crate::dns::mx::RouteError;
use crate::facts::sts_plan::CachedPolicy;
use crate::model::reply::Reply;
use crate::model::tls::{ChainTrust, TlsFacts};
use crate::policy::in_force::Because;
use crate::policy::published::Learned;
use crate::probe::findings::Finding;
use crate::probe::host::{HostReport, HostVerdict, Other};
use crate::probe::judge::{Meets, Met};
use crate::probe::observe::{AddressSeen, End, VersionResult, VersionSeen};
use crate::probe::publication::{Publication, StsFound, TlsRptFound};
use crate::probe::session::Hello;
use crate::probe::walk::Trial;
use crate::tls::client::Peer;
use crate::tls::inspect::inspect;

use super::Report;

pub(super) fn answer(reports: &[Report]) -> Value {
    json!({ "probes": reports.iter().map(report).collect::<Vec<_>>() })
}

fn report(report: &Report) -> Value {
    json!({
        "target": report.asked,
        "domain": report.target.domain(),
        "at": report.at,
        "mx": mx(&report.publication),
        "failure": report.publication.hosts.as_ref().err().map(|error| failure(*error)),
        "mta_sts": mta_sts(&report.publication.mta_sts),
        "mta_sts_kept": kept(&report.kept),
        "tlsrpt": tlsrpt(&report.publication.tlsrpt),
        "learned": learned(&report.learned),
        "hosts": report.hosts.iter().map(host).collect::<Vec<_>>(),
        "meets": report.meets().map(|meets| self::meets(&meets)),
        "dnssec_is_off": report.dnssec_is_off,
        "route": report.other_route(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "exit": report.exit().code(),
    })
}

fn learned(learned: &Result<Option<Learned>, String>) -> Value {
    match learned {
        Ok(None) => Value::Null,
        Ok(Some(learned)) => json!({ "state": "in-force", "level": learned.as_str() }),
        Err(why) => json!({ "state": "unknown", "detail": why }),
    }
}

fn kept(kept: &Result<Option<CachedPolicy>, String>) -> Value {
    match kept {
        Ok(None) => Value::Null,
        Ok(Some(kept)) => json!({
            "state": "kept",
            "id": kept.id,
            "mode": kept.policy.mode.as_str(),
            "expires": kept.expires(),
            "mx": kept.policy.mx.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Err(why) => json!({ "state": "unknown", "detail": why }),
    }
}

const fn dnssec(security: Security) -> &'static str {
    match security {
        Security::Unknown => "unknown",
        Security::Insecure => "insecure",
        Security::Secure => "secure",
    }
}

fn mx(publication: &Publication) -> Value {
    let Ok(found) = &publication.hosts else { return Value::Null };
    let left_out = found.left_out.iter().map(|(preference, name)| json!({ "preference": preference, "name": name }));
    json!({
        "dnssec": found.mx.map(dnssec),
        "implicit": found.implicit,
        "left_out": left_out.collect::<Vec<_>>(),
    })
}

fn failure(error: RouteError) -> Value {
    json!({ "reason": error.reason(), "permanent": error.is_permanent(), "detail": error.to_string() })
}

fn mta_sts(found: &StsFound) -> Value {
    let stated = |state: &str, detail: Option<String>| json!({ "state": state, "detail": detail });
    match found {
        StsFound::Absent => stated("absent", None),
        StsFound::NotLookedUp(error) => stated("not-looked-up", Some(error.to_string())),
        StsFound::BadRecord(error) => stated("bad-record", Some(error.to_string())),
        StsFound::Announced { id, policy: Err(error) } => json!({
            "state": "unavailable",
            "id": id,
            "reason": error.reason(),
            "detail": error.to_string(),
        }),
        StsFound::Announced { id, policy: Ok(policy) } => json!({
            "state": "valid",
            "id": id,
            "mode": policy.mode.as_str(),
            "max_age": policy.max_age.as_secs(),
            "mx": policy.mx.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    }
}

fn tlsrpt(found: &TlsRptFound) -> Value {
    match found {
        TlsRptFound::Absent => json!({ "state": "absent" }),
        TlsRptFound::NotLookedUp(error) => json!({ "state": "not-looked-up", "detail": error.to_string() }),
        TlsRptFound::BadRecord(error) => json!({ "state": "bad-record", "detail": error.to_string() }),
        TlsRptFound::Wanted(wanted) => {
            let rua: Vec<String> = wanted.targets.iter().map(ToString::to_string).collect();
            json!({ "state": "valid", "rua": rua, "ignored": wanted.ignored })
        }
    }
}

fn host(host: &HostReport) -> Value {
    let alias = host.found.alias.as_ref();
    json!({
        "host": host.found.shown(),
        "name": host.found.name,
        "port": host.found.port,
        "preference": host.found.preference,
        "dnssec": dnssec(host.found.address_security),
        "name_is_trusted": host.found.name_is_trusted,
        "alias": alias.map(|alias| json!({ "end": alias.end, "dnssec": dnssec(alias.first) })),
        "name_suffices_for_verify": host.name_suffices(),
        "addresses": host.seen.addresses.iter().zip(&host.sessions).map(address).collect::<Vec<_>>(),
        "addresses_left_out": host.seen.addresses_left_out,
        "versions": host.seen.versions.iter().map(version).collect::<Vec<_>>(),
        "certificate": host.seen.secured().map(|secured| certificate(&secured.peer, host.chain)),
        "other_certificate": host.other.as_ref().map(other),
        "dane": dane(host),
        "mta_sts_lists_host": host.sts_lists_it,
        "meets": meets(&host.meets),
        "policy": host.policy.as_ref().map(policy),
        "walk": host.walked.as_ref().map(walk),
    })
}

/// The one that clients with other keys are shown.
fn other(other: &Other) -> Value {
    let mut value = certificate(&other.peer, Some(other.chain));
    if let Value::Object(fields) = &mut value {
        fields.insert("meets".to_owned(), meets(&other.meets));
    }
    value
}

fn address((seen, facts): (&AddressSeen, &Option<TlsFacts>)) -> Value {
    let secured = seen.secured();
    let (outcome, trouble) = match &seen.end {
        End::Tls(_) => ("tls", None),
        End::Plaintext(trouble) => ("plaintext", Some(trouble)),
        End::Nothing(trouble) => ("nothing", Some(trouble)),
    };
    let tries = seen.tries.iter().map(|(way, trouble)| {
        json!({ "stack": way.stack, "sni": way.sni, "reason": trouble.reason(), "detail": trouble.in_words() })
    });
    json!({
        "address": seen.address.ip(),
        "outcome": outcome,
        "reason": trouble.map(|trouble| trouble.reason()),
        "detail": trouble.map(|trouble| trouble.in_words()),
        "greeting": seen.greeting.as_ref().map(reply),
        "keywords": seen.hello.as_ref().map(keywords),
        "starttls": seen.hello.as_ref().map(|hello| hello.capabilities.starttls),
        "keywords_under_tls": secured.map(|secured| keywords(&secured.hello)),
        "requiretls": secured.map(|secured| secured.hello.capabilities.requiretls),
        "tls": facts,
        "tries": tries.collect::<Vec<_>>(),
    })
}

fn keywords(hello: &Hello) -> &[String] {
    &hello.keywords
}

fn reply(reply: &Reply) -> Value {
    Value::String(reply.to_string())
}

fn version(seen: &VersionSeen) -> Value {
    let (result, facts, detail) = match &seen.result {
        VersionResult::Spoken(facts) => ("spoken", Some(facts), None),
        VersionResult::Refused(failure) => ("refused", None, Some(failure.to_string())),
        VersionResult::NotBuilt => ("not-built", None, None),
        VersionResult::NotAsked(trouble) => ("not-asked", None, Some(trouble.in_words())),
    };
    json!({
        "version": seen.version,
        "result": result,
        "cipher": facts.map(|facts| &facts.cipher),
        "cipher_openssl": facts.map(|facts| &facts.cipher_openssl),
        "bits": facts.map(|facts| facts.bits),
        "grade": facts.map(|facts| facts.grade()),
        "group": facts.and_then(|facts| facts.group.as_ref()),
        "detail": detail,
    })
}

fn certificate(peer: &Peer, chain: Option<ChainTrust>) -> Value {
    let facts = peer.facts.peer.as_ref();
    let seen = peer.chain.first().and_then(inspect);
    json!({
        "subject": facts.map(|facts| &facts.subject),
        "names": facts.map(|facts| &facts.names),
        "names_omitted": facts.map(|facts| facts.names_omitted),
        "issuer": seen.as_ref().map(|seen| &seen.issuer),
        "self_issued": seen.as_ref().map(|seen| seen.is_self_issued),
        "not_before": seen.as_ref().map(|seen| seen.not_before),
        "not_after": seen.as_ref().map(|seen| seen.not_after),
        "key": seen.as_ref().map(|seen| &seen.key),
        "sha256": facts.map(|facts| &facts.sha256),
        "key_sha256": facts.map(|facts| &facts.key_sha256),
        "chain": chain,
        "chain_length": peer.chain.len(),
    })
}

fn dane(host: &HostReport) -> Value {
    let records = host.dane.judged().iter().zip(&host.tlsa_matches).map(|(judged, matches)| {
        let record = &judged.record;
        json!({
            "record": record.to_string(),
            "usable": judged.standing == crate::policy::tlsa::Standing::Usable,
            "standing": judged.standing.as_str(),
            "matches": matches,
        })
    });
    json!({
        "state": host.dane_state(),
        "base": host.dane.base(),
        "records": records.collect::<Vec<_>>(),
    })
}

fn meets(meets: &Meets) -> Value {
    let row = |(level, met): (&str, &Met)| {
        let told = match met {
            Met::No { reason, detail } => json!({ "met": met.as_str(), "reason": reason, "detail": detail }),
            Met::Yes | Met::NotApplicable => json!({ "met": met.as_str() }),
        };
        (level.to_owned(), told)
    };
    Value::Object(meets.rows().into_iter().map(row).collect())
}

fn policy(policy: &HostVerdict) -> Value {
    let row = |row: Because| json!({ "key": row.key, "value": row.value, "source": row.source.to_string() });
    let requirement = policy.requirement.as_ref().ok();
    let lacking = policy.verdict.as_ref().err();
    json!({
        "sends": lacking.is_none(),
        "reason": lacking.map(|(reason, _)| reason),
        "detail": lacking.map(|(_, detail)| detail),
        "rule": policy.rule.as_ref().map(ToString::to_string),
        "requirement": requirement.map(|own| own.because().into_iter().map(row).collect::<Vec<_>>()),
    })
}

fn walk(walked: &Trial) -> Value {
    let said = |asked: &str| walked.said.iter().find(|(command, _)| *command == asked).map(|(_, said)| reply(said));
    let lacking = walked.verdict.met.as_ref().err();
    let trouble = walked.trouble.as_ref().map(|trouble| trouble.in_words());
    json!({
        "mail": said("MAIL"),
        "rcpt": said("RCPT"),
        "reason": lacking.map(|(reason, _)| reason),
        "detail": lacking.map(|(_, detail)| detail.clone()).or(trouble),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({ "weight": finding.weight.as_str(), "word": finding.word, "host": finding.host, "text": finding.text })
}
