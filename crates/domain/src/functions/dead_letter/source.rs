//! Receives and deletes messages about failed records, in a queue or a bucket.

use std::collections::HashSet;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::context::Context;
use crate::functions::invoke;
use crate::functions::mapping::{self, resource_name};
use ground::error::{self, Error, Result};

/// Key prefix of the objects of failed batches: `aws/lambda/<mapping>/<shard>/<time>-<UUID>`.
/// Source: "Retain discarded batch records …", Lambda developer guide.
const PREFIX: &str = "aws/lambda/";
/// Maximum number of messages in one call. Source: ReceiveMessage, SQS API reference.
const BATCH: i32 = 10;
/// Long polling queries all servers of the queue: an empty response means an empty queue.
const WAIT_SECONDS: i32 = 1;
/// The queue counts as empty after this many batches of messages that were received before.
const REPEATS: u32 = 3;

/// Where the messages are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageSource {
    /// A queue, by URL.
    Queue(String),
    /// A bucket, by name.
    Bucket(String),
}

/// A message as it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its id, or the key of its object.
    pub id: String,
    /// What deletes it; the key of its object.
    pub receipt: String,
    pub body: String,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: Option<i64>,
}

impl std::fmt::Display for MessageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Queue(url) => write!(f, "queue {}", url.rsplit('/').next().unwrap_or(url)),
            Self::Bucket(name) => write!(f, "bucket {name}"),
        }
    }
}

/// Finds the queue or bucket for `what`: a URL, an ARN, the name of a queue, or a function. For a function, its
/// mappings or its environment variable `QUEUE_URL` name it.
///
/// # Errors
/// Exit 2 if nothing is found.
pub async fn resolve(context: &Context, what: &str) -> Result<MessageSource> {
    if what.starts_with("http://") || what.starts_with("https://") {
        return Ok(MessageSource::Queue(what.to_owned()));
    }
    if let Some(source) = by_arn(context, what).await? {
        return Ok(source);
    }
    if let Some(url) = queue_url(context, what).await? {
        return Ok(MessageSource::Queue(url));
    }
    let function = invoke::deployed(context, what).await?.ok_or_else(|| {
        Error::usage(format!("there is no queue and no function {what:?}"))
            .hint("name a queue, its URL or ARN, a function, or a bucket with --bucket")
    })?;
    let mappings = mapping::list(context, Some(&function.name), None).await?;
    for mapping in &mappings {
        let destination = mapping.settings.on_failure.as_deref().unwrap_or_default();
        if let Some(source) = by_arn(context, destination).await? {
            return Ok(source);
        }
    }
    let stream = mappings.first().map_or("STREAM", mapping::Mapping::stream);
    match function.environment.get("QUEUE_URL") {
        Some(url) => Ok(MessageSource::Queue(url.clone())),
        None => Err(Error::usage(format!(
            "function {what} has no queue or bucket for failed records"
        ))
        .hint(format!(
            "`streamctl attach {what} --stream {stream} --on-failure queue:NAME` gives it one"
        ))),
    }
}

async fn by_arn(context: &Context, arn: &str) -> Result<Option<MessageSource>> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, service, _, _, name] = parts.as_slice() else {
        return Ok(None);
    };
    match *service {
        "s3" => Ok(Some(MessageSource::Bucket((*name).to_owned()))),
        "sqs" => match queue_url(context, name).await? {
            Some(url) => Ok(Some(MessageSource::Queue(url))),
            None => Err(Error::failed(format!("there is no queue {name}"))),
        },
        "sns" => Err(Error::usage(format!(
            "failed records go to the topic {name}, which keeps no messages"
        ))
        .hint("name the queue that is subscribed to it")),
        _ => Ok(None),
    }
}

async fn queue_url(context: &Context, name: &str) -> Result<Option<String>> {
    match context.sqs().get_queue_url().queue_name(name).send().await {
        Ok(answer) => Ok(answer.queue_url),
        Err(error) if error::aws::is_not_found(&error) || error.code() == Some("InvalidAddress") => Ok(None),
        // A name that is invalid for a queue may be the name of a function.
        Err(error) if error.code() == Some("InvalidParameterValue") => Ok(None),
        Err(error) => Err(error::aws::failed(
            format!("could not look for the queue {name}"),
            error,
        )),
    }
}

/// Takes messages out until none is left. A queue hides what was taken until it is deleted, released, or its time is
/// over.
pub(super) struct Inbox<'a> {
    context: &'a Context,
    source: &'a MessageSource,
    /// Token of the next page of objects.
    token: Option<String>,
    ended: bool,
    seen: HashSet<String>,
    repeats: u32,
}

impl<'a> Inbox<'a> {
    pub(super) fn open(context: &'a Context, source: &'a MessageSource) -> Self {
        Self {
            context,
            source,
            token: None,
            ended: false,
            seen: HashSet::new(),
            repeats: 0,
        }
    }

