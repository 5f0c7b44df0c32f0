//! PutRecord, PutRecords.
//!
//! A record is stored in the shard that is open for its hash key. If a reshard closes the shard meanwhile, the put
//! waits for the reshard to end and uses the child.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::measure::{self, Put};
use crate::kinesis::control::encryption::check_key;
use crate::kinesis::engine::{Context, Engine, dry_run};
use crate::kinesis::error::{ApiError, Code, Result};
use crate::kinesis::hash_key::HashKey;
use crate::kinesis::model::input::{self, Target, Targeted};
use crate::kinesis::model::validate::{Check, member_path};
use crate::kinesis::model::{output, rule};
use crate::kinesis::sequence::SequenceNumber;
use crate::kinesis::store::{AppendError, NewRecord};
use crate::kinesis::stream::meta::{Distribution, Encryption};
use crate::kinesis::stream::{Shard, Stream, View, lineage, locked};
use crate::kinesis::wire::{Format, fast};

/// Maximum bytes of a request, including partition keys. Source: PutRecords.
const MAX_REQUEST_BYTES: usize = 10 * 1_048_576;
/// How many successive reshards a put follows before it fails.
const MAX_ROUNDS: usize = 16;

/// One record of a request, not yet validated.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    partition_key: Option<&'a str>,
    explicit_hash_key: Option<&'a str>,
    data: Option<&'a [u8]>,
}

impl Entry<'_> {
    fn bytes(&self) -> usize {
        self.data.map_or(0, <[u8]>::len) + self.partition_key.map_or(0, str::len)
    }

    /// The constraints of [`input::PutRecordsEntry`], checked without copying.
    fn check(&self, path: &str, key_required: bool, check: &mut Check) {
        let member = |name| member_path(path, name);
        match self.data {
            None => check.fail(None, &member("Data"), "Member must not be null"),
            Some(data) => check.blob(data.len(), &rule::DATA, &member("Data")),
        }
        match self.partition_key {
            None if key_required => check.fail(None, &member("PartitionKey"), "Member must not be null"),
            None => {}
            Some(key) => check.text(key, &rule::PARTITION_KEY, &member("PartitionKey")),
        }
        if let Some(key) = self.explicit_hash_key {
            check.text(key, &rule::HASH_KEY, &member("ExplicitHashKey"));
        }
    }
}

