//! The function `price-updater`. Sets the prices of existing products.

use std::process::ExitCode;

use handlers::prices::PriceUpdater;

fn main() -> ExitCode {
    handlers::runtime::run(PriceUpdater::from_environment)
}
