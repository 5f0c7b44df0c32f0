//! The function `products-api`. Serves the products of a table over HTTP.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::catalogue::main()
}