/// Result of one record.
#[derive(Debug, Clone)]
enum RecordResult {
    Stored(SequenceNumber, Arc<Shard>),
    Throttled(String),
    /// The engine failed, with the reason.
    Failed(Cow<'static, str>),
}

/// AWS's message of an internal failure.
const INTERNAL: &str = "Internal service failure.";

pub fn put_records(engine: &Engine, context: &Context, body: &[u8]) -> Result<Bytes> {
    let parsed = match context.format {
        Format::Json => fast::parse_put_records(body).map_err(malformed)?,
        Format::Cbor => match fast::cbor::parse_put_records(body) {
            Some(parsed) => parsed,
            None => return put_other_records(engine, context, body),
        },
    };
    let entries: Option<Vec<Entry<'_>>> = parsed
        .records
        .as_ref()
        .map(|records| records.iter().map(|e| fast_entry(&parsed, e)).collect());
    let target = fast_target(parsed.stream_name.as_deref(), parsed.stream_arn.as_deref());
    let (results, view) = batch(engine, context, target, entries.as_deref(), parsed.dry_run)?;
    Ok(written(context.format, &results, &view))
}

/// PutRecords in CBOR of another form than clients write.
fn put_other_records(engine: &Engine, context: &Context, body: &[u8]) -> Result<Bytes> {
    let parsed: input::PutRecords = context.format.read(body)?;
    let entries: Option<Vec<Entry<'_>>> = parsed
        .records
        .as_ref()
        .map(|records| records.0.iter().map(plain_entry).collect());
    let (results, view) = batch(
        engine,
        context,
        parsed.target(),
        entries.as_deref(),
        parsed.dry_run,
    )?;
    Ok(written(context.format, &results, &view))
}

/// The answer of PutRecords.
fn written(format: Format, results: &[RecordResult], view: &View) -> Bytes {
    let refused: Vec<Option<(&str, String)>> = results.iter().map(|o| refusal(o, view)).collect();
    let written: Vec<fast::PutResult<'_>> = results
        .iter()
        .zip(&refused)
        .map(|(result, refused)| match (result, refused) {
            (RecordResult::Stored(number, shard), _) => fast::PutResult::Stored {
                sequence_number: *number,
                shard_id: &shard.id,
            },
            (_, Some((code, message))) => fast::PutResult::Refused { code, message },
            (_, None) => fast::PutResult::Refused {
                code: "InternalFailure",
                message: "",
            },
        })
        .collect();
    let mut out = Vec::with_capacity(64 + written.len() * 128);
    match format {
        Format::Json => fast::write_put_records(&mut out, &written, encrypted(view)),
        Format::Cbor => fast::cbor::write_put_records(&mut out, &written, encrypted(view)),
    }
    out.into()
}

pub fn put_record(engine: &Engine, context: &Context, body: &[u8]) -> Result<Bytes> {
    match context.format {
        Format::Json => {
            let parsed = fast::parse_put_record(body).map_err(malformed)?;
            let entry = Entry {
                partition_key: parsed.partition_key.as_deref(),
                explicit_hash_key: parsed.explicit_hash_key.as_deref(),
                data: parsed.data.as_deref(),
            };
            let target = fast_target(parsed.stream_name.as_deref(), parsed.stream_arn.as_deref());
            let ordering = parsed.sequence_number_for_ordering.as_deref();
            let (number, shard, view) = single(engine, context, target, entry, ordering, parsed.dry_run)?;
            let mut out = Vec::with_capacity(160);
            fast::write_put_record(&mut out, number, &shard.id, encrypted(&view));
            Ok(out.into())
        }
        Format::Cbor => {
            let parsed: input::PutRecord = context.format.read(body)?;
            let entry = Entry {
                partition_key: parsed.partition_key.as_deref(),
                explicit_hash_key: parsed.explicit_hash_key.as_deref(),
                data: parsed.data.as_ref().map(|d| &d.0[..]),
            };
            let ordering = parsed.sequence_number_for_ordering.as_deref();
            let (number, shard, view) =
                single(engine, context, parsed.target(), entry, ordering, parsed.dry_run)?;
            context.format.write(&output::PutRecord {
                shard_id: shard.id.clone(),
                sequence_number: number.to_string(),
                encryption_type: encrypted(&view).then_some("KMS"),
            })
        }
    }
}

fn malformed(error: fast::Malformed) -> ApiError {
    ApiError::new(Code::SerializationException, error.message)
}

fn fast_entry<'a>(parsed: &'a fast::PutRecords<'_>, entry: &'a fast::PutEntry<'_>) -> Entry<'a> {
    Entry {
        partition_key: entry.partition_key.as_deref(),
        explicit_hash_key: entry.explicit_hash_key.as_deref(),
        data: parsed.data(entry),
    }
}

fn plain_entry(entry: &input::PutRecordsEntry) -> Entry<'_> {
    Entry {
        partition_key: entry.partition_key.as_deref(),
        explicit_hash_key: entry.explicit_hash_key.as_deref(),
        data: entry.data.as_ref().map(|d| &d.0[..]),
    }
}

fn fast_target<'a>(name: Option<&'a str>, arn: Option<&'a str>) -> Target<'a> {
    Target { name, arn, id: None }
}

fn encrypted(view: &View) -> bool {
    view.meta.encryption != Encryption::None
}

fn refusal(result: &RecordResult, view: &View) -> Option<(&'static str, String)> {
    match result {
        RecordResult::Stored(..) => None,
        RecordResult::Throttled(shard) => Some((
            "ProvisionedThroughputExceededException",
            measure::rate_exceeded(shard, &view.meta),
        )),
        RecordResult::Failed(message) => Some(("InternalFailure", message.to_string())),
    }
}

