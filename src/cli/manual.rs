//! `gatepost man` and `gatepost completions`: the command line as told to `man` and to shells.

use crate::model::os_error;
use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::arguments::Arguments;
use super::output::{Console, Exit, Failure};

/// What stands at the foot of each page.
const MANUAL: &str = "Gatepost";

/// Files and variables that every command knows.
const FILES: [(&str, &str); 5] = [
    ("/etc/gatepost/gatepost.toml", "The main configuration file; domains.d beside it has a file for each domain."),
    ("/var/lib/gatepost", "The spool, and the key of the audit log."),
    ("/var/log/gatepost/audit", "The audit log."),
    ("/run/gatepost/control.sock", "How the command line talks to the daemon."),
    ("/usr/share/doc/gatepost", "The documentation."),
];
const VARIABLES: [(&str, &str); 3] = [
    ("GATEPOST_CONFIG", "The main configuration file, unless --config names it."),
    ("GATEPOST_LOG", "What the daemon logs: \"info\", or \"debug\", or a filter for each part of it."),
    ("NO_COLOR", "If set, nothing is coloured."),
];

/// Where scripts for shells are put; bash and zsh find them by these names.
pub(super) fn completions(shell: Shell, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    console.out.write_all(&script)?;
    Ok(Exit::Done)
}

pub(super) fn man(dir: Option<&Path>, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = dir else {
        page(&command, console.out)?;
        return Ok(Exit::Done);
    };
    let written = fs::create_dir_all(dir).and_then(|()| write_pages(&command, dir));
    let count = written.map_err(|error| {
        let help = "name a folder that you may write to";
        Failure::usage(format!("cannot write the pages to {}: {}", dir.display(), os_error::why(&error)), help)
    })?;
    writeln!(console.out, "Wrote {count} pages to {}", dir.display())?;
    Ok(Exit::Done)
}

/// The page of this command and those of the commands below it; gives their number.
fn write_pages(command: &Command, dir: &Path) -> io::Result<usize> {
    let mut count = 1;
    for below in command.get_subcommands() {
        count += write_pages(below, dir)?;
    }
    let mut text = Vec::new();
    page(command, &mut text)?;
    fs::write(dir.join(Man::new(command.clone()).get_filename()), text)?;
    Ok(count)
}

fn page(command: &Command, out: &mut dyn io::Write) -> io::Result<()> {
    let source = concat!("gatepost ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).manual(MANUAL).source(source);
    let mut text: Vec<u8> = Vec::new();
    man.render(&mut text)?;
    let mut more = Roff::new();
    for (title, rows) in [("FILES", &FILES[..]), ("ENVIRONMENT", &VARIABLES[..])] {
        more.control("SH", [title]);
        for (name, meaning) in rows {
            more.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
        }
    }
    more.to_writer(&mut text)?;
    out.write_all(&text)
}
