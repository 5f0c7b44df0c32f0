//! The results of sending, and of a dry run.

use serde::Serialize;

use super::failed::Kept;
use crate::ui::units::{bytes, count, counted, milliseconds};
use crate::ui::{Report, Style, lines, table, width, wrap};
use domain::cost::Money;
use domain::dry_run::{MOST_KEYS, Tally};
use domain::produce::{Latencies, PutEnd, PutSummary};
use domain::record::HotKey;
use domain::stream::Mode;

/// A shard that takes more than this part of the records is worth a hint.
const HOT_SHARE: f64 = 0.6;
/// With fewer records, a share says nothing.
const FEWEST: u64 = 100;

/// The result of a run. A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PutReport {
    stream: String,
    /// `complete`, `interrupted`, `bad-input` or `aborted`.
    end: &'static str,
    read: u64,
    acknowledged: u64,
    failed: u64,
    stopped: u64,
    /// Records that were left out of what was read.
    bad: u64,
    retries: u64,
    throttles: u64,
    /// Records with an attempt without an answer before the one that was acknowledged.
    possible_duplicates: u64,
    /// Kinesis records that were sent for several records each.
    aggregates: u64,
    bytes: u64,
    elapsed_seconds: f64,
    /// `None` without an answered request.
    latency_ms: Option<Latency>,
    /// The file of failed records; `None` if there is none.
    failed_file: Option<String>,
    shards: Vec<ShardRow>,
}

/// Percentiles of the time from a request to its answer, in milliseconds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Latency {
    p50: f64,
    p99: f64,
}

impl Latency {
    fn of(latencies: &Latencies) -> Option<Self> {
        let at = |percent| {
            let latency = latencies.percentile(percent)?;
            Some((latency.as_secs_f64() * 100_000.0).round() / 100.0)
        };
        Some(Self {
            p50: at(50)?,
            p99: at(99)?,
        })
    }
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ShardCounts"))]
struct ShardRow {
    shard_id: String,
    records: u64,
    bytes: u64,
    first_sequence_number: String,
    last_sequence_number: String,
}

impl PutReport {
    pub(crate) fn new(stream: &str, summary: &PutSummary, end: &PutEnd, kept: &Kept, bad: u64) -> Self {
        Self {
            stream: stream.to_owned(),
            end: match end {
                PutEnd::Complete => "complete",
                PutEnd::Interrupted => "interrupted",
                PutEnd::BadInput(_) => "bad-input",
                PutEnd::Aborted(_) => "aborted",
            },
            read: summary.read,
            acknowledged: summary.acknowledged,
            failed: summary.failed,
            stopped: summary.stopped,
            bad,
            retries: summary.retries,
            throttles: summary.throttles,
            possible_duplicates: summary.possible_duplicates,
            aggregates: summary.aggregates,
            bytes: summary.bytes,
            elapsed_seconds: (summary.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            latency_ms: Latency::of(&summary.latencies),
            failed_file: kept.path.as_ref().map(|path| path.display().to_string()),
            shards: summary
                .shards
                .iter()
                .map(|(shard_id, shard)| ShardRow {
                    shard_id: shard_id.clone(),
                    records: shard.records,
                    bytes: shard.bytes,
                    first_sequence_number: shard.first_sequence_number.clone(),
                    last_sequence_number: shard.last_sequence_number.clone(),
                })
                .collect(),
        }
    }
}

impl PutReport {
    /// How the requests went, in a line.
    fn requests(&self) -> String {
        let latency = self
            .latency_ms
            .as_ref()
            .map_or_else(String::new, |Latency { p50, p99 }| {
                format!(
                    "latency {} (p50) and {} (p99); ",
                    milliseconds(*p50),
                    milliseconds(*p99)
                )
            });
        format!(
            "Requests: {latency}records sent again {}, throttled {}, possibly stored twice {}",
            count(self.retries),
            count(self.throttles),
            count(self.possible_duplicates)
        )
    }
}

impl Report for PutReport {
    fn table(&self, _style: &Style) -> String {
        if self.shards.is_empty() {
            return format!("No records were sent to {}", self.stream);
        }
        let mut rows = table(["SHARD", "RECORDS", "BYTES"]);
        for shard in &self.shards {
            rows.add_row([shard.shard_id.clone(), count(shard.records), bytes(shard.bytes)]);
        }
        let requests = wrap(&self.requests(), width()).join("\n");
        format!("{}\n\n{requests}", rows.trim_fmt())
    }

