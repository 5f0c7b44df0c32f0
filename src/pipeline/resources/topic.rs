//! `topic`: an SNS topic that this account's CloudWatch alarms may publish to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use aws_sdk_sns::types::Tag;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, found};
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, CheckState, Location, Observed, Outputs, Resource, Spec, Surroundings,
};
use crate::stream::change::same_key;
use ground::error::{self, Error, Result};

/// What a manifest can say about a topic.
pub(super) const PROPERTIES: &[&str] = &["name", "kms_key", "display_name"];

/// The statement of the topic's policy that is streamctl's.
const SID: &str = "StreamctlAlarms";
/// The key that AWS manages for SNS in an account.
const AWS_MANAGED_KEY: &str = "alias/aws/sns";
pub(super) const NOT_FOUND: &[&str] = &["NotFound", "NotFoundException"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    kms_key: Option<String>,
    display_name: Option<String>,
}

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Facts {
    arn: String,
    kms_key: Option<String>,
    display_name: String,
    policy: Value,
    confirmed: u64,
    pending: u64,
}

pub(super) struct Topic<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    arn: String,
    account: String,
}

impl<'a> Topic<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        // Source: CreateTopic, SNS API reference. A FIFO topic takes neither alarms nor email.
        common::check_name("topic", &declared.name, (1, 256), "_-")?;
        if declared
            .display_name
            .as_ref()
            .is_some_and(|name| name.len() > 100)
        {
            return Err(Error::usage(format!(
                "the display name of topic {} is longer than 100 characters",
                declared.name
            )));
        }
        Ok(Self {
            context,
            arn: common::arn(location, "sns", &declared.name),
            account: location.account.clone(),
            declared,
            spec,
        })
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} topic {}", self.declared.name)
    }

    /// Lets the alarms of this account publish, and those of no other.
    fn statement(&self) -> Value {
        json!({
            "Sid": SID,
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": self.arn,
            "Condition": {"StringEquals": {"aws:SourceAccount": self.account}},
        })
    }

    async fn attributes(&self) -> Result<Option<HashMap<String, String>>> {
        let call = self.context.sns().get_topic_attributes();
        let answer = call.topic_arn(&self.arn).send().await;
        let answer =
            found(answer, NOT_FOUND).map_err(|error| error::aws::failed(self.what("read"), error))?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    async fn tags(&self) -> Result<Option<BTreeMap<String, String>>> {
        let call = self.context.sns().list_tags_for_resource();
        let answer = call.resource_arn(&self.arn).send().await;
        let answer = found(
            answer,
            &["ResourceNotFound", "ResourceNotFoundException", "NotFound"],
        )
        .map_err(|error| error::aws::failed(self.what("list the tags of"), error))?;
        Ok(answer.map(|answer| {
            let tags = answer.tags.unwrap_or_default();
            tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
        }))
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.sns().create_topic().name(&self.declared.name);
        let mut attributes = HashMap::new();
        if let Some(key) = &self.declared.kms_key {
            attributes.insert("KmsMasterKeyId".to_owned(), key.clone());
        }
        if let Some(name) = &self.declared.display_name {
            attributes.insert("DisplayName".to_owned(), name.clone());
        }
        let call = call
            .set_attributes(Some(attributes))
            .set_tags(Some(sdk_tags(&self.spec.tags.all())?));
        call.send()
            .await
            .map_err(|error| error::aws::failed(self.what("create"), error))?;
        step.touched();
        self.set_policy(step).await?;
        // Some AWS-compatible endpoints pass over the tags of CreateTopic.
        let there = self.tags().await?.unwrap_or_default();
        let (set, remove) = self.spec.tags.difference(&there);
        self.set_tags(&set, remove, step).await
    }

    /// Adds our statement to the policy that is there now: SNS gives each new topic one for its owner.
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
            .topic_arn(&self.arn)
            .attribute_name(attribute)
            .attribute_value(value);
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(self.what(&format!("set {attribute} of")), error))
    }

    async fn set_tags(
        &self,
        set: &BTreeMap<String, String>,
        remove: BTreeSet<String>,
        step: &Step<'_>,
    ) -> Result<()> {
        step.go_on()?;
        if !set.is_empty() {
            step.doing("setting tags");
            let call = self.context.sns().tag_resource().resource_arn(&self.arn);
            let call = call.set_tags(Some(sdk_tags(set)?)).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            let call = self.context.sns().untag_resource().resource_arn(&self.arn);
            let call = call.set_tag_keys(Some(remove.into_iter().collect())).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
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
                    "is encrypted with {AWS_MANAGED_KEY}, which CloudWatch may not use: no alarm gets through"
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
impl Resource for Topic<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        match &self.declared.kms_key {
            Some(key) => format!("alarms may publish, KMS key {key}"),
            None => "alarms may publish".to_owned(),
        }
    }

    async fn observe(&self) -> Result<Observed> {
        let Some(attributes) = self.attributes().await? else {
            return Ok(Observed::Absent);
        };
        let Some(tags) = self.tags().await? else {
            return Ok(Observed::Absent);
        };
        let text = |name: &str| attributes.get(name).filter(|text| !text.is_empty());
        let count = |name: &str| text(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let facts = Facts {
            arn: text("TopicArn").unwrap_or(&self.arn).clone(),
            kms_key: text("KmsMasterKeyId").cloned(),
            display_name: text("DisplayName").cloned().unwrap_or_default(),
            policy: common::policy(text("Policy").map(String::as_str)),
            confirmed: count("SubscriptionsConfirmed"),
            pending: count("SubscriptionsPending"),
        };
        common::observed(tags, &facts)
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
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
            let none = || "none".to_owned();
            let there = Some(facts.display_name.clone()).filter(|name| !name.is_empty());
            changes.push(Change::update("display name", there.unwrap_or_else(none), name));
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        let present = common::there(observed, "topic")?;
        step.touched();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        match field {
            "policy" => self.set_policy(step).await,
            "encryption" => self.set("KmsMasterKeyId", &text(&self.declared.kms_key)).await,
            "display name" => self.set("DisplayName", &text(&self.declared.display_name)).await,
            "tags" => {
                let (set, remove) = self.spec.tags.difference(&present.tags);
                self.set_tags(&set, remove, step).await
            }
            other => Err(Error::failed(format!("a topic has no {other} to change"))),
        }
    }

    /// Deletes the topic; its subscriptions go with it.
    async fn delete(&self, _observed: &Observed, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        let call = self.context.sns().delete_topic().topic_arn(&self.arn);
        found(call.send().await, NOT_FOUND)
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("delete"), error))
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        let facts = common::facts::<Facts>(observed);
        facts.iter().map(Self::described).collect()
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let arn = common::facts(observed).map_or_else(|| self.arn.clone(), |facts: Facts| facts.arn);
        common::outputs([("name", self.declared.name.clone()), ("arn", arn)])
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
            [self.arn.clone()],
        )]
    }
}

fn sdk_tags(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>> {
    tags.iter()
        .map(|(key, value)| {
            Tag::builder()
                .key(key)
                .value(value)
                .build()
                .map_err(|error| Error::failed(format!("tag {key} could not be written")).cause(error))
        })
        .collect()
}

#[cfg(test)]
mod tests;
