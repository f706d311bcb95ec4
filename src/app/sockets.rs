//! Every socket that the daemon listens on, bound or taken over before privileges are given up.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::net::listener::{BindError, bind};
use crate::net::passed::PassedSockets;

use super::StartError;

/// `[admin].socket`: owner and group may talk to the daemon.
const CONTROL_SOCKET_MODE: u32 = 0o660;

/// What passed sockets for `[metrics].bind` and `[admin].bind` are called.
const METRICS: &str = "metrics";
const ADMIN: &str = "admin";

/// Bound and listening, not served yet.
#[derive(Debug)]
pub struct Sockets {
    /// Name of the listener, and its socket.
    pub(super) smtp: Vec<(Arc<str>, TcpListener)>,
    pub(super) metrics: Option<TcpListener>,
    pub(super) admin: Option<TcpListener>,
    pub(super) control: ControlSocket,
}

/// The control socket; its file goes when the daemon does.
#[derive(Debug)]
pub(super) struct ControlSocket {
    pub(super) listener: Option<UnixListener>,
    path: PathBuf,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Nothing else could be done about a file that cannot be removed.
        _ = std::fs::remove_file(&self.path);
    }
}

impl Sockets {
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        Self::with(config, PassedSockets::default())
    }

    /// A socket that was passed takes the place of its `bind`; the others are bound here.
    pub(super) fn with(config: &Config, mut passed: PassedSockets) -> Result<Self, StartError> {
        let listeners = config.listeners.iter();
        let of_listeners = listeners.flat_map(|one| one.bind.iter().map(|address| (one.name.as_str(), *address)));
        let metrics = config.metrics.bind.map(|address| (METRICS, address));
        let admin = config.admin.bind.map(|address| (ADMIN, address));
        passed.check(&of_listeners.chain(metrics).chain(admin).collect::<Vec<_>>())?;
        let mut open = |(name, address)| passed.take(name, address).map_or_else(|| bind(address), Ok::<_, BindError>);
        let mut smtp = Vec::new();
        for listener in &config.listeners {
            for address in &listener.bind {
                smtp.push((Arc::from(listener.name.as_str()), open((&listener.name, *address))?));
            }
        }
        let metrics = metrics.map(&mut open).transpose()?;
        let admin = admin.map(&mut open).transpose()?;
        let path = config.admin.socket.clone();
        let control =
            control_socket(&path).map_err(|source| StartError::ControlSocket { path: path.clone(), source })?;
        Ok(Self { smtp, metrics, admin, control: ControlSocket { listener: Some(control), path } })
    }

    /// Where a listener is bound, for ports that the system chose.
    pub fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        let of_listener = self.smtp.iter().filter(|(name, _)| &**name == listener);
        of_listener.filter_map(|(_, socket)| socket.local_addr().ok()).collect()
    }
}

/// A socket file that nobody answers on is left over from a crash and replaced.
fn control_socket(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(CONTROL_SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
