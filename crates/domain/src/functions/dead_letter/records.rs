//! Reads the records of a range from their shard.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Range;
use crate::consume::{End, IteratorStart, Page, ReadError, ShardSource, TailRecord};
use data_plane::sequence::is_after;
use ground::error::{Error, Result};

/// How long reads may fail in a row.
const MAX_FAILING: Duration = Duration::from_secs(60);
/// At most 5 GetRecords a second and shard. Source: GetRecords, Kinesis API reference.
const PAUSE: Duration = Duration::from_millis(200);

/// Result of reading a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Records that exist.
    pub found: u64,
    /// Records that have expired.
    pub lost: u64,
}

/// Receives the records that are read. `false` stops reading.
pub trait PageSink: Send {
    /// Receives one page.
    fn take(&mut self, records: Vec<TailRecord>) -> impl Future<Output = bool> + Send;
}

/// Reads every record of `range` in `shard_id` and passes it to `sink`, up to the last one or the end of the shard. Expired
/// records are counted as lost.
///
/// # Errors
/// If the shard cannot be read.
pub async fn fetch<S: ShardSource>(
    source: &S,
    shard_id: &str,
    range: &Range,
    sink: &mut impl PageSink,
) -> Result<Fetched> {
    let shard: Arc<str> = shard_id.into();
    let mut fetched = Fetched::default();
    let mut first_is_there = false;
    let mut start = IteratorStart::At(range.first.clone());
    let mut iterator: Option<String> = None;
    let mut failing_since: Option<Instant> = None;
    let mut end = End::new(i64::MAX);
    loop {
        let page = match read_page(source, &shard, &start, &mut iterator).await {
            Ok(page) => page,
            // An iterator expires after five minutes. The next one starts at `start`.
            Err(ReadError::Expired) => continue,
            Err(ReadError::Fatal(error)) if is_expired(&error) => break,
            Err(ReadError::Fatal(error) | ReadError::Damaged { error, .. }) => return Err(error),
            Err(ReadError::Throttled(error) | ReadError::Transient(error)) => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > MAX_FAILING {
                    return Err(error);
                }
                sleep(PAUSE * 2).await;
                continue;
            }
        };
        failing_since = None;
        let tip = end.reached(page.records.is_empty(), None, page.behind_ms);
        let done = page
            .records
            .iter()
            .any(|record| !is_after(&range.last, &record.sequence_number));
        let mut wanted = page.records;
        wanted.retain(|record| is_within(range, &record.sequence_number));
        first_is_there |= wanted
            .first()
            .is_some_and(|record| record.sequence_number == range.first);
        if let Some(last) = wanted.last() {
            start = IteratorStart::After(last.sequence_number.clone());
            fetched.found += wanted.len() as u64;
            if !sink.take(wanted).await {
                return Ok(fetched);
            }
        }
        match page.next {
            Some(next) if !done && !tip => iterator = Some(next),
            _ => break,
        }
        sleep(PAUSE).await;
    }
    fetched.lost = range.count.saturating_sub(fetched.found);
    // The range may contain records that did not fail. If its first record has expired, at least that one is lost.
    if !first_is_there {
        fetched.lost = fetched.lost.max(1);
    }
    Ok(fetched)
}

fn is_within(range: &Range, sequence_number: &str) -> bool {
    !is_after(sequence_number, &range.last) && !is_after(&range.first, sequence_number)
}

/// Reads the page at `iterator`, which is taken. Without an iterator, gets one for `start` first.
async fn read_page<S: ShardSource>(
    source: &S,
    shard: &Arc<str>,
    start: &IteratorStart,
    iterator: &mut Option<String>,
) -> Result<Page, ReadError> {
    let current = match iterator.take() {
        Some(current) => current,
        None => source.iterator(shard, start).await?,
    };
    source.page(shard, &current, 10_000).await
}

/// Whether an error means that the position or its shard no longer exists.
fn is_expired(error: &Error) -> bool {
    error.is("InvalidArgumentException")
        || (error.is_not_found()
            && error
                .chain()
                .iter()
                .any(|line| line.to_ascii_lowercase().contains("shard")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::consume::ShardInfo;

    /// A shard with the sequence numbers `from..to`, in pages of three.
    struct Shard {
        from: u32,
        to: u32,
    }

    impl ShardSource for Shard {
        fn stream(&self) -> &str {
            "orders"
        }

        async fn shards(&self) -> Result<Vec<ShardInfo>, ReadError> {
            Ok(Vec::new())
        }

        async fn iterator(&self, _: &str, start: &IteratorStart) -> Result<String, ReadError> {
            Ok(match start {
                IteratorStart::At(number) => number.clone(),
                IteratorStart::After(number) => (number.parse::<u32>().unwrap() + 1).to_string(),
                _ => "0".to_owned(),
            })
        }

        async fn page(&self, shard_id: &Arc<str>, iterator: &str, _: i32) -> Result<Page, ReadError> {
            let at = iterator.parse::<u32>().unwrap().max(self.from);
            let end = (at + 3).min(self.to).max(at);
            let record = |number: u32| TailRecord {
                shard_id: Arc::clone(shard_id),
                sequence_number: number.to_string(),
                arrival_ms: None,
                partition_key: "k".to_owned(),
                data: Bytes::new(),
                encryption: None,
            };
            Ok(Page {
                records: (at..end).map(record).collect(),
                next: Some(end.to_string()),
                behind_ms: Some(i64::from(self.to - end)),
                ..Page::default()
            })
        }
    }

    #[derive(Default)]
    struct Taken(Vec<String>);

    impl PageSink for Taken {
        async fn take(&mut self, records: Vec<TailRecord>) -> bool {
            self.0
                .extend(records.into_iter().map(|record| record.sequence_number));
            true
        }
    }

    async fn fetched(shard: Shard, first: u32, last: u32, count: u64) -> (Vec<String>, u64) {
        let range = Range {
            first: first.to_string(),
            last: last.to_string(),
            count,
        };
        let mut taken = Taken::default();
        let fetched = fetch(&shard, "shardId-000000000000", &range, &mut taken)
            .await
            .unwrap();
        assert_eq!(fetched.found, taken.0.len() as u64);
        (taken.0, fetched.lost)
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_is_read_from_its_first_to_its_last_record() {
        let (taken, lost) = fetched(Shard { from: 1, to: 200 }, 98, 102, 5).await;
        assert_eq!((taken.join(" ").as_str(), lost), ("98 99 100 101 102", 0));
        let (taken, lost) = fetched(Shard { from: 1, to: 200 }, 7, 7, 1).await;
        assert_eq!((taken.join(" ").as_str(), lost), ("7", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_is_counted_as_lost() {
        let (taken, lost) = fetched(Shard { from: 100, to: 200 }, 98, 102, 5).await;
        assert_eq!((taken.join(" ").as_str(), lost), ("100 101 102", 2));
        let (taken, lost) = fetched(Shard { from: 150, to: 200 }, 98, 102, 5).await;
        assert_eq!((taken.len(), lost), (0, 5));
        // The batch had two of the three records. The counts match, but the first record has expired.
        let (_, lost) = fetched(Shard { from: 11, to: 13 }, 10, 12, 2).await;
        assert_eq!(lost, 1);
    }
}
