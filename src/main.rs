//! The program `gatepost`: its allocator, and the call of the command line.
#![deny(unsafe_code)]

use std::process::ExitCode;

use libmimalloc_sys::{mi_option_get, mi_option_set};
use mimalloc::MiMalloc;

/// Messages, records and TLS buffers come and go on many threads, which the allocator of libc pays for with a fifth of
/// the daemon's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay`, which the bindings have no name for, and what it is by itself.
const PURGE_DELAY: (i32, i64) = (15, 1000);
/// Freed memory goes back to the system after this time: in a second large messages free more than they ever need.
const PURGE_DELAY_MS: i64 = 50;

fn main() -> ExitCode {
    give_memory_back_soon();
    gatepost::cli::main()
}

#[expect(unsafe_code, reason = "the options of the allocator are set by functions of C, before there are threads")]
fn give_memory_back_soon() {
    let (option, default_ms) = PURGE_DELAY;
    // SAFETY: both take any number, and nothing else runs yet. Should the number mean something else one day, it is
    // left alone, and so is what the environment says.
    unsafe {
        if mi_option_get(option) == default_ms {
            mi_option_set(option, PURGE_DELAY_MS);
        }
    }
}
