//! When mail is refused, and when it is taken again.

use std::io::ErrorKind;

use super::*;
use crate::journal::simulated::{Crash, Trouble};

const BROKEN: ErrorKind = ErrorKind::Other;

#[test]
fn a_failed_sync_stops_acceptance() {
    for trouble in [Trouble::Before(BROKEN), Trouble::After(BROKEN)] {
        // The second operation syncs the journal; a large message syncs its file and the folder before it.
        for (bytes, operation) in [(100, 2), (2500, 6), (2500, 7), (2500, 9)] {
            let fs = Simulated::default();
            let opened = open(&fs).unwrap();
            accept(&opened, 1, 100).unwrap();
            let syncs = fs.operations() + operation;
            fs.trouble_at(syncs, trouble);
            let case = format!("{trouble:?}, {bytes} bytes, {operation}");
            assert_eq!(accept(&opened, 2, bytes), Err(Fault::Unavailable), "{case}");
            assert_eq!(opened.spool.admission(), Err(Fault::Unavailable), "{case}");
            assert!(opened.spool.failure().is_some() && opened.spool.begin(id(3)).is_err(), "{case}");
            maintain(&opened);
            assert_eq!(accept(&opened, 4, 100), Err(Fault::Unavailable), "{case}");
            let again = open(&fs.crash(Crash::Lose)).unwrap();
            assert_eq!((again.spool.admission(), again.recovered.pending), (Ok(()), vec![id(1)]), "{case}");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_is_looked_at_again() {
    for bytes in [100, 900, 2500] {
        let fs = Simulated::default();
        let opened = open(&fs).unwrap();
        accept(&opened, 1, 100).unwrap();
        fs.set_space(Some(300));
        assert_eq!(accept(&opened, 2, bytes), Err(Fault::NoSpace), "{bytes}");
        assert_eq!(body_files(&fs), [], "{bytes}");
        // Without another write: what is known is enough.
        let operations = fs.operations();
        assert_eq!((opened.spool.admission(), accept(&opened, 3, 10)), (Err(Fault::NoSpace), Err(Fault::NoSpace)));
        assert_eq!(fs.operations(), operations);
        fs.set_space(None);
        let free = maintain(&opened).free.unwrap();
        assert_eq!((free.enough, opened.spool.admission()), (true, Ok(())));
        accept(&opened, 4, bytes).unwrap();
        assert_eq!(open(&fs.crash(Crash::Lose)).unwrap().recovered.pending, [id(1), id(4)]);
    }
}

#[test]
fn mail_is_refused_below_the_bound_while_work_goes_on() {
    let fs = Simulated::default();
    let opened = open_with(&fs, BodyBudget::new(1 << 20), 10_000).unwrap();
    accept(&opened, 1, 100).unwrap();
    for (free, enough) in [(10_000, true), (9_999, false), (10_000, true)] {
        fs.set_space(Some(free));
        assert_eq!(maintain(&opened).free, Some(FreeSpace { bytes: free as u64, enough }));
        assert_eq!(opened.spool.free_bytes(), free as u64);
        assert_eq!(opened.spool.admission(), if enough { Ok(()) } else { Err(Fault::NoSpace) });
    }
    fs.set_space(Some(9_000));
    maintain(&opened);
    assert_eq!(accept(&opened, 2, 100), Err(Fault::NoSpace));
    commit_progress(&opened, progress(1, &[0], delivered()));
    assert_eq!(opened.spool.message_count(), 0);
}

#[test]
fn content_that_lost_a_piece_is_never_sealed() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    wait(async {
        let mut intake = opened.spool.begin(id(1)).unwrap();
        // The file is made; the write to it fails.
        fs.trouble_at(fs.operations() + 2, Trouble::Before(BROKEN));
        let chunk = Bytes::from(vec![b'x'; 700]);
        intake.push(chunk.clone()).await.unwrap();
        assert_eq!(intake.push(chunk.clone()).await, Err(Fault::Busy));
        assert_eq!(intake.push(chunk).await, Err(Fault::Busy));
        assert_eq!(intake.seal().await.map(|_| ()), Err(Fault::Busy));
    });
    assert_eq!(body_files(&fs), []);
}
