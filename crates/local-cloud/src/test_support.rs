//! What the tests of several services share: fakes of the interfaces between services, and macros for the SDK.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http_body_util::BodyExt;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::deliver::{Deliver, Undelivered};
use crate::kinesis::channels::{Destination, Object};
use crate::metrics::{MetricSink, Sample};
use crate::types::{ACCOUNT, Body, Caller};

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

/// The buckets of channels: one in us-east-1 and one elsewhere. Every role is trusted but `nobody`.
#[derive(Default)]
pub(crate) struct Objects {
    /// By bucket and key, such as `lake/a/b`.
    pub all: Mutex<BTreeMap<String, Object>>,
    /// Puts, also those that replaced an object.
    pub puts: Mutex<usize>,
    /// The buckets and keys of puts, in order.
    pub order: Mutex<Vec<String>>,
    /// Whether a put is stored, and then answered with an error.
    pub loses_answers: Mutex<bool>,
    /// Refuses puts with this code.
    pub refuses: Mutex<Option<&'static str>>,
    /// Refuses puts of keys that begin so.
    pub refuses_below: Mutex<Option<&'static str>>,
    pub logged: Mutex<Vec<String>>,
}

impl Destination for Objects {
    fn bucket_region(&self, account: &str, bucket: &str) -> Option<String> {
        let known = [("lake", "us-east-1"), ("dead", "us-east-1"), ("far", "eu-west-1")];
        let found = known
            .iter()
            .find(|(name, _)| *name == bucket && account == ACCOUNT);
        found.map(|(_, region)| (*region).to_owned())
    }

    fn trusts(&self, role: &str, principal: &str) -> bool {
        matches!(principal, "kinesis.amazonaws.com" | "firehose.amazonaws.com") && !role.ends_with("/nobody")
    }

    fn allows(&self, role: &str, action: &str, _: &str) -> bool {
        let services = ["kinesis:", "lambda:", "logs:"];
        let is_known = action == "s3:PutObject" || services.iter().any(|service| action.starts_with(service));
        is_known && !role.ends_with("/powerless")
    }

    fn put(&self, _: &Caller, bucket: &str, object: Object) -> Result<(), Undelivered> {
        if let Some(code) = *self.refuses.lock().unwrap() {
            return Err(Undelivered {
                code: code.to_owned(),
                message: "refused".to_owned(),
            });
        }
        let is_below = self
            .refuses_below
            .lock()
            .unwrap()
            .is_some_and(|prefix| object.key.starts_with(prefix));
        if is_below {
            return Err(Undelivered {
                code: "AccessDenied".to_owned(),
                message: "refused".to_owned(),
            });
        }
        *self.puts.lock().unwrap() += 1;
        let mut all = self.all.lock().unwrap();
        let name = format!("{bucket}/{}", object.key);
        self.order.lock().unwrap().push(name.clone());
        all.insert(name, object);
        match *self.loses_answers.lock().unwrap() {
            true => Err(Undelivered {
                code: "InternalError".to_owned(),
                message: "the answer is lost".to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn log(&self, _: &Caller, group: &str, stream: &str, _: i64, text: String) {
        self.logged
            .lock()
            .unwrap()
            .push(format!("{group} {stream} {text}"));
    }
}

/// Rounds of a test with random damage: `STREAMCTL_FAULT_ROUNDS`, or a few.
pub(crate) fn fault_rounds() -> u64 {
    std::env::var("STREAMCTL_FAULT_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap())
}

/// All files below `dir`, in order.
pub(crate) fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    let below = |path: PathBuf| {
        if path.is_dir() {
            all_files(&path)
        } else {
            vec![path]
        }
    };
    entries.into_iter().flat_map(below).collect()
}

/// Copies the directory `from` to `to`.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Flips bytes of a file, cuts it, removes it, overwrites or extends it. In place, as a faulty disk would.
pub(crate) fn damage_file(path: &Path, random: &mut StdRng) {
    let length = path.metadata().unwrap().len() as usize;
    let open = || std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let kind = random.random_range(0..6);
    if length == 0 || kind == 0 {
        return std::fs::remove_file(path).unwrap();
    }
    let at = random.random_range(0..length);
    let most = (length - at).min(4096);
    let some = random.random_range(1..=most);
    let write = |bytes: &[u8], at: usize| {
        ground::platform::write_all_at(&open(), bytes, at as u64).unwrap();
    };
    match kind {
        1 => open().set_len(at as u64).unwrap(),
        2 => write(&vec![0; some], at),
        3 => write(&(0..some).map(|_| random.random()).collect::<Vec<u8>>(), at),
        4 => write(&(0..some).map(|_| random.random()).collect::<Vec<u8>>(), length),
        _ => {
            let mut bytes = std::fs::read(path).unwrap();
            for _ in 0..random.random_range(1..=3) {
                let bit = random.random_range(0..length * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                write(&bytes[bit / 8..=bit / 8], bit / 8);
            }
        }
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
