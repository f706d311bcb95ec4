//! The listing: two lines a domain, what it has shown and who showed it.

use anstyle::Style;

use crate::admin::protocol::learned::{LearnedDomain, LearnedHost};
use crate::cli::output::{BAD, BOLD, Console, Exit, Failure, GOOD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::model::human::{count, cut, second};
use crate::policy::learned::evidence::Evidence;

/// When something is known of a domain.
pub(super) const KNOWN_FROM: &str =
    "a domain is known from the first delivery by TLS to its own mail hosts on, unless `learn` is \"off\"";

pub(super) fn show(
    domains: &[LearnedDomain],
    with_hosts: bool,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if json {
        console.json(&domains)?;
    } else {
        write!(console.out, "{}", page(domains, with_hosts))?;
        if domains.is_empty() {
            console.hint(KNOWN_FROM)?;
        }
    }
    Ok(Exit::Done)
}

/// Lines that end with a line end.
pub(super) fn page(domains: &[LearnedDomain], with_hosts: bool) -> String {
    let columns = [
        Column::left("DOMAIN").shrinking(),
        Column::left("LEVEL"),
        Column::left("STATE"),
        Column::right("MAIL"),
        Column::right("DAYS"),
        Column::left("FIRST"),
        Column::left("LAST"),
    ];
    let rows: Vec<Vec<Cell>> = domains.iter().map(row).collect();
    let mut page = Vec::new();
    let mut table = lines(&columns, &rows, WIDTH_COLUMNS).into_iter();
    page.extend(table.next().filter(|_| !domains.is_empty()));
    for (line, domain) in table.zip(domains) {
        page.push(line);
        if with_hosts {
            page.extend(details(domain));
        } else {
            page.push(cut(&format!("  {}", summary(domain)), WIDTH_COLUMNS).into_owned());
        }
    }
    page.push(count(domains.len(), "domain"));
    page.into_iter().map(|line| line + "\n").collect()
}

/// The evidence of what is in force, else of what could be.
fn telling(domain: &LearnedDomain) -> Option<&Evidence> {
    domain.in_force.as_ref().map(|in_force| &in_force.evidence).or(domain.evidence.as_ref())
}

fn row(domain: &LearnedDomain) -> Vec<Cell> {
    let evidence = telling(domain);
    let of = |value: fn(&Evidence) -> String| Cell::from(evidence.map(value).unwrap_or_default());
    let (style, state) = state(domain);
    vec![
        Cell::styled(domain.domain.as_str(), BOLD),
        evidence.map_or("none", |evidence| evidence.level.as_str()).into(),
        Cell::styled(state, style),
        of(|evidence| evidence.deliveries.to_string()),
        of(|evidence| evidence.days.to_string()),
        of(|evidence| evidence.first.day()),
        of(|evidence| evidence.last.day()),
    ]
}

fn state(domain: &LearnedDomain) -> (Style, &'static str) {
    let is_in_force = domain.in_force.is_some() && domain.learn == "enforce";
    match domain {
        LearnedDomain { alarm_since: Some(_), .. } => (BAD, "ALARM"),
        _ if is_in_force => (GOOD, "in force"),
        LearnedDomain { learn, .. } if learn == "off" => (Style::new(), "off"),
        _ if telling(domain).is_some() => (Style::new(), "proposed"),
        _ => (Style::new(), "learning"),
    }
}

/// What stands in the way of a level if there is none, and the hosts.
fn summary(domain: &LearnedDomain) -> String {
    let hosts: Vec<&str> = domain.hosts.iter().map(|host| host.name.as_str()).collect();
    let lacking = domain.lacking.as_ref().filter(|_| telling(domain).is_none());
    let lacking = lacking.map(|lacking| format!("{lacking}; ")).unwrap_or_default();
    format!("{lacking}{}", hosts.join(", "))
}

fn details(domain: &LearnedDomain) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(in_force) = &domain.in_force {
        lines.push(format!("  {} in force since {}", in_force.level, second(in_force.since)));
    }
    if let Some(since) = domain.alarm_since {
        lines.push(format!("  {BAD}not met since {}{BAD:#}", second(since)));
    }
    if let Some(lacking) = &domain.lacking {
        let level = if domain.evidence.is_some() { "verify" } else { "encrypt" };
        lines.push(format!("  not {level}: {lacking}"));
    }
    lines.push(format!("  last tried {}, learn = \"{}\"", second(domain.last_tried), domain.learn));
    lines.extend(domain.hosts.iter().map(of_host));
    lines
}

fn of_host(host: &LearnedHost) -> String {
    let sights = [("verify", host.verify), ("encrypt", host.encrypt), ("plaintext", host.plaintext)];
    let seen = sights.into_iter().filter_map(|(what, at)| Some(format!("{what} {}", second(at?))));
    format!("  {}: {}", host.name, seen.collect::<Vec<_>>().join(", "))
}
