//! Progress of changes to a stream, for display.

use std::fmt;
use std::time::Duration;

use super::state::Status;
use ground::duration;

/// Receives events. Called from async code: must not block.
pub type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A change begins, such as "setting retention to 48 h".
    Step {
        /// What is done, in words.
        what: String,
    },
    /// The stream does not have the awaited state yet.
    Waiting {
        /// Its current status.
        status: Status,
        /// Duration of this wait so far.
        elapsed: Duration,
    },
    /// The service rejected the call for now; it is retried.
    Retrying {
        /// The service's error code, or what happened to the connection.
        reason: String,
        /// Backoff before the next attempt.
        after: Duration,
    },
    /// A step of a reshard begins.
    Resharding {
        /// Open shards before the step.
        from: u32,
        /// Open shards after the step.
        to: u32,
        /// Number of the step, from 1.
        step: usize,
        /// Number of steps of the plan.
        of: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { what } => f.write_str(what),
            Self::Waiting { status, elapsed } => {
                let whole = Duration::from_secs(elapsed.as_secs());
                write!(f, "{status} for {}", duration::format(whole))
            }
            Self::Retrying { reason, after } => {
                write!(f, "{reason}; trying again in {}", duration::measured(*after))
            }
            Self::Resharding { from, to, step, of } => {
                write!(f, "resharding {from} → {to} (step {step} of {of})")
            }
        }
    }
}
