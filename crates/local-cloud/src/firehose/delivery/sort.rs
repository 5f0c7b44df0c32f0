//! Dynamic partitioning, first stage: records leave their log for the files of their partitions.
//!
//! A pass takes records out of one another, has a function transform them, evaluates their partition keys, appends them to the
//! files, and then saves how much of the files counts together with how far the log is read. So each record is in one partition
//! whatever ends the process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::{PAGE_BYTES, Work};
use crate::answer::request_id;
use crate::firehose::delivery::Delivery;
use crate::firehose::files::{At, Group, Partition, Progress};
use crate::firehose::partitioning::{MOST_PARTITIONS, Partitioning};
use crate::firehose::prefix::PROCESSING_FAILED;
use crate::firehose::report::metric;
use crate::firehose::spool;
use crate::firehose::transform::{Failure, Incoming, Transformation, failed_once};
use crate::kinesis::store::StoredRecord;
use crate::kinesis::stream::lineage::shard_id;

/// Records of one read: a query may need long for each.
const SORT_RECORDS: usize = 500;
/// Steps of queries, and bytes for the files of partitions, after which a pass ends: a line about a record that failed can be
/// much longer than the record.
const SORT_STEPS: u64 = 20_000_000;
const SORT_BYTES: usize = 16 << 20;
/// What `error-output-type` shows. Source of the first: objects that AWS delivered, as users report them; of the second:
/// "Buffer data for dynamic partitioning", Amazon Data Firehose developer guide.
const EXTRACTION_FAILED: &str = "metadata-extraction-failed";
const TOO_MANY: &str = "activePartitionExceeded";

/// One pass.
struct Sorting<'a> {
    work: &'a Work<'a>,
    partitioning: &'a Partitioning<'a>,
    progress: Progress,
    /// Partitions that take records.
    open: HashMap<Group, u64>,
    /// Groups with records.
    active: HashSet<Group>,
    /// What is to be appended, by partition.
    appended: BTreeMap<u64, Vec<u8>>,
    appended_bytes: usize,
    steps: u64,
    queried: Duration,
    exceeded: bool,
    read: (u64, u64),
    newest_ms: Option<i64>,
}

impl Work<'_> {
    /// Sorts the records that were counted.
    pub(super) fn sort(
        &self,
        delivery: &mut Delivery,
        partitioning: &Partitioning<'_>,
    ) -> Result<(), String> {
        let Some(scan) = &delivery.scan else {
            return Ok(());
        };
        let (until, counted) = (scan.at.clone(), scan.records);
        let mut sorting = Sorting::new(self, partitioning, delivery.progress.clone());
        let processors = self.meta.processors();
        let mut transformation = processors
            .transform
            .as_ref()
            .map(|transform| Transformation::new(self.shared, self.meta, transform));
        let mut is_whole = true;
        for (index, until) in &until {
            is_whole = sorting.read_shard(*index, *until, transformation.as_mut())?;
            if !is_whole {
                break;
            }
        }
        if let Some(transformation) = &mut transformation {
            transformation.flush();
            sorting.drain(transformation);
        }
        let lost = counted.saturating_sub(sorting.read.0);
        let done = sorting.finish()?;
        if is_whole && lost > 0 {
            self.report(&format!(
                "{lost} records expired or are damaged, and were not delivered"
            ));
        }
        delivery.progress = done.progress;
        delivery.scan = None;
        if let (Some(log), Some(newest_ms)) = (&self.hose.log, done.newest_ms)
            // Everything before the last record that was sorted.
            && let Err(error) = log.store.trim_before(newest_ms)
        {
            tracing::warn!(stream = self.meta.name, %error, "records that were sorted could not be deleted");
        }
        Ok(())
    }
}

/// The result of a pass.
struct Sorted {
    progress: Progress,
    newest_ms: Option<i64>,
}

