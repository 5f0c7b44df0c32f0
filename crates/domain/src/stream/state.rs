//! A stream's current description. Nothing is remembered between runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use aws_sdk_kinesis::types as sdk;
use jiff::Timestamp;
use serde::Serialize;

use super::reference::name_or_arn;
use crate::context::Context;
use ground::error::{self, Error, Result};

/// Default retention in hours. Source: "Change the data retention period", Kinesis developer guide.
pub const DEFAULT_RETENTION_HOURS: u32 = 24;
/// Default maximum record size in KiB. Source: UpdateMaxRecordSize, Kinesis API reference.
pub const DEFAULT_MAX_RECORD_SIZE_KIB: u32 = 1024;

/// Status of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "StreamStatus")
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Being created; cannot be read, written or changed yet.
    Creating,
    /// Ready; the only status in which changes are accepted.
    Active,
    /// Being changed; reads and writes work.
    Updating,
    Deleting,
    /// A status this version of streamctl does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Other(name) => name,
        })
    }
}

impl From<&sdk::StreamStatus> for Status {
    fn from(status: &sdk::StreamStatus) -> Self {
        match status {
            sdk::StreamStatus::Creating => Self::Creating,
            sdk::StreamStatus::Active => Self::Active,
            sdk::StreamStatus::Updating => Self::Updating,
            sdk::StreamStatus::Deleting => Self::Deleting,
            other => Self::Other(other.as_str().to_owned()),
        }
    }
}

/// Capacity mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Provisioned: the user sets the shard count.
    Provisioned,
    /// On demand: Kinesis sets it by traffic.
    OnDemand,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provisioned => "provisioned",
            Self::OnDemand => "on-demand",
        })
    }
}

impl From<Option<&sdk::StreamModeDetails>> for Mode {
    /// Streams created before on-demand mode have no details and are provisioned.
    fn from(details: Option<&sdk::StreamModeDetails>) -> Self {
        match details.map(sdk::StreamModeDetails::stream_mode) {
            Some(sdk::StreamMode::OnDemand) => Self::OnDemand,
            _ => Self::Provisioned,
        }
    }
}

/// A shard-level metric ("enhanced monitoring"), charged per shard.
/// Source: EnableEnhancedMonitoring, Kinesis API reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub enum ShardMetric {
    /// Bytes written to the shard.
    IncomingBytes,
    /// Records written to the shard.
    IncomingRecords,
    /// Age of the last record read.
    IteratorAgeMilliseconds,
    /// Bytes read from the shard.
    OutgoingBytes,
    /// Records read from the shard.
    OutgoingRecords,
    /// Throttled reads.
    ReadProvisionedThroughputExceeded,
    /// Throttled writes.
    WriteProvisionedThroughputExceeded,
}

impl ShardMetric {
    /// All seven, as `ALL` means in the API.
    pub const ALL: [Self; 7] = [
        Self::IncomingBytes,
        Self::IncomingRecords,
        Self::IteratorAgeMilliseconds,
        Self::OutgoingBytes,
        Self::OutgoingRecords,
        Self::ReadProvisionedThroughputExceeded,
        Self::WriteProvisionedThroughputExceeded,
    ];

    /// The API's name of the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::IncomingBytes => "IncomingBytes",
            Self::IncomingRecords => "IncomingRecords",
            Self::IteratorAgeMilliseconds => "IteratorAgeMilliseconds",
            Self::OutgoingBytes => "OutgoingBytes",
            Self::OutgoingRecords => "OutgoingRecords",
            Self::ReadProvisionedThroughputExceeded => "ReadProvisionedThroughputExceeded",
            Self::WriteProvisionedThroughputExceeded => "WriteProvisionedThroughputExceeded",
        }
    }

    pub fn all() -> BTreeSet<Self> {
        Self::ALL.into_iter().collect()
    }
}

impl fmt::Display for ShardMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ShardMetric {
    type Err = Error;

    /// # Errors
    /// Exit 2 with the seven names.
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                Error::usage(format!("{text:?} is not a shard-level metric")).hint(format!(
                    "use ALL or one of {}",
                    Self::ALL.map(Self::name).join(", ")
                ))
            })
    }
}

/// A stream as returned by DescribeStreamSummary and ListTagsForStream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct StreamState {
    /// Name, unique within the account and region.
    pub name: String,
    pub arn: String,
    pub status: Status,
    pub mode: Mode,
    /// Number of open shards.
    pub open_shards: u32,
    /// Retention, 24 to 8,760 hours.
    pub retention_hours: u32,
    /// The KMS key of server-side encryption as given (alias, id or ARN); `None` when disabled.
    pub encryption: Option<String>,
    /// The enabled shard-level metrics.
    pub monitoring: BTreeSet<ShardMetric>,
    /// Up to 50 tags.
    pub tags: BTreeMap<String, String>,
    /// Number of registered enhanced fan-out consumers.
    pub consumer_count: u32,
    pub created: Option<Timestamp>,
    /// Maximum record size, 1,024 to 10,240 KiB.
    pub max_record_size_kib: u32,
    /// Warm write throughput in MiB/s (On-demand Advantage only).
    pub warm_throughput_mibps: Option<u32>,
    /// How records are distributed over shards (on-demand only): `AUTO` ignores partition keys, `USER_PARTITION_KEY`
    /// uses them.
    pub record_distribution: Option<String>,
}

/// Describes the stream `name` with its tags; `None` if it does not exist. A stream of another account is named by its ARN.
///
/// # Errors
/// Exit 4 when the target cannot be reached or denies access, exit 1 for other failures.
pub async fn observe(ctx: &Context, name: &str) -> Result<Option<StreamState>> {
    // Boxed: futures of callers nest deeply.
    match Box::pin(observe_as_allowed(ctx, name)).await? {
        Some((_, Some(denied))) => Err(denied),
        Some((state, None)) => Ok(Some(state)),
        None => Ok(None),
    }
}

