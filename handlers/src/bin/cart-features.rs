//! The function `cart-features`. Makes features of users and products from orders.

use std::process::ExitCode;

use handlers::cart_features::CartFeatures;

fn main() -> ExitCode {
    handlers::runtime::run_function(CartFeatures::from_environment)
}
