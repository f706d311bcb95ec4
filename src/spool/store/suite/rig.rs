//! Two nodes at work, in few words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::address::{Address, Charset, ReversePath};
use crate::model::envelope::{Envelope, Origin, Recipient, Sender, Trust};
use crate::model::id::{MessageId, RecordId, SessionId};
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;
use crate::spool::state::{Change, Pending, RecipientState, Settled};
use crate::spool::store::{
    Claim, Claims, Content, ContentPieces, Incoming, NodeId, Recorded, Refused, Renewed, Report, Store, When, Which,
    Wish,
};
use crate::spool::{Fault, NewMessage};

use super::Fixture;

pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MANY: usize = 1000;

pub(super) struct Rig<F: Fixture> {
    pub(super) fixture: F,
}

/// A report without its content, to be given as often as wanted.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) number: u16,
    pub(super) when: When,
    pub(super) changes: Vec<Change>,
    pub(super) notice: Option<u32>,
    pub(super) record: Option<u32>,
}

pub(super) fn now(number: u16, changes: Vec<Change>) -> Words {
    Words { number, when: When::Now, changes, notice: None, record: None }
}

pub(super) fn soon(number: u16, changes: Vec<Change>) -> Words {
    Words { when: When::Soon, ..now(number, changes) }
}

pub(super) fn id(number: u32) -> MessageId {
    MessageId::from_u128(u128::from(number))
}

pub(super) fn record_id(number: u32) -> RecordId {
    RecordId::from_u128(u128::from(number))
}

pub(super) fn audit(number: u32) -> AuditEntry {
    AuditEntry { id: record_id(number), json: format!("{{\"record\":{number}}}").into() }
}

pub(super) fn change(places: &[u32], state: RecipientState) -> Change {
    Change { recipients: places.to_vec(), state }
}

pub(super) fn delivered() -> RecipientState {
    RecipientState::Settled(Settled::Delivered)
}

pub(super) fn pending(pending: Pending) -> RecipientState {
    RecipientState::Pending(pending)
}

pub(super) fn deferred(attempts: u32, next_attempt: Timestamp) -> RecipientState {
    pending(Pending { attempts, next_attempt: Some(next_attempt), ..Pending::default() })
}

/// Of each message's own, and more than one piece.
pub(super) fn content(number: u32) -> Vec<u8> {
    format!("Subject: {number}\r\n\r\n{}", "x".repeat(40)).into_bytes()
}

