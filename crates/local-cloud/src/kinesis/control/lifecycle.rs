//! CreateStream, DeleteStream.

use std::collections::BTreeSet;

use crate::kinesis::catalog::caller_of;
use crate::kinesis::control::account::{ON_DEMAND_STREAM_LIMIT, shard_limit};
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::on_demand;
use crate::kinesis::stream::lineage;
use crate::kinesis::stream::meta::{Distribution, Encryption, Mode, Status, StreamMeta};

/// Shards per stream.
pub const MAX_SHARDS: i64 = 10_000;
/// Streams in CREATING at the same time.
const MAX_CREATING: usize = 5;

pub fn create_stream(engine: &Engine, context: &Context, input: input::CreateStream) -> Result<()> {
    let meta = new_stream(engine, context, &input)?;
    let (mode, region) = (meta.mode, meta.region.clone());
    let added = meta.shards.len() as i64;
    engine.catalog.create(meta, context.now_ms, |others| {
        let views: Vec<_> = others.iter().map(|s| s.view(context.now_ms)).collect();
        let creating = views.iter().filter(|v| v.meta.status == Status::Creating).count();
        if engine.options.enforce_limits && creating >= MAX_CREATING {
            return Err(ApiError::limit_exceeded(format!(
                "This request would exceed the limit of {MAX_CREATING} streams in CREATING state for the account {}.",
                context.caller.account
            )));
        }
        let of_mode = |mode| views.iter().filter(move |v| v.meta.mode == mode);
        match mode {
            Mode::Provisioned => {
                let open = of_mode(Mode::Provisioned).map(|v| v.open_count() as i64).sum();
                admit_shards(&context.caller.account, &region, open, added)
            }
            Mode::OnDemand if of_mode(Mode::OnDemand).count() as i64 >= ON_DEMAND_STREAM_LIMIT => {
                Err(ApiError::limit_exceeded(format!(
                    "This request would exceed the on-demand stream limit for the account {}. Limit: {}.",
                    context.caller.account, ON_DEMAND_STREAM_LIMIT
                )))
            }
            Mode::OnDemand => Ok(()),
        }
    })
}

/// Rejects shards above the account's quota.
///
/// # Errors
/// `LimitExceededException`.
pub fn admit_shards(account: &str, region: &str, open: i64, added: i64) -> Result<()> {
    let limit = shard_limit(region);
    if open + added <= limit {
        return Ok(());
    }
    Err(ApiError::limit_exceeded(format!(
        "This request would exceed the shard limit for the account {account} in {region}. Current shard count for the \
         account: {open}. Limit: {limit}. Number of additional shards that would have resulted from this request: \
         {added}. Refer to the AWS Engine Limits page (http://docs.aws.amazon.com/general/latest/gr/\
         aws_service_limits.html) for current limits and how to request higher limits."
    )))
}

fn new_stream(engine: &Engine, context: &Context, input: &input::CreateStream) -> Result<StreamMeta> {
    let mode = match &input.stream_mode_details {
        Some(details) => Mode::parse(text(&details.stream_mode)).unwrap_or(Mode::Provisioned),
        None => Mode::Provisioned,
    };
    let distribution = input.distribution.as_deref().and_then(Distribution::parse);
    let shards = shard_count(context, mode, input.shard_count)?;
    if mode == Mode::Provisioned && (input.warm_throughput.is_some() || distribution.is_some()) {
        return Err(ApiError::validation(
            "WarmThroughputMiBps and RecordDistributionStrategy are only supported for streams in ON_DEMAND mode.",
        ));
    }
    if input.warm_throughput.is_some() {
        super::capacity::require_commitment(engine, context)?;
        super::capacity::check_warm_throughput(input.warm_throughput)?;
    }
    let shards = shards.max(on_demand::shards_of(input.warm_throughput));
    let name = text(&input.stream_name);
    let tags = super::tags::initial(input.tags.clone(), name, &context.caller.account)?;
    Ok(StreamMeta {
        version: StreamMeta::VERSION,
        account: context.caller.account.clone(),
        region: context.caller.region.clone(),
        name: name.to_owned(),
        id: rand::random(),
        created_ms: context.now_ms,
        status: Status::Creating,
        due_ms: engine.due(context.now_ms),
        mode,
        retention_hours: 24,
        expired_before_ms: i64::MIN,
        encryption: Encryption::None,
        next_encryption: None,
        monitoring: BTreeSet::new(),
        tags,
        policy: None,
        consumers: Vec::new(),
        shards: lineage::initial(shards, context.now_ms),
        max_record_kib: input.max_record_size.unwrap_or(1024),
        warm_throughput: input.warm_throughput,
        distribution: distribution.unwrap_or(Distribution::UserPartitionKey),
        reshards_ms: Vec::new(),
        key_starts_ms: Vec::new(),
        key_stops_ms: Vec::new(),
        mode_switches_ms: Vec::new(),
        peaks: Vec::new(),
    })
}

/// Number of shards of a new stream.
fn shard_count(context: &Context, mode: Mode, wanted: Option<i64>) -> Result<u32> {
    match (mode, wanted) {
        (Mode::OnDemand, None) => Ok(on_demand::LEAST_SHARDS),
        (Mode::OnDemand, Some(_)) => Err(ApiError::validation(
            "ShardCount must not be specified when the stream mode is ON_DEMAND.",
        )),
        (Mode::Provisioned, None) => Err(ApiError::validation(
            "ShardCount must be specified when the stream mode is PROVISIONED.",
        )),
        (Mode::Provisioned, Some(count)) => {
            // Check before creating the shards: a count above the quota could exhaust memory.
            admit_shards(&context.caller.account, &context.caller.region, 0, count)?;
            Ok(u32::try_from(count).unwrap_or(u32::MAX))
        }
    }
}

pub fn delete_stream(engine: &Engine, context: &Context, input: input::DeleteStream) -> Result<()> {
    let stream = engine.find(context, &input)?;
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        engine.channels.release(meta.id, &meta.name, &meta.account)?;
        if !meta.consumers.is_empty() && input.enforce_consumer_deletion != Some(true) {
            return Err(ApiError::in_use(format!(
                "Stream {} under account {} has registered consumers; set EnforceConsumerDeletion to delete it with \
                 them.",
                meta.name,
                caller_of(meta).account
            )));
        }
        meta.status = Status::Deleting;
        meta.due_ms = due_ms;
        Ok(())
    })
}
