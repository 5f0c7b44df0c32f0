//! Delivery of one delivery stream: when the buffer is full, what the next object has, and repeating what failed.
//!
//! Records wait in their log, not in memory. The engine counts what is there ([`Scan`]) until the buffer is full or its
//! oldest record is old enough. It then saves which records the next object has, and its key ([`Intent`]), reads them again,
//! writes the object, and saves that they are delivered. A process that is killed in between writes the same object again
//! under the same key, so each record is in one object.
//!
//! A shard is read after its parents, so that the records of a key are delivered in order.
//!
//! With dynamic partitioning, records leave their log earlier ([`sort`]), and wait in the files of their partitions until the
//! object of their partition is due ([`partitions`]).

mod object;
mod partitions;
mod sort;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tokio::sync::watch;

use super::files::{Intent, Progress};
use super::hose::{Hose, Shared};
use super::model::{Meta, Status};
use super::partitioning::Partitioning;
use super::report::{measure_try, metric, report};
use super::scan::Scan;
use super::source::{ShardInfo, Source};
use crate::kinesis::stream::lineage::shard_id;
use crate::kinesis::stream::locked;

/// The service that roles must trust.
pub(super) const PRINCIPAL: &str = "firehose.amazonaws.com";
/// What the role of a source must allow. Source: "Grant Firehose access to a Kinesis data stream", developer guide.
const READING: [&str; 4] = [
    "kinesis:DescribeStream",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
];
/// Records of one read.
const PAGE_RECORDS: usize = 10_000;
/// Bytes of one read.
pub(super) const PAGE_BYTES: usize = 1 << 20;
/// The largest record of a Kinesis stream, which a read returns whatever its limit is.
pub(super) const RECORD_BYTES: usize = 10 << 20;
/// Bytes of records that are transformed for one object: what a function returns can be several times larger.
const TRANSFORMED_BYTES: u64 = 32 << 20;
/// The first pause after a failure. It doubles up to [`MOST_BACKOFF_MS`].
const BACKOFF_MS: i64 = 1_000;
const MOST_BACKOFF_MS: i64 = 60_000;
/// The longest pause between two looks.
const IDLE_MS: i64 = 60_000;
/// Without buffering, records are still collected for this time. AWS delivers them within five seconds.
const LEAST_BUFFER_MS: i64 = 1_000;
/// How long direct puts are kept while they cannot be delivered. Source: PutRecord, API reference.
const KEPT_MS: i64 = 24 * 3_600_000;

/// The state of a delivery.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pub progress: Progress,
    /// What is buffered; `None` to count anew.
    scan: Option<Scan>,
    /// Nothing is tried before.
    next_ms: i64,
    /// Tries that failed since the last that succeeded.
    failures: u32,
    /// Objects since the start: no shard is always read first.
    turn: usize,
    /// Of partitions whose object could not be written.
    tries: BTreeMap<u64, partitions::Tries>,
    /// The partitions whose objects are to be written next: the memory for them has been counted.
    due: Vec<u64>,
}

impl Delivery {
    pub fn new(progress: Progress) -> Self {
        Self {
            progress,
            ..Self::default()
        }
    }
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing before this time, or before one of the receivers changes.
    Idle(i64, Vec<watch::Receiver<u64>>),
    /// An object, which needs this many bytes of memory.
    Due(u64),
}

/// A delivery at one moment.
struct Work<'a> {
    hose: &'a Hose,
    shared: &'a Shared,
    meta: &'a Meta,
    source: Source<'a>,
    now_ms: i64,
}

impl Hose {
    /// Whether an object is due. Blocks.
    pub fn look(&self, shared: &Shared, now_ms: i64) -> Look {
        let meta = self.meta();
        match meta.status(now_ms) {
            Status::Active => {}
            // A later time means that the clock was set back.
            Status::Creating => return Look::Idle(meta.due_ms.min(now_ms + IDLE_MS), Vec::new()),
            Status::Deleting => return Look::Idle(now_ms + IDLE_MS, Vec::new()),
        }
        let mut delivery = locked(&self.delivery);
        if (now_ms + 1..=now_ms + MOST_BACKOFF_MS).contains(&delivery.next_ms) {
            return Look::Idle(delivery.next_ms, Vec::new());
        }
        let looked =
            self.work(shared, &meta, now_ms)
                .and_then(|work| match meta.destination.is_partitioned() {
                    true => work.look_at_partitions(&mut delivery),
                    false => work.look(&mut delivery),
                });
        looked.unwrap_or_else(|error| {
            let next_ms = self.failed(shared, &meta, &mut delivery, &error, now_ms);
            Look::Idle(next_ms, Vec::new())
        })
    }