/// Validates and executes PutRecords.
fn batch(
    engine: &Engine,
    context: &Context,
    target: Target<'_>,
    entries: Option<&[Entry<'_>]>,
    is_dry_run: Option<bool>,
) -> Result<(Vec<RecordResult>, Arc<View>)> {
    let started = Instant::now();
    let mut check = Check::default();
    check.target(&target);
    match entries {
        None => check.fail(None, "records", "Member must not be null"),
        Some(entries) => check.count(entries.len(), &rule::RECORDS, "records"),
    }
    // If the list has the wrong length, errors of its members add nothing.
    check.finish()?;
    let entries = entries.unwrap_or_default();
    let stream = engine.catalog.find(&context.caller, target, context.now_ms)?;
    let view = stream.view(context.now_ms);
    check_entries(&view, entries)?;
    let hash_keys = entries
        .iter()
        .map(|e| hash_key(engine, &view, e))
        .collect::<Result<Vec<_>>>()?;
    view.meta.require_data()?;
    if let Encryption::Kms(key) = &view.meta.encryption {
        check_key(engine, context, key)?;
    }
    dry_run(is_dry_run)?;
    let (results, view) = store(engine, context, &stream, view, entries, &hash_keys);
    let put = Put {
        single: false,
        latency: started.elapsed(),
        entries: entries.len(),
    };
    let sizes = entries
        .iter()
        .zip(&results)
        .map(|(entry, result)| (entry.bytes(), kind(result)));
    measure::put(engine, &view.meta, &put, sizes);
    Ok((results, view))
}

/// Checks each record of a batch, and their total size.
fn check_entries(view: &View, entries: &[Entry<'_>]) -> Result<()> {
    let key_required = view.meta.distribution == Distribution::UserPartitionKey;
    let largest = largest(view);
    let mut check = Check::default();
    let mut total = 0_usize;
    for (index, entry) in entries.iter().enumerate() {
        // Building the path of each record would cost more than the check.
        let fits = entry.data.is_some()
            && entry.bytes() <= largest
            && entry
                .partition_key
                .is_some_and(|key| (1..=256).contains(&key.len()))
            && entry.explicit_hash_key.is_none();
        if !fits {
            let path = format!("records.{}.member", index + 1);
            entry.check(&path, key_required, &mut check);
            check_size(entry, largest, &path, &mut check);
        }
        total += entry.bytes();
    }
    check.finish()?;
    if total > MAX_REQUEST_BYTES {
        return Err(ApiError::invalid_argument("Records size exceeds 10 MB limit"));
    }
    Ok(())
}

/// Maximum bytes of a record of the stream, including its key.
fn largest(view: &View) -> usize {
    usize::try_from(view.meta.max_record_kib).unwrap_or(1024) * 1024
}

/// Validates and executes PutRecord.
fn single(
    engine: &Engine,
    context: &Context,
    target: Target<'_>,
    entry: Entry<'_>,
    ordering: Option<&str>,
    is_dry_run: Option<bool>,
) -> Result<(SequenceNumber, Arc<Shard>, Arc<View>)> {
    let started = Instant::now();
    let mut check = Check::default();
    check.target(&target);
    entry.check("", false, &mut check);
    if let Some(number) = ordering {
        check.text(number, &rule::SEQUENCE_NUMBER, "sequenceNumberForOrdering");
    }
    check.finish()?;
    let stream = engine.catalog.find(&context.caller, target, context.now_ms)?;
    let view = stream.view(context.now_ms);
    let mut check = Check::default();
    if view.meta.distribution == Distribution::UserPartitionKey && entry.partition_key.is_none() {
        check.fail(None, "partitionKey", "Member must not be null");
    }
    check_size(&entry, largest(&view), "", &mut check);
    check.finish()?;
    let key = hash_key(engine, &view, &entry)?;
    check_ordering(context, &view, ordering)?;
    view.meta.require_data()?;
    if let Encryption::Kms(key) = &view.meta.encryption {
        check_key(engine, context, key)?;
    }
    dry_run(is_dry_run)?;
    let (mut results, view) = store(engine, context, &stream, view, &[entry], &[key]);
    let result = results
        .pop()
        .unwrap_or(RecordResult::Failed(Cow::Borrowed(INTERNAL)));
    let put = Put {
        single: true,
        latency: started.elapsed(),
        entries: 1,
    };
    measure::put(
        engine,
        &view.meta,
        &put,
        std::iter::once((entry.bytes(), kind(&result))),
    );
    match result {
        RecordResult::Stored(number, shard) => Ok((number, shard, view)),
        RecordResult::Throttled(shard) => Err(ApiError::new(
            Code::ProvisionedThroughputExceededException,
            measure::rate_exceeded(&shard, &view.meta),
        )),
        RecordResult::Failed(message) => Err(ApiError::new(Code::InternalFailureException, message)),
    }
}

fn kind(result: &RecordResult) -> measure::RecordResult {
    match result {
        RecordResult::Stored(_, shard) => measure::RecordResult::Stored(shard.index),
        RecordResult::Throttled(shard) => {
            measure::RecordResult::Throttled(lineage::shard_index(shard).unwrap_or_default())
        }
        RecordResult::Failed(_) => measure::RecordResult::Failed,
    }
}

fn check_size(entry: &Entry<'_>, largest: usize, path: &str, check: &mut Check) {
    if entry.bytes() > largest {
        check.oversized(&member_path(path, "Data"), largest);
    }
}

fn hash_key(engine: &Engine, view: &View, entry: &Entry<'_>) -> Result<HashKey> {
    if view.meta.distribution == Distribution::Auto {
        // Distribute evenly over the open shards, independent of the key.
        let turn = engine.turn.fetch_add(1, Ordering::Relaxed) % view.open_count().max(1);
        return Ok(HashKey(view.open_start(turn)));
    }
    match entry.explicit_hash_key {
        None => Ok(HashKey::of_partition_key(entry.partition_key.unwrap_or_default())),
        Some(text) => HashKey::parse(text).ok_or_else(|| {
            ApiError::invalid_argument(format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
            ))
        }),
    }
}

fn check_ordering(context: &Context, view: &View, ordering: Option<&str>) -> Result<()> {
    let Some(ordering) = ordering else { return Ok(()) };
    let now = u64::try_from(context.now_ms / 1000).unwrap_or_default();
    let fits = SequenceNumber::parse(ordering).is_some_and(|number| number.arrival_seconds() <= now);
    if fits {
        return Ok(());
    }
    Err(ApiError::invalid_argument(format!(
        "ExclusiveMinimumSequenceNumber {ordering} used in PutRecord on stream {} under account {} is invalid.",
        view.meta.name, view.meta.account
    )))
}

/// Stores validated records, each in the shard of its hash key.
fn store(
    engine: &Engine,
    context: &Context,
    stream: &Stream,
    mut view: Arc<View>,
    entries: &[Entry<'_>],
    hash_keys: &[HashKey],
) -> (Vec<RecordResult>, Arc<View>) {
    let mut results = vec![RecordResult::Failed(Cow::Borrowed(INTERNAL)); entries.len()];
    let mut pending: Vec<usize> = (0..entries.len()).collect();
    for _ in 0..MAX_ROUNDS {
        let mut routed: Vec<(usize, usize)> =
            pending.drain(..).map(|i| (view.route(hash_keys[i]), i)).collect();
        // Stable: the records of a shard keep their order.
        routed.sort_by_key(|&(shard, _)| shard);
        for group in routed.chunk_by(|a, b| a.0 == b.0) {
            let Some(shard) = view.open_shard(group[0].0) else {
                continue;
            };
            let closed = append(engine, context, &view, shard, group, entries, &mut results);
            stream.count_append(shard);
            pending.extend(closed);
        }
        if pending.is_empty() {
            break;
        }
        view = stream.after_change(context.now_ms);
        pending.sort_unstable();
    }
    (results, view)
}

/// Stores the records of one shard. Returns the records that found it closed.
fn append(
    engine: &Engine,
    context: &Context,
    view: &View,
    shard: &Arc<Shard>,
    group: &[(usize, usize)],
    entries: &[Entry<'_>],
    results: &mut [RecordResult],
) -> Vec<usize> {
    let mut admitted: Vec<usize> = group.iter().map(|&(_, i)| i).collect();
    if engine.options.enforce_limits {
        let mut limits = locked(&shard.limits);
        admitted.retain(|&i| {
            let fits = limits.put(entries[i].bytes(), context.now_ms);
            if !fits {
                results[i] = RecordResult::Throttled(shard.id.clone());
            }
            fits
        });
    }
    if admitted.is_empty() {
        return Vec::new();
    }
    let encrypted = encrypted(view);
    let record = |&i: &usize| NewRecord {
        partition_key: entries[i].partition_key.unwrap_or_default(),
        data: entries[i].data.unwrap_or_default(),
        encrypted,
    };
    let records: Vec<NewRecord<'_>> = admitted.iter().map(record).collect();
    shard.trim(view.meta.horizon_ms(context.now_ms));
    match shard.store.append(&records, context.now_ms) {
        Ok(numbers) => {
            let bytes = admitted.iter().map(|&i| entries[i].bytes()).sum();
            shard.traffic.add(bytes, admitted.len());
            for (&i, number) in admitted.iter().zip(numbers) {
                results[i] = RecordResult::Stored(number, Arc::clone(shard));
            }
            Vec::new()
        }
        Err(AppendError::Closed) => admitted,
        Err(AppendError::Io(error)) => {
            tracing::error!(shard = shard.id, %error, "records could not be stored");
            let message = ApiError::internal("the record could not be stored", &error).message;
            for i in admitted {
                results[i] = RecordResult::Failed(Cow::Owned(message.clone()));
            }
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::model::input::text;
    use crate::kinesis::model::value::Blob;

    #[test]
    fn the_fast_check_matches_the_model() {
        let long = "k".repeat(257);
        for (key, hash) in [
            (Some(""), None),
            (Some(long.as_str()), Some("007")),
            (Some("k"), Some("-1")),
            (None, None),
        ] {
            let entry = Entry {
                partition_key: key,
                explicit_hash_key: hash,
                data: None,
            };
            let mut quick = Check::default();
            entry.check("", false, &mut quick);
            let model = input::PutRecordsEntry {
                data: None::<Blob>,
                explicit_hash_key: hash.map(str::to_owned),
                partition_key: key.map(str::to_owned),
            };
            let slow = Check::run(&model).unwrap_err().message;
            let quick = quick.finish().unwrap_err().message;
            let sorted = |text: &str| {
                let list = text
                    .split_once(": ")
                    .map(|(_, list)| list.to_owned())
                    .unwrap_or_default();
                let mut parts: Vec<String> = list.split("; ").map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert_eq!(sorted(&quick), sorted(&slow));
            assert_eq!(text(&model.partition_key), key.unwrap_or_default());
        }
    }
}