    fn text(&self) -> String {
        lines(self.shards.iter().map(|shard| {
            [
                shard.shard_id.clone(),
                shard.records.to_string(),
                shard.bytes.to_string(),
                shard.first_sequence_number.clone(),
                shard.last_sequence_number.clone(),
            ]
        }))
    }
}

/// The result as a sentence.
pub(crate) fn sentence(stream: &str, summary: &PutSummary) -> String {
    let sent = match summary.acknowledged == summary.read {
        true => counted(summary.read, "record"),
        false => format!(
            "{} of {} read",
            count(summary.acknowledged),
            counted(summary.read, "record")
        ),
    };
    let mut text = format!(
        "Sent {sent} ({}) to {stream} in {}",
        bytes(summary.bytes),
        milliseconds(summary.elapsed.as_secs_f64() * 1000.0)
    );
    match summary.retries {
        0 => {}
        1 => text.push_str(", 1 retry"),
        many => text.push_str(&format!(", {} retries", count(many))),
    }
    text
}

/// Says that most records have one key.
pub(crate) fn hot_key(hot: &HotKey) -> String {
    format!(
        "At least {}% of the records have the partition key {:?}, and one shard takes them all; `--key-field` with \
         another field, or `--key random`, spreads them",
        percent(hot.share),
        hot.key
    )
}

/// Says that one shard took most records; `None` if none did.
#[allow(clippy::cast_precision_loss, reason = "a share to show")]
pub(crate) fn hot_shard(summary: &PutSummary) -> Option<String> {
    let (id, shard) = summary.shards.iter().max_by_key(|(_, shard)| shard.records)?;
    let share = shard.records as f64 / summary.acknowledged.max(1) as f64;
    let is_hot = summary.shards.len() > 1 && summary.acknowledged >= FEWEST && share >= HOT_SHARE;
    is_hot.then(|| {
        format!(
            "{id} took {}% of the records; `--key-field` with another field, or `--key random`, spreads them",
            percent(share)
        )
    })
}

fn percent(share: f64) -> f64 {
    (share * 100.0).floor()
}

/// What a run would send. `shards`, `mode` and `cost_usd` are null if the stream was not described. Random keys are others in
/// another run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DryRunReport {
    stream: String,
    dry_run: bool,
    records: u64,
    bad: u64,
    bytes: u64,
    largest_record_bytes: u64,
    requests: u64,
    /// The number of distinct keys; `None` if they are random or more than 100,000.
    partition_keys: Option<usize>,
    first_partition_key: Option<String>,
    put_payload_units: u64,
    on_demand_billed_bytes: u64,
    mode: Option<&'static str>,
    /// `None` if the stream was not described.
    cost_usd: Option<Money>,
    shards: Option<Vec<ShareRow>>,
    #[serde(skip)]
    has_random_keys: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ShareRow {
    shard_id: String,
    records: u64,
    bytes: u64,
}

impl DryRunReport {
    pub(crate) fn new(stream: &str, tally: &Tally, bad: u64) -> Self {
        let shards = tally.shares().map(|shares| {
            let row = |(id, share): (&str, domain::dry_run::Share)| ShareRow {
                shard_id: id.to_owned(),
                records: share.records,
                bytes: share.bytes,
            };
            shares.into_iter().map(row).collect()
        });
        Self {
            stream: stream.to_owned(),
            dry_run: true,
            records: tally.records,
            bad,
            bytes: tally.bytes,
            largest_record_bytes: tally.largest,
            requests: tally.requests,
            partition_keys: tally.distinct_keys(),
            first_partition_key: tally.first_key.clone().filter(|_| !tally.has_random_keys()),
            put_payload_units: tally.put_units,
            on_demand_billed_bytes: tally.billed_bytes,
            mode: tally.destination().map(|destination| match destination.mode {
                Mode::Provisioned => "PROVISIONED",
                Mode::OnDemand => "ON_DEMAND",
            }),
            cost_usd: tally.cost(),
            shards,
            has_random_keys: tally.has_random_keys(),
        }
    }

    fn keys(&self) -> String {
        match (self.partition_keys, &self.first_partition_key) {
            _ if self.has_random_keys => "random".to_owned(),
            (Some(1), Some(first)) => format!("{first:?} for all"),
            (Some(count), Some(first)) => format!("{count} distinct, the first {first:?}"),
            (None, Some(first)) => format!(
                "more than {} distinct, the first {first:?}",
                count(MOST_KEYS as u64)
            ),
            (_, None) => "random".to_owned(),
        }
    }

    fn billing(&self) -> String {
        let cost = self.cost_usd.map_or_else(String::new, |cost| format!(": {cost}"));
        match self.mode {
            Some("ON_DEMAND") => format!("Billed: {} written{cost}", bytes(self.on_demand_billed_bytes)),
            _ => format!(
                "PUT payload units (25 KB): {}{cost}",
                count(self.put_payload_units)
            ),
        }
    }
}

impl Report for DryRunReport {
    fn table(&self, _style: &Style) -> String {
        let mut text = format!(
            "Would send {} ({}) to {} in {} or more\nLargest record: {}\nPartition keys: {}\n{}",
            counted(self.records, "record"),
            bytes(self.bytes),
            self.stream,
            counted(self.requests, "request"),
            bytes(self.largest_record_bytes),
            self.keys(),
            self.billing(),
        );
        let Some(shards) = &self.shards else { return text };
        let mut rows = table(["SHARD", "RECORDS", "BYTES"]);
        for shard in shards {
            rows.add_row([shard.shard_id.clone(), count(shard.records), bytes(shard.bytes)]);
        }
        text.push_str("\n\n");
        text.push_str(&rows.trim_fmt());
        text
    }

    fn text(&self) -> String {
        format!(
            "{}\t{}\t{}\t{}",
            self.stream, self.records, self.bytes, self.requests
        )
    }
}

#[cfg(test)]
mod tests;
