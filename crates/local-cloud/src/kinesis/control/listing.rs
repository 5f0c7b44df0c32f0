//! ListStreams, ListShards.

use serde::{Deserialize, Serialize};

use super::describe;
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::model::value::Timestamp;
use crate::kinesis::operation::Operation;
use crate::kinesis::stream::View;
use crate::kinesis::stream::lineage::ShardMeta;
use crate::kinesis::stream::meta::{Status, StreamMeta};
use crate::kinesis::wire::token;

/// Maximum and default page size of ListStreams.
const MAX_STREAMS_PAGE: i64 = 100;
/// Maximum and default page size of ListShards.
const MAX_SHARDS_PAGE: i64 = 1000;

/// ListStreams, ordered by name.
pub fn list_streams(
    engine: &Engine,
    context: &Context,
    input: input::ListStreams,
) -> Result<output::ListStreams> {
    let operation = Operation::ListStreams.as_str();
    let after: Option<String> = match &input.next_token {
        Some(token) => Some(token::decode(operation, context.now_ms, token)?),
        None => input.exclusive_start_stream_name,
    };
    let limit = input.limit.unwrap_or(MAX_STREAMS_PAGE).min(MAX_STREAMS_PAGE) as usize;
    let views: Vec<_> = engine.catalog.list(&context.caller, context.now_ms);
    let views = views.iter().map(|s| s.view(context.now_ms));
    let mut rest = views.filter(|v| after.as_ref().is_none_or(|after| v.meta.name > *after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    let last = page.last().filter(|_| has_more);
    let next_token = last
        .map(|v| token::encode(operation, context.now_ms, &v.meta.name))
        .transpose()?;
    let summary = |meta: &StreamMeta| output::StreamSummary {
        name: meta.name.clone(),
        arn: meta.arn(),
        status: meta.status.as_str(),
        mode: describe::mode(meta),
        created: Timestamp(meta.created_ms),
    };
    Ok(output::ListStreams {
        names: page.iter().map(|v| v.meta.name.clone()).collect(),
        has_more,
        next_token,
        summaries: page.iter().map(|v| summary(&v.meta)).collect(),
    })
}

/// Which shards ListShards returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Filter {
    AfterShardId(u32),
    AtTrimHorizon,
    FromTrimHorizon,
    AtLatest,
    AtTimestamp(i64),
    FromTimestamp(i64),
}

impl Filter {
    fn of(input: Option<&input::ShardFilter>, meta: &StreamMeta, now_ms: i64) -> Result<Self> {
        let Some(input) = input else {
            return Ok(Self::FromTrimHorizon);
        };
        let kind = text(&input.filter_type);
        let timestamp = || {
            let at = input.timestamp.ok_or_else(|| {
                ApiError::invalid_argument(format!(
                    "Timestamp must be specified when the shard filter type is {kind}."
                ))
            })?;
            if at.0 > now_ms {
                return Err(ApiError::invalid_argument(
                    "The timestamp of the shard filter must not be in the future.",
                ));
            }
            // A time before the trim horizon counts as the trim horizon.
            Ok(at.0.max(meta.horizon_ms(now_ms)).max(meta.created_ms))
        };
        match kind {
            "AFTER_SHARD_ID" => {
                let after = describe::after_shard(input.shard_id.as_deref())?;
                after.map(Self::AfterShardId).ok_or_else(|| {
                    ApiError::invalid_argument(
                        "ShardId must be specified when the shard filter type is AFTER_SHARD_ID.",
                    )
                })
            }
            _ if input.shard_id.is_some() => Err(ApiError::invalid_argument(format!(
                "ShardId must not be specified when the shard filter type is {kind}."
            ))),
            "AT_TIMESTAMP" => timestamp().map(Self::AtTimestamp),
            "FROM_TIMESTAMP" => timestamp().map(Self::FromTimestamp),
            "AT_TRIM_HORIZON" => Ok(Self::AtTrimHorizon),
            "AT_LATEST" => Ok(Self::AtLatest),
            _ => Ok(Self::FromTrimHorizon),
        }
    }

    fn takes(self, shard: &ShardMeta, meta: &StreamMeta, now_ms: i64) -> bool {
        match self {
            Self::AfterShardId(index) => shard.index > index,
            Self::AtTrimHorizon => shard.open_at(meta.horizon_ms(now_ms).max(meta.created_ms)),
            Self::FromTrimHorizon => true,
            Self::AtLatest => shard.closed_ms.is_none(),
            Self::AtTimestamp(ms) => shard.open_at(ms),
            Self::FromTimestamp(ms) => shard.closed_ms.is_none_or(|closed| closed >= ms),
        }
    }
}

/// Where the next page of ListShards starts.
#[derive(Debug, Serialize, Deserialize)]
struct Next {
    stream: u64,
    after: u32,
    filter: Filter,
}

pub fn list_shards(
    engine: &Engine,
    context: &Context,
    input: input::ListShards,
) -> Result<output::ListShards> {
    let operation = Operation::ListShards.as_str();
    let now_ms = context.now_ms;
    let (view, after, filter) = match &input.next_token {
        Some(token) => {
            refuse_beside_token(&input)?;
            let next: Next = token::decode(operation, now_ms, token)?;
            let gone = || ApiError::invalid_argument("The stream of NextToken does not exist any more.");
            let stream = engine
                .catalog
                .by_id(&context.caller, next.stream, now_ms)
                .ok_or_else(gone)?;
            (stream.view(now_ms), Some(next.after), next.filter)
        }
        None => {
            let stream = engine.find(context, &input)?;
            let view = stream.view(now_ms);
            check_creation(&view, input.stream_creation_timestamp)?;
            let after = describe::after_shard(input.exclusive_start_shard_id.as_deref())?;
            let filter = Filter::of(input.shard_filter.as_ref(), &view.meta, now_ms)?;
            (view, after, filter)
        }
    };
    engine.admit_on_stream(Operation::ListShards, &view.meta, now_ms)?;
    if matches!(view.meta.status, Status::Creating | Status::Deleting) {
        view.meta.require_active()?;
    }
    let limit = input.max_results.unwrap_or(MAX_SHARDS_PAGE).min(MAX_SHARDS_PAGE) as usize;
    let chosen = describe::listed_shards(&view, now_ms).filter(|s| filter.takes(s, &view.meta, now_ms));
    let mut chosen = chosen.filter(|s| after.is_none_or(|after| s.index > after));
    let page: Vec<&ShardMeta> = chosen.by_ref().take(limit).collect();
    let has_more = chosen.next().is_some();
    let next = page.last().filter(|_| has_more).map(|s| Next {
        stream: view.meta.id,
        after: s.index,
        filter,
    });
    Ok(output::ListShards {
        shards: page.into_iter().map(|s| describe::shard(&view, s)).collect(),
        next_token: next
            .map(|next| token::encode(operation, now_ms, next))
            .transpose()?,
    })
}

fn refuse_beside_token(input: &input::ListShards) -> Result<()> {
    let beside = [
        ("StreamName", input.stream_name.is_some()),
        ("ExclusiveStartShardId", input.exclusive_start_shard_id.is_some()),
        (
            "StreamCreationTimestamp",
            input.stream_creation_timestamp.is_some(),
        ),
        ("ShardFilter", input.shard_filter.is_some()),
    ];
    match beside.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(ApiError::invalid_argument(format!(
            "NextToken and {name} cannot be provided together."
        ))),
        None => Ok(()),
    }
}

/// `StreamCreationTimestamp` distinguishes two streams of the same name, in seconds.
///
/// # Errors
/// `ResourceNotFoundException` if the request means another stream.
pub fn check_creation(view: &View, wanted: Option<Timestamp>) -> Result<()> {
    let other =
        wanted.is_some_and(|wanted| wanted.0.div_euclid(1000) != view.meta.created_ms.div_euclid(1000));
    if other {
        Err(ApiError::no_stream(&view.meta.name, &view.meta.account))
    } else {
        Ok(())
    }
}
