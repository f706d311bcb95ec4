//! Moments as TOML writes them: a date stands for its 00:00 UTC, a date-time says how far it is from UTC.

use toml::value::Datetime;

use crate::model::time::Timestamp;

use super::document::{Value, shown};
use super::place::At;

const FORMS: &str = "write a day (2027-01-31, from 00:00 UTC on) or a moment (2027-01-31T12:00:00Z), without quotes";

/// The value as a moment; `None` after the error was reported.
pub(super) fn moment<'a>(value: &Value<'a>) -> Option<At<'a, Timestamp>> {
    if let Some(text) = value.value.as_str() {
        let remedy = match text.parse::<Datetime>() {
            Ok(_) => format!("write it without quotes: {text}"),
            Err(_) => FORMS.to_owned(),
        };
        value.place.error(format!("\"{}\" is a text and no date", shown(text)), remedy);
        return None;
    }
    let Some(written) = value.value.as_datetime() else {
        value.place.error(format!("the value has the wrong type: {}", value.value.type_str()), FORMS);
        return None;
    };
    let text = match (written.date, written.time, written.offset) {
        (Some(date), None, _) => format!("{date}T00:00:00Z"),
        (Some(_), Some(_), Some(_)) => written.to_string(),
        (Some(_), Some(_), None) => {
            value.place.error(
                format!("{written} is a different moment in each time zone"),
                format!("add the distance from UTC: {written}Z, or {written}+01:00"),
            );
            return None;
        }
        (None, ..) => {
            value.place.error(format!("{written} is a time without a day"), FORMS);
            return None;
        }
    };
    let Ok(moment) = text.parse::<Timestamp>() else {
        value.place.error(format!("{written} is no moment that this program knows"), FORMS);
        return None;
    };
    Some(value.with(moment))
}