impl<'a> Sorting<'a> {
    fn new(work: &'a Work<'a>, partitioning: &'a Partitioning<'a>, progress: Progress) -> Self {
        let most = work.meta.buffer_bytes();
        let partitions = progress.partitions.iter();
        let is_open =
            |(_, partition): &(&u64, &Partition)| partition.target.is_none() && partition.bytes < most;
        Self {
            open: partitions
                .clone()
                .filter(is_open)
                .map(|(number, partition)| (partition.group.clone(), *number))
                .collect(),
            active: partitions.map(|(_, partition)| partition.group.clone()).collect(),
            work,
            partitioning,
            progress,
            appended: BTreeMap::new(),
            appended_bytes: 0,
            steps: 0,
            queried: Duration::ZERO,
            exceeded: false,
            read: (0, 0),
            newest_ms: None,
        }
    }

    const fn is_exhausted(&self) -> bool {
        self.steps >= SORT_STEPS || self.appended_bytes >= SORT_BYTES
    }

    /// Sorts the records of a shard. Returns whether all of them are sorted.
    fn read_shard(
        &mut self,
        index: u32,
        until: At,
        mut transformation: Option<&mut Transformation<'_>>,
    ) -> Result<bool, String> {
        let mut next = self.progress.shards.get(&index).map_or(0, |at| at.next);
        while next < until.next {
            if self.is_exhausted() {
                // What the function has not been called for belongs to what is read.
                self.progress.shards.insert(index, At { next, ended: false });
                return Ok(false);
            }
            let page = self.work.source.read(index, next, SORT_RECORDS, PAGE_BYTES)?;
            if page.next.index <= next {
                break;
            }
            next = page.next.index.min(until.next);
            let records = page.records.iter();
            for record in records.filter(|record| record.sequence_number.index() < until.next) {
                self.take(index, record, transformation.as_deref_mut());
            }
            if let Some(transformation) = &mut transformation {
                self.drain(transformation);
            }
        }
        self.progress.shards.insert(index, until);
        Ok(true)
    }

    fn take(
        &mut self,
        index: u32,
        record: &StoredRecord,
        mut transformation: Option<&mut Transformation<'_>>,
    ) {
        self.read.0 += 1;
        self.read.1 += record.data.len() as u64;
        self.newest_ms = Some(record.arrival_ms);
        let parts = match &self.partitioning.deaggregation {
            Some(deaggregation) => deaggregation.split(&record.data),
            None => vec![record.data.clone()],
        };
        for (part, data) in parts.into_iter().enumerate() {
            match &mut transformation {
                None => self.partition(record.arrival_ms, &data, &BTreeMap::new()),
                Some(transformation) => transformation.push(Incoming {
                    id: record.sequence_number.to_string(),
                    part,
                    arrival_ms: record.arrival_ms,
                    partition_key: record.partition_key().to_owned(),
                    shard_id: shard_id(index),
                    data,
                }),
            }
        }
    }

    /// Takes what a transformation has returned.
    fn drain(&mut self, transformation: &mut Transformation<'_>) {
        for record in std::mem::take(&mut transformation.transformed) {
            self.partition(record.arrival_ms, &record.data, &record.keys);
        }
        for (arrival_ms, line) in std::mem::take(&mut transformation.failed) {
            self.push(&Group::Failed(PROCESSING_FAILED.to_owned()), arrival_ms, &line);
        }
    }

    /// Gives a record to its partition.
    fn partition(&mut self, arrival_ms: i64, data: &[u8], of_function: &BTreeMap<String, String>) {
        let started = std::time::Instant::now();
        let (keys, steps) = self.partitioning.keys(data, of_function, self.work.now_ms);
        self.queried += started.elapsed();
        self.steps += steps;
        let keys = match keys {
            Ok(keys) => keys,
            Err(reason) => {
                let failure = ("DynamicPartitioning.MetadataExtractionFailed", reason);
                return self.fail(EXTRACTION_FAILED, arrival_ms, data, &failure);
            }
        };
        let group = Group::Keys {
            prefix: self.partitioning.prefix.to_owned(),
            keys,
        };
        if !self.active.contains(&group) {
            if self.is_too_long(&group, arrival_ms) {
                let reason = "Length of evaluated prefix cannot be greater than 512".to_owned();
                let failure = ("DynamicPartitioning.MetadataExtractionFailed", reason);
                return self.fail(EXTRACTION_FAILED, arrival_ms, data, &failure);
            }
            if self.active_partitions() >= MOST_PARTITIONS {
                self.exceeded = true;
                let reason = "The number of active partitions has exceeded the configured limit".to_owned();
                let failure = ("DynamicPartitioning.ActivePartitionsLimitExceeded", reason);
                return self.fail(TOO_MANY, arrival_ms, data, &failure);
            }
        }
        self.push(&group, arrival_ms, data);
    }

