//! `subscription`: what a topic sends its messages to. SNS has no tags for subscriptions: one is known by topic, protocol
//! and endpoint, which is all there is to it, and is as much another pipeline's as its topic is. To keep one on a topic of
//! another pipeline therefore takes `--adopt`; that on a topic that streamctl did not make is ours.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_sns::types::Subscription as Found;
use serde::{Deserialize, Serialize};

use super::common::{self, found};
use super::topic::NOT_FOUND;
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, CheckState, Location, Observed, Outputs, Resource, Spec, Surroundings,
};
use crate::pipeline::tags::{self, Owner, PIPELINE};
use ground::error::{self, Error, Result};

/// What a manifest can say about a subscription.
pub(super) const PROPERTIES: &[&str] = &["topic", "protocol", "endpoint"];

/// What stands for the ARN of a subscription that nobody has confirmed.
const PENDING: &str = "pending confirmation";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    topic: String,
    protocol: Protocol,
    endpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Email,
    Sqs,
    Https,
    Lambda,
}

impl Protocol {
    fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sqs => "sqs",
            Self::Https => "https",
            Self::Lambda => "lambda",
        }
    }

    /// Refuses an endpoint that SNS could not deliver to.
    fn check(self, endpoint: &str) -> Result<()> {
        let (fits, form) = match self {
            Self::Email => {
                let parts = endpoint.split_once('@');
                let fits = parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
                (
                    fits && !endpoint.contains(char::is_whitespace),
                    "an email address",
                )
            }
            Self::Sqs => (
                endpoint.starts_with("arn:") && endpoint.contains(":sqs:"),
                "the ARN of a queue",
            ),
            Self::Https => (
                endpoint.starts_with("https://"),
                "a URL that begins with https://",
            ),
            Self::Lambda => (
                endpoint.starts_with("arn:") && endpoint.contains(":lambda:"),
                "the ARN of a function",
            ),
        };
        if fits || !common::is_known(endpoint) {
            return Ok(());
        }
        Err(
            Error::usage(format!("{endpoint:?} is no endpoint for {}", self.word()))
                .hint(format!("give {form}")),
        )
    }
}

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    /// `None` until somebody has confirmed it.
    arn: Option<String>,
    /// Whether messages arrive without SNS's envelope.
    raw: bool,
}

pub(super) struct Subscription<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    /// Set once it was given up although SNS still shows it: one that nobody confirmed cannot be deleted.
    given_up: AtomicBool,
}

impl<'a> Subscription<'a> {
    pub(super) fn new(context: &'a Context, _place: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        declared.protocol.check(&declared.endpoint)?;
        Ok(Self {
            context,
            declared,
            spec,
            given_up: AtomicBool::new(false),
        })
    }

    fn what(&self, action: &str) -> String {
        format!(
            "could not {action} the subscription of {}",
            self.declared.endpoint
        )
    }

    fn is_ours(&self, found: &Found) -> bool {
        let endpoint = found.endpoint().unwrap_or_default();
        let same = match self.declared.protocol {
            Protocol::Email => endpoint.eq_ignore_ascii_case(&self.declared.endpoint),
            _ => endpoint == self.declared.endpoint,
        };
        // An unsubscribed one is shown for a while.
        same && found.protocol() == Some(self.declared.protocol.word())
            && found.subscription_arn() != Some("Deleted")
    }

    async fn find(&self) -> Result<Option<Found>> {
        let mut token = None;
        loop {
            let call = self.context.sns().list_subscriptions_by_topic();
            let call = call.topic_arn(&self.declared.topic).set_next_token(token);
            let page = found(call.send().await, NOT_FOUND).map_err(|error| {
                let what = format!("could not list the subscriptions of {}", self.declared.topic);
                error::aws::failed(what, error)
            })?;
            // Without a topic there are none.
            let Some(page) = page else { return Ok(None) };
            let mut subscriptions = page.subscriptions.unwrap_or_default().into_iter();
            if let Some(ours) = subscriptions.find(|one| self.is_ours(one)) {
                return Ok(Some(ours));
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(None);
            }
        }
    }

    /// The marks of the subscription's owner: those of the topic, where that is a pipeline's.
    async fn marks(&self) -> Result<BTreeMap<String, String>> {
        let call = self.context.sns().list_tags_for_resource();
        let call = call.resource_arn(&self.declared.topic).send().await;
        let answer = found(
            call,
            &["ResourceNotFound", "ResourceNotFoundException", "NotFound"],
        )
        .map_err(|error| {
            let what = format!("could not list the tags of {}", self.declared.topic);
            error::aws::failed(what, error)
        })?;
        let tags = answer.and_then(|answer| answer.tags).unwrap_or_default();
        let topic = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let mut marks = self.spec.tags.all();
        if let Owner::Pipeline(owner) = tags::owner(&topic, &self.spec.identity) {
            marks.insert(PIPELINE.to_owned(), owner);
        }
        Ok(marks)
    }

