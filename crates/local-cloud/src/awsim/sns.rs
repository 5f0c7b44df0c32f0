//! SNS. awsim publishes a message as an event and forgets it: here it is in its queues before Publish is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use awsim_core::events::EventBus;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_sns::SnsService;
use serde_json::{Map, Value, json};

use super::stored::{Handler, is_read};
use crate::service::Request;
use crate::service::{Permission, operation};
use crate::sqs::Sqs;
use crate::types::{Caller, Tags};

pub(crate) struct Sns {
    inner: SnsService,
    queues: Arc<Sqs>,
}

impl Sns {
    pub fn new(queues: Arc<Sqs>) -> Self {
        Self {
            inner: SnsService::new(),
            queues,
        }
    }

    /// The subscription that `input` asks for, if it exists: AWS creates no second one.
    /// Source: Subscribe, SNS API reference.
    fn known_subscription(&self, input: &Value, ctx: &RequestContext) -> Option<String> {
        let state = self.inner.store_handle().get(&ctx.account_id, &ctx.region);
        let known = state.subscriptions.iter().find(|subscription| {
            input["TopicArn"] == subscription.topic_arn.as_str()
                && input["Protocol"] == subscription.protocol.as_str()
                && input["Endpoint"] == subscription.endpoint.as_str()
        })?;
        let wants_arn = input["ReturnSubscriptionArn"] == true || input["ReturnSubscriptionArn"] == "true";
        Some(if known.confirmed || wants_arn {
            known.arn.clone()
        } else {
            "pending confirmation".to_owned()
        })
    }

    fn subscribe_state(&self, input: &Value, ctx: &RequestContext, output: &mut Value) {
        if output["SubscriptionArn"] == "pending confirmation"
            && let Some(arn) = self.known_subscription(input, ctx)
        {
            output["SubscriptionArn"] = json!(arn);
        }
    }

    /// "PendingConfirmation" stands for the ARN of a subscription that is not confirmed.
    fn hide_pending(&self, output: &mut Value, ctx: &RequestContext) {
        let state = self.inner.store_handle().get(&ctx.account_id, &ctx.region);
        let listed = output["Subscriptions"]["member"].as_array_mut();
        for subscription in listed.into_iter().flatten() {
            let arn = subscription["SubscriptionArn"].as_str().unwrap_or_default();
            if state.subscriptions.get(arn).is_some_and(|known| !known.confirmed) {
                subscription["SubscriptionArn"] = json!("PendingConfirmation");
            }
        }
    }

    /// Sends a published message to a queue.
    fn deliver(&self, event: &Value) {
        if event["protocol"] != "sqs" {
            return;
        }
        let queue = event["endpoint"].as_str().unwrap_or_default();
        let input = if event["raw_message_delivery"] == true {
            raw(event)
        } else {
            json!({"MessageBody": envelope(event).to_string()})
        };
        if let Err(error) = self.queues.send(queue, &input) {
            tracing::warn!(queue, message = error.message, "a topic could not deliver");
        }
    }
}

/// The query protocol spells message attributes as entries of `Name` and `Value`, where awsim expects a map.
fn read_attributes(input: &mut Value) {
    if let Some(attributes) = input.get_mut("MessageAttributes")
        && let Some(entries) = attributes.get_mut("entry").and_then(Value::as_array_mut)
    {
        let map: Map<String, Value> = entries
            .iter_mut()
            .filter_map(|entry| Some((entry["Name"].as_str()?.to_owned(), entry.get_mut("Value")?.take())))
            .collect();
        *attributes = Value::Object(map);
    }
    let entries = input
        .get_mut("PublishBatchRequestEntries")
        .and_then(Value::as_array_mut);
    entries
        .into_iter()
        .flatten()
        .filter(|entry| entry.is_object())
        .for_each(read_attributes);
}

