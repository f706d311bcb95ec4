//! Messages of which the index knows an outline only, read back from the journal.

use std::path::PathBuf;

use super::super::load::LoadError;
use super::*;
use crate::journal::simulated::Crash;
use crate::model::envelope::{DsnReturn, Notify};

/// With everything that no outline has.
fn full(number: u32) -> Arc<Envelope> {
    let mut envelope = (*envelope(number, 2)).clone();
    let sender = ReversePath::Mailbox("\"odd one\"@Sender.example".parse().unwrap());
    envelope.sender = Sender {
        declared_size: Some(7),
        ret: Some(DsnReturn::Headers),
        envid: Some("QQ+2B".to_owned()),
        require_tls: true,
        ..Sender::plain(sender)
    };
    envelope.recipients[1].notify = Some(Notify::NEVER);
    envelope.recipients[1].orcpt = Some("rfc822;a+40b.example".to_owned());
    envelope.origin.helo = "client.example".to_owned();
    envelope.origin.listener = "mx".to_owned();
    envelope.origin.ip = Some([192, 0, 2, 1].into());
    envelope.origin.trust = Trust::Trusted;
    envelope.received_at = Timestamp::from_micros(1_800_000_000_123_457);
    envelope.size = 1234;
    envelope.eight_bit = true;
    envelope.tls_required_no = true;
    Arc::new(envelope)
}

fn accept_full(opened: &Opened, number: u32, bytes: usize) {
    wait(async {
        let content = fill(&opened.spool, number, bytes).await.unwrap();
        let record = record(number);
        opened.spool.accept(NewMessage { envelope: full(number), content }, vec![record]).await.unwrap();
    });
}

fn journal_files(fs: &Simulated) -> Vec<PathBuf> {
    fs.paths().into_iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "journal")).collect()
}

#[test]
fn an_envelope_that_is_read_back_is_what_was_accepted() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    for (number, bytes) in [(1, 300), (2, 2500), (3, 10)] {
        accept_full(&opened, number, bytes);
    }
    commit_progress(&opened, progress(3, &[1], deferred(2)));
    let check = |opened: &Opened, case: &str| {
        for (number, bytes) in [(1, 300), (2, 2500), (3, 10)] {
            let stored = load(opened, number);
            assert_eq!((&stored.envelope, &stored.cached), (&full(number), &None), "{case}");
            assert_eq!(read(&opened.spool, &stored), Ok(content(number, bytes)), "{case}");
            let outline = opened.spool.outline(id(number)).unwrap();
            assert_eq!(stored.outline(), outline, "{case}");
            let stood_in = outline.stand_in();
            assert_eq!((Outline::of(&stood_in), &outline.states), (Outline::of(&full(number)), &stored.states));
        }
        assert_eq!(states(&opened.spool, 3), Some(vec![RecipientState::default(), deferred(2)]), "{case}");
    };
    assert!(load(&opened, 1).cached.is_some(), "until then it is in memory");
    for number in 1..=3 {
        opened.spool.forget_cached(id(number));
    }
    check(&opened, "while it runs");
    check(&open(&fs.crash(Crash::Lose)).unwrap(), "after a crash");
    assert!(wait(opened.spool.load(id(9))).unwrap().is_none());
}

#[test]
fn the_walk_through_the_queue_goes_by_pages_in_the_order_of_ids() {
    let opened = open(&Simulated::default()).unwrap();
    for number in [5, 1, 3] {
        accept(&opened, number, 10).unwrap();
    }
    let page = |after: Option<u32>, limit| {
        let outlines = opened.spool.outlines(after.map(id), limit);
        outlines.iter().map(|outline| outline.id.as_u128() as u32).collect::<Vec<_>>()
    };
    assert_eq!((page(None, 2), page(Some(3), 2), page(Some(5), 2)), (vec![1, 3], vec![5], vec![]));
}

