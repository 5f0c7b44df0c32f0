//! `subscription`: an endpoint that a topic sends its messages to. SNS has no tags for subscriptions: topic, protocol and
//! endpoint identify one, and it belongs to the pipeline that its topic belongs to. A subscription to the topic of another
//! pipeline therefore takes `--adopt`; one to a topic that streamctl did not create is ours.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_sns::types::Subscription as Found;
use serde::{Deserialize, Serialize};

use super::common;
use super::kind::{Existing, Kind, Managed, TagMap};
use super::topic::tag_map;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs};
use crate::pipeline::tags::{self, Owner, PIPELINE};
use ground::error::{self, Error, Result};

/// Stands for the ARN of a subscription that is not confirmed.
const PENDING: &str = "pending confirmation";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    topic: String,
    protocol: Protocol,
    endpoint: String,
    /// Set once the subscription was left to SNS, which still shows it: one that is not confirmed cannot be deleted.
    #[serde(skip)]
    abandoned: AtomicBool,
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
            Error::usage(format!("{endpoint:?} is not an endpoint for {}", self.word()))
                .hint(format!("give {form}")),
        )
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// `None` until it is confirmed.
    arn: Option<String>,
    /// Whether messages arrive without SNS's envelope.
    raw: bool,
}

type Subscription<'a> = Managed<'a, Declared>;

impl Subscription<'_> {
    fn is_ours(&self, found: &Found) -> bool {
        let endpoint = found.endpoint().unwrap_or_default();
        let same = match self.declared.protocol {
            Protocol::Email => endpoint.eq_ignore_ascii_case(&self.declared.endpoint),
            _ => endpoint == self.declared.endpoint,
        };
        // SNS shows a deleted subscription for a while.
        same && found.protocol() == Some(self.declared.protocol.word())
            && found.subscription_arn() != Some("Deleted")
    }

    async fn find(&self) -> Result<Option<Found>> {
        let call = self.context.sns().list_subscriptions_by_topic();
        let mut pages = call.topic_arn(&self.declared.topic).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                // A topic that does not exist has no subscriptions.
                Err(error) if error::aws::is_not_found(&error) => return Ok(None),
                Err(error) => {
                    let what = format!("could not list the subscriptions of {}", self.declared.topic);
                    return Err(error::aws::failed(what, error));
                }
            };
            let mut subscriptions = page.subscriptions.unwrap_or_default().into_iter();
            if let Some(ours) = subscriptions.find(|one| self.is_ours(one)) {
                return Ok(Some(ours));
            }
        }
        Ok(None)
    }

    /// The tags that a subscription would have: ours, with the owner of its topic where that is another pipeline.
    async fn tags(&self) -> Result<TagMap> {
        let call = self.context.sns().list_tags_for_resource();
        let answer = call.resource_arn(&self.declared.topic).send().await;
        let topic = match answer {
            Ok(answer) => tag_map(answer.tags.unwrap_or_default()),
            Err(error) if error::aws::is_not_found(&error) => TagMap::new(),
            Err(error) => {
                let what = format!("could not list the tags of {}", self.declared.topic);
                return Err(error::aws::failed(what, error));
            }
        };
        let mut tags = self.spec.tags.all();
        if let Owner::Pipeline(owner) = tags::owner(&topic, &self.spec.identity) {
            tags.insert(PIPELINE.to_owned(), owner);
        }
        Ok(tags)
    }

    /// Whether the queue gets messages without SNS's envelope, which none of our readers expects.
    async fn is_raw(&self, arn: &str) -> Result<bool> {
        if self.declared.protocol != Protocol::Sqs {
            return Ok(false);
        }
        let call = self.context.sns().get_subscription_attributes();
        let answer = self.response_if_exists("read", call.subscription_arn(arn).send().await)?;
        let attributes = answer.and_then(|answer| answer.attributes);
        Ok(attributes.is_some_and(|all| {
            all.get("RawMessageDelivery")
                .is_some_and(|raw| raw.eq_ignore_ascii_case("true"))
        }))
    }
}

#[async_trait]
impl Kind for Subscription<'_> {
    const NOUN: &'static str = "subscription";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        self.declared.protocol.check(&self.declared.endpoint)
    }

    /// The endpoint; of an ARN, its last part.
    fn name(&self) -> String {
        let endpoint = &self.declared.endpoint;
        match endpoint.starts_with("arn:") {
            true => endpoint.rsplit(':').next().unwrap_or(endpoint).to_owned(),
            false => endpoint.clone(),
        }
    }

    fn label(&self) -> String {
        format!("the subscription of {}", self.declared.endpoint)
    }

    fn summary(&self) -> String {
        match self.declared.protocol {
            Protocol::Email => "email, to be confirmed by its receiver".to_owned(),
            other => other.word().to_owned(),
        }
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        if !common::is_known(&self.declared.topic) || self.declared.abandoned.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some(there) = self.find().await? else {
            return Ok(None);
        };
        let arn = there.subscription_arn.filter(|arn| arn.starts_with("arn:"));
        let raw = match &arn {
            Some(arn) => self.is_raw(arn).await?,
            None => false,
        };
        Ok(Some((self.tags().await?, Facts { arn, raw })))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let raw = existing.facts.raw;
        let raw = raw.then(|| Change::update("raw delivery", "on", "off"));
        Ok(raw.into_iter().collect())
    }

    fn is_tagged(&self, _existing: &Existing<'_, Facts>) -> bool {
        false
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
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
        self.response("make", call.send().await)?;
        step.touched();
        if self.declared.protocol == Protocol::Email {
            step.doing("an email asks to confirm it");
        }
        Ok(())
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, _step: &Step<'_>) -> Result<()> {
        let Some(arn) = existing.facts.arn.as_ref().filter(|_| field == "raw delivery") else {
            return Err(self.unknown_field(field));
        };
        let call = self.context.sns().set_subscription_attributes();
        let call = call
            .subscription_arn(arn)
            .attribute_name("RawMessageDelivery")
            .attribute_value("false");
        self.response("change", call.send().await).map(drop)
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        let Some(arn) = &existing.facts.arn else {
            // Source: Unsubscribe, SNS API reference, and "Deleting an Amazon SNS subscription", developer guide.
            step.doing("was never confirmed: AWS removes it with its topic, or after 48 hours");
            self.declared.abandoned.store(true, Ordering::Relaxed);
            return Ok(());
        };
        step.doing("unsubscribing");
        let call = self.context.sns().unsubscribe().subscription_arn(arn);
        self.response_if_exists("delete", call.send().await).map(drop)
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        const CHECK: &str = "confirmed";
        vec![match existing.facts.arn {
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

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        let Some(facts) = facts else {
            return Outputs::new();
        };
        common::outputs([("arn", facts.arn.unwrap_or_else(|| PENDING.to_owned()))])
    }

    /// Source: "Actions, resources, and condition keys for Amazon SNS", service authorization reference: calls on
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
