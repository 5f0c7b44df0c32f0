//! The measured write traffic of each open shard of a stream, and the partition keys that it consists of.
//!
//! Shard-level metrics of CloudWatch are read where they are enabled. Otherwise a bounded sample of the records of each
//! shard is read. What was not measured is absent, never zero. Changes nothing and decides nothing.

mod division;
mod load;
mod sample;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub use division::{ShardDivision, division, keys_of_stream};
pub use load::load;
pub use sample::{KeyCount, ShardSample, sample_shard};

use super::metrics::{self, Series, TimeRange};
use crate::context::Context;
use crate::stream::{Shard, ShardMap, ShardMetric, StreamState};
use ground::error::Result;
use ground::error::aws::Class;

/// Write limits of a shard per second. Source: "Quotas and limits", Kinesis developer guide.
pub const SHARD_RECORDS: f64 = 1_000.0;
pub const SHARD_BYTES: f64 = 1024.0 * 1024.0;

/// The hottest keys that [`Traffic`] lists.
const KEYS: usize = 100;

/// Where figures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Shard-level metrics of CloudWatch.
    Metrics,
    /// Records that were read. An aggregated record is one record with one partition key.
    Sample,
}

/// Write traffic of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Traffic {
    /// The time before now that was looked at.
    #[serde(rename = "window_seconds", serialize_with = "in_seconds")]
    #[cfg_attr(feature = "schemas", schemars(with = "u64"))]
    pub window: Duration,
    pub source: Source,
    /// The open shards, by id.
    pub shards: Vec<ShardTraffic>,
    /// The hottest partition keys of the stream, hottest first, at most 100; only from a sample.
    pub keys: Vec<KeyTraffic>,
}

/// Write traffic of one open shard. A figure that was not measured is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ShardTraffic {
    pub shard: String,
    pub records_per_second: Option<f64>,
    pub bytes_per_second: Option<f64>,
    /// Share of 1,000 records/s or of 1 MiB/s, whichever is nearer to its limit; 1 is the limit.
    pub utilisation: Option<f64>,
    /// Writes that were refused within the window.
    pub throttled: Option<u64>,
}

/// Traffic of one partition key.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct KeyTraffic {
    pub key: String,
    pub shard: String,
    /// The hash of the key. `None` if the shard does not have this hash key: the producer gave an explicit hash key, which
    /// records do not contain.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "schemas", schemars(with = "Option<String>"))]
    pub hash_key: Option<u128>,
    /// Share of the traffic of its shard, 0 to 1.
    pub share: f64,
}

impl Traffic {
    /// The traffic of the shard `id`.
    pub fn shard(&self, id: &str) -> Option<&ShardTraffic> {
        self.shards.iter().find(|shard| shard.shard == id)
    }

    /// The shard with the highest utilisation.
    pub fn hottest(&self) -> Option<&ShardTraffic> {
        let known = self.shards.iter().filter(|shard| shard.utilisation.is_some());
        known.max_by(|a, b| {
            let utilisation = |shard: &ShardTraffic| shard.utilisation.unwrap_or_default();
            utilisation(a).total_cmp(&utilisation(b))
        })
    }
}

impl ShardTraffic {
    fn new(shard: &str, records: Option<f64>, bytes: Option<f64>, throttled: Option<u64>) -> Self {
        let shares = [
            records.map(|rate| rate / SHARD_RECORDS),
            bytes.map(|rate| rate / SHARD_BYTES),
        ];
        Self {
            shard: shard.to_owned(),
            records_per_second: records,
            bytes_per_second: bytes,
            utilisation: shares.into_iter().flatten().reduce(f64::max),
            throttled,
        }
    }
}

/// Measures the write traffic of the open shards of `map` in the last `window`.
///
/// # Errors
/// When a call fails. Without permission for CloudWatch's metrics a sample is read.
pub async fn measure(
    context: &Context,
    stream: &StreamState,
    map: &ShardMap,
    window: Duration,
) -> Result<Traffic> {
    let now = Timestamp::now();
    let enabled = [ShardMetric::IncomingBytes, ShardMetric::IncomingRecords];
    if enabled.iter().any(|metric| stream.monitoring.contains(metric))
        && let Some(traffic) = from_metrics(context, stream, map, window, now).await?
    {
        return Ok(traffic);
    }
    let open: Vec<&Shard> = map.open().collect();
    let samples = sample::sample_shards(context, stream, &open, map, window, now).await?;
    Ok(from_samples(window, &open, &samples))
}

