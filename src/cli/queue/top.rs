//! `gatepost queue top`: the destinations from above, as a table or as a screen that is drawn anew each second.

pub(super) mod page;
mod screen;

use std::io::{self, IsTerminal as _};
use std::path::Path;

use crate::admin::protocol::{Request, Response, Top};
use crate::cli::arguments::{QueueTop, TopOrder};
use crate::cli::output::{Console, Exit, Failure, WIDTH_COLUMNS};
use crate::cli::socket;
use crate::outbound::overview::Order;

/// Destinations of one look where nobody says how many.
const DESTINATIONS_SHOWN: usize = 20;

pub(super) fn run(at: &Path, asked: &QueueTop, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let order = order(asked.sort);
    let limit = asked.limit.map(usize::from);
    if !json && !asked.once && io::stdout().is_terminal() {
        return screen::run(at, limit, order);
    }
    let top = look(at, limit.unwrap_or(DESTINATIONS_SHOWN), order)?;
    if json {
        console.json(&top)?;
    } else {
        for line in page::lines(&top, page::Room { columns: columns(), rows: usize::MAX }) {
            writeln!(console.out, "{line}")?;
        }
    }
    Ok(Exit::Done)
}

const fn order(asked: TopOrder) -> Order {
    match asked {
        TopOrder::Messages => Order::Count,
        TopOrder::Age => Order::Age,
        TopOrder::Active => Order::Active,
        TopOrder::Rate => Order::Rate,
    }
}

fn look(at: &Path, limit: usize, order: Order) -> Result<Box<Top>, Failure> {
    match socket::ask_silently(at, &Request::QueueTop { limit, order })? {
        Response::Top(top) => Ok(top),
        _ => Err(socket::unexpected()),
    }
}

/// Of the terminal, if it is one.
fn columns() -> usize {
    let size = console::Term::stdout().size_checked();
    size.map_or(WIDTH_COLUMNS, |(_, columns)| usize::from(columns).max(WIDTH_COLUMNS))
}
