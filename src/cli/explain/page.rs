//! The explanation for people: the verdict, the way to it, and the policy in force with where each key was written.

mod misspelt;
mod outlook;
pub(super) mod policies;

use anstyle::Style;

use crate::cli::human::labelled;
use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::config::ListenerTls;
use crate::explain::inbound::Explained;
use crate::explain::inbound::scene::{Played, Scene, later};
use crate::model::human::{second, shown, wrap};
use crate::policy::assumed::ShownCertificate;
use crate::policy::inbound::{Judgement, ReportedBy, Stage, Subject, Verdict};
use crate::policy::relay::{Denial, Role, Trust};
use crate::policy::timed::Enforcement;

const INDENT: &str = "  ";

/// Ends with a line end.
pub(super) fn page(explained: &Explained<'_>) -> String {
    let Explained { scene, played, others, outlook } = explained;
    let mut page = headline(scene, played);
    page.push(String::new());
    for (label, text) in circumstances(scene, played) {
        page.extend(labelled(label, &text));
    }
    page.push(String::new());
    page.extend(way(scene, played));
    page.extend(policies::policies(scene, played));
    page.extend(sessions(scene, others));
    page.extend(outlook::lines(outlook));
    page.extend(notes(scene, others));
    page.push(String::new());
    page.join("\n")
}

/// The way to the verdict, and the policy that decided, for a page that says more than this.
pub(in crate::cli) fn short(explained: &Explained<'_>) -> Vec<String> {
    let Explained { scene, played, .. } = explained;
    let mut lines = way(scene, played);
    lines.extend(policies::policy(scene, played.transacted.weighing(), None));
    lines.extend(notes(scene, std::slice::from_ref(played)));
    lines
}

const fn word(verdict: Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::Accept => ("accepted", GOOD),
        Verdict::WouldRefuse => ("would refuse", ODD),
        Verdict::Defer => ("deferred", ODD),
        Verdict::Refuse => ("refused", BAD),
    }
}

pub(in crate::cli) const fn command(stage: Stage) -> &'static str {
    match stage {
        Stage::Mail => "MAIL FROM",
        Stage::Rcpt => "RCPT TO",
    }
}

/// The end, unless it cannot come to that.
fn headline(scene: &Scene<'_>, played: &Played) -> Vec<String> {
    let Some(why) = scene.no_session(played.tls.as_ref()) else { return verdict(played) };
    let mut lines: Vec<String> = wrap(&format!("No such session: {why}"), WIDTH_COLUMNS);
    lines.iter_mut().for_each(|line| *line = format!("{BAD}{line}{BAD:#}"));
    let instead = "It fails before any policy is asked. What the policy alone would say of it:";
    lines.push(String::new());
    lines.extend(wrap(instead, WIDTH_COLUMNS).into_iter().map(|line| format!("{DIM}{line}{DIM:#}")));
    lines.push(String::new());
    lines.extend(verdict(played));
    lines
}

/// The end, and the reply in full.
fn verdict(played: &Played) -> Vec<String> {
    let outcome = &played.outcome;
    let (_, style) = word(outcome.verdict);
    let at = command(outcome.stage);
    let end = match (outcome.verdict, outcome.reason) {
        (Verdict::Accept, _) => "Accepted".to_owned(),
        (Verdict::WouldRefuse, Some(reason)) => format!("Accepted, but would be refused if enforced: {reason}"),
        (Verdict::Defer, Some(reason)) => format!("Deferred at {at}: {reason}"),
        (_, Some(reason)) => format!("Refused at {at}: {reason}"),
        (_, None) => format!("Refused at {at}"),
    };
    let mut lines = vec![format!("{style}{end}{style:#}"), String::new()];
    lines.extend(indented(&played.reply().to_string()));
    if let Some(would_be) = &outcome.would_be {
        lines.extend([String::new(), format!("{DIM}{} would answer{DIM:#}", enforcing(played))]);
        lines.extend(indented(&would_be.to_string()));
    }
    lines
}

