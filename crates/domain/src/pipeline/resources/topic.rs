//! `topic`: an SNS topic that this account's CloudWatch alarms may publish to.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_sns::types::Tag;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, sdk_tags};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs};
use crate::stream::change::same_key;
use ground::error::{Error, Result};

/// The statement of the topic's policy that is streamctl's.
const SID: &str = "StreamctlAlarms";
/// The key that AWS manages for SNS in an account.
const AWS_MANAGED_KEY: &str = "alias/aws/sns";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    kms_key: Option<String>,
    display_name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    kms_key: Option<String>,
    display_name: String,
    policy: Value,
    confirmed: u64,
    pending: u64,
}

type Topic<'a> = Managed<'a, Declared>;

impl Topic<'_> {
    /// Allows the alarms of this account to publish; the condition prevents a confused deputy.
    fn statement(&self) -> Value {
        json!({
            "Sid": SID,
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": self.arn(),
            "Condition": {"StringEquals": {"aws:SourceAccount": self.location.account}},
        })
    }

    async fn attributes(&self) -> Result<Option<HashMap<String, String>>> {
        let call = self.context.sns().get_topic_attributes();
        let answer = self.response_if_exists("read", call.topic_arn(self.arn()).send().await)?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    async fn tags(&self) -> Result<Option<TagMap>> {
        let call = self.context.sns().list_tags_for_resource();
        let answer =
            self.response_if_exists("list the tags of", call.resource_arn(self.arn()).send().await)?;
        Ok(answer.map(|answer| tag_map(answer.tags.unwrap_or_default())))
    }

    /// Adds our statement to the policy that the topic has now: SNS gives each new topic one for its owner.
    async fn set_policy(&self, step: &Step<'_>) -> Result<()> {
        step.go_on()?;
        step.doing("letting alarms publish");
        let there = self.attributes().await?.unwrap_or_default();
        let policy = common::policy(there.get("Policy").map(String::as_str));
        let policy = common::with_statement(&policy, SID, Some(&self.statement()));
        self.set("Policy", &policy.to_string()).await
    }

    async fn set(&self, attribute: &str, value: &str) -> Result<()> {
        let call = self.context.sns().set_topic_attributes();
        let call = call
            .topic_arn(self.arn())
            .attribute_name(attribute)
            .attribute_value(value);
        self.response(&format!("set {attribute} of"), call.send().await)
            .map(drop)
    }

    fn described(facts: &Facts) -> Check {
        const CHECK: &str = "described";
        let key = facts.kms_key.as_deref();
        if key.is_some_and(|key| same_key(key, AWS_MANAGED_KEY)) {
            // Source: "Why didn't I receive an SNS notification for my CloudWatch alarm?", AWS knowledge centre.
            return Check::new(
                CheckState::Caution,
                CHECK,
                format!(
                    "is encrypted with {AWS_MANAGED_KEY}, which CloudWatch may not use: no alarm is delivered"
                ),
            );
        }
        let encryption = key.map_or_else(|| "not encrypted".to_owned(), |key| format!("KMS key {key}"));
        let count = |n: u64| match n {
            1 => "1 subscription".to_owned(),
            n => format!("{n} subscriptions"),
        };
        let mut words = vec![encryption, count(facts.confirmed)];
        if facts.pending > 0 {
            words.push(format!("{} to be confirmed", count(facts.pending)));
        }
        Check::new(CheckState::Good, CHECK, words.join(", "))
    }
}

