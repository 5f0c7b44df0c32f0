//! The function `image-processor`. Makes the sizes of uploaded images of products.

use std::process::ExitCode;

use handlers::images::ImageProcessor;

fn main() -> ExitCode {
    handlers::runtime::run_function(ImageProcessor::from_environment)
}
