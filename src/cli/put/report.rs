//! The results of `put`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::failed::Kept;
use super::input::PutInput;
use crate::ui::units::{bytes, count, counted, milliseconds};
use crate::ui::{Report, Style, lines, table};
use domain::produce::{Batch, BatchLimits, PutEnd, PutSummary};
use domain::record::ReadOptions;
use ground::error::Result;

/// Limit of the set of distinct keys, so that memory does not grow with the input.
const KEYS: usize = 100_000;

/// The result of a run. Its JSON form: counts, `end` (`complete`, `interrupted`, `bad-input`, `aborted`), the file of
/// failed records or null, and what each shard took.
#[derive(Debug, Serialize)]
pub(super) struct PutReport {
    stream: String,
    end: &'static str,
    read: u64,
    acknowledged: u64,
    failed: u64,
    stopped: u64,
    retries: u64,
    bytes: u64,
    elapsed_seconds: f64,
    failed_file: Option<String>,
    shards: Vec<ShardRow>,
}

#[derive(Debug, Serialize)]
struct ShardRow {
    shard_id: String,
    records: u64,
    bytes: u64,
    first_sequence_number: String,
    last_sequence_number: String,
}

impl PutReport {
    pub(super) fn new(stream: &str, summary: &PutSummary, end: &PutEnd, kept: &Kept) -> Self {
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
            retries: summary.retries,
            bytes: summary.bytes,
            elapsed_seconds: (summary.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
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

impl Report for PutReport {
    fn table(&self, _style: &Style) -> String {
        if self.shards.is_empty() {
            return format!("No records were sent to {}", self.stream);
        }
        let mut rows = table(["SHARD", "RECORDS", "BYTES"]);
        for shard in &self.shards {
            rows.add_row([shard.shard_id.clone(), count(shard.records), bytes(shard.bytes)]);
        }
        let lines: Vec<String> = rows.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
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
pub(super) fn sentence(stream: &str, summary: &PutSummary) -> String {
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

/// What a run would send. `partition_keys` is the number of distinct keys, or null if they are random or more than
/// 100,000.
#[derive(Debug, Serialize)]
pub(super) struct DryRunReport {
    stream: String,
    dry_run: bool,
    records: u64,
    bytes: u64,
    largest_record_bytes: u64,
    requests: u64,
    partition_keys: Option<usize>,
    first_partition_key: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    records: u64,
    bytes: u64,
    largest: u64,
    requests: u64,
    keys: HashSet<String>,
    first_key: Option<String>,
    /// The keys are random: another run has other keys.
    random: bool,
}

impl DryRunReport {
    /// Reads the whole input. Makes no call: records are checked against the default maximum of 1 MiB.
    pub(super) async fn read(stream: &str, input: &PutInput, options: &ReadOptions) -> Result<Self> {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let mut batch = Batch::new(BatchLimits::default());
        let shared = Arc::clone(&counts);
        input
            .visit(options, move |record, reader| {
                let mut counts = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let size = record.size();
                if !batch.fits(size) {
                    batch = Batch::new(BatchLimits::default());
                }
                counts.requests += u64::from(batch.is_empty());
                batch.push((), size);
                counts.records += 1;
                counts.random = reader.makes_up_keys();
                counts.bytes += size as u64;
                counts.largest = counts.largest.max(size as u64);
                counts
                    .first_key
                    .get_or_insert_with(|| record.partition_key.clone());
                if counts.keys.len() <= KEYS && !counts.keys.contains(&record.partition_key) {
                    counts.keys.insert(record.partition_key.clone());
                }
            })
            .await?;
        let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let random = counts.random;
        Ok(Self {
            stream: stream.to_owned(),
            dry_run: true,
            records: counts.records,
            bytes: counts.bytes,
            largest_record_bytes: counts.largest,
            requests: counts.requests,
            partition_keys: (!random && counts.keys.len() <= KEYS).then_some(counts.keys.len()),
            first_partition_key: counts.first_key.filter(|_| !random),
        })
    }
}

impl Report for DryRunReport {
    fn table(&self, _style: &Style) -> String {
        let keys = match (self.partition_keys, &self.first_partition_key) {
            (Some(1), Some(first)) => format!("{first:?} for all"),
            (Some(count), Some(first)) => format!("{count} distinct, the first {first:?}"),
            (None, Some(first)) => format!("more than {KEYS} distinct, the first {first:?}"),
            (_, None) => "random".to_owned(),
        };
        format!(
            "Would send {} ({}) to {} in {} or more\nLargest record: {}\nPartition keys: {keys}",
            counted(self.records, "record"),
            bytes(self.bytes),
            self.stream,
            counted(self.requests, "request"),
            bytes(self.largest_record_bytes),
        )
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
