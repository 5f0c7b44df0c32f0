//! One aggregate: its attributes, and how records are added so that each is counted exactly once.
//!
//! An aggregate stores which records it has counted ([`super::counted`]). Kinesis keeps the order of records with one
//! partition key in a shard, and Lambda keeps it for the partition key of the Kinesis record, so there is a set for each
//! such key. A revision number, which grows with each change, detects concurrent writers.

use std::collections::{BTreeMap, btree_map};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use decimal::Decimal;

use super::counted::{Counted, Known, Position};
use crate::attribute::{number, text};
use crate::clock::rfc3339_ms;
use crate::event::Entry;
use crate::store::{AggregateKey, CallError, CallErrorKind, Item};

/// What one record adds to an aggregate.
pub(super) struct Contribution {
    /// Records with the same key arrive in order.
    ordering_key: String,
    position: Position,
    /// Contributions of the same run have no failed record between them.
    run: usize,
    /// Readings, with their index in the settings.
    readings: Vec<(usize, Decimal)>,
}

impl Contribution {
    pub(super) fn new(
        entry: &Entry<'_>,
        position: Position,
        run: usize,
        readings: Vec<(usize, Decimal)>,
    ) -> Self {
        let (shard, outer) = (entry.record.shard_id(), &entry.record.partition_key);
        let ordering_key = if *outer == entry.partition_key {
            shard.to_owned()
        } else {
            // For aggregated records, Lambda orders by the partition key of the Kinesis record.
            format!("{shard}/{outer}")
        };
        Self {
            ordering_key,
            position,
            run,
            readings,
        }
    }
}

/// The statistics of one field.
#[derive(Clone, Copy)]
struct Statistics {
    count: u64,
    total: Decimal,
    min: Decimal,
    max: Decimal,
}

impl Statistics {
    /// `None` if the total would not be exact.
    fn with(known: Option<Self>, reading: Decimal) -> Option<Self> {
        let Some(known) = known else {
            return Some(Self {
                count: 1,
                total: reading,
                min: reading,
                max: reading,
            });
        };
        Some(Self {
            count: known.count + 1,
            total: known.total.checked_add(reading).ok()?,
            min: known.min.min(reading),
            max: known.max.max(reading),
        })
    }
}

/// The attribute names of a field.
struct Names {
    count: String,
    total: String,
    average: String,
    min: String,
    max: String,
}

impl Names {
    fn of(field: &str) -> Self {
        let own = |name: &str| format!("{field}_{name}");
        if field == "value" {
            let value = |name: &str| format!("{name}_value");
            return Self {
                count: "count".to_owned(),
                total: value("total"),
                average: value("average"),
                min: value("min"),
                max: value("max"),
            };
        }
        Self {
            count: own("count"),
            total: own("total"),
            average: own("average"),
            min: own("min"),
            max: own("max"),
        }
    }

    fn read(&self, item: &Item) -> Option<Statistics> {
        let decimal = |name: &String| Decimal::parse(item.get(name)?.as_n().ok()?).ok();
        Some(Statistics {
            count: item.get(&self.count)?.as_n().ok()?.parse().ok()?,
            total: decimal(&self.total)?,
            min: decimal(&self.min)?,
            max: decimal(&self.max)?,
        })
    }

    fn write(self, statistics: &Statistics, item: &mut Item) {
        let average = statistics.total.divided_by(statistics.count);
        item.insert(self.count, number(statistics.count));
        item.insert(self.total, number(statistics.total));
        item.insert(self.average, number(average));
        item.insert(self.min, number(statistics.min));
        item.insert(self.max, number(statistics.max));
    }
}

/// The primary key of a stored aggregate.
pub(super) fn key_of(item: &Item) -> Option<AggregateKey> {
    let text = |name: &str| item.get(name)?.as_s().ok().cloned();
    Some((text("partition_key")?, text("timestamp")?))
}

/// Adds contributions to an aggregate.
pub(super) struct Merge<'a> {
    pub(super) key: &'a AggregateKey,
    /// Names of the fields.
    pub(super) readings: &'a [String],
    pub(super) now_ms: i64,
    /// When the aggregate expires, in seconds since 1970-01-01 UTC.
    pub(super) ttl: i64,
}

