//! Shard iterators: opaque tokens that hold everything a read needs, so that they survive a restart.

use super::store::Position;

/// What a shard iterator stands for. The engine judges its age and whether the stream still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIterator {
    /// Incarnation of the stream: a stream of the same name made later has another.
    pub stream_id: u64,
    /// Index of the shard.
    pub shard_index: u32,
    /// Where the next read starts.
    pub position: Position,
    /// When it was handed out, milliseconds since the Unix epoch.
    pub issued_ms: i64,
}

impl ShardIterator {
    /// The token: 76 characters of base64.
    pub fn encode(&self) -> String {
        String::new()
    }

    /// Reads a token. Anything that [`Self::encode`] did not write is `None`.
    pub fn decode(token: &str) -> Option<Self> {
        let _ = token;
        None
    }
}
