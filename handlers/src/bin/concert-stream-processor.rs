//! The function `concert-stream-processor`. Stores concert data, raw and normalised.

use std::process::ExitCode;

use handlers::concert::ConcertProcessor;

fn main() -> ExitCode {
    handlers::runtime::run(ConcertProcessor::from_environment)
}
