//! `retail-event-processor`: scores customer events and stores them. Events that cannot be stored are sent to a queue.

mod bad;

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;

use aws_sdk_dynamodb::types::AttributeValue;
use decimal::Decimal;
use md5::{Digest, Md5};

use crate::attribute::{self, number, text};
use crate::aws::{Clients, DynamoTable, SqsQueue};
use crate::clock::{Clock, SystemClock};
use crate::deliver::{self, Puts};
use crate::environment::{Environment, InvalidVariable};
use crate::event::{Entry, Event};
use crate::failures::Failures;
use crate::invalid::Invalid;
use crate::json::{Json, Object};
use crate::log::Level;
use crate::metrics::{self, Metric};
use crate::runtime::{self, Done, Handler, Invocation};
use crate::store::{CallErrorKind, Item, Queue, Table};

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run(RetailProcessor::from_environment)
}

const NAMESPACE: &str = "RetailEventProcessing";
/// The start of the year 10000, in milliseconds. Later times are errors, such as microseconds.
const END_OF_TIME_MS: i64 = 253_402_300_800_000;
/// DynamoDB's limit for a partition key, also of an index, in bytes.
const MAX_KEY_BYTES: usize = 2048;
const DAY_SECONDS: i64 = 86_400;

pub struct RetailProcessor<T, Q, C> {
    table: T,
    queue: Q,
    clock: C,
    settings: Settings,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// The metrics' dimension `Environment`.
    pub environment: String,
    pub function: String,
    /// Days until an item expires.
    pub ttl_days: i64,
}

impl RetailProcessor<DynamoTable, SqsQueue, SystemClock> {
    /// Reads `TABLE_NAME`, `QUEUE_URL`, `ENVIRONMENT` and `TTL_DAYS`.
    ///
    /// # Errors
    /// A variable is missing or out of range.
    fn from_environment(environment: &Environment, clients: &Clients) -> Result<Self, InvalidVariable> {
        let table = environment.required("TABLE_NAME", "the table that events are stored in")?;
        let queue = environment.required("QUEUE_URL", "the queue for events that cannot be stored")?;
        let stage = environment.required(
            "ENVIRONMENT",
            "the environment that the metrics are counted under",
        )?;
        let settings = Settings {
            environment: stage.to_owned(),
            function: environment
                .optional("AWS_LAMBDA_FUNCTION_NAME")
                .unwrap_or_default()
                .to_owned(),
            ttl_days: environment.number("TTL_DAYS", 30, 1..=36_500)?,
        };
        Ok(Self::new(
            clients.table(table),
            clients.queue(queue),
            SystemClock,
            settings,
        ))
    }
}

/// A valid event.
struct Customer<'a> {
    entry: &'a Entry<'a>,
    user: &'a str,
    /// Milliseconds with a fraction that is unique to this record.
    timestamp: String,
    event_type: &'a str,
    product: String,
    session: Option<String>,
    original: &'a Object<'a>,
}

impl<T: Table, Q: Queue, C: Clock> RetailProcessor<T, Q, C> {
    /// Stores events in `table`, and sends those that cannot be stored to `queue`.
    pub fn new(table: T, queue: Q, clock: C, settings: Settings) -> Self {
        Self {
            table,
            queue,
            clock,
            settings,
        }
    }

    fn item(&self, event: &Customer<'_>, now_ms: i64) -> Item {
        let score = score(event.event_type);
        let insight = format!(
            "User {} {} product {}",
            event.user,
            verb(event.event_type),
            event.product
        );
        let latency = (now_ms - event.entry.record.arrival_ms).max(0);
        let mut item = HashMap::with_capacity(13);
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        set("userId", text(event.user));
        set("eventTimestamp", AttributeValue::N(event.timestamp.clone()));
        set("eventType", text(event.event_type));
        set("productId", text(event.product.as_str()));
        set("eventScore", number(score));
        set("insight", text(insight));
        set("engagementLevel", text(engagement(score)));
        set("sessionId", text(event.session.as_deref().unwrap_or("unknown")));
        set("processedAt", number(now_ms));
        set("recordId", text(event.entry.id()));
        set("processingLatency", number(latency));
        set("originalEvent", AttributeValue::M(attribute::map(event.original)));
        set(
            "ttl",
            number(now_ms / 1000 + self.settings.ttl_days * DAY_SECONDS),
        );
        item
    }

