//! The report for people: what is carried over, what differs, and what has no equivalent.

use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD, WIDTH_COLUMNS};
use crate::model::human::{count, shown, wrap};

use super::Answer;
use super::report::{Carried, Differs, Effect, Missing};

/// Domains and places that one difference names; the rest is in the JSON.
const ABOUT_MAX: usize = 6;
/// Settings of one reason that are named.
const SETTINGS_MAX: usize = 40;
const INDENT: &str = "    ";

/// Ends with a line end.
pub(super) fn page(answer: &Answer<'_>) -> String {
    let mut page = Vec::new();
    page.push(format!("{GOOD}Carried over{GOOD:#}"));
    page.extend(answer.carried.iter().flat_map(carried));
    page.push(String::new());
    page.push(format!("{ODD}Carried over with a difference{ODD:#}"));
    page.extend(answer.differs.iter().flat_map(differs));
    page.extend(answer.differs.is_empty().then(|| "  nothing".to_owned()));
    page.push(String::new());
    page.push(format!("{BAD}No equivalent{BAD:#}"));
    page.extend(missing(answer.missing));
    page.extend(answer.missing.is_empty().then(|| "  nothing".to_owned()));
    page.push(String::new());
    page.extend(summary(answer));
    page.push(String::new());
    page.join("\n")
}

/// `  smtp_tls_security_level = may (main.cf:12)`, and in a line of its own what it becomes.
fn carried(one: &Carried) -> Vec<String> {
    let mut lines = indented(&with_place(&one.what, &one.place), 2);
    lines.extend(indented(&format!("-> {}", one.becomes), 4).into_iter().map(|line| format!("{DIM}{line}{DIM:#}")));
    lines
}

fn differs(one: &Differs) -> Vec<String> {
    let style = match one.effect {
        Effect::Weaker | Effect::Held => BAD,
        Effect::Other => ODD,
        Effect::Stricter => GOOD,
    };
    let word = one.effect.as_str();
    let text = wrap(&shown(&one.because), WIDTH_COLUMNS - 12);
    let heads = std::iter::once(word).chain(std::iter::repeat(""));
    let mut lines: Vec<String> =
        text.iter().zip(heads).map(|(line, head)| format!("  {style}{head:8}{style:#}  {line}")).collect();
    let behind = |text: &str| -> Vec<String> {
        wrap(text, WIDTH_COLUMNS - 12).into_iter().map(|line| format!("            {line}")).collect()
    };
    if !one.about.is_empty() {
        lines.extend(behind(&shown(&listed(&one.about))).into_iter().map(|line| format!("{DIM}{line}{DIM:#}")));
    }
    if !matches!(one.remedy.as_str(), "" | "nothing") {
        lines.extend(behind(&format!("-> {}", shown(&one.remedy))));
    }
    lines
}

fn listed(about: &[String]) -> String {
    let first: Vec<&str> = about.iter().take(ABOUT_MAX).map(String::as_str).collect();
    match about.len().saturating_sub(ABOUT_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Settings of the same reason stand together.
fn missing(all: &[Missing]) -> Vec<String> {
    let mut reasons: Vec<(&str, &str)> = Vec::new();
    for one in all {
        let reason = (one.because.as_str(), one.remedy.as_str());
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let mut lines = Vec::new();
    for (because, remedy) in reasons {
        let of_reason = || all.iter().filter(|one| (one.because.as_str(), one.remedy.as_str()) == (because, remedy));
        for one in of_reason().take(SETTINGS_MAX) {
            lines.extend(indented(&with_place(&one.what, &one.place), 2));
        }
        let more = of_reason().count().saturating_sub(SETTINGS_MAX);
        lines.extend((more > 0).then(|| format!("  and {more} more")));
        lines.extend(indented(because, 4).into_iter().map(|line| format!("{DIM}{line}{DIM:#}")));
        if !remedy.is_empty() {
            lines.extend(indented(&format!("-> {remedy}"), 4));
        }
    }
    lines
}

fn with_place(what: &str, place: &str) -> String {
    if place.is_empty() { what.to_owned() } else { format!("{what} ({place})") }
}

/// Further lines stand two columns further in.
fn indented(text: &str, columns: usize) -> Vec<String> {
    let lines = wrap(&shown(text), WIDTH_COLUMNS - columns - 2).into_iter();
    let indents = std::iter::once(columns).chain(std::iter::repeat(columns + 2));
    lines.zip(indents).map(|(line, indent)| format!("{:indent$}{line}", "")).collect()
}

fn summary(answer: &Answer<'_>) -> Vec<String> {
    let counts = format!(
        "{}: {} in {}, {}",
        answer.hostname,
        count(answer.domains, "domain"),
        count(answer.files, "file"),
        count(answer.listeners, "listener"),
    );
    let mut lines = vec![format!("{BOLD}{counts}{BOLD:#}")];
    match (answer.out, answer.written.len()) {
        (Some(out), written) => {
            lines.push(format!(
                "Wrote {} into {}. Try next:",
                count(written, "file"),
                shown(&out.display().to_string())
            ));
            lines.push(format!("{INDENT}gatepost check --config {}/gatepost.toml", shown(&out.display().to_string())));
        }
        (None, _) => lines.push("Nothing was written: --out DIR writes the configuration.".to_owned()),
    }
    lines
}
