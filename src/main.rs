//! Entry point: hands the local cloud and the bundled handlers to the commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    let parts = streamctl::cli::Parts {
        #[cfg(feature = "bundle")]
        handlers: bundle::HANDLERS,
        #[cfg(not(feature = "bundle"))]
        handlers: &[],
        #[cfg(feature = "local")]
        local_cloud: Some(local_cloud::run),
        #[cfg(not(feature = "local"))]
        local_cloud: None,
    };
    streamctl::cli::main(parts).into()
}
