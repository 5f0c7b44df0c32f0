//! Transformation of records by a function.
//!
//! Source: "Transform source data in Amazon Data Firehose" and "Handle failure in data transformation", Amazon Data Firehose
//! developer guide; `KinesisFirehoseEvent` of aws-lambda-go.

use std::collections::HashMap;
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
    pub arrival_ms: i64,
    pub partition_key: String,
    pub shard_id: String,
    pub data: Bytes,
}

/// Why a record could not be transformed: an error code and a message.
type Failure = (&'static str, String);

/// Transforms records in batches, in their order.
pub(super) struct Transformation<'a> {
    shared: &'a Shared,
    meta: &'a Meta,
    transform: &'a Transform,
    waiting: Vec<Incoming>,
    waiting_bytes: usize,
    /// Data of transformed records.
    pub transformed: Vec<Vec<u8>>,
    /// Lines about records that could not be transformed.
    pub failed: Vec<u8>,
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
            let result = match by_id.remove(&record.id) {
                None => Err((
                    "Lambda.MissingRecordId",
                    "The function did not return the record.".to_owned(),
                )),
                Some(answered) => outcome(answered),
            };
            match result {
                Ok(Some(data)) => self.transformed.push(data),
                Ok(None) => {}
                Err(failure) => self.fail(record, &failure, attempts),
            }
        }
    }

    /// Source of the members: "Handle failure in data transformation", developer guide.
    fn fail(&mut self, record: &Incoming, (code, message): &Failure, attempts: u32) {
        let line = json!({
            "attemptsMade": attempts,
            "arrivalTimestamp": record.arrival_ms,
            "errorCode": code,
            "errorMessage": message,
            "attemptEndingTimestamp": self.now_ms(),
            "rawData": base64_simd::STANDARD.encode_to_string(&record.data),
            "lambdaArn": self.transform.function,
        });
        self.failed.extend(line.to_string().into_bytes());
        self.failed.push(b'\n');
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
                    "recordId": record.id,
                    "approximateArrivalTimestamp": record.arrival_ms,
                    "data": base64_simd::STANDARD.encode_to_string(&record.data),
                });
                if source.is_some() {
                    shown["kinesisRecordMetadata"] = json!({
                        "shardId": record.shard_id,
                        "partitionKey": record.partition_key,
                        "approximateArrivalTimestamp": record.arrival_ms,
                        "sequenceNumber": record.id,
                        "subsequenceNumber": 0,
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

/// What the function made of a record: `None` if it drops it.
fn outcome(answered: Answered) -> Result<Option<Vec<u8>>, Failure> {
    let invalid = |text: &str| ("Lambda.JsonProcessingException", text.to_owned());
    match answered.result.as_str() {
        "Ok" => {
            let data = answered.data.unwrap_or_default();
            let decoded = base64_simd::STANDARD.decode_to_vec(data.as_bytes());
            decoded
                .map(Some)
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
