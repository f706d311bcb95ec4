//! `gatepost demo`: the whole system on loopback.

use std::process::ExitCode;

pub(super) fn run(once: bool) -> ExitCode {
    crate::demo::run(once)
}
