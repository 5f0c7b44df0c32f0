//! Options of the local cloud and its process.

use std::time::Duration;

/// Limits and delays of the local cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Throttle as AWS does: shard throughput and control-plane rates.
    pub enforce_limits: bool,
    /// How long a shard iterator is valid; 5 minutes on AWS.
    pub iterator_lifetime: Duration,
    /// How long a stream or consumer is CREATING, UPDATING or DELETING. Calls do not wait for it.
    pub status_delay: Duration,
    /// Maximum filters of an event source mapping, 1 to 10; AWS's quota is 5 and can be raised to 10.
    pub event_filters: u8,
    /// Deliver the records of channels after this time instead of their data freshness, which is 5 to 15 minutes.
    pub data_freshness: Option<Duration>,
    /// How far behind the machine's clock the clock of the services begins. For a local cloud without data.
    pub clock_behind: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enforce_limits: false,
            iterator_lifetime: Duration::from_secs(300),
            status_delay: Duration::from_millis(20),
            event_filters: 5,
            data_freshness: None,
            clock_behind: None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Default: 4566 or the next free port. 0 for any free port.
    pub port: Option<u16>,
    pub options: Options,
    /// Whether to detach from the terminal.
    pub detached: bool,
}
