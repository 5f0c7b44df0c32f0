//! The function `retail-event-processor`. Scores customer events and stores them.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::retail::main()
}
