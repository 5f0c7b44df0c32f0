//! Follows an event through a pipeline: `verify` puts an event with a unique marker, waits until it appears in the expected
//! tables, buckets and logs, and deletes it there. It can also send requests to an API, and delete what they left. Where the
//! pipeline begins with an API, a request brings the event.
//!
//! [`Declared`] is the section `[verify]` of a manifest, and [`Follow`] the same with all references replaced.
//! [`Services`] are the calls that it needs.

mod aws;
mod clean;
mod http;
mod permissions;
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
use crate::context::{WebAnswer, WebRequest};
use ground::error::{Error, Result};

pub use aws::AwsServices;
pub use clean::Marked;
pub use http::{Body, Request, Sequence};

/// Names that only `[verify]` can refer to: the marker of the event, its time (RFC 3339, and milliseconds since 1970), and
/// its day and hour in UTC, such as `2026/11/21` and `2026/11/21/17`.
pub(super) const NAMES: &[&str] = &["marker", "now", "now_ms", "day", "hour"];

/// The prefix of every marker. It shows where an event comes from.
pub const MARKER_PREFIX: &str = "streamctl-verify";

/// The check that says what of the event was deleted.
pub const CLEAN_UP: &str = "clean-up";

/// The section `[verify]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Without it, nothing is put: a request of `http` brings the event.
    stream: Option<String>,
    partition_key: Option<String>,
    /// The event, put as JSON.
    event: Option<Value>,
    /// How long to wait for it.
    #[serde(default = "default_timeout_seconds")]
    timeout_seconds: u64,
    /// Items to put before the event. They are deleted afterwards.
    #[serde(default)]
    prepare: Vec<Prepare>,
    /// Where it is expected.
    expect: Vec<Expect>,
    /// Requests to send meanwhile.
    #[serde(default)]
    http: Vec<http::Declared>,
    /// What requests leave.
    #[serde(default)]
    clean: Vec<clean::Declared>,
}

fn default_timeout_seconds() -> u64 {
    60
}

/// An item to put before the event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prepare {
    table: String,
    item: Map<String, Value>,
}

/// One place where the event is expected: a table, a bucket or a log group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    when: Option<Condition>,
    table: Option<String>,
    /// Name and value of the item's partition key.
    #[serde(default)]
    key: Map<String, Value>,
    /// Other attributes of the item.
    #[serde(default)]
    attributes: Map<String, Value>,
    bucket: Option<String>,
    #[serde(default)]
    prefix: String,
    log_group: Option<String>,
    /// Text in the object or the log line.
    #[serde(default = "default_contains")]
    contains: String,
    /// Lines of objects that have the text, in all: one for each submission.
    #[serde(default = "one")]
    lines: usize,
    /// Seconds that a service holds the event back, such as the buffer of Firehose. The event has as much more time.
    delay_seconds: Option<Value>,
}

fn one() -> usize {
    1
}

fn default_contains() -> String {
    "${marker}".to_owned()
}

impl Declared {
    /// The problems of the section itself.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=3600).contains(&self.timeout_seconds) {
            problems.push("`timeout_seconds` must be from 1 to 3600".to_owned());
        }
        let given = [
            self.stream.is_some(),
            self.partition_key.is_some(),
            self.event.is_some(),
        ];
        if given.contains(&true) && given.contains(&false) {
            problems.push("`stream`, `partition_key` and `event` belong together".to_owned());
        }
        if !given.contains(&true) && self.http.is_empty() {
            problems.push("without `event`, a request of `http` must bring it".to_owned());
        }
        for expect in &self.expect {
            let resources = [&expect.table, &expect.bucket, &expect.log_group];
            if resources.into_iter().flatten().count() != 1 {
                problems.push(
                    "an `expect` must have exactly one of `table`, `bucket` and `log_group`".to_owned(),
                );
            }
            if expect.table.is_some() && expect.key.len() != 1 {
                problems.push(
                    "an `expect` of a table needs `key` with the name and value of the partition key"
                        .to_owned(),
                );
            }
        }
        problems.extend(self.http.iter().flat_map(http::Declared::problems));
        problems.extend(self.clean.iter().filter_map(clean::Declared::problem));
        problems
    }

    /// The values that may contain references, each with the names that only it can refer to.
    pub(super) fn values(&self) -> Vec<(Value, Vec<&str>)> {
        let mut scoped: Vec<(Value, Vec<&str>)> = Vec::new();
        for sequence in &self.http {
            let names: Vec<&str> = NAMES.iter().copied().chain(sequence.kept()).collect();
            let values = sequence.values().into_iter();
            scoped.extend(values.map(|value| (value, names.clone())));
        }
        let others = self.event_values().into_iter();
        scoped.extend(others.map(|value| (value, NAMES.to_vec())));
        scoped
    }

    /// The names of values that requests keep.
    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        self.http.iter().flat_map(http::Declared::kept)
    }

    fn event_values(&self) -> Vec<Value> {
        let mut values = vec![json!([self.stream, self.partition_key, self.event])];
        for prepare in &self.prepare {
            values.push(json!([prepare.table, prepare.item]));
        }
        for expect in &self.expect {
            values.push(json!([expect.table, expect.key, expect.attributes]));
            values.push(json!([
                expect.bucket,
                expect.prefix,
                expect.log_group,
                expect.contains,
                expect.delay_seconds
            ]));
        }
        values.extend(self.clean.iter().map(clean::Declared::value));
        values
    }

    /// The parameters that its conditions refer to.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &str> {
        let conditions = self.expect.iter().filter_map(|expect| expect.when.as_ref());
        let conditions = conditions.chain(self.http.iter().filter_map(|one| one.when.as_ref()));
        let conditions = conditions.chain(self.clean.iter().filter_map(|one| one.when.as_ref()));
        conditions.flat_map(Condition::names)
    }
}

