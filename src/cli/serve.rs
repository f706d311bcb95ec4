//! `gatepost serve`: the daemon, in the foreground.

use std::path::Path;
use std::process::ExitCode;

use crate::app::{LogFormat, ServeOptions};

use super::{arguments, configuration};

pub(super) fn run(config: Option<&Path>, asked: &arguments::Serve) -> ExitCode {
    let options = ServeOptions {
        config: configuration::file(config),
        log_format: match asked.log_format {
            arguments::LogFormat::Text => LogFormat::Text,
            arguments::LogFormat::Json => LogFormat::Json,
        },
        accept_damage: asked.accept_damage,
    };
    crate::app::run(options)
}
