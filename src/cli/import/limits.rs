//! Bounds and times: those that have a key of the same meaning.

use crate::postfix::parameters::Parameters;

use super::differences::Difference;
use super::plan::Line;
use super::report::Notes;

/// The longest duration that a key takes.
const SECONDS_MAX: u64 = 366 * DAY_SECONDS;
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Waiting times of `retry`.
const RETRY_STEPS_MAX: usize = 16;
/// The largest size that a key takes.
const SIZE_BYTES_MAX: u64 = 1 << 50;

/// Parameters with a number that a key of `[limits]` takes: name, key, the least and the most.
const NUMBERS: &[(&str, &str, u64, u64)] = &[
    ("default_destination_concurrency_limit", "max_destination_concurrency", 1, 10_000),
    ("initial_destination_concurrency", "initial_concurrency", 1, 10_000),
    ("smtpd_client_connection_count_limit", "max_connections_per_client", 1, 1_000_000),
    ("smtpd_recipient_limit", "max_recipients", 1, 100_000),
    ("smtpd_hard_error_limit", "max_errors", 1, 10_000),
    ("hopcount_limit", "max_hops", 1, 10_000),
];

/// The lines of `[spool]`.
pub(super) fn spool(main: &Parameters, notes: &mut Notes) -> Vec<Line> {
    let mut lines = Vec::new();
    size(main, &mut lines, notes);
    duration(main, ("maximal_queue_lifetime", "lifetime", 'd'), &mut lines, notes);
    duration(main, ("bounce_queue_lifetime", "bounce_lifetime", 'd'), &mut lines, notes);
    match seconds(&main.text("delay_warning_time"), 'h') {
        Some(0) | None => notes.differs(Difference::DelayNotice, "delay_warning_time"),
        Some(_) => duration(main, ("delay_warning_time", "delay_warning", 'h'), &mut lines, notes),
    }
    retry(main, &mut lines, notes);
    if main.is_yes("soft_bounce") {
        push(main, ("soft_bounce", "soft_bounce"), "true".to_owned(), &mut lines, notes);
    }
    lines
}

/// The lines of `[limits]`: only what main.cf sets.
pub(super) fn limits(main: &Parameters, notes: &mut Notes) -> Vec<Line> {
    let mut lines = Vec::new();
    for &(name, key, least, most) in NUMBERS.iter().filter(|(name, ..)| main.is_written(name)) {
        let text = main.text(name);
        match text.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => {
                push(main, (name, key), number.to_string(), &mut lines, notes);
            }
            _ => notes.differs(
                Difference::OutOfBounds(format!("{name} = {text} is out of bounds here, and left to its default")),
                main.place(name).map(ToString::to_string).unwrap_or_default(),
            ),
        }
    }
    let own = lines.iter().find(|line| line.key == "max_destination_concurrency");
    let own = own.and_then(|line| line.value.parse::<u64>().ok());
    let initial = lines.iter().find(|line| line.key == "initial_concurrency");
    let initial = initial.and_then(|line| line.value.parse::<u64>().ok());
    // It begins with no more than it may have.
    if let Some(own) = own.filter(|own| initial.unwrap_or(5) > *own) {
        lines.retain(|line| line.key != "initial_concurrency");
        lines.push(Line { key: "initial_concurrency", value: own.to_string(), from: String::new() });
    }
    lines
}

