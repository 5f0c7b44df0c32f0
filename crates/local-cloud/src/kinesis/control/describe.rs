//! DescribeStream, DescribeStreamSummary, and the output for a stream and its shards.

use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input;
use crate::kinesis::model::output;
use crate::kinesis::model::value::Timestamp;
use crate::kinesis::stream::View;
use crate::kinesis::stream::lineage::{self, ShardMeta};
use crate::kinesis::stream::meta::{Mode, ShardMetric, Status, StreamMeta};

/// Maximum and default page size of DescribeStream.
const MAX_PAGE: i64 = 100;

pub fn describe_stream(
    engine: &Engine,
    context: &Context,
    input: input::DescribeStream,
) -> Result<output::DescribeStream> {
    let stream = engine.find(context, &input)?;
    let view = stream.view(context.now_ms);
    let after = after_shard(input.exclusive_start_shard_id.as_deref())?;
    let limit = input.limit.unwrap_or(MAX_PAGE).min(MAX_PAGE) as usize;
    let mut listed =
        listed_shards(&view, context.now_ms).filter(|s| after.is_none_or(|after| s.index > after));
    let shards: Vec<output::Shard> = listed.by_ref().take(limit).map(|s| shard(&view, s)).collect();
    let has_more = listed.next().is_some();
    let meta = &view.meta;
    let description = output::StreamDescription {
        name: meta.name.clone(),
        arn: meta.arn(),
        status: meta.status.as_str(),
        mode: mode(meta),
        shards,
        has_more,
        retention_hours: meta.retention_hours,
        created: Timestamp(meta.created_ms),
        monitoring: monitoring(meta),
        encryption_type: meta.encryption.as_str(),
        key_id: meta.encryption.key_id(),
    };
    Ok(output::DescribeStream { description })
}

pub fn describe_stream_summary(
    engine: &Engine,
    context: &Context,
    input: input::DescribeStreamSummary,
) -> Result<output::DescribeStreamSummary> {
    let stream = engine.find(context, &input)?;
    let view = stream.view(context.now_ms);
    let meta = &view.meta;
    let open_shards = if meta.status == Status::Creating {
        0
    } else {
        view.open_count() as i64
    };
    let summary = output::StreamDescriptionSummary {
        name: meta.name.clone(),
        arn: meta.arn(),
        id: meta.stream_id(),
        status: meta.status.as_str(),
        mode: mode(meta),
        retention_hours: meta.retention_hours,
        created: Timestamp(meta.created_ms),
        monitoring: monitoring(meta),
        encryption_type: meta.encryption.as_str(),
        key_id: meta.encryption.key_id(),
        open_shards,
        consumers: meta.consumers.len() as i64,
        warm_throughput: warm_throughput(meta),
        max_record_size: meta.max_record_kib,
        channels: engine.channels.count(meta.id) as i64,
        distribution: (meta.mode == Mode::OnDemand).then(|| meta.distribution.as_str()),
    };
    Ok(output::DescribeStreamSummary { summary })
}

pub fn mode(meta: &StreamMeta) -> output::StreamModeDetails {
    output::StreamModeDetails {
        mode: meta.mode.as_str(),
    }
}

pub fn warm_throughput(meta: &StreamMeta) -> Option<output::WarmThroughput> {
    let target = meta.warm_throughput?;
    let current = if meta.status == Status::Active { target } else { 0 };
    Some(output::WarmThroughput { target, current })
}

fn monitoring(meta: &StreamMeta) -> Vec<output::EnhancedMetrics> {
    let metrics = meta.monitoring.iter().copied().map(ShardMetric::as_str).collect();
    vec![output::EnhancedMetrics { metrics }]
}

/// The listed shards: none while the stream is CREATING, and none whose records have all expired.
pub fn listed_shards(view: &View, now_ms: i64) -> impl Iterator<Item = &ShardMeta> {
    let horizon = view.meta.horizon_ms(now_ms);
    let shown = view.meta.status != Status::Creating;
    view.meta
        .shards
        .iter()
        .filter(move |s| shown && !s.expired(horizon))
}

/// The shard index after which a listing starts.
///
/// # Errors
/// `InvalidArgumentException` if `id` is not a shard id.
pub fn after_shard(id: Option<&str>) -> Result<Option<u32>> {
    let index = |id: &str| {
        lineage::shard_index(id)
            .ok_or_else(|| ApiError::invalid_argument(format!("{id} is not the id of a shard.")))
    };
    id.map(index).transpose()
}

pub fn shard(view: &View, meta: &ShardMeta) -> output::Shard {
    let store = view.shards.get(meta.index as usize).map(|s| &s.store);
    output::Shard {
        shard_id: meta.id(),
        parent: meta.parent.map(lineage::shard_id),
        adjacent_parent: meta.adjacent_parent.map(lineage::shard_id),
        hash_keys: hash_keys(meta),
        sequence_numbers: output::SequenceNumberRange {
            start: store
                .map(|s| s.starting_sequence_number().to_string())
                .unwrap_or_default(),
            end: store
                .and_then(|s| s.ending_sequence_number())
                .map(|n| n.to_string()),
        },
    }
}

pub fn hash_keys(meta: &ShardMeta) -> output::HashKeyRange {
    output::HashKeyRange {
        start: meta.start.to_string(),
        end: meta.end.to_string(),
    }
}
