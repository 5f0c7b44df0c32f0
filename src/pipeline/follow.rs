//! Following an event: `verify` puts one that is marked and waits until it is seen where the pipeline is to bring it,
//! in a table, a bucket or a log. What it left there is deleted afterwards.
//!
//! [`Declared`] is the section `[verify]` of a manifest, [`Follow`] the same with all references filled in, [`Services`]
//! what it needs of the services.

mod aws;
mod needs;
mod run;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Pipeline;
use super::condition::Condition;
use super::substitute::{self, Filled};
use ground::error::{Error, Result};

pub use aws::AwsServices;

/// Names that `[verify]` can refer to, besides what the rest of a manifest can: the mark of this event, when it is put
/// (RFC 3339; milliseconds since 1970), and the day and hour of it as in `2026/11/21` and `2026/11/21/17`, UTC.
pub(super) const NAMES: &[&str] = &["marker", "now", "now_ms", "day", "hour"];

/// What the mark of every event begins with, so that people know where it comes from.
pub const MARK: &str = "streamctl-verify";

/// The section `[verify]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Name of the stream.
    stream: String,
    /// Partition key of the event.
    partition_key: String,
    /// The event, put as JSON.
    event: Value,
    /// How long to wait for it to be seen, in seconds.
    #[serde(default = "a_minute")]
    timeout_seconds: u64,
    /// Items that must be there before the event is put; deleted afterwards.
    #[serde(default)]
    prepare: Vec<Prepare>,
    /// Where it is to be seen.
    expect: Vec<Expect>,
}

fn a_minute() -> u64 {
    60
}

/// An item to be there beforehand.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prepare {
    table: String,
    item: Map<String, Value>,
}

/// One place where the event is to be seen: a table, a bucket or a log group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    when: Option<Condition>,
    table: Option<String>,
    /// The partition key of the item, name and value.
    #[serde(default)]
    key: Map<String, Value>,
    /// What else the item is to hold.
    #[serde(default)]
    attributes: Map<String, Value>,
    bucket: Option<String>,
    #[serde(default)]
    prefix: String,
    log_group: Option<String>,
    /// The text that an object or a log line is to contain.
    #[serde(default = "the_marker")]
    contains: String,
}

fn the_marker() -> String {
    "${marker}".to_owned()
}

impl Declared {
    /// What is wrong with the section itself.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=3600).contains(&self.timeout_seconds) {
            problems.push("`timeout_seconds` is from 1 to 3600".to_owned());
        }
        for expect in &self.expect {
            let places = [&expect.table, &expect.bucket, &expect.log_group];
            if places.into_iter().flatten().count() != 1 {
                problems.push("an `expect` names one of `table`, `bucket` and `log_group`".to_owned());
            }
            if expect.table.is_some() && expect.key.len() != 1 {
                problems.push(
                    "an `expect` of a table needs `key`, name and value of the partition key".to_owned(),
                );
            }
        }
        problems
    }

    /// Every value that may refer to something.
    pub(super) fn values(&self) -> Vec<Value> {
        let mut values = vec![
            self.stream.as_str().into(),
            self.partition_key.as_str().into(),
            self.event.clone(),
        ];
        for prepare in &self.prepare {
            values.push(json!([prepare.table, prepare.item]));
        }
        for expect in &self.expect {
            values.push(json!([expect.table, expect.key, expect.attributes]));
            values.push(json!([
                expect.bucket,
                expect.prefix,
                expect.log_group,
                expect.contains
            ]));
        }
        values
    }

    /// The parameters that its conditions name.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &str> {
        let conditions = self.expect.iter().filter_map(|expect| expect.when.as_ref());
        conditions.flat_map(Condition::names)
    }
}

/// An event with everything that is to come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    /// What marks it: unique, and starts with [`MARK`].
    pub marker: String,
    /// The stream.
    pub stream: String,
    /// Its partition key.
    pub partition_key: String,
    /// Its data.
    pub data: String,
    /// When it was made up, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long to wait for it.
    pub timeout: Duration,
    /// Items to be put beforehand, with their tables.
    pub prepare: Vec<(String, Item)>,
    /// Where it is to be seen.
    pub expect: Vec<Expectation>,
}

