//! Parse, run, print the error, exit.

use std::process::ExitCode;

use meterpost::cli::{self, NoInvocation};
use meterpost::run;

/// A reading is thousands of small pieces, made on one thread and freed on another; the C library's allocator costs a third
/// more of the whole run.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // the one provider of cryptography for TLS; it can only be installed already, never fail otherwise
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let ended = match cli::parse(std::env::args_os()) {
        Ok(invocation) => {
            cli::log::start(&invocation);
            run::perform(&invocation, &mut std::io::stdout().lock())
        }
        Err(NoInvocation::Told(told)) => {
            let _closed = told.print();
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(cli::Exit::Usage.number()));
        }
        Err(NoInvocation::Wrong(failure)) => Err(failure),
    };
    ended
        .unwrap_or_else(|failure| {
            eprintln!("{failure}");
            failure.exit
        })
        .into()
}
