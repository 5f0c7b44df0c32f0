//! Kinesis, SageMaker and SQS: services that take POST requests.

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Clients;
use super::signed::{Request, Service};
use crate::cart::{Receipt, Stream};
use crate::recommend::Endpoint;
use crate::store::{CallError, CallErrorKind, Queue};

impl Clients {
    pub fn stream(&self, name: &str) -> KinesisStream {
        KinesisStream {
            service: self.service("kinesis", "kinesis"),
            name: name.to_owned(),
        }
    }

    pub fn endpoint(&self, name: &str) -> SageMakerEndpoint {
        SageMakerEndpoint {
            service: self.service("sagemaker", "runtime.sagemaker"),
            path: format!("/endpoints/{name}/invocations"),
        }
    }

    pub fn queue(&self, url: &str) -> SqsQueue {
        SqsQueue {
            service: self.service("sqs", "sqs"),
            url: url.to_owned(),
        }
    }
}

pub struct KinesisStream {
    service: Service,
    name: String,
}

/// The input of PutRecord.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<'a> {
    stream_name: &'a str,
    partition_key: &'a str,
    /// In base64.
    data: String,
}

impl Stream for KinesisStream {
    async fn put(&self, partition_key: &str, data: &[u8]) -> Result<Receipt, CallError> {
        let input = PutRecord {
            stream_name: &self.name,
            partition_key,
            data: STANDARD.encode_to_string(data),
        };
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "Kinesis_20131202.PutRecord"),
        ];
        let request = Request {
            method: "POST",
            path: "/".into(),
            headers: &headers,
            body: json(&input)?,
            // It could store a second record.
            is_repeatable: false,
        };
        answer(&self.service.send(request).await?, "PutRecord")
    }
}

pub struct SageMakerEndpoint {
    service: Service,
    path: String,
}

impl Endpoint for SageMakerEndpoint {
    async fn invoke(&self, csv: String) -> Result<Bytes, CallError> {
        let request = Request {
            method: "POST",
            path: self.path.as_str().into(),
            headers: &[("content-type", "text/csv"), ("accept", "text/csv")],
            body: csv.into(),
            // Its caller waits for a limited time.
            is_repeatable: false,
        };
        self.service.send(request).await
    }
}

pub struct SqsQueue {
    service: Service,
    url: String,
}

/// The input of SendMessageBatch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch<'a> {
    queue_url: &'a str,
    entries: Vec<Message>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    id: String,
    message_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    #[serde(default)]
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    #[serde(default)]
    sender_fault: bool,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Queue for SqsQueue {
    async fn send(&self, bodies: Vec<String>) -> Result<Vec<(usize, CallError)>, CallError> {
        let message = |(place, message_body): (usize, String)| Message {
            id: place.to_string(),
            message_body,
        };
        let input = SendMessageBatch {
            queue_url: &self.url,
            entries: bodies.into_iter().enumerate().map(message).collect(),
        };
        // Source: "Making Query API requests using AWS JSON protocol in Amazon SQS", developer guide.
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", "AmazonSQS.SendMessageBatch"),
        ];
        let request = Request {
            method: "POST",
            path: "/".into(),
            headers: &headers,
            body: json(&input)?,
            is_repeatable: true,
        };
        let sent: Sent = answer(&self.service.send(request).await?, "SendMessageBatch")?;
        let refused = sent.failed.into_iter().filter_map(|failed| {
            let kind = match failed.sender_fault {
                true => CallErrorKind::Rejected,
                false => CallErrorKind::Transient,
            };
            let message = format!("{}: {}", failed.code, failed.message.unwrap_or_default());
            Some((failed.id.parse().ok()?, CallError::new(kind, message)))
        });
        Ok(refused.collect())
    }
}

fn json(input: &impl Serialize) -> Result<Bytes, CallError> {
    let body = serde_json::to_vec(input);
    body.map(Bytes::from)
        .map_err(|error| CallError::new(CallErrorKind::Rejected, error.to_string()))
}

fn answer<T: for<'a> Deserialize<'a>>(body: &[u8], operation: &str) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| {
        let problem = format!("the answer is not one of {operation}: {error}");
        CallError::new(CallErrorKind::Transient, problem)
    })
}