#[test]
fn metadata_that_is_damaged_while_it_waits_is_told_and_the_message_and_its_segment_stay() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept_full(&opened, 1, 300);
    accept_full(&opened, 2, 300);
    rotate(&opened, 10..50);
    (1..=2).for_each(|number| opened.spool.forget_cached(id(number)));
    let path = journal_files(&fs)[0].clone();
    let mut bytes = fs.content(&path);
    let at = bytes.windows(5).position(|window| window == b"QQ+2B").unwrap();
    bytes[at] ^= 1;
    fs.overwrite(&path, bytes);
    assert_eq!(wait(opened.spool.load(id(1))).unwrap_err(), LoadError::Damaged);
    assert_eq!(load(&opened, 2).envelope, full(2), "it costs no other message");
    let known = wait(opened.spool.load_known(id(1))).unwrap();
    assert_eq!((known.outline(), known.envelope.recipients.len()), (opened.spool.outline(id(1)).unwrap(), 2));
    assert_eq!(read(&opened.spool, &known), Ok(content(1, 300)));
    for number in 1..=2 {
        commit_progress(&opened, progress(number, &[0, 1], delivered()));
    }
    opened.spool.audit_is_durable(Mark { sequence: u64::MAX, note: String::new() }).unwrap();
    maintain(&opened);
    assert!(fs.paths().contains(&path), "what is damaged is evidence");
}

#[test]
fn a_segment_that_went_with_the_message_is_no_damage() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 300).unwrap();
    opened.spool.forget_cached(id(1));
    commit_progress(&opened, progress(1, &[0], delivered()));
    assert!(wait(opened.spool.load(id(1))).unwrap().is_none());
}

/// An entry as an earlier release wrote it.
struct Old(u8, &'static str, &'static [u8]);

impl journal::Entry for Old {
    fn kind(&self) -> u8 {
        self.0
    }

    fn encode_meta(&self, out: &mut Vec<u8>) {
        out.extend(self.1.as_bytes());
    }

    fn body(&self) -> Vec<Bytes> {
        vec![Bytes::from_static(self.2)]
    }
}

#[test]
fn entries_of_earlier_releases_are_read() {
    const MESSAGE: &str = r#"{"envelope":{"id":"01JJ0000000000000000000001","received_at":"2027-01-02T03:04:05.678901Z",
        "sender":{"path":"a@sender.example","body":"8BITMIME","smtputf8":false,"declared_size":null,"ret":null,
        "envid":null},"recipients":[{"address":"b@bank.example","notify":null,"orcpt":null},
        {"address":"c@[192.0.2.7]"}],"origin":{"session":"01JJ0000000000000000000002","listener":"mx",
        "ip":"192.0.2.1","port":4711,"helo":"client.example","trust":"stranger","tls":null},"size":6,
        "eight_bit":true},"unknown":{"of":["a later","release"]}}"#;
    const PROGRESS: &str = r#"{"message":"01JJ0000000000000000000001","changes":[{"recipients":[1],"state":{"pending":
        {"attempts":1,"next_attempt":"2027-01-02T03:14:05.000000Z","last":{"at":"2027-01-02T03:04:06.000000Z",
        "reason":"connect-timeout","mx":"mx.bank.example","detail":"d"},"delay_notified":false}}}]}"#;
    let fs = Simulated::default();
    drop(open(&fs).unwrap());
    let folder = Path::new(FOLDER).join("journal");
    let options = journal::Options { folder, salt: 1, limits: LIMITS };
    let quiet = Box::new(|_: journal::Batch<Old>| ());
    let (old, _) = Journal::open(options, Arc::new(fs.clone()), &mut |_| (), quiet).unwrap();
    wait(old.commit(vec![Old(1, MESSAGE, b"Text\r\n"), Old(2, PROGRESS, b"")])).unwrap();
    old.close();
    let opened = open(&fs).unwrap();
    assert_eq!(opened.recovered.unreadable, [""; 0]);
    let id: MessageId = "01JJ0000000000000000000001".parse().unwrap();
    let outline = opened.spool.outline(id).unwrap();
    let to: Vec<&str> = outline.recipients.iter().map(Address::as_str).collect();
    assert_eq!((outline.sender.as_str(), to), ("a@sender.example", vec!["b@bank.example", "c@[192.0.2.7]"]));
    assert_eq!(outline.received_at.to_string(), "2027-01-02T03:04:05.678901Z");
    assert_eq!((outline.client, outline.trust, outline.size), (Some([192, 0, 2, 1].into()), Trust::Stranger, 6));
    let tried = outline.states[1].pending().unwrap();
    assert_eq!((tried.attempts, tried.last.as_ref().unwrap().detail.as_str()), (1, "d"));
    let stored = wait(opened.spool.load(id)).unwrap().unwrap();
    assert_eq!((stored.envelope.origin.port, stored.outline()), (4711, outline));
    assert_eq!(read(&opened.spool, &stored).unwrap(), b"Text\r\n");
}
