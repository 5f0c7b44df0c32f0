//! What a Firehose stream delivers in a month: data, objects, partitions.

use super::{buffers, number, text};
use crate::cost::{HOURS_A_MONTH, Item, Load, firehose_bytes};
use crate::pipeline::resource::Spec;

/// Buffer of a Firehose stream if it does not say. Source: `BufferingHints`, Amazon Data Firehose API reference.
const BUFFER_MB: u64 = 5;
const BUFFER_SECONDS: u64 = 300;
const PARTITIONED_MB: u64 = 128;
/// Active partitions that are assumed.
pub(super) const PARTITIONS: u64 = 10;
/// Milliseconds of jq processing for a record. Source: the example of dynamic partitioning, Amazon Data Firehose pricing: 70 hours
/// for 100 records a second in a month.
const QUERY_MS: u64 = 1;

pub(super) fn has_partition_keys(prefix: &str) -> bool {
    prefix.contains("!{partitionKeyFrom")
}

/// Whether a Firehose stream has dynamic partitioning.
fn is_partitioned(spec: &Spec) -> bool {
    text(spec, "prefix").is_some_and(has_partition_keys)
}

/// Objects that a Firehose stream writes in a month.
pub(super) fn objects(spec: &Spec, load: &Load) -> u64 {
    let (default_mb, partitions) = match is_partitioned(spec) {
        true => (PARTITIONED_MB, PARTITIONS),
        false => (BUFFER_MB, 1),
    };
    let size = number(spec, "buffer_mb").unwrap_or(default_mb).max(1) * 1_048_576;
    let seconds = number(spec, "buffer_seconds").unwrap_or(BUFFER_SECONDS);
    buffers(load, seconds, size, partitions)
}

/// What is paid for.
pub(super) fn quantities(spec: &Spec, load: &Load) -> Vec<(Item, u64)> {
    let bytes = firehose_bytes(load.record_bytes().unwrap_or(0));
    let records = load.records.over_hours(HOURS_A_MONTH);
    let mut quantities = vec![(Item::FirehoseData, records.saturating_mul(bytes))];
    if is_partitioned(spec) {
        quantities.extend([
            (Item::FirehosePartitioning, load.bytes.over_hours(HOURS_A_MONTH)),
            (Item::FirehoseObjects, objects(spec, load)),
        ]);
        if spec.properties.get("partition_keys").is_some() {
            quantities.push((Item::FirehoseQueries, records.saturating_mul(QUERY_MS)));
        }
    }
    quantities
}
