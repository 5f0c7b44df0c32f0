//! Whether the system has threads to give.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Starts `count` threads beside each other and ends them. Where threads or memory for them are short, tokio panics while
/// it starts its threads, and work that waits for one may wait forever: a command must not begin there.
///
/// # Errors
/// The error of the system when it has fewer threads to give.
pub fn check(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // Closed until all threads are there.
        let _closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..count {
            thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_there_and_end() {
        for count in [0, 1, 8] {
            check(count).unwrap();
        }
    }
}
