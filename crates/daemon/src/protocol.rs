//! The daemon's own HTTP paths, below `/_streamctl/`.

use serde::{Deserialize, Serialize};

/// Where all of these paths begin; no AWS service has such a path.
pub const PREFIX: &str = "/_streamctl/";
/// GET: [`Health`].
pub const HEALTH_PATH: &str = "/_streamctl/health";
/// POST with [`TOKEN_HEADER`]: stop.
pub const STOP_PATH: &str = "/_streamctl/stop";
/// The header that carries the token of the private state file: proof that the sender is this user.
pub const TOKEN_HEADER: &str = "x-streamctl-token";

/// How a running local cloud is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The version of streamctl it runs.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// The directory it keeps its files in.
    pub home: String,
    /// Requests answered since it started, those to `/_streamctl/` not counted.
    pub requests: u64,
    /// Streams of all accounts and regions.
    pub streams: u64,
    /// Resident memory, where the platform tells.
    pub resident_bytes: Option<u64>,
}
