//! The mox binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    mox::cli::run(std::env::args_os())
}
