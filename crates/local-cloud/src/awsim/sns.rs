//! SNS. awsim keeps topics and subscriptions; publishing is ours ([`publish`]): awsim's is an event that is forgotten.

mod message;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_sns::SnsService;
use awsim_sns::state::SnsState;
use serde_json::{Map, Value, json};

use super::stored::{Handler, is_read};
use crate::invoke::Functions;
use crate::service::Request;
use crate::service::{Permission, operation};
use crate::sqs::Sqs;
use crate::types::{Caller, Tags};

pub(crate) struct Sns {
    inner: SnsService,
    queues: Arc<Sqs>,
    functions: Functions,
    recent: publish::Recent,
}

impl Sns {
    pub fn new(queues: Arc<Sqs>, functions: Functions) -> Self {
        Self {
            inner: SnsService::new(),
            queues,
            functions,
            recent: publish::Recent::default(),
        }
    }

    fn state(&self, ctx: &RequestContext) -> Arc<SnsState> {
        self.inner.store_handle().get(&ctx.account_id, &ctx.region)
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

impl Handler for Sns {
    const NAME: &'static str = "sns";
    const PROTOCOL: Protocol = Protocol::AwsQuery;
    const ACCESS_DENIED: (u16, &'static str) = (403, "AuthorizationError");
    /// Source: Publish, SNS API reference: 256 KiB. In a form or in JSON a byte takes up to six.
    const MAX_BODY: usize = 2 << 20;

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
        match operation {
            "Publish" => return self.publish(&input, ctx),
            "PublishBatch" => return self.publish_batch(&input, ctx),
            "Subscribe" => {
                if let Some(arn) = self.known_subscription(&input, ctx) {
                    return Ok(json!({ "SubscriptionArn": arn }));
                }
                self.check_subscription(&input, ctx)?;
            }
            _ => {}
        }
        let wanted = (operation == "Subscribe").then(|| input.clone());
        let mut output = self.inner.handle(operation, input, ctx).await?;
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