    /// Delivers the object that [`Hose::look`] found to be due. Blocks.
    pub fn deliver(&self, shared: &Shared, now_ms: i64) {
        let meta = self.meta();
        let mut delivery = locked(&self.delivery);
        let delivered = self
            .work(shared, &meta, now_ms)
            .and_then(|work| match Partitioning::of(&meta) {
                Some(partitioning) => work.deliver_partitions(&mut delivery, &partitioning),
                None => work.deliver(&mut delivery),
            });
        match delivered {
            Ok(()) => {
                delivery.failures = 0;
                delivery.turn = delivery.turn.wrapping_add(1);
            }
            Err(error) => {
                self.failed(shared, &meta, &mut delivery, &error, now_ms);
                if let Err(error) = self.give_up(shared, &meta, &mut delivery, now_ms) {
                    tracing::warn!(stream = meta.name, error, "old records could not be discarded");
                }
            }
        }
    }

    fn work<'a>(&'a self, shared: &'a Shared, meta: &'a Meta, now_ms: i64) -> Result<Work<'a>, String> {
        let source = Source::open(meta, self.log.as_ref(), &shared.kinesis, now_ms);
        let arn = meta
            .source
            .as_ref()
            .map_or("", |source| source.stream_arn.as_str());
        let source = source.ok_or_else(|| format!("the source stream {arn} does not exist"))?;
        if let Some(kinesis) = &meta.source {
            for action in READING {
                if !shared.destination.allows(&kinesis.role_arn, action, arn) {
                    let role = &kinesis.role_arn;
                    return Err(format!(
                        "AccessDenied: the role {role} is not authorized to perform {action} on {arn}"
                    ));
                }
            }
        }
        Ok(Work {
            hose: self,
            shared,
            meta,
            source,
            now_ms,
        })
    }

    /// Notes a failed try. Nothing is lost: the records stay in their log. Returns when to try again.
    fn failed(&self, shared: &Shared, meta: &Meta, delivery: &mut Delivery, error: &str, now_ms: i64) -> i64 {
        let pause = BACKOFF_MS << delivery.failures.min(6);
        delivery.failures = delivery.failures.saturating_add(1);
        delivery.next_ms = now_ms + pause.min(MOST_BACKOFF_MS);
        report(shared, meta, error, now_ms);
        let oldest = delivery.progress.intent.as_ref().map(|intent| intent.oldest_ms);
        measure_try(shared, meta, oldest, false, now_ms);
        delivery.next_ms
    }

    /// Discards direct puts that could not be delivered for 24 hours, as AWS does, and says so.
    fn give_up(
        &self,
        shared: &Shared,
        meta: &Meta,
        delivery: &mut Delivery,
        now_ms: i64,
    ) -> Result<(), String> {
        let intent = delivery.progress.intent.as_ref();
        let Some(intent) = intent.filter(|intent| now_ms.saturating_sub(intent.oldest_ms) >= KEPT_MS) else {
            return Ok(());
        };
        if meta.source.is_some() {
            return Ok(());
        }
        let records = intent.records;
        let after = delivered(&delivery.progress, intent);
        self.save(&after)?;
        delivery.progress = after;
        delivery.scan = None;
        report(
            shared,
            meta,
            &format!("{records} records could not be delivered for 24 hours and are lost"),
            now_ms,
        );
        Ok(())
    }

    fn save(&self, progress: &Progress) -> Result<(), String> {
        let saved = self.files.save_progress(progress);
        saved.map_err(|error| format!("the progress of the delivery stream cannot be saved: {error}"))
    }
}

/// The progress when the object of `intent` is written.
fn delivered(progress: &Progress, intent: &Intent) -> Progress {
    let mut after = Progress {
        intent: None,
        ..progress.clone()
    };
    after
        .shards
        .extend(intent.until.iter().map(|(index, at)| (*index, *at)));
    after
}

