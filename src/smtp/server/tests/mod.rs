//! The session, driven by transcripts and by hand.

mod commands;
mod content;
mod driver;
mod limits;
mod properties;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use crate::model::cipher::CipherSuite;
use crate::model::domain::Domain;
use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::Settings;

fn settings() -> Settings {
    Settings {
        hostname: Domain::parse("mx.example.org").unwrap(),
        starttls: true,
        message_bytes_max: 1000,
        recipients_max: 3,
        errors_max: 100,
        messages_max: 3,
        command_timeout: Duration::from_secs(300),
        data_timeout: Duration::from_secs(180),
        tls_timeout: Duration::from_secs(60),
        postmaster: None,
    }
}

fn shared(settings: Settings) -> Arc<Settings> {
    Arc::new(settings)
}

fn facts() -> TlsFacts {
    TlsFacts::assumed(ProtocolVersion::Tls1_3, CipherSuite::by_name("TLS_AES_128_GCM_SHA256").unwrap())
}