/// What would turn the report into a refusal.
fn enforcing(played: &Played) -> &'static str {
    match played.transacted.weighing().reported_by {
        Some(ReportedBy::Shadow) => "the shadow, if it were enforced,",
        Some(ReportedBy::Enforcement) => "enforcement = \"on\", with mode = \"enforce\",",
        Some(ReportedBy::Mode) | None => "mode = \"enforce\"",
    }
}

fn indented(text: &str) -> impl Iterator<Item = String> {
    wrap(text, WIDTH_COLUMNS - INDENT.len()).into_iter().map(|line| format!("{INDENT}{line}"))
}

fn circumstances(scene: &Scene<'_>, played: &Played) -> Vec<(&'static str, String)> {
    let from = scene.from.mailbox().map_or("<>, the null sender of bounces", |address| address.as_str());
    let standing = match played.trust {
        Trust::Stranger => "a stranger",
        Trust::Network => "trusted by [relay]",
        Trust::Certificate => "its certificate trusted by [relay]",
    };
    let assumed = if scene.assumed.client { " (assumed; --client names another)" } else { "" };
    let session = match &played.tls {
        Some(facts) => format!("{facts} ({}, {} bits)", facts.grade(), facts.bits),
        None => "plaintext".to_owned(),
    };
    let listener = scene.listener;
    let offer = match listener.tls {
        ListenerTls::Off => "no TLS".to_owned(),
        ListenerTls::Starttls | ListenerTls::Implicit => format!("offers {}", later(listener.offer)),
    };
    let shows = scene.certificate.map(|certificate| match certificate {
        ShownCertificate::Verified => "a certificate that is verified".to_owned(),
        ShownCertificate::Fingerprint(fingerprint) => {
            format!("a certificate or key whose SHA-256 is {}", fingerprint.hex())
        }
    });
    let mut rows = vec![
        ("from", from.to_owned()),
        ("to", scene.to.to_string()),
        ("listener", format!("{}, role {}, {offer}", listener.name, listener.role.as_str())),
        ("client", format!("{}, {standing}{assumed}", scene.client)),
    ];
    rows.extend(shows.map(|shows| ("shows", shows)));
    rows.push(("session", session));
    rows.extend((!scene.assumed.at).then(|| ("at", second(scene.at))));
    let enforcement = &scene.config.policies.enforcement;
    if let Enforcement::ReportUntil { until, source } = enforcement
        && enforcement.is_suspended(scene.at)
    {
        let text = format!("enforcement = \"report\" until {}, {source}: policy refuses nothing", second(*until));
        rows.push(("switch", text));
    }
    rows
}

/// Stage by stage, as far as the transaction comes.
fn way(scene: &Scene<'_>, played: &Played) -> Vec<String> {
    let mut lines = step(scene, "MAIL FROM", &played.transacted.mail);
    let Some(answer) = &played.transacted.rcpt else {
        lines.push(format!("{}{DIM}not reached{DIM:#}", stage_label("RCPT TO")));
        return lines;
    };
    if let Some(rcpt) = &answer.judgement {
        lines.extend(step(scene, "RCPT TO", rcpt));
        if !rcpt.passes() {
            return lines;
        }
    }
    let label = if answer.judgement.is_none() { "RCPT TO" } else { "" };
    let (style, text) = relaying(scene, played.trust, answer.denial);
    let wrapped = wrap(&text, WIDTH_COLUMNS - STAGE_COLUMNS).into_iter();
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    lines.extend(wrapped.zip(labels).map(|(line, label)| format!("{}{style}{line}{style:#}", stage_label(label))));
    lines
}

const STAGE_COLUMNS: usize = 11;

fn stage_label(label: &str) -> String {
    format!("{BOLD}{label:STAGE_COLUMNS$}{BOLD:#}")
}

