//! The service, driven as by a caller, with a clock that the test controls.

mod buffers;
mod delivering;
mod operations;
mod partition_buffers;
mod partition_settings;
mod partitioning;
mod transforming;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::delivery::Look;
use super::{Firehose, FirehoseConfig};
use crate::invoke::{Invocation, Invoke, InvokeResult};
use crate::kinesis::engine::KeyLookup;
use crate::kinesis::tests::world::{DELAY_MS, World};
use crate::test_support::whole_body;
use crate::types::{ACCOUNT, Caller, KeyState};
use daemon::Options;

const MIB: usize = 1 << 20;
const ROLE: &str = "arn:aws:iam::000000000000:role/writer";

struct Keys;

impl KeyLookup for Keys {
    fn exists(&self, _: &Caller, key_id: &str) -> KeyState {
        match key_id.ends_with("key/mine") {
            true => KeyState::Enabled,
            false => KeyState::Missing,
        }
    }
}

/// What a function makes of an event.
type Script = Box<dyn FnMut(&Value) -> InvokeResult + Send>;

/// A function that answers as a test scripts it.
#[derive(Default)]
struct Function {
    script: Mutex<Option<Script>>,
    events: Mutex<Vec<Value>>,
}

impl Invoke for Function {
    fn invoke<'a>(&'a self, _: &'a str, payload: Bytes) -> BoxFuture<'a, Invocation> {
        let event: Value = serde_json::from_slice(&payload).unwrap();
        let result = self.script.lock().unwrap().as_mut().unwrap()(&event);
        self.events.lock().unwrap().push(event);
        let invocation = Invocation {
            request_id: String::new(),
            executed_version: None,
            result,
        };
        std::future::ready(invocation).boxed()
    }

    fn exists(&self, _: &str) -> bool {
        true
    }

    fn timeout_seconds(&self, _: &str) -> Option<u32> {
        Some(3)
    }
}

struct Fire {
    service: Arc<Firehose>,
    /// Kinesis, the buckets, the clock and the metrics.
    world: World,
    function: Arc<Function>,
    options: Options,
}

fn open(world: &World, function: &Arc<Function>, options: &Options) -> Arc<Firehose> {
    let opened = Firehose::open(FirehoseConfig {
        data_dir: world.dir.path().join("firehose"),
        clock: Arc::clone(&world.clock) as _,
        kinesis: Arc::clone(&world.service),
        kms: Arc::new(Keys),
        destination: Arc::clone(&world.objects) as _,
        functions: Arc::clone(function) as _,
        metrics: Arc::clone(&world.metrics) as _,
        options: options.clone(),
    });
    Arc::new(opened.unwrap())
}

impl Fire {
    fn new() -> Self {
        Self::with(false)
    }

    fn with(enforce_limits: bool) -> Self {
        let options = Options {
            enforce_limits,
            status_delay: std::time::Duration::from_millis(DELAY_MS as u64),
            ..Options::default()
        };
        let world = World::new();
        let function = Arc::default();
        Self {
            service: open(&world, &function, &options),
            world,
            function,
            options,
        }
    }

    /// The same files after a restart.
    fn restarted(self) -> Self {
        let Self {
            service,
            world,
            function,
            options,
        } = self;
        drop(service);
        let world = world.restarted();
        Self {
            service: open(&world, &function, &options),
            world,
            function,
            options,
        }
    }

    fn call(&self, operation: &str, input: &Value) -> (u16, Value) {
        let outcome = self
            .service
            .run(&self.world.caller, operation, input.to_string().as_bytes());
        let response = crate::json_api::answered(outcome);
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&whole_body(response)).unwrap())
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        let (status, value) = self.call(operation, &input);
        assert_eq!(status, 200, "{operation} {input}: {value}");
        value
    }

    /// Error code and message.
    fn err(&self, operation: &str, input: Value) -> (String, String) {
        let (status, value) = self.call(operation, &input);
        assert_ne!(status, 200, "{operation} {input}: {value}");
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        (text("__type"), text("message"))
    }

    fn refused(&self, operation: &str, input: Value) -> String {
        self.err(operation, input).0
    }

    /// An ACTIVE delivery stream with direct puts.
    fn direct(&self, name: &str, destination: Value) {
        let input = json!({"DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": destination});
        self.ok("CreateDeliveryStream", input);
        self.world.settle();
    }

    /// An ACTIVE delivery stream that reads the stream `orders`.
    fn reading(&self, name: &str, destination: Value) {
        self.ok("CreateDeliveryStream", self.of_stream(name, destination));
        self.world.settle();
    }

    fn of_stream(&self, name: &str, destination: Value) -> Value {
        json!({
            "DeliveryStreamName": name,
            "DeliveryStreamType": "KinesisStreamAsSource",
            "KinesisStreamSourceConfiguration": {"KinesisStreamARN": self.world.arn("orders"), "RoleARN": ROLE},
            "ExtendedS3DestinationConfiguration": destination,
        })
    }

    fn put(&self, name: &str, data: &str) -> Value {
        let data = base64_simd::STANDARD.encode_to_string(data);
        self.ok(
            "PutRecord",
            json!({"DeliveryStreamName": name, "Record": {"Data": data}}),
        )
    }

    fn description(&self, name: &str) -> Value {
        let described = self.ok("DescribeDeliveryStream", json!({"DeliveryStreamName": name}));
        described["DeliveryStreamDescription"].clone()
    }

    fn extended(&self, name: &str) -> Value {
        self.description(name)["Destinations"][0]["ExtendedS3DestinationDescription"].clone()
    }

    /// Delivers what is due, as the task does.
    fn deliver(&self) {
        for hose in self.service.store.every() {
            while let Look::Due(_) = hose.look(&self.service.shared, self.service.now_ms()) {
                hose.deliver(&self.service.shared, self.service.now_ms());
            }
        }
    }

    /// Lets time pass, in steps.
    fn pass(&self, ms: i64) {
        for _ in 0..ms / 5000 {
            self.world.clock.advance(5000);
            self.deliver();
        }
    }

    /// The keys of the bucket `lake` and the contents, in the order of their first puts.
    fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let all = self.world.objects.all.lock().unwrap();
        let mut seen = BTreeMap::new();
        let order = self.world.objects.order.lock().unwrap();
        order
            .iter()
            .filter(|name| seen.insert((*name).clone(), ()).is_none())
            .map(|name| {
                let key = name.strip_prefix("lake/").unwrap().to_owned();
                (key, all[name].body.to_vec())
            })
            .collect()
    }

    fn texts(&self) -> Vec<String> {
        let objects = self.objects().into_iter();
        objects
            .map(|(_, body)| String::from_utf8(body).unwrap())
            .collect()
    }

    /// The last value of a metric.
    fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.world.metrics.0.lock().unwrap();
        let mut found = metrics
            .iter()
            .rev()
            .filter(|metric| metric.namespace == "AWS/Firehose" && metric.name == name);
        found.next().map(|metric| metric.sample.sum)
    }
}

/// A destination that buffers 1 MiB or 60 seconds.
fn lake() -> Value {
    json!({
        "RoleARN": ROLE,
        "BucketARN": "arn:aws:s3:::lake",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
    })
}

/// `lake` with more members.
fn lake_with(more: &Value) -> Value {
    let mut destination = lake();
    for (name, value) in more.as_object().unwrap() {
        destination[name] = value.clone();
    }
    destination
}

fn newlines() -> Value {
    json!({"Enabled": true, "Processors": [{
        "Type": "AppendDelimiterToRecord",
        "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}],
    }]})
}
