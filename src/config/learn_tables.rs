//! `[learn]`: when what destinations show counts, and when our own path is suspected. `[alert]`: who hears of it.

use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::policy::alarm::AlarmTerms;
use crate::policy::interference::WindowTerms;
use crate::policy::learned::Thresholds;
use crate::policy::learned::history::DAYS_MAX;

use super::document::{Table, Value};
use super::place::At;
use super::values::{self, Invalid};
use super::{AlertConfig, LearnConfig};

const DELIVERIES: RangeInclusive<u32> = 1..=1_000_000;
const DAYS: RangeInclusive<u32> = 1..=DAYS_MAX;
/// Fewer destinations than two cannot tell a path from a destination.
const DESTINATIONS: RangeInclusive<u32> = 2..=100;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The program and its arguments.
const COMMAND_WORDS_MAX: usize = 64;
const COMMAND_WORD_BYTES_MAX: usize = 1024;

pub(super) fn learn(mut table: Table<'_>) -> LearnConfig {
    let default = LearnConfig::default();
    let mut number = |key, range| table.get(key).and_then(|value| value.number(range));
    let (deliveries, days) = (number("deliveries", DELIVERIES), number("days", DAYS));
    let destinations = number("interference_destinations", DESTINATIONS);
    let window = table.get("interference_window").and_then(|value| value.parse(values::timeout));
    let expiry = table.get("expire").and_then(|value| value.parse(expiry_days));
    table.finish();
    let of = |written: &Option<At<'_, u32>>, default| written.as_ref().map_or(default, |at| at.value);
    let thresholds = Thresholds {
        deliveries: of(&deliveries, default.thresholds.deliveries),
        days: of(&days, default.thresholds.days),
        expiry_days: of(&expiry, default.thresholds.expiry_days),
    };
    if thresholds.days > thresholds.expiry_days {
        let message = "nothing is ever learned: what was seen counts for fewer days than are asked for";
        for at in [&days, &expiry].into_iter().flatten().take(1) {
            at.place.error(message, "write an `expire` that is longer than `days`");
        }
    }
    let window = WindowTerms {
        window: window.map_or(default.window.window, |at| at.value),
        destinations: destinations.map_or(default.window.destinations, |at| at.value.try_into().unwrap_or(usize::MAX)),
        ..default.window
    };
    LearnConfig { thresholds, window }
}

/// Whole days, as many as are kept.
fn expiry_days(text: &str) -> Result<u32, Invalid> {
    let found = values::duration(text)?;
    let days = u32::try_from(found.as_secs() / DAY.as_secs()).ok().filter(|days| DAYS.contains(days));
    days.filter(|days| DAY * *days == found).ok_or_else(|| {
        Invalid::new("what was seen counts for whole days", format!("write a duration from \"1d\" to \"{DAYS_MAX}d\""))
    })
}

pub(super) fn alert(mut table: Table<'_>) -> AlertConfig {
    let webhook = table.get("webhook").and_then(|value| value.parse(values::webhook));
    let command = table.get("command").and_then(|value| command(&value));
    let remind = table.get("remind").and_then(|value| value.parse(values::duration));
    let quiet = table.get("quiet").and_then(|value| value.parse(values::duration));
    let default = AlarmTerms::default();
    table.finish();
    AlertConfig {
        webhook: webhook.map(|at| at.value),
        command,
        remind: remind.map_or(default.reminder, |at| at.value),
        quiet: quiet.map_or(default.quiet, |at| at.value),
    }
}

/// A program and its arguments; no shell reads them.
fn command(value: &Value<'_>) -> Option<Vec<String>> {
    let words = value.list(|item| item.parse(word))?;
    if words.value.len() > COMMAND_WORDS_MAX {
        value.place.error(format!("the command has more than {COMMAND_WORDS_MAX} words"), "write a script");
        return None;
    }
    let program = words.value.first()?;
    if !Path::new(&program.value).is_absolute() {
        program.place.error("the path of the program is not absolute", "write such as \"/usr/local/bin/page\"");
        return None;
    }
    match fs::metadata(&program.value) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o111 == 0 => {
            program.place.warn("the file is no program: nobody may execute it", "allow that with chmod +x");
        }
        Ok(found) if found.is_file() => {}
        _ => program.place.warn("there is no such program on this host", "install it before the daemon starts"),
    }
    Some(words.items())
}

fn word(text: &str) -> Result<String, Invalid> {
    if text.is_empty() || text.len() > COMMAND_WORD_BYTES_MAX || text.contains('\0') {
        return Err(Invalid::new("a word of the command is empty, too long or has a NUL", "write 1 to 1024 octets"));
    }
    Ok(text.to_owned())
}
