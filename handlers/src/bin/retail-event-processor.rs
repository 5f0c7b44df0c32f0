//! The function `retail-event-processor`. Scores customer events and stores them.

use std::process::ExitCode;

use handlers::retail::RetailProcessor;

fn main() -> ExitCode {
    handlers::runtime::run(RetailProcessor::from_environment)
}
