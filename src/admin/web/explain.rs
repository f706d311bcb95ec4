//! One case explained by the daemon's own engine, from its configuration and from what it keeps. Nothing is looked up.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::audit::told::{list, text};
use crate::clock;
use crate::config::Config;
use crate::explain::held::{Form, Held, Way};
use crate::explain::session::Session;
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::human::shown as safe;
use crate::model::tls::ProtocolVersion;

use super::frame::{Frame, Tab};
use super::{Site, shown, words};

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    direction: String,
    from: String,
    to: String,
    /// A protocol version, `plaintext`, or nothing for all.
    session: String,
    cipher: String,
    listener: String,
    client: String,
}

/// What cannot be asked, at which field, and what to write instead.
struct Wrong {
    field: &'static str,
    what: String,
}

pub(super) async fn page(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Response {
    let config = (site.config)();
    let is_asked = !asked.from.is_empty() || !asked.to.is_empty();
    let answer = if is_asked && !asked.to.is_empty() { Some(answer(&site, &asked, &config)) } else { None };
    let body = html! {
        h1 { "Explain one case" }
        section.card {
            @if let Some(Err(wrong)) = &answer {
                div.note.bad role="alert" { p { strong { (wrong.field) ": " } (wrong.what) } }
            }
            (form(&asked, &config))
        }
        @if let Some(Ok(answer)) = &answer { (explanation(answer)) }
    };
    shown(&site, &Frame { title: "Explain", tab: Some(Tab::Policy), is_live: false }, &body)
}

/// The form as it was filled in.
pub(super) fn form(asked: &Asked, config: &Config) -> Markup {
    let versions = ProtocolVersion::ALL.into_iter().map(ProtocolVersion::as_str).rev();
    let is_outbound = asked.direction == "outbound";
    html! {
        form.ask action="/policy/explain" method="get" {
            label { "Direction" select name="direction" {
                option value="inbound" selected[!is_outbound] { "Mail that comes in" }
                option value="outbound" selected[is_outbound] { "Mail that goes out" }
            } }
            (field("From", "from", &asked.from, "a@partner.example"))
            (field("To", "to", &asked.to, "b@bank.example"))
            label { "Session" select name="session" {
                option value="" selected[asked.session.is_empty()] { "every kind" }
                @for version in versions { option value=(version) selected[asked.session == version] { (version) } }
                option value="plaintext" selected[asked.session == "plaintext"] { "plaintext" }
            } }
            (field("Cipher suite, optional", "cipher", &asked.cipher, ""))
            label { "Listener, for mail in" select name="listener" {
                option value="" { "the usual one" }
                @for listener in &config.listeners {
                    option value=(listener.name) selected[asked.listener == listener.name] { (listener.name) }
                }
            } }
            (field("Client address, optional", "client", &asked.client, ""))
            div { button.main type="submit" { "Explain" } }
        }
    }
}

fn field(label: &str, name: &str, value: &str, example: &str) -> Markup {
    html! {
        label { (label)
            input name=(name) value=(value) placeholder=(example) spellcheck="false" autocapitalize="off"
                required[name == "to"];
        }
    }
}

fn answer(site: &Site, asked: &Asked, config: &Config) -> Result<Value, Wrong> {
    let wrong = |field, what: String| Wrong { field, what };
    let from = match asked.from.trim() {
        "" | "<>" => ReversePath::Null,
        from => {
            let address = Address::parse(from, Charset::Utf8).map_err(|error| wrong("From", error.to_string()))?;
            ReversePath::Mailbox(address)
        }
    };
    let to = Address::parse(asked.to.trim(), Charset::Utf8).map_err(|error| wrong("To", error.to_string()))?;
    let client = match asked.client.trim() {
        "" => None,
        client => {
            Some(client.parse().map_err(|_| wrong("Client", "write an IP address, such as 192.0.2.1".to_owned()))?)
        }
    };
    let session = session(asked)?;
    let now = clock::timestamp();
    let is_outbound = asked.direction == "outbound";
    let listener = Some(asked.listener.as_str()).filter(|name| !name.is_empty());
    let mut form =
        Form { config, from: &from, to: &to, client, session, at: None, now, way: Way::Inbound { listener } };
    if is_outbound {
        let facts = &site.desk.outbound.facts;
        let kept = |domain| facts.sts.cached(&domain).map(|policy| (domain, policy));
        let policies = form.policy_domains().into_iter().filter_map(kept).collect();
        let learned = to.domain().and_then(|domain| facts.learned.requirement(domain));
        form.way = Way::Outbound(Held { policies, learned });
    }
    let explained = form.explain().map_err(|error| wrong("Listener", format!("{error}; {}", error.remedy())))?;
    Ok(explained.json())
}

fn session(asked: &Asked) -> Result<Session, Wrong> {
    match asked.session.as_str() {
        "" => Ok(Session::Any),
        "plaintext" => Ok(Session::Plaintext),
        version => {
            let cipher = Some(asked.cipher.trim()).filter(|cipher| !cipher.is_empty());
            let unknown = || Wrong { field: "Session", what: "no such protocol version".to_owned() };
            let version = ProtocolVersion::parse(version).ok_or_else(unknown)?;
            let refused = |error: crate::explain::error::QuestionError| Wrong {
                field: "Cipher suite",
                what: format!("{error}; {}", error.remedy()),
            };
            Session::of(version, cipher).map_err(refused)
        }
    }
}

/// The answer that `policy explain --json` prints, for people.
fn explanation(answer: &Value) -> Markup {
    html! {
        section.card aria-live="polite" {
            header { h2 { "Answer" } }
            (headline(answer))
        }
        @for stage in array(answer, "/stages") { (stage_card(stage)) }
        @if answer.pointer("/requirement").is_some() { (requirement(answer)) }
        @let (sessions, hosts) = (array(answer, "/sessions"), array(answer, "/sessions_by_host"));
        @if hosts.is_empty() && !sessions.is_empty() { (compared("Every kind of session", sessions)) }
        @for host in hosts { (by_host(host)) }
        @let coming = array(answer, "/to_come");
        @if !coming.is_empty() { (to_come(coming)) }
    }
}

fn headline(answer: &Value) -> Markup {
    let facts = [
        ("Verdict", "/verdict"),
        ("Reply", "/reply"),
        ("Would be", "/would_be_reply"),
        ("Reason", "/reason"),
        ("By", "/rule"),
        ("At", "/stage"),
        ("Only reported, by", "/reported_by"),
        ("No such session", "/no_session"),
        ("Session", "/tls/version"),
        ("Cipher suite", "/tls/cipher_openssl"),
        ("Session", "/session/tls/version"),
        ("Route", "/route"),
        ("Status of the bounce", "/notice/status"),
    ];
    let unasked = list(answer, "/unasked");
    html! {
        dl.facts {
            @for (label, pointer) in facts {
                @if let Some(value) = text(answer, pointer) {
                    dt { (label) }
                    dd { @if pointer == "/verdict" { (words::verdict(value)) } @else { (safe(value)) } }
                }
            }
            @if text(answer, "/verdict").is_none() { dt { "Verdict" } dd { "It depends on the session: see below." } }
        }
        @if !unasked.is_empty() {
            h3 { "Left open, because nothing is looked up here" }
            ul { @for line in unasked { li { (safe(line)) } } }
        }
    }
}

fn stage_card(stage: &Value) -> Markup {
    let name = text(stage, "/stage").unwrap_or_default();
    let subject = match text(stage, "/subject") {
        Some("default") => "the defaults".to_owned(),
        Some(other) => format!("the {other}"),
        None => text(stage, "/subject/domain").unwrap_or_default().to_owned(),
    };
    html! {
        section.card {
            header {
                h2 { "At " (name.to_uppercase()) ": " (safe(&subject)) }
                p.lead { (words::verdict(text(stage, "/verdict").unwrap_or_default())) }
            }
            (settings(array(stage, "/policy")))
        }
    }
}

fn requirement(answer: &Value) -> Markup {
    let hosts = array(answer, "/next_hop/hosts");
    html! {
        section.card {
            header {
                h2 { "What a session must meet" }
                p.lead { (text(answer, "/requirement/level").unwrap_or_default()) }
            }
            (settings(array(answer, "/requirement/policy")))
            @if !hosts.is_empty() {
                h3 { "Next hop" }
                ul { @for host in hosts { li {
                    (safe(text(host, "/name").unwrap_or("a host whose name is not known")))
                    @for line in list(host, "/found") { br; span.lead { (safe(line)) } }
                } } }
            }
        }
    }
}

fn settings(rows: &[Value]) -> Markup {
    html! {
        @if rows.is_empty() { p.empty { "Nothing is asked for." } }
        @else {
            table.stack {
                (words::columns(&["Key", "Value", "Set by"]))
                tbody { @for row in rows {
                    tr {
                        th scope="row" { code { (text(row, "/key").unwrap_or_default()) } }
                        td data-name="Value" { (safe(text(row, "/value").unwrap_or_default())) }
                        td data-name="Set by" {
                            @let source = text(row, "/source").unwrap_or_default();
                            @if source == "built-in" { "built in" } @else { code { (source) } }
                        }
                    }
                } }
            }
        }
    }
}

fn compared(title: &str, sessions: &[Value]) -> Markup {
    html! {
        section.card {
            header { h2 { (title) } }
            table.stack {
                (words::columns(&["Session", "Verdict", "Reply or reason"]))
                tbody { @for one in sessions {
                    tr {
                        th scope="row" { (text(one, "/tls/version").unwrap_or("plaintext")) }
                        td data-name="Verdict" { (words::verdict(text(one, "/verdict").unwrap_or_default())) }
                        td data-name="Answer" {
                            @let said = ["/reply", "/no_session", "/reason"].into_iter().find_map(|at| text(one, at));
                            (safe(said.unwrap_or_default()))
                        }
                    }
                } }
            }
        }
    }
}

fn by_host(host: &Value) -> Markup {
    let names = list(host, "/hosts").join(", ");
    let title = if names.is_empty() { "Every kind of session".to_owned() } else { format!("Sessions with {names}") };
    compared(&title, array(host, "/sessions"))
}

fn to_come(coming: &[Value]) -> Markup {
    html! {
        section.card {
            header { h2 { "To come" } }
            table.stack {
                (words::columns(&["From", "What changes", "Verdict then"]))
                tbody { @for one in coming {
                    tr {
                        th scope="row" { (text(one, "/at").unwrap_or_default().get(..10).unwrap_or_default()) }
                        td data-name="Changes" {
                            @let rule = text(one, "/rule").or_else(|| text(one, "/changes/0/rule"));
                            code { (rule.unwrap_or_default()) }
                        }
                        td data-name="Then" { (words::verdict(text(one, "/verdict").unwrap_or("open"))) }
                    }
                } }
            }
        }
    }
}

fn array<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
