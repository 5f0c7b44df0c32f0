//! Transformation of records by a function.
//!
//! Source: "Transform source data in Amazon Data Firehose" and "Handle failure in data transformation", Amazon Data Firehose
//! developer guide; `KinesisFirehoseEvent` of aws-lambda-go.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::hose::Shared;
use super::model::{Meta, Transform};
use super::report::{metric, report};
use crate::answer::request_id;
use crate::invoke::InvokeResult;

/// The pause before a throttled call is repeated. It doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// A record that is to be transformed.
#[derive(Debug)]
pub(super) struct Incoming {
    pub id: String,
    /// Its number in the record that it was taken out of.
    pub part: usize,
    pub arrival_ms: i64,
    pub partition_key: String,
    pub shard_id: String,
    pub data: Bytes,
}

/// A record that was transformed.
#[derive(Debug)]
pub(super) struct Transformed {
    pub arrival_ms: i64,
    pub data: Vec<u8>,
    /// The partition keys that the function returned.
    pub keys: BTreeMap<String, String>,
}

/// Why a record could not be transformed: an error code and a message.
pub(super) type Failure = (&'static str, String);

/// The data of a record, and its partition keys by name.
type Keyed = (Vec<u8>, BTreeMap<String, String>);

/// Of a record that fails in a first and only attempt.
const ONCE: u32 = 1;

/// Transforms records in batches, in their order.
pub(super) struct Transformation<'a> {
    shared: &'a Shared,
    meta: &'a Meta,
    transform: &'a Transform,
    waiting: Vec<Incoming>,
    waiting_bytes: usize,
    pub transformed: Vec<Transformed>,
    /// Arrivals of records that could not be transformed, and lines about them.
    pub failed: Vec<(i64, Vec<u8>)>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    records: Vec<Answered>,
}

#[derive(Debug, Deserialize)]
struct Answered {
    #[serde(rename = "recordId")]
    id: String,
    result: String,
    data: Option<String>,
    metadata: Option<Metadata>,
}

/// Source: "Create partitioning keys with an AWS Lambda function", Amazon Data Firehose developer guide.
#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(rename = "partitionKeys")]
    partition_keys: Option<BTreeMap<String, Value>>,
}

impl Metadata {
    /// The keys that have values.
    fn keys(self) -> BTreeMap<String, String> {
        let keys = self.partition_keys.unwrap_or_default().into_iter();
        keys.filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Bool(_) | Value::Number(_) => Some((name, value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        })
        .collect()
    }
}

impl Incoming {
    /// Its id in a call of a function: each record has its own.
    fn record_id(&self) -> String {
        match self.part {
            0 => self.id.clone(),
            part => format!("{}{part:06}", self.id),
        }
    }
}

impl<'a> Transformation<'a> {
    pub fn new(shared: &'a Shared, meta: &'a Meta, transform: &'a Transform) -> Self {
        Self {
            shared,
            meta,
            transform,
            waiting: Vec::new(),
            waiting_bytes: 0,
            transformed: Vec::new(),
            failed: Vec::new(),
        }
    }

    pub fn push(&mut self, record: Incoming) {
        let bytes = record.data.len();
        if !self.waiting.is_empty() && self.waiting_bytes + bytes > self.transform.bytes {
            self.flush();
        }
        self.waiting_bytes += bytes;
        self.waiting.push(record);
    }

