//! The function `image-processor`. Makes the sizes of uploaded images of products.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::images::main()
}
