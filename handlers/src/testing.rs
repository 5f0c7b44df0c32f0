//! Events, logs and fake services for tests.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::log::{Level, Log, Output};
use crate::runtime::{Handler, Invocation, answer};
use crate::store::{
    AggregateKey, Aggregates, Bucket, CallError, CallErrorKind, Item, Object, PriceUpdate, Products, Queue,
    Table,
};

/// 2026-01-31T09:05:00.250Z, the arrival time of [`record`].
pub(crate) const ARRIVAL_MS: i64 = 1_769_850_300_250;

pub(crate) fn record(sequence: u64, partition_key: &str, data: impl AsRef<[u8]>) -> Value {
    record_at(sequence, partition_key, data, ARRIVAL_MS)
}

/// A record that arrived at `arrival_ms`.
pub(crate) fn record_at(
    sequence: u64,
    partition_key: &str,
    data: impl AsRef<[u8]>,
    arrival_ms: i64,
) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": partition_key,
            "sequenceNumber": sequence.to_string(),
            "data": base64_simd::STANDARD.encode_to_string(data.as_ref()),
            "approximateArrivalTimestamp": arrival_ms as f64 / 1000.0,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("shardId-000000000000:{sequence}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/function",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/events",
    })
}

/// The payload of an invocation.
pub(crate) fn event(records: &[Value]) -> Vec<u8> {
    json!({"Records": records}).to_string().into_bytes()
}

/// Runs a handler for a minute at most. Returns the sequence numbers that failed.
pub(crate) async fn run<H: Handler>(handler: &H, payload: &[u8]) -> Vec<String> {
    run_logged(handler, payload, Lines::shared()).await
}

/// Like [`run`], and captures log lines in `lines`.
pub(crate) async fn run_logged<H: Handler>(handler: &H, payload: &[u8], lines: Arc<Lines>) -> Vec<String> {
    let response = answer(handler, payload, &invocation(lines)).await.unwrap();
    response
        .batch_item_failures
        .into_iter()
        .map(|failure| failure.item_identifier)
        .collect()
}

/// An invocation that has a minute, and logs to `lines`.
pub(crate) fn invocation(lines: Arc<Lines>) -> Invocation {
    Invocation {
        deadline: Instant::now() + Duration::from_secs(60),
        log: Log::new(Level::Info, lines).of_request("request-1"),
    }
}

/// Runs a handler on `batches` in sequence, in a separate runtime with virtual time.
pub(crate) fn run_batches<H: Handler>(handler: &H, batches: &[Vec<Value>]) -> Vec<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut failed = Vec::new();
        for batch in batches {
            failed.push(run(handler, &event(batch)).await);
        }
        failed
    })
}

#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// The lines, parsed as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Output for Lines {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// A clock that always returns the same time.
pub(crate) struct At(pub(crate) i64);

impl Clock for At {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

/// An item in DynamoDB's JSON, for snapshots.
pub(crate) fn item_json(item: &Item) -> Value {
    Value::Object(
        item.iter()
            .map(|(name, value)| (name.clone(), value_json(value)))
            .collect(),
    )
}

fn value_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(text) => json!({"N": text}),
        AttributeValue::Bool(bool) => json!({"BOOL": bool}),
        AttributeValue::Null(is_null) => json!({"NULL": is_null}),
        AttributeValue::L(list) => json!({"L": list.iter().map(value_json).collect::<Vec<_>>()}),
        AttributeValue::M(map) => json!({"M": item_json(map)}),
        AttributeValue::B(bytes) => json!({"B": base64_simd::STANDARD.encode_to_string(bytes.as_ref())}),
        other => panic!("{other:?}"),
    }
}

/// A fake service in memory. `errors` are returned by the next calls.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) errors: RefCell<Vec<CallError>>,
    /// Number of items that a BatchWriteItem leaves unprocessed, and for how many calls.
    pub(crate) unprocessed: Cell<(usize, usize)>,
    pub(crate) items: RefCell<BTreeMap<String, Item>>,
    pub(crate) objects: RefCell<BTreeMap<String, Object>>,
    pub(crate) messages: RefCell<Vec<String>>,
    pub(crate) calls: Cell<usize>,
    /// Number of aggregate writes that fail because another writer was faster.
    pub(crate) overtaken: Cell<usize>,
}

impl Memory {
    /// Lets the next call fail.
    pub(crate) fn fail(&self, kind: CallErrorKind) {
        self.errors
            .borrow_mut()
            .push(CallError::new(kind, format!("{kind:?}")));
    }

    fn call(&self) -> Result<(), CallError> {
        self.calls.set(self.calls.get() + 1);
        self.errors.borrow_mut().pop().map_or(Ok(()), Err)
    }

    /// All items in DynamoDB's JSON.
    pub(crate) fn items_json(&self) -> Value {
        self.items.borrow().values().map(item_json).collect()
    }

    fn key(item: &Item, names: &[&str]) -> String {
        let part = |name: &&str| format!("{:?}", item.get(*name).expect("a key attribute"));
        names.iter().map(part).collect::<Vec<_>>().join("|")
    }
}

