//! The program `gatepost`: nothing but the call of the command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Messages, records and TLS buffers come and go on many threads, which the allocator of libc pays for with a fifth of
/// the daemon's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    gatepost::cli::main()
}
