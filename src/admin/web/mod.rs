//! The dashboard: pages that are whole without a script, made from what the daemon knows and from the audit log.
//!
//! Must not: change anything but by what programs ask with the token, or look anything up in the world for a visitor.

mod api;
mod changes;
mod charts;
pub mod door;
mod explain;
mod frame;
mod guard;
mod message;
mod overview;
mod partner;
mod policy;
mod queue;
mod words;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::page::document::STYLE;

use super::desk::Desk;
use super::http;
use super::reading::passes::Passes;
use super::reading::watch::{self, Watch};
use super::secret::Sessions;
use door::Door;
use frame::Frame;

/// Keeps a page up to date without loading it again.
const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("icon.svg");
/// Files that no release changes under the same name.
const FILE_CACHE: &str = "private, max-age=300";
/// The body of a form.
const FORM_BYTES_MAX: usize = 4096;

/// The configuration in force.
pub type ConfigNow = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Who is let in under it.
pub type DoorNow = Arc<ArcSwap<Door>>;

/// What the pages are made from.
pub struct Site {
    desk: Desk,
    config: ConfigNow,
    /// Who is let in.
    door: DoorNow,
    sessions: Sessions,
    watch: Arc<Watch>,
    passes: Arc<Passes>,
    changes: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Site")
    }
}

impl Site {
    /// `log` is the folder of the audit log.
    pub fn new(desk: Desk, config: ConfigNow, door: DoorNow, log: PathBuf) -> Self {
        let (watch, passes) = (Arc::new(Watch::new(log.clone())), Arc::new(Passes::new(log)));
        Self { desk, config, door, sessions: Sessions::default(), watch, passes, changes: Mutex::default() }
    }

    fn door(&self) -> Arc<Door> {
        self.door.load_full()
    }

    /// Runs a change until its end or that of the daemon; false if `changes_max` are under way.
    fn begin(&self, changes_max: usize, change: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        while changes.try_join_next().is_some() {}
        let has_room = changes.len() < changes_max;
        if has_room {
            changes.spawn(change);
        }
        has_room
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, site: Site) {
    let site = Arc::new(site);
    let mut readers = JoinSet::new();
    readers.spawn(watch::run(site.watch.clone()));
    let door = site.door.clone();
    http::serve(listener, router(site), move || door.load().tls()).await;
}

fn router(site: Arc<Site>) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FILE_CACHE)], text) })
    };
    Router::new()
        .route("/", get(overview::page))
        .route("/queue", get(queue::page))
        .route("/message", get(message::search))
        .route("/message/{id}", get(message::page))
        .route("/partners", get(partner::list))
        .route("/partner", get(partner::search))
        .route("/partner/{domain}", get(partner::page))
        .route("/policy", get(policy::page))
        .route("/policy/explain", get(explain::page))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/posture", get(api::posture))
        .route("/api/v1/stricter", get(api::stricter))
        .route("/api/v1/queue", get(api::queue))
        .route("/api/v1/queue/destinations", get(api::destinations))
        .route("/api/v1/queue/holds", get(api::holds))
        .route("/api/v1/messages/{id}", get(api::message))
        .route("/api/v1/explain", get(api::explained))
        .merge(changes::routes())
        .route("/login", get(door::page).post(door::log_in))
        .route("/logout", post(door::log_out))
        .route("/static/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/static/live.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/static/icon.svg", file("image/svg+xml", ICON))
        .fallback(frame::not_found)
        .method_not_allowed_fallback(api::other_method)
        // Chunks of one octet cost many times what they carry.
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(site.clone(), door::let_in))
        .layer(axum::middleware::from_fn_with_state(site.clone(), guard::guard))
        .with_state(site)
}

/// A page with the frame of all pages around it.
fn shown(site: &Site, frame: &Frame<'_>, body: &Markup) -> Response {
    Html(frame.around(&(site.desk.status)(), site.door().asks_for_login(), body).into_string()).into_response()
}

/// A part of a page that the script keeps up to date.
fn part(id: &str, class: &str, body: &Markup) -> Markup {
    html! { section id=(id) class=(class) data-part { (body) } }
}
