//! The result of a survey for people: a line for each domain, counts and shares, and what changed.

use std::collections::BTreeMap;

use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::model::domain::Domain;
use crate::model::human::{count, cut, shown, thousands, wrap};
use crate::model::reason::Reason;

use super::candidates::Outcome;
use super::diff::{Change, Way};
use super::record::{Levels, Surveyed, Word};
use super::summary::Summary;
use super::{Kept, Results};

/// Domains and changes that are listed; the rest is in the JSON.
const ROWS_MAX: usize = 1000;

/// Ends with a line end.
pub(super) fn page(results: &Results) -> String {
    let mut page = Vec::new();
    if let Some(Kept { domains, file, since }) = &results.kept {
        let stand = if *domains == 1 { "stands" } else { "stand" };
        let text = format!(
            "{} {stand} in {} since {}, not asked again (--again asks them)",
            count(*domains, "domain"),
            shown(&file.display().to_string()),
            since.day()
        );
        page.extend(wrap(&text, WIDTH_COLUMNS).into_iter().map(|line| format!("{ODD}{line}{ODD:#}")));
        page.push(String::new());
    }
    page.extend(domains(&results.found));
    page.push(String::new());
    page.extend(troubles(&results.found));
    page.extend(summary(&Summary::of(results.found.values())));
    if let Some(changes) = &results.changes {
        page.push(String::new());
        page.extend(differences(changes));
    }
    if !results.candidates.is_empty() {
        page.push(String::new());
        page.extend(candidates(results));
    }
    if results.is_unanswered() {
        page.push(format!("{BAD}Nobody answered: look at the DNS and the network of this host.{BAD:#}"));
    }
    if results.is_interrupted {
        let text = format!("Stopped: {} not asked. Run the same command to go on.", count(results.left, "domain"));
        page.push(format!("{ODD}{text}{ODD:#}"));
    }
    page.push(String::new());
    page.join("\n")
}

fn domains(found: &BTreeMap<Domain, Surveyed>) -> Vec<String> {
    let columns = [
        Column::left("DOMAIN").shrinking(),
        Column::right("MX"),
        Column::left("TLS").at_least(7),
        Column::left("VERIFY"),
        Column::left("DANE"),
        Column::left("MTA-STS"),
        Column::left("TLSRPT"),
    ];
    let rows: Vec<Vec<Cell>> = found.values().take(ROWS_MAX).map(row).collect();
    let mut out = lines(&columns, &rows, WIDTH_COLUMNS);
    let more = found.len().saturating_sub(ROWS_MAX);
    if more > 0 {
        out.push(format!("and {} more; --json has them all", thousands(u64::try_from(more).unwrap_or(u64::MAX))));
    }
    out
}

fn row(surveyed: &Surveyed) -> Vec<Cell> {
    let name = Cell::from(surveyed.domain.as_str());
    let Some(meets) = &surveyed.meets else {
        let why = match &surveyed.failure {
            Some(failure) => brief(failure.reason),
            None => "silent",
        };
        let hosts = Cell::from(surveyed.hosts.len().to_string());
        return vec![name, hosts, Cell::styled(why, BAD), "".into(), "".into(), "".into(), "".into()];
    };
    let tls = match surveyed.version() {
        Some(version) => Cell::from(version.as_str()),
        None => Cell::styled("none", BAD),
    };
    vec![
        name,
        surveyed.hosts.len().to_string().into(),
        tls,
        verify(meets).into(),
        if surveyed.has_dane_in_part() { "part" } else { word(meets.dane) }.into(),
        sts(surveyed, meets),
        if surveyed.tlsrpt { "yes" } else { "-" }.into(),
    ]
}

/// Fits below the titles; what is wrong tells more.
const fn brief(reason: Reason) -> &'static str {
    match reason {
        Reason::DnsFailure => "no DNS",
        Reason::NoSuchDomain => "no name",
        Reason::NullMx => "no mail",
        Reason::NoMailHost => "no host",
        Reason::RoutesToSelf => "itself",
        Reason::TargetForbidden => "barred",
        Reason::Timeout | Reason::ConnectTimeout => "timeout",
        _ => "failed",
    }
}

