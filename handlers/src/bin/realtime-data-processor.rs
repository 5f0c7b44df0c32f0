//! The function `realtime-data-processor`. Archives readings and aggregates them.

use std::process::ExitCode;

use handlers::realtime::RealtimeProcessor;

fn main() -> ExitCode {
    handlers::runtime::run(RealtimeProcessor::from_environment)
}
