//! The function `concert-data-processor`. Logs what arrives.

use std::process::ExitCode;

use handlers::concert_data::ConcertData;

fn main() -> ExitCode {
    handlers::runtime::run(ConcertData::from_environment)
}
