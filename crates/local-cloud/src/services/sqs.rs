//! SQS. Ours, since awsim's can only be kept as a whole, with every message, at every change.
//!
//! Queues and messages are in a [`super::database`]; each operation is one transaction. Both protocols are spoken:
//! JSON, and the older query protocol ([`query`]).

mod fault;
mod measure;
mod message;
mod query;
mod queue;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::database::Database;
use super::tagging::Tags;
use crate::answer::{answer, identify, request_id, whole};
use crate::clock::Clock;
use crate::metrics::MetricSink;
use crate::{Body, Caller};
use fault::{Fault, Outcome};
use measure::Traffic;
use message::Wanted;
use queue::Queue;

/// Begins the target of every SQS request in JSON.
pub(super) const TARGET: &str = "AmazonSQS";
/// Source: "Amazon SQS message quotas", SQS developer guide.
const MAX_BATCH_BYTES: usize = 1 << 20;
const MAX_ENTRIES: usize = 10;
const MAX_WAIT_S: i64 = 20;

pub(super) struct Sqs {
    database: Database,
    clock: Arc<dyn Clock>,
    /// Told whenever a message may have become visible.
    arrivals: Notify,
    traffic: Traffic,
}

impl Sqs {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            database: Database::new(&dir.join("sqs.db"), queue::SCHEMA),
            clock,
            arrivals: Notify::new(),
            traffic: Traffic::default(),
        }
    }

    /// Answers a request in either protocol.
    pub async fn call(&self, caller: &Caller, parts: &Parts, body: &Bytes) -> Response<Body> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host =
            header(HOST.as_str()).or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
        let host = host.unwrap_or("localhost").to_owned();
        let id = request_id();
        if let Some((_, operation)) = header("x-amz-target").and_then(|target| target.split_once('.')) {
            let outcome = match serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) {
                Ok(input) => self.operate(caller, &host, operation, input).await,
                Err(error) => Err(Fault::parameter(error.to_string())),
            };
            return in_json(outcome, &id);
        }
        let (operation, input) = match query::read(body, parts.uri.path()) {
            Ok(request) => request,
            Err(fault) => return query::write("", Err(fault), &id),
        };
        let outcome = self.operate(caller, &host, &operation, input).await;
        query::write(&operation, outcome, &id)
    }

    async fn operate(&self, caller: &Caller, host: &str, operation: &str, input: Value) -> Outcome<Value> {
        let arn = address(caller, &input).map(|(account, name)| queue::arn(account, &caller.region, name));
        let output = if operation == "ReceiveMessage" {
            self.receive(caller, input).await?
        } else {
            self.work(caller, host, operation, &input)?
        };
        if let Some(arn) = arn {
            self.traffic.note(&arn, operation, &output, self.clock.now_ms());
        }
        Ok(output)
    }

    /// Any operation that waits for nothing.
    fn work(&self, caller: &Caller, host: &str, operation: &str, input: &Value) -> Outcome<Value> {
        let now = self.clock.now_ms();
        let url = |queue: &str| format!("http://{host}/{}/{queue}", caller.account);
        let with_queue = |work: &dyn Fn(&rusqlite::Connection, Queue) -> Outcome<Value>| {
            self.database.write(|db| work(db, named(db, caller, input)?))
        };
        let output = match operation {
            "CreateQueue" => {
                let name = self.database.write(|db| queue::create(db, caller, input, now))?;
                json!({"QueueUrl": url(&name)})
            }
            "GetQueueUrl" => {
                let name = input["QueueName"]
                    .as_str()
                    .ok_or_else(|| Fault::missing("QueueName"))?;
                let account = input["QueueOwnerAWSAccountId"]
                    .as_str()
                    .unwrap_or(&caller.account);
                let found = self
                    .database
                    .read(|db| queue::find(db, account, &caller.region, name))?;
                let queue = found.ok_or_else(Fault::no_queue)?;
                json!({"QueueUrl": format!("http://{host}/{account}/{}", queue.name)})
            }
            "ListQueues" => {
                let queues = self.database.read(|db| queue::of_caller(db, caller))?;
                list(queues.iter().map(|queue| queue.name.as_str()), input, url)
            }
            "ListDeadLetterSourceQueues" => {
                let (target, queues) = self.database.read(|db| {
                    Ok::<_, Fault>((named(db, caller, input)?.arn(), queue::of_caller(db, caller)?))
                })?;
                let sources = queues
                    .iter()
                    .filter(|queue| queue.redrive().is_some_and(|(arn, _)| arn == target));
                json!({"queueUrls": sources.map(|queue| url(&queue.name)).collect::<Vec<_>>()})
            }
            "DeleteQueue" => with_queue(&|db, queue| queue::delete(db, &queue).map(|()| json!({})))?,
            "PurgeQueue" => with_queue(&|db, queue| {
                db.execute("DELETE FROM messages WHERE queue_id = ?1", [queue.id])?;
                Ok(json!({}))
            })?,
            "GetQueueAttributes" => with_queue(&|db, queue| queue::get_attributes(db, &queue, input, now))?,
            "SetQueueAttributes" => with_queue(&|db, queue| queue::set_attributes(db, queue, input, now))?,
            "TagQueue" | "UntagQueue" => with_queue(&|db, queue| queue::change_tags(db, queue, input))?,
            "ListQueueTags" => with_queue(&|_, queue| {
                Ok(if queue.tags.is_empty() {
                    json!({})
                } else {
                    json!({"Tags": queue.tags})
                })
            })?,
            "SendMessage" => with_queue(&|db, queue| message::send(db, &queue, input, now))?,
            "DeleteMessage" => {
                with_queue(&|db, queue| message::delete(db, &queue, input).map(|()| json!({})))?
            }
            "ChangeMessageVisibility" => with_queue(&|db, queue| {
                message::change_visibility(db, &queue, input, now).map(|()| json!({}))
            })?,
            "SendMessageBatch" => {
                with_queue(&|db, queue| batch(input, |entry| message::send(db, &queue, entry, now)))?
            }
            "DeleteMessageBatch" => with_queue(&|db, queue| {
                batch(input, |entry| {
                    message::delete(db, &queue, entry).map(|()| json!({}))
                })
            })?,
            "ChangeMessageVisibilityBatch" => with_queue(&|db, queue| {
                batch(input, |entry| {
                    message::change_visibility(db, &queue, entry, now).map(|()| json!({}))
                })
            })?,
            _ => {
                return Err(Fault::new(
                    "UnknownOperationException",
                    format!("The local cloud does not offer SQS's operation {operation}."),
                ));
            }
        };
        if operation.starts_with("SendMessage") || operation.starts_with("ChangeMessageVisibility") {
            self.arrivals.notify_waiters();
        }
        Ok(output)
    }

    async fn receive(&self, caller: &Caller, input: Value) -> Outcome<Value> {
        let queue = self.database.read(|db| named(db, caller, &input))?;
        let wanted = Wanted::of(&queue, &input)?;
        let wait = match input["WaitTimeSeconds"].as_i64() {
            None => queue.number("ReceiveMessageWaitTimeSeconds"),
            Some(wait @ 0..=MAX_WAIT_S) => wait,
            Some(wait) => {
                return Err(Fault::parameter(format!(
                    "Value {wait} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if \
                     provided."
                )));
            }
        };
        let deadline = Instant::now() + Duration::from_secs(u64::try_from(wait).unwrap_or(0));
        loop {
            let mut arrival = std::pin::pin!(self.arrivals.notified());
            arrival.as_mut().enable();
            let now = self.clock.now_ms();
            // Most looks at an idle queue find nothing, and change nothing.
            let (is_ready, next) = self.database.read(|db| {
                // It may have been deleted meanwhile.
                let queue = named(db, caller, &input)?;
                let is_ready = message::is_ready(db, &queue, now)?;
                let next = message::next_visible(db, &queue, now)?;
                Ok::<_, Fault>((is_ready, next))
            })?;
            if is_ready {
                let messages = self
                    .database
                    .write(|db| message::receive(db, &queue, &wanted, now))?;
                if !messages.is_empty() {
                    return Ok(json!({ "Messages": messages }));
                }
            }
            if Instant::now() >= deadline {
                return Ok(json!({}));
            }
            let until = next.map(|next| {
                Instant::now() + Duration::from_millis(u64::try_from(next - now).unwrap_or(0).max(1))
            });
            let until = until.map_or(deadline, |until| until.min(deadline));
            let _ = tokio::time::timeout_at(until, arrival).await;
        }
    }

    /// Sends messages (bodies, and attributes in the form of SendMessage) to the queue `arn`.
    ///
    /// # Errors
    /// SQS's own.
    pub fn send(&self, arn: &str, input: &Value) -> Outcome<()> {
        let now = self.clock.now_ms();
        self.database.write(|db| {
            let queue = queue::find_by_arn(db, arn)?.ok_or_else(Fault::no_queue)?;
            message::send(db, &queue, input, now)
        })?;
        self.traffic.note(arn, "SendMessage", &Value::Null, now);
        self.arrivals.notify_waiters();
        Ok(())
    }

    /// The tagged queues of `caller`, by ARN.
    pub fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        if !self.database.exists() {
            return BTreeMap::new();
        }
        let queues = self
            .database
            .read(|db| queue::of_caller(db, caller))
            .unwrap_or_default();
        let tagged = queues.into_iter().filter(|queue| !queue.tags.is_empty());
        tagged.map(|queue| (queue.arn(), queue.tags)).collect()
    }

    /// Hands `sink` the metrics of the last minute. Blocks.
    pub fn measure(&self, sink: &dyn MetricSink) {
        if !self.database.exists() {
            return;
        }
        let now = self.clock.now_ms();
        let told = self.database.read(|db| {
            for queue in queue::all(db)? {
                self.traffic.tell(&queue, &queue.holds(db, now)?, now, sink);
            }
            Ok::<_, Fault>(())
        });
        if let Err(fault) = told {
            tracing::warn!(message = fault.message, "could not measure the queues");
        }
    }

    /// Deletes messages that are older than their queue keeps them. Blocks.
    pub fn sweep(&self) {
        if !self.database.exists() {
            return;
        }
        let now = self.clock.now_ms();
        let swept = self.database.write(|db| {
            for queue in queue::all(db)? {
                db.execute(
                    "DELETE FROM messages WHERE queue_id = ?1 AND sent_ms <= ?2",
                    [queue.id, queue.oldest(now)],
                )?;
            }
            db.execute("DELETE FROM sent WHERE at_ms < ?1", [now - 600_000])?;
            Ok::<_, Fault>(())
        });
        if let Err(fault) = swept {
            tracing::warn!(message = fault.message, "could not delete old messages");
        }
    }
}

