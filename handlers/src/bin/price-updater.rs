//! The function `price-updater`. Sets the prices of existing products.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::prices::main()
}
