//! Lists the streams of an account and region.

mod filter;
mod pages;
mod tagged;

use std::time::Duration;

use aws_sdk_kinesis::types as sdk;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::state::{Mode, ShardMetric, Status, StreamState, summary, timestamp};
use crate::context::Context;
use crate::cost::{self, HOURS_A_MONTH, Money, Usage};
use ground::error::{Error, Result};

pub use filter::{Filter, NamePattern, TagFilter};
use pages::Pages;

/// One stream of ListStreams, with its capacity if requested.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct StreamEntry {
    pub name: String,
    pub status: Status,
    pub mode: Mode,
    /// Number of open shards; `None` if not requested.
    pub open_shards: Option<u32>,
    pub created: Option<Timestamp>,
    pub arn: String,
    /// `None` if not requested.
    #[serde(flatten)]
    pub details: Option<Details>,
}

/// What DescribeStreamSummary adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Details {
    pub retention_hours: u32,
    /// Registered consumers.
    pub consumer_count: u32,
    /// Enabled shard-level metrics.
    pub shard_level_metrics: u32,
    /// US dollars of a month on AWS without traffic; null if the prices of the region are not known.
    pub standing_cost_per_month: Option<Money>,
}

/// The sum over several streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub streams: usize,
    pub open_shards: u64,
    /// US dollars of a month on AWS without traffic; `None` if the prices of the region are not known.
    pub standing_cost_per_month: Option<Money>,
}

impl Totals {
    /// `None` if the streams were listed without their details.
    pub fn of(entries: &[StreamEntry]) -> Option<Self> {
        let details: Option<Vec<&Details>> = entries.iter().map(|entry| entry.details.as_ref()).collect();
        let costs: Option<Vec<Money>> = details?.iter().map(|one| one.standing_cost_per_month).collect();
        Some(Self {
            streams: entries.len(),
            open_shards: entries
                .iter()
                .filter_map(|one| one.open_shards)
                .map(u64::from)
                .sum(),
            standing_cost_per_month: costs.map(|costs| costs.into_iter().sum()),
        })
    }
}

/// A rate of calls of an account. The first go out at once, the others at a rate that leaves room for other programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    at_once: u32,
    interval: Duration,
}

/// 20 DescribeStreamSummary calls a second. Source: Kinesis API reference.
const DESCRIPTIONS: Rate = Rate {
    at_once: 3,
    interval: Duration::from_millis(60),
};
/// Five calls a second: ListStreams, ListTagsForStream. Source: Kinesis API reference.
const FIVE_A_SECOND: Rate = Rate {
    at_once: 1,
    interval: Duration::from_millis(260),
};
/// DescribeStreamSummary calls in flight.
const DESCRIPTIONS_IN_FLIGHT: usize = 8;

impl Rate {
    /// The time at which call number `index` may be made, from the first.
    fn pause_before(self, index: u32) -> Duration {
        self.interval * index.saturating_sub(self.at_once)
    }

    /// Waits until call number `index` may be made. The local cloud has no such rates.
    async fn wait(self, ctx: &Context, started: Instant, index: u32) {
        if !ctx.is_local() {
            sleep_until(started + self.pause_before(index)).await;
        }
    }
}

/// The streams that `filter` selects, by name. `with_details` also describes each: one call for each stream.
///
/// # Errors
/// Exit 4 when the target cannot be reached or denies access, exit 1 for other failures.
pub async fn list(ctx: &Context, filter: &Filter, with_details: bool) -> Result<Vec<StreamEntry>> {
    let mut entries: Vec<StreamEntry> = Vec::new();
    let mut pages = Pages::new(ctx);
    while let Some(page) = pages.next().await? {
        // A page is filtered before the next is read, so that only what is shown is kept.
        entries.extend(page.into_iter().filter(|entry| filter.may_select(entry)));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    tagged::keep(ctx, &filter.tags, &mut entries).await?;
    // Endpoints without StreamSummaries return names only.
    if with_details || entries.iter().any(|entry| entry.arn.is_empty()) {
        entries = described(ctx, entries).await?;
        entries.retain(|entry| filter.selects(entry));
    }
    if !with_details {
        for entry in &mut entries {
            entry.open_shards = None;
            entry.details = None;
        }
    }
    Ok(entries)
}

/// The streams that are listed until `deadline`, page by page. An error ends the list.
pub async fn until(ctx: &Context, deadline: Instant) -> Vec<StreamEntry> {
    let mut pages = Pages::new(ctx);
    let mut found = Vec::new();
    while let Ok(Ok(Some(page))) = timeout_at(deadline, pages.next()).await {
        found.extend(page);
    }
    found
}

/// The streams with their details. Streams deleted meanwhile are left out.
async fn described(ctx: &Context, entries: Vec<StreamEntry>) -> Result<Vec<StreamEntry>> {
    let started = Instant::now();
    let described: Vec<Option<StreamEntry>> = stream::iter((0..).zip(entries))
        .map(|(index, entry)| async move {
            DESCRIPTIONS.wait(ctx, started, index).await;
            let summary = summary(ctx, &entry.name).await?;
            let state = summary.map(|found| StreamState::from_summary(&found, Default::default()));
            Ok::<_, Error>(state.map(|state| StreamEntry::described(&state, ctx.region())))
        })
        .buffered(DESCRIPTIONS_IN_FLIGHT)
        .try_collect()
        .await?;
    Ok(described.into_iter().flatten().collect())
}

/// What the stream costs a month on AWS without traffic, in US dollars; `None` if the prices of the region are not known.
pub fn standing_cost(state: &StreamState, region: &str) -> Option<Money> {
    standing_cost_with(state, state.open_shards, region)
}

/// As [`standing_cost`], if the stream had `shards` open shards.
pub fn standing_cost_with(state: &StreamState, shards: u32, region: &str) -> Option<Money> {
    let shards = u64::from(shards);
    let mode = match state.mode {
        Mode::Provisioned => cost::Mode::Provisioned { shards },
        Mode::OnDemand => cost::Mode::OnDemand,
    };
    let usage = Usage {
        retention_hours: state.retention_hours.into(),
        fan_out_consumers: state.consumer_count.into(),
        shard_level_metrics: shards.saturating_mul(metric_count(state).into()),
        ..Usage::idle(region, mode, HOURS_A_MONTH)
    };
    cost::so_far(&usage).total
}

fn metric_count(state: &StreamState) -> u32 {
    u32::try_from(state.monitoring.len().min(ShardMetric::ALL.len())).unwrap_or(0)
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
            details: None,
        }
    }

    fn described(state: &StreamState, region: &str) -> Self {
        Self {
            name: state.name.clone(),
            status: state.status.clone(),
            mode: state.mode,
            open_shards: Some(state.open_shards),
            created: state.created,
            arn: state.arn.clone(),
            details: Some(Details {
                retention_hours: state.retention_hours,
                consumer_count: state.consumer_count,
                shard_level_metrics: metric_count(state),
                standing_cost_per_month: standing_cost(state, region),
            }),
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
            details: None,
        }
    }
}

#[cfg(test)]
mod tests;