/// The queue that `QueueUrl` names: the last two parts of its path, in the caller's region.
fn named(db: &rusqlite::Connection, caller: &Caller, input: &Value) -> Outcome<Queue> {
    let (account, name) = address(caller, input).ok_or_else(|| Fault::missing("QueueUrl"))?;
    queue::find(db, account, &caller.region, name)?.ok_or_else(Fault::no_queue)
}

/// Account and name of the queue that `QueueUrl` names.
fn address<'a>(caller: &'a Caller, input: &'a Value) -> Option<(&'a str, &'a str)> {
    let mut parts = input["QueueUrl"].as_str()?.trim_end_matches('/').rsplit('/');
    let name = parts.next().unwrap_or_default();
    let account = parts
        .next()
        .filter(|part| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit()));
    Some((account.unwrap_or(&caller.account), name))
}

fn list<'a>(names: impl Iterator<Item = &'a str>, input: &Value, url: impl Fn(&str) -> String) -> Value {
    let prefix = input["QueueNamePrefix"].as_str().unwrap_or_default();
    let after = input["NextToken"].as_str().unwrap_or_default();
    let max = input["MaxResults"]
        .as_u64()
        .and_then(|max| usize::try_from(max).ok())
        .unwrap_or(1000);
    let mut names: Vec<&str> = names
        .filter(|name| name.starts_with(prefix) && *name > after)
        .collect();
    let is_last = names.len() <= max;
    names.truncate(max);
    let mut out = json!({});
    if !names.is_empty() {
        out["QueueUrls"] = json!(names.iter().map(|name| url(name)).collect::<Vec<_>>());
    }
    if !is_last {
        out["NextToken"] = json!(names.last());
    }
    out
}

