//! GetShardIterator, and the start of a subscription.

use super::measure::rate_exceeded;
use crate::kinesis::catalog::caller_of;
use crate::kinesis::engine::{Context, Engine, dry_run};
use crate::kinesis::error::{ApiError, Code, Result};
use crate::kinesis::iterator::ShardIterator;
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::model::value::Timestamp;
use crate::kinesis::operation::Operation;
use crate::kinesis::sequence::SequenceNumber;
use crate::kinesis::store::{Position, PositionError, Start};
use crate::kinesis::stream::lineage;
use crate::kinesis::stream::meta::StreamMeta;
use crate::kinesis::stream::{Shard, View};

/// A start position as a request gives it.
#[derive(Debug, Clone, Copy)]
pub struct StartRequest<'a> {
    /// One of the five iterator types.
    pub kind: &'a str,
    /// For the types that take a sequence number.
    pub sequence_number: Option<&'a str>,
    /// For AT_TIMESTAMP.
    pub timestamp: Option<Timestamp>,
    /// The operation's name in AWS's messages.
    pub operation: &'static str,
}

pub fn get_shard_iterator(
    engine: &Engine,
    context: &Context,
    input: input::GetShardIterator,
) -> Result<output::GetShardIterator> {
    let stream = engine.find(context, &input)?;
    let view = stream.view(context.now_ms);
    view.meta.require_data()?;
    let (_, shard) = view.shard(text(&input.shard_id), context.now_ms)?;
    admit(engine, &view.meta, shard, context.now_ms)?;
    let start = StartRequest {
        kind: text(&input.iterator_type),
        sequence_number: input.starting_sequence_number.as_deref(),
        timestamp: input.timestamp,
        operation: "GetShardIterator",
    };
    let position = resolve(&view, shard, start, context.now_ms)?;
    dry_run(input.dry_run)?;
    let iterator = ShardIterator {
        stream_id: stream.id,
        shard_index: shard.index,
        position,
        issued_ms: context.now_ms,
    };
    Ok(output::GetShardIterator {
        iterator: iterator.encode(),
    })
}

/// Counts a GetShardIterator call against its shard's rate, where rates are enforced.
///
/// # Errors
/// `ProvisionedThroughputExceededException`.
fn admit(engine: &Engine, meta: &StreamMeta, shard: &Shard, now_ms: i64) -> Result<()> {
    let scope = Some((meta.id, Some(shard.index)));
    let key = (Operation::GetShardIterator, caller_of(meta), scope);
    if engine.within_rate(key, now_ms) {
        return Ok(());
    }
    let text = rate_exceeded(&shard.id, meta);
    Err(ApiError::new(Code::ProvisionedThroughputExceededException, text))
}

/// The position in `shard` that `request` describes.
///
/// # Errors
/// `InvalidArgumentException`, `InternalFailureException`.
pub fn resolve(view: &View, shard: &Shard, request: StartRequest<'_>, now_ms: i64) -> Result<Position> {
    shard.trim(view.meta.horizon_ms(now_ms));
    let start = start(&view.meta, shard, request, now_ms)?;
    shard.store.position(start).map_err(|error| {
        let number = request.sequence_number.unwrap_or_default();
        match error {
            PositionError::OtherShard(index) => ApiError::invalid_argument(format!(
                "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
                lineage::shard_id(index),
                shard.id
            )),
            PositionError::OtherStream => {
                bad_number(&view.meta, shard, number, request.operation, " because it did not come from this stream")
            }
            PositionError::NotWritten => bad_number(&view.meta, shard, number, request.operation, ""),
            PositionError::Io(error) => ApiError::internal("the shard could not be read", &error),
        }
    })
}

fn start(meta: &StreamMeta, shard: &Shard, request: StartRequest<'_>, now_ms: i64) -> Result<Start> {
    let mismatch = |what: &str| {
        Err(ApiError::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or \
             (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber or (3) AT_TIMESTAMP and a Timestamp. Request \
             specified {} and {what}.",
            request.kind
        )))
    };
    match (request.kind, request.sequence_number, request.timestamp) {
        ("TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP", Some(_), _) => mismatch("also a StartingSequenceNumber"),
        ("TRIM_HORIZON", ..) => Ok(Start::TrimHorizon),
        ("LATEST", ..) => Ok(Start::Latest),
        ("AT_TIMESTAMP", _, None) => mismatch("no Timestamp"),
        ("AT_TIMESTAMP", _, Some(at)) if at.0 > now_ms => Err(ApiError::invalid_argument(format!(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
             timestampInMillis: {}, currentTimestampInMillis: {now_ms}",
            at.0
        ))),
        ("AT_TIMESTAMP", _, Some(at)) => Ok(Start::Timestamp(at.0)),
        (_, None, _) => mismatch("no StartingSequenceNumber"),
        (kind, Some(number), _) => {
            let parsed = SequenceNumber::parse(number);
            let parsed = parsed.ok_or_else(|| bad_number(meta, shard, number, request.operation, ""))?;
            Ok(if kind == "AT_SEQUENCE_NUMBER" {
                Start::At(parsed)
            } else {
                Start::After(parsed)
            })
        }
    }
}

fn bad_number(meta: &StreamMeta, shard: &Shard, number: &str, operation: &str, why: &str) -> ApiError {
    ApiError::new(
        Code::InvalidArgumentException,
        format!(
            "StartingSequenceNumber {number} used in {operation} on shard {} in stream {} under account {} is invalid{why}.",
            shard.id, meta.name, meta.account
        ),
    )
}
