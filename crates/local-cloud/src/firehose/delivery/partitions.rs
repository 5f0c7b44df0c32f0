//! Dynamic partitioning, second stage: the objects of partitions.
//!
//! Each partition has a buffer of its own, and retries of its own: one that cannot be written does not stop the others.

use std::collections::HashSet;

use super::{BACKOFF_MS, Delivery, IDLE_MS, KEPT_MS, LEAST_BUFFER_MS, Look, MOST_BACKOFF_MS, Work};
use crate::answer::request_id;
use crate::firehose::content::Compression;
use crate::firehose::files::{Group, Partition, Progress, Target};
use crate::firehose::partitioning::Partitioning;
use crate::firehose::report::{measure_try, metric};
use crate::firehose::spool::Reader;
use crate::firehose::transform::failed_once;

/// Bytes of lines about failed records in one object: a line can be much longer than its record.
const FAILED_BYTES: usize = 32 << 20;
/// Bytes of objects that could not be written, at which no more records are sorted: they wait in their log.
const STALLED_BYTES: u64 = 256 << 20;
/// How often the bytes of records are in memory while they are sorted: as they are, as a function returns them, as values of a
/// query, and as they are appended.
const SORT_COPIES: u64 = 16;
/// How long records wait to be sorted without a function.
const STAGE_MS: i64 = 1_000;
/// Objects that are written between two saves of the progress. A process that is killed meanwhile writes the same objects under the
/// same keys again.
const OBJECTS: usize = 100;
/// What `error-output-type` shows of records whose object could not be written in the time of the retries.
const DELIVERY_FAILED: &str = "dynamic-partitioning-failed";

/// The tries of an object since the start.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tries {
    failures: u32,
    next_ms: i64,
}

/// What is to be done.
enum Next {
    /// The objects of these partitions.
    Objects(Vec<u64>),
    /// Nothing of the partitions before this time, if there are any.
    At(Option<i64>),
}

/// An object that is written.
struct Done {
    number: u64,
    target: Target,
    records: u64,
    bytes: u64,
}

/// What an object has.
#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    records: u64,
    /// Where it ends in the file.
    until: u64,
}