fn step(scene: &Scene<'_>, label: &str, judgement: &Judgement) -> Vec<String> {
    let (verdict, style) = word(judgement.verdict);
    let mut lines = vec![format!("{}{style}{verdict}{style:#}  {}", stage_label(label), judgement.rule)];
    let blank = format!("{:STAGE_COLUMNS$}", "");
    for text in [why(judgement)].into_iter().chain(beside(scene, judgement)) {
        lines.extend(wrap(&text, WIDTH_COLUMNS - STAGE_COLUMNS).into_iter().map(|line| format!("{blank}{line}")));
    }
    lines
}

fn why(judgement: &Judgement) -> String {
    let whose = whose(judgement);
    let Some(reason) = judgement.reason else {
        return match judgement.exempt {
            Some(exempt) => format!("not judged: {}", exempt.as_str()),
            None => format!("the session meets what {whose} asks for"),
        };
    };
    let required = judgement.requirement();
    match judgement.reported_by {
        None => format!("{reason}: {whose} requires {required}"),
        Some(ReportedBy::Mode) => format!("{reason}: {whose} requires {required}; mode = \"report\" lets it pass"),
        Some(ReportedBy::Enforcement) => {
            format!("{reason}: {whose} requires {required}; the emergency switch lets it pass")
        }
        Some(ReportedBy::Shadow) => {
            format!("{reason}: the shadow of {whose} requires {required}; what is in force is met")
        }
    }
}

/// The exception that holds, and the answer of the shadow.
fn beside(scene: &Scene<'_>, judgement: &Judgement) -> Vec<String> {
    if judgement.exempt.is_some() {
        return Vec::new();
    }
    let exception = judgement.exception.as_deref().map(|terms| {
        let (until, source) = (terms.expires.brief(), &terms.source);
        format!("excepted until {until}, {source}: {} (owner: {})", shown(&terms.reason), shown(&terms.owner))
    });
    exception.into_iter().chain(beside_shadow(scene, judgement)).collect()
}

fn beside_shadow(scene: &Scene<'_>, judgement: &Judgement) -> Option<String> {
    let levels = scene.levels(judgement);
    let shadow = levels.shadow()?;
    let excepted = levels.excepted_of_shadow(&scene.asker());
    let is_excepted = shadow.iter().all(|row| excepted.contains(row));
    let above = || {
        let keys: Vec<_> = excepted.iter().map(|row| format!("{} = {}", row.key, shown(&row.value))).collect();
        format!("the exception stands above the shadow: {} is not asked for", keys.join(", "))
    };
    match (judgement.reported_by, judgement.reason) {
        (Some(ReportedBy::Shadow), _) => None,
        (_, Some(_)) => Some("the shadow is not asked where what is in force is not met".to_owned()),
        (_, None) if is_excepted => Some(above()),
        (_, None) if excepted.is_empty() => Some("the shadow is met too".to_owned()),
        (_, None) => Some(format!("{}; the rest of it is met", above())),
    }
}

fn whose(judgement: &Judgement) -> String {
    match &judgement.subject {
        Subject::Domain { name, .. } => name.to_string(),
        Subject::Default => "[default.inbound]".to_owned(),
        Subject::Listener => "the listener".to_owned(),
    }
}

