//! Writes the audit log of a busy week: realistic mail of some thousand senders, judged by the engine, through the real
//! writer; and beside it `truth.json`, which sessions the senders to one domain were given.
//!
//! `cargo bench --bench audit_traffic -- --out DIR --records 5000000`

#[path = "audit_traffic/rhythm.rs"]
mod rhythm;
#[path = "audit_traffic/scene.rs"]
mod scene;
#[path = "audit_traffic/sessions.rs"]
mod sessions;
#[path = "audit_traffic/traffic.rs"]
mod traffic;
#[path = "audit_traffic/truth.rs"]
mod truth;
#[path = "audit_traffic/world.rs"]
mod world;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use gatepost::audit::event::Stamp;
use gatepost::audit::log::SEGMENT_BYTES_MAX;
use gatepost::clock;
use gatepost::model::time::Timestamp;

use crate::rhythm::Rhythm;
use crate::scene::Scene;
use crate::traffic::Traffic;
use crate::world::World;

/// Lines that one arrival at the relay leaves on average, a little less than it does: the log ends just before its end.
const RECORDS_PER_ARRIVAL: f64 = 2.85;
const DAY: Duration = Duration::from_secs(86_400);
const NODE: &str = "mx1";

#[derive(Debug, Parser)]
struct Arguments {
    /// The folder to write into: configuration, key, `audit` and `truth.json`. Made; what it has of these is an error.
    #[arg(long)]
    out: PathBuf,
    /// Lines of mail on record; checkpoints come on top.
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// The same seed and end give the same traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The length of the log.
    #[arg(long, default_value_t = 7)]
    days: u32,
    /// When a segment is followed by a new one.
    #[arg(long, default_value_t = SEGMENT_BYTES_MAX)]
    segment_bytes: u64,
    /// The end of the log as RFC 3339; default: now.
    #[arg(long)]
    until: Option<Timestamp>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let began = clock::now();
    let scene = Scene::write(&arguments.out)?;
    let until = arguments.until.unwrap_or_else(clock::timestamp);
    let from = until - DAY * arguments.days;
    let mut random = fastrand::Rng::with_seed(arguments.seed);
    let world = World::new(&mut random);
    let arrivals = (arguments.records as f64 / RECORDS_PER_ARRIVAL) as u64;
    let rhythm = Rhythm::new(from, until, arrivals);
    let stamp = Stamp { node: NODE.into(), config: scene.config.digest.as_str().into() };
    let log = scene.log(&stamp, arguments.segment_bytes)?;
    let traffic = Traffic::new(&scene, &world, &stamp, random);
    let (last, truth) = traffic.write(rhythm, arguments.records, log)?;
    truth.write(&world, &arguments.out.join("truth.json"))?;
    let took = clock::now().saturating_since(began);
    println!(
        "{} records from {from} to {last} in {:.1} s, {:.0} a second",
        arguments.records,
        took.as_secs_f64(),
        arguments.records as f64 / took.as_secs_f64()
    );
    Ok(())
}