/// Does `work` with each entry: one that fails does not keep the others from being done.
fn batch(input: &Value, work: impl Fn(&Value) -> Outcome<Value>) -> Outcome<Value> {
    let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    match entries.len() {
        0 => {
            return Err(Fault::new(
                "EmptyBatchRequest",
                "There should be at least one entry in the request.",
            ));
        }
        1..=MAX_ENTRIES => {}
        count => {
            return Err(Fault::new(
                "TooManyEntriesInBatchRequest",
                format!("Maximum number of entries per request are {MAX_ENTRIES}. You have sent {count}."),
            ));
        }
    }
    let mut ids = HashSet::new();
    for entry in entries {
        let id = entry["Id"].as_str().unwrap_or_default();
        let is_sound = (1..=80).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !is_sound {
            return Err(Fault::new(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at \
                 most 80 letters long.",
            ));
        }
        if !ids.insert(id) {
            return Err(Fault::new(
                "BatchEntryIdsNotDistinct",
                format!("Id {id} repeated."),
            ));
        }
    }
    let bytes: usize = entries
        .iter()
        .filter_map(|entry| entry["MessageBody"].as_str())
        .map(str::len)
        .sum();
    if bytes > MAX_BATCH_BYTES {
        return Err(Fault::new(
            "BatchRequestTooLong",
            format!(
                "Batch requests cannot be longer than {MAX_BATCH_BYTES} bytes. You have sent {bytes} bytes."
            ),
        ));
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match work(entry) {
            Ok(mut output) => {
                output["Id"] = entry["Id"].clone();
                successful.push(output);
            }
            Err(fault) if fault.status == 500 => return Err(fault),
            Err(fault) => failed.push(json!({
                "Id": entry["Id"], "SenderFault": true, "Code": fault.query_code(), "Message": fault.message,
            })),
        }
    }
    let mut out = json!({ "Successful": successful });
    if !failed.is_empty() {
        out["Failed"] = Value::Array(failed);
    }
    Ok(out)
}

fn in_json(outcome: Outcome<Value>, id: &str) -> Response<Body> {
    const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
    let mut response = match &outcome {
        Ok(output) => answer(200, CONTENT_TYPE, whole(output.to_string().into_bytes())),
        Err(fault) => {
            let body = json!({"__type": fault.json_code(), "message": fault.message});
            let mut response = answer(fault.status, CONTENT_TYPE, whole(body.to_string().into_bytes()));
            let side = if fault.status < 500 { "Sender" } else { "Receiver" };
            if let Ok(value) = HeaderValue::from_str(&format!("{};{side}", fault.query_code())) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static("x-amzn-query-error"), value);
            }
            response
        }
    };
    identify(&mut response, id);
    response
}
