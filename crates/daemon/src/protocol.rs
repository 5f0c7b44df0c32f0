//! The daemon's own HTTP paths, below `/_streamctl/`.

use serde::{Deserialize, Serialize};

/// Prefix of these paths. No AWS service has such a path.
pub const PREFIX: &str = "/_streamctl/";
/// GET: [`Health`].
pub const HEALTH_PATH: &str = "/_streamctl/health";
/// POST with [`TOKEN_HEADER`]: stops the daemon.
pub const STOP_PATH: &str = "/_streamctl/stop";
/// Header with the token of the private state file. It proves that the sender is this user.
pub const TOKEN_HEADER: &str = "x-streamctl-token";

/// Health of a running local cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Version of streamctl.
    pub version: String,
    pub pid: u32,
    /// Start time, milliseconds since the Unix epoch.
    pub started_ms: i64,
    pub uptime_seconds: u64,
    /// Directory of its files.
    pub home: String,
    /// Requests since the start, without those to `/_streamctl/`.
    pub requests: u64,
    /// Streams of all accounts and regions.
    pub streams: u64,
    /// Resident memory, if the platform reports it.
    pub resident_bytes: Option<u64>,
}
