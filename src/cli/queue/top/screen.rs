//! The screen of `queue top`: drawn anew each second and when the terminal changes its size, until a key ends it.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::admin::protocol::Top;
use crate::cli::output::{BAD, Exit, Failure, WIDTH_COLUMNS};
use crate::clock;
use crate::model::human::{cut, shown, span};
use crate::model::time::Instant;
use crate::outbound::overview::{DESTINATIONS_MAX, Order};

use super::look;
use super::page::{self, HEAD_ROWS, Room};

const INTERVAL: Duration = Duration::from_secs(1);
/// After this it is told that there is no answer.
const SILENCE: Duration = Duration::from_secs(3);
/// Keys that wait for the screen.
const KEYS_MAX: usize = 16;
const ROWS: usize = 24;

/// Ctrl-C, which the terminal is told not to turn into a signal, and escape.
const INTERRUPT: u8 = 3;
const ESCAPE: u8 = 27;

/// Another screen, without cursor; the old one comes back at the end.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first place; to the end of the line; to the end of the screen.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// Nothing is drawn before the daemon has answered once.
pub(super) fn run(at: &Path, limit: Option<usize>, order: Order) -> Result<Exit, Failure> {
    let top = look(at, limit.unwrap_or(rows_for_destinations(room())), order)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = {
        let _terminal = Terminal::take()?;
        let watch = Watch { at: at.to_owned(), limit, order, top, answered_at: clock::now(), trouble: None };
        runtime.block_on(watch.run())
    };
    // A look that is under way is not waited for.
    runtime.shutdown_background();
    ended.map(|()| Exit::Done)
}

struct Watch {
    at: PathBuf,
    limit: Option<usize>,
    order: Order,
    /// The newest answer, and when it came.
    top: Box<Top>,
    answered_at: Instant,
    /// Why there is no newer one.
    trouble: Option<String>,
}

impl Watch {
    async fn run(mut self) -> Result<(), Failure> {
        let mut keys = keys();
        let mut resized = signal(SignalKind::window_change())?;
        let mut ends = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        let [interrupt, terminate] = &mut ends;
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (answers, mut answered) = mpsc::channel(1);
        let mut is_asking = false;
        loop {
            self.draw()?;
            tokio::select! {
                _ = tick.tick() => {
                    if !std::mem::replace(&mut is_asking, true) {
                        self.ask(answers.clone());
                    }
                }
                Some(answer) = answered.recv() => {
                    is_asking = false;
                    match answer {
                        Ok(top) => (self.top, self.answered_at, self.trouble) = (top, clock::now(), None),
                        Err(why) => self.trouble = Some(why),
                    }
                }
                Some(key) = keys.recv() => match key {
                    b'q' | b'Q' | INTERRUPT | ESCAPE => return Ok(()),
                    b's' | b'S' => {
                        self.order = next(self.order);
                        tick.reset_immediately();
                    }
                    _ => {}
                },
                _ = resized.recv() => {}
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            }
        }
    }

    fn ask(&self, answers: mpsc::Sender<Result<Box<Top>, String>>) {
        let (at, order) = (self.at.clone(), self.order);
        let limit = self.limit.unwrap_or(rows_for_destinations(room()));
        tokio::task::spawn_blocking(move || {
            _ = answers.blocking_send(look(&at, limit, order).map_err(Failure::into_message));
        });
    }

    /// In one write, so that nothing flickers.
    fn draw(&self) -> Result<(), Failure> {
        let age = clock::now().saturating_since(self.answered_at);
        let silence = (age >= SILENCE).then(|| format!("no answer for {}", span(age)));
        let frame = frame(&self.top, self.trouble.clone().or(silence).as_deref(), self.order, room());
        let is_plain = anstream::AutoStream::choice(&io::stdout()) == anstream::ColorChoice::Never;
        let mut text = String::from(HOME);
        for (place, line) in frame.iter().enumerate() {
            let line = if is_plain { anstream::adapter::strip_str(line).to_string() } else { line.clone() };
            text.push_str(if place == 0 { "" } else { "\r\n" });
            text.push_str(&line);
            text.push_str(CLEAR_LINE);
        }
        text.push_str(CLEAR_REST);
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// The whole screen: the page, and on the last row what the keys do.
fn frame(top: &Top, trouble: Option<&str>, order: Order, room: Room) -> Vec<String> {
    let inner = Room { rows: room.rows.saturating_sub(1), ..room };
    let mut lines = page::lines(top, inner);
    if let Some(trouble) = trouble {
        let text = format!("NOT UP TO DATE: {}", shown(trouble));
        let text = cut(&text, room.columns).into_owned();
        lines.insert(0, format!("{BAD}{text}{BAD:#}"));
        lines.truncate(inner.rows);
    }
    lines.resize(inner.rows, String::new());
    lines.push(page::foot(word(order), top.at, room.columns));
    lines
}

const fn word(order: Order) -> &'static str {
    match order {
        Order::Count => "messages",
        Order::Age => "age",
        Order::Active => "active",
        Order::Rate => "rate",
    }
}

const fn next(order: Order) -> Order {
    match order {
        Order::Count => Order::Age,
        Order::Age => Order::Active,
        Order::Active => Order::Rate,
        Order::Rate => Order::Count,
    }
}

fn room() -> Room {
    let size = console::Term::stdout().size_checked();
    let (rows, columns) = size.map_or((ROWS, WIDTH_COLUMNS), |(rows, columns)| (rows.into(), columns.into()));
    Room { rows, columns: columns.max(WIDTH_COLUMNS) }
}

/// Those that fit below the head and the titles and above the keys.
fn rows_for_destinations(room: Room) -> usize {
    room.rows.saturating_sub(HEAD_ROWS + 1).clamp(1, DESTINATIONS_MAX)
}

/// What is typed. Its thread waits for input for as long as the program runs.
fn keys() -> mpsc::Receiver<u8> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        for key in io::stdin().lock().bytes().map_while(Result::ok) {
            if sender.blocking_send(key).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The terminal as the screen needs it. Dropped, it is as it was.
struct Terminal {
    /// `None`: the keys come from something else.
    before: Option<Termios>,
}

impl Terminal {
    fn take() -> io::Result<Self> {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
            tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        }
        let terminal = Self { before };
        io::stdout().write_all(ENTER.as_bytes())?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        if let Some(before) = &self.before {
            _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::queue::top::page::tests::top;

    #[test]
    fn the_screen_is_filled_whatever_its_size_and_ends_with_the_keys() {
        for (rows, columns) in [(24, 80), (50, 200), (3, 80), (1, 80)] {
            for trouble in [None, Some("no daemon answers")] {
                let frame = frame(&top(30), trouble, Order::Age, Room { rows, columns });
                let plain: Vec<String> =
                    frame.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
                assert_eq!(plain.len(), rows);
                assert!(plain.iter().all(|line| line.chars().count() <= columns), "{plain:#?}");
                assert!(plain.last().unwrap().contains("q: end") && plain.last().unwrap().ends_with("sorted by age"));
                assert!(rows < 3 || plain[0].starts_with("NOT UP TO DATE") == trouble.is_some());
            }
        }
    }
}
