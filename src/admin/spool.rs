//! What the operator asks of the spool as a whole: to make it smaller, to keep its files while they are copied.

use std::time::Duration;

use crate::spool::Sparse;

use super::control::{Desk, record};
use super::protocol::Response;

pub(super) async fn compact(desk: &Desk, uid: u32) -> Response {
    let Sparse { segments, bytes, alive_bytes } = desk.spool.sparse();
    let answer = Response::Compacting { segments, bytes, alive_bytes };
    if segments == 0 {
        return answer;
    }
    let detail = format!("{segments} segments of the spool are emptied and removed, asked for by uid {uid}");
    match record(desk, None, detail).await {
        Ok(()) => {
            desk.spool.compact();
            answer
        }
        Err(not_done) => not_done,
    }
}

pub(super) async fn keep(desk: &Desk, seconds: Option<u64>, uid: u32) -> Response {
    let detail = match seconds {
        Some(seconds) => format!("no file of the spool goes for {seconds} s, asked for by uid {uid}"),
        None => format!("files of the spool go again, asked for by uid {uid}"),
    };
    match record(desk, None, detail).await {
        Ok(()) => {
            let kept = desk.spool.keep_still(seconds.map(Duration::from_secs));
            Response::Keeping { seconds: kept.map(|time| time.as_secs()) }
        }
        Err(not_done) => not_done,
    }
}