    /// Stores events. Returns those that can never be stored, and the records to retry.
    async fn store<'a>(
        &self,
        events: &[Customer<'a>],
        invocation: &Invocation,
        now_ms: i64,
    ) -> (Vec<(&'a Entry<'a>, Invalid)>, Vec<usize>) {
        let puts = Puts {
            count: events.len(),
            key: &["userId", "eventTimestamp"],
            item: &|index| self.item(&events[index], now_ms),
            bytes: &|index| events[index].entry.bytes().map_or(0, <[u8]>::len),
        };
        let results = deliver::put_items(&self.table, &puts, invocation.deadline).await;
        let (mut refused, mut failed) = (Vec::new(), Vec::new());
        let mut reason = None;
        for (event, result) in events.iter().zip(results) {
            match result {
                Ok(()) => {}
                Err(error) if error.kind == CallErrorKind::Rejected => {
                    refused.push((event.entry, Invalid::processing(error.message)));
                }
                Err(error) => {
                    failed.push(event.entry.index);
                    reason = Some(error.message);
                }
            }
        }
        if let Some(reason) = reason {
            let count = failed.len();
            let fields = || serde_json::json!({"error": reason, "count": count});
            invocation.log.write(Level::Error, "events not stored", fields);
        }
        (refused, failed)
    }

    /// Sends rejected events to the queue. Returns the records that could not be sent.
    async fn send_rejected(
        &self,
        rejected: &[(&Entry<'_>, Invalid)],
        invocation: &Invocation,
        now_ms: i64,
    ) -> Vec<usize> {
        let body = |(entry, invalid): &(&Entry<'_>, Invalid)| {
            bad::message(
                entry,
                invalid,
                &self.settings.function,
                invocation.log.request_id(),
                now_ms,
            )
        };
        let bodies: Vec<String> = rejected.iter().map(body).collect();
        let results = deliver::send(&self.queue, &bodies, invocation.deadline).await;
        let mut failed = Vec::new();
        for ((entry, _), result) in rejected.iter().zip(results) {
            if let Err(error) = result {
                failed.push(entry.index);
                let fields = || serde_json::json!({"error": error.message, "recordId": entry.id()});
                invocation.log.write(Level::Error, "bad event not queued", fields);
            }
        }
        failed
    }

    fn metrics(&self, total: usize, failed: usize, duration_ms: i64, now_ms: i64) -> String {
        let processed = total.saturating_sub(failed);
        let success = if total == 0 {
            100.0
        } else {
            100.0 * processed as f64 / total as f64
        };
        let metric = |name, unit, value| Metric {
            name,
            unit,
            value,
            is_total: matches!(name, "ProcessedEvents" | "FailedEvents"),
        };
        metrics::line(
            NAMESPACE,
            &[
                ("Environment", &self.settings.environment),
                ("FunctionName", &self.settings.function),
            ],
            &[
                metric("ProcessedEvents", "Count", processed as f64),
                metric("FailedEvents", "Count", failed as f64),
                metric("ProcessingDuration", "Milliseconds", duration_ms as f64),
                metric("SuccessRate", "Percent", success),
                metric("BatchSize", "Count", total as f64),
            ],
            now_ms,
        )
    }
}

impl<T: Table, Q: Queue, C: Clock> Handler for RetailProcessor<T, Q, C> {
    async fn handle(&self, event: &Event<'_>, invocation: &Invocation) -> Done {
        let started = self.clock.now_ms();
        let mut failures = Failures::none_of(event);
        let entries = event.entries();
        let objects: Vec<_> = entries.iter().map(Entry::object).collect();
        let (mut valid, mut rejected) = (Vec::with_capacity(entries.len()), Vec::new());
        let mut keys = HashSet::with_capacity(entries.len());
        for (entry, object) in entries.iter().zip(&objects) {
            match object
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|object| customer(entry, object))
            {
                // One call must not contain a key twice.
                Ok(event) => {
                    if keys.insert((event.user, event.timestamp.clone())) {
                        valid.push(event);
                    }
                }
                Err(invalid) => rejected.push((entry, invalid)),
            }
        }
        let (refused, unstored) = self.store(&valid, invocation, started).await;
        rejected.extend(refused);
        invocation.log.rejected(&rejected);
        let unsent = self.send_rejected(&rejected, invocation, started).await;
        unstored
            .iter()
            .chain(&unsent)
            .for_each(|index| failures.add(*index));
        let (total, failed) = (entries.len(), rejected.len() + unstored.len());
        let now = self.clock.now_ms();
        invocation
            .log
            .raw(&self.metrics(total, failed, now - started, now));
        Done {
            failures,
            total,
            failed,
        }
    }
}

fn customer<'a>(entry: &'a Entry<'a>, object: &'a Object<'a>) -> Result<Customer<'a>, Invalid> {
    let user = key(object, "userId")?.ok_or_else(|| Invalid::missing("userId"))?;
    let event_type = key(object, "eventType")?.ok_or_else(|| Invalid::missing("eventType"))?;
    let product = label(object, "productId")?.filter(|product| !product.is_empty());
    let session = label(object, "sessionId")?;
    let milliseconds = milliseconds(object)?.unwrap_or(entry.record.arrival_ms);
    attribute::check(object).map_err(|error| Invalid {
        kind: crate::invalid::Kind::InvalidField,
        message: format!("the event {error}"),
    })?;
    Ok(Customer {
        entry,
        user,
        timestamp: format!("{milliseconds}{}", fraction(&entry.id())),
        event_type,
        product: product.unwrap_or_else(|| "unknown".to_owned()),
        session,
        original: object,
    })
}

/// The string in `name`, for use as a key: not empty, not too long.
fn key<'a>(object: &'a Object<'a>, name: &str) -> Result<Option<&'a str>, Invalid> {
    match object.get(name) {
        None => Ok(None),
        Some(Json::Text(text)) if text.is_empty() => Err(Invalid::field(name, "is empty")),
        Some(Json::Text(text)) if text.len() > MAX_KEY_BYTES => {
            Err(Invalid::field(name, "is longer than 2048 bytes"))
        }
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Invalid::field(name, "is not a string")),
    }
}

