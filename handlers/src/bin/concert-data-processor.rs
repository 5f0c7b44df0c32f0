//! The function `concert-data-processor`. Logs what arrives.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::concert_data::main()
}
