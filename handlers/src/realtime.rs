//! `realtime-data-processor`: archives records, and aggregates the readings of each partition key over time windows.
//!
//! The window of a record follows from its arrival time at Kinesis, which is the same at each delivery. A record is
//! archived before it is counted, so all that is counted is archived. [`aggregate`] makes sure that each record is
//! counted once, at whatever time it is delivered again.

mod aggregate;
mod archive;
mod counted;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::ExitCode;

use decimal::Decimal;
use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::time::Instant;

use crate::aws::{Clients, DynamoTable, S3Bucket};
use crate::clock::{Clock, SystemClock, rfc3339};
use crate::deliver::{self, IN_FLIGHT, retried};
use crate::environment::{Environment, InvalidVariable};
use crate::event::{Entry, Event};
use crate::failures::Failures;
use crate::invalid::Invalid;
use crate::json::Json;
use crate::log::Level;
use crate::metrics::{self, Metric};
use crate::runtime::{self, Done, Handler, Invocation};
use crate::store::{self, AggregateKey, Aggregates, Bucket, CallErrorKind, Item};

use aggregate::{Contribution, Merge};
use counted::Position;

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run(RealtimeProcessor::from_environment)
}

const NAMESPACE: &str = "RealtimeDataProcessing";
/// Fields that are aggregated without configuration, besides `value`.
const KNOWN_READINGS: [&str; 9] = [
    "temperature",
    "humidity",
    "pressure",
    "light",
    "battery",
    "voltage",
    "speed",
    "duration",
    "amount",
];
/// Maximum number of keys in one BatchGetItem.
const KEYS_A_CALL: usize = 100;
/// DynamoDB's limit for a partition key, in bytes. Kinesis keys are shorter; only keys of aggregated records can exceed
/// it.
const MAX_KEY_BYTES: usize = 2048;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Days until an aggregate expires.
    pub ttl_days: i64,
    /// The length of a window.
    pub window_seconds: i64,
    /// Names of the fields with readings.
    pub readings: Vec<String>,
    /// The metrics' dimension `FunctionName`.
    pub function: String,
}