/// The text in `name`. Numbers are accepted and converted.
fn label(object: &Object<'_>, name: &str) -> Result<Option<String>, Invalid> {
    match object.get(name) {
        None => Ok(None),
        Some(Json::Number(text)) if text.len() <= MAX_KEY_BYTES => Ok(Some((*text).to_owned())),
        Some(Json::Text(text)) if text.len() <= MAX_KEY_BYTES => Ok(Some(text.clone().into_owned())),
        Some(Json::Text(_) | Json::Number(_)) => Err(Invalid::field(name, "is longer than 2048 bytes")),
        Some(_) => Err(Invalid::field(name, "is not a string")),
    }
}

/// The event's own timestamp.
fn milliseconds(object: &Object<'_>) -> Result<Option<i64>, Invalid> {
    let text = match object.get("timestamp") {
        None => return Ok(None),
        Some(Json::Number(text)) => *text,
        Some(Json::Text(text)) => text.trim(),
        Some(_) => return Err(Invalid::field("timestamp", "is not a number of milliseconds")),
    };
    let number = Decimal::parse_json(text)
        .map_err(|_| Invalid::field("timestamp", "is not a number of milliseconds"))?;
    match number.to_i64() {
        Some(ms) if (0..END_OF_TIME_MS).contains(&ms) => Ok(Some(ms)),
        Some(_) => Err(Invalid::field(
            "timestamp",
            "is before 1970 or after the year 9999",
        )),
        None => Err(Invalid::field(
            "timestamp",
            "is not a whole number of milliseconds",
        )),
    }
}

/// A fraction of a millisecond that is derived from the record's id. Events of one user in the same millisecond get
/// different keys, and a record has the same key at each delivery. Up to 20 digits without trailing zeros, as DynamoDB
/// normalises numbers. It is below 0.9999, so that the events of the millisecond `ms` are those between `ms` and
/// `ms` + 0.9999.
fn fraction(id: &str) -> String {
    let digest: [u8; 16] = Md5::digest(id.as_bytes()).into();
    let digits = u128::from_be_bytes(digest) % 99_990_000_000_000_000_000;
    let text = format!(".{digits:020}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn score(event_type: &str) -> u32 {
    match event_type {
        "view" => 1,
        "add_to_cart" => 5,
        "purchase" => 10,
        "wishlist" => 3,
        "share" => 2,
        "review" => 8,
        _ => 1,
    }
}

fn verb(event_type: &str) -> &'static str {
    match event_type {
        "view" => "viewed",
        "add_to_cart" => "added to cart",
        "purchase" => "purchased",
        "wishlist" => "added to wishlist",
        "share" => "shared",
        "review" => "reviewed",
        _ => "interacted with",
    }
}

fn engagement(score: u32) -> &'static str {
    match score {
        8.. => "high",
        5..8 => "medium",
        _ => "low",
    }
}

#[cfg(test)]
mod tests;