/// Where an event is to be seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// As an item.
    Item {
        /// The table.
        table: String,
        /// Name and value of its partition key.
        key: (String, Attribute),
        /// What else it is to hold.
        attributes: Item,
    },
    /// In an object.
    Object {
        /// The bucket.
        bucket: String,
        /// What keys of such objects begin with; of several, where the hour or the day may change meanwhile.
        prefixes: Vec<String>,
        /// What the object contains, once unzipped.
        contains: String,
    },
    /// In a log.
    Log {
        /// The group.
        group: String,
        /// What the line contains.
        contains: String,
    },
}

/// An item's attributes by name.
pub type Item = BTreeMap<String, Attribute>;

/// The value of an attribute, as far as events need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number in decimal digits.
    Number(String),
    /// A truth value.
    Bool(bool),
    /// Anything else, which equals nothing.
    Other,
}

impl Attribute {
    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.clone()),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::Bool(value) => Self::Bool(*value),
            _ => Self::Other,
        }
    }

    /// Whether it is `wanted`; numbers by value, so that 1 is 1.0.
    fn is(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Other, _) | (_, Self::Other) => false,
            (Self::Number(one), Self::Number(other)) => {
                one == other
                    || one.parse::<f64>().is_ok_and(|one| {
                        other
                            .parse::<f64>()
                            .is_ok_and(|other| one.total_cmp(&other).is_eq())
                    })
            }
            (one, other) => one == other,
        }
    }
}

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, in milliseconds since 1970.
    pub modified_ms: i64,
}

/// An object as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// As it is stored, compressed or not.
    pub bytes: Vec<u8>,
    /// Which version it is, in a bucket that keeps versions.
    pub version: Option<String>,
}

/// What following an event needs of the services.
#[async_trait]
pub trait Services: Send + Sync {
    /// Puts a record; the shard that took it.
    async fn put(&self, stream: &str, partition_key: &str, data: &str) -> Result<String>;
    /// Items under one partition key, the last ones first; a page of them.
    async fn items(&self, table: &str, key: &(String, Attribute)) -> Result<Vec<Item>>;
    /// Puts an item.
    async fn put_item(&self, table: &str, item: &Item) -> Result<()>;
    /// Deletes the item with the key attributes of `item`.
    async fn delete_item(&self, table: &str, item: &Item) -> Result<()>;
    /// Objects whose keys begin with `prefix`.
    async fn objects(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>>;
    /// Reads an object; `None` when it is gone.
    async fn read_object(&self, bucket: &str, key: &str) -> Result<Option<Object>>;
    /// Deletes an object, this version of it for good.
    async fn delete_object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<()>;
    /// Whether a line since `since_ms` contains `text`; the line.
    async fn log_line(&self, group: &str, text: &str, since_ms: i64) -> Result<Option<String>>;
}

/// A fresh mark.
pub fn marker() -> String {
    format!("{MARK}-{:016x}", rand::random::<u64>())
}

impl Pipeline<'_> {
    /// The event that `verify` is to follow, if the template has one.
    ///
    /// # Errors
    /// Exit 2 when the section refers to something that does not exist.
    pub fn follow(&self) -> Result<Option<Follow>> {
        self.follow_marked(&marker(), Timestamp::now())
    }