pub(super) fn ids(claims: &Claims) -> Vec<MessageId> {
    claims.given.iter().map(|claimed| claimed.claim.message).collect()
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn envelope(number: u32, received_at: Timestamp, recipients: &[&str]) -> Arc<Envelope> {
    let address = |text: &&str| Recipient::plain(Address::parse(text, Charset::Ascii).unwrap());
    let origin = Origin {
        session: SessionId::from_u128(1),
        listener: String::new(),
        ip: None,
        port: 0,
        helo: String::new(),
        trust: Trust::Local,
        tls: None,
    };
    Arc::new(Envelope {
        id: id(number),
        received_at,
        sender: Sender::plain(ReversePath::Null),
        recipients: recipients.iter().map(address).collect(),
        origin,
        size: content(number).len() as u64,
        eight_bit: false,
        tls_required_no: false,
        tls_report: false,
    })
}

impl<F: Fixture> Rig<F> {
    pub(super) fn new() -> Self {
        Self { fixture: F::new() }
    }

    pub(super) fn node(&self, number: usize) -> F::Store {
        self.fixture.node(number)
    }

    /// Takes a message with its record of the same number, at node 0.
    pub(super) fn try_accept(&self, number: u32, recipients: &[&str]) -> Result<(), Fault> {
        let content = self.fill(number)?;
        self.hand_in(number, recipients, content)
    }

    pub(super) fn fill(&self, number: u32) -> Result<<F::Store as Store>::Sealed, Fault> {
        wait(async {
            let mut intake = self.node(0).begin(id(number))?;
            for piece in content(number).chunks(16) {
                intake.append(Bytes::copy_from_slice(piece)).await?;
            }
            intake.seal().await
        })
    }

    pub(super) fn hand_in(
        &self,
        number: u32,
        recipients: &[&str],
        content: <F::Store as Store>::Sealed,
    ) -> Result<(), Fault> {
        let envelope = envelope(number, self.fixture.date(), recipients);
        wait(self.node(0).accept(NewMessage { envelope, content }, vec![audit(number)]))
    }

    pub(super) fn accept(&self, number: u32) {
        self.try_accept(number, &["a@one.example"]).unwrap();
    }

    /// With two recipients in two domains.
    pub(super) fn accept_two(&self, number: u32) {
        self.try_accept(number, &["a@one.example", "b@two.example"]).unwrap();
    }

    pub(super) fn claim(&self, node: usize, which: Which<'_>, limit: usize) -> Claims {
        let name = NodeId(format!("node{node}").into());
        let wish = Wish { node: &name, which, limit, now: self.fixture.now(node), lease: LEASE };
        wait(self.node(node).claim(wish)).unwrap()
    }

    pub(super) fn claim_due(&self, node: usize) -> Claims {
        self.claim(node, Which::Due { by: self.fixture.date(), except: &[] }, MANY)
    }

    pub(super) fn try_one(&self, node: usize, number: u32) -> Option<Claim> {
        let claims = self.claim(node, Which::These(&[id(number)]), MANY);
        claims.given.into_iter().next().map(|claimed| claimed.claim)
    }

    pub(super) fn one(&self, node: usize, number: u32) -> Claim {
        self.try_one(node, number).unwrap_or_else(|| panic!("message {number} is not given to node {node}"))
    }

    pub(super) fn renew(&self, node: usize, claim: &Claim) -> Renewed {
        wait(self.node(node).renew(std::slice::from_ref(claim), self.fixture.now(node), LEASE)).unwrap()
    }

    pub(super) fn release(&self, node: usize, claim: &Claim, not_before: Option<Timestamp>) {
        wait(self.node(node).release(std::slice::from_ref(claim), not_before)).unwrap();
    }

    pub(super) fn record(&self, node: usize, claim: &Claim, words: &Words) -> Result<Recorded, Refused> {
        let Words { number, when, changes, notice, record } = words.clone();
        let store = self.node(node);
        let compose = |number| NewMessage {
            envelope: envelope(number, self.fixture.date(), &["s@one.example"]),
            content: store.sealed(content(number)),
        };
        let notices = notice.map(compose).into_iter().collect();
        let audit = record.map(audit).into_iter().collect();
        wait(store.record(claim, Report { number, when, changes, notices, audit }))
    }

    /// All that waits, with the states of its recipients, as that node sees it.
    pub(super) fn waiting(&self, node: usize) -> Vec<(MessageId, Vec<RecipientState>)> {
        let outlines = wait(self.node(node).outlines(None, MANY)).unwrap();
        outlines.into_iter().map(|outline| (outline.id, outline.states)).collect()
    }

    pub(super) fn waiting_ids(&self, node: usize) -> Vec<MessageId> {
        self.waiting(node).into_iter().map(|(id, _)| id).collect()
    }

    pub(super) fn states(&self, number: u32) -> Option<Vec<RecipientState>> {
        self.waiting(0).into_iter().find(|(waiting, _)| *waiting == id(number)).map(|(_, states)| states)
    }

    pub(super) fn content(&self, node: usize, number: u32) -> Option<Vec<u8>> {
        let store = self.node(node);
        wait(async {
            let loaded = store.load(id(number)).await.unwrap()?;
            assert_eq!(loaded.envelope.id, id(number));
            let mut pieces = loaded.body.pieces().await.unwrap();
            let mut content = Vec::new();
            while let Some(piece) = pieces.next().await.unwrap() {
                content.extend_from_slice(&piece);
            }
            Some(content)
        })
    }

    /// How often the audit log has got the record.
    pub(super) fn times_recorded(&self, number: u32) -> usize {
        self.fixture.records().into_iter().filter(|id| *id == record_id(number)).count()
    }
}