fn relaying(scene: &Scene<'_>, trust: Trust, denial: Option<Denial>) -> (Style, String) {
    let listener = &scene.listener.name;
    let denied = match (denial, scene.listener.role) {
        (None, _) => {
            let text = match scene.hosting_file() {
                Some(file) => format!("{file} hosts the domain, so mail is taken for it"),
                None => "trusted clients may send to any domain here".to_owned(),
            };
            return (Style::new(), text);
        }
        (Some(Denial::NoSuchUser), _) => {
            let file = scene.hosting_file().unwrap_or_default();
            format!("the list of recipients of {file} does not have the address")
        }
        (Some(Denial::Relay), Role::Smarthost) => {
            "a listener of role smarthost takes mail from [relay] trusted only".to_owned()
        }
        (Some(Denial::Relay), Role::Submission) => {
            "a listener of role submission takes mail from clients with a certificate of [relay] trusted only"
                .to_owned()
        }
        (Some(Denial::Relay), Role::Mx) if trust > Trust::Stranger => {
            let text = "no file hosts the domain, and only relay = true lets trusted clients send elsewhere";
            format!("{text} through listener {listener}")
        }
        (Some(Denial::Relay), Role::Mx) => {
            "no file with hosted = true has the domain, and the client is not in [relay] trusted".to_owned()
        }
    };
    let reason = denial.map_or("", |denial| denial.reason().as_str());
    (BAD, format!("{reason}: {denied}"))
}

/// What every kind of session gets, side by side.
fn sessions(scene: &Scene<'_>, others: &[Played]) -> Vec<String> {
    if others.is_empty() {
        return Vec::new();
    }
    let columns = [
        Column::left("SESSION"),
        Column::left("CIPHER").shrinking(),
        Column::left("MAIL FROM"),
        Column::left("RCPT TO"),
        Column::left("ANSWER"),
    ];
    let rows: Vec<Vec<Cell>> = others.iter().map(|played| session_row(scene, played)).collect();
    let title = format!("{BOLD}What other sessions get{BOLD:#}");
    let table = lines(&columns, &rows, WIDTH_COLUMNS - INDENT.len()).into_iter();
    [String::new(), title].into_iter().chain(table.map(|line| format!("{INDENT}{line}"))).collect()
}

fn session_row(scene: &Scene<'_>, played: &Played) -> Vec<Cell> {
    let outcome = &played.outcome;
    let version = played.tls.as_ref().map_or("plaintext", |facts| facts.version.as_str());
    let cipher = played.tls.as_ref().map_or("-", |facts| &facts.cipher_openssl);
    if scene.no_session(played.tls.as_ref()).is_some() {
        return vec![version.into(), cipher.into(), "-".into(), "-".into(), Cell::styled("no session", DIM)];
    }
    let styled = |verdict| {
        let (word, style) = word(verdict);
        Cell::styled(word, style)
    };
    // What the relaying rules say counts at RCPT too.
    let at_rcpt = match (&played.transacted.rcpt, played.judged_rcpt()) {
        (None, _) => Cell::from("-"),
        (Some(_), Some(rcpt)) if outcome.verdict < Verdict::Defer => styled(rcpt.verdict),
        _ => styled(outcome.verdict),
    };
    let reply = played.reply();
    let code = reply.enhanced.map(|enhanced| format!(" {enhanced}")).unwrap_or_default();
    vec![
        version.into(),
        cipher.into(),
        styled(played.transacted.mail.verdict),
        at_rcpt,
        format!("{}{code}", reply.code).into(),
    ]
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// What the policy engine does not know, and which of the sessions cannot be.
fn notes(scene: &Scene<'_>, sessions: &[Played]) -> Vec<String> {
    let name = &scene.listener.name;
    let mut notes = Vec::new();
    let mut whys: Vec<String> = sessions.iter().filter_map(|played| scene.no_session(played.tls.as_ref())).collect();
    whys.dedup();
    notes.extend(whys.iter().map(|why| format!("{}: such a session fails before any policy is asked.", sentence(why))));
    if scene.certificate.is_some() && !scene.listener.request_client_certificate {
        let unasked = "asks for no client certificate (request_client_certificate), so none is shown there";
        notes.push(format!("Listener {name} {unasked}."));
    }
    notes.extend(misspelt::notes(scene));
    notes
        .iter()
        .flat_map(|note| std::iter::once(String::new()).chain(wrap(&format!("Note: {note}"), WIDTH_COLUMNS)))
        .collect()
}
