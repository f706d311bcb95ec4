//! Where the queue is looked at: in the running daemon, or in the spool of the configuration where none runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::admin::protocol::{Filter, QUEUE_PAGE_MAX, QueueMessage, Request, Response};
use crate::admin::queue::view::{self, Around};
use crate::admin::queue::{HEADER_BYTES_MAX, subject};
use crate::cli::arguments::SocketPath;
use crate::cli::main_file::MainFile;
use crate::cli::output::{Console, Exit, Failure};
use crate::cli::{configuration, socket};
use crate::clock;
use crate::config::Config;
use crate::journal::disk::Disk;
use crate::model::human;
use crate::model::id::MessageId;
use crate::outbound::holds::InForce;
use crate::outbound::outlook::Terms;
use crate::outbound::overview::Stop;
use crate::spool::Stored;
use crate::spool::peek::{Peeked, peek};

/// Who is asked: the daemon, until it turns out that none runs.
pub(super) struct Source<'a> {
    config: Option<&'a Path>,
    at: PathBuf,
    left: Option<Box<Left>>,
}

/// A spool that no daemon has open.
pub(super) struct Left {
    peeked: Peeked,
    holds: InForce,
    /// `None` if it has errors: then nothing is told of what is to come.
    config: Option<Config>,
}

/// Some messages, in the order of their ids.
pub(super) struct Page {
    pub(super) messages: Vec<QueueMessage>,
    /// To go on behind.
    pub(super) after: Option<MessageId>,
    /// There may be more.
    pub(super) more: bool,
}

impl<'a> Source<'a> {
    pub(super) fn find(config: Option<&'a Path>, asked: &SocketPath) -> Result<Self, Failure> {
        Ok(Self { config, at: socket::find(config, asked)?, left: None })
    }

    /// The next messages that the filter means, behind `after`.
    pub(super) fn page(
        &mut self,
        (filter, limit): (&Filter, usize),
        after: Option<MessageId>,
        console: &mut Console<'_>,
    ) -> Result<Page, Failure> {
        let request = Request::QueueList { filter: filter.clone(), after, limit: Some(limit) };
        match self.ask(&request)? {
            Some(Response::Queue { messages, more, after }) => {
                let last = messages.last().map(|message| message.id);
                Ok(Page { messages, more, after: after.or(last) })
            }
            Some(_) => Err(socket::unexpected()),
            None => self.left(console)?.page(filter, after, limit),
        }
    }

    /// One message with its subject; `None` if it is not in the queue.
    pub(super) fn one(
        &mut self,
        id: MessageId,
        console: &mut Console<'_>,
    ) -> Result<Option<Box<QueueMessage>>, Failure> {
        match self.ask(&Request::QueueShow { id })? {
            Some(Response::Message(message)) => Ok(Some(message)),
            Some(Response::NotFound) => Ok(None),
            Some(_) => Err(socket::unexpected()),
            None => self.left(console)?.one(id),
        }
    }

    /// `None` if no daemon runs.
    fn ask(&self, request: &Request) -> Result<Option<Response>, Failure> {
        if self.left.is_some() { Ok(None) } else { socket::ask_if_running(&self.at, request) }
    }

    fn left(&mut self, console: &mut Console<'_>) -> Result<&Left, Failure> {
        let left = match self.left.take() {
            Some(left) => left,
            None => Box::new(Left::open(self.config, &self.at, console)?),
        };
        Ok(self.left.insert(left))
    }
}

impl Left {
    fn open(config: Option<&Path>, at: &Path, console: &mut Console<'_>) -> Result<Self, Failure> {
        let file = configuration::file(config);
        let (spool, loaded) = configured(config);
        let found = match &spool {
            Some(spool) => peek(spool, Arc::new(Disk::default())).map_err(|error| error.to_string()),
            None => Err(format!("{} names no spool", file.display())),
        };
        let peeked = found.map_err(|error| unreachable_both(at, &error))?;
        let at = at.to_string_lossy();
        let at = human::shown(&at);
        writeln!(console.err, "note: no daemon answers on {at}; this is what it will find when it starts")?;
        if loaded.is_none() {
            writeln!(console.err, "note: {} has errors: `gatepost check` tells", file.display())?;
        }
        let flaws = peeked.damage.len() + peeked.unreadable.len();
        if flaws > 0 {
            let flaws = human::count(flaws, "part");
            writeln!(console.err, "note: {flaws} of the spool cannot be read: `gatepost spool check` tells")?;
        }
        let holds = InForce::of(peeked.holds());
        Ok(Self { peeked, holds, config: loaded })
    }

    fn page(&self, filter: &Filter, after: Option<MessageId>, limit: usize) -> Result<Page, Failure> {
        let ids = self.peeked.ids(after, QUEUE_PAGE_MAX);
        let around = self.around();
        let mut page = Page { messages: Vec::new(), after, more: !ids.is_empty() };
        for id in ids {
            if page.messages.len() >= limit {
                break;
            }
            page.after = Some(id);
            if !self.peeked.outline(id).is_some_and(|outline| view::is_meant(filter, &outline, &around)) {
                continue;
            }
            let Some(stored) = self.load(id)? else { continue };
            page.messages.push(view::message((&stored.envelope, &stored.states), &[], &around));
        }
        Ok(page)
    }

    fn one(&self, id: MessageId) -> Result<Option<Box<QueueMessage>>, Failure> {
        let Some(stored) = self.load(id)? else { return Ok(None) };
        let mut message = view::message((&*stored.envelope, &*stored.states), &[], &self.around());
        message.subject = self.peeked.head(&stored, HEADER_BYTES_MAX).ok().and_then(|head| subject(&head));
        Ok(Some(Box::new(message)))
    }

    fn load(&self, id: MessageId) -> Result<Option<Stored>, Failure> {
        self.peeked.load(id).map_err(|error| {
            Failure::new(Exit::No, format!("message {id}: {error}"), "`gatepost spool check` tells what is damaged")
        })
    }

    fn around(&self) -> Around<'_> {
        let terms = self.config.as_ref().map(|config| Terms {
            policies: &config.policies,
            lifetime: config.spool.lifetime,
            bounce_lifetime: config.spool.bounce_lifetime,
            delay_warning: config.spool.delay_warning,
        });
        Around { now: clock::timestamp(), terms, stop: Some(Stop::NotRunning), holds: Some(&self.holds) }
    }
}

/// Where the spool is, however wrong the rest of the configuration is, and all of it if it is right.
fn configured(config: Option<&Path>) -> (Option<PathBuf>, Option<Config>) {
    match configuration::load(config) {
        Ok((loaded, _)) => (Some(loaded.spool.path.clone()), Some(loaded)),
        Err(_) => {
            let main = MainFile::read(&configuration::file(config)).ok();
            (main.and_then(|main| main.path_at("spool", "path")), None)
        }
    }
}

fn unreachable_both(socket: &Path, why: &str) -> Failure {
    let message = format!("no daemon answers on {}, and its spool cannot be read: {why}", socket.display());
    let help = "start the daemon with `gatepost serve`, name its socket with --socket PATH, or run this as its account";
    Failure::new(Exit::Unreachable, message, help)
}