/// The traffic that `samples` of the shards `open` show.
pub fn from_samples(window: Duration, open: &[&Shard], samples: &[ShardSample]) -> Traffic {
    let by_shard: BTreeMap<&str, &ShardSample> = samples
        .iter()
        .map(|sample| (sample.shard.as_str(), sample))
        .collect();
    let shards = open.iter().map(|shard| match by_shard.get(shard.id.as_str()) {
        Some(sample) => sample.traffic(),
        None => ShardTraffic::new(&shard.id, None, None, None),
    });
    let mut keys: Vec<(f64, KeyTraffic)> = samples.iter().flat_map(ShardSample::hottest_keys).collect();
    keys.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.key.cmp(&b.1.key)));
    keys.truncate(KEYS);
    Traffic {
        window,
        source: Source::Sample,
        shards: shards.collect(),
        keys: keys.into_iter().map(|(_, key)| key).collect(),
    }
}

/// `None` if there are no figures, or CloudWatch does not give them to this caller.
async fn from_metrics(
    context: &Context,
    stream: &StreamState,
    map: &ShardMap,
    window: Duration,
    now: Timestamp,
) -> Result<Option<Traffic>> {
    const NAMES: [ShardMetric; 3] = [
        ShardMetric::IncomingRecords,
        ShardMetric::IncomingBytes,
        ShardMetric::WriteProvisionedThroughputExceeded,
    ];
    let names: Vec<&str> = NAMES
        .into_iter()
        .filter(|metric| stream.monitoring.contains(metric))
        .map(ShardMetric::name)
        .collect();
    let open: Vec<&Shard> = map.open().collect();
    let ids: Vec<String> = open.iter().map(|shard| shard.id.clone()).collect();
    let since = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
    let range = TimeRange::last(since.clamp(60, metrics::MAX_RANGE_SECONDS), None, now.as_second())?;
    let read = metrics::of_shards(context, &stream.name, &ids, &names, &range).await;
    let series = match read {
        Ok(series) => series,
        Err(error) => {
            return match error.class() {
                Some(Class::Denied | Class::NotFound | Class::Refused) => Ok(None),
                _ => Err(error),
            };
        }
    };
    if series.iter().all(|series| series.points.is_empty()) {
        return Ok(None);
    }
    Ok(Some(Traffic {
        window,
        source: Source::Metrics,
        shards: rates(&open, map, &series, &range, now.as_second()),
        keys: Vec::new(),
    }))
}

/// The rates of the shards `open`. Figures are one to two minutes late, so the time until the newest figure of any shard
/// counts. A shard that a reshard made counts from its first figure.
fn rates(
    open: &[&Shard],
    map: &ShardMap,
    series: &[Series],
    range: &TimeRange,
    now: i64,
) -> Vec<ShardTraffic> {
    let ends = series
        .iter()
        .filter_map(|series| series.points.last())
        .map(|p| p.at);
    let end = ends
        .max()
        .map_or(now, |at| at.saturating_add(range.period).min(now));
    let mut by_shard: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in series {
        let shard = series.resource.shard().unwrap_or_default();
        by_shard.entry(shard).or_default().push(series);
    }
    let shard = |shard: &&Shard| {
        let of_shard = by_shard.get(shard.id.as_str()).map_or(&[][..], Vec::as_slice);
        let first = of_shard
            .iter()
            .filter_map(|series| series.points.first())
            .map(|p| p.at)
            .min();
        let start = match first {
            Some(at) if was_resharded(map, shard) => at.max(range.start),
            _ => range.start,
        };
        let seconds = seconds_of(end.saturating_sub(start).max(1));
        let total = |metric: ShardMetric| {
            let found = of_shard.iter().find(|series| series.spec.name == metric.name())?;
            found.figure()
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = |figure: f64| figure.round().max(0.0) as u64;
        ShardTraffic::new(
            &shard.id,
            total(ShardMetric::IncomingRecords).map(|sum| sum / seconds),
            total(ShardMetric::IncomingBytes).map(|sum| sum / seconds),
            total(ShardMetric::WriteProvisionedThroughputExceeded).map(count),
        )
    };
    open.iter().map(shard).collect()
}

/// Whether a reshard within the retention made `shard`: it may be younger than the window.
fn was_resharded(map: &ShardMap, shard: &Shard) -> bool {
    shard.parents().any(|parent| map.get(parent).is_some())
}

#[allow(clippy::cast_precision_loss, reason = "at most some years")]
fn seconds_of(seconds: i64) -> f64 {
    seconds as f64
}

fn in_seconds<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(length.as_secs())
}

/// Many JSON readers round numbers this long.
fn as_text<S: Serializer>(number: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.collect_str(number),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
