//! A daemon whose certificates change under its sessions.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::admin::protocol::Response;
use crate::app::{Environment, Prepared, Sockets, load, reload};

const MAIN_FILE: &str = r#"hostname = "mx1.example.org"
postmaster = "postmaster@example.org"
domains = "domains.d"
[spool]
path = "spool"
min_free_space = "1MB"
[[listener]]
name = "mx"
bind = ["127.0.0.1:0"]
role = "mx"
tls = "implicit"
[[certificate]]
chain = "a.pem"
key = "a.key"
[dns]
servers = ["127.0.0.1:53"]
[audit]
path = "audit"
key = "audit.key"
[metrics]
bind = "off"
[admin]
bind = "off"
socket = "control.sock"
"#;

async fn start(stage: &Stage) -> Running {
    std::fs::create_dir(stage.folder.path().join("domains.d")).unwrap();
    stage.write("gatepost.toml", MAIN_FILE);
    let options = crate::app::Options { config: stage.folder.path().join("gatepost.toml"), accept_damage: false };
    let config = load(&options).unwrap();
    let sockets = Sockets::bind(&config).unwrap();
    let environment = Environment::of_system(&config).unwrap();
    Running::start(Prepared::new(config).unwrap(), sockets, environment, false).await.unwrap()
}

/// A session that was greeted.
struct Client(BufStream<TlsStream<TcpStream>>);

impl Client {
    async fn connect(running: &Running, stage: &Stage) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(stage.authority.certificate_der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = versions.with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(running.addresses().smtp[0].1).await.unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let mut client = Self(BufStream::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()));
        assert!(client.line().await.starts_with("220 "));
        client
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }

    async fn say(&mut self, line: &str) -> String {
        self.0.write_all(line.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        self.line().await
    }

    fn certificate(&self) -> CertificateDer<'static> {
        let (_, connection) = self.0.get_ref().get_ref();
        connection.peer_certificates().unwrap()[0].clone()
    }
}

async fn served(running: &Running, stage: &Stage) -> CertificateDer<'static> {
    Client::connect(running, stage).await.certificate()
}

async fn renew_now(running: &Running) {
    let seen = running.certificates.load().look();
    renew(running, seen).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_served_while_sessions_go_on() {
    let stage = Stage::new();
    stage.renew("a", 20);
    let running = start(&stage).await;
    let mut session = Client::connect(&running, &stage).await;

    stage.renew("a", 90);
    renew_now(&running).await;
    let renewed = served(&running, &stage).await;
    assert_ne!(renewed, session.certificate());
    assert_eq!(session.say("NOOP\r\n").await, "250 2.0.0 Ok\r\n");

    stage.write("a.pem", "no certificate");
    renew_now(&running).await;
    assert_eq!(served(&running, &stage).await, renewed);
    assert_eq!(running.metrics.certificate_last_reload_successful.get(), 0);
    assert_eq!(in_use(&running.certificates.load(), stage.now), [(90, true)]);

    stage.renew("a", 60);
    renew_now(&running).await;
    assert_ne!(served(&running, &stage).await, renewed);
    assert_eq!(running.metrics.certificate_last_reload_successful.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_change_that_was_seen_before_a_reload_does_not_undo_it() {
    let stage = Stage::new();
    stage.renew("a", 20);
    stage.renew("b", 30);
    let running = start(&stage).await;
    stage.renew("a", 90);
    let seen = running.certificates.load().look();

    stage.write("gatepost.toml", MAIN_FILE.replace("\"a.", "\"b."));
    let Response::Reloaded { config, .. } = reload::reload(&running).await else { panic!("not reloaded") };
    renew(&running, seen).await;
    assert_eq!(in_use(&running.certificates.load(), stage.now), [(30, false)]);
    assert_eq!(*running.inbound.snapshot.load().stamp.config, *config);
    running.stop().await;
}