const fn verify(meets: &Levels) -> &'static str {
    match (meets.verify_domain, meets.verify_mx) {
        (Word::Yes, Word::Yes) => "both",
        (Word::Yes, _) => "domain",
        (_, Word::Yes) => "host",
        _ => "-",
    }
}

const fn word(word: Word) -> &'static str {
    match word {
        Word::Yes => "yes",
        Word::No => "BROKEN",
        Word::NotApplicable => "-",
    }
}

fn sts(surveyed: &Surveyed, meets: &Levels) -> Cell {
    match (surveyed.mta_sts.as_str(), meets.mta_sts) {
        ("absent" | "none", _) => "-".into(),
        // Nothing is held back yet.
        ("testing", Word::No) => Cell::styled("failing", ODD),
        (_, Word::No) => Cell::styled("BROKEN", BAD),
        (mode, _) => shown(mode).into_owned().into(),
    }
}

fn troubles(found: &BTreeMap<Domain, Surveyed>) -> Vec<String> {
    let troubles = found.values().filter_map(|surveyed| Some((&surveyed.domain, surveyed.trouble()?)));
    let mut out: Vec<String> = troubles
        .take(ROWS_MAX)
        .flat_map(|(domain, trouble)| {
            let text = shown(&format!("{domain}: {trouble}")).into_owned();
            let wrapped = wrap(&text, WIDTH_COLUMNS - 2).into_iter().enumerate();
            wrapped.map(|(index, line)| if index == 0 { line } else { format!("  {line}") }).collect::<Vec<_>>()
        })
        .collect();
    if !out.is_empty() {
        out.insert(0, format!("{BOLD}What is wrong{BOLD:#}"));
        out.push(String::new());
    }
    out
}

fn summary(summary: &Summary) -> Vec<String> {
    let mut out = vec![format!("{BOLD}{}{BOLD:#}, {} answered", count(summary.domains, "domain"), summary.answered)];
    let columns =
        [Column::left("OF THOSE THAT ANSWERED").at_least(44), Column::right("DOMAINS"), Column::right("SHARE")];
    let rows: Vec<Vec<Cell>> = summary
        .rows()
        .into_iter()
        .map(|(name, number)| vec![name.into(), thousands(number).into(), format!("{}%", summary.share(number)).into()])
        .collect();
    out.extend(lines(&columns, &rows, WIDTH_COLUMNS));
    out
}

fn differences(changes: &[Change]) -> Vec<String> {
    if changes.is_empty() {
        return vec!["Nothing changed.".to_owned()];
    }
    let mut out = vec![format!("{BOLD}{}{BOLD:#}", count(changes.len(), "change"))];
    for change in changes.iter().take(ROWS_MAX) {
        let (word, style) = match change.way {
            Way::Lost => ("lost", BAD),
            Way::Gained => ("gained", GOOD),
            Way::Changed => ("changed", DIM),
        };
        let text = format!("{} {}: {} -> {}", change.domain, change.what, change.before, change.now);
        let wrapped = wrap(&shown(&text), WIDTH_COLUMNS - 9).into_iter().enumerate();
        out.extend(wrapped.map(|(index, line)| match index {
            0 => format!("{style}{word:9}{style:#}{line}"),
            _ => format!("{:9}{line}", ""),
        }));
    }
    out
}

fn candidates(results: &Results) -> Vec<String> {
    let written = results.candidates.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Written(_))).count();
    let mut out = vec![format!("{BOLD}{}{BOLD:#} written", count(written, "candidate file"))];
    for (domain, outcome) in results.candidates.iter().take(ROWS_MAX) {
        let why = match outcome {
            Outcome::Written(_) => continue,
            Outcome::Kept(path) => format!("{} is there already", shown(&path.display().to_string())),
            Outcome::None(why) => shown(why).into_owned(),
        };
        out.push(cut(&format!("none for {domain}: {why}"), WIDTH_COLUMNS).into_owned());
    }
    out
}