impl Settings {
    /// Reads `TTL_DAYS`, `WINDOW_SECONDS`, `READINGS` and the function's name.
    ///
    /// # Errors
    /// A variable is out of range.
    pub fn from_environment(environment: &Environment) -> Result<Self, InvalidVariable> {
        let mut readings: Vec<String> = ["value"]
            .iter()
            .chain(&KNOWN_READINGS)
            .map(|name| (*name).to_owned())
            .collect();
        let further = environment.optional("READINGS").unwrap_or_default();
        for name in further.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.len() > 128 {
                let message = format!(
                    "the environment variable READINGS holds the name `{name}`: names have at most 128 bytes"
                );
                return Err(InvalidVariable(message));
            }
            if !readings.iter().any(|known| known == name) {
                readings.push(name.to_owned());
            }
        }
        Ok(Self {
            ttl_days: environment.number("TTL_DAYS", 30, 1..=36_500)?,
            window_seconds: environment.number("WINDOW_SECONDS", 60, 1..=86_400)?,
            readings,
            function: environment
                .optional("AWS_LAMBDA_FUNCTION_NAME")
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

pub struct RealtimeProcessor<B, A, C> {
    bucket: B,
    table: A,
    clock: C,
    settings: Settings,
}

impl RealtimeProcessor<S3Bucket, DynamoTable, SystemClock> {
    /// Reads `BUCKET_NAME`, `TABLE_NAME`, and the settings.
    ///
    /// # Errors
    /// A variable is missing or out of range.
    fn from_environment(environment: &Environment, clients: &Clients) -> Result<Self, InvalidVariable> {
        let bucket = environment.required("BUCKET_NAME", "the bucket that raw data is archived in")?;
        let table = environment.required("TABLE_NAME", "the table of aggregates")?;
        let settings = Settings::from_environment(environment)?;
        Ok(Self::new(
            clients.bucket(bucket),
            clients.table(table),
            SystemClock,
            settings,
        ))
    }
}

/// A valid record.
struct Valid<'a> {
    entry: &'a Entry<'a>,
    position: Position,
    /// Readings, with their index in the settings.
    readings: Vec<(usize, Decimal)>,
    /// Number of invalid records before it in the batch.
    rejected_before: usize,
}

/// The records of a batch that belong to one aggregate.
#[derive(Default)]
struct Group {
    contributions: Vec<Contribution>,
    records: Vec<usize>,
}

impl<B: Bucket, A: Aggregates, C: Clock> RealtimeProcessor<B, A, C> {
    /// Archives to `bucket` and aggregates in `table`.
    pub fn new(bucket: B, table: A, clock: C, settings: Settings) -> Self {
        Self {
            bucket,
            table,
            clock,
            settings,
        }
    }

    /// The readings of an entry, with their index in the settings.
    fn readings(&self, entry: &Entry<'_>) -> Result<Vec<(usize, Decimal)>, Invalid> {
        let object = entry.object()?;
        if entry.partition_key.is_empty() || entry.partition_key.len() > MAX_KEY_BYTES {
            return Err(Invalid::json(
                "the partition key is empty or longer than 2048 bytes",
            ));
        }
        let mut readings = Vec::new();
        for (field, name) in self.settings.readings.iter().enumerate() {
            let number = match object.get_or_null(name) {
                None => continue,
                Some(Json::Number(text)) => Decimal::parse_json(text),
                Some(Json::Text(text)) => Decimal::parse_json(text.trim()),
                Some(_) => return Err(Invalid::field(name, "is not a number")),
            };
            readings.push((field, number.map_err(|error| Invalid::field(name, error))?));
        }
        Ok(readings)
    }

    /// Divides the entries of a batch. The valid ones are in the order of the stream.
    fn sort<'a>(&self, entries: &'a [Entry<'a>]) -> (Vec<Valid<'a>>, Vec<(&'a Entry<'a>, Invalid)>) {
        let mut ordered: Vec<_> = entries.iter().map(|entry| (entry, Position::of(entry))).collect();
        ordered.sort_by_key(|(_, position)| *position.as_ref().unwrap_or(&Position::START));
        let (mut valid, mut rejected) = (Vec::with_capacity(entries.len()), Vec::new());
        for (entry, position) in ordered {
            match position.and_then(|position| Ok((position, self.readings(entry)?))) {
                Ok((position, readings)) => valid.push(Valid {
                    entry,
                    position,
                    readings,
                    rejected_before: rejected.len(),
                }),
                Err(invalid) => rejected.push((entry, invalid)),
            }
        }
        (valid, rejected)
    }

    /// Groups the records that are archived by the aggregate that counts them.
    fn groups(&self, valid: Vec<Valid<'_>>, unarchived: &HashSet<usize>) -> BTreeMap<AggregateKey, Group> {
        let mut groups = BTreeMap::<AggregateKey, Group>::new();
        let mut failed_before = 0;
        for record in valid {
            let entry = record.entry;
            if unarchived.contains(&entry.index) {
                failed_before += 1;
            } else if !record.readings.is_empty() {
                let group = groups.entry(self.key(entry)).or_default();
                let run = record.rejected_before + failed_before;
                let contribution = Contribution::new(entry, record.position, run, record.readings);
                group.contributions.push(contribution);
                group.records.push(entry.index);
            }
        }
        groups
    }

    /// The log line with the number of rejected records.
    fn metrics(&self, rejected: usize, now_ms: i64) -> String {
        let metric = Metric {
            name: "RejectedRecords",
            unit: "Count",
            value: rejected as f64,
            is_total: true,
        };
        metrics::line(
            NAMESPACE,
            &[("FunctionName", &self.settings.function)],
            &[metric],
            now_ms,
        )
    }

    fn key(&self, entry: &Entry<'_>) -> AggregateKey {
        let window_ms = self.settings.window_seconds * 1000;
        let start = entry.record.arrival_ms.div_euclid(window_ms) * window_ms;
        (entry.partition_key.clone().into_owned(), rfc3339(start))
    }

    /// Archives valid entries. Returns the records that failed.
    async fn archive(&self, entries: &[&Entry<'_>], now_ms: i64, invocation: &Invocation) -> HashSet<usize> {
        let archives = archive::objects(entries, now_ms);
        let objects: Vec<_> = archives.iter().map(|archive| archive.object.clone()).collect();
        let results = deliver::put_objects(&self.bucket, &objects, invocation.deadline).await;
        let mut failed = HashSet::new();
        for (archive, result) in archives.into_iter().zip(results) {
            if let Err(error) = result {
                let fields = || serde_json::json!({"error": error.message, "key": archive.object.key});
                invocation.log.write(Level::Error, "batch not archived", fields);
                failed.extend(archive.records);
            }
        }
        failed
    }

    /// Adds the groups to their aggregates. Returns the records that failed.
    async fn aggregate(
        &self,
        groups: BTreeMap<AggregateKey, Group>,
        now_ms: i64,
        invocation: &Invocation,
    ) -> Vec<usize> {
        let keys: Vec<_> = groups.keys().cloned().collect();
        let stored = self.read_all(&keys, invocation.deadline).await;
        let updates = groups.iter().map(async |(key, group)| {
            let known = match &stored {
                Ok(items) => Ok(items.get(key).cloned()),
                Err(error) => Err(error.clone()),
            };
            let updated = match known {
                Ok(item) => self.update(key, group, item, now_ms, invocation.deadline).await,
                Err(error) => Err(error),
            };
            (group, updated)
        });
        let mut updates = iter(updates).buffer_unordered(IN_FLIGHT);
        let (mut failed, mut reason) = (Vec::new(), None);
        while let Some((group, updated)) = updates.next().await {
            if let Err(error) = updated {
                failed.extend(&group.records);
                reason = Some(error.message);
            }
        }
        if let Some(reason) = reason {
            let fields = || serde_json::json!({"error": reason, "records": failed.len()});
            invocation
                .log
                .write(Level::Error, "readings not aggregated", fields);
        }
        failed
    }

    /// Reads the aggregates that exist.
    async fn read_all(
        &self,
        keys: &[AggregateKey],
        deadline: Instant,
    ) -> Result<HashMap<AggregateKey, Item>, store::CallError> {
        let reads = keys
            .chunks(KEYS_A_CALL)
            .map(|chunk| self.read_chunk(chunk.to_vec(), deadline));
        let mut reads = iter(reads).buffer_unordered(IN_FLIGHT);
        let mut items = HashMap::with_capacity(keys.len());
        while let Some(read) = reads.next().await {
            items.extend(
                read?
                    .into_iter()
                    .filter_map(|item| Some((aggregate::key_of(&item)?, item))),
            );
        }
        Ok(items)
    }

    async fn read_chunk(
        &self,
        keys: Vec<AggregateKey>,
        deadline: Instant,
    ) -> Result<Vec<Item>, store::CallError> {
        let progress = std::cell::RefCell::new((keys, Vec::new()));
        let read = async || {
            let keys = progress.borrow().0.clone();
            let (items, left) = self.table.read(keys).await?;
            let mut progress = progress.borrow_mut();
            progress.1.extend(items);
            progress.0 = left;
            if progress.0.is_empty() {
                return Ok(());
            }
            Err(store::CallError::new(
                CallErrorKind::Transient,
                "the table accepts no more reads for now",
            ))
        };
        retried(deadline, read).await?;
        Ok(progress.into_inner().1)
    }

    /// Adds a group to its aggregate. Retries if another writer changes the aggregate at the same time.
    async fn update(
        &self,
        key: &AggregateKey,
        group: &Group,
        stored: Option<Item>,
        now_ms: i64,
        deadline: Instant,
    ) -> Result<(), store::CallError> {
        let merge = Merge {
            key,
            readings: &self.settings.readings,
            now_ms,
            ttl: now_ms / 1000 + self.settings.ttl_days * 86_400,
        };
        let mut stored = stored;
        loop {
            let Some((item, revision)) = merge.add(stored, &group.contributions)? else {
                return Ok(());
            };
            if retried(deadline, || self.table.replace(item.clone(), revision)).await? {
                return Ok(());
            }
            stored = self.read_chunk(vec![key.clone()], deadline).await?.pop();
        }
    }
}

impl<B: Bucket, A: Aggregates, C: Clock> Handler for RealtimeProcessor<B, A, C> {
    async fn handle(&self, event: &Event<'_>, invocation: &Invocation) -> Done {
        let now_ms = self.clock.now_ms();
        let mut failures = Failures::none_of(event);
        let entries = event.entries();
        let (valid, rejected) = self.sort(&entries);
        invocation.log.rejected(&rejected);
        if !rejected.is_empty() {
            invocation.log.raw(&self.metrics(rejected.len(), now_ms));
        }
        let accepted: Vec<&Entry<'_>> = valid.iter().map(|record| record.entry).collect();
        let mut undone = self.archive(&accepted, now_ms, invocation).await;
        let groups = self.groups(valid, &undone);
        undone.extend(self.aggregate(groups, now_ms, invocation).await);
        let rejected_records = rejected.iter().map(|(entry, _)| entry.index);
        rejected_records
            .chain(undone.iter().copied())
            .for_each(|index| failures.add(index));
        let undone = accepted
            .iter()
            .filter(|entry| undone.contains(&entry.index))
            .count();
        Done {
            failures,
            total: entries.len(),
            failed: rejected.len() + undone,
        }
    }
}

#[cfg(test)]
mod tests;