    fn active_partitions(&self) -> usize {
        let active = self.active.iter();
        active.filter(|group| matches!(group, Group::Keys { .. })).count()
    }

    fn is_too_long(&self, group: &Group, arrival_ms: i64) -> bool {
        let Group::Keys { prefix, keys } = group else {
            return false;
        };
        let (zone, uuid) = (self.work.meta.zone(), request_id());
        let mut name = self.work.object_name(arrival_ms, &zone, &uuid);
        name.keys = Some(keys);
        name.is_too_long(prefix)
    }

    fn fail(&mut self, kind: &str, arrival_ms: i64, data: &[u8], failure: &Failure) {
        let line = failed_once(arrival_ms, data, failure, self.work.now_ms);
        self.push(&Group::Failed(kind.to_owned()), arrival_ms, &line);
    }

    fn push(&mut self, group: &Group, arrival_ms: i64, data: &[u8]) {
        let number = match self.open.get(group) {
            Some(number) => *number,
            None => self.begin(group),
        };
        let Some(partition) = self.progress.partitions.get_mut(&number) else {
            return;
        };
        spool::push(self.appended.entry(number).or_default(), arrival_ms, data);
        self.appended_bytes += spool::HEADER + data.len();
        partition.records += 1;
        // An empty record counts too: else they would never fill the buffer.
        partition.bytes += data.len().max(1) as u64;
        partition.oldest_ms = partition.oldest_ms.min(arrival_ms);
        if partition.bytes >= self.work.meta.buffer_bytes() {
            self.open.remove(group);
        }
    }

    /// Begins a partition.
    fn begin(&mut self, group: &Group) -> u64 {
        let number = self.progress.next_partition;
        self.progress.next_partition += 1;
        let partition = Partition {
            group: group.clone(),
            length: 0,
            delivered: 0,
            records: 0,
            bytes: 0,
            oldest_ms: i64::MAX,
            target: None,
        };
        self.progress.partitions.insert(number, partition);
        self.open.insert(group.clone(), number);
        self.active.insert(group.clone());
        number
    }

    /// Writes the files, and saves the progress.
    fn finish(mut self) -> Result<Sorted, String> {
        let files = &self.work.hose.files;
        let appended = files.make_partitions().and_then(|()| {
            for (number, bytes) in &self.appended {
                let Some(partition) = self.progress.partitions.get_mut(number) else {
                    continue;
                };
                spool::append(&files.partition(*number), partition.length, bytes)?;
                partition.length += bytes.len() as u64;
            }
            Ok(())
        });
        appended.map_err(|error| format!("the records of a partition cannot be stored: {error}"))?;
        self.work.hose.save(&self.progress)?;
        self.measure();
        Ok(Sorted {
            progress: self.progress,
            newest_ms: self.newest_ms,
        })
    }

    /// Source of the names and units: "Monitor Amazon Data Firehose with CloudWatch metrics", developer guide.
    fn measure(&self) {
        let Work { shared, meta, .. } = self.work;
        let metric = |name: &str, unit: &str, value: f64| metric(shared, meta, name, unit, value);
        let (records, bytes) = self.read;
        if meta.source.is_some() {
            metric("DataReadFromKinesisStream.Records", "Count", records as f64);
            metric("DataReadFromKinesisStream.Bytes", "Bytes", bytes as f64);
            metric("IncomingRecords", "Count", records as f64);
            metric("IncomingBytes", "Bytes", bytes as f64);
        }
        metric("PartitionCount", "Count", self.active_partitions() as f64);
        metric(
            "PartitionCountExceeded",
            "Count",
            f64::from(u8::from(self.exceeded)),
        );
        metric("ActivePartitionsLimit", "Count", MOST_PARTITIONS as f64);
        if self.partitioning.has_query() {
            metric(
                "JQProcessing.Duration",
                "Milliseconds",
                self.queried.as_secs_f64() * 1000.0,
            );
        }
    }
}
