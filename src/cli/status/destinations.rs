//! The part of the page about the TLS of destinations: what was learned, who does not meet it, and our own path.

use crate::admin::protocol::{DestinationsStatus, InterferenceStatus};
use crate::cli::human::labelled;
use crate::cli::output::BAD;
use crate::model::human;
use crate::policy::interference::WHERE_TO_LOOK;

/// None where there is nothing to say.
pub(super) fn lines(status: &DestinationsStatus) -> Vec<String> {
    let DestinationsStatus { encrypt, verify, alarm_count, alarms, interference } = status;
    let mut texts = Vec::new();
    if encrypt + verify > 0 {
        let all = human::count(encrypt + verify, "domain");
        texts.push(("learned", format!("{all} held to what was shown: {encrypt} encrypt, {verify} verify")));
    }
    if *alarm_count > 0 {
        let names = alarms.iter().map(|alarm| format!("{} since {}", alarm.domain, human::second(alarm.since)));
        let names = with_more(names.collect(), *alarm_count);
        texts.push(("alarm", format!("{BAD}{}{BAD:#} below that: {names}", human::count(*alarm_count, "domain"))));
    }
    if let Some(InterferenceStatus { since, count, destinations }) = interference {
        let names = with_more(destinations.iter().map(ToString::to_string).collect(), *count);
        let since = human::second(*since);
        let what = format!("{BAD}TLS is being taken out of sessions on our own path, it seems{BAD:#}, since {since}");
        texts.push(("path", format!("{what}: {names}; {WHERE_TO_LOOK}")));
    }
    texts.iter().flat_map(|(label, text)| labelled(label, text)).collect()
}

fn with_more(names: Vec<String>, count: usize) -> String {
    match count.saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::AlarmStatus;
    use crate::model::domain::Domain;
    use crate::model::time::Timestamp;

    #[test]
    fn what_is_lost_is_told_with_names_and_where_to_look() {
        let since = Timestamp::from_secs(1_800_000_000);
        let domain = |name| Domain::parse(name).unwrap();
        let status = DestinationsStatus {
            encrypt: 10,
            verify: 2,
            alarm_count: 2,
            alarms: vec![AlarmStatus { domain: domain("bank.example"), since }],
            interference: Some(InterferenceStatus { since, count: 7, destinations: vec![domain("a.example")] }),
        };
        let page = lines(&status).join("\n");
        let expected = "\
learned   12 domains held to what was shown: 10 encrypt, 2 verify
alarm     2 domains below that: bank.example since 2027-01-15
          08:00:00 UTC and 1 more
path      TLS is being taken out of sessions on our own path, it
          seems, since 2027-01-15 08:00:00 UTC: a.example and 6 more; look
          for a firewall or a proxy on the way that rewrites SMTP (250-XXXXXXXA
          in answers to EHLO), for a new route or provider, and at the root
          certificates of this host";
        assert_eq!(anstream::adapter::strip_str(&page).to_string(), expected);
        assert_eq!(lines(&DestinationsStatus::default()), Vec::<String>::new());
    }
}
