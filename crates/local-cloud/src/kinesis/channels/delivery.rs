//! Delivery of one channel: what is due, objects, and repeating what failed.
//!
//! A shard is read after its parents are delivered to their end, so that the records of a key are delivered in order.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::files::{Delivered, Progress};
use super::meta::{ChannelMeta, Compression, RecordFormat, S3, Target, bucket_of};
use super::{Channel, Destination, Object, format, template};
use crate::deliver::Undelivered;
use crate::kinesis::engine::Engine;
use crate::kinesis::reader;
use crate::kinesis::store::{Page, Position, Start};
use crate::kinesis::stream::lineage::ShardMeta;
use crate::kinesis::stream::{Shard, Stream, View, locked};
use crate::metrics::Sample;
use crate::types::Caller;

/// An object is complete with this many bytes of records. In tests a few records fill several objects.
const OBJECT_BYTES: usize = if cfg!(test) { 4 << 10 } else { 16 << 20 };
/// Records of one read.
const PAGE_RECORDS: usize = 10_000;
/// Bytes of one read.
const PAGE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };
/// The first pause after a failure. It doubles up to [`MOST_BACKOFF_MS`].
const BACKOFF_MS: i64 = 1_000;
const MOST_BACKOFF_MS: i64 = 60_000;
/// The longest pause between two looks at a channel.
const IDLE_MS: i64 = 60_000;
/// The shortest pause while nothing is due.
const LEAST_MS: i64 = 100;
/// The name of an object of dead letters, after its prefix.
const DEAD_LETTER_NAME: &str = "!{yyyy}/!{MM}/!{dd}/!{HH}/!{channel-name}-!{channel-id}-!{yyyy}-!{MM}-!{dd}-!{HH}-!{mm}\
                                !{extension}";
const NAMESPACE: &str = "AWS/Kinesis";

/// The state of a channel's delivery.
#[derive(Debug, Default)]
pub struct Delivery {
    progress: Progress,
    /// Nothing is due before.
    next_ms: i64,
    /// Tries that failed since the last that succeeded.
    failures: u32,
}

impl Delivery {
    pub fn new(progress: Progress) -> Self {
        Self {
            progress,
            ..Self::default()
        }
    }
}

/// Records that go to S3 together, and how far the channel is with them.
#[derive(Debug, Default)]
struct Batch {
    content: Vec<u8>,
    dead: Vec<u8>,
    /// Arrival of the first record.
    first_ms: Option<i64>,
    bytes_in: usize,
    delivered: usize,
    failed: usize,
    progress: Progress,
}

impl Batch {
    const fn is_full(&self) -> bool {
        self.content.len() + self.dead.len() >= OBJECT_BYTES
    }
}

/// The key of the object with this number, whose first record arrived at `at_ms`.
pub fn key(meta: &ChannelMeta, template: &str, extension: &str, number: u64, at_ms: i64) -> String {
    let id = &meta.id;
    let suffix = format!("-{number:06}-{}", id.get(..11).unwrap_or(id));
    template::render(
        template,
        &template::Values {
            channel_name: &meta.name,
            channel_id: id,
            at_ms,
            extension,
            suffix: &suffix,
        },
    )
}

/// What a delivery works on.
struct Work<'a> {
    engine: &'a Engine,
    channel: &'a Channel,
    meta: Arc<ChannelMeta>,
    s3: &'a S3,
    stream: Arc<Stream>,
    view: Arc<View>,
    now_ms: i64,
}

impl Engine {
    /// Delivers what is due in all channels. Returns when to look again; `None` without channels. Blocks.
    pub(crate) fn deliver_channels(&self) -> Option<i64> {
        let now_ms = self.clock.now_ms();
        self.channels.sweep(now_ms);
        let all = self.channels.every().into_iter();
        all.map(|channel| self.deliver_channel(&channel, now_ms)).min()
    }

    /// Delivers what is due. Returns when to look again.
    fn deliver_channel(&self, channel: &Channel, now_ms: i64) -> i64 {
        let meta = channel.settled(&*self.destination, now_ms);
        if !meta.delivers() {
            return if meta.needs_stream() {
                meta.due_ms
            } else {
                now_ms + IDLE_MS
            };
        }
        let Target::S3(s3) = &meta.target else {
            return now_ms + IDLE_MS;
        };
        let mut delivery = locked(&channel.delivery);
        // A later time means that the clock was set back: waiting for it to catch up could take hours.
        if (now_ms + 1..=now_ms + IDLE_MS).contains(&delivery.next_ms) {
            return delivery.next_ms;
        }
        let Some(stream) = self.catalog.by_id(&meta.owner(), meta.stream_id, now_ms) else {
            // A stream is not deleted while it has the channel: its files are damaged, and may be repaired.
            tracing::warn!(
                channel = meta.name,
                stream = meta.stream_name,
                "the stream of a channel cannot be read"
            );
            delivery.next_ms = now_ms + IDLE_MS;
            return delivery.next_ms;
        };
        let work = Work {
            engine: self,
            channel,
            s3,
            view: stream.view(now_ms),
            stream,
            now_ms,
            meta: Arc::clone(&meta),
        };
        delivery.next_ms = work.run(&mut delivery);
        delivery.next_ms
    }
}

