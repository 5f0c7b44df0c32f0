//! What the tests of several services share: fakes of the interfaces between services, and macros for the SDK.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::deliver::{Deliver, Undelivered};
use crate::metrics::{MetricSink, Sample};
use crate::types::{Body, Caller};

#[derive(Debug)]
pub(crate) struct Metric {
    pub namespace: String,
    pub name: String,
    /// `name=value`, separated by commas.
    pub dimensions: String,
    pub unit: String,
    pub sample: Sample,
}

/// Records all metrics, in order.
#[derive(Debug, Default)]
pub(crate) struct Metrics(pub Mutex<Vec<Metric>>);

impl MetricSink for Metrics {
    fn record(
        &self,
        _: &Caller,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        unit: &str,
        sample: Sample,
    ) {
        let dimensions: Vec<String> = dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
        self.0.lock().unwrap().push(Metric {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.join(","),
            unit: unit.to_owned(),
            sample,
        });
    }
}

/// ARN, or bucket and key; message; attributes.
pub(crate) type Delivered = (String, Value, BTreeMap<String, String>);

/// Receives what is delivered to queues, topics and buckets.
#[derive(Default)]
pub(crate) struct Inbox {
    pub messages: Mutex<Vec<Delivered>>,
    pub refuses: Mutex<bool>,
    pub tries: Mutex<usize>,
}

impl Inbox {
    fn take(
        &self,
        to: &str,
        body: &[u8],
        attributes: BTreeMap<String, String>,
    ) -> BoxFuture<'static, Result<(), Undelivered>> {
        *self.tries.lock().unwrap() += 1;
        let result = if *self.refuses.lock().unwrap() {
            Err(Undelivered {
                code: "NonExistentQueue".to_owned(),
                message: "gone".to_owned(),
            })
        } else {
            let message = serde_json::from_slice(body).unwrap();
            let mut messages = self.messages.lock().unwrap();
            messages.push((to.to_owned(), message, attributes));
            Ok(())
        };
        std::future::ready(result).boxed()
    }
}

impl Deliver for Inbox {
    fn to_queue<'a>(
        &'a self,
        arn: &'a str,
        body: &'a str,
        attributes: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        self.take(arn, body.as_bytes(), attributes.clone())
    }

    fn to_topic<'a>(
        &'a self,
        arn: &'a str,
        _: Option<&'a str>,
        message: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        self.take(arn, message.as_bytes(), BTreeMap::new())
    }

    fn to_bucket<'a>(
        &'a self,
        _: &'a Caller,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        self.take(&format!("{bucket}/{key}"), &body, BTreeMap::new())
    }
}

/// The body of a response that is not streamed.
pub(crate) fn whole_body(response: Response<Body>) -> Bytes {
    let collected = response.into_body().collect().now_or_never();
    collected.expect("a body in one piece").unwrap().to_bytes()
}

/// Sends a request of the SDK, which must succeed. Evaluates to its output.
macro_rules! ok {
    ($request:expr) => {
        $request.send().await.unwrap()
    };
}

/// Sends a request of the SDK, which must fail. Evaluates to the error.
macro_rules! refused {
    ($request:expr) => {
        $request.send().await.unwrap_err()
    };
}

pub(crate) use {ok, refused};
