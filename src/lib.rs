//! Gatepost: an SMTP relay that judges the TLS which was negotiated, per domain, and proves what was done.
//!
//! # Layers
//!
//! A module imports strictly lower layers, never sideways; `tests/tidy.rs` says so.
//!
//! | layer | modules | may |
//! |---|---|---|
//! | L0 | [`model`], [`clock`], [`random`] | hold values; the other two alone read a clock and draw random numbers |
//! | L1 | [`smtp`], [`policy`], [`schedule`], [`mail`], [`page`], [`postfix`] | decide: values in, values out; no I/O |
//! | L2a | [`journal`] | be the one commit point |
//! | L2 | [`config`], [`dns`], [`net`], [`tls`], [`spool`], [`memory`], [`audit`], [`metrics`] | one kind of I/O each |
//! | L3 | [`facts`], [`alert`], [`explain`] | ask the world about a destination; tell the administrator; say why |
//! | L4 | [`inbound`], [`outbound`] | drive the state machines; they meet only in the spool |
//! | L4 | [`probe`] | see what a destination can do, by asking it; it goes the ways of [`outbound`] |
//! | L5 | [`app`], [`admin`] | wire, start, reload, drain, answer the operator |
//! | L6 | [`cli`], [`demo`] | a file or folder for each command; the whole system on loopback |

#![cfg_attr(test, allow(clippy::type_complexity))]
#![deny(unsafe_code, missing_debug_implementations, unreachable_pub)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod admin;
pub mod alert;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod dns;
pub mod explain;
pub mod facts;
pub mod inbound;
pub mod journal;
pub mod mail;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod net;
pub mod outbound;
pub mod page;
pub mod policy;
pub mod postfix;
pub mod probe;
pub mod random;
pub mod schedule;
pub mod smtp;
pub mod spool;
pub mod tls;
