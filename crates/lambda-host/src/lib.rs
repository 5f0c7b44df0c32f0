//! Runs the `bootstrap` of a Lambda function as a native process.
//!
//! A [`Host`] starts processes; neither they nor what is in their process groups outlives this process, also when it is
//! killed; on Linux, nor do those that left their groups. A [`Process`] has a server of the Lambda Runtime API for itself and runs one invocation at a time, within its
//! timeout and memory limit. The caller passes the code and its environment ([`Bootstrap`]) and an [`OutputSink`] for what
//! the process prints.
//!
//! [`archive`] checks the zip of a function before it is unpacked, [`filter`] which records a function receives.
//!
//! Knows nothing of the API of Lambda, of logs, metrics and pools, or of the local cloud and the commands, which both use
//! it.

pub mod archive;
mod bootstrap;
mod failure;
pub mod filter;
mod guardian;
mod output;
mod process;
mod runtime_api;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use bootstrap::{Bootstrap, RESERVED_VARIABLES};
pub use failure::{Failure, MAX_RESPONSE, error_object};
pub use output::OutputSink;
pub use process::Process;
pub use runtime_api::Invocation;

use guardian::Guardian;

/// How long the runtime has to ask for its first invocation. Source: "Init phase", Lambda developer guide.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts processes.
pub struct Host {
    guardian: Arc<Guardian>,
    init_timeout: Duration,
}

impl Default for Host {
    fn default() -> Self {
        Self::new(INIT_TIMEOUT)
    }
}

impl Host {
    pub fn new(init_timeout: Duration) -> Self {
        Self {
            guardian: Arc::default(),
            init_timeout,
        }
    }

    /// Starts a process and waits until its runtime asks for the first invocation.
    ///
    /// If the init phase fails, it is repeated once, with the timeout of an invocation. `init_failed` is called before
    /// that, with the failure and the time that the init phase took; it is also called for a final failure.
    /// Source: "Failures during the Init phase", Lambda developer guide.
    ///
    /// # Errors
    /// The failure of the last init phase. The sink comes back with it.
    pub async fn start<S: OutputSink>(
        &self,
        bootstrap: &Bootstrap,
        sink: S,
        init_failed: impl FnOnce(&Failure, Duration, &mut S),
    ) -> Result<Process<S>, (Failure, S)> {
        let began = Instant::now();
        let deadline = began + self.init_timeout;
        let (failure, mut sink) = match Process::start(bootstrap, &self.guardian, sink, deadline).await {
            Ok(process) => return Ok(process),
            Err(failed) => failed,
        };
        init_failed(&failure, began.elapsed(), &mut sink);
        if failure.is_final() {
            return Err((failure, sink));
        }
        let deadline = Instant::now() + bootstrap.timeout;
        Process::start(bootstrap, &self.guardian, sink, deadline).await
    }

    /// Kills all processes that were started here.
    pub fn kill_all(&self) {
        self.guardian.kill_all();
    }
}

/// A random request id: a UUID, version 4.
pub fn request_id() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
