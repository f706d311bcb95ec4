//! The source: sessions that send one message after another, as fast as the relay takes them.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::figures::{cpu_seconds, now_ns, percentile_ms};
use crate::message::{self, Mark};
use crate::tls::{self, RELAY_NAME};
use crate::wire::{Reply, Wire, fault};

/// A session gives up after so many errors.
const ERRORS_MAX: u32 = 50;
const ERROR_PAUSE: Duration = Duration::from_millis(20);
const ERROR_TEXT_CHARS_MAX: usize = 90;
/// What has begun when the time is over may still end.
const GRACE: Duration = Duration::from_secs(60);
/// Header and so much of the body go in one write.
const FIRST_WRITE_BYTES: usize = 64 * 1024;
const EHLO: &str = "EHLO source.load.example";
const FROM: &str = "sender@source.example";

#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// The relay.
    #[arg(long)]
    to: SocketAddr,
    /// The number that marks the messages of this run.
    #[arg(long, default_value_t = 1)]
    run: u64,
    #[arg(long, default_value_t = 1)]
    sessions: u64,
    #[arg(long, default_value_t = u64::MAX)]
    messages: u64,
    /// No message is begun later than this.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Octets of a body.
    #[arg(long, default_value_t = 10_240)]
    size: usize,
    /// Messages of one connection; 0: as many as come.
    #[arg(long, default_value_t = 0)]
    per_connection: u64,
    #[arg(long)]
    starttls: bool,
    /// Wait for each reply, whatever the relay offers.
    #[arg(long)]
    no_pipelining: bool,
    /// Where to: `user@DOMAIN`.
    #[arg(long, default_value = "load.example")]
    domain: String,
    /// More than one: `user@dN.DOMAIN`, in turn.
    #[arg(long, default_value_t = 1)]
    destinations: u64,
}

struct Source {
    plan: Plan,
    connector: Option<TlsConnector>,
    body: Vec<u8>,
    next: AtomicU64,
    begin_until: Instant,
}

/// What one session did.
#[derive(Debug, Default)]
struct Done {
    first_ns: Option<u64>,
    last_ns: u64,
    /// From the last octet of a message to its 250.
    waits_ns: Vec<u64>,
    /// From the first packet to the end of EHLO.
    setups_ns: Vec<u64>,
    /// Begun, and not known to be accepted.
    unaccepted: Vec<u64>,
    errors: BTreeMap<String, u64>,
    error_count: u32,
}

pub async fn run(plan: Plan) -> Result<(), Box<dyn Error>> {
    if !plan.to.ip().is_loopback() {
        return Err("only relays on loopback are put under load".into());
    }
    let connector = if plan.starttls { Some(tls::connector()?) } else { None };
    let body = message::body(plan.size);
    let begin_until = Instant::now() + Duration::from_secs_f64(plan.seconds);
    let source = Arc::new(Source { plan, connector, body, next: AtomicU64::new(0), begin_until });
    let sessions: Vec<_> = (0..source.plan.sessions)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { source.session().await })
        })
        .collect();
    let mut total = Done::default();
    for session in sessions {
        total.add(session.await?);
    }
    total.print(source.next.load(Ordering::Relaxed).min(source.plan.messages));
    Ok(())
}

impl Source {
    /// Connections, one after the other, until there is nothing more to send.
    async fn session(&self) -> Done {
        let mut done = Done::default();
        let mut number = self.take_number();
        while let Some(current) = number {
            if done.error_count >= ERRORS_MAX || Instant::now() >= self.begin_until + GRACE {
                done.unaccepted.push(current);
                break;
            }
            let mut left = Some(current);
            if let Err(error) = self.connection(&mut left, &mut done).await {
                done.note(&error);
                tokio::time::sleep(ERROR_PAUSE).await;
            }
            // What failed is sent again, so that only what stays without a 250 is not accepted.
            number = left.or_else(|| self.take_number());
        }
        done
    }