    /// The next messages, hidden from others for `hidden_seconds`; none once it is empty.
    pub(super) async fn next(&mut self, hidden_seconds: i32) -> Result<Vec<ReceivedMessage>> {
        while !self.ended {
            let taken = match self.source {
                MessageSource::Queue(url) => self.receive(url, hidden_seconds).await?,
                MessageSource::Bucket(name) => self.objects(name).await?,
            };
            let count = taken.len();
            let fresh: Vec<ReceivedMessage> = taken
                .into_iter()
                .filter(|held| self.seen.insert(held.id.clone()))
                .collect();
            if !fresh.is_empty() {
                self.repeats = 0;
                return Ok(fresh);
            }
            self.repeats += u32::from(count > 0);
            self.ended |= self.repeats >= REPEATS;
        }
        Ok(Vec::new())
    }

    async fn receive(&mut self, url: &str, hidden_seconds: i32) -> Result<Vec<ReceivedMessage>> {
        let call = self
            .context
            .sqs()
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(BATCH)
            .visibility_timeout(hidden_seconds)
            .wait_time_seconds(WAIT_SECONDS)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let answer = call
            .send()
            .await
            .map_err(|error| error::aws::failed(format!("could not read the {}", self.source), error))?;
        let messages = answer.messages.unwrap_or_default();
        self.ended = messages.is_empty();
        Ok(messages.into_iter().map(held).collect())
    }

    async fn objects(&mut self, bucket: &str) -> Result<Vec<ReceivedMessage>> {
        let what = |action: &str| format!("could not {action} the bucket {bucket}");
        let call = self
            .context
            .s3()
            .list_objects_v2()
            .bucket(bucket)
            .prefix(PREFIX)
            .max_keys(BATCH)
            .set_continuation_token(self.token.take());
        let page = call
            .send()
            .await
            .map_err(|error| error::aws::failed(what("list"), error))?;
        self.token = page
            .next_continuation_token
            .filter(|_| page.is_truncated == Some(true));
        self.ended = self.token.is_none();
        let mut taken = Vec::new();
        for object in page.contents.unwrap_or_default() {
            let Some(key) = object.key else { continue };
            let call = self.context.s3().get_object().bucket(bucket).key(&key).send();
            let answer = call
                .await
                .map_err(|error| error::aws::failed(what("read"), error))?;
            let body = answer
                .body
                .collect()
                .await
                .map_err(|error| Error::failed(what("read")).cause(error))?;
            taken.push(ReceivedMessage {
                id: key.clone(),
                receipt: key,
                body: String::from_utf8_lossy(&body.into_bytes()).into_owned(),
                sent_ms: object.last_modified.and_then(|time| time.to_millis().ok()),
            });
        }
        Ok(taken)
    }
}

impl MessageSource {
    /// Deletes messages; those that could not be deleted, by id with the reason.
    pub(super) async fn delete(&self, context: &Context, held: &[ReceivedMessage]) -> Vec<(String, String)> {
        let mut kept = Vec::new();
        match self {
            Self::Queue(url) => {
                for batch in held.chunks(BATCH as usize) {
                    let entries = batch.iter().enumerate().filter_map(|(index, one)| {
                        let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                        entry.receipt_handle(&one.receipt).build().ok()
                    });
                    let call = context.sqs().delete_message_batch().queue_url(url);
                    match call.set_entries(Some(entries.collect())).send().await {
                        Ok(answer) => kept.extend(answer.failed.into_iter().filter_map(|failed| {
                            let one = batch.get(failed.id.parse::<usize>().ok()?)?;
                            Some((one.id.clone(), failed.message.unwrap_or(failed.code)))
                        })),
                        Err(error) => {
                            let error = error::aws::failed("could not delete", error).chain().join(": ");
                            kept.extend(batch.iter().map(|one| (one.id.clone(), error.clone())));
                        }
                    }
                }
            }
            Self::Bucket(bucket) => {
                for one in held {
                    let call = context.s3().delete_object().bucket(bucket).key(&one.receipt);
                    if let Err(error) = call.send().await {
                        let error = error::aws::failed("could not delete", error);
                        kept.push((one.id.clone(), error.chain().join(": ")));
                    }
                }
            }
        }
        kept
    }

    /// Sets the visibility timeout of received messages to `seconds`; 0 makes them visible again. Failures are ignored:
    /// the timeout ends by itself.
    pub(super) async fn hide(&self, context: &Context, held: &[ReceivedMessage], seconds: i32) {
        let Self::Queue(url) = self else { return };
        for batch in held.chunks(BATCH as usize) {
            let entries = batch.iter().enumerate().filter_map(|(index, one)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                let entry = entry.receipt_handle(&one.receipt).visibility_timeout(seconds);
                entry.build().ok()
            });
            let call = context.sqs().change_message_visibility_batch().queue_url(url);
            if let Err(error) = call.set_entries(Some(entries.collect())).send().await {
                let error = error::aws::failed("could not change the visibility of messages", error);
                tracing::debug!("{}", error.chain().join(": "));
            }
        }
    }
}

fn held(message: Message) -> ReceivedMessage {
    let sent = message
        .attributes
        .as_ref()
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::SentTimestamp));
    ReceivedMessage {
        sent_ms: sent.and_then(|text| text.parse().ok()),
        id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
    }
}

/// The stream of a letter, if it is of this account and region.
pub(super) fn own_stream(context_region: &str, account: &str, arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ours = matches!(parts.as_slice(), ["arn", _, "kinesis", region, owner, _]
        if *region == context_region && *owner == account);
    ours.then(|| resource_name(arn).to_owned())
}