impl Work<'_> {
    /// How old a record becomes before it is delivered.
    fn freshness_ms(&self) -> i64 {
        let option = self.engine.options.data_freshness;
        option.map_or_else(
            || self.meta.target.freshness().saturating_mul(1000),
            |freshness| i64::try_from(freshness.as_millis()).unwrap_or(i64::MAX),
        )
    }

    /// When to look for new records: before any of them can be due.
    fn idle_until(&self) -> i64 {
        self.now_ms + self.freshness_ms().clamp(LEAST_MS, IDLE_MS)
    }

    /// Delivers everything if something is due. Returns when to look again.
    fn run(&self, delivery: &mut Delivery) -> i64 {
        let oldest = match self
            .follow_shards(delivery)
            .and_then(|()| self.oldest(&delivery.progress))
        {
            Ok(oldest) => oldest,
            Err(error) => return self.failed(delivery, &error),
        };
        self.metric(
            "DataFreshness",
            "Seconds",
            oldest.map_or(0.0, |ms| (self.now_ms - ms).max(0) as f64 / 1000.0),
        );
        let due_ms = oldest.map_or(i64::MAX, |ms| ms.saturating_add(self.freshness_ms()));
        if due_ms > self.now_ms {
            return due_ms.min(self.idle_until());
        }
        loop {
            let batch = match self.gather(&delivery.progress) {
                Ok(batch) => batch,
                Err(error) => return self.failed(delivery, &error),
            };
            // What arrives meanwhile waits for its own freshness: else a busy stream would get many small objects.
            let is_last = !batch.is_full();
            match self.deliver(batch, &delivery.progress) {
                Ok(Some(progress)) => delivery.progress = progress,
                Ok(None) => break,
                Err(error) => return self.failed(delivery, &error),
            }
            if is_last {
                break;
            }
        }
        delivery.failures = 0;
        self.idle_until()
    }

    /// Notes a failed try. Nothing is lost: the records stay in the stream. Returns when to try again.
    fn failed(&self, delivery: &mut Delivery, error: &str) -> i64 {
        let pause = BACKOFF_MS << delivery.failures.min(6);
        delivery.failures = delivery.failures.saturating_add(1);
        self.report(error);
        self.metric("DeliverySuccess", "Count", 0.0);
        self.now_ms + pause.min(MOST_BACKOFF_MS)
    }

    /// Whether a shard has records for the channel.
    fn matters(&self, shard: &ShardMeta) -> bool {
        let active_ms = self.meta.active_ms.unwrap_or(i64::MAX);
        let expired = shard.expired(self.view.meta.horizon_ms(self.now_ms));
        shard.closed_ms.is_none_or(|closed| closed >= active_ms) && !expired
    }

    /// Begins with new shards: their start is saved, so that what expires after it is noticed. Forgets shards that have
    /// expired, and reports those with records that were not delivered. Only deliveries that fail for the whole retention
    /// come to this.
    fn follow_shards(&self, delivery: &mut Delivery) -> Result<(), String> {
        let mut progress = delivery.progress.clone();
        for (meta, shard) in self.view.meta.shards.iter().zip(&self.view.shards) {
            if self.matters(meta) {
                if let Entry::Vacant(new) = progress.shards.entry(meta.index) {
                    let next = self.start(meta, shard)?.index;
                    new.insert(Delivered { next, ended: false });
                }
            } else if let Some(delivered) = progress.shards.remove(&meta.index).filter(|at| !at.ended) {
                let end = shard
                    .store
                    .position(Start::Latest)
                    .map_err(|error| error.to_string())?;
                let lost = end.index.saturating_sub(delivered.next);
                if lost > 0 {
                    self.report_lost(shard, lost);
                }
            }
        }
        if progress != delivery.progress {
            self.save(&progress)?;
            delivery.progress = progress;
        }
        Ok(())
    }

    fn report_lost(&self, shard: &Shard, lost: u64) {
        self.report(&format!(
            "{lost} records of shard {} expired or are damaged, and were not delivered",
            shard.id
        ));
        self.metric("FailedRecordCount", "Count", lost as f64);
    }

    fn save(&self, progress: &Progress) -> Result<(), String> {
        let saved = self.channel.files.save_progress(progress);
        saved.map_err(|error| format!("the progress of the channel cannot be saved: {error}"))
    }

    /// Arrival of the oldest record that is not delivered and may be.
    fn oldest(&self, progress: &Progress) -> Result<Option<i64>, String> {
        let (mut progress, mut oldest) = (progress.clone(), None::<i64>);
        self.each_shard(&mut progress, |shard, position| {
            let page = self.read(shard, position, 0, 0)?;
            let arrival = page.next_arrival_ms;
            oldest = match (oldest, arrival) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            // Nothing is between the position and the record, so the position stays.
            Ok((page.end_of_shard, position, true))
        })?;
        Ok(oldest)
    }

    /// Calls `visit` with each shard that may be read, and its position, until it returns `false` as its last value. The
    /// first says whether the shard is at its end, the second is where its next read starts.
    fn each_shard(
        &self,
        progress: &mut Progress,
        mut visit: impl FnMut(&Shard, Position) -> Result<(bool, Position, bool), String>,
    ) -> Result<(), String> {
        for (meta, shard) in self.view.meta.shards.iter().zip(&self.view.shards) {
            let is_ended = |index: u32| progress.shards.get(&index).is_some_and(|at| at.ended);
            let blocked = [meta.parent, meta.adjacent_parent]
                .into_iter()
                .flatten()
                .any(|parent| progress.shards.contains_key(&parent) && !is_ended(parent));
            let delivered = progress
                .shards
                .get(&meta.index)
                .filter(|at| !at.ended && !blocked);
            let Some(position) = delivered.map(|delivered| Position::at(delivered.next)) else {
                continue;
            };
            let (ended, next, goes_on) = visit(shard, position)?;
            let delivered = Delivered {
                next: next.index,
                ended,
            };
            progress.shards.insert(meta.index, delivered);
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Where a shard starts for the channel: at its first record, or at the first since the channel is ACTIVE.
    fn start(&self, meta: &ShardMeta, shard: &Shard) -> Result<Position, String> {
        let active_ms = self.meta.active_ms.unwrap_or(i64::MAX);
        let start = if meta.created_ms >= active_ms {
            Start::TrimHorizon
        } else {
            Start::Timestamp(active_ms)
        };
        shard.store.position(start).map_err(|error| error.to_string())
    }

    fn read(&self, shard: &Shard, from: Position, records: usize, bytes: usize) -> Result<Page, String> {
        let page = reader::read(&self.stream, shard, from, self.now_ms, records, bytes);
        page.map_err(|error| format!("shard {} cannot be read: {error}", shard.id))
    }

    /// The records of the next object.
    fn gather(&self, progress: &Progress) -> Result<Batch, String> {
        let mut batch = Batch::default();
        let mut after = progress.clone();
        self.each_shard(&mut after, |shard, mut position| {
            loop {
                let page = self.read(shard, position, PAGE_RECORDS, PAGE_BYTES)?;
                self.note_lost(shard, position, &page);
                position = page.next;
                self.take(&mut batch, shard, &page);
                if page.end_of_shard || page.next_arrival_ms.is_none() || batch.is_full() {
                    return Ok((page.end_of_shard, position, !batch.is_full()));
                }
            }
        })?;
        batch.progress = after;
        Ok(batch)
    }

    fn take(&self, batch: &mut Batch, shard: &Shard, page: &Page) {
        for record in &page.records {
            batch.first_ms.get_or_insert(record.arrival_ms);
            batch.bytes_in += record.data.len();
            match format::add(&mut batch.content, self.meta.format, &record.data) {
                Ok(()) => batch.delivered += 1,
                Err(unfit) => {
                    batch.failed += 1;
                    let letter = format::dead_letter(&self.meta.stream_arn(), &shard.id, record, &unfit);
                    batch.dead.extend(letter);
                }
            }
        }
    }

    /// Reports records that expired, or whose file is damaged, before they were delivered.
    fn note_lost(&self, shard: &Shard, from: Position, page: &Page) {
        let first = page
            .records
            .first()
            .map_or(page.next.index, |record| record.sequence_number.index());
        // Positions start at 0, records at 1.
        let lost = first.saturating_sub(from.index.max(1));
        if lost > 0 {
            self.report_lost(shard, lost);
        }
    }

    /// Puts a batch and saves how far the channel is. `None` if there was nothing to do.
    fn deliver(&self, batch: Batch, before: &Progress) -> Result<Option<Progress>, String> {
        if batch.progress == *before {
            return Ok(None);
        }
        let mut progress = batch.progress.clone();
        if let Some(at_ms) = batch.first_ms {
            self.put_batch(batch, before.objects, at_ms)?;
            progress.objects += 1;
        }
        self.save(&progress)?;
        Ok(Some(progress))
    }

    /// Puts the object with this number, and its dead letters.
    fn put_batch(&self, batch: Batch, number: u64, at_ms: i64) -> Result<(), String> {
        let (storage, dead) = (&self.s3.storage, &self.s3.dead_letters);
        let mut bytes_out = 0;
        if !batch.content.is_empty() {
            let extension = format::extension(self.meta.format, storage.compression_type);
            let key = self.key(&storage.output_key_template, &extension, number, at_ms);
            let content = format::compress(batch.content, storage.compression_type);
            let content = content.map_err(|error| error.to_string())?;
            bytes_out = content.len();
            self.put(&storage.bucket_arn, &storage.expected_bucket_owner, key, content)?;
        }
        if !batch.dead.is_empty() {
            let extension = format::extension(RecordFormat::Json, Compression::None);
            let prefix = dead.error_output_prefix.as_deref().unwrap_or_default();
            let key = prefix.to_owned() + &self.key(DEAD_LETTER_NAME, &extension, number, at_ms);
            self.put(&dead.bucket_arn, &dead.expected_bucket_owner, key, batch.dead)?;
            self.report(&format!(
                "{} records are not {} and went to the dead-letter bucket {}",
                batch.failed,
                self.meta.format.as_str(),
                bucket_of(&dead.bucket_arn)
            ));
        }
        self.measure(batch.bytes_in, bytes_out, batch.delivered, batch.failed);
        Ok(())
    }

    fn key(&self, template: &str, extension: &str, number: u64, at_ms: i64) -> String {
        key(&self.meta, template, extension, number, at_ms)
    }

    fn put(&self, bucket_arn: &str, owner: &str, key: String, body: Vec<u8>) -> Result<(), String> {
        let destination: &dyn Destination = &*self.engine.destination;
        let resource = format!("{bucket_arn}/{key}");
        if !destination.allows(&self.meta.role, "s3:PutObject", &resource) {
            return Err(format!(
                "AccessDenied: the role {} is not authorized to perform s3:PutObject on {resource}",
                self.meta.role
            ));
        }
        let owner = Caller {
            account: owner.to_owned(),
            region: self.meta.region.clone(),
        };
        let object = Object {
            key,
            body: body.into(),
            storage_class: self.s3.storage.storage_class.clone(),
            key_id: self.meta.key_id.clone(),
            content_type: None,
            content_encoding: None,
        };
        let bucket = bucket_of(bucket_arn);
        let put = destination.put(&owner, bucket, object);
        put.map_err(|error: Undelivered| format!("bucket {bucket}: {error}"))
    }

    /// Source of the names and units: "Monitoring data delivery", developer guide.
    fn measure(&self, bytes_in: usize, bytes_out: usize, delivered: usize, failed: usize) {
        for (name, unit, value) in [
            ("BytesIn", "Bytes", bytes_in),
            ("BytesProcessed", "Bytes", bytes_in),
            ("BytesOut", "Bytes", bytes_out),
            ("RecordCount", "Count", delivered + failed),
            ("SuccessfulRecordCount", "Count", delivered),
            ("FailedRecordCount", "Count", failed),
            ("DeliverySuccess", "Count", 1),
            ("DLQDeliverySuccess", "Count", failed),
        ] {
            self.metric(name, unit, value as f64);
        }
    }

    fn metric(&self, name: &str, unit: &str, value: f64) {
        let name = format!("DeliveryToS3.{name}");
        let dimensions = [("ChannelName", self.meta.name.as_str())];
        let owner = self.meta.owner();
        let sample = Sample::of(value);
        self.engine
            .metrics
            .record(&owner, NAMESPACE, &name, &dimensions, unit, sample);
    }

    /// Writes an error to the log of the local cloud, and to that of the channel if it has one.
    fn report(&self, error: &str) {
        tracing::warn!(channel = self.meta.name, "{error}");
        let logs = &self.meta.logs;
        if let (true, Some(group), Some(stream)) = (logs.enabled, &logs.group, &logs.stream) {
            let text = serde_json::json!({
                "channelArn": self.meta.arn(),
                "streamArn": self.meta.stream_arn(),
                "message": error,
            });
            let destination = &self.engine.destination;
            destination.log(&self.meta.owner(), group, stream, self.now_ms, text.to_string());
        }
    }
}
