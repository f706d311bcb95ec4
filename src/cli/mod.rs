//! L6: the command line, one file a command: reads what is asked, calls the library, prints what came out.
//!
//! Must not: decide what the library decides, or print anything but through `output::Console`.

mod arguments;
mod audit;
mod cases;
mod check;
mod configuration;
mod demo;
mod explain;
mod health;
mod human;
mod import;
mod init;
mod kept;
mod keys;
mod learned;
mod main_file;
mod manual;
mod moment;
mod near;
mod output;
mod policy_test;
mod probe;
mod queue;
mod reload;
mod selftest;
mod serve;
mod socket;
mod spool;
mod status;
mod survey;
mod table;
mod tlsrpt;
mod usage;
mod waiting;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command, PolicyCommand};
use output::{Console, Exit, Failure};

/// The whole program: runs the command that the arguments of the process name. Colours only on a terminal.
pub fn main() -> ExitCode {
    let (mut out, mut err) = (anstream::stdout(), anstream::stderr());
    let mut console = Console::plain(&mut out, &mut err);
    match parse(std::env::args_os(), &mut console) {
        Err(exit) => exit.into(),
        Ok(arguments) => match &arguments.command {
            Command::Serve(asked) if !arguments.json => serve::run(arguments.config.as_deref(), asked, &mut console),
            Command::Demo { once } if !arguments.json => demo::run(*once),
            Command::Init(asked) if !arguments.json && init::may_ask(asked) => {
                let ended = init::interview(asked, &mut std::io::stdin().lock(), &mut console);
                finish(ended, &mut console).into()
            }
            _ => finish(execute(&arguments, &mut console), &mut console).into(),
        },
    }
}

/// Runs one command that ends by itself, so neither `serve` nor `demo`, and gives its exit code. `args` begins with the
/// name of the program. What is written may hold ANSI colours.
pub fn run(args: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut console = Console::plain(out, err);
    match parse(args, &mut console) {
        Ok(arguments) => finish(execute(&arguments, &mut console), &mut console).code(),
        Err(exit) => exit.code(),
    }
}

/// Help and version end with 0, wrong usage with 2.
fn parse(args: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> Result<Arguments, Exit> {
    let args: Vec<OsString> = args.into_iter().collect();
    console.json = args.iter().any(|arg| arg == "--json");
    Arguments::try_parse_from(&args).map_err(|error| {
        let text = error.render().ansi().to_string();
        let written = match usage::failure(&error, &args) {
            Some(failure) => return failure.tell(console),
            None if error.use_stderr() => write!(console.err, "{text}").map(|()| Exit::Usage),
            None => write!(console.out, "{text}").map(|()| Exit::Done),
        };
        finish(written.map_err(Failure::from), console)
    })
}

/// What was written is out, and what went wrong is told.
fn finish(ended: Result<Exit, Failure>, console: &mut Console<'_>) -> Exit {
    let ended = ended.and_then(|exit| {
        console.out.flush()?;
        Ok(exit)
    });
    ended.unwrap_or_else(|failure| failure.tell(console))
}

fn execute(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Arguments { config, json, command } = arguments;
    let (config, json) = (config.as_deref(), *json);
    match command {
        Command::Demo { .. } if json => {
            Err(Failure::usage("the demo has no form for programs", "run it without --json, and ask what it started"))
        }
        Command::Serve(_) if json => {
            Err(Failure::usage("the daemon has no result for programs", "for its log as JSON: --log-format json"))
        }
        Command::Serve(_) | Command::Demo { .. } => {
            Err(Failure::usage("this command does not end by itself", "start the program `gatepost` for it"))
        }
        Command::Check => check::run(config, json, console),
        Command::Keys(asked) => keys::run(asked, json, console),
        Command::Init(asked) => init::run(asked, json, console),
        Command::Import(asked) => import::run(asked, json, console),
        Command::Policy { command: PolicyCommand::Explain(asked) } => explain::run(config, asked, json, console),
        Command::Policy { command: PolicyCommand::Test(asked) } => policy_test::run(config, asked, json, console),
        Command::Selftest(asked) => selftest::run(config, asked, json, console),
        Command::Probe(asked) => probe::run(config, asked, json, console),
        Command::Survey(asked) => survey::run(config, asked, json, console),
        Command::Queue(asked) => queue::run(config, asked, json, console),
        Command::Spool(asked) => spool::run(config, asked, json, console),
        Command::Learned(asked) => learned::run(config, asked, json, console),
        Command::Audit { command } => audit::run(config, command, json, console),
        Command::Tlsrpt(asked) => tlsrpt::run(config, asked, json, console),
        Command::Status(at) => status::run(&socket::find(config, at)?, json, console),
        Command::Health(at) => health::run(&socket::find(config, at)?, json, console),
        Command::Completions { .. } | Command::Man { .. } if json => {
            Err(Failure::usage("this has no form for programs", "run it without --json"))
        }
        Command::Completions { shell } => manual::completions(*shell, console),
        Command::Man { dir } => manual::man(dir.as_deref(), console),
        Command::Reload(at) => reload::run(&socket::find(config, at)?, json, console),
    }
}
