//! A stream, a scripted function and a mapping, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Request as HttpRequest;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clock::Clock;
use crate::invoke::{Invocation, Invoke, InvokeResult};
use crate::kinesis::engine::{Engine, EngineConfig, KeyLookup};
use crate::kinesis::service::Request;
use crate::mappings::{Mappings, MappingsConfig};
use crate::test_support::{Delivered, Inbox, Metrics, Objects, whole_body};
use crate::types::{ACCOUNT, Caller, KeyState};
use daemon::Options;

/// 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;
pub const STREAM: &str = "orders";
pub const PATH: &str = "/2015-03-31/event-source-mappings";

/// Follows tokio's time, which the tests control.
pub struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now_ms(&self) -> i64 {
        START_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

struct NoKeys;

impl KeyLookup for NoKeys {
    fn exists(&self, _: &Caller, _: &str) -> KeyState {
        KeyState::Missing
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen {
    pub key: String,
    pub data: String,
    pub number: String,
}

/// An invocation as seen by the function.
#[derive(Debug, Clone)]
pub struct Call {
    /// Since the start of the test.
    pub at_ms: i64,
    pub records: Vec<Seen>,
    pub event: Value,
}

impl Call {
    /// The data of its records, in order.
    pub fn data(&self) -> Vec<&str> {
        self.records.iter().map(|record| record.data.as_str()).collect()
    }

    pub fn text(&self) -> String {
        self.data().join(" ")
    }

    /// Reports these records of the batch as failed.
    pub fn report(&self, data: &[&str]) -> Reply {
        let failed = self
            .records
            .iter()
            .filter(|record| data.contains(&record.data.as_str()));
        let failed: Vec<Value> = failed
            .map(|record| json!({"itemIdentifier": record.number}))
            .collect();
        Reply::Body(json!({"batchItemFailures": failed}).to_string())
    }
}

/// What the function does.
#[derive(Debug, Clone)]
pub enum Reply {
    Body(String),
    Throw,
    Throttle,
    Gone,
    /// Returns this after so many milliseconds.
    After(u64, Box<Reply>),
}

pub fn success() -> Reply {
    Reply::Body("null".to_owned())
}

type Script = Box<dyn FnMut(&Call) -> Reply + Send>;

pub struct Function {
    script: Mutex<Script>,
    pub calls: Mutex<Vec<Call>>,
    pub running: Mutex<(usize, usize)>,
    start: tokio::time::Instant,
    pub there: Mutex<bool>,
}

impl Invoke for Function {
    fn invoke<'a>(&'a self, _: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation> {
        assert!(payload.len() <= 6 * 1024 * 1024, "{} bytes", payload.len());
        async move {
            let event: Value = serde_json::from_slice(&payload).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let records = event["Records"].as_array().unwrap().iter().map(|record| {
                let kinesis = &record["kinesis"];
                let data = base64_simd::STANDARD
                    .decode_to_vec(kinesis["data"].as_str().unwrap())
                    .unwrap();
                Seen {
                    key: text(&kinesis["partitionKey"]),
                    data: String::from_utf8_lossy(&data).into_owned(),
                    number: text(&kinesis["sequenceNumber"]),
                }
            });
            let call = Call {
                at_ms: i64::try_from(self.start.elapsed().as_millis()).unwrap(),
                records: records.collect(),
                event,
            };
            let mut reply = (self.script.lock().unwrap())(&call);
            self.calls.lock().unwrap().push(call);
            {
                let mut running = self.running.lock().unwrap();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            while let Reply::After(ms, then) = reply {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                reply = *then;
            }
            self.running.lock().unwrap().0 -= 1;
            let result = match reply {
                Reply::Body(body) => InvokeResult::Returned(body.into()),
                Reply::Throw => InvokeResult::FunctionError {
                    kind: "Unhandled",
                    payload: Bytes::from_static(br#"{"errorMessage":"boom","errorType":"Error"}"#),
                },
                Reply::Throttle => InvokeResult::Throttled,
                Reply::Gone | Reply::After(..) => InvokeResult::Refused {
                    code: "ResourceNotFoundException".to_owned(),
                    message: "Function not found".to_owned(),
                },
            };
            let request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95".to_owned();
            Invocation {
                request_id,
                executed_version: Some("7".to_owned()),
                result,
            }
        }
        .boxed()
    }

    fn exists(&self, arn: &str) -> bool {
        *self.there.lock().unwrap() && arn.contains(":function:work")
    }

    fn may(&self, _: &str, action: &str, resource: &str) -> bool {
        !resource.contains("forbidden") || action.starts_with("kinesis:")
    }

    fn timeout_seconds(&self, _: &str) -> Option<u32> {
        Some(3)
    }
}

pub struct World {
    pub kinesis: Arc<Engine>,
    pub mappings: Arc<Mappings>,
    pub function: Arc<Function>,
    pub inbox: Arc<Inbox>,
    pub metrics: Arc<Metrics>,
    pub uuid: String,
    pub clock: Arc<Virtual>,
    pub dir: TempDir,
}

impl World {
    /// A stream with `shards` shards and no mapping.
    pub fn bare(shards: u32, script: impl FnMut(&Call) -> Reply + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start = tokio::time::Instant::now();
        let clock = Arc::new(Virtual(start));
        let metrics = Arc::new(Metrics::default());
        let kinesis = Engine::open(EngineConfig {
            data_dir: dir.path().join("kinesis"),
            clock: Arc::clone(&clock) as _,
            metrics: Arc::new(crate::metrics::NoMetrics),
            kms: Arc::new(NoKeys),
            destination: Arc::new(Objects::default()),
            options: Options {
                status_delay: Duration::ZERO,
                ..Options::default()
            },
        })
        .unwrap();
        let function = Arc::new(Function {
            script: Mutex::new(Box::new(script)),
            calls: Mutex::default(),
            running: Mutex::default(),
            start,
            there: Mutex::new(true),
        });
        let inbox = Arc::new(Inbox::default());
        let mappings = open(&dir, &clock, &kinesis, &function, &inbox, &metrics);
        let world = Self {
            kinesis,
            mappings,
            function,
            inbox,
            metrics,
            uuid: String::new(),
            clock,
            dir,
        };
        world.kinesis(
            "CreateStream",
            json!({"StreamName": STREAM, "ShardCount": shards}),
        );
        world
    }

    /// A stream with one shard and a mapping from its beginning, with additional `settings`.
    pub async fn new(settings: Value, script: impl FnMut(&Call) -> Reply + Send + 'static) -> Self {
        Self::with_shards(1, settings, script).await
    }

    pub async fn with_shards(
        shards: u32,
        settings: Value,
        script: impl FnMut(&Call) -> Reply + Send + 'static,
    ) -> Self {
        let mut world = Self::bare(shards, script);
        world.uuid = world.map(settings).await;
        world
    }

    /// Adds a mapping. Returns its UUID.
    pub async fn map(&self, settings: Value) -> String {
        let (status, answer) = self.create(settings).await;
        assert_eq!(status, 202, "{answer}");
        answer["UUID"].as_str().unwrap().to_owned()
    }

    pub async fn create(&self, settings: Value) -> (u16, Value) {
        let mut input =
            json!({"FunctionName": "work", "EventSourceArn": arn(), "StartingPosition": "TRIM_HORIZON"});
        merge(&mut input, settings);
        self.call("POST", PATH, input).await
    }

    pub async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = HttpRequest::builder().method(method).uri(path).body(()).unwrap();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (parts, ()) = request.into_parts();
        let answer = self
            .mappings
            .handle(&Caller::default(), &parts, body.as_bytes())
            .await;
        let answer = answer.expect("a path of mappings");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub async fn get(&self) -> Value {
        self.call("GET", &format!("{PATH}/{}", self.uuid), Value::Null)
            .await
            .1
    }

    pub async fn update(&self, settings: Value) {
        let (status, answer) = self.call("PUT", &format!("{PATH}/{}", self.uuid), settings).await;
        assert_eq!(status, 202, "{answer}");
    }

    pub fn script(&self, script: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.function.script.lock().unwrap() = Box::new(script);
    }

    /// The same files after the process was killed and restarted.
    pub fn restart(&mut self) {
        self.mappings.shutdown();
        self.mappings = open(
            &self.dir,
            &self.clock,
            &self.kinesis,
            &self.function,
            &self.inbox,
            &self.metrics,
        );
    }

    pub fn kinesis(&self, operation: &str, input: Value) -> Value {
        let request = Request {
            target: format!("Kinesis_20131202.{operation}"),
            content_type: "application/x-amz-json-1.1".to_owned(),
            body: input.to_string().into(),
        };
        let answer = self.kinesis.call(Caller::default(), request);
        let status = answer.status();
        let body = whole_body(answer);
        assert!(status.is_success(), "{operation}: {body:?}");
        serde_json::from_slice(&body).unwrap_or_default()
    }

    /// Puts a record. Returns its sequence number.
    pub fn put(&self, key: &str, data: &str) -> String {
        let data = base64_simd::STANDARD.encode_to_string(data);
        let put = self.kinesis(
            "PutRecord",
            json!({"StreamName": STREAM, "PartitionKey": key, "Data": data}),
        );
        put["SequenceNumber"].as_str().unwrap().to_owned()
    }

    /// Puts records in one request, each with its own key.
    pub fn put_all(&self, all: &[&str]) {
        let records: Vec<Value> = all
            .iter()
            .map(|data| json!({"PartitionKey": data, "Data": base64_simd::STANDARD.encode_to_string(data)}))
            .collect();
        self.kinesis("PutRecords", json!({"StreamName": STREAM, "Records": records}));
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms() - START_MS
    }

    pub async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Advances time until `done`, at most two virtual days.
    pub async fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = self.now_ms() + 2 * 86_400_000;
        let mut step = 5;
        while !done(self) {
            assert!(
                self.now_ms() < deadline,
                "never: {what}; calls: {:#?}",
                self.texts()
            );
            self.sleep(step).await;
            step = (step + step / 8 + 1).min(30_000);
        }
    }

    pub async fn calls(&self, count: usize) -> Vec<Call> {
        self.until(&format!("{count} calls"), |world| {
            world.function.calls.lock().unwrap().len() >= count
        })
        .await;
        // Detects additional calls.
        self.sleep(50).await;
        self.function.calls.lock().unwrap().clone()
    }

    /// The records of each call so far.
    pub fn texts(&self) -> Vec<String> {
        self.function
            .calls
            .lock()
            .unwrap()
            .iter()
            .map(Call::text)
            .collect()
    }

    /// When each call so far was made.
    pub fn times(&self) -> Vec<i64> {
        self.function
            .calls
            .lock()
            .unwrap()
            .iter()
            .map(|call| call.at_ms)
            .collect()
    }

    pub async fn messages(&self, count: usize) -> Vec<Delivered> {
        self.until(&format!("{count} messages"), |world| {
            world.inbox.messages.lock().unwrap().len() >= count
        })
        .await;
        self.sleep(50).await;
        self.inbox.messages.lock().unwrap().clone()
    }

    /// Sum and last value of a metric.
    pub fn metric(&self, name: &str) -> (f64, f64) {
        let metrics = self.metrics.0.lock().unwrap();
        let samples = metrics.iter().filter(|metric| metric.name == name);
        samples.fold((0.0, 0.0), |(sum, _), metric| {
            (sum + metric.sample.sum, metric.sample.max)
        })
    }
}

fn open(
    dir: &TempDir,
    clock: &Arc<Virtual>,
    kinesis: &Arc<Engine>,
    function: &Arc<Function>,
    inbox: &Arc<Inbox>,
    metrics: &Arc<Metrics>,
) -> Arc<Mappings> {
    Mappings::open(MappingsConfig {
        data_dir: dir.path().join("mappings"),
        clock: Arc::clone(clock) as _,
        kinesis: Arc::clone(kinesis),
        invoke: Arc::clone(function) as _,
        deliver: Arc::clone(inbox) as _,
        metrics: Arc::clone(metrics) as _,
        max_filters: 5,
    })
    .unwrap()
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

pub fn arn() -> String {
    format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{STREAM}")
}

pub fn queue() -> Value {
    json!({"OnFailure": {"Destination": format!("arn:aws:sqs:us-east-1:{ACCOUNT}:dead")}})
}
