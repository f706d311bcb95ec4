//! What waits to be delivered: a job for each group of recipients that travel together, in few octets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::schedule::job::JobId;
use crate::schedule::lane::LaneKey;
use crate::schedule::site::SiteKey;

use super::attempt::Work;
use super::destination::Destination;
use super::lacking::{Lacking, TlsWaits};

/// A destination and the name of its lane, once for all jobs that go there.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) destination: Destination,
    pub(super) key: LaneKey,
    /// Who serves it, as far as the scheduler was told.
    pub(super) site: ArcSwapOption<SiteKey>,
}

impl Lane {
    pub(super) fn of(destination: Destination) -> Self {
        Self { key: destination.lane(), destination, site: ArcSwapOption::empty() }
    }
}

/// The jobs of the dispatcher.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// By number.
    jobs: Vec<Option<Job>>,
    /// Numbers that nobody has.
    free: Vec<JobId>,
    /// The newest job of each message.
    by_message: BTreeMap<MessageId, JobId>,
    lanes: HashMap<Destination, Arc<Lane>>,
    /// Those that wait because of TLS.
    lacking: Lacking,
}

#[derive(Debug)]
struct Job {
    message: MessageId,
    lane: Arc<Lane>,
    recipients: Places,
    /// The next job of the same message, or [`NONE`].
    next: JobId,
}

/// What a job takes beside the entry of its message.
const JOB_BYTES_MAX: usize = 48;
const _: () = assert!(size_of::<Option<Job>>() <= JOB_BYTES_MAX);

const NONE: JobId = JobId(u64::MAX);
/// Room for so many jobs is kept when there are none.
const IDLE_JOBS_MAX: usize = 1024;

/// Places in an envelope. Most messages have one recipient.
#[derive(Debug)]
enum Places {
    One(u32),
    Many(Box<[u32]>),
}

impl Places {
    fn new(places: Vec<u32>) -> Self {
        match *places {
            [place] => Self::One(place),
            _ => Self::Many(places.into()),
        }
    }

    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }
}

impl Jobs {
    /// Takes a job and gives it a number.
    pub(super) fn add(&mut self, message: MessageId, destination: Destination, recipients: Vec<u32>) -> JobId {
        let lane = self.lane(destination);
        let id = self.free.pop().unwrap_or(JobId(self.jobs.len() as u64));
        let next = self.by_message.insert(message, id).unwrap_or(NONE);
        let job = Some(Job { message, lane, recipients: Places::new(recipients), next });
        match usize::try_from(id.0).ok().and_then(|place| self.jobs.get_mut(place)) {
            Some(place) => *place = job,
            None => self.jobs.push(job),
        }
        id
    }

    fn lane(&mut self, destination: Destination) -> Arc<Lane> {
        if let Some(lane) = self.lanes.get(&destination) {
            return lane.clone();
        }
        let lane = Arc::new(Lane::of(destination.clone()));
        self.lanes.insert(destination, lane.clone());
        lane
    }

