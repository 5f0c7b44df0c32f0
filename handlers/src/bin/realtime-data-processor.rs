//! The function `realtime-data-processor`. Archives readings and aggregates them.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::realtime::main()
}
