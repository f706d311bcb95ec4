//! The digest as a message (RFC 5322), ready for `sendmail -t`.

use crate::model::domain::Domain;
use crate::model::id::RecordId;
use crate::model::time::Timestamp;

use super::Answered;
use super::page::lines;

/// RFC 5322 section 2.1.1.
const LINE_COLUMNS_MAX: usize = 78;

/// What stands in the head.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) at: Timestamp,
    /// Of this mail host.
    pub(super) host: Domain,
    /// Makes the Message-ID.
    pub(super) id: RecordId,
}

impl Letter {
    /// Every line ends with CR LF, and has printable ASCII only.
    pub(super) fn text(&self, answered: &Answered) -> String {
        let Self { from, to, at, host, id } = self;
        // Addresses may be long: they stand on lines of their own. RFC 3834 section 5 asks that no program answers.
        let head = [
            format!("Date: {}", at.rfc5322()),
            "From: Gatepost".to_owned(),
            format!(" <{from}>"),
            "To:".to_owned(),
            format!(" <{to}>"),
            "Subject: Refused mail of".to_owned(),
            format!(" {}", answered.domain),
            "Message-ID:".to_owned(),
            format!(" <{id}@{host}>"),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=us-ascii".to_owned(),
            "Content-Transfer-Encoding: 7bit".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
            String::new(),
        ];
        let foot = [
            String::new(),
            "-- ".to_owned(),
            "The mail host keeps the whole story of each message and record:".to_owned(),
            host.to_string(),
        ];
        let body = lines(answered, LINE_COLUMNS_MAX);
        head.into_iter().chain(body).chain(foot).map(|line| line + "\r\n").collect()
    }
}
