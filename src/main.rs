//! Entry point: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamctl::cli::main().into()
}