/// As [`observe`], without the tags: one call.
///
/// # Errors
/// Those of DescribeStreamSummary.
pub async fn describe(ctx: &Context, name: &str) -> Result<Option<StreamState>> {
    let summary = summary(ctx, name).await?;
    Ok(summary.map(|summary| StreamState::from_summary(&summary, BTreeMap::new())))
}

/// As [`observe`]. Where the tags cannot be read, the stream is returned without any, with the reason.
///
/// # Errors
/// Those of DescribeStreamSummary.
pub async fn observe_as_allowed(ctx: &Context, name: &str) -> Result<Option<(StreamState, Option<Error>)>> {
    let (summary, tags) = tokio::join!(summary(ctx, name), tags(ctx, name));
    let Some(summary) = summary? else {
        return Ok(None);
    };
    Ok(match tags {
        Ok(Some(tags)) => Some((StreamState::from_summary(&summary, tags), None)),
        // The stream was deleted between the two calls.
        Ok(None) => None,
        Err(reason) => Some((StreamState::from_summary(&summary, BTreeMap::new()), Some(reason))),
    })
}

/// DescribeStreamSummary; `None` if the stream does not exist.
pub(super) async fn summary(ctx: &Context, name: &str) -> Result<Option<sdk::StreamDescriptionSummary>> {
    let (by_name, by_arn) = name_or_arn(name);
    let call = ctx.kinesis().describe_stream_summary();
    let call = call.set_stream_name(by_name).set_stream_arn(by_arn);
    match call.send().await {
        Ok(answer) => answer.stream_description_summary.map(Some).ok_or_else(|| {
            Error::failed(format!("the endpoint's answer does not describe stream {name}"))
                .hint("check that --endpoint-url names an AWS-compatible endpoint")
        }),
        Err(e) if error::aws::is_not_found(&e) => Ok(None),
        Err(e) => Err(error::aws::failed(format!("could not describe stream {name}"), e)),
    }
}

/// All pages of ListTagsForStream; `None` if the stream does not exist.
pub(super) async fn tags(ctx: &Context, name: &str) -> Result<Option<BTreeMap<String, String>>> {
    let mut tags = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let (by_name, by_arn) = name_or_arn(name);
        let call = ctx
            .kinesis()
            .list_tags_for_stream()
            .set_stream_name(by_name)
            .set_stream_arn(by_arn)
            .set_exclusive_start_tag_key(after.clone())
            .send();
        let page = match call.await {
            Ok(page) => page,
            Err(e) if error::aws::is_not_found(&e) => return Ok(None),
            Err(e) => {
                return Err(error::aws::failed(
                    format!("could not list the tags of stream {name}"),
                    e,
                ));
            }
        };
        let last = page.tags.last().map(|tag| tag.key.clone());
        tags.extend(
            page.tags
                .into_iter()
                .map(|tag| (tag.key, tag.value.unwrap_or_default())),
        );
        // An empty page would repeat forever.
        if !page.has_more_tags || last.is_none() || last == after {
            return Ok(Some(tags));
        }
        after = last;
    }
}

impl StreamState {
    /// The stream a DescribeStreamSummary answer describes.
    pub fn from_summary(summary: &sdk::StreamDescriptionSummary, tags: BTreeMap<String, String>) -> Self {
        let count = |n: i32| u32::try_from(n).unwrap_or(0);
        let encrypted = summary.encryption_type == Some(sdk::EncryptionType::Kms);
        let monitoring = summary
            .enhanced_monitoring
            .iter()
            .flat_map(|metrics| metrics.shard_level_metrics());
        Self {
            name: summary.stream_name.clone(),
            arn: summary.stream_arn.clone(),
            status: Status::from(&summary.stream_status),
            mode: Mode::from(summary.stream_mode_details.as_ref()),
            open_shards: count(summary.open_shard_count),
            retention_hours: count(summary.retention_period_hours),
            // A stream whose encryption is NONE can still have a key id.
            encryption: encrypted.then(|| {
                let key = summary.key_id.clone();
                key.unwrap_or_else(|| super::change::AWS_MANAGED_KEY.to_owned())
            }),
            monitoring: metric_set(monitoring),
            tags,
            consumer_count: summary.consumer_count.map_or(0, count),
            created: timestamp(&summary.stream_creation_timestamp),
            max_record_size_kib: summary
                .max_record_size_in_kib
                .map_or(DEFAULT_MAX_RECORD_SIZE_KIB, count),
            warm_throughput_mibps: summary
                .warm_throughput
                .as_ref()
                .and_then(sdk::WarmThroughputObject::current_mibps)
                .map(count),
            record_distribution: summary
                .record_distribution_strategy
                .as_ref()
                .map(|strategy| strategy.as_str().to_owned()),
        }
    }

    /// Whether the stream accepts changes now.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether records are distributed without regard to their partition keys.
    pub fn ignores_partition_keys(&self) -> bool {
        self.record_distribution.as_deref() == Some("AUTO")
    }
}

fn metric_set<'a>(metrics: impl Iterator<Item = &'a sdk::MetricsName>) -> BTreeSet<ShardMetric> {
    let mut set = BTreeSet::new();
    for metric in metrics {
        match metric {
            sdk::MetricsName::All => set.extend(ShardMetric::ALL),
            other => set.extend(ShardMetric::from_str(other.as_str())),
        }
    }
    set
}

/// Converts the service's time, a float, to milliseconds; the rest is imprecise. `None` if out of range.
pub(super) fn timestamp(time: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.to_millis().ok()?).ok()
}

#[cfg(test)]
mod tests;