/// Source: "Parsing Amazon SNS message formats", SNS developer guide.
fn envelope(event: &Value) -> Value {
    let topic = event["topic_arn"].as_str().unwrap_or_default();
    let subscription = event["subscription_arn"].as_str().unwrap_or_default();
    let region = topic.split(':').nth(3).unwrap_or("us-east-1");
    let mut out = json!({
        "Type": "Notification",
        "MessageId": event["message_id"],
        "TopicArn": topic,
        "Message": event["message"],
        "Timestamp": format!("{:.3}", jiff::Timestamp::now()),
        "SignatureVersion": "1",
        "Signature": "bG9jYWw=",
        "SigningCertURL":
            format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem"),
        "UnsubscribeURL":
            format!("https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={subscription}"),
    });
    if event["subject"].is_string() {
        out["Subject"] = event["subject"].clone();
    }
    if event["message_attributes"]
        .as_object()
        .is_some_and(|attributes| !attributes.is_empty())
    {
        out["MessageAttributes"] = event["message_attributes"].clone();
    }
    out
}

fn raw(event: &Value) -> Value {
    let attributes: Map<String, Value> = event["message_attributes"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, attribute)| attribute["Value"] != "")
        .map(|(name, attribute)| {
            // SQS has no list attributes.
            let kind = attribute["Type"]
                .as_str()
                .filter(|kind| *kind != "String.Array")
                .unwrap_or("String");
            (
                name.clone(),
                json!({"DataType": kind, "StringValue": attribute["Value"]}),
            )
        })
        .collect();
    json!({"MessageBody": event["message"], "MessageAttributes": attributes})
}

impl Handler for Sns {
    const NAME: &'static str = "sns";
    const PROTOCOL: Protocol = Protocol::AwsQuery;
    const ACCESS_DENIED: (u16, &'static str) = (403, "AuthorizationError");

    /// Messages are not part of the state.
    fn changes(operation: &str, _input: &Value) -> bool {
        !matches!(operation, "Publish" | "PublishBatch") && !is_read(operation)
    }

    fn permissions(request: &Request) -> Vec<Permission> {
        let Some((operation, input)) = operation(request) else {
            return Vec::new();
        };
        let action = if operation == "PublishBatch" {
            "Publish"
        } else {
            &operation
        };
        let topic = input["TopicArn"].as_str().or(input["TargetArn"].as_str());
        vec![Permission::new("sns", action, topic.map(str::to_owned))]
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        let state = self.inner.store_handle().get(&caller.account, &caller.region);
        let tagged = state.topics.iter().filter(|topic| !topic.tags.is_empty());
        tagged
            .map(|topic| (topic.arn.clone(), topic.tags.clone().into_iter().collect()))
            .collect()
    }
}

#[async_trait]
impl ServiceHandler for Sns {
    fn service_name(&self) -> &str {
        Self::NAME
    }

    fn protocol(&self) -> Protocol {
        Self::PROTOCOL
    }

    async fn handle(
        &self,
        operation: &str,
        mut input: Value,
        ctx: &RequestContext,
    ) -> Result<Value, AwsError> {
        read_attributes(&mut input);
        if operation == "Subscribe"
            && let Some(arn) = self.known_subscription(&input, ctx)
        {
            return Ok(json!({ "SubscriptionArn": arn }));
        }
        // One subscriber, which reads all events after the call: none is lost, and none blocks the call.
        let bus = EventBus::new();
        let mut events = bus.subscribe();
        let own = RequestContext {
            event_bus: Some(bus),
            ..ctx.clone()
        };
        let wanted = (operation == "Subscribe").then(|| input.clone());
        let mut output = self.inner.handle(operation, input, &own).await?;
        while let Ok(event) = events.try_recv() {
            self.deliver(&event.detail);
        }
        if let Some(wanted) = wanted {
            self.subscribe_state(&wanted, ctx, &mut output);
        }
        if operation.starts_with("ListSubscriptions") {
            self.hide_pending(&mut output, ctx);
        }
        Ok(output)
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        self.inner.snapshot()
    }

    fn restore(&self, data: &[u8]) -> Result<(), String> {
        self.inner.restore(data)
    }
}
