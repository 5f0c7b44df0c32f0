//! `AWS/Kinesis` metrics of a request. Source of names, units and dimensions: "Monitoring the Amazon Kinesis Data
//! Streams Service with Amazon CloudWatch", developer guide.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kinesis::catalog::caller_of;
use crate::kinesis::engine::Engine;
use crate::kinesis::stream::lineage;
use crate::kinesis::stream::meta::{ShardMetric, StreamMeta};
use crate::metrics::Sample;

const NAMESPACE: &str = "AWS/Kinesis";

/// AWS's message for a shard that has reached its limit.
pub fn rate_exceeded(shard: &str, meta: &StreamMeta) -> String {
    format!(
        "Rate exceeded for shard {shard} in stream {} under account {}.",
        meta.name, meta.account
    )
}

#[derive(Debug, Clone, Copy)]
pub struct Put {
    /// PutRecord, not PutRecords.
    pub single: bool,
    pub latency: Duration,
    /// Number of records.
    pub entries: usize,
}

/// Result of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordResult {
    /// In the shard with this index.
    Stored(u32),
    /// The shard with this index has reached its limit.
    Throttled(u32),
    Failed,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    bytes: f64,
    records: f64,
    throttled: f64,
}

/// Writes samples with the dimensions of a stream, shard or consumer.
struct Writer<'a> {
    engine: &'a Engine,
    caller: crate::Caller,
    dimensions: Vec<(&'a str, &'a str)>,
}

impl<'a> Writer<'a> {
    fn stream(engine: &'a Engine, meta: &'a StreamMeta) -> Self {
        Self {
            engine,
            caller: caller_of(meta),
            dimensions: vec![("StreamName", &meta.name)],
        }
    }

    fn with(&self, name: &'a str, value: &'a str) -> Self {
        let mut dimensions = self.dimensions.clone();
        dimensions.push((name, value));
        Self {
            engine: self.engine,
            caller: self.caller.clone(),
            dimensions,
        }
    }

    fn value(&self, name: &str, unit: &str, value: f64) {
        self.engine.metrics.record(
            &self.caller,
            NAMESPACE,
            name,
            &self.dimensions,
            unit,
            Sample::of(value),
        );
    }

    fn bytes(&self, name: &str, value: f64) {
        self.value(name, "Bytes", value);
    }

    fn count(&self, name: &str, value: f64) {
        self.value(name, "Count", value);
    }

