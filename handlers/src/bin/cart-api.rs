//! The function `cart-api`. Puts what the cart page submits into a stream, and recommends products.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::cart::main()
}