impl Work<'_> {
    /// Bytes and milliseconds of records that are sorted together.
    pub(super) fn stage(&self) -> (u64, i64) {
        match self.meta.processors().transform {
            Some(transform) => (transform.bytes as u64, transform.buffer_ms.max(LEAST_BUFFER_MS)),
            None => (super::PAGE_BYTES as u64, STAGE_MS),
        }
    }

    pub(super) fn look_at_partitions(&self, delivery: &mut Delivery) -> Result<Look, String> {
        self.follow_shards(delivery)?;
        let due_ms = match self.next(delivery) {
            Next::Objects(numbers) => {
                let partitions = numbers
                    .iter()
                    .filter_map(|number| delivery.progress.partitions.get(number));
                let bytes = partitions.map(|one| one.bytes).max().unwrap_or_default();
                delivery.due = numbers;
                return Ok(Look::Due(bytes.saturating_mul(2).max(FAILED_BYTES as u64)));
            }
            Next::At(due_ms) => due_ms,
        };
        let idle_ms = self.now_ms + IDLE_MS;
        let until_ms = due_ms.unwrap_or(idle_ms).min(idle_ms);
        if stalled_bytes(&delivery.progress) >= STALLED_BYTES {
            return Ok(Look::Idle(until_ms, Vec::new()));
        }
        let (most, wait_ms) = self.stage();
        match self.look_at_buffer(delivery, most, wait_ms)? {
            Look::Due(bytes) => Ok(Look::Due(bytes.saturating_mul(SORT_COPIES))),
            Look::Idle(other_ms, news) => Ok(Look::Idle(until_ms.min(other_ms), news)),
        }
    }

    pub(super) fn deliver_partitions(
        &self,
        delivery: &mut Delivery,
        partitioning: &Partitioning<'_>,
    ) -> Result<(), String> {
        let due = std::mem::take(&mut delivery.due);
        match due.is_empty() {
            true => self.sort(delivery, partitioning),
            false => self.deliver_due(delivery, &due),
        }
    }

    /// The oldest partitions whose objects are due. Of partitions with the same keys, the oldest one is first.
    fn next(&self, delivery: &Delivery) -> Next {
        let mut earlier = HashSet::new();
        let (mut due, mut first_ms) = (Vec::new(), None);
        for (number, partition) in &delivery.progress.partitions {
            if !earlier.insert(&partition.group) {
                continue;
            }
            let due_ms = self.due_ms(partition, delivery.tries.get(number));
            if due_ms <= self.now_ms {
                due.push(*number);
                if due.len() == OBJECTS {
                    break;
                }
            }
            first_ms = Some(first_ms.map_or(due_ms, |first: i64| first.min(due_ms)));
        }
        match due.is_empty() {
            true => Next::At(first_ms),
            false => Next::Objects(due),
        }
    }

    fn due_ms(&self, partition: &Partition, tries: Option<&Tries>) -> i64 {
        // A time that is too far away means that the clock was set back.
        let bounded = |due_ms: i64, most_ms: i64| {
            if due_ms > self.now_ms + most_ms {
                self.now_ms
            } else {
                due_ms
            }
        };
        if let Some(tries) = tries {
            return bounded(tries.next_ms, MOST_BACKOFF_MS);
        }
        if partition.target.is_some() || partition.bytes >= self.meta.buffer_bytes() {
            return self.now_ms;
        }
        let buffer_ms = self.meta.buffer_ms().max(LEAST_BUFFER_MS);
        bounded(partition.oldest_ms.saturating_add(buffer_ms), buffer_ms)
    }

    /// Writes the objects of partitions. A failure is that of its partition only.
    fn deliver_due(&self, delivery: &mut Delivery, numbers: &[u64]) -> Result<(), String> {
        let mut progress = delivery.progress.clone();
        for number in numbers {
            let Some(partition) = progress.partitions.get_mut(number) else {
                continue;
            };
            let failures = delivery.tries.get(number).map_or(0, |tries| tries.failures);
            partition.target = Some(self.aim(partition, *number, failures));
        }
        self.change(delivery, progress)?;
        let mut done = Vec::new();
        for number in numbers {
            let Some(partition) = delivery.progress.partitions.get(number).cloned() else {
                continue;
            };
            let Some(target) = partition.target.clone() else {
                continue;
            };
            match self.write(&partition, *number, &target) {
                Ok((records, bytes)) => done.push(Done {
                    number: *number,
                    target,
                    records,
                    bytes,
                }),
                Err(error) => self.not_delivered(delivery, *number, &target, &error)?,
            }
        }
        self.delivered_partitions(delivery, &done)
    }

    /// Writes the object of a partition. Returns its records and bytes.
    fn write(&self, partition: &Partition, number: u64, target: &Target) -> Result<(u64, u64), String> {
        let content = self.content(partition, number, target.is_failed, (target.until, usize::MAX))?;
        let bytes = content.bytes.len() as u64;
        if bytes > 0 {
            self.put(&target.key, content.bytes)?;
        }
        Ok((content.records, bytes))
    }

    /// The object of a partition: the one that was tried before, unless the settings are others or its retries are over.
    fn aim(&self, partition: &Partition, number: u64, failures: u32) -> Target {
        let settings = self.settings();
        let before = partition.target.as_ref();
        let is_lines = matches!(partition.group, Group::Failed(_));
        let is_late = before.is_some_and(|target| {
            // The first try is none of the retries.
            let is_over = failures > 0 && self.now_ms.saturating_sub(target.since_ms) >= self.meta.retry_ms();
            is_over && !is_lines && !target.is_failed
        });
        let fits = |target: &&Target| {
            settings == (target.bucket_arn.as_str(), target.compression.as_str()) && !is_late
        };
        if let Some(target) = before.filter(fits) {
            return target.clone();
        }
        let is_failed = is_late || before.is_some_and(|target| target.is_failed);
        let until = match is_failed {
            // Lines about records can be much longer than the records.
            true => {
                let content = self.content(partition, number, true, (partition.length, FAILED_BYTES));
                content.map_or(partition.length, |content| content.until)
            }
            false => partition.length,
        };
        Target {
            key: self.partition_key(partition, is_failed),
            bucket_arn: settings.0.to_owned(),
            compression: settings.1.to_owned(),
            since_ms: before.map_or(self.now_ms, |target| target.since_ms),
            is_failed,
            until,
        }
    }

    /// Saves a change of the progress, and makes it.
    fn change(&self, delivery: &mut Delivery, progress: Progress) -> Result<(), String> {
        if progress != delivery.progress {
            self.hose.save(&progress)?;
            delivery.progress = progress;
        }
        Ok(())
    }

    fn partition_key(&self, partition: &Partition, is_failed: bool) -> String {
        let s3 = &self.meta.destination;
        let (zone, uuid) = (self.meta.zone(), request_id());
        let mut name = self.object_name(partition.oldest_ms, &zone, &uuid);
        let failed_type = match (&partition.group, is_failed) {
            (Group::Keys { prefix, keys }, false) => {
                name.keys = Some(keys);
                return name.key(Some(prefix));
            }
            (Group::Keys { .. }, true) => DELIVERY_FAILED,
            (Group::Failed(kind), _) => kind,
        };
        // Failed records are JSON, whatever the extension of the others is.
        name.extension = Compression::of(self.settings().1).extension();
        name.error_key(None, s3.error_output_prefix.as_deref(), failed_type)
    }

    /// The records of an object, from where the last one ended to `until`, or to about `most` bytes of lines.
    fn content(
        &self,
        partition: &Partition,
        number: u64,
        is_failed: bool,
        (until, most): (u64, usize),
    ) -> Result<Content, String> {
        let path = self.hose.files.partition(number);
        let unread = |error: std::io::Error| format!("the records of a partition cannot be read: {error}");
        let mut content = Content {
            until,
            ..Content::default()
        };
        let Some(mut reader) = Reader::open(&path, partition.delivered, until).map_err(unread)? else {
            return Ok(content);
        };
        if !is_failed {
            let needed = usize::try_from(partition.bytes.saturating_add(partition.records));
            content.bytes.reserve_exact(needed.unwrap_or_default());
        }
        let is_lines = matches!(partition.group, Group::Failed(_));
        let has_delimiter = self.meta.processors().delimiter && !is_lines;
        while let Some((arrival_ms, data)) = reader.next().map_err(unread)? {
            content.records += 1;
            if is_failed {
                let failure = (
                    "DynamicPartitioning.DeliveryFailed",
                    "The records could not be delivered in the time of the retries".to_owned(),
                );
                content
                    .bytes
                    .extend(failed_once(arrival_ms, &data, &failure, self.now_ms));
                if content.bytes.len() >= most {
                    content.until = reader.at();
                    break;
                }
            } else {
                content.bytes.extend_from_slice(&data);
                if has_delimiter {
                    content.bytes.push(b'\n');
                }
            }
        }
        Ok(content)
    }

    /// Notes that objects are written, and deletes the files of their partitions.
    fn delivered_partitions(&self, delivery: &mut Delivery, done: &[Done]) -> Result<(), String> {
        let mut progress = delivery.progress.clone();
        for one in done {
            let is_whole = |partition: &Partition| one.target.until >= partition.length;
            match progress.partitions.get_mut(&one.number) {
                Some(partition) if !is_whole(partition) => {
                    partition.delivered = one.target.until;
                    partition.records = partition.records.saturating_sub(one.records);
                    // The rest is written in the same way, under a key of its own.
                    partition.target = Some(Target {
                        bucket_arn: String::new(),
                        ..one.target.clone()
                    });
                }
                _ => drop(progress.partitions.remove(&one.number)),
            }
        }
        let before = delivery.progress.clone();
        self.change(delivery, progress)?;
        for one in done {
            delivery.tries.remove(&one.number);
            let Some(partition) = before.partitions.get(&one.number) else {
                continue;
            };
            if !delivery.progress.partitions.contains_key(&one.number) {
                self.hose.files.remove_partition(one.number);
                let lost = partition.records.saturating_sub(one.records);
                if lost > 0 {
                    self.report(&format!(
                        "{lost} records of a partition are damaged, and were not delivered"
                    ));
                }
            }
            self.measure_partition(partition, &one.target, one.records, one.bytes);
        }
        Ok(())
    }

    fn not_delivered(
        &self,
        delivery: &mut Delivery,
        number: u64,
        target: &Target,
        error: &str,
    ) -> Result<(), String> {
        let Some(partition) = delivery.progress.partitions.get(&number) else {
            return Ok(());
        };
        let (records, oldest_ms) = (partition.records, partition.oldest_ms);
        let tries = delivery.tries.entry(number).or_default();
        let pause_ms = (BACKOFF_MS << tries.failures.min(6)).min(MOST_BACKOFF_MS);
        tries.failures = tries.failures.saturating_add(1);
        // The retries end on time.
        let end_ms = target.since_ms.saturating_add(self.meta.retry_ms());
        tries.next_ms = match target.is_failed || end_ms <= self.now_ms {
            true => self.now_ms + pause_ms,
            false => (self.now_ms + pause_ms).min(end_ms),
        };
        self.report(error);
        measure_try(self.shared, self.meta, Some(oldest_ms), false, self.now_ms);
        // Direct puts are kept for a day, as without partitioning.
        if self.meta.source.is_none() && self.now_ms.saturating_sub(oldest_ms) >= KEPT_MS {
            let mut progress = delivery.progress.clone();
            progress.partitions.remove(&number);
            self.change(delivery, progress)?;
            delivery.tries.remove(&number);
            self.hose.files.remove_partition(number);
            self.report(&format!(
                "{records} records could not be delivered for 24 hours and are lost"
            ));
        }
        Ok(())
    }

    /// Source of the names and units: "Monitor Amazon Data Firehose with CloudWatch metrics", developer guide.
    fn measure_partition(&self, partition: &Partition, target: &Target, records: u64, bytes: u64) {
        let metric = |name: &str, unit: &str, value: f64| metric(self.shared, self.meta, name, unit, value);
        metric(
            "DeliveryToS3.ObjectCount",
            "Count",
            f64::from(u8::from(bytes > 0)),
        );
        if matches!(partition.group, Group::Failed(_)) || target.is_failed {
            return;
        }
        metric("DeliveryToS3.Records", "Count", records as f64);
        metric("DeliveryToS3.Bytes", "Bytes", bytes as f64);
        let seconds = (self.now_ms - partition.oldest_ms).max(1000) as f64 / 1000.0;
        metric("PerPartitionThroughput", "Bytes/Second", bytes as f64 / seconds);
        measure_try(
            self.shared,
            self.meta,
            Some(partition.oldest_ms),
            true,
            self.now_ms,
        );
    }
}

/// Bytes of objects that were tried and are not written.
fn stalled_bytes(progress: &Progress) -> u64 {
    let partitions = progress.partitions.values();
    let stalled = partitions.filter(|partition| partition.target.is_some());
    stalled.map(|partition| partition.bytes).sum()
}