    fn ms(&self, name: &str, value: f64) {
        self.value(name, "Milliseconds", value);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// PutRecord or PutRecords. `results` has the size and result of each record.
pub fn put(
    engine: &Engine,
    meta: &StreamMeta,
    put: &Put,
    results: impl Iterator<Item = (usize, RecordResult)>,
) {
    let mut stream = Sums::default();
    let mut shards: BTreeMap<u32, Sums> = BTreeMap::new();
    for (bytes, result) in results {
        let mut add = |index: u32, bytes: f64, records: f64, throttled: f64| {
            for sums in [&mut stream, shards.entry(index).or_default()] {
                sums.bytes += bytes;
                sums.records += records;
                sums.throttled += throttled;
            }
        };
        match result {
            RecordResult::Stored(index) => add(index, bytes as f64, 1.0, 0.0),
            RecordResult::Throttled(index) => add(index, 0.0, 0.0, 1.0),
            RecordResult::Failed => {}
        }
    }
    let writer = Writer::stream(engine, meta);
    let (entries, success) = (put.entries as f64, f64::from(u8::from(stream.records > 0.0)));
    if put.single {
        writer.bytes("PutRecord.Bytes", stream.bytes);
        writer.count("PutRecord.Success", success);
        writer.ms("PutRecord.Latency", millis(put.latency));
    } else {
        writer.bytes("PutRecords.Bytes", stream.bytes);
        writer.count("PutRecords.Records", stream.records);
        writer.count("PutRecords.Success", success);
        writer.ms("PutRecords.Latency", millis(put.latency));
        writer.count("PutRecords.TotalRecords", entries);
        writer.count("PutRecords.SuccessfulRecords", stream.records);
        writer.count(
            "PutRecords.FailedRecords",
            entries - stream.records - stream.throttled,
        );
        writer.count("PutRecords.ThrottledRecords", stream.throttled);
    }
    writer.bytes("IncomingBytes", stream.bytes);
    writer.count("IncomingRecords", stream.records);
    writer.count("WriteProvisionedThroughputExceeded", stream.throttled);
    if !meta.monitoring.is_empty() {
        put_per_shard(&writer, meta, &shards);
    }
}

fn put_per_shard(writer: &Writer<'_>, meta: &StreamMeta, shards: &BTreeMap<u32, Sums>) {
    for (&index, sums) in shards {
        let id = lineage::shard_id(index);
        let shard = writer.with("ShardId", &id);
        let on = |metric: ShardMetric| meta.monitoring.contains(&metric);
        if on(ShardMetric::IncomingBytes) {
            shard.bytes("IncomingBytes", sums.bytes);
        }
        if on(ShardMetric::IncomingRecords) {
            shard.count("IncomingRecords", sums.records);
        }
        if on(ShardMetric::WriteProvisionedThroughputExceeded) {
            shard.count("WriteProvisionedThroughputExceeded", sums.throttled);
        }
    }
}

/// A read of a shard, by GetRecords or for a subscription.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// Shard index.
    pub shard: u32,
    /// Keys and data.
    pub bytes: usize,
    pub records: usize,
    /// Age of the last record read, 0 if none was read.
    pub age_ms: i64,
    pub latency: Duration,
    /// Whether the call was throttled.
    pub throttled: bool,
}

pub fn get(engine: &Engine, meta: &StreamMeta, read: &Read) {
    let writer = Writer::stream(engine, meta);
    let throttled = f64::from(u8::from(read.throttled));
    writer.count("ReadProvisionedThroughputExceeded", throttled);
    writer.count("GetRecords.Success", 1.0 - throttled);
    if !read.throttled {
        writer.bytes("GetRecords.Bytes", read.bytes as f64);
        writer.count("GetRecords.Records", read.records as f64);
        writer.ms("GetRecords.Latency", millis(read.latency));
        writer.ms("GetRecords.IteratorAgeMilliseconds", read.age_ms as f64);
    }
    shard_read(&writer, meta, read);
}

fn shard_read(writer: &Writer<'_>, meta: &StreamMeta, read: &Read) {
    if meta.monitoring.is_empty() {
        return;
    }
    let id = lineage::shard_id(read.shard);
    let shard = writer.with("ShardId", &id);
    let on = |metric: ShardMetric| meta.monitoring.contains(&metric);
    if on(ShardMetric::ReadProvisionedThroughputExceeded) {
        shard.count(
            "ReadProvisionedThroughputExceeded",
            f64::from(u8::from(read.throttled)),
        );
    }
    if read.throttled {
        return;
    }
    if on(ShardMetric::OutgoingBytes) {
        shard.bytes("OutgoingBytes", read.bytes as f64);
    }
    if on(ShardMetric::OutgoingRecords) {
        shard.count("OutgoingRecords", read.records as f64);
    }
    if on(ShardMetric::IteratorAgeMilliseconds) {
        shard.ms("IteratorAgeMilliseconds", read.age_ms as f64);
    }
}

/// A call of SubscribeToShard.
pub fn subscribed(engine: &Engine, meta: &StreamMeta, consumer: &str, success: bool) {
    let writer = Writer::stream(engine, meta).with("ConsumerName", consumer);
    writer.count("SubscribeToShard.Success", f64::from(u8::from(success)));
    writer.count("SubscribeToShard.RateExceeded", f64::from(u8::from(!success)));
}

/// One event of a subscription.
pub fn event(
    metrics: &dyn crate::metrics::MetricSink,
    meta: &StreamMeta,
    consumer: &str,
    read: &Read,
    millis_behind: i64,
) {
    let caller = caller_of(meta);
    let dimensions = [("StreamName", meta.name.as_str()), ("ConsumerName", consumer)];
    let samples = [
        ("SubscribeToShardEvent.Success", "Count", 1.0),
        ("SubscribeToShardEvent.Bytes", "Bytes", read.bytes as f64),
        ("SubscribeToShardEvent.Records", "Count", read.records as f64),
        (
            "SubscribeToShardEvent.MillisBehindLatest",
            "Milliseconds",
            millis_behind as f64,
        ),
    ];
    for (name, unit, value) in samples {
        metrics.record(&caller, NAMESPACE, name, &dimensions, unit, Sample::of(value));
    }
}
