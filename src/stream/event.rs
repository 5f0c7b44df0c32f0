//! What is happening to a stream while it is changed, for whoever renders it.

use std::fmt;
use std::time::Duration;

use super::state::Status;
use ground::duration;

/// Where events go. Called from async code: must not block.
pub type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A change begins, such as "setting retention to 48 h".
    Step {
        /// What is done, in words.
        what: String,
    },
    /// The stream is not yet what is waited for.
    Waiting {
        /// Its status at the moment.
        status: Status,
        /// How long this wait has taken so far.
        elapsed: Duration,
    },
    /// The service said "not now"; the call is made again.
    Retrying {
        /// The service's error code.
        code: String,
        /// The pause before the next attempt.
        after: Duration,
    },
    /// One step of a reshard begins.
    Resharding {
        /// Open shards before the step.
        from: u32,
        /// Open shards after the step.
        to: u32,
        /// Number of the step, from 1.
        step: usize,
        /// Steps of the whole plan.
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
            Self::Retrying { code, after } => {
                write!(f, "{code}; trying again in {}", duration::measured(*after))
            }
            Self::Resharding { from, to, step, of } => {
                write!(f, "resharding {from} → {to} (step {step} of {of})")
            }
        }
    }
}
