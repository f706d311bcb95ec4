//! One daemon: its folder with configuration and certificate, and the process with what it says.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::Client;

/// How long anything is waited for; reached only by a failing test.
pub const PATIENCE: Duration = Duration::from_secs(20);

const MAIN_FILE: &str = r#"hostname = "mx1.example.org"
postmaster = "postmaster@lax.example"
domains = "domains.d"
[spool]
path = "spool"
min_free_space = "1MB"
[[listener]]
name = "mx"
bind = ["127.0.0.1:0"]
role = "mx"
[[certificate]]
chain = "server.pem"
key = "server.key"
[audit]
path = "audit"
key = "audit.key"
[metrics]
bind = "off"
[admin]
bind = "off"
socket = "control/control.sock"
[limits]
drain_timeout = "15s"
"#;

/// The folder that a daemon lives in.
pub struct Home {
    folder: TempDir,
    /// DER.
    pub certificate: Vec<u8>,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issued = rcgen::generate_simple_self_signed(vec!["mx1.example.org".to_owned()]).unwrap();
        fs::write(folder.path().join("server.pem"), issued.cert.pem()).unwrap();
        fs::write(folder.path().join("server.key"), issued.signing_key.serialize_pem()).unwrap();
        fs::create_dir(folder.path().join("domains.d")).unwrap();
        fs::write(folder.path().join("gatepost.toml"), MAIN_FILE).unwrap();
        Self { folder, certificate: issued.cert.der().to_vec() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn control_socket(&self) -> PathBuf {
        self.path().join("control/control.sock")
    }

    pub fn domain(&self, name: &str, text: &str) {
        fs::write(self.path().join("domains.d").join(format!("{name}.toml")), text).unwrap();
    }

    pub fn main_file(&self, change: impl Fn(String) -> String) {
        let path = self.path().join("gatepost.toml");
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = self.program("serve");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// The program with the configuration of this home.
    fn program(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args([subcommand, "--config"]).arg(self.path().join("gatepost.toml"));
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Exit code, result and words of a command that ends by itself.
    pub fn run(&self, subcommand: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.program(subcommand).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

/// Exit code and words of a daemon that does not start.
pub fn refused(home: &Home) -> (Option<i32>, String) {
    let output = home.command().output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A running daemon; killed when dropped.
pub struct Process {
    child: RefCell<Child>,
    words: Receiver<String>,
    heard: RefCell<Vec<String>>,
    address: Option<SocketAddr>,
}

impl Process {
    /// Starts it and waits until it listens.
    pub fn start(home: &Home) -> Self {
        let mut child = home.command().spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, words) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut process = Self { child: RefCell::new(child), words, heard: RefCell::default(), address: None };
        let line = process.wait_for("listening");
        process.address = Some(address_in(&line));
        process
    }

    /// Waits until it says a line with these words in it, from now on or unheard so far.
    pub fn wait_for(&self, words: &str) -> String {
        loop {
            let Ok(line) = self.words.recv_timeout(PATIENCE) else {
                panic!("it did not say {words:?}, but: {:#?}", self.heard.borrow());
            };
            self.heard.borrow_mut().push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.borrow().id().try_into().unwrap()), signal).unwrap();
    }

    /// The exit code, `None` if it ended by a signal.
    pub fn wait(&self) -> Option<i32> {
        // Its words end when it does.
        while let Ok(line) = self.words.recv_timeout(PATIENCE) {
            assert!(!line.contains("panic"), "{line}");
            self.heard.borrow_mut().push(line);
        }
        self.child.borrow_mut().wait().unwrap().code()
    }

    pub fn stop(&self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.borrow_mut().kill();
        _ = self.child.borrow_mut().wait();
    }
}

/// The socket address that a log line names.
fn address_in(line: &str) -> SocketAddr {
    let words = line.split(|c: char| c.is_whitespace() || "=\"{},".contains(c));
    words.filter_map(|word| word.parse().ok()).next_back().unwrap_or_else(|| panic!("no address in {line:?}"))
}