/// Rejects numbers out of DynamoDB's range.
fn check_numbers(value: &AttributeValue) -> Result<(), CallError> {
    match value {
        AttributeValue::N(text) => match decimal::canonical(text) {
            Ok(same) if same == *text => Ok(()),
            _ => Err(CallError::new(
                CallErrorKind::Rejected,
                format!("ValidationException: {text}"),
            )),
        },
        AttributeValue::L(list) => list.iter().try_for_each(check_numbers),
        AttributeValue::M(map) => map.values().try_for_each(check_numbers),
        _ => Ok(()),
    }
}

impl Table for &Memory {
    async fn put_items(&self, items: Vec<Item>) -> Result<Vec<Item>, CallError> {
        self.call()?;
        assert!(
            !items.is_empty() && items.len() <= 25,
            "{} items in one call",
            items.len()
        );
        let keys: std::collections::BTreeSet<_> = items
            .iter()
            .map(|item| Memory::key(item, &["userId", "eventTimestamp"]))
            .collect();
        assert_eq!(keys.len(), items.len(), "a key twice in one call");
        for item in &items {
            if item.get("userId") == Some(&AttributeValue::S("refused".to_owned())) {
                return Err(CallError::new(CallErrorKind::Rejected, "ValidationException"));
            }
            item.values().try_for_each(check_numbers)?;
        }
        let (left, times) = self.unprocessed.get();
        let left = if times == 0 { 0 } else { left.min(items.len()) };
        self.unprocessed.set((left, times.saturating_sub(1)));
        let mut items = items;
        let unprocessed = items.split_off(items.len() - left);
        for item in items {
            self.items
                .borrow_mut()
                .insert(Memory::key(&item, &["userId", "eventTimestamp"]), item);
        }
        Ok(unprocessed)
    }
}

impl Products for &Memory {
    async fn set_price(&self, id: &str, price: &str, position: &str) -> Result<PriceUpdate, CallError> {
        self.call()?;
        let mut items = self.items.borrow_mut();
        let Some(item) = items.get_mut(id) else {
            return Ok(PriceUpdate::UnknownProduct);
        };
        let stored = item.get("price_sequence").and_then(|value| value.as_s().ok());
        if stored.is_some_and(|stored| stored.as_str() >= position) {
            return Ok(PriceUpdate::Older);
        }
        item.insert("price".to_owned(), AttributeValue::N(price.to_owned()));
        item.insert(
            "price_sequence".to_owned(),
            AttributeValue::S(position.to_owned()),
        );
        Ok(PriceUpdate::Stored)
    }
}

impl Aggregates for &Memory {
    async fn read(&self, mut keys: Vec<AggregateKey>) -> Result<(Vec<Item>, Vec<AggregateKey>), CallError> {
        self.call()?;
        assert!(!keys.is_empty() && keys.len() <= 100);
        let left = keys.split_off(keys.len().div_ceil(2));
        let items = self.items.borrow();
        let found = keys
            .iter()
            .filter_map(|(key, timestamp)| items.get(&format!("{key}|{timestamp}")).cloned());
        Ok((found.collect(), left))
    }

    async fn replace(&self, item: Item, revision: Option<u64>) -> Result<bool, CallError> {
        self.call()?;
        item.values().try_for_each(check_numbers)?;
        if self.overtaken.get() > 0 {
            self.overtaken.set(self.overtaken.get() - 1);
            return Ok(false);
        }
        let text = |name: &str| item[name].as_s().unwrap().clone();
        let key = format!("{}|{}", text("partition_key"), text("timestamp"));
        let mut items = self.items.borrow_mut();
        let stored = items
            .get(&key)
            .and_then(|item| item["revision"].as_n().ok()?.parse().ok());
        if stored != revision {
            return Ok(false);
        }
        items.insert(key, item);
        Ok(true)
    }
}

impl Bucket for &Memory {
    async fn put(&self, object: &Object) -> Result<(), CallError> {
        self.call()?;
        self.objects
            .borrow_mut()
            .insert(object.key.clone(), object.clone());
        Ok(())
    }
}

impl Queue for &Memory {
    async fn send(&self, bodies: Vec<String>) -> Result<Vec<(usize, CallError)>, CallError> {
        self.call()?;
        assert!(!bodies.is_empty() && bodies.len() <= 10);
        assert!(bodies.iter().map(String::len).sum::<usize>() <= 256 << 10);
        self.messages.borrow_mut().extend(bodies);
        Ok(Vec::new())
    }
}

pub(crate) fn product(id: &str) -> (String, Item) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    (
        id.to_owned(),
        HashMap::from([("id".to_owned(), text(id)), ("name".to_owned(), text("Lamp"))]),
    )
}

/// Splits `records` after each index that `cuts` marks.
pub(crate) fn split(records: &[Value], cuts: &[bool]) -> Vec<Vec<Value>> {
    let mut batches = vec![Vec::new()];
    for (place, record) in records.iter().enumerate() {
        if let Some(batch) = batches.last_mut() {
            batch.push(record.clone());
        }
        if cuts.get(place).copied().unwrap_or(false) {
            batches.push(Vec::new());
        }
    }
    batches
}
