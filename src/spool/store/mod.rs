//! The contract of a store: what a node may rely on of whatever keeps its mail, alone or together with other nodes.
//!
//! `docs/STORE.md` says what goes through it today, and how one over an existing database would be made. Each law below
//! has a test of the same number in `src/spool/store/suite`, which every implementation has to pass.
//!
//! Mail:
//! 1. What [`Store::accept`] said `Ok` to is there with its content after every crash, until it is finished.
//! 2. What was not accepted is not there: not before `Ok`, nor after a refusal.
//! 3. A message or a report and all that comes with it (notices, audit records) are written together or not at all.
//!
//! Leases:
//! 4. While a lease lasts nobody else is given the message, neither by its id nor as one that is due.
//! 5. Tokens of a message rise, and none is given twice, also not after a crash.
//! 6. A lease that is not renewed is over after its length, not before, and then anybody may be given the message.
//! 7. A lease that is renewed lasts its new length from then on. One that was lost is named and stays lost.
//! 8. Under a token that is not the newest nothing is written: no state, notice or record, and nobody else's lease is
//!    touched. So the record of an attempt, which is written before content goes out, proves that the lease still held.
//! 9. A lease that is over and that nobody else was given still counts: what was done is better known than done again.
//! 10. What is given back can be claimed by anybody at once. With a moment it is not due before, but can be had by id.
//!
//! Reports:
//! 11. A report that is given again, under the same token and number, changes nothing more.
//! 12. Settled is final: a report about a recipient who is settled, or is not one of the message, is refused whole.
//! 13. The report that settles the last recipient finishes the message: it is not listed, loaded or claimed any more,
//!     and no crash brings it back. Every later word about it is answered [`Refused::Gone`].
//! 14. Who is given a message sees all that was reported before, [`When::Soon`] too.
//! 15. What was reported `Soon` outlasts a crash as a whole or not at all, and surely once a later report or message is
//!     written `Now`.
//! 16. A refusal with [`Fault::NoSpace`] or [`Fault::Busy`] leaves all as it was; the same may be given again later.
//!
//! Finding work:
//! 17. What is given as due is due, longest due first, not more than asked for; recipients whom the operator holds, or
//!     in domains that the node has no use for, make nothing due.
//! 18. [`Claims::again_in`] is never later than the moment from which on there is more to be given.
//! 19. Every message, accepted or given back, is announced to each subscriber after it can be claimed.
//! 20. After a crash all that is unfinished can be claimed, at the latest when the leases that stood then are over.
//! 21. Of two lists of holds the one with the higher version stands, for all nodes, and outlasts a crash.
//!
//! A future that is dropped before its end has done all or nothing; a dropped [`Store::record`] may cost the lease.
//!
//! Must not: know who delivers how, or decide when something is tried.

pub mod due;
mod embedded;
#[cfg(test)]
mod shared;
#[cfg(test)]
pub(crate) mod suite;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::model::domain::Domain;
use crate::model::envelope::Envelope;
use crate::model::id::MessageId;
use crate::model::record::AuditEntry;
use crate::model::time::{Instant, Timestamp};

use super::holds::Holds;
use super::state::{Change, RecipientState};
use super::{BodyError, Fault, LoadError, NewMessage, Outline};

