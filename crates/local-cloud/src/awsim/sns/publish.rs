//! Publish and PublishBatch: to queues before the answer, to functions as asynchronous invocations, which are stored
//! before the answer too. awsim's forget the order of FIFO topics.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use awsim_core::{AwsError, RequestContext};
use awsim_sns::state::{SnsState, Subscription};
use bytes::Bytes;
use serde_json::{Value, json};

use super::Sns;
use super::message::{MAX_BYTES, Message, Order, invalid};

/// Source: "Message deduplication for FIFO topics", SNS developer guide.
const DEDUPLICATION_MS: i64 = 5 * 60_000;
const MAX_ENTRIES: usize = 10;

/// What was published to FIFO topics in the last minutes.
#[derive(Default)]
pub(super) struct Recent(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Id and sequence number by topic and deduplication id, and when.
    messages: HashMap<(String, String), (String, String, i64)>,
    /// The last sequence number.
    last: i64,
}

impl Recent {
    /// The next sequence number: 20 digits that grow, also over a restart.
    fn next(known: &mut Known, now_ms: i64) -> String {
        known.last = (known.last + 1).max(now_ms.saturating_mul(1000));
        format!("1{:019}", known.last)
    }

    /// The order of a message, or the id and sequence number of the message that it repeats.
    fn order(
        &self,
        topic: &str,
        group: String,
        deduplication: String,
        id: &str,
        now_ms: i64,
    ) -> Result<Order, (String, String)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .messages
            .retain(|_, (.., at)| now_ms - *at < DEDUPLICATION_MS);
        let key = (topic.to_owned(), deduplication.clone());
        if let Some((id, sequence, _)) = known.messages.get(&key) {
            return Err((id.clone(), sequence.clone()));
        }
        let sequence = Self::next(&mut known, now_ms);
        known
            .messages
            .insert(key, (id.to_owned(), sequence.clone(), now_ms));
        Ok(Order {
            group,
            deduplication,
            sequence,
        })
    }
}

impl Sns {
    pub(super) fn publish(&self, input: &Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        if input["PhoneNumber"].is_string() {
            return Err(invalid("PhoneNumber Reason: the local cloud sends no SMS"));
        }
        let topic = input["TopicArn"].as_str().or(input["TargetArn"].as_str());
        let topic =
            topic.ok_or_else(|| invalid("TopicArn or TargetArn Reason: no value for required parameter"))?;
        self.publish_one(topic, input, &self.state(ctx))
    }

