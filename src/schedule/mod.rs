//! L1: who is tried when. Jobs wait, fall due, take turns by destination, and come back later or never.
//!
//! Must not: do I/O, read a clock, draw random numbers, log, or know what a job does; no message content, no addresses.
//!
//! The driver loop: [`scheduler::Scheduler::poll`] until it no longer says `Run`, sleep until the moment that it names
//! or until something happens, tell each end with [`scheduler::Scheduler::handle_finished`]. [`backoff`] says when a
//! failed job is next due.
//!
//! Invariant: a job runs at most once at a time, and leaves only by `Done` or `remove`.

pub mod backoff;
pub mod job;
pub mod lane;
mod lanes;
mod limits;
mod moment;
mod pages;
pub mod rate;
mod ready;
mod runs;
pub mod scheduler;
pub mod site;
mod sites;
mod slab;
mod turns;
mod waiting;
mod window;
