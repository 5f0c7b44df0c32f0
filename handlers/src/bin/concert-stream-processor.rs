//! The function `concert-stream-processor`. Stores concert data, raw and normalised.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::concert::main()
}