#[async_trait]
impl Kind for Topic<'_> {
    const NOUN: &'static str = "topic";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        let Declared {
            name, display_name, ..
        } = &self.declared;
        // Source: CreateTopic, SNS API reference. A FIFO topic delivers neither alarms nor email.
        common::check_name("topic", name, (1, 256), "_-")?;
        if display_name.as_ref().is_some_and(|name| name.len() > 100) {
            return Err(Error::usage(format!(
                "the display name of topic {name} is longer than 100 characters"
            )));
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.arn_of("sns", &self.declared.name)
    }

    fn summary(&self) -> String {
        match &self.declared.kms_key {
            Some(key) => format!("alarms may publish, KMS key {key}"),
            None => "alarms may publish".to_owned(),
        }
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(attributes) = self.attributes().await? else {
            return Ok(None);
        };
        let Some(tags) = self.tags().await? else {
            return Ok(None);
        };
        let text = |name: &str| attributes.get(name).filter(|text| !text.is_empty());
        let count = |name: &str| text(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let key = text("KmsMasterKeyId").cloned();
        let facts = Facts {
            arn: text("TopicArn").cloned().unwrap_or_else(|| self.arn()),
            kms_key: self.key_name(self.declared.kms_key.as_deref(), key).await?,
            display_name: text("DisplayName").cloned().unwrap_or_default(),
            policy: common::policy(text("Policy").map(String::as_str)),
            confirmed: count("SubscriptionsConfirmed"),
            pending: count("SubscriptionsPending"),
        };
        Ok(Some((tags, facts)))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let enforced = |key: &str| self.enforced(key, existing);
        let mut changes = Vec::new();
        if !common::has_statement(&facts.policy, &self.statement()) {
            changes.push(Change::update("policy", "another", "alarms may publish"));
        }
        let key = self.declared.kms_key.as_deref().filter(|_| enforced("kms_key"));
        if let Some(key) = key {
            let there = facts.kms_key.as_deref();
            let same = there.map_or(key.is_empty(), |there| same_key(key, there));
            if !same && common::is_known(key) {
                let to = if key.is_empty() { "none" } else { key };
                changes.push(Change::update("encryption", there.unwrap_or("none"), to));
            }
        }
        let name = self.declared.display_name.as_ref();
        if let Some(name) = name.filter(|name| enforced("display_name") && **name != facts.display_name) {
            let there = match facts.display_name.as_str() {
                "" => "none",
                there => there,
            };
            changes.push(Change::update("display name", there, name));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.sns().create_topic().name(&self.declared.name);
        let Declared {
            kms_key,
            display_name,
            ..
        } = &self.declared;
        let attributes = [("KmsMasterKeyId", kms_key), ("DisplayName", display_name)];
        let attributes = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let call = call
            .set_attributes(Some(attributes.collect()))
            .set_tags(Some(sdk_tags!(Tag, self.spec.tags.all())?));
        self.response("create", call.send().await)?;
        step.touched();
        self.set_policy(step).await?;
        // Some AWS-compatible endpoints ignore the tags of CreateTopic.
        let there = self.tags().await?.unwrap_or_default();
        self.set_tags(&self.arn(), &there, step).await
    }

    async fn update(&self, field: &str, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        match field {
            "policy" => self.set_policy(step).await,
            "encryption" => self.set("KmsMasterKeyId", &text(&self.declared.kms_key)).await,
            "display name" => self.set("DisplayName", &text(&self.declared.display_name)).await,
            other => Err(self.unknown_field(other)),
        }
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.sns().tag_resource().resource_arn(target);
        let call = call.set_tags(Some(sdk_tags!(Tag, tags)?));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.sns().untag_resource().resource_arn(target);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    /// Deletes the topic; SNS deletes its subscriptions with it.
    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.sns().delete_topic().topic_arn(self.arn());
        self.response_if_exists("delete", call.send().await).map(drop)
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        vec![Self::described(&existing.facts)]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
    }

    /// Source: "Actions, resources, and condition keys for Amazon SNS", service authorization reference.
    fn iam(&self) -> Vec<Statement> {
        vec![Statement::new(
            &[
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:GetTopicAttributes",
                "sns:ListTagsForResource",
                "sns:SetTopicAttributes",
                "sns:TagResource",
                "sns:UntagResource",
            ],
            [self.arn()],
        )]
    }
}

/// SNS's tags by key.
pub(super) fn tag_map(tags: Vec<Tag>) -> TagMap {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

#[cfg(test)]
mod tests;
