//! The load generator of `benches/compare`: `source` sends mail, `sink` takes it and counts what is lost or doubled.
//!
//! `cargo bench --bench load -- source --to 127.0.0.1:2525 --sessions 50 --seconds 3`
//!
//! Both are for loopback only: certificates are not verified, and mail from elsewhere is not taken. Every TLS session
//! is a full handshake. Results are one line of JSON each on the standard output.

mod figures;
mod message;
mod sink;
mod source;
mod tally;
mod tls;
mod wire;

use std::error::Error;

use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Builder;

#[derive(Debug, Parser)]
#[command(about = "Sends mail through a relay, and counts it behind the relay")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Sends messages until its time is over or all are accepted, then says how that went.
    Source(source::Plan),
    /// Takes messages until its standard input ends; answers `count RUN` and `report RUN MESSAGES` that it reads there.
    Sink(sink::Plan),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (_, descriptors_max) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, descriptors_max, descriptors_max)?;
    // One thread: the relay under load needs the other cores.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match arguments.part {
        Part::Source(plan) => runtime.block_on(source::run(plan)),
        Part::Sink(plan) => runtime.block_on(sink::run(plan)),
    }
}
