//! The function `cart-features`. Makes features of users and products from orders.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::cart_features::main()
}
