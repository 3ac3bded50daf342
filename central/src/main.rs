//! Runs the command, exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(meterpost_central::cli::run(std::env::args_os()))
}