/// A node's handle to the store that it shares with others, or has for itself.
///
/// Moments are the caller's: an [`Instant`] is that of its own clock, read before the call. Whether a lease is over is
/// judged by one clock for all nodes, that of the store; of the caller's it only knows lengths. So a node that stops
/// at [`Claim::until`] by its own clock stops in time, whatever the clocks of the others show.
pub trait Store: Clone + Send + Sync + 'static {
    type Intake: Incoming<Sealed = Self::Sealed>;
    /// Content that is complete and in no message yet.
    type Sealed: Send;
    type Body: Content;

    /// Whether mail can be taken now.
    fn admission(&self) -> Result<(), Fault>;

    /// Content to be filled. Fails at once where [`Store::accept`] would.
    fn begin(&self, id: MessageId) -> Result<Self::Intake, Fault>;

    /// Content of the node's own making, for a notice.
    fn sealed(&self, content: Vec<u8>) -> Self::Sealed;

    /// Makes a message and its records durable. Only after `Ok` may anybody be told that it was accepted.
    fn accept(
        &self,
        message: NewMessage<Self::Sealed>,
        audit: Vec<AuditEntry>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// What waits, in the order of the ids, `after` excluded, at most `limit`. May lag behind `Soon` by a second.
    fn outlines(
        &self,
        after: Option<MessageId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Outline>, Fault>> + Send;

    /// A message whole; `None` if it is not here (any more). States may lag behind `Soon` by a second.
    fn load(&self, id: MessageId) -> impl Future<Output = Result<Option<Loaded<Self::Body>>, LoadError>> + Send;

    /// Leases on messages, so that the node alone delivers them.
    fn claim(&self, wish: Wish<'_>) -> impl Future<Output = Result<Claims, Fault>> + Send;

    /// Has the leases of one node last for `lease` from `now` on.
    fn renew(
        &self,
        claims: &[Claim],
        now: Instant,
        lease: Duration,
    ) -> impl Future<Output = Result<Renewed, Fault>> + Send;

    /// Gives messages back before the leases are over; where `not_before` is given they are not due before it, though
    /// that may be forgotten in a crash. Leases that are lost are passed over.
    fn release(
        &self,
        claims: &[Claim],
        not_before: Option<Timestamp>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Makes durable what became of recipients, with the notices and records that belong to it.
    fn record(
        &self,
        claim: &Claim,
        report: Report<Self::Sealed>,
    ) -> impl Future<Output = Result<Recorded, Refused>> + Send;

    /// The destinations that are held.
    fn holds(&self) -> impl Future<Output = Result<Holds, Fault>> + Send;

    /// Puts a list of them in the place of an older one.
    fn put_holds(&self, holds: Holds, audit: Vec<AuditEntry>) -> impl Future<Output = Result<(), HoldsRefused>> + Send;

    /// Tells what can be claimed from now on. A hint, which may be lost: who also claims what is due when
    /// [`Claims::again_in`] is over, and now and then, misses nothing.
    fn subscribe(&self, sender: UnboundedSender<MessageId>);
}

/// Content on its way in. Dropping it forgets the content.
pub trait Incoming: Send {
    type Sealed;

    /// Adds a piece. After a fault the content is lost, and every later call fails.
    fn append(&mut self, piece: Bytes) -> impl Future<Output = Result<(), Fault>> + Send;

    /// All has been appended.
    fn seal(self) -> impl Future<Output = Result<Self::Sealed, Fault>> + Send;
}

/// The content of a message, to be read from the start as often as needed.
pub trait Content: Send + Sync {
    type Pieces: ContentPieces;

    fn pieces(&self) -> impl Future<Output = Result<Self::Pieces, BodyError>> + Send;
}

/// The way through content. An error at any point means that nothing of it counts.
pub trait ContentPieces: Send {
    /// The next piece, `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, BodyError>> + Send;
}

/// A message with its content.
#[derive(Clone, Debug)]
pub struct Loaded<B> {
    pub envelope: Arc<Envelope>,
    pub states: Vec<RecipientState>,
    pub body: B,
}

/// The name of a node, for the operator and for other nodes to ask it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub Arc<str>);

/// Tells leases on a message apart: a later one has a higher token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u128);

/// What a node wants to deliver.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub node: &'a NodeId,
    pub which: Which<'a>,
    /// Messages at most.
    pub limit: usize,
    pub now: Instant,
    pub lease: Duration,
}

#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// These, due or not: new ones, or such as the operator wants something of.
    These(&'a [MessageId]),
    /// What is due at this moment, `next_attempt` and all.
    Due {
        by: Timestamp,
        /// Recipients there do not count: the node has enough for these destinations, or they are held.
        except: &'a [Domain],
    },
}

/// A lease on one message. It may be copied, but is one node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub message: MessageId,
    pub token: Token,
    /// By the clock of the node: then it has renewed it, or has stopped.
    pub until: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub claim: Claim,
    pub outline: Outline,
}

/// The answer to a [`Wish`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub given: Vec<Claimed>,
    /// Those of [`Which::These`] that others have. What is not here at all is missing in both.
    pub taken: Vec<Taken>,
    /// In which time there may be more to be given; `None`: not before something is announced.
    pub again_in: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub message: MessageId,
    /// Who had it last. Nobody, where the end of a lease is still being written.
    pub by: Option<NodeId>,
}

/// What became of leases that were to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The new end of those that were not lost, by the clock of the node.
    pub until: Instant,
    /// No deliveries of these may be begun. What is under way may come to its end; nobody will hear of it.
    pub lost: Vec<MessageId>,
}

/// What became of recipients of one message, or what is about to be done with them.
#[derive(Debug)]
pub struct Report<C> {
    /// Chosen by the node, a new one for each report under one lease.
    pub number: u16,
    pub when: When,
    /// May be empty. Each recipient once.
    pub changes: Vec<Change>,
    pub notices: Vec<NewMessage<C>>,
    pub audit: Vec<AuditEntry>,
}

/// What `Ok` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It is durable.
    Now,
    /// It will be within a second. With notices it is `Now`.
    Soon,
}

/// What there is of the message after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Open,
    /// Nobody is left to be served. The lease is over.
    Finished,
}

/// Why a report was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody else has the message. Not to be tried again.
    #[error("the lease on the message was lost")]
    Fenced,
    /// The message is finished. Not to be tried again, and nothing is left to do.
    #[error("the message is finished")]
    Gone,
    /// The node does not know its recipients: one is settled, named twice, or not there. It has to load the message.
    #[error("the report does not fit the recipients of the message")]
    Unfit,
    /// The store's. After [`Fault::Unavailable`] it may be written or not; the same report may be given again.
    #[error("{0}")]
    Fault(#[from] Fault),
}

/// Why a list of holds was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldsRefused {
    /// There is another one of the same version or a higher. The caller has to begin with that.
    #[error("the list of holds has changed meanwhile")]
    Outdated,
    #[error("{0}")]
    Fault(#[from] Fault),
}
