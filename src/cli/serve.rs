//! `gatepost serve`: the daemon, in the foreground, with its log on stderr.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::app::{self, Options, StartError};

use super::output::{Console, Exit, Failure};
use super::{arguments, configuration};

/// What is logged unless `GATEPOST_LOG` says otherwise.
const LOG_FILTER: &str = "info";
const LOG_VARIABLE: &str = "GATEPOST_LOG";

pub(super) fn run(config: Option<&Path>, asked: &arguments::Serve, console: &mut Console<'_>) -> ExitCode {
    let config = match configuration::existing(config) {
        Ok(config) => config,
        Err(failure) => return failure.tell(console).into(),
    };
    start_log(&asked.log_format);
    let options = Options { config, accept_damage: asked.accept_damage };
    match app::serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if asked.log_format == arguments::LogFormat::Json {
                tracing::error!(remedy = error.remedy(), "{error}");
                return Exit::Usage.into();
            }
            if let StartError::Config(findings) = &error {
                for finding in findings {
                    // Nothing is left to be done where even stderr is gone.
                    _ = writeln!(console.err, "{}\n", finding.render(std::io::stderr().is_terminal()));
                }
            }
            Failure::new(Exit::Usage, error.to_string(), error.remedy()).tell(console).into()
        }
    }
}

/// Text for people, JSON for machines; colours only on a terminal.
fn start_log(format: &arguments::LogFormat) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        arguments::LogFormat::Json => log.json().flatten_event(true).init(),
        arguments::LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            log.with_ansi(colour).with_target(false).init();
        }
    }
}
