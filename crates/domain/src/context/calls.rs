//! Watches the calls of all clients: which ones run, how long, in which attempt and after what. Logs each call, and adds
//! the endpoint to errors of calls that AWS did not answer.
//!
//! Knows neither operations nor what is done about a call that takes long.

mod body;
mod failure;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub(crate) use watch::Watch;

/// The calls that run. Clones show the same calls.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    last_id: u64,
    calls: BTreeMap<u64, Call>,
}

/// A call that runs.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: u64,
    /// Such as "Kinesis".
    pub service: String,
    /// Such as "ListStreams".
    pub operation: String,
    /// Scheme, host and port. `None` until credentials and endpoint are known.
    pub endpoint: Option<String>,
    pub started: Instant,
    /// From 1.
    pub attempt: u32,
    /// Why the attempt before this one failed: an error code, or a few words.
    pub retried_for: Option<String>,
    /// The error code of the last attempt that was answered.
    last_code: Option<String>,
    /// When this attempt was sent.
    sent: Option<Instant>,
}

impl Calls {
    /// The call that has run longest.
    pub fn longest(&self) -> Option<Call> {
        self.lock().calls.values().next().cloned()
    }

    fn begin(&self, service: &str, operation: &str) -> u64 {
        let mut running = self.lock();
        running.last_id += 1;
        let id = running.last_id;
        let call = Call {
            id,
            service: service.to_owned(),
            operation: operation.to_owned(),
            endpoint: None,
            started: Instant::now(),
            attempt: 1,
            retried_for: None,
            last_code: None,
            sent: None,
        };
        running.calls.insert(id, call);
        id
    }

    fn update(&self, id: u64, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.lock().calls.get_mut(&id) {
            change(call);
        }
    }

    fn get(&self, id: u64) -> Option<Call> {
        self.lock().calls.get(&id).cloned()
    }

    fn end(&self, id: u64) {
        self.lock().calls.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
