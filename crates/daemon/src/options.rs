//! How the local cloud and its process behave.

use std::time::Duration;

/// How strict and how quick the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Throttle as AWS does: shard throughput and control-plane rates.
    pub enforce_limits: bool,
    /// How long a shard iterator can be used; 5 minutes on AWS.
    pub iterator_lifetime: Duration,
    /// How long a stream or consumer is CREATING, UPDATING or DELETING. No caller waits for it.
    pub status_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enforce_limits: false,
            iterator_lifetime: Duration::from_secs(300),
            status_delay: Duration::from_millis(20),
        }
    }
}

/// How the daemon runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The port; without one, 4566 or the next that is free. 0 takes any.
    pub port: Option<u16>,
    /// How closely the cloud keeps to AWS.
    pub options: Options,
    /// Leave the terminal first.
    pub detached: bool,
}
