//! A separate engine for each test.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clock::ManualClock;
use crate::kinesis::engine::{Engine, EngineConfig, KeyLookup};
use crate::kinesis::service::Request;
use crate::test_support::{Metrics, Objects, whole_body};
use crate::types::{ACCOUNT, Body, Caller, KeyState};
use daemon::Options;

/// 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;
/// Duration of transitions in the tests.
pub const DELAY_MS: i64 = 500;
pub const HOUR_MS: i64 = 3_600_000;

/// A lookup with three keys.
struct Keys;

impl KeyLookup for Keys {
    fn exists(&self, _: &Caller, key_id: &str) -> KeyState {
        match key_id {
            "alias/mine" => KeyState::Enabled,
            "alias/off" => KeyState::Disabled,
            "alias/dying" => KeyState::Unusable,
            _ => KeyState::Missing,
        }
    }
}

pub struct World {
    pub service: Arc<Engine>,
    pub clock: Arc<ManualClock>,
    pub metrics: Arc<Metrics>,
    pub objects: Arc<Objects>,
    pub caller: Caller,
    pub dir: Arc<TempDir>,
    options: Options,
}

impl World {
    pub fn new() -> Self {
        Self::with(false)
    }

    /// With AWS's limits enforced.
    pub fn strict() -> Self {
        Self::with(true)
    }

    fn with(enforce_limits: bool) -> Self {
        let options = Options {
            enforce_limits,
            status_delay: Duration::from_millis(DELAY_MS as u64),
            ..Options::default()
        };
        Self::open(Arc::new(tempfile::tempdir().unwrap()), START_MS, options)
    }

    /// An engine on existing files, at the time `now_ms`.
    pub fn on(dir: &Arc<TempDir>, now_ms: i64) -> Self {
        let options = Options {
            status_delay: Duration::from_millis(DELAY_MS as u64),
            ..Options::default()
        };
        Self::open(Arc::clone(dir), now_ms, options)
    }

    fn open(dir: Arc<TempDir>, now_ms: i64, options: Options) -> Self {
        let clock = Arc::new(ManualClock::new(now_ms));
        let metrics = Arc::new(Metrics::default());
        let objects = Arc::new(Objects::default());
        let service = open(&dir, &clock, &metrics, &objects, &options).unwrap();
        let caller = Caller {
            account: ACCOUNT.to_owned(),
            region: "us-east-1".to_owned(),
        };
        Self {
            service,
            clock,
            metrics,
            objects,
            caller,
            dir,
            options,
        }
    }

    /// The same files after a restart.
    pub fn restarted(self) -> Self {
        drop(self.service);
        let service = open(
            &self.dir,
            &self.clock,
            &self.metrics,
            &self.objects,
            &self.options,
        )
        .unwrap();
        Self { service, ..self }
    }

    /// The damaged files, each with what is damaged.
    pub fn damaged(&self) -> Vec<String> {
        let all = self.service.damage().into_iter();
        all.map(|damage| format!("{}: {}", damage.file, damage.message))
            .collect()
    }

    pub fn send(&self, operation: &str, content_type: &str, body: Bytes) -> Response<Body> {
        let target = format!("Kinesis_20131202.{operation}");
        let request = Request {
            target,
            content_type: content_type.to_owned(),
            body,
        };
        self.service.call(self.caller.clone(), request)
    }

