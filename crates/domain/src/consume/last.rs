//! Finds the newest records of a shard. Kinesis has no position counted from the end, so earlier and earlier times are
//! tried.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::end::End;
use super::poller::Shared;
use super::{IteratorStart, ReadError, ShardSource};

/// The first time tried is this long ago.
const FIRST: Duration = Duration::from_secs(60);
/// Each next one is this much longer ago.
const FACTOR: u32 = 16;
/// Kinesis keeps records for at most 365 days. Source: IncreaseStreamRetentionPeriod, Kinesis API reference.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
const PAGE: i32 = 10_000;

/// The position of the `count`th record before the end that `shard_id` has now; its oldest record if it has fewer.
///
/// # Errors
/// Those of the reads. The search can be made again.
pub(super) async fn find<S: ShardSource>(
    shared: &Shared<S>,
    shard_id: &Arc<str>,
    count: usize,
) -> Result<IteratorStart, ReadError> {
    let now_ms = shared.service_ms(Instant::now());
    let mut ago = FIRST;
    loop {
        let ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        let from = match ago < LONGEST {
            true => IteratorStart::AtTimestamp(now_ms.saturating_sub(ms).max(0)),
            false => IteratorStart::TrimHorizon,
        };
        let newest = newest(shared, shard_id, &from, count, now_ms).await?;
        if newest.len() == count || from == IteratorStart::TrimHorizon {
            let oldest = newest.into_iter().next();
            // Whatever arrives after a search that found nothing is read too.
            return Ok(oldest.map_or(IteratorStart::TrimHorizon, IteratorStart::At));
        }
        ago = ago.saturating_mul(FACTOR);
    }
}

/// The sequence numbers of the last `count` records from `from` on.
async fn newest<S: ShardSource>(
    shared: &Shared<S>,
    shard_id: &Arc<str>,
    from: &IteratorStart,
    count: usize,
    now_ms: i64,
) -> Result<VecDeque<String>, ReadError> {
    let mut newest = VecDeque::new();
    let mut iterator = shared.source.iterator(shard_id, from).await?;
    let mut end = End::new(now_ms);
    loop {
        let next_read = Instant::now() + shared.options.min_interval;
        let page = match shared.source.page(shard_id, &iterator, PAGE).await {
            Err(ReadError::Damaged { page: Some(page), .. }) => *page,
            page => page?,
        };
        let last_arrival = page.records.last().and_then(|record| record.arrival_ms);
        let is_empty = page.records.is_empty();
        for record in page.records {
            newest.push_back(record.sequence_number);
            if newest.len() > count {
                newest.pop_front();
            }
        }
        match page.next {
            Some(next) if !end.reached(is_empty, last_arrival, page.behind_ms) => iterator = next,
            _ => return Ok(newest),
        }
        sleep_until(next_read).await;
    }
}
