//! The program `gatepost`: nothing but the call of the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatepost::cli::main()
}
