//! SQS. (awsim's state can only be saved as a whole, with every message, at every change.)
//!
//! Queues and messages are in a [`crate::database`]; each operation is one transaction. Serves both protocols: JSON,
//! and the older query protocol ([`query`]).

mod error;
mod measure;
mod message;
mod query;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::HOST;
use http::{HeaderName, HeaderValue, Response};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::answer::{answer, identify, request_id, whole};
use crate::clock::Clock;
use crate::database::Database;
use crate::json::{TooManyValues, admit};
use crate::metrics::MetricSink;
use crate::operation::operations;
use crate::service::{self, Permission, Request, Service};
use crate::types::{Body, Caller, Tags};
use daemon::protocol::Damage;
use error::{ApiError, Result};
use measure::Traffic;
use message::Wanted;
use queue::Queue;

operations! {
    enum Operation {
        ChangeMessageVisibility,
        ChangeMessageVisibilityBatch,
        CreateQueue,
        DeleteMessage,
        DeleteMessageBatch,
        DeleteQueue,
        GetQueueAttributes,
        GetQueueUrl,
        ListDeadLetterSourceQueues,
        ListQueues,
        ListQueueTags,
        PurgeQueue,
        ReceiveMessage,
        SendMessage,
        SendMessageBatch,
        SetQueueAttributes,
        TagQueue,
        UntagQueue,
    }
}

/// Source: "Amazon SQS message quotas", SQS developer guide.
const MAX_BATCH_BYTES: usize = 1 << 20;
const MAX_ENTRIES: usize = 10;
const MAX_WAIT_S: i64 = 20;

pub(crate) struct Sqs {
    database: Database,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn MetricSink>,
    /// Notified whenever a message may have become visible.
    arrivals: Notify,
    traffic: Traffic,
}

