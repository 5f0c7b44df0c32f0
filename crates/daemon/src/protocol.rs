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
    /// Files that are damaged or missing.
    #[serde(default)]
    pub damage: Vec<Damage>,
}

/// A file of the local cloud that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    pub file: String,
    /// ARN of what it belongs to, where that is known.
    pub resource: Option<String>,
    /// How many acknowledged records are lost with it, as far as that is known.
    pub records: u64,
    /// What is damaged, and what that means.
    pub message: String,
}

impl Damage {
    /// Maximum number in a health check, and bytes of their texts. The answer is limited too.
    const MOST: usize = 100;
    const MOST_BYTES: usize = 40 << 10;

    /// `all`, shortened for a health check: the rest is counted.
    pub fn limited(mut all: Vec<Self>) -> Vec<Self> {
        let mut bytes = 0;
        let fits = all.iter().take(Self::MOST).take_while(|damage| {
            bytes += 64 + damage.file.len() + damage.message.len();
            bytes += damage.resource.as_deref().map_or(0, str::len);
            bytes <= Self::MOST_BYTES
        });
        let rest = all.split_off(fits.count());
        if let Some(first) = rest.first() {
            all.push(Self {
                file: first.file.clone(),
                resource: None,
                records: rest.iter().map(|damage| damage.records).sum(),
                message: format!("this and {} more files are damaged", rest.len() - 1),
            });
        }
        all
    }
}
