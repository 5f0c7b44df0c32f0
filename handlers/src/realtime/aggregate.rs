//! One aggregate: its attributes, and how records are added so that each is counted exactly once.
//!
//! Kinesis keeps the order of records with one partition key in a shard, and Lambda keeps it for the partition key of
//! the Kinesis record. So an aggregate stores the position of the last counted record for each such key. A record at or
//! before that position was counted already. A revision number, which grows with each change, detects concurrent
//! writers.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use decimal::Decimal;

use crate::attribute::{number, text};
use crate::clock::rfc3339_ms;
use crate::event::Entry;
use crate::store::{AggregateKey, CallError, CallErrorKind, Item};

/// What one record adds to an aggregate.
pub(super) struct Contribution {
    /// Records with the same key arrive in order.
    ordering_key: String,
    /// The position in the stream, as sortable text.
    pub(super) position: String,
    /// Readings, with their index in the settings.
    readings: Vec<(usize, Decimal)>,
}

impl Contribution {
    pub(super) fn new(entry: &Entry<'_>, readings: Vec<(usize, Decimal)>) -> Self {
        let (shard, outer) = (entry.record.shard_id(), &entry.record.partition_key);
        let ordering_key = if *outer == entry.partition_key {
            shard.to_owned()
        } else {
            // For aggregated records, Lambda orders by the partition key of the Kinesis record.
            format!("{shard}/{outer}")
        };
        Self {
            ordering_key,
            position: entry.position(),
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
    /// Adds the `contributions` that are not counted yet. Returns the new aggregate and the revision that it replaces;
    /// `None` if all were counted.
    pub(super) fn add(
        &self,
        stored: Option<Item>,
        contributions: &[Contribution],
    ) -> Result<Option<(Item, Option<u64>)>, CallError> {
        let mut item = stored.unwrap_or_default();
        let revision = item
            .get("revision")
            .and_then(|value| value.as_n().ok()?.parse::<u64>().ok());
        let mut last_positions = last_positions_of(&item);
        let mut added = BTreeMap::<usize, Option<Statistics>>::new();
        let mut records = 0;
        for contribution in contributions {
            if last_positions
                .get(&contribution.ordering_key)
                .is_some_and(|last| *last >= contribution.position)
            {
                continue;
            }
            for (field, reading) in &contribution.readings {
                let known = added
                    .entry(*field)
                    .or_insert_with(|| Names::of(&self.readings[*field]).read(&item));
                *known = Some(Statistics::with(*known, *reading).ok_or_else(|| self.inexact(*field))?);
            }
            last_positions.insert(contribution.ordering_key.clone(), contribution.position.clone());
            records += 1;
        }
        if records == 0 {
            return Ok(None);
        }
        for (field, statistics) in added {
            if let Some(statistics) = statistics {
                Names::of(&self.readings[field]).write(&statistics, &mut item);
            }
        }
        let counted = item
            .get("record_count")
            .and_then(|value| value.as_n().ok()?.parse::<u64>().ok());
        item.insert("record_count".to_owned(), number(counted.unwrap_or(0) + records));
        item.insert("partition_key".to_owned(), text(self.key.0.as_str()));
        item.insert("timestamp".to_owned(), text(self.key.1.as_str()));
        item.insert("last_updated".to_owned(), text(rfc3339_ms(self.now_ms)));
        item.insert("ttl".to_owned(), number(self.ttl));
        item.insert("revision".to_owned(), number(revision.unwrap_or(0) + 1));
        item.insert("last_sequence".to_owned(), last_positions_to(last_positions));
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

fn last_positions_of(item: &Item) -> HashMap<String, String> {
    let last_positions = item
        .get("last_sequence")
        .and_then(|last_positions| last_positions.as_m().ok());
    let last_positions = last_positions.into_iter().flatten();
    last_positions
        .filter_map(|(ordering_key, last)| Some((ordering_key.clone(), last.as_s().ok()?.clone())))
        .collect()
}

fn last_positions_to(last_positions: HashMap<String, String>) -> AttributeValue {
    AttributeValue::M(
        last_positions
            .into_iter()
            .map(|(ordering_key, last)| (ordering_key, text(last)))
            .collect(),
    )
}
