//! GetRecords.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::measure::{self, Read};

use crate::clock::utc;
use crate::kinesis::control::describe;
use crate::kinesis::control::encryption::check_key;
use crate::kinesis::engine::{Context, Engine, dry_run};
use crate::kinesis::error::{ApiError, Code, Result};
use crate::kinesis::hash_key::HashKey;
use crate::kinesis::iterator::ShardIterator;
use crate::kinesis::model::input::{self, text};
use crate::kinesis::model::output;
use crate::kinesis::model::validate::Check;
use crate::kinesis::model::value::{Blob, Timestamp};
use crate::kinesis::store::{Page, StoredRecord};
use crate::kinesis::stream::lineage;
use crate::kinesis::stream::meta::Encryption;
use crate::kinesis::stream::{Shard, View, locked};
use crate::kinesis::wire::{Format, fast};

/// Maximum records per call.
const MAX_RECORDS: usize = 10_000;
/// Maximum bytes per call.
const MAX_BYTES: usize = 10 * 1_048_576;

pub fn get_records(engine: &Engine, context: &Context, body: &[u8]) -> Result<Bytes> {
    let input: input::GetRecords = context.format.read(body)?;
    Check::run(&input)?;
    let started = Instant::now();
    let iterator = decode(engine, context, text(&input.shard_iterator))?;
    let (view, shard) = find(engine, context, &input, &iterator)?;
    if let Encryption::Kms(key) = &view.meta.encryption {
        check_key(engine, context, key)?;
    }
    dry_run(input.dry_run)?;
    if engine.options.enforce_limits && !locked(&shard.limits).start_read(context.now_ms) {
        let refused = Read {
            throttled: true,
            ..summary(&shard, &[], context.now_ms, started)
        };
        measure::get(engine, &view.meta, &refused);
        let text = measure::rate_exceeded(&shard.id, &view.meta);
        return Err(ApiError::new(Code::ProvisionedThroughputExceededException, text));
    }
    shard.trim(view.meta.horizon_ms(context.now_ms));
    let limit = input
        .limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(MAX_RECORDS);
    let page = shard.store.read(iterator.position, limit, MAX_BYTES);
    let page = page.map_err(|e| ApiError::internal("the shard could not be read", &e))?;
    // A reshard may have closed the shard since `view` was taken. The newest view contains its children.
    let view = if page.end_of_shard {
        newest(engine, context, &view)
    } else {
        view
    };
    let answer = write(context, &view, &shard, &iterator, &page);
    let read = summary(&shard, &page.records, context.now_ms, started);
    if engine.options.enforce_limits {
        locked(&shard.limits).end_read(read.bytes);
    }
    measure::get(engine, &view.meta, &read);
    Ok(answer)
}

fn newest(engine: &Engine, context: &Context, view: &Arc<View>) -> Arc<View> {
    let stream = engine
        .catalog
        .by_id(&context.caller, view.meta.id, context.now_ms);
    stream.map_or_else(|| Arc::clone(view), |s| s.after_change(context.now_ms))
}

fn decode(engine: &Engine, context: &Context, token: &str) -> Result<ShardIterator> {
    let iterator =
        ShardIterator::decode(token).ok_or_else(|| ApiError::invalid_argument("Invalid ShardIterator."))?;
    let lifetime = i64::try_from(engine.options.iterator_lifetime.as_millis()).unwrap_or(i64::MAX);
    if context.now_ms.saturating_sub(iterator.issued_ms) <= lifetime {
        return Ok(iterator);
    }
    Err(ApiError::new(
        Code::ExpiredIteratorException,
        format!(
            "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the \
             future than the tolerated delay of {lifetime} milliseconds.",
            date(iterator.issued_ms),
            date(context.now_ms)
        ),
    ))
}

/// `Thu Jan 22 01:22:02 UTC 2015`, as in AWS's message.
fn date(ms: i64) -> String {
    utc(ms, "%a %b %d %H:%M:%S UTC %Y")
}

