//! Parse, run, print the error, exit.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    ExitCode::from(meterpost_central::cli::run(meterpost_central::cli::Arguments::parse()))
}
