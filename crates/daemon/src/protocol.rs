//! The daemon's own HTTP paths, below `/_streamctl/`, and how daemon and command prove to each other that they know the
//! secret of their home.
//!
//! A command sends a random nonce with each request. The daemon's answer carries a code of the nonce and the answer,
//! which another process that took its port cannot make, and cannot have seen before. The answer names the daemon's
//! process and port, so that another process cannot pass on the answer of a daemon elsewhere either. A request that
//! changes something carries a code of the command's.

use serde::{Deserialize, Serialize};

use crate::secret::{Secret, hmac_sha256, is_hmac_sha256};

/// Prefix of these paths. No AWS service has such a path.
pub const PREFIX: &str = "/_streamctl/";
/// GET with [`NONCE_HEADER`]: [`Health`], with [`PROOF_HEADER`].
pub const HEALTH_PATH: &str = "/_streamctl/health";
/// The query of [`HEALTH_PATH`] for the proof alone: numbers and damage, which take time to find, may be left out.
pub const PROOF_QUERY: &str = "proof";
/// POST with [`PROOF_HEADER`]: stops the daemon.
pub const STOP_PATH: &str = "/_streamctl/stop";
/// POST with [`OFFSET_HEADER`] and [`PROOF_HEADER`]: sets the clock of the services. 409 if it would go back.
pub const CLOCK_PATH: &str = "/_streamctl/clock";
/// Milliseconds that the clock of the services is to be ahead of the machine's.
pub const OFFSET_HEADER: &str = "x-streamctl-clock-offset";
/// A number that the command has not used before.
pub const NONCE_HEADER: &str = "x-streamctl-nonce";
/// Proves that the sender knows the secret.
pub const PROOF_HEADER: &str = "x-streamctl-proof";

/// Health of a running local cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Version of streamctl.
    pub version: String,
    pub pid: u32,
    /// The port at 127.0.0.1.
    pub port: u16,
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
    /// Milliseconds that the clock of the services is ahead of the machine's; negative if it is behind.
    #[serde(default)]
    pub clock_offset_ms: i64,
    /// Files that are damaged or missing.
    #[serde(default)]
    pub damage: Vec<Damage>,
}

/// A file of the local cloud that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
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

impl Health {
    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }
}

/// The URL of the local cloud on this port.
pub(crate) fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The daemon's proof for the answer `body` to a request with `nonce`.
pub fn prove_answer(secret: &Secret, nonce: &str, body: &[u8]) -> String {
    hex::encode(hmac_sha256(
        secret.as_str().as_bytes(),
        &answer_message(nonce, body),
    ))
}

pub(crate) fn proves_answer(secret: &Secret, nonce: &str, body: &[u8], proof: &str) -> bool {
    is_proof(secret, &answer_message(nonce, body), proof)
}

fn answer_message(nonce: &str, body: &[u8]) -> Vec<u8> {
    [b"streamctl answer\n", nonce.as_bytes(), b"\n", body].concat()
}

/// The command's proof for a request to stop the daemon that started as the process `pid` at `started_ms`.
pub fn prove_stop(secret: &Secret, pid: u32, started_ms: i64) -> String {
    hex::encode(hmac_sha256(
        secret.as_str().as_bytes(),
        &stop_message(pid, started_ms),
    ))
}

pub fn proves_stop(secret: &Secret, pid: u32, started_ms: i64, proof: &str) -> bool {
    is_proof(secret, &stop_message(pid, started_ms), proof)
}

fn stop_message(pid: u32, started_ms: i64) -> Vec<u8> {
    format!("streamctl stop\n{pid}\n{started_ms}").into_bytes()
}

/// The command's proof for a request to set the clock of the daemon that started as the process `pid` at `started_ms`.
/// `offset` is the text of [`OFFSET_HEADER`].
pub fn prove_clock(secret: &Secret, pid: u32, started_ms: i64, offset: &str) -> String {
    hex::encode(hmac_sha256(
        secret.as_str().as_bytes(),
        &clock_message(pid, started_ms, offset),
    ))
}

pub fn proves_clock(secret: &Secret, pid: u32, started_ms: i64, offset: &str, proof: &str) -> bool {
    is_proof(secret, &clock_message(pid, started_ms, offset), proof)
}

fn clock_message(pid: u32, started_ms: i64, offset: &str) -> Vec<u8> {
    format!("streamctl clock\n{pid}\n{started_ms}\n{offset}").into_bytes()
}

fn is_proof(secret: &Secret, message: &[u8], proof: &str) -> bool {
    hex::decode(proof).is_ok_and(|code| is_hmac_sha256(secret.as_str().as_bytes(), message, &code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_nonce_one_answer_and_one_secret() {
        let secret = Secret::generate();
        let proof = prove_answer(&secret, "1", b"{}");
        assert!(proves_answer(&secret, "1", b"{}", &proof));
        assert!(!proves_answer(&secret, "2", b"{}", &proof));
        assert!(!proves_answer(&secret, "1", b"{ }", &proof));
        assert!(!proves_answer(&Secret::generate(), "1", b"{}", &proof));
        assert!(!proves_answer(&secret, "1", b"{}", ""));

        let proof = prove_stop(&secret, 7, 1);
        assert!(proves_stop(&secret, 7, 1, &proof));
        assert!(!proves_stop(&secret, 7, 2, &proof), "of an earlier daemon");

        let proof = prove_clock(&secret, 7, 1, "-60000");
        assert!(proves_clock(&secret, 7, 1, "-60000", &proof));
        assert!(!proves_clock(&secret, 7, 1, "0", &proof));
        assert!(!proves_clock(&secret, 7, 2, "-60000", &proof));
    }
}