    pub fn call(&self, operation: &str, input: &Value) -> (u16, Value) {
        let body = Bytes::from(serde_json::to_vec(input).unwrap());
        let response = self.send(operation, "application/x-amz-json-1.1", body);
        assert!(response.headers().contains_key("x-amzn-requestid"));
        let status = response.status().as_u16();
        let body = whole_body(response);
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        };
        (status, value)
    }

    pub fn ok(&self, operation: &str, input: Value) -> Value {
        let (status, value) = self.call(operation, &input);
        assert_eq!(status, 200, "{operation} {input}: {value}");
        value
    }

    /// Error code and message.
    pub fn err(&self, operation: &str, input: Value) -> (String, String) {
        let (status, value) = self.call(operation, &input);
        assert_ne!(status, 200, "{operation} {input}: {value}");
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        (text("__type"), text("message"))
    }

    /// Error code.
    pub fn refused(&self, operation: &str, input: Value) -> String {
        self.err(operation, input).0
    }

    pub fn settle(&self) {
        self.clock.advance(DELAY_MS);
    }

    pub fn stream(&self, name: &str, shards: u32) {
        self.ok("CreateStream", json!({"StreamName": name, "ShardCount": shards}));
        self.settle();
    }

    pub fn on_demand(&self, name: &str) {
        self.ok(
            "CreateStream",
            json!({"StreamName": name, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
        );
        self.settle();
    }

    pub fn summary(&self, name: &str) -> Value {
        self.ok("DescribeStreamSummary", json!({"StreamName": name}))["StreamDescriptionSummary"].clone()
    }

    pub fn status(&self, name: &str) -> String {
        self.summary(name)["StreamStatus"].as_str().unwrap().to_owned()
    }

    pub fn shards(&self, name: &str) -> Vec<Value> {
        self.ok("ListShards", json!({"StreamName": name}))["Shards"]
            .as_array()
            .unwrap()
            .clone()
    }

    pub fn put(&self, name: &str, key: &str, data: &str) -> Value {
        let data = base64_simd::STANDARD.encode_to_string(data);
        self.ok(
            "PutRecord",
            json!({"StreamName": name, "PartitionKey": key, "Data": data}),
        )
    }

    pub fn iterator(&self, name: &str, shard: u32, kind: &str) -> String {
        let shard = format!("shardId-{shard:012}");
        let input = json!({"StreamName": name, "ShardId": shard, "ShardIteratorType": kind});
        self.ok("GetShardIterator", input)["ShardIterator"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn get(&self, iterator: &str) -> Value {
        self.ok("GetRecords", json!({"ShardIterator": iterator}))
    }

    /// All data of a shard, read to its tip or end.
    pub fn read_all(&self, name: &str, shard: u32) -> Vec<String> {
        let mut iterator = self.iterator(name, shard, "TRIM_HORIZON");
        let mut all = Vec::new();
        loop {
            let page = self.get(&iterator);
            let records = page["Records"].as_array().unwrap();
            all.extend(records.iter().map(data_of));
            match page["NextShardIterator"].as_str() {
                Some(next) if !records.is_empty() => next.clone_into(&mut iterator),
                _ => return all,
            }
        }
    }

    pub fn arn(&self, name: &str) -> String {
        format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{name}")
    }

    /// An ACTIVE consumer's ARN.
    pub fn consumer(&self, stream: &str, name: &str) -> String {
        let input = json!({"StreamARN": self.arn(stream), "ConsumerName": name});
        let consumer = self.ok("RegisterStreamConsumer", input);
        self.settle();
        consumer["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned()
    }
}

fn open(
    dir: &TempDir,
    clock: &Arc<ManualClock>,
    metrics: &Arc<Metrics>,
    objects: &Arc<Objects>,
    options: &Options,
) -> std::io::Result<Arc<Engine>> {
    Engine::open(EngineConfig {
        data_dir: dir.path().join("kinesis"),
        clock: Arc::clone(clock) as _,
        metrics: Arc::clone(metrics) as _,
        kms: Arc::new(Keys),
        destination: Arc::clone(objects) as _,
        options: options.clone(),
    })
}

pub fn data_of(record: &Value) -> String {
    String::from_utf8(
        base64_simd::STANDARD
            .decode_to_vec(record["Data"].as_str().unwrap())
            .unwrap(),
    )
    .unwrap()
}

pub fn base64(text: &str) -> String {
    base64_simd::STANDARD.encode_to_string(text)
}

/// Waits for the deletion in the background.
pub fn wait_until_empty(dir: &Path) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::fs::read_dir(dir).unwrap().next().is_some() {
        assert!(std::time::Instant::now() < deadline, "{dir:?} is not deleted");
        std::thread::yield_now();
    }
}