impl Sqs {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>, metrics: Arc<dyn MetricSink>) -> Self {
        Self {
            database: Database::new(&dir.join("sqs.db"), queue::SCHEMA),
            clock,
            metrics,
            arrivals: Notify::new(),
            traffic: Traffic::default(),
        }
    }

    async fn answer(&self, request: &Request) -> Response<Body> {
        let host = match request.header(HOST.as_str()) {
            "" => request
                .parts
                .uri
                .authority()
                .map_or("localhost", |host| host.as_str()),
            host => host,
        };
        let (caller, body) = (&request.caller, &request.body);
        let id = request_id();
        if let Some((_, operation)) = request.target() {
            let Ok(_permit) = admit(body).await else {
                return in_json(Err(ApiError::parameter(TooManyValues::MESSAGE)), &id);
            };
            let result = match serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) {
                Ok(input) => self.run(caller, host, operation, input).await,
                Err(error) => Err(ApiError::parameter(error.to_string())),
            };
            return in_json(result, &id);
        }
        let (operation, input) = match query::read(body, request.parts.uri.path()) {
            Ok(request) => request,
            Err(malformed) => return query::write("", Err(malformed), &id),
        };
        let result = self.run(caller, host, &operation, input).await;
        query::write(&operation, result, &id)
    }

    async fn run(&self, caller: &Caller, host: &str, operation: &str, input: Value) -> Result<Value> {
        let operation = Operation::parse(operation).ok_or_else(|| {
            ApiError::new(
                "UnknownOperationException",
                format!("The local cloud does not offer SQS's operation {operation}."),
            )
        })?;
        let arn = address(caller, &input).map(|(account, name)| queue::arn(account, &caller.region, name));
        let output = self.execute(caller, host, operation, input).await?;
        if let Some(arn) = arn {
            self.traffic.count(&arn, operation, &output, self.clock.now_ms());
        }
        let may_be_visible = matches!(
            operation,
            Operation::SendMessage
                | Operation::SendMessageBatch
                | Operation::ChangeMessageVisibility
                | Operation::ChangeMessageVisibilityBatch
        );
        if may_be_visible {
            self.arrivals.notify_waiters();
        }
        Ok(output)
    }

    async fn execute(
        &self,
        caller: &Caller,
        host: &str,
        operation: Operation,
        input: Value,
    ) -> Result<Value> {
        let now = self.clock.now_ms();
        let input = &input;
        let with_queue = |work: &dyn Fn(&Connection, Queue) -> Result<Value>| {
            self.database.write(|db| work(db, named(db, caller, input)?))
        };
        let done = |()| json!({});
        use Operation as O;
        match operation {
            O::CreateQueue => {
                let name = self.database.write(|db| queue::create(db, caller, input, now))?;
                Ok(json!({"QueueUrl": url(host, &caller.account, &name)}))
            }
            O::GetQueueUrl => self.get_queue_url(caller, host, input),
            O::ListQueues => {
                let queues = self.database.read(|db| queue::of_caller(db, caller))?;
                let names = queues.iter().map(|queue| queue.name.as_str());
                Ok(list(names, input, |name| url(host, &caller.account, name)))
            }
            O::ListDeadLetterSourceQueues => self.list_sources(caller, host, input),
            O::DeleteQueue => with_queue(&|db, queue| queue::delete(db, &queue).map(done)),
            O::PurgeQueue => with_queue(&|db, queue| queue::purge(db, queue, now).map(done)),
            O::GetQueueAttributes => with_queue(&|db, queue| queue::get_attributes(db, &queue, input, now)),
            O::SetQueueAttributes => with_queue(&|db, queue| queue::set_attributes(db, queue, input, now)),
            O::TagQueue | O::UntagQueue => with_queue(&|db, queue| queue::change_tags(db, queue, input)),
            O::ListQueueTags => with_queue(&|_, queue| match queue.tags {
                tags if tags.is_empty() => Ok(json!({})),
                tags => Ok(json!({ "Tags": tags })),
            }),
            O::ReceiveMessage => self.receive(caller, input).await,
            O::SendMessage | O::DeleteMessage | O::ChangeMessageVisibility => {
                with_queue(&|db, queue| change_message(db, &queue, operation, input, now))
            }
            O::SendMessageBatch | O::DeleteMessageBatch | O::ChangeMessageVisibilityBatch => {
                with_queue(&|db, queue| {
                    batch(input, |entry| change_message(db, &queue, operation, entry, now))
                })
            }
        }
    }

    fn get_queue_url(&self, caller: &Caller, host: &str, input: &Value) -> Result<Value> {
        let name = input["QueueName"]
            .as_str()
            .ok_or_else(|| ApiError::missing("QueueName"))?;
        let account = input["QueueOwnerAWSAccountId"]
            .as_str()
            .unwrap_or(&caller.account);
        let found = self
            .database
            .read(|db| queue::find(db, account, &caller.region, name))?;
        let queue = found.ok_or_else(ApiError::no_queue)?;
        Ok(json!({"QueueUrl": url(host, account, &queue.name)}))
    }

    fn list_sources(&self, caller: &Caller, host: &str, input: &Value) -> Result<Value> {
        let (target, queues) = self
            .database
            .read(|db| Ok::<_, ApiError>((named(db, caller, input)?.arn(), queue::of_caller(db, caller)?)))?;
        let sources = queues
            .iter()
            .filter(|queue| queue.redrive().is_some_and(|(arn, _)| arn == target));
        let urls = sources.map(|queue| url(host, &caller.account, &queue.name));
        Ok(json!({"queueUrls": urls.collect::<Vec<_>>()}))
    }

    async fn receive(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let queue = self.database.read(|db| named(db, caller, input))?;
        let wanted = Wanted::of(&queue, input)?;
        let wait = match input["WaitTimeSeconds"].as_i64() {
            None => queue.number("ReceiveMessageWaitTimeSeconds"),
            Some(wait @ 0..=MAX_WAIT_S) => wait,
            Some(wait) => {
                return Err(ApiError::parameter(format!(
                    "Value {wait} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if \
                     provided."
                )));
            }
        };
        let deadline = Instant::now() + Duration::from_secs(u64::try_from(wait).unwrap_or(0));
        loop {
            let mut arrival = std::pin::pin!(self.arrivals.notified());
            arrival.as_mut().enable();
            let advanced = self.clock.advanced();
            let now = self.clock.now_ms();
            // Most polls of an idle queue find nothing: read before writing.
            let (is_ready, next) = self.database.read(|db| {
                // It may have been deleted meanwhile.
                let queue = named(db, caller, input)?;
                let is_ready = message::is_ready(db, &queue, now)?;
                let next = message::next_visible(db, &queue, now)?;
                Ok::<_, ApiError>((is_ready, next))
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
            tokio::select! {
                () = arrival => {}
                () = advanced => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Sends a message to the queue `arn`. `input` is that of SendMessage.
    ///
    /// # Errors
    /// Those of SendMessage.
    pub fn send(&self, arn: &str, input: &Value) -> Result<()> {
        let now = self.clock.now_ms();
        self.database.write(|db| {
            let queue = queue::find_by_arn(db, arn)?.ok_or_else(ApiError::no_queue)?;
            message::send(db, &queue, input, now)
        })?;
        self.traffic.count(arn, Operation::SendMessage, &Value::Null, now);
        self.arrivals.notify_waiters();
        Ok(())
    }

    /// Records the metrics of the last minute.
    fn measure(&self) {
        if !self.database.exists() {
            return;
        }
        let now = self.clock.now_ms();
        let measured = self.database.read(|db| {
            for queue in queue::all(db)? {
                let depth = queue.depth(db, now)?;
                self.traffic.record(&queue, &depth, now, &*self.metrics);
            }
            Ok::<_, ApiError>(())
        });
        if let Err(error) = measured {
            tracing::warn!(message = error.message, "could not measure the queues");
        }
    }

    /// Deletes messages that are older than the retention period of their queue.
    fn sweep(&self) {
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
            Ok::<_, ApiError>(())
        });
        if let Err(error) = swept {
            tracing::warn!(message = error.message, "could not delete old messages");
        }
    }
}

impl Service for Sqs {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move { self.answer(&request).await }.boxed()
    }

    /// A message or batch has up to 1 MiB (SQS API reference). JSON can escape a character as six bytes.
    fn max_body(&self) -> usize {
        8 << 20
    }

    fn permissions(&self, request: &Request) -> Vec<Permission> {
        let Some((operation, input)) = service::operation(request) else {
            return Vec::new();
        };
        let queue = input["QueueUrl"].as_str().or(input["QueueName"].as_str());
        let queue = queue.map(|queue| queue.rsplit('/').next().unwrap_or_default());
        // A batch needs the permission of its entries.
        let action = operation.strip_suffix("Batch").unwrap_or(&operation);
        let resource = queue.map(|queue| service::arn(&request.caller, "sqs", queue));
        vec![Permission::new("sqs", action, resource)]
    }

    fn access_denied(&self) -> (u16, &'static str) {
        (403, "AccessDeniedException")
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
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

    fn tick(&self) {
        self.measure();
        self.sweep();
    }

    fn open(&self) {
        self.database.open_existing();
    }

    fn damage(&self) -> Vec<Damage> {
        self.database.damage()
    }

    fn shutdown(&self) {
        self.database.close();
    }
}

/// For the tests of services that send to queues.
#[cfg(test)]
pub(crate) struct Received {
    pub body: String,
    pub group: Option<String>,
    pub deduplication: Option<String>,
}

#[cfg(test)]
impl Sqs {
    /// Creates a queue and returns its ARN.
    pub fn created(&self, name: &str) -> String {
        let caller = Caller::default();
        let input = json!({"QueueName": name});
        let created = self.database.write(|db| queue::create(db, &caller, &input, 0));
        queue::arn(&caller.account, &caller.region, &created.unwrap())
    }

    /// The messages in a queue, in the order in which they were sent.
    pub fn taken(&self, arn: &str) -> Vec<Received> {
        let read = self.database.read(|db| {
            let queue = queue::find_by_arn(db, arn)?.unwrap();
            let sql = "SELECT body, group_id, dedup_id FROM messages WHERE queue_id = ?1 ORDER BY id";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map([queue.id], |row| {
                Ok(Received {
                    body: row.get(0)?,
                    group: row.get(1)?,
                    deduplication: row.get(2)?,
                })
            })?;
            Ok::<_, ApiError>(rows.collect::<Result<Vec<_>, _>>()?)
        });
        read.unwrap()
    }
}

fn url(host: &str, account: &str, queue: &str) -> String {
    format!("http://{host}/{account}/{queue}")
}

/// The queue that `QueueUrl` names: the last two parts of its path, in the caller's region.
fn named(db: &Connection, caller: &Caller, input: &Value) -> Result<Queue> {
    let (account, name) = address(caller, input).ok_or_else(|| ApiError::missing("QueueUrl"))?;
    queue::find(db, account, &caller.region, name)?.ok_or_else(ApiError::no_queue)
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

/// Sends, deletes or hides one message. `input` is the request, or an entry of a batch.
fn change_message(
    db: &Connection,
    queue: &Queue,
    operation: Operation,
    input: &Value,
    now: i64,
) -> Result<Value> {
    use Operation as O;
    match operation {
        O::DeleteMessage | O::DeleteMessageBatch => message::delete(db, queue, input)?,
        O::ChangeMessageVisibility | O::ChangeMessageVisibilityBatch => {
            message::change_visibility(db, queue, input, now)?;
        }
        _ => return message::send(db, queue, input, now),
    }
    Ok(json!({}))
}

/// The entries of a batch, if their number, ids and size are valid.
fn entries(input: &Value) -> Result<&[Value]> {
    let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let error = |code, message: String| Err(ApiError::new(code, message));
    if entries.is_empty() {
        return error(
            "EmptyBatchRequest",
            "There should be at least one entry in the request.".to_owned(),
        );
    }
    let count = entries.len();
    if count > MAX_ENTRIES {
        return error(
            "TooManyEntriesInBatchRequest",
            format!("Maximum number of entries per request are {MAX_ENTRIES}. You have sent {count}."),
        );
    }
    let mut ids = HashSet::new();
    for entry in entries {
        let id = entry["Id"].as_str().unwrap_or_default();
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=80).contains(&id.len()) || !id.bytes().all(is_allowed) {
            return error(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at \
                 most 80 letters long."
                    .to_owned(),
            );
        }
        if !ids.insert(id) {
            return error("BatchEntryIdsNotDistinct", format!("Id {id} repeated."));
        }
    }
    let bodies = entries.iter().filter_map(|entry| entry["MessageBody"].as_str());
    let bytes: usize = bodies.map(str::len).sum();
    if bytes > MAX_BATCH_BYTES {
        return error(
            "BatchRequestTooLong",
            format!(
                "Batch requests cannot be longer than {MAX_BATCH_BYTES} bytes. You have sent {bytes} bytes."
            ),
        );
    }
    Ok(entries)
}

/// Runs `work` for each entry. An entry that fails does not affect the others.
fn batch(input: &Value, work: impl Fn(&Value) -> Result<Value>) -> Result<Value> {
    let entries = entries(input)?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match work(entry) {
            Ok(mut output) => {
                output["Id"] = entry["Id"].clone();
                successful.push(output);
            }
            Err(error) if error.status == 500 => return Err(error),
            Err(error) => failed.push(json!({
                "Id": entry["Id"], "SenderFault": true, "Code": error.query_code(), "Message": error.message,
            })),
        }
    }
    let mut out = json!({ "Successful": successful });
    if !failed.is_empty() {
        out["Failed"] = Value::Array(failed);
    }
    Ok(out)
}

fn in_json(result: Result<Value>, id: &str) -> Response<Body> {
    const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
    let mut response = match &result {
        Ok(output) => answer(200, CONTENT_TYPE, whole(output.to_string().into_bytes())),
        Err(error) => {
            let body = json!({"__type": error.json_code(), "message": error.message});
            let mut response = answer(error.status, CONTENT_TYPE, whole(body.to_string().into_bytes()));
            let side = if error.status < 500 { "Sender" } else { "Receiver" };
            if let Ok(value) = HeaderValue::from_str(&format!("{};{side}", error.query_code())) {
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
