//! Lists the streams of an account and region.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::types as sdk;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::state::{Mode, Status, summary, timestamp};
use crate::context::Context;
use ground::error::{self, Error, Result};

/// One stream of ListStreams, with the shard count if requested.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamEntry {
    pub name: String,
    pub status: Status,
    pub mode: Mode,
    /// Number of open shards; `None` if not requested.
    pub open_shards: Option<u32>,
    pub created: Option<Timestamp>,
    pub arn: String,
}

/// DescribeStreamSummary calls in flight.
const DESCRIPTIONS_IN_FLIGHT: usize = 8;
/// An account has 20 DescribeStreamSummary calls per second (Kinesis API reference): the first calls go out at once,
/// the others at a rate that leaves room for other programs.
const DESCRIPTIONS_AT_ONCE: u32 = 3;
const DESCRIPTION_INTERVAL: Duration = Duration::from_millis(60);

/// All streams whose names begin with `prefix`, by name. `with_shards` also reads the open shards, one call per stream.
///
/// # Errors
/// Exit 4 when the target cannot be reached or denies access, exit 1 for other failures.
pub async fn list(ctx: &Context, prefix: &str, with_shards: bool) -> Result<Vec<StreamEntry>> {
    let mut entries: Vec<StreamEntry> = pages(ctx).await?.into_values().collect();
    entries.retain(|entry| entry.name.starts_with(prefix));
    // Endpoints without StreamSummaries return names only.
    if !with_shards && entries.iter().all(|entry| !entry.arn.is_empty()) {
        return Ok(entries);
    }
    let started = Instant::now();
    let described: Vec<Option<StreamEntry>> = stream::iter((0..).zip(entries))
        .map(|(index, entry)| async move {
            if !ctx.is_local() {
                sleep_until(started + pause_before(index)).await;
            }
            let summary = summary(ctx, &entry.name).await?;
            Ok::<_, Error>(summary.as_ref().map(StreamEntry::from))
        })
        .buffered(DESCRIPTIONS_IN_FLIGHT)
        .try_collect()
        .await?;
    // Streams deleted meanwhile are left out.
    Ok(described.into_iter().flatten().collect())
}

/// Every page of ListStreams, by name.
async fn pages(ctx: &Context) -> Result<BTreeMap<String, StreamEntry>> {
    let mut entries = BTreeMap::new();
    let mut token: Option<String> = None;
    let mut last: Option<String> = None;
    loop {
        // Older endpoints continue after the last name instead of a token, as AWS itself once did.
        let after = if token.is_none() { last.clone() } else { None };
        let page = ctx
            .kinesis()
            .list_streams()
            .set_next_token(token)
            .set_exclusive_start_stream_name(after)
            .send()
            .await
            .map_err(|e| error::aws::failed("could not list the streams", e))?;
        for name in &page.stream_names {
            let named = || StreamEntry::named(name.clone());
            entries.entry(name.clone()).or_insert_with(named);
        }
        let summaries = page.stream_summaries.as_deref().unwrap_or_default();
        entries.extend(
            summaries
                .iter()
                .map(|s| (s.stream_name.clone(), StreamEntry::from(s))),
        );
        let reached = page.stream_names.last().cloned();
        // An empty page would repeat forever.
        if !page.has_more_streams || reached.is_none() || reached == last {
            return Ok(entries);
        }
        last = reached;
        token = page.next_token;
    }
}

/// The time at which description number `index` may be requested, from the first.
fn pause_before(index: u32) -> Duration {
    DESCRIPTION_INTERVAL * index.saturating_sub(DESCRIPTIONS_AT_ONCE)
}

impl StreamEntry {
    /// A stream of which only the name is known.
    fn named(name: String) -> Self {
        Self {
            name,
            status: Status::Other("UNKNOWN".to_owned()),
            mode: Mode::Provisioned,
            open_shards: None,
            created: None,
            arn: String::new(),
        }
    }
}

impl From<&sdk::StreamDescriptionSummary> for StreamEntry {
    fn from(summary: &sdk::StreamDescriptionSummary) -> Self {
        Self {
            name: summary.stream_name.clone(),
            status: Status::from(&summary.stream_status),
            mode: Mode::from(summary.stream_mode_details.as_ref()),
            open_shards: u32::try_from(summary.open_shard_count).ok(),
            created: timestamp(&summary.stream_creation_timestamp),
            arn: summary.stream_arn.clone(),
        }
    }
}

impl From<&sdk::StreamSummary> for StreamEntry {
    fn from(summary: &sdk::StreamSummary) -> Self {
        Self {
            name: summary.stream_name.clone(),
            status: Status::from(&summary.stream_status),
            mode: Mode::from(summary.stream_mode_details.as_ref()),
            open_shards: None,
            created: summary.stream_creation_timestamp.as_ref().and_then(timestamp),
            arn: summary.stream_arn.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_stay_below_twenty_a_second() {
        for millis in 0..5_000 {
            let from = Duration::from_millis(millis);
            let second = from..from + Duration::from_secs(1);
            let asked = (0..200).filter(|&i| second.contains(&pause_before(i))).count();
            assert!(asked <= 20, "{asked} in the second after {millis} ms");
        }
        assert_eq!(pause_before(0), Duration::ZERO);
        assert_eq!(pause_before(DESCRIPTIONS_AT_ONCE), Duration::ZERO);
    }
}