    /// Whether the queue gets messages without SNS's envelope, which nothing of ours reads.
    async fn is_raw(&self, arn: &str) -> Result<bool> {
        if self.declared.protocol != Protocol::Sqs {
            return Ok(false);
        }
        let call = self.context.sns().get_subscription_attributes();
        let answer = found(call.subscription_arn(arn).send().await, NOT_FOUND)
            .map_err(|error| error::aws::failed(self.what("read"), error))?;
        let attributes = answer.and_then(|answer| answer.attributes);
        Ok(attributes.is_some_and(|all| {
            all.get("RawMessageDelivery")
                .is_some_and(|raw| raw.eq_ignore_ascii_case("true"))
        }))
    }

    async fn subscribe(&self, step: &Step<'_>) -> Result<()> {
        step.doing("subscribing");
        let call = self.context.sns().subscribe();
        let call = call
            .topic_arn(&self.declared.topic)
            .protocol(self.declared.protocol.word())
            .endpoint(&self.declared.endpoint)
            .return_subscription_arn(true);
        let call = match self.declared.protocol {
            Protocol::Sqs => call.attributes("RawMessageDelivery", "false"),
            _ => call,
        };
        call.send()
            .await
            .map_err(|error| error::aws::failed(self.what("make"), error))?;
        step.touched();
        if self.declared.protocol == Protocol::Email {
            step.doing("an email asks to confirm it");
        }
        Ok(())
    }
}

#[async_trait]
impl Resource for Subscription<'_> {
    /// The endpoint; of an ARN, what it ends in.
    fn name(&self) -> String {
        let endpoint = &self.declared.endpoint;
        match endpoint.starts_with("arn:") {
            true => endpoint.rsplit(':').next().unwrap_or(endpoint).to_owned(),
            false => endpoint.clone(),
        }
    }

    fn summary(&self) -> String {
        match self.declared.protocol {
            Protocol::Email => "email, to be confirmed by its receiver".to_owned(),
            other => other.word().to_owned(),
        }
    }

    async fn observe(&self) -> Result<Observed> {
        if !common::is_known(&self.declared.topic) || self.given_up.load(Ordering::Relaxed) {
            return Ok(Observed::Absent);
        }
        let Some(there) = self.find().await? else {
            return Ok(Observed::Absent);
        };
        let arn = there.subscription_arn.filter(|arn| arn.starts_with("arn:"));
        let raw = match &arn {
            Some(arn) => self.is_raw(arn).await?,
            None => false,
        };
        common::observed(self.marks().await?, &Facts { arn, raw })
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let raw = facts.raw.then(|| Change::update("raw delivery", "on", "off"));
        Ok(raw.into_iter().collect())
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.subscribe(step).await;
        };
        let facts: Facts = common::there(observed, "subscription")?.read()?;
        let Some(arn) = facts.arn.filter(|_| field == "raw delivery") else {
            return Err(Error::failed(format!("a subscription has no {field} to change")));
        };
        step.touched();
        let call = self.context.sns().set_subscription_attributes();
        let call = call
            .subscription_arn(arn)
            .attribute_name("RawMessageDelivery")
            .attribute_value("false");
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("change"), error))
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(facts) = common::facts::<Facts>(observed) else {
            return Ok(());
        };
        let Some(arn) = facts.arn else {
            // Source: Unsubscribe, SNS API reference, and "Deleting an Amazon SNS subscription", developer guide.
            step.doing("was never confirmed: AWS removes it with its topic, or after 48 hours");
            self.given_up.store(true, Ordering::Relaxed);
            return Ok(());
        };
        step.doing("unsubscribing");
        let call = self.context.sns().unsubscribe().subscription_arn(arn);
        found(call.send().await, NOT_FOUND)
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("delete"), error))
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        const CHECK: &str = "confirmed";
        let Some(facts) = common::facts::<Facts>(observed) else {
            return Vec::new();
        };
        vec![match facts.arn {
            Some(_) => Check::new(CheckState::Good, CHECK, ""),
            None => Check::new(
                CheckState::Caution,
                CHECK,
                format!(
                    "{} has not confirmed it: nothing is sent there until the link in the message from AWS is opened",
                    self.declared.endpoint
                ),
            ),
        }]
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let Some(facts) = common::facts::<Facts>(observed) else {
            return Outputs::new();
        };
        common::outputs([("arn", facts.arn.unwrap_or_else(|| PENDING.to_owned()))])
    }

    /// Source: "Actions, resources, and condition keys for Amazon SNS", service authorization reference, by which calls on
    /// a subscription cannot be limited to one.
    fn iam(&self) -> Vec<Statement> {
        vec![
            Statement::new(
                &[
                    "sns:ListSubscriptionsByTopic",
                    "sns:ListTagsForResource",
                    "sns:Subscribe",
                ],
                [self.declared.topic.clone()],
            ),
            Statement::new(
                &[
                    "sns:GetSubscriptionAttributes",
                    "sns:SetSubscriptionAttributes",
                    "sns:Unsubscribe",
                ],
                ["*".to_owned()],
            ),
        ]
    }
}

#[cfg(test)]
mod tests;