fn push(main: &Parameters, (name, key): (&str, &'static str), value: String, lines: &mut Vec<Line>, notes: &mut Notes) {
    let place = main.place(name).map(ToString::to_string).unwrap_or_default();
    let from = if place.is_empty() { format!("default of {name}") } else { place.clone() };
    notes.carried(format!("{name} = {}", main.text(name)), place, format!("{key} = {value}"));
    lines.push(Line { key, value, from });
}

fn size(main: &Parameters, lines: &mut Vec<Line>, notes: &mut Notes) {
    const NAME: &str = "message_size_limit";
    match main.text(NAME).parse::<u64>() {
        Ok(bytes) if (1..=SIZE_BYTES_MAX).contains(&bytes) => {
            push(main, (NAME, "max_message_size"), format!("\"{bytes}B\""), lines, notes);
        }
        _ => notes.differs(Difference::SizeUnlimited, NAME),
    }
}

fn duration(
    main: &Parameters,
    (name, key, unit): (&str, &'static str, char),
    lines: &mut Vec<Line>,
    notes: &mut Notes,
) {
    let text = main.text(name);
    match seconds(&text, unit).filter(|seconds| *seconds <= SECONDS_MAX) {
        Some(0) => {
            let text = format!("{name} = 0 tries once; the shortest time here is a second, in which it is tried once");
            notes.differs(Difference::OutOfBounds(text), "");
            push(main, (name, key), "\"1s\"".to_owned(), lines, notes);
        }
        Some(seconds) => push(main, (name, key), format!("\"{}\"", span(seconds)), lines, notes),
        None => {
            let text = format!("{name} = {text} is out of bounds here, and left to its default");
            notes.differs(Difference::OutOfBounds(text), "");
        }
    }
}

/// Times that double from the shortest to the longest, as the age of a message does from try to try.
fn retry(main: &Parameters, lines: &mut Vec<Line>, notes: &mut Notes) {
    if !main.is_written("minimal_backoff_time") && !main.is_written("maximal_backoff_time") {
        return;
    }
    let (Some(least), Some(most)) =
        (seconds(&main.text("minimal_backoff_time"), 's'), seconds(&main.text("maximal_backoff_time"), 's'))
    else {
        return;
    };
    let (least, most) = (least.clamp(1, SECONDS_MAX), most.clamp(1, SECONDS_MAX));
    let doubled = std::iter::successors(Some(least), |seconds| seconds.checked_mul(2));
    let mut times: Vec<u64> = doubled.take_while(|seconds| *seconds < most).take(RETRY_STEPS_MAX - 1).collect();
    times.push(most.max(least));
    let shown: Vec<String> = times.into_iter().map(|seconds| format!("\"{}\"", span(seconds))).collect();
    notes.differs(Difference::Retry, "minimal_backoff_time, maximal_backoff_time");
    push(main, ("maximal_backoff_time", "retry"), format!("[{}]", shown.join(", ")), lines, notes);
}

/// `5d`, `300s`, `4000`; a number alone has the unit of its parameter.
pub(super) fn seconds(text: &str, unit: char) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, written) = text.split_at_checked(end)?;
    let number: u64 = digits.parse().ok()?;
    let unit = written.trim().chars().next().unwrap_or(unit);
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => DAY_SECONDS,
        'w' => 7 * DAY_SECONDS,
        _ => return None,
    };
    number.checked_mul(seconds)
}

/// In the largest unit that has no rest.
fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(DAY_SECONDS, "d"), (60 * 60, "h"), (60, "m")];
    let unit = UNITS.iter().find(|(length, _)| seconds.is_multiple_of(*length));
    unit.map_or_else(|| format!("{seconds}s"), |(length, unit)| format!("{}{unit}", seconds / length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::main_cf;

    fn lines(main: &str) -> Vec<String> {
        let main = Parameters::new(main_cf::parse(main).0, "mx.here.example");
        let (mut notes, mut found) = (Notes::default(), Vec::new());
        for line in spool(&main, &mut notes).into_iter().chain(limits(&main, &mut notes)) {
            found.push(format!("{} = {}", line.key, line.value));
        }
        found
    }

    #[test]
    fn times_and_sizes_keep_their_meaning_and_defaults_are_written_down() {
        assert_eq!(lines(""), ["max_message_size = \"10240000B\"", "lifetime = \"5d\"", "bounce_lifetime = \"5d\""]);
        for (main, expected) in [
            ("maximal_queue_lifetime = 3", "lifetime = \"3d\""),
            ("maximal_queue_lifetime = 12h", "lifetime = \"12h\""),
            ("bounce_queue_lifetime = 0", "bounce_lifetime = \"1s\""),
            ("delay_warning_time = 4", "delay_warning = \"4h\""),
            ("minimal_backoff_time = 10m\nmaximal_backoff_time = 1h", "retry = [\"10m\", \"20m\", \"40m\", \"1h\"]"),
            ("maximal_backoff_time = 1000s", "retry = [\"5m\", \"10m\", \"1000s\"]"),
            ("default_destination_concurrency_limit = 3", "initial_concurrency = 3"),
            ("smtpd_recipient_limit = 50", "max_recipients = 50"),
            ("soft_bounce = yes", "soft_bounce = true"),
        ] {
            let found = lines(main);
            assert!(found.iter().any(|line| line == expected), "{main}: {found:?}");
        }
        assert!(!lines("hopcount_limit = 0").iter().any(|line| line.starts_with("max_hops")));
        assert!(!lines("message_size_limit = 0").iter().any(|line| line.starts_with("max_message_size")));
    }
}