    pub(super) fn publish_batch(&self, input: &Value, ctx: &RequestContext) -> Result<Value, AwsError> {
        let topic = input["TopicArn"].as_str().unwrap_or_default();
        let state = self.state(ctx);
        if !state.topics.contains_key(topic) {
            return Err(no_topic());
        }
        let empty = Vec::new();
        let entries = input["PublishBatchRequestEntries"].as_array().unwrap_or(&empty);
        check_entries(topic, entries)?;
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            match self.publish_one(topic, entry, &state) {
                Ok(mut output) => {
                    output["Id"] = entry["Id"].clone();
                    successful.push(output);
                }
                Err(error) => failed.push(json!({
                    "Id": entry["Id"],
                    "Code": error.code,
                    "Message": error.message,
                    "SenderFault": true,
                })),
            }
        }
        Ok(json!({"Successful": {"member": successful}, "Failed": {"member": failed}}))
    }

    fn publish_one(&self, topic: &str, input: &Value, state: &SnsState) -> Result<Value, AwsError> {
        let (is_fifo, by_content, by_group) = {
            let topic = state.topics.get(topic).ok_or_else(no_topic)?;
            let is = |name: &str, value: &str| topic.attributes.get(name).is_some_and(|set| set == value);
            (
                topic.is_fifo,
                is("ContentBasedDeduplication", "true"),
                is("FifoThroughputScope", "MessageGroup"),
            )
        };
        let mut message = Message::read(topic, input)?;
        if is_fifo {
            let (group, deduplication) = fifo(&message, input, by_content)?;
            let scope = if by_group {
                format!("{topic}/{group}")
            } else {
                topic.to_owned()
            };
            let now_ms = jiff::Timestamp::now().as_millisecond();
            match self
                .recent
                .order(&scope, group, deduplication, &message.id, now_ms)
            {
                Ok(order) => message.order = Some(order),
                Err((id, sequence)) => return Ok(json!({"MessageId": id, "SequenceNumber": sequence})),
            }
        } else if input["MessageDeduplicationId"].is_string() {
            return Err(invalid(
                "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not \
                 valid for this topic type",
            ));
        }
        self.fan_out(&message, state);
        let mut output = json!({"MessageId": message.id});
        if let Some(order) = message.order {
            output["SequenceNumber"] = json!(order.sequence);
        }
        Ok(output)
    }

    /// Delivers a message to the subscriptions of its topic.
    fn fan_out(&self, message: &Message, state: &SnsState) {
        let subscriptions: Vec<Subscription> = state
            .subscriptions
            .iter()
            .filter(|subscription| subscription.topic_arn == message.topic)
            .map(|subscription| subscription.clone())
            .collect();
        for subscription in subscriptions {
            let attribute = |name: &str| subscription.attributes.get(name).map(String::as_str);
            if !message.passes(attribute("FilterPolicy"), attribute("FilterPolicyScope")) {
                continue;
            }
            let is_raw = attribute("RawMessageDelivery") == Some("true");
            let delivered = match subscription.protocol.as_str() {
                "sqs" => self.send(
                    &subscription.endpoint,
                    &message.for_queue(&subscription.arn, is_raw),
                ),
                "lambda" => self.invoke(&subscription.endpoint, &message.for_function(&subscription.arn)),
                "email" | "email-json" => {
                    // The local cloud sends no email: its log shows what would have been sent.
                    let (endpoint, topic) = (&subscription.endpoint, &message.topic);
                    tracing::warn!(
                        topic,
                        endpoint,
                        subject = message.subject(),
                        "an email was not sent"
                    );
                    continue;
                }
                _ => continue,
            };
            if let Err(reason) = delivered {
                let (endpoint, topic) = (&subscription.endpoint, &message.topic);
                tracing::warn!(topic, endpoint, reason, "a topic could not deliver a message");
                self.send_to_dead_letter(message, &subscription, is_raw);
            }
        }
    }

    fn send(&self, queue: &str, input: &Value) -> Result<(), String> {
        self.queues.send(queue, input).map_err(|error| error.message)
    }

    fn invoke(&self, function: &str, event: &Value) -> Result<(), String> {
        let functions = self.functions.get().ok_or("the local cloud is stopping")?;
        let event = Bytes::from(event.to_string());
        functions
            .invoke_async(function, event)
            .map_err(|error| error.to_string())
    }

    /// Source: "Amazon SNS dead-letter queues", SNS developer guide.
    fn send_to_dead_letter(&self, message: &Message, subscription: &Subscription, is_raw: bool) {
        let policy = subscription.attributes.get("RedrivePolicy");
        let policy = policy.and_then(|policy| serde_json::from_str::<Value>(policy).ok());
        let Some(queue) = policy
            .as_ref()
            .and_then(|policy| policy["deadLetterTargetArn"].as_str())
        else {
            return;
        };
        if let Err(reason) = self.send(queue, &message.for_queue(&subscription.arn, is_raw)) {
            tracing::warn!(
                queue,
                reason,
                "a dead-letter queue of a subscription could not take a message"
            );
        }
    }

    /// # Errors
    /// When a topic does not take subscriptions of this protocol and endpoint.
    pub(super) fn check_subscription(&self, input: &Value, ctx: &RequestContext) -> Result<(), AwsError> {
        let topic = input["TopicArn"].as_str().unwrap_or_default();
        let Some(is_fifo) = self.state(ctx).topics.get(topic).map(|topic| topic.is_fifo) else {
            return Err(no_topic());
        };
        let endpoint = input["Endpoint"].as_str().unwrap_or_default();
        let is_fifo_queue = std::path::Path::new(endpoint)
            .extension()
            .is_some_and(|extension| extension == "fifo");
        match input["Protocol"].as_str() {
            Some("sqs") if !(endpoint.starts_with("arn:") && endpoint.contains(":sqs:")) => {
                Err(invalid("SQS endpoint ARN"))
            }
            Some("sqs") if is_fifo_queue && !is_fifo => Err(invalid(
                "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
            )),
            Some("sqs") => Ok(()),
            Some(protocol) if is_fifo => Err(invalid(format_args!(
                "Protocol Reason: FIFO topics deliver to SQS queues only, not to {protocol}"
            ))),
            Some("lambda") if !(endpoint.starts_with("arn:") && endpoint.contains(":lambda:")) => {
                Err(invalid("Lambda endpoint ARN"))
            }
            _ => Ok(()),
        }
    }
}

fn no_topic() -> AwsError {
    AwsError::not_found("NotFound", "Topic does not exist")
}

/// Group and deduplication id of a message for a FIFO topic.
fn fifo(message: &Message, input: &Value, by_content: bool) -> Result<(String, String), AwsError> {
    let is_sound = |id: &str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let text = |field: &str| match input[field].as_str() {
        Some(id) if !is_sound(id) => Err(invalid(format_args!(
            "{field} Reason: {field} can only include alphanumeric and punctuation characters. 1 to 128 in length"
        ))),
        id => Ok(id.map(str::to_owned)),
    };
    let group = text("MessageGroupId")?
        .ok_or_else(|| invalid("The MessageGroupId parameter is required for FIFO topics"))?;
    match text("MessageDeduplicationId")? {
        Some(deduplication) => Ok((group, deduplication)),
        None if by_content => Ok((group, message.digest())),
        None => Err(invalid(
            "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
             explicitly",
        )),
    }
}

/// Source: PublishBatch, SNS API reference, errors.
fn check_entries(topic: &str, entries: &[Value]) -> Result<(), AwsError> {
    let refused = |code: &str, message: &str| Err(AwsError::bad_request(code, message));
    if entries.is_empty() {
        return refused(
            "EmptyBatchRequest",
            "The batch request doesn't contain any entries.",
        );
    }
    if entries.len() > MAX_ENTRIES {
        return refused(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        );
    }
    let mut ids = HashSet::new();
    for entry in entries {
        let id = entry["Id"].as_str().unwrap_or_default();
        let is_sound = (1..=80).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !is_sound {
            return refused(
                "InvalidBatchEntryId",
                "The Id of a batch entry in a batch request doesn't abide by the specification.",
            );
        }
        if !ids.insert(id) {
            return refused(
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.",
            );
        }
    }
    let sizes = entries
        .iter()
        .filter_map(|entry| Message::read(topic, entry).ok());
    if sizes.map(|message| message.size()).sum::<usize>() > MAX_BYTES {
        return refused(
            "BatchRequestTooLong",
            "The length of all the batch messages put together is more than the limit.",
        );
    }
    Ok(())
}