impl Work<'_> {
    fn buffer_bytes(&self) -> u64 {
        let bytes = self.meta.buffer_bytes();
        match self.meta.processors().transform {
            Some(_) => bytes.min(TRANSFORMED_BYTES),
            None => bytes,
        }
    }

    /// How often the bytes of an object's records are in memory while it is written: the content and its compressed form,
    /// or what a function makes of them.
    fn copies(&self) -> u64 {
        match self.meta.processors().transform {
            Some(_) => 6,
            None => 2,
        }
    }

    fn look(&self, delivery: &mut Delivery) -> Result<Look, String> {
        self.follow_shards(delivery)?;
        let memory = |bytes: u64| bytes.saturating_mul(self.copies());
        if let Some(intent) = &delivery.progress.intent {
            return Ok(Look::Due(memory(intent.bytes)));
        }
        let buffer_ms = self.meta.buffer_ms().max(LEAST_BUFFER_MS);
        match self.look_at_buffer(delivery, self.buffer_bytes(), buffer_ms)? {
            Look::Due(bytes) => Ok(Look::Due(memory(bytes))),
            idle => Ok(idle),
        }
    }

    /// Whether the records in their log have `most` bytes, or the oldest is as old as `buffer_ms`.
    fn look_at_buffer(&self, delivery: &mut Delivery, most: u64, buffer_ms: i64) -> Result<Look, String> {
        // Before the scan: what arrives after it wakes the task.
        let news = self.source.news();
        let (bytes, is_full, oldest_ms) = self.scan(delivery, most)?;
        let due_ms = oldest_ms.map(|oldest_ms| oldest_ms.saturating_add(buffer_ms));
        // A record from the future means that the clock was set back.
        let is_due = due_ms.is_some_and(|due| due <= self.now_ms || due > self.now_ms + buffer_ms);
        if is_full || is_due {
            return Ok(Look::Due(bytes));
        }
        let idle_ms = self.now_ms + IDLE_MS;
        Ok(Look::Idle(due_ms.unwrap_or(idle_ms).min(idle_ms), news))
    }

    /// Begins with new shards, and forgets shards that have expired. Where records expired that were not delivered, that is
    /// reported: only deliveries that fail for the whole retention come to this.
    fn follow_shards(&self, delivery: &mut Delivery) -> Result<(), String> {
        let mut progress = delivery.progress.clone();
        let shards = self.source.shards();
        if progress.source_id != self.source.id() {
            self.report("the source stream was deleted and created again: records of the old one are lost");
            progress = Progress {
                source_id: self.source.id(),
                partitions: progress.partitions,
                next_partition: progress.next_partition,
                ..Progress::default()
            };
        }
        for shard in &shards {
            if shard.index >= progress.known && !shard.expired {
                progress.shards.entry(shard.index).or_default();
            } else if shard.expired
                && let Entry::Occupied(known) = progress.shards.entry(shard.index)
            {
                let at = known.remove();
                let (end, _) = self.source.end(shard.index)?;
                let lost = end.saturating_sub(at.next.max(1));
                if !at.ended && lost > 0 {
                    self.report_lost(shard.index, lost);
                }
            }
        }
        progress.known = progress
            .known
            .max(shards.last().map_or(0, |shard| shard.index + 1));
        if let Some(intent) = &mut progress.intent {
            intent
                .until
                .retain(|index, _| progress.shards.contains_key(index));
        }
        if progress != delivery.progress {
            self.hose.save(&progress)?;
            delivery.progress = progress;
            delivery.scan = None;
        }
        Ok(())
    }

    /// Counts what has arrived. Returns the bytes of the buffer, whether it is full, and the arrival of its oldest record.
    fn scan(&self, delivery: &mut Delivery, most: u64) -> Result<(u64, bool, Option<i64>), String> {
        let Delivery {
            progress, scan, turn, ..
        } = delivery;
        let scan = scan.get_or_insert_default();
        let mut shards = self.source.shards();
        let first = *turn % shards.len().max(1);
        shards.rotate_left(first);
        let mut goes_on = true;
        while goes_on && !scan.is_full {
            goes_on = false;
            for shard in &shards {
                goes_on |= self.scan_page(scan, progress, shard, most)?;
                if scan.is_full {
                    break;
                }
            }
        }
        Ok((scan.bytes, scan.is_full, scan.oldest_ms))
    }

    /// Counts a page of a shard that may be read. Returns whether there may be more, of it or of its children.
    fn scan_page(
        &self,
        scan: &mut Scan,
        progress: &Progress,
        shard: &ShardInfo,
        most: u64,
    ) -> Result<bool, String> {
        let is_blocked = shard.parents.into_iter().flatten().any(|parent| {
            let at = scan.at(progress, parent);
            at.is_some_and(|at| !at.ended)
        });
        let Some(at) = scan
            .at(progress, shard.index)
            .filter(|at| !at.ended && !is_blocked)
        else {
            return Ok(false);
        };
        let page = self.source.read(shard.index, at.next, PAGE_RECORDS, PAGE_BYTES)?;
        scan.take(shard.index, &page, most);
        Ok(page.end_of_shard || page.next_arrival_ms.is_some())
    }

    fn deliver(&self, delivery: &mut Delivery) -> Result<(), String> {
        let Some(intent) = self.intend(delivery)? else {
            return Ok(());
        };
        let mut batch = self.collect(&delivery.progress, &intent)?;
        let (records, bytes, newest_ms) = (batch.read, batch.bytes, batch.newest_ms);
        if intent.records > records {
            self.report(&format!(
                "{} records expired or are damaged, and were not delivered",
                intent.records - records
            ));
        }
        let content = std::mem::take(&mut batch.content);
        let bytes_out = self.put_content(&intent, content)?;
        self.put_failed(&intent, batch.failed)?;
        let after = delivered(&delivery.progress, &intent);
        self.hose.save(&after)?;
        delivery.progress = after;
        delivery.scan = None;
        self.measure(&intent, (records, bytes), bytes_out);
        if let (Some(log), Some(newest_ms)) = (&self.hose.log, newest_ms) {
            // Everything before the last delivered record.
            if let Err(error) = log.store.trim_before(newest_ms) {
                tracing::warn!(stream = self.meta.name, %error, "delivered records could not be deleted");
            }
        }
        Ok(())
    }

    /// The object to write next, saved. `None` if there is nothing to write.
    fn intend(&self, delivery: &mut Delivery) -> Result<Option<Intent>, String> {
        let intent = match (&delivery.progress.intent, &delivery.scan) {
            (Some(intent), _) if self.fits(intent) => return Ok(Some(intent.clone())),
            // The settings have changed since, and the object may be in the old bucket already.
            (Some(intent), _) => {
                let mut intent = intent.clone();
                self.name(&mut intent);
                intent
            }
            (None, Some(scan)) if scan.records > 0 => {
                let mut intent = Intent {
                    key: String::new(),
                    error_key: String::new(),
                    bucket_arn: String::new(),
                    compression: String::new(),
                    until: scan.at.clone(),
                    oldest_ms: scan.oldest_ms.unwrap_or(self.now_ms),
                    records: scan.records,
                    bytes: scan.bytes,
                };
                let progress = &delivery.progress;
                intent
                    .until
                    .retain(|index, at| progress.shards.get(index) != Some(at));
                self.name(&mut intent);
                intent
            }
            _ => return Ok(None),
        };
        let progress = Progress {
            intent: Some(intent.clone()),
            ..delivery.progress.clone()
        };
        self.hose.save(&progress)?;
        delivery.progress = progress;
        Ok(Some(intent))
    }

    fn report_lost(&self, shard: u32, lost: u64) {
        self.report(&format!(
            "{lost} records of shard {} expired or are damaged, and were not delivered",
            shard_id(shard)
        ));
    }

    fn report(&self, error: &str) {
        report(self.shared, self.meta, error, self.now_ms);
    }

    /// Source of the names and units: "Monitor Amazon Data Firehose with CloudWatch metrics", developer guide.
    fn measure(&self, intent: &Intent, (records, bytes): (u64, u64), bytes_out: u64) {
        let metric =
            |name: &str, unit: &str, value: u64| metric(self.shared, self.meta, name, unit, value as f64);
        if self.meta.source.is_some() {
            metric("DataReadFromKinesisStream.Records", "Count", records);
            metric("DataReadFromKinesisStream.Bytes", "Bytes", bytes);
            metric("IncomingRecords", "Count", records);
            metric("IncomingBytes", "Bytes", bytes);
        }
        metric("DeliveryToS3.Records", "Count", records);
        metric("DeliveryToS3.Bytes", "Bytes", bytes_out);
        metric("DeliveryToS3.ObjectCount", "Count", u64::from(bytes_out > 0));
        measure_try(self.shared, self.meta, Some(intent.oldest_ms), true, self.now_ms);
    }
}