    /// Transforms the records that wait. Blocks.
    pub fn flush(&mut self) {
        let records = std::mem::take(&mut self.waiting);
        let bytes = std::mem::take(&mut self.waiting_bytes);
        if records.is_empty() {
            return;
        }
        let (answer, attempts) = self.call(&records);
        let is_success = f64::from(u8::from(answer.is_ok()));
        self.metric("ExecuteProcessing.Success", "Count", is_success);
        match answer {
            Ok(answer) => {
                self.metric("SucceedProcessing.Records", "Count", records.len() as f64);
                self.metric("SucceedProcessing.Bytes", "Bytes", bytes as f64);
                self.take(&records, answer, attempts);
            }
            Err(failure) => {
                let (code, message) = &failure;
                report(
                    self.shared,
                    self.meta,
                    &format!("{code}: {message}"),
                    self.now_ms(),
                );
                for record in &records {
                    self.fail(record, &failure, attempts);
                }
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    fn metric(&self, name: &str, unit: &str, value: f64) {
        metric(self.shared, self.meta, name, unit, value);
    }

    /// Sorts the records by what the function says of each.
    fn take(&mut self, records: &[Incoming], answer: Answer, attempts: u32) {
        let mut by_id: HashMap<String, Answered> = HashMap::with_capacity(answer.records.len());
        for answered in answer.records {
            by_id.insert(answered.id.clone(), answered);
        }
        for record in records {
            let result = match by_id.remove(&record.record_id()) {
                None => Err((
                    "Lambda.MissingRecordId",
                    "The function did not return the record.".to_owned(),
                )),
                Some(answered) => outcome(answered),
            };
            match result {
                Ok(Some((data, keys))) => self.transformed.push(Transformed {
                    arrival_ms: record.arrival_ms,
                    data,
                    keys,
                }),
                Ok(None) => {}
                Err(failure) => self.fail(record, &failure, attempts),
            }
        }
    }

    fn fail(&mut self, record: &Incoming, failure: &Failure, attempts: u32) {
        let made = (attempts, self.now_ms());
        let mut line = failed_line(record.arrival_ms, &record.data, failure, made);
        line["lambdaArn"] = json!(self.transform.function);
        self.failed.push((record.arrival_ms, lined(&line)));
    }

    /// Calls the function, again if it fails. Returns how often it was called.
    fn call(&self, records: &[Incoming]) -> (Result<Answer, Failure>, u32) {
        let Transform {
            function,
            role,
            retries,
            ..
        } = self.transform;
        let destination = &self.shared.destination;
        if !destination.allows(role, "lambda:InvokeFunction", function) {
            let text =
                format!("The role {role} is not authorized to perform lambda:InvokeFunction on {function}.");
            return (Err(("Lambda.InvokeAccessDenied", text)), 1);
        }
        let payload = Bytes::from(self.event(records).to_string());
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (failure, pause) = match self.invoke(function, payload.clone()) {
                Ok(answer) => return (Ok(answer), attempts),
                Err(failed) => failed,
            };
            if attempts > *retries {
                return (Err(failure), attempts);
            }
            if pause {
                std::thread::sleep(PAUSE * (1 << attempts.min(5)));
            }
        }
    }

    /// One call. A failure says whether to pause before the next.
    fn invoke(&self, function: &str, payload: Bytes) -> Result<Answer, (Failure, bool)> {
        let failed = |code, message: String, pause| Err(((code, message), pause));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return failed("Lambda.UnknownError", "There is no runtime.".to_owned(), false);
        };
        let invocation = runtime.block_on(self.shared.functions.invoke(function, payload));
        match invocation.result {
            InvokeResult::Returned(body) => serde_json::from_slice(&body).map_err(|error| {
                let text = format!("The function returned an invalid response: {error}.");
                (("Lambda.JsonProcessingException", text), false)
            }),
            InvokeResult::FunctionError { payload, .. } => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                let code = match text.contains("Task timed out") {
                    true => "Lambda.FunctionTimedOut",
                    false => "Lambda.FunctionError",
                };
                let message = "The Lambda function was successfully invoked but it returned an error result";
                failed(code, format!("{message}: {text}"), false)
            }
            InvokeResult::Throttled => failed(
                "Lambda.InvokeLimitExceeded",
                "The concurrency limit of the function is reached.".to_owned(),
                true,
            ),
            InvokeResult::Refused { code, message } => {
                let known = match code.as_str() {
                    "ResourceNotFoundException" => "Lambda.ResourceNotFound",
                    _ => "Lambda.InvokeFailed",
                };
                failed(known, format!("{code}: {message}"), false)
            }
        }
    }

    fn event(&self, records: &[Incoming]) -> Value {
        let source = self.meta.source.as_ref();
        let records: Vec<Value> = records
            .iter()
            .map(|record| {
                let mut shown = json!({
                    "recordId": record.record_id(),
                    "approximateArrivalTimestamp": record.arrival_ms,
                    "data": base64_simd::STANDARD.encode_to_string(&record.data),
                });
                if source.is_some() {
                    shown["kinesisRecordMetadata"] = json!({
                        "shardId": record.shard_id,
                        "partitionKey": record.partition_key,
                        "approximateArrivalTimestamp": record.arrival_ms,
                        "sequenceNumber": record.id,
                        "subsequenceNumber": record.part,
                    });
                }
                shown
            })
            .collect();
        let mut event = json!({
            "invocationId": request_id(),
            "deliveryStreamArn": self.meta.arn(),
            "region": self.meta.region,
            "records": records,
        });
        if let Some(source) = source {
            event["sourceKinesisStreamArn"] = json!(source.stream_arn);
        }
        event
    }
}

/// What is written about a record that failed.
///
/// Source of the members: "Handle failure in data transformation", developer guide.
fn failed_line(
    arrival_ms: i64,
    data: &[u8],
    (code, message): &Failure,
    (attempts, ended_ms): (u32, i64),
) -> Value {
    json!({
        "attemptsMade": attempts,
        "arrivalTimestamp": arrival_ms,
        "errorCode": code,
        "errorMessage": message,
        "attemptEndingTimestamp": ended_ms,
        "rawData": base64_simd::STANDARD.encode_to_string(data),
    })
}

fn lined(line: &Value) -> Vec<u8> {
    let mut line = line.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// A line about a record that no function was called for.
pub(super) fn failed_once(arrival_ms: i64, data: &[u8], failure: &Failure, now_ms: i64) -> Vec<u8> {
    lined(&failed_line(arrival_ms, data, failure, (ONCE, now_ms)))
}

/// What the function made of a record, with its partition keys: `None` if it drops it.
fn outcome(answered: Answered) -> Result<Option<Keyed>, Failure> {
    let invalid = |text: &str| ("Lambda.JsonProcessingException", text.to_owned());
    match answered.result.as_str() {
        "Ok" => {
            let data = answered.data.unwrap_or_default();
            let decoded = base64_simd::STANDARD.decode_to_vec(data.as_bytes());
            let keys = answered.metadata.map(Metadata::keys).unwrap_or_default();
            decoded
                .map(|data| Some((data, keys)))
                .map_err(|_| invalid("The data of the record is not base64."))
        }
        "Dropped" => Ok(None),
        "ProcessingFailed" => Err((
            "Lambda.ProcessingFailedStatus",
            "ProcessingFailed status set for record".to_owned(),
        )),
        _ => Err(invalid(
            "The result of the record is not Ok, Dropped or ProcessingFailed.",
        )),
    }
}