impl Merge<'_> {
    /// Adds the `contributions` that are not counted yet. They are in the order of their positions. Returns the new
    /// aggregate and the revision that it replaces; `None` if all were counted.
    pub(super) fn add(
        &self,
        stored: Option<Item>,
        contributions: &[Contribution],
    ) -> Result<Option<(Item, Option<u64>)>, CallError> {
        let mut item = stored.unwrap_or_default();
        let revision = item
            .get("revision")
            .and_then(|value| value.as_n().ok()?.parse::<u64>().ok());
        let mut counted = counted_of(&item)?;
        let mut added = BTreeMap::<usize, Option<Statistics>>::new();
        let mut runs = BTreeMap::<(&str, usize), (Position, Position)>::new();
        let mut records = 0;
        for contribution in contributions {
            let key = contribution.ordering_key.as_str();
            let position = contribution.position;
            let run = runs.entry((key, contribution.run));
            let is_repeated = matches!(&run, btree_map::Entry::Occupied(run) if run.get().1 == position);
            run.or_insert((position, position)).1 = position;
            match counted.get(key).map(|known| known.find(position)) {
                Some(Known::Counted) => continue,
                Some(Known::Forgotten) => return Err(forgotten()),
                // An event may have the same record twice.
                _ if is_repeated => continue,
                _ => {}
            }
            for (field, reading) in &contribution.readings {
                let known = added
                    .entry(*field)
                    .or_insert_with(|| Names::of(&self.readings[*field]).read(&item));
                *known = Some(Statistics::with(*known, *reading).ok_or_else(|| self.inexact(*field))?);
            }
            records += 1;
        }
        if records == 0 {
            return Ok(None);
        }
        for ((key, _), (first, last)) in runs {
            counted.entry(key.to_owned()).or_default().insert(first, last);
        }
        for (field, statistics) in added {
            if let Some(statistics) = statistics {
                Names::of(&self.readings[field]).write(&statistics, &mut item);
            }
        }
        let record_count = item
            .get("record_count")
            .and_then(|value| value.as_n().ok()?.parse::<u64>().ok());
        item.insert(
            "record_count".to_owned(),
            number(record_count.unwrap_or(0) + records),
        );
        item.insert("partition_key".to_owned(), text(self.key.0.as_str()));
        item.insert("timestamp".to_owned(), text(self.key.1.as_str()));
        item.insert("last_updated".to_owned(), text(rfc3339_ms(self.now_ms)));
        item.insert("ttl".to_owned(), number(self.ttl));
        item.insert("revision".to_owned(), number(revision.unwrap_or(0) + 1));
        item.insert("counted".to_owned(), counted_to(counted));
        Ok(Some((item, revision)))
    }

    fn inexact(&self, field: usize) -> CallError {
        let name = &self.readings[field];
        CallError::new(
            CallErrorKind::Rejected,
            format!("the total of the readings {name} needs more than 38 digits"),
        )
    }
}

fn forgotten() -> CallError {
    CallError::new(
        CallErrorKind::Rejected,
        "it is no longer known whether the record was counted: too many batches of its window were counted since",
    )
}

/// The sets of counted records, by ordering key.
fn counted_of(item: &Item) -> Result<BTreeMap<String, Counted>, CallError> {
    let Some(stored) = item.get("counted") else {
        return Ok(BTreeMap::new());
    };
    let read = |(key, bytes): (&String, &AttributeValue)| {
        let counted = Counted::from_bytes(bytes.as_b().ok()?.as_ref())?;
        Some((key.clone(), counted))
    };
    let sets = stored
        .as_m()
        .ok()
        .and_then(|sets| sets.iter().map(read).collect());
    sets.ok_or_else(|| {
        CallError::new(
            CallErrorKind::Rejected,
            "the attribute counted of the aggregate was changed by another program",
        )
    })
}

fn counted_to(counted: BTreeMap<String, Counted>) -> AttributeValue {
    let write = |(key, counted): (String, Counted)| (key, AttributeValue::B(Blob::new(counted.to_bytes())));
    AttributeValue::M(counted.into_iter().map(write).collect())
}
