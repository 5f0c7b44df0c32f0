//! A separate Lambda with scripted functions. Records logs, metrics and deliveries.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::scripted;
use crate::Caller;
use crate::clock::SystemClock;
use crate::deliver::LogSink;
use crate::invoke::{Invocation, Invoke, InvokeResult};
use crate::lambda::{Lambda, LambdaConfig, Timings};
use crate::test_support::{Inbox, Metrics};

pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/fn";

/// Records logs, metrics and deliveries.
#[derive(Default)]
pub(crate) struct Kept {
    /// Log stream and text of each event, in order.
    pub logs: Mutex<Vec<(String, String)>>,
    pub metrics: Arc<Metrics>,
    pub inbox: Arc<Inbox>,
}

impl LogSink for Kept {
    fn append<'a>(
        &'a self,
        _: &'a Caller,
        group: &'a str,
        stream: &'a str,
        events: Vec<(i64, String)>,
    ) -> BoxFuture<'a, ()> {
        async move {
            assert!(group.starts_with("/aws/lambda/"), "{group}");
            let mut logs = self.logs.lock().unwrap();
            logs.extend(events.into_iter().map(|(_, text)| (stream.to_owned(), text)));
        }
        .boxed()
    }
}

impl Kept {
    /// All log events, one per line, without stream names.
    pub fn log(&self) -> String {
        let logs = self.logs.lock().unwrap();
        logs.iter().map(|(_, text)| format!("{text}\n")).collect()
    }

    pub fn streams(&self) -> Vec<String> {
        let mut streams: Vec<String> = self
            .logs
            .lock()
            .unwrap()
            .iter()
            .map(|(stream, _)| stream.clone())
            .collect();
        streams.sort();
        streams.dedup();
        streams
    }

    /// Whether a sample `namespace/name[dimensions]=value` was recorded.
    pub fn has_metric(&self, text: &str) -> bool {
        self.metrics
            .0
            .lock()
            .unwrap()
            .iter()
            .any(|m| text == format!("{}/{}[{}]={}", m.namespace, m.name, m.dimensions, m.sample.sum))
    }
}

pub(crate) struct World {
    pub lambda: Arc<Lambda>,
    pub kept: Arc<Kept>,
    pub dir: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.lambda.shutdown();
    }
}

pub(crate) fn timings() -> Timings {
    Timings {
        status_delay: Duration::ZERO,
        init_timeout: Duration::from_secs(10),
        retry_delays: [Duration::from_millis(5), Duration::from_millis(5)],
    }
}

pub(crate) fn open(dir: &Path, timings: Timings, kept: &Arc<Kept>) -> Arc<Lambda> {
    Lambda::open(LambdaConfig {
        data_dir: dir.to_path_buf(),
        endpoint: "http://127.0.0.1:9".to_owned(),
        secret: daemon::secret::Secret::for_tests(),
        clock: Arc::new(SystemClock),
        metrics: Arc::clone(&kept.metrics) as _,
        logs: Arc::clone(kept) as _,
        deliver: Arc::clone(&kept.inbox) as _,
        roles: None,
        timings,
    })
    .unwrap()
}

/// Status, error type and body of an answer.
pub(crate) type Answered = (u16, String, Value);

impl World {
    pub fn new() -> Self {
        Self::with_timings(timings())
    }

    pub fn with_timings(timings: Timings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kept = Arc::new(Kept::default());
        let lambda = open(dir.path(), timings, &kept);
        Self { lambda, kept, dir }
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> http::Response<Bytes> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let response = self
            .lambda
            .handle(&Caller::default(), &parts, body.into())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        http::Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }

    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Answered {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self.raw(method, path, &[], body).await;
        let kind = response.headers().get("x-amzn-errortype");
        let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        (response.status().as_u16(), kind, value)
    }

    /// Input of CreateFunction for a scripted function, merged with `more`.
    pub fn input(name: &str, more: &Value) -> Value {
        let mut input = json!({
            "FunctionName": name,
            "Runtime": "provided.al2023",
            "Role": ROLE,
            "Handler": "scripted",
            "Code": {"ZipFile": base64_simd::STANDARD.encode_to_string(scripted::zip(""))},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            input[key] = value.clone();
        }
        input
    }

    /// Creates a scripted function. Returns its ARN.
    pub async fn function(&self, name: &str, more: Value) -> String {
        let (status, kind, made) = self
            .ask("POST", "/2015-03-31/functions", Self::input(name, &more))
            .await;
        assert_eq!((status, kind.as_str()), (201, ""), "{made}");
        made["FunctionArn"].as_str().unwrap().to_owned()
    }

    /// Invokes a function with a script.
    pub async fn run(&self, arn: &str, script: &str) -> Invocation {
        self.lambda
            .invoke(arn, json!({"do": script}).to_string().into())
            .await
    }

    /// The returned value as JSON.
    pub async fn returned(&self, arn: &str, script: &str) -> Value {
        match self.run(arn, script).await.result {
            InvokeResult::Returned(body) => serde_json::from_slice(&body).unwrap(),
            other => panic!("{script}: {other:?}"),
        }
    }

    /// The error as JSON.
    pub async fn failed(&self, arn: &str, script: &str) -> Value {
        match self.run(arn, script).await.result {
            InvokeResult::FunctionError { kind, payload } => {
                assert_eq!(kind, "Unhandled");
                serde_json::from_slice(&payload).unwrap()
            }
            other => panic!("{script}: {other:?}"),
        }
    }

    /// Waits until `done`, up to the timeout of a test.
    pub async fn until(&self, what: &str, done: impl Fn(&Kept) -> bool) {
        for _ in 0..2000 {
            if done(&self.kept) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what} did not happen; the log is\n{}", self.kept.log());
    }
}