/// An event and its expected effects.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    /// Unique; starts with [`MARKER_PREFIX`].
    pub marker: String,
    /// What is put; `None` if a request brings the event.
    pub put: Option<Put>,
    /// Its time, in milliseconds since 1970.
    pub at_ms: i64,
    pub timeout: Duration,
    /// Items to put before the event, with their tables.
    pub prepare: Vec<(String, Item)>,
    pub expect: Vec<Awaited>,
    pub http: Vec<Sequence>,
    /// What is deleted in the end, besides what was found.
    pub clean: Vec<Marked>,
}

/// A record to put.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    pub stream: String,
    pub partition_key: String,
    pub data: String,
}

/// A place where the event is expected, and how long a service may hold it back before.
#[derive(Debug, Clone, PartialEq)]
pub struct Awaited {
    pub place: Expectation,
    pub delay: Duration,
}

/// One place where an event is expected.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    Item {
        table: String,
        /// Name and value of its partition key.
        key: (String, Attribute),
        /// Other attributes.
        attributes: Item,
    },
    Object {
        bucket: String,
        /// Prefixes of the object's key: more than one if the hour or day may change before the timeout.
        prefixes: Vec<String>,
        /// Text in the object, after decompression.
        contains: String,
        /// Lines that have the text, in all objects.
        lines: usize,
    },
    Log {
        group: String,
        /// Text in the line.
        contains: String,
    },
}

/// An item's attributes by name.
pub type Item = BTreeMap<String, Attribute>;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    /// In decimal digits.
    Number(String),
    Bool(bool),
    /// Any other type. It equals nothing.
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

    /// Whether it equals `expected`. Numbers are compared by value: 1 equals 1.0.
    fn matches(&self, expected: &Self) -> bool {
        match (self, expected) {
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

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// In milliseconds since 1970.
    pub modified_ms: i64,
}

/// The content of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// As stored; may be compressed.
    pub bytes: Vec<u8>,
    /// Its version id, in a bucket with versioning.
    pub version: Option<String>,
}

/// The calls that following an event needs.
#[async_trait]
pub trait Services: Send + Sync {
    /// Puts a record and returns its shard.
    async fn put(&self, stream: &str, partition_key: &str, data: &str) -> Result<String>;
    /// One page of the items with a partition key of the table, or of its index, in descending order.
    async fn items(&self, table: &str, index: Option<&str>, key: &(String, Attribute)) -> Result<Vec<Item>>;
    async fn put_item(&self, table: &str, item: &Item) -> Result<()>;
    /// Deletes the item with the key attributes of `item`.
    async fn delete_item(&self, table: &str, item: &Item) -> Result<()>;
    async fn objects(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>>;
    /// `None` if the object does not exist.
    async fn read_object(&self, bucket: &str, key: &str) -> Result<Option<Object>>;
    /// Deletes an object. A version is deleted permanently.
    async fn delete_object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<()>;
    /// Key and version id of one page of the versions and delete markers of objects.
    async fn versions(&self, bucket: &str, prefix: &str) -> Result<Vec<(String, Option<String>)>>;
    async fn send(&self, request: &WebRequest) -> Result<WebAnswer>;
    /// A line since `since_ms` (milliseconds since 1970) that contains `text`.
    async fn log_line(&self, group: &str, text: &str, since_ms: i64) -> Result<Option<String>>;
}

/// A new unique marker.
pub fn marker() -> String {
    format!("{MARKER_PREFIX}-{:016x}", rand::random::<u64>())
}

impl Pipeline<'_> {
    /// The event to follow, if the template declares one.
    ///
    /// # Errors
    /// Exit 2 when the section `[verify]` refers to something that does not exist.
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
        };
        let mut expect = Vec::new();
        for one in &declared.expect {
            expect.extend(filler.awaited(one, timeout)?);
        }
        // A resource that is excluded by its `when` has no name.
        expect.retain(|one| !one.place.resource_name().is_empty());
        let prepare = declared.prepare.iter();
        let http = declared.http.iter().filter(|one| filler.holds(one.when.as_ref()));
        let clean = declared
            .clean
            .iter()
            .filter(|one| filler.holds(one.when.as_ref()));
        let clean = clean.map(|one| one.filled(&filler));
        Ok(Some(Follow {
            marker: marker.to_owned(),
            put: filler.put(declared)?,
            at_ms: now.as_millisecond(),
            timeout,
            prepare: prepare
                .map(|one| Ok((filler.text(&one.table)?, filler.item(&one.item)?)))
                .collect::<Result<_>>()?,
            expect,
            http: http.map(|one| one.filled(&filler)).collect::<Result<_>>()?,
            clean: clean.filter_map(Result::transpose).collect::<Result<_>>()?,
        }))
    }
}