    fn take_number(&self) -> Option<u64> {
        if Instant::now() >= self.begin_until {
            return None;
        }
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.plan.messages)
    }

    /// `number` is the message in hand: `None` when it is accepted and no other was begun.
    async fn connection(&self, number: &mut Option<u64>, done: &mut Done) -> io::Result<()> {
        let began = Instant::now();
        done.first_ns.get_or_insert_with(now_ns);
        let (mut wire, is_pipelining) = self.within(self.open()).await?;
        done.setups_ns.push(nanos(began));
        let mut sent = 0;
        while let Some(current) = *number {
            let wait = self.within(self.transaction(&mut wire, current, is_pipelining)).await?;
            done.waits_ns.push(wait);
            done.last_ns = now_ns();
            sent += 1;
            *number = if sent == self.plan.per_connection { None } else { self.take_number() };
        }
        let quit = self.within(wire.command("QUIT", 2)).await;
        wire.close().await;
        quit.map(|_: Reply| ()).or(Ok(()))
    }

    async fn within<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        timeout_at(self.begin_until + GRACE, work).await.unwrap_or_else(|_| Err(fault("out of time")))
    }

    async fn open(&self) -> io::Result<(Wire, bool)> {
        let stream = TcpStream::connect(self.plan.to).await?;
        stream.set_nodelay(true)?;
        let mut wire = Wire::new(stream);
        wire.expect(2).await?;
        let mut extensions = wire.command(EHLO, 2).await?;
        if let Some(connector) = &self.connector {
            wire.command("STARTTLS", 2).await?;
            let name = ServerName::try_from(RELAY_NAME).map_err(|_| fault("no name"))?;
            wire = Wire::new(connector.connect(name, wire.into_stream()?).await?);
            extensions = wire.command(EHLO, 2).await?;
        }
        let is_pipelining = !self.plan.no_pipelining && extensions.text.to_ascii_uppercase().contains("PIPELINING");
        Ok((wire, is_pipelining))
    }

    /// The nanoseconds from the end of the message to its 250.
    async fn transaction(&self, wire: &mut Wire, number: u64, is_pipelining: bool) -> io::Result<u64> {
        let Plan { domain, destinations, run, .. } = &self.plan;
        let to = match destinations {
            0 | 1 => format!("user@{domain}"),
            _ => format!("user@d{}.{domain}", number % destinations),
        };
        let commands = [format!("MAIL FROM:<{FROM}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()];
        let classes = [2, 2, 3];
        if is_pipelining {
            wire.send(format!("{}\r\n", commands.join("\r\n")).as_bytes()).await?;
            for class in classes {
                wire.expect(class).await?;
            }
        } else {
            for (command, class) in commands.iter().zip(classes) {
                wire.command(command, class).await?;
            }
        }
        let mut head = Mark::now(*run, number).header(FROM, &to).into_bytes();
        let (first, rest) = self.body.split_at(self.body.len().min(FIRST_WRITE_BYTES));
        head.extend_from_slice(first);
        wire.send(&head).await?;
        if !rest.is_empty() {
            wire.send(rest).await?;
        }
        let sent = Instant::now();
        wire.expect(2).await?;
        Ok(nanos(sent))
    }
}

impl Done {
    fn note(&mut self, error: &io::Error) {
        self.error_count += 1;
        let text = error.to_string().chars().take(ERROR_TEXT_CHARS_MAX).collect();
        *self.errors.entry(text).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.first_ns = [self.first_ns, other.first_ns].into_iter().flatten().min();
        self.last_ns = self.last_ns.max(other.last_ns);
        self.waits_ns.extend(other.waits_ns);
        self.setups_ns.extend(other.setups_ns);
        self.unaccepted.extend(other.unaccepted);
        for (text, count) in other.errors {
            *self.errors.entry(text).or_default() += count;
        }
    }

    fn print(mut self, begun: u64) {
        self.waits_ns.sort_unstable();
        self.setups_ns.sort_unstable();
        let first_ns = self.first_ns.unwrap_or(0);
        let line = json!({
            "begun": begun,
            "accepted": self.waits_ns.len(),
            "unaccepted": self.unaccepted,
            "connections": self.setups_ns.len(),
            "first_ns": first_ns,
            "last_ns": self.last_ns,
            "seconds": self.last_ns.saturating_sub(first_ns) as f64 / 1e9,
            "p50_ms": percentile_ms(&self.waits_ns, 0.5),
            "p99_ms": percentile_ms(&self.waits_ns, 0.99),
            "setup_p50_ms": percentile_ms(&self.setups_ns, 0.5),
            "setup_p99_ms": percentile_ms(&self.setups_ns, 0.99),
            "errors": self.errors,
            "cpu_s": cpu_seconds(),
        });
        println!("{line}");
    }
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
