//! Reads streams from inside the local cloud: no HTTP, no limits, no GetRecords metrics.

use std::io;
use std::sync::Arc;

use super::catalog::parse_arn;
use super::engine::Engine;
use super::store::{Page, Position};
use super::stream::meta::Status;
use super::stream::{Shard, Stream};
use crate::Caller;

impl Engine {
    /// The stream that `arn` (of a stream or consumer) identifies. `None` if the stream or consumer does not exist or
    /// is being deleted.
    pub fn stream_of_arn(&self, caller: &Caller, arn: &str) -> Option<Arc<Stream>> {
        let now_ms = self.clock.now_ms();
        let parsed = parse_arn(caller, arn).ok()?;
        let stream = self.catalog.by_name(caller, parsed.stream, now_ms).ok()?;
        let view = stream.view(now_ms);
        let consumer_there = parsed.consumer.is_none_or(|(name, _)| {
            let consumer = view.meta.consumer(name);
            consumer.is_some_and(|consumer| view.meta.consumer_arn(consumer) == arn)
        });
        (view.meta.status != Status::Deleting && consumer_there).then_some(stream)
    }
}

/// Applies retention, then reads from `from`: at most `max_records` and `max_bytes` of keys and data, but at least one
/// record if there is one.
///
/// # Errors
/// When the log cannot be read or is damaged.
pub fn read(
    stream: &Stream,
    shard: &Shard,
    from: Position,
    now_ms: i64,
    max_records: usize,
    max_bytes: usize,
) -> io::Result<Page> {
    let view = stream.view(now_ms);
    shard.trim(view.meta.horizon_ms(now_ms));
    shard.store.read(from, max_records, max_bytes)
}