    pub(super) fn follow_marked(&self, marker: &str, now: Timestamp) -> Result<Option<Follow>> {
        let Some(declared) = &self.manifest().verify else {
            return Ok(None);
        };
        let timeout = Duration::from_secs(declared.timeout_seconds);
        let filler = Filler {
            pipeline: self,
            marker,
            now,
            // The event may arrive in the next hour or day.
            later: now.checked_add(timeout).unwrap_or(now),
        };
        let mut expect = Vec::new();
        for one in &declared.expect {
            expect.extend(filler.expectation(one)?);
        }
        // What is left out of the pipeline has no name.
        expect.retain(|one| !one.place().is_empty());
        let prepare = declared.prepare.iter();
        Ok(Some(Follow {
            marker: marker.to_owned(),
            stream: filler.text(&declared.stream)?,
            partition_key: filler.text(&declared.partition_key)?,
            data: filler.value(&declared.event, now)?.to_string(),
            at_ms: now.as_millisecond(),
            timeout,
            prepare: prepare
                .map(|one| Ok((filler.text(&one.table)?, filler.item(&one.item)?)))
                .collect::<Result<_>>()?,
            expect,
        }))
    }
}

/// Fills in the references of a section.
struct Filler<'a, 'c> {
    pipeline: &'a Pipeline<'c>,
    marker: &'a str,
    now: Timestamp,
    later: Timestamp,
}

impl Filler<'_, '_> {
    fn value(&self, value: &Value, at: Timestamp) -> Result<Value> {
        let lookup =
            |name: &str| name_of(name, self.marker, self.now, at).or_else(|| self.pipeline.lookup(name));
        substitute::fill(value, &lookup)
            .map(|filled| filled.value)
            .map_err(|problem| Error::usage(format!("verify: {problem}")))
    }

    fn text_at(&self, text: &str, at: Timestamp) -> Result<String> {
        self.value(&text.into(), at)
            .map(|value| substitute::plain(&value))
    }

    fn text(&self, text: &str) -> Result<String> {
        self.text_at(text, self.now)
    }

    fn item(&self, entries: &Map<String, Value>) -> Result<Item> {
        let filled = self.value(&Value::Object(entries.clone()), self.now)?;
        let entries = filled.as_object().into_iter().flatten();
        Ok(entries
            .map(|(name, value)| (name.clone(), Attribute::of(value)))
            .collect())
    }

    fn expectation(&self, one: &Expect) -> Result<Option<Expectation>> {
        let lookup = |name: &str| self.pipeline.lookup(name);
        if one.when.as_ref().is_some_and(|when| !when.holds(&lookup)) {
            return Ok(None);
        }
        Ok(match (&one.table, &one.bucket, &one.log_group) {
            (Some(table), ..) => match self.item(&one.key)?.into_iter().next() {
                Some(key) => Some(Expectation::Item {
                    table: self.text(table)?,
                    key,
                    attributes: self.item(&one.attributes)?,
                }),
                None => None,
            },
            (None, Some(bucket), _) => {
                let mut prefixes = vec![self.text(&one.prefix)?, self.text_at(&one.prefix, self.later)?];
                prefixes.dedup();
                Some(Expectation::Object {
                    bucket: self.text(bucket)?,
                    prefixes,
                    contains: self.text(&one.contains)?,
                })
            }
            (None, None, Some(group)) => Some(Expectation::Log {
                group: self.text(group)?,
                contains: self.text(&one.contains)?,
            }),
            (None, None, None) => None,
        })
    }
}

fn name_of(name: &str, marker: &str, now: Timestamp, at: Timestamp) -> Option<Filled> {
    let part = |format: &str| Value::from(at.to_zoned(TimeZone::UTC).strftime(format).to_string());
    let value = match name {
        "marker" => marker.into(),
        "now" => now.to_string().into(),
        "now_ms" => now.as_millisecond().into(),
        "day" => part("%Y/%m/%d"),
        "hour" => part("%Y/%m/%d/%H"),
        _ => return None,
    };
    Some(Filled { value, origin: None })
}

impl Expectation {
    /// Name of the table, bucket or log group.
    fn place(&self) -> &str {
        match self {
            Self::Item { table, .. } => table,
            Self::Object { bucket, .. } => bucket,
            Self::Log { group, .. } => group,
        }
    }

    /// What the check is called.
    fn title(&self) -> String {
        let kind = match self {
            Self::Item { .. } => "table",
            Self::Object { .. } => "bucket",
            Self::Log { .. } => "log",
        };
        format!("{kind} {}", self.place())
    }
}

#[cfg(test)]
mod tests;
