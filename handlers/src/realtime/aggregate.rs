//! One aggregate: what is stored, and how records are added so that each counts exactly once.
//!
//! Kinesis keeps the order of a partition key within a shard, and Lambda keeps it within the partition key of the Kinesis
//! record. So an aggregate remembers for each such lane the place of the last record counted: what is not beyond it is a
//! repetition. A revision that grows with each change lets a writer replace only what it read.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use decimal::Decimal;

use crate::attribute::{number, text};
use crate::clock::rfc3339_ms;
use crate::event::Entry;
use crate::store::{AggregateKey, Fault, FaultKind, Item};

/// What one record adds to an aggregate.
pub(super) struct Contribution {
    /// Within a lane, records come in order.
    lane: String,
    /// The position in the stream, as sortable text.
    pub(super) position: String,
    /// Readings by their place in the settings.
    readings: Vec<(usize, Decimal)>,
}

impl Contribution {
    pub(super) fn new(entry: &Entry<'_>, readings: Vec<(usize, Decimal)>) -> Self {
        let (shard, outer) = (entry.record.shard_id(), &entry.record.partition_key);
        let lane = if *outer == entry.partition_key {
            shard.to_owned()
        } else {
            // User records of aggregates: Lambda orders them by the partition key of the aggregate.
            format!("{shard}/{outer}")
        };
        Self {
            lane,
            position: entry.position(),
            readings,
        }
    }
}

/// The readings of one field.
#[derive(Clone, Copy)]
struct Statistics {
    count: u64,
    total: Decimal,
    min: Decimal,
    max: Decimal,
}

impl Statistics {
    /// `None` if the total cannot be exact.
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

/// The attributes of a field.
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

/// How contributions are added to an aggregate.
pub(super) struct Merge<'a> {
    pub(super) key: &'a AggregateKey,
    /// The names of the readings.
    pub(super) readings: &'a [String],
    pub(super) now_ms: i64,
    /// When the aggregate expires, in seconds since 1970-01-01 UTC.
    pub(super) ttl: i64,
}

impl Merge<'_> {
    /// The aggregate with those of `contributions` that it has not counted yet, and the revision that it replaces;
    /// `None` if it has them all.
    pub(super) fn add(
        &self,
        stored: Option<Item>,
        contributions: &[Contribution],
    ) -> Result<Option<(Item, Option<u64>)>, Fault> {
        let mut item = stored.unwrap_or_default();
        let revision = item
            .get("revision")
            .and_then(|value| value.as_n().ok()?.parse::<u64>().ok());
        let mut lanes = lanes_of(&item);
        let mut added = BTreeMap::<usize, Option<Statistics>>::new();
        let mut records = 0;
        for contribution in contributions {
            if lanes
                .get(&contribution.lane)
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
            lanes.insert(contribution.lane.clone(), contribution.position.clone());
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
        item.insert("last_sequence".to_owned(), lanes_to(lanes));
        Ok(Some((item, revision)))
    }

    fn inexact(&self, field: usize) -> Fault {
        let name = &self.readings[field];
        Fault::new(
            FaultKind::Rejected,
            format!("the total of the readings {name} needs more than 38 digits"),
        )
    }
}

fn lanes_of(item: &Item) -> HashMap<String, String> {
    let lanes = item.get("last_sequence").and_then(|lanes| lanes.as_m().ok());
    let lanes = lanes.into_iter().flatten();
    lanes
        .filter_map(|(lane, last)| Some((lane.clone(), last.as_s().ok()?.clone())))
        .collect()
}

fn lanes_to(lanes: HashMap<String, String>) -> AttributeValue {
    AttributeValue::M(lanes.into_iter().map(|(lane, last)| (lane, text(last))).collect())
}