    pub(super) fn remove(&mut self, id: JobId) {
        let Some(job) = self.place(id).and_then(Option::take) else { return };
        self.free.push(id);
        self.lacking.set(id, None);
        self.unlink(id, &job);
        // One here and one in the table: nobody else goes there.
        if Arc::strong_count(&job.lane) == 2 {
            self.lanes.remove(&job.lane.destination);
        }
        if self.by_message.is_empty() && self.jobs.len() > IDLE_JOBS_MAX {
            (self.jobs, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Takes a job out of the chain of its message.
    fn unlink(&mut self, id: JobId, job: &Job) {
        let first = self.by_message.get(&job.message).copied();
        if first == Some(id) {
            match job.next {
                NONE => _ = self.by_message.remove(&job.message),
                next => _ = self.by_message.insert(job.message, next),
            }
            return;
        }
        let before =
            self.of_message(job.message).into_iter().find(|before| self.job(*before).is_some_and(|b| b.next == id));
        if let Some(Some(before)) = before.and_then(|before| self.place(before)) {
            before.next = job.next;
        }
    }

    pub(super) fn set_recipients(&mut self, id: JobId, recipients: Vec<u32>) {
        if let Some(Some(job)) = self.place(id) {
            job.recipients = Places::new(recipients);
        }
    }

    /// Why the last attempt failed; `None` if it did not, or if there was none.
    pub(super) fn set_trouble(&mut self, id: JobId, reason: Option<Reason>) {
        if self.job(id).is_some() {
            self.lacking.set(id, reason);
        }
    }

    /// How many jobs wait for want of TLS.
    pub(super) fn lacking(&self) -> TlsWaits {
        self.lacking.counts()
    }

    /// What is to be done, as an attempt takes it.
    pub(super) fn work(&self, id: JobId) -> Option<Work> {
        let job = self.job(id)?;
        let recipients = job.recipients.as_slice().to_vec();
        Some(Work { message: job.message, lane: job.lane.clone(), recipients })
    }

    pub(super) fn message(&self, id: JobId) -> Option<MessageId> {
        self.job(id).map(|job| job.message)
    }

    pub(super) fn lane_of(&self, id: JobId) -> Option<&Arc<Lane>> {
        self.job(id).map(|job| &job.lane)
    }

    pub(super) fn recipients(&self, id: JobId) -> &[u32] {
        self.job(id).map_or(&[], |job| job.recipients.as_slice())
    }

    /// The jobs of a message, the newest first.
    pub(super) fn of_message(&self, message: MessageId) -> Vec<JobId> {
        let first = self.by_message.get(&message).copied();
        std::iter::successors(first, |id| self.job(*id).map(|job| job.next).filter(|next| *next != NONE)).collect()
    }

    pub(super) fn has_message(&self, message: MessageId) -> bool {
        self.by_message.contains_key(&message)
    }

    /// All messages that have jobs, in the order of their ids.
    pub(super) fn messages(&self) -> impl Iterator<Item = MessageId> {
        self.by_message.keys().copied()
    }

    fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(usize::try_from(id.0).ok()?)?.as_ref()
    }

    fn place(&mut self, id: JobId) -> Option<&mut Option<Job>> {
        self.jobs.get_mut(usize::try_from(id.0).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32) -> MessageId {
        MessageId::from_u128(number.into())
    }

    fn to(host: &str) -> Destination {
        Destination::named(host)
    }

    #[test]
    fn the_jobs_of_a_message_are_found_whichever_of_them_leave() {
        for gone in [[0usize, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut jobs = Jobs::default();
            let other = jobs.add(message(2), to("b.example"), vec![7]);
            let of_one: Vec<JobId> =
                (0..3).map(|place| jobs.add(message(1), to("a.example"), vec![place, place + 10])).collect();
            let mut left: Vec<JobId> = of_one.iter().rev().copied().collect();
            for at in gone {
                assert_eq!(jobs.of_message(message(1)), left);
                let work = jobs.work(of_one[at]).unwrap();
                assert_eq!((work.message, work.recipients), (message(1), vec![at as u32, at as u32 + 10]));
                jobs.remove(of_one[at]);
                left.retain(|id| *id != of_one[at]);
            }
            assert_eq!((jobs.has_message(message(1)), jobs.recipients(of_one[0])), (false, [].as_slice()));
            assert_eq!((jobs.of_message(message(2)), jobs.recipients(other)), (vec![other], [7].as_slice()));
            assert_eq!(jobs.messages().collect::<Vec<_>>(), [message(2)]);
        }
    }

    #[test]
    fn jobs_for_one_destination_share_its_name_and_it_goes_with_the_last_of_them() {
        let mut jobs = Jobs::default();
        let ids: Vec<JobId> = (0..3).map(|number| jobs.add(message(number), to("a.example"), vec![0])).collect();
        assert!(Arc::ptr_eq(jobs.lane_of(ids[0]).unwrap(), jobs.lane_of(ids[2]).unwrap()));
        for id in ids {
            assert_eq!(jobs.lanes.len(), 1);
            jobs.remove(id);
        }
        assert_eq!(jobs.lanes.len(), 0);
    }

    #[test]
    fn numbers_are_used_again_and_room_that_a_backlog_took_is_given_back() {
        let mut jobs = Jobs::default();
        let first = jobs.add(message(1), to("a.example"), vec![0]);
        jobs.set_recipients(first, vec![3]);
        assert_eq!(jobs.recipients(first), [3]);
        jobs.remove(first);
        assert_eq!(jobs.add(message(2), to("a.example"), vec![0]), first);
        let count = 2 * IDLE_JOBS_MAX as u32;
        let many: Vec<JobId> = (3..count).map(|number| jobs.add(message(number), to("a.example"), vec![0])).collect();
        many.into_iter().chain([first]).for_each(|id| jobs.remove(id));
        assert_eq!((jobs.jobs.capacity(), jobs.free.capacity()), (0, 0));
    }
}