/// Replaces the references of the section.
struct Filler<'a, 'c> {
    pipeline: &'a Pipeline<'c>,
    marker: &'a str,
    now: Timestamp,
}

impl Filler<'_, '_> {
    fn value(&self, value: &Value, at: Timestamp) -> Result<Value> {
        self.filled(value, at, &|_| None)
    }

    /// `own` are the values of names that only this value can refer to.
    fn value_with(&self, value: &Value, own: &dyn Fn(&str) -> Option<String>) -> Result<Value> {
        self.filled(value, self.now, own)
    }

    fn filled(&self, value: &Value, at: Timestamp, own: &dyn Fn(&str) -> Option<String>) -> Result<Value> {
        let lookup = |name: &str| {
            let own = own(name).map(|text| Filled {
                value: text.into(),
                origin: None,
            });
            own.or_else(|| name_of(name, self.marker, self.now, at))
                .or_else(|| self.pipeline.lookup(name))
        };
        substitute::fill(value, &lookup)
            .map(|filled| filled.value)
            .map_err(|problem| Error::usage(format!("verify: {problem}")))
    }

    fn holds(&self, when: Option<&Condition>) -> bool {
        when.is_none_or(|when| when.holds(&|name| self.pipeline.lookup(name)))
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

    fn put(&self, declared: &Declared) -> Result<Option<Put>> {
        let (Some(stream), Some(key), Some(event)) =
            (&declared.stream, &declared.partition_key, &declared.event)
        else {
            return Ok(None);
        };
        Ok(Some(Put {
            stream: self.text(stream)?,
            partition_key: self.text(key)?,
            data: self.value(event, self.now)?.to_string(),
        }))
    }

    /// `None` if its condition does not hold.
    fn awaited(&self, one: &Expect, timeout: Duration) -> Result<Option<Awaited>> {
        if !self.holds(one.when.as_ref()) {
            return Ok(None);
        }
        let seconds = match &one.delay_seconds {
            Some(seconds) => substitute::plain(&self.value(seconds, self.now)?)
                .parse::<f64>()
                .ok(),
            None => Some(0.0),
        };
        let seconds = seconds.filter(|seconds| (0.0..=3600.0).contains(seconds));
        let delay = seconds.map(Duration::from_secs_f64).ok_or_else(|| {
            Error::usage("verify: `delay_seconds` is not a number of seconds from 0 to 3600")
        })?;
        let place = self.expectation(one, delay, timeout)?;
        Ok(place.map(|place| Awaited { place, delay }))
    }

    /// The event may arrive in the next hour or day. What is held back may be stored under the time of an older record.
    fn expectation(&self, one: &Expect, delay: Duration, timeout: Duration) -> Result<Option<Expectation>> {
        let before = self.now.checked_sub(delay).unwrap_or(self.now);
        let later = self.now.checked_add(timeout + delay).unwrap_or(self.now);
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
                let times = [before, self.now, later];
                let prefixes = times.into_iter().map(|at| self.text_at(&one.prefix, at));
                let mut prefixes = prefixes.collect::<Result<Vec<_>>>()?;
                prefixes.dedup();
                Some(Expectation::Object {
                    bucket: self.text(bucket)?,
                    prefixes,
                    contains: self.text(&one.contains)?,
                    lines: one.lines.max(1),
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
    fn resource_name(&self) -> &str {
        match self {
            Self::Item { table, .. } => table,
            Self::Object { bucket, .. } => bucket,
            Self::Log { group, .. } => group,
        }
    }

    /// Name of the check.
    fn title(&self) -> String {
        let kind = match self {
            Self::Item { .. } => "table",
            Self::Object { .. } => "bucket",
            Self::Log { .. } => "log",
        };
        format!("{kind} {}", self.resource_name())
    }
}

#[cfg(test)]
mod tests;
