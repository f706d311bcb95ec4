//! What the operator asks of the spool as a whole: to make it smaller, to keep its files while they are copied.

use std::time::Duration;

use crate::model::actor::Actor;
use crate::spool::{STILL_MAX, Sparse};

use super::desk::{Desk, record};
use super::protocol::Response;

pub(super) async fn compact(desk: &Desk, by: Actor) -> Response {
    let Sparse { segments, bytes, alive_bytes } = desk.spool.sparse();
    let answer = Response::Compacting { segments, bytes, alive_bytes };
    if segments == 0 {
        return answer;
    }
    let detail = format!("{segments} segments of the spool are emptied and removed, asked for by {by}");
    match record(desk, None, detail).await {
        Ok(()) => {
            desk.spool.compact();
            answer
        }
        Err(not_done) => not_done,
    }
}

pub(super) async fn keep(desk: &Desk, seconds: Option<u64>, by: Actor) -> Response {
    match record(desk, None, kept(seconds, by)).await {
        Ok(()) => {
            let Some(seconds) = seconds else {
                return Response::Keeping { seconds: None, lasted: desk.spool.end_stillness() };
            };
            match desk.spool.keep_still(Duration::from_secs(seconds)).await {
                Ok(time) => Response::Keeping { seconds: Some(time.as_secs()), lasted: true },
                Err(fault) => Response::fault(fault.to_string()),
            }
        }
        Err(not_done) => not_done,
    }
}

/// What is recorded of an order to keep files, which lasts no longer than the spool keeps any.
fn kept(seconds: Option<u64>, by: Actor) -> String {
    match seconds.map(|seconds| seconds.min(STILL_MAX.as_secs())) {
        Some(seconds) => format!("no file of the spool goes for {seconds} s, asked for by {by}"),
        None => format!("files of the spool go again, asked for by {by}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_longer_time_is_recorded_than_files_are_kept() {
        for (asked, expected) in [
            (Some(90), "no file of the spool goes for 90 s, asked for by uid 7"),
            (Some(13 * 3600), "no file of the spool goes for 43200 s, asked for by uid 7"),
            (None, "files of the spool go again, asked for by uid 7"),
        ] {
            assert_eq!(kept(asked, Actor::Account(7)), expected);
        }
    }
}