fn find(
    engine: &Engine,
    context: &Context,
    input: &input::GetRecords,
    iterator: &ShardIterator,
) -> Result<(Arc<View>, Arc<Shard>)> {
    let account = &context.caller.account;
    let shard_id = lineage::shard_id(iterator.shard_index);
    let gone = || ApiError::not_found(format!("Shard {shard_id} under account {account} does not exist"));
    let stream = engine
        .catalog
        .by_id(&context.caller, iterator.stream_id, context.now_ms)
        .ok_or_else(gone)?;
    let view = stream.view(context.now_ms);
    if input
        .stream_arn
        .as_ref()
        .is_some_and(|arn| *arn != view.meta.arn())
    {
        return Err(ApiError::invalid_argument(
            "The ShardIterator does not belong to the stream of StreamARN.",
        ));
    }
    view.meta.require_data()?;
    let shard = Arc::clone(view.shard(&shard_id, context.now_ms)?.1);
    Ok((view, shard))
}

fn summary(shard: &Shard, records: &[StoredRecord], now_ms: i64, started: Instant) -> Read {
    let bytes = |record: &StoredRecord| record.partition_key.len() + record.data.len();
    Read {
        shard: shard.index,
        bytes: records.iter().map(bytes).sum(),
        records: records.len(),
        age_ms: records
            .last()
            .map_or(0, |record| (now_ms - record.arrival_ms).max(0)),
        latency: started.elapsed(),
        throttled: false,
    }
}

/// How far the reader is behind the tip after this page: 0 if nothing is unread.
pub fn millis_behind(page: &Page, now_ms: i64) -> i64 {
    page.next_arrival_ms
        .map_or(0, |arrival| (now_ms - arrival).max(0))
}

fn write(context: &Context, view: &View, shard: &Shard, iterator: &ShardIterator, page: &Page) -> Bytes {
    let next = ShardIterator {
        position: page.next,
        issued_ms: context.now_ms,
        ..*iterator
    };
    let next_iterator = (!page.end_of_shard).then(|| next.encode());
    let children: Vec<_> = match page.end_of_shard {
        true => view.children(shard.index).collect(),
        false => Vec::new(),
    };
    let texts: Vec<_> = children.iter().map(|c| (c.id(), c.parent_ids())).collect();
    let children: Vec<fast::ChildShard<'_>> = children
        .iter()
        .zip(&texts)
        .map(|(child, (shard_id, parent_shards))| fast::ChildShard {
            shard_id,
            parent_shards,
            hash_key_range: (HashKey(child.start), HashKey(child.end)),
        })
        .collect();
    let answer = fast::GetRecords {
        records: &page.records,
        next_shard_iterator: next_iterator.as_deref(),
        millis_behind_latest: millis_behind(page, context.now_ms).unsigned_abs(),
        child_shards: &children,
    };
    let mut out = Vec::new();
    match context.format {
        Format::Json => fast::write_get_records(&mut out, &answer),
        Format::Cbor => fast::cbor::write_get_records(&mut out, &answer),
    }
    out.into()
}

/// The child shards of `index`.
pub fn children(view: &View, index: u32) -> Vec<output::ChildShard> {
    let child = |meta: &lineage::ShardMeta| output::ChildShard {
        shard_id: meta.id(),
        parents: meta.parent_ids(),
        hash_keys: describe::hash_keys(meta),
    };
    view.children(index).map(child).collect()
}

pub fn record(stored: &StoredRecord) -> output::Record {
    let key = stored.partition_key();
    output::Record {
        sequence_number: stored.sequence_number.to_string(),
        arrival: Timestamp(stored.arrival_ms),
        data: Blob(stored.data.clone()),
        partition_key: (!key.is_empty()).then(|| key.to_owned()),
        encryption_type: stored.encrypted.then_some("KMS"),
    }
}
